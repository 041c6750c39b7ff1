#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""format: haproxy - the lines of HAProxy's httplog, read by its own halog and by the usual expressions."""
import collections
import os
import re
import shutil
import socket
import subprocess
import threading
import time

from lib import *
from lib.engine import WS_FIELDS, HANDSHAKE, POLL, OPEN
from lib.haproxy import Haproxy, find_haproxy
from lib.peer import Fail

TEXT = """\
global:
  threads: ${THREADS:-1}
  log: {target: "file:${RUN}/access.log", format: haproxy, tag: lb}
frontends:
  web:
    bind: "127.0.0.1:${PORT}"
    routes:
      - {match: {path: /denied}, respond: {status: 403}}
      - {match: {path_prefix: /dead}, backend: dead}
    backend: chat
backends:
  chat:
    stick: engineio
    balance: round_robin
    hosts:
      app-1: {address: 127.0.0.1, workers: ["${A1}", "${A2}"]}
      app-2: {address: 127.0.0.1, workers: ["${A3}"]}
  dead:
    retries: 1
    hosts: {gone: "127.0.0.1:1"}
"""

# The fields as HAProxy's manual names them (8.2.3), in the form that log parsers use.
LINE = re.compile(
    r"(?P<date>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (?P<host>\S+) (?P<tag>[^\s\[]+)\[(?P<pid>\d+)\]: "
    r"(?P<ip>[^ ]+):(?P<port>\d+) \[(?P<accept>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d\.\d{3})\] "
    r"(?P<frontend>[^ ~]+)~? (?P<backend>[^/ ]+)/(?P<server>[^/ ]+) "
    r"(?P<TR>-?\d+)/(?P<Tw>-?\d+)/(?P<Tc>-?\d+)/(?P<Tr>-?\d+)/(?P<Ta>\d+) (?P<status>-?\d+) (?P<bytes>\d+) - - "
    r"(?P<tsc>[A-Za-z-]{2}[NVIDEOUPR-][NIURDP-]) "
    r"(?P<ac>\d+)/(?P<fc>\d+)/(?P<bc>\d+)/(?P<sc>\d+)/(?P<rc>\+?\d+) (?P<sq>\d+)/(?P<bq>\d+) \"(?P<request>[^\"]*)\"")


class Site:
    """Three workers behind Limpet, which answer by the path, and the lines of what was asked."""
    def __init__(self, t, text=TEXT):
        self.t, self.sids = t, 0
        for n in (1, 2, 3):
            t.env["A%d" % n] = t.server(serve(self.answer), name="w%d" % n).port
        self.limpet = t.limpet(text)
        self.path = t.directory + "/access.log"
        until(lambda: os.path.exists(self.path), "the log file")

    def answer(self, msg, peer):
        if msg.has("upgrade"):
            peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" + b"x" * 3000)
            peer.read_all(3600)
            return None
        path = msg.target.split("?")[0]
        if path == "/slow":
            time.sleep(0.15)
        if path == "/missing":
            return answer(404, "no")
        if path == "/broken":
            return answer(500, "oh")
        if path == "/socket.io/":
            if "sid=" in msg.target:
                return ok("6")
            self.sids += 1
            return ok(OPEN % ("thesid%d" % self.sids))
        return ok(b"y" * 100)

    def lines(self, n):
        """The request lines, when there are N; each a match of LINE."""
        def found():
            with open(self.path) as file:
                got = [l for l in file.read().split("\n") if " [" in l and '"' in l]
            return got if len(got) >= n else None
        got = until(found, lambda: "%d lines in:\n%s" % (n, open(self.path).read()))
        same(len(got), n, "request lines")
        matches = [LINE.fullmatch(l) for l in got]
        for line, match in zip(got, matches):
            check(match, "not HAProxy's layout: %r" % line)
        return matches

    def one(self, data, **kw):
        before = sum('"' in l for l in open(self.path))
        self.t.ask(data, **kw)
        return self.lines(before + 1)[-1]


