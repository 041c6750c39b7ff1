#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tools that were written for HAProxy, as they are: hatop, prometheus-haproxy-exporter, socat; and the rules by which
Telegraf, Datadog and dataplaneapi read the socket."""
import os
import re
import shutil
import subprocess
import urllib.request

from lib import *
from lib.peer import connect
from lib.terminal import Terminal

CONFIG = """\
global:
  threads: 2
  node: lb-1
  stats: {socket: "unix:${RUN}/stats.sock"}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: chat}}
backends:
  chat:
    balance: round_robin
    stick: [engineio, {ip: {remember: 5m}}]
    health_check: {http: /healthz, interval: 50ms, rise: 2, fall: 2}
    hosts:
      A: {address: "${A}", max_connections: 40}
      B: "${B}"
  plain:
    hosts: {C: "${C}"}
"""


def tool(name):
    path = shutil.which(name)
    if not path:
        raise Skip("%s is not installed" % name)
    return path


def cluster(t):
    for _ in "ABC":
        t.echo()
    limpet = t.limpet(CONFIG)
    until(lambda: [r["check_status"].lstrip("* ") for r in limpet.stat_rows() if r["type"] == "2"] == ["L7OK", "L7OK", ""],
          "all are checked")
    limpet.socket = os.path.join(limpet.directory, "stats.sock")
    return limpet


def server(limpet, name):
    return [r for r in limpet.stat_rows() if r["svname"] == name][0]


def line_of(screen, name):
    """Words of the screen's line that begins with NAME."""
    for line in screen.split("\n"):
        if line.split()[:1] == [name]:
            return [w for w in line.split() if w != "*"]        # a check runs just now
    return []


class Hatop:
    DOWN, F5, F7, F9, F10 = "\x1bOB", "\x1b[15~", "\x1b[18~", "\x1b[20~", "\x1b[21~"

    def __init__(self, t, limpet):
        self.limpet = limpet
        self.terminal = Terminal([tool("hatop"), "-i", "1", "-s", limpet.socket])
        self.until(lambda s: line_of(s, "BACKEND"), "the backends are shown")

    def until(self, condition, what):
        return self.terminal.until(condition, what)

    def press(self, key, condition, what):
        self.terminal.key(key)
        self.until(lambda s: condition(), what)

    def quit(self):
        self.terminal.key("q")
        same(self.terminal.wait_exit(), 0, "hatop's exit status")
        check("Traceback" not in self.terminal.raw, self.terminal.raw[-2000:])
        self.terminal.close()


@case("hatop shows every proxy and server, and the process")
def _(t):
    limpet = cluster(t)
    for _ in range(6):
        t.ask(get())
    hatop = Hatop(t, limpet)
    screen = hatop.until(lambda s: line_of(s, "FRONTEND")[-1:] == ["6"] and line_of(s, "C") and s,
                         "six sessions are shown")
    for name in ("web", "chat", "plain"):
        check(">>> " + name in screen, "%s in\n%s" % (name, screen))
    same(line_of(screen, "A")[:4], ["A", "100", "UP", "L7OK"], "A's line")
    same(line_of(screen, "A")[-2], "40", "A's limit")
    same(line_of(screen, "C")[:4], ["C", "100", "-", "none"], "C, which is not checked")
    check("Limpet Version: " in screen and "Node: lb-1" in screen, screen)
    check("PID: %d" % limpet.process.pid in screen, screen)
    check("Proxies:   3" in screen and "Services:    6" in screen, screen)
    for key, want in (("2", "BIN"), ("3", "5xx"), ("4", "ECONN")):      # its other pages read the other columns
        hatop.terminal.key(key)
        hatop.until(lambda s: want.lower() in s.lower(), "page %s" % key)
    hatop.quit()


