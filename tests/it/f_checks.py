#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Health checks: what is asked over HTTP, TCP and TLS, and what counts as an answer."""
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

from lib import *
from lib.checks import *
from lib.limpet import free_port, is_listening

# HTTP ----------------------------------------------------------------------------------------

@case("http: method, path, Host, further fields and Connection: close are sent")
def _(t):
    seen = []

    def handler(m, p):
        seen.append(m)
        return ok("")
    t.server(serve(handler), name="A")
    lim = limpet(t, '{http: "/up?deep=1", method: OPTIONS, host: app.test, headers: {X-Key: "a b", User-Agent: me}, TIMES}')
    until(lambda: len(seen) >= 2, "two checks came")
    m = seen[-1]
    same((m.method, m.target), ("OPTIONS", "/up?deep=1"), "request")
    same([m.get(n) for n in ("host", "x-key", "user-agent", "connection")], ["app.test", "a b", "me", "close"], "fields")
    settles(lim, "L7OK", "UP")


@case("http: a status out of the ranges is L7STS with the code")
def _(t):
    t.server(serve(lambda m, p: answer(302, "")), name="A")
    lim = limpet(t, "{http: /, status: [200-299, 404], TIMES}")
    settles(lim, "L7STS", "DOWN")
    same(row(lim)["check_code"], "302", "check_code")


BODIES = [
    ("with a length", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", True),
    ("in chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", True),
    ("until the close", b"HTTP/1.1 200 OK\r\n\r\n%s", False),
]
for form, template, has_size in BODIES:
    @case("http: a body %s must match the pattern" % form)
    def _(t, template=template, has_size=has_size):
        said = [b'{"state": "ready"}']

        def script(peer):
            asked(peer)
            body = said[0]
            data = template % ((len(body), body) if has_size else (body,))
            peer.pieces([data[:20], data[20:40], data[40:]], 0.001)
        t.server(script, name="A")
        lim = limpet(t, """{http: /, body: '"state": "(ok|ready)"', TIMES}""")
        settles(lim, "L7OK", "UP")
        said[0] = b'{"state": "starting"}'
        settles(lim, "L7RSP", "DOWN")
        said[0] = b'{"state": "ok"}'
        settles(lim, "L7OK", "UP")


@case("http: of the body only 16 KiB count, and an endless one ends the check")
def _(t):
    far = [20000]

    def script(peer):
        asked(peer)
        try:
            peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"." * far[0] + b"ready")
            peer.read_all(3600)
        except (OSError, Fail):
            pass
    t.server(script, name="A")
    lim = limpet(t, "{http: /, body: ready, TIMES}")
    settles(lim, "L7RSP", "DOWN")
    far[0] = 16384 - 5
    settles(lim, "L7OK", "UP")


@case("http: 16 responses of 1xx may come before the one that counts; who sends more gives no answer")
def _(t):
    n = [16]

    def script(peer):
        asked(peer)
        peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * n[0] + b"HTTP/1.1 200 OK\r\n\r\n")
    t.server(script, name="A")
    lim = limpet(t, "{http: /, TIMES}")
    settles(lim, "L7OK", "UP")
    n[0] = 17
    settles(lim, "L7RSP", "DOWN")
    check("1xx" in row(lim)["last_chk"], row(lim))


