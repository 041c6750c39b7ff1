#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""WebSocket over HTTP/2 (RFC 8441), and Engine.IO sessions of which many share one connection."""
import json
import threading

from lib import *
from lib.engine import *
from lib.farm import *
from lib.h2 import *
from lib.limpet import until

CLEAR = "http2: {cleartext: true}"


def tunnel(t, script, frontend=""):
    """A server that upgrades, then runs SCRIPT(peer, message)."""
    def run(peer):
        msg = peer.read_request()
        peer.send(switch(msg))
        script(peer, msg)
    server = t.server(run)
    t.limpet(config(frontend=CLEAR + (", " + frontend if frontend else "")))
    return server


def echo(peer, msg):
    while peer.buf or peer.fill(3600):
        peer.send(peer.take(len(peer.buf)))
    peer.shut()


@case("an extended CONNECT becomes an upgrade, its 101 a 200, and bytes go both ways")
def _(t):
    seen = []
    tunnel(t, lambda peer, msg: (seen.append(msg), echo(peer, msg)))
    h2 = H2(t)
    same(h2.settings.get(8), 1, "SETTINGS_ENABLE_CONNECT_PROTOCOL")
    stream = h2.websocket("/chat?x=1", [("sec-websocket-protocol", "a, b"), ("sec-websocket-extensions", "permessage-deflate"),
                                        ("origin", "http://page.test"), ("cookie", "a=1"), ("cookie", "b=2")])
    said = h2.opened(stream)
    same((said.status, said.get("sec-websocket-accept"), said.get("upgrade"), said.get("connection")),
         (200, None, None, None), "answer")
    msg = seen[0] if seen else None
    same((msg.method, msg.target, msg.get("upgrade"), msg.get("host"), msg.get("sec-websocket-version"),
          msg.get("sec-websocket-protocol"), msg.get("sec-websocket-extensions"), msg.get("origin"), msg.get("cookie")),
         ("GET", "/chat?x=1", "websocket", "site.test", "13", "a, b", "permessage-deflate", "http://page.test", "a=1; b=2"), "request")
    same(msg.get("connection").lower(), "upgrade", "Connection")
    same(len(msg.get("sec-websocket-key")), 24, "key")
    for i in range(50):
        text = ws_client_text("message %d" % i)
        h2.data(stream, text)
        same(h2.read(stream, len(text)), text, "echo")
    h2.data(stream, b"last", END)
    same(h2.response(stream).body, b"last", "the rest")
    t.limpets[0].wait_log(r'tunnel .* 101 .*HTTP/2\.0')


@case("many messages at once go through a tunnel with small windows")
def _(t):
    tunnel(t, echo)
    h2 = H2(t, settings=[(4, 700)], window=0)
    stream = h2.websocket()
    h2.opened(stream)
    body = body_bytes(300000)
    done = []
    h2.data(stream, body, END)
    check(h2.response(stream).body == body, "all came back")


@case("what comes with the CONNECT, before its answer, is kept")
def _(t):
    gate = threading.Event()

    def run(peer):
        msg = peer.read_request()
        gate.wait(10)
        peer.send(switch(msg) + b"first")
        echo(peer, msg)
    t.server(run)
    t.limpet(config(frontend=CLEAR))
    h2 = H2(t)
    stream = h2.websocket()
    h2.data(stream, b"early")
    h2.ping()
    gate.set()
    same(h2.read(stream, 10), b"firstearly", "bytes")


