#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Engine.IO: sids are learned from every form of handshake and found in every place of a query."""
import gzip
import re
import time

from lib import *
from lib.engine import *


# What a worker may answer a handshake with: (name, content type, body with %s for the sid).
FORMS = [
    ("EIO 4", "text/plain; charset=UTF-8",
     '0{"sid":"%s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'),
    ("EIO 3", "text/plain; charset=UTF-8",
     '96:0{"sid":"%s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":5000}2:40'),
    ("binary of socket.io 1.x", "application/octet-stream",
     '\x00\x09\x07\xff0{"sid":"%s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":60000}'),
    ("JSONP", "text/javascript; charset=UTF-8",
     '___eio[0]("0{\\"sid\\":\\"%s\\",\\"upgrades\\":[\\"websocket\\"],\\"pingInterval\\":25000,\\"pingTimeout\\":20000}");'),
    ("sid last, with spaces before other members", "text/html",
     '0{"upgrades": [], "pingInterval": 25000, "pingTimeout": 20000, "sid":"%s"}'),
    ("another content type", "application/json", '0{"sid":"%s","pingInterval":1000,"pingTimeout":1000}'),
]
SIDS = ["lv_VI97HAXpY6yYWAAAC", "7", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x" * 128, "a.b~c-d_e"]


def framings(kind, body, headers=b""):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind.encode() + b"\r\n" + headers
    yield "length", head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    yield "chunked", head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body)
    small = [body[i:i + 3] for i in range(0, len(body), 3)]
    yield "small chunks", head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(*small)


for name, kind, body in FORMS:
    def learned(t, kind=kind, body=body):
        answers = {}
        two = Two(t, lambda worker, msg: answers[worker].pop(0))
        n = 0
        for sid in SIDS:
            raw = (body % sid).encode("latin-1")
            for framing, data in framings(kind, raw):
                n += 1
                answers["A"], answers["B"] = [data], [data]
                got = two.t.ask(get(HANDSHAKE))
                same(got.body, raw, "the handshake's body")
                owner = two.last()
                for k in range(3):                # a sid that was not learned would soon go astray
                    answers["A"], answers["B"] = [ok("A")], [ok("B")]
                    same(t.ask(get(POLL + sid)).body, owner.encode(),
                         "%s, %s: owner of %r" % (framing, kind, sid))
        check(n)
    case("the sid of a handshake is learned: " + name)(learned)


@case("the sid is learned when the handshake's answer is split at any byte, and byte by byte")
def _(t):
    raw = OPEN % "splitsid-0000000"
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(raw), raw.encode())
    plan = {}

    def answer_for(worker, msg):
        if "sid=" in msg.target:
            return ok(worker)
        sid, cut = plan["sid"], plan["cut"]
        whole = data.replace(b"splitsid-0000000", sid)
        if cut is None:
            return [whole[i:i + 1] for i in range(len(whole))]
        return [whole[:cut], whole[cut:]]
    two = Two(t, answer_for)
    c, d = t.connect(), t.connect()
    for n, cut in enumerate([None] + list(range(1, len(data), 2))):
        plan["sid"], plan["cut"] = b"splitsid-%07d" % n, cut
        check(plan["sid"] in c.ask(get(HANDSHAKE)).body)
        owner = two.last().encode()
        for _ in range(2):
            same(d.ask(get(POLL + plan["sid"].decode())).body, owner, "owner, cut at %r" % cut)


@case("the entry stands before the handshake's answer is released")
def _(t):
    two = Two(t, threads=2)
    for n in range(40):
        c = t.connect()
        c.send(get(HANDSHAKE))
        while not re.search(rb'"sid":"([^"]+)"', c.buf):
            check(c.fill(), "the answer ended")
        sid = re.search(rb'"sid":"([^"]+)"', c.buf).group(1).decode()
        same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "owner")
        c.close()


# (what stands for the query, whether the sid is found); %s is the sid
PLACES = [
    ("EIO=4&transport=polling&t=abc&sid=%s", True),
    ("sid=%s", True),
    ("sid=%s&EIO=4", True),
    ("EIO=4&sid=%s&transport=polling", True),
    ("%%73id=%s&EIO=4", True),
    ("%%73%%69%%64=%s", True),
    ("sid=wrong&sid=%s", True),
    ("sid=&sid=%s", True),
    ("&&sid=%s&&", True),
    ("xsid=other&sid=%s", True),
    ("SID=other&sid=%s", True),
    ("a=b;sid=other&sid=%s", True),
]


