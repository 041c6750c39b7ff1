#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mode tcp: bytes both ways, ends as they were meant, and all that finds a server for a connection."""
import json
import os
import re
import resource
import signal
import socket
import struct
import threading
import time

from lib import *
from lib.haproxy import Haproxy, find_haproxy

SIG = b"\r\n\r\n\0\r\nQUIT\n"
MEG = 1 << 20


def conf(frontend="", backend="", hosts='{one: "${A}"}', global_="", bind='"127.0.0.1:${PORT}"', more=""):
    """A frontend and a backend of mode tcp around some lines; flow style."""
    def items(text): return ", " + text if text else ""
    return ('global: {threads: "${THREADS:-1}", stats: {socket: "unix:${RUN}/stats.sock"}%s}\n'
            'frontends:\n  raw: {mode: tcp, bind: %s, backend: app%s}\n'
            'backends:\n  app: {mode: tcp, hosts: %s%s}\n%s') % (
                items(global_), bind, items(frontend), hosts, items(backend), more)


def echo(peer):
    while peer.buf or peer.fill(60):
        peer.send(peer.take(len(peer.buf)))


def named(name):
    """Says its name at once, then echoes."""
    def script(peer):
        peer.send(name.encode())
        echo(peer)
    return script


def says(c, name=None):
    """The first byte, which tells the server."""
    got = c.read(1).decode()
    if name:
        same(got, name, "server")
    return got


def line(limpet, pattern):
    """The words of the connection's line in the log."""
    return limpet.wait_log(r"(?m)^\S+ tcp .*" + pattern + ".*$").group(0).split(" ")


def row(limpet, svname):
    return [r for r in limpet.stat_rows() if r["svname"] == svname][0]


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
        time.sleep(0.3)
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
        time.sleep(0.3)
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


# Finding a server ------------------------------------------------------------------------------

@case("a server that refuses: the next one, and nobody notices")
def _(t):
    t.refused("DEAD")
    t.server(named("A"))
    limpet = t.limpet(conf(backend="balance: first", hosts='{dead: "${DEAD}", one: "${A}"}'))
    c = t.connect()
    says(c, "A")
    c.shut()
    c.read_all()
    words = line(limpet, " one ")
    same(words[11], "1", "retries")


@case("nobody can be reached: a reset, and why in the log")
def _(t):
    t.refused()
    limpet = t.limpet(conf(hosts='{dead: "${REFUSED}"}'))
    c = t.connect()
    check(not c.wait_gone(), "by reset")
    words = line(limpet, "SC-- 0")
    check(" ".join(words).endswith('"TCP -" connection refused'), words)
    same(row(limpet, "dead")["econ"], "1", "connections that failed")


@case("a server that does not accept in time: another one")
def _(t):
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fill = []
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(full.getsockname())
        fill.append(s)
    t.others.append(lambda: [s.close() for s in fill + [full]])
    t.env["FULL"] = "127.0.0.1:%d" % full.getsockname()[1]
    t.server(named("A"))
    limpet = t.limpet(conf(backend="balance: first, timeouts: {connect: 300ms}",
                           hosts='{full: "${FULL}", one: "${A}"}'))
    c = t.connect()
    c.send(b"early")
    says(c, "A")
    same(c.read(5), b"early", "what was sent before goes to the second one")


@case("a Unix socket whose backlog is full is tried again, and gets what was sent meanwhile")
def _(t):
    path = t.directory + "/full.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(0)
    filler = socket.socket(socket.AF_UNIX)
    filler.connect(path)
    t.others.append(listener.close)
    limpet = t.limpet(conf(hosts='{one: "unix:%s"}' % path))
    c = t.connect()
    c.send(b"early")
    check(c.is_silent(0.1), "nothing yet")
    listener.accept()[0].close()
    filler.close()
    listener.settimeout(5)
    sock, _ = listener.accept()
    sock.settimeout(5)
    same(sock.recv(100), b"early", "bytes")
    sock.sendall(b"late")
    same(c.read(4), b"late", "bytes")
    sock.close()
    same(row(limpet, "one")["econ"], "0", "failed connections")


@case("max_connections_per_server: the next one waits, bytes and all, and has its turn")
def _(t):
    server = t.server(echo)
    limpet = t.limpet(conf(backend="max_connections_per_server: 1"))
    first = t.connect()
    first.send(b"1")
    same(first.read(1), b"1", "echo")
    second = t.connect()
    second.send(b"second")
    until(lambda: row(limpet, "BACKEND")["qcur"] == "1", "it waits")
    same(server.accepts, 1, "connections")
    first.shut()
    first.read_all()
    same(second.read(6), b"second", "echo")


