#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same bytes to HAProxy's stats socket and to ours, and the same traffic through both: the answers are the same."""
import os
import re
import socket
import time

from lib import *
from lib.haproxy import Haproxy, find_haproxy
from lib.peer import connect

HAPROXY = """\
global
  stats socket ${HA_SOCK}-admin.sock level admin
  stats socket ${HA_SOCK}-operator.sock level operator
  stats socket ${HA_SOCK}-user.sock level user
  nbthread 1
defaults
  mode http
  retries 2
  option redispatch
  option forwardfor
  timeout connect 1s
  timeout client 20s
  timeout server 20s
frontend web
  bind 127.0.0.1:${HA_PORT}
  use_backend dead if { path_beg /dead }
  use_backend cut if { path_beg /cut }
  default_backend chat
backend chat
  balance roundrobin
  option httpchk GET /healthz
  http-check expect status 200-299
  server A ${A} check inter 100ms rise 2 fall 3 weight 100 maxconn 100
  server B ${B} check inter 100ms rise 2 fall 3 weight 100 maxconn 100
backend dead
  server C ${REFUSED} weight 100
backend cut
  server E ${CUT} weight 100
backend tables
  stick-table type ip size 1024 expire 5m
  stick on src
  server D ${A} weight 100
"""
LIMPET = """\
global:
  threads: 1
  stats:
    socket:
      - {address: "unix:${RUN}/limpet-admin.sock", level: admin}
      - {address: "unix:${RUN}/limpet-operator.sock", level: operator}
      - {address: "unix:${RUN}/limpet-user.sock", level: user}
frontends:
  web:
    bind: "127.0.0.1:${PORT}"
    routes:
      - {match: {path_prefix: /dead}, backend: dead}
      - {match: {path_prefix: /cut}, backend: cut}
    backend: chat
backends:
  chat:
    balance: round_robin
    health_check: {http: /healthz, interval: 100ms, rise: 2, fall: 3, status: 200-299}
    max_connections_per_server: 100
    retries: 2
    hosts: {A: "${A}", B: "${B}"}
  dead:
    hosts: {C: "${REFUSED}"}
  cut:
    passive_check: false
    hosts: {E: "${CUT}"}
  tables:
    stick: {ip: {remember: 5m, max_entries: 1024}}
    hosts: {D: "${A}"}
"""


def answer(message, peer):
    path = message.target.decode() if isinstance(message.target, bytes) else message.target
    status = {"/404": 404, "/500": 500, "/301": 301, "/403": 403}.get(path, 200)
    return b"HTTP/1.1 %d Fine\r\nContent-Length: 5\r\n\r\nhello" % status


def cut(peer):
    """Answers what its path asks for, and no more."""
    text = peer.read_request().target
    text = text if isinstance(text, bytes) else text.encode()
    if text == b"/cut/head":
        peer.send(b"HTTP/1.1 200")
    elif text == b"/cut/nonsense":
        peer.send(b"NONSENSE\r\n\r\n")
    peer.close()


def both(t):
    if not find_haproxy():
        raise Skip("haproxy is not installed")
    for name in "AB":
        t.server(serve(answer), name=name)
    t.refused()
    t.server(cut, name="CUT")
    limpet = t.limpet(LIMPET)
    haproxy = Haproxy(t, HAPROXY)
    for name in ("ha", "limpet"):
        until(lambda: [r["check_status"].lstrip("* ") for r in stat(t, name) if r["pxname"] == "chat"][:2] ==
              ["L7OK", "L7OK"], name + " has checked")
    return limpet, haproxy


def talk(t, who, data, level="admin", half=False):
    """Sends DATA (pieces are waited for to be answered) and reads to the end."""
    peer = connect(os.path.join(t.directory, "%s-%s.sock" % (who, level)), name=who)
    pieces = [data] if isinstance(data, bytes) else list(data)
    text = b""
    try:
        for i, piece in enumerate(pieces):
            peer.send(piece)
            if i + 1 < len(pieces):         # an answer comes before the next piece goes
                text += peer.sock.recv(65536)
        if half:
            peer.sock.shutdown(socket.SHUT_WR)
        return text + peer.read_all()
    finally:
        peer.close()


def stat(t, who):
    lines = talk(t, who, b"show stat\n").decode().rstrip("\n").split("\n")
    names = lines[0][2:].split(",")
    return [dict(zip(names, line.split(","))) for line in lines[1:]]


