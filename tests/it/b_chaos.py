#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients and servers that misbehave at random, in many connections at once; the seed is printed.

Whatever happens: no answer that is whole is wrong, nobody gets another one's answer, Limpet lives,
and when all have gone it holds no connection.  Repeat a run with SEED=number.
"""
import os
import random
import re
import threading
import time

from lib import *
from lib.engine import WS_FIELDS, SWITCH

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 30))
SECONDS = 1.2


def answer_body(token):
    return b"answer for " + token + b" " + token * (len(token) % 7 * 40)


def bad_server(rng):
    """Answers with the request's token; sometimes dies, lies, dribbles or goes too early."""
    def script(peer):
        while peer.buf or peer.fill(3600):
            msg = peer.read_request(want_body=False)
            if msg.has("content-length"):
                peer.read(int(msg.get("content-length")))
            elif msg.has("transfer-encoding"):
                peer._chunked(msg)
            token = msg.get("x-token", "none").encode()
            body = answer_body(token)
            kind = rng.randrange(14)
            head = b"HTTP/1.1 200 OK\r\n"
            if msg.has("upgrade") and kind < 9:
                peer.send(SWITCH + body)
                while peer.fill(3600):
                    peer.send(peer.take(len(peer.buf)))
                return
            if kind == 0:
                peer.reset()
                return
            if kind == 1:
                return peer.shut_both()
            if kind == 2:
                peer.send(head + b"Content-Length: %d\r\n\r\n" % (len(body) + 50) + body)
                return peer.shut_both()
            if kind == 3:
                peer.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(body))
                return peer.reset()
            if kind == 4:
                peer.send(b"garbage \0\r\n\r\n")
                return peer.shut_both()
            if kind == 5:
                peer.send(head + b"\r\n" + body)
                return peer.shut_both()
            if kind == 6:
                peer.drip(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            elif kind == 7:
                peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            elif kind == 8:
                peer.send(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                return peer.shut_both()
            else:
                peer.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body[:7], body[7:]))
    return script


class Guarded:
    """A script whose own network trouble is part of the plan."""

    def __init__(self, script):
        self.script = script

    def __call__(self, peer):
        try:
            self.script(peer)
        except (Fail, OSError, ValueError):
            peer.shut_both()


def client(t, rng, wrong, counts, stop_at):
    n = 0
    while time.monotonic() < stop_at:
        try:
            c = connect(t.port, name="chaos")
        except OSError:
            continue
        try:
            for _ in range(rng.randrange(1, 6)):
                n += 1
                token = b"t%x-%d" % (threading.get_ident() & 0xffffff, n)
                fields = [("X-Token", token)]
                body = body_bytes(rng.choice((0, 10, 5000, 200000)))
                kind = rng.randrange(12)
                if kind == 0:
                    c.send(get("/", fields)[:rng.randrange(1, 40)])
                    break
                if kind == 1:
                    c.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
                    c.read_all(2)
                    break
                if kind == 2:
                    c.send(post("/", body, fields))
                    c.reset()
                    return
                if kind == 3:
                    c.send(get("/", fields + WS_FIELDS))
                elif kind == 4:
                    c.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Token: " + token +
                           b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body or b"x"))
                elif kind == 5:
                    c.drip(get("/", fields))
                else:
                    c.send(post("/", body, fields) if kind % 2 else get("/", fields))
                msg = c.read_response()
                while msg.status in (102, 103):
                    msg = c.read_response()
                counts[msg.status] = counts.get(msg.status, 0) + 1
                if msg.status == 101:
                    want = answer_body(token)
                    if c.read(len(want)) != want:
                        wrong.append("a tunnel of %r began with another's bytes" % token)
                    c.send(b"echo" + token)
                    if rng.randrange(2) and c.read(4 + len(token)) != b"echo" + token:
                        wrong.append("a tunnel's bytes are altered")
                    break
                if msg.status == 200 and msg.is_complete and msg.body != answer_body(token):
                    wrong.append("%r was answered %r" % (token, msg.body[:80]))
                if msg.status not in (200, 502, 503, 504, 400):
                    wrong.append("status %d" % msg.status)
                if msg.get("connection", "").lower() == "close":
                    break
        except (Fail, OSError) as err:  # cut answers are part of the plan, wrong ones are not
            if re.search("passed on|framed more|odd |does not end with CRLF|not a response|coding ", str(err)):
                wrong.append(str(err))
        finally:
            c.close()


@case("peers that misbehave at random get no wrong answer, and Limpet holds nothing at the end")
def _(t):
    t.note("SEED=%d" % SEED)
    rngs = [random.Random(SEED + n) for n in range(20)]
    for n in range(3):
        t.server(Guarded(bad_server(rngs[n])))
    limpet = t.limpet(config(backend='retries: 2, timeouts: {server: 2s}',
                             hosts='{a: "${A}", b: "${B}", c: "${C}"}').replace("${THREADS:-1}", "${THREADS:-2}"))
    before = limpet.fds(pipes=False)
    wrong, counts = [], {}
    stop_at = time.monotonic() + SECONDS
    threads = [threading.Thread(target=client, args=(t, rngs[3 + n], wrong, counts, stop_at)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not wrong, "\n".join(wrong[:5]))
    check(counts.get(200, 0) > 5 / SLOW, "hardly anything was answered: %r" % counts)
    for server in t.servers:
        for peer in server.peers:
            peer.shut_both()
    until(lambda: limpet.fds(pipes=False) <= before + 2, "descriptors are given back; %d before" % before)
    check(limpet.fds() <= before + 2 + 2 * 8 * 4, "pipes are given back: at most 8 spare ones for each of up to 4 threads")


main()
