#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What health checks cost: processor time of Limpet that checks N servers each second over HTTP.

    make bench-health                        # or, by hand:
    bench/health_cost.py ./limpet [--servers 1000] [--seconds 20] [--kind http|tcp] [--against haproxy]

The servers are addresses of 127/8 behind one listener of this script, which answers 204 and closes.  No traffic
runs.  Per cent are of one core, from /proc/PID/stat, over the given time after a warm-up.  Exit status 1 when the
cost is over --limit (5).
"""
import argparse
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


class Responder(threading.Thread):
    """Answers whoever asks, on one epoll; counts."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("0.0.0.0", 0), backlog=4096)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.answered = 0

    def run(self):
        poll = select.epoll()
        poll.register(self.listener, select.EPOLLIN)
        conns = {}
        while True:
            for fd, _ in poll.poll():
                if fd == self.listener.fileno():
                    self.accept(poll, conns)
                    continue
                conn = conns.pop(fd)
                try:
                    if conn.recv(4096):
                        conn.send(ANSWER)
                        self.answered += 1
                except OSError:
                    pass
                conn.close()

    def accept(self, poll, conns):
        for _ in range(256):
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            conn.setblocking(False)
            conns[conn.fileno()] = conn
            poll.register(conn, select.EPOLLIN)


def address(i):
    return "127.1.%d.%d" % (i // 250, i % 250 + 1)


def limpet_config(args, port):
    check = {"http": "http: /healthz, ", "tcp": "tcp: true, "}[args.kind]
    return ("global: {threads: 1, log: {target: stderr, level: warn}}\n"
            "frontends: {web: {bind: \"unix:%s/web.sock\", backend: app}}\n"
            "backends:\n  app:\n    health_check: {%sinterval: 1s, timeout: 2s}\n    hosts:\n" % (args.directory, check)
            + "".join('      "h%d": "%s:%d"\n' % (i, address(i), port) for i in range(args.servers)))


def haproxy_config(args, port):
    return ("global\n  nbthread 1\ndefaults\n  mode http\n  timeout connect 2s\n  timeout client 2s\n  timeout server 2s\n"
            "  timeout check 2s\nfrontend web\n  bind unix@%s/hap.sock\n  default_backend app\nbackend app\n%s" % (
                args.directory, "  option httpchk GET /healthz\n" if args.kind == "http" else "")
            + "".join("  server h%d %s:%d check inter 1s\n" % (i, address(i), port) for i in range(args.servers)))


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as f:
        part = f.read().rsplit(")", 1)[1].split()
    return (int(part[11]) + int(part[12])) / os.sysconf("SC_CLK_TCK")


def measure(name, command, args, responder):
    with open(os.path.join(args.directory, name + ".log"), "wb") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        time.sleep(3)
        if child.poll() is not None:
            sys.exit("%s ended: %s" % (name, open(os.path.join(args.directory, name + ".log")).read()[-2000:]))
        cpu, answered, at = cpu_s(child.pid), responder.answered, time.monotonic()
        time.sleep(args.seconds)
        took = time.monotonic() - at
        cost = (cpu_s(child.pid) - cpu) / took * 100
        rate = (responder.answered - answered) / took
    finally:
        child.kill()
        child.wait()
    per = " (%.1f us of processor time each)" % (cost * 1e4 / rate) if rate else ""
    print("%s: %.2f %% of a core; %.0f checks/s answered%s" % (name, cost, rate, per), flush=True)
    return cost, rate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("limpet")
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kind", choices=["http", "tcp"], default="http")
    parser.add_argument("--limit", type=float, default=5)
    parser.add_argument("--against", choices=["haproxy"])
    args = parser.parse_args()
    args.directory = tempfile.mkdtemp(prefix="limpet-health-")
    responder = Responder()
    responder.start()
    try:
        runs = [("limpet", limpet_config, lambda path: [os.path.abspath(args.limpet), "-f", path])]
        if args.against and shutil.which("haproxy"):
            runs.append(("haproxy", haproxy_config, lambda path: ["haproxy", "-db", "-f", path]))
        results = {}
        for name, config, command in runs:
            path = os.path.join(args.directory, name + ".conf")
            with open(path, "w") as f:
                f.write(config(args, responder.port))
            results[name] = measure(name, command(path), args, responder)
        cost, rate = results["limpet"]
        if args.kind == "http" and rate < args.servers * 0.9:
            sys.exit("only %.0f checks/s" % rate)
        sys.exit(cost > args.limit)
    finally:
        shutil.rmtree(args.directory, ignore_errors=True)


main()
