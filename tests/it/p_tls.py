#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mode tcp over TLS that ends at Limpet: the same bytes and ends as in clear text, and routes by what the handshake told."""
import os
import re
import socket
import ssl
import struct
import threading

from lib import *
from lib.raw import echo, named
from lib.tls import *

CERTS = Certs()


def conf(tls_="", frontend="", backend="", hosts='{one: "${A}"}', more="", bind=""):
    def items(text): return ", " + text if text else ""
    return ('global: {threads: "${THREADS:-1}", stats: {socket: "unix:${RUN}/stats.sock"}}\n'
            'frontends:\n  raw: {mode: tcp, bind: {address: "127.0.0.1:${PORT}"%s, tls: {certificates: ["%s"]%s}}, backend: app%s}\n'
            'backends:\n  app: {mode: tcp, hosts: %s%s}\n%s') % (
                items(bind), CERTS.site.both, items(tls_), items(frontend), hosts, items(backend), more)


class Half:
    """A TLS client that can end its own direction in order, and still read."""

    def __init__(self, t, name="site.test"):
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = CERTS.client().wrap_bio(self.into, self.out, server_hostname=name)
        self.sock = t.connect().sock
        self.sock.settimeout(DEADLINE * SLOW)
        self.step(self.tls.do_handshake)

    def flush(self):
        data = self.out.read()
        if data:
            self.sock.sendall(data)

    def step(self, call, *args):
        while True:
            try:
                return call(*args)
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if data:
                    self.into.write(data)
                else:
                    self.into.write_eof()
            finally:
                self.flush()

    def send(self, data):
        self.step(self.tls.write, data)

    def shut(self):
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()

    def read_all(self):
        """Until close_notify; an end without it is an error."""
        got = b""
        while True:
            try:
                data = self.step(self.tls.read, 65536)
            except ssl.SSLZeroReturnError:
                return got
            if not data:
                return got
            got += data


@case("bytes go both ways, in any pieces; the server hears clear text")
def _(t):
    server = t.server(echo, name="A")
    limpet = t.limpet(conf())
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = tls(t, CERTS.client(most=version, least=version))
        for size in (1, 100, 70000):
            data = os.urandom(size)
            c.send(data)
            same(c.read(size), data, "echo")
        c.drip(b"one by one")
        same(c.read(10), b"one by one", "echo")
        c.close()
    check(bytes(server.peers[0].history[:1]) != b"\x16", "no TLS at the server")
    limpet.wait_log(r' tcp .* raw - app one \S\S-- 0 .* "TCP -" TLSv1.3/\S+ sni="site.test"')


@case("the server speaks first, as soon as the handshake is done")
def _(t):
    t.server(named("A"), name="A")
    t.limpet(conf())
    same(tls(t, CERTS.client()).read(1), b"A", "greeting")


@case("a client's close_notify is the half-close of the server's side; the answer and its end come in order")
def _(t):
    t.server(lambda peer: peer.send(b"%d bytes" % len(peer.read_all())), name="A")
    t.limpet(conf())
    c = Half(t)
    c.send(b"x" * 100000)
    c.shut()
    same(c.read_all(), b"100000 bytes", "answer, ended by close_notify")


@case("a server's reset is no close_notify for the client")
def _(t):
    t.server([send(b"some"), expect(b"x"), reset()], name="A")
    t.limpet(conf())
    c = Half(t)
    same(c.step(c.tls.read, 4), b"some", "what it had said")
    c.send(b"x")
    try:
        c.read_all()
    except (ConnectionResetError, ssl.SSLError):
        return
    raise Fail("the client was told that this is the end")


