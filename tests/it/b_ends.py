#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sides that end early, half, late or by reset: never a fake end, never a server kept for nobody."""
import re
import socket
import time

from lib import *

HOST = b"Host: example.test\r\n"
EXPECT = [("Expect", "100-continue")]


def timed(function):
    started = time.monotonic()
    function()
    return time.monotonic() - started


@case("a client that waits for 100 Continue gets the server's and then sends its body")
def _(t):
    server = t.server(lambda p: (p.read_request(want_body=False), check(not p.buf, "no body yet"),
                                 p.send(b"HTTP/1.1 100 Continue\r\n\r\n"),
                                 same(p.read(5), b"hello", "body"), p.send(ok("thanks"))))
    t.limpet()
    c = t.connect()
    c.send(get(method="POST", fields=EXPECT + [("Content-Length", 5)]))
    same(c.read_response().status, 100, "status")
    c.send(b"hello")
    same(c.read_response().body, b"thanks", "body")
    same(server.requests[0].get("expect"), "100-continue", "Expect")


@case("a server that refuses without 100 is heard before the body is sent")
def _(t):
    t.server(lambda p: (p.read_request(want_body=False), p.send(answer(403, "no")), p.wait_gone()),
             serve(lambda m, p: ok("next")))
    t.limpet()
    c = t.connect()
    c.send(get(method="POST", fields=EXPECT + [("Content-Length", 5)]))
    msg = c.read_response()
    same((msg.status, msg.body), (403, b"no"), "answer")
    # Whether the body still comes is the client's choice, so the connection can't simply go on.
    if msg.get("connection", "").lower() != "close":
        c.send(b"hello" + get("/next"))
        same(c.read_response().body, b"next", "the next answer")


@case("a client that says Expect and sends the body without waiting is served")
def _(t):
    t.server(lambda p: (p.read_request(want_body=False), p.send(b"HTTP/1.1 100 Continue\r\n\r\n"),
                        same(p.read(5), b"hello", "body"), p.send(ok("thanks"))))
    t.limpet()
    c = t.connect()
    c.send(post(body=b"hello", fields=EXPECT))
    msg = c.read_response()
    if msg.status == 100:
        msg = c.read_response()
    same(msg.body, b"thanks", "body")


@case("a server that ignores Expect and waits for the body still gets it")
def _(t):
    t.server([request(body=b"hello"), send(ok("thanks"))])
    t.limpet()
    c = t.connect()
    c.send(get(method="POST", fields=EXPECT + [("Content-Length", 5)]))
    if c.is_silent(0.05):           # RFC 9110 10.1.1: the client must not wait for ever
        c.send(b"hello")
        same(c.read_response().body, b"thanks", "body")
    else:
        same(c.read_response().status, 100, "status")
        c.send(b"hello")
        same(c.read_response().body, b"thanks", "body")


@case("an HTTP/1.0 client is never sent a 100")
def _(t):
    t.server(lambda p: (p.read_request(want_body=False), p.send(b"HTTP/1.1 100 Continue\r\n\r\n"),
                        p.read(5), p.send(ok("thanks"))))
    t.limpet()
    c = t.connect()
    c.send(b"POST / HTTP/1.0\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
    same(c.read_response().status, 200, "status")


@case("an early 413 reaches the client while it is still sending")
def _(t):
    t.server(lambda p: (p.read_request(want_body=False), p.send(answer(
        413, "too much", [("Connection", "close")])), p.close()))
    t.limpet()
    c = t.connect()
    c.send(get(method="POST", fields=[("Content-Length", 50000000)]))
    c.send(body_bytes(100000))
    msg = c.read_response()
    same((msg.status, msg.body), (413, b"too much"), "answer")


@case("an early answer to a chunked upload reaches the client, and its connection is not misread")
def _(t):
    server = t.server(lambda p: (p.read_request(want_body=False), p.send(answer(401, "who")),
                                 p.read_all()), serve(lambda m, p: ok("next " + m.target)))
    t.limpet()
    c = t.connect()
    c.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 100))
    msg = c.read_response()
    same(msg.status, 401, "status")
    evil = b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"
    c.send(chunk(evil) + b"0\r\n\r\n" + get("/next"))
    rest = c.read_to(b"\r\n\r\n") if not c.is_silent(0.05) and c.fill() else b""
    check(b"evil" not in rest + c.buf, "a body was taken for a request")
    check(all(m.target != "/evil" for m in server.requests), server.requests)


