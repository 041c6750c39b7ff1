#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The mirror as operators see and steer it: show mirror, its commands, the API, monitors, metrics, log lines."""
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

from lib import *
from lib.engine import HANDSHAKE
from lib.redis import Redis

CONFIG = """\
global:
  node: %(node)s
  threads: 1
  stats:
    socket: {address: "unix:${RUN}/%(node)s.sock", level: admin}
    http: {address: "127.0.0.1:${HTTP_%(node)s}", username: op, password: "%(password)s"}
  mirror: {redis: "unix:${RUN}/redis.sock"%(mirror)s}
frontends:
  web: {bind: "127.0.0.1:${PORT_%(node)s}", backend: chat}
backends:
  chat: {stick: engineio, hosts: {A: {address: "${A}"}%(more)s}}
"""
PASSWORD = "a long password"


class Pair:
    def __init__(self, t, mirrors=("", ""), more=("", ""), names=("one", "two"), redis=True):
        self.t = t
        self.n = 0
        self.redis = Redis(t.directory) if redis else None
        if redis:
            t.others.append(self.redis.stop)
        t.server(serve(self.answer), name="A")
        self.mirrors, self.more = dict(zip(names, mirrors)), dict(zip(names, more))
        self.nodes = {}

    def answer(self, msg, peer):
        self.n += 1
        if "EIO" in msg.target and "sid" not in msg.target:
            return ok('0{"sid":"s-%08d-AAAAAAAAA","upgrades":[],"pingInterval":25000,"pingTimeout":20000}' % self.n)
        return ok("A")

    def start(self, *names):
        for name in names:
            self.nodes[name] = self.t.limpet(self.text(name), name=name, ports=("PORT_" + name, "HTTP_" + name))
        return [self.nodes[name] for name in names]

    def text(self, name):
        mirror = self.mirrors.get(name, "")
        return CONFIG % {"node": name, "mirror": ", " + mirror if mirror else "", "password": PASSWORD,
                         "more": self.more.get(name, "")}

    def kill(self, name, number=signal.SIGKILL):
        limpet = self.nodes[name]
        limpet.is_ended_by_test = True
        limpet.signal(number)
        limpet.wait_exit()

    def ask(self, name, command):
        return self.nodes[name].ask_stats(command, "%s/%s.sock" % (self.t.directory, name))

    def show(self, name):
        """What show mirror tells; problems as a list."""
        facts = {"Problem": []}
        for line in self.ask(name, "show mirror").strip().split("\n"):
            key, value = line.split(": ", 1)
            if key == "Problem":
                facts[key].append(value)
            else:
                check(key not in facts, "%s comes once" % key)
                facts[key] = value
        return facts

    def wait(self, name, what, **facts):
        until(lambda: all(self.show(name)[key] == value for key, value in facts.items()),
              lambda: "%s: %s" % (what, self.show(name)), 15 * SLOW)

    def peers(self, name):
        """The rows of show mirror peers, by node."""
        lines = self.ask(name, "show mirror peers").strip().split("\n")
        keys = lines[0][2:].split(" ")
        rows = [dict(zip(keys, line.split(" ", len(keys) - 1))) for line in lines[1:]]
        return {row["node"]: row for row in rows}

    def wait_peer(self, name, peer, **facts):
        until(lambda: peer in self.peers(name) and
              all(self.peers(name)[peer][key] == value for key, value in facts.items()),
              lambda: "%s sees %s: %s" % (name, peer, self.peers(name)), 20 * SLOW)

    def handshakes(self, name, n):
        client = self.t.connect(self.t.env["PORT_" + name])
        for _ in range(n):
            same(client.ask(get(HANDSHAKE)).status, 200, "status of a handshake")
        client.close()

    def http(self, name, where, body=None):
        """Status and body."""
        url = "http://127.0.0.1:%s%s" % (self.t.env["HTTP_" + name], where)
        manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        manager.add_password(None, url, "op", PASSWORD)
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
        request = urllib.request.Request(url, body and json.dumps(body).encode(),
                                         {"Content-Type": "application/json", "X-Limpet-Action": "1"})
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def times(self, name, text):
        return len(re.findall(text, self.nodes[name].log()))


def both(t, **how):
    p = Pair(t, **how)
    p.start("one", "two")
    p.wait("one", "up", State="up")
    p.wait("two", "up", State="up")
    p.wait_peer("one", "two", here="yes")
    p.wait_peer("two", "one", here="yes")
    return p


