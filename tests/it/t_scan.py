#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What scanners find on a bind with the defaults: TLS 1.2 and 1.3, no weak suites, nothing of medium severity or worse."""
import json
import re
import shutil
import subprocess

from lib import *
from lib.tls import *

CERTS = Certs()
SEVERE = ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
# Nobody revokes a test's certificates; the rest is the scanner's about itself.
NOT_OURS = re.compile(r"cert_revocation|engine_problem|scanTime|scanProblem|old_fart")


def serve_site(t):
    rsa = CERTS.ca.leaf("site.test", "localhost", "127.0.0.1", kind="rsa", file="site-rsa", days=90)
    ecdsa = CERTS.ca.leaf("site.test", "localhost", "127.0.0.1", file="site-ecdsa", days=90)
    t.server(serve(lambda m, p: ok(fields=[("Connection", "close")])), name="A")
    t.limpet(CERTS.config("hsts: 365d", certificates=[ecdsa.both, rsa.both]))


def need(name):
    path = shutil.which(name)
    if not path:
        raise Skip("no " + name)
    return path


@case("testssl finds TLS 1.2 and 1.3 alone, and nothing severe")
def _(t):
    tool = need("testssl")
    if is_sanitized:
        raise Skip("a thousand handshakes that find the same in any build")
    serve_site(t)
    report = t.directory + "/report.json"
    done = subprocess.run(
        [tool, "--jsonfile", report, "--openssl", "/usr/bin/openssl", "--quiet", "--color", "0", "--warnings", "off",
         "--nodns", "none", "--ip", "127.0.0.1", "--protocols", "--std", "--server-defaults", "--renegotiation",
         "--heartbleed", "--add-ca", CERTS.ca.pem,
         "--connect-timeout", "5", "--openssl-timeout", "5", "--sneaky", "127.0.0.1:%d" % t.port],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=120)
    try:
        with open(report) as f:
            found = json.load(f)
    except (OSError, ValueError) as err:
        raise Fail("%s: %s" % (err, done.stdout.decode("utf-8", "replace")[-1500:]))
    by_id = {}
    for f in found:
        by_id.setdefault(f["id"], f)
    for name, want in (("SSLv2", "not offered"), ("SSLv3", "not offered"), ("TLS1", "not offered"),
                       ("TLS1_1", "not offered"), ("TLS1_2", "offered"), ("TLS1_3", "offered")):
        check(name in by_id and by_id[name]["finding"].startswith(want), "%s: %r" % (name, by_id.get(name)))
    bad = [f for f in found if f["severity"] in SEVERE and not NOT_OURS.search(f["id"])]
    for f in found:
        if f["severity"] in SEVERE:
            t.note("%(severity)s %(id)s: %(finding)s" % f)
    same(bad, [], "findings")


@case("sslscan finds TLS 1.2 and 1.3 with suites of forward secrecy, and no weak ones")
def _(t):
    tool = need("sslscan")
    serve_site(t)
    done = subprocess.run([tool, "--no-colour", "--no-check-certificate", "--sni-name=site.test", "127.0.0.1:%d" % t.port],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    said = done.stdout.decode("utf-8", "replace")
    for name, want in (("SSLv2", "disabled"), ("SSLv3", "disabled"), ("TLSv1.0", "disabled"), ("TLSv1.1", "disabled"),
                       ("TLSv1.2", "enabled"), ("TLSv1.3", "enabled")):
        check(re.search(r"(?m)^%s\s+%s" % (re.escape(name), want), said), said)
    suites = re.findall(r"(?m)^(?:Preferred|Accepted)\s+(TLSv1\.\d)\s+(\d+) bits\s+(\S+)", said)
    check({v for v, _, _ in suites} == {"TLSv1.2", "TLSv1.3"}, said)
    for version, bits, name in suites:
        check(int(bits) >= 128 and re.match(r"TLS_(AES|CHACHA20)|ECDHE-.*(GCM|CHACHA20)", name),
              "suite %s of %s" % (name, version))
    check("vulnerable to heartbleed" in said and not re.search(r"(?m)^TLSv1\.\d vulnerable", said), said)
    check("Compression enabled" not in said, said)
    check(not re.search(r"Insecure session renegotiation", said), said)


main()
