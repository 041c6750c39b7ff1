#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""HTTP/2 to clients: requests, responses, bodies, sessions and shutdown, by raw frames on clear text."""
import os
import signal
import struct
import threading
import time

from lib import *
from lib.engine import *
from lib.h2 import *
from lib.limpet import until

CLEAR = "http2: {cleartext: true%s}"


def start(t, handler, frontend="", backend="", global_="", limits=""):
    """A server that answers by HANDLER, and a Limpet before it."""
    server = t.server(patient(handler))
    t.limpet(config(frontend=CLEAR % limits + (", " + frontend if frontend else ""), backend=backend, global_=global_))
    return server


def patient(handler):
    """As serve(), for clients that may go away in the middle."""
    def script(peer):
        try:
            serve(handler)(peer)
        except Fail:
            pass
    return script


def mirror(seen):
    """Answers with what came, and keeps it."""
    def run(msg, peer):
        seen.append(msg)
        return ok(msg.body, [("X-Method", msg.method), ("X-Target", msg.target)])
    return run


@case("a GET and a POST, and what the server sees of them")
def _(t):
    seen = []
    start(t, mirror(seen))
    h2 = H2(t)
    a = h2.get("/one?x=1", [("accept", "text/html"), ("x-two", "2")])
    b = h2.post("/two", b"hello")
    same((h2.response(a).status, h2.response(a).get("x-target")), (200, "/one?x=1"), "GET")
    same((h2.response(b).body, h2.response(b).get("x-method")), (b"hello", "POST"), "POST")
    seen.sort(key=lambda m: m.method)
    msg = seen[0]
    same((msg.method, msg.version, msg.get("host"), msg.get("accept"), msg.get("x-two")),
         ("GET", "HTTP/1.1", "site.test", "text/html", "2"), "head")
    same(msg.get("x-forwarded-proto"), "http", "X-Forwarded-Proto")
    check(not msg.has("transfer-encoding") and not msg.has("content-length"), "a GET without a body has no framing")
    for name in ("connection", "keep-alive", "transfer-encoding", "upgrade"):
        same(h2.response(a).get(name), None, name)
    t.limpets[0].wait_log(r'"POST /two HTTP/2\.0"')


@case("HTTP/1.1 on the same port is served as ever, byte by byte too")
def _(t):
    start(t, mirror([]))
    same(t.ask(get("/x")).status, 200)
    for data in (get("/x"), b"PRI /x HTTP/1.1\r\nHost: a\r\n\r\n"):
        c = t.connect()
        c.drip(data)
        same(c.read_response().status, 200, "status")
    c = t.connect()
    c.send(b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n")
    check(c.read_response().status in (400, 505), "a preface with a mistake in it")


@case("without http2.cleartext a preface is refused")
def _(t):
    t.echo()
    t.limpet()
    c = t.connect()
    c.send(PREFACE)
    check(c.read_response().status in (400, 505), "refused")


@case("h2c by Upgrade is not offered")
def _(t):
    seen = []
    start(t, mirror(seen))
    msg = t.ask(get("/x", [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]))
    same(msg.status, 200, "status")
    check(not seen[0].has("upgrade") and not seen[0].has("http2-settings"), "not passed on")


@case("every byte in a segment of its own")
def _(t):
    start(t, mirror([]))
    block = fields_block([(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "a.test"), ("content-length", "4")])
    raw = PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, block[:9]) + frame(CONTINUATION, END_HEADERS, 1, block[9:]) + \
        frame(DATA, 0, 1, b"ab") + frame(DATA, END | PADDED, 1, b"\x03cd\0\0\0")
    h2 = H2(t, is_quiet=True)
    h2.answers[1] = Answer()
    h2.peer.drip(raw)
    same(h2.response(1).body, b"abcd", "body")


