# SPDX-License-Identifier: MIT
"""The rows of the comparison: one table, nothing else.

expected is the ratio to HAProxy that was measured (of the figure that is named), on the date in "since"; `make bench`
fails a fifth above it.  Lower it when Limpet gets better; raise it only with the reason in doc/performance.md.
share is the G that was measured then (verdict.py): what is expected on a machine whose kernel costs more.
"""
import dataclasses


@dataclasses.dataclass
class Row:
    name: str
    load: str  # options of bench_load
    what: str
    expected: float
    since: str
    figure: str = "cpu_us"
    unit: str = "us"
    kind: str = "load"
    vars: dict = dataclasses.field(default_factory=dict)  # of the configuration; peers.py
    adds: dict = dataclasses.field(default_factory=dict)  # measured with and without
    floor: str = ""  # options of bench_floor; None: it has no part
    bare: str = ""  # options of bench_load towards the floor instead
    smoke: bool = False  # in `make bench`
    share: float | None = None
    quiet: bool = True  # slots in which somebody had to wait are repeated


D = "2026-11-23"
CLOSE = "-m close -c 64 -p /128"
SHAKE = "-t -m close -c 32 -p /128"
RESUME = "-t -r -m close -c 32 -p /128"
SIDS = "-c 64 -E poll -N {entries} -F {sids}"
ROWS = [
    Row("ka-1k", "-c 64", "keep-alive, 1 KiB, 64 connections", 0.62, D, smoke=True, share=0.2),
    Row("ka-1k-512", "-c 512", "the same, 512 connections", 0.56, D),
    Row("user-1k", "-c 64", "user space alone of ka-1k", 0.16, D, "user_us", kind="user"),
    Row("lat-1k", "-c 64 -R 5000", "5,000 requests/s, open loop", 0.73, D),
    Row("unix-1k", "-c 64", "keep-alive, servers on Unix sockets", 0.59, D, vars={"origin": "unix"}),
    Row("close", CLOSE, "a client connection per request", 0.64, D, floor="-1", bare=CLOSE + " -b", smoke=True,
        share=0.1),
    Row("close-both", CLOSE, "connections on both sides", 0.80, D, vars={"reuse": False}),
    Row("pp2", CLOSE, "the same, PROXY v2 to the server", 0.77, D, vars={"reuse": False}, adds={"pp2": True}),
    Row("sticky", SIDS, "sid stickiness, ids learned from the responses", 0.50, D, vars={"servers": 4},
        adds={"stick": "table"}),
    Row("cookie", "-c 64 -p /128 -k", "cookie stickiness", 0.64, D, vars={"servers": 4}, adds={"stick": "cookie"}),
    Row("ws", "-m ws -c 1000", "WebSocket echo, 1,000 tunnels, 64 B", 0.73, D, vars={"ws": True}, smoke=True,
        share=0.3),
    Row("http-1m", "-c 8 -p /1048576", "1 MiB answers", 0.32, D, "cpu_s_per_gb", "s/GB", floor="-s"),
    Row("tcp-10m", "-c 4 -p /10485760", "layer 4 bulk", 0.21, D, "cpu_s_per_gb", "s/GB", vars={"mode": "tcp"},
        floor="-s"),
    Row("tcp-ka", "-c 64 -p /128", "layer 4 messages", 0.89, D, vars={"mode": "tcp"}, smoke=True,
        share=0.3),
    Row("tcp-conn", CLOSE, "layer 4 connections", 0.96, D, vars={"mode": "tcp"}),
    Row("tls-ka", "-t -c 64", "TLS 1.3 keep-alive, 1 KiB", 0.66, D, vars={"tls": "ecdsa"}, smoke=True,
        share=0.15),
    Row("tls-full-ecdsa", SHAKE, "TLS 1.3 handshake and request, ECDSA", 0.83, D, vars={"tls": "ecdsa"}, floor="-1",
        bare=SHAKE + " -b"),
    Row("tls-full-rsa", SHAKE, "the same, RSA-2048", 0.91, D, vars={"tls": "rsa"}, floor="-1", bare=SHAKE + " -b"),
    Row("tls-resume", RESUME, "TLS 1.3, resumed", 0.84, D, vars={"tls": "ecdsa"}, floor="-1", bare=RESUME + " -b"),
    Row("tls-1m", "-t -c 4 -p /1048576", "1 MiB answers over TLS", 0.74, D, "cpu_s_per_gb", "s/GB",
        vars={"tls": "ecdsa"}, floor="-B 131072"),
    Row("h2-1k", "-t1 -c 16 -m 16 -n 40000", "HTTP/2 over TLS, 1 KiB, h2load", 0.67, D, kind="h2",
        vars={"tls": "ecdsa", "h2": True}, floor=None),
    Row("mem-ka", "", "idle keep-alive connection", 0.22, D, "bytes", "bytes", "memory", smoke=True),
    Row("mem-ws", "-U", "idle WebSocket", 0.11, D, "bytes", "bytes", "memory", {"ws": True}),
    Row("mem-tcp", "", "idle layer 4 connection", 0.145, D, "bytes", "bytes", "memory", {"mode": "tcp"}),
    Row("mem-tls", "-t", "idle TLS connection", 0.93, D, "bytes", "bytes", "memory", {"tls": "ecdsa"}),
    Row("mem-table", SIDS, "learned session, 20-byte sid", 0.31, D, "bytes", "bytes", "table", {"stick": "table"},
        floor=None),
    Row("threads2", "-c 64", "keep-alive, what a second thread adds", 0.69, D, adds={"threads": 2}, floor=None,
        quiet=False),
    Row("reload", "-m close -c 16 -R 1000 -p /128", "reload under connections: ms until it answers", 0.04, D,
        "reload_ms", "ms", "reload", {"master": True}, floor=None),
    Row("reload-ka", "-c 32 -R 2000 -p /128", "reload under keep-alive: ms until it answers", 0.04, D, "reload_ms",
        "ms", "reload", {"master": True}, floor=None),
    Row("startup", "", "1,000 backends x 10 servers: ms until it answers", 0.18, D, "start_ms", "ms", "startup",
        floor=None, smoke=True),
]
