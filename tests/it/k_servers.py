#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers changed on the stats socket: weight, address, limit, state, checks and agents."""
import os

from lib import *
from lib.engine import *
from lib.servers import *


@case("every mistake is told in HAProxy's words, and changes nothing")
def _(t):
    limpet = three(t)
    state = "'set server <srv> state' expects 'ready', 'drain' and 'maint'."
    usage = ("usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | "
             "check-port | health | maxconn | state | weight")
    before = [(r["weight"], r["slim"], r["addr"], r["status"]) for r in limpet.stat_rows()]
    for command, severity, text in (
            ("set server", 3, "Require 'backend/server'."),
            ("set server app", 3, "Require 'backend/server'."),
            ("set server app/", 3, "Require 'backend/server'."),
            ("set server nope/one state ready", 3, "No such backend."),
            ("set server app/nope state ready", 3, "No such server."),
            ("set server app/one", 3, usage),
            ("set server app/one bogus 1", 3, usage),
            ("set server app/one state", 3, state),
            ("set server app/one state up", 3, state),
            ("set server app/one weight", 3, "Require <weight> or <weight%>."),
            ("set server app/one weight x", 3, "Empty weight string empty or preceded by garbage"),
            ("set server app/one weight 5x", 3, "Trailing garbage in weight string"),
            ("set server app/one weight 5%x", 3, "Trailing garbage in weight string"),
            ("set server app/one weight -5%", 3, "Relative weight must be positive."),
            ("set server app/one weight 257", 3, "Absolute weight can only be between 0 and 256 inclusive."),
            ("set server app/one weight -1", 3, "Absolute weight can only be between 0 and 256 inclusive."),
            ("set weight", 3, "Require 'backend/server'."),
            ("set weight app/one", 3, "Require <weight> or <weight%>."),
            ("set weight app/one 99999999999999999999999", 3,
             "Absolute weight can only be between 0 and 256 inclusive."),
            ("get weight app", 3, "Require 'backend/server'."),
            ("get weight app/nope", 3, "No such server."),
            ("set maxconn server app/one", 3, "Require <maxconn>."),
            ("set maxconn server app/one x", 3, "maxconn string empty or preceded by garbage"),
            ("set maxconn server app/one 10x", 3, "Trailing garbage in maxconn string"),
            ("set maxconn server app/one -1", 3, "Value out of range."),
            ("set maxconn server app/one 4294967296", 3, "Value out of range."),
            ("set maxconn server app/nope 1", 3, "No such server."),
            ("set server app/one addr", 3, "set server <b>/<s> addr requires an address and optionally a port."),
            ("set server app/one addr zz", 4, "Invalid addr 'zz'"),
            ("set server app/one addr 127.0.0.1:80", 4, "Invalid addr '127.0.0.1:80'"),
            ("set server app/one addr unix:", 4, "Invalid addr 'unix:'"),
            ("set server app/one addr 127.0.0.9 port x", 4, "problem converting port 'x' to an int"),
            ("set server app/one addr 127.0.0.9 port", 4, "problem converting port '' to an int"),
            ("set server app/one addr 127.0.0.9 port 0", 4, "problem converting port '0' to an int"),
            ("set server app/one addr 127.0.0.9 port 65536", 4, "problem converting port '65536' to an int"),
            ("set server app/one addr 127.0.0.1", 4, "nothing changed"),
            ("set server app/one health", 3, "'set server <srv> health' expects 'up', 'stopping', or 'down'."),
            ("set server app/one agent up", 3, "agent checks are not enabled on this server."),
            ("set server app/one agent-send hello", 3, "agent checks are not enabled on this server."),
            ("set server app/one agent-addr 127.0.0.1", 4, "agent checks are not enabled on this server"),
            ("set server app/one agent-port 80", 4, "agent checks are not enabled on this server"),
            ("set server app/one check-addr 127.0.0.1", 4, "health checks are not enabled on this server"),
            ("set server app/one check-port 80", 4, "health checks are not enabled on this server"),
            ("enable server app", 3, "Require 'backend/server'."),
            ("disable server app/nope", 3, "No such server."),
            ("set host app", 3, "Require 'backend/host'."),
            ("set host nope/one maint", 3, "No such backend."),
            ("set host app/nope maint", 3, "No such host."),
            ("set host app/two up", 3, "'set host <host>' expects 'ready', 'drain' and 'maint'."),
            ("add server app", 3, "Require 'backend/server'."),
            ("add server nope/new 127.0.0.1:80", 3, "No such backend."),
            ("add server app/new", 3, "'server' expects <name> and <addr>[:<port>] as arguments."),
            ("add server app/one 127.0.0.1:80", 3, "Already exists a server with the same name in backend."),
            ("add server app/two/%s 127.0.0.1:80" % t.env["PB"], 3,
             "Already exists a server with the same name in backend."),
            ("add server app/n$w 127.0.0.1:80", 3, "character '$' is not permitted in server name 'n$w'."),
            ("add server app/new 127.0.0.1:80 bogus", 3, "unknown keyword 'bogus'."),
            ("add server app/new 127.0.0.1:80 cookie x", 3, "'cookie' option is not accepted for dynamic server"),
            ("add server app/new 127.0.0.1:80 weight 300", 3, "weight of server new is not within 0 and 256 (300)."),
            ("add server app/new 127.0.0.1:80 weight", 3, "weight of server new is not within 0 and 256 ()."),
            ("add server app/new 127.0.0.1:80 check", 3, "'check' needs a 'health_check' in backend 'app'."),
            ("add server app/new 127.0.0.1", 3,
             "invalid address: '127.0.0.1'; expected IP:port, [IPv6]:port or unix:/path"),
            ("del server app/nope", 3, "No such server."),
            ("del server app/one", 3, "Only servers in maintenance mode can be deleted.")):
        says(limpet, command, severity, text)
    same([(r["weight"], r["slim"], r["addr"], r["status"]) for r in limpet.stat_rows()], before, "servers")
    same(table(ask(limpet, "show config diff")), [], "the difference to the file")
    says(limpet, "enable server app/one")
    same(ask(limpet, "set server app/one weight 7;get weight app/one"), "\n7 (initial 100)\n", "answers")


