#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Commands that change limits, frontends, tables and checks, wait, and look inside."""
import json
import os
import re
import resource
import socket
import time

from lib import *
from lib.engine import *
from lib.peer import connect

CONFIG = """\
global:
  threads: 2
  stats:
    socket:
      - {address: "unix:${RUN}/stats.sock", level: admin}
      - {address: "unix:${RUN}/operator.sock", level: operator}
frontends:
  web: {bind: ["127.0.0.1:${PORT}", "unix:${RUN}/web.sock"], backend: chat%s}
backends:
  chat:
    balance: round_robin
    stick: [engineio, {ip: {remember: 5m}}]
    health_check: {http: /healthz, interval: 50ms, rise: 1, fall: 2}
    hosts: {A: "${A}", B: "${B}"}
"""


def worker(t, name):
    """Answers with its name, but for /held: never."""
    return t.server(serve(lambda m, p: None if m.target in ("/held", b"/held") else ok(name)), name=name)


def cluster(t, more=""):
    for name in "AB":
        worker(t, name)
    limpet = t.limpet(CONFIG % more)
    until(lambda: all(r["check_status"].endswith("L7OK") for r in limpet.stat_rows() if r["type"] == "2"), "checked")
    return limpet


def front(limpet):
    return limpet.stat_rows()[0]


def info(limpet):
    return dict(l.split(": ", 1) for l in limpet.ask_stats("show info").split("\n") if l)


def live(limpet):
    """Live sessions of each server."""
    lines = [l.split() for l in limpet.ask_stats("show workers").split("\n") if l]
    at = lines[0].index("sessions") - 1
    return {l[1]: l[at] for l in lines[1:]}


def is_refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except (ConnectionRefusedError, ConnectionResetError):      # or closed while it waited to be accepted
        return True
    return False


def is_served(t):
    """Whether a new connection gets an answer soon; the connection."""
    client = t.connect()
    client.send(get())
    client.sock.settimeout(0.3)
    try:
        return client if client.sock.recv(1, socket.MSG_PEEK) else None
    except OSError:
        return None
    finally:
        client.sock.settimeout(5)


@case("disable frontend: connections are refused, open ones go on, a reload changes nothing, enable brings it back")
def _(t):
    limpet = cluster(t)
    kept = t.connect()
    kept.ask(get())
    same(limpet.ask_stats("disable frontend web"), "\n", "answer")
    until(lambda: is_refused(t.port), "new connections are refused")
    same(front(limpet)["status"], "STOP", "status")
    same(kept.ask(get()).status, 200, "a connection that was open")
    check(limpet.ask_stats("reload").startswith("Success=1"), "reload")
    for _ in range(20):                      # each thread has its own listening socket
        check(is_refused(t.port), "refused after the reload")
    waiting = connect(os.path.join(limpet.directory, "web.sock"))
    waiting.send(get())                      # a Unix socket's backlog keeps it
    same(kept.ask(get()).status, 200, "still open")
    same(limpet.ask_stats("enable frontend web"), "\n", "answer")
    until(lambda: not is_refused(t.port), "accepted again")
    same({t.ask(get()).status for _ in range(20)}, {200}, "served by every thread")
    same(waiting.sock.recv(12), b"HTTP/1.1 200", "who waited")
    waiting.close()
    same(front(limpet)["status"], "OPEN", "status")
    limpet.wait_log("frontend web is disabled: set by the operator")


@case("shutdown frontend closes its sockets for good; when it comes back in the file it listens again")
def _(t):
    limpet = cluster(t)
    same(limpet.ask_stats("shutdown frontend web"), "\n", "answer")
    until(lambda: is_refused(t.port), "new connections are refused")
    same(limpet.ask_stats("enable frontend web"), "Frontend was previously shut down, cannot enable.\n\n", "enable")
    limpet.ask_stats("reload")
    check(is_refused(t.port), "refused after a reload")
    text = CONFIG % ""
    limpet.write(text.replace("  web:", "  other:").replace("${PORT}", "0").replace('"127.0.0.1:0", ', ""))
    check(limpet.ask_stats("reload").startswith("Success=1"), "a reload without it")
    limpet.write(text)
    check(limpet.ask_stats("reload").startswith("Success=1"), "a reload with it")
    until(lambda: not is_refused(t.port), "it listens")
    same(t.ask(get()).status, 200, "served")


