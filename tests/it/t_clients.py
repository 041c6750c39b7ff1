#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TLS to clients in the way of the traffic: requests, tunnels, big bodies, PROXY headers, routes, fields, logs."""
import json
import re
import socket
import ssl
import struct

from lib import *
from lib.engine import *
from lib.tls import *

CERTS = Certs()
HTTP1 = "alpn: [http/1.1]"
SIG = b"\r\n\r\n\0\r\nQUIT\n"


def heads(t):
    """A server that answers every request with the head it got."""
    return t.server(serve(lambda m, p: ok(m.raw_head)), name="A")


def site(t, tls_=HTTP1, **kw):
    return t.limpet(CERTS.config(tls_, **kw))


def https(t, data=None, ctx=None, **kw):
    peer = tls(t, ctx or CERTS.client(), **kw)
    msg = peer.ask(data or get("/"))
    peer.close()
    return msg




@case("requests and their answers go over TLS 1.3 and 1.2, one after another")
def _(t):
    t.server(serve(lambda m, p: ok(m.target)), name="A")
    site(t)
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        peer = tls(t, CERTS.client(most=version, least=version))
        same(peer.sock.version(), version.name.replace("_", "."), "version")
        for n in range(5):
            same(peer.ask(get("/%d" % n)).body, b"/%d" % n, "body")
        peer.send(get("/a") + get("/b") + get("/c"))
        same([peer.read_response().body for _ in "abc"], [b"/a", b"/b", b"/c"], "pipelined")


@case("a server hears https in X-Forwarded-Proto, and in Forwarded")
def _(t):
    heads(t)
    site(t)
    msg = https(t, get("/", [("X-Forwarded-Proto", "http")]))
    check(re.search(rb"(?i)\r\nx-forwarded-proto: https\r\n", msg.body), msg.body)
    same(len(re.findall(rb"(?i)\r\nx-forwarded-proto:", msg.body)), 1, "fields of that name")
    t.limpet(CERTS.config(HTTP1, backend="forwarded: forwarded", port="PORT2"), name="second", ports=("PORT2",))
    msg = https(t, port=t.env["PORT2"])
    check(re.search(rb"(?i)\r\nforwarded: [^\r]*proto=https", msg.body), msg.body)


@case("bodies of 5 MB go both ways, whole")
def _(t):
    big = body_bytes(5 << 20)
    t.server(serve(lambda m, p: ok(m.body)), name="A")
    site(t)
    peer = tls(t, CERTS.client())
    for _ in range(2):
        peer.send(post("/", big))       # the server answers when it has all; one SSL object is for one thread
        check(peer.read_response().body == big, "the body came back as it was sent")


@case("a client that takes its answer slowly gets all of it")
def _(t):
    big = body_bytes(3 << 20, 3)
    t.server(serve(lambda m, p: ok(big)), name="A")
    site(t)
    peer = tls(t, CERTS.client())
    peer.send(get("/"))
    head = peer.read_head()
    got = bytearray()
    while len(got) < len(big):
        got += peer.take(len(peer.buf))
        if len(got) < len(big):
            check(peer.fill(most=4096), "more comes")
    same(int(head.get("content-length")), len(big), "length")
    check(bytes(got) == big, "the body is whole")


def end_at_once(peer):
    """Answers, and ends with the same segment."""
    peer.read_request()
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
    peer.close()


@case("an answer that ends with its server's connection comes whole, the last chunk before the close_notify")
def _(t):
    t.server(end_at_once, name="A")
    site(t)
    peer = tls(t, CERTS.client())
    same(peer.ask(get("/", [("Connection", "close")])).body, b"hello", "body")
    same(peer.read_all(), b"", "what comes behind it")


