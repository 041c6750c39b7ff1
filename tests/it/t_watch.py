#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Certificates read again when their files change, or at a reload, and told of before they run out."""
import base64
import os
import shutil
import socket
import ssl
import subprocess

from lib import *
from lib.care import *
from lib.tls import openssl

here = Care()


def write_keys(path):
    with open(path, "w") as f:
        for _ in range(3):
            f.write(base64.b64encode(os.urandom(48)).decode() + "\n")
    os.chmod(path, 0o600)


@case("a file that is renamed over another is taken, and so is one that is written in place")
def watch_rename(t):
    limpet = here.start(t)
    path = t.directory + "/site.pem"
    copy(here.site2, t.directory + "/new")
    os.rename(t.directory + "/new", path)
    here.wait_seen(t, here.site2)
    limpet.wait_log(r"certificate .*site.pem: replaced \(its file has changed\); .*good for (29|30) days")
    copy(here.site, path)
    here.wait_seen(t, here.site)


@case("a link that is set anew and the swapped directory of a Kubernetes secret are taken")
def watch_links(t):
    for number, certificate in (("1", here.site), ("2", here.site2)):
        os.mkdir(t.directory + "/.." + number)
        copy(certificate, t.directory + "/.." + number + "/tls.pem")
        os.makedirs(t.directory + "/archive", exist_ok=True)
        copy(here.other if number == "1" else here.rsa, t.directory + "/archive/live%s.pem" % number)
    os.symlink("..1", t.directory + "/..data")
    os.symlink("..data/tls.pem", t.directory + "/tls.pem")
    os.mkdir(t.directory + "/live")
    os.symlink("../archive/live1.pem", t.directory + "/live/cert.pem")
    here.start(t, [t.directory + "/tls.pem", t.directory + "/live/cert.pem"])
    same(here.seen(t), print_of(here.site), "the certificate at first")
    os.symlink("..2", t.directory + "/..new")
    os.rename(t.directory + "/..new", t.directory + "/..data")
    here.wait_seen(t, here.site2)
    same(here.seen(t, "other.test"), print_of(here.other), "the other at first")
    os.symlink("../archive/live2.pem", t.directory + "/live/new")
    os.rename(t.directory + "/live/new", t.directory + "/live/cert.pem")
    until(lambda: here.seen(t, "other.test") == print_of(here.site2), "the link is followed", 15 * SLOW)


@case("a pair that does not fit changes nothing and is told of once; when it is whole it is taken")
def broken_pair(t):
    path = t.directory + "/site.pem"
    shutil.copy(here.site.pem, path)
    shutil.copy(here.site.key, path + ".key")
    limpet = here.start(t, [path])
    same(here.seen(t), print_of(here.site), "the certificate at first")
    shutil.copy(here.site2.pem, path)
    limpet.wait_log("TLS: .*site.pem: the key is another certificate's; the one from before stays in use",
                    20 * SLOW)
    same(here.seen(t), print_of(here.site), "the certificate of a broken pair")
    shutil.copy(here.site2.key, path + ".key")
    here.wait_seen(t, here.site2)
    same(limpet.log().count("the key is another certificate's"), 1, "warnings")


@case("a file that vanishes, or cannot be read, leaves its certificate in force and is told of")
def vanished(t):
    limpet = here.start(t)
    os.unlink(t.directory + "/site.pem")
    limpet.wait_log("TLS: .*site.pem: No such file.*stays in use", 20 * SLOW)
    same(here.seen(t), print_of(here.site), "the certificate")
    copy(here.site2, t.directory + "/site.pem")
    here.wait_seen(t, here.site2)