@case("set maxconn frontend: the next one waits, a higher limit lets it in, the file's new value takes over")
def _(t):
    limpet = cluster(t)
    limpet.ask_stats("set maxconn frontend web 2")
    same(front(limpet)["slim"], "2", "slim")
    held = [is_served(t) for _ in range(2)]
    check(all(held), "two are served")
    late = t.connect()
    late.send(get())
    check(is_served(t) is None, "a third is not")
    same(front(limpet)["status"], "FULL", "status")
    limpet.ask_stats("reload")
    same(front(limpet)["slim"], "2", "slim after a reload that says nothing of it")
    limpet.ask_stats("set maxconn frontend web 9")
    same(late.sock.recv(12), b"HTTP/1.1 200", "the one that waited")
    limpet.write(CONFIG % ", max_connections: 30")
    limpet.ask_stats("reload")
    same(front(limpet)["slim"], "30", "slim after a reload that says another")
    limpet.ask_stats("set maxconn frontend web 5;set maxconn frontend web 0")
    same(front(limpet)["slim"], "30", "0 is as the file says")


@case("set maxconn global: a limit of the whole process, at most what the descriptors allow")
def _(t):
    limpet = cluster(t)
    most = int(info(limpet)["Hard_maxconn"])
    same(limpet.ask_stats("set maxconn global %d" % (most + 1)), "Value out of range.\n\n", "too many")
    same(limpet.ask_stats("set maxconn global 1"), "\n", "answer")
    same((info(limpet)["Maxconn"], front(limpet)["slim"]), ("1", "1"), "told")
    held = is_served(t)
    check(held, "one is served")
    late = t.connect()
    late.send(get())
    check(is_served(t) is None, "a second is not")
    limpet.ask_stats("set maxconn global 0")
    same(info(limpet)["Maxconn"], str(most), "0 is as the file says")
    same(late.sock.recv(12), b"HTTP/1.1 200", "the one that waited")
    check(int(info(limpet)["MaxconnReached"]) >= 1, "MaxconnReached")
    limpet.write((CONFIG % "").replace("threads: 2", "threads: 2\n  max_connections: 50"))
    limpet.ask_stats("reload")
    same(info(limpet)["Maxconn"], "50", "the file's, after a reload")


@case("wait: for its time, for a condition, no longer than told, and the socket's idle time does not end it")
def _(t):
    limpet = cluster(t)
    for command, least in (("wait 200", 0.2), ("wait 300ms", 0.3), ("wait 150 srv-unused chat/A", 0)):
        began = time.monotonic()
        same(limpet.ask_stats(command), "\n", command)
        check(least * 0.9 <= time.monotonic() - began < least + 2, "%s took %.2f s" % (command, time.monotonic() - began))
    same(limpet.ask_stats("set timeout cli 1;wait 1500;show cli level"), "\n\nadmin\n\n", "longer than the idle time")
    client = t.connect()
    client.send(get("/held"))
    busy = until(lambda: [r["svname"] for r in limpet.stat_rows() if r["type"] == "2" and r["scur"] == "1"], "open")[0]
    same(limpet.ask_stats("wait 100 srv-drained chat/" + busy), "Wait delay expired.\n\n", "too short")
    same(limpet.ask_stats("wait 100 srv-removable chat/" + busy), "Only servers in maintenance mode can be deleted.\n\n",
         "not in maintenance")
    console = connect(os.path.join(limpet.directory, "stats.sock"))
    console.send(b"wait 5s srv-drained chat/%s;show cli level\n" % busy.encode())
    same(client.sock.getpeername()[1], t.port, "still there")
    client.close()
    same(console.read_all(), b"\nadmin\n\n", "as soon as it is over")
    check(limpet.ask_stats("wait -h").startswith("Usage: wait"), "help")
    same(limpet.ask_stats("wait soon"), "Expects a duration in milliseconds.\n\n", "not a duration")
    same(limpet.ask_stats("wait 1s srv-unused chat/X"), "No such server.\n\n", "no such server")
    same(limpet.ask_stats("wait 2147483647d"), "Expects a duration in milliseconds.\n\n", "longer than any clock")


@case("a client that leaves during its wait gives its place back")
def _(t):
    limpet = cluster(t)
    path = os.path.join(limpet.directory, "operator.sock")
    for _ in range(10):
        c = connect(os.path.join(limpet.directory, "stats.sock"))
        c.send(b"wait 60s\n")
        c.close()
    same(until(lambda: limpet.ask_stats("show cli level"), "an eleventh is served"), "admin\n\n", "answer")
    same(limpet.ask_stats("wait 1s", path), "Permission denied\n\n", "an operator")


