#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Workers that come and go: sockets found by a glob, ranges of ports, checks, whole hosts."""
import os
import socket
import time

from lib import *

GLOB = WATCHED + """\
    retries: 2
    hosts: {here: "unix:${RUN}/w/*.sock"}
"""
CHECKED = WATCHED + """\
    retries: 0
    health_check: {http: /healthz, interval: 100ms, timeout: 200ms, fall: %d, rise: %d}
    hosts: {A: "${A}", B: "${B}"}
"""


def worker(t, name):
    return t.server(serve(lambda m, p: ok(name)), name=name, path="%s/w/%s.sock" % (t.directory, name))


def who(t, n=12):
    return {t.ask(get()).body.decode() for _ in range(n)}


def names(limpet):
    return {r["svname"] for r in limpet.stat_rows() if r["type"] == "2"}


def start(t, *workers):
    os.mkdir(t.directory + "/w")
    servers = {n: worker(t, n) for n in workers}
    limpet = t.limpet(GLOB)
    if workers:
        until(lambda: who(t) == set(workers), "the workers are found")
    return servers, limpet


@case("workers are found by their sockets and named host/stem")
def _(t):
    _, limpet = start(t, "w1", "w2")
    same(names(limpet), {"here/w1", "here/w2"}, "names")


@case("no worker yet: 503; the first that appears serves within a second")
def _(t):
    _, limpet = start(t)
    same(t.ask(get()).status, 503, "status")
    worker(t, "first")
    until(lambda: t.ask(get()).body == b"first", "it serves", 1 * SLOW)


@case("a worker that appears takes requests within a second")
def _(t):
    start(t, "w1")
    worker(t, "w2")
    until(lambda: who(t) == {"w1", "w2"}, "both serve", 1 * SLOW)


@case("a worker whose socket goes is gone, without an error to any client")
def _(t):
    servers, limpet = start(t, "w1", "w2")
    servers["w1"].down()
    for _ in range(20):
        same(t.ask(get()).body, b"w2", "body")
    until(lambda: not [r for r in limpet.stat_rows() if r["svname"] == "here/w1" and r["status"] in ("UP", "no check")],
          "it is shown as gone")


@case("a stale socket file is no error storm: others serve, the log stays quiet, no descriptor is lost")
def _(t):
    _, limpet = start(t, "w1")
    s = socket.socket(socket.AF_UNIX)
    s.bind(t.directory + "/w/stale.sock")
    s.close()                               # the file stays, nobody listens
    time.sleep(0.1)
    for _ in range(30):
        same(t.ask(get()).body, b"w1", "body")
    fds = limpet.fds()
    time.sleep(0.7)
    lines = [l for l in limpet.log().split("\n") if "stale" in l and " request " not in l]
    check(len(lines) < 6, "\n".join(lines[:10]))
    check(limpet.fds() <= fds + 2, "descriptors: %d -> %d" % (fds, limpet.fds()))


@case("a worker started again behind its stale file serves")
def _(t):
    servers, limpet = start(t, "w1", "w2")
    path = servers["w1"].path
    servers["w1"].path = None               # dies without taking its file away
    servers["w1"].down()
    for _ in range(10):
        same(t.ask(get()).body, b"w2", "body")
    os.unlink(path)
    worker(t, "w1")
    until(lambda: who(t) == {"w1", "w2"}, "both serve", 1 * SLOW + 1)


@case("a file that is no socket and a name that does not match are left alone")
def _(t):
    _, limpet = start(t, "w1")
    open(t.directory + "/w/plain.sock", "w").close()
    os.mkdir(t.directory + "/w/dir.sock")
    t.server(serve(lambda m, p: ok("other")), name="other", path=t.directory + "/w/other.socket")
    time.sleep(0.2)
    same(who(t), {"w1"}, "who serves")


@case("the directory may come later, and come again")
def _(t):
    import shutil
    limpet = t.limpet(GLOB)
    same(t.ask(get()).status, 503, "status")
    for n in range(2):
        os.mkdir(t.directory + "/w")
        server = worker(t, "w%d" % n)
        until(lambda: t.ask(get()).body == b"w%d" % n, "it is found", 2 * SLOW)
        server.down()
        shutil.rmtree(t.directory + "/w")
        until(lambda: t.ask(get()).status == 503, "it is gone", 2 * SLOW)