@case("a connection that is cut at any byte leaves nothing behind")
def _(t):
    start(t, mirror([]))
    block = fields_block([(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "a.test")])
    raw = PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, 0, 1, b"ab") + frame(DATA, END, 1, b"cd")
    for size in range(len(raw)):
        c = t.connect()
        c.send(raw[:size])
        c.close()
    h2 = H2(t)
    same(h2.response(h2.get("/")).status, 200, "status")


@case("cookies in several fields come to the server in one")
def _(t):
    seen = []
    start(t, mirror(seen))
    h2 = H2(t)
    h2.response(h2.get("/", [("cookie", "a=1"), ("x-a", "b"), ("cookie", "b=2"), ("te", "trailers")]))
    same(seen[0].all("cookie"), ["a=1; b=2"], "Cookie")
    check(not seen[0].has("te"), "TE is hop by hop")


@case("Host without :authority serves; both must agree")
def _(t):
    seen = []
    start(t, mirror(seen))
    h2 = H2(t)
    base = [(":method", "GET"), (":scheme", "http"), (":path", "/")]
    same(h2.response(h2.open(base + [("x-a", "1"), ("host", "h.test"), ("x-b", "2")])).status, 200, "Host alone")
    same((seen[0].get("host"), seen[0].get("x-a"), seen[0].get("x-b")), ("h.test", "1", "2"), "fields")
    same(h2.response(h2.open(base + [(":authority", "H.test"), ("host", "h.test")])).status, 200, "both, in other case")
    same(h2.response(h2.open(base + [(":authority", "a.test"), ("host", "h.test")])).status, 400, "both, different")
    same(len(seen), 2, "requests that reached the server")


