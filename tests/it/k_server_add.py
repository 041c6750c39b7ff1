#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers added and deleted on the stats socket; what of all changes outlives reloads and upgrades."""
import random
import signal
import time

from lib import *
from lib.engine import *
from lib.servers import *


@case("a reload keeps what the file does not contradict, drops the rest and says so")
def _(t):
    limpet = three(t)
    d = t.echo(name="D")
    b = "app/two/" + t.env["PB"]
    ask(limpet, "set weight app/one 10; set maxconn server app/one 7; set server app/one addr 127.0.0.1 port %d" % d.port)
    ask(limpet, "set weight %s 20; set server %s state drain; disable server app/two/%s" % (b, b, t.env["PC"]))

    def now():
        r = rows_of(limpet)
        return [(r[n]["uweight"], r[n]["slim"], r[n]["addr"], r[n]["status"]) for n in ("one", b[4:], "two/" + t.env["PC"])]
    addr = "127.0.0.1:%s"
    want = [("10", "7", d.address, "no check"), ("20", "50", addr % t.env["PB"], "DRAIN"),
            ("50", "50", addr % t.env["PC"], "MAINT")]
    same(now(), want, "servers")
    ask(limpet, "reload")
    same(now(), want, "after a reload of the same file")
    diff = table(ask(limpet, "show config diff"))
    same([(r["object"], r["setting"], r["now"], r["file"]) for r in diff],
         [("app/one", "weight", "10", "100"), ("app/one", "max_connections", "7", "50"),
          ("app/one", "address", d.address, addr % t.env["PA"]), (b, "weight", "20", "100"),
          (b, "state", "drain", "ready"), ("app/two/" + t.env["PC"], "state", "maint", "ready")], "diff")
    same([r["where"].rsplit("/")[-1] for r in diff],
         ["limpet.yaml:8"] * 3 + ["limpet.yaml:9"] * 3, "where")
    limpet.write(CONFIG.replace('address: "${A}"', 'address: "${A}", weight: 80').replace(": 50\n", ": 60\n"))
    ask(limpet, "reload")
    want[0] = ("80", "60", d.address, "no check")
    want[1] = ("20", "60") + want[1][2:]
    want[2] = ("50", "60") + want[2][2:]
    same(now(), want, "after a reload of another file")
    limpet.wait_log(r"server app/one: weight 10 set by the operator is dropped: the file now says 80")
    limpet.wait_log(r"server app/one: max_connections 7 set by the operator is dropped: the file now says 60")
    check("address" not in limpet.log().split("is dropped")[-1], "the address stays")
    limpet.write(CONFIG.replace('"${A}"', '"127.0.0.1:${PB}"'))
    ask(limpet, "reload")
    same(now()[0], ("100", "50", addr % t.env["PB"], "no check"), "the file's address")
    limpet.wait_log(r"server app/one: address \S+ set by the operator is dropped: the file now says ")


@case("a server that the file leaves out is forgotten with all that was said of it")
def _(t):
    limpet = three(t)
    ask(limpet, "set weight app/one 10; disable server app/one")
    limpet.write("\n".join(l for l in CONFIG.split("\n") if "one:" not in l))
    ask(limpet, "reload")
    check("one" not in rows_of(limpet), "it is gone")
    limpet.wait_log(r"server app/one: weight 10 set by the operator is dropped: the file does not name the server any more")
    limpet.write(CONFIG)
    ask(limpet, "reload")
    row = rows_of(limpet)["one"]
    same((row["uweight"], row["status"]), ("100", "no check"), "as new")
    same(table(ask(limpet, "show config diff")), [], "diff")


