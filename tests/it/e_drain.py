#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers that are drained: what their WebSockets and polls hear, whatever they were about to do."""
import threading
import time

from lib import *
from lib.engine import *
from lib.engine import SWITCH
from lib.farm import *


@case("a WebSocket: a Close (1001) to both sides, masked towards the server alone; then the end")
def _(t):
    farm = Farm(t)
    a, b = farm.websocket("A"), farm.websocket("B")
    started = time.monotonic()
    said = farm.cmd("drain chat/A now")
    check("1 tunnels" in said and "chat/A" in said, said)
    told(a)
    check(time.monotonic() - started < 1 * SLOW, "at once")
    until(lambda: farm.told, "the worker is told")
    _, worker, frame = farm.told[0]
    same(worker, "A", "worker")
    check(frame.is_going_away() and frame.is_masked and frame.mask != b"\0\0\0\0", "masked Close")
    not_told(b)
    farm.limpet.wait_log(r"tunnel .* chat A LT")
    farm.limpet.wait_log(r"server chat/A: drain: ending 1 of 1 .* over 0 s")
    farm.limpet.wait_log(r"server chat/A: drain over: 1 sessions and tunnels ended in .* s, 0 tunnels left")
    same(farm.worker_row("A")[17], "DRAIN", "status")
    for _ in range(4):
        same(t.ask(get("/")).body, b"B", "who takes what is new")


@case("every WebSocket has a mask of its own")
def _(t):
    farm = Farm(t)
    cs = [farm.websocket("A") for _ in range(4)]
    farm.cmd("drain chat/A now")
    for c in cs:
        told(c)
    until(lambda: len(farm.told) == 4, "all told")
    same(len({f.mask for _, _, f in farm.told}), 4, "different masks")


@case("more of them than are ended in one turn of the loop: all hear of it, and others are served meanwhile")
def _(t):
    farm = Farm(t)
    cs = [farm.websocket("A") for _ in range(50)]
    farm.cmd("drain chat/A now")
    same(t.ask(get("/")).body, b"B", "what is new")
    for c in cs:
        told(c)
    until(lambda: len(farm.told) == 50, "all told")
    farm.limpet.wait_log(r"server chat/A: drain over: 50 sessions and tunnels ended in .* s, 0 tunnels left")


def half_way(peer, worker, farm):
    """Sends half a frame, and the rest when told."""
    peer.send(HELLO + ws_text("x" * 300)[:100])
    farm.t.events.wait("the rest", 20)
    peer.send(ws_text("x" * 300)[100:] + ws_text("too late"))
    farm.answer_close(peer, worker)


@case("a frame under way from the server is passed on to its end, then the Close, and no more")
def _(t):
    farm = Farm(t, lambda p, w: half_way(p, w, farm), workers="A")
    c = farm.websocket("A")
    same(c.read(len(HELLO) + 100), HELLO + ws_text("x" * 300)[:100], "the first half")
    farm.cmd("drain chat/A now")
    until(lambda: farm.worker_row("A")[17] == "DRAIN", "drained")
    not_told(c)
    t.events.fire("the rest")
    same(c.read(204), ws_text("x" * 300)[100:], "the rest")
    told(c)


@case("a frame under way from the client is passed on to its end, then the Close, and no more")
def _(t):
    seen = []

    def tunnel(peer, worker):
        frame = Frame(peer)
        seen.append((frame.opcode, frame.data))
        farm.answer_close(peer, worker)
    farm = Farm(t, tunnel, workers="A")
    c = farm.websocket("A")
    frame = ws_client_text("y" * 100)
    c.send(frame[:50])
    farm.cmd("drain chat/A now")
    got = Frame(c)
    check(got.is_going_away(), "the client is told meanwhile")
    check(not farm.told, "the worker not yet")
    c.send(frame[50:] + ws_client_text("too late"))
    until(lambda: farm.told, "the worker is told")
    c.send(REPLY)
    c.wait_gone()
    same(seen, [(1, b"y" * 100)], "the worker's frames")
    check(farm.told[0][2].is_going_away(), "then the Close")