@case("hatop's hot keys disable and enable a server, and change its weight")
def _(t):
    limpet = cluster(t)
    hatop = Hatop(t, limpet)
    for _ in range(4):                      # web, FRONTEND, a blank, chat: then A
        hatop.terminal.key(Hatop.DOWN)
        hatop.terminal.read()
    hatop.press(Hatop.F10, lambda: server(limpet, "A")["status"] == "MAINT", "F10 disables it")
    hatop.until(lambda s: line_of(s, "A")[:3] == ["A", "0", "MAINT"], "the screen says so")
    same({t.ask(get()).body for _ in range(4)}, {b"B"}, "who serves")
    hatop.press(Hatop.F9, lambda: server(limpet, "A")["status"] == "UP", "F9 enables it")
    hatop.until(lambda s: line_of(s, "A")[:3] == ["A", "100", "UP"], "the screen says so")
    hatop.press(Hatop.F7, lambda: server(limpet, "A")["weight"] == "101", "F7 adds one to the weight")
    hatop.until(lambda s: line_of(s, "A")[:3] == ["A", "101", "UP"], "the screen says so")
    hatop.press(Hatop.F5, lambda: server(limpet, "A")["weight"] == "91", "F5 takes ten off it")
    hatop.quit()


@case("hatop's command line: an answer, an error, an unknown command")
def _(t):
    limpet = cluster(t)
    hatop = Hatop(t, limpet)
    hatop.terminal.key("5")
    for command, want in (("show cli level", "admin"), ("get weight chat/A", "100 (initial 100)"),
                          ("set server chat/X state drain", "No such server."), ("frob", "Unknown command: 'frob'")):
        hatop.terminal.key(command + "\r")
        hatop.until(lambda s: want in s, command)
    hatop.terminal.key("\x1b1")
    hatop.until(lambda s: line_of(s, "A")[:3] == ["A", "100", "UP"], "back on the first page")
    hatop.quit()


class Exporter:
    def __init__(self, t, uri):
        from lib.limpet import free_port
        self.port = free_port()
        self.log = open(os.path.join(t.directory, "exporter.log"), "wb")
        self.process = subprocess.Popen(
            [tool("prometheus-haproxy-exporter"), "--haproxy.scrape-uri=" + uri,
             "--web.listen-address=127.0.0.1:%d" % self.port],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        until(self.answers, "the exporter listens")

    def answers(self):
        try:
            return self.metrics()
        except OSError:
            return None

    def metrics(self):
        with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % self.port, timeout=5) as answer:
            text = answer.read().decode()
        return {m.group(1): float(m.group(2)) for m in re.finditer(r"^(haproxy_\S+) (\S+)$", text, re.M)}

    def close(self):
        self.process.terminate()
        self.process.wait(5)
        self.log.close()


@case("prometheus-haproxy-exporter: haproxy_up is 1, servers are up or not, nothing fails to parse")
def _(t):
    limpet = cluster(t)
    for _ in range(5):
        t.ask(get())
    exporter = Exporter(t, "unix:" + limpet.socket)
    try:
        have = exporter.metrics()
        same(have["haproxy_up"], 1, "haproxy_up")
        same(have['haproxy_server_up{backend="chat",server="A"}'], 1, "A")
        same(have['haproxy_server_up{backend="plain",server="C"}'], 1, "C, which is not checked")
        same(have['haproxy_backend_up{backend="chat"}'], 1, "the backend")
        same(have['haproxy_frontend_http_requests_total{frontend="web"}'], 5, "requests")
        same(have['haproxy_server_weight{backend="chat",server="B"}'], 100, "weight")
        same(sum(have['haproxy_server_http_responses_total{backend="chat",code="2xx",server="%s"}' % s] for s in "AB"),
             5, "2xx")
        limpet.ask_stats("disable server chat/A")
        t.servers[1].down()
        until(lambda: server(limpet, "B")["status"].startswith("DOWN"), "B is down")
        have = exporter.metrics()
        same([have['haproxy_server_up{backend="chat",server="%s"}' % s] for s in "AB"], [0, 0], "in maintenance, down")
        same(have['haproxy_backend_up{backend="chat"}'], 0, "no server is left")
        same(have["haproxy_exporter_csv_parse_failures_total"], 0, "lines that it could not read")
        same(have["haproxy_exporter_scrapes_total"] >= 2, True, "scrapes")
    finally:
        exporter.close()
    limpet.process.terminate()
    limpet.is_ended_by_test = True
    same(limpet.wait_exit(), 0, "limpet ends")


# Telegraf's inputs.haproxy: which columns are texts, and which may be negative.
TELEGRAF_TEXTS = {"status", "check_status", "last_chk", "tracked", "agent_status", "last_agt", "check_desc",
                  "agent_desc", "addr", "cookie", "mode", "algo"}


