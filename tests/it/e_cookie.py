#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cookie and address stickiness, and the order of the rules."""
import re

from lib import *
from lib.engine import *

INSERT = '{cookie: {name: LIMPET, mode: insert, secret: "k3y"%s}}'


def cookie_of(msg, name="LIMPET"):
    """(value, attributes) of the Set-Cookie NAME of MSG, or None."""
    for line in msg.all("set-cookie"):
        first, *rest = [p.strip() for p in line.split(";")]
        if first.startswith(name + "="):
            return first[len(name) + 1:], {p.lower() for p in rest}
    return None


def worker(t, cookie=None, **kw):
    fields = [("Cookie", cookie)] if cookie else []
    return t.ask(get("/", fields), **kw)


@case("insert: a cookie is set once and leads back to its server")
def _(t):
    two = Two(t, stick=INSERT % "")
    seen = set()
    for _ in range(6):
        msg = worker(t)
        value, _ = cookie_of(msg)
        seen.add(msg.body)
        for _ in range(4):
            again = worker(t, "a=b; LIMPET=%s; c=d" % value)
            same(again.body, msg.body, "server")
            check(cookie_of(again) is None, "a good cookie is not set anew")
    same(seen, {b"A", b"B"}, "servers")


@case("insert: the value is not passed to the server, other cookies are")
def _(t):
    two = Two(t, stick=INSERT % "")
    value, _ = cookie_of(worker(t))
    for sent, want in (("LIMPET=%s", None), ("a=b; LIMPET=%s", "a=b"), ("LIMPET=%s; a=b", "a=b"),
                       ("a=b; LIMPET=%s; c=d", "a=b; c=d"), ("a=b;LIMPET=%s;c=d", "a=b;c=d"),
                       ("XLIMPET=1; LIMPET=%s", "XLIMPET=1")):
        worker(t, sent % value)
        have = two.requests[-1].get("cookie")
        same(have.replace(" ", "") if have else have, want.replace(" ", "") if want else want, sent)


@case("insert: the value tells nothing of the server and differs with the secret")
def _(t):
    two = Two(t, stick=INSERT % "")
    values = {cookie_of(worker(t))[0] for _ in range(8)}
    for value in values:
        for text in (t.env["A"], t.env["B"], t.env["A"].split(":")[1], "chat", "127.0.0.1"):
            check(text not in value, "%r tells of %r" % (value, text))
        check(len(value) >= 8, "%r can be guessed" % value)


@case("insert: attributes are as configured")
def _(t):
    two = Two(t, stick=INSERT % ", http_only: true, secure: true, same_site: none, domain: example.test, "
                                "path: /app, max_age: 1h")
    _, have = cookie_of(worker(t))
    same(have, {"httponly", "secure", "samesite=none", "domain=example.test", "path=/app", "max-age=3600"},
         "attributes")


@case("insert: without attributes it is a session cookie for the whole site")
def _(t):
    two = Two(t, stick=INSERT % "")
    _, have = cookie_of(worker(t))
    check("path=/" in have and not [a for a in have if a.startswith(("max-age", "expires", "domain"))], have)


@case("insert: a forged or altered value is ignored and replaced")
def _(t):
    two = Two(t, stick=INSERT % "")
    value, _ = cookie_of(worker(t))
    flipped = ("A" if value[0] != "A" else "B") + value[1:]
    for forged in (flipped, value[:-1], value + "x", "", "A", "chat/A", "%00", "\"%s\"" % value[::-1], "x" * 4000):
        for _ in range(2):
            msg = worker(t, "LIMPET=" + forged)
            same(msg.status, 200, "status")
            check(cookie_of(msg) is not None, "%r was taken" % forged[:50])


@case("insert: the cookie of another secret is ignored")
def _(t):
    two = Two(t, stick=INSERT % "")
    value, _ = cookie_of(worker(t))
    two.limpet.write(open(two.limpet.path).read().replace("k3y", "0ther"))
    two.limpet.signal(1)
    until(lambda: cookie_of(worker(t, "LIMPET=" + value)) is not None, "the old value is refused")


@case("insert: a cookie of a dead server leads to another, with a new cookie")
def _(t):
    two = Two(t, stick=INSERT % "", backend="retries: 2")
    msg = worker(t)
    value, _ = cookie_of(msg)
    two.servers[msg.body.decode()].down()
    again = worker(t, "LIMPET=" + value)
    check(again.status == 200 and again.body != msg.body, again)
    new = cookie_of(again)
    check(new and new[0] != value, "a new cookie")


@case("insert: the server's own Set-Cookie stay beside ours")
def _(t):
    two = Two(t, lambda w, m: ok(w, [("Set-Cookie", "sess=1"), ("Set-Cookie", "b=2")]), stick=INSERT % "")
    msg = worker(t)
    same([c for c in msg.all("set-cookie") if not c.startswith("LIMPET")], ["sess=1", "b=2"], "Set-Cookie")
    check(cookie_of(msg), "ours")


LEARN = "{cookie: {name: app.sid, mode: learn}}"