@case("who waits for a slot longer than timeouts.queue is reset; who leaves the queue is not served")
def _(t):
    server = t.server(echo)
    limpet = t.limpet(conf(backend="max_connections_per_server: 1, timeouts: {queue: 400ms}"))
    first = t.connect()
    first.send(b"1")
    same(first.read(1), b"1", "echo")
    leaver = t.connect()
    until(lambda: row(limpet, "BACKEND")["qcur"] == "1", "one waits")
    leaver.close()
    until(lambda: row(limpet, "BACKEND")["qcur"] == "0", "nobody waits")
    line(limpet, "CQ-- 0")
    late = t.connect()
    late.send(b"late")
    check(not late.wait_gone(), "by reset")
    line(limpet, "sQ-- 0")
    same(server.accepts, 1, "connections")


@case("a client that has sent all and half-closed keeps its place in the queue")
def _(t):
    t.server(echo)
    limpet = t.limpet(conf(backend="max_connections_per_server: 1"))
    first = t.connect()
    first.send(b"1")
    same(first.read(1), b"1", "echo")
    second = t.connect()
    second.send(b"all of it")
    second.shut()
    until(lambda: row(limpet, "BACKEND")["qcur"] == "1", "it waits")
    first.shut()
    first.read_all()
    same(second.read_all(), b"all of it", "echo")


def three(t):
    for name in "ABC":
        t.server(named(name))
    return '{a: "${A}", b: "${B}", c: "${C}"}'


@case("stick: ip: an address stays with its server; others are spread")
def _(t):
    t.limpet(conf(backend="stick: ip", hosts=three(t)))
    used = set()
    for k in range(1, 17):
        used.add("".join(sorted({says(t.connect(source="127.0.4.%d" % k)) for _ in range(3)})))
    check(used <= set("ABC"), "one server for each address: %r" % used)
    check(len(used) > 1, "more than one server is used")


@case("stick: ip with remember: the server that was chosen first, though another would be chosen now")
def _(t):
    limpet = t.limpet(conf(backend="balance: first, stick: {ip: {remember: 1m}}", hosts=three(t)))
    home = {k: says(t.connect(source="127.0.4.%d" % k)) for k in range(1, 7)}
    hosts = sorted(set(home.values()))
    limpet.ask_stats("set server app/%s state drain" % hosts[0].lower())
    for k, name in home.items():
        now = says(t.connect(source="127.0.4.%d" % k))
        if name != hosts[0]:
            same(now, name, "server of 127.0.4.%d" % k)
        else:
            check(now != name, "drained")
            home[k] = now
    limpet.ask_stats("set server app/%s state ready" % hosts[0].lower())
    for k, name in home.items():
        if name == hosts[0]:
            same(says(t.connect(source="127.0.4.%d" % k)), name, "server")


@case("least_conn counts connections as long as they live")
def _(t):
    t.limpet(conf(backend="balance: least_conn", hosts=three(t)))
    held = [t.connect() for _ in range(9)]
    names = [says(c) for c in held]
    same(sorted(names), list("AAABBBCCC"), "servers")
    for c, name in zip(held, names):
        if name == "B":
            c.shut()
            c.read_all()
    same([says(t.connect()) for _ in range(3)], list("BBB"), "the next three")


for balance, want in (("round_robin", 3), ("random", 2), ("first", 1), ("{hash: ip}", 1)):
    def spread(t, balance=balance, want=want):
        t.limpet(conf(backend="balance: " + balance, hosts=three(t)))
        used = {says(t.connect()) for _ in range(12)}
        check(len(used) == want or balance == "random" and len(used) >= want, "servers: %r" % used)
    case("balance: %s: twelve connections of one client" % balance)(spread)


# PROXY protocol --------------------------------------------------------------------------------

def v2(src, dst, sport, dport):
    return SIG + b"\x21\x11" + struct.pack("!H", 12) + socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack(
        "!HH", sport, dport)


@case("send_proxy: v1: the header comes first, in one piece with what the client has sent")
def _(t):
    t.server(lambda peer: t.events.wait("end"))
    t.limpet(conf(backend="send_proxy: v1"))
    c = t.connect()
    c.send(b"hello")
    peer = t.servers[0].wait_accepts(1)
    here, there = c.sock.getsockname(), c.sock.getpeername()
    want = b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (here[1], there[1])
    same(peer.read(len(want) + 5), want + b"hello", "bytes")
    t.events.fire("end")


