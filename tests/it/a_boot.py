#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Command line, start, stop and signals."""
import os
import re
import signal
import time

from lib import *


def write(t, text, name="c.yaml"):
    path = os.path.join(t.directory, name)
    with open(path, "w") as f:
        f.write(text)
    return path


GOOD = """\
frontends:
  web: {bind: "127.0.0.1:0", backend: app}
backends:
  app:
    stick: engineio
    hosts:
      app-1: {address: 10.0.1.5, workers: 3001-3004}
"""


@case("-V tells the version and the libraries, status 0")
def _(t):
    status, text = run_limpet(["-V"])
    same(status, 0, "status")
    check(re.search(r"limpet.* \d+\.\d+\.\d+", text, re.I), text)
    check(re.search(r"openssl", text, re.I) and re.search(r"pcre2", text, re.I), text)


@case("an unknown option, a missing -f and a missing file are told, status not 0")
def _(t):
    for args in (["-Z"], [], ["-f", t.directory + "/nothing.yaml"], ["-c", "-f", t.directory + "/nothing.yaml"],
                 ["-f", t.directory]):
        status, text = run_limpet(args)
        check(status != 0 and text.strip(), "%r: status %d, %r" % (args, status, text))


@case("-c: a good file, status 0; it binds nothing")
def _(t):
    status, text = run_limpet(["-c", "-f", write(t, GOOD)])
    same(status, 0, "status (%s)" % text)


# Every mistake of this file must be told with its place: (line, column, words in the message).
BAD = """\
frontends:
  web: {bind: "127.0.0.1:99999", backend: chta}
  wob:
    bnid: "127.0.0.1:8080"
    backend: chat
backends:
  chat:
    balence: round_robin
    retries: many
    timeouts: {conect: 5s, server: 5 parsecs}
    hosts:
      app-1: {address: 10.0.1.5, workers: 3004-3001, wieght: 10}
      app-2: {address: "10.0.1.500:80"}
  other:
    balance: round_robbin
    hosts: {a: "127.0.0.1:1"}
"""
MISTAKES = [
    (2, 15, "99999", None), (2, 43, "chta", "chat"), (4, 5, "bnid", "bind"), (8, 5, "balence", "balance"),
    (9, 14, "many", None), (10, 16, "conect", "connect"), (10, 36, "parsecs", None),
    (12, None, "3004-3001", None), (12, 54, "wieght", "weight"), (13, None, "10.0.1.500", None),
    (15, 14, "round_robbin", "round_robin"),
]


@case("-c: every mistake is told with file, line and column, and what may have been meant; status 1")
def _(t):
    path = write(t, BAD)
    status, text = run_limpet(["-c", "-f", path])
    same(status, 1, "status")
    lines = text.split("\n")
    missing = []
    for line, column, word, meant in MISTAKES:
        at = "%s:%d:%s" % (os.path.basename(path), line, "%d:" % column if column else "")
        found = [l for l in lines if at in l and word in l]
        if not found:
            missing.append("%s ... %s" % (at, word))
        elif meant and not re.search(r"did you mean '%s'" % meant, found[0]):
            missing.append("%s ... did you mean '%s'; has %r" % (at, meant, found[0]))
    check(not missing, "not told:\n%s\nin:\n%s" % ("\n".join(missing), text))


@case("the example of an unknown key is told word by word")
def _(t):
    text = GOOD.replace("stick: engineio", "balence: first")
    path = write(t, text, "limpet.yaml")
    status, text = run_limpet(["-c", "-f", path])
    check(re.search(r"limpet\.yaml:5:5: unknown key 'balence' in backend 'app'; did you mean 'balance'\?", text), text)


MORE_BAD = [
    ("an unset variable", GOOD.replace("10.0.1.5", "\"${LIMPET_IT_UNSET}\""), "LIMPET_IT_UNSET"),
    ("broken YAML", "frontends: {web: [}", ":1:"),
    ("a tab for indentation", "frontends:\n\tweb: x\n", ":2:"),
    ("a key given twice", GOOD + "backends: {}\n", "backends"),
    ("an unknown alias", GOOD.replace("engineio", "*nobody"), "nobody"),
    ("an empty file", "", ""),
    ("a list where a mapping must be", "frontends: [a, b]\n", "frontends"),
    ("a frontend without bind", GOOD.replace('bind: "127.0.0.1:0", ', ""), "bind"),
    ("a bad regex", GOOD.replace("backend: app}", "backend: app, routes: [{match: {path_regex: \"(\"}, backend: app}]}"),
     ":2:"),
    ("a bad network", GOOD.replace("backend: app}", "backend: app, trusted_proxies: [10.0.0.0/33]}"), "10.0.0.0/33"),
    ("a bad duration", GOOD.replace("stick: engineio", "slow_start: 5 min"), "slow_start"),
    ("a bad status", GOOD.replace("backend: app}", "backend: app, routes: [{match: {path: /}, respond: {status: 99}}]}"),
     "99"),
    ("a route without an action", GOOD.replace("backend: app}", "backend: app, routes: [{match: {path: /}}]}"), "route"),
    ("a field name that is none", GOOD.replace("backend: app}", "backend: app, routes: [{match: {path: /}, set_headers: "
     "{\"a b\": c}, backend: app}]}"), "a b"),
    ("a field value with a line's end", GOOD.replace("backend: app}", "backend: app, routes: [{match: {path: /}, "
     "set_headers: {a: \"b\\r\\nc: d\"}, backend: app}]}"), "set_headers"),
    ("an alias bomb", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e]\n"
     "g: [*f,*f,*f,*f,*f,*f,*f]\n", ""),
    ("an alias to itself", "a: &a [*a]\n", ""),
]
for name, text, word in MORE_BAD:
    def bad(t, text=text, word=word):
        path = write(t, text)
        started = time.monotonic()
        status, said = run_limpet(["-c", "-f", path], timeout=10)
        same(status, 1, "status (%s)" % said)
        check(word in said and "c.yaml" in said, said)
        check(time.monotonic() - started < 1 * SLOW, "it took long")
    case("-c refuses " + name)(bad)