@case("learn: the app's own cookie leads back to the server that set it")
def _(t):
    n = [0]

    def app(w, m):
        if m.has("cookie"):
            return ok(w)
        n[0] += 1
        return ok(w, [("Set-Cookie", "app.sid=s%%3Aid%d.x; Path=/; HttpOnly" % n[0])])
    two = Two(t, app, stick=LEARN)
    seen = set()
    for k in range(6):
        msg = worker(t)
        seen.add(msg.body)
        value, _ = cookie_of(msg, "app.sid")
        for _ in range(4):
            same(worker(t, "x=y; app.sid=" + value).body, msg.body, "server")
        same(two.requests[-1].get("cookie"), "x=y; app.sid=" + value, "the app's cookie reaches the app")
    same(seen, {b"A", b"B"}, "servers")


@case("learn: an unknown cookie is balanced and then stays")
def _(t):
    two = Two(t, stick=LEARN)
    for n in range(6):
        first = worker(t, "app.sid=made-elsewhere-%d" % n).body
        for _ in range(3):
            same(worker(t, "app.sid=made-elsewhere-%d" % n).body, first, "server")


@case("ip: one address stays with one server, many addresses use both")
def _(t):
    two = Two(t, stick="ip")
    first = {n: worker(t, source="127.0.1.%d" % n).body for n in range(1, 30)}
    same(set(first.values()), {b"A", b"B"}, "servers")
    for n in first:
        same(worker(t, source="127.0.1.%d" % n).body, first[n], "server")


@case("ip: a prefix puts a network on one server")
def _(t):
    two = Two(t, stick="{ip: {prefix_v4: 24}}")
    by_net = {net: {worker(t, source="127.0.%d.%d" % (net, n)).body for n in range(1, 8)} for net in range(1, 20)}
    check(all(len(v) == 1 for v in by_net.values()), by_net)
    same(set.union(*by_net.values()), {b"A", b"B"}, "servers")


@case("ip: the client is who a trusted proxy tells of")
def _(t):
    two = Two(t, stick="ip", frontend="trusted_proxies: [127.0.0.1/32]")
    first = {}
    for n in range(30):
        xff = [("X-Forwarded-For", "203.0.113.%d" % n)]
        first[n] = t.ask(get("/", xff)).body
        same(t.ask(get("/", xff)).body, first[n], "server")
    same(set(first.values()), {b"A", b"B"}, "servers")
    # What an untrusted client says changes nothing.
    said = {t.ask(get("/", [("X-Forwarded-For", "203.0.113.%d" % n)]), source="127.0.0.2").body for n in range(30)}
    same(len(said), 1, "servers for a client who makes addresses up")


@case("ip: IPv6 addresses are taken by prefix")
def _(t):
    two = Two(t, stick="{ip: {prefix_v6: 64}}", frontend="trusted_proxies: [127.0.0.1/32]")
    by_net = {net: {t.ask(get("/", [("X-Forwarded-For", "2001:db8:0:%x::%x" % (net, n))])).body
                    for n in range(1, 6)} for net in range(20)}
    check(all(len(v) == 1 for v in by_net.values()), by_net)
    same(set.union(*by_net.values()), {b"A", b"B"}, "servers")


@case("ip: a server that goes moves its own clients alone")
def _(t):
    two = Two(t, stick="ip", backend="retries: 2")
    first = {n: worker(t, source="127.0.1.%d" % n).body for n in range(1, 20)}
    two.servers["A"].down()
    for n, was in first.items():
        same(worker(t, source="127.0.1.%d" % n).body, b"B", "server")


@case("ip remember: an address stays although its hash would change")
def _(t):
    two = Two(t, stick="{ip: {remember: 30m}}")
    first = {n: worker(t, source="127.0.1.%d" % n).body for n in range(1, 10)}
    for n in first:
        same(worker(t, source="127.0.1.%d" % n).body, first[n], "server")
    check("used:9" in two.limpet.ask_stats("show table"), two.limpet.ask_stats("show table"))


@case("in the order given: a live sid wins over the cookie, the cookie over the address")
def _(t):
    two = Two(t, stick="[engineio, " + INSERT % "" + ", ip]")
    cookies = {}
    sids = {}
    for n in range(1, 40):
        msg = t.ask(get(HANDSHAKE), source="127.0.1.%d" % n)
        w = two.last()
        cookies.setdefault(w, cookie_of(msg)[0])
        sids.setdefault(w, re.search(rb'"sid":"([^"]+)', msg.body).group(1).decode())
    same(set(sids), {"A", "B"}, "workers")
    for one, other in (("A", "B"), ("B", "A")):
        for n in range(1, 10):
            field = [("Cookie", "LIMPET=" + cookies[other])]
            msg = t.ask(get(POLL + sids[one], field), source="127.0.1.%d" % n)
            same(msg.body.decode(), one, "sid against cookie")
            msg = t.ask(get("/", field), source="127.0.1.%d" % n)
            same(msg.body.decode(), other, "cookie against address")


@case("handshakes without a sid follow the cookie, so that a client comes back to its worker")
def _(t):
    two = Two(t, stick="[engineio, " + INSERT % "" + "]")
    first = two.handshake()
    value, _ = cookie_of(two.handshake_answer)
    for _ in range(6):
        again = two.handshake(fields=[("Cookie", "LIMPET=" + value)])
        same(two.owner(again), two.owner(first), "owner")


main()