@case("a weight changes the shares at once, is shown everywhere, and per cents are of the file's")
def _(t):
    limpet = three(t)
    two = "app/two/" + t.env["PC"]
    same(picks(t, 50), {"A": 20, "B": 20, "C": 10}, "shares by the file")
    says(limpet, "set server %s weight 200" % two)
    same(ask(limpet, "get weight " + two), "200 (initial 50)\n", "get weight")
    same(picks(t, 40), {"A": 10, "B": 10, "C": 20}, "shares")
    row = rows_of(limpet)[two[4:]]
    same((row["weight"], row["uweight"], row["throttle"]), ("200", "200", ""), "show stat")
    line = [l.split() for l in ask(limpet, "show servers state").split("\n") if two[4:] in l][0]
    same(line[7:9], ["200", "50"], "uweight and iweight")
    says(limpet, "set weight %s 50%%" % two)
    same(ask(limpet, "get weight " + two), "25 (initial 50)\n", "get weight")
    says(limpet, "set weight %s 5000%%" % two)
    same(ask(limpet, "get weight " + two), "256 (initial 50)\n", "get weight")
    says(limpet, "set weight %s 0" % two)
    same(picks(t, 10), {"A": 5, "B": 5}, "shares")
    same(rows_of(limpet)[two[4:]]["status"], "DRAIN", "status")
    says(limpet, "set weight %s 100%%" % two)
    same(picks(t, 50), {"A": 20, "B": 20, "C": 10}, "shares by the file")
    same(table(ask(limpet, "show config diff")), [], "the difference to the file")
    limpet.wait_log(r"server app/two/\d+ has weight 200 instead of 50: set by the operator")