@case("a Close stands between the fragments of a message")
def _(t):
    def tunnel(peer, worker):
        peer.send(b"\x01\x03abc")
        t.events.wait("go on", 20)
        peer.send(b"\x80\x03def")
        farm.answer_close(peer, worker)
    farm = Farm(t, tunnel, workers="A")
    c = farm.websocket("A")
    same(c.read(5), b"\x01\x03abc", "the first fragment")
    farm.cmd("drain chat/A now")
    frame = Frame(c)
    check(frame.is_going_away(), frame.data)
    t.events.fire("go on")
    c.send(REPLY)
    check(c.wait_gone(), "nothing of the second one")


@case("both sides send byte by byte while they are told")
def _(t):
    def tunnel(peer, worker):
        peer.drip(ws_text("server's own") * 40 + b"\x88\x02\x03\xe8")
        farm.answer_close(peer, worker)
    farm = Farm(t, tunnel, workers="A")
    c = farm.websocket("A")

    def talk():
        for _ in range(400):
            c.drip(ws_client_text("client's own"))
            if farm.told:
                break
        c.drip(REPLY)
    talker = threading.Thread(target=talk, daemon=True)
    talker.start()
    Frame(c)
    farm.cmd("drain chat/A now")
    while Frame(c).opcode != 8:
        pass
    until(lambda: farm.told, "the worker is told")
    talker.join(20)
    c.wait_gone()


@case("a big frame goes through whole while its sides are told")
def _(t):
    body = b"\x82\xff" + (3000000).to_bytes(8, "big") + b"\1\2\3\4" + b"q" * 3000000
    sizes = []

    def tunnel(peer, worker):
        frame = Frame(peer)
        sizes.append(len(frame.data))
        farm.answer_close(peer, worker)
    farm = Farm(t, tunnel, workers="A")
    c = farm.websocket("A")
    c.send(body[:1000000])
    farm.cmd("drain chat/A now")
    c.send(body[1000000:])
    until(lambda: farm.told, "the worker is told")
    same(sizes, [3000000], "the frame")
    check(farm.told[0][2].is_going_away(), "then the Close")
    told(c)


@case("a side that had said Close gets no second one; the other is told, and it ends")
def _(t):
    def tunnel(peer, worker):
        frames = []
        try:
            while True:
                frames.append(Frame(peer).opcode)
                if len(frames) == 1:
                    t.events.fire("close is there")
                    t.events.wait("answer", 20)
                    peer.send(b"\x88\x02\x03\xe8")
        except Fail:
            same(frames, [8], "Closes at the worker")
            t.events.fire("one close")
    farm = Farm(t, tunnel, workers="A")
    c = farm.websocket("A")
    c.send(ws_client_text(b"\x03\xe8", 8))
    t.events.wait("close is there")
    farm.cmd("drain chat/A now")
    same(Frame(c).opcode, 8, "Close to the client")
    t.events.fire("answer")
    c.wait_gone()
    t.events.wait("one close")


@case("sides that never answer a Close are closed after 5 s")
def _(t):
    farm = Farm(t, lambda p, w: p.read_all(3600), workers="A")
    c = farm.websocket("A")
    started = time.monotonic()
    farm.cmd("drain chat/A now")
    check(Frame(c).is_going_away(), "told")
    c.read_all(10 * SLOW)
    took = time.monotonic() - started
    check(4.9 < took < 5.5 * SLOW, "closed after %.2f s" % took)
    farm.limpet.wait_log(r"tunnel .* chat A LT.*")
    until(lambda: farm.worker_row("A")[4] == "0", "nothing left there")


