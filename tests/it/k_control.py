#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The stats socket's commands, levels and limits, and limpetctl."""
import json
import os
import re
import subprocess

from lib import *
from lib.engine import *
from lib.peer import connect

CONFIG = """\
global:
  threads: 2
  stats:
    socket:
      - {address: "unix:${RUN}/stats.sock", level: admin}
      - {address: "unix:${RUN}/operator.sock", level: operator, mode: "0666"}
      - {address: "127.0.0.1:${PORT_STATS}", level: user}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: chat}}
backends:
  chat:
    balance: round_robin
    stick: [engineio, {ip: {remember: 5m}}]
    health_check: {http: /healthz, interval: 50ms, rise: 2, fall: 2}
    hosts:
      A: {address: "${A}"}
      h2: {address: 127.0.0.1, workers: ["${W1}", "${W2}"]}
"""

STAT = ("pxname svname qcur qmax scur smax slim stot bin bout dreq dresp ereq econ eresp wretr wredis status weight act "
        "bck chkfail chkdown lastchg downtime qlimit pid iid sid throttle lbtot tracked type rate rate_lim rate_max "
        "check_status check_code check_duration hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other hanafail "
        "req_rate req_rate_max req_tot cli_abrt srv_abrt comp_in comp_out comp_byp comp_rsp lastsess last_chk last_agt "
        "qtime ctime rtime ttime agent_status agent_code agent_duration check_desc agent_desc check_rise check_fall "
        "check_health agent_rise agent_fall agent_health addr cookie mode algo").split()


def cluster(t):
    """Three workers that are healthy, and answer with their names."""
    def worker(name):
        return t.server(serve(lambda m, p: ok(name)), name=name)
    worker("A")
    for name in ("W1", "W2"):
        t.env[name] = str(worker(name).port)
    limpet = t.limpet(CONFIG, ports=("PORT", "PORT_STATS"))
    until(lambda: all(r["status"] == "UP" and r["check_status"].endswith("L7OK")
                      for r in limpet.stat_rows() if r["type"] == "2"), "all are checked")
    return limpet


def ask(limpet, command, sock="stats.sock"):
    return limpet.ask_stats(command, sock if isinstance(sock, int) else
                            os.path.join(limpet.directory, sock))


def table(text):
    """Rows of an answer whose first line is "# name name ..."."""
    lines = [l for l in text.split("\n") if l]
    names = lines[0][2:].split()
    return [dict(zip(names, l.split())) for l in lines[1:]]


def limpetctl(limpet, *args, stdin=None, env=None, sock="stats.sock"):
    for top in (os.environ.get("top_builddir"), os.path.dirname(find_limpet())):
        path = os.path.join(top or ".", "limpetctl")
        if os.access(path, os.X_OK):
            break
    else:
        raise Skip("limpetctl is not built")
    e = dict(os.environ, LIMPET_SOCKET=os.path.join(limpet.directory, sock), **(env or {}))
    done = subprocess.run([path] + list(args), input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=20, env=e, text=True)
    return done.returncode, done.stdout, done.stderr


@case("drain, maint and ready: what show stat, servers state, hosts and workers say, and where requests go")
def _(t):
    limpet = cluster(t)
    w1 = "chat/h2/" + t.env["W1"]
    same(ask(limpet, "set server %s state drain" % w1), "\n", "answer")
    row = {r["svname"]: r for r in limpet.stat_rows()}[w1[5:]]
    same((row["status"], row["weight"], row["uweight"]), ("DRAIN", "0", "100"), "drain")
    state = [l.split() for l in ask(limpet, "show servers state chat").split("\n") if " %s " % w1[5:] in l]
    same(state[0][5:7], ["2", "8"], "drain in the state file")
    hosts = {r["host"]: r for r in table(ask(limpet, "show hosts"))}
    same((hosts["h2"]["up"], hosts["h2"]["drain"], hosts["h2"]["status"]), ("1", "1", "UP"), "host")
    ask(limpet, "set server %s state maint;disable server chat/A" % w1)
    row = {r["svname"]: r for r in limpet.stat_rows()}
    same([row[n]["status"] for n in (w1[5:], "A")], ["MAINT", "MAINT"], "maint")
    state = [l.split() for l in ask(limpet, "show servers state").split("\n") if " A " in l]
    same(state[0][5:7], ["0", "1"], "maint in the state file")
    same({t.ask(get()).body for _ in range(6)}, {b"W2"}, "who serves")
    ask(limpet, "clear table chat/ip;enable server chat/A;set server %s state ready" % w1)
    same([w["status"] for w in table(ask(limpet, "show workers chat"))], ["UP"] * 3, "workers")


