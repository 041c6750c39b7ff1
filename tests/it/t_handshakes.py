#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Handshakes that are cut, dripped, made up, half open, or of somebody who may not come in."""
import os
import random
import re
import resource
import socket
import ssl
import time

from lib import *
from lib.engine import SWITCH, WS_FIELDS
from lib.tls import *

CERTS = Certs()
HALF_OPEN = int(os.environ.get("LIMPET_IT_HALF_OPEN", "500"))      # 5000 takes some seconds more
BASE = "alpn: [http/1.1]"


def web(t, tls_="", certificates=None, **kw):
    t.server(serve(lambda m, p: ok(m.raw_head)), name="A")
    return t.limpet(CERTS.config(BASE + (tls_ and ", " + tls_), certificates=certificates, **kw))


def good(t, **kw):
    peer = tls(t, kw.pop("ctx", None) or CERTS.client(), **kw)
    same(peer.ask(get("/good")).status, 200, "status")
    peer.close()


def hello(ctx=None, name="site.test"):
    """The bytes of a ClientHello."""
    outgoing = ssl.MemoryBIO()
    client = (ctx or CERTS.client()).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def raw(t):
    sock = socket.create_connection(("127.0.0.1", t.port), DEADLINE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@case("a ClientHello cut at every byte: the connection ends, in order, and others are served")
def _(t):
    limpet = web(t)
    data = hello()
    for at in range(1, len(data), 1 if SLOW <= 1 else 7):
        sock = raw(t)
        sock.sendall(data[:at])
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(DEADLINE)
        same(sock.recv(100), b"", "what comes behind %d bytes" % at)
        sock.close()
    good(t)
    check("BUG" not in limpet.log(), limpet.log()[-300:])


@case("a handshake cut within the client's second flight, or byte by byte")
def _(t):
    web(t)
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        ctx = CERTS.client(least=version, most=version)
        sock = raw(t)

        def drip(s, data):
            for at in range(len(data)):
                s.sendall(data[at:at + 1])
        client = memory_handshake(ctx, sock, write=drip)
        client.tls.write(get("/", [("Connection", "close")]))
        drip(sock, client.outgoing.read())
        while True:
            data = sock.recv(65536)
            if not data:
                break
            client.incoming.write(data)
        check(client.tls.read(100).startswith(b"HTTP/1.1 200 "), "it is answered")
        for cut in range(1, 60, 3):
            sock = raw(t)
            flights = [0]

            def cutting(s, data):
                flights[0] += 1
                if flights[0] == 2:
                    s.sendall(data[:cut])
                    raise InterruptedError
                s.sendall(data)
            try:
                memory_handshake(ctx, sock, write=cutting)
            except InterruptedError:
                pass
            sock.close()
    good(t)


@case("garbage behind a right first byte, and a ClientHello with a wrong byte: an alert or the end, never more")
def _(t):
    web(t)
    rng = random.Random(5)
    data = hello()
    for n in range(150 if SLOW <= 1 else 40):
        bad = bytearray(data)
        if n % 3 == 0:
            bad = bytearray(b"\x16" + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 400))))
        else:
            for _ in range(1 + n % 4):
                bad[rng.randrange(1, len(bad))] ^= 1 << rng.randrange(8)
        sock = raw(t)
        sock.sendall(bytes(bad))
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(DEADLINE)
        try:
            while sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        sock.close()
    good(t)


@case("TLS 1.0 and 1.1 are refused with protocol_version, and with min_version 1.3 so is 1.2")
def _(t):
    web(t)
    for option in ("-tls1", "-tls1_1"):
        status, said = s_client(t.port, option, "-cipher", "ALL:@SECLEVEL=0", "-servername", "site.test")
        check(status != 0 and "alert protocol version" in said, "%s: %s" % (option, said[-600:]))
    t.limpet(CERTS.config(BASE + ', min_version: "1.3"', port="PORT2"), name="strict", ports=("PORT2",))
    alert(t, "alert protocol version", CERTS.client(most=ssl.TLSVersion.TLSv1_2), port=t.env["PORT2"])
    good(t, port=t.env["PORT2"])


@case("a handshake without a common cipher suite is refused with handshake_failure")
def _(t):
    web(t)
    ctx = CERTS.client(most=ssl.TLSVersion.TLSv1_2)
    ctx.set_ciphers("AES128-SHA:@SECLEVEL=0")
    alert(t, "handshake failure", ctx)
    good(t)


