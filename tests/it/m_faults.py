#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Redis dies, hangs, is emptied, fills up, is slow, talks nonsense: no client notices, and the nodes agree afterwards.

    LIMPET=./limpet python3 tests/it/m_faults.py
    MIRROR_PAUSE=60 LIMPET=./limpet python3 tests/it/m_faults.py paused         # seconds of the pause

In each case clients of both nodes go on all the time.  What must hold:
  * no request fails; none waits longer than read_through (or the cap of mode sync) and some slack;
  * a session that both nodes know stays where it is;
  * Limpet's memory does not grow with the length of the fault;
  * each thing that happened is on the log once, not a thousand times;
  * by themselves the nodes come to the same tables, entry by entry, with all sessions that clients have.
"""
import json
import os
import re
import signal
import socket
import threading
import time
from urllib.parse import parse_qsl, urlsplit

from lib import *
from lib.engine import *
from lib.faults import *
from lib.redis import Redis

PAUSE = float(os.environ.get("MIRROR_PAUSE", 4))
CAP = 0.05                              # read_through
SLACK = 0.25 * SLOW                     # of a machine that does other things as well
NODES = ("one", "two")

CONFIG = """\
global:
  node: %(node)s
  threads: ${THREADS:-1}
  stats: {socket: "unix:${RUN}/%(node)s.sock"}
  log: {target: stderr, format: json, requests: false}
  mirror: {redis: "%(redis)s", secret: "a secret of both nodes", read_through: %(cap)dms%(mirror)s}
frontends:
  web: {bind: "127.0.0.1:${PORT_%(node)s}", backend: chat}
backends:
  chat:
    balance: round_robin
    stick: {engineio: {unknown: reject}}
    hosts: {A: {address: "${A}"}, B: {address: "${B}"}}