@case("a frame that does not come to its end within 5 s is cut, without a Close")
def _(t):
    farm = Farm(t, lambda p, w: (p.send(ws_text("x" * 300)[:100]), p.read_all(3600)), workers="A")
    c = farm.websocket("A")
    c.read(100)
    started = time.monotonic()
    farm.cmd("drain chat/A now")
    same(c.read_all(10 * SLOW), b"", "bytes after the cut")
    took = time.monotonic() - started
    check(4.9 < took < 5.5 * SLOW, "cut after %.2f s" % took)


@case("what is not WebSocket is closed at once, without a Close")
def _(t):
    farm = Farm(t, lambda p, w: (p.send(b"SSH-2.0-no frames here\r\n"), p.read_all(3600)), workers="A")
    c = farm.websocket("A")
    same(c.read(24), b"SSH-2.0-no frames here\r\n", "bytes")
    farm.cmd("drain chat/A now")
    same(c.read_all(), b"", "no Close")
    farm.limpet.wait_log(r"tunnel .* chat A LT")


@case("a half-closed WebSocket is told where there is somebody to tell")
def _(t):
    def tunnel(peer, worker):
        frame = Frame(peer)
        check(frame.opcode == 1, "a text frame")
        check(not peer.fill(), "then the client's end")
        peer.send(HELLO)
        t.events.fire("half")
        t.events.wait("told", 20)       # reading would end it: its own side has ended
    farm = Farm(t, tunnel, workers="A")
    c = farm.websocket("A")
    c.send(ws_client_text("bye"))
    c.shut()
    t.events.wait("half")
    same(c.read(len(HELLO)), HELLO, "what comes that way")
    farm.cmd("drain chat/A now")
    check(Frame(c).is_going_away(), "told")
    t.events.fire("told")
    c.wait_gone()


@case("a side that dies while it is being told ends the tunnel")
def _(t):
    farm = Farm(t, lambda p, w: p.read_all(3600), workers="A")
    c = farm.websocket("A")
    farm.cmd("drain chat/A now")
    check(Frame(c).is_going_away(), "told")
    c.reset()
    until(lambda: farm.servers["A"].peers[-1].is_ended, "the worker's side is ended", 2 * SLOW)


@case("a pending poll: 400 code 1 with CORS fields, its worker's side is closed, later requests hear the same")
def _(t):
    farm = Farm(t)
    sid, other = farm.handshake("A"), farm.handshake("B")
    c, d = farm.pending(sid), farm.pending(other)
    started = time.monotonic()
    farm.cmd("drain chat/A now")
    unknown_session(c.read_response(), "http://page.test")
    check(time.monotonic() - started < 1 * SLOW, "at once")
    until(lambda: all(p.is_ended for p in farm.servers["A"].peers if p.requests and
                      sid in p.requests[-1].target), "the worker sees the end")
    seen = len(farm.requests)
    unknown_session(c.ask(post(POLL + sid, "4hello", ORIGIN)), "http://page.test")
    unknown_session(t.ask(get(POLL + sid)))
    e = t.connect()
    e.send(get(UPGRADE + sid, WS_FIELDS))
    msg = e.read_response()
    same((msg.status, msg.body), (400, b"Session ID unknown"), "upgrade")
    same(len(farm.requests), seen, "requests that reached a worker")
    not_told(d)
    farm.limpet.wait_log(r"request .* chat A LSE. 400")
    farm.held.get(sid, threading.Event()).set()
    farm.held[other].set()
    same(d.read_response().body, b"2", "the other session's poll")


@case("a pending POST is let through, and its session told with its next request")
def _(t):
    farm = Farm(t, answer=lambda w, m, p: (t.events.fire("post"), t.events.wait("go on", 20), ok("ok"))[2]
                if m.method == "POST" else None)
    sid = farm.handshake("A")
    c = t.connect()
    c.send(post(POLL + sid, "4hello"))
    t.events.wait("post")
    farm.cmd("drain chat/A now")
    until(farm.is_quiet, "the ending is over")
    t.events.fire("go on")
    same(c.read_response().body, b"ok", "the POST's answer")
    unknown_session(c.ask(get(POLL + sid)))