GOOD_FORMS = [
    ("anchors, aliases and merge keys", """\
defaults: &d {timeouts: {connect: 1s}}
frontends:
  a: {<<: *d, bind: "127.0.0.1:0", backend: x}
backends:
  x: &x {hosts: {h: "127.0.0.1:1"}}
  y: {<<: *x, retries: 1}
"""),
    ("variables and their defaults", """\
frontends: {a: {bind: "127.0.0.1:${LIMPET_IT_UNSET:-0}", backend: x}}
backends: {x: {hosts: {h: "${LIMPET_IT_HOST}:${LIMPET_IT_UNSET:-80}"}}}
"""),
    ("sizes, counts and durations", """\
frontends: {a: {bind: "127.0.0.1:0", backend: x, max_connections: 10k, timeouts: {client_head: 250ms, tunnel: 2h}}}
backends: {x: {stick: {engineio: {idle: 2m, max_entries: 1m}}, hosts: {h: "127.0.0.1:1"}}}
"""),
    ("several binds of every form", """\
frontends: {a: {bind: ["127.0.0.1:0", {address: "[::1]:0"}, "unix:/tmp/limpet-it-never-bound.sock", ":0"], backend: x}}
backends: {x: {hosts: {h: "127.0.0.1:1", "g": "unix:/run/x/*.sock", k: {address: "[::1]:80", backup: true}}}}
"""),
]
for name, text in GOOD_FORMS:
    def good(t, text=text):
        status, said = run_limpet(["-c", "-f", write(t, text)], {"LIMPET_IT_HOST": "127.0.0.1"})
        same(status, 0, "status (%s)" % said)
        status, dump = run_limpet(["-p", "-f", write(t, text)], {"LIMPET_IT_HOST": "127.0.0.1"},
                                  stderr=None)
        same(status, 0, "status of -p (%s)" % dump)
        status, said = run_limpet(["-c", "-f", write(t, dump, "again.yaml")])
        same(status, 0, "status of what -p printed (%s)" % said)
    case("-c takes %s, and what -p prints of it" % name)(good)


@case("-p prints the effective configuration, which prints the same again")
def _(t):
    status, one = run_limpet(["-p", "-f", write(t, GOOD)], stderr=None)
    same(status, 0, "status (%s)" % one)
    for word in ("least_sessions", "keep_alive", "engineio", "10.0.1.5"):
        check(word in one, "%s is not in:\n%s" % (word, one))
    status, two = run_limpet(["-p", "-f", write(t, one, "again.yaml")], stderr=None)
    same((status, two), (0, one), "the second print")


@case("a port that is taken stops the start, and is told")
def _(t):
    port = t.server().port
    path = write(t, GOOD.replace("127.0.0.1:0", "127.0.0.1:%d" % port))
    status, text = run_limpet(["-f", path])
    check(status != 0 and str(port) in text, "status %d, %r" % (status, text))


@case("SIGTERM: idle connections are closed, status 0, quickly")
def _(t):
    t.echo()
    limpet = t.limpet()
    idle = t.connect()
    same(idle.ask(get()).body, b"A", "body")
    limpet.is_ended_by_test = True
    limpet.signal(signal.SIGTERM)
    same(limpet.wait_exit(2 * SLOW), 0, "status")
    check(not idle.read_all(), "nothing on the idle connection")


for number in (signal.SIGTERM, signal.SIGINT):
    def graceful(t, number=number):
        server = t.server([request(), fire("got it"), wait("stopping"), send(ok("finished"))])
        limpet = t.limpet()
        c = t.connect()
        c.send(get())
        t.events.wait("got it")
        limpet.is_ended_by_test = True
        limpet.signal(number)

        def refused():
            try:
                t.connect().close()
                return False
            except ConnectionError:
                return True
        until(refused, "new connections are refused")
        same(limpet.process.poll(), None, "status while a request is open")
        t.events.fire("stopping")
        same(c.read_response().body, b"finished", "body")
        same(limpet.wait_exit(5 * SLOW), 0, "status")
    case("%s: the request in flight ends first, new connections are refused" % number.name)(graceful)


