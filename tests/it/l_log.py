#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One line per request or tunnel, in text and in JSON, complete, and never a raw sid in it."""
import json
import os
import re

from lib import *
from lib.engine import HANDSHAKE, POLL, UPGRADE, OPEN, WS_FIELDS

TEXT = """\
global:
  threads: ${THREADS:-1}
  log: {target: %s, format: %s, level: info}
frontends:
  front-x:
    bind: "127.0.0.1:${PORT}"
    routes:
      - {match: {path: /denied}, respond: {status: 403}}
    backend: back-y
backends:
  back-y:
    stick: engineio
    hosts:
      host-z: {address: 127.0.0.1, workers: ["${WORKER}"]}
"""


def start(t, fmt, handler=lambda m, p: ok("0123456789"), target="stderr", level="info"):
    server = t.server(serve(handler))
    t.env["WORKER"] = server.port
    return server, t.limpet((TEXT % (target, fmt)).replace("level: info", "level: " + level))


def leaves(value):
    if isinstance(value, dict):
        for v in value.values():
            yield from leaves(v)
    elif isinstance(value, list):
        for v in value:
            yield from leaves(v)
    else:
        yield value


def json_lines(text):
    return [json.loads(line) for line in text.split("\n") if line.startswith("{")]


def request_lines(limpet, n, mark):
    """The JSON lines that have MARK somewhere among their values, when there are N."""
    def found():
        got = [l for l in json_lines(limpet.log()) if any(mark in str(v) for v in leaves(l))]
        return got if len(got) >= n else None
    got = until(found, lambda: "%d lines with %r in:\n%s" % (n, mark, limpet.log()[-600:]))
    same(len(got), n, "lines with %r" % mark)
    return got


@case("text: one line per request, with all that an operator asks for")
def _(t):
    _, limpet = start(t, "text")
    t.ask(get("/some/page?x=y", [("X-Request-Id", "req-4711")]), source="127.0.0.9")
    limpet.wait_log("req-4711")
    lines = [l for l in limpet.log().split("\n") if "req-4711" in l]
    same(len(lines), 1, "lines")
    for what in ("127.0.0.9", "front-x", "back-y", "host-z/%s" % t.env["WORKER"], "GET", "/some/page", "200"):
        check(what in lines[0], "%r is not in %r" % (what, lines[0]))
    check(re.search(r"\b[A-Za-z-]{4}\b|\s----\s", lines[0]), "no termination code in %r" % lines[0])


@case("json: every line is an object of its own, with the same in it")
def _(t):
    _, limpet = start(t, "json")
    t.ask(post("/some/page", b"x" * 55, [("X-Request-Id", "req-4711")]), source="127.0.0.9")
    line = request_lines(limpet, 1, "req-4711")[0]
    have = [str(v) for v in leaves(line)]
    for what in ("front-x", "back-y", "host-z/%s" % t.env["WORKER"], "POST", "200"):
        check(what in have, "%r is no value of %r" % (what, line))
    check(any(v.startswith("127.0.0.9") for v in have), line)
    check(any("/some/page" in v for v in have), line)
    check(any(re.fullmatch(r"[A-Za-z-]{4}", v) for v in have), "a termination code in %r" % line)
    numbers = [v for v in leaves(line) if isinstance(v, (int, float)) and not isinstance(v, bool)]
    check(len(numbers) >= 4, "status, bytes and timings are numbers: %r" % line)


@case("json stays well-formed whatever the client sends")
def _(t):
    _, limpet = start(t, "json")
    odd = b'q"\\ {}\xff\xc3\x28'
    t.ask(get("/a%22%0a%5c?b=%22'\\", [("X-Request-Id", "odd-1"), ("User-Agent", odd), ("Referer", odd)],
              method="O'DD"))
    c = t.connect()
    c.send(b"GET /\"\\ \x01 HTTP/1.1\r\nHost: \"\r\n\r\n")
    c.read_all()
    t.ask(get("/last", [("X-Request-Id", "odd-2")]))
    request_lines(limpet, 1, "odd-2")
    for line in limpet.log().split("\n"):
        if line:
            check(isinstance(json.loads(line), dict), "not JSON: %r" % line)


@case("a client cannot forge a line of the text log")
def _(t):
    _, limpet = start(t, "text")
    t.ask(get("/x%0aforged%0d", [("X-Request-Id", "forge-1"), ("User-Agent", "a\tb\x1b"[0:3])]))
    c = t.connect()
    c.send(b"GET /a\nforged-line HTTP/1.1\r\n\r\n")
    c.read_all()
    t.ask(get("/last", [("X-Request-Id", "forge-2")]))
    limpet.wait_log("forge-2")
    check(not re.search(r"^forged", limpet.log(), re.M), limpet.log())
    check("\x1b" not in limpet.log(), "an escape is in the log")


