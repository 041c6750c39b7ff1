#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Balancing: who is chosen, who is left out, and who waits."""
import time
from collections import Counter

from lib import *

ABC = '{A: "${A}", B: "${B}", C: "${C}"}'
CHECK = "health_check: {http: /healthz, interval: 100ms, timeout: 500ms, fall: 1, rise: 1}"


def three(t, backend, hosts=ABC, n=3, **kw):
    for _ in range(n):
        t.echo()
    return t.limpet(config(backend=backend, hosts=hosts, **kw))


def asked(t, n, make=lambda n: get("/%d" % n), c=None):
    c = c or t.connect()
    return [c.ask(make(k)).body.decode() for k in range(n)]


@case("round_robin: each in turn")
def _(t):
    three(t, "balance: round_robin")
    got = asked(t, 9)
    same(sorted(got[:3]) * 3, sorted(got[:3]) + sorted(got[3:6]) + sorted(got[6:]), "turns")
    same(Counter(got), {"A": 3, "B": 3, "C": 3}, "counts")


@case("round_robin is what a backend does that says nothing")
def _(t):
    three(t, "")
    same(Counter(asked(t, 9)), {"A": 3, "B": 3, "C": 3}, "counts")


@case("round_robin: weights are kept, and smoothly")
def _(t):
    three(t, "balance: round_robin", '{A: {address: "${A}", weight: 50}, B: {address: "${B}", weight: 30}, '
                                     'C: {address: "${C}", weight: 20}}')
    got = asked(t, 50)
    same(Counter(got), {"A": 25, "B": 15, "C": 10}, "counts")
    check("AAA" not in "".join(got), "in bursts: " + "".join(got))


@case("weight 0 takes no new requests")
def _(t):
    three(t, "balance: round_robin", '{A: {address: "${A}", weight: 0}, B: "${B}", C: "${C}"}')
    same(set(asked(t, 8)), {"B", "C"}, "servers")


@case("workers of a host have weights of their own")
def _(t):
    a, b = t.echo(), t.echo()
    t.env.update(PA=a.port, PB=b.port)
    t.limpet(config(backend="balance: round_robin", hosts=(
        '{one: {address: 127.0.0.1, workers: ["${PA}", {port: "${PB}", weight: 50}]}}')),
        ports=("PORT",))
    same(Counter(asked(t, 30)), {"A": 20, "B": 10}, "counts")


def holding(t, n=3):
    """Servers that keep every request until it is let go."""
    def script(name):
        def handler(msg, peer):
            t.events.fire("at " + msg.target)
            t.events.wait("go " + msg.target, 30)
            return ok(name)
        return serve(handler)
    for name in "ABC"[:n]:
        t.server(script(name), name=name)


def held(t, target):
    c = t.connect()
    c.send(get(target))
    t.events.wait("at " + target)
    return c


def release(t, c, target):
    t.events.fire("go " + target)
    return c.read_response().body.decode()


@case("least_conn: the one with the fewest requests open")
def _(t):
    holding(t)
    t.limpet(config(backend="balance: least_conn", hosts=ABC))
    open_ = {n: held(t, "/%d" % n) for n in range(6)}       # two each
    names = {n: release(t, open_[n], "/%d" % n) for n in (0, 3)}
    more = {n: held(t, "/%d" % n) for n in (6, 7)}
    got = [release(t, more[n], "/%d" % n) for n in (6, 7)]
    same(sorted(got), sorted(names.values()), "who took the next two")
    rest = [release(t, open_[n], "/%d" % n) for n in (1, 2, 4, 5)]
    same(Counter(rest + list(names.values())), {"A": 2, "B": 2, "C": 2}, "the first six")


@case("first: all to the first until it is full, then the next")
def _(t):
    holding(t)
    t.limpet(config(backend="balance: first, max_connections_per_server: 2", hosts=ABC))
    open_ = {n: held(t, "/%d" % n) for n in range(5)}
    got = [release(t, open_[n], "/%d" % n) for n in range(5)]
    same(got, ["A", "A", "B", "B", "C"], "who took them")


@case("random: everybody gets some")
def _(t):
    three(t, "balance: random")
    same(set(asked(t, 60)), {"A", "B", "C"}, "servers")


HASHES = [
    ("uri", "hash: uri", lambda n: get("/page/%d" % n)),
    ("a header", "hash: {header: x-key}", lambda n: get("/", [("X-Key", "k%d" % n)])),
    ("a query key", "hash: {query: room}", lambda n: get("/?a=b&room=r%d&c=%d" % (n, time.monotonic_ns()))),
    ("a cookie", "hash: {cookie: user}", lambda n: get("/", [("Cookie", "x=y; user=u%d; z=%d" % (
        n, time.monotonic_ns()))])),
]
for name, balance, make in HASHES:
    def hashed(t, balance=balance, make=make):
        lp = three(t, "balance: {%s}" % balance)
        first = asked(t, 60, make)
        same(asked(t, 60, make), first, "the second round")
        counts = Counter(first)
        check(len(counts) == 3 and min(counts.values()) >= 8, counts)
        lp.signal(1)                        # a reload changes nothing
        same(asked(t, 60, make), first, "the round after a reload")
    case("hash of %s: the same key always goes to the same server, keys are spread" % name)(hashed)