@case("a second SIGTERM ends it at once")
def _(t):
    t.server([request(), fire("got it"), gone()])
    limpet = t.limpet()
    c = t.connect()
    c.send(get())
    t.events.wait("got it")
    limpet.is_ended_by_test = True
    limpet.signal(signal.SIGTERM)
    time.sleep(0.1)
    same(limpet.process.poll(), None, "status after the first")
    limpet.signal(signal.SIGTERM)
    check(limpet.wait_exit(1 * SLOW) is not None, "it still runs")


@case("an open WebSocket is told to go before shutdown_grace is over, and does not hold the stop beyond it")
def _(t):
    from lib.engine import WS_FIELDS, SWITCH
    heard = []

    def script(peer):
        peer.read_request()
        peer.send(SWITCH)
        heard.append(peer.read_all(10))
    t.server(script)
    limpet = t.limpet(config(global_="shutdown_grace: 1s"))
    c = t.connect()
    c.send(get("/ws", WS_FIELDS))
    same(c.read_response().status, 101, "status")
    limpet.is_ended_by_test = True
    started = time.monotonic()
    limpet.signal(signal.SIGTERM)
    check(c.is_silent(0.3), "it may end by itself at first")
    said = c.read_all(3)
    check(said.startswith(b"\x88") and said[2:4] == b"\x03\xe9", "a close frame that says 1001: %r" % said)
    same(limpet.wait_exit(3 * SLOW), 0, "status")
    took = time.monotonic() - started
    check(0.5 < took < 2 * SLOW, "%.2f s" % took)
    until(lambda: heard, "the server's side is closed")
    check(heard[0][:1] == b"\x88", "the server heard a close frame: %r" % heard[0])


@case("the pid file holds the process's id while it runs")
def _(t):
    t.echo()
    limpet = t.limpet(config(global_='pid_file: "${RUN}/limpet.pid"'))
    path = t.directory + "/limpet.pid"
    until(lambda: os.path.exists(path) and open(path).read().endswith("\n"), "the pid file is written")
    same(int(open(path).read()), limpet.process.pid, "pid file")


@case("a pid file of another Limpet that runs is told of, and is not removed by the first one's end")
def _(t):
    t.echo()
    text = config(global_='pid_file: "${RUN}/limpet.pid"')
    path = t.directory + "/limpet.pid"
    first = t.limpet(text)
    until(lambda: os.path.exists(path) and open(path).read().endswith("\n"), "the pid file is written")
    t.env["PORT_TWO"] = free_port()
    second = t.limpet(text.replace("${PORT}", "${PORT_TWO}"), name="second", ports=("PORT_TWO",))
    second.wait_log("warning: .*limpet.pid names process %d, a limpet that runs" % first.process.pid)
    until(lambda: open(path).read() == "%d\n" % second.process.pid, "the second one's number")
    first.is_ended_by_test = True
    first.signal(signal.SIGTERM)
    same(first.wait_exit(5 * SLOW), 0, "status")
    same(int(open(path).read()), second.process.pid, "pid file")
    second.is_ended_by_test = True
    second.signal(signal.SIGTERM)
    same(second.wait_exit(5 * SLOW), 0, "status")
    check(not os.path.exists(path), "the pid file is removed")


@case("a frontend on a Unix socket serves, replaces a stale file, and takes its file away at the end")
def _(t):
    t.echo()
    path = t.directory + "/front.sock"
    text = BASIC.replace('"127.0.0.1:${PORT}"', '"unix:${RUN}/front.sock"')
    limpet = t.limpet(text, ports=(), wait_for=path)
    limpet.wait_log("runs")                     # the file is there a moment before anybody listens
    same(t.ask(get(), address=path).body, b"A", "body")
    limpet.is_ended_by_test = True
    limpet.process.kill()                       # leaves the file behind
    limpet.process.wait()
    check(os.path.exists(path), "the stale file")
    again = t.limpet(text, ports=(), name="again")

    def serves():
        try:
            return t.ask(get(), address=path).body == b"A"
        except (ConnectionError, FileNotFoundError):    # the stale file, and no file for a moment
            return False
    until(serves, "it serves again")


@case("closed descriptors 0, 1 and 2 are survived")
def _(t):
    import subprocess
    t.echo()
    t.env["PORT"] = free_port()
    path = write(t, BASIC)
    process = subprocess.Popen([find_limpet(), "-f", path], close_fds=True, env=dict(os.environ, **{
        k: str(v) for k, v in t.env.items()}), preexec_fn=lambda: [os.close(n) for n in (0, 1, 2)])
    t.port = t.env["PORT"]
    try:
        def serves():
            try:
                return t.ask(get()).body == b"A"
            except ConnectionError:
                return False
        until(serves, "it serves")
    finally:
        process.terminate()
        same(process.wait(5), 0, "status")


main()
