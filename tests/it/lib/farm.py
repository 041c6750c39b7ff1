# SPDX-License-Identifier: MIT
"""Workers that hold polls and speak WebSocket, for the tests of drains."""
import os
import re
import threading
import time
from urllib.parse import parse_qsl, urlsplit

from .case import check, same
from .engine import HANDSHAKE, OPEN, POLL, WS_FIELDS, switch, ws_client_text, ws_text
from .limpet import until
from .msg import Fail, get, ok

__all__ = ["ORIGIN", "WS_FIRST", "HELLO", "REPLY", "Frame", "Farm", "told", "not_told"]

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
                 balance="round_robin", answer=None, frontend=""):
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
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: chat%s}}
backends:
  chat:
    balance: %s
    stick: %s%s
    hosts:
%s""" % (os.environ.get("THREADS", "1"), frontend and ", " + frontend, balance, stick,
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
                    peer.send(switch(msg))
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
