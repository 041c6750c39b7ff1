#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Requests that wait for other nodes: read_through and mode sync, against a real Redis."""
import json
import os
import random
import re
import selectors
import signal
import socket
import statistics
import threading
import time
from urllib.parse import parse_qsl, urlsplit

from lib import *
from lib.engine import HANDSHAKE, POLL, UPGRADE, SWITCH, WS_FIELDS
from lib.redis import Redis

CONFIG = """\
global:
  node: %(node)s
  threads: ${THREADS:-1}
  stats: {socket: "unix:${RUN}/%(node)s.sock"}
  mirror: {redis: "unix:${RUN}/%(socket)s.sock", %(mirror)s}
frontends:
  web: {bind: "127.0.0.1:${PORT_%(node)s}", backend: chat}
backends:
  chat:
    balance: round_robin
    stick: {engineio: {unknown: %(unknown)s}}
    hosts: {A: {address: "${A}"}, B: {address: "${B}"}}
"""


class Slow:
    """Relays a Unix socket to Redis'; what goes there takes DELAY seconds."""

    def __init__(self, t, redis, delay, name="slow"):
        self.redis, self.delay = redis, delay
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(t.directory, name + ".sock"))
        self.listener.listen(16)
        self.is_over = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        t.others.append(self.stop)

    def run(self):
        selector, pairs, late = selectors.DefaultSelector(), {}, []
        selector.register(self.listener, selectors.EVENT_READ)
        while not self.is_over:
            wait = max(0, late[0][0] - time.monotonic()) if late else 0.05
            for key, _ in selector.select(wait):
                if key.fileobj is self.listener:
                    here, there = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
                    there.connect(self.redis.path)
                    pairs[here], pairs[there] = (there, self.delay), (here, 0)
                    for end in (here, there):
                        selector.register(end, selectors.EVENT_READ)
                    continue
                to, delay = pairs.get(key.fileobj, (None, 0))
                try:
                    data = key.fileobj.recv(65536)
                except OSError:
                    data = b""
                late.append((time.monotonic() + delay, to, data))
                if not data:
                    selector.unregister(key.fileobj)
            late.sort(key=lambda item: item[0])
            while late and late[0][0] <= time.monotonic():
                _, to, data = late.pop(0)
                try:
                    if data:
                        to.sendall(data)
                    else:
                        to.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        for end in list(pairs) + [self.listener]:
            end.close()

    def stop(self):
        self.is_over = True
        self.thread.join(5)


class Nodes:
    """Workers A and B behind the nodes "one" and "two"; DELAY: of what "one" tells Redis."""

    def __init__(self, t, mirror="read_through: 2s", delay=None, names=("one", "two"), unknown="reject"):
        self.t, self.mirror, self.unknown = t, mirror, unknown
        self.lock = threading.Lock()
        self.workers, self.seen, self.nodes = {}, 0, {}
        self.redis = Redis(t.directory)
        t.others.append(self.redis.stop)
        self.slow = Slow(t, self.redis, delay) if delay is not None else None
        for worker in "AB":
            t.server(self.script(worker), name=worker)
        for name in names:
            self.start(name)

    def start(self, name):
        text = CONFIG % {"node": name, "mirror": self.mirror, "unknown": self.unknown,
                         "socket": "slow" if self.slow and name == "one" else "redis"}
        at = len(self.nodes[name].log()) if name in self.nodes else 0
        self.nodes[name] = self.t.limpet(text, name=name, ports=("PORT_" + name,))
        self.wait_up(name, at)

    def wait_up(self, name, at=0):
        until(lambda: re.search(r"mirror: (up|connected to .* again)", self.nodes[name].log()[at:]),
              lambda: "%s's mirror is up: %s" % (name, self.nodes[name].log()[-800:]), 15 * SLOW)

    def script(self, worker):
        def run(peer):
            while peer.buf or peer.fill(3600):
                msg = peer.read_request()
                sid = dict(parse_qsl(urlsplit(msg.target).query)).get("sid")
                if not sid:
                    with self.lock:
                        self.seen += 1
                        sid = "s-%08d-%s" % (self.seen, os.urandom(5).hex())
                        self.workers[sid] = worker
                    peer.send(ok('0{"sid":"%s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}' % sid))
                elif self.workers.get(sid) != worker:
                    peer.send(answer(400, b'{"code":1,"message":"Session ID unknown"}'))
                elif msg.has("upgrade"):
                    peer.send(SWITCH + worker.encode())
                    peer.read_all(3600)
                    return
                else:
                    peer.send(ok(worker))
        return run

    def connect(self, node):
        return self.t.connect(self.t.env["PORT_" + node])

    def ask(self, node, data, to="GET"):
        client = self.connect(node)
        try:
            return client.ask(data, to)
        finally:
            client.close()

    def handshake(self, node, client=None):
        msg = client.ask(get(HANDSHAKE)) if client else self.ask(node, get(HANDSHAKE))
        same(msg.status, 200, "status of a handshake")
        return json.loads(msg.body[1:])["sid"]

    def served(self, node, sid):
        """A poll of SID by NODE reached its worker."""
        msg = self.ask(node, get(POLL + sid))
        return (msg.status, msg.body) == (200, self.workers[sid].encode())

    def timed(self, node, sid):
        """(seconds, status) of a poll."""
        client = self.connect(node)
        started = time.monotonic()
        msg = client.ask(get(POLL + sid))
        took = time.monotonic() - started
        client.close()
        return took, msg.status

    def stored(self):
        return len(self.redis.keys("{limpet}:e:*"))