@case("files that come to a directory are taken, those that go are left, and what is no certificate is told of")
def watch_directory(t):
    place = here.place(t)
    limpet = here.start(t, [place])
    copy(here.other, place + "/other.pem")
    here.wait_seen(t, here.other, "other.test")
    limpet.wait_log(r"certificate .*other.pem: in use from now on \(its file has changed\)")
    with open(place + "/readme", "w") as f:
        f.write("nothing\n")
    limpet.wait_log("TLS: .*readme: no certificate in it", 20 * SLOW)
    os.unlink(place + "/other.pem")
    here.wait_seen(t, here.site, "other.test")
    limpet.wait_log(r"certificate .*other.pem: not in use any more \(its file has changed\)")


@case("watch: false leaves files alone until a reload")
def no_watch(t):
    limpet = here.start(t, tls_more="watch: false")
    copy(here.site2, t.directory + "/site.pem")
    until(lambda: "Reloaded." in limpet.ask_stats("reload"), "the reload")
    same(here.seen(t), print_of(here.site2), "the certificate after the reload")
    limpet.wait_log(r"certificate .*site.pem: replaced \(reload\)")


@case("a reload that is refused leaves the certificates, too, as they are; one that is not takes the new ones")
def refused_reload(t):
    keys = t.directory + "/tickets"
    write_keys(keys)
    limpet = here.start(t, tls_more='watch: false, ticket_keys: "%s"' % keys)
    path = t.directory + "/site.pem"
    shown = limpet.ask_stats("show ssl cert " + path)
    tickets = limpet.ask_stats("show tls-keys *")
    copy(here.site2, path)
    write_keys(keys)
    good = read(limpet.path).decode()
    # Found while it is read, and found when it was loaded as a whole.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for bad in (good + "nonsense: 1\n",
                    good.replace("${PORT}", str(taken.getsockname()[1]))):
            check(bad != good)
            limpet.write(bad)
            said = limpet.ask_stats("reload")
            check("Reloaded." not in said, said)
            same(here.seen(t), print_of(here.site), "the certificate after a refused reload")
    same(limpet.ask_stats("show ssl cert " + path), shown, "what is told of it")
    same(limpet.ask_stats("show tls-keys *"), tickets, "the keys of tickets")
    limpet.write(good)
    check("Reloaded." in limpet.ask_stats("reload"))
    same(here.seen(t), print_of(here.site2), "the certificate after the reload")
    check(limpet.ask_stats("show tls-keys *") != tickets, "the keys of tickets after the reload")


@case("a reload reads the files, which win over what was set, and says so")
def reload_wins(t):
    limpet = here.start(t)
    path = t.directory + "/site.pem"
    set_cert(limpet, path, both(here.site2))
    limpet.ask_stats("commit ssl cert " + path)
    same(here.seen(t), print_of(here.site2), "the certificate that was set")
    check("Reloaded." in limpet.ask_stats("reload"))
    same(here.seen(t), print_of(here.site), "the certificate of the file")
    limpet.wait_log("certificate .*site.pem: what 'set ssl cert' had put in force is gone")
    # And nothing is said when the file was written as well.
    copy(here.rsa, path)
    here.wait_seen(t, here.rsa)
    set_cert(limpet, path, both(here.rsa))
    check("Success!" in limpet.ask_stats("commit ssl cert " + path))
    check("Reloaded." in limpet.ask_stats("reload"))
    same(here.seen(t), print_of(here.rsa), "the certificate")
    same(limpet.log().count("had put in force is gone"), 1, "lines about it")


@case("an upgrade has what the files say, and tells of what was in memory alone")
def upgrade(t):
    limpet = here.start(t)
    path = t.directory + "/site.pem"
    set_cert(limpet, path, both(here.site2))
    limpet.ask_stats("commit ssl cert " + path)
    limpet.upgrade()
    limpet.wait_log("certificate .*site.pem was put in force by 'set ssl cert': the new process")
    same(here.seen(t), print_of(here.site), "the certificate of the new process")
    copy(here.rsa, path)
    here.wait_seen(t, here.rsa)


