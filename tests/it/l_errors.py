#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""show errors: the last bad request of each frontend and response of each backend, in HAProxy's layout."""
import re
import socket

from lib import *
from lib.haproxy import Haproxy, find_haproxy
from lib.peer import Fail

TEXT = """\
global:
  threads: ${THREADS:-1}
  stats: {socket: {address: "unix:${RUN}/stats.sock"}}
  log: none
frontends:
  fe: {bind: "127.0.0.1:${PORT}", backend: be}
  fe2: {bind: "127.0.0.1:${PORT2}", backend: be}
backends:
  be:
    hosts: {s1: "127.0.0.1:${WORKER}"}
"""
BAD_HEAD = b"HTTP/1.1 200 OK\r\nBad Field: x\r\nContent-Length: 3\r\n\r\nabc"
BAD_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\nabc"


def worker(peer):
    """Its requests may be cut off: their ends are not of interest."""
    while True:
        try:
            head = peer.read_to(b"\r\n\r\n")
        except Fail:
            return
        if b"/bad" in head:
            peer.send(BAD_HEAD if b"/badhead" in head else BAD_CHUNK)
            peer.close()
            return
        if b"POST" not in head:
            peer.send(ok("fine"))


class Site:
    def __init__(self, t):
        self.t = t
        t.env["WORKER"] = t.server(worker).port
        self.limpet = t.limpet(TEXT, ports=("PORT", "PORT2"))

    def errors(self, arguments=""):
        return self.limpet.ask_stats("show errors " + arguments, self.t.directory + "/stats.sock")

    def bad(self, data, port="PORT"):
        c = self.t.connect(int(self.t.env[port]))
        c.send(data)
        c.read_all()
        return c


def blocks(text):
    """The captures: each the lines between lines of one space."""
    lines = text.rstrip("\n").split("\n")
    check(re.fullmatch(r"Total events captured on \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] : \d+", lines[0]),
          "first line: %r" % lines[0])
    check("" not in lines, "an empty line within the answer: %r" % text)
    got = []
    for line in lines[1:]:
        if line == " ":
            got.append([])
        else:
            got[-1].append(line)
    return int(lines[0].rsplit(" ", 1)[1]), got


def dumped(block):
    """The bytes that a block shows, put together again; offsets and '+' are checked."""
    start = block.index("  ") + 1
    data, is_new = b"", True
    for line in block[start:]:
        match = re.fullmatch(r"  (\d{5})([ +]) (.*)", line)
        check(match, "no line of a dump: %r" % line)
        check(len(line) <= 80, "too wide: %r" % line)
        same(int(match[1]), len(data), "offset of %r" % line)
        same(match[2], " " if is_new else "+", "mark of %r" % line)
        text = match[3]
        at = 0
        while at < len(text):
            if text[at] != "\\":
                data += text[at].encode()
                at += 1
            elif text[at + 1] == "x":
                data += bytes([int(text[at + 2:at + 4], 16)])
                at += 4
            else:
                data += {"t": b"\t", "n": b"\n", "r": b"\r", "e": b"\x1b", "\\": b"\\"}[text[at + 1]]
                at += 2
        is_new = text.endswith("\\n")
    return data


def position(block):
    return int(re.search(r"error at position (\d+)", "\n".join(block))[1])


@case("nothing bad yet: the total alone")
def _(t):
    site = Site(t)
    t.ask(get("/"))
    same(blocks(site.errors()), (0, []), "captures")


@case("a bad request: frontend, client, event, place of the mistake, and every byte")
def _(t):
    site = Site(t)
    data = b"GET /x HTTP/1.1\r\nHost: a\r\nX: \t\\\x1b\xff" + b"z" * 300 + b"\r\nBad Field: y\r\n\r\n"
    data = data.replace(b"\x1b\xff", b"\xff")
    site.bad(data)
    total, got = blocks(site.errors())
    same((total, len(got)), (1, 1), "captures")
    check(re.fullmatch(r"\[\d\d/[A-Z].*\] frontend fe \(#2\): invalid request", got[0][0]), got[0][0])
    check(re.fullmatch(r"  backend <NONE> \(#-1\), server <NONE> \(#-1\), event #0, src 127\.0\.0\.1:\d+", got[0][1]),
          got[0][1])
    check("len %d," % len(data) in "\n".join(got[0]), got[0])
    same(dumped(got[0]), data, "bytes")
    same(position(got[0]), data.index(b"Bad ") + 3, "position")