@case("set table pins an address and a session to a server, and says for how long")
def _(t):
    limpet = cluster(t)
    ids = {r["svname"]: r["sid"] for r in limpet.stat_rows() if r["type"] == "2"}
    for name in "ABBA":
        same(limpet.ask_stats("set table chat/ip key 127.0.0.1 data.server_id %s" % ids[name]), "\n", "answer")
        same({t.ask(get()).body for _ in range(4)}, {name.encode()}, "who serves")
    limpet.ask_stats("set table chat/ip key 127.0.0.1 data.server_key B data.exp 60000")
    entry = limpet.ask_stats("show table chat/ip key 127.0.0.1")
    check(re.search(r"server_key=B\n", entry), entry)
    check(50000 < int(re.search(r"exp=(\d+)", entry).group(1)) <= 60000, entry)
    limpet.ask_stats("set table chat/ip key 127.0.0.1 data.exp 300")
    check("server_key=B" in limpet.ask_stats("show table chat/ip"), "the server stays")
    until(lambda: "used:0" in limpet.ask_stats("show table chat/ip"), "and then it expires")
    same(limpet.ask_stats("set table chat/ip key 127.0.0.1 data.exp 300"),
         "No such entry: a new one needs data.server_id.\n\n", "no entry")
    for name in "AAB":
        limpet.ask_stats("set table chat/engineio key some-sid data.server_key " + name)
        same(t.ask(get("/socket.io/?EIO=4&transport=polling&sid=some-sid")).body, name.encode(), "who has the session")
    same(live(limpet), {"A": "0", "B": "1"}, "sessions counted")
    limpet.ask_stats("clear table chat/engineio")
    same(live(limpet), {"A": "0", "B": "0"}, "and no more")
    same(limpet.ask_stats("set table chat/ip key 10.0.0.1 data.server_id 99"), "No such server.\n\n", "no such server")


@case("clear table removes what a filter names, and that alone")
def _(t):
    limpet = cluster(t)
    for i in range(60):
        limpet.ask_stats("set table chat/ip key 10.0.0.%d data.server_key %s" % (i, "AB"[i % 3 > 0]))
    ids = {r["svname"]: r["sid"] for r in limpet.stat_rows() if r["type"] == "2"}
    same(limpet.ask_stats("clear table chat/ip data.server_id eq %s" % ids["A"]), "\n", "answer")
    left = re.findall(r"key=10\.0\.0\.(\d+) .* server_key=(\w)", limpet.ask_stats("show table chat/ip"))
    same((len(left), {s for _, s in left}), (40, {"B"}), "left")
    limpet.ask_stats("clear table chat/ip key 10.0.0.1")
    same(len(re.findall(" key=", limpet.ask_stats("show table chat/ip data.server_id ge 1 data.server_id ne 77"))), 39,
         "two filters")


@case("shutdown sessions server closes what the server serves, on every thread, and nothing else")
def _(t):
    for name in "AB":
        worker(t, name)
    limpet = t.limpet(CONFIG.replace("stick: [engineio, {ip: {remember: 5m}}]", "retries: 0") % "")
    clients = [t.connect() for _ in range(8)]
    for c in clients:
        c.send(get("/held"))
    until(lambda: sum(int(r["scur"]) for r in limpet.stat_rows() if r["type"] == "2") == 8, "eight are open")
    same([r["scur"] for r in limpet.stat_rows() if r["type"] == "2"], ["4", "4"], "four each")
    same(limpet.ask_stats("shutdown sessions server chat/A"), "\n", "answer")
    until(lambda: [r["scur"] for r in limpet.stat_rows() if r["type"] == "2"] == ["0", "4"], "A's are closed")
    ended = 0
    for c in clients:
        c.sock.settimeout(0.2)
        try:
            ended += c.sock.recv(1000) is not None
        except ConnectionResetError:
            ended += 1
        except OSError:
            pass
    same(ended, 4, "connections that ended")


@case("disable health: no more checks, and the server keeps its state; enable health checks it again")
def _(t):
    limpet = cluster(t)
    same(limpet.ask_stats("disable health chat/A"), "\n", "answer")
    seen = []

    def quiet():
        seen.append(t.servers[0].accepts)
        return len(seen) > 30 and len(set(seen[-30:])) == 1
    until(quiet, "no check comes any more")
    same([r["status"] for r in limpet.stat_rows() if r["svname"] == "A"], ["no check"], "its state")
    t.servers[0].down()
    limpet.ask_stats("enable health chat/A")
    until(lambda: [r["status"][:4] for r in limpet.stat_rows() if r["svname"] == "A"] == ["DOWN"], "found down")
    same(limpet.ask_stats("enable agent chat/A"), "Agent was not configured on this server, cannot enable.\n\n", "agent")


