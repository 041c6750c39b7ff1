#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mode tcp while it runs: reloads, drains, ends of the process, limits, logs and figures."""
import json
import os
import re
import resource
import signal
import socket
import time

from lib import *
from lib.haproxy import Haproxy, find_haproxy
from lib.raw import *


# Operation -------------------------------------------------------------------------------------

@case("a reload leaves connections where they are; new ones follow the new file")
def _(t):
    t.server(named("A"))
    t.server(named("B"))
    limpet = t.limpet(conf())
    old = t.connect()
    says(old, "A")
    limpet.write(conf(hosts='{two: "${B}"}'))
    limpet.signal(signal.SIGHUP)
    limpet.wait_log("loaded again")
    says(t.connect(), "B")
    old.send(b"still there")
    same(old.read(11), b"still there", "echo")


@case("a bind that goes from http to tcp by a reload no longer waits for the client's first bytes, and back")
def _(t):
    t.server(named("A"))
    http = config(global_='stats: {socket: "unix:${RUN}/stats.sock"}')
    limpet = t.limpet(http)
    for _ in range(2):
        limpet.write(conf())
        same(limpet.ask_stats("reload").split("\n")[0], "Success=1", "reload")
        started = time.monotonic()
        says(t.connect(), "A")
        check(time.monotonic() - started < 1 + SLOW / 2, "at once")
        limpet.write(http)
        same(limpet.ask_stats("reload").split("\n")[0], "Success=1", "reload")


@case("a server that drains keeps its connections until drain_grace is over; then they are cut")
def _(t):
    t.server(named("A"))
    t.server(named("B"))
    limpet = t.limpet(conf(backend="drain_grace: 500ms, drain_over: 300ms, balance: first", hosts='{a: "${A}", b: "${B}"}'))
    held = [t.connect() for _ in range(5)]
    for c in held:
        says(c, "A")
    limpet.ask_stats("set server app/a state drain")
    says(t.connect(), "B")
    held[0].send(b"x")
    same(held[0].read(1), b"x", "echo while it drains")
    for c in held:
        check(not c.wait_gone(10), "cut by a reset")
    line(limpet, "LT-- 0")


@case("a server that is marked down: its connections stay, or are ended with on_marked_down: close")
def _(t):
    for how, is_kept in (("keep", True), ("close", False)):
        for at in list(t.env):
            if at in ("A", "B", "PORT"):
                del t.env[at]
        a = t.server(named("A"), name="A")
        limpet = t.limpet(conf(backend="health_check: {tcp: true, interval: 100ms, fall: 1}, on_marked_down: " + how),
                          name=how)
        c = t.connect()
        says(c, "A")
        a.listener.shutdown(socket.SHUT_RDWR)
        a.listener.close()
        until(lambda: row(limpet, "one")["status"].startswith("DOWN"), "down")
        if is_kept:
            c.send(b"x")
            same(c.read(1), b"x", "echo")
            c.close()
        else:
            check(not c.wait_gone(), "reset")
            line(limpet, "DD-- 0")
        same(limpet.finish(), [], "its end")
        limpet.is_ended_by_test = True


@case("SIGTERM: connections go on for shutdown_grace, new ones are refused")
def _(t):
    t.server(named("A"))
    limpet = t.limpet(conf(global_="shutdown_grace: 2s"))
    c, other = t.connect(), t.connect()
    says(c, "A")
    says(other, "A")
    limpet.is_ended_by_test = True
    limpet.signal(signal.SIGTERM)

    def is_refused():
        try:
            t.connect().close()
        except OSError:
            return True
    until(is_refused, "no new ones")
    c.send(b"x")
    same(c.read(1), b"x", "echo")
    c.shut()
    c.read_all()
    check(not other.wait_gone(10), "what is left is cut")
    same(limpet.wait_exit(10 * SLOW), 0, "status")
    check(re.search("(LT|KK)-- 0", limpet.log()), "the log says so")