def delayed(t, read_through, n=15):
    """How many of N sessions the other node did not know right after their handshake."""
    nodes = Nodes(t, "read_through: " + read_through, delay=0.05)
    lost = sum(not nodes.served("two", nodes.handshake("one")) for _ in range(n))
    return nodes, lost


@case("a session that the other node is just about to tell is waited for, and served on its worker")
def _(t):
    nodes, lost = delayed(t, "%gs" % min(5, 2 * SLOW))
    same(lost, 0, "sessions lost")
    until(lambda: len(re.findall(r" --ER ", nodes.nodes["two"].log())) == 15, "lines of sessions that another node told")


@case("without read_through they are lost: so the case before can fail")
def _(t):
    check(delayed(t, "0")[1] > 10, "nothing was late")


@case("poll, post and upgrade of a new session reach its worker by any node, all at once")
def _(t):
    nodes = Nodes(t, "read_through: %gs" % min(5, 2 * SLOW), delay=0.02)
    sids = []
    for i in range(20):
        sid = nodes.handshake(random.choice(("one", "two")))
        sids.append(sid)
        ends = [nodes.connect(random.choice(("one", "two"))) for _ in range(3)]
        ends[0].send(get(POLL + sid))
        ends[1].send(post(POLL + sid, b"40"))
        ends[2].send(get(UPGRADE + sid, WS_FIELDS))
        worker = nodes.workers[sid].encode()
        for end, status in zip(ends, (200, 200, 101)):
            msg = end.read_response(want_body=status == 200)
            same(msg.status, status, "status")
            if status == 200:
                same(msg.body, worker, "worker")
        same(ends[2].read(1), worker, "worker of the WebSocket")
        for end in ends:
            end.close()


@case("a session that nobody knows waits no longer than the cap, and for a second nobody asks again")
def _(t):
    nodes = Nodes(t, "read_through: 400ms")
    took, status = nodes.timed("two", "nobody")
    same(status, 400, "status")
    check(0.3 < took < 0.4 + 0.2 * SLOW, "the first waited %.3f s" % took)
    began = time.monotonic()
    took, status = nodes.timed("two", "nobody")
    check(took < 0.2 or time.monotonic() - began > 0.9, "the second waited %.3f s" % took)
    took = nodes.timed("two", "another")[0]
    check(took > 0.3, "another sid is asked for: %.3f s" % took)
    time.sleep(max(0, began + 1.1 - time.monotonic()))
    took = nodes.timed("two", "nobody")[0]
    check(took > 0.3, "after a second it is asked for again: %.3f s" % took)


@case("an unknown session is forwarded as without a mirror, when the rule says so")
def _(t):
    nodes = Nodes(t, "read_through: 30ms", names=("two",), unknown="forward")
    msg = nodes.ask("two", get(POLL + "nobody"))
    same((msg.status, msg.body), (400, b'{"code":1,"message":"Session ID unknown"}'), "a worker's answer")
    nodes.nodes["two"].wait_log(r"web - chat [AB] --EM ")


@case("a client that goes while its session is asked for is let go")
def _(t):
    nodes = Nodes(t, "read_through: 5s", names=("two",))
    client = nodes.connect("two")
    client.send(get(POLL + "nobody") + get(POLL + "nobody"))
    until(lambda: "state=ask" in nodes.nodes["two"].ask_stats("show sess", t.directory + "/two.sock"), "it waits")
    client.close()
    nodes.nodes["two"].wait_log(r"web - chat - CREU ", 2 * SLOW)
    check("state=ask" not in nodes.nodes["two"].ask_stats("show sess", t.directory + "/two.sock"))


@case("Redis that stands still costs no request more than the cap, and when it is given up none")
def _(t):
    nodes = Nodes(t, "read_through: 300ms, mode: sync", names=("two",))
    log = nodes.nodes["two"]
    nodes.redis.process.send_signal(signal.SIGSTOP)
    took, status = nodes.timed("two", "nobody")
    same(status, 400, "status")
    check(0.25 < took < 0.3 + 0.2 * SLOW, "an unknown session waited %.3f s" % took)
    began = time.monotonic()
    nodes.handshake("two")
    took = time.monotonic() - began
    check(took < 0.3 + 0.2 * SLOW, "a handshake waited %.3f s" % took)
    log.wait_log(r"mirror: .*(lost|away|gone|connection)", 10 * SLOW)
    for i in range(5):
        took = nodes.timed("two", "nobody%d" % i)[0]
        check(took < 0.1 * SLOW, "without Redis an unknown session waited %.3f s" % took)
        began = time.monotonic()
        nodes.handshake("two")
        took = time.monotonic() - began
        check(took < 0.1 * SLOW, "without Redis a handshake waited %.3f s" % took)
    at = len(log.log())
    nodes.redis.process.send_signal(signal.SIGCONT)
    nodes.wait_up("two", at)
    took = nodes.timed("two", "who-else")[0]
    check(took > 0.25, "when it is back it is asked again: %.3f s" % took)
    before = nodes.stored()
    nodes.handshake("two")
    check(nodes.stored() > before, "and stored again")