BAD = {
    "an upper-case name": [("X-A", "1")],
    "a name with a space": [("x a", "1")],
    "an empty name": [("", "1")],
    "CR LF in a value": [("x-a", "1\r\nx-b: 2")],
    "NUL in a value": [("x-a", "1\0")],
    "white space before a value": [("x-a", " 1")],
    "connection": [("connection", "close")],
    "keep-alive": [("keep-alive", "5")],
    "proxy-connection": [("proxy-connection", "close")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "upgrade": [("upgrade", "websocket")],
    "te: gzip": [("te", "gzip")],
    "a pseudo-field behind a field": [("x-a", "1"), (":path", "/")],
    "an unknown pseudo-field": [(":x", "1")],
    "a response's pseudo-field": [(":status", "200")],
    "two hosts": [("host", "site.test"), ("host", "site.test")],
    "two lengths": [("content-length", "0"), ("content-length", "0")],
    "an odd length": [("content-length", "0x10")],
    "an unknown expectation": [("expect", "nothing")],
}
HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")]
BAD_HEADS = {
    "no :method": HEAD[1:],
    "no :path": HEAD[:3],
    "no :scheme": HEAD[:1] + HEAD[2:],
    "an empty :path": HEAD[:3] + [(":path", "")],
    "a :path without slash": HEAD[:3] + [(":path", "x")],
    "a :path with a space": HEAD[:3] + [(":path", "/a b")],
    "a :path with a line end": HEAD[:3] + [(":path", "/ HTTP/1.1\r\nX: y")],
    "a :path with a fragment": HEAD[:3] + [(":path", "/a#b")],
    "a :method with a space": [(":method", "GET /x")] + HEAD[1:],
    "a star that is not OPTIONS": HEAD[:3] + [(":path", "*")],
    "user information in :authority": HEAD[:2] + [(":authority", "u@a.test")] + HEAD[3:],
    "a line end in :authority": HEAD[:2] + [(":authority", "a.test\r\nx: y")] + HEAD[3:],
    "an unknown :scheme": HEAD[:1] + [(":scheme", "ftp")] + HEAD[2:],
    "two of :path": HEAD + [(":path", "/")],
    ":protocol with GET": HEAD + [(":protocol", "websocket")],
    "no authority at all": HEAD[:2] + HEAD[3:],
    "a plain CONNECT": [(":method", "CONNECT"), (":authority", "a.test:80")],
    "an unknown :protocol": [(":method", "CONNECT"), (":protocol", "connect-udp")] + HEAD[1:],
}


@case("a malformed request reaches no server, and the connection's other streams go on")
def _(t):
    seen = []
    start(t, mirror(seen))
    h2 = H2(t, authority="site.test")
    heads = {k: h2.head("GET", "/") + v for k, v in BAD.items()}
    heads.update(BAD_HEADS)
    for what, head in heads.items():
        stream = h2.open(head)
        try:
            got = h2.response(stream).status
        except Reset as reset:
            got = reset.code
        check(got in (400, 417, 501, PROTOCOL_ERROR), "%s: %r" % (what, got))
    same(len(seen), 0, "requests that reached the server")
    same(h2.response(h2.get("/")).status, 200, "a good one")


@case("too long a target is 414, too large a head 431, and too many fields too")
def _(t):
    start(t, mirror([]), global_="limits: {uri: 2k, head: 8k}")
    h2 = H2(t)
    same(h2.response(h2.get("/" + "x" * 3000)).status, 414, "URI")
    same(h2.response(h2.get("/" + "x" * 9000)).status, 414, "URI beyond the head")
    same(h2.response(h2.get("/", [("x-a", "y" * 9000)])).status, 431, "one field")
    same(h2.response(h2.get("/", [("x-%d" % i, "y") for i in range(120)])).status, 431, "many fields")
    same(h2.response(h2.get("/")).status, 200, "a good one")


@case("HEAD, 204 and 304 have no body")
def _(t):
    answers = {"/head": b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n",
               "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
               "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
               "/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
               "/0": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}
    start(t, lambda m, p: answers[m.target])
    h2 = H2(t)
    for path, method, status, length in (("/head", "HEAD", 200, "77"), ("/chunked", "HEAD", 200, None),
                                         ("/204", "GET", 204, None), ("/304", "GET", 304, "5"), ("/0", "GET", 200, "0")):
        said = h2.response(h2.get(path, method=method))
        same((said.status, said.get("content-length"), said.body), (status, length, b""), path)


@case("bodies of all framings, and trailers both ways")
def _(t):
    seen = []

    def run(msg, peer):
        seen.append(msg)
        if msg.target == "/close":
            peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end")
            peer.close()
            return None
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + \
            chunked(msg.body, b"!", trailers=[("X-Sum", "7"), ("Content-Length", "5")])
    start(t, run)
    h2 = H2(t)
    same(h2.response(h2.get("/close")).body, b"until the end", "until close")
    stream = h2.open(h2.head("POST", "/t"), 0)
    h2.data(stream, b"abc")
    until(lambda: len(seen) == 2 or h2.ping() or True, "")
    h2.data(stream, b"def")
    h2.frame(HEADERS, END | END_HEADERS, stream, fields_block([("x-check", "9"), ("x-forwarded-for", "1.2.3.4")]))
    said = h2.response(stream)
    same((said.body, dict(said.trailers)), (b"abcdef!", {"x-sum": "7"}), "response")
    same((seen[1].body, seen[1].framing, seen[1].trailers), (b"abcdef", "chunked", [("x-check", "9")]), "request")


@case("large bodies both ways through small windows")
def _(t):
    start(t, mirror([]))
    h2 = H2(t, settings=[(4, 1000)], window=0)
    body = body_bytes(600000)
    stream = h2.open(h2.head("POST", "/big", [("content-length", str(len(body)))]), 0)
    h2.data(stream, body, END)
    check(h2.response(stream).body == body, "the same bytes come back")
    check(all(len(f[3]) <= 1000 for f in h2.frames if f[0] == DATA), "no more than the window")


@case("a client whose window is shut holds its stream alone, and is given up in time")
def _(t):
    big = body_bytes(300000)
    start(t, lambda m, p: ok(big if m.target == "/big" else b"small"), frontend="timeouts: {client: 1s}")
    h2 = H2(t)
    h2.gives_window = False
    stuck = [h2.get("/big") for _ in range(3)]
    for _ in range(3):
        same(h2.response(h2.get("/small")).body, b"small", "others")
    for stream in stuck:
        check(h2.was_reset(stream) in (CANCEL, INTERNAL_ERROR), "given up")


@case("the rest of a response that nobody takes is given up in time, which the log says; one that was taken is not")
def _(t):
    start(t, lambda m, p: ok(b"x" * 60000 if m.target == "/big" else b""), frontend="timeouts: {client: 1s}")
    h2 = H2(t, settings=[(4, 1000)])
    h2.gives_window = False
    stuck = h2.get("/big")
    same(h2.response(h2.get("/none")).status, 200, "one without a body")
    same(h2.was_reset(stuck), CANCEL, "the one that is stuck")
    t.limpets[0].wait_log(r"HTTP/2 stream %d of .* reset: the client takes nothing of its response" % stuck)
    same(h2.response(h2.get("/none")).status, 200, "and the connection serves")


@case("100 Continue, and an interim response before the last")
def _(t):
    def run(peer):
        head = peer.read_to(b"\r\n\r\n")
        check(b"100-continue" in head.lower(), head)
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        peer.read_to(b"5\r\nhello\r\n0\r\n\r\n")
        peer.send(ok("done"))
    t.server(run)
    t.limpet(config(frontend=CLEAR % ""))
    h2 = H2(t)
    stream = h2.open(h2.head("POST", "/", [("expect", "100-continue")]), 0)
    h2.until(lambda: len(h2.answers[stream].heads) == 2)
    h2.data(stream, b"hello", END)
    said = h2.response(stream)
    same([dict(h)[":status"] for h in said.heads], ["103", "100", "200"], "heads")
    same((dict(said.heads[0]).get("link"), said.body), ("</a>", b"done"), "what they say")


@case("an early response ends the stream with NO_ERROR when the body is not read")
def _(t):
    def run(peer):
        peer.read_to(b"\r\n\r\n")
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        peer.read_all()
    t.server(run)
    t.limpet(config(frontend=CLEAR % ""))
    h2 = H2(t)
    stream = h2.open(h2.head("POST", "/", [("content-length", "1000000")]), 0)
    h2.data(stream, b"x" * 1000)
    said = h2.response(stream)
    same((said.status, said.body), (413, b"no"), "answer")
    same(h2.was_reset(stream), NO_ERROR, "reset")
    h2.ping()


@case("a server that cuts its response resets the stream, and no other")
def _(t):
    def run(peer):
        while peer.buf or peer.fill(3600):
            msg = peer.read_request()
            if msg.target == "/cut":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50)
                peer.close()
                return
            peer.send(ok("good"))
    t.server(run)
    t.limpet(config(frontend=CLEAR % ""))
    h2 = H2(t)
    stream = h2.get("/cut")
    same(h2.was_reset(stream), INTERNAL_ERROR, "reset")
    same(h2.response(h2.get("/")).body, b"good", "another")