@case("SIGUSR2: connections stay with the old process, new ones come to the new one")
def _(t):
    t.server(named("A"))
    limpet = t.limpet(conf(global_="upgrade_grace: 20s"))
    c = t.connect()
    says(c, "A")
    limpet.upgrade()
    c.send(b"old")
    same(c.read(3), b"old", "echo")
    n = t.connect()
    says(n, "A")
    n.send(b"new")
    same(n.read(3), b"new", "echo")
    c.shut()
    c.read_all()
    same(limpet.wait_exit(10 * SLOW), 0, "the old one ends with its last connection")


@case("max_connections of the frontend: the next one waits in the kernel")
def _(t):
    t.server(named("A"))
    t.limpet(conf(frontend="max_connections: 2"))
    held = [t.connect(), t.connect()]
    for c in held:
        says(c, "A")
    third = t.connect()
    check(third.is_silent(0.2), "not yet")
    held[0].shut()
    held[0].read_all()
    says(third, "A")


@case("descriptors run out: connections wait or are reset, those that live go on, and nothing spins")
def _(t):
    t.server(named("A"))
    limpet = t.limpet(conf())
    resource.prlimit(limpet.process.pid, resource.RLIMIT_NOFILE, (limpet.fds() + 30, 9000))
    held = [t.connect() for _ in range(60)]
    good = []

    def serve_some():
        for c in held:
            if c not in good and not c.is_ended and not c.is_silent(0) and c.fill() and c.take(1) == b"A":
                good.append(c)
        return len(good) > 10
    until(serve_some, lambda: "more than %d have a server" % len(good))
    limpet.wait_log("descriptors or memory are out|out of descriptors")
    for c in good[:10]:
        c.send(b"x")
        same(c.read(1), b"x", "echo")
    before = limpet.cpu()
    check(good[0].is_silent(0.5), "nothing comes that nobody sent")
    check(limpet.cpu() - before < 0.3, "it rests")
    for c in held:
        c.close()
    def is_served():
        c = t.connect()
        try:
            return not c.is_silent(0.5) and c.fill() and c.take(1) == b"A"
        finally:
            c.close()
    until(is_served, "served again")


@case("many at once: 400 connections, all echoed, none left behind")
def _(t):
    t.server(echo, backlog=1024)
    limpet = t.limpet(conf())
    held = [t.connect() for _ in range(400)]
    for k, c in enumerate(held):
        c.send(b"%05d" % k)
    for k, c in enumerate(held):
        same(c.read(5), b"%05d" % k, "echo")
    same(row(limpet, "FRONTEND")["scur"], "400", "open")
    for c in held:
        c.shut()
    for c in held:
        same(c.read_all(), b"", "rest")
    until(lambda: (row(limpet, "FRONTEND")["scur"], row(limpet, "one")["scur"]) == ("0", "0"), "all closed")


# Telling ---------------------------------------------------------------------------------------

@case("the three layouts of a connection's line")
def _(t):
    t.server(echo)
    for layout in ("text", "json", "haproxy"):
        t.env.pop("PORT", None)
        limpet = t.limpet(conf(global_="log: {target: stderr, format: %s}" % layout), name=layout)
        c = t.connect()
        c.send(b"four")
        c.read(4)
        c.shut()
        c.read_all()
        port = c.sock.getsockname()[1]
        if layout == "text":
            limpet.wait_log(r'tcp 127\.0\.0\.1:%d raw - app one CT-- 0 -1/\d+/-1/\d+ 4/4 0 - "TCP -"\n' % port)
        elif layout == "json":
            fields = json.loads(limpet.wait_log(r'(?m)^\{.*"type":"tcp".*$').group(0))
            same({k: fields[k] for k in ("frontend", "backend", "server", "bytes_in", "bytes_out", "code", "sni")},
                 dict(frontend="raw", backend="app", server="one", bytes_in=4, bytes_out=4, code="CT--", sni=""),
                 "fields")
            check(not {"method", "status", "target"} & set(fields), "nothing of HTTP: %r" % fields)
        else:
            # HAProxy's manual, 8.2.2: client [date] frontend backend/server Tw/Tc/Tt bytes state counts queues
            limpet.wait_log(r"(?m)127\.0\.0\.1:%d \[\d\d/\w{3}/\d{4}:[\d:.]+\] raw app/one \d+/\d+/\d+ 4 -- "
                            r"\d+/\d+/\d+/\d+/0 0/0$" % port)
        same(limpet.finish(), [], "its end")
        limpet.is_ended_by_test = True


