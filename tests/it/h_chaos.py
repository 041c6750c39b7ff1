#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""All that an operator may do, at random and at the same time, under traffic; the seed is printed.

Reloads, upgrades, drains, rebalances, weights, servers that come, go, flap and are cut off, agents, frontends
that are disabled or limited, and an end in the middle of it.  Whatever happens: Limpet lives and ends with
status 0, nobody waits for ever, a request to servers that nobody touched never fails, a session is answered by
its owner alone, and when all have gone nothing is counted any more.

    SEED=number H_SECONDS=60 H_CLIENTS=8 python3 tests/it/h_chaos.py "4 threads"
"""
import asyncio
import os
import random
import re
import signal
import socket
import sys
import time
from urllib.parse import parse_qsl, urlsplit

from lib import *
from lib.engine import SWITCH, WS_FIELDS, ws_client_text
from lib.load import Child

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 30))
SECONDS = float(os.environ.get("H_SECONDS", "12")) / 4
CLIENTS = int(os.environ.get("H_CLIENTS") or (2 if is_sanitized else 6))     # of each kind
PATIENCE = 10 + 4 * SLOW
CHAT, CALM, SPARE = "ABCD", "XY", "E"
AT = "/socket.io/?EIO=4&transport="

HEAD = """\
global:
  threads: %(threads)d
  stats: {socket: "unix:${RUN}/stats.sock"}
  shutdown_grace: 1s
  upgrade_grace: %(upgrade_grace)s
frontends:
  safe: {bind: "127.0.0.1:${PORT}", backend: calm}
  web: {bind: "127.0.0.1:${PORTW}", backend: chat, timeouts: {queue: 1s}}
%(more_frontends)s\
backends:
  calm:
    stick: engineio
    balance: %(balance)s
    slow_start: %(slow_start)s
    hosts: {X: "${X}", Y: "${Y}"}
  chat:
    stick: %(stick)s
    balance: %(balance)s
    slow_start: %(slow_start)s
    on_marked_down: %(on_down)s
    max_connections_per_server: %(max)d
    drain_grace: %(drain_grace)s
    drain_over: %(drain_over)s
    health_check: {http: /health, interval: 60ms, timeout: 500ms, rise: 1, fall: 1}
    agent_check: {port: "${AGENT}", interval: 110ms, timeout: 500ms}
    hosts:
      U: "unix:${RUN}/u*.sock"