@case("a server is added in maintenance, enabled, serves, outlives reloads, and is deleted")
def _(t):
    limpet = three(t)
    d = t.echo(name="D")
    load = Busy(t)
    load.passed()
    says(limpet, "add server app/new %s weight 100 maxconn 9" % d.address, 6, "New server registered.")
    row = rows_of(limpet)["new"]
    same((row["status"], row["slim"], row["uweight"], row["addr"]), ("MAINT", "9", "100", d.address), "added")
    load.passed(30)
    check("D" not in load.names, "it serves in maintenance")
    says(limpet, "enable server app/new")
    until(lambda: "D" in load.names or load.wrong, "it serves")
    ask(limpet, "reload")
    same(rows_of(limpet)["new"]["status"], "no check", "after a reload")
    same([(r["object"], r["setting"], r["now"], r["file"], r["where"]) for r in table(ask(limpet, "show config diff"))],
         [("app/new", "added", d.address, "-", "-")], "diff")
    says(limpet, "set weight app/new 50%")
    same(ask(limpet, "get weight app/new"), "50 (initial 100)\n", "get weight")
    ask(limpet, "reload")
    same(ask(limpet, "get weight app/new"), "50 (initial 100)\n", "get weight after a reload")
    says(limpet, "del server app/new", 3, "Only servers in maintenance mode can be deleted.")
    load.passed(30)
    says(limpet, "disable server app/new")
    until(lambda: ask(limpet, "del server app/new") == "Server deleted.\n", "it is deleted")
    check("new" not in rows_of(limpet), "it is gone")
    says(limpet, "del server app/new", 3, "No such server.")
    load.passed(30)
    load.finish()
    same(table(ask(limpet, "show config diff")), [], "diff")
    ask(limpet, "reload")
    check("new" not in rows_of(limpet), "it stays away")
    says(limpet, "add server app/new unix@%s/x.sock enabled backup send-proxy-v2" % limpet.directory, 6,
         "New server registered.")
    row = rows_of(limpet)["new"]
    same((row["bck"], row["addr"], row["slim"]), ("1", "unix", "50"), "added again")


@case("maintenance closes idle connections, so that the server can be deleted; one in use is waited for")
def _(t):
    for proxy in ("none", "v2"):
        def hold(msg, peer):
            if msg.target == "/hold":
                t.events.fire("held " + proxy)
                t.events.wait("go " + proxy, 30)
            return ok("A")

        def script(peer):
            if proxy == "v2":
                head = b""
                while len(head) < 16:
                    head += peer.read(16 - len(head))
                rest = int.from_bytes(head[14:16], "big")
                peer.read(rest)
            serve(hold)(peer)
        t.server(script, name="A" if proxy == "none" else "B")
        limpet = t.limpet(CONFIG.replace("balance:", "send_proxy: %s\n    balance:" % proxy).replace(
            '      two: {address: 127.0.0.1, workers: ["${PB}", {port: "${PC}", weight: 50}]}\n', "").replace(
            "${A}", "${A}" if proxy == "none" else "${B}"), name="limpet-" + proxy, ports=("PORT",))
        c, held = t.connect(), t.connect()
        held.send(get("/hold"))
        t.events.wait("held " + proxy)
        same(c.ask(get()).status, 200, "status")
        until(lambda: rows_of(limpet)["one"]["srv_icur"] == "1", "one idle connection")
        ask(limpet, "disable server app/one")
        until(lambda: rows_of(limpet)["one"]["srv_icur"] == "0", "maintenance closes it (send_proxy: %s)" % proxy, 2 * SLOW)
        says(limpet, "del server app/one", 3, "Server still has connections attached to it, cannot remove it.")
        t.events.fire("go " + proxy)
        same(held.read_response().status, 200, "status")
        until(lambda: ask(limpet, "del server app/one") == "Server deleted.\n", "it is deleted", 2 * SLOW)
        same(c.ask(get()).status, 503, "nobody is left")
        limpet.signal(signal.SIGTERM)
        limpet.wait_exit()
        limpet.is_ended_by_test = True
        t.env.pop("PORT")


@case("a server of the file that was deleted stays away until the file says something else of it")
def _(t):
    limpet = three(t)
    ask(limpet, "disable server app/one")
    says(limpet, "del server app/one", 6, "Server deleted.")
    ask(limpet, "reload")
    check("one" not in rows_of(limpet), "after a reload")
    same([(r["object"], r["setting"], r["now"], r["file"]) for r in table(ask(limpet, "show config diff"))],
         [("app/one", "deleted", "-", "127.0.0.1:" + t.env["PA"])], "diff")
    same(picks(t, 6), {"B": 4, "C": 2}, "shares")
    limpet.write(CONFIG.replace('address: "${A}"', 'address: "${A}", weight: 99'))
    ask(limpet, "reload")
    row = rows_of(limpet)["one"]
    same((row["uweight"], row["status"]), ("99", "no check"), "it is back")
    limpet.wait_log(r"server app/one: its deletion by the operator is dropped: the file now says otherwise")


