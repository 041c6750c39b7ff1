#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGUSR2: a new process takes listeners, sessions, states and counters over; nobody notices."""
import os
import re
import signal
import socket
import sys
import threading
import time

from lib import *
from lib.engine import *
from lib.peer import connect
from lib.load import Load, LoadServer
from lib.upgrade import *


class Busy(Load):
    """A load whose clients follow "Connection: close", and leave of their own accord after some requests."""

    def renew(self, fd, conns):
        self.poll.unregister(fd)
        conns.pop(fd).close()
        conn = self.connect()
        conn.setblocking(False)
        conns[conn.fileno()] = conn
        self.poll.register(conn.fileno(), 1)

    def hear(self, fd, conns, sockets, asked, got, done):
        if fd not in conns:
            super().hear(fd, conns, sockets, asked, got, done)
            return
        if fd not in asked:                 # an idle one that is closed costs nobody anything
            self.renew(fd, conns)
            return
        try:
            data = conns[fd].recv(65536)
        except OSError as err:
            data = b""
            done["errors"].append("request: %s" % err)
        got[fd] += data
        head, _, body = got[fd].partition(b"\r\n\r\n")
        if not data:
            done["errors"].append("closed while asking after %r" % got[fd][:60])
        elif not body:
            return
        elif not head.startswith(b"HTTP/1.1 200"):
            done["errors"].append("answer: %r" % head[:200])
        done["requests"] += 1
        asked.pop(fd)
        if not data or b"connection: close" in head.lower() or done["requests"] % 7 == 0:
            self.renew(fd, conns)


@case("the new process serves on the same sockets, the old one ends, pid file and stats socket follow")
def _(t):
    t.echo()
    limpet = t.limpet(text_of())
    same(t.ask(get()).body, b"A", "body")
    old = limpet.pid
    new = limpet.upgrade()
    check(new != old, "another process")
    same(limpet.wait_exit(10 * SLOW), 0, "the old one's status")
    same(open(t.directory + "/pid").read().strip(), str(new), "pid file")
    check("Pid: %d" % new in limpet.ask_stats("show info"), "the stats socket is the new one's")
    same(t.ask(get()).body, b"A", "body")
    limpet.upgrade()
    same(t.ask(get()).body, b"A", "body")


@case("the command 'upgrade' does the same, and tells the outcome")
def _(t):
    t.echo()
    limpet = t.limpet(text_of())
    said = limpet.ask_stats("upgrade")
    found = re.search(r"Success=1\n--\nProcess (\d+) serves now; process (\d+) ends", said)
    check(found, said)
    limpet.heirs.append(int(found.group(1)))
    same(int(found.group(2)), limpet.process.pid, "old process")
    same(t.ask(get()).body, b"A", "body")
    same(limpet.wait_exit(10 * SLOW), 0, "the old one's status")
    limpet.write(text_of().replace("backends:", "backendz:"))
    said = limpet.ask_stats("upgrade")
    check("Success=0" in said and "backendz" in said and "goes on" in said, said)
    same(t.ask(get()).body, b"A", "body")


@case("five upgrades under load: not one request or WebSocket is lost, whether connections are kept or new")
def _(t):
    servers = [LoadServer("A")]
    t.servers += servers
    t.env["A"] = servers[0].address
    limpet = t.limpet(text_of())
    load = Busy(t.port, connections=40 if is_sanitized else 200, sockets=40 if is_sanitized else 200)
    for _ in range(5):
        limpet.upgrade(60)
        time.sleep(0.3)                 # traffic in between is what is tested
    done = load.finish()
    same(done["errors"][:5], [], "errors of %d requests" % done["requests"])
    check(done["requests"] > 200 and done["echoes"] > 50, done)
    t.note("%d requests, %d echoes" % (done["requests"], done["echoes"]))


@case("polling sessions stay where they live through three upgrades, on kept and on new connections")
def _(t):
    two = Two(t, threads="${THREADS:-2}")
    limpet = two.limpet
    kept = t.connect()
    same(kept.ask(get(HANDSHAKE)).status, 200, "status")
    sids = [two.handshake() for _ in range(20)]
    for _ in range(3):
        limpet.upgrade()
        for sid in sids:
            same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "owner")
        sids += [two.handshake() for _ in range(5)]
    same(limpet.wait_exit(0.01), None, "the first process waits for its connection")
    shown = limpet.ask_stats("show table chat/engineio")
    check(len(re.findall("key=", shown)) >= len(sids) or "used:%d" % (len(sids) + 1) in shown, shown[:200])
    msg = kept.ask(get(POLL + sids[3]))
    same(msg.body.decode(), two.owner(sids[3]), "owner, asked through the first process")
    check("close" in msg.get("connection", ""), "and it says that this was the last answer")
    same(limpet.wait_exit(10 * SLOW), 0, "then the first process ends")