@case("the sid is found in every place of the query and in every encoding")
def _(t):
    two = Two(t)
    for n in range(4):
        sid = two.handshake()
        for place, _ in PLACES:
            for form in (sid, "".join("%%%02x" % ord(c) for c in sid), "%%%02X" % ord(sid[0]) + sid[1:]):
                got = t.ask(get("/socket.io/?" + place % form))
                same(got.body.decode(), two.owner(sid), "owner of " + place)


@case("what is not a sid is a handshake: an empty sid, SID, xsid, a sid behind a semicolon")
def _(t):
    two = Two(t)
    two.handshake()
    for query in ("EIO=4&transport=polling&sid=", "EIO=4&transport=polling&SID=x", "EIO=4&transport=polling&xsid=x",
                  "EIO=4;sid=x&transport=polling"):
        for _ in range(2):
            t.ask(get("/socket.io/?" + query, [("Accept-Encoding", "gzip")]))
            check(not two.requests[-1].has("accept-encoding"), "%s was not taken for a handshake" % query)


@case("the path is matched as a prefix, and other paths carry no sid")
def _(t):
    two = Two(t)
    sid = two.handshake()
    for n in range(4):
        same(t.ask(get("/socket.io/more/?sid=" + sid)).body.decode(), two.owner(sid), "owner")
    answers = {t.ask(get("/other/?sid=" + sid)).body for _ in range(8)}
    same(answers, {b"A", b"B"}, "who serves another path")


@case("another path can be given")
def _(t):
    two = Two(t, stick="{engineio: {path: /ws/live}}")
    sid = two.handshake("/ws/live/?EIO=4&transport=polling")
    for n in range(6):
        same(t.ask(get("/ws/live/?sid=" + sid)).body.decode(), two.owner(sid), "owner")


@case("polls, posts, upgrades and preflights with the sid go to its worker, each on any connection")
def _(t):
    two = Two(t)
    sids = [two.handshake() for _ in range(6)]
    same({two.owner(s) for s in sids}, {"A", "B"}, "both workers have sessions")
    one = t.connect()                       # an outer proxy's connection: sessions mixed on it
    for n in range(3):
        for sid in sids:
            want = two.owner(sid).encode()
            same(one.ask(get(POLL + sid)).body, want, "poll")
            same(one.ask(post(POLL + sid, "4hello")).body, want, "post")
            same(one.ask(get(POLL + sid, [("Origin", "http://a.test"), ("Access-Control-Request-Method", "POST")],
                             method="OPTIONS")).body, want, "preflight")
    for sid in sids:
        c = t.connect()
        c.send(get(UPGRADE + sid, WS_FIELDS))
        same(c.read_response().status, 101, "status")
        same(c.read(1), two.owner(sid).encode(), "upgrade")
        c.close()


@case("Accept-Encoding is taken off handshakes and off those alone")
def _(t):
    two = Two(t)
    fields = [("Accept-Encoding", "gzip, deflate")]
    two.handshake(fields=fields)
    check(not two.requests[-1].has("accept-encoding"), "handshake: %r" % two.requests[-1])
    sid = two.handshake()
    t.ask(get(POLL + sid, fields))
    same(two.requests[-1].get("accept-encoding"), "gzip, deflate", "poll")
    t.ask(get("/page", fields))
    same(two.requests[-1].get("accept-encoding"), "gzip, deflate", "another path")


@case("a worker that compresses for whom asks is learned from, as the handshake does not ask")
def _(t):
    def squeeze(w, m):
        data = two.usual(w, m, len(two.order))
        if "gzip" not in m.get("accept-encoding", ""):
            return data
        body = gzip.compress(data.split(b"\r\n\r\n", 1)[1])
        return (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" +
                chunked(body[:20], body[20:]))
    two = Two(t, squeeze)
    fields = [("Accept-Encoding", "gzip")]
    for _ in range(4):
        sid = two.handshake(fields=fields)
        for _ in range(4):
            msg = t.ask(get(POLL + sid, fields))
            same(gzip.decompress(msg.body).decode(), two.owner(sid), "owner")