@case("a server that was added counts as the file says once the file names it")
def _(t):
    limpet = three(t)
    ask(limpet, "add server app/new 127.0.0.1:9 weight 5 enabled")
    limpet.write(CONFIG + '      new: {address: "${A}", weight: 30}\n')
    ask(limpet, "reload")
    row = rows_of(limpet)["new"]
    same((row["uweight"], row["addr"]), ("30", "127.0.0.1:" + t.env["PA"]), "as in the file")
    limpet.wait_log(r"server app/new: added by the operator, now the file names it")
    same(table(ask(limpet, "show config diff")), [], "diff")


@case("deleted and added again it is a change; the file's own values are none")
def _(t):
    limpet = three(t)
    ask(limpet, "disable server app/one;del server app/one")
    until(lambda: "one" not in rows_of(limpet), "gone")
    ask(limpet, "add server app/one 127.0.0.1:%s weight 5 enabled" % t.env["PB"])
    same([(r["object"], r["setting"], r["now"], r["file"]) for r in table(ask(limpet, "show config diff"))],
         [("app/one", "weight", "5", "100"),
          ("app/one", "address", "127.0.0.1:" + t.env["PB"], "127.0.0.1:" + t.env["PA"])], "diff")
    ask(limpet, "set weight app/one 100%; set server app/one addr 127.0.0.1 port " + t.env["PA"])
    same(table(ask(limpet, "show config diff")), [], "diff")
    same(picks(t, 5), {"A": 2, "B": 2, "C": 1}, "shares")


@case("disable, wait for the connections, delete: in one line, as HAProxy's manual has it")
def _(t):
    limpet = three(t)
    held = t.connect()
    held.ask(get("/0"))
    same(ask(limpet, "disable server app/one;wait 3s srv-removable app/one;del server app/one").split("\n")[-2],
         "Server deleted.", "answer")
    same(picks(t, 6), {"B": 4, "C": 2}, "shares")


@case("a backend that goes takes everything along that was said of its servers")
def _(t):
    limpet = three(t)
    ask(limpet, "set weight app/one 7;add server app/new 127.0.0.1:9;disable server app/one")
    limpet.write(CONFIG.replace("app", "other"))
    ask(limpet, "reload")
    same(table(ask(limpet, "show config diff")), [], "diff")
    limpet.wait_log("server app/one: weight 7 set by the operator is dropped: the file does not name the server any more")
    limpet.wait_log("server app/new: added by the operator, is dropped: the file does not name the backend any more")
    limpet.write(CONFIG)
    ask(limpet, "reload")
    same(set(picks(t, 10)), {"A", "B", "C"}, "who serves")
    same(table(ask(limpet, "show config diff")), [], "diff")


@case("an upgrade of the program takes along what was changed")
def _(t):
    text = CONFIG.replace("{threads: 2,", '{threads: 2, pid_file: "${RUN}/pid",')
    limpet = three(t, text)
    ask(limpet, "set weight app/one 30;disable server app/one;add server app/new %s enabled;set host app/two drain"
        % t.echo(name="D").address)
    before = ask(limpet, "show config diff")
    same(len(table(before)), 5, "differences")
    limpet.upgrade()
    same(ask(limpet, "show config diff"), before, "diff")
    same(set(picks(t, 6)), {"D"}, "who serves")
    ask(limpet, "reload")
    same(ask(limpet, "show config diff"), before, "diff after a reload")


@case("a backend that goes with a reload loses no request on its way out")
def _(t):
    limpet = three(t)
    text = CONFIG.replace("  app:", "  other:").replace("backend: app", "backend: other")
    load = Busy(t, 6)
    for n in range(30):
        limpet.write((text, CONFIG)[n % 2])
        ask(limpet, "reload")
        for _ in range(3):
            same(t.ask(get()).status, 200, "status")
        load.passed(5)
    load.finish()