"""


class Pair:
    """Two nodes before the workers A and B.  REDIS: URL."""

    def __init__(self, t, redis, mirror=""):
        self.t, self.redis, self.mirror = t, redis, mirror
        self.lock, self.sids, self.n = threading.Lock(), {}, 0
        for worker in "AB":
            self.worker_port = t.server(self.script(worker), name=worker).port
        self.nodes = {}
        for name in NODES:
            self.nodes[name] = t.limpet(CONFIG % {"node": name, "redis": redis, "cap": CAP * 1000,
                                                  "mirror": ", " + mirror if mirror else ""},
                                        name=name, ports=("PORT_" + name,))
        self.wait_up()

    def script(self, worker):
        def run(peer):
            while peer.buf or peer.fill(3600):
                query = dict(parse_qsl(urlsplit(peer.read_request().target).query))
                if "sid" in query:
                    peer.send(ok(worker) if self.sids.get(query["sid"]) == worker else
                              answer(400, b'{"code":1,"message":"Session ID unknown"}'))
                    continue
                with self.lock:
                    self.n += 1
                    sid = "s-%08d-AAAAAAAAA" % self.n
                    self.sids[sid] = worker
                peer.send(ok('0{"sid":"%s","upgrades":[],"pingInterval":60000,"pingTimeout":60000}' % sid))
        return run

    def stats(self, node, command):
        return self.nodes[node].ask_stats(command, "%s/%s.sock" % (self.t.directory, node))

    def shown(self, node):
        return dict(re.findall(r"^(\w+): (.*)$", self.stats(node, "show mirror"), re.M))

    def table(self, node):
        """Key -> server."""
        return dict(re.findall(r"key=(\S+) .*server_key=(\S+)", self.stats(node, "show table chat/engineio")))

    def events(self, node, at=0):
        """Names of the events on the log, in order, those of the mirror."""
        names = []
        for line in self.nodes[node].log()[at:].split("\n"):
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if "mirror" in said.get("event", "") or said.get("message", "").startswith("mirror"):
                names.append(said.get("event") or said["message"])
        return names

    def wait_up(self):
        for node in NODES:
            until(lambda: self.shown(node).get("State") == "up",
                  lambda: "%s's mirror is up: %s\n%s" % (node, self.stats(node, "show mirror"),
                                                         self.nodes[node].log()[-1500:]), 20 * SLOW)

    def rss(self):
        return {node: self.nodes[node].rss() for node in NODES}

    def owner(self, sid):
        return self.sids[sid]


class Under:
    """A fault, under traffic."""

    def __init__(self, t, pair, old=20, cap=CAP):
        self.t, self.pair, self.cap = t, pair, cap
        ports = [t.env["PORT_" + node] for node in NODES]
        first = Traffic(ports, pair.owner)
        until(lambda: first.wrong or len(first.born) >= old, "sessions before the fault", 20 * SLOW)
        same(first.stop(), [], "before the fault")
        self.converge(first.born)
        self.born = list(first.born)
        self.before = pair.rss()
        self.at = {node: len(pair.nodes[node].log()) for node in NODES}
        self.began = time.monotonic()
        self.traffic = Traffic(ports, pair.owner, first.born, pair.worker_port)
        self.traffic.wait_for()
        self.traffic.new_phase()

    def look(self, what, cap=None):
        """Since the last look nobody failed or waited."""
        check(not self.traffic.wrong, "%s: %s" % (what, self.traffic.wrong))
        worst, stall = self.traffic.new_phase()
        limit = (self.cap if cap is None else cap) + SLACK + 2 * stall
        late = ["a %s took %.0f ms, %.1f s after the beginning" % (kind, took * 1000, began - self.began)
                for kind, (took, began) in worst.items() if took >= limit]
        check(not late, "%s (who asks a worker without Limpet waits %.0f ms at most): %s" % (what, stall * 1000, late))

    def last(self, seconds, what, cap=None):
        """Goes on like that for a while."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit and not self.traffic.wrong:
            time.sleep(0.02)
        self.traffic.wait_for()
        self.look(what, cap)

    def wait_event(self, name, timeout=20, nodes=NODES):
        for node in nodes:
            until(lambda: name in self.pair.events(node, self.at[node]),
                  lambda: "%s tells %s; it tells %s; %s" % (node, name, self.pair.events(node, self.at[node]),
                                                           self.pair.stats(node, "show mirror")), timeout * SLOW)

    def converge(self, born):
        """Both have the same entries, of all sessions that there are."""
        def is_alike():
            self.one, self.two = self.pair.table("one"), self.pair.table("two")
            return len(self.one) == len(self.two) == len(born) and self.one == self.two

        def differ():
            shown = [{k: v for k, v in self.pair.shown(n).items() if k in (
                "State", "LastLoss", "Dirty", "Pushed", "Applied", "Resyncs", "Gaps")} for n in NODES]
            return "both nodes have the %d sessions: they have %d and %d; %d differ, %d are missing at one, %d at two\n%s" % (
                len(born), len(self.one), len(self.two),
                len([k for k in self.one if self.two.get(k, self.one[k]) != self.one[k]]),
                len(set(self.two) - set(self.one)), len(set(self.one) - set(self.two)), shown)
        until(is_alike, differ, 20 * SLOW)

    def over(self, redis, kinds, most=1, growth=8 << 20):
        """The fault is over: all is as it was, REDIS has it all, and what happened was told MOST times.  KINDS: events
        that each node must have told."""
        pair, traffic = self.pair, self.traffic
        pair.wait_up()
        traffic.wait_for()
        same(traffic.stop(), [], "at the end")
        self.born += traffic.born
        self.converge(self.born)
        after = Traffic(traffic.ports, pair.owner, self.born)
        after.is_shared = True              # what one makes, the other knows within its cap
        until(lambda: after.wrong or after.asked >= 200, "requests afterwards", 20 * SLOW)
        same(after.stop(), [], "afterwards")
        self.born += after.born
        self.converge(self.born)
        until(lambda: len(stored(redis)) == len(self.born),
              lambda: "Redis has all %d sessions: it has %d" % (len(self.born), len(stored(redis))), 20 * SLOW)
        for node in NODES:
            told = pair.events(node, self.at[node])
            for kind in kinds:
                check(kind in told, "%s has not told %s: %s" % (node, kind, told))
            for kind in set(told):
                check(told.count(kind) <= most, "%s told %s %d times: %s" % (node, kind, told.count(kind), told))
            if not is_sanitized:
                grown = pair.rss()[node] - self.before[node]
                check(grown < growth, "%s grew by %d KiB" % (node, grown >> 10))
        self.t.note("%d requests, %d sessions; %d asked in vain at the other node; told: %s" % (
            traffic.asked + after.asked, len(self.born), traffic.missed, ", ".join(
                pair.events("one", self.at["one"]))))


