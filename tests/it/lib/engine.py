# SPDX-License-Identifier: MIT
"""Engine.IO for the tests: two workers that hand out sids of their own, and the forms of answers."""
import base64
import hashlib
import json
import threading
from urllib.parse import parse_qsl, urlsplit

from .case import check, same
from .msg import Fail, ok, answer, get
from .peer import Server

__all__ = ["HANDSHAKE", "POLL", "UPGRADE", "OPEN", "WS_FIELDS", "Two", "switch", "unknown_session", "ws_text",
           "ws_client_text"]

HANDSHAKE = "/socket.io/?EIO=4&transport=polling"
POLL = "/socket.io/?EIO=4&transport=polling&sid="
UPGRADE = "/socket.io/?EIO=4&transport=websocket&sid="
OPEN = '0{"sid":"%s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
WS_FIELDS = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
             ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def switch(msg):
    """The 101 to an upgrade with any key; SWITCH is that to WS_FIELDS'."""
    key = msg.get("sec-websocket-key", "").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %s\r\n\r\n" % base64.b64encode(hashlib.sha1(key).digest()))


CONFIG = """\
global:
  threads: %(threads)s
  stats: {socket: "unix:${RUN}/stats.sock"}%(global)s
frontends:
  web:
    bind: "127.0.0.1:${PORT}"
    backend: chat%(frontend)s
backends:
  chat:
    balance: %(balance)s
    stick: %(stick)s%(backend)s
    hosts:
      A: {address: "${A}"}
      B: {address: "${B}"}
"""


def ws_text(text):
    """A text frame as a server sends it."""
    data = text.encode()
    head = bytes([0x81, len(data)]) if len(data) < 126 else b"\x81\x7e" + len(data).to_bytes(2, "big")
    return head + data


def ws_client_text(text, opcode=1):
    data = text.encode() if isinstance(text, str) else text
    mask = b"\x11\x22\x33\x44"
    return bytes([0x80 | opcode, 0x80 | len(data)]) + mask + bytes(
        b ^ mask[i % 4] for i, b in enumerate(data))


def unknown_session(msg, origin=None):
    """MSG is what a worker would say to a sid that it does not know, readable by a browser's page."""
    same(msg.status, 400, "status")
    check(msg.get("content-type", "").startswith("application/json"), msg)
    said = json.loads(msg.body)
    same((said.get("code"), said.get("message")), (1, "Session ID unknown"), "body")
    if origin:
        same((msg.get("access-control-allow-origin"), msg.get("access-control-allow-credentials")),
             (origin, "true"), "CORS fields")
        check("origin" in msg.get("vary", "").lower(), "Vary: Origin")
    else:
        check(not msg.has("access-control-allow-origin"), "no Origin was sent")


class Two:
    """Two workers A and B behind one Limpet.  What does not stick goes to both in turn, so that a
    test can tell a sid that is known from one that is not.  Without ANSWER a handshake gets a fresh sid, anything
    else the worker's name; ANSWER(worker, message) gives bytes, a list of pieces, or None."""

    def __init__(self, t, answer=None, stick="engineio", backend="", frontend="", threads="${THREADS:-1}", balance="round_robin",
                 frames=b"", interval=25000, timeout=20000, global_=""):
        self.t = t
        self.answer = answer
        self.frames = frames
        self.interval, self.timeout = interval, timeout
        self.lock = threading.Lock()
        self.requests = []      # all, in the order in which they came
        self.owners = {}        # sid -> worker
        self.order = []         # the worker of each of requests
        self.servers = {w: t.server(self.script(w), name=w) for w in "AB"}
        self.limpet = t.limpet(CONFIG % {
            "stick": stick, "balance": balance, "threads": threads,
            "global": "".join("\n  " + line for line in global_.split("\n")) if global_ else "",
            "backend": "".join("\n    " + line for line in backend.split("\n")) if backend else "",
            "frontend": "".join("\n    " + line for line in frontend.split("\n")) if frontend else ""})

    def script(self, worker):
        def run(peer):
            while peer.buf or peer.fill(3600):
                msg = peer.read_request()
                with self.lock:
                    self.requests.append(msg)
                    self.order.append(worker)
                    n = len(self.order)
                if msg.has("upgrade"):
                    peer.send(switch(msg) + (self.frames or worker.encode()))
                    peer.read_all(3600)
                    return
                data = self.answer(worker, msg) if self.answer else self.usual(worker, msg, n)
                if data is None:
                    return
                if isinstance(data, list):
                    peer.pieces(data, 0.0005)
                else:
                    peer.send(data)
        return run

    def usual(self, worker, msg, n):
        query = dict(parse_qsl(urlsplit(msg.target).query))     # the last of several wins
        if query.get("sid") or "EIO" not in query:
            return ok(worker)
        sid = "%s-%08d-AAAA" % ("s", n)
        self.owners[sid] = worker
        text = ('0{"sid":"%s","upgrades":["websocket"],"pingInterval":%d,"pingTimeout":%d,"maxPayload":1000000}'
                % (sid, self.interval, self.timeout))
        return ok(text)

    def handshake(self, target=HANDSHAKE, fields=(), **kw):
        msg = self.t.ask(get(target, fields), **kw)
        if msg.status != 200:
            raise Fail("handshake was answered with %d" % msg.status)
        self.handshake_answer = msg
        return json.loads(msg.body[1:])["sid"]

    def owner(self, sid):
        return self.owners[sid]

    def last(self):
        return self.order[-1]

    def workers_of(self, prefix):
        return [w for w, m in zip(self.order, self.requests) if m.target.startswith(prefix)]

    def two_sessions(self):
        """A sid of each worker."""
        have = {}
        for _ in range(12):
            sid = self.handshake()
            have.setdefault(self.owner(sid), sid)
            if len(have) == 2:
                return have
        raise Fail("all sessions went to %s" % list(have))