@case("send_proxy: v2 to a server that speaks first: the header does not wait for the client")
def _(t):
    def script(peer):
        head = peer.read(16)
        same(head[:14], SIG + b"\x21\x11", "signature")
        body = peer.read(struct.unpack("!H", head[14:])[0])
        same(socket.inet_ntoa(body[:4]), "127.0.0.1", "source")
        peer.send(b"%d" % struct.unpack("!H", body[8:10]))
    t.server(script)
    t.limpet(conf(backend="send_proxy: v2"))
    c = t.connect()
    same(c.read_all(), b"%d" % c.sock.getsockname()[1], "the port that the server was told")


@case("accept_proxy: the client of the header sticks, is logged and told on; what came with it is passed on")
def _(t):
    t.server(lambda peer: (peer.send(peer.read_to(b"\r\n")), echo(peer)))
    limpet = t.limpet(conf(bind='{address: "127.0.0.1:${PORT}", accept_proxy: true}', backend="send_proxy: v1"))
    c = t.connect()
    c.send(v2("192.0.2.9", "198.51.100.1", 1234, 25) + b"behind it")
    same(c.read_to(b"\r\n"), b"PROXY TCP4 192.0.2.9 198.51.100.1 1234 25\r\n", "header to the server")
    same(c.read(9), b"behind it", "echo")
    c.shut()
    c.read_all()
    same(line(limpet, "CT-- 0")[2], "192.0.2.9:1234", "client")


@case("a retry sends a header of its own")
def _(t):
    t.refused("DEAD")
    t.server(lambda peer: (peer.read_to(b"\r\n"), peer.send(peer.read(3))))
    t.limpet(conf(backend="send_proxy: v1, balance: first", hosts='{dead: "${DEAD}", one: "${A}"}'))
    c = t.connect()
    c.send(b"abc")
    same(c.read_all(), b"abc", "nothing but the client's bytes behind one header")


# Operation -------------------------------------------------------------------------------------

@case("a reload leaves connections where they are; new ones follow the new file")
def _(t):
    t.server(named("A"))
    t.server(named("B"))
    limpet = t.limpet(conf())
    old = t.connect()
    says(old, "A")
    limpet.write(conf(hosts='{two: "${B}"}'))
    limpet.signal(signal.SIGHUP)
    limpet.wait_log("loaded again")
    says(t.connect(), "B")
    old.send(b"still there")
    same(old.read(11), b"still there", "echo")


@case("a bind that goes from http to tcp by a reload no longer waits for the client's first bytes, and back")
def _(t):
    t.server(named("A"))
    http = config(global_='stats: {socket: "unix:${RUN}/stats.sock"}')
    limpet = t.limpet(http)
    for _ in range(2):
        limpet.write(conf())
        same(limpet.ask_stats("reload").split("\n")[0], "Success=1", "reload")
        started = time.monotonic()
        says(t.connect(), "A")
        check(time.monotonic() - started < 1 + SLOW / 2, "at once")
        limpet.write(http)
        same(limpet.ask_stats("reload").split("\n")[0], "Success=1", "reload")


@case("a server that drains keeps its connections until drain_grace is over; then they are cut")
def _(t):
    t.server(named("A"))
    t.server(named("B"))
    limpet = t.limpet(conf(backend="drain_grace: 500ms, drain_over: 300ms, balance: first", hosts='{a: "${A}", b: "${B}"}'))
    held = [t.connect() for _ in range(5)]
    for c in held:
        says(c, "A")
    limpet.ask_stats("set server app/a state drain")
    says(t.connect(), "B")
    held[0].send(b"x")
    same(held[0].read(1), b"x", "echo while it drains")
    for c in held:
        check(not c.wait_gone(10), "cut by a reset")
    line(limpet, "LT-- 0")


@case("a server that is marked down: its connections stay, or are ended with on_marked_down: close")
def _(t):
    for how, is_kept in (("keep", True), ("close", False)):
        for at in list(t.env):
            if at in ("A", "B", "PORT"):
                del t.env[at]
        a = t.server(named("A"), name="A")
        limpet = t.limpet(conf(backend="health_check: {tcp: true, interval: 100ms, fall: 1}, on_marked_down: " + how),
                          name=how)
        c = t.connect()
        says(c, "A")
        a.listener.shutdown(socket.SHUT_RDWR)
        a.listener.close()
        until(lambda: row(limpet, "one")["status"].startswith("DOWN"), "down")
        if is_kept:
            c.send(b"x")
            same(c.read(1), b"x", "echo")
            c.close()
        else:
            check(not c.wait_gone(), "reset")
            line(limpet, "DD-- 0")
        same(limpet.finish(), [], "its end")
        limpet.is_ended_by_test = True