@case("a session born in one process is known to the other at once: an outer proxy has connections to both")
def _(t):
    two = Two(t, threads="${THREADS:-2}")
    limpet = two.limpet
    old = [t.connect() for _ in range(12)]
    for c in old:
        same(c.ask(get()).status, 200, "status")
    sid = two.handshake()
    limpet.upgrade()
    for c in old[:6]:                   # born in the new one, asked for in the old one
        born = two.handshake()
        same(c.ask(get(POLL + born)).body.decode(), two.owner(born), "owner, asked through the old process")
    for c in old[6:]:                   # born in the old one, asked for in the new one
        msg = c.ask(get(HANDSHAKE))
        born = re.search(rb'"sid":"([^"]+)"', msg.body).group(1).decode()
        same(t.ask(get(POLL + born)).body.decode(), two.owner(born), "owner, asked through the new process")
    same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "owner")


@case("under four upgrades no session is lost: each is polled all the time, and born ones are asked for at once")
def _(t):
    two = Two(t, threads="${THREADS:-2}")
    limpet = two.limpet
    is_over = threading.Event()
    wrong, asked = [], [0]

    def client(number):
        kept = [t.connect()]
        sids = []

        def ask(data):
            asked[0] += 1
            if (number + asked[0]) % 3 == 0:
                return t.ask(data)
            said = kept[0].ask(data)
            if "close" in said.get("connection", ""):
                kept[0].close()
                kept[0] = t.connect()
            return said
        while not is_over.is_set() and not wrong:
            try:
                born = re.search(rb'"sid":"([^"]+)"', ask(get(HANDSHAKE)).body).group(1).decode()
                sids = sids[-7:] + [born]
                for sid in reversed(sids):
                    for each in (get(POLL + sid), post(POLL + sid, b"4x")):
                        said = ask(each).body.decode()
                        if said != two.owner(sid):
                            wrong.append("%s of %s: %r" % (sid, two.owner(sid), said))
            except Exception as err:
                wrong.append("%s: %s" % (type(err).__name__, err))
    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            limpet.upgrade(60)
            time.sleep(0.3)             # traffic in between is what is tested
    finally:
        is_over.set()
        for thread in threads:
            thread.join(10)
    same(wrong[:3], [], "what went wrong in %d requests" % asked[0])
    check(asked[0] > 100, asked)
    t.note("%d requests of sessions" % asked[0])


@case("polls that the old process holds when it ends its WebSockets are answered all the same")
def _(t):
    n, held = 6, []

    def answer(worker, msg):
        if "sid=" in msg.target and len(held) < n:
            held.append(msg)
            t.events.wait("over", 30)
        return two.usual(worker, msg, len(two.order))
    two = Two(t, answer=answer)
    with open(two.limpet.path) as f:
        two.limpet.write(f.read().replace("global:", "global:\n  upgrade_grace: %ds" % (2 * SLOW)))
    check("Success=1" in two.limpet.ask_stats("reload"), "reload")
    polls = [(two.handshake(), t.connect()) for _ in range(n)]
    for sid, client in polls:
        client.send(get(POLL + sid))
    until(lambda: len(held) == n, "polls are held")
    two.limpet.upgrade()
    two.limpet.wait_log("upgrade_grace: what is left is ended", 10 + 2 * SLOW)
    time.sleep(0.4 * SLOW)              # an even pace would have ended some of them
    t.events.fire("over")
    for sid, client in polls:
        msg = client.read_response()
        same((msg.status, msg.body.decode()), (200, two.owner(sid)), "the held poll")
        same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "the session goes on")


@case("a table of 30,000 sessions is taken over whole")
def _(t):
    two = Two(t, threads="${THREADS:-2}")
    limpet = two.limpet
    sid = two.handshake()
    rows = limpet.ask_stats("show servers state chat").split("\n")
    ids = [line.split()[2] for line in rows if line.split()[1:2] == ["chat"]]
    peer = connect(os.path.join(t.directory, "stats.sock"), name="stats")
    n = 30000
    for at in range(0, n, 100):
        peer.send((";".join("set table chat/engineio key sid-%05d data.server_id %s" % (i, ids[i % 2])
                            for i in range(at, at + 100)) + "\n").encode())
        peer.read_all()
        peer = connect(os.path.join(t.directory, "stats.sock"), name="stats")
    peer.close()

    def used():
        return int(re.search(r"chat/engineio.*used:(\d+)", limpet.ask_stats("show table")).group(1))
    before = used()
    check(before > n, "entries before: %d" % before)
    limpet.upgrade(60)
    same(used(), before, "entries after")
    same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "owner")
    owners = [t.ask(get(POLL + "sid-%05d" % i)).body for i in (0, 1, 17, 29998, 29999)]
    same(owners[0] == owners[3] and owners[1] == owners[2] == owners[4] and owners[0] != owners[1], True, owners)


