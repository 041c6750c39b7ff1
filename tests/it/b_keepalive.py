#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Connections that are kept and pipelined on both sides (RFC 9112 9.3)."""
import time

from lib import *

HOST = b"Host: example.test\r\n"


def named(msg, peer):
    return ok("answer to " + msg.target)


@case("one server connection carries all requests of one client")
def _(t):
    server = t.server(serve(named))
    t.limpet()
    c = t.connect()
    for n in range(20):
        same(c.ask(get("/%d" % n)).body, b"answer to /%d" % n, "body")
    same(server.accepts, 1, "server connections")


@case("one server connection serves many clients one after the other")
def _(t):
    server = t.server(serve(named))
    t.limpet(BASIC.replace("${THREADS:-1}", "1"))
    for n in range(10):
        same(t.ask(get("/%d" % n)).body, b"answer to /%d" % n, "body")
    same(server.accepts, 1, "server connections")


@case("requests at the same time use connections of their own")
def _(t):
    def slow(msg, peer):
        t.events.wait("all sent")
        return named(msg, peer)
    server = t.server(serve(slow))
    t.limpet()
    clients = [t.connect() for _ in range(5)]
    for n, c in enumerate(clients):
        c.send(get("/%d" % n))
    server.wait_accepts(5)
    t.events.fire("all sent")
    for n, c in enumerate(clients):
        same(c.read_response().body, b"answer to /%d" % n, "body")


@case("a server's Connection: close ends the server's connection, not the client's")
def _(t):
    server = t.server([request(), send(ok("1", [("Connection", "close")])), gone()],
                      [request(), send(ok("2"))])
    t.limpet()
    c = t.connect()
    one = c.ask(get())
    same(one.body, b"1", "body")
    check("close" not in one.get("connection", "").lower(), "Connection: close is hop-by-hop")
    same(c.ask(get()).body, b"2", "body")
    same(server.accepts, 2, "server connections")


@case("a client's Connection: close is honoured and is not passed to the server")
def _(t):
    server = t.server(serve(named))
    t.limpet(BASIC.replace("${THREADS:-1}", "1"))
    c = t.connect()
    msg = c.ask(get(fields=[("Connection", "close")]))
    check("close" in msg.get("connection", "").lower(), "the answer says Connection: close")
    check(c.wait_gone(), "closed in order")
    same(t.ask(get("/2")).body, b"answer to /2", "body")
    same(server.accepts, 1, "server connections")
    check(not any("close" in m.get("connection", "").lower() for m in server.requests), "hop-by-hop")


@case("an HTTP/1.0 client that asks to keep alive is kept, when the length is known")
def _(t):
    t.server(serve(named))
    t.limpet()
    c = t.connect()
    ask = b"GET /%d HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n"
    c.send(ask % 1)
    msg = c.read_response()
    same(msg.body, b"answer to /1", "body")
    if "keep-alive" in msg.get("connection", "").lower():
        c.send(ask % 2)
        same(c.read_response().body, b"answer to /2", "body")
    else:                           # RFC 9112 9.3: a server need not
        check(c.wait_gone(), "closed in order")