@case("an address changes under load: no request fails, all of the next ones go there")
def _(t):
    limpet = three(t)
    new = t.echo(name="D")
    load = Busy(t)
    load.passed()
    same(ask(limpet, "set severity-output number;set server app/one addr 127.0.0.1 port %d" % new.port)[1:],
         "[4]: port changed from '%s' to '%d' by 'stats socket command'\n" % (t.env["PA"], new.port), "answer")
    load.passed(40)
    load.names.clear()
    load.passed(40)
    load.finish()
    check("A" not in load.names and load.names["D"] > 5, load.names)
    same(rows_of(limpet)["one"]["addr"], new.address, "addr")
    path = os.path.join(limpet.directory, "u.sock")
    t.echo(name="U", path=path)
    says(limpet, "set server app/one addr unix:" + path, 4,
         "IP changed from '%s' to 'unix:%s' by 'stats socket command'" % (new.address, path))
    check("U" in picks(t, 6), "the Unix socket serves")
    says(limpet, "set server app/one addr 127.0.0.1", 4, "a port is needed: the address in force is a Unix socket's")
    says(limpet, "set server app/one addr 127.0.0.1 port " + t.env["PA"], 4,
         "IP changed from 'unix:%s' to '127.0.0.1:%s' by 'stats socket command'" % (path, t.env["PA"]))
    same(picks(t, 5), {"A": 2, "B": 2, "C": 1}, "shares")
    says(limpet, "set server app/one addr ::1 port 5", 4,
         "IP changed from '127.0.0.1' to '::1', port changed from '%s' to '5' by 'stats socket command'" % t.env["PA"])


@case("a limit lowered makes requests wait, and raised it lets them go")
def _(t):
    def hold(msg, peer):
        t.events.fire("at " + msg.target)
        t.events.wait("go", 30)
        return ok("A")
    t.server(serve(hold), name="A")
    limpet = t.limpet(CONFIG.replace('      two: {address: 127.0.0.1, workers: ["${PB}", {port: "${PC}", weight: 50}]}\n', ""))
    same(rows_of(limpet)["one"]["slim"], "50", "slim")
    says(limpet, "set maxconn server app/one 1")
    same(rows_of(limpet)["one"]["slim"], "1", "slim")
    clients = [t.connect() for _ in range(3)]
    clients[0].send(get("/0"))
    t.events.wait("at /0")
    clients[1].send(get("/1"))
    clients[2].send(get("/2"))
    until(lambda: rows_of(limpet)["BACKEND"]["qcur"] == "2", "two wait")
    says(limpet, "set server app/one maxconn 2")
    until(lambda: rows_of(limpet)["BACKEND"]["qcur"] == "1", "one waits")
    says(limpet, "set maxconn server app/one 0")
    until(lambda: rows_of(limpet)["BACKEND"]["qcur"] == "0", "none waits")
    same(rows_of(limpet)["one"]["slim"], "", "slim")
    t.events.wait("at /1")
    t.events.wait("at /2")
    t.events.fire("go")
    same([c.read_response().status for c in clients], [200] * 3, "statuses")


SOCKETS = """\
global: {threads: 2, stats: {socket: "unix:${RUN}/stats.sock"}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: app}}
backends: {app: {balance: round_robin, hosts: {here: "unix:${RUN}/w/*.sock"}}}
"""


@case("a worker found by its socket keeps its weight and its state when it is born again")
def _(t):
    os.mkdir(t.directory + "/w")
    path = t.directory + "/w/%s.sock"
    servers = {n: t.echo(name=n, path=path % n) for n in "AB"}
    limpet = t.limpet(SOCKETS)
    until(lambda: {"here/A", "here/B"} <= set(rows_of(limpet)), "both are found")
    says(limpet, "set weight app/here/A 25")
    same(picks(t, 10), {"A": 2, "B": 8}, "shares")
    says(limpet, "set server app/here/A addr 127.0.0.1 port 80", 4,
         "the address is that of the socket by which this worker was found")
    says(limpet, "del server app/here/A", 3,
         "This server cannot be removed at runtime: it goes with the socket by which it was found.")
    servers["A"].down()
    until(lambda: "here/A" not in rows_of(limpet), "A is gone")
    ask(limpet, "reload")
    servers["A2"] = t.echo(name="A2", path=path % "A")
    until(lambda: rows_of(limpet).get("here/A", {}).get("status") == "no check", "A is back")
    same(ask(limpet, "get weight app/here/A"), "25 (initial 100)\n", "its weight")
    same(picks(t, 10), {"A2": 2, "B": 8}, "shares")
    says(limpet, "set server app/here/A state drain")
    servers["A2"].down()
    until(lambda: "here/A" not in rows_of(limpet), "A is gone")
    t.echo(name="A3", path=path % "A")
    until(lambda: rows_of(limpet).get("here/A", {}).get("status") == "DRAIN", "A is back, and drains")
    same(picks(t, 5), {"B": 5}, "shares")