@case("the place of the mistake, for each kind")
def _(t):
    site = Site(t)
    for data, where in ((b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", 7), (b"G\x01T / HTTP/1.1\r\n\r\n", 1),
                        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 29), (b"GET / HTTP/3.1\r\n", 13),
                        (b"GET / HTTP/1.1\nHost: a\n\n", 14),
                        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", None)):
        site.bad(data)
        _total, got = blocks(site.errors())
        same(dumped(got[0]), data, "bytes")
        if where is not None:
            same(position(got[0]), where, "position in %r" % data)
        else:
            check(position(got[0]) > data.index(b"4"), position(got[0]))


@case("a bad body: what was still in the buffer, after how many bytes")
def _(t):
    site = Site(t)
    c = t.connect()
    c.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\nabc")
    c.read_all()
    total, got = blocks(site.errors())
    same((total, len(got)), (1, 1), "captures")
    check("frontend fe (#2): invalid request" in got[0][0], got[0][0])
    check(dumped(got[0]).endswith(b"zz\r\nabc"), got[0])
    same(dumped(got[0])[position(got[0]):][:2], b"zz", "position")


@case("bad responses are the backend's, with server and frontend; the last one is kept")
def _(t):
    site = Site(t)
    t.ask(get("/badchunk"))
    total, got = blocks(site.errors())
    same((total, len(got)), (1, 1), "captures")
    same(dumped(got[0])[position(got[0]):][:2], b"zz", "position")
    same(t.ask(get("/badhead")).status, 502, "status")
    total, got = blocks(site.errors())
    same((total, len(got)), (2, 1), "captures")
    check("backend be (#4): invalid response" in got[0][0], got[0][0])
    check(re.fullmatch(r"  frontend fe \(#2\), server s1 \(#1\), event #1, src 127\.0\.0\.1:\d+", got[0][1]), got[0][1])
    same(dumped(got[0]), BAD_HEAD, "bytes")
    same(position(got[0]), BAD_HEAD.index(b" Field"), "position")


@case("by proxy and direction, by number; wrong names; clear errors, clear counters all")
def _(t):
    site = Site(t)
    site.bad(b"GET /one x\r\n\r\n")
    site.bad(b"GET /two x\r\n\r\n", "PORT2")
    t.ask(get("/badhead"))
    heads = lambda a: [re.sub(r"^\[.*\] ", "", b[0]) for b in blocks(site.errors(a))[1]]
    same(heads(""), ["frontend fe (#2): invalid request", "frontend fe2 (#3): invalid request",
                     "backend be (#4): invalid response"], "all")
    same(heads("fe2"), ["frontend fe2 (#3): invalid request"], "fe2")
    same(heads("3"), ["frontend fe2 (#3): invalid request"], "3")
    same(heads("be"), ["backend be (#4): invalid response"], "be")
    same(heads("fe response"), ["backend be (#4): invalid response"], "what came through fe")
    same(heads("request"), heads("")[:2], "request")
    same(heads("be request"), [], "be request")
    check("No such proxy." in site.errors("nope"), "wrong name")
    check("'request' or 'response'" in site.errors("fe foo"), "wrong direction")
    site.limpet.ask_stats("clear errors", t.directory + "/stats.sock")
    same(blocks(site.errors()), (0, []), "cleared")
    site.bad(b"GET /one x\r\n\r\n")
    same(blocks(site.errors())[0], 1, "again")
    site.limpet.ask_stats("clear counters all", t.directory + "/stats.sock")
    same(blocks(site.errors()), (0, []), "cleared")


@case("a head that is too large is kept to 16 KiB, and shown in pieces to a slow reader")
def _(t):
    site = Site(t)
    c = t.connect()
    c.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"\xff" * 40000)
    c.read_all()
    _total, got = blocks(site.errors())
    data = dumped(got[0])
    check(15000 < len(data) <= 16384, len(data))
    check(data.startswith(b"GET / HTTP/1.1\r\n") and data.endswith(b"\xff" * 1000), "bytes")


@case("bad requests on many connections at once while it is asked: whole answers, no crash")
def _(t):
    site = Site(t)
    socks = [socket.create_connection(("127.0.0.1", int(t.env["PORT"]))) for _n in range(60)]
    for n, s in enumerate(socks):
        s.sendall(b"GET /%d x" % n + b"y" * 3000 + b"\r\n\r\n")
        if n % 6 == 0:
            _total, got = blocks(site.errors())
            for block in got:
                data = dumped(block)
                number = re.match(rb"GET /(\d+) x", data)[1]
                same(data, b"GET /%s x" % number + b"y" * 3000 + b"\r\n\r\n", "bytes of one request alone")
    until(lambda: blocks(site.errors())[0] == 60, "60 events")
    for s in socks:
        s.close()


@case("the layout is that of HAProxy, given the same bytes")
def _(t):
    if not find_haproxy():
        raise Skip("no haproxy here")
    site = Site(t)
    t.env["OTHER"] = free_port()
    haproxy = Haproxy(t, """\
global
    stats socket "${HA_SOCK}-admin.sock" level admin
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend fe
    bind "127.0.0.1:${HA_PORT}"
    default_backend be
frontend fe2
    bind "127.0.0.1:${OTHER}"
backend be
    server s1 "127.0.0.1:${WORKER}"
""")

    def ask_haproxy(command):
        c = t.connect(t.directory + "/ha-admin.sock")
        c.send(command.encode() + b"\n")
        return c.read_all().decode()[:-1]
    try:
        cases = (b"GET /x y HTTP/1.1\r\nHost: a\r\nA: \\ \t " + b"z" * 200 + b"\r\n\r\n",
                 b"GET / HTTP/1.1\r\nHost: a\r\nBad Field: x\r\n\r\n",
                 b"GET /badhead HTTP/1.1\r\nHost: a\r\n\r\n")
        for data in cases:
            direction = "response" if b"/badhead" in data else "request"
            for port in (haproxy.port, int(t.env["PORT"])):
                c = t.connect(port)
                c.send(data)
                c.read_to(b"\r\n\r\n")
                c.close()
            theirs = blocks(ask_haproxy("show errors -1 " + direction))[1][0]
            ours = blocks(site.errors(direction))[1][0]

            def plain(b):
                return [re.sub(r"\[.*?\]|:\d+$", "", line) for line in (b[0], re.sub(r"event #\d+", "", b[1]))]
            same(plain(ours), plain(theirs), "heads")
            same(ours[ours.index("  "):], theirs[theirs.index("  "):], "dump")
            same(position(ours), position(theirs), "position of the mistake")
    finally:
        haproxy.stop()


main()
