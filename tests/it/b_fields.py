#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fields that Limpet takes off, puts on, or leaves alone, in both directions."""
import re

from lib import *

TWO_TIERS_XFF = "trusted_proxies: [127.0.0.0/8]"


def seen(t, fields=(), text=BASIC, **kw):
    """What the server saw of a request with FIELDS."""
    server = t.server(serve(lambda m, p: ok()))
    t.limpet(text)
    same(t.ask(get(fields=fields), **kw).status, 200, "status")
    return server.requests[0]


@case("hop-by-hop fields of a request are not passed on")
def _(t):
    m = seen(t, [("Connection", "keep-alive"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "x"),
                 ("TE", "gzip"), ("Upgrade", "h2c"), ("Proxy-Authorization", "Basic eA=="),
                 ("X-Stays", "1")])
    for name in ("keep-alive", "proxy-connection", "upgrade"):
        check(not m.has(name), "%s was passed on: %r" % (name, m))
    check("gzip" not in m.get("te", ""), m)
    check("upgrade" not in m.get("connection", "").lower(), m)
    same(m.get("x-stays"), "1", "X-Stays")


@case("fields that a request's Connection names are not passed on")
def _(t):
    m = seen(t, [("Connection", "x-hop , X-Other"), ("X-Hop", "1"), ("x-other", "2"), ("Connection", "x-third"),
                 ("X-Third", "3"), ("X-Stays", "4")])
    for name in ("x-hop", "x-other", "x-third"):
        check(not m.has(name), "%s was passed on" % name)
    same(m.get("x-stays"), "4", "X-Stays")


@case("Connection can't take off Host, the length, or X-Forwarded-For")
def _(t):
    server = t.server(serve(lambda m, p: ok(m.body)))
    t.limpet()
    msg = t.ask(post(body=b"body", fields=[(
        "Connection", "close, host, content-length, x-forwarded-for, x-request-id")]))
    if msg.status == 200:
        m = server.requests[0]
        same((m.get("host"), m.body, m.get("x-forwarded-for")), ("example.test", b"body", "127.0.0.1"),
             "Host, body, X-Forwarded-For")
    else:
        same(msg.status, 400, "status")


@case("hop-by-hop fields of an answer are not passed on")
def _(t):
    t.server(serve(lambda m, p: ok(fields=[
        ("Connection", "keep-alive, X-Hop"), ("Keep-Alive", "timeout=5"), ("X-Hop", "1"),
        ("Proxy-Connection", "keep-alive"), ("X-Stays", "1"), ("Upgrade", "h2c")])))
    t.limpet()
    msg = t.ask(get())
    for name in ("x-hop", "proxy-connection", "upgrade"):
        check(not msg.has(name), "%s was passed on" % name)
    check(msg.get("keep-alive") != "timeout=5", "the server's Keep-Alive is its own")
    same(msg.get("x-stays"), "1", "X-Stays")


