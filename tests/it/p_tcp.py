#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mode tcp: bytes both ways, ends as they were meant, and routes by the first bytes."""
import os
import threading
import time

from lib import *
from lib.raw import *


# Bytes and ends --------------------------------------------------------------------------------

@case("bytes go both ways, and an orderly end is one on both sides")
def _(t):
    t.server(echo)
    limpet = t.limpet(conf())
    c = t.connect()
    for size in (1, 100, 70000):
        data = os.urandom(size)
        c.send(data)
        same(c.read(size), data, "echo")
    c.shut()
    same(c.read_all(), b"", "rest")
    check(not c.is_reset, "the end is in order")
    words = line(limpet, "CT-- 0")
    same(words[3:7], ["raw", "-", "app", "one"], "places")
    same(words[10], "70101/70101", "bytes")
    same(words[13:], ['"TCP', '-"'], "the end of the line")


@case("one byte at a time")
def _(t):
    t.server(echo)
    t.limpet(conf())
    c = t.connect()
    data = bytes(range(256))
    c.drip(data)
    same(c.read(256), data, "echo")


@case("the server speaks first, at once")
def _(t):
    t.server([send(b"220 hello\r\n"), expect(b"QUIT\r\n"), send(b"221\r\n"), close()])
    limpet = t.limpet(conf())
    started = time.monotonic()
    c = t.connect()
    same(c.read(11), b"220 hello\r\n", "greeting")
    check(time.monotonic() - started < 1 * SLOW, "nobody waited for the client's first byte")
    c.send(b"QUIT\r\n")
    same(c.read_all(), b"221\r\n", "the rest")
    check(not c.is_reset, "in order")
    c.close()
    line(limpet, "ST-- 0")


@case("the client's half-close is passed on, and the answer comes back long behind it")
def _(t):
    def script(peer):
        got = peer.read_all()
        t.events.wait("answer")
        peer.send(b"%d bytes" % len(got))
    server = t.server(script)
    t.limpet(conf())
    c = t.connect()
    c.send(b"x" * 300000)
    c.shut()
    until(lambda: server.received == 300000, "all is there")
    check(c.is_silent(0.1), "no answer yet")
    t.events.fire("answer")
    same(c.read_all(), b"300000 bytes", "answer")
    check(not c.is_reset, "in order")


@case("the server's half-close is passed on, and the client's bytes still go to it")
def _(t):
    got = []

    def script(peer):
        peer.send(b"bye")
        peer.shut()
        got.append(peer.read_all())
    t.server(script)
    t.limpet(conf())
    c = t.connect()
    same(c.read_all(), b"bye", "all of it")
    c.send(b"y" * 100000)
    c.shut()
    until(lambda: got, "the server's end")
    same(len(got[0]), 100000, "bytes")
    check(c.wait_gone(), "in order")


@case("a client that sends and closes at once: all of it reaches the server")
def _(t):
    got = []
    t.server(lambda peer: got.append(peer.read_all()))
    t.limpet(conf())
    for _ in range(20):
        c = t.connect()
        c.send(b"z" * 5000)
        c.close()
    until(lambda: len(got) == 20, lambda: "%d arrived" % len(got))
    same({len(g) for g in got}, {5000}, "bytes of each")


@case("a client's reset is a reset for the server")
def _(t):
    server = t.server([expect(b"x"), gone()])
    limpet = t.limpet(conf())
    c = t.connect()
    c.send(b"x")
    until(lambda: server.received == 1, "there")
    c.reset()
    until(lambda: server.peers[0].is_ended, "the server hears it")
    check(server.peers[0].is_reset, "as a reset")
    line(limpet, "CT-- 0")
    until(lambda: row(limpet, "one")["cli_abrt"] == "1", "counted")


@case("a server's reset is a reset for the client, behind what it had said")
def _(t):
    t.server([send(b"some"), expect(b"x"), reset()])
    limpet = t.limpet(conf())
    c = t.connect()
    same(c.read(4), b"some", "what it had said")
    c.send(b"x")
    check(not c.wait_gone(), "the client hears a reset")
    line(limpet, "ST-- 0")
    until(lambda: row(limpet, "one")["srv_abrt"] == "1", "counted")