@case("Telegraf: the header begins with '# ', rows have its columns, numbers are unsigned")
def _(t):
    limpet = cluster(t)
    t.ask(get())
    peer = connect(limpet.socket, name="telegraf")
    peer.send(b"show stat\n")
    lines = peer.read_all().decode().rstrip("\n").split("\n")
    peer.close()
    check(lines[0].startswith("# "), lines[0])
    names = lines[0][2:].split(",")
    same(len(lines), 7, "rows and the header")
    for line in lines[1:]:
        cells = line.split(",")
        same(len(cells), len(names), "columns of %r" % line)
        row = {n: c for n, c in zip(names, cells) if c != ""}
        check(row["type"] in "0123" and row["pxname"] and row["svname"] and row["pid"] == "1", row)
        for name, cell in row.items():
            if name in TELEGRAF_TEXTS or name in ("pxname", "svname", ""):
                continue
            check(re.fullmatch(r"-1|\d+" if name == "lastsess" else r"\d+", cell), "%s is %r" % (name, cell))


@case("Datadog: 'show info;show stat' and CRLF give two blocks, with a colon only between key and value")
def _(t):
    limpet = cluster(t)
    t.ask(get())
    peer = connect(limpet.socket, name="datadog")
    peer.send(b"show info;show stat\r\n")
    text = peer.read_all().decode()
    peer.close()
    blocks = [b for b in text.split("\n\n") if b.strip()]
    same(len(blocks), 2, "blocks")
    info = {}
    for line in blocks[0].split("\n"):
        key, value = line.split(":")            # an error when there is a second colon
        info[key] = value.strip()
        if key == "Uptime_sec":
            break
    check("Uptime_sec" in info, info)
    major, minor = re.match(r"(\d+)\.(\d+)", info["Version"]).groups()
    header = blocks[1].split("\n")[0]
    check(header.startswith("# pxname,svname"), header)
    for line in blocks[1].split("\n"):
        same(line.count(","), header.count(","), "commas")
    peer = connect(limpet.socket, name="datadog")
    peer.send(b"show table\r\n")
    tables = re.findall(r"# table: ([^ ,]+), type: (\w+), size:(\d+), used:(\d+)", peer.read_all().decode())
    peer.close()
    same(tables, [("chat/engineio", "string", "1000000", "0"), ("chat/ip", "ip", "1000000", "1")], "tables")


def native(limpet, command):
    """dataplaneapi's client-native: it asks for severities, and raises what has one of 0 to 3."""
    text = limpet.ask_stats("set severity-output number;" + command)
    if len(text) > 5 and text[1:5] in ("[0]:", "[1]:", "[2]:", "[3]:"):
        raise ValueError(text[6:].strip())
    return text.strip("\n")


@case("dataplaneapi: errors are told by their severity, tables and server states parse")
def _(t):
    limpet = cluster(t)
    t.ask(get())
    for command, want in (("set server chat/X state maint", "No such server."),
                          ("set server nope/A state maint", "No such backend."),
                          ("disable server chat/X", "No such server."),
                          ("show table nope", "No such table"),
                          ("set weight chat/A 999", "Absolute weight can only be between 0 and 256 inclusive.")):
        try:
            native(limpet, command)
        except ValueError as err:
            same(str(err), want, command)
        else:
            check(False, "%s must be an error" % command)
    for command in ("set server chat/A state drain", "set server chat/A state ready", "disable server chat/A",
                    "enable server chat/A", "set weight chat/A 50", "clear counters", "show info", "show version"):
        native(limpet, command)
    lines = native(limpet, "show servers state chat").split("\n")
    same(lines[0], "1", "version of the format")
    names = lines[1][2:].split()
    for line in lines[2:]:
        row = dict(zip(names, line.split()))
        same(len(line.split()), len(names), "columns of %r" % line)
        same((row["be_name"], row["srv_addr"], row["srv_admin_state"]), ("chat", "127.0.0.1", "0"), line)
        same(int(row["srv_port"]), t.servers["AB".index(row["srv_name"])].port, "port")
    head, entry = native(limpet, "show table chat/ip").split("\n")
    check(head.startswith("# table: chat/ip, type: ip"), head)
    check(re.match(r"^0x[0-9a-f]+: key=127\.0\.0\.1 use=\d+ exp=\d+", entry), entry)