def compare(t, table):
    wrong = []
    for row in table:
        data, kw = row if isinstance(row, tuple) else (row, {})
        theirs, ours = talk(t, "ha", data, **kw), talk(t, "limpet", data, **kw)
        if theirs != ours:
            wrong.append("%r %s\n  HAProxy %r\n  Limpet  %r" % (data, kw, theirs[:500], ours[:500]))
    check(not wrong, "\n".join(wrong))


@case("a session: one line and the end, ';', escapes, prompt, payloads, severities, levels, timeouts")
def _(t):
    _, haproxy = both(t)
    try:
        compare(t, [
            b"show cli level\n", (b"show cli level", {"half": True}), b"show cli level;show cli level\n",
            b"  show   cli\tlevel \n", b"show cli level;quit;show cli level\n", b"quit\n", b"quit;show cli level\n",
            b"prompt\nquit\n", [b"prompt\n", b"quit\n"], [b"prompt\n", b"show cli level\n", b"quit\n"],
            [b"prompt\n", b"show cli level; show cli level\n", b"quit\n"],
            [b"prompt\n", b"disable server chat/A\n", b"enable server chat/A\n", b"quit\n"],
            [b"prompt\n", b"show cli level <<\n", b"abc\n", b"\nquit\n"],
            [b"prompt\n", b"set timeout cli 60\n", b"show cli level\n", b"quit\n"],
            b"show cli level <<\nabc\n\n",
            b"set severity-output number\n", b"set severity-output number;show cli level\n",
            b"set severity-output string;enable server nope/b\n", b"set severity-output number;enable server chat/b\n",
            b"set severity-output none;enable server chat/b\n",
            b"set severity-output foo\n", b"set severity-output\n",
            b"set severity-output number;disable frontend web;disable frontend web;enable frontend web\n",
            b"set severity-output number;set weight chat/A 999\n", b"set severity-output number;set weight chat/A 100\n",
            b"set timeout cli 5\n", b"set timeout cli\n", b"set timeout cli x\n", b"set timeout cli 0\n",
            b"set timeout cli 10s\n", b"set timeout foo 3\n", b"set timeout\n",
            (b"show cli level\n", {"level": "user"}), (b"disable server chat/A\n", {"level": "user"}),
            (b"operator\n", {"level": "user"}), (b"show sess\n", {"level": "user"}), (b"show fd\n", {"level": "user"}),
            (b"clear counters all\n", {"level": "operator"}), (b"disable frontend web\n", {"level": "operator"}),
            (b"set maxconn global 10\n", {"level": "operator"}),
            b"user;show cli level\n", b"operator;show cli level;disable server chat/A\n",
        ])
    finally:
        haproxy.stop()


@case("lines that are too long or have too many words, and a line that comes byte by byte")
def _(t):
    _, haproxy = both(t)
    try:
        compare(t, [b"show cli level" + b" " * 8000 + b"\n", b"get weight " + b"x" * 8000 + b"\n",
                    [b"prompt\n"] + [b"show cli level\n"] * 20 + [b"quit\n"]])
        line = b"set severity-output number;enable server chat/x\n"
        same(talk(t, "ha", line), b"\n[3]: No such server.\n\n", "HAProxy")
        peer = connect(os.path.join(t.directory, "limpet-admin.sock"), name="limpet")
        for byte in line:               # HAProxy 2.6 forgets about some of these on a busy machine
            peer.send(bytes([byte]))
        same(peer.read_all(), b"\n[3]: No such server.\n\n", "byte by byte")
        peer.close()
        said = talk(t, "limpet", b"show " + b"x" * 20000 + b"\n")
        same(said, b"The line is too long.\n\n", "a line over 16 kB")
    finally:
        haproxy.stop()


