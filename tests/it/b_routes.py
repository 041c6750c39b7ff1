#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Routes: every key of a match, its negation, lists, the order, redirect and respond, and ways round."""
from lib import *

# (match in YAML, request that matches, request that doesn't) ; requests as arguments of get()
G = dict
MATCHES = [
    ("host: api.test", G(host="api.test"), G(host="other.test")),
    ("host: api.test", G(host="API.Test:8080"), G(host="api.test.evil")),
    ("host: \"*.api.test\"", G(host="v1.api.test"), G(host="api.test")),
    ("host: \"*.api.test\"", G(host="a.b.api.test"), G(host="xapi.test")),
    ("host: [a.test, \"*.b.test\"]", G(host="x.b.test"), G(host="b.test.a")),
    ("host: \"!api.test\"", G(host="other.test"), G(host="api.test")),
    ("path: /a", G(target="/a"), G(target="/a/")),
    ("path: /a", G(target="/a?q=1"), G(target="/ab")),
    ("path: [/a, /b]", G(target="/b"), G(target="/c")),
    ("path: \"!/a\"", G(target="/b"), G(target="/a")),
    ("path_prefix: /private", G(target="/private/x"), G(target="/public")),
    ("path_prefix: /private", G(target="/private"), G(target="/x/private")),
    ("path_prefix: \"!/private\"", G(target="/public"), G(target="/private/x")),
    ("path_regex: \"^/v[12]/\"", G(target="/v2/x"), G(target="/v3/x")),
    ("path_regex: \"^/users/[0-9]+$\"", G(target="/users/17?x=y"), G(target="/users/17/x")),
    ("path_regex: [\"^/a$\", \"^/b$\"]", G(target="/b"), G(target="/ab")),
    ("path_regex: \"!^/v[12]/\"", G(target="/v3/x"), G(target="/v1/x")),
    ("header: {x-canary: \"1\"}", G(fields=[("X-Canary", "1")]), G(fields=[("X-Canary", "2")])),
    ("header: {x-canary: \"1\"}", G(fields=[("X-CANARY", "1")]), G()),
    ("header: {x-canary: [\"1\", \"2\"]}", G(fields=[("X-Canary", "2")]), G(fields=[("X-Canary", "3")])),
    ("header: {x-canary: \"!1\"}", G(fields=[("X-Canary", "2")]), G(fields=[("X-Canary", "1")])),
    ("header: {x-a: \"1\", x-b: \"2\"}", G(fields=[("X-A", "1"), ("X-B", "2")]), G(fields=[("X-A", "1")])),
    ("query: {version: \"2\"}", G(target="/?a=b&version=2"), G(target="/?version=22")),
    ("query: {version: \"2\"}", G(target="/?version=%32"), G(target="/?xversion=2")),
    ("query: {version: \"!2\"}", G(target="/?version=3"), G(target="/?version=2")),
    ("cookie: {beta: \"yes\"}", G(fields=[("Cookie", "a=b; beta=yes")]), G(fields=[("Cookie", "xbeta=yes")])),
    ("cookie: {beta: \"!yes\"}", G(fields=[("Cookie", "beta=no")]), G(fields=[("Cookie", "beta=yes")])),
    ("method: POST", G(method="POST", fields=[("Content-Length", "0")]), G()),
    ("method: [PUT, DELETE]", G(method="DELETE"), G()),
    ("method: \"!GET\"", G(method="OPTIONS"), G()),
    ("path_prefix: /a, method: GET", G(target="/a/b"), G(target="/a/b", method="OPTIONS")),
]

ROUTED = """\
global: {threads: "${THREADS:-1}"}
frontends:
  web:
    bind: "127.0.0.1:${PORT}"
    routes:
      - {match: {%s}, backend: matched}
    backend: rest
backends:
  matched: {hosts: {one: "${A}"}}
  rest: {hosts: {one: "${B}"}}
"""

