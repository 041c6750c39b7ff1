#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Targets of the log: syslog over Unix and UDP datagrams (RFC 5424, and RFC 3164 for HAProxy's layout), several at
once, files that are rotated, and targets that are slow, away or back."""
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

from lib import *

TEXT = """\
global:
  threads: ${THREADS:-1}
  stats: {socket: {address: "unix:${RUN}/stats${N:-}.sock"}}
  log: %s
frontends:
  front: {bind: "127.0.0.1:${PORT}", backend: back}
backends:
  back:
    hosts: {one: "127.0.0.1:${WORKER}"}
"""

# RFC 5424 6, rule by rule.
PRINTUSASCII = r"[\x21-\x7e]"
SD_NAME = r"[\x21\x23-\x3c\x3e-\x5c\x5e-\x7e]{1,32}"
SD_ELEMENT = r'\[%s(?: %s="(?:[^"\\\]]|\\["\\\]])*")*\]' % (SD_NAME, SD_NAME)
SYSLOG = re.compile(
    r"<(?P<pri>[0-9]|[1-9][0-9]|1[0-8][0-9]|19[01])>(?P<version>[1-9][0-9]{0,2}) "
    r"(?P<time>-|[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}"
    r"(?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])) "
    r"(?P<host>-|" + PRINTUSASCII + r"{1,255}) (?P<app>-|" + PRINTUSASCII + r"{1,48}) (?P<proc>-|" + PRINTUSASCII +
    r"{1,128}) (?P<id>-|" + PRINTUSASCII + r"{1,32}) (?P<sd>-|(?:" + SD_ELEMENT + r")+)(?: (?P<msg>.*))?", re.S)
OLD = re.compile(r"<(?P<pri>\d{1,3})>(?P<time>[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d) (?:(?P<host>[^ \[:]+) )?"
                 r"(?P<app>[A-Za-z0-9_-]{1,32})\[(?P<proc>\d+)\]: (?P<msg>.*)", re.S)


class Receiver:
    """Takes datagrams, as a syslog daemon does."""
    def __init__(self, t, path=None):
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(path or ("127.0.0.1", 0))
        self.port = None if path else self.sock.getsockname()[1]
        self.sock.settimeout(0.05)
        self.got = []

    def read(self):
        try:
            while True:
                self.got.append(self.sock.recv(65536).decode())
        except socket.timeout:
            pass
        return self.got

    def wait(self, mark):
        return until(lambda: [m for m in self.read() if mark in m], lambda: "%r among %r" % (mark, self.got))

    def close(self):
        self.sock.close()
        if self.path:
            os.unlink(self.path)


def start(t, log, **kw):
    t.env["WORKER"] = t.server(serve(lambda m, p: ok("0123456789"))).port
    return t.limpet(TEXT % log, **kw)


def strict(message, pattern=SYSLOG):
    match = pattern.fullmatch(message)
    check(match, "not by the RFC's ABNF: %r" % message)
    return match


@case("every datagram is an RFC 5424 message: over a Unix socket, in text and in JSON")
def _(t):
    for form in ("text", "json"):
        t.env.pop("PORT", None)
        t.env["N"] = form
        receiver = Receiver(t, t.directory + "/dev-" + form)
        limpet = start(t, '{target: "unix:%s", format: %s}' % (receiver.path, form))
        t.ask(get("/one", [("X-Request-Id", "id-1")]))
        limpet.signal(1)
        receiver.wait("loaded again")
        parts = [strict(m) for m in receiver.read()]
        for part in parts:
            same((part["version"], part["app"], part["proc"]), ("1", "limpet", str(limpet.process.pid)), "header")
            same(part["host"], socket.gethostname(), "host")
            same(int(part["pri"]) >> 3, 16, "local0")
            age = time.time() - time.mktime(time.strptime(part["time"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone
            check(-5 < age < 30, "time of %r" % part[0])
        same([re.fullmatch(r'\[meta sequenceId="(\d+)"\]', p["sd"])[1] for p in parts],
             [str(n + 1) for n in range(len(parts))], "RFC 5424 7.3.1: each is one more")
        request = [p for p in parts if "/one" in p["msg"]]
        same(len(request), 1, "lines of the request")
        same((int(request[0]["pri"]) & 7, request[0]["id"]), (6, "request"), "severity and MSGID")
        if form == "json":
            for part in parts:
                check(isinstance(json.loads(part["msg"]), dict), part["msg"])
        receiver.close()


@case("over UDP, with facility and tag; warnings have their severity")
def _(t):
    receiver = Receiver(t)
    limpet = start(t, '{target: "udp:127.0.0.1:%d", facility: local5, tag: edge.lb}' % receiver.port)
    t.ask(get("/one"))
    part = strict(receiver.wait("/one")[0])
    same((int(part["pri"]), part["app"]), (21 * 8 + 6, "edge.lb"), "PRI and APP-NAME")
    limpet.write("nonsense: [")
    limpet.signal(1)
    part = strict(receiver.wait("unchanged")[0])
    same(int(part["pri"]), 21 * 8 + 3, "severity of an error")


@case("HAProxy's layout has the header of RFC 3164: with the host over UDP, as syslog(3) writes it on a Unix socket")
def _(t):
    unix, udp = Receiver(t, t.directory + "/dev"), Receiver(t)
    limpet = start(t, '[{target: "unix:%s", format: haproxy}, {target: "udp:127.0.0.1:%d", format: haproxy}]' %
                   (unix.path, udp.port))
    t.ask(get("/one"))
    for receiver, host in ((unix, None), (udp, socket.gethostname())):
        part = strict(receiver.wait("/one")[0], OLD)
        same((part["pri"], part["host"], part["app"], int(part["proc"])), ("134", host, "limpet", limpet.process.pid),
             "header")
        check(re.match(r"127\.0\.0\.1:\d+ \[", part["msg"]), part["msg"])
    unix.close()


@case("the header can be chosen: RFC 3164 with our own text, RFC 5424 with HAProxy's")
def _(t):
    first, second = Receiver(t, t.directory + "/dev1"), Receiver(t, t.directory + "/dev2")
    start(t, '[{target: "unix:%s", syslog: rfc3164}, {target: "unix:%s", format: haproxy, syslog: rfc5424}]' %
          (first.path, second.path))
    t.ask(get("/one"))
    part = strict(first.wait("/one")[0], OLD)
    same((part["pri"], part["host"]), ("134", None), "header")
    check(" request 127.0.0.1" in part["msg"], part["msg"])
    part = strict(second.wait("/one")[0])
    check(re.match(r"127\.0\.0\.1:\d+ \[", part["msg"]), part["msg"])


JOURNALD = """\
mount -t tmpfs tmpfs /run || exit 77
mkdir -p /run/systemd/journal /run/log/journal
/lib/systemd/systemd-journald >/dev/null 2>&1 & J=$!
n=0; while [ ! -S /run/systemd/journal/dev-log ] && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.05; done
[ -S /run/systemd/journal/dev-log ] || exit 77
"$LIMPET" -f "$1" & L=$!
python3 -c 'import socket,sys,time
for n in range(200):
    try: s = socket.create_connection(("127.0.0.1", int(sys.argv[1]))); break
    except OSError: time.sleep(0.02)