@case("WebSocket frames go both ways over TLS, and a close_notify ends the tunnel")
def _(t):
    def script(peer):
        peer.read_request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" + ws_text("hello"))
        while peer.fill(3600):
            peer.send(peer.take(len(peer.buf)))
    t.server(script, name="A")
    site(t)
    peer = tls(t, CERTS.client())
    same(peer.ask(get("/ws", WS_FIELDS)).status, 101, "status")
    same(peer.read(len(ws_text("hello"))), ws_text("hello"), "first frame")
    for text in ("x", "y" * 20000):
        frame = ws_client_text(text) if len(text) < 126 else text.encode()
        peer.send(frame)
        same(peer.read(len(frame)), frame, "echo")
    peer.sock.unwrap().close()


@case("Engine.IO sessions stick over TLS: polls and WebSockets go to their worker")
def _(t):
    config = CERTS.config(HTTP1).replace("hosts: {one: \"${A}\"}", "stick: engineio\n    balance: round_robin\n"
                                         "    hosts: {A: \"${A}\", B: \"${B}\"}")
    owners = {}

    def worker(name):
        def handler(msg, peer):
            if msg.has("upgrade"):
                peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" + name.encode())
                peer.read_all(3600)
                return None
            if "sid=" not in msg.target:
                sid = "sid-of-%s-%06d" % (name, len(owners))
                owners[sid] = name
                return ok(OPEN % sid)
            return ok(name)
        return serve(handler)
    for name in "AB":
        t.server(worker(name), name=name)
    t.limpet(config)
    for _ in range(6):
        body = https(t, get(HANDSHAKE)).body
        sid = json.loads(body[1:])["sid"]
        for _ in range(3):
            same(https(t, get(POLL + sid)).body.decode(), owners[sid], "worker of the poll")
        peer = tls(t, CERTS.client())
        same(peer.ask(get(UPGRADE + sid, WS_FIELDS)).status, 101, "status")
        same(peer.read(1).decode(), owners[sid], "worker of the WebSocket")
    same(set(owners.values()), {"A", "B"}, "workers used")


# PROXY headers, clear text

@case("a PROXY header before TLS tells the client; both in one segment, or byte by byte")
def _(t):
    heads(t)
    site(t, bind='accept_proxy: ["127.0.0.0/8"]')
    header = b"PROXY TCP4 192.0.2.7 198.51.100.2 1111 443\r\n"
    msg = https(t, first=header)
    check(re.search(rb"(?i)\r\nx-forwarded-for: 192\.0\.2\.7\r\n", msg.body), msg.body)
    for write in (lambda s, data: s.sendall(data),
                  lambda s, data: [s.sendall(data[n:n + 1]) for n in range(len(data))]):
        sock = socket.create_connection(("127.0.0.1", t.port), DEADLINE)
        once = [header]
        client = memory_handshake(CERTS.client(), sock, write=lambda s, data: write(s, (once.pop() if once else b"") + data))
        client.tls.write(get("/", [("Connection", "close")]))
        write(sock, client.outgoing.read())
        got = b""
        while b"192.0.2.7" not in got:
            data = sock.recv(65536)
            check(data, "an answer comes; so far %r" % got)
            client.incoming.write(data)
            try:
                got += client.tls.read(65536)
            except ssl.SSLWantReadError:
                pass
        sock.close()


@case("clear text on a TLS port: HTTP is told what is wrong, anything else is closed")
def _(t):
    heads(t)
    limpet = site(t)
    for data in (get("/"), b"G", b"GET / HTTP/1.0\r\n\r\n"):
        peer = t.connect()
        peer.send(data)
        msg = peer.read_response()
        same(msg.status, 400, "status")
        check(b"TLS" in msg.body, msg.body)
        check(not msg.has("strict-transport-security"), msg)
        check(peer.wait_gone(), "it ends in order")
    for data in (b"\x80\x2e\x01\x03\x01", b"\x15\x03\x01\0\2\1\0", b"SSH-2.0-x\r\n", b"\0" * 100, b"get / HTTP/1.1\r\n\r\n"):
        peer = t.connect()
        peer.send(data)
        same(peer.read_all(), b"", "answer to %r" % data)
    limpet.wait_log("plain HTTP, and the bind wants TLS")
    same(https(t).status, 200, "status over TLS")