for n, (yaml, yes, no) in enumerate(MATCHES):
    def matches(t, yaml=yaml, yes=yes, no=no):
        t.echo()
        t.echo()
        t.limpet(ROUTED % yaml)
        c = t.connect()
        same(c.ask(get(**yes)).body, b"A", "backend of %r" % yes)
        same(c.ask(get(**no)).body, b"B", "backend of %r" % no)
    case("match {%s}, %d" % (yaml, n))(matches)

SOURCES = [
    ("source: 127.0.0.2/32", "127.0.0.2", "127.0.0.1"),
    ("source: [127.0.1.0/24, 127.0.2.0/24]", "127.0.2.9", "127.0.3.1"),
    ("source: \"!127.0.0.2/32\"", "127.0.0.1", "127.0.0.2"),
    ("source: [\"!127.0.0.2/32\"]", "127.0.0.1", "127.0.0.2"),
    ("source: [\"127.0.0.0/24\", \"!127.0.0.2/32\"]", "127.0.0.3", "127.0.0.2"),
]
for yaml, yes, no in SOURCES:
    def from_source(t, yaml=yaml, yes=yes, no=no):
        t.echo()
        t.echo()
        t.limpet(ROUTED % yaml)
        same(t.ask(get(), source=yes).body, b"A", "backend for " + yes)
        same(t.ask(get(), source=no).body, b"B", "backend for " + no)
    case("match {%s}" % yaml)(from_source)


@case("source is the client that a trusted proxy tells of, and nobody else's word")
def _(t):
    t.echo()
    t.echo()
    text = ROUTED % "source: 203.0.113.0/24"
    t.limpet(text.replace("    routes:", "    trusted_proxies: [127.0.0.2/32]\n    routes:"))
    told = [("X-Forwarded-For", "203.0.113.7")]
    same(t.ask(get(fields=told), source="127.0.0.2").body, b"A", "through the trusted proxy")
    same(t.ask(get(fields=told), source="127.0.0.3").body, b"B", "from anybody")
    # The rightmost address that is not a trusted proxy's is the client.
    told = [("X-Forwarded-For", "203.0.113.7, 198.51.100.1, 127.0.0.2")]
    same(t.ask(get(fields=told), source="127.0.0.2").body, b"B", "a client who forged the left part")


RULES = """\
global: {threads: "${THREADS:-1}"}
frontends:
  web:
    bind: "127.0.0.1:${PORT}"
    routes:
      - {match: {path: /old}, redirect: {to: /new, status: 308}}
      - {match: {path: /away}, redirect: {to: "https://other.test/x"}}
      - {match: {path_prefix: /admin}, respond: {status: 403, body: "no\\n"}}
      - {match: {path_prefix: /admin/open}, backend: first}
      - {match: {path_prefix: /one}, backend: first}
      - {match: {path_prefix: /one/two}, backend: second}
      - {match: {path: /gone}, respond: {status: 410}}
    backend: second
backends:
  first: {hosts: {one: "${A}"}}
  second: {hosts: {one: "${B}"}}
"""


@case("the first route that matches wins")
def _(t):
    t.echo()
    t.echo()
    t.limpet(RULES)
    c = t.connect()
    same(c.ask(get("/one/two")).body, b"A", "body")
    same(c.ask(get("/two")).body, b"B", "body")
    same(c.ask(get("/admin/open")).status, 403, "status")


@case("redirect: status, Location, and the connection goes on")
def _(t):
    t.echo()
    t.echo()
    t.limpet(RULES)
    c = t.connect()
    msg = c.ask(get("/old"))
    same(msg.status, 308, "status")
    check(msg.get("location") in ("/new", "http://example.test/new"), msg)
    msg = c.ask(get("/away"))
    check(msg.status in (301, 302, 307, 308), msg)
    same(msg.get("location"), "https://other.test/x", "Location")
    msg = c.ask(post("/old", b"a body that must not be taken for a request"))
    same(msg.status, 308, "status")
    if msg.get("connection", "").lower() == "close":
        check(not c.read_all(), "nothing behind it")
    else:
        same(c.ask(get("/other")).body, b"B", "body")


