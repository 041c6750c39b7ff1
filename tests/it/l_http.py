#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The HTTP server of global.stats.http: pages and numbers, hostile clients, credentials, actions, events, reload."""
import base64
import hashlib
import json
import os
import re
import signal
import time

from lib import *

CONFIG = """\
global:
  threads: ${THREADS:-1}
  node: lb-1
  shutdown_grace: ${GRACE:-5s}
  stats:
    socket: "unix:${RUN}/stats.sock"
    http: %s
frontends:
  web: {bind: "127.0.0.1:${PORT}", backend: chat}
backends:
  chat:
    hosts:
      app-1: {address: 127.0.0.1, workers: [{port: "${WORKER}", name: one}, {port: "${REFUSED}", name: two}]}
      app-2: "${A}"
  empty: {hosts: {gone: "unix:${RUN}/none/*.sock"}}
"""
PLAIN = '"127.0.0.1:${PORT_HTTP}"'
SECRET = '{address: "127.0.0.1:${PORT_HTTP}", username: op, password: "pa:ss wörd"%s}'
ACTION = [("Content-Type", "application/json"), ("X-Limpet-Action", "1")]
SECURITY = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
            "x-frame-options": "DENY"}


def basic(user="op", password="pa:ss wörd"):
    return ("Authorization", "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode())


class Board:
    """A Limpet with two servers that answer and one that refuses, and its dashboard."""

    def __init__(self, t, http=PLAIN, ports=("PORT", "PORT_HTTP"), **kw):
        self.t = t
        t.echo(name="A")
        worker = t.echo(name="W")
        t.env["WORKER"] = worker.port
        t.env.setdefault("REFUSED", free_port())
        self.limpet = t.limpet(CONFIG % http, ports=ports, **kw)
        self.port = t.env.get("PORT_HTTP", 0)
        self.host = "127.0.0.1:%d" % self.port

    def connect(self):
        return self.t.connect(self.port)

    def ask(self, target="/", fields=(), method="GET", host=None, body=None):
        client = self.connect()
        if body is None:
            data = get(target, fields, host=host or self.host, method=method)
        else:
            data = post(target, body, fields, host=host or self.host, method=method)
        msg = client.ask(data, to=method)
        client.close()
        return msg

    def json(self, target, fields=()):
        msg = self.ask(target, fields)
        same(msg.status, 200, "status of " + target)
        same(msg.get("content-type"), "application/json", "type of " + target)
        return json.loads(msg.body)

    def act(self, target, state, fields=(), auth=basic(), body=None):
        return self.ask(target, list(fields) + ACTION + ([auth] if auth else []), "POST",
                        body=body if body is not None else ('{"state": "%s"}' % state).encode())

    def status(self, name):
        return [r["status"] for r in self.limpet.stat_rows() if r["svname"] == name][0]


def events(peer):
    """Yields (name, data) of server-sent events."""
    msg = peer.read_response(want_body=False)
    same((msg.status, msg.get("content-type")), (200, "text/event-stream; charset=utf-8"), "the stream")
    text = b""
    while True:
        size = int(peer.read_to(b"\r\n").strip(), 16)
        text += peer.read(size)
        peer.read(2)
        while b"\n\n" in text:
            event, text = text.split(b"\n\n", 1)
            said = dict(line.split(": ", 1) for line in event.decode().split("\n"))
            yield said["event"], json.loads(said["data"])


@case("the page needs nothing from elsewhere: its policy names its own style and script alone")
def _(t):
    msg = Board(t).ask("/")
    same((msg.status, msg.get("content-type")), (200, "text/html; charset=utf-8"), "the page")
    page = msg.body.decode()
    check("@style@" not in page and "@script@" not in page and page.startswith("<!doctype html>"), page[:200])
    policy = msg.get("content-security-policy")
    for tag in ("style", "script"):
        text = re.search("<%s>(.*?)</%s>" % (tag, tag), page, re.S).group(1)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        check("%s-src 'sha256-%s'" % (tag, digest) in policy, policy)
    for part in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        check(part in policy, policy)
    for word in ("http://", "https://", "innerHTML", "eval("):
        rest = page.replace("http://www.w3.org/2000/svg", "")
        check(word not in rest, "%s is in the page" % word)
    check(not re.search(r"\sstyle=|\son\w+=", page), "no inline attributes that the policy would refuse")


@case("every answer forbids caching, sniffing and framing, and none allows another origin")
def _(t):
    board = Board(t)
    for target in ("/", "/healthz", "/metrics", "/api/v1/info", "/nowhere"):
        msg = board.ask(target, [("Origin", "http://evil.example")])
        for name, value in SECURITY.items():
            same(msg.get(name), value, "%s of %s" % (name, target))
        check(msg.get("content-security-policy", "").startswith("default-src 'none'"), target)
        check(not msg.has("access-control-allow-origin"), target)


@case("the JSON says what the stats socket says")
def _(t):
    board = Board(t)
    for _ in range(8):
        t.ask(get("/"))
    def counted():
        stat = board.json("/api/v1/stat")
        return stat if stat["backends"][0]["counters"]["requests"] == 8 else None
    stat = until(counted, "eight requests")
    same([(b["name"], len(b["hosts"]), len(b["servers"])) for b in stat["backends"]],
         [("chat", 2, 3), ("empty", 0, 0)], "backends")
    same(stat["frontends"][0]["name"], "web", "frontend")
    rows_ = {(r["pxname"], r["svname"]): r for r in board.limpet.stat_rows()}
    for server in stat["backends"][0]["servers"]:
        row = rows_["chat", server["name"]]
        same((str(server["id"]), server["status"], str(server["counters"]["requests"]), str(server["weight"])),
             (row["sid"], row["status"], row["stot"], row["uweight"]), server["name"])
        check("address" not in server, "addresses are for those who gave credentials")
    info = board.json("/api/v1/info")
    same((info["node"], info["has_credentials"], info["can_act"], info["servers"]), ("lb-1", False, False, 3), "info")
    same(board.json("/api/v1/sessions")["backends"], {"chat": 0, "empty": 0}, "sessions")
    one = board.json("/api/v1/servers/chat/app-1/one")["server"]
    same((one["name"], one["host"], one["worker"]), ("app-1/one", "app-1", "one"), "one server")
    same(board.json("/api/v1/servers/chat/app-1%2fone")["server"]["id"], one["id"], "an encoded slash")
    host = board.json("/api/v1/hosts/chat/app-1")["host"]
    same(host["workers"], 2, "one host")
    for target in ("/api/v1/servers/chat/nobody", "/api/v1/servers/none/app-1/one", "/api/v1/servers/chat",
                   "/api/v1/servers//", "/api/v1/hosts/chat/app-3", "/api/v1/servers/chat/" + "x" * 1500):
        same(board.ask(target).status, 404, target[:60])


@case("only what is served is there: no file, no climbing, no other method")
def _(t):
    board = Board(t)
    for target in ("/../../etc/passwd", "/%2e%2e/etc/passwd", "//", "/index.html", "/api/v1/../../", "/metrics/x",
                   "/api/v1/stat/", "/%00", "/healthz%2f", "/dashboard.mjs"):
        same(board.ask(target).status, 404, target)
    for method, target in (("POST", "/"), ("PUT", "/api/v1/stat"), ("DELETE", "/api/v1/servers/chat/app-2"),
                           ("OPTIONS", "/api/v1/servers/chat/app-2"), ("TRACE", "/"), ("POST", "/metrics"),
                           ("POST", "/api/v1/servers/chat/app-2")):
        msg = board.ask(target, method=method, body=b"")
        same((msg.status, msg.get("allow")), (405, "GET, HEAD"), "%s %s" % (method, target))


@case("HEAD has the head of GET and no body, and the connection goes on")
def _(t):
    board = Board(t)
    client = board.connect()
    for target in ("/", "/healthz", "/metrics", "/api/v1/stat", "/api/v1/events", "/nowhere"):
        status = client.ask(get(target, host=board.host, method="HEAD"), to="HEAD").status
        same(status, 404 if target == "/nowhere" else 200, "HEAD " + target)
    same(client.ask(get("/healthz", host=board.host)).body, b"ok\n", "GET afterwards")
    client.close()


@case("requests in one segment are answered in order; HTTP/1.0 ends with its answer")
def _(t):
    board = Board(t)
    client = board.connect()
    client.send(b"".join(get(p, host=board.host) for p in ("/healthz", "/", "/nowhere", "/api/v1/info", "/metrics")))
    same([client.read_response().status for _ in range(5)], [200, 200, 404, 200, 200], "statuses")
    client.close()
    for target in ("/healthz", "/metrics", "/api/v1/stat"):
        client = board.connect()
        client.send(get(target, host=board.host, version="HTTP/1.0"))
        msg = client.read_response()
        check(msg.status == 200 and not msg.has("transfer-encoding") and msg.body, target)
        client.wait_gone()


@case("a request byte by byte is answered; half of one, and silence, are ended")
def _(t):
    board = Board(t)
    client = board.connect()
    client.drip(get("/healthz", host=board.host))
    same(client.read_response().status, 200, "byte by byte")
    client.close()
    client = board.connect()
    client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r")
    client.shut()
    client.wait_gone()                       # no answer to half a request
    client = board.connect()
    client.send(get("/healthz", host=board.host))
    client.shut()                            # a whole one is answered to whoever has shut its side
    same(client.read_response().status, 200, "after a half-close")


@case("what is no request, or too much of one, is refused and the connection ends")
def _(t):
    board = Board(t)
    big = b"GET / HTTP/1.1\r\nHost: x\r\n"
    for data, status in ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400), (b"GET / HTTP/1.1\r\n\r\n", 400),
                         (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
                         (big + b"X: " + b"y" * 9000 + b"\r\n\r\n", 431), (big + b"X: y\r\n" * 3000, 431),
                         (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
                         (big + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                         (big + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
                         (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
                         (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413)):
        client = board.connect()
        client.send(data)
        same(client.read_response().status, status, repr(data[:40]))
        client.wait_gone()


@case("without credentials a name that DNS could have made ours is refused; addresses and our own names are not")
def _(t):
    board = Board(t, '{address: "127.0.0.1:${PORT_HTTP}", hosts: [lb.example.com]}')
    for host, status in (("evil.example", 421), ("evil.example:%d" % board.port, 421), ("127.0.0.1.evil.example", 421),
                         ("localhost", 200), ("localhost:1", 200), ("LB-1", 200), ("lb.example.com:8404", 200),
                         ("[::1]:8404", 200), ("10.1.2.3", 200), ("localhost.", 200), ("xlocalhost", 421)):
        for target in ("/", "/api/v1/stat"):
            same(board.ask(target, host=host).status, status, "%s of %s" % (target, host))
        same(board.ask("/healthz", host=host).status, 200, "/healthz by " + host)
    for host in (None, ""):                     # HTTP/1.0 may do without
        client = board.connect()
        client.send(get("/", host=host, version="HTTP/1.0"))
        same(client.read_response().status, 421, "no Host")


@case("/healthz turns to 503 at SIGTERM and is answered until the end")
def _(t):
    board = Board(t)
    same(board.ask("/healthz").body, b"ok\n", "body")
    long_one = t.connect()
    long_one.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")      # holds the stop up
    until(lambda: board.json("/api/v1/info")["process"]["connections"] == 1, "a connection")
    board.limpet.signal(signal.SIGTERM)
    def draining():
        msg = board.ask("/healthz")
        return (msg.status, msg.body) == (503, b"draining\n")
    until(draining, "503")
    same(board.ask("/readyz").status, 503, "/readyz")
    check(board.json("/api/v1/info")["process"]["draining"], "the API says so")
    long_one.close()


@case("/readyz tells of backends without a server, by number and not by name")
def _(t):
    board = Board(t)
    msg = board.ask("/readyz")
    same((msg.status, msg.body), (503, b"no server takes new sessions in 1 of 2 backends\n"), "/readyz")
    os.mkdir(t.directory + "/none")
    t.server(serve(lambda m, p: ok(b"x")), name="S", path=t.directory + "/none/1.sock")
    until(lambda: board.ask("/readyz").status == 200, "ready")


@case("/metrics is there in both formats")
def _(t):
    board = Board(t)
    msg = board.ask("/metrics")
    check(msg.get("content-type").startswith("text/plain; version=0.0.4") and b"# TYPE " in msg.body, msg)
    msg = board.ask("/metrics", [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")])
    check(msg.get("content-type").startswith("application/openmetrics-text") and msg.body.endswith(b"# EOF\n"), msg)


@case("with credentials all but the monitors' paths ask for them")
def _(t):
    board = Board(t, SECRET % "")
    for target in ("/", "/api/v1/stat", "/api/v1/events", "/api/v1/info", "/api/v1/servers/chat/app-2", "/nowhere"):
        msg = board.ask(target)
        same((msg.status, msg.get("www-authenticate")), (401, 'Basic realm="Limpet", charset="UTF-8"'), target)
    for target in ("/healthz", "/metrics"):
        same(board.ask(target).status, 200, target)
    info = board.json("/api/v1/info", [basic()])
    same((info["has_credentials"], info["can_act"]), (True, True), "info")
    same(board.json("/api/v1/servers/chat/app-2", [basic()])["server"]["address"], t.env["A"], "address")
    same(board.ask("/", [basic()], host="evil.example").status, 200, "any name: a rebound page has no credentials")


@case("wrong passwords are refused and told on the log; after ten of them the source waits, right or wrong")
def _(t):
    board = Board(t, SECRET % "")
    right = basic()[1]
    wrong = [("op", "pa:ss"), ("op", ""), ("", "pa:ss wörd"), ("OP", "pa:ss wörd"), ("op", "pa:ss wörd ")]
    for user, password in wrong:
        same(board.ask("/", [basic(user, password)]).status, 401, "%s:%s" % (user, password))
    for value in ("Bearer " + right[6:], "Basic", "Basic !!!!", right + "=", right[:-4]):
        same(board.ask("/", [("Authorization", value)]).status, 401, value)
    board.limpet.wait_log("dashboard: wrong user name or password from 127.0.0.1")
    for fields in ([basic("op", "x")], [basic()]):
        msg = board.ask("/", fields)
        same((msg.status, msg.get("retry-after")), (429, "60"), "locked out")
    same(board.ask("/").status, 401, "who sends none is asked for some")
    same(board.ask("/healthz", [basic()]).status, 200, "/healthz")
    check("pa:ss" not in board.limpet.log() and right[6:] not in board.limpet.log(), "no password on the log")


@case("a server is drained, taken out and put back; the log tells who did it")
def _(t):
    board = Board(t, SECRET % "")
    for state, status in (("drain", "DRAIN"), ("maint", "MAINT"), ("ready", "no check")):
        msg = board.act("/api/v1/servers/chat/app-1/one", state)
        same((msg.status, json.loads(msg.body)["server"]["status"]), (200, status), state)
        same(board.status("app-1/one"), status, "the stats socket")
    msg = board.act("/api/v1/hosts/chat/app-1", "maint", [("Origin", "http://" + board.host)])
    same((msg.status, json.loads(msg.body)["host"]["maint"]), (200, 2), "a host")
    same((board.status("app-1/one"), board.status("app-1/two"), board.status("app-2")), ("MAINT", "MAINT", "no check"),
         "its workers and no other")
    board.limpet.wait_log(r"dashboard: op from 127.0.0.1 set host chat/app-1 to maint \(2 changed\)")
    same(board.act("/api/v1/servers/chat/nobody", "maint").status, 404, "no such server")


@case("an action needs the credentials, the field, the type, this page's origin and one of three words")
def _(t):
    board = Board(t, SECRET % "")
    target, good = "/api/v1/servers/chat/app-2", [basic()] + ACTION
    body = b'{"state":"maint"}'
    def without(name): return [f for f in good if f[0] != name]
    for fields, data, status in (
            (without("Authorization"), body, 401), (without("X-Limpet-Action"), body, 403),
            (without("Content-Type"), body, 415), (without("Content-Type") + [("Content-Type", "text/plain")], body, 415),
            (good + [("Origin", "http://evil.example")], body, 403), (good + [("Origin", "null")], body, 403),
            (good + [("Origin", "http://127.0.0.1")], body, 403),
            (good + [("Origin", "http://%s.evil.example" % board.host)], body, 403),
            (good + [("Sec-Fetch-Site", "cross-site")], body, 403), (good + [("Sec-Fetch-Site", "same-site")], body, 403),
            (good, b"", 400), (good, b"{}", 400), (good, b'{"state":"off"}', 400), (good, b'{"state":"maint"', 400),
            (good, b'{"state":"maint"} x', 400), (good, b'{"state":"ma\\u0069nt"}', 400), (good, b"[" * 900, 400),
            (good, b'{"state":1}', 400), (good, b'{"state":"maint","state":"ready"}', 400)):
        same(board.ask(target, fields, "POST", body=data).status, status, "%r %r" % (fields, data[:40]))
    same(board.status("app-2"), "no check", "nothing has changed")
    same(board.ask(target, without("Content-Type") + [("Content-Type", "Application/JSON; charset=utf-8")], "POST",
                   body=b' { "state" :\t"drain" }\r\n').status, 200, "with spaces and a charset")
    same(board.status("app-2"), "DRAIN", "status")
    client = board.connect()
    client.drip(post(target, b'{"state":"ready"}', good, host=board.host))
    same(client.read_response().status, 200, "byte by byte")
    client.close()


@case("admin: false leaves a page that looks and does not touch")
def _(t):
    board = Board(t, SECRET % ", admin: false")
    same(board.json("/api/v1/info", [basic()])["can_act"], False, "can_act")
    msg = board.act("/api/v1/servers/chat/app-2", "maint")
    same((msg.status, msg.get("allow")), (405, "GET, HEAD"), "POST")
    same(board.status("app-2"), "no check", "status")


@case("events: all at first, then what changes, each second; all again when servers come")
def _(t):
    board = Board(t)
    client = board.connect()
    client.send(get("/api/v1/events", host=board.host))
    stream = events(client)
    name, data = next(stream)
    same((name, [s["name"] for s in data["backends"][0]["servers"]]), ("full", ["app-1/one", "app-1/two", "app-2"]), "first")
    name, data = next(stream)
    same((name, [len(b["servers"]) for b in data["backends"]]), ("delta", [3, 0]), "second")
    name, data = next(stream)
    same((name, data["backends"][0]["servers"]), ("delta", []), "nothing has changed")
    number = [r["sid"] for r in board.limpet.stat_rows() if r["svname"] == "app-2"][0]
    board.limpet.ask_stats("set server chat/app-2 state drain")
    while not data["backends"][0]["servers"]:
        name, data = next(stream)
    same((name, data["backends"][0]["servers"][0][:3]), ("delta", [int(number), "drain", "DRAIN"]), "a change")
    os.mkdir(t.directory + "/none")
    t.server(serve(lambda m, p: ok(b"x")), name="S", path=t.directory + "/none/1.sock")
    while name != "full":
        name, data = next(stream)
    same([s["name"] for s in data["backends"][1]["servers"]], ["gone/1"], "a new server")
    client.close()


@case("readers of events that stop reading cost nothing: others are served, and memory stays")
def _(t):
    many = ", ".join('h%03d: "127.0.0.1:%d"' % (n, 20000 + n) for n in range(1500))
    board = Board(t)
    text = (CONFIG % PLAIN).replace("  empty:", "  big: {hosts: {%s}}\n  empty:" % many)
    board.limpet.write(text)
    board.limpet.ask_stats("reload")
    until(lambda: board.json("/api/v1/info")["servers"] == 1503, "many servers")
    stopped = []
    for _ in range(24):
        client = connect(board.port, rcvbuf=4096)
        client.send(get("/api/v1/events", host=board.host))
        stopped.append(client)
    t.clients += stopped
    until(lambda: len([1 for c in stopped if not c.is_silent(0.01)]) == 24, "all have begun")
    before = board.limpet.rss()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        same(board.ask("/healthz").status, 200, "/healthz beside them")
        time.sleep(0.1)
    grown = board.limpet.rss() - before
    check(grown < 4 << 20 if not is_sanitized else grown < 64 << 20, "memory grew by %d bytes" % grown)


@case("a document stays whole when the configuration changes while it is read")
def _(t):
    board = Board(t)
    many = ", ".join('h%04d: "127.0.0.1:%d"' % (n, 20000 + n) for n in range(1500))
    less = (CONFIG % PLAIN).replace("  empty: {hosts: {gone: \"unix:${RUN}/none/*.sock\"}}\n", "")
    board.limpet.write((CONFIG % PLAIN).replace("  empty:", "  big: {hosts: {%s}}\n  empty:" % many))
    board.limpet.ask_stats("reload")
    for after in (less, less.replace("backends:\n", "backends:\n  zero: {hosts: {z: \"127.0.0.1:9\"}}\n")):
        client = connect(board.port, rcvbuf=4096)
        t.clients.append(client)
        client.send(get("/api/v1/stat", host=board.host))
        client.fill(most=2000)
        board.limpet.write(after)
        board.limpet.ask_stats("reload")
        stat = json.loads(client.read_response().body)
        check(stat["backends"][0]["servers"], "servers at its begin")
        board.limpet.write((CONFIG % PLAIN).replace("  empty:", "  big: {hosts: {%s}}\n  empty:" % many))
        board.limpet.ask_stats("reload")


@case("the 33rd stream is told to come back; 64 connections, and the longest idle one makes room")
def _(t):
    board = Board(t)
    streams = []
    for _ in range(32):
        client = board.connect()
        client.send(get("/api/v1/events", host=board.host))
        same(client.read_response(want_body=False).status, 200, "a stream")
        streams.append(client)
    msg = board.ask("/api/v1/events")
    same((msg.status, msg.get("retry-after")), (503, "5"), "one more")
    idle = []
    for _ in range(32):
        client = board.connect()
        same(client.ask(get("/healthz", host=board.host)).status, 200, "an idle one")
        idle.append(client)
    same(board.ask("/healthz").status, 200, "one more connection")
    idle[0].wait_gone()
    same(idle[31].ask(get("/healthz", host=board.host)).status, 200, "the newest idle one lives")
    streams[0].close()
    until(lambda: board.ask("/api/v1/events", method="HEAD").status == 200, "room again")


@case("those who connect and say nothing, or half of it, do not keep a monitor out")
def _(t):
    board = Board(t)
    silent = [board.connect() for _n in range(70)]
    for client in silent[:30]:
        client.send(b"GET /healthz HTTP/1.1\r\n")
    for _n in range(3):
        same(board.ask("/healthz").status, 200, "status")
    silent[0].wait_gone()


@case("a reload changes the credentials and the address at once; a broken file changes nothing")
def _(t):
    board = Board(t)
    client = board.connect()
    client.send(get("/api/v1/events", host=board.host))
    stream = events(client)
    next(stream)
    board.limpet.write("global: {")
    board.limpet.ask_stats("reload")
    next(stream)
    board.limpet.write(CONFIG % PLAIN)
    board.limpet.ask_stats("reload")
    check(next(stream)[0] in ("full", "delta"), "the stream goes on over a reload that keeps it")
    board.limpet.write(CONFIG % (SECRET % ""))
    board.limpet.ask_stats("reload")
    client.wait_gone(allow=b".*")
    same((board.ask("/").status, board.ask("/", [basic()]).status), (401, 200), "with credentials now")
    other = free_port()
    text = (CONFIG % (SECRET % "")).replace("${PORT_HTTP}", str(other)).replace("pa:ss", "new")
    board.limpet.write(text)
    board.limpet.ask_stats("reload")
    board.port = other
    same((board.ask("/", [basic()]).status, board.ask("/", [basic("op", "new wörd")]).status), (401, 200), "elsewhere")
    board.limpet.write((CONFIG % PLAIN).replace("    http: " + PLAIN + "\n", ""))
    board.limpet.ask_stats("reload")
    until(lambda: not is_open(other), "nobody listens there")


def is_open(port):
    try:
        connect(port).close()
        return True
    except OSError:
        return False


@case("an upgrade hands the dashboard over: pages end, and the new process answers them")
def _(t):
    board = Board(t)
    client = board.connect()
    client.send(get("/api/v1/events", host=board.host))
    stream = events(client)
    same(next(stream)[0], "full", "an open page")
    before = board.json("/api/v1/info")["pid"]
    pid = board.limpet.upgrade()
    client.wait_gone(allow=b".*")
    for _ in range(5):
        same(board.json("/api/v1/info")["pid"], pid, "who answers")
        same(board.ask("/healthz").status, 200, "/healthz")
    check(before != pid, "another process")


@case("a Unix socket with its mode, and a password from a file")
def _(t):
    with open(t.directory + "/password", "w") as f:
        f.write("secret\nnot this\n")
    Board(t, '{address: "unix:${RUN}/http.sock", mode: 0660, username: op, password_file: "${RUN}/password"}',
                  ports=("PORT",))
    path = t.directory + "/http.sock"
    same(oct(os.stat(path).st_mode & 0o777), "0o660", "mode")
    client = t.connect(path)
    same(client.ask(get("/", [basic("op", "secret")])).status, 200, "the first line")
    same(client.ask(get("/", [basic("op", "secret\nnot this")])).status, 401, "no more than that")
    client.close()


main()
