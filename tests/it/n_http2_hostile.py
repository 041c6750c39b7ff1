#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""HTTP/2 clients that mean harm: each is ended, says the log why, and nobody else notices."""
import re
import socket
import struct
import threading
import time

from lib import *
from lib.h2 import *
from lib.limpet import until

CLEAR = "http2: {cleartext: true%s}"


def start(t, frontend="", limits="", body=b"hello", global_=""):
    def script(peer):
        try:
            serve(lambda m, p: ok(body))(peer)
        except Fail:
            pass            # a request that came to no end
    t.server(script)
    return t.limpet(config(frontend=CLEAR % limits + (", " + frontend if frontend else ""), global_=global_))


def pour(h2, data, limit=30):
    """Sends DATA over and over until the connection ends, or LIMIT s; whether it did."""
    sock = h2.peer.sock
    sock.settimeout(0.5)
    until_at = time.monotonic() + limit
    while time.monotonic() < until_at:
        try:
            sock.sendall(data)
        except socket.timeout:
            continue
        except OSError:
            return True
    return False


def closed(h2):
    """The GOAWAY with which the connection ended; True when it was cut off before it could be read."""
    try:
        goaway = h2.ends()
    except Fail as err:
        if "does not end" in str(err) or "nothing came" in str(err):
            raise
        goaway = None
    return goaway[1] if goaway else True


def is_served(t):
    other = H2(t)
    same(other.response(other.get("/")).body, b"hello", "another client")
    other.close()


def flood(t, data, why, limits="", code=ENHANCE_YOUR_CALM, times=None, frontend="", before=None):
    limpet = start(t, limits=limits, frontend=frontend)
    good = H2(t)
    h2 = H2(t)
    if before:
        before(h2)
    rss = limpet.rss()
    raw = data if callable(data) else lambda: data
    try:
        for _ in range(times or 3000):
            h2.peer.send(raw())
    except (Fail, OSError):
        pass
    check(closed(h2) in (code, True), "GOAWAY %r" % (h2.goaway,))
    limpet.wait_log(r"HTTP/2 connection from 127\.0\.0\.1:\d+ closed: .*" + why)
    room = (60 << 20) * (4 if is_sanitized else 1)      # a sanitizer keeps what was freed
    check(limpet.rss() - rss < room, "memory: %d more" % (limpet.rss() - rss))
    same(good.response(good.get("/")).body, b"hello", "the good client")
    is_served(t)


def many(make, n=100):
    """Streams one after the other: MAKE(stream) gives frames."""
    at = [1]

    def run():
        out = b""
        for _ in range(n):
            out += make(at[0])
            at[0] += 2
        return out
    return run


BLOCK = fields_block([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")])


@case("rapid reset")
def _(t):
    flood(t, many(lambda s: frame(HEADERS, END | END_HEADERS, s, BLOCK) + frame(RST, 0, s, struct.pack(">I", CANCEL))),
          "cancelled", times=30)


@case("rapid reset, each stream with a segment of its own, and a limit of one's own")
def _(t):
    flood(t, many(lambda s: frame(HEADERS, END | END_HEADERS, s, BLOCK) + frame(RST, 0, s, struct.pack(">I", CANCEL)), 1),
          "cancelled", times=120, limits=", max_resets: 50")


@case("streams that the client makes us reset count as if it had reset them")
def _(t):
    bad = BLOCK + fields_block([("content-length", "5")])
    flood(t, many(lambda s: frame(HEADERS, END | END_HEADERS, s, bad)), "cancelled", times=30, limits=", max_streams: 5000")


@case("malformed trailers behind a request that a server works on count as resets")
def _(t):
    limpet = start(t, limits=", max_resets: 50")
    h2 = H2(t)
    sent = 0
    try:
        while sent < 300:
            stream = h2.open(h2.head("POST", "/"), 0)
            h2.ping()
            h2.frame(HEADERS, END | END_HEADERS, stream, fields_block([("x bad", "y")]))
            sent += 1
    except (Fail, OSError):
        pass
    check(sent < 60, "%d were taken" % sent)
    check(closed(h2) in (ENHANCE_YOUR_CALM, True), "GOAWAY %r" % (h2.goaway,))
    limpet.wait_log("cancelled")
    is_served(t)


@case("a window that grows by nothing")
def _(t):
    flood(t, frame(HEADERS, END_HEADERS, 1, BLOCK) + frame(WINDOW, 0, 1, struct.pack(">I", 0)), "WINDOW_UPDATE|PROTOCOL", times=1,
          code=PROTOCOL_ERROR)


@case("a CONTINUATION flood")
def _(t):
    limpet = start(t)
    h2 = H2(t)
    rss = limpet.rss()
    h2.frame(HEADERS, END, 1, BLOCK)
    try:
        for _ in range(2000):
            h2.frame(CONTINUATION, 0, 1, fields_block([("x-a", "y" * 1000)]))
    except (Fail, OSError):
        pass
    check(closed(h2) is not None, "closed")
    limpet.wait_log("HTTP/2 connection from .* closed: ")
    check(limpet.rss() - rss < 20 << 20, "memory")
    is_served(t)


@case("empty CONTINUATIONs")
def _(t):
    flood(t, frame(CONTINUATION, 0, 1, b""), "", times=2000, code=True,
          before=lambda h2: h2.frame(HEADERS, END, 1, BLOCK))


@case("a flood of PINGs that are read by nobody")
def _(t):
    limpet = start(t)
    h2 = H2(t)
    rss = limpet.rss()
    check(pour(h2, frame(PING, 0, 0, b"12345678") * 2000), "the connection ends")
    limpet.wait_log("carry nothing|Flooding")
    check(limpet.rss() - rss < 20 << 20, "memory")
    is_served(t)


@case("a flood of SETTINGS")
def _(t):
    flood(t, frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100)) * 100, "carry nothing|[Ff]lood", times=50)


