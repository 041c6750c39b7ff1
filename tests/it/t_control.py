#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Certificates replaced on the stats socket, with the commands, words and answers of HAProxy."""
import base64
import hashlib
import os
import shutil
import ssl
import subprocess

from lib import *
from lib.care import *
from lib.tls import tls

here = Care()


@case("what acme.sh sends replaces a certificate: set, commit, and the next client gets it")
def replace(t):
    limpet = here.start(t)
    path = t.directory + "/site.pem"
    check("\n%s\n" % path in limpet.ask_stats("show ssl cert"), "the file is listed")
    old = here.client()
    kept = tls(t, old)
    same(here.seen(t), print_of(here.site), "the certificate at first")
    said = set_cert(limpet, path, both(here.site2))
    same(said, "Transaction created for certificate %s!\n\n" % path)
    check("# transaction\n*%s\n# filename\n" % path in limpet.ask_stats("show ssl cert"), "it is listed")
    same(here.seen(t), print_of(here.site), "the certificate before the commit")
    said = limpet.ask_stats("commit ssl cert " + path)
    same(said, "Committing %s.\nSuccess!\n\n" % path)
    same(here.seen(t), print_of(here.site2), "the certificate after the commit")
    same(kept.ask(b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n").status, 200,
         "the status on a connection from before")
    kept.close()
    check("*" not in limpet.ask_stats("show ssl cert"), "no transaction is left")
    said = limpet.ask_stats("show ssl cert " + path)
    check("\nStatus: Used\n" in said and "\nSource: stats socket\n" in said, said)
    check("\nBind: web 127.0.0.1:%d\n" % t.port in said, said)
    limpet.wait_log("certificate .*site.pem: replaced on the stats socket")


@case("an RSA certificate takes the place of an ECDSA one")
def another_kind(t):
    limpet = here.start(t)
    path = t.directory + "/site.pem"
    check("\nAlgorithm: EC256\n" in limpet.ask_stats("show ssl cert " + path))
    set_cert(limpet, path, both(here.rsa))
    limpet.ask_stats("commit ssl cert " + path)
    check("\nAlgorithm: RSA2048\n" in limpet.ask_stats("show ssl cert " + path))
    same(here.seen(t), print_of(here.rsa), "the certificate")


@case("an aborted transaction changes nothing, and what is not prepared cannot be committed")
def abort(t):
    limpet = here.start(t)
    path = t.directory + "/site.pem"
    set_cert(limpet, path, both(here.site2))
    check("Transaction updated" in set_cert(limpet, path, both(here.rsa)))
    same(limpet.ask_stats("abort ssl cert " + path), "Transaction aborted for certificate '%s'!\n\n" % path)
    same(limpet.ask_stats("abort ssl cert " + path), "No ongoing transaction!\n\n")
    check("Can't commit %s!\n" % path in limpet.ask_stats("commit ssl cert " + path))
    same(here.seen(t), print_of(here.site), "the certificate")


@case("half a certificate, another's key and rubbish are refused, and nothing changes")
def refused_payloads(t):
    limpet = here.start(t)
    path = t.directory + "/site.pem"
    wrong_key = read(here.site2.pem) + read(here.site.key)
    cut = both(here.site2)[:300]
    for text in (wrong_key, read(here.site2.key), b"rubbish\n", cut, read(here.site2.pem)):
        said = set_cert(limpet, path, text)
        check("Can't update %s!\n" % path in said, said)
        check("Transaction" not in said, said)
    check("set ssl cert expects" in limpet.ask_stats("set ssl cert " + path))
    check("set ssl cert expects" in limpet.ask_stats("set ssl cert"))
    check("not referenced by the configuration" in set_cert(limpet, "/nowhere.pem", both(here.site2)))
    check("No ongoing transaction" in limpet.ask_stats("commit ssl cert " + path))
    same(here.seen(t), print_of(here.site), "the certificate")


@case("a renewed certificate of the same key needs no key with it")
def same_key(t):
    limpet = here.start(t)
    path = t.directory + "/site.pem"
    pem = here.ca.sign_request(here.site.key, "ecdsa", "site.test",
                               "subjectAltName=DNS:site.test\n", 40, here.ca)
    check("created" in set_cert(limpet, path, pem))
    check("Success!" in limpet.ask_stats("commit ssl cert " + path))
    same(here.seen(t), hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest(), "the certificate")


@case("only an admin changes certificates, and no answer has a secret in it")
def levels(t):
    with open(t.directory + "/tickets", "w") as f:
        for _ in range(3):
            f.write(base64.b64encode(os.urandom(48)).decode() + "\n")
    os.chmod(t.directory + "/tickets", 0o600)
    sockets = '{socket: ["unix:${RUN}/stats.sock", {address: "unix:${RUN}/user.sock", level: user}]}'
    limpet = here.start(t, tls_more='ticket_keys: "%s/tickets"' % t.directory,
                        edit=lambda text: text.replace('{socket: "unix:${RUN}/stats.sock"}', sockets))
    path = t.directory + "/site.pem"
    user = t.directory + "/user.sock"
    check(path in limpet.ask_stats("show ssl cert", path=user), "a user may look")
    for command in ("commit ssl cert " + path, "abort ssl cert " + path, "new ssl cert /x.pem", "show tls-keys",
                    "del ssl cert " + path, "set ssl tls-key #0 AAAA", "add ssl crt-list /x /y",
                    "set ssl ocsp-response AAAA"):
        same(limpet.ask_stats(command, path=user), "Permission denied\n\n", command)
    same(limpet.ask_stats("show tls-keys"), "# id (file)\n0 (%s/tickets)\n\n" % t.directory)
    said = limpet.ask_stats("show tls-keys *")
    for line in read(t.directory + "/tickets", "r").splitlines():
        name = base64.b64decode(line)[:16].hex()
        check(name in said, "the key's name")
        check(line not in said and base64.b64decode(line)[16:].hex() not in said, "the key itself")
    key = base64.b64encode(os.urandom(80)).decode()
    same(limpet.ask_stats("set ssl tls-key #0 " + key), "TLS ticket key updated!\n\n")
    check(base64.b64decode(key)[:16].hex() in limpet.ask_stats("show tls-keys #0"))
    check("unable to locate" in limpet.ask_stats("set ssl tls-key #7 " + key))
    check("wrong size" in limpet.ask_stats("set ssl tls-key #0 AAAA"))
    check("invalid base64" in limpet.ask_stats("set ssl tls-key #0 x"))
    check("PRIVATE" not in limpet.ask_stats("show ssl cert " + path))


@case("a new certificate is taken at its commit by the binds that name its directory")
def new_certificate(t):
    place = here.place(t)
    limpet = here.start(t, [place])
    path = place + "/other.pem"
    same(limpet.ask_stats("show ssl crt-list"), place + "\n\n")
    same(here.seen(t, "other.test"), print_of(here.site), "the certificate before")
    same(limpet.ask_stats("new ssl cert " + path), "New empty certificate store '%s'!\n\n" % path)
    same(limpet.ask_stats("new ssl cert " + path), "Certificate '%s' already exists!\n\n" % path)
    check("\nStatus: Empty\n" in limpet.ask_stats("show ssl cert " + path))
    check("created" in set_cert(limpet, path, both(here.other)))
    check("\nSuccess!\n" in limpet.ask_stats("commit ssl cert " + path))
    same(here.seen(t, "other.test"), print_of(here.other), "the certificate of the new name")
    # The last step of acme.sh.
    said = limpet.ask_stats("add ssl crt-list %s %s" % (place, path))
    same(said, "Inserting certificate '%s' in crt-list '%s'.\nSuccess!\n\n" % (path, place))
    check("\n%s:1\n" % (place + "/site.pem") in limpet.ask_stats("show ssl crt-list -n " + place))
    check("in use" in limpet.ask_stats("del ssl cert " + path))
    check("deleted in crtlist" in limpet.ask_stats("del ssl crt-list %s %s" % (place, path)))
    same(here.seen(t, "other.test"), print_of(here.site), "the certificate when it is taken off")
    same(limpet.ask_stats("del ssl cert " + path), "Certificate '%s' deleted!\n\n" % path)
    check("last certificate" in limpet.ask_stats("del ssl crt-list %s %s/site.pem" % (place, place)))
    check("does not exist" in limpet.ask_stats("add ssl crt-list /nowhere " + place + "/site.pem"))


@case("limpetctl takes the payload from its standard input")
def by_limpetctl(t):
    tool = os.path.join(os.path.dirname(find_limpet()), "limpetctl")
    if not os.access(tool, os.X_OK):
        raise Skip("no limpetctl")
    limpet = here.start(t)
    path = t.directory + "/site.pem"

    def run(*args, **kw):
        return subprocess.run((tool, "-s", t.directory + "/stats.sock") + args, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=20, **kw)
    done = run("set", "ssl", "cert", path, "<<", input=both(here.site2).replace(b"-----\n-----", b"-----\n\n-----"))
    check(done.returncode == 0 and b"Transaction created" in done.stdout, done)
    same(run("commit", "ssl", "cert", path).returncode, 0, "the status of the commit")
    same(here.seen(t), print_of(here.site2), "the certificate")
    done = run("set", "ssl", "cert", path, "<<", input=b"rubbish\n")
    check(done.returncode == 1 and b"Can't update" in done.stdout, done)
    check("Source: stats socket" in limpet.ask_stats("show ssl cert " + path))


# What acme.sh's deploy hook for HAProxy looks for in the answers, step by step.
HOOK = r"""
ask() { printf '%b\n' "$1" | socat "$SOCKET" - ; }
if ! ask "show ssl cert" | grep -q "^$PEM$"; then
	ask "show ssl crt-list" | grep -q "^$PLACE$" || exit 11
	ask "new ssl cert $PEM" | grep -q 'New empty' || exit 12
	new=1
fi
ask "set ssl cert $PEM <<\n$(cat "$PEM")\n" | grep -q 'Transaction created' || exit 13
ask "commit ssl cert $PEM" | grep -q '^Success!$' || exit 14
[ -z "$new" ] || ask "add ssl crt-list $PLACE $PEM" | grep -q 'Success!' || exit 15
"""


@case("the steps of acme.sh's deploy hook, beside a directory that is watched")
def deploy_hook(t):
    if not shutil.which("socat"):
        raise Skip("no socat")
    place = here.place(t)
    limpet = here.start(t, [place])
    for certificate in (here.other, here.ca.leaf("other.test", file="other2")):
        # The hook writes the file first.
        copy(certificate, place + "/other.pem")
        done = subprocess.run(["sh", "-c", HOOK], timeout=30, env=dict(
            os.environ, SOCKET="UNIX:%s/stats.sock" % t.directory, PEM=place + "/other.pem", PLACE=place))
        same(done.returncode, 0, "the status of the hook")
        same(here.seen(t, "other.test"), print_of(certificate), "the certificate")
    # The file is seen as well, and says the same.
    until(lambda: "\nSource: file\n" in limpet.ask_stats("show ssl cert %s/other.pem" % place),
          "the file is read", 15 * SLOW)
    same(here.seen(t, "other.test"), print_of(certificate), "the certificate")


if __name__ == "__main__":
    main()
