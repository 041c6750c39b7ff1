#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Agents: programs beside servers whose words change a server's state and weight."""
import re
import time

from lib import *

HEAD = WATCHED + """\
    retries: 0
    agent_check: %s
    hosts: %s
"""


class Agent:
    """Says LINE to whoever connects; HEARD is what it was told first."""

    def __init__(self, t, line="up\n", name="G", listens=0):
        self.line, self.heard, self.count = line, [], 0

        def script(peer):
            if listens:
                try:
                    self.heard.append(peer.read(listens))
                except Fail:        # Limpet ends while it asks
                    return
            self.count += 1
            if self.line is None:
                peer.read_all(3600)
                return
            peer.send(self.line.encode())
        self.server = t.server(script, name=name)
        self.port = self.server.address.rsplit(":", 1)[1]
        t.env[name + "PORT"] = self.port

    def say(self, line):
        """Returns when Limpet has heard it, twice, so that what it has heard has been done."""
        self.line = line
        n = self.count
        until(lambda: self.count >= n + 3, "the agent is asked")


def row(limpet, name="A"):
    return [r for r in limpet.stat_rows() if r["svname"] == name][0]


def shows(limpet, status, name="A"):
    until(lambda: row(limpet, name)["status"] == status,
          lambda: "status %s; it is %s" % (status, row(limpet, name)["status"]))


def start(t, line="up\n", conf="{port: \"${GPORT}\", interval: 50ms, timeout: 200ms%s}", more="", hosts='{A: "${A}", B: "${B}"}', **kw):
    t.echo(name="A")
    t.echo(name="B")
    agent = Agent(t, line, **kw)
    return agent, t.limpet(HEAD % (conf % more if "%s" in conf else conf, hosts))


# Both servers ask the same agent here; what it says holds for both.

@case("up and down; the reason is shown; a word of the agent never undoes the operator's")
def _(t):
    agent, lim = start(t, "down # disk full\n")
    shows(lim, "DOWN (agent)")
    shows(lim, "DOWN (agent)", "B")
    r = row(lim)
    same((r["agent_status"].replace("* ", ""), r["last_agt"], r["agent_health"]), ("L7STS", "down # disk full", "0"), "columns")
    check(re.search(r"server app/A is DOWN \(agent\): its agent says: down # disk full; \d of 2 servers left", lim.log()), lim.log())
    same(t.ask(get()).status, 503, "status")
    agent.say("up\n")
    shows(lim, "no check")
    same((row(lim)["agent_status"].replace("* ", ""), row(lim)["agent_health"]), ("L7OK", "1"), "columns")
    same(t.ask(get()).status, 200, "status")
    lim.ask_stats("set server app/A state drain")
    agent.say("up ready\n")
    same(row(lim)["status"], "DRAIN", "status")


for word in ("failed", "stopped", "FAIL"):
    @case("%s is down, up is up" % word)
    def _(t, word=word):
        agent, lim = start(t, word + "\n")
        shows(lim, "DOWN (agent)")
        agent.say("up\r\n")
        shows(lim, "no check")


@case("drain, maint and ready; several words with spaces, tabs and commas; the end of the stream ends the line")
def _(t):
    agent, lim = start(t, "up,drain\n")
    shows(lim, "DRAIN (agent)")
    check("DRAIN (agent)" in lim.log(), lim.log())
    agent.say("maint\tup")
    shows(lim, "MAINT")
    same(t.ask(get()).status, 503, "status")
    agent.say("ready , up 50%")
    shows(lim, "no check")


@case("a per cent changes the weight, and 100% gives it back")
def _(t):
    agent, lim = start(t, "25%\n", hosts='{A: {address: "${A}", agent_port: "${GPORT}"}, B: {address: "${B}"}}',
                       conf="{interval: 50ms}")
    def weights(): return int(row(lim, "A")["weight"]), int(row(lim, "B")["weight"])
    until(lambda: weights()[0] * 4 == weights()[1], lambda: "a quarter: %r" % (weights(),))
    def served():
        got = [t.ask(get()).body.decode() for _ in range(50)]
        return got.count("A"), got.count("B")
    until(lambda: served() == (10, 40), "traffic goes by it")
    same(row(lim, "B")["agent_status"], "", "B has no agent")
    agent.say("up 100%\n")
    until(lambda: weights()[0] == weights()[1], lambda: "the same: %r" % (weights(),))


@case("an agent that cannot be reached, is silent, or talks nonsense changes nothing but its own columns")
def _(t):
    agent, lim = start(t, "drain\n")
    shows(lim, "DRAIN (agent)")
    for line, code in ((None, "L7TOUT"), ("hello world\n", "L7RSP"), ("x" * 5000, "L7RSP"), ("", "L7RSP")):
        agent.line = line
        until(lambda: row(lim)["agent_status"].replace("* ", "") == code, lambda: "%s: %s" % (code, row(lim)["agent_status"]))
        same(row(lim)["status"], "DRAIN (agent)", "status")
    agent.server.down()
    until(lambda: row(lim)["agent_status"].replace("* ", "") == "L4CON", "L4CON")
    same(row(lim)["status"], "DRAIN (agent)", "status")


@case("what is to be sent is sent first")
def _(t):
    agent, lim = start(t, more=r', send: "state?\n"', listens=7)
    until(lambda: agent.heard, "it is asked")
    same(agent.heard[0], b"state?\n", "heard")


@case("an agent that is taken out of the file takes its words with it, at a reload")
def _(t):
    agent, lim = start(t, "drain 10%\n")
    shows(lim, "DRAIN (agent)")
    text = open(lim.path).read()
    lim.write(re.sub(r"    agent_check: .*\n", "", text))
    check("Reloaded" in lim.ask_stats("reload"), "reload")
    shows(lim, "no check")
    until(lambda: row(lim)["weight"] == row(lim)["uweight"], "the weight is back")


@case("disable agent stops the questions and keeps what was said; set server agent up overrides it")
def _(t):
    agent, lim = start(t, "down\n")
    shows(lim, "DOWN (agent)")
    for name in "AB":
        lim.ask_stats("disable agent app/" + name)
    agent.line = "up\n"
    n = agent.count
    silence = agent.count
    time.sleep(0.2)
    check(agent.count <= n + 2, "asked again: %d" % (agent.count - silence))
    same(row(lim)["status"], "DOWN (agent)", "status")
    lim.ask_stats("set server app/A agent up")
    shows(lim, "no check")
    lim.ask_stats("enable agent app/B")
    shows(lim, "no check", "B")


@case("maxconn:N is the limit of its connections, until the agent says another")
def _(t):
    agent, limpet = start(t)
    agent.say("up maxconn:7\n")
    until(lambda: row(limpet)["slim"] == "7", lambda: "slim 7; it is %s" % row(limpet)["slim"])
    agent.say("up maxconn:9\n")
    until(lambda: row(limpet)["slim"] == "9", lambda: "slim 9; it is %s" % row(limpet)["slim"])


main()
