#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What clients wait at half load, and what they feel of events that do not concern them.

    make bench-latency                                  # or, by hand:
    bench/latency.py ./limpet --probe bench/probe [--rounds 5] [--events half,reload,...] [--apart] [--no-haproxy]

An open loop of requests (1 KiB, 512 connections, half of what saturates the slower proxy) runs all the time; a request's
time counts from the moment it was due.  Limpet and HAProxy take turns, each event once a round; what is compared is the
stretch of the event with as long a stretch before it, in the same run.

  half      no event: p50, p99 and p99.9
  reload    SIGHUP, with a small configuration; reload-1000: with 1,000 backends of 10 servers
  resync    a million entries compared with Redis' (--entries); load: a million taken over from Redis by a reload
  burst     10,000 connections at once, with a request each
  bulk      8 clients that fetch 1 MB all the time; bulk-100: two that fetch 100 MB
  upgrade   a new process takes over (SIGUSR2; HAProxy: as a reload)
  drain     1,000 WebSockets of a server that is drained at once (HAProxy: its sessions are shut down)

Processors: the proxy with all its threads on CPU 0, or with --apart the traffic thread alone there and the others on CPU
1.  Probe and the probe's server, in real time priority, and all that makes the events (Redis, other clients, their
server) on CPU 1.  So whatever the proxy does beside serving is felt in full, and whatever the others do is not.
Exit status 1 when an event shows in p99 by more than --limit (1 ms; median of the rounds) with Limpet.
"""
import argparse
import array
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

LIMPET = """\
global:
  node: one
  threads: 1
  max_connections: %(conns)d
  log: {target: stderr, level: warn, requests: false}
  stats: {socket: "unix:%(dir)s/cli.sock"}
  %(mirror)s
defaults: {timeouts: {client_head: 60s, keep_alive: 300s, client: 300s, connect: 5s, server: 300s, tunnel: 300s}}
frontends:
  web: {bind: {address: "127.0.0.1:%(port)d", backlog: 16384}, backend: web}
  other:
    bind: {address: "127.0.0.1:%(other)d", backlog: 16384}
    backend: other
    routes:
      - {match: {host: table.test}, backend: table}%(routes)s
backends:
  web: {hosts: {A: "unix:%(dir)s/web.sock"}}
  other: {hosts: {A: "unix:%(dir)s/other.sock"}}
  table: {stick: {engineio: {max_entries: 1100k, idle: 1h}}, hosts: {A: "unix:%(dir)s/other.sock"}}%(backends)s
"""
HAPROXY = """\
global
  nbthread 1
  maxconn %(conns)d
  stats socket %(dir)s/cli.sock mode 600 level admin expose-fd listeners
  hard-stop-after 5s
defaults
  mode http
  timeout client 300s
  timeout server 300s
  timeout connect 5s
  timeout tunnel 300s
  http-reuse always
frontend web
  bind 127.0.0.1:%(port)d backlog 16384
  default_backend web
frontend other
  bind 127.0.0.1:%(other)d backlog 16384
%(routes)s
  default_backend other
backend web
  server A %(dir)s/web.sock
backend other
  server A %(dir)s/other.sock