TAKEN_AWAY = [
    ("http: a body's pattern", "http: /", "body: ready", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
    ("http: a pattern of a body in chunks", "http: /", "body: ready",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n"),
    ("tcp: an expected text", "tcp: true", "expect: ready", b"not "),
    ("tcp: an expected pattern", "tcp: true", "expect: '~ready'", b"not "),
]
for what, kind, wanted, begun in TAKEN_AWAY:
    @case("%s is taken away by a reload while the answer comes: the check ends well" % what)
    def _(t, kind=kind, wanted=wanted, begun=begun):
        begins, goes_on = threading.Event(), threading.Event()

        def script(peer):
            if kind.startswith("http"):
                asked(peer)
            peer.send(begun)
            peer.wait_read()
            begins.set()
            goes_on.wait(5)
            peer.send(b"yet\r\n0\r\n\r\n" if b"chunked" in begun else b"yet")
        t.server(script, name="A")
        check_ = "{%s, %s, interval: 100ms, timeout: 5s}"
        lim = limpet(t, check_ % (kind, wanted))
        check(begins.wait(5), "it is asked")
        lim.write(HEAD + "    health_check: {%s, interval: 100ms, timeout: 5s}\n    hosts: {A: \"${A}\"}\n" % kind)
        check("Success=1" in lim.ask_stats("reload"), "reloaded")
        goes_on.set()
        until(lambda: row(lim)["status"].startswith("UP") and row(lim)["last_chk"], lambda: row(lim))


@case("http: a body that is cut short is no answer")
def _(t):
    t.server(lambda p: (asked(p), p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nready")), name="A")
    settles(limpet(t, "{http: /, body: ready, TIMES}"), "L7RSP", "DOWN")


@case("port and address: checks go elsewhere, and a refusal there does not mean that the process is gone")
def _(t):
    t.echo(name="A")
    health = t.server(serve(lambda m, p: ok("")), name="H")
    port = health.address.rsplit(":", 1)[1]
    lim = limpet(t, "{http: /, address: 127.0.0.1, port: %s, TIMES}" % port)
    settles(lim, "L7OK", "UP")
    before = [l for l in lim.ask_stats("show workers").split("\n") if " A " in l][0].split()[-1]
    health.down()
    settles(lim, "L4CON", "UP 1/2")
    settles(lim, "L4CON", "DOWN")
    after = [l for l in lim.ask_stats("show workers").split("\n") if " A " in l][0].split()[-1]
    same(after, before, "generation")


@case("a real Node server is checked by status and body")
def _(t):
    node = shutil.which("node")
    if not node:
        raise Skip("no node")
    port = free_port()
    t.env["A"] = "127.0.0.1:%d" % port
    child = subprocess.Popen([node, "-e", """
        let n = 0;
        require('http').createServer((q, r) => {
            if (q.url === '/healthz') { r.setHeader('Content-Type', 'application/json'); r.end(JSON.stringify({ok: true, n: n++})); }
            else { r.statusCode = 404; r.end(); }
        }).listen(%d, '127.0.0.1');""" % port], stdin=subprocess.DEVNULL)
    try:
        until(lambda: is_listening(port), "node listens", 10 * SLOW)
        lim = limpet(t, """{http: /healthz, body: '"ok":true', TIMES}""")
        settles(lim, "L7OK", "UP")
        child.kill()
        child.wait()
        settles(lim, "L4CON", "DOWN")
    finally:
        child.kill()
        child.wait()


# TCP -----------------------------------------------------------------------------------------

@case("tcp: what is sent are the bytes of the text, and expect is found anywhere in the answer")
def _(t):
    got = []

    def script(peer):
        got.append(heard(peer, 6))
        peer.pieces([b"+ERR no\r\n+PO", b"NG\r\n"], 0.002)
        peer.read_all(3600)
    t.server(answering(script), name="A")
    lim = limpet(t, r'{tcp: true, send: "PING\r\n", expect: "+PONG", TIMES}')
    settles(lim, "L7OK", "UP")
    same(got[0], b"PING\r\n", "sent")


@case("tcp: hex: stands for any bytes, ~ for a pattern")
def _(t):
    got = []

    def script(peer):
        got.append(heard(peer, 4))
        peer.send(b"\x00\xfe" + b"ready 42\n")
        peer.read_all(3600)
    t.server(answering(script), name="A")
    lim = limpet(t, r'{send: "hex:00ff 0a24", expect: "~ready \\d+", TIMES}')
    settles(lim, "L7OK", "UP")
    same(got[0], b"\x00\xff\x0a\x24", "sent")


@case("tcp: another answer, the end before it, and silence are told apart")
def _(t):
    mode = ["other"]

    def script(peer):
        heard(peer, 1)
        if mode[0] == "other":
            peer.send(b"-LOADING\r\n")
        if mode[0] != "silent":
            return
        peer.read_all(3600)
    t.server(answering(script), name="A")
    lim = limpet(t, '{tcp: true, send: "x", expect: "+PONG", TIMES}')
    settles(lim, "L7RSP", "DOWN")
    mode[0] = "close"
    until(lambda: "closed before" in row(lim)["last_chk"], "it closes")
    mode[0] = "silent"
    settles(lim, "L7TOUT", "DOWN")


# TLS -----------------------------------------------------------------------------------------

class Pki:
    """An authority and certificates of servers, made once."""
    directory = None

    @classmethod
    def get(cls, t):
        if not shutil.which("openssl"):
            raise Skip("no openssl")
        if cls.directory:
            return cls.directory
        d = cls.directory = os.path.join(os.path.dirname(t.directory), "limpet-it-pki-%d" % os.getpid())
        os.makedirs(d, exist_ok=True)
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

        def run(*args):
            subprocess.run(["openssl"] + list(args), cwd=d, check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for ca in ("ca", "other"):
            run("req", "-x509", *ec, "-keyout", ca + ".key", "-out", ca + ".pem", "-subj", "/CN=" + ca, "-days", "30")
        for name, names, days in (("good", "DNS:app.test", "30"), ("old", "DNS:app.test", "-1")):
            run("req", *ec, "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/CN=server")
            with open(os.path.join(d, name + ".ext"), "w") as f:
                f.write("subjectAltName=%s\n" % names)
            run("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", days, "-extfile", name + ".ext", "-out", name + ".crt")
        return d


class TlsServer:
    """A TLS server of Python's ssl module; SAY gets the connection after the handshake."""

    def __init__(self, t, say, certificate="good", versions=None, has_proxy=False):
        self.has_proxy = has_proxy      # a PROXY v2 header comes before the handshake
        d = Pki.get(t)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain("%s/%s.crt" % (d, certificate), "%s/%s.key" % (d, certificate))
        if versions:
            self.context.maximum_version = versions
        self.names = []
        self.context.sni_callback = lambda s, name, c: self.names.append(name)
        self.say = say
        self.sock = socket.create_server(("127.0.0.1", 0))
        t.env["A"] = "127.0.0.1:%d" % self.sock.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                raw, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw):
        raw.settimeout(5)
        try:
            if self.has_proxy:
                head = raw.recv(16, socket.MSG_WAITALL)
                rest = raw.recv(int.from_bytes(head[14:16], "big"), socket.MSG_WAITALL)
                self.names.append((head[:13], len(rest)))
            with self.context.wrap_socket(raw, server_side=True) as s:
                self.say(s)
        except (OSError, ssl.SSLError):
            pass
        finally:
            raw.close()


def say_http(s):
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(4096)
        if not more:
            return
        data += more
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready")


@case("tls: an HTTP check through TLS, with SNI, an authority and the name in the certificate")
def _(t):
    d = Pki.get(t)
    server = TlsServer(t, say_http)
    lim = limpet(t, "{http: /, body: ready, tls: {ca: %s/ca.pem, sni: app.test}, TIMES}" % d)
    settles(lim, "L7OK", "UP")
    same(server.names[0], "app.test", "SNI")


@case("tls: the PROXY LOCAL header goes before the handshake, in plain")
def _(t):
    server = TlsServer(t, say_http, has_proxy=True)
    settles(limpet(t, "{http: /, tls: {verify: false}, TIMES}", "    send_proxy: v2\n"), "L7OK", "UP")
    same(server.names[0][0], b"\r\n\r\n\0\r\nQUIT\n\x20", "signature and LOCAL")


@case("tls: without sni the check's host is what the certificate must have")
def _(t):
    d = Pki.get(t)
    TlsServer(t, say_http)
    settles(limpet(t, "{http: /, host: app.test, tls: {ca: %s/ca.pem}, TIMES}" % d), "L7OK", "UP")


BAD = [
    ("of another name", "good", "ca", "wrong.test", "mismatch"),
    ("that has expired", "old", "ca", "app.test", "expired"),
    ("of an unknown authority", "good", "other", "app.test", "issuer|signed|verif"),
]
for what, certificate, ca, sni, why in BAD:
    @case("tls: a certificate %s is L6RSP, and the reason is told" % what)
    def _(t, certificate=certificate, ca=ca, sni=sni, why=why):
        d = Pki.get(t)
        TlsServer(t, say_http, certificate)
        lim = limpet(t, "{http: /, tls: {ca: %s/%s.pem, sni: %s}, TIMES}" % (d, ca, sni))
        settles(lim, "L6RSP", "DOWN")
        check(re.search(why, row(lim)["last_chk"]), row(lim)["last_chk"])


@case("tls: verify: false takes any certificate")
def _(t):
    TlsServer(t, say_http, "old")
    settles(limpet(t, "{http: /, tls: {verify: false}, TIMES}"), "L7OK", "UP")


@case("tls: a server that is too old is refused")
def _(t):
    TlsServer(t, say_http, versions=ssl.TLSVersion.TLSv1_2)
    settles(limpet(t, '{http: /, tls: {verify: false, min_version: "1.3"}, TIMES}'), "L6RSP", "DOWN")


@case("tls: the handshake alone is enough, L6OK; TCP texts go through it too")
def _(t):
    def say(s):
        while s.recv(100) == b"PING\n":
            s.sendall(b"PONG\n")
    TlsServer(t, say)
    lim = limpet(t, "{tcp: true, tls: {verify: false}, TIMES}")
    settles(lim, "L6OK", "UP")
    lim.write(open(lim.path).read().replace("tcp: true", 'tcp: true, send: "PING\\n", expect: "PONG"'))
    check("Reloaded" in lim.ask_stats("reload"), "reload")
    settles(lim, "L7OK", "UP")


@case("tls: garbage, a plain answer and a close in the handshake are L6RSP, silence is L6TOUT")
def _(t):
    mode = ["garbage"]

    def script(peer):
        heard(peer, 1)
        if mode[0] == "garbage":
            peer.send(bytes(range(256)))
        if mode[0] == "plain":
            peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        if mode[0] == "silent":
            peer.read_all(3600)
    t.server(answering(script), name="A")
    lim = limpet(t, "{tcp: true, tls: true, TIMES}")
    settles(lim, "L6RSP", "DOWN")
    mode[0] = "plain"
    until(lambda: code(lim) == "L6RSP" and "wrong version" in row(lim)["last_chk"], lambda: row(lim)["last_chk"])
    mode[0] = "close"
    until(lambda: "closed within" in row(lim)["last_chk"], lambda: row(lim)["last_chk"])
    mode[0] = "silent"
    settles(lim, "L6TOUT", "DOWN")


@case("tls: a real openssl s_server")
def _(t):
    d = Pki.get(t)
    port = free_port()
    t.env["A"] = "127.0.0.1:%d" % port
    child = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-cert", d + "/good.crt",
                              "-key", d + "/good.key", "-www"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: is_listening(port), "s_server listens", 10 * SLOW)
        lim = limpet(t, "{http: /, host: app.test, body: Ciphers, tls: {ca: %s/ca.pem}, TIMES}" % d)
        settles(lim, "L7OK", "UP")
    finally:
        child.kill()
        child.wait()


@case("tls: authorities that cannot be read are told with their line, and the file is refused")
def _(t):
    t.env["A"] = "127.0.0.1:1"
    path = os.path.join(t.directory, "bad.yaml")
    with open(path, "w") as f:
        f.write("frontends: {web: {bind: \":0\"}}\nbackends:\n  app:\n    hosts: {A: 127.0.0.1:1}\n"
                "    health_check:\n      tcp: true\n      tls: {ca: /nonexistent/ca.pem}\n")
    status, out = run_limpet(["-c", "-f", path])
    check(status == 1 and re.search(r"bad.yaml:7:\d+: 'tls' of 'health_check': authorities cannot be read", out), out)


# When ----------------------------------------------------------------------------------------

@case("intervals: fast on the way, slow when down, and jitter within the spread")
def _(t):
    fail = [0]
    at = []

    def handler(m, p):
        at.append(time.monotonic())
        return answer(500 if fail[0] else 200, "")
    t.server(serve(handler), name="A")
    lim = limpet(t, "{http: /, interval: 200ms, fast_interval: 50ms, down_interval: 400ms, spread: 0, fall: 3, rise: 3}")
    until(lambda: len(at) >= 4, "four checks")
    check(0.1 < at[3] - at[2] < 0.2 + 0.2 * SLOW, at)        # when it is heard is not when it was sent
    fail[0] = 1
    n = len(at)
    until(lambda: row(lim)["status"] == "DOWN", "down")
    until(lambda: len(at) >= n + 4, "more")
    check(at[n + 1] - at[n] < 0.15 * SLOW, "fast: %r" % at[n:])
    check(at[n + 3] - at[n + 2] > 0.25, "slow: %r" % at[n:])


@case("many servers are not checked in step")
def _(t):
    at = {}

    def handler(m, p):
        at.setdefault(m.get("host"), []).append(time.monotonic())
        return ok("")
    servers = [t.server(serve(handler), name="S%d" % i) for i in range(8)]
    limpet(t, "{http: /, interval: 400ms}", hosts="{%s}" % ", ".join(
        '"h%d": "${S%d}"' % (i, i) for i in range(len(servers))))
    until(lambda: len(at) == 8 and all(len(v) >= 3 for v in at.values()), "three checks each")
    third = sorted(v[2] for v in at.values())
    check(third[-1] - third[0] > 0.1, third)


@case("passive_check.action: fast_check asks at once, and a server that answers stays")
def _(t):
    checks = []
    health = [200]

    def handler(m, p):
        if m.target == "/healthz":
            checks.append(time.monotonic())
            return answer(health[0], "")
        return answer(500, "")
    t.server(serve(handler), name="A")
    t.echo(name="B")
    lim = limpet(t, "{http: /healthz, interval: 10s, fast_interval: 100ms, fall: 2}",
                 "    passive_check: {failures: 3, window: 10s, action: fast_check}\n",
                 hosts='{A: "${A}", B: "${B}"}')
    settles(lim, "L7OK", "UP")
    n = len(checks)
    for _ in range(8):
        t.ask(get())
    until(lambda: len(checks) > n, "a check at once", 1 * SLOW)
    same(row(lim)["status"], "UP", "status")
    health[0] = 500
    for _ in range(8):
        t.ask(get())
    until(lambda: row(lim)["status"] == "DOWN", "two fast checks take it down", 2 * SLOW)
    lim.wait_log("L7STS")


# What follows --------------------------------------------------------------------------------

def tunnel_server(t, health):
    def script(peer):
        while peer.buf or peer.fill(3600):
            m = peer.read_request()
            if m.target == "/healthz":
                peer.send(answer(health[0], ""))
            elif m.has("upgrade"):
                peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
                peer.read_all(3600)
                return
    return t.server(script, name="A")


for setting, ends in (("close", True), ("keep", False)):
    @case("on_marked_down: %s" % setting)
    def _(t, setting=setting, ends=ends):
        health = [200]
        tunnel_server(t, health)
        lim = limpet(t, "{http: /healthz, TIMES}", "    on_marked_down: %s\n" % setting)
        client = t.connect()
        client.send(get("/", [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                              ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]))
        client.read_to(b"\r\n\r\n")
        health[0] = 500
        settles(lim, "L7STS", "DOWN")
        if ends:
            until(lambda: not client.fill(1), "the tunnel ends", 2 * SLOW)
        else:
            client.sock.settimeout(0.3)
            try:
                same(client.sock.recv(1), "nothing", "what came")
            except socket.timeout:
                pass


@case("the log tells code, duration, who is left; and the host's line is another than its workers'")
def _(t):
    health = {"A": 200, "B": 200}
    for name in "AB":
        t.server(serve(lambda m, p, name=name: answer(health[name], "")), name=name)
    t.env["PA"], t.env["PB"] = (t.env[n].rsplit(":", 1)[1] for n in "AB")
    lim = limpet(t, "{http: /, TIMES}", hosts='{h: {address: 127.0.0.1, workers: ["${PA}", "${PB}"]}}')
    a, b = "app/h/" + t.env["PA"], "app/h/" + t.env["PB"]
    until(lambda: all(r["status"] == "UP" for r in lim.stat_rows() if r["type"] == "2"), "all up")
    health["A"] = 503
    lim.wait_log(r"server %s is DOWN: L7STS status 503 Service Unavailable, check took \d+ ms; 1 of 2 servers left" % a)
    check("host app/h is" not in lim.log(), "the host is up")
    health["B"] = 503
    lim.wait_log(r"server %s is DOWN: .*; 0 of 2 servers left" % b)
    lim.wait_log(r"host app/h is DOWN: all its workers are down")
    health["A"] = 200
    lim.wait_log(r"server %s is UP: L7OK status 200 OK, check took \d+ ms; 1 of 2 servers up" % a)
    lim.wait_log(r"host app/h is UP")
    same(lim.ask_stats("show hosts").split("\n")[1].split()[:3], ["app", "h", "UP"], "show hosts")
    health["B"] = 200
    until(lambda: all(r["status"] == "UP" for r in lim.stat_rows() if r["type"] == "2"), "all up")
    for state, want in (("drain", "DRAIN"), ("ready", "UP"), ("maint", "MAINT")):
        for name in (a, b):
            lim.ask_stats("set server %s state %s" % (name, state))
        lim.wait_log(r"host app/h is %s: " % want)
        same(lim.ask_stats("show hosts").split("\n")[1].split()[:3], ["app", "h", want], "show hosts")


def cleanup():
    if Pki.directory:
        shutil.rmtree(Pki.directory, ignore_errors=True)


import atexit
atexit.register(cleanup)
main()