@case("errors are told in HAProxy's words")
def _(t):
    limpet = cluster(t)
    for command, want in (
            ("set server chat/nope state ready", "No such server."),
            ("set server nope/A state ready", "No such backend."),
            ("set server chat state ready", "Require 'backend/server'."),
            ("set server chat/A state up", "'set server <srv> state' expects 'ready', 'drain' and 'maint'."),
            ("show table nope", "No such table"),
            ("show table chat/ip key nonsense", "Invalid key"),
            ("show table chat/ip data.gpc0 eq 1", "Filter entry #1: Data type not stored in this table"),
            ("show table chat/ip data.frob eq 1", "Filter entry #1: Unknown data type"),
            ("shutdown session 0x1", "No such session (use 'show sess')."),
            ("set timeout cli", "Expects an integer value."),
            ("set timeout cli 3x", "Invalid timeout value."),
            ("a " * 65, "Too many arguments. Commands must have at most 64 arguments.")):
        same(ask(limpet, command), want + "\n\n", command)
    check(ask(limpet, "frob").startswith("Unknown command: 'frob'"), "frob")
    check("show stat" in ask(limpet, "shwo stat"), "the nearest is named")
    same(ask(limpet, "set severity-output number;enable server chat/x"), "\n[3]: No such server.\n\n", "severity")


@case("levels: a user sees no address and changes nothing, an operator no more than looks")
def _(t):
    limpet = cluster(t)
    t.ask(get())
    user = t.env["PORT_STATS"]
    rows_ = [dict(zip(STAT, l.split(","))) for l in ask(limpet, "show stat", user).split("\n")[1:] if l]
    same({(r["addr"], r["cookie"], r["algo"]) for r in rows_}, {("", "", "")}, "blank columns")
    check(t.env["W1"] not in ask(limpet, "show workers", user).replace("h2 " + t.env["W1"], ""), "addresses")
    check("insufficient privileges" in ask(limpet, "show table chat/ip", user), "table")
    check("127.0.0.1" not in ask(limpet, "show table chat/ip", user), "entries")
    for command in ("reload", "set server chat/A state maint", "show sess", "clear table chat/ip",
                    "show config", "operator"):
        same(ask(limpet, command, user), "Permission denied\n\n", command)
    check("key=127.0.0.1" in ask(limpet, "show table chat/ip", "operator.sock"), "an operator's table")
    for command in ("reload", "disable server chat/A", "shutdown session 0x1", "clear counters all"):
        same(ask(limpet, command, "operator.sock"), "Permission denied\n\n", command)
    same(ask(limpet, "operator;reload"), "\nPermission denied\n\n", "lowered")
    same(os.stat(limpet.directory + "/operator.sock").st_mode & 0o777, 0o666, "mode")
    same(ask(limpet, "show cli level", user), "user\n\n", "level")
    same(ask(limpet, "show cli sockets").count("\n"), 5, "three sockets")


