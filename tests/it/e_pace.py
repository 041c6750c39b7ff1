#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drains take their time: an even pace, grace, sockets that vanish, rebalance."""
import os
import re
import threading
import time

from lib import *
from lib.engine import *
from lib.farm import *


def spread(times, started, over, n):
    """Ends in the order of time fill OVER seconds evenly: no quarter has more than half as much again."""
    quarters = [0] * 4
    for at in times:
        quarters[min(3, max(0, int((at - started) / over * 4)))] += 1
    check(max(quarters) <= n / 4 * 1.5 + 1 and min(quarters) >= n / 4 * 0.5 - 1,
          "ends per quarter: %s" % quarters)


@case("WebSockets are told at an even pace, the last when the time is over")
def _(t):
    farm = Farm(t)
    n, over = 40, 2.0
    cs = [farm.websocket("A") for _ in range(n)]
    times = []

    def watch(c):
        told(c)
        times.append(time.monotonic())
    threads = [threading.Thread(target=watch, args=(c,), daemon=True) for c in cs]
    started = time.monotonic()
    farm.cmd("drain chat/A over %dms" % (over * 1000))
    for thread in threads:
        thread.start()
    line = farm.cmd("show endings").strip().split("\n")[1].split()
    same(line[:3], ["chat/A", "drain", "ending"], "show endings")
    check(n - 8 <= int(line[3]) <= n, "show endings: %s of %d are left at the beginning" % (line[3], n))
    for thread in threads:
        thread.join(30)
    same(len(times), n, "told")
    check(max(times) - started < over + 0.5 * SLOW, "the last one after %.2f s" % (max(times) - started))
    spread(times, started, over, n)
    farm.limpet.wait_log(r"drain over: 40 sessions and tunnels ended in \d")