@case("a pending poll is answered by the old process, and its session goes on in the new one")
def _(t):
    waiting = threading.Event()
    go = threading.Event()

    def slow(worker, msg):
        if b"slow" in msg.body or "slow=1" in msg.target:
            waiting.set()
            go.wait(10)
            return ok(worker)
        return two.usual(worker, msg, len(two.order))
    two = Two(t, answer=slow)
    sid = two.handshake()
    c = t.connect()
    c.send(get(POLL + sid + "&slow=1"))
    check(waiting.wait(5), "the poll is pending")
    two.limpet.upgrade()
    same(t.ask(post(POLL + sid, b"4hello")).body.decode(), two.owner(sid), "owner of a post meanwhile")
    go.set()
    same(c.read_response().body.decode(), two.owner(sid), "the pending poll's answer")
    same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "owner of the next poll")
    same(two.limpet.wait_exit(10 * SLOW), 0, "the old one's status")


@case("WebSockets live on in the old process, 'show proc' counts them, a reload there is refused")
def _(t):
    two = Two(t, frames=b"hi")
    limpet = two.limpet
    sids = [two.handshake() for _ in range(4)]
    sockets = []
    for sid in sids:
        c = t.connect()
        same(c.ask(get(UPGRADE + sid, WS_FIELDS)).status, 101, "status")
        same(c.read(2), b"hi", "first bytes")
        sockets.append(c)
    limpet.upgrade()
    until(lambda: re.search(r"(?m)^%d .* connections=4 websockets=4 " % limpet.process.pid,
                            limpet.ask_stats("show proc").partition("# old workers")[2]),
          lambda: "show proc: " + limpet.ask_stats("show proc"))
    os.kill(limpet.process.pid, signal.SIGHUP)
    limpet.wait_log(r"\[%d\].*reload refused: this process has handed over" % limpet.process.pid)
    limpet.upgrade()
    for c in sockets:
        c.send(b"\x81\x84\x00\x00\x00\x00ping")
        check(c.is_silent(0.02) and not c.is_ended, "the WebSocket is open")
    same(limpet.process.poll(), None, "the first process is there")
    for c in sockets:
        c.close()
    same(limpet.wait_exit(10 * SLOW), 0, "it ends with its last WebSocket")