def late(nodes, n):
    """How many of N handshakes were answered before Redis had their session."""
    client, count = nodes.connect("one"), 0
    for i in range(n):
        nodes.handshake("one", client)
        count += nodes.stored() < i + 1
    client.close()
    return count


@case("sync: when the client sees the answer to its handshake Redis has the session, each time")
def _(t):
    same(late(Nodes(t, "mode: sync, read_through: 5s", delay=0.005, names=("one",)), 100), 0, "answered too early")


@case("async: it has not, when what goes to Redis takes its time: so the case before can fail")
def _(t):
    check(late(Nodes(t, "mode: async", delay=0.02, names=("one",)), 10) > 5, "all were stored at once")


@case("sync with read_through 0: a handshake waits 20 ms at most")
def _(t):
    nodes = Nodes(t, "mode: sync, read_through: 0", delay=3, names=())
    nodes.slow.delay = 0
    nodes.start("one")
    nodes.redis.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    nodes.handshake("one")
    took = time.monotonic() - began
    check(0.015 < took < 0.02 + 0.2 * SLOW, "it took %.3f s" % took)
    nodes.redis.process.send_signal(signal.SIGCONT)


@case("sync: a node that is killed at any moment has shown no session that the other does not serve")
def _(t):
    nodes = Nodes(t, "mode: sync, read_through: 5s", delay=0.004)
    seen, shown = [], 0

    def client():
        """Handshakes until the node is gone."""
        try:
            end = nodes.connect("one")
            while True:
                seen.append(nodes.handshake("one", end))
        except Fail:
            pass

    for step in range(8):
        threads = [threading.Thread(target=client, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        want = len(seen) + 4
        until(lambda: len(seen) >= want, "handshakes", 10 * SLOW)
        time.sleep(random.random() * 0.02)      # at another moment of theirs each time
        nodes.nodes["one"].is_ended_by_test = True
        nodes.nodes["one"].process.kill()
        nodes.nodes["one"].process.wait()
        for thread in threads:
            thread.join(10)
        for sid in seen[shown:]:
            check(nodes.served("two", sid), "%s was lost at step %d" % (sid, step))
        shown = len(seen)
        nodes.start("one")
    t.note("%d sessions, 8 kills" % shown)


@case("sync: Redis is killed at any moment: every handshake is answered, and none late")
def _(t):
    cap = 0.3 * SLOW
    nodes = Nodes(t, "mode: sync, read_through: %dms" % (cap * 1000), names=("one",))
    for _ in range(4):
        times, is_over = [], threading.Event()

        def client():
            end = nodes.connect("one")
            while not is_over.is_set():
                began = time.monotonic()
                nodes.handshake("one", end)
                times.append(time.monotonic() - began)
            end.close()

        threads = [threading.Thread(target=client, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        until(lambda: len(times) > 10, "handshakes")
        at = len(nodes.nodes["one"].log())
        time.sleep(random.random() * 0.01)
        nodes.redis.kill()
        n = len(times)
        until(lambda: len(times) > n + 20, "handshakes without Redis", 10 * SLOW)
        is_over.set()
        for thread in threads:
            thread.join(10)
            check(not thread.is_alive(), "a handshake hangs")
        check(max(times) < cap + 0.2 * SLOW, "one took %.3f s" % max(times))
        nodes.redis.start()
        nodes.wait_up("one", at)
        time.sleep(0.05)


def median_ms(nodes, n):
    client = nodes.connect("one")
    data, times = get(HANDSHAKE), []
    for _ in range(n):
        began = time.perf_counter()
        client.ask(data)
        times.append(time.perf_counter() - began)
    client.close()
    return statistics.median(times) * 1000


@case("what a handshake costs in async and in sync")
def _(t):
    both = {}
    for mode in ("async", "sync"):
        nodes = Nodes(t, "mode: %s" % mode, names=())
        nodes.start("one")
        median_ms(nodes, 50)
        both[mode] = median_ms(nodes, 500)
        nodes.redis.stop()
        nodes.nodes["one"].is_ended_by_test = True
        nodes.nodes["one"].process.terminate()
        nodes.nodes["one"].process.wait()
        for server in t.servers:
            server.stop()
        del t.servers[:]
    t.note("median of 500 handshakes: async %.3f ms, sync %.3f ms" % (both["async"], both["sync"]))
    check(both["sync"] < both["async"] + 20 * SLOW, "sync waited for its cap")


if __name__ == "__main__":
    main()