@case("plain: accept serves clear text on the same port, without telling https")
def _(t):
    heads(t)
    site(t, HTTP1 + ", plain: accept, hsts: 365d")
    msg = t.ask(get("/"))
    check(re.search(rb"(?i)\r\nx-forwarded-proto: http\r\n", msg.body), msg.body)
    check(not msg.has("strict-transport-security"), msg)
    msg = https(t)
    check(re.search(rb"(?i)\r\nx-forwarded-proto: https\r\n", msg.body), msg.body)
    same(msg.get("strict-transport-security"), "max-age=31536000", "field")


# Fields and redirects

@case("Strict-Transport-Security is in every answer over TLS, once, and the server's own goes before")
def _(t):
    field = "Strict-Transport-Security"
    t.server(serve(lambda m, p: ok(b"x", [(field, "max-age=7")] if m.target == "/own" else [])), name="A")
    site(t, HTTP1 + ", hsts: {max_age: 730d, include_subdomains: true, preload: true}",
         frontend="routes:\n"
                  "  - {match: {path: /away}, redirect: {to: /x}}\n"
                  "  - {match: {path: /no}, respond: {status: 403, body: no}}\n"
                  "  - {match: {path: /mine}, respond: {status: 200, body: mine}, set_response_headers: {strict-transport-security: max-age=1}}\n"
                  "  - {match: {path: /set}, backend: app, set_response_headers: {strict-transport-security: max-age=2}}\n"
                  "  - {match: {path: /none}, backend: app, remove_response_headers: [strict-transport-security]}")
    ours = "max-age=63072000; includeSubDomains; preload"
    for target, want in (("/", [ours]), ("/own", ["max-age=7"]), ("/away", [ours]), ("/no", [ours]),
                         ("/mine", ["max-age=1"]), ("/set", ["max-age=2"]), ("/none", [])):
        same(https(t, get(target)).all("strict-transport-security"), want, "field of " + target)
    msg = https(t, b"GET / HTTP/1.1\r\n\r\n")
    same((msg.status, msg.all("strict-transport-security")), (400, [ours]), "a refused request")


@case("a redirect to https leaves the port of clear text, or gives one")
def _(t):
    t.limpet("""\
frontends:
  plain:
    bind: "127.0.0.1:${PORT}"
    routes:
      - {match: {path: /port}, redirect: {scheme: https, port: 8443, status: 308}}
      - {match: {path: /default}, redirect: {scheme: https, port: 443}}
      - {match: {path: /same}, redirect: {scheme: http, to: /x}}
      - {match: {path: /host}, redirect: {scheme: https, host: "other.test:99"}}
      - {match: {path: /only}, redirect: {port: 81}}
      - {match: {path: /far}, redirect: {to: "https://far.test/y"}}
      - redirect: {scheme: https, status: 301}
""")
    for host, target, want in (
            ("a.test:8080", "/x/y?q=1", "https://a.test/x/y?q=1"), ("a.test", "/", "https://a.test/"),
            ("[::1]:8080", "/", "https://[::1]/"), ("[::1]", "/", "https://[::1]/"),
            ("a.test:8080", "/port", "https://a.test:8443/port"), ("[::1]:80", "/port", "https://[::1]:8443/port"),
            ("a.test:8080", "/default", "https://a.test/default"), ("a.test:8080", "/same", "http://a.test:8080/x"),
            ("a.test:8080", "/host", "https://other.test:99/host"), ("a.test:8080", "/only", "http://a.test:81/only"),
            ("a.test:8080", "/far", "https://far.test/y")):
        same(t.ask(get(target, host=host)).get("location"), want, "Location of %s on %s" % (target, host))


# Routes, logs, counters

