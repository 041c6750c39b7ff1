#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers that are drained: WebSockets are told to close, polls to move, at an even pace."""
import os
import re
import threading
import time
from urllib.parse import parse_qsl, urlsplit

from lib import *
from lib.engine import *
from lib.engine import SWITCH

ORIGIN = [("Origin", "http://page.test")]
WS_FIRST = "/socket.io/?EIO=4&transport=websocket"
HELLO = ws_text("hello")
REPLY = ws_client_text(b"\x03\xe9", 8)          # the client's Close


class Frame:
    """One WebSocket frame as it came."""

    def __init__(self, peer, patience=60):
        if not peer.buf and not peer.fill(patience):
            raise Fail("%s: ended before a frame" % peer.name)
        head = peer.read(2)
        self.fin, self.opcode, self.is_masked = head[0] >> 7, head[0] & 15, head[1] >> 7
        size = head[1] & 127
        if size > 125:
            size = int.from_bytes(peer.read(2 if size == 126 else 8), "big")
        self.mask = peer.read(4) if self.is_masked else b"\0\0\0\0"
        self.data = bytes(b ^ self.mask[i % 4] for i, b in enumerate(peer.read(size)))

    def is_going_away(self):
        return self.opcode == 8 and self.data == b"\x03\xe9moving"


class Farm:
    """Workers A and B (hosts of these names) that hold polls until release(), and answer a Close.

    TUNNEL(peer, worker) replaces what a worker does on a WebSocket after its 101."""

    def __init__(self, t, tunnel=None, backend="", workers="AB", net="tcp", stick="engineio",
                 balance="round_robin", answer=None):
        self.t, self.tunnel, self.answer = t, tunnel, answer
        self.lock = threading.Lock()
        self.n = 0
        self.owners = {}
        self.requests = []              # (worker, message)
        self.told = []                  # (time, worker, frame): Closes that reached a worker
        self.held = {}                  # sid -> event of its pending poll
        self.is_held = True
        self.servers = {w: t.server(self.script(w), name=w, **self.place(net, w)) for w in workers}
        hosts = ("      h: \"unix:%s/w*.sock\"\n" % t.directory if net == "unix" else
                 "".join("      %s: {address: \"${%s}\"}\n" % (w, w) for w in workers))
        self.limpet = t.limpet("""\
global: {threads: %s, stats: {socket: "unix:${RUN}/stats.sock"}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: chat}}
backends:
  chat:
    balance: %s
    stick: %s%s
    hosts:
%s""" % (os.environ.get("THREADS", "1"), balance, stick,
         "".join("\n    " + line for line in backend.split("\n") if line), hosts))

    def place(self, net, w):
        return {"path": "%s/w%s.sock" % (self.t.directory, w)} if net == "unix" else {}

    def script(self, worker):
        def run(peer):
            while peer.buf or peer.fill(3600):
                msg = peer.read_request()
                with self.lock:
                    self.requests.append((worker, msg))
                query = dict(parse_qsl(urlsplit(msg.target).query))
                if msg.has("upgrade"):
                    peer.send(SWITCH)
                    (self.tunnel or self.answer_close)(peer, worker)
                    return
                data = self.answer(worker, msg, peer) if self.answer else None
                if data is None:
                    data = self.usual(worker, msg, query, peer)
                if data is None:
                    return
                peer.send(data)
        return run

    def usual(self, worker, msg, query, peer):
        sid = query.get("sid")
        if "EIO" not in query or msg.method == "POST":
            return ok("ok" if sid else worker)
        if not sid:
            with self.lock:
                self.n += 1
                sid = "%s-%06d-AAAA" % (worker, self.n)
                self.owners[sid] = worker
            return ok(OPEN % sid)
        if self.is_held:
            released = self.held.setdefault(sid, threading.Event())
            while not released.wait(0.01):
                if not peer.is_silent(0) and not peer.fill(1):
                    return None         # the poll was given up
        return ok("2")

    def answer_close(self, peer, worker):
        """Reads frames until a Close, answers it and closes."""
        try:
            while True:
                frame = Frame(peer)
                if frame.opcode == 8:
                    with self.lock:
                        self.told.append((time.monotonic(), worker, frame))
                    peer.send(b"\x88\x02\x03\xe9")
                    peer.shut()
                    return
        except Fail:
            return                      # the tunnel ended

    def handshake(self, worker=None):
        for _ in range(20):
            msg = self.t.ask(get(HANDSHAKE))
            same(msg.status, 200, "handshake")
            sid = re.search(rb'"sid":"([^"]+)"', msg.body).group(1).decode()
            if worker in (None, self.owners[sid]):
                return sid
        raise Fail("no session on %s" % worker)

    def pending(self, sid, fields=ORIGIN):
        """A client whose poll has reached its worker."""
        seen = len(self.requests)
        c = self.t.connect()
        c.send(get(POLL + sid, fields))
        until(lambda: len(self.requests) > seen, "the poll is at the worker")
        return c

    def websocket(self, worker=None, target=WS_FIRST):
        """A client with an open WebSocket on WORKER."""
        for _ in range(20):
            c = self.t.connect()
            seen = len(self.requests)
            c.send(get(target, WS_FIELDS))
            same(c.read_response().status, 101, "upgrade")
            if worker in (None, self.requests[seen][0]):
                return c
            c.close()
        raise Fail("no WebSocket on %s" % worker)

    def cmd(self, command):
        return self.limpet.ask_stats(command)

    def worker_row(self, name):
        for line in self.cmd("show stat").split("\n"):
            cells = line.split(",")
            if cells[:2] == ["chat", name]:
                return cells
        raise Fail("no row of " + name)

    def sessions(self, name):
        lines = [line.split() for line in self.cmd("show workers").split("\n") if line]
        at = lines[0].index("sessions") - 1
        row = next(row for row in lines[1:] if "/".join(row[1:3]).rstrip("/-") == name)
        return int(row[at])

    def is_quiet(self):
        """No ending is under way any more."""
        return len(self.cmd("show endings").strip().split("\n")) == 1


