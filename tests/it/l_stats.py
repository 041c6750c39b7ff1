#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The stats socket: one command, its answer, and the end; show info, stat, table, sess, reload."""
import re
import os

from lib import *
from lib.engine import *

STAT_HEADER = (
    "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,"
    "weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,")


def limpet_with_stats(t, **kw):
    return Two(t, **kw)


@case("show info: lines of a key and a value, those that tools ask for among them")
def _(t):
    limpet = Two(t).limpet
    text = limpet.ask_stats("show info")
    lines = [l for l in text.split("\n") if l]
    have = {}
    for line in lines:
        key, colon, value = line.partition(": ")
        check(colon, "not a key and a value: %r" % line)
        have[key] = value
    for key in ("Name", "Version", "Pid", "Uptime", "Uptime_sec", "Maxconn", "CurrConns", "Nbthread", "node"):
        check(key in have, "%s is missing in %r" % (key, list(have)))
    same(int(have["Pid"]), limpet.process.pid, "Pid")
    check(have["node"], "node is empty")
    for line in lines[:[l.split(":")[0] for l in lines].index("Uptime_sec") + 1]:
        same(line.count(":"), 1, "colons in %r" % line)      # a monitor splits at every one
    check(text.endswith("\n"), "ends with a line's end")


@case("show stat: the header's first columns, a comma at every line's end, as many columns in every row")
def _(t):
    two = Two(t)
    text = two.limpet.ask_stats("show stat")
    lines = [l for l in text.split("\n") if l]
    check(lines[0].startswith(STAT_HEADER), lines[0])
    commas = lines[0].count(",")
    for line in lines:
        check(line.endswith(","), line)
        same(line.count(","), commas, "commas in %r" % line)
    rows_ = two.limpet.stat_rows()
    same([(r["pxname"], r["svname"]) for r in rows_],
         [("web", "FRONTEND"), ("chat", "A"), ("chat", "B"), ("chat", "BACKEND")], "rows")
    same([r["type"] for r in rows_], ["0", "2", "2", "1"], "types")
    same(rows_[0]["status"], "OPEN", "the frontend's status")
    same(rows_[3]["status"], "UP", "the backend's status")
    for r in rows_[1:3]:
        check(r["status"] in ("UP", "no check"), r["status"])


@case("show stat counts what happened: sessions, bytes, statuses, how often each was chosen")
def _(t):
    two = Two(t)
    for n in range(10):
        t.ask(get("/page/%d" % n))
    def counted():
        r = {x["svname"]: x for x in two.limpet.stat_rows()}
        return (int(r["A"]["lbtot"]) + int(r["B"]["lbtot"]) == 10 and int(r["BACKEND"]["hrsp_2xx"]) == 10 and r)
    r = until(counted, "ten requests are counted")
    same((r["A"]["lbtot"], r["B"]["lbtot"]), ("5", "5"), "lbtot")
    same((r["A"]["hrsp_2xx"], r["FRONTEND"]["hrsp_2xx"]), ("5", "10"), "hrsp_2xx")
    check(int(r["FRONTEND"]["stot"]) >= 10 and int(r["FRONTEND"]["bin"]) > 300 and
          int(r["FRONTEND"]["bout"]) > 300, r["FRONTEND"])
    same(r["FRONTEND"]["req_tot"], "10", "req_tot")


@case("show stat names workers host/worker and counts a bad server's answers")
def _(t):
    bad = t.server(serve(lambda m, p: b"nonsense\r\n\r\n"))
    t.env["WORKER"] = bad.port
    limpet = t.limpet("""\
global: {stats: {socket: "unix:${RUN}/stats.sock"}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: app}}
backends: {app: {hosts: {h1: {address: 127.0.0.1, workers: ["${WORKER}"]}}}}
""")
    same(t.ask(get()).status, 502, "status")

    def counted():
        r = {x["svname"]: x for x in limpet.stat_rows()}
        return r["h1/%d" % bad.port]["eresp"] == "1" and r
    until(counted, "eresp is counted; %r" % limpet.stat_rows())