@case("routes see SNI, ALPN and protocol")
def _(t):
    t.server(serve(lambda m, p: ok(b"default")), name="A")
    other = CERTS.ca.leaf("*.api.test", file="api")
    t.limpet(CERTS.config(HTTP1 + ", plain: accept", certificates=[CERTS.site.both, other.both], frontend=(
        "routes:\n"
        "  - {match: {sni: '*.api.test'}, respond: {status: 200, body: api}}\n"
        "  - {match: {sni: www.site.test, alpn: http/1.1}, respond: {status: 200, body: www1}}\n"
        "  - {match: {sni: www.site.test, alpn: '!http/1.1'}, respond: {status: 200, body: www0}}\n"
        "  - {match: {protocol: http}, respond: {status: 200, body: clear}}\n"
        "  - {match: {protocol: '!tls'}, respond: {status: 200, body: never}}")))
    alpn = CERTS.client(alpn=["http/1.1"])
    for want, kw in ((b"api", {"name": "x.api.test"}), (b"www0", {"name": "www.site.test"}),
                     (b"www1", {"name": "www.site.test", "ctx": alpn}), (b"default", {"name": "site.test"})):
        same(https(t, **kw).body, want, "answer to %r" % kw)
    same(https(t, ctx=CERTS.client(is_checked=False), name=None).body, b"default", "answer without SNI")
    same(t.ask(get("/", host="www.site.test")).body, b"clear", "answer in clear text")
    # The Host field does not stand for the SNI.
    same(https(t, get("/", host="x.api.test"), name="site.test").body, b"default", "answer to another Host")


@case("log lines tell version, cipher, SNI; HAProxy's layout has a ~; counters count")
def _(t):
    heads(t)
    config = CERTS.config(HTTP1).replace("log: {level: info}", "log:\n"
        "    - {target: 'file:${RUN}/text.log'}\n    - {target: 'file:${RUN}/json.log', format: json}\n"
        "    - {target: 'file:${RUN}/ha.log', format: haproxy}")
    limpet = t.limpet(config)
    https(t, get("/one"), ctx=CERTS.client(most=ssl.TLSVersion.TLSv1_2))

    def read(name):
        with open("%s/%s.log" % (t.directory, name)) as f:
            return f.read()
    until(lambda: all("/one" in read(n) for n in ("text", "json", "ha")), "the lines are written")
    line = [l for l in read("text").splitlines() if "/one" in l][0]
    check(re.search(r'"GET /one HTTP/1\.1" TLSv1\.2/ECDHE-ECDSA-\S+ sni="site\.test"', line), line)
    line = json.loads([l for l in read("json").splitlines() if "/one" in l][0])
    same((line.get("tls_version"), line.get("sni"), line.get("client_cn")), ("TLSv1.2", "site.test", ""), "JSON")
    check(line.get("tls_cipher", "").startswith("ECDHE-ECDSA-"), line)
    check(re.search(r"\] web~ app/", [l for l in read("ha").splitlines() if "/one" in l][0]), read("ha"))


@case("a PROXY v2 header to servers has the TLVs of TLS; plain clients have none")
def _(t):
    got = []

    def script(peer):
        head = peer.read(16)
        rest = peer.read(struct.unpack("!H", head[14:])[0])
        got.append(tlvs(rest[12:]))
        serve(lambda m, p: ok())(peer)
    t.server(script, name="A")
    site(t, "alpn: [http/1.1], plain: accept", backend="send_proxy: v2")
    https(t, ctx=CERTS.client(alpn=["http/1.1"], most=ssl.TLSVersion.TLSv1_2), name="www.site.test")
    have = got[-1]
    same((have[2], have[1]), (b"www.site.test", b"http/1.1"), "authority and ALPN")
    client, verify = struct.unpack("!BI", have[0x20][:5])
    same((client, verify != 0), (1, True), "client bits and verify result")
    below = tlvs(have[0x20][5:])
    same(below[0x21], b"TLSv1.2", "version")
    check(below[0x23].startswith(b"ECDHE-ECDSA-"), below)
    check(0x22 not in below, "no CN without a certificate")
    t.ask(get("/", host="plain.test"))
    check(0x20 not in got[-1] and 1 not in got[-1], got[-1])