@case("a WebSocket-first session is counted when its first frame is compressed or comes late and in pieces, too")
def _(t):
    two = Two(t, frames=b"\xc1\x05\x02\x03\x04", balance="least_sessions")    # RSV1: we need not read it
    clients = []
    for n in range(4):
        c = t.connect()
        c.send(get("/socket.io/?EIO=4&transport=websocket", WS_FIELDS))
        same(c.read_response().status, 101, "status")
        clients.append(c)
    same(sorted(two.workers_of("/socket.io/")), ["A", "A", "B", "B"], "who got them")
    on_a = [c for c, w in zip(clients, two.workers_of("/socket.io/")) if w == "A"]
    for c in on_a:
        c.close()
    ended = two.servers["A"].peers
    until(lambda: all(p.is_ended for p in ended), "their server sides end")

    def next_one():
        c = t.connect()
        c.send(get("/socket.io/?EIO=4&transport=websocket", WS_FIELDS))
        same(c.read_response().status, 101, "status")
        return two.last()
    same([next_one(), next_one()], ["A", "A"], "who gets the next two")


@case("a sid longer than 128 bytes does no harm")
def _(t):
    sid = "y" * 500
    two = Two(t, lambda w, m: ok(w) if "sid=" in m.target else ok(OPEN % sid))
    for _ in range(3):
        same(t.ask(get(HANDSHAKE)).status, 200, "status")
        same(t.ask(get(POLL + sid)).status, 200, "status")


REJECT = "{engineio: {unknown: reject}}"


@case("an answer that is not a handshake's teaches nothing")
def _(t):
    forged = ok(OPEN % "forged")
    two = Two(t, lambda w, m: forged, stick=REJECT)
    for _ in range(4):
        same(t.ask(get("/page?EIO=4")).status, 200, "status")       # not the Engine.IO path
    unknown_session(t.ask(get(POLL + "forged")))


@case("an error answer to a handshake teaches nothing")
def _(t):
    two = Two(t, lambda w, m: answer(400, OPEN % "notopen"), stick=REJECT)
    for _ in range(2):
        same(t.ask(get(HANDSHAKE)).status, 400, "status")
    seen = len(two.requests)
    unknown_session(t.ask(get(POLL + "notopen")))
    same(len(two.requests), seen, "requests at the workers")


@case("an unknown sid is forwarded, balanced as a new request")
def _(t):
    two = Two(t)
    same({t.ask(get(POLL + "never-seen-%d" % n)).body for n in range(8)}, {b"A", b"B"}, "who serves")


@case("unknown: reject answers an unknown sid with 400 code 1 and asks no server")
def _(t):
    two = Two(t, stick="{engineio: {unknown: reject}}")
    sid = two.handshake()
    seen = len(two.requests)
    msg = t.ask(get(POLL + "never-seen", [("Origin", "http://page.test")]))
    unknown_session(msg, "http://page.test")
    same(len(two.requests), seen, "requests at the servers")
    same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "owner")


@case("a WebSocket that opens without a sid is a session, counted and not stuck")
def _(t):
    opened = ws_text(OPEN % "wsfirst-sid")
    two = Two(t, frames=opened, balance="least_sessions")
    c = t.connect()
    c.send(get("/socket.io/?EIO=4&transport=websocket", WS_FIELDS))
    same(c.read_response().status, 101, "status")
    same(c.read(len(opened)), opened, "the first frame")
    same(t.ask(get(HANDSHAKE)).status, 200, "status")   # least_sessions: goes to the other worker
    check(two.workers_of("/socket.io/") == ["A", "B"] or two.workers_of("/socket.io/") == ["B", "A"],
          two.workers_of("/socket.io/"))
    c.close()


@case("new sessions go to the worker with the fewest, not to the one with the fewest connections")
def _(t):
    two = Two(t, balance="least_sessions")
    for _ in range(10):
        two.handshake()
    counts = [two.workers_of("/socket.io/").count(w) for w in "AB"]
    same(counts, [5, 5], "sessions per worker")


main()