s.sendall(b"GET /journal HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
while s.recv(1000): pass' "$2"
kill $L; wait $L
n=0; while [ $n -lt 100 ]; do n=$((n+1))
journalctl -o json --no-pager --directory=/run/log/journal >"$3/out" 2>/dev/null
grep -q '"MESSAGE":"stopped"' "$3/out" && break; sleep 0.05; done
kill $J; wait $J
cat "$3/out"
"""


@case("systemd-journald, in a namespace of its own, reads name, pid, priority and message")
def _(t):
    if os.geteuid() != 0 or not os.access("/lib/systemd/systemd-journald", os.X_OK) or not shutil.which("unshare"):
        raise Skip("needs root and systemd-journald")
    if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip("no mount namespace can be had here")
    path, port = t.directory + "/j.yaml", free_port()
    with open(path, "w") as file:
        file.write("global: {threads: 1, log: {target: 'unix:/run/systemd/journal/dev-log'}}\n"
                   "frontends: {fe: {bind: '127.0.0.1:%d', routes: [{match: {path: /journal}, respond: {status: 200}}]}}\n"
                   "backends: {}\n" % port)
    done = subprocess.run(["unshare", "-m", "sh", "-c", JOURNALD, "sh", path, str(port), t.directory],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30,
                          env=dict(os.environ, LIMPET=find_limpet()))
    if done.returncode == 77:
        raise Skip("no namespace or no journald here")
    got = [json.loads(l) for l in done.stdout.decode().split("\n") if l]
    got = [l for l in got if l.get("SYSLOG_IDENTIFIER") == "limpet"]
    lines = [l for l in got if "/journal" in l["MESSAGE"]]
    same(len(lines), 1, "lines of the request among %r" % [l["MESSAGE"] for l in got])
    same((lines[0]["PRIORITY"], lines[0]["SYSLOG_FACILITY"], lines[0]["SYSLOG_PID"]), ("6", "16", lines[0]["_PID"]), "fields")
    check(re.match(r"\d{4}-\d\d-\d\dT\S+ request 127\.0\.0\.1:", lines[0]["MESSAGE"]), lines[0]["MESSAGE"])


@case("several targets: requests here, warnings there, each in its form")
def _(t):
    receiver = Receiver(t)
    limpet = start(t, '''
    - {target: "file:${RUN}/requests.json", format: json, events: false}
    - {target: "udp:127.0.0.1:%d", requests: false, level: warn}
    - {target: "file:${RUN}/all.log", format: haproxy}
    - "stderr"''' % receiver.port)
    for n in range(3):
        t.ask(get("/r%d" % n))
    limpet.write("nonsense: [")
    limpet.signal(1)
    receiver.wait("unchanged")
    same([m for m in receiver.read() if "/r" in m or "runs" in m], [], "requests and infos at the events' target")
    until(lambda: "unchanged" in open(t.directory + "/all.log").read(), "all.log")
    text = open(t.directory + "/all.log").read()
    same(len(re.findall(r'"GET /r\d HTTP/1.1"', text)), 3, "requests in all.log")
    lines = [json.loads(l) for l in open(t.directory + "/requests.json").read().split("\n") if l]
    same(sorted((l["type"], l["target"]) for l in lines), [("request", "/r%d" % n) for n in range(3)], "requests alone")
    log = limpet.log()
    check(len(re.findall(r'"GET /r\d HTTP/1.1"', log)) == 3 and "unchanged" in log, "both on stderr")


@case("a mistake in one of several targets is told with its place, and a reload keeps the old ones")
def _(t):
    for log, what in (('{target: "file:/x", tag: "a b"}', "tag"), ('{target: "file:/x", facility: local9}', "facility"),
                      ('[stderr, stderr, stderr, stderr, stderr]', "targets"), ('[]', "log"),
                      ('[{target: stderr, forma: text}]', "format")):
        path = t.directory + "/bad.yaml"
        with open(path, "w") as file:
            file.write((TEXT % log).replace("${PORT}", "1").replace("${WORKER}", "2").replace("${RUN}", "/tmp"))
        status, text = run_limpet(["-c", "-f", path])[:2]
        check(status == 1 and re.search(r"bad.yaml:\d+:\d+: .*" + what, text), text)
    limpet = start(t, '"file:${RUN}/a.log"')
    limpet.write(TEXT % '["file:${RUN}/b.log", "file:/nonexistent/c.log"]')
    limpet.signal(1)
    path = t.directory + "/a.log"
    until(lambda: "log target file:/nonexistent/c.log: " in open(path).read(), "the message")
    t.ask(get("/still-here"))
    until(lambda: "/still-here" in open(path).read(), "the old target goes on")


@case("the daemon is away, comes, goes and comes back on a new socket: lines go on, and losses are told in numbers")
def _(t):
    path = t.directory + "/dev"
    limpet = start(t, '{target: "unix:%s"}' % path)
    for n in range(20):
        same(t.ask(get("/away-%d" % n)).status, 200, "without a daemon")
    lost = 0
    receiver = Receiver(t, path)

    def hears(mark):
        """Asks until a line comes through: the target is tried again once in a second."""
        t.ask(get("/" + mark))
        return [m for m in receiver.read() if mark in m]
    until(lambda: hears("first"), "lines come")
    until(lambda: [m for m in receiver.read() if "log lines dropped" in m], "losses are told")
    told = [int(re.search(r"(\d+) log lines dropped", m)[1]) for m in receiver.got if "log lines dropped" in m]
    check(sum(told) >= 20, "what was lost: %r" % told)
    receiver.close()
    receiver = Receiver(t, path)                   # the daemon is restarted: a new socket under the name
    until(lambda: hears("second"), "lines come again")
    for message in receiver.read():
        strict(message)
    receiver.close()
    shown = re.search(r"DroppedLogs: (\d+)", limpet.ask_stats("show info", t.directory + "/stats.sock"))
    check(int(shown[1]) >= sum(told), "DroppedLogs")


@case("a daemon that takes nothing blocks no request; when it goes on it hears how many lines were lost")
def _(t):
    receiver = Receiver(t, t.directory + "/dev")
    limpet = start(t, '{target: "unix:%s"}' % receiver.path)
    c = t.connect()
    n, body = 0, [("X-Request-Id", "r" * 100)]
    slowest = 0
    while n < 6000:                                # some 2 MB of lines: socket, batch and rings are full
        started = time.monotonic()
        c.send(b"".join(get("/%d" % (n + i) + "x" * 150, body) for i in range(50)))
        for _i in range(50):
            same(c.read_response().status, 200, "status")
        slowest = max(slowest, time.monotonic() - started)
        n += 50
    check(slowest < 2 * SLOW, "50 requests took %.2f s" % slowest)
    receiver.wait("log lines dropped")
    c.send(get("/after"))
    c.read_response()
    receiver.wait("/after")
    got = [m for m in receiver.read() if '"GET /' in m and "/after" not in m]
    told = sum(int(re.search(r"(\d+) log lines dropped", m)[1]) for m in receiver.got if "log lines dropped" in m)
    same(len(got) + told, 6000, "every line came or was told of")
    for message in receiver.got:
        strict(message)
    receiver.close()
    check(limpet.process.poll() is None, "runs")


@case("among several targets one that is stuck does not hold up the others")
def _(t):
    fifo = t.directory + "/fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    start(t, '["file:${RUN}/fifo", "file:${RUN}/good.log"]')
    c = t.connect()
    for n in range(1500):
        same(c.ask(get("/n-%d-" % n)).status, 200, "status")
    def has_all():
        return open(t.directory + "/good.log").read().count('"GET /n-') == 1500
    until(has_all, lambda: "all in the good one: %d" % open(t.directory + "/good.log").read().count('"GET /n-'))
    data = b""
    while b"log lines dropped" not in data:        # it goes on: whole lines, and what was lost
        c.ask(get("/more"))
        try:
            data += os.read(reader, 1 << 20)
        except BlockingIOError:
            time.sleep(0.01)
    os.close(reader)
    for line in data.decode().split("\n")[:-1]:
        check(line == "" or re.match(r"\d{4}-\d\d-\d\dT.*( HTTP/1\.1\"|: .*)$", line), "torn: %r" % line)


@case("rotation under load: SIGUSR1 after a rename, again and again; no line is lost, torn or written twice")
def _(t):
    limpet = start(t, '{target: "file:${RUN}/access.log", format: json}')
    path = t.directory + "/access.log"
    stop, counts = threading.Event(), [0, 0]

    def load(which):
        c = t.connect()
        while not stop.is_set():
            same(c.ask(get("/w%d-%d" % (which, counts[which]))).status, 200, "status")
            counts[which] += 1
    threads = [threading.Thread(target=load, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for n in range(12):
        time.sleep(0.06)                           # lines between two rotations, not luck
        until(lambda: os.path.exists(path), "the file is there again")
        os.rename(path, "%s.%d" % (path, n))
        limpet.signal(10)
    stop.set()
    for thread in threads:
        thread.join()
    until(lambda: os.path.exists(path), "the file")

    def lines():
        got = []
        for name in [path] + ["%s.%d" % (path, n) for n in range(12)]:
            with open(name) as file:
                text = file.read()
            if text and not text.endswith("\n"):
                return None                        # being written
            got += [json.loads(l) for l in text.split("\n") if l]
        # A disk that pauses costs lines, and each of them is counted.
        dropped = sum(int(re.match(r"(\d+) log lines dropped|", l.get("message", "")).group(1) or 0) for l in got)
        targets = sorted(l["target"] for l in got if l.get("type") == "request")
        return (targets, dropped) if len(targets) + dropped >= sum(counts) else None
    have, dropped = until(lines, "all lines")
    all_ = {"/w%d-%d" % (w, n) for w in (0, 1) for n in range(counts[w])}
    same(len(have) + dropped, len(all_), "lines, and those that were said to be dropped")
    same((len(set(have)), set(have) - all_), (len(have), set()), "each line once, and no others")
    used = sum(os.path.getsize("%s.%d" % (path, n)) > 0 for n in range(12))
    check(used >= 6, "rotations that took lines: %d" % used)


@case("stdout")
def _(t):
    t.env["WORKER"] = t.server(serve(lambda m, p: ok("0123456789"))).port
    port = free_port()
    path = t.directory + "/stdout.yaml"
    with open(path, "w") as file:
        file.write((TEXT % "{target: stdout, format: json}").replace("${PORT}", str(port)).replace(
            "${RUN}", t.directory))
    process = subprocess.Popen([find_limpet(), "-f", path], stdout=subprocess.PIPE, env=dict(
        os.environ, WORKER=str(t.env["WORKER"])))
    try:
        first = json.loads(process.stdout.readline())
        check("runs" in first["message"], first)
        c = t.connect(port)
        same(c.ask(get("/out")).status, 200, "status")
        same(json.loads(process.stdout.readline())["target"], "/out", "the request's line")
    finally:
        process.terminate()
        rest = process.stdout.read()
        same(process.wait(10), 0, "exit status")
        check(b"stopped" in rest, rest)


main()