@case("SNI chooses the certificate; without a match the default, and with strict_sni unrecognized_name")
def _(t):
    other = CERTS.ca.leaf("other.test", "*.wild.test", file="other")
    web(t, certificates=[CERTS.site.both, other.both])
    first = t.port
    t.limpet(CERTS.config(BASE + ", strict_sni: true", certificates=[CERTS.site.both, other.both],
                          port="PORT2"), name="strict",
             ports=("PORT2",))

    def names(name, port):
        ctx = CERTS.client()
        ctx.check_hostname = False
        peer = tls(t, ctx, name=name, port=port)
        found = peer.sock.getpeercert()["subjectAltName"]
        peer.close()
        return [n for _, n in found]
    for name, want in (("site.test", "site.test"), ("OTHER.test", "other.test"), ("a.wild.test", "other.test"),
                       ("a.b.wild.test", "site.test"), ("wild.test", "site.test"), ("nobody.test", "site.test"),
                       (None, "site.test")):
        same(names(name, first)[0], want, "certificate for %s" % name)
    for name in ("nobody.test", "a.b.wild.test", None):
        ctx = CERTS.client(is_checked=False)
        alert(t, "unrecognized name", ctx, name=name, port=t.env["PORT2"])
    for name in ("www.site.test", "x.wild.test"):
        good(t, name=name, port=t.env["PORT2"])


@case("renegotiation is refused and does no harm")
def _(t):
    web(t)
    status, said = s_client(t.port, "-tls1_2", "-servername", "site.test", data=b"R\n", ca=CERTS.ca.pem)
    check("no renegotiation" in said or "handshake failure" in said, said[-800:])
    good(t)


@case("early data is not accepted")
def _(t):
    web(t)
    session = t.directory + "/session"
    with open(t.directory + "/early", "wb") as f:
        f.write(get("/early"))
    s_client(t.port, "-tls1_3", "-servername", "site.test", "-sess_out", session, data=get("/", [("Connection", "close")]))
    # The first line would be a ticket that allows it; we give none that does.
    status, said = s_client(t.port, "-tls1_3", "-servername", "site.test", "-sess_in", session, "-early_data",
                            t.directory + "/early", data=b"")
    check("Early data was accepted" not in said, said[-800:])
    check("/early" not in "".join(m.target for p in t.servers[0].peers for m in p.requests), "nobody got it")


def half_open(t, n, data=b""):
    """N connections that say DATA and nothing more."""
    socks = []
    for _ in range(n):
        sock = socket.create_connection(("127.0.0.1", t.port), DEADLINE * SLOW)
        if data:
            sock.sendall(data)
        socks.append(sock)
    return socks