@case("show table: one line per table; its entries tell the server and the time left, and no sid")
def _(t):
    two = Two(t)
    sids = [two.handshake() for _ in range(4)]
    text = two.limpet.ask_stats("show table")
    found = re.search(r"^# table: (\S+), type: \w+, size:(\d+), used:(\d+)$", text, re.M)
    check(found, text)
    same(found.group(3), "4", "used")
    text = two.limpet.ask_stats("show table " + found.group(1))
    entries = re.findall(r"^0x[0-9a-f]+: key=(\S+) .*exp=(\d+)", text, re.M)
    same(len(entries), 4, "entries in %r" % text)
    for _, left in entries:
        check(30000 < int(left) <= 45000, "exp=%s" % left)
    for sid in sids:
        check(sid not in text, "a sid is shown")
    for name in "AB":
        check(re.search(r"server(_key)?=\S*\b%s\b" % name, text), text)
    check("No such table" in two.limpet.ask_stats("show table nonsense"))


@case("show sess: a line for each open connection, none of them with a sid")
def _(t):
    two = Two(t)
    sid = two.handshake()
    c = t.connect()
    c.send(get(UPGRADE + sid, WS_FIELDS))
    same(c.read_response().status, 101, "status")
    text = two.limpet.ask_stats("show sess")
    lines = [l for l in text.split("\n") if l.startswith("0x")]
    mine = [l for l in lines if "src=127.0.0.1:%d" % c.sock.getsockname()[1] in l]
    same(len(mine), 1, "lines for the client in %r" % text)
    for what in ("fe=web", "be=chat", "srv=" + two.owner(sid)):
        check(what in mine[0], mine[0])
    check(sid not in text, "a sid is shown")
    c.close()
    until(lambda: "fe=web" not in two.limpet.ask_stats("show sess"), "the line goes with the client")


@case("an unknown command is told")
def _(t):
    limpet = Two(t).limpet
    check("Unknown command" in limpet.ask_stats("frobnicate"), limpet.ask_stats("frobnicate"))
    check(limpet.ask_stats("show nonsense").strip(), "an answer")


@case("one line, one answer, then the end; commands on one line are parted by an empty line")
def _(t):
    limpet = Two(t).limpet
    text = limpet.ask_stats("show info;show stat")
    blocks = [b for b in text.split("\n\n") if b.strip()]
    same(len(blocks), 2, "blocks")
    check(blocks[1].startswith("# pxname,"), blocks[1][:50])
    c = connect(limpet.directory + "/stats.sock")
    c.send(b"show info\nshow stat\n")
    check(b"# pxname" not in c.read_all(), "a second line is not run")
    c.close()
    c = connect(limpet.directory + "/stats.sock")
    c.drip(b"show info\r\n")
    check(b"Uptime_sec" in c.read_all(), "byte by byte, ended by CRLF")
    c.close()
    c = connect(limpet.directory + "/stats.sock")
    c.send(b"show info")
    c.shut()
    same(c.read_all(), b"", "a line without an end")
    c.close()
    c = connect(limpet.directory + "/stats.sock")
    c.send(b"x" * 100000 + b"\n")
    c.read_all()
    c.close()
    check("Uptime_sec" in limpet.ask_stats("show info"), "all is well after that")


@case("the socket is for its owner alone unless the configuration says otherwise")
def _(t):
    limpet = Two(t).limpet
    mode = os.stat(limpet.directory + "/stats.sock").st_mode & 0o777
    check(mode & 0o007 == 0, oct(mode))


@case("reload through the stats socket: a good file is taken, a bad one told and left")
def _(t):
    two = Two(t)
    text = open(two.limpet.path).read()
    t.server(serve(lambda m, p: ok("new")), name="C")
    two.limpet.write(text.replace('address: "${A}"', 'address: "%s"' % t.env["C"]).replace(
        'address: "${B}"', 'address: "%s"' % t.env["C"]))
    two.limpet.ask_stats("reload")
    until(lambda: t.ask(get()).body == b"new", "the new server serves")
    two.limpet.write(text.replace("stick:", "stickk:"))
    said = two.limpet.ask_stats("reload")
    check("stickk" in said, "the mistake is told: %r" % said)
    same(t.ask(get()).body, b"new", "body")


main()