@case("no raw sid is in any log: handshake, poll, post, upgrade, unknown, rejected, in the Referer, at any level")
def _(t):
    secret = "S3cr3tSid-%d"
    n = [0]

    def handler(msg, peer):
        if msg.has("upgrade"):
            return answer(400, "no")
        if "sid=" in msg.target.lower():
            return ok("6")
        n[0] += 1
        return ok(OPEN % (secret % n[0]))
    for fmt in ("text", "json"):
        t.env.pop("PORT", None)
        server = t.server(serve(handler), name=fmt)
        t.env["WORKER"] = server.port
        limpet = t.limpet((TEXT % ("stderr", fmt)).replace("level: info", "level: debug"), name=fmt)
        t.ask(get(HANDSHAKE))
        sid = secret % n[0]
        t.ask(get(POLL + sid, [("X-Request-Id", fmt + "-1"), ("Referer", "http://x/?sid=" + sid)]))
        t.ask(post(POLL + sid, "4x"))
        t.ask(get("/socket.io/?%73id=" + sid))
        t.ask(get("/socket.io/?sid=" + "%53" + sid[1:]))
        t.ask(get(UPGRADE + sid, WS_FIELDS))
        t.ask(get(POLL + "S3cr3tSid-unknown"))
        c = t.connect()
        c.send(b"GET %s HTTP/1.1\r\nHost: a\r\nBad Field: x\r\n\r\n" % (POLL + sid).encode())
        c.read_all()
        server.down()
        t.ask(get(POLL + sid))
        t.ask(get("/last-of-" + fmt))
        limpet.wait_log("/last-of-" + fmt)
        log = limpet.log()
        check(fmt + "-1" in log, "requests are logged")
        at = log.find("3cr3tSid")
        check(at < 0, "%s: a sid is in the log: ...%s" % (fmt, log[max(0, at - 200):at + 60]))


@case("statuses that Limpet made itself are logged: a respond route, 400, 503")
def _(t):
    server, limpet = start(t, "json")
    t.ask(get("/denied", [("X-Request-Id", "id-403")]))
    same(str(403) in [str(v) for v in leaves(request_lines(limpet, 1, "id-403")[0])], True, "403 in the line")
    c = t.connect()
    c.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    c.read_all()
    request_lines(limpet, 1, "400")
    server.down()
    t.ask(get("/", [("X-Request-Id", "id-503")]))
    have = [str(v) for v in leaves(request_lines(limpet, 1, "id-503")[0])]
    check("503" in have, have)
    codes = [v for v in have if re.fullmatch(r"[A-Za-z-]{4}", v)]
    check(any(c != "----" for c in codes), "the termination code tells of the failure: %r" % have)


@case("a tunnel is one line, written when it ends, with its bytes")
def _(t):
    def handler(msg, peer):
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" + b"x" * 5000)
        peer.read_all(3600)
    _, limpet = start(t, "json", handler)
    c = t.connect()
    c.send(get("/chat", WS_FIELDS + [("X-Request-Id", "ws-1")]))
    same(c.read_response().status, 101, "status")
    c.read(5000)
    check("ws-1" not in limpet.log(), "written before its end")
    c.close()
    line = request_lines(limpet, 1, "ws-1")[0]
    numbers = [v for v in leaves(line) if isinstance(v, int)]
    check(101 in numbers or "101" in [str(v) for v in leaves(line)], line)
    check(any(5000 <= v < 6000 for v in numbers), "bytes: %r" % line)


def events(limpet, name, n):
    """The JSON objects of the event NAME, when there are N."""
    def found():
        got = [l for l in json_lines(limpet.log()) if l.get("event") == name]
        return got if len(got) >= n else None
    return until(found, lambda: "%d events %s in:\n%s" % (n, name, limpet.log()[-900:]))