@case("a request without a session is let alone")
def _(t):
    farm = Farm(t, answer=lambda w, m, p: (t.events.fire("there"), t.events.wait("go on", 20), ok("slow"))[2]
                if m.target == "/slow" else None)
    c = t.connect()
    c.send(get("/slow"))
    t.events.wait("there")
    farm.cmd("drain chat/A now")
    farm.cmd("drain chat/B now")
    until(farm.is_quiet, "the endings are over")
    t.events.fire("go on")
    same(c.read_response().body, b"slow", "its answer")


@case("a poll whose answer has begun to come is let through")
def _(t):
    def slowly(worker, msg, peer):
        if "sid=" not in msg.target:
            return None
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        peer.wait_read()
        t.events.fire("begun")
        t.events.wait("go on", 20)
        return b"ngth: 5\r\n\r\n4last"
    farm = Farm(t, answer=slowly)
    sid = farm.handshake("A")
    c = t.connect()
    c.send(get(POLL + sid))
    t.events.wait("begun")
    farm.cmd("drain chat/A now")
    until(farm.is_quiet, "the ending is over")
    t.events.fire("go on")
    same(c.read_response().body, b"4last", "its answer")
    unknown_session(c.ask(get(POLL + sid)))


@case("an upgrade under way is let through, and its WebSocket is told as soon as it is complete")
def _(t):
    farm = Farm(t)
    sid = farm.handshake("A")
    w = farm.websocket("A", UPGRADE + sid)
    w.send(ws_client_text("2probe"))
    farm.cmd("drain chat/A now")
    not_told(w)                     # a client that has paused its polling would hang
    w.send(ws_client_text("5"))
    told(w)
    unknown_session(t.ask(get(POLL + sid)))


@case("an upgrade under way whose session still polls: the poll is told, and the WebSocket may end by itself")
def _(t):
    farm = Farm(t)
    sid = farm.handshake("A")
    c = farm.pending(sid)
    w = farm.websocket("A", UPGRADE + sid)
    w.send(ws_client_text("2probe"))
    farm.cmd("drain chat/A now")
    unknown_session(c.read_response(), "http://page.test")
    w.close()
    farm.limpet.wait_log(r"tunnel .* chat A CT")
    unknown_session(t.ask(get(POLL + sid)))


@case("an upgrade that is never completed: its WebSocket is told after 5 s")
def _(t):
    farm = Farm(t)
    sid = farm.handshake("A")
    w = farm.websocket("A", UPGRADE + sid)
    w.send(ws_client_text("2probe"))
    started = time.monotonic()
    farm.cmd("drain chat/A now")
    told(w)
    took = time.monotonic() - started
    check(4.9 < took < 5.5 * SLOW, "after %.2f s" % took)


@case("an upgrade that completes after its server was emptied is told then")
def _(t):
    farm = Farm(t)
    sid = farm.handshake("A")

    def slow_upgrade(peer):
        msg = peer.read_request()
        if not msg.has("upgrade"):
            peer.send(ok("2"))
            return
        t.events.fire("upgrade is there")
        t.events.wait("go on", 20)
        peer.send(SWITCH)
        farm.answer_close(peer, "A")
    farm.servers["A"].scripts[:] = [slow_upgrade]
    farm.servers["A"].peers[-1].shut_both()
    farm.servers["A"].peers[-1].wait_let_go()
    w = t.connect()
    w.send(get(UPGRADE + sid, WS_FIELDS))
    t.events.wait("upgrade is there")
    farm.cmd("drain chat/A now")
    until(farm.is_quiet, "the ending is over")
    started = time.monotonic()
    t.events.fire("go on")
    same(w.read_response().status, 101, "upgrade")
    check(time.monotonic() - started < 1 * SLOW, "the 101 comes at once")
    w.send(ws_client_text("2probe") + ws_client_text("5"))
    told(w)


main()
