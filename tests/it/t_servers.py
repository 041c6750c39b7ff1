#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TLS to servers: names, authorities, client certificates, resumption, what goes before and through it."""
import atexit
import base64
import hashlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

from lib import *
from lib.certs import Authority
from lib.limpet import SLOW, free_port, is_listening, run_limpet

BACKEND = """\
global: {threads: "${THREADS:-1}", stats: {socket: "unix:${RUN}/stats.sock"}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: app}}
backends:
  app:
    hosts: %s
    tls: %s
    retries: %d
    timeouts: {connect: %s}
%s"""


def conf(tls, hosts='{one: "${A}"}', retries=0, connect="4s", more=""):
    return BACKEND % (hosts, tls, retries, connect, more)


class Pki:
    """Certificates of all cases."""
    made = None

    def __init__(self):
        if not shutil.which("openssl"):
            raise Skip("no openssl command")
        self.directory = tempfile.mkdtemp(prefix="limpet-pki-")
        atexit.register(shutil.rmtree, self.directory, True)
        self.ca = Authority(self.directory)
        self.other = Authority(self.directory, "Other CA", file="other")
        self.app = self.ca.leaf("app.test", file="app")
        self.rsa = self.ca.leaf("app.test", kind="rsa", file="app-rsa")
        self.old = self.ca.leaf("app.test", days=-1, file="old")
        self.ip = self.ca.leaf("127.0.0.1", file="ip")
        self.local = self.ca.leaf("localhost", file="local")
        self.client = self.ca.leaf(cn="limpet of tests", is_client=True, file="client")

    @classmethod
    def get(cls):
        cls.made = cls.made or cls()
        return cls.made


def read_message(sock, data=b""):
    """One request of a TLS socket: (head, body, rest); (b"", ...) at the end."""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b"", b"", b""
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    size = int(length.group(1)) if length else 0
    while len(rest) < size:
        more = sock.recv(65536)
        if not more:
            return b"", b"", b""
        rest += more
    return head, rest[:size], rest[size:]


def http(sock, server):
    """Answers each request with its body, or with what is known of the connection."""
    rest = b""
    while True:
        head, body, rest = read_message(sock, rest)
        if not head:
            return
        server.requests.append(head)
        body = body or server.name
        close = b"Connection: close\r\n" if server.is_closing else b""
        sock.sendall(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (close, len(body)) + body)
        if close:
            return


class TlsServer:
    """A server whose connections SCRIPT(socket, server) serves behind a handshake."""

    def __init__(self, t, certificate, script=http, name="A", version=None, client_ca=None, has_proxy=False,
                 path=None, breaks=None, is_closing=False):
        self.name, self.script, self.has_proxy, self.breaks = name.encode(), script, has_proxy, breaks
        self.is_closing = is_closing
        self.snis, self.resumed, self.clients, self.headers, self.requests = [], [], [], [], []
        self.errors, self.accepts, self.is_over = [], 0, False
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(certificate.pem, certificate.key)
        if version:
            self.ctx.minimum_version = self.ctx.maximum_version = version
        if client_ca:
            self.ctx.verify_mode = ssl.CERT_REQUIRED
            self.ctx.load_verify_locations(client_ca)
        self.ctx.sni_callback = lambda sock, sni, ctx: self.snis.append(sni)
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.socket.bind(path or ("127.0.0.1", 0))
        self.socket.listen(64)
        self.port = None if path else self.socket.getsockname()[1]
        t.env[name] = "unix:" + path if path else "127.0.0.1:%d" % self.port
        t.others.append(self.stop)
        threading.Thread(target=self.accept, daemon=True).start()

    def stop(self):
        self.is_over = True
        self.socket.close()

    def accept(self):
        while not self.is_over:
            try:
                raw, _ = self.socket.accept()
            except OSError:
                return
            self.accepts += 1
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw):
        raw.settimeout(20)
        try:
            if self.breaks:
                self.breaks(raw)
                return
            if self.has_proxy:
                head = raw.recv(16, socket.MSG_WAITALL)
                self.headers.append(head + raw.recv(int.from_bytes(head[14:16], "big"), socket.MSG_WAITALL))
            with self.ctx.wrap_socket(raw, server_side=True) as sock:
                self.resumed.append(sock.session_reused)
                self.clients.append(sock.getpeercert())
                self.script(sock, self)
        except (OSError, ssl.SSLError) as why:
            self.errors.append(str(why))
        finally:
            raw.close()


def ca(): return "ca: %s" % Pki.get().ca.pem


