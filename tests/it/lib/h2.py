# SPDX-License-Identifier: MIT
"""
A raw HTTP/2 client: frames as they are written and read, without the care of a library.

    h2 = H2(t)                                  # prior knowledge; preface and SETTINGS are exchanged
    sid = h2.get("/x")                          # HEADERS with END_STREAM
    same(h2.response(sid).body, b"hello", "body")
    h2.frame(DATA, END, sid, b"...")            # anything else

Field sections are written as literals without indexing; what comes back is decoded in full (RFC
7541), Huffman codes included.
"""
import socket
import struct
import time

from .msg import Fail
from .peer import DEADLINE, Peer

__all__ = ["H2", "DATA", "HEADERS", "PRIORITY", "RST", "SETTINGS", "PUSH", "PING", "GOAWAY", "WINDOW", "CONTINUATION",
           "END", "END_HEADERS", "PADDED", "ACK", "PREFACE", "fields_block", "frame", "Answer", "Reset", "Gone",
           "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "REFUSED_STREAM", "CANCEL", "ENHANCE_YOUR_CALM"]

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 2, 7, 8, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

STATIC = [line.split(" ", 1) if " " in line else [line, ""] for line in """\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate""".split("\n")]

# RFC 7541 appendix B: (code, bits) of each byte.
HUFFMAN = """\
1ff8:13 7fffd8:23 fffffe2:28 fffffe3:28 fffffe4:28 fffffe5:28 fffffe6:28 fffffe7:28 fffffe8:28 ffffea:24 3ffffffc:30 fffffe9:28
fffffea:28 3ffffffd:30 fffffeb:28 fffffec:28 fffffed:28 fffffee:28 fffffef:28 ffffff0:28 ffffff1:28 ffffff2:28 3ffffffe:30 ffffff3:28
ffffff4:28 ffffff5:28 ffffff6:28 ffffff7:28 ffffff8:28 ffffff9:28 ffffffa:28 ffffffb:28 14:6 3f8:10 3f9:10 ffa:12 1ff9:13 15:6 f8:8
7fa:11 3fa:10 3fb:10 f9:8 7fb:11 fa:8 16:6 17:6 18:6 0:5 1:5 2:5 19:6 1a:6 1b:6 1c:6 1d:6 1e:6 1f:6 5c:7 fb:8 7ffc:15 20:6 ffb:12
3fc:10 1ffa:13 21:6 5d:7 5e:7 5f:7 60:7 61:7 62:7 63:7 64:7 65:7 66:7 67:7 68:7 69:7 6a:7 6b:7 6c:7 6d:7 6e:7 6f:7 70:7 71:7 72:7
fc:8 73:7 fd:8 1ffb:13 7fff0:19 1ffc:13 3ffc:14 22:6 7ffd:15 3:5 23:6 4:5 24:6 5:5 25:6 26:6 27:6 6:5 74:7 75:7 28:6 29:6 2a:6 7:5
2b:6 76:7 2c:6 8:5 9:5 2d:6 77:7 78:7 79:7 7a:7 7b:7 7ffe:15 7fc:11 3ffd:14 1ffd:13""".split()
CODES = {(int(c, 16), int(n)): byte for byte, (c, n) in enumerate(x.split(":") for x in HUFFMAN)}


class Gone(Fail):
    """The connection has ended."""


class Reset(Fail):
    """The stream was reset: .code."""

    def __init__(self, stream, code):
        super().__init__("stream %d was reset: %d" % (stream, code))
        self.code = code


def huffman(data):
    code = bits = 0
    out = bytearray()
    for byte in data:
        for i in range(7, -1, -1):
            code, bits = code << 1 | byte >> i & 1, bits + 1
            if (code, bits) in CODES:
                out.append(CODES[code, bits])
                code = bits = 0
    return bytes(out)       # bytes above 0x7e have longer codes; no test of ours has them


def integer(value, bits, flags=0):
    most = (1 << bits) - 1
    if value < most:
        return bytes([flags | value])
    out = bytearray([flags | most])
    value -= most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def fields_block(fields):
    """Literals without indexing, plain."""
    out = b""
    for name, value in fields:
        name, value = (x if isinstance(x, bytes) else x.encode("latin-1") for x in (name, value))
        out += b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value
    return out


def frame(kind, flags=0, stream=0, data=b""):
    return struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data


class Decoder:
    def __init__(self):
        self.table = []

    def decode(self, data):
        at, fields = 0, []

        def number(bits):
            nonlocal at
            most = (1 << bits) - 1
            value = data[at] & most
            at += 1
            shift = 0
            while value >= most:
                value += (data[at] & 127) << shift
                shift += 7
                at += 1
                if not data[at - 1] & 128:
                    break
            return value

        def text():
            nonlocal at
            is_huffman = data[at] & 128
            length = number(7)
            piece = data[at:at + length]
            at += length
            return (huffman(piece) if is_huffman else piece).decode("latin-1")

        def entry(index):
            if index <= len(STATIC):
                return tuple(STATIC[index - 1])
            return self.table[index - len(STATIC) - 1]
        while at < len(data):
            first = data[at]
            if first & 0x80:
                fields.append(entry(number(7)))
                continue
            if first & 0xe0 == 0x20:
                number(5)       # a new size: entries that it drops are not asked for any more
                continue
            index = number(6 if first & 0x40 else 4)
            name = entry(index)[0] if index else text()
            field = (name, text())
            fields.append(field)
            if first & 0x40:
                self.table.insert(0, field)
        return fields


class Answer:
    def __init__(self):
        self.heads = []         # of 1xx and of the response, in order, then the trailers'
        self.body = b""
        self.is_ended = False
        self.reset = None       # code of RST_STREAM

    def final(self):
        for head in self.heads:
            if dict(head).get(":status", "0") >= "200":
                return head
        return None

    @property
    def status(self):
        return int(dict(self.final() or [(":status", "0")])[":status"])

    def get(self, name):
        return dict(self.final() or []).get(name)

    @property
    def trailers(self):
        return self.heads[-1] if len(self.heads) > 1 and not dict(self.heads[-1]).get(":status") else []


class H2:
    """One connection.  Frames that come are taken down whenever something is waited for."""

    def __init__(self, t, settings=(), sock=None, preface=PREFACE, is_quiet=False, authority="site.test", scheme="http",
                 window=1 << 24):
        if sock is None:
            sock = socket.create_connection(("127.0.0.1", t.port), DEADLINE)
        self.peer = Peer(sock, name="h2 client")
        t.clients.append(self.peer)
        self.authority, self.scheme = authority, scheme
        self.decoder = Decoder()
        self.next = 1
        self.answers = {}
        self.frames = []                # (kind, flags, stream, data), all that came
        self.settings = {}
        self.goaway = None              # (last stream, code)
        self.block = b""
        self.sent_window = {}           # bytes of DATA sent, by stream; 0 = connection
        self.updates = {}               # what WINDOW_UPDATE has given
        self.gives_window = True        # answers DATA with WINDOW_UPDATE
        if is_quiet:
            return
        self.peer.send(preface + frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *s) for s in settings)))
        if window:
            self.peer.send(frame(WINDOW, 0, 0, struct.pack(">I", window)))
        self.until(lambda: self.settings)

    # Sending.

    def frame(self, kind, flags=0, stream=0, data=b""):
        self.peer.send(frame(kind, flags, stream, data))

    def open(self, fields, flags=END, stream=None):
        """HEADERS; the stream's number."""
        if stream is None:
            stream = self.next
        self.next = max(self.next, stream) + 2
        self.answers[stream] = Answer()
        self.frame(HEADERS, flags | END_HEADERS, stream, fields_block(fields))
        return stream

    def head(self, method, path, more=(), **over):
        head = [(":method", method), (":scheme", self.scheme), (":authority", self.authority), (":path", path)]
        return head + [(k.lower(), v) for k, v in more]

    def get(self, path="/", more=(), flags=END, method="GET"):
        return self.open(self.head(method, path, more), flags)

    def post(self, path="/", body=b"", more=(), has_length=True):
        more = list(more) + ([("content-length", str(len(body)))] if has_length else [])
        stream = self.open(self.head("POST", path, more), 0)
        self.data(stream, body, END)
        return stream

    def data(self, stream, body, flags=0):
        """DATA in frames, as the windows allow."""
        while True:
            window = self.settings.get(4, 65535) + self.updates.get(stream, 0) - self.sent_window.get(stream, 0)
            whole = 65535 + self.updates.get(0, 0) - self.sent_window.get(0, 0)
            size = min(len(body), 16384, window, whole)
            if body and size <= 0:
                self.take_one()
                continue
            piece, body = body[:size], body[size:]
            self.sent_window[stream] = self.sent_window.get(stream, 0) + size
            self.sent_window[0] = self.sent_window.get(0, 0) + size
            self.frame(DATA, 0 if body else flags, stream, piece)
            if not body:
                return

    def websocket(self, path="/chat", more=(), protocol="websocket"):
        head = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", self.scheme), (":path", path),
                (":authority", self.authority), ("sec-websocket-version", "13")]
        return self.open(head + list(more), 0)

    def reset(self, stream, code=CANCEL):
        self.frame(RST, 0, stream, struct.pack(">I", code))

    def close(self):
        self.peer.close()

    # Receiving.

    def take_one(self, timeout=None):
        """One frame."""
        while len(self.peer.buf) < 9 or len(self.peer.buf) < 9 + int.from_bytes(self.peer.buf[:3], "big"):
            if not self.peer.fill(timeout):
                raise Gone("the connection has ended; GOAWAY %r" % (self.goaway,))
        size = int.from_bytes(self.peer.buf[:3], "big")
        head = self.peer.take(9)
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        data = self.peer.take(size)
        self.frames.append((kind, flags, stream, data))
        self.took(kind, flags, stream, data)

    def took(self, kind, flags, stream, data):
        answer = self.answers.setdefault(stream, Answer()) if stream else None
        if kind == SETTINGS and not flags & ACK:
            self.settings.update(struct.iter_unpack(">HI", data))
            self.settings.setdefault(0, 0)
            self.frame(SETTINGS, ACK)
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">II", data[:8])
        elif kind == WINDOW:
            self.updates[stream] = self.updates.get(stream, 0) + struct.unpack(">I", data)[0]
        elif kind == RST:
            answer.reset = struct.unpack(">I", data)[0]
        elif kind in (HEADERS, CONTINUATION):
            if kind == HEADERS:
                answer.ends = flags & END
            self.block += data
            if flags & END_HEADERS:
                answer.heads.append(self.decoder.decode(self.block))
                answer.is_ended |= bool(answer.ends)
                self.block = b""
        elif kind == DATA:
            answer.body += data
            answer.is_ended |= bool(flags & END)
            if data and self.gives_window:
                self.frame(WINDOW, 0, 0, struct.pack(">I", len(data)))
                if not answer.is_ended:
                    self.frame(WINDOW, 0, stream, struct.pack(">I", len(data)))

    def until(self, holds):
        """Takes frames until HOLDS() is true; what it returned."""
        limit = time.monotonic() + DEADLINE * 4
        while True:
            have = holds()
            if have:
                return have
            if time.monotonic() > limit:
                raise Fail("h2: what was waited for did not come; last frames %r" % (self.frames[-5:],))
            self.take_one()

    def response(self, stream):
        answer = self.answers[stream]
        self.until(lambda: answer.is_ended or answer.reset is not None)
        if not answer.is_ended:
            raise Reset(stream, answer.reset)
        return answer

    def opened(self, stream):
        """A tunnel's status."""
        answer = self.answers[stream]
        self.until(lambda: answer.final() or answer.reset is not None)
        if not answer.final():
            raise Reset(stream, answer.reset)
        return answer

    def read(self, stream, size):
        """SIZE bytes of a tunnel."""
        answer = self.answers[stream]
        self.until(lambda: len(answer.body) >= size or answer.is_ended or answer.reset is not None)
        if len(answer.body) < size:
            raise Fail("h2: stream %d ended after %r" % (stream, answer.body[:200]))
        piece, answer.body = answer.body[:size], answer.body[size:]
        return piece

    def was_reset(self, stream):
        """The code of its RST_STREAM."""
        answer = self.answers[stream]
        self.until(lambda: answer.reset is not None)
        return answer.reset

    def ends(self):
        """Reads to the end of the connection; the GOAWAY, or None."""
        limit = time.monotonic() + DEADLINE * 4
        try:
            while time.monotonic() < limit:
                self.take_one()
        except Gone:
            return self.goaway
        raise Fail("h2: the connection does not end")

    def ping(self, data=b"12345678"):
        n = len(self.frames)
        self.frame(PING, 0, 0, data)
        self.until(lambda: any(f[0] == PING and f[1] & ACK and f[3] == data for f in self.frames[n:]))
