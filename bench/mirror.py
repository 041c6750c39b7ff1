#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the mirror does in a second, and what it costs a request.

    make bench-mirror                        # or, by hand:
    bench/mirror.py ./limpet [--entries 1000000] [--changes 200000] [--requests 20000]

A Redis of its own on a Unix socket.
  load      ENTRIES are on Redis; time from the start of a node until it has them all
  changes   two nodes hold CHANGES entries, and one clears its table: tombstones per second until Redis has all, and
            until the other node has; the greatest lag meanwhile
  requests  handshakes, and requests that do not stick, in turn through a node with the mirror and one without: ratio
            of the medians and of the 99th percentiles
Exit status 1 when the load takes longer than --load-limit (15 s a million), or fewer than --rate-limit (20,000)
changes pass in a second.
"""
import argparse
import multiprocessing
import os
import random
import select
import socket
import sys
import time

from stage import Redis, Stage, ask, free_port, mirror, until

CONFIG = """\
global: {node: %(node)s, threads: 1, log: {target: stderr, requests: false}, stats: {socket: "unix:%(dir)s/%(node)s.sock"}%(mirror)s}
frontends: {web: {bind: "127.0.0.1:%(port)d", backend: chat}}
backends: {chat: {stick: engineio, hosts: {A: "unix:%(dir)s/worker.sock"}}}
"""
OPEN = b'0{"sid":"%s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
HANDSHAKE = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
PLAIN = b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"


def answer(body):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def worker(listener):
    """Answers each request; one read is one request."""
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    conns, n = {}, 0
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                conn = listener.accept()[0]
                conns[conn.fileno()] = conn
                poll.register(conn, select.EPOLLIN)
                continue
            if fd not in conns:
                continue
            data = conns[fd].recv(65536)
            if not data:
                poll.unregister(fd)
                conns.pop(fd).close()
            elif b"EIO=" in data:
                n += 1
                conns[fd].send(answer(OPEN % (b"%020x" % random.getrandbits(80))))
            else:
                conns[fd].send(answer(b"plain"))


class Limpet:
    def __init__(self, binary, stage, node, has_mirror=True):
        directory = stage.dir
        self.socket, self.log = "%s/%s.sock" % (directory, node), "%s/%s.log" % (directory, node)
        self.port = free_port()
        path = "%s/%s.yaml" % (directory, node)
        with open(path, "w") as f:
            f.write(CONFIG % {"node": node, "dir": directory, "port": self.port, "mirror":
                              ', mirror: {redis: "unix:%s/redis.sock"}' % directory if has_mirror else ""})
        self.began = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = stage.start([binary, "-f", path], stdout=log, stderr=log)
        until(lambda: self.ask("show info"), "limpet starts")

    def ask(self, command):
        return ask(self.socket, command)

    def mirror(self):
        return mirror(self.socket)

    def loaded(self):
        until(lambda: self.mirror().get("Loaded") == "1", "the first load")
        return time.monotonic() - self.began

    def entries(self):
        return int(self.ask("show table chat/engineio").split("used:")[1].split()[0].rstrip(","))

    def end(self):
        Stage.end(self.process)


def load(options, stage, redis):
    redis.fill("chat", options.entries)
    limpet = Limpet(options.limpet, stage, "one")
    took = limpet.loaded()
    have = int(limpet.mirror()["ResyncKeys"])
    limpet.end()
    print("load: %d entries in %.2f s, %.2f s a million" % (have, took, took * 1e6 / options.entries))
    return have == options.entries and took <= max(options.load_limit * options.entries / 1e6, 5)


def changes(options, stage, redis):
    n = options.changes
    redis.fill("chat", n)
    nodes = [Limpet(options.limpet, stage, name) for name in ("one", "two")]
    for node in nodes:
        node.loaded()
    before = int(nodes[0].mirror()["Applied"])
    nodes[1].ask("clear table chat/engineio")
    began, lag, pushed_in, dirty = time.monotonic(), 0, None, 0
    while True:
        one, two = nodes[0].mirror(), nodes[1].mirror()
        lag, dirty = max(lag, int(one["Lag_ms"])), max(dirty, int(two["Dirty"]))
        passed = time.monotonic() - began
        if pushed_in is None and int(two["Dirty"]) == 0:
            pushed_in = passed
        if int(one["Applied"]) - before >= n or passed > 120:
            break
        time.sleep(0.02)
    for node in nodes:
        node.end()
    pushed_in = pushed_in or passed
    print("changes: %d pushed at %d a second, followed at %d a second; lag %d ms at most, %d dirty at most; gaps %s" % (
        n, n / pushed_in, n / passed, lag, dirty, one["Gaps"]))
    return n / passed >= options.rate_limit or n < 50000


def requests(options, stage):
    nodes = [Limpet(options.limpet, stage, "with"), Limpet(options.limpet, stage, "without", False)]
    nodes[0].loaded()
    conns = [socket.create_connection(("127.0.0.1", node.port)) for node in nodes]
    for what, data in (("handshakes", HANDSHAKE), ("plain", PLAIN)):
        times = [[], []]
        for i in range(options.requests):
            for at in ((0, 1), (1, 0))[i & 1]:
                began = time.perf_counter()
                conns[at].sendall(data)
                conns[at].recv(65536)
                times[at].append(time.perf_counter() - began)
        on, off = (sorted(t) for t in times)
        at = [options.requests // 2, options.requests * 99 // 100]
        print("requests: %s, with the mirror / without: median %.0f / %.0f us, x %.2f; p99 %.0f / %.0f us, x %.2f" % (
            what, on[at[0]] * 1e6, off[at[0]] * 1e6, on[at[0]] / off[at[0]], on[at[1]] * 1e6, off[at[1]] * 1e6,
            on[at[1]] / off[at[1]]))
    for node in nodes:
        node.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("limpet")
    parser.add_argument("--entries", type=int, default=1000000)
    parser.add_argument("--changes", type=int, default=200000)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--load-limit", type=float, default=15)
    parser.add_argument("--rate-limit", type=int, default=20000)
    options = parser.parse_args()
    options.limpet = os.path.abspath(options.limpet)
    with Stage("limpet-bench-") as stage:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(stage.dir + "/worker.sock")
        listener.listen(64)
        multiprocessing.Process(target=worker, args=(listener,), daemon=True).start()
        redis = Redis(stage)
        good = load(options, stage, redis)
        good = changes(options, stage, redis) and good
        requests(options, stage)
    sys.exit(0 if good else 1)


main()
