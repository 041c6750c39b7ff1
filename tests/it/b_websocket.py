#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Upgrade to WebSocket: the tunnel, what is pipelined around it, its refusal and its ends."""
import re
import time

from lib import *

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
WS = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY),
      ("Sec-WebSocket-Version", "13")]
UP = get("/chat", WS)
SWITCH = ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: chat\r\n\r\n" % ACCEPT).encode()
END = re.compile(rb"\r\n\r\n")


def echo_tunnel(peer):
    peer.read_request()
    peer.send(SWITCH)
    while peer.buf or peer.fill(3600):
        peer.send(peer.take(len(peer.buf)))
    peer.shut()


rows([
    {"name": "an upgrade becomes a tunnel both ways",
     "server": [request(target="/chat"), send(SWITCH), expect(b"ping"), send(b"pong"), expect(b"more"), eof()],
     "client": [send(UP), response(101), send(b"ping"), expect(b"pong"), send(b"more"), close()]},
    {"name": "bytes right behind the request's head reach the server after its 101",
     "server": [request(), send(SWITCH), expect(b"early bytes"), send(b"done")],
     "client": [send(UP, b"early bytes"), response(101), expect(b"done")]},
    {"name": "bytes right behind the 101 reach the client",
     "server": [request(), send(SWITCH, b"first frame"), expect(b"thanks"), eof()],
     "client": [send(UP), response(101), expect(b"first frame"), send(b"thanks"), close()]},
    {"name": "bytes behind both heads are kept, byte by byte as well",
     "server": [request(), drip(SWITCH, b"first frame"), expect(b"early bytes"), send(b"end")],
     "client": [drip(UP, b"early bytes"), response(101), expect(b"first frameend")]},
    {"name": "a tunnel carries bytes that look like HTTP unaltered",
     "server": [request(), send(SWITCH), expect(b"GET /x HTTP/1.1\r\nHost: y\r\n\r\n"),
                send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nzz"), eof()],
     "client": [send(UP), response(101), send(b"GET /x HTTP/1.1\r\nHost: y\r\n\r\n"),
                expect(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nzz"), close()]},
    {"name": "a refused upgrade (400) goes on as HTTP",
     "server": [request(), send(answer(400, "no")), request(target="/next"), send(ok("next"))],
     "client": [send(UP), response(400, b"no"), send(get("/next")), response(200, b"next")]},
    {"name": "an upgrade that is answered 200 goes on as HTTP, the next request pipelined behind it too",
     "server": [request(), send(ok("plain")), request(target="/next"), send(ok("next"))],
     "client": [send(UP), response(200, b"plain"), send(get("/next")), response(200, b"next")]},
    {"name": "a refusal that closes is passed on whole",
     "server": [request(), send(answer(400, "Session ID unknown", [("Connection", "close")])), close()],
     "client": [send(UP), response(400, b"Session ID unknown")]},
    {"name": "a server that closes the tunnel closes the client's side",
     "server": [request(), send(SWITCH, b"bye"), close()],
     "client": [send(UP), response(101), expect(b"bye"), eof()]},
    {"name": "a server that resets the tunnel ends the client's side",
     "server": [request(), send(SWITCH, b"bye"), wait("bye seen"), reset()],
     "client": [send(UP), response(101), expect(b"bye"), fire("bye seen"), gone()]},
    {"name": "a client that resets the tunnel ends the server's side",
     "server": [request(), send(SWITCH), gone()],
     "client": [send(UP), response(101), reset()]},
    {"name": "a server that half-closes the tunnel still gets the client's bytes",
     "server": [request(), send(SWITCH, b"last"), shut(), expect(b"late"), eof()],
     "client": [send(UP), response(101), expect(b"last"), send(b"late"), close()]},
    {"name": "a client that half-closes the tunnel still gets the server's bytes",
     "server": [request(), send(SWITCH), expect(b"last"), eof(), send(b"late"), close()],
     "client": [send(UP), response(101), send(b"last"), shut(), expect(b"late"), eof()]},
])


@case("the handshake's fields reach both sides")
def _(t):
    server = t.server([request(), send(SWITCH)])
    t.limpet()
    c = t.connect()
    msg = c.ask(UP)
    same((msg.status, msg.get("sec-websocket-accept"), msg.get("sec-websocket-protocol"),
          msg.get("upgrade").lower()), (101, ACCEPT, "chat", "websocket"), "answer")
    check("upgrade" in msg.get("connection").lower(), msg)
    m = server.requests[0]
    same((m.get("sec-websocket-key"), m.get("sec-websocket-version"), m.get("upgrade").lower()),
         (KEY, "13", "websocket"), "request")
    check("upgrade" in m.get("connection").lower(), m)


@case("names and tokens of an upgrade are taken in any case and among others")
def _(t):
    t.server([request(), send(SWITCH), expect(b"x"), send(b"y")])
    t.limpet()
    c = t.connect()
    c.send(get("/", [("connection", "keep-alive, UPGRADE"), ("upgrade", "WebSocket"),
                     ("sec-websocket-key", KEY), ("sec-websocket-version", "13")]) + b"x")
    same(c.read_response().status, 101, "status")
    same(c.read(1), b"y", "a byte through the tunnel")


@case("a tunnel is not cut by timeouts.server, but by timeouts.tunnel without a byte")
def _(t):
    t.server(echo_tunnel)
    short, tunnel = "%dms" % (200 * SLOW), "%dms" % (600 * SLOW)
    t.limpet(config(frontend="timeouts: {client_head: %s, keep_alive: %s, tunnel: %s}" % (short, short, tunnel),
                    backend="timeouts: {server: %s, tunnel: %s}" % (short, tunnel)))
    c = t.connect()
    same(c.ask(UP).status, 101, "status")
    time.sleep(0.4 * SLOW)
    started = time.monotonic()
    c.send(b"alive")
    same(c.read(5), b"alive", "echo")
    c.read_all()
    took = time.monotonic() - started
    check(0.55 * SLOW < took < 1.5 * SLOW, "cut after %.2f s" % took)


@case("bytes in one direction alone keep a tunnel open")
def _(t):
    t.server([request(), send(SWITCH)] + [pause(0.1 * SLOW), send(b".")] * 8)
    tunnel = "timeouts: {tunnel: %dms}" % (300 * SLOW)
    t.limpet(config(frontend=tunnel, backend=tunnel))
    c = t.connect()
    same(c.ask(UP).status, 101, "status")
    same(c.read(8), b"." * 8, "bytes")


@case("ten megabytes go through a tunnel both ways unaltered")
def _(t):
    import threading
    t.server(echo_tunnel)
    t.limpet()
    c = t.connect()
    same(c.ask(UP).status, 101, "status")
    data = body_bytes(10000000)
    c.sock.settimeout(DEADLINE)
    sender = threading.Thread(target=lambda: c.sock.sendall(data))
    sender.start()
    check(c.read(len(data)) == data, "the bytes are altered")
    sender.join()


@case("a server connection that was a tunnel is never used again")
def _(t):
    server = t.server(echo_tunnel, serve(lambda m, p: ok("http")))
    t.limpet()
    c = t.connect()
    same(c.ask(UP).status, 101, "status")
    c.close()
    until(lambda: server.peers[0].is_ended, "the tunnel's server side is closed")
    same(t.ask(get()).body, b"http", "body")
    same(server.accepts, 2, "server connections")


@case("101 with another protocol than the one asked for is a bad answer")
def _(t):
    t.server([request(), send(SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c"))])
    t.limpet()
    same(t.ask(UP).status, 502, "status")


@case("a WebSocket upgrade of HTTP/1.0 is no upgrade")
def _(t):
    server = t.server(serve(lambda m, p: ok("plain")))
    t.limpet()
    c = t.connect()
    c.send(UP.replace(b"HTTP/1.1", b"HTTP/1.0"))
    msg = c.read_response()
    check(msg.status in (200, 400), msg)
    if msg.status == 200:
        check(not server.requests[0].has("upgrade"), server.requests)


main()