def told(c):
    """The client hears our Close, answers it, and the connection ends in order."""
    frame = Frame(c)
    check(frame.is_going_away() and not frame.is_masked, "1001 'moving', not masked: %r" % frame.data)
    c.send(REPLY)
    check(c.wait_gone(), "closed in order")


def not_told(c):
    check(c.is_silent(0.3), "nothing comes")


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
        t.events.fire("begun")
        t.events.wait("go on", 20)
        return b"ngth: 5\r\n\r\n4last"
    farm = Farm(t, answer=slowly)
    sid = farm.handshake("A")
    c = t.connect()
    c.send(get(POLL + sid))
    t.events.wait("begun")
    time.sleep(0.05)
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
    not_told(w)                         # a client that has paused its polling would hang
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
    time.sleep(0.05)
    w = t.connect()
    w.send(get(UPGRADE + sid, WS_FIELDS))
    t.events.wait("upgrade is there")
    farm.cmd("drain chat/A now")
    until(farm.is_quiet, "the ending is over")
    t.events.fire("go on")
    same(w.read_response().status, 101, "upgrade")
    w.send(ws_client_text("2probe") + ws_client_text("5"))
    told(w)


def spread(times, started, over, n):
    """Ends in the order of time fill OVER seconds evenly: no quarter has more than half as much again."""
    quarters = [0] * 4
    for at in times:
        quarters[min(3, max(0, int((at - started) / over * 4)))] += 1
    check(max(quarters) <= n / 4 * 1.5 + 1 and min(quarters) >= n / 4 * 0.5 - 1,
          "ends per quarter: %s" % quarters)


@case("WebSockets are told at an even pace, the last when the time is over")
def _(t):
    farm = Farm(t)
    n, over = 40, 2.0
    cs = [farm.websocket("A") for _ in range(n)]
    times = []

    def watch(c):
        told(c)
        times.append(time.monotonic())
    threads = [threading.Thread(target=watch, args=(c,), daemon=True) for c in cs]
    started = time.monotonic()
    farm.cmd("drain chat/A over %dms" % (over * 1000))
    for thread in threads:
        thread.start()
    line = farm.cmd("show endings").strip().split("\n")[1].split()
    same(line[:4], ["chat/A", "drain", "ending", "40"], "show endings")
    for thread in threads:
        thread.join(30)
    same(len(times), n, "told")
    check(max(times) - started < over + 0.5 * SLOW, "the last one after %.2f s" % (max(times) - started))
    spread(times, started, over, n)
    farm.limpet.wait_log(r"drain over: 40 sessions and tunnels ended in \d")