@case("SETTINGS with too many entries")
def _(t):
    flood(t, frame(SETTINGS, 0, 0, struct.pack(">HI", 0x9999, 1) * 1000), "", times=1)


@case("a flood of PRIORITY")
def _(t):
    flood(t, many(lambda s: frame(PRIORITY, 0, s, struct.pack(">IB", 0, 7))), "carry nothing", times=40)


@case("a flood of frames of an unknown type")
def _(t):
    start(t)
    h2 = H2(t)
    for _ in range(50):
        h2.peer.send(frame(0xbe, 0, 0, b"x") * 100)
    same(h2.response(h2.get("/")).status, 200, "they are ignored (RFC 9113 4.1)")


@case("a flood of empty DATA")
def _(t):
    flood(t, frame(DATA, 0, 1, b"") * 100, "carry nothing", times=50,
          before=lambda h2: h2.open(h2.head("POST", "/"), 0))


@case("a flood of padding")
def _(t):
    flood(t, frame(DATA, PADDED, 1, b"\x03\0\0\0") * 100, "carry nothing", times=50,
          before=lambda h2: h2.open(h2.head("POST", "/"), 0))


@case("a flood of tiny WINDOW_UPDATEs")
def _(t):
    flood(t, frame(WINDOW, 0, 0, struct.pack(">I", 1)) * 100, "window updates", times=50)


@case("a small header block that unfolds to megabytes is 431, and costs little")
def _(t):
    limpet = start(t)
    h2 = H2(t)
    rss, cpu = limpet.rss(), limpet.cpu()
    name, value = b"x-a", b"y" * 3900
    first = b"\x40\x03x-a\x7f" + bytes([(len(value) - 127) & 127 | 128, (len(value) - 127) >> 7]) + value
    for _ in range(20):
        stream = h2.next
        h2.next += 2
        h2.answers[stream] = Answer()
        h2.frame(HEADERS, END | END_HEADERS, stream, BLOCK + first + b"\xbe" * 8000)
        same(h2.response(stream).status, 431, "status")
        first = b""
    check(limpet.rss() - rss < 20 << 20, "memory")
    check(limpet.cpu() - cpu < 3 * SLOW, "processor time")
    is_served(t)


@case("a table size beyond the bound is an error of compression")
def _(t):
    limpet = start(t)
    h2 = H2(t)
    h2.frame(HEADERS, END | END_HEADERS, 1, b"\x3f\xff\xff\xff\x0f" + BLOCK)
    check(closed(h2) in (9, True), "COMPRESSION_ERROR")
    is_served(t)


@case("a header block that takes for ever")
def _(t):
    limpet = start(t, frontend="timeouts: {client_head: 500ms, keep_alive: 30s}")
    h2 = H2(t)
    h2.frame(HEADERS, END, 1, BLOCK[:5])
    check(closed(h2) in (ENHANCE_YOUR_CALM, True), "closed")
    limpet.wait_log("head not complete in time")
    is_served(t)