@case("a client that half-closes after its request still gets the answer")
def _(t):
    t.server([request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"), pause(0.05), send(b"cd")])
    t.limpet()
    c = t.connect()
    c.sock.send(get(), socket.MSG_MORE)
    c.shut()  # in the same segment: who ends when its answer has begun is taken to have left
    same(c.read_response().body, b"abcd", "body")
    check(c.wait_gone(), "then the connection ends in order")


@case("a client that half-closes after a pipeline gets all answers")
def _(t):
    t.server(serve(lambda m, p: ok(m.target)))
    t.limpet()
    c = t.connect()
    c.send(b"".join(get("/%d" % n) for n in range(5)))
    c.shut()
    same([c.read_response().body for _ in range(5)], [b"/%d" % n for n in range(5)], "bodies")
    check(c.wait_gone(), "then the connection ends in order")


@case("a client that resets while the server works: the server's side is closed at once")
def _(t):
    server = t.server([request(), fire("got it"), gone()])
    t.limpet()
    c = t.connect()
    c.send(get())
    t.events.wait("got it")
    started = time.monotonic()
    c.reset()
    peer = server.peers[0]
    until(lambda: peer.is_ended, "the server sees the end")
    took = peer.ended_at - started
    check(took < 0.2 * SLOW, "after %.3f s" % took)


for how in ("resets", "closes"):
    def streaming(t, how=how):
        # After a mere close Limpet may take it for a half-close, until it has something to deliver.
        more = [send(chunk(b"second"))] if how == "closes" else []
        server = t.server([request(), send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                           chunk(b"first")), wait("left")] + more + [gone()])
        t.limpet()
        c = t.connect()
        c.send(get())
        c.read_to(b"first\r\n")
        started = time.monotonic()
        c.reset() if how == "resets" else c.close()
        t.events.fire("left")
        peer = server.peers[0]
        until(lambda: peer.is_ended, "the server sees the end")
        check(peer.ended_at - started < 0.2 * SLOW, "after %.3f s" % (peer.ended_at - started))
    case("a client that %s while an answer streams: the server's side is closed at once" % how)(streaming)


@case("a client that goes in the middle of its body: the server never sees a whole request")
def _(t):
    server = t.server(lambda p: (p.read_request(want_body=False), t.events.fire("head"),
                                 same(p.read_all(), b"half", "body")))
    t.limpet()
    c = t.connect()
    c.send(get(method="POST", fields=[("Content-Length", 8)]) + b"half")
    t.events.wait("head")
    c.close()
    until(lambda: server.peers[0].is_ended, "the server's side ends")


@case("a client that goes in the middle of a chunked body: no last chunk is made up")
def _(t):
    server = t.server(lambda p: (p.read_request(want_body=False), t.events.fire("head"), p.read_all()))
    t.limpet()
    c = t.connect()
    c.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"half"))
    t.events.wait("head")
    c.close()
    until(lambda: server.peers[0].is_ended, "the server's side ends")
    check(b"\r\n0\r\n" not in server.peers[0].history, server.peers[0].history)


for kind, ending in (("closes", close()), ("resets", reset())):
    def _cases(kind=kind, ending=ending):
        @case("a server that %s in the middle of a length body: the client's answer stays incomplete" % kind)
        def _(t):
            t.server([request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
                      wait("head seen"), ending])
            t.limpet()
            c = t.connect()
            c.send(get() + get("/next"))
            head = c.read_head()
            same(head.get("content-length"), "10", "length")
            t.events.fire("head seen")
            same(c.read_all(), b"half", "body")

        @case("a server that %s in the middle of a chunked body: the client's answer stays incomplete" % kind)
        def _(t):
            t.server([request(), send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                      chunk(b"half")), wait("head seen"), ending])
            t.limpet()
            c = t.connect()
            c.send(get())
            c.read_to(b"half")
            t.events.fire("head seen")
            rest = c.read_all()
            check(b"0\r\n" not in rest, "a last chunk was made up: %r" % rest)

        @case("a server that %s before its answer's head: 502" % kind)
        def _(t):
            t.server([request(), ending])
            t.limpet()
            same(t.ask(post(body=b"x")).status, 502, "status")

        @case("a server that %s in the middle of its answer's head: 502" % kind)
        def _(t):
            t.server([request(), send(b"HTTP/1.1 200 OK\r\nContent-Le"), pause(0.02), ending])
            t.limpet()
            same(t.ask(post(body=b"x")).status, 502, "status")
    _cases()