@case("typed and json say the same as the CSV")
def _(t):
    limpet = cluster(t)
    for _ in range(3):
        t.ask(get())
    fixed = ("pxname", "svname", "status", "iid", "sid", "type", "req_tot", "hrsp_2xx", "mode")
    csv = {(r["iid"], r["sid"]): {k: r[k] for k in fixed if r[k] != ""} for r in limpet.stat_rows()}
    typed = {}
    for line in ask(limpet, "show stat typed").split("\n"):
        if line:
            where, tag, kind, value = line.split(":", 3)
            letter, iid, sid, pos, name, process = where.split(".")
            check(len(tag) == 3 and kind in ("u32", "u64", "s32", "str"), line)
            if name in fixed:
                typed.setdefault((iid, sid), {})[name] = value
    same(typed, csv, "typed")
    have = {}
    for row in json.loads(ask(limpet, "show stat json")):
        for cell in row:
            if cell["field"]["name"] in fixed:
                have.setdefault((str(cell["proxyId"]), str(cell["id"])), {})[
                    cell["field"]["name"]] = str(cell["value"]["value"])
    same(have, csv, "json")
    info = {c["field"]["name"]: c["value"]["value"] for c in json.loads(ask(limpet, "show info json"))}
    same(info["Pid"], limpet.process.pid, "Pid")
    check("6.Pid.1:SGP:u32:%d\n" % limpet.process.pid in ask(limpet, "show info typed"), "typed info")


@case("show stat takes a proxy, a mask of types and a server")
def _(t):
    limpet = cluster(t)

    def names(command):
        return [tuple(l.split(",")[:2]) for l in ask(limpet, command).split("\n")[1:] if l]
    same(len(names("show stat -1 4 -1")), 3, "servers")
    same(names("show stat -1 1 -1"), [("web", "FRONTEND")], "frontends")
    same(names("show stat chat 2 -1"), [("chat", "BACKEND")], "one backend")
    same(names("show stat chat 4 1"), [("chat", "A")], "one server")
    same(names("show stat nope 7 -1"), [], "no such proxy")
    ask(limpet, "disable server chat/A")
    same(len(names("show stat -1 4 -1 up")), 2, "up")
    same(len(names("show stat -1 4 -1 no-maint")), 2, "no-maint")


@case("check columns follow the health checks, and a dead worker is DOWN in every list")
def _(t):
    limpet = cluster(t)
    row = {r["svname"]: r for r in limpet.stat_rows()}["A"]
    same((row["check_code"], row["check_rise"], row["check_fall"], row["check_health"], row["check_desc"]),
         ("200", "2", "2", "3", "Layer7 check passed"), "checked")
    t.servers[0].down()
    row = until(lambda: [r for r in limpet.stat_rows() if r["svname"] == "A" and
                         r["status"].startswith("DOWN")], "A is down")[0]
    same((row["weight"], row["uweight"], row["chkdown"]), ("0", "100", "1"), "A")
    hosts = {r["host"]: r for r in table(ask(limpet, "show hosts"))}
    same((hosts["A"]["status"], hosts["A"]["down"], hosts["h2"]["status"]), ("DOWN", "1", "UP"), "hosts")
    same([l.split()[5] for l in ask(limpet, "show servers state").split("\n")[2:] if " A " in l], ["0"], "op state")


