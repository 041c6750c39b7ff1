#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mode tcp: how a connection finds its server, and what PROXY headers tell."""
import socket
import struct

from lib import *
from lib.raw import *


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


main()