@case("polls are told at an even pace, and those between two requests with the next one")
def _(t):
    farm = Farm(t)
    n, over = 24, 2.0
    sids = [farm.handshake("A") for _ in range(n)]
    times, wrong = [], []
    farm.is_held = False

    def client(sid, i):
        """Half of them are mostly between two requests."""
        c = t.connect()
        try:
            while True:
                msg = c.ask(get(POLL + sid))
                if msg.status == 400:
                    unknown_session(msg)
                    times.append(time.monotonic())
                    return
                same(msg.body, b"2", "a poll")
                time.sleep(0.02)
        except Exception as err:
            wrong.append(err)
    started = time.monotonic()
    farm.cmd("drain chat/A over %dms" % (over * 1000))
    threads = [threading.Thread(target=client, args=(s, i), daemon=True) for i, s in enumerate(sids)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    same((wrong, len(times)), ([], n), "told")
    check(max(times) - started < over + 0.5 * SLOW, "the last one after %.2f s" % (max(times) - started))
    spread(times, started, over, n)
    same(farm.sessions("A"), 0, "sessions left")


@case("a session that is silent all the time hears it afterwards")
def _(t):
    farm = Farm(t)
    sid = farm.handshake("A")
    farm.cmd("drain chat/A over 200ms")
    until(farm.is_quiet, "the ending is over")
    seen = len(farm.requests)
    unknown_session(t.ask(get(POLL + sid)))
    unknown_session(t.ask(post(POLL + sid, "4x")))
    same(len(farm.requests), seen, "requests that reached a worker")


@case("drain_grace: its sessions go on, then they are ended over drain_over")
def _(t):
    farm = Farm(t, backend="drain_grace: 600ms\ndrain_over: 300ms")
    c = farm.websocket("A")
    started = time.monotonic()
    farm.cmd("set server chat/A state drain")
    line = farm.cmd("show endings").strip().split("\n")[1].split()
    same(line[:3], ["chat/A", "drain", "grace"], "show endings")
    c.send(ws_client_text("still here"))
    told(c)
    took = time.monotonic() - started
    check(0.6 <= took + 0.01 < 0.6 + 1.0 * SLOW, "told after %.2f s" % took)


@case("without drain_grace the sessions of a draining server go on")
def _(t):
    farm = Farm(t)
    c, sid = farm.websocket("A"), farm.handshake("A")
    check("until they end" in farm.cmd("drain chat/A"), "what drain says")
    not_told(c)
    farm.is_held = False
    same(t.ask(get(POLL + sid)).body, b"2", "a poll")
    check(farm.is_quiet(), "no ending")


@case("a server that is set to ready keeps the sessions that it still has")
def _(t):
    farm = Farm(t)
    cs = [farm.websocket("A") for _ in range(10)]
    farm.cmd("drain chat/A over 60s")
    until(lambda: not farm.is_quiet(), "under way")
    farm.cmd("set server chat/A state ready")
    check(farm.is_quiet(), "cancelled")
    farm.limpet.wait_log(r"drain cancelled")
    not_told(cs[-1])
    same(sum(not c.is_silent(0) for c in cs) <= 1, True, "hardly one was told")


@case("a host is drained with all its workers")
def _(t):
    farm = Farm(t, net="unix")
    until(lambda: farm.cmd("show workers").count(" h w") == 2, "both workers are found")
    cs = [farm.websocket("A"), farm.websocket("B")]
    said = farm.cmd("drain chat/h over 100ms")
    check("chat/h/wA" in said and "chat/h/wB" in said, said)
    for c in cs:
        told(c)


@case("a worker whose socket has gone: what it still carries is told over drain_over, and a new one keeps its own")
def _(t):
    farm = Farm(t, net="unix", backend="drain_over: 1500ms")
    until(lambda: farm.cmd("show workers").count(" h w") == 2, "both workers are found")
    olds = [farm.websocket("A") for _ in range(6)]
    sid = farm.handshake("A")
    path = t.directory + "/wA.sock"
    started = time.monotonic()
    os.rename(path, t.directory + "/gone")
    farm.limpet.wait_log(r"server chat/h/wA: socket-gone: ending 6 of 6")
    unknown_session(t.ask(get(POLL + sid)))
    new = t.server(farm.script("A"), path=path, name="N")
    check(new, "a new worker")
    until(lambda: farm.cmd("show workers").count(" h w") == 2, "the new one is found")
    fresh = farm.websocket("A")
    for c in olds:
        told(c)
    took = time.monotonic() - started
    check(1.2 < took < 1.5 + 1.5 * SLOW, "the last one after %.2f s" % took)
    not_told(fresh)
    until(farm.is_quiet, "over")
    not_told(fresh)
    fresh.send(ws_client_text(b"\x03\xe8", 8))
    same(Frame(fresh).opcode, 8, "it works")


@case("rebalance ends what is above the fair share, and tells of it")
def _(t):
    farm = Farm(t, balance="least_sessions")
    farm.cmd("set server chat/B state maint")
    cs = [farm.websocket("A") for _ in range(20)]
    farm.cmd("set server chat/B state ready")
    said = farm.cmd("rebalance chat 100 over 500ms")
    check(re.search(r"chat/A 100 20 10 10\n", said), said)
    check(re.search(r"chat/B 100 0 10 0\n", said), said)
    check("warning" not in said, said)
    heard = set()

    def is_over():
        for c in cs:
            if c not in heard and not c.is_silent(0):
                told(c)
                heard.add(c)
        return farm.is_quiet()
    until(is_over, "over", 5 * SLOW)
    n = len(heard)
    check(9 <= n <= 11, "%d of 20 were told" % n)       # each thread rounds its own
    same(farm.worker_row("A")[17], "no check", "status")
    for _ in range(10):
        farm.websocket("B")


@case("rebalance warns when rules would send them back")
def _(t):
    farm = Farm(t, stick="[engineio, {cookie: {secret: sesame}}, ip]")
    said = farm.cmd("rebalance chat")
    check("'cookie'" in said and "'ip'" in said and "least_sessions" in said, said)


@case("shutdown sessions server: everything is over now; polls hear code 1, requests 503")
def _(t):
    farm = Farm(t, answer=lambda w, m, p: (t.events.fire("there"), t.events.wait("never", 20), ok("slow"))[2]
                if m.target == "/slow" else None, workers="A")
    w, sid = farm.websocket("A"), farm.handshake("A")
    c, d = farm.pending(sid), t.connect()
    d.send(get("/slow"))
    t.events.wait("there")
    farm.cmd("shutdown sessions server chat/A")
    same(w.read_all(), b"", "the WebSocket's end")
    unknown_session(c.read_response(), "http://page.test")
    same(d.read_response().status, 503, "a request")
    t.events.fire("never")
    farm.limpet.wait_log(r"tunnel .* chat A DD")
    same(t.ask(get("/")).body, b"A", "it takes new ones")


@case("drain and rebalance tell what is wrong with their arguments")
def _(t):
    farm = Farm(t)
    for command, answer in (("drain", "Require"), ("drain chat", "Require"), ("drain chat/C", "No such server"),
                            ("drain none/A", "No such backend"), ("drain chat/A over", "Expects"),
                            ("drain chat/A over soon", "Invalid time"), ("drain chat/A later", "Expects"),
                            ("rebalance", "Require"), ("rebalance none", "No such backend"),
                            ("rebalance chat 50 60s", "Expects"), ("rebalance chat 500", "Expects")):
        check(answer in farm.cmd(command), "%s: %r" % (command, farm.cmd(command)))
    check(farm.is_quiet(), "nothing was begun")
    same(farm.worker_row("A")[17][:2], "no", "status")


main()
