#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Requests and responses of every framing go through whole, re-framed in one way (RFC 9112 6)."""
import re

from lib import *

H = "Host: example.test\r\n"
HOST = b"Host: example.test\r\n"
BODY = body_bytes(3000)

rows([
    {"name": "a GET and its answer are relayed",
     "server": [request(method="GET", target="/a/b?c=d&e=%20f", body=b"", version="HTTP/1.1"),
                send(ok("hello"))],
     "client": [send(get("/a/b?c=d&e=%20f")), response(200, b"hello")]},
    {"name": "a POST with a length is relayed with a length",
     "server": [request(method="POST", body=BODY, framing="length"), send(ok(BODY))],
     "client": [send(post("/p", BODY)), response(200, BODY)]},
    {"name": "a POST with length zero keeps its length",
     "server": [request(method="POST", body=b"", framing="length"), send(ok())],
     "client": [send(post("/p", b"")), response(200)]},
    {"name": "a chunked request is relayed chunked",
     "server": [request(method="POST", body=b"abcdefghij", framing="chunked"), send(ok())],
     "client": [send(b"POST / HTTP/1.1\r\n", HOST, b"Transfer-Encoding: chunked\r\n\r\n",
                     chunked(b"abc", b"defghij")), response(200)]},
    {"name": "a chunked request sent byte by byte is relayed",
     "server": [request(method="POST", body=b"abcdefghij", framing="chunked"), send(ok())],
     "client": [drip(b"POST / HTTP/1.1\r\n", HOST, b"Transfer-Encoding: chunked\r\n\r\n",
                     chunked(b"abc", b"defghij", trailers=[("X-T", "1")])), response(200)]},
    {"name": "chunk extensions are dropped and sizes may have leading zeros and any case",
     "server": [request(method="POST", body=b"0123456789", framing="chunked"), send(ok())],
     "client": [send(b"POST / HTTP/1.1\r\n", HOST, b"Transfer-Encoding: Chunked\r\n\r\n",
                     b"00A;name=value;q=\"a b\"\r\n0123456789\r\n0;x\r\n\r\n"), response(200)]},
    {"name": "a body in the same segment as the head arrives whole, and so does one that follows late",
     "server": [request(body=BODY), send(ok()), request(body=BODY), send(ok())],
     "client": [send(post("/", BODY)), response(200),
                send(get("/", [("Content-Length", len(BODY))], method="POST")), pause(0.03),
                send(BODY), response(200)]},
    {"name": "a chunked answer is relayed chunked to HTTP/1.1",
     "server": [request(), send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                chunked(b"one", b"twotwo"))],
     "client": [send(get()), response(200, b"onetwotwo")]},
    {"name": "a chunked answer sent byte by byte is relayed",
     "server": [request(), drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                chunked(b"one", b"twotwo", trailers=[("X-T", "v")]))],
     "client": [send(get()), response(200, b"onetwotwo")]},
    {"name": "a close-delimited answer is relayed whole and its end is told",
     "server": [request(), send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", BODY), close()],
     "client": [send(get()), response(200, BODY)]},
    {"name": "a close-delimited answer of an HTTP/1.0 server is relayed",
     "server": [request(), send(b"HTTP/1.0 200 OK\r\n\r\n", BODY), close()],
     "client": [send(get()), response(200, BODY)]},
    {"name": "an empty close-delimited answer is relayed",
     "server": [request(), send(b"HTTP/1.1 200 OK\r\n\r\n"), close()],
     "client": [send(get()), response(200, b"")]},
    {"name": "an answer with length zero keeps the connection",
     "server": [request(), send(answer(200)), request(), send(ok("2"))],
     "client": [send(get()), response(200, b""), send(get()), response(200, b"2")]},
    {"name": "HEAD: the length is told, no body follows, the connection goes on",
     "server": [request(method="HEAD"), send(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
                request(method="GET"), send(ok("next"))],
     "client": [send(get(method="HEAD")), expect(re.compile(rb"(?i)Content-Length: 1234\r\n")),
                expect(re.compile(rb"\r\n\Z")), send(get()), response(200, b"next")]},
    {"name": "HEAD of a chunked answer has no body",
     "server": [request(method="HEAD"), send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                request(), send(ok("next"))],
     "client": [send(get(method="HEAD")), response(200, b"", to="HEAD"), send(get()),
                response(200, b"next")]},
    {"name": "204 has no body and the connection goes on",
     "server": [request(), send(b"HTTP/1.1 204 No Content\r\n\r\n"), request(), send(ok("next"))],
     "client": [send(get()), response(204, b""), send(get()), response(200, b"next")]},
    {"name": "304 with a length has no body and the connection goes on",
     "server": [request(), send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n"),
                request(), send(ok("next"))],
     "client": [send(get()), response(304, b""), send(get()), response(200, b"next")]},
    {"name": "103 is passed on before the final answer",
     "server": [request(), send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"), wait("hints seen"),
                send(ok("final"))],
     "client": [send(get()), response(103), fire("hints seen"), response(200, b"final")]},
    {"name": "several 1xx in one segment with the final answer are all passed on",
     "server": [request(), send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
                                ok("final")), request(), send(ok("2"))],
     "client": [send(get()), response(103), response(102), response(200, b"final"),
                send(get()), response(200, b"2")]},
    {"name": "an unknown method is passed on as it is",
     "server": [request(method="FROBNICATE", body=b"x"), send(ok())],
     "client": [send(post(method="FROBNICATE", body=b"x")), response(200)]},
    {"name": "OPTIONS * is passed on as it is",
     "server": [request(method="OPTIONS", target="*"), send(ok())],
     "client": [send(get("*", method="OPTIONS")), response(200)]},
    {"name": "the status and an empty reason are passed on",
     "server": [request(), send(b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n")],
     "client": [send(get()), response(299, b"")]},
    {"name": "an empty line before the request line is forgiven",
     "server": [request(target="/x"), send(ok())],
     "client": [send(b"\r\n" + get("/x")), response(200)]},
    {"name": "bytes above 0x7f in a field's value are passed on",
     "server": [request(), send(ok())],
     "client": [send(get(fields=[("X-Name", b"J\xc3\xb6rg")])), response(200)]},
])


@case("an answer to an HTTP/1.0 client is never chunked")
def _(t):
    t.server([request(), send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                              chunked(b"one", b"two", trailers=[("X-T", "1")]))])
    t.limpet()
    c = t.connect()
    c.send(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
    msg = c.read_response()
    same((msg.status, msg.body, msg.framing), (200, b"onetwo", "close"), "answer")
    check(not msg.has("transfer-encoding") and not msg.has("trailer"), msg)


@case("an HTTP/1.0 request without Host is served")
def _(t):
    t.server([request(), send(ok("x"))])
    t.limpet()
    c = t.connect()
    c.send(b"GET /old HTTP/1.0\r\n\r\n")
    same(c.read_response().body, b"x", "body")
    check(c.wait_gone(), "the connection ends after an HTTP/1.0 answer")


@case("trailers are passed on in both directions")
def _(t):
    server = t.server([request(), send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n",
        chunked(b"data", trailers=[("X-Sum", "42"), ("X-More", "y")]))])
    t.limpet()
    c = t.connect()
    c.send(b"POST / HTTP/1.1\r\n" + HOST + b"TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n" +
           chunked(b"up", trailers=[("X-Up", "1")]))
    msg = c.read_response()
    same(msg.trailers, [("X-Sum", "42"), ("X-More", "y")], "trailers to the client")
    same(server.requests[0].trailers, [("X-Up", "1")], "trailers to the server")


