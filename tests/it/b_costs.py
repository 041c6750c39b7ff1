#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What saves system calls on short connections (decision 0027) takes nothing from anybody."""
import socket
import struct
import threading
import time

from lib import *
from lib.raw import *

CLOSE = [("Connection", "close")]


@case("a client that goes before it is watched: the server's side is closed soon")
def _(t):
    server = t.server([request(), gone()])
    t.limpet()
    for n in range(20):
        c = t.connect()
        c.send(get())
        until(lambda: len(server.requests) > n, "there")
        c.reset()
        until(lambda: server.peers[n].is_ended, "the server hears it")


@case("a client that shuts its side before it is watched gets an answer that comes in parts")
def _(t):
    goes_on = threading.Semaphore(0)

    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n")
        for part in (b"ab", b"cd", b"ef"):
            peer.send(part)
            check(goes_on.acquire(timeout=DEADLINE), "the client has it")
    t.server(script)
    t.limpet()
    for _ in range(30):
        c = t.connect()
        c.sock.send(get(fields=CLOSE), socket.MSG_MORE)
        c.shut()  # in the same segment: else the first part may be there before it
        c.read_head()
        for part in (b"ab", b"cd", b"ef"):
            same(c.read(2), part, "part")
            goes_on.release()
        check(c.wait_gone(), "in order")


@case("a client whose last requests come together with its end is answered, and closed at once")
def _(t):
    t.server(serve(lambda m, p: ok(m.target.encode() + m.body)), serve(lambda m, p: ok(m.target.encode() + m.body)))
    limpet = t.limpet()
    for data, bodies in ((get("/a"), [b"/a"]), (get("/a") + get("/b"), [b"/a", b"/b"]),
                         (post("/p", body=b"hello"), [b"/phello"])):
        c = t.connect()
        same(c.ask(get("/0")).body, b"/0", "the first")
        limpet.hear_at_once(c, data)
        same([c.read_response().body for _ in bodies], bodies, "bodies")
        check(c.wait_gone(), "in order")


@case("a client that leaves on the first part of its answer: the server's side is closed soon")
def _(t):
    server = t.server([request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\nab"), gone()])
    t.limpet()
    for n in range(10):
        c = t.connect()
        c.send(get())
        c.read_to(b"ab")
        c.close()
        until(lambda: len(server.peers) > n and server.peers[n].is_ended, "the server hears it")


@case("a client's next request comes at once though the first was never watched")
def _(t):
    t.server(serve(lambda m, p: ok(m.target)))
    t.limpet()
    took = [[], [], []]
    for _ in range(21):
        c = t.connect()
        for n, each in enumerate(took):
            started = time.monotonic()
            same(c.ask(get("/%d" % n)).body, b"/%d" % n, "body")
            each.append(time.monotonic() - started)
        c.close()
    medians = [sorted(each)[10] for each in took]
    check(max(medians) < 0.05 * SLOW, "medians of the first, second, third: %s s" % medians)


@case("requests that wait longer than a client stays unwatched: pipelined ones are answered in order")
def _(t):
    answer = threading.Semaphore(0)

    def handler(message, peer):
        check(answer.acquire(timeout=DEADLINE), "to be answered")
        return ok(message.target)
    t.server(serve(handler))
    limpet = t.limpet()
    c = t.connect()
    c.send(get("/0"))
    until(lambda: limpet.watches(c.sock), "the client is watched")
    for n in range(1, 4):
        c.send(get("/%d" % n))
        answer.release()
    answer.release()
    same([c.read_response().body for _ in range(4)], [b"/0", b"/1", b"/2", b"/3"], "bodies")


@case("a last answer and the end behind it are whole and in order, whatever its size and framing")
def _(t):
    sizes = [0, 1, 100, 8191, 16384, 20000, 300000]

    def handler(message, peer):
        size = int(message.target[2:])
        if message.target[1:2] == b"c":
            return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                    (b"%x\r\n%s\r\n" % (size, b"x" * size) if size else b"") + b"0\r\n\r\n")
        return ok(b"x" * size)
    t.server(serve(handler))
    t.limpet()
    for framing in "lc":
        for size in sizes:
            c = t.connect()
            c.send(get("/%s%d" % (framing, size), fields=CLOSE))
            same(len(c.read_response().body), size, "body")
            check(c.wait_gone(), "in order")


@case("mode tcp: what a server says with its end arrives at once, and so does the end")
def _(t):
    t.server([expect(b"?"), send(b"answer"), close()])
    limpet = t.limpet(conf())
    for _ in range(10):
        c = t.connect()
        c.send(b"?")
        started = time.monotonic()
        same(c.read_all(), b"answer", "all of it")
        check(time.monotonic() - started < 0.15 * SLOW, "nothing was held back")
        check(not c.is_reset, "in order")
        c.close()
    line(limpet, "ST-- 0")


@case("mode tcp: bytes on both sides of urgent ones arrive, and nobody waits for more")
def _(t):
    t.server(echo)
    t.limpet(conf())
    c = t.connect()
    c.send(b"x")
    same(c.read(1), b"x", "echo")
    for _ in range(5):
        c.sock.send(b"abc")
        c.sock.send(b"!", socket.MSG_OOB)
        c.sock.send(b"def")
        same(c.read(6), b"abcdef", "echo")


@case("mode tcp: small writes on a fresh connection to a server do not wait for each other")
def _(t):
    arrived = []

    def script(peer):
        for _ in range(12):
            peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)  # an ACK by itself comes 40 ms late
            peer.read(1)
            arrived.append(time.monotonic())
        peer.send(b".")
    t.server(script)
    t.limpet(conf())
    c = t.connect()
    for n in range(12):
        c.send(b"a")
        until(lambda: len(arrived) > n, "there")
    same(c.read(1), b".", "answer")
    check(arrived[-1] - arrived[0] < 0.15 * SLOW, "%.3f s for twelve" % (arrived[-1] - arrived[0]))


def proxy_header(bind, to):
    @case("a PROXY header to a server names the address that was connected to: bind %r" % bind)
    def _(t):
        heads = []

        def script(peer):
            heads.append(peer.read(28))
            peer.send(b".")
        t.server(script)
        t.limpet(conf(backend="send_proxy: v2", bind='"%s:${PORT}"' % bind))
        with socket.create_connection((to, t.port), 5) as s:
            s.sendall(b"x")
            same(s.recv(1), b".", "answer")
            port = s.getsockname()[1]
        same(heads[0][:14], SIG + b"\x21\x11", "version and family")
        same(heads[0][16:], socket.inet_aton("127.0.0.1") + socket.inet_aton(to) + struct.pack("!HH", port, t.port),
             "addresses")


proxy_header("127.0.0.1", "127.0.0.1")
proxy_header("0.0.0.0", "127.0.0.2")
proxy_header("", "127.0.0.3")

main()