@case("a refused upgrade comes as it is; one that is answered 200 is 502, for 200 would mean a tunnel")
def _(t):
    answers = {"/400": answer(400, "no"), "/200": ok("page"), "/403": answer(403, "never"),
               "/bad": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\nxx"}
    t.server(serve(lambda m, p: answers[m.target]))
    t.limpet(config(frontend=CLEAR))
    h2 = H2(t)
    for path, status, body in (("/400", 400, b"no"), ("/403", 403, b"never"), ("/200", 502, b""), ("/bad", 502, b"")):
        said = h2.response(h2.websocket(path))
        same((said.status, said.body), (status, body), path)
    h2.ping()


@case("the server's end is END_STREAM, its reset ends the stream, and the client's reset ends it")
def _(t):
    ends = []

    def script(peer, msg):
        if msg.target == "/end":
            peer.send(b"bye")
            peer.shut()
            same(peer.read_all(), b"late", "what comes after our end")
            ends.append("end")
        elif msg.target == "/reset":
            peer.read(4)
            peer.reset()
        else:
            peer.wait_gone(10)
            ends.append("gone")
    tunnel(t, script)
    h2 = H2(t)
    stream = h2.websocket("/end")
    h2.opened(stream)
    same(h2.response(stream).body, b"bye", "its last words")
    h2.data(stream, b"late", END)
    until(lambda: ends == ["end"], "the server got the rest")
    stream = h2.websocket("/reset")
    h2.opened(stream)
    h2.data(stream, b"now!")
    h2.until(lambda: h2.answers[stream].is_ended or h2.answers[stream].reset is not None)
    stream = h2.websocket("/gone")
    h2.opened(stream)
    h2.reset(stream)
    until(lambda: ends == ["end", "gone"], "the server hears of it")
    h2.ping()


def h2_handshake(h2, two):
    said = h2.response(h2.get(HANDSHAKE))
    return json.loads(said.body[1:])["sid"]


@case("sessions of both workers on one connection: polls, posts and WebSockets each reach their own")
def _(t):
    two = Two(t, frontend=CLEAR)
    h2 = H2(t)
    sids = [h2_handshake(h2, two) for _ in range(10)]
    same({two.owner(s) for s in sids}, {"A", "B"}, "owners")
    for _ in range(3):
        polls = {h2.get(POLL + sid): sid for sid in sids}
        posts = {h2.post(POLL + sid, b"4hello"): sid for sid in sids}
        for stream, sid in list(polls.items()) + list(posts.items()):
            same(h2.response(stream).body.decode(), two.owner(sid), "worker")
    tunnels = {h2.websocket(UPGRADE + sid): sid for sid in sids}
    for stream, sid in tunnels.items():
        same(h2.opened(stream).status, 200, "upgrade")
        same(h2.read(stream, 1).decode(), two.owner(sid), "worker of the WebSocket")


@case("a worker that dies under polls: each is answered 400 code 1")
def _(t):
    held = []

    def reply(worker, msg):
        if "sid=" in msg.target and worker == "A":
            held.append(msg)
            two.died.wait(10)
            return None         # closes without an answer
        return two.usual(worker, msg, len(two.order))
    two = Two.__new__(Two)
    two.died = threading.Event()
    two.__init__(t, answer=reply, frontend=CLEAR)
    h2 = H2(t)
    sids = [h2_handshake(h2, two) for _ in range(8)]
    mine = [s for s in sids if two.owner(s) == "A"]
    polls = [h2.get(POLL + sid, [("origin", "http://page.test")]) for sid in mine]
    until(lambda: len(held) == len(mine), "the polls came")
    two.died.set()
    for stream in polls:
        said = h2.response(stream)
        same((said.status, json.loads(said.body)["code"], said.get("access-control-allow-origin")),
             (400, 1, "http://page.test"), "answer")


@case("a drain says Close to the WebSockets of its worker, on their streams alone")
def _(t):
    farm = Farm(t, frontend=CLEAR)
    h2 = H2(t)
    streams = {}
    for _ in range(4):
        seen = len(farm.requests)
        stream = h2.websocket(WS_FIRST)
        same(h2.opened(stream).status, 200, "upgrade")
        streams[stream] = farm.requests[seen][0]
    same(sorted(streams.values()), ["A", "A", "B", "B"], "workers")
    farm.cmd("drain chat/A now")
    for stream, worker in streams.items():
        if worker == "A":
            same(h2.read(stream, 10), b"\x88\x08\x03\xe9moving", "Close")
            h2.data(stream, REPLY, END)
            h2.until(lambda: h2.answers[stream].is_ended)
    until(lambda: len(farm.told) == 2, "the worker's side is told")
    h2.ping()
    for stream, worker in streams.items():
        same((h2.answers[stream].is_ended, h2.answers[stream].reset is None), (worker == "A", worker == "B" or h2.answers[stream].reset is None), "end")
    farm.limpet.wait_log(r"tunnel .* chat A LT")


@case("a pending poll of a drained worker is ended on its stream")
def _(t):
    farm = Farm(t, frontend=CLEAR)
    h2 = H2(t)
    sids = []
    for _ in range(4):
        sids.append(json.loads(h2.response(h2.get(HANDSHAKE)).body[1:])["sid"])
    polls = {h2.get(POLL + sid): farm.owners[sid] for sid in sids}
    until(lambda: len(farm.requests) == 8, "the polls are there")
    farm.cmd("drain chat/A now")
    for stream, worker in polls.items():
        if worker == "A":
            said = h2.response(stream)
            same((said.status, json.loads(said.body)["code"]), (400, 1), "answer")
    h2.ping()
    check(not any(h2.answers[s].heads for s, w in polls.items() if w == "B"), "the others wait on")


@case("with PROXY headers to the server, requests one after the other share a connection")
def _(t):
    def run(peer):
        peer.read_to(b"\r\n")          # PROXY v1
        serve(lambda m, p: ok("x"))(peer)
    server = t.server(run)
    t.limpet(config(frontend=CLEAR, backend="send_proxy: v1"))
    h2 = H2(t)
    for _ in range(5):
        same(h2.response(h2.get("/")).status, 200, "status")
    same(server.accepts, 1, "connections")


main()