@case("a trailer can't smuggle a framing, routing or hop-by-hop field")
def _(t):
    server = t.server([request(), send(ok())])
    t.limpet()
    c = t.connect()
    c.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" +
           chunked(b"up", trailers=[("Content-Length", "5"), ("Host", "evil"), ("X-Fine", "1"),
                                    ("Transfer-Encoding", "gzip"), ("Connection", "close")]))
    status = c.read_response().status
    if status == 200:               # dropped; refusing the request as a whole is as good
        same(server.requests[0].trailers, [("X-Fine", "1")], "trailers to the server")
    else:
        same(status, 400, "status")


@case("fields keep their order, their values and their repetition")
def _(t):
    sent = [("X-B", "2"), ("x-a", "1"), ("X-B", "3, 4"), ("Cookie", "a=b; c=d"), ("X-Empty", "")]
    back = [("Set-Cookie", "a=1; Path=/"), ("X-Z", "1"), ("Set-Cookie", "b=2"), ("Date", "now")]
    server = t.server([request(), send(ok(fields=back))])
    t.limpet()
    msg = t.ask(get(fields=sent))
    names = [n.lower() for n, _ in sent]
    same([f for f in server.requests[0].fields if f[0].lower() in names], sent, "request fields")
    names = [n.lower() for n, _ in back]
    same([f for f in msg.fields if f[0].lower() in names], back, "response fields")


@case("a close-delimited answer after a HEAD is no body and the next request is served")
def _(t):
    t.server([request(method="HEAD"), send(b"HTTP/1.1 200 OK\r\n\r\n"), close()],
             [request(), send(ok("next"))])
    t.limpet()
    c = t.connect()
    c.send(get(method="HEAD"))
    same(c.read_response("HEAD").status, 200, "status")
    if not c.is_silent(0.05):       # closing is allowed, bytes are not
        check(not c.fill(1), "no body after a HEAD")
        c = t.connect()
    same(c.ask(get()).body, b"next", "body")


main()
