#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sessions that are resumed: by tickets and by number, on the other node of a pair, over reloads and upgrades."""
import base64
import os
import re
import signal
import ssl

from lib import *
from lib.tls import *

CERTS = Certs()
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BYE = get("/", [("Connection", "close")])


def node(t, name, tls_="", global_="", port="PORT"):
    text = CERTS.config("alpn: [http/1.1]" + (tls_ and ", " + tls_), port=port)
    if global_:
        text = text.replace("global:\n", "global:\n  %s\n" % global_)
    limpet = t.limpet(text, name=name, ports=(port,))
    return limpet, t.env[port]


def session(t, port, ctx):
    """A session and whether it was itself resumed; TLS 1.3 gives it with the first answer."""
    peer = tls(t, ctx, port=port)
    same(peer.ask(get("/")).status, 200, "status")
    got = peer.sock.session
    peer.close()
    return got


def is_resumed(t, port, ctx, with_session):
    peer = tls(t, ctx, port=port, session=with_session)
    same(peer.ask(get("/")).status, 200, "status")
    answer = peer.sock.session_reused
    peer.close()
    return answer


def check_s_client(t, here, there):
    """`openssl s_client` takes a session from one port to the other."""
    for option in ("-tls1_2", "-tls1_3"):
        path = t.directory + "/session" + option
        common = (option, "-servername", "site.test", "-ign_eof")
        status, said = s_client(here, *common, "-sess_out", path, data=BYE, ca=CERTS.ca.pem)
        check("\nNew, TLSv1" in said and "200 OK" in said, said[-1500:])
        status, said = s_client(there, *common, "-sess_in", path, data=BYE, ca=CERTS.ca.pem)
        check("\nReused, TLSv1" in said and "200 OK" in said, "%s: %s" % (option, said[-1500:]))


def check_python(t, here, there, want=True):
    for version in (V12, V13):
        ctx = CERTS.client(least=version, most=version)
        same(is_resumed(t, there, ctx, session(t, here, ctx)), want, "resumed with %s" % version.name)


def app(t):
    t.server(serve(lambda m, p: ok(fields=[("Connection", "close")] if m.has("connection") else [])), name="A")


@case("a session is resumed on the same node, by a ticket")
def _(t):
    app(t)
    t.env["THREADS"] = 2
    limpet, port = node(t, "limpet")
    for _ in range(3):
        check_python(t, port, port)
    check_s_client(t, port, port)


@case("without tickets sessions of TLS 1.2 and 1.3 are found in the cache; without both, none is")
def _(t):
    app(t)
    limpet, port = node(t, "limpet", "tickets: false")
    check_python(t, port, port)
    limpet, port = node(t, "none", "tickets: false, session_cache: 0", port="PORT2")
    check_python(t, port, port, False)


MIRROR = 'mirror: {redis: "unix:${RUN}/nobody.sock", load_timeout: 1s, %s}'


@case("a session goes to the other node of a pair: the mirror's secret makes the keys")
def _(t):
    app(t)
    for n, said in enumerate(('secret: "one of both"', 'password: "of redis"')):
        one, here = node(t, "one%d" % n, global_="node: one\n  " + MIRROR % said, port="PORT1%d" % n)
        two, there = node(t, "two%d" % n, global_="node: two\n  " + MIRROR % said, port="PORT2%d" % n)
        check_python(t, here, there)
        check_python(t, there, here)
    check_s_client(t, here, there)
    three, other = node(t, "three", global_="node: two\n  " + MIRROR % 'secret: "another"', port="PORT3")
    check_python(t, here, other, False)


@case("a session goes to the other node of a pair: both have one file of keys")
def _(t):
    app(t)
    path = t.directory + "/ticket.keys"
    with open(path, "wb") as f:
        for _ in range(3):
            f.write(base64.b64encode(os.urandom(80)) + b"\n")
    os.chmod(path, 0o600)
    one, here = node(t, "one", "ticket_keys: " + path)
    two, there = node(t, "two", "ticket_keys: " + path, port="PORT2")
    check_python(t, here, there)
    check_s_client(t, here, there)


@case("nodes that share nothing make a new session of a foreign ticket")
def _(t):
    app(t)
    one, here = node(t, "one")
    two, there = node(t, "two", port="PORT2")
    check_python(t, here, there, False)


@case("a session outlives a reload, with tickets and made-up keys; a connection goes on")
def _(t):
    app(t)
    limpet, port = node(t, "limpet")
    ctxs = [CERTS.client(least=v, most=v) for v in (V12, V13)]
    sessions = [session(t, port, ctx) for ctx in ctxs]
    peer = tls(t, ctxs[1])
    for n in range(2):
        limpet.signal(signal.SIGHUP)
        limpet.wait_log("(?s)" + "loaded again.*" * (n + 1))
    for n, ctx in enumerate(ctxs):
        check(is_resumed(t, port, ctx, sessions[n]), "session %d is resumed" % n)
    same(peer.ask(get("/")).status, 200, "status on the old connection")


@case("a session outlives an upgrade to a new process")
def _(t):
    app(t)
    limpet, port = node(t, "limpet")
    ctxs = [CERTS.client(least=v, most=v) for v in (V12, V13)]
    sessions = [session(t, port, ctx) for ctx in ctxs]
    limpet.upgrade()
    for n, ctx in enumerate(ctxs):
        check(is_resumed(t, port, ctx, sessions[n]), "session %d is resumed" % n)


@case("a reload with a broken certificate changes nothing; one with a new one gives it out")
def _(t):
    app(t)
    path = t.directory + "/site.pem"

    def put(certificate):
        with open(certificate.both, "rb") as f, open(path + ".new", "wb") as out:
            out.write(f.read())
        os.rename(path + ".new", path)
    put(CERTS.site)
    limpet = t.limpet(CERTS.config("alpn: [http/1.1], watch: false", certificates=[path]))

    def shown():
        peer = tls(t, CERTS.client())
        same(peer.ask(get("/")).status, 200, "status")
        der = peer.sock.getpeercert(True)
        peer.close()
        return der

    def of(certificate):
        with open(certificate.pem) as f:
            return ssl.PEM_cert_to_DER_cert(f.read())
    same(shown(), of(CERTS.site), "certificate")
    with open(path, "w") as f:
        f.write("-----BEGIN CERTIFICATE-----\nbroken\n")
    limpet.signal(signal.SIGHUP)
    limpet.wait_log("reload of .* failed")
    check(re.search(r"limpet\.yaml:\d+:\d+: .*site\.pem", limpet.log()), limpet.log()[-600:])
    same(shown(), of(CERTS.site), "certificate")
    new = CERTS.ca.leaf("site.test", file="site-new", kind="rsa")
    put(new)
    limpet.signal(signal.SIGHUP)
    limpet.wait_log("loaded again")
    until(lambda: shown() == of(new), "the new certificate is given out")


main()
