#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The mirror: two Limpets that share their session tables through a real Redis."""
import json
import re
import socket
import threading
import time
from urllib.parse import parse_qsl, urlsplit

from lib import *
from lib.engine import HANDSHAKE, POLL, unknown_session
from lib.redis import Redis

CONFIG = """\
global:
  node: %(node)s
  threads: ${THREADS:-1}
  stats: {socket: "unix:${RUN}/%(node)s.sock"}
  mirror: {redis: "unix:${RUN}/redis.sock"%(mirror)s}
frontends:
  web:
    bind: "127.0.0.1:${PORT_%(node)s}"
    backend: chat
backends:
  chat:
    balance: round_robin
    stick: %(stick)s
    hosts: %(hosts)s
"""
HOSTS = '{A: {address: "${A}"}, B: {address: "${B}"}}'
TURNED = '{B: {address: "${B}"}, A: {address: "${A}"}}'


class Pair:
    """Workers A and B (and more) behind the nodes "one" and "two"."""

    def __init__(self, t, stick="engineio", mirror="", hosts=(HOSTS, HOSTS), workers="AB", redis=True, start=True,
                 mirrors=None):
        self.t = t
        self.lock = threading.Lock()
        self.sids = {}
        self.seen = []          # (worker, target) in the order in which they came
        self.redis = Redis(t.directory) if redis else None
        if self.redis:
            t.others.append(self.redis.stop)
        for worker in workers:
            t.server(self.script(worker), name=worker)
        self.stick, self.hosts = stick, dict(zip(("one", "two"), hosts))
        self.mirrors = dict(zip(("one", "two"), mirrors or (mirror, mirror)))
        self.nodes = {}
        if start:
            for name in ("one", "two"):
                self.start(name)
                self.wait_up(name)

    def text(self, name):
        mirror = self.mirrors[name]
        return CONFIG % {"node": name, "stick": self.stick, "hosts": self.hosts[name],
                         "mirror": ", " + mirror if mirror else ""}

    def start(self, name):
        self.nodes[name] = self.t.limpet(self.text(name), name=name, ports=("PORT_" + name,))
        return self.nodes[name]

    def reload(self, name):
        self.nodes[name].write(self.text(name))
        at = len(self.nodes[name].log())
        self.nodes[name].signal(1)
        until(lambda: "loaded again" in self.nodes[name].log()[at:], "a reload")

    def wait_up(self, name, at=0):
        until(lambda: re.search(r"mirror: (up|connected to .* again)", self.nodes[name].log()[at:]),
              lambda: "%s's mirror is up: %s" % (name, self.nodes[name].log()[-800:]), 15 * SLOW)

    def script(self, worker):
        def run(peer):
            while peer.buf or peer.fill(3600):
                msg = peer.read_request()
                query = dict(parse_qsl(urlsplit(msg.target).query))
                with self.lock:
                    self.seen.append((worker, msg.target))
                    n = len(self.seen)
                if "EIO" in query and "sid" not in query:
                    sid = "s-%08d-AAAAAAAAA" % n
                    self.sids[sid] = worker
                    peer.send(ok('0{"sid":"%s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}' % sid))
                elif "EIO" in query and self.sids.get(query["sid"]) != worker:
                    peer.send(answer(400, b'{"code":1,"message":"Session ID unknown"}'))
                elif msg.target.startswith("/same/"):
                    peer.send(ok(worker, [("Set-Cookie", "app=%s; Path=/" % msg.target[6:])]))
                elif msg.target.startswith("/login"):
                    peer.send(ok(worker, [("Set-Cookie", "app=user%d; Path=/" % n)]))
                else:
                    peer.send(ok(worker))
        return run

    def ask(self, node, data, to="GET"):
        client = self.t.connect(self.t.env["PORT_" + node])
        try:
            return client.ask(data, to)
        finally:
            client.close()

    def handshake(self, node):
        msg = self.ask(node, get(HANDSHAKE))
        same(msg.status, 200, "status of a handshake")
        return json.loads(msg.body[1:])["sid"]

    def polls(self, node, sid, n=3):
        """N polls of SID by NODE reach its worker."""
        for _ in range(n):
            msg = self.ask(node, get(POLL + sid))
            same((msg.status, msg.body), (200, self.sids[sid].encode()), "poll of %s at %s" % (sid, node))

    def stats(self, node, command):
        return self.nodes[node].ask_stats(command, "%s/%s.sock" % (self.t.directory, node))

    def entries(self, node, table="chat/engineio"):
        for line in self.stats(node, "show table").split("\n"):
            found = re.search(r"table: %s,.* used:(\d+)" % re.escape(table), line)
            if found:
                return int(found.group(1))
        raise Fail("%s has no table %s" % (node, table))

    def wait_entries(self, node, n, table="chat/engineio"):
        until(lambda: self.entries(node, table) == n,
              lambda: "%s has %d entries of %s, it has %d" % (node, n, table, self.entries(node, table)), 10 * SLOW)

    def wait_stored(self, n):
        until(lambda: len(self.redis.keys("{limpet}:e:*")) == n,
              lambda: "Redis holds %d entries: %s" % (n, self.redis.keys()), 10 * SLOW)