@case("workers of a port range are named host/port")
def _(t):
    first = None
    for attempt in range(50):
        port = free_port()
        try:
            found = [t.server(serve(lambda m, p, k=k: ok(str(k))), name="r%d" % (attempt * 3 + k), port=port + k)
                     for k in range(3)]
            first = port
            break
        except OSError:
            continue
    if first is None:
        raise Skip("no three free ports in a row")
    t.env["RANGE"] = "%d-%d" % (first, first + 2)
    limpet = t.limpet(GLOB.replace('"unix:${RUN}/w/*.sock"', '{address: 127.0.0.1, workers: "${RANGE}"}'))
    same(who(t), {"0", "1", "2"}, "who serves")
    same(names(limpet), {"here/%d" % (first + k) for k in range(3)}, "names")


def checked(t, fall, rise):
    health = {"A": 200, "B": 200}
    for name in "AB":
        t.server(serve(lambda m, p, name=name: answer(health[name], name) if m.target == "/healthz" else ok(name)),
                 name=name)
    return health, t.limpet(CHECKED % (fall, rise))


def status(limpet, name):
    return [r for r in limpet.stat_rows() if r["svname"] == name][0]["status"]


@case("fall: so many failed checks take a server out, rise: so many good ones bring it back")
def _(t):
    health, limpet = checked(t, 2, 2)
    same(who(t), {"A", "B"}, "who serves")
    health["A"] = 503
    until(lambda: status(limpet, "A").startswith("DOWN"), "A is down")
    same(who(t), {"B"}, "who serves")
    health["A"] = 200
    until(lambda: status(limpet, "A") == "UP", "A is up")
    until(lambda: who(t) == {"A", "B"}, "both serve")


@case("one failed check is not enough when fall is 3")
def _(t):
    bad = [0]
    def handler(m, p):
        if m.target == "/healthz":
            bad[0] += 1
            return answer(500 if bad[0] % 3 else 200, "")      # two bad, one good, two bad...
        return ok("A")
    t.server(serve(handler), name="A")
    t.server(serve(lambda m, p: ok("B")), name="B")
    limpet = t.limpet(CHECKED % (3, 1))
    until(lambda: bad[0] >= 9, "nine checks came")
    check(status(limpet, "A").startswith("UP"), status(limpet, "A"))


@case("a check that hangs is a failed check")
def _(t):
    def hang(m, p):
        if m.target == "/healthz":
            p.read_all(3600)
            return None
        return ok("A")
    t.server(serve(hang), name="A")
    t.server(serve(lambda m, p: ok("B")), name="B")
    limpet = t.limpet(CHECKED % (1, 1))
    until(lambda: status(limpet, "A").startswith("DOWN"), "A is down")
    same(who(t), {"B"}, "who serves")


@case("all servers down: 503, and back without a restart")
def _(t):
    health, limpet = checked(t, 1, 1)
    health.update(A=500, B=500)
    until(lambda: t.ask(get()).status == 503, "503")
    health.update(B=200)
    until(lambda: who(t, 4) == {"B"}, "B serves")


@case("a tcp check needs only a listener")
def _(t):
    a, b = t.echo(), t.echo()
    limpet = t.limpet(CHECKED.replace("{http: /healthz, interval: 100ms, timeout: 200ms, fall: %d, rise: %d}", "tcp"))
    same(who(t), {"A", "B"}, "who serves")


@case("passive_check: a server that answers 5xx again and again is left out for a while")
def _(t):
    t.server(serve(lambda m, p: answer(500, "A")), name="A")
    t.server(serve(lambda m, p: ok("B")), name="B")
    t.limpet(config(backend="passive_check: {failures: 3, window: 5s}", hosts='{A: "${A}", B: "${B}"}'))
    got = [t.ask(get()).body.decode() for _ in range(30)]
    check(got.count("A") <= 6 and set(got[-8:]) == {"B"}, got)


main()