class Model:
    """What must be in force, by the manual's rules alone.  A server is (weight, limit)."""

    def __init__(self, file):
        self.file = dict(file)
        self.changed = {}       # (name, field) -> (value, what the file said)
        self.added = {}         # name -> server
        self.deleted = {}       # name -> what the file said

    def names(self):
        return [n for n in self.file if n not in self.deleted] + list(self.added)

    def set(self, name, field, value):
        if name in self.added:
            self.added[name] = tuple(value if i == field else v for i, v in enumerate(self.added[name]))
        elif value == self.file[name][field]:
            self.changed.pop((name, field), None)
        else:
            self.changed[name, field] = (value, self.file[name][field])

    def delete(self, name):
        self.changed = {k: v for k, v in self.changed.items() if k[0] != name}
        if not self.added.pop(name, None):
            self.deleted[name] = self.file[name]

    def add(self, name, server):
        if self.deleted.pop(name, None):
            for field in (0, 1):
                self.set(name, field, server[field])
        else:
            self.added[name] = server

    def reload(self, file):
        self.file = dict(file)
        self.changed = {(n, f): v for (n, f), v in self.changed.items() if n in file and file[n][f] == v[1]}
        self.added = {n: v for n, v in self.added.items() if n not in file}
        self.deleted = {n: v for n, v in self.deleted.items() if file.get(n) == v}

    def servers(self):
        def one(name, field):
            return self.changed.get((name, field), (self.file[name][field],))[0]
        have = {n: (one(n, 0), one(n, 1)) for n in self.file if n not in self.deleted}
        have.update(self.added)
        return have


@case("random changes and reloads: what is in force is what the rules say, always")
def _(t):
    seed = time.time_ns() % 10 ** 9
    t.note("seed %d" % seed)
    chance = random.Random(seed)
    t.echo()
    names = ("p", "q", "r", "s")

    def server():
        return chance.choice((5, 100)), chance.choice((0, 8, 9))

    def text(file):
        return CONFIG[:CONFIG.index("    hosts:")].replace("max_connections_per_server: 50", "retries: 0") + (
            "    hosts: {%s}\n" % ", ".join('%s: {address: "${A}", weight: %d, max_connections: %d}' % ((n,) + v)
                                         for n, v in file.items()))
    file = {n: server() for n in names[:3]}
    limpet, model = t.limpet(text(file)), Model(file)
    for step in range(300):
        name, (weight, limit), what = chance.choice(names), server(), chance.randrange(8)
        if what < 4 and name in model.names():
            field = what % 2
            ask(limpet, "set %s app/%s %d" % (("weight", "maxconn server")[field], name, (weight, limit)[field]))
            model.set(name, field, (weight, limit)[field])
        elif what == 4 and name in model.names() and len(model.names()) > 1:
            says(limpet, "disable server app/" + name)
            says(limpet, "del server app/" + name, 6, "Server deleted.")
            model.delete(name)
        elif what == 5 and name not in model.names():
            says(limpet, "add server app/%s %s weight %d maxconn %d" % (name, t.env["A"], weight, limit), 6,
                 "New server registered.")
            model.add(name, (weight, limit))
        elif what > 5:
            if chance.random() < 0.7:
                file = dict(file, **{name: server()})
                if chance.random() < 0.3 and len(file) > 1:
                    del file[chance.choice(list(file))]
            limpet.write(text(file))
            check("Success=1" in ask(limpet, "reload"), "reload")
            model.reload(file)
        have = {n: (int(r["uweight"]), int(r["slim"] or 0)) for n, r in rows_of(limpet).items() if r["type"] == "2"}
        same(have, model.servers(), "servers after step %d" % step)
    diff = {(r["object"][4:], r["setting"]) for r in table(ask(limpet, "show config diff")) if r["setting"] != "state"}
    same(diff, {(n, ("weight", "max_connections")[f]) for n, f in model.changed} |
         {(n, "added") for n in model.added} | {(n, "deleted") for n in model.deleted}, "diff")


main()