%(backends)s
"""
BIG = 1000
EVENTS = ("half", "reload", "reload-1000", "resync", "load", "burst", "bulk", "bulk-100", "upgrade", "drain")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition, what, limit=60):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            sys.exit("latency.py: not in %d s: %s" % (limit, what))
        time.sleep(0.005)


def start(arguments, cpu, real_time=False, **more):
    """In a session of its own, so that the scheduler gives each a share."""
    def prepare():
        os.setsid()
        os.sched_setaffinity(0, {cpu})
        if real_time:
            try:
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
            except PermissionError:
                os.nice(-10)
    return subprocess.Popen(arguments, preexec_fn=prepare, **more)


def ask(path, command):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(command.encode() + b"\n")
        text = b""
        while True:
            data = s.recv(65536)
            if not data:
                return text.decode()
            text += data


class Proxy:
    def __init__(self, options, directory, port, other):
        self.options, self.dir, self.port, self.other = options, directory, port, other
        self.socket = directory + "/cli.sock"
        self.process = None

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def begin(self, **shape):
        self.write(**shape)
        with open(self.dir + "/proxy.log", "ab") as log:
            self.process = start(self.command(), 0, stdout=log, stderr=log)
        until(lambda: self.process.poll() is not None or self.listens(), "the proxy listens")
        if self.process.poll() is not None:
            sys.exit("latency.py: see %s/proxy.log:\n%s" % (self.dir, open(self.dir + "/proxy.log").read()[-2000:]))
        self.spread()

    def end(self):
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        until(lambda: not self.listens(), "the proxy ends")

    def spread(self):
        pass


class Limpet(Proxy):
    name = "Limpet"

    def command(self):
        return [self.options.limpet, "-f", self.dir + "/limpet.yaml"]

    def pids(self):
        """Also the one that took over."""
        found = {self.process.pid}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    if (self.dir + "/limpet.yaml").encode() in f.read():
                        found.add(int(pid))
            except OSError:
                pass
        return found

    def write(self, big=0, mirror=False):
        routes = "".join("\n      - {match: {host: h%d.test}, backend: b%d}" % (i, i) for i in range(big))
        with open(self.dir + "/limpet.yaml", "w") as f:
            f.write(LIMPET % {
                "dir": self.dir, "port": self.port, "other": self.other, "conns": 2000 if big else self.options.conns,
                "mirror": 'mirror: {redis: "unix:%s/redis.sock"}' % self.dir if mirror else "",
                "routes": routes,
                "backends": "".join("\n  b%d: {hosts: {%s}}" % (i, ", ".join('s%d: "127.1.%d.%d:80"' % (
                    j, i % 250, i // 250 * 10 + j + 1) for j in range(10))) for i in range(big))})

    def spread(self):
        if not self.options.apart:
            return
        for task in os.listdir("/proc/%d/task" % self.process.pid):
            with open("/proc/%d/task/%s/comm" % (self.process.pid, task)) as f:
                os.sched_setaffinity(int(task), {0 if f.read().startswith("traffic") else 1})

    def reload(self):
        os.kill(self.process.pid, signal.SIGHUP)

    def upgrade(self):
        os.kill(self.process.pid, signal.SIGUSR2)

    def drain(self):
        ask(self.socket, "drain other/A now")

    def mirror(self):
        return dict(l.split(": ", 1) for l in ask(self.socket, "show mirror").split("\n") if ": " in l)


class HAProxy(Proxy):
    name = "HAProxy"

    def command(self):
        return ["haproxy", "-W", "-f", self.dir + "/haproxy.cfg"]

    def pids(self):
        found, queue = set(), [self.process.pid]
        while queue:
            pid = queue.pop()
            found.add(pid)
            try:
                with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                    queue += map(int, f.read().split())
            except OSError:
                pass
        return found

    def write(self, big=0, mirror=False):
        routes = "".join("  use_backend b%d if { hdr(host) h%d.test }\n" % (i, i) for i in range(big))
        with open(self.dir + "/haproxy.cfg", "w") as f:
            f.write(HAPROXY % {"dir": self.dir, "port": self.port, "other": self.other, "routes": routes,
                               "conns": 2000 if big else self.options.conns, "backends": "".join("backend b%d\n%s" % (i, "".join(
                                   "  server s%d 127.1.%d.%d:80\n" % (j, i % 250, i // 250 * 10 + j + 1)
                                   for j in range(10))) for i in range(big))})

    def reload(self):
        os.kill(self.process.pid, signal.SIGUSR2)

    upgrade = reload

    def drain(self):
        ask(self.socket, "set server other/A state maint;shutdown sessions server other/A")


class Redis:
    def __init__(self, directory, entries):
        self.path = directory + "/redis.sock"
        self.process = start(["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", directory],
                             1, stdout=subprocess.DEVNULL)
        until(lambda: os.path.exists(self.path), "redis-server")
        version = int(time.time() * 1000 - 60000) * 64
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            for at in range(0, entries, 1000):
                words = [(b"SET", b"{limpet}:e:table/engineio:%032x" % random.getrandbits(128),
                          b"1 l %016x 3600000 A" % ((version + at + i) << 16 | 7), b"PX", b"3600000")
                         for i in range(1000)]
                s.sendall(b"".join(b"*%d\r\n" % len(w) + b"".join(b"$%d\r\n%s\r\n" % (len(x), x) for x in w)
                                   for w in words))
                lines = 0
                while lines < 1000:
                    lines += s.recv(1 << 20).count(b"\n")


class Bench:
    def __init__(self, options, directory):
        self.options, self.dir = options, directory
        self.port, self.other = free_port(), free_port()
        kinds = [Limpet] + ([] if options.no_haproxy else [HAProxy])
        self.proxies = []
        for kind in kinds:
            os.mkdir("%s/%s" % (directory, kind.name))
            self.proxies.append(kind(options, "%s/%s" % (directory, kind.name), self.port, self.other))

    def probe(self, *arguments, real_time=False):
        return start([self.options.probe] + [str(a) for a in arguments], 1, real_time, stdout=subprocess.PIPE, text=True)

    def saturation(self, proxy):
        proxy.begin()
        server = self.probe("origin", "unix:%s/web.sock" % proxy.dir)
        until(lambda: os.path.exists(proxy.dir + "/web.sock"), "the server listens")
        load = self.probe("full", "127.0.0.1:%d" % self.port, 64, "/1024")
        time.sleep(1.5)
        load.terminate()
        rate = int(load.communicate()[0].split()[1]) / 1.5
        server.terminate()
        server.wait()
        proxy.end()
        return rate

    def run(self, proxy, event, rate):
        """Times of the requests, and when the event began and ended."""
        big = BIG if event == "reload-1000" else 0
        redis = Redis(proxy.dir, self.options.entries) if event in ("resync", "load") else None
        proxy.begin(big=big, mirror=event == "resync")
        if event == "resync":
            until(lambda: proxy.mirror().get("Loaded") == "1", "the first load")
        files = proxy.dir + "/samples"
        servers = [self.probe("origin", "unix:%s/other.sock" % proxy.dir)]
        until(lambda: os.path.exists(proxy.dir + "/other.sock"), "the server listens")
        held = None
        if event == "drain":
            held = self.probe("hold", "127.0.0.1:%d" % self.other, 1000)
            if held.stdout.readline() != "ready\n":
                sys.exit("latency.py: WebSockets")
        seconds = self.options.seconds + (6 if redis else 0)
        probe = self.probe("rate", "127.0.0.1:%d" % self.port, 512, rate, seconds, files,
                           "unix:%s/web.sock" % proxy.dir, real_time=True)
        time.sleep(self.options.seconds / 2)
        began = time.monotonic_ns()
        self.happen(proxy, event)
        ended = time.monotonic_ns()
        out = probe.communicate()[0]
        failed = int(out.split()[3])
        for process in servers + ([held] if held else []):
            process.terminate()
            process.wait()
        proxy.end()
        if redis:
            redis.process.terminate()
            redis.process.wait()
        numbers = array.array("Q")
        with open(files, "rb") as f:
            numbers.frombytes(f.read())
        return numbers[0::2], numbers[1::2], began, ended, failed

    def happen(self, proxy, event):
        if event in ("reload", "reload-1000"):
            proxy.reload()
            time.sleep(0.2)
        elif event == "upgrade":
            proxy.upgrade()
            time.sleep(0.4)
        elif event == "resync":
            ask(proxy.socket, "mirror resync")
            until(lambda: int(proxy.mirror()["ResyncKeys"]) < self.options.entries, "the resync begins")
            until(lambda: int(proxy.mirror()["ResyncKeys"]) >= self.options.entries, "the resync")
        elif event == "load":
            proxy.write(mirror=True)
            proxy.reload()
            until(lambda: proxy.mirror().get("Loaded") == "1", "the load")
        elif event == "burst":
            load = self.probe("burst", "127.0.0.1:%d" % self.other, self.options.burst)
            load.stdout.readline()
            self.later(load)
        elif event in ("bulk", "bulk-100"):
            conns, size = (8, 1000000) if event == "bulk" else (2, 100000000)
            load = self.probe("full", "127.0.0.1:%d" % self.other, conns, "/%d" % size)
            time.sleep(1)
            self.later(load)
        elif event == "drain":
            proxy.drain()
            time.sleep(0.2)
        else:
            time.sleep(self.options.seconds / 2 - 0.5)

    @staticmethod
    def later(process):
        process.terminate()
        process.communicate()


def quantile(times, q):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * q))] / 1e6 if times else float("nan")


QUANTILES = (0.5, 0.99, 0.999, 1)


def split(due, took, began, ended):
    """Milliseconds of QUANTILES during the event, and in as long a stretch before it."""
    length = max(ended - began, 100000000)
    lengths = min(length, began - due[0] - 200000000) # the first moments do not count
    during = [t for d, t in zip(due, took) if began <= d < began + length]
    before = [t for d, t in zip(due, took) if began - lengths <= d < began]
    return [quantile(during, q) for q in QUANTILES], [quantile(before, q) for q in QUANTILES]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("limpet")
    parser.add_argument("--probe", required=True)
    parser.add_argument("--events", default=",".join(EVENTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    parser.add_argument("--rate", type=int, default=0, help="requests a second (0: half of what saturates)")
    parser.add_argument("--entries", type=int, default=1000000)
    parser.add_argument("--burst", type=int, default=10000)
    parser.add_argument("--limit", type=float, default=1.0)
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--no-haproxy", action="store_true")
    options = parser.parse_args()
    options.limpet, options.probe = os.path.abspath(options.limpet), os.path.abspath(options.probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    options.conns = min(18000, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 400) // 2)
    options.burst = min(options.burst, options.conns - 200)
    os.sched_setaffinity(0, {1})
    bad = []
    with tempfile.TemporaryDirectory(prefix="limpet-latency-") as directory:
        bench = Bench(options, directory)
        rate = options.rate or int(min(bench.saturation(p) for p in bench.proxies) / 2)
        print("%d requests a second; milliseconds\n" % rate)
        print("| event | proxy | lasts | p50 | p99 | p99.9 | longest | p99 more than before | longest before | failed |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for event in options.events.split(","):
            results = {p.name: [] for p in bench.proxies}
            for i in range(options.rounds):
                for proxy in bench.proxies[::1 if i % 2 else -1]:
                    if event in ("resync", "load") and proxy.name != "Limpet":
                        continue
                    due, took, began, ended, failed = bench.run(proxy, event, rate)
                    results[proxy.name].append((*split(due, took, began, ended), (ended - began) / 1e6, failed))
            for name, runs in results.items():
                if not runs:
                    continue
                during = [statistics.median(r[0][i] for r in runs) for i in range(4)]
                more = statistics.median(r[0][1] - r[1][1] for r in runs)
                print("| %s | %s | %.0f | %.2f | %.2f | %.2f | %.2f | %+.2f | %.2f | %d |" % (
                    event, name, statistics.median(r[2] for r in runs), *during, more,
                    statistics.median(r[1][3] for r in runs), sum(r[3] for r in runs)), flush=True)
                if name == "Limpet" and event != "half" and more > options.limit:
                    bad.append(event)
    if bad:
        print("\nmore than %.1f ms: %s" % (options.limit, ", ".join(bad)))
    sys.exit(1 if bad else 0)


main()
