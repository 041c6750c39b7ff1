#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Slow start: a server that comes up takes its share step by step."""
import os
import time
from collections import Counter

from lib import *

CONFIG = """\
global: {threads: 2, stats: {socket: "unix:${RUN}/stats.sock"}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: app}}
backends:
  app: {balance: %s, slow_start: %s, hosts: {A: {address: "${A}", weight: %d}, B: {address: "${B}", weight: %d}}%s}
"""


def two(t, balance="round_robin", slow_start="3s", weight=100, more=""):
    t.echo()
    t.echo()
    return t.limpet(CONFIG % (balance, slow_start, weight, weight, more))


def row(limpet, name):
    return {r["svname"]: r for r in limpet.stat_rows()}[name]


def picks(c, n, make=lambda k: get("/%d" % k)):
    return Counter(c.ask(make(k)).body.decode() for k in range(n))


def full(limpet, name="A"):
    return until(lambda: row(limpet, name)["throttle"] == "" and row(limpet, name), "it has all its weight", 8 * SLOW)


def throttled(limpet, name="A"):
    return until(lambda: row(limpet, name)["throttle"] and row(limpet, name), "slow start begins", 1 * SLOW)


def rises(t, limpet, name="A"):
    """Follows a slow start of 3 s to its end: the share of each step, as told and as seen."""
    c, seen, told = t.connect(), [], []
    while True:
        r = row(limpet, name)
        if told and r["throttle"] == "":
            break
        got = picks(c, 200)
        if row(limpet, name)["throttle"] == r["throttle"] and (not told or told[-1] != int(r["throttle"])):
            told.append(int(r["throttle"]))
            seen.append(got[name] / 200)
        check(len(told) < 10, told)
    seen.append(picks(c, 200)[name] / 200)
    return told, seen


@case("out of maintenance a server begins small, rises each second, and show stat tells it")
def _(t):
    limpet = two(t)
    c = t.connect()
    same(picks(c, 20), {"A": 10, "B": 10}, "shares at the start of the process")
    same(row(limpet, "A")["throttle"], "", "throttle at the start of the process")
    limpet.ask_stats("disable server app/A")
    same(picks(c, 10), {"B": 10}, "shares in maintenance")
    limpet.ask_stats("enable server app/A")
    r = throttled(limpet)
    same((r["throttle"], r["weight"], r["uweight"], r["status"]), ("16", "16", "100", "no check"), "show stat")
    line = [l.split() for l in limpet.ask_stats("show servers state").split("\n") if " A " in l][0]
    same((line[5], line[7], line[8]), ("1", "100", "100"), "op state, uweight, iweight")
    work = [l.split() for l in limpet.ask_stats("show workers").split("\n") if l.startswith("app A")][0]
    same((work[7], work[-1]), ("16", "16%"), "show workers")
    told, seen = rises(t, limpet)
    same(told[-2:], [33, 66], "steps")
    want = [p / (p + 100) for p in told] + [0.5]
    check(all(abs(a - b) < 0.03 for a, b in zip(want, seen)), "shares %r, not %r" % (seen, want))
    r = full(limpet)
    same((r["weight"], r["uweight"]), ("100", "100"), "at its end")


@case("small weights are slowed as well as large ones")
def _(t):
    limpet = two(t, weight=1)
    limpet.ask_stats("disable server app/A;enable server app/A")
    r = throttled(limpet)
    same((r["throttle"], r["weight"], r["uweight"]), ("16", "1", "1"), "show stat")
    got = picks(t.connect(), 232)
    check(25 <= got["A"] <= 39, got)        # 16 of 116
    full(limpet)
    same(picks(t.connect(), 20), {"A": 10, "B": 10}, "at the end")


@case("a server that a check finds up again is slowed; one that is reloaded is not")
def _(t):
    a = t.echo()
    t.echo()
    limpet = t.limpet(CONFIG % ("round_robin", "2s", 100, 100, ", health_check: {http: /, interval: 50ms, rise: 1, fall: 1}"))
    until(lambda: row(limpet, "A")["check_status"].endswith("L7OK"), "checked")
    limpet.ask_stats("reload")
    same(row(limpet, "A")["throttle"], "", "after a reload")
    a.down()
    until(lambda: row(limpet, "A")["status"].startswith("DOWN"), "down")
    port = a.port
    t.server(serve(lambda m, p: ok("A")), name="A2", port=port)
    r = throttled(limpet)
    check(r["status"] == "UP" and int(r["throttle"]) <= 50, r)
    limpet.ask_stats("reload")
    same(row(limpet, "A")["throttle"], r["throttle"], "a reload changes nothing of it")
    limpet.write(CONFIG % ("round_robin", "0", 100, 100, ""))
    limpet.ask_stats("reload")
    same((row(limpet, "A")["throttle"], row(limpet, "A")["weight"]), ("", "100"), "without slow_start")


