#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Malformed and ambiguous requests are refused, whole and byte by byte, and reach no server.

Each row is sent to one and the same Limpet in three ways: at once, byte by byte, and behind a good
request on the same connection.  The origin counts every byte that it gets.
"""
import re

from lib import *

H = b"Host: example.test\r\n"
G = b"GET /x HTTP/1.1\r\n"
P = b"POST /x HTTP/1.1\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: example.test\r\n\r\n"
HUGE = b"99999999999999999999"

# (what it is, the bytes, the statuses that may answer it)
TABLE = [
    # Two framings.
    ("Content-Length and Transfer-Encoding (CL.TE)",
     P + H + b"Content-Length: 4\r\n" + TE + b"\r\n0\r\n\r\n" + SMUGGLED, 400),
    ("Transfer-Encoding and Content-Length (TE.CL)",
     P + H + TE + b"Content-Length: 4\r\n\r\n5c\r\n" + SMUGGLED, 400),
    ("two different Content-Lengths", P + H + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400),
    ("two equal Content-Lengths", P + H + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
    ("a list of Content-Lengths", P + H + b"Content-Length: 4, 4\r\n\r\nabcd", 400),
    ("a list of different Content-Lengths", P + H + b"Content-Length: 4, 5\r\n\r\nabcde", 400),
    ("two Transfer-Encodings", P + H + TE + TE + b"\r\n0\r\n\r\n", 400),
    ("two Transfer-Encodings, the second unknown",
     P + H + TE + b"Transfer-Encoding: x\r\n\r\n0\r\n\r\n", (400, 501)),
    ("Transfer-Encoding in HTTP/1.0", b"POST /x HTTP/1.0\r\n" + H + TE + b"\r\n0\r\n\r\n", 400),
    # Odd lengths.
    ("an empty Content-Length", P + H + b"Content-Length:\r\n\r\n", 400),
    ("a Content-Length with a plus sign", P + H + b"Content-Length: +4\r\n\r\nabcd", 400),
    ("a negative Content-Length", P + H + b"Content-Length: -4\r\n\r\nabcd", 400),
    ("a Content-Length in hex", P + H + b"Content-Length: 0x4\r\n\r\nabcd", 400),
    ("a Content-Length with a space inside", P + H + b"Content-Length: 1 0\r\n\r\nabcd", 400),
    ("a Content-Length with letters behind", P + H + b"Content-Length: 4abc\r\n\r\nabcd", 400),
    ("a Content-Length with a fraction", P + H + b"Content-Length: 4.0\r\n\r\nabcd", 400),
    ("a Content-Length with a trailing comma", P + H + b"Content-Length: 4,\r\n\r\nabcd", 400),
    ("a quoted Content-Length", P + H + b"Content-Length: \"4\"\r\n\r\nabcd", 400),
    ("a Content-Length that overflows", P + H + b"Content-Length: " + HUGE + b"\r\n\r\nabcd", (400, 413)),
    ("a Content-Length of 2^64", P + H + b"Content-Length: 18446744073709551616\r\n\r\nabcd", (400, 413)),
    ("a Content-Length with a vertical tab", P + H + b"Content-Length: \x0b4\r\n\r\nabcd", 400),
    ("a Content-Length with a no-break space", P + H + b"Content-Length: \xa04\r\n\r\nabcd", 400),
    # Transfer codings.
    ("an unknown transfer coding", P + H + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", (400, 501)),
    ("gzip, chunked", P + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    ("chunked, gzip", P + H + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", (400, 501)),
    ("chunked, chunked", P + H + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    ("identity", P + H + b"Transfer-Encoding: identity\r\n\r\n", (400, 501)),
    ("chunked, identity", P + H + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", (400, 501)),
    ("xchunked", P + H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", (400, 501)),
    ("chunkedx", P + H + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", (400, 501)),
    ("chunked with a vertical tab", P + H + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", (400, 501)),
    ("quoted chunked", P + H + b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", (400, 501)),
    ("chunked with a parameter", P + H + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", (400, 501)),
    ("an empty Transfer-Encoding", P + H + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", (400, 501)),
    ("an empty Transfer-Encoding beside a length",
     P + H + b"Transfer-Encoding:\r\nContent-Length: 4\r\n\r\nabcd", (400, 501)),
    ("Transfer-Encoding in a folded line", P + H + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    ("a space before the colon of Transfer-Encoding",
     P + H + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("a tab before the colon of Content-Length", P + H + b"Content-Length\t: 4\r\n\r\nabcd", 400),
    ("a Transfer-Encoding hidden behind a bare CR",
     P + H + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a Transfer-Encoding hidden behind a bare LF",
     P + H + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a name with a NUL inside", P + H + b"Transfer\0-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # Field lines.
    ("an obs-fold", G + H + b"X-A: a\r\n b\r\n\r\n", 400),
    ("an obs-fold with a tab", G + H + b"X-A: a\r\n\tb\r\n\r\n", 400),
    ("a first field line that begins with a space", G + b" Host: example.test\r\n\r\n", 400),
    ("a first field line that begins with a tab", G + b"\tX: a\r\n" + H + b"\r\n", 400),
    ("a bare LF after the request line", b"GET /x HTTP/1.1\n" + H + b"\r\n", 400),
    ("a bare LF after a field", G + b"Host: example.test\nX: y\r\n\r\n", 400),
    ("nothing but bare LFs", b"GET /x HTTP/1.1\nHost: example.test\n\n", 400),
    ("a bare LF as the last line", G + H + b"\n", 400),
    ("a bare CR in a value", G + H + b"X: a\rb\r\n\r\n", 400),
    ("CR CR LF", G + b"Host: example.test\r\r\n\r\n", 400),
    ("a bare CR in the request line", b"GET /x\rHTTP/1.1\r\n" + H + b"\r\n", 400),
    ("NUL in a value", G + H + b"X: a\0b\r\n\r\n", 400),
    ("NUL in the target", b"GET /x\0y HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a control in a value", G + H + b"X: a\x01b\r\n\r\n", 400),
    ("DEL in a value", G + H + b"X: a\x7fb\r\n\r\n", 400),
    ("a space before a colon", G + b"Host : example.test\r\n\r\n", 400),
    ("a space in a field's name", G + H + b"X Y: a\r\n\r\n", 400),
    ("an empty field name", G + H + b": a\r\n\r\n", 400),
    ("a line without a colon", G + H + b"nonsense\r\n\r\n", 400),
    ("a field name with a parenthesis", G + H + b"X(: a\r\n\r\n", 400),
    ("a field name with a slash", G + H + b"X/Y: a\r\n\r\n", 400),
    ("a field name with a high byte", G + H + b"X\xe9: a\r\n\r\n", 400),
    ("a field name with a quote", G + H + b"\"X\": a\r\n\r\n", 400),
    # Host.
    ("no Host", G + b"X: y\r\n\r\n", 400),
    ("two Hosts", G + H + b"Host: other.test\r\n\r\n", 400),
    ("two equal Hosts", G + H + H + b"\r\n", 400),
    ("two Hosts of different case", G + H + b"hOST: example.test\r\n\r\n", 400),
    ("an empty Host", G + b"Host:\r\n\r\n", 400),
    ("a Host with a space", G + b"Host: a b\r\n\r\n", 400),
    ("a Host with a slash", G + b"Host: a/b\r\n\r\n", 400),
    ("a Host with user information", G + b"Host: user@example.test\r\n\r\n", 400),
    ("a Host with a comma", G + b"Host: a,b\r\n\r\n", 400),
    ("a Host with a bad port", G + b"Host: example.test:8x\r\n\r\n", 400),
    ("a Host with too large a port", G + b"Host: example.test:99999\r\n\r\n", 400),
    ("a Host with an unclosed bracket", G + b"Host: [::1\r\n\r\n", 400),
    ("a Host with a query", G + b"Host: a?b\r\n\r\n", 400),
    ("a Host with a fragment", G + b"Host: a#b\r\n\r\n", 400),
    ("a Host with a backslash", G + b"Host: a\\b\r\n\r\n", 400),
    ("an absolute form without an authority", b"GET http:///x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("an absolute form with user information",
     b"GET http://u@example.test/x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("an absolute form of another scheme", b"GET ftp://example.test/x HTTP/1.1\r\n" + H + b"\r\n", 400),
    # Request line.
    ("two spaces after the method", b"GET  /x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("two spaces before the version", b"GET /x  HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a tab after the method", b"GET\t/x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a space at the end of the request line", b"GET /x HTTP/1.1 \r\n" + H + b"\r\n", (400, 505)),
    ("a space before the method", b" GET /x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a space in the target", b"GET /x y HTTP/1.1\r\n" + H + b"\r\n", (400, 505)),
    ("no target", b"GET HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("an empty method", b" /x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a method that is no token", b"GE(T /x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a target without a slash", b"GET x HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("* with GET", b"GET * HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a fragment in the target", b"GET /x#y HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a high byte in the target", b"GET /\xe9 HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("a control in the target", b"GET /\x1b HTTP/1.1\r\n" + H + b"\r\n", 400),
    ("CONNECT", b"CONNECT example.test:443 HTTP/1.1\r\n" + H + b"\r\n", (400, 405, 501)),
    ("CONNECT with a path", b"CONNECT /x HTTP/1.1\r\n" + H + b"\r\n", (400, 405, 501)),
    ("HTTP/0.9", b"GET /x\r\n\r\n", 400),
    ("HTTP/2.0", b"GET /x HTTP/2.0\r\n" + H + b"\r\n", 505),
    ("HTTP/3", b"GET /x HTTP/3\r\n" + H + b"\r\n", (400, 505)),
    ("HTTP/1.2 or another unknown minor", b"GET /x HTTP/1.9x\r\n" + H + b"\r\n", (400, 505)),
    ("HTTP/1", b"GET /x HTTP/1\r\n" + H + b"\r\n", (400, 505)),
    ("HTTP/1.10", b"GET /x HTTP/1.10\r\n" + H + b"\r\n", (400, 505)),
    ("HTTP/01.1", b"GET /x HTTP/01.1\r\n" + H + b"\r\n", (400, 505)),
    ("HTTP/11.1", b"GET /x HTTP/11.1\r\n" + H + b"\r\n", (400, 505)),
    ("http/1.1 in small letters", b"GET /x http/1.1\r\n" + H + b"\r\n", (400, 505)),
    ("HTTP /1.1", b"GET /x HTTP /1.1\r\n" + H + b"\r\n", (400, 505)),
    ("another protocol's name", b"GET /x HTCPCP/1.1\r\n" + H + b"\r\n", (400, 505)),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    ("a TLS ClientHello", bytes.fromhex("16030100a5010000a10303") + bytes(range(120)), 400),
    ("a PROXY v1 header where none is taken",
     b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + G + H + b"\r\n", (400, 505)),
    ("a PROXY v2 header where none is taken",
     b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + G + H + b"\r\n", 400),
    # Limits.
    ("a target of 9,000 bytes", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414),
    ("a target without an end", b"GET /" + b"a" * 70000, 414),
    ("one field of 20,000 bytes", G + H + b"X: " + b"a" * 20000 + b"\r\n\r\n", 431),
    ("4,000 fields", G + H + b"X: " + b"a" * 50 + b"\r\n" + b"X: a\r\n" * 4000 + b"\r\n", 431),
    ("a field name of 20,000 bytes", G + H + b"a" * 20000, 431),
    ("a head without an end", G + H + b"X: a\r\n" * 20000, 431),
    ("a method without an end", b"G" * 70000, (400, 414, 431, 501)),
]

# These come behind a good head: something of the head may have reached the server, the malformed
# part and what follows must not be taken for a request.  (name, chunked body)
BODIES = [
    ("a chunk size that overflows", b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    ("a chunk size of 2^64", b"10000000000000000\r\nabc\r\n0\r\n\r\n"),
    ("a chunk size with 0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("a negative chunk size", b"-3\r\nabc\r\n0\r\n\r\n"),
    ("a chunk size with a plus sign", b"+3\r\nabc\r\n0\r\n\r\n"),
    ("an empty chunk size", b"\r\nabc\r\n0\r\n\r\n"),
    ("a chunk size that is no number", b"xyz\r\nabc\r\n0\r\n\r\n"),
    ("a space before the chunk size", b" 3\r\nabc\r\n0\r\n\r\n"),
    ("an underscore in the chunk size", b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    ("a bare LF after the chunk size", b"3\nabc\r\n0\r\n\r\n"),
    ("a bare CR after the chunk size", b"3\rabc\r\n0\r\n\r\n"),
    ("a bare LF in a chunk extension", b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("a bare CR in a chunk extension", b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("a NUL in a chunk extension", b"3;a\0b\r\nabc\r\n0\r\n\r\n"),
    ("a chunk extension without an end", b"3;" + b"a" * 70000),
    ("a chunk longer than its size", b"3\r\nabcd\r\n0\r\n\r\n"),
    ("a chunk that ends with a bare LF", b"3\r\nabc\n0\r\n\r\n"),
    ("a chunk that ends with a bare CR", b"3\r\nabc\r0\r\n\r\n"),
    ("a chunk that ends with two other bytes", b"3\r\nabcXX0\r\n\r\n"),
    ("a bare LF after the last chunk", b"3\r\nabc\r\n0\n\n"),
    ("a bare LF at the end of the trailers", b"3\r\nabc\r\n0\r\nX: y\n\r\n"),
    ("a trailer with a space before the colon", b"3\r\nabc\r\n0\r\nX : y\r\n\r\n"),
    ("a trailer without a colon", b"3\r\nabc\r\n0\r\nnonsense\r\n\r\n"),
    ("a folded trailer", b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n"),
    ("a NUL in a trailer", b"3\r\nabc\r\n0\r\nX: y\0\r\n\r\n"),
    ("trailers without an end", b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 20000),
    ("chunk lines of zeros without an end", b"0" * 70000),
]

# What is unusual and good must be taken, or the table above would pass by refusing everything.
GOOD = [
    ("a plain GET", G + H + b"\r\n"),
    ("a Host with a port", G + b"Host: example.test:8080\r\n\r\n"),
    ("a Host that is an IPv6 address", G + b"Host: [::1]:80\r\n\r\n"),
    ("no space after a colon, tabs and spaces around a value", G + b"Host:example.test\r\nX:\t a \t\r\n\r\n"),
    ("an empty value", G + H + b"X:\r\n\r\n"),
    ("an unusual token as a field name", G + H + b"!#$%&'*+-.^_`|~0aZ: a\r\n\r\n"),
    ("an absolute form that agrees with Host", b"GET http://example.test/x HTTP/1.1\r\n" + H + b"\r\n"),
    ("an absolute form in other case", b"GET HTTP://EXAMPLE.test/x HTTP/1.1\r\n" + H + b"\r\n"),
    ("a long but allowed target", b"GET /" + b"a" * 7000 + b" HTTP/1.1\r\n" + H + b"\r\n"),
    ("a Content-Length with leading zeros", P + H + b"Content-Length: 0004\r\n\r\nabcd"),
    ("a query with odd characters", b"GET /x?a=b&c[]=d|e HTTP/1.1\r\n" + H + b"\r\n"),
    ("chunked with spaces around", P + H + b"Transfer-Encoding:  CHUNKED \r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
]


class Shared:
    """One Limpet and one origin for all rows; a row looks at what the origin got meanwhile."""

    def __init__(self):
        self.t = None

    def get(self):
        if self.t is None:
            self.t = Case("shared")
            self.origin = self.t.server(serve(lambda m, p: ok("served")))
            self.limpet = self.t.limpet()
        return self.t


shared = Shared()


def refuse(data, want, way, allow_extra=b""):
    t = shared.get()
    before = shared.origin.received
    c = t.connect()
    if way == "after a good one":
        same(c.ask(get("/good")).body, b"served", "the good request's answer")
        before = shared.origin.received
    if way == "byte by byte" and len(data) <= 3000:
        c.drip(data)
    elif way == "byte by byte":
        c.pieces([data[i:i + 1000] for i in range(0, len(data), 1000)], 0)
    else:
        c.send(data)
    msg = c.read_response()
    want = want if isinstance(want, tuple) else (want,)
    check(msg.status in want, "%s: answered with %d, not %s" % (way, msg.status, want))
    check(msg.get("connection", "").lower() == "close", "%s: does not say close" % way)
    rest = c.read_all()
    check(not rest, "%s: more after the refusal: %r" % (way, rest[:200]))
    c.close()
    same(shared.origin.received - before, 0, way + ": bytes that reached the server")


def refusal(name, data, want):
    def run(_):
        for way in ("at once", "byte by byte", "after a good one"):
            refuse(data, want, way)
    return case(name + " is refused")(run)


def body_refusal(name, body):
    def run(_):
        t = shared.get()
        for way in ("at once", "byte by byte"):
            c = t.connect()
            before = len(shared.origin.requests)
            data = P.replace(b"/x", b"/body") + H + TE + b"\r\n" + body + SMUGGLED
            if way == "byte by byte" and len(data) <= 3000:
                c.drip(data)
            else:
                c.send(data)
            rest = c.read_all()
            check(rest.startswith(b"HTTP/1.1 400 "), "%s: answered with %r" % (way, rest[:60]))
            same(rest.count(b"HTTP/1."), 1, way + ": answers")
            c.close()
            new = shared.origin.requests[before:]
            check(all(m.target == "/body" and not m.is_complete for m in new),
                  "%s: the server got %r" % (way, new))
            # The connection that carried the half-sent request must be gone from the pool.
            same(t.ask(get("/good")).body, b"served", "a later request")
            shared.origin.errors[:] = [e for e in shared.origin.errors
                                       if "ended" not in e]     # the cut body, as it should be
    return case(name + " is refused")(run)


def accepted(name, data):
    def run(_):
        t = shared.get()
        for way in ("at once", "byte by byte"):
            c = t.connect()
            c.drip(data) if way == "byte by byte" else c.send(data)
            same(c.read_response().status, 200, "%s: status" % way)
            same(c.ask(get("/next")).status, 200, "%s: status of the next request" % way)
            c.close()
    return case(name + " is taken")(run)


for row in TABLE:
    refusal(*row)
for row in BODIES:
    body_refusal(*row)
for row in GOOD:
    accepted(*row)


@case("an absolute form that contradicts Host is refused, or Host is made to agree (RFC 9112 3.2.2)")
def _(_):
    t = shared.get()
    before = len(shared.origin.requests)
    msg = t.ask(b"GET http://other.test/x HTTP/1.1\r\n" + H + b"\r\n")
    if msg.status == 200:
        sent = shared.origin.requests[before]
        same(sent.get("host"), "other.test", "Host")
        same(sent.target.replace("http://other.test", ""), "/x", "target")
    else:
        same(msg.status, 400, "status")


@case("after all that, Limpet is alive, and holds no client connection")
def _(_):
    t = shared.get()
    same(t.ask(get("/last")).body, b"served", "body")
    for c in t.clients:
        c.close()
    until(lambda: shared.limpet.fds() < 80, "descriptors are given back")
    wrong = t.finish()
    shared.t = None
    check(not wrong, "\n".join(wrong))


main()
