#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Running out of things, and standing still: nothing spins, nothing is lost, all comes back."""
import re
import signal
import time

from lib import *
from lib.engine import WS_FIELDS, SWITCH


def quiet(limpet, seconds=0.4):
    """Nothing happens, so nothing may be computed."""
    before = limpet.cpu()
    time.sleep(seconds)
    used = limpet.cpu() - before
    check(used < seconds / 4, "%.2f s of processor time in %.2f s of standing still" % (used, seconds))


@case("descriptors run out: accept pauses without spinning, and goes on when some are free")
def _(t):
    t.echo()
    limpet = t.limpet(max_fds=192)
    clients = []
    for _ in range(300):
        c = t.connect()
        c.send(get())
        clients.append(c)
    time.sleep(0.1)
    quiet(limpet)
    served = 0
    for c in clients:
        if not c.is_silent(0) and not c.is_ended:
            served += 1
        c.close()
    check(served > 10, "only %d were served" % served)

    def serves():
        try:
            return t.ask(get()).body == b"A"
        except Fail:
            return False
    until(serves, "it serves again")


@case("max_connections of the process: no more than so many at once, the rest wait or are turned away")
def _(t):
    t.echo()
    limpet = t.limpet(config(global_="max_connections: 4", hosts='{A: "${A}"}'))
    clients = [t.connect() for _ in range(4)]
    for c in clients:
        same(c.ask(get()).body, b"A", "body")
    extra = t.connect()
    extra.send(get())
    if extra.is_silent(0.1) and not extra.is_ended:
        clients[0].close()
        same(extra.read_response().body, b"A", "body")
    else:
        extra.fill()
        check(extra.is_ended or b" 503 " in extra.buf, bytes(extra.buf))
    quiet(limpet, 0.2)


@case("the table of descriptors has room for max_connections from the start, and for more after a reload")
def _(t):
    def room():
        with open("/proc/%d/status" % limpet.pid) as f:
            return int(re.search(r"^FDSize:\s+(\d+)", f.read(), re.M).group(1))
    t.echo()
    few, more = (config(global_="max_connections: %d" % n, hosts='{A: "${A}"}') for n in (600, 1500))
    limpet = t.limpet(few, max_fds=4000)
    check(1200 <= room() < 3000, "room for %d descriptors" % room())
    same(t.ask(get()).body, b"A", "body")
    limpet.write(more)
    limpet.signal(signal.SIGHUP)
    until(lambda: room() >= 3000, "the table grows")
    same(t.ask(get()).body, b"A", "body")


@case("idle connections, an idle WebSocket, a pending request: nothing spins")
def _(t):
    def handler(msg, peer):
        if msg.target == "/hold":
            t.events.fire("held")
            peer.read_all(3600)
            return None
        if msg.target == "/ws":
            peer.send(SWITCH)
            peer.read_all(3600)
            return None
        return ok("A")
    t.server(serve(handler))
    limpet = t.limpet()
    idle, hold, ws, half = t.connect(), t.connect(), t.connect(), t.connect()
    idle.ask(get())
    hold.send(get("/hold"))
    ws.send(get("/ws", WS_FIELDS))
    same(ws.read_response().status, 101, "status")
    half.send(b"GET / HTTP/1.1\r\nHo")
    t.events.wait("held")
    quiet(limpet)


@case("sides that are half-closed: nothing spins")
def _(t):
    def handler(msg, peer):
        if msg.target == "/ws":
            peer.send(SWITCH)
            peer.shut()
            t.events.wait("end", 10)
            return None
        t.events.wait("end", 10)
        return ok("late")
    t.server(serve(handler))
    limpet = t.limpet()
    ws, ws2, half = t.connect(), t.connect(), t.connect()
    ws.send(get("/ws", WS_FIELDS))
    same(ws.read_response().status, 101, "status")
    ws2.send(get("/ws", WS_FIELDS))
    same(ws2.read_response().status, 101, "status")
    ws2.shut()
    half.send(get("/wait"))
    half.shut()
    time.sleep(0.05)
    quiet(limpet)
    t.events.fire("end")


@case("readers that do not read, and a pipeline whose answers nobody takes: nothing spins")
def _(t):
    big = ok(body_bytes(3000000))
    t.server(serve(lambda m, p: big))
    limpet = t.limpet()
    for _ in range(3):
        c = t.connect(rcvbuf=32768)
        c.send(get() * 20)
    time.sleep(0.3)
    quiet(limpet)


@case("200 pipelined requests in one segment are all answered, in order")
def _(t):
    t.server(serve(lambda m, p: ok(m.target)))
    t.limpet()
    c = t.connect()
    c.send(b"".join(get("/%d" % n) for n in range(200)))
    for n in range(200):
        same(c.read_response().body, b"/%d" % n, "body")


@case("a thousand short connections leave no descriptor and little memory behind")
def _(t):
    t.echo()
    limpet = t.limpet()
    for _ in range(100):
        t.connect().close()
        t.ask(get())
    before, rss = limpet.fds(), limpet.rss()
    for n in range(500):
        c = connect(t.port)
        if n % 3 == 0:
            c.send(get()[:20])
        c.reset() if n % 2 else c.close()
        c = connect(t.port)
        c.send(get())
        same(c.read_response().body, b"A", "body")
        c.close()
    until(lambda: limpet.fds() <= before + 2, "descriptors are given back")
    if not is_sanitized:
        check(limpet.rss() - rss < 2000000, "memory: %d -> %d" % (rss, limpet.rss()))


main()