@case("show info tells what is: limits, connections, rates, bytes, warnings")
def _(t):
    limpet = cluster(t)
    have = info(limpet)
    soft = resource.prlimit(limpet.process.pid, resource.RLIMIT_NOFILE)[0]
    same((have["Ulimit-n"], have["Maxsock"], have["Listeners"]), (str(soft), str(soft), "4"), "limits and listeners")
    check(0 <= int(have["Idle_pct"]) <= 100 and int(have["BootTime_ms"]) < 60000, have)
    clients = [t.connect() for _ in range(5)]
    for c in clients:
        c.ask(get())
    have = info(limpet)
    same((have["CurrConns"], have["CumConns"], have["CumReq"], have["Stopping"]), ("5", "5", "5", "0"), "connections")
    same(int(have["Jobs"]), 5 + 4 + 1, "jobs: connections, listeners, ourselves")
    check(int(have["TotalBytesOut"]) > 5 * 30, have["TotalBytesOut"])
    until(lambda: info(limpet)["MaxConnRate"] != "0", "rates are taken")
    held = until(lambda: [c.ask(get()) for c in clients] and
                 (int(info(limpet)["BytesOutRate"]) > 0) and info(limpet), "bytes per second")
    check(int(held["CumReq"]) > 5, "more requests")
    text = limpet.ask_stats("show info desc")
    check(re.search(r'^Pid: %d:"process id"$' % limpet.process.pid, text, re.M), text[:300])
    text = limpet.ask_stats("show info typed desc")
    check(re.search(r'^6\.Pid\.1:SGP:u32:%d:"process id"$' % limpet.process.pid, text, re.M), text[:300])
    check(re.search(r"^Uptime_sec: \d+\.\d{6}$", limpet.ask_stats("show info float"), re.M), "float")


@case("show startup-logs: the warnings of the last load, a reload that failed too")
def _(t):
    limpet = cluster(t)
    first = limpet.ask_stats("show startup-logs")
    limpet.write((CONFIG % "").replace("rise: 1", "rsie: 1"))
    limpet.ask_stats("reload")
    said = limpet.ask_stats("show startup-logs")
    check("unknown key 'rsie'" in said and "limpet.yaml:" in said, said)
    limpet.write(CONFIG % "")
    limpet.ask_stats("reload")
    same(limpet.ask_stats("show startup-logs"), first, "as at the start")
    same(str(first.count("warning:")), info(limpet)["TotalWarnings"], "TotalWarnings")


@case("show config tells where each value stands in the file, and which are defaults")
def _(t):
    limpet = cluster(t)
    text = limpet.ask_stats("show config")
    path = limpet.path
    for want in (r"^  threads: 2  # %s:2$", r"^    health_check: \{.*\}  # %s:13$", r'^      "B": \{.*\}  # %s:14$',
                 r"^    balance: round_robin  # %s:11$"):
        check(re.search(want % re.escape(path), text, re.M), "%s is not in\n%s" % (want, text))
    check(re.search(r"^    retries: \d+  # default$", text, re.M), text)
    limpet.write(text.rstrip("\n") + "\n")        # it is a configuration, too
    check(limpet.ask_stats("reload").startswith("Success=1"), "it loads")