@case("certificates that run out in 30 days, 7 days and a day are told of once, and again when replaced")
def expiry(t):
    month = here.ca.leaf("month.test", days=29, file="month")
    week = here.ca.leaf("week.test", days=6, file="week")
    day = here.ca.leaf("day.test", days=1, file="day")
    gone = here.ca.leaf("gone.test", days=-1, file="gone")
    fresh = here.ca.leaf("fresh.test", days=31, file="fresh")
    limpet = here.start(t, [c.both for c in (fresh, month, week, day, gone)])
    for pattern in (r"warn: certificate \S+ \(month.test\) expires in (28|29) days",
                    r"warn: certificate \S+ \(week.test\) expires in [56] days",
                    r"error: certificate \S+ \(day.test\) expires in 23 hours",
                    r"error: certificate \S+ \(gone.test\) has expired"):
        limpet.wait_log(pattern)
    check("fresh.test)" not in limpet.log(), "a fresh one is not told of")
    check("Reloaded." in limpet.ask_stats("reload"))
    same(limpet.log().count("(week.test) expires"), 1, "lines about one")
    renewed = here.ca.leaf("week.test", days=5, file="week2")
    set_cert(limpet, week.both, both(renewed))
    limpet.ask_stats("commit ssl cert " + week.both)
    limpet.wait_log(r"certificate \S+ \(week.test\) expires in [45] days")


@case("the metrics tell when each certificate ends, and promtool finds no fault with them")
def metrics(t):
    week = here.ca.leaf("week.test", days=6, file="week3")
    limpet = here.start(t, [here.site.both, week.both])
    said = limpet.ask_stats("show metrics")
    end = openssl("x509", "-in", week.pem, "-noout", "-enddate").decode().strip().split("=")[1]
    want = 'limpet_certificate_expiry_timestamp_seconds{path="%s",name="week.test"} %d' % (
        week.both, ssl.cert_time_to_seconds(end))
    check("\n%s\n" % want in said, said)
    check('limpet_certificate_from_memory{path="%s",name="week.test"} 0\n' % week.both in said)
    check("limpet_certificate_ocsp_good{" not in said, "there is no response")
    set_cert(limpet, week.both, both(here.site2))
    limpet.ask_stats("commit ssl cert " + week.both)
    check('limpet_certificate_from_memory{path="%s",name="site.test"} 1\n' % week.both in
          limpet.ask_stats("show metrics"))
    if not shutil.which("promtool"):
        raise Skip("no promtool")
    done = subprocess.run(["promtool", "check", "metrics"], input=limpet.ask_stats("show metrics").encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    same((done.returncode, done.stdout), (0, b""), "promtool")


@case("as root: a key that the user may not read stays in force over changes and reloads, and the log says what to do")
def denied(t):
    if os.getuid() != 0:
        raise Skip("needs root")
    os.chmod(t.directory, 0o755)
    if subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "test", "-r", t.directory]).returncode != 0:
        raise Skip("the directory of the case cannot be opened")
    t.env["ASAN_OPTIONS"] = "detect_leaks=0"    # it cannot look at a process that changed its user
    limpet = here.start(t, edit=lambda text: text.replace("global:\n", "global:\n  user: nobody\n"))
    copy(here.site2, t.directory + "/site.pem")
    limpet.wait_log("TLS: .*site.pem: Permission denied; let the user that limpet runs as read it, or use 'set ssl "
                    "cert'; the one from before stays in use", 20 * SLOW)
    os.chmod(limpet.path, 0o644)
    said = limpet.ask_stats("reload")
    check("Reloaded." in said and "Permission denied; the certificate from before stays in use" in said, said)
    same(here.seen(t), print_of(here.site), "the certificate")
    set_cert(limpet, t.directory + "/site.pem", both(here.site2))
    limpet.ask_stats("commit ssl cert %s/site.pem" % t.directory)
    same(here.seen(t), print_of(here.site2), "the certificate that was set")
    copy(here.rsa, t.directory + "/site.pem")
    os.chown(t.directory + "/site.pem", 65534, 65534)
    here.wait_seen(t, here.rsa)


if __name__ == "__main__":
    main()