@case("a request goes through TLS with SNI and a checked name, and the connection is used again behind its tickets")
def _(t):
    server = TlsServer(t, Pki.get().app)
    limpet = t.limpet(conf("{%s, sni: app.test}" % ca()))
    client = t.connect()
    for n in range(5):
        same(client.ask(get("/%d" % n)).body, b"A", "body")
    same(server.accepts, 1, "connections")
    same(server.snis, ["app.test"], "SNI")
    same(server.errors, [], "errors")
    check("Reloaded" in limpet.ask_stats("reload"), "reload")


@case("an RSA certificate and TLS 1.2 serve as well")
def _(t):
    server = TlsServer(t, Pki.get().rsa, version=ssl.TLSVersion.TLSv1_2)
    t.limpet(conf("{%s, sni: app.test}" % ca()))
    client = t.connect()
    same([client.ask(get("/")).body for _ in range(3)], [b"A"] * 3, "bodies")
    same(server.accepts, 1, "connections")


REFUSED = [
    ("of another name", "app", "{%s, sni: other.test}", "hostname mismatch"),
    ("of another name than verify_name", "app", "{%s, sni: app.test, verify_name: other.test}", "hostname mismatch"),
    ("that has expired", "old", "{%s, sni: app.test}", "certificate has expired"),
    ("without the host's IP address", "app", "{%s}", "IP address mismatch"),
    ("of an unknown authority", "app", "{ca: OTHER, sni: app.test}", "unable to get local issuer certificate"),
    ("of no authority of the system", "app", "{sni: app.test}", "unable to get local issuer certificate"),
]
for what, certificate, tls, why in REFUSED:
    @case("a certificate %s is refused, 503, and the log tells why" % what)
    def _(t, certificate=certificate, tls=tls, why=why):
        server = TlsServer(t, getattr(Pki.get(), certificate))
        limpet = t.limpet(conf((tls % ca() if "%s" in tls else tls).replace("OTHER", Pki.get().other.pem)))
        same(t.ask(get("/")).status, 503, "status")
        limpet.wait_log("TLS: " + why)
        until(lambda: server.errors, "the server hears of it")
        check("alert" in server.errors[0], server.errors)       # and not of a broken connection
        same(server.requests, [], "requests")


@case("verify: false takes any certificate")
def _(t):
    server = TlsServer(t, Pki.get().old)
    t.limpet(conf("{verify: false}"))
    same(t.ask(get("/")).status, 200, "status")
    same(server.snis, [None], "SNI")


@case("without names, the certificate must have the host's IP address, and no SNI is sent")
def _(t):
    server = TlsServer(t, Pki.get().ip)
    t.limpet(conf("{%s}" % ca()))
    same(t.ask(get("/")).status, 200, "status")
    same(server.snis, [None], "SNI")


@case("verify_name is what the certificate must have, sni what is asked for")
def _(t):
    server = TlsServer(t, Pki.get().app)
    t.limpet(conf("{%s, sni: front.test, verify_name: app.test}" % ca()))
    same(t.ask(get("/")).status, 200, "status")
    same(server.snis, ["front.test"], "SNI")


@case("a host's own name is asked for and must be in its certificate")
def _(t):
    server = TlsServer(t, Pki.get().local)
    other = TlsServer(t, Pki.get().app, name="B")
    t.env.update(LA="localhost:%d" % server.port, LB="localhost:%d" % other.port)
    limpet = t.limpet(conf("{%s}" % ca(), hosts='{one: "${LA}", two: "${LB}"}', retries=1))
    same({t.ask(get("/")).body for _ in range(4)}, {b"A"}, "bodies")
    same(set(server.snis + other.snis), {"localhost"}, "SNI")
    check(other.accepts > 0, "the other was tried")
    limpet.wait_log("ready|web|app")


@case("a Unix socket has no name: the configuration must give one, and says how")
def _(t):
    path = os.path.join(t.directory, "app.sock")
    TlsServer(t, Pki.get().app, path=path)
    file = os.path.join(t.directory, "bad.yaml")
    for tls, status in (("true", 1), ("{sni: app.test}", 0), ("{verify_name: app.test}", 0), ("{verify: false}", 0)):
        with open(file, "w") as f:
            f.write("frontends: {web: {bind: \":0\", backend: app}}\nbackends:\n  app:\n    tls: %s\n"
                    "    hosts:\n      one: unix:%s\n" % (tls, path))
        have, out = run_limpet(["-c", "-f", file])
        same(have, status, tls + ": " + out)
        check(status == 0 or re.search(r"bad.yaml:6:7: host 'one' is a Unix socket.*'verify: false'", out), out)
    t.limpet(conf("{%s, sni: app.test}" % ca()))
    same(t.ask(get("/")).status, 200, "status")


