#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Limits per source: connections at once and new ones in a time, in both modes; routes that reject."""
import re
import signal

from lib import *

HEADER = b"PROXY TCP4 %s 198.51.100.2 1111 80\r\n"


def conf(frontend, mode="http", bind='"127.0.0.1:${PORT}"', more=""):
    return ('global: {threads: "${THREADS:-1}", stats: {socket: "unix:${RUN}/stats.sock"}}\n'
            'frontends:\n  web: {mode: %s, bind: %s, backend: app, %s}\n%s'
            'backends:\n  app: {mode: %s, hosts: {one: "${A}"}}\n') % (mode, bind, frontend, more, mode)


def serves(c, mode):
    """True: the connection is served.  False: it was reset (or closed) without an answer."""
    try:
        if mode == "tcp":
            c.send(b"x")
            return c.read(1) == b"x"
        c.send(get())
        return c.read_response().status == 200
    except (Fail, OSError):
        return False


def reload(limpet, text):
    """From here on new connections may meet the old limits for a moment yet."""
    limpet.write(text)
    limpet.signal(signal.SIGHUP)


def serves_once(t, mode):
    c = t.connect()
    is_served = serves(c, mode)
    c.close()
    return is_served


def start(t, mode, frontend, **kwargs):
    if mode == "tcp":
        def echo(peer):
            while peer.buf or peer.fill(60):
                peer.send(peer.take(len(peer.buf)))
        t.server(echo)
    else:
        t.echo()
    return t.limpet(conf(frontend, mode, **kwargs))


def row(limpet):
    return [r for r in limpet.stat_rows() if r["pxname"] == "web" and r["svname"] == "FRONTEND"][0]


def refused(limpet, which):
    text = limpet.ask_stats("show metrics")
    found = re.search(r'(?m)^limpet_frontend_%s_total{frontend="web"[^}]*} (\d+)' % which, text)
    check(found, "no such metric: " + which)
    return int(found.group(1))


def both_modes(sentence):
    def make(fn):
        for mode in ("http", "tcp"):
            case("mode %s: %s" % (mode, sentence))(lambda t, mode=mode: fn(t, mode))
        return fn
    return make


@both_modes("no more connections at once from one address than it may have, and another when one has gone")
def _(t, mode):
    limpet = start(t, mode, "max_connections_per_source: 3")
    open_now = [t.connect() for _ in range(3)]
    for c in open_now:
        check(serves(c, mode), "one of the first three was not served")
    for _ in range(4):
        check(not serves(t.connect(), mode), "a fourth was served")
    same(refused(limpet, "source_connections_refused"), 4, "counted")
    same(int(row(limpet)["dcon"]), 4, "dcon")
    limpet.wait_log(r"frontend web: connection from 127\.0\.0\.1:\d+ refused: max_connections_per_source is 3")
    check("frontend=web key=127.0.0.1 conn_cur=3 rate_full_in=0" in limpet.ask_stats("show sources"), limpet.ask_stats("show sources"))
    for c in open_now:
        check(serves(c, mode), "a connection that was open is not served any more")
    open_now[0].close()
    until(lambda: "conn_cur=2" in limpet.ask_stats("show sources web"), "the connection is given back")
    open_now[0] = t.connect()
    check(serves(open_now[0], mode), "there is room again")
    for c in open_now:
        c.close()
    until(lambda: limpet.ask_stats("show sources").strip() == "", "nothing is remembered of who has nothing")


@both_modes("no more new connections in a time than the rate allows, wherever they have gone")
def _(t, mode):
    limpet = start(t, mode, "connection_rate_per_source: 5/1h")
    for _ in range(5):
        c = t.connect()
        check(serves(c, mode), "one of the first five was not served")
        c.close()
    for _ in range(3):
        check(not serves(t.connect(), mode), "a sixth was served")
    same(refused(limpet, "source_rate_refused"), 3, "counted")
    limpet.wait_log(r"refused: connection_rate_per_source is 5 in 3600000 ms")
    # Full again when the five parts of an hour are over, less what the test has taken.
    until(lambda: re.search(r"^frontend=web key=127\.0\.0\.1 conn_cur=0 rate_full_in=3[56]\d{5}$",
                            limpet.ask_stats("show sources").strip()), "it is remembered")


@case("a rate recovers")
def _(t):
    start(t, "http", "connection_rate_per_source: 2/400ms")
    served = sum(serves(t.connect(), "http") for _ in range(2))
    same(served, 2, "served at first")
    until(lambda: serves(t.connect(), "http"), "it is served again")