@case("what commands say, right and wrong, is the same to the byte")
def _(t):
    _, haproxy = both(t)
    try:
        compare(t, [
            b"disable server\n", b"disable server chat\n", b"disable server chat/X\n", b"disable server x/A\n",
            b"disable server chat/A\n", b"enable server chat/A\n",
            b"set server chat/A state\n", b"set server chat/A state up\n",
            b"set server chat/A state drain\n", b"set server chat/A state maint\n", b"set server chat/A state ready\n",
            b"set server chat/X state ready\n", b"set server chat state ready\n",
            b"get weight chat/A\n", b"get weight chat/X\n", b"get weight\n", b"set weight chat/A\n",
            b"set weight chat/A -1\n", b"set weight chat/A 257\n", b"set weight chat/A 50;get weight chat/A\n",
            b"set weight chat/A 50%;get weight chat/A\n", b"set weight chat/A 101%\n", b"set weight chat/A 100%\n",
            b"disable frontend\n", b"disable frontend nope\n", b"enable frontend web\n", b"enable frontend nope\n",
            b"disable frontend web;disable frontend web\n", b"enable frontend web;enable frontend web\n",
            b"set maxconn frontend\n", b"set maxconn frontend web\n", b"set maxconn frontend web -1\n",
            b"set maxconn frontend nope 1\n", b"set maxconn frontend web 50\n",
            b"set maxconn global\n", b"set maxconn global 99999999\n", b"set maxconn global 100\n",
            b"set maxconn global 0\n", b"set maxconn server chat/A 7\n", b"set maxconn server chat/A\n",
            b"shutdown session\n", b"shutdown session 0x12\n", b"shutdown sessions server\n",
            b"shutdown sessions server chat/X\n", b"shutdown sessions server chat/A\n", b"show sess 0x1\n",
            b"enable health chat/A\n", b"disable health chat/A;enable health chat/A\n", b"enable health\n",
            b"enable agent chat/A\n", b"disable agent chat/A\n", b"enable agent x\n", b"enable agent chat/X\n",
            b"show table nope\n", b"show table tables data.foo eq 1\n", b"show table tables data.gpc0 eq 1\n",
            b"show table tables data.server_id\n", b"show table tables data.server_id eq\n", b"show table tables key\n",
            b"show table tables foo\n", b"set table\n", b"set table nope\n", b"set table tables key\n",
            b"set table tables key 1.2.3.4 data.foo 1\n", b"set table tables key 1.2.3.4 data.gpc0 1\n",
            b"set table tables key 1.2.3.4 foo 1\n", b"set table tables data.server_id 1\n",
            b"clear table\n", b"clear table nope\n",
            b"clear table tables foo\n", b"clear table tables key 1.2.3.4\n", b"clear table tables key 4.3.2.1\n",
            b"clear table tables\n", b"clear counters\n", b"clear counters all\n",
            b"show backend\n", b"show servers state nope\n", b"show servers conn nope\n",
            b"show map\n", b"show map x\n", b"show acl x\n", b"show ssl cert\n", b"show peers\n", b"show env NOPE_X\n",
            b"show stat domain foo\n", b"expert-mode\n", b"experimental-mode on\n",
        ])
    finally:
        haproxy.stop()


@case("an idle session ends after its timeout without a word, and a client that sends no line hears nothing")
def _(t):
    _, haproxy = both(t)
    try:
        for who in ("ha", "limpet"):
            for start, said in ((b"prompt\nset timeout cli 1\n", b"\n> \n> "), (b"set timeout cli 1;prompt\n", None)):
                began = time.monotonic()
                text = talk(t, who, [start[:7], start[7:]] if said else start)
                took = time.monotonic() - began
                check(0.7 < took < 3 * SLOW, "%s: ended after %.1f s" % (who, took))
                same(text, said or b"\n\n> ", who)
    finally:
        haproxy.stop()


@case("show servers state and conn: the same rows, but for times")
def _(t):
    _, haproxy = both(t)
    try:
        for command in (b"disable server chat/A\n", b"set server chat/B state drain\n"):
            same(talk(t, "ha", command), talk(t, "limpet", command), command)
        theirs, ours = (talk(t, w, b"show servers state chat\n").decode().split("\n") for w in ("ha", "limpet"))
        same(ours[:2], theirs[:2], "heads")
        for a, b in zip(theirs[2:4], ours[2:4]):
            a, b = a.split(), b.split()
            same(len(b), len(a), "columns")
            same(b[:9] + b[15:18] + b[18:19], a[:9] + a[15:18] + a[18:19], "row")
        theirs, ours = (talk(t, w, b"show servers conn chat\n").decode().split("\n") for w in ("ha", "limpet"))
        same(ours[0].split()[:6], theirs[0].split()[:6], "head of show servers conn")
        same([l.split()[:5] for l in ours[1:3]], [l.split()[:5] for l in theirs[1:3]], "rows of show servers conn")
    finally:
        haproxy.stop()


def requests(port):
    """The same traffic: statuses, keep-alive, errors of the client, servers that cannot be reached."""
    def one(data, count):
        """Sends DATA and reads COUNT answers of our servers; 0: to the end."""
        with socket.create_connection(("127.0.0.1", port), 5) as s:
            s.settimeout(10)
            s.sendall(data)
            got = b""
            while not count or got.count(b"\r\n\r\nhello") < count:
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
    head = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
    one(b"".join(head % p for p in (b"/", b"/404", b"/500", b"/301", b"/")), 5)
    for _ in range(5):
        one(head % b"/", 1)
    one(b"GET / HTTP/1.1\r\nHost: x\r\nBad header\r\n\r\n", 0)
    for path in (b"/dead", b"/cut/head", b"/cut/nonsense", b"/cut/nothing"):
        one((head % path)[:-2] + b"Connection: close\r\n\r\n", 0)