@case("show pools, activity, proc, libs, fd, env, schema, echo, version")
def _(t):
    limpet = cluster(t)
    clients = [t.connect() for _ in range(6)]
    for c in clients:
        c.ask(get())
    pools = re.findall(r"^  - Pool client \((\d+) bytes\) : (\d+) allocated \((\d+) bytes\), (\d+) used.*thread (\d)$",
                       limpet.ask_stats("show pools"), re.M)
    same([p[4] for p in pools], ["0", "1"], "threads")
    same(sum(int(p[3]) for p in pools), 6, "clients in use")
    for p in pools:
        same(int(p[0]) * int(p[1]), int(p[2]), "bytes")
    text = limpet.ask_stats("show pools")
    same([int(size) >> 10 for size in re.findall(r"^  - Pool spare_buffer \((\d+) bytes\)", text, re.M)],
         [16, 32, 64, 128, 256] * 2, "KiB of spare buffers")
    same(int(re.search(r"^Total: (\d+) pools, \d+ bytes allocated, \d+ used\.$", text, re.M).group(1)),
         len(re.findall("^  - Pool ", text, re.M)), "their number")
    activity = limpet.ask_stats("show activity")
    numbers = [int(n) for n in re.search(r"^accepted: (\d+) \[ (\d+) (\d+) \]$", activity, re.M).groups()]
    same((numbers[0], numbers[1] + numbers[2]), (6, 6), activity)
    proc = limpet.ask_stats("show proc").split("\n")
    same(proc[2].split()[:3], [str(limpet.process.pid), "worker", "0"], "proc")
    limpet.ask_stats("reload")
    same(limpet.ask_stats("show proc").split("\n")[2].split()[2], "1", "reloads")
    check("libc.so" in limpet.ask_stats("show libs"), "libs")
    until(lambda: abs(limpet.ask_stats("show fd").count("\n") - 1 - limpet.fds()) <= 3, "as many descriptors")
    same(limpet.ask_stats("show env A"), "A=%s\n\n" % t.env["A"], "env")
    same(limpet.ask_stats("echo hello  there"), "hello there\n\n", "echo")
    schema = json.loads(limpet.ask_stats("show schema json"))
    check("definitions" in schema, "schema")
    check(re.search(r"^  health_check: ", limpet.ask_stats("show schema"), re.M), "the configuration's keys")
    for command in ("show pools", "show activity", "show libs", "show schema", "show proc", "show env", "show fd"):
        check("\n\n" not in limpet.ask_stats(command)[:-2], "an empty line in " + command)


@case("a secret in the environment is not shown")
def _(t):
    for _ in "AB":
        t.echo()
    limpet = t.limpet(CONFIG % "", COOKIE_KEY="hush-hush", MY_PASSWORD="hush-hush", api_token="hush-hush", LINES_HERE="a\n\nb")
    text = limpet.ask_stats("show env")
    check("hush" not in text and "COOKIE_KEY=***" in text, "secrets")
    check("LINES_HERE=a..b\n" in text, "one line each")
    same(limpet.ask_stats("show env HOME", os.path.join(limpet.directory, "operator.sock")), "Permission denied\n\n",
         "an operator")


def validate(schema, value, node):
    """As much of JSON Schema as ours uses; raises what is wrong."""
    if "$ref" in node:
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
    for part in node.get("allOf", ()):
        validate(schema, value, part)
    kinds = node.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    kind = {dict: "object", list: "array", int: "integer", str: "string"}[type(value)]
    check(not kinds or kind in kinds, "%r is not %s" % (value, kinds))
    check("enum" not in node or value in node["enum"], "%r is none of %s" % (value, node.get("enum")))
    check("minimum" not in node or value >= node["minimum"], "%r is too small" % value)
    for name in node.get("required", ()):
        check(name in value, "%s is missing" % name)
    for name, sub in node.get("properties", {}).items():
        if name in value:
            validate(schema, value[name], sub)
    for item in value if isinstance(value, list) else ():
        validate(schema, item, node.get("items", {}))


@case("show schema json describes show info json and show stat json")
def _(t):
    limpet = cluster(t)
    schema = json.loads(limpet.ask_stats("show schema json"))
    for command, title in (("show info json", "Info"), ("show stat json", "Stat")):
        node = [n for n in schema["oneOf"] if n["title"] == title][0]
        value = json.loads(limpet.ask_stats(command))
        check(len(value) > 3, command)
        validate(schema, value, node)
    try:
        validate(schema, [{"field": {"pos": -1, "name": "x"}}], schema["oneOf"][0])
    except Exception:
        return
    check(False, "a wrong value must be refused")


@case("an unknown command is told with the nearest ones, few of them")
def _(t):
    limpet = cluster(t)
    for typed, want in (("shwo stat", "show stat"), ("show sat", "show stat"), ("set maxcon frontend web 3", "set maxconn"),
                        ("disable", "disable server"), ("show", "show info")):
        text = limpet.ask_stats(typed)
        check(re.search(r"^  " + want, text, re.M), "%s: %s" % (typed, text))
        check(re.search(r"^  quit ", text, re.M), "always quit")
    check(limpet.ask_stats("frobnicate everything").count("\n") <= 6, "no list of everything")
    check("clear counters" in limpet.ask_stats("help"), "help")
    same(limpet.ask_stats("help show backend").split("\n")[1][:14], "  show backend", "help of one")


main()