@case("SIGTERM: connections go on for shutdown_grace, new ones are refused")
def _(t):
    t.server(named("A"))
    limpet = t.limpet(conf(global_="shutdown_grace: 2s"))
    c, other = t.connect(), t.connect()
    says(c, "A")
    says(other, "A")
    limpet.is_ended_by_test = True
    limpet.signal(signal.SIGTERM)

    def is_refused():
        try:
            t.connect().close()
        except OSError:
            return True
    until(is_refused, "no new ones")
    c.send(b"x")
    same(c.read(1), b"x", "echo")
    c.shut()
    c.read_all()
    check(not other.wait_gone(10), "what is left is cut")
    same(limpet.wait_exit(10 * SLOW), 0, "status")
    check(re.search("(LT|KK)-- 0", limpet.log()), "the log says so")


@case("SIGUSR2: connections stay with the old process, new ones come to the new one")
def _(t):
    t.server(named("A"))
    limpet = t.limpet(conf(global_="upgrade_grace: 20s"))
    c = t.connect()
    says(c, "A")
    limpet.upgrade()
    c.send(b"old")
    same(c.read(3), b"old", "echo")
    n = t.connect()
    says(n, "A")
    n.send(b"new")
    same(n.read(3), b"new", "echo")
    c.shut()
    c.read_all()
    same(limpet.wait_exit(10 * SLOW), 0, "the old one ends with its last connection")


@case("max_connections of the frontend: the next one waits in the kernel")
def _(t):
    t.server(named("A"))
    t.limpet(conf(frontend="max_connections: 2"))
    held = [t.connect(), t.connect()]
    for c in held:
        says(c, "A")
    third = t.connect()
    check(third.is_silent(0.2), "not yet")
    held[0].shut()
    held[0].read_all()
    says(third, "A")


@case("descriptors run out: connections wait or are reset, those that live go on, and nothing spins")
def _(t):
    t.server(named("A"))
    limpet = t.limpet(conf())
    resource.prlimit(limpet.process.pid, resource.RLIMIT_NOFILE, (limpet.fds() + 30, 9000))
    held = [t.connect() for _ in range(60)]
    good = []

    def serve_some():
        for c in held:
            if c not in good and not c.is_ended and not c.is_silent(0) and c.fill() and c.take(1) == b"A":
                good.append(c)
        return len(good) > 10
    until(serve_some, lambda: "more than %d have a server" % len(good))
    limpet.wait_log("descriptors or memory are out|out of descriptors")
    for c in good[:10]:
        c.send(b"x")
        same(c.read(1), b"x", "echo")
    before = limpet.cpu()
    time.sleep(0.5)
    check(limpet.cpu() - before < 0.3, "it rests")
    for c in held:
        c.close()
    def is_served():
        c = t.connect()
        try:
            return not c.is_silent(0.5) and c.fill() and c.take(1) == b"A"
        finally:
            c.close()
    until(is_served, "served again")


@case("many at once: 400 connections, all echoed, none left behind")
def _(t):
    t.server(echo, backlog=1024)
    limpet = t.limpet(conf())
    held = [t.connect() for _ in range(400)]
    for k, c in enumerate(held):
        c.send(b"%05d" % k)
    for k, c in enumerate(held):
        same(c.read(5), b"%05d" % k, "echo")
    same(row(limpet, "FRONTEND")["scur"], "400", "open")
    for c in held:
        c.shut()
    for c in held:
        same(c.read_all(), b"", "rest")
    until(lambda: (row(limpet, "FRONTEND")["scur"], row(limpet, "one")["scur"]) == ("0", "0"), "all closed")


# Telling ---------------------------------------------------------------------------------------

@case("the three layouts of a connection's line")
def _(t):
    t.server(echo)
    for layout in ("text", "json", "haproxy"):
        t.env.pop("PORT", None)
        limpet = t.limpet(conf(global_="log: {target: stderr, format: %s}" % layout), name=layout)
        c = t.connect()
        c.send(b"four")
        c.read(4)
        c.shut()
        c.read_all()
        port = c.sock.getsockname()[1]
        if layout == "text":
            limpet.wait_log(r'tcp 127\.0\.0\.1:%d raw - app one CT-- 0 -1/\d+/-1/\d+ 4/4 0 - "TCP -"\n' % port)
        elif layout == "json":
            fields = json.loads(limpet.wait_log(r'(?m)^\{.*"type":"tcp".*$').group(0))
            same({k: fields[k] for k in ("frontend", "backend", "server", "bytes_in", "bytes_out", "code", "sni")},
                 dict(frontend="raw", backend="app", server="one", bytes_in=4, bytes_out=4, code="CT--", sni=""),
                 "fields")
            check(not {"method", "status", "target"} & set(fields), "nothing of HTTP: %r" % fields)
        else:
            # HAProxy's manual, 8.2.2: client [date] frontend backend/server Tw/Tc/Tt bytes state counts queues
            limpet.wait_log(r"(?m)127\.0\.0\.1:%d \[\d\d/\w{3}/\d{4}:[\d:.]+\] raw app/one \d+/\d+/\d+ 4 -- "
                            r"\d+/\d+/\d+/\d+/0 0/0$" % port)
        same(limpet.finish(), [], "its end")
        limpet.is_ended_by_test = True


