#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Certificates of clients: who may come in, the right alert for who may not, and what servers are told."""
import json
import re
import ssl
import struct
import time

from lib import *
from lib.tls import *

CERTS = Certs()
CA = CERTS.ca
ANNA = CA.leaf(cn="Anna Müller, \"QA\" 100%", is_client=True, file="anna")
BOT = CA.leaf(cn="bot", is_client=True, file="bot", kind="rsa")
OLD = CA.leaf(cn="old", is_client=True, file="old", days=-1)
REVOKED = CA.leaf(cn="revoked", is_client=True, file="revoked")
MIDDLE = CA.authority("Middle CA", file="middle")
CHAINED = MIDDLE.leaf(cn="chained", is_client=True, file="chained")
OLD_CA = type(CA)(CERTS.directory, "Old CA", file="old-ca", days=-1)
ORPHAN = OLD_CA.leaf(cn="orphan", is_client=True, file="orphan")
SERVER_ONLY = CA.leaf("somehost.test", file="somehost")
STRANGER = type(CA)(CERTS.directory, "Other CA", file="other-ca").leaf(cn="bot", is_client=True, file="stranger")
BASE = "alpn: [http/1.1], client_ca: %s, client_verify: " % CA.pem
VERSIONS = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)
FIELDS = ("x-client-cert-verified", "x-client-cert-cn", "x-client-cert-fingerprint")


def web(t, mode, more="", **kw):
    t.server(serve(lambda m, p: ok(json.dumps({f: m.all(f) for f in FIELDS}))), name="A")
    return t.limpet(CERTS.config(BASE + mode + (more and ", " + more), **kw))


def told(t, certificate=None, fields=(), **kw):
    """What a server hears of a client."""
    peer = tls(t, CERTS.client(certificate, **kw))
    msg = peer.ask(get("/", fields))
    same(msg.status, 200, "status")
    peer.close()
    return [json.loads(msg.body)[f] for f in FIELDS]


def crl(*certificates):
    """The path of a list of revoked ones."""
    path = CERTS.path("crl.pem")
    base = CERTS.path("crl")
    with open(base + ".txt", "w") as f:
        for c in certificates:
            serial = openssl("x509", "-in", c.pem, "-noout", "-serial").decode().strip().split("=")[1]
            f.write("R\t%s\t%s\t%s\tunknown\t/CN=x\n" % (
                time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + 86400)),
                time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() - 60)), serial))
    with open(base + ".cnf", "w") as f:
        f.write("[ca]\ndefault_ca=c\n[c]\ndatabase=%s.txt\ndefault_md=sha256\ndefault_crl_days=5\n" % base)
    openssl("ca", "-gencrl", "-config", base + ".cnf", "-cert", CA.pem, "-keyfile", CA.key, "-out", path)
    return path


@case("required: only who shows a valid certificate comes in; the alert says what was wrong")
def _(t):
    limpet = web(t, "required", "client_crl: " + crl(REVOKED))
    for version in VERSIONS:
        kw = {"least": version, "most": version}
        same(told(t, BOT, **kw), [["SUCCESS"], ["bot"], [fingerprint(BOT.pem)]], "fields")
        for certificate, want in ((None, "certificate required" if version is VERSIONS[0] else "handshake failure"),
                                  (STRANGER, "unknown ca"), (OLD, "certificate expired"),
                                  (REVOKED, "certificate revoked"), (SERVER_ONLY, "certificate")):
            alert(t, want, CERTS.client(certificate, **kw))
    for why in ("peer did not return a certificate", "certificate has expired", "certificate revoked"):
        limpet.wait_log("TLS handshake with .* failed: .*" + why)
    same(told(t, BOT)[0], ["SUCCESS"], "who is right comes in all the same")


@case("an authority that has expired vouches for nobody")
def _(t):
    both = t.directory + "/authorities.pem"
    with open(both, "wb") as out:
        for authority in (CA, OLD_CA):
            with open(authority.pem, "rb") as f:
                out.write(f.read())
    t.server(serve(lambda m, p: ok()), name="A")
    t.limpet(CERTS.config("alpn: [http/1.1], client_ca: %s, client_verify: required" % both))
    for version in VERSIONS:
        alert(t, "certificate expired", CERTS.client(ORPHAN, least=version, most=version))
        tls(t, CERTS.client(BOT, least=version, most=version)).close()


@case("required: a chain through an intermediate authority is verified")
def _(t):
    web(t, "required")
    same(told(t, CHAINED), [["SUCCESS"], ["chained"], [fingerprint(CHAINED.pem)]], "fields")


@case("optional: without a certificate, or with one that is not valid, a client is served and told to be nobody")
def _(t):
    web(t, "optional")
    nobody = [["NONE"], [], []]
    for version in VERSIONS:
        kw = {"least": version, "most": version}
        same(told(t, **kw), nobody, "fields without a certificate")
        same(told(t, BOT, **kw), [["SUCCESS"], ["bot"], [fingerprint(BOT.pem)]], "fields")
        for certificate in (STRANGER, OLD):
            same(told(t, certificate, **kw), nobody, "fields of one that is not valid")


