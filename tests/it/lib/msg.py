# SPDX-License-Identifier: MIT
"""HTTP/1.1 messages as the tests see them: a strict reader and small writers.

The reader is deliberately intolerant: what Limpet passes on must be framed in exactly one way, so
a bare LF, two Content-Lengths or a Content-Length beside a Transfer-Encoding is a failed test.
"""
import re

__all__ = ["Fail", "Message", "parse_head", "ok", "answer", "get", "post", "chunk", "chunked",
           "body_bytes"]

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


class Fail(Exception):
    """A test's expectation did not hold."""


class Message:
    """A request or a response, read whole."""

    def __init__(self, start, fields, raw_head):
        self.start = start          # the first line, without CRLF
        self.fields = fields        # [(name, value)] in order, as sent
        self.raw_head = raw_head
        self.body = b""
        self.trailers = []
        self.framing = "none"       # none | length | chunked | close
        self.is_complete = False
        parts = start.split(b" ", 2)
        if start.startswith(b"HTTP/"):
            self.version = parts[0].decode("latin-1")
            self.status = int(parts[1])
        else:
            self.method, self.target, version = (p.decode("latin-1") for p in parts)
            self.version = version

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def has(self, name):
        return bool(self.all(name))

    def __repr__(self):
        return "<%s %s %d body bytes, %s>" % (self.start, self.framing, len(self.body), self.fields)


def parse_fields(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name) or b"\r" in value or b"\n" in value or b"\0" in value:
            raise Fail("a malformed field line was passed on: %r" % line)
        fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return fields


def parse_head(raw):
    """RAW ends with the empty line."""
    lines = raw[:-4].split(b"\r\n")
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise Fail("a bare CR or LF was passed on: %r" % raw)
    msg = Message(lines[0], parse_fields(lines[1:]), raw)
    lengths, codings = msg.all("content-length"), msg.all("transfer-encoding")
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise Fail("framed more than one way: %r" % raw)
    if lengths and not re.fullmatch(r"[0-9]+", lengths[0]):
        raise Fail("odd Content-Length passed on: %r" % raw)
    return msg


def _fields(fields):
    return b"".join(b"%s: %s\r\n" % (_b(n), _b(v)) for n, v in fields)


def _b(text):
    return text if isinstance(text, bytes) else str(text).encode("latin-1")


def answer(status, body=b"", fields=(), reason="Whatever", version="HTTP/1.1"):
    """A response with a Content-Length."""
    body = _b(body)
    return (_b("%s %d %s\r\n" % (version, status, reason)) + _fields(fields) +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


def ok(body=b"ok", fields=()):
    return answer(200, body, fields, "OK")


def get(target="/", fields=(), host="example.test", method="GET", version="HTTP/1.1"):
    head = [("Host", host)] if host is not None else []
    return _b("%s %s %s\r\n" % (method, target, version)) + _fields(head + list(fields)) + b"\r\n"


def post(target="/", body=b"", fields=(), host="example.test", method="POST"):
    body = _b(body)
    return get(target, [("Content-Length", len(body))] + list(fields), host, method) + body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunked(*parts, trailers=()):
    return b"".join(chunk(_b(p)) for p in parts) + b"0\r\n" + _fields(trailers) + b"\r\n"


def body_bytes(size, seed=7):
    """SIZE bytes in which a lost, doubled or moved piece shows."""
    out = bytearray()
    block = 0
    while len(out) < size:
        out += b"%d:%012d." % (seed, block)
        block += 1
    return bytes(out[:size])