@case("log: false: no line")
def _(t):
    t.server(echo)
    limpet = t.limpet(conf(frontend="log: false"))
    c = t.connect()
    c.shut()
    c.read_all()
    until(lambda: row(limpet, "FRONTEND")["scur"] == "0", "closed")
    check(" tcp 127" not in limpet.log(), limpet.log())


@case("show stat and show sess tell of connections while they live")
def _(t):
    t.server(echo)
    limpet = t.limpet(conf())
    c, other = t.connect(), t.connect()
    for peer in (c, other):
        peer.send(b"x" * 10)
        peer.read(10)
    other.shut()
    other.read_all()
    until(lambda: row(limpet, "one")["scur"] == "1", "one is closed")
    for name, want in (("FRONTEND", dict(scur="1", stot="2", bin="20", bout="20", mode="tcp", req_tot="0", hrsp_2xx="")),
                       ("one", dict(scur="1", stot="2", bin="20", bout="20", mode="tcp", req_tot="", econ="0")),
                       ("BACKEND", dict(scur="1", stot="2", bin="20", bout="20", mode="tcp", req_tot=""))):
        have = row(limpet, name)
        same({k: have[k] for k in want}, want, name)
    said = limpet.ask_stats("show sess")
    check(re.search(r"0x\w+: proto=tcpv4 src=127.0.0.1:%d fe=raw be=app srv=one .*state=tunnel" %
                    c.sock.getsockname()[1], said), said)
    session = re.match(r"0x\w+", said).group(0)
    limpet.ask_stats("shutdown session " + session)
    check(not c.wait_gone(), "reset")


@case("show stat has HAProxy's figures")
def _(t):
    if not find_haproxy():
        raise Skip("no haproxy")
    t.server(echo)
    theirs = Haproxy(t, """
global
  stats socket ${HA_SOCK}-admin.sock level admin
defaults
  mode tcp
  timeout client 10s
  timeout server 10s
  timeout connect 1s
frontend raw
  bind 127.0.0.1:${HA_PORT}
  default_backend app
backend app
  server one ${A}
""")
    t.others.append(theirs.stop)
    limpet = t.limpet(conf())
    for port in (theirs.port, t.port):
        for _ in range(3):
            c = t.connect(port)
            c.send(b"x" * 10)
            c.read(10)
            c.shut()
            c.read_all()

    def rows_of(text):
        lines = [l for l in text.split("\n") if l]
        names = lines[0].lstrip("# ").split(",")
        return {r["svname"]: r for r in (dict(zip(names, l.split(","))) for l in lines[1:])}
    same_columns = ("pxname svname qcur scur stot bin bout dreq dresp ereq econ eresp wretr wredis status type mode "
                    "hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other req_tot cli_abrt srv_abrt comp_in intercepted "
                    "qtime rtime connect reuse cache_lookups cache_hits").split()

    def differences():
        a = rows_of(limpet.ask_stats("show stat", os.path.join(t.directory, "ha-admin.sock")))
        b = rows_of(limpet.ask_stats("show stat"))
        return {(n, k): (a[n][k], b[n][k]) for n in a for k in same_columns if a[n][k] != b[n][k]}
    until(lambda: not differences(), lambda: "the same: %r" % differences())


@case("an idle connection has no buffers: 400 of them cost little")
def _(t):
    if is_sanitized:
        raise Skip("a sanitizer has its own memory")
    t.server(echo, backlog=1024)
    limpet = t.limpet(conf())
    warm = [t.connect() for _ in range(200)]
    for c in warm:
        c.send(b"x" * 100)
        c.read(100)
    before = limpet.rss()
    held = [t.connect() for _ in range(400)]
    for c in held:
        c.send(b"x" * 100)
    for c in held:
        c.read(100)
    grown = limpet.rss() - before
    t.note("%d bytes of ours for each" % (grown // 400))
    check(grown < 400 * 4096, "%d bytes each" % (grown // 400))


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