@case("an Upgrade to anything but websocket is not passed on and the request is served")
def _(t):
    m = seen(t, [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")])
    check(not m.has("upgrade") and not m.has("http2-settings"), m)
    check("upgrade" not in m.get("connection", "").lower(), m)


@case("Upgrade: websocket without Connection: upgrade is no upgrade")
def _(t):
    m = seen(t, [("Upgrade", "websocket"), ("X-Stays", "1")])
    check(not m.has("upgrade"), m)


@case("X-Forwarded-For, -Proto, -Host and -Port tell of the client")
def _(t):
    m = seen(t, source="127.0.0.9")
    same(m.all("x-forwarded-for"), ["127.0.0.9"], "X-Forwarded-For")
    same(m.all("x-forwarded-proto"), ["http"], "X-Forwarded-Proto")
    same(m.all("x-forwarded-host"), ["example.test"], "X-Forwarded-Host")
    same(m.all("x-forwarded-port"), [str(t.port)], "X-Forwarded-Port")


@case("what an untrusted client says in X-Forwarded-* and Forwarded is replaced")
def _(t):
    m = seen(t, [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"),
                 ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Port", "443"),
                 ("x-forwarded-for", "5.6.7.8")])
    same(m.all("x-forwarded-for"), ["127.0.0.1"], "X-Forwarded-For")
    same(m.all("x-forwarded-proto"), ["http"], "X-Forwarded-Proto")
    same(m.all("x-forwarded-host"), ["example.test"], "X-Forwarded-Host")
    same(m.all("x-forwarded-port"), [str(t.port)], "X-Forwarded-Port")


@case("what a trusted proxy says is believed, and its own address appended")
def _(t):
    m = seen(t, [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"),
                 ("X-Forwarded-Host", "shop.test"), ("X-Forwarded-Port", "443")], config(TWO_TIERS_XFF))
    same([v.strip() for v in ",".join(m.all("x-forwarded-for")).split(",")],
         ["203.0.113.7", "127.0.0.1"], "X-Forwarded-For")
    same(m.all("x-forwarded-proto"), ["https"], "X-Forwarded-Proto")
    same(m.all("x-forwarded-host"), ["shop.test"], "X-Forwarded-Host")
    same(m.all("x-forwarded-port"), ["443"], "X-Forwarded-Port")


@case("an address outside trusted_proxies is not believed")
def _(t):
    m = seen(t, [("X-Forwarded-For", "203.0.113.7")], config("trusted_proxies: [127.0.0.2/32]"))
    same(m.all("x-forwarded-for"), ["127.0.0.1"], "X-Forwarded-For")


@case("forwarded: none adds nothing")
def _(t):
    m = seen(t, text=config(backend="forwarded: none"))
    for name in ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded"):
        check(not m.has(name), "%s was added" % name)


@case("forwarded: forwarded writes RFC 7239 and replaces what an untrusted client said")
def _(t):
    m = seen(t, [("Forwarded", "for=1.2.3.4")], config(backend="forwarded: forwarded"))
    same(len(m.all("forwarded")), 1, "Forwarded fields")
    parts = dict(p.strip().split("=", 1) for p in m.get("forwarded").split(";"))
    parts = {k.lower(): v.strip('"') for k, v in parts.items()}
    same((parts.get("for"), parts.get("proto"), parts.get("host")), ("127.0.0.1", "http", "example.test"),
         "Forwarded")


@case("forwarded: forwarded appends to what a trusted proxy said")
def _(t):
    m = seen(t, [("Forwarded", "for=203.0.113.7;proto=https")],
             config(TWO_TIERS_XFF, "forwarded: forwarded"))
    value = ", ".join(m.all("forwarded"))
    check(re.match(r'for=203\.0\.113\.7;proto=https, *.*for="?127\.0\.0\.1"?', value), value)


@case("an IPv6 client's address is written without brackets in X-Forwarded-For, quoted in Forwarded")
def _(t):
    server = t.server(serve(lambda m, p: ok()))
    try:
        free_port("::1")
    except OSError:
        raise Skip("no IPv6 here")
    for kind, want in (("x_forwarded_for", "::1"), ("forwarded", '"[::1]"')):
        t.env.pop("PORT", None)
        t.limpet(config(backend="forwarded: " + kind).replace("127.0.0.1:${PORT}", "[::1]:${PORT}"), name=kind)
        same(t.ask(get(), address=("::1", t.port)).status, 200, "status")
        m = server.requests[-1]
        value = m.get("x-forwarded-for") if kind[0] == "x" else m.get("forwarded")
        check(want in value, value)


@case("X-Request-Id is made when there is none, and differs from request to request")
def _(t):
    server = t.server(serve(lambda m, p: ok()))
    t.limpet()
    for _ in range(3):
        t.ask(get())
    ids = [m.get("x-request-id") for m in server.requests]
    check(all(ids) and len(set(ids)) == 3, ids)
    check(all(re.fullmatch(r"[\x21-\x7e]{8,128}", i) for i in ids), ids)


@case("X-Request-Id of a client is kept")
def _(t):
    m = seen(t, [("X-Request-Id", "abc-123")])
    same(m.all("x-request-id"), ["abc-123"], "X-Request-Id")


ROUTES = """\
global: {threads: "${THREADS:-1}"}
frontends:
  web:
    bind: "127.0.0.1:${PORT}"
    routes:
      - match: {path_prefix: /set}
        set_headers: {x-new: "one", host: "inner.test", X-Old: "replaced"}
        remove_headers: [cookie, x-gone]
        set_response_headers: {x-served: "yes", server: "limpet"}
        remove_response_headers: [x-powered-by]
        backend: app
    backend: app
backends:
  app: {hosts: {one: "${A}"}}
"""


@case("a route's set_headers, remove_headers and their response forms act on that route alone")
def _(t):
    server = t.server(serve(lambda m, p: ok(fields=[("X-Powered-By", "node"), ("Server", "node")])))
    t.limpet(ROUTES)
    fields = [("Cookie", "a=b"), ("X-Gone", "1"), ("x-old", "2"), ("X-OLD", "3"), ("X-Stays", "4")]
    on, off = t.ask(get("/set", fields)), t.ask(get("/other", fields))
    m, n = server.requests
    same((m.all("x-new"), m.all("x-old"), m.all("host"), m.has("cookie"), m.has("x-gone"), m.get("x-stays")),
         (["one"], ["replaced"], ["inner.test"], False, False, "4"), "request fields on the route")
    same((n.has("x-new"), n.all("x-old"), n.get("cookie"), n.has("x-gone")),
         (False, ["2", "3"], "a=b", True), "request fields off the route")
    same((on.all("x-served"), on.all("server"), on.has("x-powered-by")), (["yes"], ["limpet"], False),
         "response fields on the route")
    same((off.has("x-served"), off.all("server"), off.has("x-powered-by")), (False, ["node"], True),
         "response fields off the route")


@case("Accept-Encoding is left alone on an ordinary request")
def _(t):
    same(seen(t, [("Accept-Encoding", "gzip, br")]).get("accept-encoding"), "gzip, br", "Accept-Encoding")


@case("the path and the query go through byte by byte as they came")
def _(t):
    server = t.server(serve(lambda m, p: ok()))
    t.limpet()
    targets = ["/%2e%2E/a", "//a//b", "/a/../b", "/a;b=c?d=%00&e", "/?", "/a?b?c", "/a%2Fb"]
    for target in targets:
        t.ask(get(target))
    same([m.target for m in server.requests], targets, "targets")


main()