@case("no server: 503; a refused one: 503; a bad response: 502; a slow one: 504")
def _(t):
    t.refused()
    t.server(serve(lambda m, p: b"HTTP/1.1 2000 OK\r\n\r\n"), name="BAD")
    t.server(serve(lambda m, p: p.events.wait("never", 3) if False else None), name="SLOW")
    t.limpet("""\
global: {threads: "${THREADS:-1}"}
defaults: {timeouts: {server: 300ms}, retries: 0}
frontends:
  web:
    bind: "127.0.0.1:${PORT}"
    http2: {cleartext: true}
    routes:
      - {match: {path: /bad}, backend: bad}
      - {match: {path: /slow}, backend: slow}
      - {match: {path: /no}, respond: {status: 403, body: "no"}}
      - {match: {path: /old}, redirect: {to: /new, status: 308}}
    backend: refused
backends:
  refused: {hosts: {one: "${REFUSED}"}}
  bad: {hosts: {one: "${BAD}"}}
  slow: {hosts: {one: "${SLOW}"}}
""")
    h2 = H2(t)
    streams = [h2.get(p) for p in ("/", "/bad", "/slow", "/no", "/old")]
    same([h2.response(s).status for s in streams], [503, 502, 504, 403, 308], "statuses")
    same(h2.response(streams[4]).get("location"), "/new", "Location")


