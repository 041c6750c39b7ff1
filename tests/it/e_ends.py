#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Engine.IO sessions that end, and workers that die under them."""
import json
import time

from lib import *
from lib.engine import *

ORIGIN = [("Origin", "http://page.test")]
UNKNOWN = answer(400, '{"code":1,"message":"Session ID unknown"}', [("Content-Type", "application/json")])


REJECT = "{engineio: {unknown: reject%s}}"


def is_forgotten(two, sid):
    """Whether Limpet does not know SID; ask of a Two that rejects the unknown."""
    seen = len(two.requests)
    two.t.ask(get(POLL + sid))
    return len(two.requests) == seen


def is_known(two, sid):
    return two.t.ask(get(POLL + sid)).body.decode() == two.owner(sid)


@case("a known sid whose worker is dead: 400 code 1 with CORS fields, and no other worker is asked")
def _(t):
    two = Two(t)
    have = two.two_sessions()
    mine = [sid for sid in [two.handshake() for _ in range(8)] if two.owner(sid) == "A"]
    two.servers["A"].down()
    seen = len(two.requests)
    c = t.connect()
    unknown_session(c.ask(get(POLL + mine[0], ORIGIN)), "http://page.test")
    unknown_session(t.ask(get(POLL + mine[1])), None)
    unknown_session(t.ask(post(POLL + mine[2], "4hello", ORIGIN)), "http://page.test")
    same(len(two.requests), seen, "requests that reached a worker")
    same(t.ask(get(POLL + have["B"])).body, b"B", "the other session")


@case("a client of a dead worker is back with one handshake")
def _(t):
    two = Two(t)
    have = two.two_sessions()
    two.servers["A"].down()
    c = t.connect()
    unknown_session(c.ask(get(POLL + have["A"])))
    for _ in range(4):
        sid = two.handshake()
        same(two.owner(sid), "B", "owner")


@case("a WebSocket upgrade with the sid of a dead worker: 400, close, text/html")
def _(t):
    two = Two(t)
    have = two.two_sessions()
    two.servers["A"].down()
    c = t.connect()
    c.send(get(UPGRADE + have["A"], WS_FIELDS))
    msg = c.read_response()
    same((msg.status, msg.body), (400, b"Session ID unknown"), "answer")
    check(msg.get("content-type", "").startswith("text/html"), msg)
    same(msg.get("connection", "").lower(), "close", "Connection")
    check(not c.read_all(), "then the end")


for kind, is_reset in (("closes", False), ("resets", True)):
    def dies(t, is_reset=is_reset):
        pending = []

        def hold(worker, msg):
            if "sid=" in msg.target:
                t.events.fire("poll is pending")
                t.events.wait("never", 30)
            return two.usual(worker, msg, len(two.order))
        two = Two(t, hold)
        sid = two.handshake()
        c = t.connect()
        c.send(get(POLL + sid, ORIGIN))
        t.events.wait("poll is pending")
        started = time.monotonic()
        two.servers[two.owner(sid)].down(is_reset)
        unknown_session(c.read_response(), "http://page.test")
        took = time.monotonic() - started
        check(took < 0.1 * SLOW, "the client heard after %.3f s" % took)
        t.events.fire("never")
    case("a worker that dies (%s) under a pending poll: 400 code 1 within milliseconds" % kind)(dies)


@case("a worker that dies under a POST with a sid: 400 code 1, and the POST is not sent again")
def _(t):
    two = Two(t, lambda w, m: None if m.method == "POST" else two.usual(w, m, len(two.order)),
              backend="retries: 3")

    def script(worker):
        run = two.script(worker)

        def ending(peer):
            run(peer)
            peer.shut_both()
        return ending
    for w, s in two.servers.items():
        s.scripts[:] = [script(w)]
    sid = two.handshake()
    msg = t.ask(post(POLL + sid, "4hello", ORIGIN))
    unknown_session(msg, "http://page.test")
    same(len([m for m in two.requests if m.method == "POST"]), 1, "how often the POST came")