@case("a session that one node has learned is served by the other, on the same worker")
def _(t):
    p = Pair(t)
    sids = [p.handshake(("one", "two")[i % 2]) for i in range(10)]
    p.wait_entries("one", 10)
    p.wait_entries("two", 10)
    for i, sid in enumerate(sids):
        p.polls("two", sid)
        p.polls("one", sid)
    same(len(set(p.sids.values())), 2, "workers")
    check(not any(sid in key for key in p.redis.keys() for sid in sids), "no sid stands on Redis")
    check(not any(sid in json.dumps(p.redis.ask("XRANGE", "{limpet}:s", "-", "+")) for sid in sids))


@case("the nodes may list their hosts in any order")
def _(t):
    p = Pair(t, hosts=(HOSTS, TURNED))
    for i in range(6):
        sid = p.handshake("one" if i % 2 else "two")
        p.wait_entries("one", i + 1)
        p.wait_entries("two", i + 1)
        p.polls("one", sid)
        p.polls("two", sid)


@case("a session that ends at one node ends at the other")
def _(t):
    p = Pair(t)
    sid = p.handshake("one")
    p.wait_entries("two", 1)
    same(p.ask("two", post(POLL + sid, b"1"), "POST").status, 200, "status of the close packet")
    p.wait_entries("two", 0)
    p.wait_entries("one", 0)


@case("clear table clears it at both nodes")
def _(t):
    p = Pair(t)
    for _ in range(8):
        p.handshake("one")
    p.wait_entries("two", 8)
    p.stats("two", "clear table chat/engineio")
    p.wait_entries("one", 0)
    p.wait_entries("two", 0)


@case("bindings of addresses and of learned cookies are shared")
def _(t):
    p = Pair(t, stick='[{cookie: {name: app, mode: learn}}, {ip: {remember: 10m}}]')
    msg = p.ask("one", get("/login"))
    worker = msg.body
    cookie = msg.get("set-cookie").split(";")[0]
    p.wait_entries("two", 1, "chat/cookie_learn")
    p.wait_entries("two", 1, "chat/ip")
    for node in ("two", "one", "two"):
        same(p.ask(node, get("/", [("Cookie", cookie)])).body, worker, "worker of the cookie")
        same(p.ask(node, get("/")).body, worker, "worker of the address")


@case("a rule with `mirror: false` keeps its table on the node")
def _(t):
    p = Pair(t, stick='[{engineio: {mirror: false}}, {ip: {remember: 10m}}]')
    p.handshake("one")
    p.wait_entries("two", 1, "chat/ip")
    same(p.entries("one"), 1, "entries of the node that learned it")
    same(p.entries("two"), 0, "entries of the other")
    same(len(p.redis.keys("{limpet}:e:*")), 1, "entries on Redis")


