# SPDX-License-Identifier: MIT
"""Cases, and the runner that prints TAP.

A case is a function with a sentence, taken by @case, or a row given to rows(): {name, config,
server script, client script, expect}.  Each runs with a Limpet, servers and clients of its own;
all of them are ended and looked at when it is over, whatever happened.
"""
import os
import re
import shutil
import sys
import tempfile
import time
import traceback

from .limpet import Limpet, find_limpet, free_port
from .msg import Fail
from .peer import Events, Server, connect, serve

__all__ = ["Case", "case", "rows", "main", "check", "same", "Skip", "BASIC", "WATCHED", "config"]

# One server named A.  ${THREADS} lets a ThreadSanitizer run use several.
BASIC = """\
global:
  threads: ${THREADS:-1}
frontends:
  web: {bind: "127.0.0.1:${PORT}", backend: app}
backends:
  app:
    hosts:
      one: "${A}"
"""
# A backend `app`, whose keys follow, and a stats socket.
WATCHED = """\
global:
  threads: ${THREADS:-1}
  stats: {socket: "unix:${RUN}/stats.sock"}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: app}}
backends:
  app:
"""


def config(frontend="", backend="", hosts='{one: "${A}"}', global_="", more=""):
    """A configuration around some lines of a frontend, a backend and so on; flow style."""
    def items(text): return ", " + text if text else ""
    return ('global: {threads: "${THREADS:-1}"%s}\n'
            'frontends:\n  web: {bind: "127.0.0.1:${PORT}", backend: app%s}\n'
            'backends:\n  app: {hosts: %s%s}\n%s') % (
                items(global_), items(frontend), hosts, items(backend), more)


class Skip(Exception):
    """Something that the case needs is not there."""


def check(is_true, what="must hold"):
    if not is_true:
        raise Fail(str(what))


def same(have, want, what="value"):
    if have != want:
        raise Fail("%s is %r, not %r" % (what, have, want))


class Case:
    """What a case has at hand; ends all that it started."""

    def __init__(self, name):
        self.name = name
        self.events = Events()
        self.directory = tempfile.mkdtemp(prefix="limpet-it-")
        self.env = {"RUN": self.directory}
        self.limpets = []
        self.servers = []
        self.clients = []
        self.others = []        # other things of the case: each is called when the Limpets have ended
        self.notes = []

    def server(self, *scripts, name=None, **kw):
        """A server; its address is ${A}, ${B}... in order, or ${NAME}."""
        name = name or "ABCDEFGH"[len(self.servers)]
        server = Server(*scripts, events=self.events, name="server " + name, **kw)
        self.servers.append(server)
        self.env[name] = server.address
        return server

    def echo(self, **kw):
        """A server that answers 200 with its own name."""
        server = self.server(serve(lambda m, p: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (
            len(server.name[7:]), server.name[7:].encode())), **kw)
        return server

    def refused(self, name=None):
        """An address that nobody listens on."""
        port = free_port()
        self.env[name or "REFUSED"] = "127.0.0.1:%d" % port
        return port

    def limpet(self, text=BASIC, name="limpet", wait_for=None, ports=("PORT",), max_fds=None, args=(), **env):
        for attempt in (1, 2, 3):
            if attempt > 1:
                for port in ports:
                    self.env.pop(port, None)
            for port in ports:
                self.env.setdefault(port, free_port())
            used = dict(self.env, **env)
            for key in [k for k in used if k.startswith("PORT") and k not in ports]:
                del used[key]
            limpet = Limpet(self.directory, text, used, name, max_fds)
            limpet.args = list(args)
            try:
                limpet.start(wait_for)
            except Fail:
                if attempt < 3 and "in use" in limpet.log():
                    continue            # somebody took the port between bind(0) and now
                self.limpets.append(limpet)
                raise
            break
        self.limpets.append(limpet)
        self.port = self.env.get(ports[0]) if ports else None
        return limpet

    def connect(self, address=None, **kw):
        client = connect(self.port if address is None else address, events=self.events,
                         name="client %d" % (len(self.clients) + 1), **kw)
        self.clients.append(client)
        return client

    def ask(self, data, to="GET", **kw):
        """One request on a connection of its own; the response."""
        client = self.connect(**kw)
        msg = client.ask(data, to)
        client.close()
        return msg

    def note(self, text):
        self.notes.append(text)

    def finish(self):
        wrong = []
        for server in self.servers:
            server.is_over = True
        for client in self.clients:
            client.close()
        for limpet in self.limpets:
            wrong += limpet.finish()
        for server in self.servers:
            for thread, script in list(server.threads):
                if not callable(script):    # a finite script must come to its end
                    thread.join(2)
                    if thread.is_alive():
                        wrong.append("%s: a script hangs" % server.name)
            wrong += server.errors
            server.stop()
        for end in self.others:
            end()
        return wrong


CASES = []


def case(sentence):
    def take(function):
        CASES.append((sentence, function))
        return function
    return take


def _row_function(row):
    def run(t):
        server = t.server(*row["servers"]) if "servers" in row else t.server(row["server"])
        limpet = t.limpet(row.get("config", BASIC))
        client = t.connect()
        client.run(row["client"])
        if row.get("accepts", 1) is not None:
            same(server.accepts, row.get("accepts", 1), "server connections")
        if "log" in row:
            limpet.wait_log(row["log"])
    return run


def rows(table):
    """Cases that are data alone."""
    for row in table:
        CASES.append((row["name"], _row_function(row)))


def _run(number, sentence, function):
    t = Case(sentence)
    wrong = []
    started = time.monotonic()
    skipped = None
    try:
        function(t)
    except Skip as why:
        skipped = str(why)
    except Fail as err:
        wrong.append(str(err))
        wrong.append("at " + " < ".join("%s:%d" % (os.path.basename(f.filename), f.lineno) for f in
                     reversed(traceback.extract_tb(err.__traceback__)) if "/lib/" not in f.filename))
    except Exception:
        wrong.append(traceback.format_exc())
    wrong += t.finish()
    took = time.monotonic() - started
    name = re.sub(r"[#\\]", " ", sentence)
    if skipped is not None and not wrong:
        print("ok %d - %s # SKIP %s" % (number, name, skipped))
    else:
        print("%sok %d - %s" % ("not " if wrong else "", number, name))
    for text in t.notes + wrong:
        for line in text.split("\n"):
            print("# " + line)
    if wrong and t.limpets:
        print("# kept: %s" % t.directory)
    else:
        shutil.rmtree(t.directory, ignore_errors=True)
    if took > 2:
        print("# took %.1f s" % took)
    sys.stdout.flush()
    return not wrong


def main():
    """Runs the file's cases, or those whose sentence contains the first argument."""
    if not find_limpet():
        print("1..0 # SKIP no limpet: build it, or set LIMPET")
        sys.exit(0)
    want = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [c for c in CASES if want in c[0]]
    print("1..%d" % len(chosen))
    sys.stdout.flush()
    good = [_run(n, *c) for n, c in enumerate(chosen, 1)]
    sys.exit(0 if all(good) else 1)