@case("a preface that takes for ever, and one that is not followed by SETTINGS")
def _(t):
    start(t, frontend="timeouts: {client_head: 500ms, keep_alive: 30s}")
    c = t.connect()
    c.send(PREFACE[:10])
    same(c.read_response().status, 408, "half a preface")
    h2 = H2(t, is_quiet=True)
    h2.peer.send(PREFACE)
    check(closed(h2), "closed")
    c = t.connect()
    c.send(b"")
    c.wait_gone()


@case("a client that takes nothing of its answers is closed, and what it costs is bounded")
def _(t):
    big = body_bytes(3000000)
    limpet = start(t, frontend="timeouts: {client: 1s}", body=big)
    rss = limpet.rss()
    h2 = H2(t, settings=[(4, 1 << 30)], window=1 << 30)
    for _ in range(100):
        h2.get("/")
    until(lambda: "cD" in limpet.log(), "the streams are given up", 20)
    check(limpet.rss() - rss < 100 << 20, "memory %d" % (limpet.rss() - rss))
    limpet.wait_log("cD")
    limpet.wait_log("HTTP/2 connection from .* closed: the client takes nothing of what it is sent")


@case("frames that are wrong end the connection with the right code")
def _(t):
    start(t)
    wrong = {
        "DATA on stream 0": (frame(DATA, 0, 0, b"x"), 1), "DATA on an idle stream": (frame(DATA, 0, 5, b"x"), 1),
        "HEADERS on stream 0": (frame(HEADERS, END | END_HEADERS, 0, BLOCK), 1),
        "HEADERS on an even stream": (frame(HEADERS, END | END_HEADERS, 2, BLOCK), 1),
        "too large a frame": (frame(PING, 0, 0, b"x" * 20000), 6), "a PING of 7 bytes": (frame(PING, 0, 0, b"x" * 7), 6),
        "SETTINGS of 5 bytes": (frame(SETTINGS, 0, 0, b"x" * 5), 6), "SETTINGS on a stream": (frame(SETTINGS, 0, 1), 1),
        "a window that overflows": (frame(WINDOW, 0, 0, struct.pack(">I", 0x7fffffff)), 3),
        "a frame within a header block": (frame(HEADERS, END, 1, BLOCK) + frame(PING, 0, 0, b"12345678"), 1),
        "PUSH_PROMISE": (frame(PUSH, END_HEADERS, 1, b"\0\0\0\2" + BLOCK), 1),
        "a bad index": (frame(HEADERS, END | END_HEADERS, 1, b"\xff\xff\x7f"), 9),
        "CONTINUATION alone": (frame(CONTINUATION, END_HEADERS, 1, BLOCK), 1),
        "more padding than there is": (frame(HEADERS, END | END_HEADERS | PADDED, 1, b"\xff" + BLOCK[:20]), 1),
    }
    for what, (raw, code) in wrong.items():
        h2 = H2(t)
        h2.peer.send(raw)
        have = closed(h2)
        check(have in (code, True), "%s: %r, not %d" % (what, have, code))
    is_served(t)


@case("more of a body than was announced, and less, and more than the window")
def _(t):
    limpet = start(t)
    h2 = H2(t)
    for length, body in (("3", b"abcdef"), ("9", b"abc")):
        stream = h2.open(h2.head("POST", "/", [("content-length", length)]), 0)
        h2.data(stream, body, END)
        same(h2.was_reset(stream), PROTOCOL_ERROR, "reset")
    limpet.wait_log("HTTP/2 stream 1 of .* reset: ")
    same(len(re.findall("HTTP/2 stream", limpet.log())), 1, "lines of one connection")
    is_served(t)


@case("random bytes behind a good preface")
def _(t):
    limpet = start(t)
    import random
    for seed in range(60):
        chance = random.Random(seed)
        h2 = H2(t)
        raw = b"".join(frame(chance.randrange(12), chance.randrange(256), chance.choice((0, 1, 1, 3, 5)),
                             bytes(chance.randrange(256) for _ in range(chance.randrange(40))))
                       for _ in range(30))
        h2.get("/")
        try:
            h2.peer.send(raw)
        except (Fail, OSError):
            pass
        h2.close()
    is_served(t)


main()