@case("show mirror tells the state, the mode and the other node")
def _(t):
    p = both(t, mirrors=("mode: sync", ""))
    facts = p.show("one")
    same((facts["State"], facts["Loaded"], facts["Mode"], facts["Node"]), ("up", "1", "sync", "one"))
    check(facts["Redis"].endswith("/redis.sock"), facts["Redis"])
    same((facts["LastLoss"], facts["Problem"], facts["PeersPresent"]), ("-", [], "1"))
    same(p.show("two")["Mode"], "async")
    rows = p.peers("one")
    same((rows["one"]["here"], rows["two"]["here"], rows["two"]["secret"], rows["two"]["servers"]),
         ("self", "yes", "same", "same"))
    same(p.ask("one", "show peers").split("\n")[0], "State: up", "show peers is show mirror")
    told = json.loads(p.ask("one", "show mirror json"))
    same((told["state"], told["node"], told["peers"][0]["name"], told["peers"][0]["present"]), ("up", "one", "two", True))
    info = p.ask("one", "show info")
    check("ActivePeers: 1\n" in info and "ConnectedPeers: 1\n" in info, info)
    check("'show mirror' takes" in p.ask("one", "show mirror x"))


@case("without a mirror: off, no peers, and commands that say so")
def _(t):
    limpet = t.limpet("""\
global: {threads: 1, stats: {socket: {address: "unix:${RUN}/s.sock", level: admin}}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: chat}}
backends: {chat: {stick: engineio, hosts: {A: {address: "127.0.0.1:1"}}}}
""")
    path = t.directory + "/s.sock"
    same(limpet.ask_stats("show mirror", path).strip(), "State: off")
    same(limpet.ask_stats("show mirror json", path).strip(), "null")
    same(limpet.ask_stats("show peers", path).strip(), "")
    for command in ("pause", "resume", "resync"):
        check("There is no mirror" in limpet.ask_stats("mirror " + command, path), command)


@case("who may look may not steer")
def _(t):
    p = both(t)
    for level, command, allowed in (("user", "mirror pause", False), ("operator", "mirror pause", False),
                                    ("user", "mirror resync", False), ("operator", "mirror resync", True),
                                    ("user", "show mirror", True)):
        answer = p.ask("one", "%s;%s" % (level, command))
        same("ermission denied" not in answer, allowed, "%s by %s: %s" % (command, level, answer))
    p.wait("one", "still up", State="up")


@case("a paused mirror shares nothing, says so, and catches up when it goes on")
def _(t):
    p = both(t)
    check("paused" in p.ask("one", "mirror pause"))
    facts = p.show("one")
    same((facts["State"], facts["Problem"][0]), ("paused", "the operator has paused the mirror"))
    check("mirror resume" in p.ask("one", "mirror resync"), "a comparison is not possible now")
    p.handshakes("one", 5)
    p.wait("one", "five are marked", Dirty="5")
    p.wait_peer("two", "one", here="gone")
    check("node one is gone" in p.show("two")["Problem"])
    check("goes on" in p.ask("one", "mirror resume"))
    p.wait("one", "all is told", State="up", Dirty="0")
    p.wait_peer("two", "one", here="yes")
    until(lambda: "used:5" in p.ask("two", "show table"), lambda: p.ask("two", "show table"), 10 * SLOW)
    same(p.times("two", "node one is gone"), 1, "lines that it was gone")
    same(p.times("two", "node one is there"), 2, "lines that it is there")
    at = int(p.show("one")["Resyncs"])
    check("being compared" in p.ask("one", "mirror resync"))
    p.wait("one", "compared", State="up", Resyncs=str(at + 1))


@case("clear table clears it at both nodes")
def _(t):
    p = both(t)
    p.handshakes("one", 8)
    until(lambda: "used:8" in p.ask("two", "show table"), lambda: p.ask("two", "show table"), 10 * SLOW)
    p.ask("two", "clear table chat/engineio")
    for node in ("one", "two"):
        until(lambda: "used:0" in p.ask(node, "show table"), lambda: p.ask(node, "show table"), 10 * SLOW)
    p.ask("one", "mirror resync")
    p.wait("one", "compared", State="up")
    check("used:0" in p.ask("one", "show table"), "nothing comes back")