def halog(*args, path):
    program = shutil.which("halog") or "/usr/sbin/halog"
    if not os.access(program, os.X_OK):
        raise Skip("no halog here: it comes with HAProxy")
    with open(path) as file:
        return subprocess.run([program, "-q"] + list(args), stdin=file, capture_output=True, text=True,
                              timeout=20).stdout


def table(text, key, value):
    """Columns KEY and VALUE of halog's rows."""
    rows = [l.split() for l in text.split("\n") if l and not l.startswith("#")]
    return {r[key]: int(r[value]) for r in rows}


@case("a request has every field of httplog, with its time, places, bytes and counts")
def _(t):
    site = Site(t)
    m = site.one(get("/some/page?x=1"), source="127.0.0.9")
    same((m["tag"], int(m["pid"]), m["ip"]), ("lb", site.limpet.process.pid, "127.0.0.9"), "header and client")
    check(int(m["port"]) > 0, "a port")
    same((m["frontend"], m["backend"]), ("web", "chat"), "places")
    names = ["app-1:%s" % t.env["A1"], "app-1:%s" % t.env["A2"], "app-2:%s" % t.env["A3"]]
    check(m["server"] in names, "the server's name, '/' as ':': %r" % m["server"])
    for key in ("TR", "Tw", "Tc", "Tr", "Ta"):
        check(0 <= int(m[key]) < 1000, "%s in %r" % (key, m[0]))
    same((m["status"], m["tsc"], m["rc"]), ("200", "----", "0"), "status, end, retries")
    check(100 < int(m["bytes"]) < 400, "bytes with the head: %r" % m[0])
    same((m["ac"], m["fc"], m["bc"], m["sc"]), ("1", "1", "0", "0"), "connections; the one that ends is not counted")
    same(m["request"], "GET /some/page?x=1 HTTP/1.1", "request")
    stamp = time.strptime(m["accept"].split(".")[0], "%d/%b/%Y:%H:%M:%S")
    check(abs(time.mktime(stamp) - time.time()) < 30, "local time: %r" % m["accept"])


@case("termination states and -1 where a point was not reached, as HAProxy has them")
def _(t):
    site = Site(t)
    m = site.one(get("/denied"))
    same((m["backend"], m["server"], m["status"], m["tsc"]), ("web", "<NOSRV>", "403", "LR--"), "answered here")
    same((m["Tw"], m["Tc"], m["Tr"]), ("-1", "-1", "-1"), "no server was chosen")
    m = site.one(get("/dead/1"))
    same((m["backend"], m["server"], m["status"], m["tsc"], m["Tc"], m["Tr"]),
         ("dead", "gone", "503", "SC--", "-1", "-1"), "refused")
    check(int(m["rc"].lstrip("+")) <= 1, "retries: %r" % m[0])
    c = t.connect()
    c.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    c.read_all()
    m = site.lines(3)[-1]
    same((m["TR"], m["server"], m["status"], m["tsc"], m["request"]), ("-1", "<NOSRV>", "400", "PR--", "<BADREQ>"), "bad")
    m = site.one(get(HANDSHAKE))
    same(m["tsc"], "--NP", "a handshake: no sid came, the server told one")
    m = site.one(get(POLL + "thesid1"))
    same(m["tsc"], "--VN", "its sid is known")
    check("thesid" not in open(site.path).read(), "the sid is masked")
    m = site.one(get(POLL + "whoever"))
    same(m["tsc"], "--IN", "an unknown sid")


@case("a WebSocket is one line of status 101 at its end; both sides ended in order: --")
def _(t):
    site = Site(t)
    c = t.connect()
    c.send(get("/chat", WS_FIELDS))
    c.read_response()
    c.read(3000)
    check('"' not in open(site.path).read(), "written before its end")
    c.close()
    m = site.lines(1)[0]
    same((m["status"], m["tsc"][:2]), ("101", "--"), "status and end")
    check(3000 < int(m["bytes"]) < 3400, "bytes: %r" % m[0])