@case("a node that starts has all entries before it serves")
def _(t):
    p = Pair(t, start=False)
    p.start("one")
    p.wait_up("one")
    sids = [p.handshake("one") for _ in range(50)]
    p.wait_stored(50)
    p.start("two")
    p.polls("two", sids[0], 1)          # at once: it listens, so it is loaded
    same(p.entries("two"), 50, "entries at the start")
    for sid in sids:
        p.polls("two", sid, 1)


@case("without Redis a start waits no longer than load_timeout, and serves")
def _(t):
    p = Pair(t, mirror="load_timeout: 300ms", redis=False, start=False)
    p.start("one")
    sid = p.handshake("one")
    p.polls("one", sid)
    log = p.nodes["one"].log()
    same(len(re.findall("Redis is away", log)), 1, "lines about it")


@case("a start that waits for Redis serves at once when the operator pauses the mirror")
def _(t):
    silent = socket.create_server(("127.0.0.1", 0))     # takes connections, and never answers
    t.server(serve(lambda msg, peer: ok("A")), name="A")
    text = CONFIG % {"node": "one", "stick": "engineio", "mirror": ", load_timeout: 1m", "hosts": '{A: {address: "${A}"}}'}
    text = text.replace("unix:${RUN}/redis.sock", "redis://127.0.0.1:%d" % silent.getsockname()[1])
    text = text.replace("${PORT_one}", "${LATER}")
    later = free_port()
    limpet = t.limpet(text, name="one", ports=(), wait_for=t.directory + "/one.sock", LATER=later)

    def pause():
        try:
            return limpet.ask_stats("mirror pause", t.directory + "/one.sock")
        except ConnectionRefusedError:      # bound, and not listening yet
            return None
    same(until(pause, "an answer")[:21], "The mirror is paused:", "answer")
    limpet.wait_log("not loaded from Redis yet")
    same(t.connect(later).ask(get("/")).body, b"A", "answer of a worker")
    silent.close()


@case("Redis is emptied under both nodes: what they have is there again")
def _(t):
    p = Pair(t)
    sids = [p.handshake(("one", "two")[i % 2]) for i in range(20)]
    p.wait_stored(20)
    p.wait_entries("one", 20)
    p.wait_entries("two", 20)
    p.redis.ask("FLUSHALL")
    p.wait_stored(20)
    for node in ("one", "two"):
        p.nodes[node].wait_log("Redis was emptied|changes are missing")
        p.wait_up(node)
        for sid in sids:
            p.polls(node, sid, 1)


@case("Redis is restarted empty: both nodes come back and bring all they have")
def _(t):
    p = Pair(t)
    sids = [p.handshake("one") for _ in range(20)]
    p.wait_stored(20)
    p.wait_entries("two", 20)
    at = {n: len(p.nodes[n].log()) for n in p.nodes}
    p.redis.kill()
    more = [p.handshake("two") for _ in range(5)]
    for sid in sids[:5]:
        p.polls("two", sid, 1)
    p.redis.start()
    for node in ("one", "two"):
        p.wait_up(node, at[node])
        same(len(re.findall("Redis is away", p.nodes[node].log()[at[node]:])), 1, "lines about the loss")
    p.wait_stored(25)
    p.wait_entries("one", 25)
    for sid in sids + more:
        p.polls("one", sid, 1)


@case("a node that was away for longer than the stream reaches compares everything")
def _(t):
    p = Pair(t)
    sids = [p.handshake("one") for _ in range(5)]
    p.wait_entries("two", 5)
    p.nodes["two"].signal(19)                       # SIGSTOP
    sids += [p.handshake("one") for _ in range(20)]
    p.wait_stored(25)
    p.redis.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    p.redis.ask("XTRIM", "{limpet}:s", "MAXLEN", "3")
    p.nodes["two"].signal(18)
    p.wait_entries("two", 25)
    for sid in sids:
        p.polls("two", sid, 1)
    p.nodes["two"].wait_log("does not reach back|changes are missing")


@case("a server that the node does not have yet: its entries are of use when it appears")
def _(t):
    p = Pair(t, hosts=(HOSTS, '{A: {address: "${A}"}}'))
    sids = {}
    while len(sids) < 2:
        sid = p.handshake("one")
        sids[p.sids[sid]] = sid
    p.wait_entries("two", p.entries("one"))
    p.polls("two", sids["A"])
    unknown_session(p.ask("two", get(POLL + sids["B"])))
    p.hosts["two"] = HOSTS
    p.reload("two")
    p.polls("two", sids["B"])
    p.polls("two", sids["A"])


