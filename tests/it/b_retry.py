#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Retries: another server while no byte can have reached one; never a second time after that."""
import time

from lib import *

AB = '{one: "${A}", two: "${B}"}'


@case("a refused connection goes on to another server, for a POST as well")
def _(t):
    t.refused("A")
    good = t.server(serve(lambda m, p: ok(m.body)), name="B")
    t.limpet(config(backend="retries: 2", hosts=AB))
    for n in range(6):
        same(t.ask(post(body=b"%d" % n)).body, b"%d" % n, "body")
    same(len(good.requests), 6, "requests")


@case("a large body is whole after a refused connection")
def _(t):
    t.refused("A")
    t.server(serve(lambda m, p: ok(m.body)), name="B")
    t.limpet(config(backend="retries: 2", hosts=AB))
    data = body_bytes(300000)
    for _ in range(2):
        check(t.ask(post(body=data)).body == data, "the body is altered")


@case("retries: 0 tries one server alone")
def _(t):
    t.refused("A")
    t.refused("B")
    t.limpet(config(backend="retries: 0", hosts=AB))
    same(t.ask(get()).status, 503, "status")


@case("all refuse: 503, however many retries")
def _(t):
    t.refused("A")
    t.refused("B")
    t.limpet(config(backend="retries: 5", hosts=AB))
    started = time.monotonic()
    same(t.ask(get()).status, 503, "status")
    check(time.monotonic() - started < 2 * SLOW, "it took %.2f s" % (time.monotonic() - started))


for method, ending in (("POST", close()), ("POST", reset()), ("PATCH", close())):
    def never_twice(t, method=method, ending=ending):
        one = t.server([request(), ending], [request(), ending])
        two = t.server([request(), ending], [request(), ending])
        t.limpet(config(backend="retries: 3", hosts=AB))
        same(t.ask(post(body=b"x", method=method)).status, 502, "status")
        same(one.accepts + two.accepts, 1, "connections to servers")
    case("a %s whose server %ss after the request is not sent again" % (method, ending[0]))(never_twice)


@case("a POST on a pooled connection that turns out dead is answered, and sent once at most")
def _(t):
    server = t.server([request(), send(ok("1")), request(body=b"x"), reset()],
                      serve(lambda m, p: ok("again")))
    t.limpet(config(backend="retries: 3"))
    c = t.connect()
    same(c.ask(get()).body, b"1", "body")
    same(c.ask(post(body=b"x")).status, 502, "status")
    same(len([m for m in server.requests if m.method == "POST"]), 1, "how often the POST came")


@case("a GET whose first answer bytes came is not sent again")
def _(t):
    one = t.server([request(), send(b"HTTP/1.1 200 OK\r\n"), close()])
    two = t.server([request(), send(b"HTTP/1.1 200 OK\r\n"), close()])
    t.limpet(config(backend="retries: 3", hosts=AB))
    same(t.ask(get()).status, 502, "status")
    same(one.accepts + two.accepts, 1, "connections to servers")


@case("a server that accepts nothing is given up after timeouts.connect")
def _(t):
    import socket
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    fillers = []
    try:
        for _ in range(4):              # the backlog is full: further SYNs are dropped
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
            fillers.append(s)
        t.env["A"] = "127.0.0.1:%d" % port
        t.server(serve(lambda m, p: ok("other")), name="B")
        t.limpet(config(backend="retries: 1, balance: first, timeouts: {connect: 150ms}", hosts=AB))
        started = time.monotonic()
        same(t.ask(get()).body, b"other", "body")
        took = time.monotonic() - started
        check(0.1 < took < 1.5 * SLOW, "it took %.2f s" % took)
    finally:
        for s in fillers + [full]:
            s.close()


@case("a Unix socket whose backlog is full is tried again within timeouts.connect")
def _(t):
    import socket
    path = t.directory + "/w.sock"
    worker = socket.socket(socket.AF_UNIX)
    worker.bind(path)
    worker.listen(0)
    fillers = []
    try:
        while True:
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            fillers.append(s)
            if s.connect_ex(path) != 0:
                break
        t.env["A"] = "unix:" + path
        t.limpet(config(backend="retries: 0, timeouts: {connect: 2s}"))
        c = t.connect()
        c.send(get())
        check(c.is_silent(0.1), "no answer while the backlog is full")
        for s in fillers:
            s.close()
        worker.settimeout(DEADLINE)
        while True:                     # the worker comes to itself and finds the fillers gone
            peer = Peer(worker.accept()[0], name="worker")
            if peer.fill():
                peer.send(ok("late"))
                break
            peer.close()
        same(c.read_response().body, b"late", "body")
        peer.close()
    finally:
        for s in fillers:
            s.close()
        worker.close()


main()
