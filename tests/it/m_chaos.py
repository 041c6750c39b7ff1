#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""All that can happen to a pair at once: reloads that change its mirror, upgrades, commands of the operator, a Redis
that is killed, stopped, emptied, full, and written to by others, all under traffic.  Afterwards the pair is whole.

    LIMPET=./limpet python3 tests/it/m_chaos.py
    CHAOS_SEED=7 CHAOS_STEPS=100 THREADS=4 LIMPET=./limpet python3 tests/it/m_chaos.py

What must hold within it: every request gets a whole answer, in time; no process dies or says BUG; each step ends.
And after it: both mirrors are up, what one node learns the other serves, and the tables are alike.
"""
import json
import os
import random
import re
import signal
import threading
import time
from urllib.parse import parse_qsl, urlsplit

from lib import *
from lib.engine import HANDSHAKE, POLL
from lib.redis import Redis

SEED = int(os.environ.get("CHAOS_SEED", 1))
STEPS = int(os.environ.get("CHAOS_STEPS", 14))
NODES = ("one", "two")
LONGEST = 2 * SLOW                      # of one request, seconds: nobody waits for Redis

CONFIG = """\
global:
  node: %(node)s
  threads: ${THREADS:-2}
  upgrade_grace: 1s
  shutdown_grace: 1s
  stats: {socket: "unix:${RUN}/%(node)s.sock"}
  log: {target: stderr, requests: false}
%(mirror)sfrontends:
  web: {bind: "127.0.0.1:${PORT_%(node)s}", backend: chat}
backends:
  chat:
    balance: round_robin
    stick: %(stick)s
    hosts: %(hosts)s
  other:
    stick: engineio
    hosts: {A: {address: "${A}"}}
