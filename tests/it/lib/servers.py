# SPDX-License-Identifier: MIT
"""Three servers whose number, weights, addresses and limits a test changes on the stats socket."""
import threading
from collections import Counter

from .case import check, same
from .limpet import until
from .msg import get

__all__ = ["CONFIG", "three", "ask", "says", "table", "rows_of", "picks", "Busy"]

CONFIG = """\
global: {threads: 2, stats: {socket: "unix:${RUN}/stats.sock"}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: app}}
backends:
  app:
    balance: round_robin
    max_connections_per_server: 50
    hosts:
      one: {address: "${A}"}
      two: {address: 127.0.0.1, workers: ["${PB}", {port: "${PC}", weight: 50}]}
"""


def three(t, text=CONFIG):
    for name in "ABC":
        t.env["P" + name] = str(t.echo(name=name).port)
    return t.limpet(text)


def ask(limpet, command):
    """The answer, without the empty line that ends it."""
    text = limpet.ask_stats(command)
    check(text.endswith("\n"), text)
    return text[:-1]


def says(limpet, command, severity=None, text=None):
    want = "" if text is None else "[%d]: %s\n" % (severity, text)
    same(ask(limpet, "set severity-output number;" + command)[1:], want, command)


def table(text):
    lines = [l for l in text.split("\n") if l]
    names = lines[0][2:].split()
    return [dict(zip(names, l.split())) for l in lines[1:]]


def rows_of(limpet):
    return {r["svname"]: r for r in limpet.stat_rows()}


def picks(t, n):
    c = t.connect()
    return Counter(c.ask(get("/%d" % k)).body.decode() for k in range(n))


class Busy:
    """Clients that ask without a pause; whatever is not a 200 is kept."""

    def __init__(self, t, n=4):
        self.wrong, self.names, self.is_over = [], Counter(), False
        self.clients = [t.connect() for _ in range(n)]
        self.threads = [threading.Thread(target=self.run, args=(c,), daemon=True) for c in self.clients]
        for thread in self.threads:
            thread.start()

    def run(self, client):
        while not self.is_over:
            try:
                msg = client.ask(get("/load"))
            except Exception as err:        # noqa: whatever it is, it must not be
                self.wrong.append(repr(err))
                return
            if msg.status != 200:
                self.wrong.append("%d" % msg.status)
            self.names[msg.body.decode()] += 1

    def passed(self, n=20):
        """Waits for N more answers."""
        at = sum(self.names.values())
        until(lambda: sum(self.names.values()) >= at + n or self.wrong, "traffic goes on")

    def finish(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(10)
        same(self.wrong, [], "failed requests")