@case("the mirror is configured, changed and ended by reloads")
def _(t):
    p = Pair(t, start=False)
    p.start("one")
    p.wait_up("one")
    sid = p.handshake("one")
    p.wait_stored(1)
    p.mirrors["one"] = "prefix: other"
    p.reload("one")
    until(lambda: p.redis.keys("{other}:e:*"), "what it has goes to the new place")
    p.polls("one", sid)
    p.nodes["one"].write(re.sub("  mirror: .*\n", "", p.text("one")))
    p.nodes["one"].signal(1)
    p.nodes["one"].wait_log("mirror: not configured any more")
    p.polls("one", sid)
    p.handshake("one")
    p.mirrors["one"] = ""
    p.reload("one")
    p.wait_stored(2)
    p.polls("one", sid)


@case("what Redis holds and is not ours does no harm")
def _(t):
    p = Pair(t, start=False)
    r = p.redis
    r.ask("SET", "{limpet}:e:chat/engineio:zz", "1 l 0000000000000001 1000 A")
    r.ask("SET", "{limpet}:e:chat/engineio:00", "nonsense")
    r.ask("SET", "{limpet}:e:chat/engineio:01", "1 l ffffffffffffffff 45000 A")
    r.ask("SET", "{limpet}:e:none/engineio:02", "1 l 0000000000000001 45000 A")
    r.ask("LPUSH", "{limpet}:e:chat/engineio:03", "x")
    r.ask("XADD", "{limpet}:s", "*", "a", "b")
    p.start("one")
    p.wait_up("one")
    p.start("two")
    p.wait_up("two")
    sid = p.handshake("one")
    p.wait_entries("two", 1)
    r.ask("XADD", "{limpet}:s", "*", "q", "x" * 1000)
    r.ask("XADD", "{limpet}:s", "*", "q", "", "n", "", "t", "", "k", "", "c", "", "p", "", "v", "")
    other = p.handshake("two")
    p.wait_entries("one", 2)
    p.polls("two", sid)
    p.polls("one", other)
    r.ask("DEL", "{limpet}:s")
    r.ask("SET", "{limpet}:s", "now a string")
    p.nodes["one"].wait_log("does not take changes|no sensible answer", 10 * SLOW)
    third = p.handshake("one")
    p.polls("one", third)
    r.ask("DEL", "{limpet}:s")
    p.wait_entries("two", 3)
    p.polls("two", third)


@case("Redis is full: entries wait, the log says it once, and when there is room they are told")
def _(t):
    p = Pair(t)
    sid = p.handshake("one")
    p.wait_entries("two", 1)
    p.redis.ask("CONFIG", "SET", "maxmemory", "1")
    more = [p.handshake("one") for _ in range(30)]
    for s in more:
        p.polls("one", s, 1)
    p.nodes["one"].wait_log("does not take changes: OOM")
    time.sleep(1)       # it is tried again and again meanwhile
    same(len(re.findall("does not take changes", p.nodes["one"].log())), 1, "lines about it")
    p.redis.ask("CONFIG", "SET", "maxmemory", "0")
    p.wait_entries("two", 31)
    p.polls("two", more[-1])
    p.nodes["one"].wait_log("takes changes again")


@case("both nodes bind one cookie to different workers at the same moment: one of them stands at both")
def _(t):
    p = Pair(t, stick='{cookie: {name: app, mode: learn}}')
    p.redis.kill(19)                                # SIGSTOP: nobody hears of anybody
    cookies = {}
    for i in range(20):
        first = p.ask("one", get("/same/c%d" % i)).body
        for _ in range(i % 2):
            p.ask("two", get("/"))                  # whose turn it is differs
        second = p.ask("two", get("/same/c%d" % i)).body
        if first != second:
            cookies["c%d" % i] = (first, second)
    check(len(cookies) > 3, "different workers: %s" % cookies)
    p.redis.kill(18)
    p.wait_stored(20)
    until(lambda: all(
        p.ask("one", get("/", [("Cookie", "app=" + c)])).body == p.ask("two", get("/", [("Cookie", "app=" + c)])).body
        for c in cookies), "both nodes agree")
    status = p.stats("one", "show mirror") + p.stats("two", "show mirror")
    same(sum(int(n) for n in re.findall(r"Conflicts: (\d+)", status)), len(cookies), "conflicts that were counted")