@both_modes("the address that a PROXY header tells counts, and checks of the proxy itself do not")
def _(t, mode):
    limpet = start(t, mode, "max_connections_per_source: 1",
                   bind='{address: "127.0.0.1:${PORT}", accept_proxy: true}')

    def connect(source):
        c = t.connect()
        c.send(HEADER % source)
        return c
    first, second = connect(b"192.0.2.1"), connect(b"192.0.2.2")
    check(serves(first, mode) and serves(second, mode), "two addresses are two sources")
    check(not serves(connect(b"192.0.2.1"), mode), "one of them has one already")
    check("key=192.0.2.2 conn_cur=1" in limpet.ask_stats("show sources"), "who it is")
    local = []
    for _ in range(3):
        c = t.connect()
        c.send(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")
        local.append(c)
        check(serves(c, mode), "LOCAL connections have no source")
    first.close()
    until(lambda: "192.0.2.1" not in limpet.ask_stats("show sources"), "given back")
    check(serves(connect(b"192.0.2.1"), mode), "there is room again")


@case("an IPv6 network of 64 bits is one source")
def _(t):
    limpet = start(t, "http", "max_connections_per_source: 2",
                   bind='{address: "127.0.0.1:${PORT}", accept_proxy: true}')
    kept = []
    for source, want in ((b"2001:db8::1", True), (b"2001:db8::ffff:2", True), (b"2001:db8::3", False),
                         (b"2001:db8:0:1::1", True)):
        c = t.connect()
        c.send(b"PROXY TCP6 %s ::1 1111 80\r\n" % source)
        same(serves(c, "http"), want, source)
        kept.append(c)
    check("key=2001:db8::/64 conn_cur=2" in limpet.ask_stats("show sources"), limpet.ask_stats("show sources"))


@both_modes("connections over a Unix socket have no source and no limit")
def _(t, mode):
    limpet = start(t, mode, "max_connections_per_source: 1, connection_rate_per_source: 1/1h",
                   bind='["127.0.0.1:${PORT}", "unix:${RUN}/front.sock"]')
    path = t.directory + "/front.sock"
    for _ in range(3):
        check(serves(t.connect(path), mode), "a connection over the Unix socket")
    check(serves(t.connect(), mode), "the first over TCP")
    check(not serves(t.connect(), mode), "the second over TCP")


@both_modes("a reload changes the limits at once, and what is open stays open and counted")
def _(t, mode):
    limpet = start(t, mode, "max_connections_per_source: 2")
    open_now = [t.connect() for _ in range(2)]
    for c in open_now:
        check(serves(c, mode), "within the limit")
    check(not serves(t.connect(), mode), "over the limit")
    reload(limpet, conf("max_connections_per_source: 3", mode))
    until(lambda: serves_once(t, mode), "the limit has been raised")
    reload(limpet, conf("max_connections_per_source: 1", mode))
    until(lambda: not serves_once(t, mode), "the limit has been lowered")
    for c in open_now:
        check(serves(c, mode), "what was open goes on")
    until(lambda: "conn_cur=2" in limpet.ask_stats("show sources"), "what was open is counted")
    reload(limpet, conf("max_connections_per_source: 0", mode))
    until(lambda: serves_once(t, mode), "there is no limit any more")
    for _ in range(5):
        check(serves(t.connect(), mode), "there is no limit any more")


@case("sources of one frontend do not count in another")
def _(t):
    t.echo()
    limpet = t.limpet(conf("max_connections_per_source: 1",
                           more='  other: {bind: "unix:${RUN}/o.sock", backend: app}\n'))
    check(serves(t.connect(), "http"), "the first")
    same(limpet.ask_stats("show sources other").strip(), "", "the other's sources")
    check("No such frontend" in limpet.ask_stats("show sources nobody"), "an unknown frontend")


@both_modes("a route that rejects closes without an answer, and what it does not match is served")
def _(t, mode):
    limpet = start(t, mode, "routes: [{name: out, match: {source: 192.0.2.0/24}, reject: true}]",
                   bind='{address: "127.0.0.1:${PORT}", accept_proxy: true}')
    good, bad = t.connect(), t.connect()
    good.send(HEADER % b"198.51.100.9")
    bad.send(HEADER % b"192.0.2.9")
    check(serves(good, mode), "who is not matched")
    if mode == "http":
        bad.send(get("/secret"))
    else:
        bad.send(b"x")
    bad.fill()
    check(bad.is_ended and not bad.buf, "no byte may come: %r" % bytes(bad.buf))
    limpet.wait_log(r"192\.0\.2\.9.* PR")
    same(int(row(limpet)["dreq"]), 1, "dreq")


main()