@case("what cannot be read or used is told with its line")
def _(t):
    pki = Pki.get()
    rows = [("{ca: /nonexistent}", "authorities cannot be read: No such file"),
            ("{certificate: %s, key: %s}" % (pki.client.pem, pki.app.key), "the key (is another|cannot be used)"),
            ("{certificate: %s}" % pki.client.pem, "needs both"),
            ("{ciphers: NONSENSE}", "ciphers: no cipher match"),
            ("{ciphersuites: NONSENSE}", "ciphersuites"),
            ("{alpn: [h2]}", "cannot be offered to servers in mode http"),
            ('{ciphers: ECDHE-RSA-AES128-GCM-SHA256, min_version: "1.3"}', "are of TLS 1.2")]
    file = os.path.join(t.directory, "bad.yaml")
    for tls, why in rows:
        with open(file, "w") as f:
            f.write("frontends: {web: {bind: \":0\", backend: app}}\nbackends:\n  app:\n    hosts: {A: 127.0.0.1:1}\n"
                    "    tls: %s\n" % tls)
        status, out = run_limpet(["-c", "-f", file])
        check(status == 1 and re.search("bad.yaml:5:10: .*" + why, out), tls + ": " + out)


@case("a client certificate is shown to a server that asks for one")
def _(t):
    pki = Pki.get()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        server = TlsServer(t, pki.app, client_ca=pki.ca.pem, version=version)
        limpet = t.limpet(conf("{%s, sni: app.test, certificate: %s, key: %s}" % (ca(), pki.client.pem, pki.client.key)))
        same(t.ask(get("/")).status, 200, "status")
        same(server.clients[0]["subject"], ((("commonName", "limpet of tests"),),), "subject")
        limpet.finish()
        t.limpets.remove(limpet)


@case("a server that wants a certificate and gets none is a failed server, not a hang")
def _(t):
    pki = Pki.get()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        TlsServer(t, pki.app, client_ca=pki.ca.pem, version=version)
        limpet = t.limpet(conf("{%s, sni: app.test}" % ca()))
        check(t.ask(get("/")).status in (502, 503), "status")
        limpet.finish()
        t.limpets.remove(limpet)


for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    @case("%s: sessions are resumed, unless told otherwise" % version.name)
    def _(t, version=version):
        for is_on in ("true", "false"):
            server = TlsServer(t, Pki.get().app, version=version, is_closing=True)
            limpet = t.limpet(conf("{%s, sni: app.test, resumption: %s}" % (ca(), is_on)))
            client = t.connect()        # its thread has the sessions
            for _ in range(4):
                same(client.ask(get("/")).status, 200, "status")
            same(server.accepts, 4, "connections")
            same(server.resumed, [False] + [is_on == "true"] * 3, "resumed")
            same(server.errors, [], "errors")
            limpet.finish()
            t.limpets.remove(limpet)


@case("a PROXY v2 header goes in clear before the ClientHello, and its connection stays with its client")
def _(t):
    server = TlsServer(t, Pki.get().app, has_proxy=True)
    t.limpet(conf("{%s, sni: app.test}" % ca(), more="    send_proxy: v2\n"))
    first, second = t.connect(), t.connect()
    for client in (first, first, second):
        same(client.ask(get("/")).body, b"A", "body")
    same(server.accepts, 2, "connections")
    for header, client in zip(server.headers, (first, second)):
        same(header[:13], b"\r\n\r\n\0\r\nQUIT\n\x21", "signature and PROXY")
        same(int.from_bytes(header[24:26], "big"), client.sock.getsockname()[1], "source port")


def websocket(sock, server):
    head, _, rest = read_message(sock)
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head).group(1)
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\nhello")
    while True:
        data = rest or sock.recv(65536)
        rest = b""
        if not data:
            break
        sock.sendall(data)


@case("a WebSocket goes through TLS to its server, bytes of the first segments and much more both ways")
def _(t):
    TlsServer(t, Pki.get().app, script=websocket)
    t.limpet(conf("{%s, sni: app.test}" % ca()))
    client = t.connect()
    client.send(get("/ws", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]) + b"early")
    client.read_head()
    same(client.read(10), b"helloearly", "first bytes")
    data = body_bytes(300000)
    sender = threading.Thread(target=client.send, args=(data,), daemon=True)
    sender.start()
    check(client.read(len(data)) == data, "echo")
    sender.join(5)
    client.shut()
    client.wait_gone()


def hangs_up(raw):
    raw.recv(1)