@case("a worker born anew on the same Unix socket knows none of the old sids, and Limpet says so")
def _(t):
    path = t.directory + "/w1.sock"
    worker = t.server(serve(lambda m, p: ok(OPEN % "old-sid" if "sid=" not in m.target else "old")), path=path)
    t.limpet("""\
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: chat}}
backends: {chat: {stick: engineio, hosts: {here: "unix:${RUN}/*.sock"}}}
""")
    until(lambda: t.ask(get(HANDSHAKE)).status == 200, "the worker is found")
    same(t.ask(get(POLL + "old-sid")).body, b"old", "body")
    worker.down()
    until(lambda: t.ask(get("/")).status != 200, "the worker is gone")
    new = t.server(serve(lambda m, p: ok("new")), path=path)
    until(lambda: t.ask(get("/")).body == b"new", "the new worker is found")
    msg = t.ask(get(POLL + "old-sid"))
    check(msg.body == b"new" or msg.status == 400, msg)   # forgotten (forwarded), or answered by us
    if msg.status == 400:
        unknown_session(msg)


@case("a client that closes while its poll is pending: the worker's side is closed within 200 ms")
def _(t):
    def hold(worker, msg):
        if "sid=" in msg.target:
            t.events.fire("pending")
            return []
        return two.usual(worker, msg, len(two.order))
    two = Two(t, hold)
    sid = two.handshake()
    c = t.connect()
    c.send(get(POLL + sid))
    t.events.wait("pending")
    server = two.servers[two.owner(sid)]
    started = time.monotonic()
    c.close()
    until(lambda: server.peers[-1].is_ended, "the worker sees the end")
    took = server.peers[-1].ended_at - started
    check(took < 0.2 * SLOW, "after %.3f s" % took)


@case("a poll outlives timeouts.server: its limit is pingInterval + pingTimeout")
def _(t):
    def hold(worker, msg):
        if "sid=" in msg.target:
            time.sleep(0.5 * SLOW)
            return ok("2")
        return two.usual(worker, msg, len(two.order))
    two = Two(t, hold, backend="timeouts: {server: %dms}" % (150 * SLOW))
    sid = two.handshake()
    msg = t.ask(get(POLL + sid))
    same((msg.status, msg.body), (200, b"2"), "the answer of a held poll")


@case("400 code 1 from the worker is passed on as it is, and the entry goes")
def _(t):
    two = Two(t, lambda w, m: UNKNOWN if state.get(w) and "sid=" in m.target
              else two.usual(w, m, len(two.order)), stick=REJECT % "")
    state = {}
    sid = two.handshake()
    check(is_known(two, sid), "the sid is known")
    state[two.owner(sid)] = True
    msg = t.ask(get(POLL + sid))
    same((msg.status, msg.body), (400, b'{"code":1,"message":"Session ID unknown"}'), "answer")
    state.clear()
    until(lambda: is_forgotten(two, sid), "the entry is gone")


for name, how in (
        ("a close packet in a poll's answer", "answer"),
        ("a close packet behind others in a poll's answer", "behind"),
        ("a close packet in a POST", "post"),
        ("a close packet of EIO 3 in a POST", "post3")):
    def closes(t, how=how):
        two = Two(t, lambda w, m: ok({"answer": "1", "behind": "4hello\x1e1"}[how])
                  if "last=" in m.target and how in ("answer", "behind")
                  else two.usual(w, m, len(two.order)), stick=REJECT % "")
        sid, other = two.handshake(), two.handshake()
        check(is_known(two, sid), "the sid is known")
        if how == "post":
            t.ask(post(POLL + sid, "1"))
        elif how == "post3":
            t.ask(post((POLL + sid).replace("EIO=4", "EIO=3"), "1:1"))
        else:
            t.ask(get(POLL + sid + "&last=1"))
        until(lambda: is_forgotten(two, sid), "the entry is gone")
        check(is_known(two, other), "another session stays")
    case(name + " drops the entry")(closes)