@case("set host: all workers of a host, and no others")
def _(t):
    limpet = three(t)
    says(limpet, "set host app/two maint")
    same({n: r["status"] for n, r in rows_of(limpet).items() if r["type"] == "2"},
         {"one": "no check", "two/" + t.env["PB"]: "MAINT", "two/" + t.env["PC"]: "MAINT"}, "states")
    same({r["host"]: r["status"] for r in table(ask(limpet, "show hosts"))}, {"one": "UP", "two": "MAINT"}, "hosts")
    says(limpet, "set host app/two drain")
    same({r["host"]: r["status"] for r in table(ask(limpet, "show hosts"))}, {"one": "UP", "two": "DRAIN"}, "hosts")
    says(limpet, "set host app/two ready")
    same(picks(t, 5), {"A": 2, "B": 2, "C": 1}, "shares")


@case("set server health: down, up and stopping, where nothing else checks")
def _(t):
    limpet = three(t)
    says(limpet, "set server app/one health down")
    same(rows_of(limpet)["one"]["status"], "DOWN", "status")
    same(picks(t, 6), {"B": 4, "C": 2}, "shares")
    ask(limpet, "reload")
    same(rows_of(limpet)["one"]["status"], "DOWN", "status after a reload")
    says(limpet, "set server app/one health stopping")
    same(rows_of(limpet)["one"]["status"], "NOLB", "status")
    line = [l.split() for l in ask(limpet, "show servers state").split("\n") if " one " in l][0]
    same(line[5], "3", "op state: stopping")
    says(limpet, "set server app/one health up")
    same(picks(t, 5), {"A": 2, "B": 2, "C": 1}, "shares")


@case("an agent's weight is a share of the operator's; set server agent and agent-send reach it")
def _(t):
    said, asked = ["50%"], []

    def agent(peer):
        peer.sock.settimeout(0.05)
        try:
            asked.append(peer.sock.recv(100))
        except OSError:
            pass
        peer.send(said[0].encode() + b"\n")
    t.env["AGENT"] = str(t.server(agent, name="agent").port)
    limpet = three(t, CONFIG.replace("balance:", 'agent_check: {port: "${AGENT}", interval: 100ms}\n    balance:'))
    until(lambda: rows_of(limpet)["one"]["weight"] == "50", "half of its weight")
    row = rows_of(limpet)["one"]
    same((row["uweight"], row["throttle"]), ("100", ""), "uweight and throttle")
    says(limpet, "set weight app/one 10")
    same(rows_of(limpet)["one"]["weight"], "5", "half of the operator's")
    ask(limpet, "reload")
    same((rows_of(limpet)["one"]["weight"], ask(limpet, "get weight app/one")), ("5", "10 (initial 100)\n"), "after a reload")
    said[0] = "0%"
    until(lambda: rows_of(limpet)["one"]["status"] == "DRAIN (agent)", "nothing of its weight")
    said[0] = "100% maint"
    until(lambda: rows_of(limpet)["one"]["status"] == "MAINT", "in maintenance")
    said[0] = "100%"
    until(lambda: rows_of(limpet)["one"]["uweight"] == "10", "asked")
    says(limpet, "set server app/one state ready")
    until(lambda: rows_of(limpet)["one"]["status"] == "no check", "ready again")
    said[0] = "100% up"
    until(lambda: rows_of(limpet)["one"]["weight"] == "10", "all of its weight")
    line = [l.split() for l in ask(limpet, "show servers state").split("\n") if " one " in l][0]
    same((line[14], line[23:]), ("22", ["-", t.env["AGENT"]]), "agent state, address and port")
    says(limpet, "disable agent app/one")
    says(limpet, "set server app/one agent down")
    same(rows_of(limpet)["one"]["status"], "DOWN (agent)", "status")
    check("A" not in picks(t, 6), "it serves")
    diff = [(r["object"], r["setting"], r["now"]) for r in table(ask(limpet, "show config diff"))]
    same(diff, [("app/one", "weight", "10"), ("app/one", "agent", "disabled")], "diff")
    says(limpet, "set server app/one agent up")
    same(rows_of(limpet)["one"]["status"], "no check", "status")
    says(limpet, "set server app/one agent bogus", 3, "'set server <srv> agent' expects 'up' or 'down'.")
    says(limpet, "set server app/one agent-send hello")
    says(limpet, "set server app/one agent-addr 127.0.0.1 port " + t.env["AGENT"])
    says(limpet, "set server app/one agent-port x", 4, "provided port is not an integer")
    says(limpet, "set server app/one agent-addr zz", 4, "invalid addr 'zz'")
    says(limpet, "enable agent app/one")
    until(lambda: b"hello" in asked, "the agent is told the text")