@case("another secret is told by both nodes, once, and when it is right again")
def _(t):
    p = both(t, mirrors=("secret: one-secret-0123456789", "secret: two-secret-0123456789"))
    for node, other in (("one", "two"), ("two", "one")):
        p.wait_peer(node, other, secret="OTHER")
        same(p.show(node)["Problem"], ["node %s has another global.mirror.secret: sessions are not shared" % other])
    check('limpet_mirror_key_mismatch{node="two"} 1\n' in p.http("one", "/metrics")[1], "the metric")
    time.sleep(2.5)         # two more beats must add no line
    for node, other in (("one", "two"), ("two", "one")):
        same(p.times(node, "error: mirror: node %s has another global.mirror.secret" % other), 1, "lines at " + node)
    p.mirrors["two"] = p.mirrors["one"]
    p.nodes["two"].write(p.text("two"))
    p.nodes["two"].signal(1)
    p.wait_peer("one", "two", secret="same")
    p.wait_peer("two", "one", secret="same")
    same(p.show("one")["Problem"], [])
    for node, other in (("one", "two"), ("two", "one")):
        same(p.times(node, "node %s has the same global.mirror.secret now" % other), 1, "lines at " + node)
    check("-secret-" not in p.redis.ask("HGET", "{limpet}:n", "one"), "no secret stands on Redis")


@case("other servers are told with the backend's name, when it lasts")
def _(t):
    p = both(t, more=(', B: {address: "127.0.0.1:1"}', ""))
    same(p.show("one")["Problem"], [], "not yet")
    p.wait_peer("one", "two", servers="differ")
    same(p.show("one")["Problem"], ["node two has other servers than this one in: chat"])
    same(p.times("one", "has other servers"), 1)
    p.more["one"] = ""
    p.nodes["one"].write(p.text("one"))
    p.nodes["one"].signal(1)
    p.wait_peer("one", "two", servers="same")
    p.wait_peer("two", "one", servers="same")
    until(lambda: p.times("one", "has the same servers now") == 1, "one line at one", 10 * SLOW)


@case("two processes of one name are told of")
def _(t):
    p = Pair(t)
    p.start("one")
    p.wait("one", "up", State="up")
    beat = 10 ** 6
    for _ in range(40):         # another process' field, every beat a new one
        beat += 1
        mine = p.redis.ask("HGET", "{limpet}:n", "one")
        if mine:
            p.redis.ask("HSET", "{limpet}:n", "one",
                        re.sub(r"boot=\w+ beat=\d+", "boot=00000000000000ff beat=%d" % beat, mine))
        if p.show("one")["Problem"]:
            break
        time.sleep(0.5)
    same(p.show("one")["Problem"], ["another process says that it is node one too"])
    same(p.times("one", "error: mirror: another process says"), 1)
    until(lambda: not p.show("one")["Problem"], "it is alone again", 15 * SLOW)


@case("counters of the pair survive any restart, and are doubled by none")
def _(t):
    p = both(t)
    p.handshakes("one", 5)
    p.handshakes("two", 3)
    for node in ("one", "two"):
        p.wait(node, "eight of the pair", Pair_sessions="8")
    until(lambda: "sessions=0+5" in p.redis.ask("HGET", "{limpet}:n", "one"), "a beat", 5 * SLOW)
    p.kill("one")
    p.wait_peer("two", "one", here="gone")
    same(p.show("two")["Pair_sessions"], "8", "while one of them is dead")
    p.nodes["one"].start()
    p.wait("one", "up", State="up", Own_sessions="5", Pair_sessions="8")
    p.handshakes("one", 2)
    for node in ("one", "two"):
        p.wait(node, "ten of the pair", Pair_sessions="10")
    p.redis.ask("FLUSHALL")
    p.wait_peer("two", "one", here="yes")
    until(lambda: "sessions=5+2" in (p.redis.ask("HGET", "{limpet}:n", "one") or ""), "a beat after the flush", 5 * SLOW)
    same((p.show("one")["Pair_sessions"], p.show("two")["Pair_sessions"]), ("10", "10"), "after a flush")
    p.kill("two", signal.SIGTERM)
    p.wait_peer("one", "two", here="gone")
    same(p.times("one", "node two has stopped"), 1)
    same(p.show("one")["Pair_sessions"], "10")
    check('limpet_mirror_node_sessions_total{node="two"} 3\n' in p.http("one", "/metrics")[1], "the metric of who is gone")


@case("an upgrade counts nothing twice")
def _(t):
    p = both(t)
    p.handshakes("one", 4)
    p.wait("two", "four of the pair", Pair_sessions="4")
    p.nodes["one"].upgrade()
    p.wait("one", "up again", State="up")
    p.handshakes("one", 1)
    p.wait("two", "five of the pair", Pair_sessions="5")
    p.wait("one", "five of its own", Own_sessions="5", Pair_sessions="5")
    time.sleep(3.5)
    same(p.show("two")["Pair_sessions"], "5", "and it stays so")
    same(p.times("one", "another process says"), 0, "its own former process is no other")