@case("polls are told at an even pace, and those between two requests with the next one")
def _(t):
    farm = Farm(t)
    n, over = 24, 2.0
    sids = [farm.handshake("A") for _ in range(n)]
    times, wrong = [], []
    farm.is_held = False

    def client(sid, i):
        """Half of them are mostly between two requests."""
        c = t.connect()
        try:
            while True:
                msg = c.ask(get(POLL + sid))
                if msg.status == 400:
                    unknown_session(msg)
                    times.append(time.monotonic())
                    return
                same(msg.body, b"2", "a poll")
                time.sleep(0.02)
        except Exception as err:
            wrong.append(err)
    started = time.monotonic()
    farm.cmd("drain chat/A over %dms" % (over * 1000))
    threads = [threading.Thread(target=client, args=(s, i), daemon=True) for i, s in enumerate(sids)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    same((wrong, len(times)), ([], n), "told")
    check(max(times) - started < over + 0.5 * SLOW, "the last one after %.2f s" % (max(times) - started))
    spread(times, started, over, n)
    same(farm.sessions("A"), 0, "sessions left")


@case("a session that is silent all the time hears it afterwards")
def _(t):
    farm = Farm(t)
    sid = farm.handshake("A")
    farm.cmd("drain chat/A over 200ms")
    until(farm.is_quiet, "the ending is over")
    seen = len(farm.requests)
    unknown_session(t.ask(get(POLL + sid)))
    unknown_session(t.ask(post(POLL + sid, "4x")))
    same(len(farm.requests), seen, "requests that reached a worker")


@case("drain_grace: its sessions go on, then they are ended over drain_over")
def _(t):
    farm = Farm(t, backend="drain_grace: 600ms\ndrain_over: 300ms")
    c = farm.websocket("A")
    started = time.monotonic()
    farm.cmd("set server chat/A state drain")
    line = farm.cmd("show endings").strip().split("\n")[1].split()
    same(line[:3], ["chat/A", "drain", "grace"], "show endings")
    c.send(ws_client_text("still here"))
    told(c)
    took = time.monotonic() - started
    check(0.6 <= took + 0.01 < 0.6 + 1.0 * SLOW, "told after %.2f s" % took)


@case("without drain_grace the sessions of a draining server go on")
def _(t):
    farm = Farm(t)
    c, sid = farm.websocket("A"), farm.handshake("A")
    check("until they end" in farm.cmd("drain chat/A"), "what drain says")
    not_told(c)
    farm.is_held = False
    same(t.ask(get(POLL + sid)).body, b"2", "a poll")
    check(farm.is_quiet(), "no ending")


@case("a server that is set to ready keeps the sessions that it still has")
def _(t):
    farm = Farm(t)
    cs = [farm.websocket("A") for _ in range(10)]
    farm.cmd("drain chat/A over 60s")
    until(lambda: not farm.is_quiet(), "under way")
    farm.cmd("set server chat/A state ready")
    check(farm.is_quiet(), "cancelled")
    farm.limpet.wait_log(r"drain cancelled")
    not_told(cs[-1])
    same(sum(not c.is_silent(0) for c in cs) <= 1, True, "hardly one was told")


@case("a host is drained with all its workers")
def _(t):
    farm = Farm(t, net="unix")
    until(lambda: farm.cmd("show workers").count(" h w") == 2, "both workers are found")
    cs = [farm.websocket("A"), farm.websocket("B")]
    said = farm.cmd("drain chat/h over 100ms")
    check("chat/h/wA" in said and "chat/h/wB" in said, said)
    for c in cs:
        told(c)


@case("a worker whose socket has gone: what it still carries is told over drain_over, and a new one keeps its own")
def _(t):
    farm = Farm(t, net="unix", backend="drain_over: 1500ms")
    until(lambda: farm.cmd("show workers").count(" h w") == 2, "both workers are found")
    olds = [farm.websocket("A") for _ in range(6)]
    sid = farm.handshake("A")
    path = t.directory + "/wA.sock"
    started = time.monotonic()
    os.rename(path, t.directory + "/gone")
    farm.limpet.wait_log(r"server chat/h/wA: socket-gone: ending 6 of 6")
    unknown_session(t.ask(get(POLL + sid)))
    new = t.server(farm.script("A"), path=path, name="N")
    check(new, "a new worker")
    until(lambda: farm.cmd("show workers").count(" h w") == 2, "the new one is found")
    fresh = farm.websocket("A")
    for c in olds:
        told(c)
    took = time.monotonic() - started
    check(1.2 < took < 1.5 + 1.5 * SLOW, "the last one after %.2f s" % took)
    not_told(fresh)
    until(farm.is_quiet, "over")
    not_told(fresh)
    fresh.send(ws_client_text(b"\x03\xe8", 8))
    same(Frame(fresh).opcode, 8, "it works")


@case("rebalance ends what is above the fair share, and tells of it")
def _(t):
    farm = Farm(t, balance="least_sessions")
    farm.cmd("set server chat/B state maint")
    cs = [farm.websocket("A") for _ in range(20)]
    farm.cmd("set server chat/B state ready")
    said = farm.cmd("rebalance chat 100 over 500ms")
    check(re.search(r"chat/A 100 20 10 10\n", said), said)
    check(re.search(r"chat/B 100 0 10 0\n", said), said)
    check("warning" not in said, said)
    heard = set()

    def is_over():
        for c in cs:
            if c not in heard and not c.is_silent(0):
                told(c)
                heard.add(c)
        return farm.is_quiet()
    until(is_over, "over", 5 * SLOW)
    n = len(heard)
    check(9 <= n <= 11, "%d of 20 were told" % n)       # each thread rounds its own
    same(farm.worker_row("A")[17], "no check", "status")
    for _ in range(10):
        farm.websocket("B")


@case("rebalance warns when rules would send them back")
def _(t):
    farm = Farm(t, stick="[engineio, {cookie: {secret: sesame}}, ip]")
    said = farm.cmd("rebalance chat")
    check("'cookie'" in said and "'ip'" in said and "least_sessions" in said, said)


@case("shutdown sessions server: everything is over now; polls hear code 1, requests 503")
def _(t):
    farm = Farm(t, answer=lambda w, m, p: (t.events.fire("there"), t.events.wait("never", 20), ok("slow"))[2]
                if m.target == "/slow" else None, workers="A")
    w, sid = farm.websocket("A"), farm.handshake("A")
    c, d = farm.pending(sid), t.connect()
    d.send(get("/slow"))
    t.events.wait("there")
    farm.cmd("shutdown sessions server chat/A")
    same(w.read_all(), b"", "the WebSocket's end")
    unknown_session(c.read_response(), "http://page.test")
    same(d.read_response().status, 503, "a request")
    t.events.fire("never")
    farm.limpet.wait_log(r"tunnel .* chat A DD")
    same(t.ask(get("/")).body, b"A", "it takes new ones")


@case("drain and rebalance tell what is wrong with their arguments")
def _(t):
    farm = Farm(t)
    for command, answer in (("drain", "Require"), ("drain chat", "Require"), ("drain chat/C", "No such server"),
                            ("drain none/A", "No such backend"), ("drain chat/A over", "Expects"),
                            ("drain chat/A over soon", "Invalid time"), ("drain chat/A later", "Expects"),
                            ("rebalance", "Require"), ("rebalance none", "No such backend"),
                            ("rebalance chat 50 60s", "Expects"), ("rebalance chat 500", "Expects")):
        check(answer in farm.cmd(command), "%s: %r" % (command, farm.cmd(command)))
    check(farm.is_quiet(), "nothing was begun")
    same(farm.worker_row("A")[17][:2], "no", "status")


main()