# Columns that must be the same after the same traffic, by type of row.
SAME = {
    "0": "pxname svname qcur qmax scur stot dreq dresp ereq econ eresp wretr wredis status weight act bck pid iid "
         "sid type rate_lim hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other req_tot mode conn_tot "
         "dcon dses comp_in comp_out lastsess check_status algo addr cookie wrew eint",
    "1": "pxname svname qcur qmax scur smax stot dreq dresp ereq econ eresp wretr wredis status weight uweight act bck "
         "chkdown pid iid sid lbtot type hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx hrsp_5xx hrsp_other req_tot cli_abrt "
         "srv_abrt mode algo lastsess downtime wrew eint",
    "2": "pxname svname qcur qmax scur smax slim dreq dresp ereq econ eresp wretr wredis status weight uweight act bck "
         "chkfail chkdown qlimit pid iid throttle tracked type check_status check_code check_desc check_rise "
         "check_fall check_health agent_status agent_code agent_rise mode addr cookie hrsp_1xx hrsp_other lastsess "
         "cli_abrt srv_abrt downtime wrew eint",
}


@case("show stat: the same traffic, the same counts in every column that can be compared")
def _(t):
    limpet, haproxy = both(t)
    try:
        requests(haproxy.port)
        requests(t.port)
        def counted(who):
            front = stat(t, who)[0]
            return (front["req_tot"], front["scur"]) == ("15", "0")
        until(lambda: counted("ha") and counted("limpet"), "both have counted, and nobody is connected")
        wrong = []
        for theirs, ours in zip(stat(t, "ha"), stat(t, "limpet")):
            same((ours["pxname"], ours["svname"]), (theirs["pxname"], theirs["svname"]), "order of rows")
            # A server that is not checked may be down here, for traffic and probes tell too; and numbers of servers
            # are unique in the process, not in a backend.
            unlike = {"chkdown", "downtime"} if theirs["type"] == "2" and not theirs["check_status"] else set()
            if theirs["pxname"] == "dead":      # a server that refuses is down at once here, and not tried again
                unlike |= {"status", "weight", "act", "wretr", "wredis", "lbtot", "chkdown", "downtime", "last_chk"}
            for name in set(SAME[theirs["type"]].split()) - unlike:
                a, b = theirs[name].replace("* ", ""), ours[name].replace("* ", "")
                if name == "check_code" and "0" in (a, b):      # a check is under way
                    continue
                if name == "lastsess":          # HAProxy waits a second before it tries again
                    a, b = a == "-1", b == "-1"
                if a != b:
                    wrong.append("%s/%s %s: HAProxy %r, Limpet %r" % (ours["pxname"], ours["svname"], name, a, b))
            empty = {n for n in ours if (ours[n] == "") != (theirs[n] == "")} - unlike
            if empty - {"last_chk", "check_duration", "check_code"}:
                wrong.append("%s/%s: empty in one alone: %s" % (ours["pxname"], ours["svname"], empty))
        check(not wrong, "\n".join(wrong))
        front = stat(t, "limpet")[0]
        check(1 <= int(front["smax"]) <= 3, "smax of the frontend: %s" % front["smax"])
        until(lambda: 1 <= int(stat(t, "limpet")[0]["req_rate_max"]) <= 15, "the highest rate is told")
        two = [[sum(int(r[n]) for r in stat(t, w) if r["type"] == "2" and r["pxname"] == "chat")
                for n in ("stot", "req_tot", "lbtot", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx")] for w in ("ha", "limpet")]
        same(two[1], two[0], "sums over the servers")
    finally:
        haproxy.stop()


@case("show info: the keys of HAProxy in its order, and of the same types")
def _(t):
    _, haproxy = both(t)
    try:
        keys = []
        for who in ("ha", "limpet"):
            lines = talk(t, who, b"show info typed\n").decode().split("\n")
            keys.append([l.split(":")[0].split(".", 1)[1].rsplit(".", 1)[0].replace("Splicded", "Spliced")
                         for l in lines if l])
        same(keys[1][:len(keys[0])], keys[0], "keys")
        a, b = (talk(t, w, b"show info\n").decode().split("\n") for w in ("ha", "limpet"))
        same([l.split(": ")[0] for l in b if l][:10], [l.split(": ")[0] for l in a if l][:10], "lines")
    finally:
        haproxy.stop()


main()