@case("hash of ip: an address stays, addresses are spread")
def _(t):
    three(t, "balance: {hash: ip}")
    first = {n: t.ask(get(), source="127.0.1.%d" % n).body for n in range(1, 40)}
    same(len(set(first.values())), 3, "servers")
    for n, was in first.items():
        same(t.ask(get("/x"), source="127.0.1.%d" % n).body, was, "server")


@case("hash: a server that goes moves its own keys alone, and gets them back")
def _(t):
    lp = three(t, "balance: {hash: uri}, retries: 2, " + CHECK)
    first = asked(t, 40)
    server = t.servers[0]
    port = server.port
    server.down()
    until(lambda: "A" not in asked(t, 40), "A is left out")
    for was, now in zip(first, asked(t, 40)):
        check(now == was if was != "A" else now in "BC", "%s -> %s" % (was, now))
    t.echo(name="A", port=port)
    until(lambda: asked(t, 40) == first, "A has its keys again")


@case("a backup is used only when all others are down, and left when one is back")
def _(t):
    a, b, c = t.echo(), t.echo(), t.echo()
    t.limpet(config(backend="retries: 3, " + CHECK, hosts=(
        '{A: "${A}", B: "${B}", C: {address: "${C}", backup: true}}')))
    same(set(asked(t, 10)), {"A", "B"}, "servers")
    a.down()
    until(lambda: set(asked(t, 6)) == {"B"}, "B alone")
    b.down()
    until(lambda: t.ask(get()).body == b"C", "the backup")
    same(set(asked(t, 6)), {"C"}, "servers")
    t.echo(name="A", port=a.port)
    until(lambda: set(asked(t, 6)) == {"A"}, "A alone")


@case("a server that goes down loses no request that could go elsewhere")
def _(t):
    a, b = t.echo(), t.echo()
    t.limpet(config(backend="retries: 2, " + CHECK, hosts='{A: "${A}", B: "${B}"}'))
    c = t.connect()
    got = []
    for n in range(60):
        if n == 20:
            a.down()
        got.append(c.ask(get("/%d" % n)).status)
    same(set(got), {200}, "statuses")


@case("a server whose check fails takes no requests although it listens")
def _(t):
    sick = t.server(serve(lambda m, p: answer(500) if m.target == "/healthz" else ok("sick")))
    t.server(serve(lambda m, p: ok("well")))
    t.limpet(config(backend=CHECK, hosts='{A: "${A}", B: "${B}"}'))
    until(lambda: set(asked(t, 6)) == {"well"}, "the sick one is left out")


@case("max_connections_per_server: more wait, and are served in order")
def _(t):
    holding(t, 1)
    # Oldest first is promised on each thread; between threads there is no order.
    t.limpet(config(backend="max_connections_per_server: 2", hosts='{A: "${A}"}').replace("${THREADS:-1}", "1"))
    one, two = held(t, "/1"), held(t, "/2")
    waiting = []
    for n in (3, 4):
        c = t.connect()
        c.send(get("/%d" % n))
        waiting.append(c)
        check(c.is_silent(0.05), "answered at once")
    check(not t.events.is_fired("at /3"), "a third request is at the server")
    same(release(t, one, "/1"), "A", "body")
    t.events.wait("at /3")
    check(not t.events.is_fired("at /4"), "out of order")
    same(release(t, two, "/2"), "A", "body")
    t.events.wait("at /4")
    same(release(t, waiting[0], "/3"), "A", "body")
    same(release(t, waiting[1], "/4"), "A", "body")


@case("timeouts.queue: who waited too long gets 503, the others are served")
def _(t):
    holding(t, 1)
    t.limpet(config(backend="max_connections_per_server: 1, timeouts: {queue: 200ms}", hosts='{A: "${A}"}'))
    one = held(t, "/1")
    started = time.monotonic()
    same(t.ask(get("/2")).status, 503, "status")
    took = time.monotonic() - started
    check(0.15 < took < 1.2 * SLOW, "after %.2f s" % took)
    same(release(t, one, "/1"), "A", "body")
    t.events.fire("go /3")
    same(t.ask(get("/3")).body, b"A", "body")


@case("who gives up while waiting leaves the queue and is never served")
def _(t):
    holding(t, 1)
    limpet = t.limpet(config(backend="max_connections_per_server: 1", hosts='{A: "${A}"}'))
    one = held(t, "/1")
    gone_, stays = t.connect(), t.connect()
    gone_.send(get("/gone"))
    check(gone_.is_silent(0.03))
    stays.send(get("/stays"))
    check(stays.is_silent(0.03))
    gone_.reset()
    limpet.wait_log(r'"GET /gone ')
    same(release(t, one, "/1"), "A", "body")
    t.events.wait("at /stays")
    same(release(t, stays, "/stays"), "A", "body")
    check(not t.events.is_fired("at /gone"), "a request of nobody was served")


@case("a frontend's max_connections: more wait until one is closed")
def _(t):
    t.echo()
    t.limpet(config(frontend="max_connections: 2", hosts='{A: "${A}"}'))
    one, two = t.connect(), t.connect()
    same(one.ask(get()).body, b"A", "body")
    same(two.ask(get()).body, b"A", "body")
    three_ = t.connect()
    three_.send(get())
    check(three_.is_silent(0.1) or three_.fill() and b" 503 " in three_.buf or three_.is_ended, "a third is served")
    if not three_.buf and not three_.is_ended:
        one.close()
        same(three_.read_response().body, b"A", "body")


main()