@case("a server that resets in the middle of a close-delimited body: the client sees no clean end")
def _(t):
    t.server([request(), send(b"HTTP/1.1 200 OK\r\n\r\nhalf"), wait("head seen"), reset()])
    t.limpet()
    c = t.connect()
    c.send(get())
    c.read_to(b"half")
    t.events.fire("head seen")
    rest = c.read_all()
    head = bytes(c.history).lower()
    check(b"0\r\n\r\n" not in rest if b"chunked" in head else c.is_reset,
          "it looks complete: %r" % bytes(c.history))


@case("nobody listens: 503 at once")
def _(t):
    t.refused("A")
    t.limpet()
    took = timed(lambda: same(t.ask(get()).status, 503, "status"))
    check(took < 0.5 * SLOW + 1, "after %.2f s" % took)


@case("a server without a listening socket file: 503")
def _(t):
    t.env["A"] = "unix:" + t.directory + "/nobody.sock"
    t.limpet()
    same(t.ask(get()).status, 503, "status")


@case("our own error answers are small, plain, and carry a length")
def _(t):
    t.refused("A")
    t.limpet()
    msg = t.ask(get())
    same(msg.framing, "length", "framing")
    check(len(msg.body) < 1000, "%d bytes" % len(msg.body))
    check(msg.has("content-type"), msg)
    same(len(t.ask(get(method="HEAD"), to="HEAD").body), 0, "body of a HEAD")


@case("after a 503 the client's connection goes on")
def _(t):
    port = t.refused("A")
    t.limpet()
    c = t.connect()
    msg = c.ask(get())
    same(msg.status, 503, "status")
    if msg.get("connection", "").lower() != "close":
        same(c.ask(get()).status, 503, "status")


@case("a silent server: 504 after timeouts.server, and its connection is closed")
def _(t):
    server = t.server([request(), gone()])
    t.limpet(config(backend="timeouts: {server: 150ms}"))
    c = t.connect()
    took = timed(lambda: same(c.ask(get()).status, 504, "status"))
    check(0.1 < took < 1 * SLOW, "after %.2f s" % took)
    until(lambda: server.peers[0].is_ended, "the server's connection is closed")


@case("a server that falls silent in the middle of a body: cut after timeouts.server")
def _(t):
    t.server([request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), gone()])
    t.limpet(config(backend="timeouts: {server: %dms}" % (150 * SLOW)))
    c = t.connect()
    c.send(get())
    same(c.read_head().status, 200, "status")
    same(c.read_all(), b"half", "body")


@case("a slow head: 408 and close, counted from its first byte and not from its last")
def _(t):
    server = t.server()
    t.limpet(config(frontend="timeouts: {client_head: 200ms}"))
    c = t.connect()
    started = time.monotonic()
    head = get()[:-1]
    for at in range(len(head)):
        c.send(head[at:at + 1])
        if not c.is_silent(0.02):
            break
    msg = c.read_response()
    same(msg.status, 408, "status")
    took = time.monotonic() - started
    check(0.15 < took < 1.5 * SLOW, "after %.2f s" % took)
    check(not c.read_all(), "then the end")
    same(server.accepts, 0, "server connections")


@case("a client that sends nothing at all is closed after timeouts.client_head")
def _(t):
    t.server()
    t.limpet(config(frontend="timeouts: {client_head: 150ms, keep_alive: 10s}"))
    c = t.connect()
    rest = c.read_all()
    check(rest == b"" or rest.startswith(b"HTTP/1.1 408 "), rest[:50])


@case("a client that is silent in the middle of its body does not hold a server for ever")
def _(t):
    server = t.server(lambda p: (p.read_request(want_body=False), p.read_all()))
    t.limpet(config(frontend="timeouts: {client: 200ms}"))
    c = t.connect()
    c.send(get(method="POST", fields=[("Content-Length", 8)]) + b"half")
    server.wait_accepts(1)
    until(lambda: server.peers[0].is_ended, "the server is let go")
    check(c.read_all()[9:12] in (b"408", b"504", b""), "a status that fits")


@case("a server that never finishes its answer does not keep Limpet from stopping after shutdown_grace")
def _(t):
    t.server([request(), send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"x")),
              gone()])
    lp = t.limpet(config(global_="shutdown_grace: 200ms"))
    c = t.connect()
    c.send(get())
    c.read_to(b"x\r\n")
    lp.is_ended_by_test = True
    lp.signal(15)
    same(lp.wait_exit(3 * SLOW), 0, "status")


main()