def speaks_plain(raw):
    raw.recv(1)
    raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    raw.recv(65536)


for what, breaks in (("closes within the handshake", hangs_up), ("does not speak TLS", speaks_plain)):
    @case("a server that %s is left for another one" % what)
    def _(t, breaks=breaks):
        bad = TlsServer(t, Pki.get().app, breaks=breaks)
        TlsServer(t, Pki.get().app, name="B")
        t.limpet(conf("{%s, sni: app.test}" % ca(), hosts='{one: "${A}", two: "${B}"}', retries=1,
                      more="    balance: round_robin\n    passive_check: {failures: 100}\n"))
        same([t.ask(get("/")).body for _ in range(4)], [b"B"] * 4, "bodies")
        check(bad.accepts >= 2, "the first was tried")


@case("alone, it is a 503 that says so; silence is a 504 after the time for connects")
def _(t):
    mode = [hangs_up]
    event = threading.Event()
    t.others.append(event.set)
    TlsServer(t, Pki.get().app, breaks=lambda raw: mode[0](raw))
    limpet = t.limpet(conf("true", connect="300ms"))
    same(t.ask(get("/")).status, 503, "status")
    limpet.wait_log("TLS: (closed|reset) within the handshake")
    mode[0] = lambda raw: event.wait(10)
    same(t.ask(get("/")).status, 504, "status")
    limpet.wait_log("TLS: handshake timed out")


@case("bodies of a megabyte go both ways, also to slow readers and in chunks")
def _(t):
    TlsServer(t, Pki.get().app)
    t.limpet(conf("{%s, sni: app.test}" % ca()))
    body = body_bytes(1 << 20)
    client = t.connect(rcvbuf=4096)
    for n in range(2):
        client.send(post("/%d" % n, body))
        same(hashlib.sha256(client.read_response().body).hexdigest(), hashlib.sha256(body).hexdigest(), "body")


@case("an idle connection that its server closes with close_notify is not used again")
def _(t):
    closing = threading.Event()
    closed = threading.Event()

    def script(sock, server):
        http_one = read_message(sock)[0]
        check(http_one, "a request")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        closing.wait(5)
        closing.clear()
        try:
            sock.unwrap()
        except (OSError, ssl.SSLError):
            pass
        closed.set()
    server = TlsServer(t, Pki.get().app, script=script)
    t.limpet(conf("{%s, sni: app.test}" % ca()))
    for n in range(3):
        same(t.ask(get("/")).status, 200, "status")
        closing.set()
        check(closed.wait(5), "closed")
        closed.clear()
    same(server.accepts, 3, "connections")