@case("log: false: no line")
def _(t):
    t.server(echo)
    limpet = t.limpet(conf(frontend="log: false"))
    c = t.connect()
    c.shut()
    c.read_all()
    until(lambda: row(limpet, "FRONTEND")["scur"] == "0", "closed")
    check(" tcp 127" not in limpet.log(), limpet.log())


@case("show stat and show sess tell of connections while they live")
def _(t):
    t.server(echo)
    limpet = t.limpet(conf())
    c, other = t.connect(), t.connect()
    for peer in (c, other):
        peer.send(b"x" * 10)
        peer.read(10)
    other.shut()
    other.read_all()
    until(lambda: row(limpet, "one")["scur"] == "1", "one is closed")
    for name, want in (("FRONTEND", dict(scur="1", stot="2", bin="20", bout="20", mode="tcp", req_tot="0", hrsp_2xx="")),
                       ("one", dict(scur="1", stot="2", bin="20", bout="20", mode="tcp", req_tot="", econ="0")),
                       ("BACKEND", dict(scur="1", stot="2", bin="20", bout="20", mode="tcp", req_tot=""))):
        have = row(limpet, name)
        same({k: have[k] for k in want}, want, name)
    said = limpet.ask_stats("show sess")
    check(re.search(r"0x\w+: proto=tcpv4 src=127.0.0.1:%d fe=raw be=app srv=one .*state=tunnel" %
                    c.sock.getsockname()[1], said), said)
    session = re.match(r"0x\w+", said).group(0)
    limpet.ask_stats("shutdown session " + session)
    check(not c.wait_gone(), "reset")


@case("show stat has HAProxy's figures")
def _(t):
    if not find_haproxy():
        raise Skip("no haproxy")
    t.server(echo)
    theirs = Haproxy(t, """
global
  stats socket ${HA_SOCK}-admin.sock level admin
defaults
  mode tcp
  timeout client 10s
  timeout server 10s
  timeout connect 1s
frontend raw
  bind 127.0.0.1:${HA_PORT}
  default_backend app
backend app
  server one ${A}
""")
    t.others.append(theirs.stop)
    limpet = t.limpet(conf())
    for port in (theirs.port, t.port):
        for _ in range(3):
            c = t.connect(port)
            c.send(b"x" * 10)
            c.read(10)
            c.shut()
            c.read_all()

    def rows_of(text):
        lines = [l for l in text.split("\n") if l]
        names = lines[0].lstrip("# ").split(",")
        return {r["svname"]: r for r in (dict(zip(names, l.split(","))) for l in lines[1:])}
    same_columns = ("pxname svname qcur scur stot bin bout dreq dresp ereq econ eresp wretr wredis status type mode "
                    "hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other req_tot cli_abrt srv_abrt comp_in intercepted "
                    "qtime rtime connect reuse cache_lookups cache_hits").split()

    def differences():
        a = rows_of(limpet.ask_stats("show stat", os.path.join(t.directory, "ha-admin.sock")))
        b = rows_of(limpet.ask_stats("show stat"))
        return {(n, k): (a[n][k], b[n][k]) for n in a for k in same_columns if a[n][k] != b[n][k]}
    until(lambda: not differences(), lambda: "the same: %r" % differences())


@case("an idle connection has no buffers: 400 of them cost little")
def _(t):
    if is_sanitized:
        raise Skip("a sanitizer has its own memory")
    t.server(echo, backlog=1024)
    limpet = t.limpet(conf())
    warm = [t.connect() for _ in range(200)]
    for c in warm:
        c.send(b"x" * 100)
        c.read(100)
    before = limpet.rss()
    held = [t.connect() for _ in range(400)]
    for c in held:
        c.send(b"x" * 100)
    for c in held:
        c.read(100)
    grown = limpet.rss() - before
    t.note("%d bytes of ours for each" % (grown // 400))
    check(grown < 400 * 4096, "%d bytes each" % (grown // 400))


main()