@case("messages that merely begin like a close packet do not drop the entry")
def _(t):
    two = Two(t, lambda w, m: ok("4 1") if "odd=" in m.target else two.usual(w, m, len(two.order)),
              stick=REJECT % "")
    sid = two.handshake()
    t.ask(post(POLL + sid, "42[\"1\"]"))
    t.ask(post(POLL + sid, "41"))
    t.ask(get(POLL + sid + "&odd=1"))
    check(is_known(two, sid), "the sid is known")


def upgraded(t, two, sid, is_finished):
    """Opens the WebSocket of SID and sends a probe; finishes the upgrade when told so."""
    c = t.connect()
    c.send(get(UPGRADE + sid, WS_FIELDS))
    same(c.read_response().status, 101, "status")
    c.send(ws_client_text("2probe"))
    same(c.read(8), ws_text("3probe"), "the probe's answer")
    if is_finished:
        c.send(ws_client_text("5"))
    return c


@case("the close of its WebSocket drops the entry")
def _(t):
    two = Two(t, stick=REJECT % "", frames=ws_text("3probe"))
    sid = two.handshake()
    c = upgraded(t, two, sid, True)
    check(is_known(two, sid), "the sid is known while the WebSocket is open")
    c.close()
    until(lambda: is_forgotten(two, sid), "the entry is gone")


@case("a WebSocket that closes before the upgrade is done leaves the session to its polls")
def _(t):
    two = Two(t, stick=REJECT % "", frames=ws_text("3probe"))
    sid = two.handshake()
    upgraded(t, two, sid, False).close()
    server = two.servers[two.owner(sid)]
    until(lambda: server.peers[-1].is_ended, "the worker sees the end")
    for _ in range(3):
        check(is_known(two, sid), "the sid is known")


@case("silence of pingInterval + pingTimeout ends a session; a request keeps it")
def _(t):
    two = Two(t, interval=int(200 * SLOW), timeout=int(200 * SLOW), stick=REJECT % "")
    sid, idle = two.handshake(), two.handshake()
    until_at = time.monotonic() + 0.8 * SLOW
    while time.monotonic() < until_at:
        same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "owner of the lively session")
        time.sleep(0.05)
    check(is_forgotten(two, idle), "the idle session is still known")


@case("a session is not forgotten while a request of it is open")
def _(t):
    def hold(worker, msg):
        if "hold=" in msg.target:
            t.events.fire("pending")
            t.events.wait("go", 10)
        return two.usual(worker, msg, len(two.order))
    two = Two(t, hold, interval=int(150 * SLOW), timeout=int(100 * SLOW), stick=REJECT % "")
    sid = two.handshake()
    c = t.connect()
    c.send(get(POLL + sid + "&hold=1"))
    t.events.wait("pending")
    time.sleep(0.5 * SLOW)                  # twice its idle time
    same(t.ask(post(POLL + sid, "4x")).body.decode(), two.owner(sid), "owner")
    t.events.fire("go")
    same(c.read_response().body.decode(), two.owner(sid), "owner")


@case("idle can be fixed in the configuration")
def _(t):
    two = Two(t, stick=REJECT % (", idle: %ds" % SLOW))
    sid = two.handshake()
    time.sleep(0.5 * SLOW)
    check(is_known(two, sid), "the sid is known")
    time.sleep(1.2 * SLOW)
    check(is_forgotten(two, sid), "the sid is still known")


@case("max_entries bounds the table: the oldest makes room")
def _(t):
    two = Two(t, stick="{engineio: {max_entries: 64}}")
    sids = [two.handshake() for _ in range(400)]
    used = int(__import__("re").search(r"used:(\d+)", two.limpet.ask_stats("show table")).group(1))
    check(used <= 64, "%d entries" % used)
    check(is_known(two, sids[-1]), "the newest is known")


main()