def stored(redis):
    return [key for key in redis.keys() if ":e:" in key]


def redis_of(t, kind=Redis, **kw):
    redis = kind(t.directory, **kw)
    t.others.append(redis.stop)
    return redis


UNIX = "unix:${RUN}/redis.sock"


for _mirror in ("", "mode: sync"):
    @case("Redis killed and started again, empty" + (", in mode sync" if _mirror else ""))
    def _(t, mirror=_mirror):
        redis = redis_of(t)
        under = Under(t, Pair(t, UNIX, mirror))
        redis.kill()
        under.last(1, "Redis killed")
        redis.start()
        under.wait_event("mirror_up")
        under.look("Redis back")
        under.over(redis, ["mirror_lost", "mirror_up"])

    @case("Redis paused for %g s, then going on" % PAUSE + (", in mode sync" if _mirror else ""))
    def _(t, mirror=_mirror):
        redis = redis_of(t)
        under = Under(t, Pair(t, UNIX, mirror))
        redis.kill(signal.SIGSTOP)
        try:
            under.last(PAUSE, "Redis paused")
        finally:
            redis.kill(signal.SIGCONT)
        under.wait_event("mirror_up")
        under.look("Redis goes on")
        under.over(redis, ["mirror_lost", "mirror_up"])


@case("FLUSHALL: nothing is lost at the nodes, and Redis is filled again")
def _(t):
    redis = redis_of(t)
    under = Under(t, Pair(t, UNIX))
    for _ in range(2):
        redis.ask("FLUSHALL")
        under.wait_event("mirror_gap")
        under.last(0.5, "flushed")
    under.over(redis, ["mirror_gap", "mirror_up"], most=2)


@case("Redis full (OOM errors), then with room again")
def _(t):
    redis = redis_of(t)
    under = Under(t, Pair(t, UNIX))
    redis.ask("CONFIG", "SET", "maxmemory", "1")
    under.wait_event("mirror_push_refused")
    under.last(2, "full")
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    under.wait_event("mirror_push_accepted")
    under.look("room again")
    under.over(redis, ["mirror_push_refused", "mirror_push_accepted"])


for _mirror in ("", "mode: sync"):
    @case("a Redis that takes 200 ms each way holds nobody up" + (", in mode sync" if _mirror else ""))
    def _(t, mirror=_mirror):
        redis = redis_of(t)
        between = Between(t.directory + "/redis.sock")
        t.servers.append(between)
        under = Under(t, Pair(t, "redis://127.0.0.1:%d" % between.port, mirror))
        between.delay = 0.2
        under.last(3, "slow")
        between.delay = 0
        under.over(redis, [])