@case("check-port and check-addr move the checks alone")
def _(t):
    limpet = three(t, CONFIG.replace("balance:", "health_check: {tcp: true, interval: 100ms, fall: 1, rise: 1}\n    balance:"))
    dead = t.refused()
    until(lambda: rows_of(limpet)["one"]["status"] == "UP", "up")
    says(limpet, "set server app/one check-port 99999", 4, "provided port is invalid")
    says(limpet, "set server app/one check-port x", 4, "provided port is not an integer")
    says(limpet, "set server app/one check-addr zz", 4, "invalid addr 'zz'")
    says(limpet, "set server app/one check-port %d" % dead)
    until(lambda: rows_of(limpet)["one"]["status"] == "DOWN", "down")
    says(limpet, "set server app/one check-addr 127.0.0.1 port " + t.env["PB"])
    until(lambda: rows_of(limpet)["one"]["status"] == "UP", "up")

    def state():
        return [l.split() for l in ask(limpet, "show servers state").split("\n") if " one " in l][0]
    same(state()[10:15], ["6", "3", "1", "6", "0"], "check status, result, health, state, agent state")
    same(state()[21:], [t.env["PB"], "127.0.0.1", "-", "0"], "where the checks go")
    ask(limpet, "disable health app/one")
    same(state()[13], "2", "check state")
    ask(limpet, "enable health app/one; set server app/one check-port " + t.env["PA"])
    same(state()[21:], ["0", "-", "-", "0"], "where the checks go")
    same(rows_of(limpet)["one"]["addr"], "127.0.0.1:" + t.env["PA"], "addr")


@case("sessions stay with a server whose weight or limit changes, and end with one that moves or is deleted")
def _(t):
    two = Two(t)
    limpet = two.limpet
    sids = [two.handshake() for _ in range(6)]
    ask(limpet, "set weight chat/A 1; set weight chat/B 0; set maxconn server chat/A 5")
    for sid in sids:
        same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "owner")
    mine = [s for s in sids if two.owner(s) == "A"]
    ask(limpet, "disable server chat/A")
    until(lambda: ask(limpet, "del server chat/A") == "Server deleted.\n", "it is deleted")
    for sid in mine:
        unknown_session(t.ask(get(POLL + sid)))
    late = t.echo(name="late")
    ask(limpet, "set weight chat/B 1; set server chat/B addr 127.0.0.1 port %d" % late.port)
    for sid in set(sids) - set(mine):
        unknown_session(t.ask(get(POLL + sid)))


@case("a hundred changes of all kinds under load: no request fails")
def _(t):
    limpet = three(t, CONFIG.replace("balance:", "slow_start: 1s\n    balance:"))
    d = t.echo(name="D")
    load = Busy(t, 6)
    ports = [t.env["PA"], str(d.port)]
    for n in range(25):
        ask(limpet, "set weight app/one %d;set maxconn server app/one %d" % (n % 9 + 1, 20 + n))
        ask(limpet, "set server app/one addr 127.0.0.1 port " + ports[n % 2])
        ask(limpet, "add server app/x%d %s enabled" % (n % 3, d.address))
        ask(limpet, "set server app/two/%s state %s" % (t.env["PB"], ("drain", "ready")[n % 2]))
        ask(limpet, "disable server app/x%d" % (n % 3))
        if n % 4 == 0:
            ask(limpet, "reload")
        until(lambda: ask(limpet, "del server app/x%d" % (n % 3)) == "Server deleted.\n", "it is deleted")
        load.passed(5)
    load.finish()
    check(sum(load.names.values()) > 100, load.names)


main()