@case("mode tcp behind TLS: bytes both ways, half-closed; routes and PROXY v2 know what the handshake told")
def _(t):
    got = []

    def script(name):
        def run(peer):
            head = peer.read(16)
            got.append(tlvs(peer.read(struct.unpack("!H", head[14:])[0])[12:]))
            peer.send(name + b":" + peer.read_all(3600))      # answers behind the client's end
            peer.close()
        return run
    for name in (b"A", b"B", b"C"):
        t.server(script(name), name=name.decode())
    t.limpet("""\
frontends:
  any:
    mode: tcp
    bind: {address: "127.0.0.1:${PORT}", tls: {certificates: "%s", alpn: [one, two]}}
    routes:
      - {match: {sni: www.site.test}, backend: b}
      - {match: {alpn: two}, backend: c}
    backend: a
backends:
  a: {mode: tcp, send_proxy: v2, hosts: {h: "${A}"}}
  b: {mode: tcp, send_proxy: v2, hosts: {h: "${B}"}}
  c: {mode: tcp, send_proxy: v2, hosts: {h: "${C}"}}
""" % CERTS.site.both)
    data = bytes(range(256)) * 200
    for want, name, alpn in ((b"A", "site.test", None), (b"B", "www.site.test", ["one"]), (b"C", "site.test", ["two"])):
        sock = socket.create_connection(("127.0.0.1", t.port), DEADLINE)
        client = memory_handshake(CERTS.client(alpn=alpn), sock, name)
        client.tls.write(data)
        try:
            client.tls.unwrap()                                # our close_notify
        except ssl.SSLWantReadError:
            pass
        sock.sendall(client.outgoing.read())
        answer_ = b""
        while True:
            data_in = sock.recv(65536)
            if not data_in:
                break
            client.incoming.write(data_in)
            try:
                while True:
                    answer_ += client.tls.read(65536)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLEOFError):
                pass
        sock.close()
        check(answer_ == want + b":" + data, "the answer: %d bytes, %r" % (len(answer_), answer_[:40]))
        have = got.pop()
        same((have[2], have.get(1)), (name.encode(), alpn and alpn[0].encode()), "authority and ALPN")
        check(0x20 in have, have)


def tlvs(data):
    found = {}
    while data:
        kind, size = struct.unpack("!BH", data[:3])
        found[kind] = data[3:3 + size]
        data = data[3 + size:]
    return found


# What a check of the file finds.

@case("a check of the configuration reads the certificates and tells all that is wrong")
def _(t):
    lonely = CERTS.ca.leaf("lonely.test", file="lonely")
    text = CERTS.config("client_ca: %s, client_verify: optional" % CERTS.path("nothing.pem"),
                        certificates=[CERTS.site.both, CERTS.path("none.pem"), CERTS.site.key])
    path = t.directory + "/check.yaml"
    with open(path, "w") as f:
        f.write(text)
    status, said = run_limpet(["-c", "-f", path], dict(t.env, PORT="1", A="127.0.0.1:1"))
    same(status, 1, "status (%s)" % said)
    for name in ("none.pem", "nothing.pem", "site.test-ecdsa-1.key"):
        check(re.search(r"check\.yaml:\d+:\d+: .*" + re.escape(name), said), "%s is told in: %s" % (name, said))
    with open(path, "w") as f:
        f.write(CERTS.config(certificates=[lonely.pem, lonely.key]).replace(lonely.pem, lonely.both).replace(
            ', "%s"' % lonely.key, ""))
    status, said = run_limpet(["-c", "-f", path], dict(t.env, PORT="1", A="127.0.0.1:1"))
    same(status, 0, "status (%s)" % said)


main()