@case("json: events have names and fields, so that nobody has to read their text")
def _(t):
    server = t.server(serve(lambda m, p: ok("0123456789")))
    t.env["WORKER"] = server.port
    limpet = t.limpet((TEXT % ("stderr", "json")).replace(
        "frontends:", '  stats: {socket: {address: "unix:${RUN}/stats.sock"}}\nfrontends:', 1))
    stats = t.directory + "/stats.sock"
    name = "host-z/%s" % server.port
    begun = events(limpet, "start", 1)[0]
    same((begun["level"], begun["threads"]), ("info", int(os.environ.get("THREADS", "1"))), "start")
    check(begun["version"] and begun["max_connections"] > 0 and "runs" in begun["message"], begun)

    limpet.ask_stats("set server back-y/%s state drain" % name, stats)
    limpet.ask_stats("set server back-y/%s state ready" % name, stats)
    limpet.ask_stats("set server back-y/%s weight 7" % name, stats)
    got = events(limpet, "server_state", 2)
    for line, (before, after) in zip(got, (("UP", "DRAIN"), ("DRAIN", "UP"))):
        same((line["backend"], line["server"], line["host"], line["from"], line["to"]),
             ("back-y", name, "host-z", before, after), "server_state")
        check(line["reason"] and line["servers"] == 1 and line["message"].startswith("server back-y/"), line)
    line = events(limpet, "server_change", 1)[0]
    same((line["server"], line["what"], line["to"]), (name, "weight", 7), "server_change")

    limpet.ask_stats("disable frontend front-x", stats)
    limpet.ask_stats("enable frontend front-x", stats)
    same([(l["frontend"], l["to"]) for l in events(limpet, "frontend_state", 2)],
         [("front-x", "disabled"), ("front-x", "enabled")], "frontend_state")

    limpet.signal(1)
    same(events(limpet, "reload", 1)[0]["result"], "ok", "reload")
    text = open(limpet.path).read()
    other = "127.0.0.1:%d" % free_port()
    limpet.write(text.replace('bind: "127.0.0.1:${PORT}"', 'bind: ["127.0.0.1:${PORT}", "%s"]' % other))
    limpet.signal(1)
    events(limpet, "reload", 2)
    limpet.write(text)
    limpet.signal(1)
    same([(l["frontend"], l["address"], l["to"]) for l in events(limpet, "listener", 2)],
         [("front-x", other, "open"), ("front-x", other, "closed")], "listener")
    limpet.write("nonsense: [")
    limpet.signal(1)
    line = events(limpet, "reload", 4)[3]
    same((line["result"], line["level"]), ("failed", "error"), "reload of a broken file")
    check(line["errors"] >= 1, line)
    limpet.is_ended_by_test = True
    limpet.signal(15)
    events(limpet, "stopping", 1)
    events(limpet, "stop", 1)
    same(limpet.wait_exit(), 0, "exit status")
    for line in limpet.log().split("\n"):
        check(not line or isinstance(json.loads(line), dict), line)


@case("out of connections: one event, not one for each attempt")
def _(t):
    server = t.server(serve(lambda m, p: ok("0123456789")))
    t.env["WORKER"] = server.port
    limpet = t.limpet((TEXT % ("stderr", "json")).replace("backend: back-y", "backend: back-y\n    max_connections: 2")
                      .replace("${THREADS:-1}", "1"))
    held = [t.connect() for _n in range(2)]
    for c in held:
        c.ask(get("/"))
    more = [t.connect() for _n in range(5)]
    line = events(limpet, "accept_paused", 1)[0]
    same((line["frontend"], line["level"]), ("front-x", "warn"), "accept_paused")
    check("max_connections" in line["reason"], line)
    for c in held:
        c.close()
    for c in more:
        same(c.ask(get("/")).status, 200, "it was taken when there was room")
        c.close()
    same(len(events(limpet, "accept_paused", 1)), 1, "events")


@case("a log file is written, and opened anew on SIGUSR1")
def _(t):
    _, limpet = start(t, "text", target="\"file:${RUN}/access.log\"")
    path = t.directory + "/access.log"
    t.ask(get("/", [("X-Request-Id", "one")]))
    until(lambda: "one" in open(path).read(), "the line is in the file")
    os.rename(path, path + ".1")
    limpet.signal(10)
    until(lambda: os.path.exists(path), "the file is there again")
    t.ask(get("/", [("X-Request-Id", "two")]))
    until(lambda: "two" in open(path).read(), "the line is in the new file")
    check("two" not in open(path + ".1").read(), "not in the old one")


@case("nobody reads the log: requests go on")
def _(t):
    fifo = t.directory + "/log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        _, limpet = start(t, "text", target="\"file:${RUN}/log.fifo\"")
        c = t.connect()
        for n in range(1500):               # some 200 KB of lines into a pipe of 64 KiB
            same(c.ask(get("/%d" % n)).status, 200, "status")
    finally:
        os.close(reader)


main()