@case("%d half-open handshakes: memory is bounded, who comes right is served at once, and they end in time" % HALF_OPEN)
def _(t):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < HALF_OPEN * 2 + 200:
        if hard < HALF_OPEN * 2 + 200:
            raise Skip("descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (HALF_OPEN * 2 + 200, hard))
    seconds = 3 + HALF_OPEN // 500
    limpet = web(t, frontend="timeouts: {handshake: %ds}" % seconds)
    good(t)
    peer = tls(t, CERTS.client())
    same(peer.ask(get("/")).status, 200, "status before")
    first = hello()
    sizes = []
    before = limpet.rss()
    for data, most in ((b"", 3), (first[:-1], 80), (first, 120)):
        socks = half_open(t, HALF_OPEN, data)
        established = new = 0
        for _ in range(20):
            started = time.monotonic()
            same(peer.ask(get("/")).status, 200, "status of who is there already")
            established = max(established, time.monotonic() - started)
            started = time.monotonic()
            good(t)
            new = max(new, time.monotonic() - started)
        check(established < 0.5 * SLOW, "who was there waited %.2f s" % established)
        # A new one stands behind all handshakes that have to be signed before its own.
        check(new < (1 + HALF_OPEN / 1000) * SLOW, "a new client waited %.2f s" % new)
        each = (limpet.rss() - before) / HALF_OPEN / 1024
        sizes.append("%.1f" % each)
        if not is_sanitized:
            check(each < most, "%.1f KiB for each connection that said %d bytes" % (each, len(data)))
        if data == first:
            started = time.monotonic()
            for sock in socks:
                sock.settimeout(seconds + 3 * SLOW)
                try:
                    while sock.recv(65536):
                        pass
                except ConnectionResetError:
                    pass
            check(time.monotonic() - started < seconds + 3 * SLOW, "they end in time")
        for sock in socks:
            sock.close()
    t.note("KiB of each: silent, cut ClientHello, whole one: " + ", ".join(sizes))
    limpet.wait_log("not complete in time")
    check(limpet.log().count("TLS handshake with") < 200, "lines are limited")
    same(peer.ask(get("/")).status, 200, "status afterwards")


@case("idle connections give their buffers back: HTTP between two requests, and WebSockets")
def _(t):
    def script(peer):
        while peer.buf or peer.fill(3600):
            if peer.read_request().has("upgrade"):
                peer.send(SWITCH)
                peer.read_all(3600)
                return
            peer.send(ok())
    t.server(script, name="A")
    limpet = t.limpet(CERTS.config(BASE))
    ctx = CERTS.client()
    n = 150
    for what in ("keep-alive", "WebSocket"):
        for _ in range(10):
            good(t)                          # what is allocated once
        before = limpet.rss()
        for _ in range(n):
            peer = tls(t, ctx)
            same(peer.ask(get("/", WS_FIELDS if what == "WebSocket" else [])).status,
                 101 if what == "WebSocket" else 200, "status")
        each = (limpet.rss() - before) / n / 1024
        t.note("KiB of an idle %s connection: %.1f" % (what, each))
        if not is_sanitized:
            check(each < 24, "%.1f KiB for each" % each)


@case("silent ones of a small timeouts.handshake are closed; who has connected may idle")
def _(t):
    limpet = web(t, frontend="timeouts: {handshake: 300ms}")
    peer = tls(t, CERTS.client())
    silent, partly = raw(t), raw(t)
    partly.sendall(hello()[:40])
    for sock in (silent, partly):
        sock.settimeout(DEADLINE)
        same(sock.recv(10), b"", "what comes")
    same(peer.ask(get("/")).status, 200, "status")
    limpet.wait_log("nothing came in time")


@case("descriptors out within handshakes: nothing breaks, and all is well when they are back")
def _(t):
    t.server(serve(lambda m, p: ok()), name="A")
    limpet = t.limpet(CERTS.config(BASE), max_fds=64)
    socks = half_open(t, 60, hello())
    limpet.wait_log("descriptors or memory are out|out of descriptors|max_connections is reached")
    for sock in socks:
        sock.close()

    def serves():
        try:
            good(t)
            return True
        except (Fail, OSError):
            return False
    until(serves, "clients are served again", 5 * SLOW)


@case("a herd of handshakes on two threads, some of which vanish, while others ask")
def _(t):
    t.env["THREADS"] = 2
    web(t)
    peers = [tls(t, CERTS.client()) for _ in range(8)]
    data = hello()
    rng = random.Random(1)
    for _ in range(12):
        socks = half_open(t, 20, data)
        for sock in socks:
            if rng.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        for peer in peers:
            same(peer.ask(get("/")).status, 200, "status")
        good(t)


@case("a ClientHello that comes together with its client's end is given up at once")
def _(t):
    t.echo()
    limpet = t.limpet(CERTS.config(BASE, bind="accept_proxy: true"))
    for size in (None, 50):
        c = t.connect()
        c.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
        limpet.hear_at_once(c, hello()[:size])
        started = time.monotonic()
        c.read_all()
        check(time.monotonic() - started < 2 * SLOW, "closed")


@case("why handshakes fail stands in the log and in the counters")
def _(t):
    t.server(serve(lambda m, p: ok()), name="A")
    text = CERTS.config(BASE).replace("stats: {", 'stats: {http: "127.0.0.1:${PORT2}", ')
    limpet = t.limpet(text, ports=("PORT", "PORT2"))
    good(t)
    sock = raw(t)
    sock.sendall(hello()[:50])
    sock.close()
    limpet.wait_log(r"frontend web: TLS handshake with 127\.0\.0\.1:\d+ failed: connection closed within it")
    s_client(t.port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    limpet.wait_log(r"TLS handshake with \S+ failed: (unsupported protocol|.*version)")
    said = t.ask(get("/metrics", host="127.0.0.1"), address=t.env["PORT2"]).body.decode()
    for name, want in (("handshakes", 1), ("errors", 2), ("resumed", 0)):
        same(re.search(r'limpet_frontend_tls_%s_total\{[^}]*\} (\d+)' % name, said).group(1), str(want), name)


main()