@case("respond: status and body, nothing reaches a server")
def _(t):
    one, two = t.echo(), t.echo()
    t.limpet(RULES)
    msg = t.ask(get("/admin"))
    same((msg.status, msg.body), (403, b"no\n"), "answer")
    same(t.ask(get("/gone")).status, 410, "status")
    same(t.ask(get("/admin", method="HEAD"), to="HEAD").status, 403, "status")
    same((one.accepts, two.accepts), (0, 0), "server connections")


@case("another spelling of a path does not get round a route")
def _(t):
    one, two = t.echo(), t.echo()
    t.limpet(RULES)
    for target in ("/%61dmin", "/%61%64%6d%69%6e/x", "//admin", "///admin/x", "/./admin", "/x/../admin",
                   "/x/%2e%2e/admin", "/x/%2E%2e/admin/y", "/%2e/admin", "/x/.%2e/admin",
                   "/admin/.", "/admin//", "/x/y/../../admin",
                   "http://example.test/admin", "http://example.test//%61dmin"):
        msg = t.ask(get(target))
        check(msg.status in (403, 400), "%s was answered with %d" % (target, msg.status))
    same((one.requests, two.requests), ([], []), "what the servers saw")


@case("an encoded slash does not get round a route")
def _(t):
    one, two = t.echo(), t.echo()
    t.limpet(RULES)
    for target in ("/%2fadmin", "/admin%2fx", "/x%2f..%2fadmin", "/x/..%2fadmin"):
        msg = t.ask(get(target))
        check(msg.status in (403, 400), "%s was answered with %d" % (target, msg.status))


@case("what a route does not name stays open beside it")
def _(t):
    t.echo()
    t.echo()
    t.limpet(RULES)
    for target in ("/adminx/../y", "/x/admin", "/admi", "/admin/../public", "/Admin"):
        same(t.ask(get(target)).status, 200, "status of " + target)


def routes_to_one(t, routes):
    """One backend; ROUTES, each as YAML, and nothing else decides what goes to it."""
    t.echo()
    t.limpet("""\
frontends:
  web:
    bind: "127.0.0.1:${PORT}"
    routes:
%sbackends:
  app: {hosts: {one: "${A}"}}
""" % "".join("      - {%s}\n" % route for route in routes))


@case("no route and no backend of the frontend: 404 or 503, and the connection goes on")
def _(t):
    routes_to_one(t, ["match: {path: /a}, backend: app"])
    c = t.connect()
    check(c.ask(get("/b")).status in (404, 503))
    same(c.ask(get("/a")).body, b"A", "body")


@case("a very long host meets the route of its domain, also behind so many routes that names are looked up")
def _(t):
    routes_to_one(t, ["match: {host: h%d.test}, backend: app" % i for i in range(20)] +
                  ['match: {host: "*.int.test"}, respond: {status: 403}', "match: {}, backend: app"])
    for length in (20, 255, 256, 257, 1000):
        same(t.ask(get("/", host="a" * (length - 9) + ".int.test")).status, 403, "status with %d bytes" % length)


@case("a regex that backtracks without end is cut short, and other clients are served meanwhile")
def _(t):
    import time
    t.echo()
    t.echo()
    t.limpet(ROUTED % "path_regex: \"^/(a+)+$\"")
    started = time.monotonic()
    msg = t.ask(get("/" + "a" * 3000 + "!"))
    check(msg.status in (200, 400, 403, 500, 503), msg)
    check(time.monotonic() - started < 1 * SLOW, "it took %.2f s" % (time.monotonic() - started))
    same(t.ask(get("/aaa")).body, b"A", "body")


main()