@case("an entry that is used lives on Redis, and at the other node, beyond its first lifetime")
def _(t):
    p = Pair(t, stick='{cookie: {name: app, mode: learn, idle: 2s}}')
    p.ask("one", get("/same/used"))
    p.ask("one", get("/same/idle"))
    p.wait_entries("two", 2, "chat/cookie_learn")
    limit = time.monotonic() + 4
    while time.monotonic() < limit:
        p.ask("one", get("/", [("Cookie", "app=used")]))
        time.sleep(0.2)
    p.wait_entries("two", 1, "chat/cookie_learn")
    same(len(p.redis.keys("{limpet}:e:*")), 1, "entries on Redis")
    changes = p.redis.ask("XLEN", "{limpet}:s")
    check(changes <= 2 + 6, "a refresh for each half of the lifetime, no more: %d" % changes)


@case("a node that stops tells what it has not told yet; one that starts from nothing has it")
def _(t):
    p = Pair(t)
    sids = [p.handshake("one") for _ in range(30)]
    p.nodes["one"].signal(15)
    same(p.nodes["one"].wait_exit(), 0, "exit status")
    p.nodes["one"].is_ended_by_test = True
    for sid in sids:
        p.polls("two", sid, 1)
    p.start("one")
    for sid in sids:
        p.polls("one", sid, 1)


@case("the operator pauses, resumes and compares")
def _(t):
    p = Pair(t)
    p.handshake("one")
    p.wait_entries("two", 1)
    p.stats("two", "mirror pause")
    p.nodes["two"].wait_log("paused by the operator")
    sids = [p.handshake("one") for _ in range(5)] + [p.handshake("two") for _ in range(5)]
    p.wait_stored(6)
    same((p.entries("one"), p.entries("two")), (6, 6), "entries while it is paused")
    at = len(p.nodes["two"].log())
    p.stats("two", "mirror resume")
    p.wait_up("two", at)
    p.wait_entries("two", 11)
    p.wait_entries("one", 11)
    p.redis.ask("DEL", *p.redis.keys("{limpet}:e:*"))       # nobody notices that
    p.stats("one", "mirror resync")
    p.wait_stored(11)
    for sid in sids:
        p.polls("one", sid, 1)


@case("a user who may not read all keys: told once, sessions are served, and when he may it goes on")
def _(t):
    p = Pair(t, start=False, mirror="username: limpet, password: secret, load_timeout: 200ms")
    p.redis.ask("ACL", "SETUSER", "limpet", "on", ">secret", "~*", "+@all", "-scan")
    p.start("one")
    p.nodes["one"].wait_log("entries cannot be read: NOPERM")
    sid = p.handshake("one")
    p.polls("one", sid)
    p.wait_stored(1)
    time.sleep(1.5)     # it is tried each second
    same(len(re.findall("entries cannot be read", p.nodes["one"].log())), 1, "lines about it")
    p.redis.ask("ACL", "SETUSER", "limpet", "+scan")
    p.wait_up("one")


@case("an upgrade of a node keeps the mirror going")
def _(t):
    p = Pair(t)
    sids = [p.handshake("one") for _ in range(5)]
    p.wait_entries("two", 5)
    p.nodes["one"].upgrade()
    sids += [p.handshake("one") for _ in range(5)]
    p.wait_entries("two", 10)
    sids += [p.handshake("two") for _ in range(5)]
    p.wait_entries("one", 15)
    for sid in sids:
        p.polls("one", sid, 1)
        p.polls("two", sid, 1)


if __name__ == "__main__":
    main()