"""
MIRROR = {"redis": "unix:${RUN}/redis.sock", "secret": "s1", "read_through": "30ms"}
HOSTS = {"A": '{address: "${A}"}', "B": '{address: "${B}"}'}
STICK = "[{engineio: {}}, {ip: {remember: 10m}}]"


def flow(fields):
    """A mapping of YAML; texts in brackets are YAML already."""
    return "{%s}" % ", ".join("%s: %s" % (k, v if str(v).startswith(("{", "[")) else json.dumps(v)) for k, v in fields.items())


class Chaos:
    def __init__(self, t):
        self.t, self.rng = t, random.Random(SEED)
        self.lock, self.sids, self.n = threading.Lock(), {}, 0
        self.wrong, self.asked, self.is_over = [], 0, threading.Event()
        self.redis, self.second = Redis(t.directory), Redis(t.directory, "second")
        for redis in (self.redis, self.second):
            t.others.append(redis.stop)
        for worker in "AB":
            t.server(self.worker(worker), name=worker)
        self.settings = {n: {"mirror": dict(MIRROR), "stick": STICK, "hosts": dict(HOSTS)} for n in NODES}
        self.nodes = {n: t.limpet(self.text(n), name=n, ports=("PORT_" + n,)) for n in NODES}
        self.pids = {n: self.nodes[n].process.pid for n in NODES}
        self.clients = [threading.Thread(target=self.client, args=(i,), daemon=True) for i in range(4)]
        for thread in self.clients:
            thread.start()

    def text(self, node):
        has = self.settings[node]
        mirror = "  mirror: %s\n" % flow(has["mirror"]) if has["mirror"] else ""
        return CONFIG % {"node": node, "mirror": mirror, "stick": has["stick"], "hosts": flow(has["hosts"])}

    def worker(self, name):
        def run(peer):
            while peer.buf or peer.fill(3600):
                query = dict(parse_qsl(urlsplit(peer.read_request().target).query))
                if "sid" in query:
                    peer.send(ok(name) if self.sids.get(query["sid"]) == name else
                              answer(400, b'{"code":1,"message":"Session ID unknown"}'))
                    continue
                with self.lock:
                    self.n += 1
                    sid = "s-%08d-AAAAAAAAA" % self.n
                    self.sids[sid] = name
                peer.send(ok('0{"sid":"%s","upgrades":[],"pingInterval":60000,"pingTimeout":60000}' % sid))
        return run

    # Clients.

    def ask(self, node, data, to="GET"):
        """One request over a connection of its own; it may be refused within an upgrade, not cut."""
        began = time.monotonic()
        peer = connect(self.t.env["PORT_" + node], name="client")
        try:
            msg = peer.ask(data, to)
        finally:
            peer.close()
        took = time.monotonic() - began
        if took > LONGEST:
            raise Fail("a request took %.1f s" % took)
        return msg

    def client(self, number):
        rng, known = random.Random(SEED * 100 + number), []
        try:
            while not self.is_over.is_set():
                node = rng.choice(NODES)
                what = rng.random()
                if what < 0.3 or not known:
                    msg = self.ask(node, get(HANDSHAKE))
                    if msg.status == 200:
                        known = known[-50:] + [json.loads(msg.body[1:])["sid"]]
                elif what < 0.8:
                    msg = self.ask(node, get(POLL + rng.choice(known)))
                elif what < 0.85:
                    msg = self.ask(node, post(POLL + known.pop(), b"1"), "POST")
                elif what < 0.9:
                    self.leave(node, rng)
                    continue
                elif what < 0.95:
                    self.pipeline(node, rng)
                    continue
                else:
                    msg = self.ask(node, get(POLL + "never-%d" % rng.randrange(10 ** 6)))
                check(msg.status in (200, 400, 503), "status %d: %r" % (msg.status, msg.body[:80]))
                self.asked += 1
        except Exception as err:
            self.wrong.append("client %d: %r" % (number, err))

    def leave(self, node, rng):
        """Goes away while its request may wait for Redis."""
        peer = connect(self.t.env["PORT_" + node], name="leaver")
        data = get(HANDSHAKE if rng.random() < 0.3 else POLL + "gone-%d" % rng.randrange(10 ** 6))
        peer.send(data[:rng.choice((len(data), len(data), rng.randrange(1, len(data))))])
        time.sleep(rng.choice((0, 0.001, 0.01)))
        if rng.random() < 0.5:
            peer.reset()
        else:
            peer.close()

    def pipeline(self, node, rng):
        """Several requests at once, behind one that waits."""
        peer = connect(self.t.env["PORT_" + node], name="pipeline")
        try:
            n = rng.randrange(2, 6)
            peer.send(b"".join(get(POLL + "pipe-%d" % rng.randrange(10 ** 6)) if rng.random() < 0.7 else get(HANDSHAKE)
                               for _ in range(n)))
            for _ in range(n):
                msg = peer.read_response()
                check(msg.status in (200, 400, 503), "a pipelined answer")
                if "close" in (msg.get("connection") or ""):
                    break                   # an upgrade: the rest is for a new connection
        finally:
            peer.close()

    # What happens to them.

    def reload(self, node):
        limpet = self.nodes[node]
        limpet.write(self.text(node))
        answer = self.stats(node, "reload")
        check("rror" not in answer, "reload: %s" % answer)

    def stats(self, node, command):
        """Within an upgrade the socket may be nobody's for a moment."""
        def tries():
            try:
                return self.nodes[node].ask_stats(command, "%s/%s.sock" % (self.t.directory, node)) or "\n"
            except OSError:
                return None
        return until(tries, "the stats socket of %s" % node, 10 * SLOW)

    def shown(self, node):
        return dict(re.findall(r"^(\w+): (.*)$", self.stats(node, "show mirror"), re.M))

    def do_mirror(self, node):
        has = self.settings[node]
        key, values = self.rng.choice((
            ("secret", ("s1", "s2")), ("prefix", ("limpet", "o*[t]?er")), ("mode", ("async", "sync")),
            ("read_through", ("0ms", "30ms", "200ms")), ("resync_rate", (1000, 100000)),
            ("redis", ("unix:${RUN}/redis.sock", "unix:${RUN}/second.sock", "redis://127.0.0.1:1/0"))))
        has["mirror"] = dict(has["mirror"] or MIRROR, **{key: self.rng.choice(values)})
        self.reload(node)

    def do_off(self, node):
        self.settings[node]["mirror"] = None
        self.reload(node)
        if self.rng.random() < 0.5:
            self.settings[node]["mirror"] = dict(MIRROR)
            self.reload(node)

    def do_rules(self, node):
        self.settings[node]["stick"] = self.rng.choice((
            STICK, "engineio", "ip", "[{engineio: {mirror: false}}]", "[{ip: {remember: 1m}}, {engineio: {}}]",
            "[{engineio: {}}, {cookie: {name: app, mode: learn}}]"))
        self.reload(node)

    def do_hosts(self, node):
        self.settings[node]["hosts"] = self.rng.choice((
            HOSTS, {"A": HOSTS["A"]}, {"B": HOSTS["B"]}, {"B": HOSTS["B"], "A": HOSTS["A"], "C": '{address: "${A}"}'}))
        self.reload(node)

    def do_upgrade(self, node):
        self.nodes[node].upgrade(20 * SLOW)

    def do_command(self, node):
        self.stats(node, self.rng.choice((
            "mirror resync", "mirror pause", "mirror resume", "clear table chat/engineio", "clear table chat/ip",
            "show table chat/engineio", "set server chat/A state drain", "set server chat/A state ready",
            "set server chat/B state maint", "set server chat/B state ready", "show mirror", "show stat")))

    def do_redis(self, node):
        redis, rng = self.redis, self.rng
        what = rng.choice(("flush", "stop", "kill", "cut", "full", "scripts", "stream", "type", "number", "foreign",
                           "trim"))
        if what == "flush":
            redis.ask("FLUSHALL")
        elif what == "stop":
            redis.kill(signal.SIGSTOP)
            time.sleep(rng.choice((0.05, 0.5)))
            redis.kill(signal.SIGCONT)
        elif what == "kill":
            redis.restart()
        elif what == "cut":
            redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        elif what == "full":
            redis.ask("CONFIG", "SET", "maxmemory", "1")
            time.sleep(0.3)
            redis.ask("CONFIG", "SET", "maxmemory", "0")
        elif what == "scripts":
            redis.ask("SCRIPT", "FLUSH")
        elif what == "stream":
            redis.ask("DEL", "{limpet}:s")
        elif what == "type":
            redis.ask("EVAL", "redis.call('DEL', KEYS[1], KEYS[2]) redis.call('SET', KEYS[1], 'text') "
                              "return redis.call('LPUSH', KEYS[2], 'list')", 2, "{limpet}:s", "{limpet}:q")
            time.sleep(0.3)
            redis.ask("DEL", "{limpet}:s", "{limpet}:q")
        elif what == "number":
            redis.ask("SET", "{limpet}:q", rng.choice(("9223372036854775807", "-5", "x", "1")))
            time.sleep(0.2)
            redis.ask("DEL", "{limpet}:q")
        elif what == "foreign":
            self.write_foreign()
        else:
            redis.ask("XTRIM", "{limpet}:s", "MAXLEN", "0")

    def write_foreign(self):
        """What somebody else might put there."""
        rng, now = self.rng, int(time.time() * 1000) * 64 << 16
        for i in range(100):
            version = rng.choice((now, now + (10 ** 9 << 22), 1, 2 ** 64 - 1)) & (2 ** 64 - 1)
            server = rng.choice(("A", "B", "x" * 300, "a/b/c", "/", "A/", "/A", "new-%d" % rng.randrange(50), "é"))
            value = "1 %s %016x %d %s" % (rng.choice("ldtx"), version, rng.choice((0, 1, 60000, 2 ** 40)), server)
            key = "%032x" % rng.randrange(40)
            table = rng.choice(("chat/engineio", "chat/ip", "none/engineio", "chat/cookie_learn"))
            self.redis.ask("SET", "{limpet}:e:%s:%s" % (table, key), value, *rng.choice(((), ("PX", 1), ("PX", 3000))))
            self.redis.ask("XADD", "{limpet}:s", "*", "q", rng.choice((1, 10 ** 18)), "n", "x#1", "t", table, "k", key,
                           "c", rng.choice("asrd"), "p", rng.choice((1, 1000)), "v", value)
        self.redis.ask("HSET", "{limpet}:e:chat/engineio:07", "a", "b")

    def run(self):
        kinds = [self.do_mirror, self.do_off, self.do_rules, self.do_hosts, self.do_upgrade,
                 self.do_command, self.do_command, self.do_redis, self.do_redis, self.do_redis]
        done = []
        for _ in range(STEPS):
            kind, node = self.rng.choice(kinds), self.rng.choice(NODES)
            done.append("%s %s" % (kind.__name__[3:], node))
            before = self.asked
            kind(node)
            time.sleep(self.rng.choice((0, 0.05, 0.3)))
            until(lambda: self.wrong or self.asked >= before + 10,
                  lambda: "traffic goes on after %s: %d" % (done, self.asked - before), 20 * SLOW)
            check(not self.wrong, "after %s: %s" % (done, self.wrong))
        self.is_over.set()
        for thread in self.clients:
            thread.join(20 * SLOW)
        check(not self.wrong, "after %s: %s" % (done, self.wrong))

    # Afterwards.

    def table(self, node, name):
        return dict(re.findall(r"key=(\S+) .*server_key=(\S+)", self.stats(node, "show table chat/" + name)))

    def settle(self):
        for node in NODES:
            self.settings[node] = {"mirror": dict(MIRROR), "stick": STICK, "hosts": dict(HOSTS)}
            self.reload(node)
            for command in ("mirror resume", "set server chat/A state ready", "set server chat/B state ready"):
                self.stats(node, command)
        for node in NODES:
            until(lambda: self.shown(node).get("State") == "up",
                  lambda: "%s's mirror is up: %s" % (node, self.stats(node, "show mirror")), 30 * SLOW)
        sids = []
        for i in range(20):
            msg = self.ask(NODES[i % 2], get(HANDSHAKE))
            same(msg.status, 200, "handshake afterwards")
            sids.append(json.loads(msg.body[1:])["sid"])
        for sid in sids:
            for node in NODES:
                # A change that fails at Redis at first is known by the other when it was tried again.
                until(lambda: self.ask(node, get(POLL + sid)).status == 200, "%s serves %s" % (node, sid), 10 * SLOW)
        same_of = {}

        def is_alike():
            for name in ("engineio", "ip"):
                same_of[name] = [self.table(n, name) for n in NODES]
            return all(a == b for a, b in same_of.values())
        until(is_alike, lambda: "the tables are alike: %s\n%s" % (
            {name: [sorted(set(a.items()) ^ set(b.items()))[:6], len(a), len(b)] for name, (a, b) in same_of.items()},
            [self.stats(n, "show mirror") for n in NODES]), 30 * SLOW)


@case("anything, in any order, under traffic: no request is hurt, and the pair is whole afterwards (seed %d)" % SEED)
def _(t):
    chaos = Chaos(t)
    try:
        chaos.run()
    finally:
        chaos.is_over.set()
    chaos.settle()
    t.note("%d requests" % chaos.asked)


main()