@case("8 MiB each way at once, with a slow reader; memory stays bounded")
def _(t):
    size = 8 << 20

    def pour(peer):
        for _ in range(size >> 16):
            peer.send(b"s" * 65536)

    def both(peer):
        sender = threading.Thread(target=pour, args=(peer,), daemon=True)
        sender.start()
        total = 0
        while total < size and peer.fill(60):
            total += len(peer.take(len(peer.buf)))
        sender.join(60)
        same(total, size, "bytes at the server")
    t.server(both, name="A")
    limpet = t.limpet(conf())
    c = tls(t, CERTS.client())
    before = limpet.rss()
    held_up(c.sock, limpet)
    grown = limpet.rss() - before
    check(is_sanitized or grown < 4 << 20, "it grew by %d" % grown)     # a sanitizer keeps what was freed
    sent = total = 0
    c.sock.settimeout(60)
    while total < size:                 # one thread: Python's SSL sockets are not for two
        if sent < size:
            c.sock.sendall(b"c" * 16384)
            sent += 16384
        total += len(c.sock.recv(16384))
    same(total, size, "bytes at the client")


@case("routes by SNI, ALPN and protocol of the TLS that ends here")
def _(t):
    for name in "ABC":
        t.server(named(name), name=name)
    t.limpet(conf("alpn: [mqtt, redis]", 'routes: [{match: {sni: www.site.test}, backend: two}, '
                  '{match: {alpn: redis}, backend: three}, {match: {protocol: tls}, backend: app}]',
                  more='  two: {mode: tcp, hosts: {b: "${B}"}}\n  three: {mode: tcp, hosts: {c: "${C}"}}\n'))
    same(tls(t, CERTS.client()).read(1), b"A", "server")
    same(tls(t, CERTS.client(), name="www.site.test").read(1), b"B", "server")
    same(tls(t, CERTS.client(alpn=["redis"])).read(1), b"C", "server")
    same(tls(t, CERTS.client(alpn=["mqtt", "redis"])).read(1), b"A", "server: mqtt was agreed on")


@case("with plain: accept both come to one port, and routes tell them apart")
def _(t):
    for name in "AB":
        t.server(named(name), name=name)
    t.limpet(conf("plain: accept", 'routes: [{match: {protocol: tls}, backend: app}, {match: {protocol: other}, backend: two}]',
                  more='  two: {mode: tcp, hosts: {b: "${B}"}}\n'))
    same(tls(t, CERTS.client()).read(1), b"A", "server")
    c = t.connect()
    c.send(b"\1\2\3\4")
    same(c.read(5), b"B\1\2\3\4", "server, and the bytes that were looked at")


@case("send_proxy: v2 tells the server of the client's TLS; it goes together with what the client has sent")
def _(t):
    got = []

    def script(peer):
        head = peer.read(16)
        got.append(peer.read(struct.unpack("!H", head[14:])[0]))
        got.append(peer.read(5))
    t.server(script, name="A")
    t.limpet(conf(backend="send_proxy: v2"))
    c = tls(t, CERTS.client())
    c.send(b"hello")
    until(lambda: len(got) == 2, "header and bytes")
    kinds, rest = set(), got[0][12:]
    while rest:
        kind, size = struct.unpack("!BH", rest[:3])
        kinds.add(kind)
        rest = rest[3 + size:]
    check({0x02, 0x20} <= kinds, "authority and TLS are told: %r" % kinds)
    same(got[1], b"hello", "bytes")


@case("a drain cuts connections over TLS as others; an idle one ends after timeouts.tunnel")
def _(t):
    t.server(named("A"), name="A")
    limpet = t.limpet(conf(frontend="timeouts: {tunnel: 700ms}", backend="drain_grace: 50ms, drain_over: 0s"))
    for code in ("sT", "LT"):
        c = Half(t)
        same(c.step(c.tls.read, 1), b"A", "server")
        if code == "LT":
            limpet.ask_stats("set server app/one state drain")
        try:
            c.read_all()
            raise Fail("%s: an orderly end" % code)
        except (ConnectionResetError, ssl.SSLError):
            pass
        limpet.wait_log(" %s-- 0 " % code)


main()
