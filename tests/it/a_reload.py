#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGHUP: the new file counts from now on, connections stay, a broken file changes nothing."""
import signal

from lib import *
from lib.engine import *
from lib.limpet import is_listening


def two_versions(t):
    t.echo()
    t.echo()
    return t.limpet(BASIC), BASIC.replace("${A}", "${B}")


def reload(limpet, text):
    limpet.write(text)
    limpet.signal(signal.SIGHUP)


@case("a reload uses the new backend, for connections that were open before as well")
def _(t):
    limpet, other = two_versions(t)
    c = t.connect()
    same(c.ask(get()).body, b"A", "body")
    reload(limpet, other)
    until(lambda: t.ask(get()).body == b"B", "new connections reach the new server")
    until(lambda: c.ask(get()).body == b"B" or c.is_ended, "the old connection follows, too", 1 * SLOW)


@case("a reload of a broken file changes nothing, and the log says what is wrong and that nothing changed")
def _(t):
    limpet, other = two_versions(t)
    c = t.connect()
    same(c.ask(get()).body, b"A", "body")
    reload(limpet, other.replace("backends:", "backendz:"))
    limpet.wait_log(r"limpet\.yaml:\d+:\d+: .*backendz")
    for _ in range(3):
        same(t.ask(get()).body, b"A", "body")
    same(c.ask(get()).body, b"A", "body on the old connection")
    reload(limpet, other)
    until(lambda: t.ask(get()).body == b"B", "a good file is taken after that")


@case("a request in flight ends as it began while a reload passes by")
def _(t):
    t.server([request(), fire("got it"), wait("reloaded"), send(ok("old"))], serve(lambda m, p: ok("A")))
    t.echo(name="B")
    limpet = t.limpet()
    c = t.connect()
    c.send(get())
    t.events.wait("got it")
    reload(limpet, BASIC.replace("${A}", "${B}"))
    until(lambda: t.ask(get()).body == b"B", "the new server serves")
    t.events.fire("reloaded")
    same(c.read_response().body, b"old", "body")


@case("a WebSocket stays open through a reload, and so do learned sids")
def _(t):
    two = Two(t)
    sids = [two.handshake() for _ in range(4)]
    c = t.connect()
    same(c.ask(get(UPGRADE + sids[0], WS_FIELDS)).status, 101, "status")
    same(c.read(1).decode(), two.owner(sids[0]), "owner")
    text = open(two.limpet.path).read()
    reload(two.limpet, text.replace("backend: chat", "backend: chat\n    routes: [{match: {path: /new}, "
                                                     "respond: {status: 418}}]"))
    until(lambda: t.ask(get("/new")).status == 418, "the new route is there")
    for _ in range(3):
        for sid in sids:
            same(t.ask(get(POLL + sid)).body.decode(), two.owner(sid), "owner")
    c.send(b"x")
    check(c.is_silent(0.05) and not c.is_ended, "the WebSocket is open")


@case("a bind that is added listens, and one that goes is closed")
def _(t):
    t.echo()
    limpet = t.limpet()
    t.env["OTHER"] = free_port()
    old, new = t.port, t.env["OTHER"]
    reload(limpet, BASIC.replace("127.0.0.1:${PORT}", "127.0.0.1:%d" % new))

    def serves(port):
        try:
            return t.ask(get(), address=port).body == b"A"
        except ConnectionError:
            return False
    until(lambda: serves(new), "the new bind serves")
    until(lambda: not serves(old), "the old bind is closed")


@case("who waits in the queue of a bind that a reload takes away is still served")
def _(t):
    t.echo()
    t.env["OTHER"] = free_port()
    limpet = t.limpet(BASIC.replace('"127.0.0.1:${PORT}"', '["127.0.0.1:${PORT}", "127.0.0.1:${OTHER}"]'))
    limpet.signal(signal.SIGSTOP)
    waiting = [t.connect(t.env["OTHER"]) for _ in range(300)]
    for c in waiting:
        c.send(get())
    reload(limpet, BASIC)
    limpet.signal(signal.SIGCONT)
    for c in waiting:
        same(c.read_response().body, b"A", "body")
    until(lambda: not is_listening(t.env["OTHER"]), "the bind is closed")


@case("threads, user, group and chroot: the reload's answer says that they want a restart")
def _(t):
    t.echo()
    text = BASIC.replace("global:\n", 'global:\n  stats: {socket: "unix:${RUN}/stats.sock"}\n')
    limpet = t.limpet(text)
    limpet.write(text.replace("threads: ${THREADS:-1}", "threads: 7"))
    said = limpet.ask_stats("reload")
    check("Success=1" in said and "threads" in said and "restart" in said, said)
    limpet.write(text)
    same("restart" in limpet.ask_stats("reload"), False, "a warning when nothing changes")


@case("a cookie whose secret was made up stays good through reloads")
def _(t):
    two = Two(t, stick="[cookie: {name: L}]")
    cookies = {}
    for _ in range(8):
        msg = t.ask(get("/x"))
        cookies[two.last()] = msg.get("set-cookie").split(";")[0]
    for n in range(3):
        two.limpet.signal(signal.SIGHUP)
        until(lambda: two.limpet.log().count("loaded again") > n, "a reload")
        for worker, cookie in list(cookies.items()) * 3:
            t.ask(get("/x", [("Cookie", cookie)]))
            same(two.last(), worker, "worker")


@case("fifty reloads under traffic lose no request, and give back descriptors and memory")
def _(t):
    limpet, other = two_versions(t)
    c = t.connect()
    c.ask(get())
    texts = [BASIC, other]
    for n in range(10):
        reload(limpet, texts[n % 2])
        same(c.ask(get()).status, 200, "status")
    before = limpet.fds(), limpet.rss()
    for n in range(50):
        reload(limpet, texts[n % 2])
        for _ in range(3):
            check(c.ask(get()).body in b"AB")
            same(t.ask(get()).status, 200, "status")
    reload(limpet, other)
    until(lambda: t.ask(get()).body == b"B", "the last file counts")
    after = limpet.fds(), limpet.rss()
    check(after[0] <= before[0] + 4, "descriptors: %d -> %d" % (before[0], after[0]))
    if not is_sanitized:
        check(after[1] < before[1] + 4000000, "memory: %d -> %d" % (before[1], after[1]))


main()