@case("a hundred polls wait on one connection, and each gets its own answer")
def _(t):
    gate = threading.Event()
    arrived = []

    def run(msg, peer):
        arrived.append(msg.target)
        gate.wait(20)
        return ok(msg.target)
    start(t, run)
    h2 = H2(t)
    streams = {h2.get("/poll/%d" % i): "/poll/%d" % i for i in range(100)}
    until(lambda: len(arrived) == 100, lambda: "%d of 100 polls came" % len(arrived))
    gate.set()
    for stream, path in streams.items():
        same(h2.response(stream).body.decode(), path, "answer")


@case("more streams than max_streams are refused, and who insists is closed")
def _(t):
    gate = threading.Event()
    start(t, lambda m, p: gate.wait(20) and None or ok("x"), limits=", max_streams: 3")
    h2 = H2(t, is_quiet=True)
    h2.peer.send(PREFACE + frame(SETTINGS))     # and no word yet of what the other side says
    streams = [h2.get("/") for _ in range(3)]
    refused = h2.get("/")
    same(h2.was_reset(refused), REFUSED_STREAM, "the fourth")
    t.limpets[0].wait_log("HTTP/2 stream %d of .* reset: .*refused" % refused)
    same(h2.settings[3], 3, "SETTINGS_MAX_CONCURRENT_STREAMS")
    gate.set()
    for stream in streams:
        same(h2.response(stream).status, 200, "status")
    gate.clear()
    for _ in range(4):
        h2.get("/")
    same(h2.ends()[1], PROTOCOL_ERROR, "GOAWAY")
    gate.set()
    h2 = H2(t)
    same(h2.response(h2.get("/")).status, 200, "another connection")


@case("a client that resets a poll ends the server's connection at once")
def _(t):
    gone = threading.Event()

    def run(peer):
        peer.read_request()
        if not peer.fill(10):
            gone.set()
    t.server(run)
    t.limpet(config(frontend=CLEAR % ""))
    h2 = H2(t)
    stream = h2.get("/poll")
    h2.ping()
    h2.reset(stream)
    check(gone.wait(5), "the server hears of it")
    h2.ping()


@case("a reset at every phase of a request, and the connection serves on")
def _(t):
    start(t, mirror([]))
    h2 = H2(t)
    for phase in range(8):
        stream = h2.open(h2.head("POST", "/", [("content-length", "6")]), 0)
        if phase > 0:
            h2.data(stream, b"abc")
        if phase > 1:
            h2.ping()
        if phase > 2:
            h2.data(stream, b"def", END)
        if phase > 4:
            h2.until(lambda: h2.answers[stream].heads)
        if phase > 5:
            h2.response(stream)
        h2.reset(stream)
        if phase == 7:
            h2.reset(stream)
        same(h2.response(h2.post("/", b"x")).body, b"x", "the next")


@case("the client's end ends what it has asked for")
def _(t):
    gone = []

    def run(peer):
        peer.read_request()
        peer.events.fire("asked")
        if not peer.fill(10):
            gone.append(1)
    t.server(run)
    limpet = t.limpet(config(frontend=CLEAR % ""))
    h2 = H2(t)
    for _ in range(5):
        h2.get("/poll")
    h2.ping()
    until(lambda: len(t.servers[0].peers) == 5, "five requests came")
    h2.close()
    until(lambda: len(gone) == 5, "all are ended")