@case("Redis away: the node is healthy, says away, and tells why; monitors see the rest")
def _(t):
    p = both(t)
    same(p.http("one", "/healthz"), (200, "ok\nmirror: up\n"))
    same(p.http("one", "/readyz"), (200, "ready\nmirror: up\n"))
    p.redis.kill()
    p.wait("one", "away", State="away")
    facts = p.show("one")
    check(facts["LastLoss"] != "-" and facts["Problem"][0].startswith("Redis is away: "), facts)
    same((facts["Redis"], facts["PeersPresent"], p.peers("one")["two"]["here"]), ("-", "0", "?"))
    check("Redis is away" in p.ask("one", "mirror resync"))
    same(p.http("one", "/healthz"), (200, "ok\nmirror: away\n"))
    text = p.http("one", "/metrics")[1]
    check('limpet_mirror_state{state="away"} 1\n' in text and "limpet_mirror_peer_up{" not in text, text)
    p.handshakes("one", 1)
    p.redis.start()
    p.wait("one", "up", State="up", Dirty="0")
    p.wait_peer("one", "two", here="yes")
    same(p.times("one", "node two is gone"), 0, "nobody was gone")


@case("a node that loads says so until it serves")
def _(t):
    p = Pair(t, mirrors=("load_timeout: 3s",), redis=False)
    t.env["PORT_one"] = free_port()
    text = p.text("one").replace("${PORT_one}", str(t.env.pop("PORT_one")))
    p.nodes["one"] = t.limpet(text, name="one", ports=("HTTP_one",), wait_for=t.directory + "/one.sock")
    p.nodes["one"].wait_log("clients are let in when the tables are loaded")
    same(p.http("one", "/healthz"), (503, "loading\nmirror: away, not loaded\n"))
    same(p.http("one", "/readyz")[0], 503)
    until(lambda: p.http("one", "/healthz")[0] == 200, "it has given up", 8 * SLOW)
    same(p.http("one", "/healthz")[1], "ok\nmirror: away, not loaded\n")
    same(p.times("one", "clients are let in without"), 1)


@case("a Redis that takes no changes is a problem until it does")
def _(t):
    p = both(t)
    p.redis.ask("CONFIG", "SET", "maxmemory", "1")
    p.handshakes("one", 1)
    until(lambda: any(text.startswith("Redis takes no changes: OOM") for text in p.show("one")["Problem"]),
          lambda: "it is told: %s" % p.show("one"), 15 * SLOW)
    same(p.show("one")["State"], "up")
    p.redis.ask("CONFIG", "SET", "maxmemory", "0")
    p.wait("one", "all is told", Dirty="0", Problem=[])


@case("the API tells the same and takes the commands")
def _(t):
    p = both(t)
    status, body = p.http("one", "/api/v1/mirror")
    same((status, json.loads(body)["state"], json.loads(body)["peers"][0]["name"]), (200, "up", "two"))
    same(p.http("one", "/api/v1/mirror", {"action": "explode"})[0], 400)
    same(json.loads(p.http("one", "/api/v1/mirror", {"action": "pause"})[1])["state"], "paused")
    same(p.http("one", "/api/v1/mirror", {"action": "resync"})[0], 409)
    same(p.http("one", "/api/v1/mirror", {"action": "resume"})[0], 200)
    p.wait("one", "up again", State="up")
    same(p.http("one", "/api/v1/mirror", {"action": "resync"})[0], 200)
    same(p.times("one", r"dashboard: op from 127\.0\.0\.1: mirror pause"), 1)


@case("promtool finds no fault with the metrics of a mirror")
def _(t):
    if not shutil.which("promtool"):
        raise Skip("no promtool")
    p = both(t)
    done = subprocess.run(["promtool", "check", "metrics"], input=p.http("one", "/metrics")[1].encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    same((done.returncode, done.stdout.decode()), (0, ""))


@case("what Redis says of nodes is not believed: garbage changes nothing")
def _(t):
    p = both(t)
    for name, text in (("two words", "garbage"), ("", "1"), ("x" * 500, "1"), ("three", "1 boot=zz"),
                       ("four", "1" + " a=b" * 2000), ("\n", "\n")):
        p.redis.ask("HSET", "{limpet}:n", name, text)
    time.sleep(2.5)
    same(set(p.peers("one")), {"one", "two", "-"})
    p.redis.ask("DEL", "{limpet}:n")
    p.redis.ask("SET", "{limpet}:n", "no hash")
    p.wait_peer("one", "two", here="gone")
    p.redis.ask("DEL", "{limpet}:n")
    p.wait_peer("one", "two", here="yes")
    same(p.show("one")["State"], "up")


if __name__ == "__main__":
    main()