@case("show table finds by key, by hash and by server; clear table removes")
def _(t):
    two = Two(t)
    limpet = two.limpet
    sids = [two.handshake() for _ in range(6)]
    entries = re.findall(r"^0x[0-9a-f]+: key=(~[0-9a-f]{32}) use=0 exp=\d+ shard=0 server_id=(\d) server_key=(\w)$",
                         ask(limpet, "show table chat/engineio"), re.M)
    same(len(entries), 6, "entries")
    one = ask(limpet, "show table chat key " + sids[0])
    check(sids[0] not in one, "a sid is shown")
    hash_ = re.search(r"key=(~\w+)", one).group(1)
    check(hash_ in [e[0] for e in entries], "the same hash")
    same(re.search(r"server_key=(\w)", one).group(1), two.owner(sids[0]), "its server")
    same(ask(limpet, "show table chat key " + hash_).count("key=~"), 1, "by hash")
    same(ask(limpet, "show table chat key " + hash_[:17]).count("key=~"), 1, "as the log has it")
    for op, want in (("eq", {"1"}), ("ne", {"2"}), ("lt", set()), ("gt", {"2"}), ("le", {"1"}), ("ge", {"1", "2"})):
        have = set(re.findall(r"server_id=(\d)", ask(limpet, "show table chat data.server_id %s 1" % op)))
        same(have, want, op)
    rows_ = table(ask(limpet, "show sessions chat"))
    same({r["sid"] for r in rows_}, {e[0][:17] for e in entries}, "sessions: the first half")
    same({r["state"] for r in rows_}, {"idle"}, "states")
    same(ask(limpet, "clear table chat key " + hash_), "\n", "answer")
    check("used:5" in ask(limpet, "show table"), "one is gone")
    ask(limpet, "clear table chat data.server_id eq 1")
    left = set(re.findall(r"server_id=(\d)", ask(limpet, "show table chat")))
    same(left, {"2"}, "left")
    ask(limpet, "clear table chat")
    check("used:0" in ask(limpet, "show table"), "all are gone")
    live = {w["worker"]: w["sessions"] for w in table(ask(limpet, "show workers"))}
    same(set(live.values()), {"0"}, "sessions counted")


@case("show sess and shutdown session reach a connection on any thread")
def _(t):
    limpet = cluster(t)
    clients = [t.connect() for _ in range(8)]
    for c in clients:
        c.ask(get())

    def ids():
        return re.findall(r"^(0x[0-9a-f]+): proto=tcpv4 src=127\.0\.0\.1:(\d+) fe=web",
                          ask(limpet, "show sess"), re.M)
    same(sorted(int(p) for _, p in ids()), sorted(c.sock.getsockname()[1] for c in clients), "ports")
    for c in clients[::2]:
        mine = [i for i, port in ids() if int(port) == c.sock.getsockname()[1]]
        check(ask(limpet, "show sess " + mine[0]).startswith(mine[0]), "one")
        same(ask(limpet, "shutdown session " + mine[0]), "\n", "answer")
        same(c.read_all(), b"", "the end")
    same(len(ids()), 4, "left")
    clients[1].ask(get())


@case("clear counters all, then everything counts from zero")
def _(t):
    limpet = cluster(t)
    for _ in range(4):
        t.ask(get())
    until(lambda: limpet.stat_rows()[0]["req_tot"] == "4", "four requests")
    ask(limpet, "clear counters all")
    same(limpet.stat_rows()[0]["req_tot"], "0", "after it")
    t.ask(get())
    until(lambda: limpet.stat_rows()[0]["req_tot"] == "1", "one request")


@case("ten connections are served, the eleventh waits for one to go")
def _(t):
    limpet = cluster(t)
    path = os.path.join(limpet.directory, "stats.sock")
    held = [connect(path) for _ in range(10)]
    for c in held:
        c.send(b"prompt\n")
        same(c.read(3), b"\n> ", "prompt")
    late = connect(path)
    late.send(b"show cli level\n")
    late.sock.settimeout(0.2)
    try:
        said = late.sock.recv(100)
    except OSError:
        said = None
    same(said, None, "the eleventh")
    same(ask(limpet, "show cli level", "operator.sock"), "operator\n\n", "another socket")
    held[0].close()
    same(late.read_all(), b"admin\n\n", "then it is served")
    for c in held[1:] + [late]:
        c.close()


@case("an answer of 12 MB to a reader that stops costs little memory, and is complete")
def _(t):
    two = Two(t)
    limpet = two.limpet
    n = 300
    for _ in range(n):
        two.handshake()
    same(len(re.findall("^0x", ask(limpet, "show table chat"), re.M)), n, "entries")
    command = ";".join(["show table chat"] * 400)       # about 12 MB of answer
    before = limpet.rss()
    slow = connect(os.path.join(limpet.directory, "stats.sock"))
    slow.send(command.encode() + b"\n")
    slow.sock.recv(1)
    until(lambda: t.ask(get("/x")).status == 200, "traffic goes on")
    same(ask(limpet, "show cli level"), "admin\n\n", "and so do others")
    check(limpet.rss() - before < (64 if is_sanitized else 4) << 20, "memory")
    text = slow.read_all()
    same(text.count(b"\n0x") , 400 * n, "entries")
    slow.close()