@case("SIGTERM: GOAWAY, what is under way ends, and nothing new begins")
def _(t):
    gate = threading.Event()
    start(t, lambda m, p: gate.wait(20) and None or ok("late"), global_="shutdown_grace: 20s")
    h2, idle = H2(t), H2(t)
    streams = [h2.get("/") for _ in range(3)]
    until(lambda: len(t.servers[0].peers) == 3, "they came")
    t.limpets[0].signal(signal.SIGTERM)
    h2.until(lambda: h2.goaway)
    same(h2.goaway, (streams[-1], NO_ERROR), "GOAWAY")
    same(idle.ends(), (0, NO_ERROR), "an idle connection's")
    late = h2.get("/late")
    gate.set()
    for stream in streams:
        same(h2.response(stream).body, b"late", "body")
    h2.ends()
    same(h2.answers[late].heads, [], "none for the one that came late")
    t.limpets[0].is_ended_by_test = True
    same(t.limpets[0].wait_exit(), 0, "exit")


@case("an idle connection is told to go after keep_alive")
def _(t):
    start(t, mirror([]), frontend="timeouts: {keep_alive: 500ms, client_head: 5s}")
    h2 = H2(t)
    h2.response(h2.get("/"))
    same(h2.ends()[1], NO_ERROR, "GOAWAY")


@case("after a reload streams go by the new configuration, on the same connection")
def _(t):
    t.server(serve(lambda m, p: ok("A")))
    t.server(serve(lambda m, p: ok("B")))
    text = config(frontend=CLEAR % "", hosts='{one: "${%s}"}')
    limpet = t.limpet(text.replace("${%s}", "${A}"))
    h2 = H2(t)
    same(h2.response(h2.get("/")).body, b"A", "before")
    limpet.write(text.replace("${%s}", "${B}"))
    limpet.signal(signal.SIGHUP)
    until(lambda: h2.response(h2.get("/")).body == b"B", "the new server")


@case("the frontend's counters, and show sess with carriers and streams")
def _(t):
    gate = threading.Event()
    server = t.server(serve(lambda m, p: gate.wait(20) and None or ok("x")))
    limpet = t.limpet(WATCHED.replace("backend: app}", "backend: app, http2: {cleartext: true}}") + '    hosts: {one: "${A}"}\n')
    h2 = H2(t)
    streams = [h2.get("/") for _ in range(2)]
    until(lambda: len(server.peers) == 2, "they came")
    said = limpet.ask_stats("show sess")
    same((said.count("state=h2\n"), said.count("state=wait carrier=")), (1, 2), "states")
    carrier = next(line.split(":")[0] for line in said.split("\n") if line.endswith("state=h2"))
    same(said.count("carrier=" + carrier), 2, "streams of it")
    gate.set()
    for stream in streams:
        h2.response(stream)


@case("an upgrade: a connection goes on until its next request, and is told GOAWAY with it")
def _(t):
    t.server(serve(lambda m, p: ok("x")))
    limpet = t.limpet(config(frontend=CLEAR % ""))
    h2, waiting = H2(t), H2(t)
    same(h2.response(h2.get("/")).status, 200, "before")
    limpet.upgrade()
    for _ in range(50):     # the connection's thread may hear of the new process a moment after the log
        stream = h2.get("/")
        same(h2.response(stream).status, 200, "one more")
        try:
            h2.ping()
        except Gone:
            break
        if h2.goaway:
            break
    same(h2.ends(), (stream, NO_ERROR), "GOAWAY")
    new = H2(t)
    same(new.response(new.get("/")).status, 200, "the new process")


@case("many answers to a client that reads late come whole, whatever it sends meanwhile")
def _(t):
    body = body_bytes(200000)
    start(t, lambda m, p: ok(body))
    h2 = H2(t, settings=[(4, 1 << 20)], window=1 << 24)
    streams = [h2.get("/") for _ in range(20)]
    for i in range(600):
        h2.frame(PING, 0, 0, b"%08d" % i)
    for stream in streams:
        check(h2.response(stream).body == body, "body")
    h2.until(lambda: sum(1 for f in h2.frames if f[0] == PING) == 600)


main()