@case("what could end the quotes or move the terminal is #XX")
def _(t):
    site = Site(t)
    c = t.connect()
    c.send(b"GET /a#b{c}\\d HTTP/1.1\r\nHost: a\r\n\r\n")
    c.read_all(1)
    site.t.ask(get("/last"))
    for m in site.lines(2):
        check(all(" " <= ch < "\x7f" for ch in m["request"]), m["request"])
    m = site.one(get("/x", method="O'DD"))
    check("O'DD /x" in m["request"], m[0])


@case("counts of others at the same time: connections, backend, server, place in the queue")
def _(t):
    site = Site(t, TEXT.replace("balance: round_robin", "balance: first\n    max_connections_per_server: 1")
                .replace('workers: ["${A1}", "${A2}"]', 'workers: ["${A1}"]').replace(
                    '      app-2: {address: 127.0.0.1, workers: ["${A3}"]}\n', ""))
    threads = []
    for _n in range(4):
        threads.append(threading.Thread(target=lambda: t.ask(get("/slow"))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    lines = site.lines(4)
    if os.environ.get("THREADS", "1") == "1":
        same(sorted(int(m["bq"]) for m in lines), [0, 0, 1, 2], "places in the backend's queue")
    check(max(int(m["ac"]) for m in lines) >= 3, [m[0] for m in lines])
    waits = sorted(int(m["Tw"]) for m in lines)
    check(waits[0] < 100 and waits[3] >= 300, "Tw: %r" % waits)
    check(all(int(m["Tr"]) >= 100 for m in lines), "Tr")


@case("halog counts what was asked: -srv, -st, -tc, -ut, -rt")
def _(t):
    site = Site(t)
    plan = [("/page", 40), ("/missing", 7), ("/broken", 5), ("/denied", 3), ("/dead/x", 2), ("/slow", 4)]
    for path, n in plan:
        for _n in range(n):
            t.ask(get(path))
    for _n in range(2):
        c = t.connect()
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        c.read_all()
    total = sum(n for _p, n in plan) + 2
    lines = site.lines(total)

    have = table(halog("-st", path=site.path), 0, 1)
    want = collections.Counter(m["status"] for m in lines)
    same(have, dict(want), "-st")
    same({"200": 44, "404": 7, "500": 5, "403": 3, "503": 2, "400": 2}, dict(want), "statuses")

    have = table(halog("-tc", path=site.path), 0, 1)
    same(have, {"--": 56, "LR": 3, "SC": 2, "PR": 2}, "-tc")

    text = halog("-srv", path=site.path)
    rows = {r.split()[0]: r.split() for r in text.split("\n") if r and not r.startswith("#")}
    same(sorted(rows), sorted(["chat/app-1:%s" % t.env["A1"], "chat/app-1:%s" % t.env["A2"],
                               "chat/app-2:%s" % t.env["A3"], "dead/gone", "web/<NOSRV>"]), "-srv names")
    of_chat = [r for name, r in rows.items() if name.startswith("chat/")]
    for column, count in ((2, 44), (4, 7), (5, 5)):
        same(sum(int(r[column]) for r in of_chat), count, "-srv column %d of\n%s" % (column, text))
    same(int(rows["dead/gone"][5]), 2, "-srv 5xx of the dead one")

    have = table(halog("-u", path=site.path), 8, 0)
    same(have["/page"], 40, "-u /page")
    same(have["/slow"], 4, "-u /slow")
    first = halog("-ut", path=site.path).split("\n")
    slowest = [l for l in first if l and not l.startswith("#")][0]
    check(slowest.endswith("/slow"), "-ut: the most time went to /slow: %r" % slowest)

    slow = [l for l in halog("-rt", "100", path=site.path).split("\n") if l]
    same(len(slow), 4, "-rt 100: %r" % slow)


HAPROXY = """\
global
    log "127.0.0.1:${LOG}" local0
    stats socket "${HA_SOCK}-admin.sock" level admin
defaults
    mode http
    log global
    option httplog
    timeout client 5s
    timeout server 5s
    timeout connect 2s
    timeout http-request 400ms
frontend web
    bind "127.0.0.1:${HA_PORT}"
    http-request return status 403 if { path /denied }
    use_backend dead if { path_beg /dead }
    default_backend chat
backend chat
    server app "127.0.0.1:${WORKER}"
backend dead
    retries 1
    server gone 127.0.0.1:1
"""
SAME = """\
global:
  threads: 1
  log: {target: "udp:127.0.0.1:${LOG}", format: haproxy}
defaults:
  timeouts: {client_head: 400ms}
frontends:
  web:
    bind: "127.0.0.1:${PORT}"
    routes:
      - {match: {path: /denied}, respond: {status: 403}}
      - {match: {path_prefix: /dead}, backend: dead}
    backend: chat
backends:
  chat: {hosts: {app: "127.0.0.1:${WORKER}"}}
  dead: {retries: 1, hosts: {gone: "127.0.0.1:1"}}
"""


@case("the lines are those of HAProxy, given the same traffic")
def _(t):
    if not find_haproxy():
        raise Skip("no haproxy here")
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(5)
    t.env["LOG"] = receiver.getsockname()[1]

    def worker(peer):
        while True:
            try:
                head = peer.read_to(b"\r\n\r\n")
            except Fail:
                return
            if b"/close" in head:
                return peer.close()
            if b"/bad" in head:
                peer.send(b"HTTP/1.1 200 OK\r\nBad Field: x\r\n\r\n")
                return peer.close()
            if b"/slow" in head:
                time.sleep(0.2)
            if b"/ws" in head:
                peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello")
                peer.read_all(5)
                return peer.close()
            peer.send(answer(404, b"0123456789") if b"/missing" in head else ok(b"0123456789"))
    t.env["WORKER"] = t.server(worker).port
    t.limpet(SAME)
    haproxy = Haproxy(t, HAPROXY)

    def line():
        """The next request's line, without its header; PRI is checked."""
        while True:
            text = receiver.recv(65536).decode()
            if "[" in text and '"' in text:
                check(text.startswith("<134>"), text)
                return text.rstrip("\n").split("]: ", 1)[1]

    def plain(text):
        """What must be alike: all but ports, instants, milliseconds, bytes of answers made up here, and the
        connections open, among which the one before may still be."""
        m = LINE.fullmatch("Nov 22 10:00:00 h t[1]: " + text)
        check(m, "not the layout: %r" % text)
        signs = "/".join("-1" if m[k] == "-1" else "n" for k in ("TR", "Tw", "Tc", "Tr"))
        return (m["ip"], m["frontend"], m["backend"], m["server"], signs, m["status"], m["tsc"],
                "/".join(m[k] for k in ("bc", "sc", "sq", "bq")), m["request"])

    def talk(port, data, upto):
        c = t.connect(port)
        c.send(data)
        if upto is not None:
            c.read_to(upto)
        c.close()
    try:
        for data, upto in ((get("/page?a=b"), b"0123456789"), (get("/missing"), b"0123456789"),
                           (get("/slow"), b"0123456789"), (get("/a'b{c}", method="DELETE"), b"0123456789"),
                           (get("/denied"), b"\r\n\r\n"), (get("/dead/1"), b"\r\n\r\n"),
                           (get("/close"), b"\r\n\r\n"), (get("/bad"), b"\r\n\r\n"),
                           (get("/ws", WS_FIELDS), b"hello"),
                           (b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n\r\n"),
                           (b"GET /slow-head HTTP/1.1\r\nHost:", b"\r\n\r\n")):
            talk(haproxy.port, data, upto)
            theirs = plain(line())
            talk(int(t.env["PORT"]), data, upto)
            same(plain(line()), theirs, "the line for %r" % data[:40])
    finally:
        haproxy.stop()
        receiver.close()


@case("events have the same header, and halog passes over them")
def _(t):
    site = Site(t)
    site.limpet.signal(1)
    until(lambda: "loaded again" in open(site.path).read(), "the event")
    line = [l for l in open(site.path).read().split("\n") if "loaded again" in l][0]
    check(re.match(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ lb\[%d\]: " % site.limpet.process.pid, line), line)
    t.ask(get("/one"))
    site.lines(1)
    same(table(halog("-st", path=site.path), 0, 1), {"200": 1}, "-st")


main()