@case("a server that comes with a reload is not slowed, nor one that drained")
def _(t):
    limpet = two(t)
    text = open(limpet.path).read()
    limpet.write(text.replace('A: {address: "${A}", weight: 100}, ', ""))
    limpet.ask_stats("reload")
    limpet.write(text)
    limpet.ask_stats("reload")
    limpet.ask_stats("set server app/B state drain;set server app/B state ready")
    limpet.ask_stats("set weight app/B 0;set weight app/B 100")
    c = t.connect()
    same(picks(c, 20), {"A": 10, "B": 10}, "shares")
    same((row(limpet, "A")["throttle"], row(limpet, "B")["throttle"]), ("", ""), "throttle")


@case("one that is added and enabled, and a worker that is born, begin slowly")
def _(t):
    os.mkdir(t.directory + "/w")
    for name in "AB":
        t.echo(name=name, path="%s/w/%s.sock" % (t.directory, name))
    d = t.echo(name="D")
    limpet = t.limpet("""\
global: {threads: 2, stats: {socket: "unix:${RUN}/stats.sock"}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: app}}
backends: {app: {balance: round_robin, slow_start: 20s, hosts: {here: "unix:${RUN}/w/*.sock"}}}
""")
    same(row(limpet, "here/A")["throttle"], "", "at the start of the process")
    limpet.ask_stats("add server app/new %s;enable server app/new" % d.address)
    same(throttled(limpet, "new")["throttle"], "2", "added")
    t.echo(name="C", path=t.directory + "/w/C.sock")
    until(lambda: "here/C" in {r["svname"] for r in limpet.stat_rows()}, "C is found")
    same(throttled(limpet, "here/C")["throttle"], "2", "born")
    until(lambda: row(limpet, "new")["throttle"] == "5", "a step of a second", 4 * SLOW)
    same(row(limpet, "here/A")["throttle"], "", "the others")


@case("with a hash, keys move to the server that rises, and between no others")
def _(t):
    for name in "ABC":
        t.echo(name=name)
    limpet = t.limpet((CONFIG % ("{hash: uri}", "2s", 100, 100, "")).replace("hosts: {", 'hosts: {C: "${C}", '))
    c = t.connect()

    def owners():
        return [c.ask(get("/key/%d" % k)).body.decode() for k in range(150)]
    before = owners()
    limpet.ask_stats("disable server app/A")
    without = owners()
    same([b for a, b in zip(before, without) if a != "A" and a != b], [], "keys of others that moved")
    limpet.ask_stats("enable server app/A")
    throttled(limpet)
    steps = [without]
    while row(limpet, "A")["throttle"]:
        at = row(limpet, "A")["throttle"]
        now = owners()
        if row(limpet, "A")["throttle"] == at:
            steps.append(now)
    steps.append(owners())
    for was, now in zip(steps, steps[1:]):
        same([(a, b) for a, b in zip(was, now) if a != b and b != "A"], [], "keys that moved elsewhere")
    counts = [s.count("A") for s in steps]
    same(sorted(counts), counts, "keys of A")
    check(0 < counts[1] < counts[-1], counts)
    same(steps[-1], before, "at the end")


@case("slow starts that overlap, and one that is cut off, end well; requests go on")
def _(t):
    limpet = two(t, slow_start="1s")
    c = t.connect()
    limpet.ask_stats("disable server app/A;enable server app/A")
    throttled(limpet)
    limpet.ask_stats("disable server app/A")
    same(row(limpet, "A")["throttle"], "", "in maintenance")
    limpet.ask_stats("enable server app/A;disable server app/B;enable server app/B")
    throttled(limpet)
    throttled(limpet, "B")
    same(picks(c, 20), {"A": 10, "B": 10}, "equal shares of equal ones")
    full(limpet)
    full(limpet, "B")
    before = limpet.cpu()
    time.sleep(0.3)
    check(limpet.cpu() - before < 0.1, "no work is left")


main()
