#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reload under load: a hundred of them, each with other servers, routes and listeners, lose nothing.

    LIMPET=./limpet python3 tests/it/h_reload.py           # 100 reloads, 500 connections, 2,000 WebSockets
    H_RELOADS=1000 H_CONNECTIONS=100 ...                    # other sizes
"""
import os

from lib import *
from lib.engine import *
from lib.load import *

SMALL = 10 if is_sanitized else 1
RELOADS = int(os.environ.get("H_RELOADS", 100 // (4 if is_sanitized else 1)))
CONNECTIONS = int(os.environ.get("H_CONNECTIONS", 500 // SMALL))
SOCKETS = int(os.environ.get("H_SOCKETS", 2000 // SMALL))

TEXT = """\
global:
  threads: ${THREADS:-2}
  stats: {socket: "unix:${RUN}/stats.sock"}
frontends:
  web:
    bind: [%(binds)s]
    routes: [%(routes)s]
    backend: app
backends:
  app:
    balance: %(balance)s
    stick: engineio
    hosts:
      A: "${A}"
      B: "${B}"
%(more)s
  other: {hosts: {A: "${A}"}}
"""


def text(i):
    """The configuration of reload I: something is new in each, and something is gone."""
    more = "".join('      extra-%d: {address: "${%s}", weight: %d}\n' % (n % 8, "CD"[n % 2], 50 + i % 7)
                   for n in range(i, i + i % 4))
    routes = ["{match: {path: /r%d}, respond: {status: 418, body: r%d}}" % (n, n) for n in range(i, i + 1 + i % 3)]
    return TEXT % {
        "binds": '"127.0.0.1:${PORT}"' + (', "127.0.0.1:${EXTRA}"' if i % 2 else ""),
        "routes": ", ".join(routes), "more": more, "balance": ("least_sessions", "round_robin", "least_conn")[i % 3]}


def stat(limpet, proxy, name):
    for row in limpet.stat_rows():
        if (row["pxname"], row["svname"]) == (proxy, name):
            return row
    raise Fail("no %s/%s in show stat" % (proxy, name))


def reload_once(t, limpet, i):
    limpet.write(text(i))
    said = limpet.ask_stats("reload")
    check("Success=1" in said or "Reloaded" in said, "reload %d: %s" % (i, said))


def start(t):
    for name in "ABCD":
        server = LoadServer(name)
        t.servers.append(server)
        t.env[name] = server.address
    t.env["EXTRA"] = free_port()
    return t.limpet(text(0))


@case("%d reloads under %d connections and %d WebSockets lose nothing" % (RELOADS, CONNECTIONS, SOCKETS))
def _(t):
    limpet = start(t)
    pid = limpet.process.pid
    load = Load(t.port, CONNECTIONS, SOCKETS)
    same(limpet.ask_stats("set server app/B state drain"), "\n", "set server")
    reload_once(t, limpet, 1)
    through = t.connect(t.env["EXTRA"])         # stays open when its listener has gone
    same(through.ask(get("/r1")).status, 418, "status")
    requests_before = int(stat(limpet, "web", "FRONTEND")["req_tot"])
    warm_kb = 0
    for i in range(2, RELOADS + 1):
        reload_once(t, limpet, i)
        requests = int(stat(limpet, "web", "FRONTEND")["req_tot"])
        until(lambda: int(stat(limpet, "web", "FRONTEND")["req_tot"]) >= requests + CONNECTIONS, "the load goes on")
        if i % 10 == 1:
            same(t.ask(get("/r%d" % i)).body, b"r%d" % i, "the new route's answer")
            check(t.ask(get("/r%d" % (i - 1))).status == 200, "the old route is gone")
        if i % 20 == 5:
            limpet.write(text(i).replace("balance:", "balence:"))
            said = limpet.ask_stats("reload")
            check("balence" in said and "did you mean 'balance'" in said, said)
            requests = int(stat(limpet, "web", "FRONTEND")["req_tot"])
            check(requests > requests_before, "requests are counted on, not from 0")
            requests_before = requests
        if i == RELOADS // 2:
            warm_kb = limpet.rss() // 1024
    same(int(stat(limpet, "web", "FRONTEND")["scur"]) >= CONNECTIONS + SOCKETS, True, "connections are counted as before")
    same(stat(limpet, "app", "B")["status"].startswith("DRAIN") or stat(limpet, "app", "B")["status"] == "DRAIN", True,
         "B still drains")
    same(through.ask(get("/")).status, 200, "a connection whose listener has gone")
    end_kb = limpet.rss() // 1024
    said = load.finish()
    same(limpet.process.pid, pid, "process")
    same(said["errors"][:5], [], "errors of %d" % len(said["errors"]))
    same(said["left"], CONNECTIONS + SOCKETS, "connections left")
    check(said["requests"] > RELOADS * 5 and said["echoes"] > RELOADS, "there was a load: %s" % said)
    if not is_sanitized:
        check(end_kb < warm_kb * 1.05 + 1024, "memory: %d kB half way, %d kB at the end" % (warm_kb, end_kb))
    t.note("%d requests, %d echoes, slowest %d ms; %d kB half way, %d kB at the end" % (
        said["requests"], said["echoes"], said["slowest_ms"], warm_kb, end_kb))


@case("a listener that comes and goes under new connections loses none that it has taken")
def _(t):
    limpet = start(t)
    lost = []
    for i in range(1, 2 * max(5, RELOADS // 4), 2):
        reload_once(t, limpet, i)
        conns = [t.connect(t.env["EXTRA"]) for _ in range(8)]   # some are still in the kernel's queue
        for c in conns:
            c.send(get("/"))
        reload_once(t, limpet, i + 1)
        for c in conns:
            try:
                if c.read_response().status != 200:
                    lost.append(i)
            except Fail as err:
                lost.append("%d: %s" % (i, err))
            c.close()
        t.clients.clear()
    same(lost, [], "lost")


main()