@case("answers that are garbage, at any place: the connection is dropped, and a new one is right")
def _(t):
    redis = redis_of(t)
    between = Between(t.directory + "/redis.sock")
    t.servers.append(between)
    under = Under(t, Pair(t, "redis://127.0.0.1:%d" % between.port))
    garbage = [b"\x00\xff garbage\r\n", b"$99999999999\r\n", b"*-7\r\n", b":not a number\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n",
               b"*1000000000\r\n$1\r\n", b"+" + b"x" * 100000, b"*3\r\n:1\r\n"]
    injected = []

    def inject(connection, answer, data):
        if answer != connection % 4:
            return data
        injected.append(connection)
        return garbage[connection % len(garbage)] + data
    between.on_answer = inject
    between.cut()
    until(lambda: under.traffic.wrong or len(injected) >= 12, lambda: "garbage: %d times" % len(injected), 30 * SLOW)
    under.look("garbage")
    between.on_answer = None
    between.cut()
    under.over(redis, ["mirror_lost", "mirror_up"])


@case("a connection that is closed at every step")
def _(t):
    redis = redis_of(t)
    between = Between(t.directory + "/redis.sock")
    t.servers.append(between)
    under = Under(t, Pair(t, "redis://127.0.0.1:%d" % between.port))
    closed = []

    def close(connection, answer, data):
        if answer < connection % 6:
            return data
        closed.append(answer)
        return None
    between.on_answer = close
    between.cut()
    until(lambda: under.traffic.wrong or len(closed) >= 12, lambda: "closed: %d times" % len(closed), 30 * SLOW)
    check(len(set(closed)) >= 3, "steps at which it was closed: %s" % closed)
    under.look("closed")
    between.on_answer = None
    between.cut()
    under.over(redis, ["mirror_lost", "mirror_up"])


@case("a master that becomes a replica (READONLY) and a master again")
def _(t):
    redis = redis_of(t)
    other = redis_of(t, Tcp, name="other", args=["--repl-diskless-sync-delay", "0"])
    under = Under(t, Pair(t, UNIX))
    redis.ask("REPLICAOF", "127.0.0.1", other.port)
    under.wait_event("mirror_lost")
    until(lambda: "master_link_status:up" in redis.ask("INFO", "replication"), "replication", 10 * SLOW)
    under.last(1, "a replica, empty")
    redis.ask("REPLICAOF", "NO", "ONE")
    under.wait_event("mirror_up")
    under.over(redis, ["mirror_lost", "mirror_up"], most=2)     # it is up between the two


@case("Sentinel makes the replica the master when the master was killed")
def _(t):
    master = redis_of(t, Tcp, name="master")
    replica = redis_of(t, Tcp, name="replica", args=["--replicaof", "127.0.0.1", str(master.port)])
    until(lambda: "master_link_status:up" in replica.ask("INFO", "replication"), "replication", 10 * SLOW)
    sentinel = Sentinel(t.directory, master.port)
    t.others.append(sentinel.stop)
    sentinel_knows_replica(sentinel.port)
    under = Under(t, Pair(t, "sentinel://127.0.0.1:%d/mymaster" % sentinel.port))
    master.kill()
    under.wait_event("mirror_lost")
    until(lambda: replica.is_up() and "role:master" in replica.ask("INFO", "replication"), "failover", 20 * SLOW)
    under.wait_event("mirror_up")
    under.look("failed over")
    under.over(replica, ["mirror_lost", "mirror_up"])


def sentinel_knows_replica(port):
    def asks():
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as s:
                s.sendall(b"INFO sentinel\r\n")
                return b"slaves=1" in s.recv(65536)
        except OSError:
            return False
    until(asks, "the sentinel knows the replica", 15 * SLOW)


@case("a password that is wrong for a while")
def _(t):
    redis = redis_of(t)
    under = Under(t, Pair(t, UNIX))
    redis.ask("CONFIG", "SET", "requirepass", "other")
    redis.ask("CLIENT", "KILL", "TYPE", "normal")
    under.wait_event("mirror_lost")
    under.last(1.5, "no password")
    redis.ask("AUTH", "other")
    redis.ask("CONFIG", "SET", "requirepass", "")
    under.wait_event("mirror_up")
    under.look("without a password again")
    under.over(redis, ["mirror_lost", "mirror_up"])


main()