%(hosts)s"""


def configuration(rng, threads):
    hosts = [h for h in CHAT if h == "A" or rng.random() < 0.8]
    return HEAD % {
        "threads": threads,
        "upgrade_grace": rng.choice(("2s", "3s", "5s")),
        "more_frontends": "  extra: {bind: \"127.0.0.1:${PORTX}\", backend: chat}\n" if rng.random() < 0.5 else "",
        "balance": rng.choice(("round_robin", "least_sessions", "least_conn", "random", "first")),
        "slow_start": rng.choice(("0", "1s", "3s")),
        "stick": rng.choice(("engineio", "engineio", "[engineio, {cookie: {secret: sesame}}]", "[engineio, ip]")),
        "on_down": rng.choice(("keep", "close")),
        "max": rng.choice((0, 0, 1, 2, 5)),
        "drain_grace": rng.choice(("0", "50ms", "300ms")),
        "drain_over": rng.choice(("0", "100ms", "500ms")),
        "hosts": "".join("      %s: {address: \"${%s}\", weight: %d%s}\n" % (
            h, h, rng.choice((1, 50, 100)), rng.choice(("", "", ", send_proxy: v1")))
                         for h in hosts)}


class Workers(Child):
    """All servers, and the agent.  A worker's sid begins with the worker's name."""

    def __init__(self, t, rng):
        self.errors, self.threads, self.rng = [], [], rng
        self.listeners, self.directory = {}, t.directory
        for name in CHAT + CALM + SPARE + "G":
            self.listeners[name] = socket.create_server(("127.0.0.1", 0), backlog=1024)
            port = self.listeners[name].getsockname()[1]
            t.env["AGENT" if name == "G" else name] = port if name == "G" else "127.0.0.1:%d" % port
        super().__init__(lambda stop: asyncio.run(self.run(stop)))
        for listener in self.listeners.values():
            listener.close()
        t.servers.append(self)

    def stop(self):
        said = self.finish()
        self.errors += said.get("errors", [])

    async def run(self, stop):
        self.n, self.wrong = 0, []
        over = asyncio.Event()
        asyncio.get_running_loop().add_reader(stop, over.set)
        for name, listener in self.listeners.items():
            await asyncio.start_server(self.agent if name == "G" else
                                       lambda r, w, name=name: self.guarded(name, r, w), sock=listener)
        births = asyncio.create_task(self.births())
        await over.wait()
        births.cancel()
        return {"errors": self.wrong[:5]}

    async def births(self):
        """Workers on Unix sockets: a new process takes the place of the one before, which goes on for a while."""
        old = {}
        for n in range(10 ** 9):
            path, name = "%s/u%d.sock" % (self.directory, n % 2), "abcdefghijklmnopqrstuvw"[n % 23]
            if path in old:
                os.unlink(path)
                old.pop(path).close()
                await asyncio.sleep(self.rng.choice((0, 0, 0.2)))
            if self.rng.random() < 0.8:
                old[path] = await asyncio.start_unix_server(
                    lambda r, w, name=name: self.guarded(name, r, w), path)
            await asyncio.sleep(self.rng.random())

    async def agent(self, reader, writer):
        words = ["up"] * 6 + ["ready", "50%", "100%", "3%", "drain", "maint", "down", "stopped #x", "up 20% ready"]
        writer.write(self.rng.choice(words + ["up ready 100%"] * 6).encode() + b"\n")
        writer.close()

    async def guarded(self, name, reader, writer):
        try:
            await self.serve(name, reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def serve(self, name, reader, writer):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if head.startswith("PROXY "):
                head = head.partition("\r\n")[2]
            length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
            if length:
                await reader.readexactly(int(length.group(1)))
            query = dict(parse_qsl(urlsplit(head.split(" ")[1]).query))
            if re.search(r"(?i)\r\nupgrade: *websocket", head):
                writer.write(SWITCH)
                await self.echo(reader, writer)
                return
            status, body = await self.answer(name, head, query)
            if status == 0:
                writer.transport.abort()
                return
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
            await writer.drain()

    async def answer(self, name, head, query):
        if " /health" in head:
            return (503, b"") if name == "B" and int(time.time() * 4) % 5 == 0 else (200, b"")
        sid = query.get("sid")
        if sid and sid[0] != name:
            if name in CALM or sid[0] in CALM:
                self.wrong.append("%s was asked for %s" % (name, sid))
            return 400, b'{"code":1,"message":"Session ID unknown"}'
        if sid and head.startswith("GET"):
            await asyncio.sleep(self.rng.choice((0, 0.01, 0.05, 0.4)))
        if sid or "EIO" not in query:
            if name == "D" and self.rng.random() < 0.1:
                return 0, b""
            return 200, name.encode()
        self.n += 1
        return 200, b'0{"sid":"%s%06d-%08x","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}' % (
            name.encode(), self.n, self.rng.randrange(1 << 32))

    @staticmethod
    async def echo(reader, writer):
        """Whatever comes; a Close is answered, and is the end."""
        while True:
            first, size = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(await reader.readexactly(size & 127)))
            writer.write(bytes([first, len(data)]) + data)
            await writer.drain()
            if first & 15 == 8:
                return


class Gone(Exception):
    """The connection is over; how, is said."""


class Clients(Child):
    def __init__(self, t, rng):
        self.port, self.web, self.rng = t.port, t.env["PORTW"], rng
        super().__init__(lambda stop: asyncio.run(self.run(stop)))

    async def run(self, stop):
        self.wrong, self.counts, self.is_over = [], {}, False
        over = asyncio.Event()
        asyncio.get_running_loop().add_reader(stop, over.set)
        kinds = [self.safe, self.calm, self.calm_socket, self.polls, self.polls, self.sockets, self.plain, self.rude]
        tasks = [asyncio.create_task(self.again(kind)) for kind in kinds for _ in range(CLIENTS)]
        await over.wait()
        self.is_over = True
        _, late = await asyncio.wait(tasks, timeout=PATIENCE)
        if late:
            self.wrong.append("%d clients hang" % len(late))
        return {"errors": self.wrong[:5], "counts": self.counts}

    async def again(self, kind):
        while not self.is_over and len(self.wrong) < 5:
            self.writer = None
            try:
                await kind()
            except (OSError, EOFError, Gone):
                await asyncio.sleep(0.01)
            except asyncio.TimeoutError:
                self.wrong.append("%s: no answer in %d s" % (kind.__name__, PATIENCE))

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    async def connect(self, port):
        return await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), PATIENCE)

    async def ask(self, conn, target, fields="", method="GET", body=b"", what=""):
        """(status, body, whether the connection goes on)"""
        reader, writer = conn
        if method == "POST":
            fields += "Content-Length: %d\r\n" % len(body)
        writer.write(("%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (method, target, fields)).encode() + body)
        try:
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode("latin-1")
            status = int(head.split(" ")[1])
            length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
            body = await asyncio.wait_for(reader.readexactly(int(length.group(1))), PATIENCE) if length else b""
        except (OSError, EOFError) as err:
            raise Gone("%s %s: %r" % (method, target, err))
        self.count("%s%d" % (what, status))
        return status, body, not re.search(r"(?i)\r\nconnection: *close", head)

    async def must(self, conn, target, want, **kw):
        """An answer that has to come."""
        try:
            status, body, goes_on = await self.ask(conn, target, what="safe ", **kw)
        except Gone as err:
            self.wrong.append("safe: %s" % err)
            raise
        if status != 200 or want and body not in want:
            self.wrong.append("safe: %s: %d %r, not %r" % (target, status, body[:80], want))
        return body, goes_on

    async def safe(self):
        conn = await self.connect(self.port)
        for _ in range(self.rng.randrange(1, 60)):
            _, goes_on = await self.must(conn, "/", (b"X", b"Y"))
            if not goes_on or self.is_over:
                break
            await asyncio.sleep(self.rng.random() * 0.02)
        conn[1].close()

    async def calm(self):
        conn = await self.connect(self.port)
        sid = None
        for _ in range(self.rng.randrange(1, 30)):
            if sid:
                kw = {"method": "POST", "body": b"4x"} if self.rng.random() < 0.3 else {}
                _, goes_on = await self.must(conn, AT + "polling&sid=" + sid, (sid[:1].encode(),), **kw)
            else:
                body, goes_on = await self.must(conn, AT + "polling", None)
                sid = re.search(rb'"sid":"([^"]+)', body).group(1).decode()
            if self.is_over:
                break
            if not goes_on:
                conn[1].close()
                conn = await self.connect(self.port)
        conn[1].close()

    async def socket(self, conn, target):
        status, _, _ = await self.ask(conn, target, "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
        return status == 101

    async def talk(self, conn, first=()):
        """Says something now and then and must hear it; until a Close, the end, or our own wish."""
        reader, writer = conn
        for n in range(self.rng.randrange(1, 60)):
            text = first[n] if n < len(first) else "4message %d" % n
            writer.write(ws_client_text(text))
            frame = await asyncio.wait_for(reader.readexactly(2), PATIENCE)
            data = await asyncio.wait_for(reader.readexactly(frame[1]), PATIENCE)
            if frame[0] & 15 == 8:
                self.count("close frames")
                if self.rng.random() < 0.8:
                    writer.write(ws_client_text(data, 8))
                    await asyncio.wait_for(reader.read(), PATIENCE)
                return
            if data.decode() != text:
                self.wrong.append("a WebSocket said %r to %r" % (data, text))
            self.count("echoes")
            if self.is_over:
                return
            await asyncio.sleep(self.rng.random() * 0.05)

    async def calm_socket(self):
        conn = await self.connect(self.port)
        try:
            if not await self.socket(conn, AT + "websocket"):
                self.wrong.append("safe: no WebSocket")
            await self.talk(conn)
        finally:
            conn[1].close()

    async def polls(self):
        """A session that polls, and perhaps becomes a WebSocket."""
        sid, conn = None, await self.connect(self.web)
        try:
            for _ in range(self.rng.randrange(1, 30)):
                if not sid:
                    status, body, goes_on = await self.ask(conn, AT + "polling")
                    found = re.search(rb'"sid":"([^"]+)', body)
                    sid = found and found.group(1).decode()
                elif self.rng.random() < 0.1:
                    if await self.socket(conn, AT + "websocket&sid=" + sid):
                        await self.talk(conn, ("2probe", "5"))
                    return
                else:
                    kw = {"method": "POST", "body": b"4x"} if self.rng.random() < 0.3 else {}
                    status, body, goes_on = await self.ask(conn, AT + "polling&sid=" + sid, what="poll ", **kw)
                    if status == 200 and body != sid[:1].encode():
                        self.wrong.append("%s was answered by %r" % (sid, body))
                    if status == 400:
                        sid = None
                if self.is_over or self.rng.random() < 0.03:
                    return
                if not goes_on:
                    conn[1].close()
                    conn = await self.connect(self.web)
        finally:
            conn[1].close()

    async def sockets(self):
        conn = await self.connect(self.web)
        try:
            if await self.socket(conn, self.rng.choice((AT + "websocket", "/ws"))):
                await self.talk(conn)
        finally:
            conn[1].close()

    async def plain(self):
        conn = await self.connect(self.web)
        try:
            for _ in range(self.rng.randrange(1, 20)):
                if self.is_over or not (await self.ask(conn, "/", what="plain "))[2]:
                    return
                await asyncio.sleep(self.rng.random() * 0.02)
        finally:
            conn[1].close()

    async def rude(self):
        """Leaves in the middle: of a poll, of an upgrade, of a request, by RST or in order."""
        reader, writer = await self.connect(self.web)
        sid = self.rng.choice("ABCD") + "000000-12345678"
        writer.write(self.rng.choice((
            "GET %spolling&sid=%s HTTP/1.1\r\nHost: h\r\n\r\n" % (AT, sid), "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET %spolling HTTP/1.1\r\nHost: h\r\n\r\n" % AT, "GET / HT",
            "GET %swebsocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % AT)).encode())
        await asyncio.sleep(self.rng.random() * 0.1)
        writer.transport.abort() if self.rng.random() < 0.5 else writer.close()


class Operator:
    def __init__(self, t, rng, threads):
        self.t, self.rng, self.threads = t, rng, threads
        self.limpet = self.start()
        self.slowest, self.n, self.upgrades = 0, 0, 0

    def start(self):
        """With the frontend that reloads take away and bring back."""
        text = ""
        while "extra:" not in text:
            text = configuration(self.rng, self.threads)
        return self.t.limpet(text, ports=("PORT", "PORTW", "PORTX"))

    def command(self, text):
        self.n += 1
        at = time.monotonic()
        said = self.limpet.ask_stats(text)
        took = time.monotonic() - at
        self.slowest = max(self.slowest, took)
        check(took < SLOW, "'%s' took %.1f s" % (text, took))
        self.heirs()
        return said

    def heirs(self):
        """Who has taken over meanwhile."""
        for old, new in re.findall(r"\[(\d+)\].* process (\d+) serves now; this one", self.limpet.log()):
            if int(new) not in self.limpet.heirs:
                self.limpet.heirs.append(int(new))

    def server(self):
        return "chat/" + self.rng.choice(("A", "B", "C", "D", "U/u0", "U/u1"))

    def port(self, name):
        return self.t.env[name if name in CHAT else SPARE].rpartition(":")[2]

    def step(self):
        r, s = self.rng, self.server()
        pieces = r.choice((
            ["set server %s state %s" % (s, r.choice(("ready", "ready", "drain", "maint")))],
            ["set server %s state ready" % each for each in ("chat/A", "chat/B", "chat/C", "chat/D")],
            ["set server %s health %s" % (s, r.choice(("up", "stopping", "down")))],
            ["set server %s agent %s" % (s, r.choice(("up", "down")))],
            ["set server %s weight %s" % (s, r.choice(("0", "1", "100", "50%", "100%")))],
            ["set server %s maxconn %d" % (s, r.choice((0, 1, 3)))],
            ["set server calm/%s weight %d" % (r.choice(CALM), r.choice((1, 10, 100)))],
            ["drain %s %s" % (s, r.choice(("over 100ms", "over 1s", "now", "")))],
            ["drain %s over 300ms" % s, "set server %s state ready" % s],
            ["drain %s over 200ms" % s, "disable server " + s, "enable server " + s],
            ["rebalance chat %s over %s" % (r.choice(("10", "50", "100")), r.choice(("100ms", "1s")))],
            ["rebalance chat", "rebalance chat stop"],
            ["set server %s addr 127.0.0.1 port %s" % (s, self.port(r.choice((SPARE, s[-1]))))],
            ["add server chat/N%d %s maxconn 3 check" % (r.randrange(3), self.t.env[SPARE])],
            ["enable server chat/N%d" % r.randrange(3)],
            self.deleting(r.randrange(3)),
            ["shutdown sessions server " + s],
            ["disable health " + s, "enable health " + s], ["disable agent " + s, "enable agent " + s],
            ["disable frontend web", "enable frontend web"],
            ["set maxconn frontend web %d" % r.choice((0, 1, 5))], ["set maxconn frontend web 0"],
            ["clear table chat/engineio"], ["clear counters all"],
            ["show stat", "show sess all", "show endings", "show servers state", "show sessions", "show hosts"],
            ["show metrics", "show table chat/engineio", "show info", "show config diff", "show pools", "show fd"],
            ["set host chat/A %s" % r.choice(("ready", "drain"))], ["set host chat/A ready"],
            "reload", "reload", "upgrade"))
        if pieces == "reload":
            self.reload()
        elif pieces == "upgrade":
            self.upgrade()
        else:
            for piece in pieces:
                self.command(piece)

    def deleting(self, n):
        name = "chat/N%d" % n
        return ["disable server " + name, "shutdown sessions server " + name, "wait 1ms", "del server " + name,
                "add server %s %s" % (name, self.t.env[SPARE]), "enable server " + name]

    def reload(self):
        self.limpet.write(configuration(self.rng, self.threads))
        if self.rng.random() < 0.3:
            os.kill(self.limpet.pid, signal.SIGHUP)
        else:
            said = self.command("reload")
            check(re.search("Success=1|upgrade|taking over|handed over", said), said)

    def upgrade(self):
        """Not waited for; perhaps in the middle of a drain, with a reload or a second one behind it."""
        if self.upgrades >= SECONDS / 1.5:
            return
        self.upgrades += 1
        self.command("drain %s over 500ms" % self.server())
        os.kill(self.limpet.pid, signal.SIGUSR2)
        time.sleep(self.rng.choice((0, 0.01, 0.05)))
        for _ in range(self.rng.randrange(3)):
            self.rng.choice((self.reload, lambda: os.kill(self.limpet.pid, signal.SIGUSR2),
                             lambda: self.command("drain %s over 100ms" % self.server())))()

    def run(self, seconds):
        stop_at = time.monotonic() + seconds
        while time.monotonic() < stop_at:
            self.step()
            time.sleep(self.rng.random() * 0.03)


def sessions(limpet):
    return [line for line in limpet.ask_stats("show metrics").split("\n")
            if line.startswith("limpet_server_sessions{") and float(line.split()[-1]) != 0]


def nothing_is_left(operator):
    """The processes before the last have ended, and the last counts nothing any more."""
    limpet = operator.limpet

    def busy():
        operator.heirs()
        rows = [r for r in limpet.stat_rows() if r["svname"] != "x"]
        found = ["%s/%s %s=%s" % (r["pxname"], r["svname"], key, r[key]) for r in rows
                 for key in ("scur", "qcur") if r[key] not in ("", "0")]
        found += [line for line in limpet.ask_stats("show metrics").split("\n")
                  if re.match(r"limpet_(?!process)\w+_now[{ ]", line) and float(line.split()[-1]) != 0]
        return found
    until(lambda: not busy(), lambda: "nothing is counted; %s" % busy()[:8], 10 + SLOW)
    for table in ("calm", "chat"):
        limpet.ask_stats("clear table %s/engineio" % table)
    until(lambda: not sessions(limpet), lambda: "no sessions are counted; %s" % sessions(limpet)[:8], 1 + SLOW)
    for pid in [limpet.process.pid] + limpet.heirs[:-1]:
        if limpet.heirs:
            status = limpet.wait_exit(10 * SLOW) if pid == limpet.process.pid else limpet.end_pid(pid, 10 * SLOW)
            same(status, 0, "status of process %d, which handed over" % pid)


def chaos(t, threads, seconds=SECONDS, is_cut=False):
    rng = random.Random("%d %d %s" % (SEED, threads, is_cut))
    t.note("SEED=%d" % SEED)
    subreaper()
    Workers(t, random.Random(rng.random()))
    operator = Operator(t, rng, threads)
    limpet = operator.limpet
    clients = Clients(t, random.Random(rng.random()))
    try:
        operator.run(seconds)
        if is_cut:
            return
    finally:
        if not is_cut or sys.exc_info()[0]:
            done = clients.finish()
            t.note("%d commands, slowest %.2f s, %d upgrades; %s" % (
                operator.n, operator.slowest, len(limpet.heirs), done.get("counts")))
        else:
            if rng.random() < 0.5:
                os.kill(limpet.pid, signal.SIGUSR2)     # and in the middle of that
                time.sleep(rng.random() * 0.03 * SLOW)
            operator.heirs()
            at = time.monotonic()
            pid = limpet.pid
            os.kill(pid, signal.SIGTERM)
            status = limpet.wait_exit(20 * SLOW) if not limpet.heirs else limpet.end_pid(pid, 20 * SLOW)
            t.note("ended in %.1f s" % (time.monotonic() - at))
            clients.finish()
            operator.heirs()
            limpet.is_ended_by_test = True
            same(status, 0, "status")
            check(time.monotonic() - at < 3 + 2 * SLOW, "within shutdown_grace")
    same(done["errors"], [], "what went wrong")
    nothing_is_left(operator)
    pid = limpet.pid
    n = len(os.listdir("/proc/%d/fd" % pid))
    check(n < 250, "%d descriptors" % n)
    check("safe 200" in done["counts"] and "echoes" in done["counts"], done)


def subreaper():
    from lib.limpet import LIBC
    LIBC.prctl(36, 1)               # what outlives its parent is ours


for _n in (1, 2, 4):
    case("%d thread%s" % (_n, "s"[:_n - 1]))(lambda t, n=_n: chaos(t, n))


@case("SIGTERM in the middle of it")
def _(t):
    chaos(t, 2, SECONDS, True)


@case("a process that ends takes its drains with it: one is over at every moment of the end")
def _(t):
    Workers(t, random.Random(SEED))
    n = 400
    limpet = t.limpet("""\
global: {threads: 2, stats: {socket: "unix:${RUN}/stats.sock"}, shutdown_grace: 300ms}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: app}}
backends: {app: {hosts: {%s}}}
""" % ", ".join('w%d: "${A}"' % i for i in range(n)))
    t.connect().ask(get("/ws", WS_FIELDS))
    at = time.monotonic()
    for first in range(0, n, 50):
        said = limpet.ask_stats(";".join("drain app/w%d over %dms" % (i, 400 + i) for i in range(first, first + 50)))
        same(said.count(" tunnels: ended over"), 50, "drains begun")
    time.sleep(max(0, at + 0.3 - time.monotonic()))
    limpet.signal(signal.SIGTERM)
    limpet.is_ended_by_test = True
    same(limpet.wait_exit(20 * SLOW), 0, "status")


main()