@case("an HTTP/1.0 client that does not ask is closed after the answer")
def _(t):
    t.server(serve(named))
    t.limpet()
    c = t.connect()
    c.send(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
    same(c.read_response().body, b"answer to /", "body")
    check(c.wait_gone(), "closed in order")


@case("an HTTP/1.0 server connection is not used again")
def _(t):
    server = t.server(*[[request(), send(answer(200, "x", version="HTTP/1.0")), gone()]] * 3)
    t.limpet()
    c = t.connect()
    for n in range(3):
        same(c.ask(get()).body, b"x", "body")
    same(server.accepts, 3, "server connections")


@case("an HTTP/1.0 server that keeps alive is used again")
def _(t):
    server = t.server(serve(lambda m, p: answer(200, "x", [("Connection", "keep-alive")],
                                                version="HTTP/1.0")))
    t.limpet()
    c = t.connect()
    for n in range(3):
        same(c.ask(get()).body, b"x", "body")
    check(server.accepts in (1, 3), "%d server connections" % server.accepts)


@case("ten pipelined requests are answered in order, the first one slow, of mixed sizes")
def _(t):
    def handler(msg, peer):
        n = int(msg.target[1:])
        if n == 0:
            time.sleep(0.1)
        return ok(body_bytes(n * 7001, n))
    t.server(serve(handler))
    t.limpet()
    c = t.connect()
    c.send(b"".join(get("/%d" % n) if n % 3 else post("/%d" % n, body_bytes(n * 1000))
                    for n in range(10)))
    for n in range(10):
        same(c.read_response().body, body_bytes(n * 7001, n), "body %d" % n)


@case("ten pipelined requests sent byte by byte are answered in order")
def _(t):
    t.server(serve(named))
    t.limpet()
    c = t.connect()
    c.drip(b"".join(get("/%d" % n) for n in range(10)))
    for n in range(10):
        same(c.read_response().body, b"answer to /%d" % n, "body")


@case("pipelined requests never overlap on a server connection and bodies stay with their request")
def _(t):
    def handler(msg, peer):
        if msg.target != "/9":
            check(not peer.buf, "a second request came before the first was answered")
        return ok(msg.body[::-1])
    server = t.server(serve(handler))
    t.limpet()
    c = t.connect()
    c.send(b"".join(post("/%d" % n, b"body-%d" % n) for n in range(10)))
    for n in range(10):
        same(c.read_response().body, (b"body-%d" % n)[::-1], "body")
    same(len(server.requests), 10, "requests")


@case("after a pipelined request with Connection: close nothing more is served")
def _(t):
    server = t.server(serve(named))
    t.limpet()
    c = t.connect()
    c.send(get("/1") + get("/2", [("Connection", "close")]) + get("/3"))
    same(c.read_response().body, b"answer to /1", "body")
    same(c.read_response().body, b"answer to /2", "body")
    check(c.wait_gone() or True)
    same([m.target for m in server.requests], ["/1", "/2"], "what the server saw")


@case("a pooled connection that the server closed meanwhile does not fail the next GET")
def _(t):
    server = t.server([request(), send(ok("1")), close(), fire("closed")], serve(named))
    t.limpet()
    c = t.connect()
    same(c.ask(get()).body, b"1", "body")
    t.events.wait("closed")     # before that the request may have reached it: 502, and no retry
    for n in range(3):
        same(c.ask(get("/%d" % n)).body, b"answer to /%d" % n, "body")


@case("a server's Keep-Alive: timeout=1 is honoured: the connection is given up before it ends")
def _(t):
    server = t.server(serve(lambda m, p: ok("x", [("Keep-Alive", "timeout=1")])))
    t.limpet()
    c = t.connect()
    c.ask(get())
    time.sleep(1.05)                # the figure is in seconds: nothing shorter can be asked for
    c.ask(get())
    same(server.accepts, 2, "server connections")


@case("stray bytes behind an answer are not taken for the next answer")
def _(t):
    server = t.server([request(), send(ok("1"), answer(200, "stray")), gone()], serve(named))
    t.limpet()
    c = t.connect()
    same(c.ask(get("/1")).body, b"1", "body")
    same(c.ask(get("/2")).body, b"answer to /2", "body")
    same(server.accepts, 2, "server connections")


@case("an idle client is closed after timeouts.keep_alive, without a 408")
def _(t):
    t.server(serve(named))
    t.limpet(config(frontend="timeouts: {keep_alive: 150ms}"))
    c = t.connect()
    started = time.monotonic()
    c.ask(get())
    same(c.read_all(), b"", "bytes on an idle connection")
    took = time.monotonic() - started
    check(0.1 < took < 0.4 * SLOW + 0.5, "closed after %.2f s" % took)


main()