def bulk(t, slow):
    """32 MiB from the side that is not slow; the process' memory in between."""
    size = 32 * MEG

    def pour(peer):
        block = b"b" * 65536
        for _ in range(size // len(block)):
            peer.sock.settimeout(30)
            peer.sock.sendall(block)
        peer.shut()

    def drink(peer):
        before = limpet.rss()
        held_up(peer.sock, limpet)
        grown = limpet.rss() - before
        total = 0
        while peer.fill(30):
            total += len(peer.take(len(peer.buf)))
        same(total, size, "bytes")
        check(grown < 8 * MEG, "it grew by %d bytes while nobody read" % grown)
        peer.shut()
    t.server(drink if slow == "server" else lambda peer: (pour(peer), peer.read_all()))
    limpet = t.limpet(conf())
    c = t.connect()
    if slow == "server":
        pour(c)
        c.read_all(30)
    else:
        drink(c)
    c.close()


@case("a client that does not read holds the server back, in bounded memory")
def _(t):
    bulk(t, "client")


@case("a server that does not read holds the client back, in bounded memory")
def _(t):
    bulk(t, "server")


@case("both directions full at once: all of it goes through")
def _(t):
    size = 8 * MEG

    def both(peer):
        sender = threading.Thread(target=lambda: (peer.sock.sendall(b"s" * size), peer.shut()), daemon=True)
        peer.sock.settimeout(30)
        sender.start()
        total = 0
        while peer.fill(30):
            total += len(peer.take(len(peer.buf)))
        sender.join(30)
        same(total, size, "bytes at %s" % peer.name)
    t.server(both)
    t.limpet(conf())
    both(t.connect())


# Times -----------------------------------------------------------------------------------------

@case("both silent for timeouts.tunnel: it ends; a byte in either direction starts it anew")
def _(t):
    t.server(echo)
    limpet = t.limpet(conf(frontend="timeouts: {tunnel: 600ms}"))
    c = t.connect()
    for _ in range(4):
        check(c.is_silent(0.3), "it lives, and says nothing")
        c.send(b"x")
        same(c.read(1), b"x", "echo")
    started = time.monotonic()
    c.wait_gone()
    check(time.monotonic() - started > 0.4, "not before its time")
    line(limpet, "sT-- 0")


@case("a half-closed connection has timeouts.server, of the server that is still to answer")
def _(t):
    server = t.server([eof(), gone()])
    limpet = t.limpet(conf(backend="timeouts: {server: 300ms}"))
    c = t.connect()
    c.shut()
    c.wait_gone()
    line(limpet, "CT-- 0")
    until(lambda: not row(limpet, "one")["scur"].strip("0"), "no connection is left")


# The first bytes -------------------------------------------------------------------------------

ROUTES = ('routes: [{match: {protocol: ssh}, backend: ssh}, {match: {protocol: http}, backend: web}, '
          '{match: {protocol: none}, backend: mail}], timeouts: {inspect: 400ms}')
BACKENDS = ('  ssh: {mode: tcp, hosts: {s: "${B}"}}\n  web: {mode: tcp, hosts: {w: "${C}"}}\n'
            '  mail: {mode: tcp, hosts: {m: "${D}"}}\n')


@case("routes by what the first bytes look like; they are passed on, and who says nothing has a route too")
def _(t):
    for name in "ABCD":
        t.server(named(name))
    limpet = t.limpet(conf(frontend=ROUTES, more=BACKENDS))
    for first, name in ((b"SSH-2.0-x\r\n", "B"), (b"GET / HTTP/1.1\r\n", "C"), (b"\x01\x02\x03\x04", "A")):
        for how in ("send", "drip"):
            c = t.connect()
            getattr(c, how)(first)
            says(c, name)
            same(c.read(len(first)), first, "the first bytes")
            c.close()
    quiet = t.connect()
    check(quiet.is_silent(0.2), "it is waited for")
    says(quiet, "D")
    short = t.connect()
    short.send(b"GE")
    says(short, "A")            # not told in time: no protocol of these
    half = t.connect()
    half.send(b"SS")
    half.shut()
    says(half, "A")
    same(half.read_all(), b"SS", "echo")
    gone = t.connect()
    gone.close()
    line(limpet, "CR-- 0")


@case("a route before those that look at bytes is taken without them")
def _(t):
    for name in "AB":
        t.server(named(name))
    t.limpet(conf(frontend='routes: [{match: {source: 127.0.0.2}, backend: two}, {match: {protocol: tls}, backend: app}]',
                  more='  two: {mode: tcp, hosts: {b: "${B}"}}\n'))
    started = time.monotonic()
    says(t.connect(source="127.0.0.2"), "B")
    check(time.monotonic() - started < 1 * SLOW, "at once")


main()