# What HAProxy's management guide and its users do, with the answer that they wait for.
ONE_LINERS = (
    ("echo 'show info' | socat {sock} stdio", r"Name: Limpet\nVersion: "),
    ("echo 'show stat' | socat stdio {sock}", r"# pxname,svname,.*\nweb,FRONTEND,"),
    ("printf 'show stat\\r\\n' | socat - UNIX-CONNECT:{sock} | cut -d, -f1,2,18 | grep -c UP", r"4\n$"),
    ("echo 'show info;show stat' | socat {sock} - | grep -c '^$'", r"2\n$"),
    ("echo '@x' | socat {sock} - | head -1", r"Unknown command"),
    ("echo 'show servers state' | socat {sock} - | awk '$2 == \"chat\" {{ print $4 }}' | xargs", r"A B\n$"),
    ("echo 'disable server chat/B' | socat {sock} -", r"\n$"),
    ("echo 'show stat' | socat {sock} - | awk -F, '$2 == \"B\" {{ print $18 }}'", r"MAINT\n$"),
    ("echo 'enable server chat/B' | socat {sock} -", r"\n$"),
    ("echo 'get weight chat/A' | socat {sock} -", r"100 \(initial 100\)\n"),
    ("echo 'set weight chat/A 50%; get weight chat/A' | socat {sock} -", r"\n50 \(initial 100\)\n"),
    ("echo 'set server chat/A state drain;show stat chat 4 1' | socat {sock} - | grep -o DRAIN", r"DRAIN\n"),
    ("echo 'set server chat/A state ready' | socat {sock} -", r"\n$"),
    ("echo 'set server chat/A health down' | socat {sock} -", r"\n$"),
    ("echo 'set maxconn frontend web 77;show stat web 1 -1' | socat {sock} - | tail -2 | cut -d, -f7", r"77\n"),
    ("echo 'set maxconn server chat/A 7;show stat chat 4 1' | socat {sock} - | tail -2 | cut -d, -f7", r"7\n"),
    ("echo 'disable frontend web;show stat web 1 -1' | socat {sock} - | grep -o STOP", r"STOP\n"),
    ("echo 'enable frontend web' | socat {sock} -", r"\n$"),
    ("echo 'show sess' | socat {sock} - | wc -l", r"\d+\n"),
    ("echo 'show table' | socat {sock} -", r"# table: chat/engineio, type: string, size:"),
    ("echo 'clear table chat/ip' | socat {sock} -", r"\n$"),
    ("echo 'clear counters all' | socat {sock} -", r"\n$"),
    ("echo 'show errors' | socat {sock} -", r"Total events captured on \["),
    ("echo 'prompt; show cli level; quit' | socat {sock} -", r"\n> admin\n\n> "),
    ("socat -t20 {sock} - <<< 'show activity; wait 50ms; show activity' | grep -c ^loops", r"2\n"),
    ("socat -t5 {sock} - <<< 'disable server chat/A; shutdown sessions server chat/A; wait 2s srv-removable chat/A; "
     "enable server chat/A'", r"\n\n\n\n$"),
    ("while read c; do echo $c; done <<< 'show env PATH' | socat {sock} -", r"PATH=/"),
)


@case("socat one-liners of HAProxy's manual and its users do what they say")
def _(t):
    limpet = cluster(t)
    tool("socat")
    t.ask(get())
    for command, want in ONE_LINERS:
        done = subprocess.run(["bash", "-c", command.format(sock=limpet.socket)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30, text=True)
        check(re.match(want, done.stdout), "%s says %r" % (command, done.stdout[:600]))


@case("socat with readline's habit: a session that stays open for a script")
def _(t):
    limpet = cluster(t)
    process = subprocess.Popen([tool("socat"), "-", limpet.socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(b"prompt\nset timeout cli 60\nshow cli level\ndisable server chat/A\nenable server chat/A\nquit\n")
    process.stdin.flush()
    out, _ = process.communicate(timeout=20)
    same(out, b"\n> \n> admin\n\n> \n> \n> ", "the session")


main()
