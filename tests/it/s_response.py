#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Malformed and ambiguous answers of a server become 502; its connection is closed, never used again."""
import re

from lib import *

S = b"HTTP/1.1 200 OK\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

# (what it is, what the server sends)
HEADS = [
    ("Content-Length and Transfer-Encoding", S + b"Content-Length: 3\r\n" + TE + b"\r\n0\r\n\r\n"),
    ("two different Content-Lengths", S + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    ("two equal Content-Lengths", S + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    ("a list of different Content-Lengths", S + b"Content-Length: 3, 4\r\n\r\nabcd"),
    ("an empty Content-Length", S + b"Content-Length:\r\n\r\n"),
    ("a Content-Length with a plus sign", S + b"Content-Length: +3\r\n\r\nabc"),
    ("a negative Content-Length", S + b"Content-Length: -1\r\n\r\nabc"),
    ("a Content-Length in hex", S + b"Content-Length: 0x3\r\n\r\nabc"),
    ("a Content-Length that overflows", S + b"Content-Length: 99999999999999999999\r\n\r\nabc"),
    ("a Content-Length with letters", S + b"Content-Length: 3a\r\n\r\nabc"),
    ("an unknown transfer coding", S + b"Transfer-Encoding: gzip\r\n\r\nabc"),
    ("chunked, gzip", S + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    ("chunked twice", S + TE + TE + b"\r\n0\r\n\r\n"),
    ("Transfer-Encoding in HTTP/1.0", b"HTTP/1.0 200 OK\r\n" + TE + b"\r\n0\r\n\r\n"),
    ("an obs-fold", S + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    ("a bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    ("a bare LF after a field", S + b"X: a\nContent-Length: 0\r\n\r\n"),
    ("a bare CR in a value", S + b"X: a\rb\r\nContent-Length: 0\r\n\r\n"),
    ("a NUL in a value", S + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"),
    ("a control in a value", S + b"X: a\x02b\r\nContent-Length: 0\r\n\r\n"),
    ("a space before a colon", S + b"Content-Length : 0\r\n\r\n"),
    ("an empty field name", S + b": x\r\nContent-Length: 0\r\n\r\n"),
    ("a line without a colon", S + b"nonsense\r\nContent-Length: 0\r\n\r\n"),
    ("a first field line that begins with a space", S + b" X: y\r\nContent-Length: 0\r\n\r\n"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a status below 100", b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"),
    ("a status that is no number", b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n"),
    ("no status", b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
    ("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("HTTP/0.9", b"<html>hello</html>\r\n"),
    ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
    ("http in small letters", b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("a TLS alert", bytes.fromhex("15030100020228")),
    ("an empty line first", b"\r\n" + S + b"Content-Length: 0\r\n\r\n"),
    ("a control in the reason", b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n"),
    ("too large a head", S + b"X: " + b"a" * 70000 + b"\r\n\r\n"),
    ("too many fields", S + b"X: a\r\n" * 20000 + b"\r\n"),
    ("101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                  b"Connection: Upgrade\r\n\r\n"),
]

# The head is good, so the client has a status already: what it sees must be an incomplete answer.
BODIES = [
    ("a chunk size that is no number", b"xyz\r\nabc\r\n0\r\n\r\n"),
    ("a chunk size that overflows", b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    ("a negative chunk size", b"-3\r\nabc\r\n0\r\n\r\n"),
    ("a chunk size with 0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("a bare LF after a chunk size", b"3\nabc\r\n0\r\n\r\n"),
    ("a chunk longer than its size", b"3\r\nabcd\r\n0\r\n\r\n"),
    ("a chunk that ends with a bare LF", b"3\r\nabc\n0\r\n\r\n"),
    ("an empty chunk size", b"\r\nabc\r\n0\r\n\r\n"),
    ("a malformed trailer", b"3\r\nabc\r\n0\r\nX Y: z\r\n\r\n"),
    ("a chunk line without an end", b"3;" + b"a" * 70000),
]


class Shared:
    """One Limpet for all rows.  The origin's answer is chosen by the target; two ways per row."""

    def __init__(self):
        self.t = None

    def get(self):
        if self.t is None:
            self.t = Case("shared")
            self.origin = self.t.server(self.script)
            # Not what is tested here: so many bad answers would take the only server out.
            self.limpet = self.t.limpet(config(backend="passive_check: {failures: 0}"))
        return self.t

    def script(self, peer):
        """Answers well until a bad answer is asked for; after that nothing may come but the end."""
        while peer.buf or peer.fill(3600):
            msg = peer.read_request()
            if msg.target == "/good":
                peer.send(ok("good"))
                continue
            way, n = msg.target[1:].split("/")
            data = ALL[int(n)]
            if way == "drip" and len(data) < 3000:
                peer.drip(data)
            else:
                peer.send(data)
            if peer.read_all():
                raise Fail("the connection was used again after %r" % data[:80])


ALL = []
shared = Shared()


def bad_head(name, data):
    n = len(ALL)
    ALL.append(data)

    def run(_):
        t = shared.get()
        shared.origin.errors.clear()        # each row answers for itself
        for way in ("whole", "drip"):
            c = t.connect()
            same(c.ask(get("/good")).body, b"good", "an answer before")
            used = shared.origin.accepts
            c.send(get("/%s/%d" % (way, n)))
            msg = c.read_response()
            same(msg.status, 502, way + ": status")
            check(b"evil" not in msg.body, "nothing of the bad answer in ours")
            # The client's connection is no worse for it: it may go on, or be closed and told so.
            if msg.get("connection", "").lower() != "close":
                same(c.ask(get("/good")).body, b"good", "an answer after")
            else:
                check(not c.read_all(), "nothing after the 502")
            c.close()
            until(lambda: all(p.is_ended for p in shared.origin.peers[used - 1:used]),
                  way + ": the server's connection is closed")
        check(not shared.origin.errors, shared.origin.errors)
    return case(name + " becomes 502")(run)


def bad_body(name, body):
    n = len(ALL)
    ALL.append(S + TE + b"\r\n" + body + EVIL)

    def run(_):
        t = shared.get()
        shared.origin.errors.clear()        # each row answers for itself
        for way in ("whole", "drip"):
            c = t.connect()
            c.send(get("/%s/%d" % (way, n), [("Connection", "close")]))
            got = c.read_all()
            check(got[9:12] in (b"200", b"502"), "answered %r" % got[:100])
            if got[9:12] == b"200":
                check(not got.endswith(b"0\r\n\r\n") and b"chunked" in got.lower(),
                      "%s: looks complete: %r" % (way, got[-200:]))
                check(not re.search(rb"\r\n0+\r\n", got), "a last chunk in %r" % got[-200:])
            check(b"evil" not in got, "what follows is not passed on")
            c.close()
        check(not shared.origin.errors, shared.origin.errors)
    return case(name + " in an answer's body makes it visibly incomplete")(run)


for row in HEADS:
    bad_head(*row)
for row in BODIES:
    bad_body(*row)

GOOD = [
    ("a status line without a reason or its space", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
    ("a reason with high bytes", b"HTTP/1.1 200 Gr\xfc\xdf Gott\r\nContent-Length: 2\r\n\r\nok"),
    ("chunk extensions", S + TE + b"\r\n2;a=b\r\nok\r\n0\r\n\r\n"),
    ("an unknown field of odd but legal characters", S + b"!x~: \xff\r\nContent-Length: 2\r\n\r\nok"),
]


def good(name, data):
    n = len(ALL)
    ALL.append(data)

    def run(_):
        t = shared.get()
        for way in ("whole", "drip"):
            msg = t.ask(get("/%s/%d" % (way, n)))
            same((msg.status, msg.body), (200, b"ok"), way + ": answer")
            for peer in shared.origin.peers:    # their scripts wait for an end that nobody makes
                peer.shut_both()
    return case(name + " is taken from a server")(run)


for row in GOOD:
    good(*row)


@case("after all that, Limpet is alive and well")
def _(_):
    t = shared.get()
    same(t.ask(get("/good")).body, b"good", "body")
    wrong = t.finish()
    shared.t = None
    check(not wrong, "\n".join(wrong))


main()