@case("a reload opens and closes stats sockets; the one that asked still hears the answer")
def _(t):
    limpet = cluster(t)
    text = CONFIG.replace("operator.sock", "new.sock").replace("stats.sock", "stats2.sock")
    limpet.write(text)
    said = ask(limpet, "reload")
    check(said.startswith("Success=1\n--\n"), said)
    check("admin" in ask(limpet, "show cli level", "stats2.sock"), "the new one")
    check("operator" in ask(limpet, "show cli level", "new.sock"), "the other new one")
    for name in ("stats.sock", "operator.sock"):
        check(not os.path.exists(os.path.join(limpet.directory, name)), name + " is gone")
    limpet.write(text.replace("health_check", "helth_check"))
    said = ask(limpet, "set severity-output number;reload", "stats2.sock")
    check(said.startswith("\n[3]: Success=0\n--\n") and "helth_check" in said, said)
    check("\n\n" not in said.strip("\n"), "no empty line inside")


@case("limpetctl: raw in a pipe, exit status by success, errors on standard error")
def _(t):
    limpet = cluster(t)
    status, out, err = limpetctl(limpet, "show", "stat")
    same((status, err), (0, ""), "show stat")
    same(out.split("\n")[0], ask(limpet, "show stat").split("\n")[0], "the header")
    same(limpetctl(limpet, "disable server chat/A"), (0, "", ""), "disable")
    same(limpetctl(limpet, "enable server chat/nope"), (1, "", "No such server.\n"), "no such server")
    status, out, err = limpetctl(limpet, "frob")
    check(status == 1 and "Unknown command: 'frob'" in err and out == "", (status, out, err))
    same(limpetctl(limpet, "show cli level; show version")[1].split("\n")[:2], ["admin", ""], "two answers")
    same(limpetctl(limpet, stdin="show cli level\nfrob x\n")[0], 1, "commands from a pipe")
    status, out, err = limpetctl(limpet, "-s", "/nowhere/x.sock", "show info")
    check(status == 2 and "/nowhere/x.sock" in err, (status, err))
    same(limpetctl(limpet, "--frob")[0], 2, "a wrong option")
    same(limpetctl(limpet, "reload", sock="operator.sock")[0], 1, "permission")
    status, out, err = limpetctl(limpet, "-s", "127.0.0.1:%s" % t.env["PORT_STATS"], "show cli level")
    same((status, out), (0, "user\n"), "TCP")


@case("limpetctl: aligned columns on a terminal")
def _(t):
    import pty
    limpet = cluster(t)
    path = os.path.join(os.environ.get("top_builddir") or os.path.dirname(find_limpet()), "limpetctl")
    if not os.access(path, os.X_OK):
        path = os.path.join(os.path.dirname(find_limpet()), "limpetctl")
    ours, theirs = pty.openpty()
    child = subprocess.Popen([path, "-s", os.path.join(limpet.directory, "stats.sock"), "show", "stat"],
                             stdout=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    same(child.wait(10), 0, "status")
    lines = re.sub(r"\x1b\[\d*m", "", text.decode()).replace("\r", "").rstrip("\n").split("\n")
    same(len(lines), 6, "lines of %r" % lines)
    check(lines[0].split()[:3] == ["pxname", "svname", "status"], lines[0])
    check("," not in text.decode() and "qtime" not in lines[0], "the useful columns")
    at = lines[0].index("status")
    for line in lines[1:]:
        check(line[at - 1] == " " and line[at] != " ", "aligned: %r" % line)


main()