@case("a body that ends with its connection is complete with a close_notify, and else is not")
def _(t):
    def script(sock, server):
        read_message(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
        if is_told[0]:
            try:
                sock.unwrap()
            except (OSError, ssl.SSLError):
                pass        # Limpet does not wait for ours
        else:
            sock.shutdown(socket.SHUT_RDWR)
    is_told = [True]
    TlsServer(t, Pki.get().app, script=script)
    limpet = t.limpet(conf("{%s, sni: app.test}" % ca()))
    same(t.ask(get("/")).body, b"half of it", "body")
    is_told[0] = False
    peer = t.connect()
    peer.send(get("/"))
    data = peer.read_all()
    check(b"half of it" in data and not data.endswith(b"0\r\n\r\n"), "the end: %r" % data[-30:])
    limpet.wait_log("SD")


@case("a reload that brings TLS, or other names, leaves the old connections unused")
def _(t):
    server = TlsServer(t, Pki.get().app)
    limpet = t.limpet(conf("{verify: false, sni: one.test}"))
    same(t.ask(get("/")).status, 200, "status")
    limpet.write(conf("{verify: false, sni: two.test}"))
    check("Reloaded" in limpet.ask_stats("reload"), "reload")
    until(lambda: t.ask(get("/")).status == 200 and "two.test" in server.snis, "the new name is asked for")
    same(server.snis, ["one.test", "two.test"], "SNI")


def status(limpet):
    return {r["svname"]: (r["status"], r["check_status"]) for r in limpet.stat_rows()}


@case("checks follow the backend's tls with the names of each host")
def _(t):
    good = TlsServer(t, Pki.get().local)
    TlsServer(t, Pki.get().app, name="B")
    t.env["LA"] = "localhost:%d" % good.port
    limpet = t.limpet(conf("{%s}" % ca(), hosts='{one: "${LA}", two: "${B}"}',
                           more="    health_check: {http: /up, interval: 100ms, rise: 1, fall: 1}\n"))
    until(lambda: status(limpet)["one"] == ("UP", "L7OK") and status(limpet)["two"] == ("DOWN", "L6RSP"),
          lambda: str(status(limpet)))
    same(set(good.snis), {"localhost"}, "SNI")
    same(t.ask(get("/")).body, b"A", "body")


@case("checks with tls of their own, and those without, may differ from traffic")
def _(t):
    server = TlsServer(t, Pki.get().app)
    limpet = t.limpet(conf("{%s, sni: app.test}" % ca(),
                           more="    health_check: {http: /up, interval: 100ms, rise: 1, fall: 1, "
                                "tls: {%s, sni: check.test, verify_name: app.test}}\n" % ca()))
    until(lambda: status(limpet)["one"] == ("UP", "L7OK"), lambda: str(status(limpet)))
    check("check.test" in server.snis, server.snis)
    same(t.ask(get("/")).body, b"A", "body")


@case("mode tcp: bytes of any protocol go to a server through TLS")
def _(t):
    def echo(sock, server):
        sock.sendall(b"greeting\n")
        while True:
            data = sock.recv(65536)
            if not data:
                return
            sock.sendall(data)
    server = TlsServer(t, Pki.get().app, script=echo)
    t.limpet('frontends: {web: {mode: tcp, bind: "127.0.0.1:${PORT}", backend: app}}\n'
             'backends: {app: {mode: tcp, hosts: {one: "${A}"}, tls: {%s, sni: app.test}}}\n' % ca())
    client = t.connect()
    same(client.read(9), b"greeting\n", "greeting")
    client.send(b"hello")
    same(client.read(5), b"hello", "echo")
    client.shut()
    client.wait_gone()
    same(server.snis, ["app.test"], "SNI")


@case("handshakes are counted: all, resumed, failed")
def _(t):
    server = TlsServer(t, Pki.get().app, is_closing=True)
    limpet = t.limpet(conf("{%s, sni: app.test}" % ca()))
    client = t.connect()
    for _ in range(3):
        same(client.ask(get("/")).status, 200, "status")
    server.breaks = hangs_up
    same(t.ask(get("/")).status, 503, "status")
    text = limpet.ask_stats("show metrics")
    if "Unknown command" in text:
        raise Skip("no metrics on the socket")
    for name, n in (("handshakes", 3), ("resumed", 2), ("errors", 1)):
        check(re.search(r"limpet_server_tls_%s_total{[^}]*server=\"one\"[^}]*} %d\n" % (name, n), text), name)


NGINX = """\
daemon off; master_process off; worker_processes 1; pid %(d)s/nginx.pid; error_log %(d)s/error.log;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path %(d)s/b; proxy_temp_path %(d)s/p; fastcgi_temp_path %(d)s/f;
  uwsgi_temp_path %(d)s/u; scgi_temp_path %(d)s/s;
  server {
    listen 127.0.0.1:%(port)d ssl proxy_protocol;
    server_name app.test;
    ssl_certificate %(both)s; ssl_certificate_key %(both)s;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_client_certificate %(ca)s; ssl_verify_client on; ssl_session_cache shared:s:1m;
    keepalive_requests 2;
    location / { return 200 "$ssl_server_name $proxy_protocol_port $ssl_session_reused $ssl_client_s_dn $ssl_protocol"; }
  }
}
"""


@case("a real nginx: PROXY v2 before TLS, its own certificate's name, ours shown, sessions resumed")
def _(t):
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(nginx):
        raise Skip("no nginx")
    pki, port = Pki.get(), free_port()
    file = os.path.join(t.directory, "nginx.conf")
    with open(file, "w") as f:
        f.write(NGINX % {"d": t.directory, "port": port, "both": pki.app.both, "ca": pki.ca.pem})
    child = subprocess.Popen([nginx, "-p", t.directory, "-c", file, "-e", t.directory + "/error.log"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end():
        child.terminate()
        child.wait(10)
    t.others.append(end)
    until(lambda: is_listening(port), "nginx listens", 10 * SLOW)
    t.env["A"] = "127.0.0.1:%d" % port
    t.limpet(conf("{%s, sni: app.test, certificate: %s, key: %s}" % (ca(), pki.client.pem, pki.client.key),
                  more="    send_proxy: v2\n"))
    client = t.connect()
    source = client.sock.getsockname()[1]
    for resumed in (b".", b".", b"r", b"r"):
        same(client.ask(get("/")).body, b"app.test %d %s CN=limpet of tests TLSv1.3" % (source, resumed), "what nginx knows")


if __name__ == "__main__":
    main()