@case("a name is percent-encoded: nothing in it can end the field or be taken for another")
def _(t):
    web(t, "required")
    same(told(t, ANNA)[1], ["Anna%20M%C3%BCller%2C%20%22QA%22%20100%25"], "name")


@case("nobody can forge the fields: not here, not on a bind in clear text, in no spelling")
def _(t):
    forged = [("X-Client-Cert-Verified", "SUCCESS"), ("x-client-cert-cn", "root"), ("X-CLIENT-CERT-FINGERPRINT", "00" * 32),
              ("X_Client_Cert_CN", "root"), ("X-Client_Cert-Verified", "SUCCESS")]
    seen = []
    t.server(serve(lambda m, p: (seen.append(m.raw_head), ok(json.dumps({f: m.all(f) for f in FIELDS})))[1]), name="A")
    text = CERTS.config(BASE + "optional").replace("frontends:\n", 'frontends:\n'
                                                   '  plain: {bind: "127.0.0.1:${PORT2}", backend: app}\n')
    t.limpet(text, ports=("PORT", "PORT2"))
    same(told(t, None, forged), [["NONE"], [], []], "fields over TLS")
    same(told(t, BOT, forged)[1], ["bot"], "name over TLS")
    msg = t.ask(get("/", forged + [("X-Client-Cert", "kept")]), address=t.env["PORT2"])
    same(json.loads(msg.body), {f: [] for f in FIELDS}, "fields in clear text")
    for head in seen:
        check(b"root" not in head and not re.search(rb"(?i)client_cert", head), head)
    check(b"X-Client-Cert: kept" in seen[-1], "others of such names are left alone")


@case("trailers cannot forge the fields either")
def _(t):
    seen = []

    def script(peer):
        data = b""
        while not data.endswith(b"0\r\n\r\n") and b"X-Other: kept\r\n\r\n" not in data:
            piece = peer.sock.recv(4096)
            check(piece, "the end of the request")
            data += piece
        seen.append(data)
        peer.send(ok(b"done"))
    t.server(script, name="A")
    t.limpet(CERTS.config(BASE + "optional"))
    peer = tls(t, CERTS.client(BOT))
    peer.send(b"POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
              b"X-Client-Cert-CN: root\r\nx_client_cert_verified: root\r\nX-Other: kept\r\n\r\n")
    same(peer.read_response().status, 200, "status")
    check(b"root" not in seen[0] and b"X-Other: kept" in seen[0], seen[0])


@case("client_headers: false tells nothing, and a bind without client_verify does not either")
def _(t):
    web(t, "optional", "client_headers: false")
    same(told(t, BOT), [[], [], []], "fields")


@case("routes see the certificate's name and fingerprint, of a verified one only")
def _(t):
    t.server(serve(lambda m, p: ok("default")), name="A")
    t.limpet(CERTS.config(BASE + "optional", frontend=(
        "routes:\n"
        "  - {match: {client_fingerprint: %s}, respond: {status: 200, body: anna}}\n"
        "  - {match: {client_cn: bot}, respond: {status: 200, body: bot}}\n"
        "  - {match: {client_cn: '*'}, respond: {status: 200, body: somebody}}\n") % fingerprint(ANNA.pem)))
    for certificate, want in ((ANNA, b"anna"), (BOT, b"bot"), (CHAINED, b"somebody"), (None, b"default")):
        same(tls(t, CERTS.client(certificate)).ask(get("/")).body, want, "answer")
    same(tls(t, CERTS.client(STRANGER)).ask(get("/")).body, b"default", "answer to a stranger of that name")


@case("a PROXY v2 header tells the certificate's name; the log, too; a resumed session keeps who it is")
def _(t):
    got = []

    def script(peer):
        head = peer.read(16)
        got.append(peer.read(struct.unpack("!H", head[14:])[0])[12:])
        serve(lambda m, p: ok())(peer)
    t.server(script, name="A")
    limpet = t.limpet(CERTS.config(BASE + "required", backend="send_proxy: v2"))
    ctx = CERTS.client(BOT, most=ssl.TLSVersion.TLSv1_2)
    peer = tls(t, ctx)
    same(peer.ask(get("/first")).status, 200, "status")
    at = got[-1].index(b"\x20", got[-1].index(b"TLSv1.2") - 11)
    client, verify = struct.unpack("!BI", got[-1][at + 3:at + 8])
    same((client & 3, verify), (3, 0), "client bits and verify result")
    check(b"\x22\0\3bot" in got[-1], got[-1])
    limpet.wait_log(r'"GET /first HTTP/1\.1" TLSv1\.2/\S+ sni="site\.test" cn="bot"')
    session = peer.sock.session
    peer.close()
    again = tls(t, ctx, session=session)
    check(again.sock.session_reused, "the session is resumed")
    same(again.ask(get("/again")).status, 200, "status")
    check(b"\x22\0\3bot" in got[-1], got[-1])
    limpet.wait_log(r'"GET /again HTTP/1\.1" TLSv1\.2/\S+ sni="site\.test" cn="bot"')


main()