@case("upgrade_grace: in its second half WebSockets are ended politely, then the old process ends")
def _(t):
    two = Two(t, frames=ws_text("hi"))
    limpet = two.limpet
    limpet.write(open(limpet.path).read().replace("global:\n", "global:\n  upgrade_grace: 4s\n"))
    limpet.signal(signal.SIGHUP)
    limpet.wait_log("loaded again")
    sockets = []
    for sid in [two.handshake() for _ in range(6)]:
        c = t.connect()
        same(c.ask(get(UPGRADE + sid, WS_FIELDS)).status, 101, "status")
        same(c.read(4), ws_text("hi"), "first bytes")
        c.send(ws_client_text("2probe") + ws_client_text("5"))      # the session's upgrade is complete
        sockets.append(c)
    limpet.upgrade()
    began = time.monotonic()
    for c in sockets:
        check(c.is_silent(0.2), "left alone at first")
    ends = []

    def watch(c):
        data = c.read(4)
        ends.append((time.monotonic() - began, data))
        c.send(ws_client_text(data[2:], opcode=8))
        c.read_all(5)
    threads = [threading.Thread(target=watch, args=(c,)) for c in sockets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(12)
    same(len(ends), 6, "sockets ended")
    for _, data in ends:
        check(data[:1] == b"\x88" and data[2:4] == b"\x03\xe9", "a close frame that says 1001: %r" % data)
    check(min(at for at, _ in ends) > 1.5, ends)
    check(max(at for at, _ in ends) - min(at for at, _ in ends) > 0.5, "one after another: %s" % ends)
    same(limpet.wait_exit(10 * SLOW), 0, "the old one's status")


@case("states, changes and counters are the same in the new process")
def _(t):
    t.echo()
    limpet = t.limpet(text_of().replace('one: {address: "${A}"}', 'one: {address: "${A}"}\n      two: {address: "${A}"}'))
    for _ in range(10):
        t.ask(get())
    limpet.ask_stats("set server app/two state maint")
    limpet.ask_stats("set server app/one weight 7")
    limpet.ask_stats("set maxconn frontend web 77")
    before = {r["svname"]: r for r in limpet.stat_rows() if r["pxname"] in ("app", "web")}
    limpet.upgrade()
    after = {r["svname"]: r for r in limpet.stat_rows() if r["pxname"] in ("app", "web")}
    for row, keys in {"one": ("stot", "weight", "status", "hrsp_2xx", "bin", "bout"), "two": ("stot", "status"),
                      "FRONTEND": ("req_tot", "hrsp_2xx", "slim"), "BACKEND": ("stot", "hrsp_2xx")}.items():
        for key in keys:
            same(after[row][key], before[row][key], "%s of %s" % (key, row))
    check(after["two"]["status"].startswith("MAINT"), after["two"])
    same(after["FRONTEND"]["slim"], "77", "limit set on the socket")
    check(int(after["one"]["stot"]) > 0, after["one"])
    for _ in range(4):
        same(t.ask(get()).status, 200, "status")


@case("cookies whose secret was made up stay good through upgrades and reloads")
def _(t):
    two = Two(t, stick="[cookie: {name: L}]")

    def stick(cookie):
        t.ask(get("/x", [("Cookie", cookie)]))
        return two.last()
    cookies = {}
    for _ in range(8):
        msg = t.ask(get("/x"))
        cookies[two.last()] = msg.get("set-cookie").split(";")[0]
    same(sorted(cookies), ["A", "B"], "workers seen")
    two.limpet.upgrade()
    for worker, cookie in list(cookies.items()) * 3:
        same(stick(cookie), worker, "worker after the upgrade")
    os.kill(two.limpet.pid, signal.SIGHUP)
    two.limpet.wait_log("loaded again")
    for worker, cookie in list(cookies.items()) * 3:
        same(stick(cookie), worker, "worker after the reload")


@case("more threads, fewer threads, a bind more and a bind less, Unix sockets: all in the new file")
def _(t):
    t.echo()
    t.env["OTHER"] = free_port()
    unix = t.directory + "/web.sock"
    both = '"127.0.0.1:${PORT}", "unix:${RUN}/web.sock"'
    limpet = t.limpet(text_of(threads=2, bind=both), OTHER=t.env["OTHER"])
    for threads, bind in ((1, both), (4, both), (2, both), (3, both + ', "127.0.0.1:${OTHER}"'), (2, both)):
        limpet.write(text_of(threads=threads, bind=bind))
        limpet.upgrade()
        for _ in range(8):
            same(t.ask(get()).body, b"A", "over TCP with %d threads" % threads)
            same(t.ask(get(), address=unix).body, b"A", "over the Unix socket")
        if "OTHER" in bind:
            same(t.ask(get(), address=t.env["OTHER"]).body, b"A", "over the new bind")

    def is_refused():
        try:
            t.ask(get(), address=t.env["OTHER"])
        except (ConnectionError, Fail):
            return True
    until(is_refused, "the bind that went is closed")


@case("the dashboard's server is handed over, too")
def _(t):
    t.echo()
    limpet = t.limpet(text_of().replace('stats.sock"}', 'stats.sock", http: "127.0.0.1:${PORT_HTTP}"}'),
                      ports=("PORT", "PORT_HTTP"))
    for _ in range(3):
        same(t.ask(get("/healthz", host="127.0.0.1"), address=t.env["PORT_HTTP"]).status, 200, "status")
        limpet.upgrade()
    same(limpet.wait_exit(10 * SLOW), 0, "the old one's status")
    same(t.ask(get("/healthz", host="127.0.0.1"), address=t.env["PORT_HTTP"]).status, 200, "status")


@case("nothing is left behind: descriptors and memory after ten upgrades are what they were after two")
def _(t):
    t.echo()
    limpet = t.limpet(text_of())

    def measure():
        for _ in range(5):
            same(t.ask(get()).body, b"A", "body")
        until(lambda: len(limpet.ask_stats("show proc").partition("# old workers\n")[2].split("\n")) < 4,
              "the old one is gone")
        base = "/proc/%d" % limpet.pid
        return (len(os.listdir(base + "/fd")),
                int(re.search(r"VmRSS:\s+(\d+) kB", open(base + "/status").read()).group(1)))
    limpet.upgrade()
    limpet.upgrade()
    before = measure()
    for _ in range(8):
        limpet.upgrade()
    after = measure()
    check(after[0] <= before[0] + 2, "descriptors: %d -> %d" % (before[0], after[0]))
    if not is_sanitized:
        check(after[1] < before[1] + 3000, "memory: %d -> %d kB" % (before[1], after[1]))


main()
