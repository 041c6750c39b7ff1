#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Configurations that people copy load as they stand: the examples, and those of the acceptance set."""
import glob
import os
import re
import shutil
import socket
import ssl
import subprocess

from lib import *
from lib.certs import *
from lib.engine import OPEN, HANDSHAKE, POLL
from lib.peer import Peer

TOP = os.environ.get("top_srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
ACCEPTANCE = os.path.join(TOP, "../shared/acceptance")
VARS = {"PORT": 8080, "A": "127.0.0.1", "B": "127.0.0.2", "RUN": "/tmp", "NODE_A": "127.0.0.1:3000",
        "NODE_B": "127.0.0.2:3000", "ORIGIN": "127.0.0.1:3000", "ORIGIN1": "127.0.0.1:3000",
        "ORIGIN2": "127.0.0.2:3000"}


def is_limpet_config(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        text = f.read()
    return re.search(r"^frontends:", text, re.M) and re.search(r"^backends:", text, re.M)


def yaml_files():
    found = []
    for top, dirs, names in os.walk(os.path.join(TOP, "examples")):
        dirs[:] = sorted(d for d in dirs if d != "node_modules")
        found += [os.path.join(top, n) for n in sorted(names) if n.endswith((".yaml", ".yml"))]
    return [f for f in found if is_limpet_config(f)]


def variables(path):
    """Something for every variable of a file that has no default."""
    with open(path) as f:
        names = set(re.findall(r"\$\{(\w+)\}", f.read()))
    return {n: str(VARS.get(n, "8080" if "PORT" in n else "127.0.0.1")) for n in names}


def make_certificates(path, directory):
    """What CERTS of the file at PATH leads to."""
    with open(path) as f:
        if "${CERTS" not in f.read():
            return {}
    maker = os.path.join(os.path.dirname(path), "certs.sh")
    subprocess.run([maker, directory], check=True, stdout=subprocess.DEVNULL, timeout=20)
    return {"CERTS": directory}


for path in yaml_files():
    def loads(t, path=path):
        given = dict(variables(path), **make_certificates(path, t.directory))
        status, text = run_limpet(["-c", "-f", path], given, cwd=os.path.dirname(path))
        same(status, 0, "status (%s)" % text)
    case("%s loads" % os.path.relpath(path, TOP))(loads)


@case("there are examples")
def _(t):
    if not os.path.isdir(os.path.join(TOP, "examples")):
        raise Skip("no examples directory")
    check(yaml_files(), "no Limpet configuration under examples/")


def accepted(name):
    path = os.path.join(ACCEPTANCE, name)
    if not os.path.exists(path):
        raise Skip("no " + name)
    with open(path) as f:
        return f.read()


for name in ("smallest", "sockets", "edge", "node", "routes", "tcp"):
    def loads(t, name=name):
        accepted(name + ".yaml")
        path = os.path.join(ACCEPTANCE, name + ".yaml")
        status, text = run_limpet(["-c", "-f", path], {k: str(v) for k, v in VARS.items()})
        same(status, 0, "status (%s)" % text)
    case("acceptance: %s.yaml loads" % name)(loads)


def worker(name):
    count = [0]

    def handler(msg, peer):
        if msg.target == "/healthz":
            return ok()
        if "EIO=" in msg.target and "sid=" not in msg.target:
            count[0] += 1
            return ok(OPEN % ("sid-of-%s-%d" % (name, count[0])))
        return ok("%s %s" % (name, msg.get("x-forwarded-for", "-")))
    return handler


def skip_proxy(handler):
    """A server that may be sent a PROXY v2 header first, and then speaks HTTP."""
    def script(peer):
        while len(peer.buf) < 16:
            if not peer.fill(3600):
                return
        if peer.buf.startswith(b"\r\n\r\n\0\r\nQUIT\n"):
            head = peer.read(16)
            peer.read(int.from_bytes(head[14:16], "big"))
        serve(handler)(peer)
    return script


def sticks(t, n=8, **kw):
    """N sessions of N addresses, each of them with the worker that made it."""
    used = set()
    for k in range(n):
        kw["source"] = "127.0.3.%d" % (k + 1)
        body = t.ask(get(HANDSHAKE), **kw).body.decode()
        sid = re.search('"sid":"([^"]+)"', body).group(1)
        name = sid.split("-")[2]
        used.add(name)
        for _ in range(3):
            same(t.ask(get(POLL + sid), **kw).body.decode().split(" ")[0], name, "worker")
    return used


@case("acceptance: smallest.yaml runs: eight workers on two hosts, every session with its own")
def _(t):
    text = accepted("smallest.yaml")
    t.env.update(A="127.0.0.1", B="127.0.0.2")
    try:
        for host in (1, 2):
            for port in range(3001, 3005):
                t.server(serve(worker("h%dw%d" % (host, port))), name="w%d%d" % (host, port),
                         host="127.0.0.%d" % host, port=port)
    except OSError as err:
        raise Skip("the file's ports are taken: %s" % err)
    t.env.update(A="127.0.0.1", B="127.0.0.2")
    t.limpet(text)
    check(len(sticks(t, 16)) == 8, "all workers are used")


@case("acceptance: tcp.yaml runs: any bytes, and a client stays with its server")
def _(t):
    text = accepted("tcp.yaml")

    def named(name):
        def script(peer):
            peer.send(name)
            while peer.buf or peer.fill(60):
                peer.send(peer.take(len(peer.buf)))
        return script
    t.server(named(b"1"), name="ORIGIN1")
    t.server(named(b"2"), name="ORIGIN2")
    t.limpet(text)
    used = set()
    for k in range(1, 13):
        names = set()
        for _ in range(3):
            c = t.connect(source="127.0.3.%d" % k)
            names.add(c.read(1))
            c.send(b"any bytes\0")
            same(c.read(10), b"any bytes\0", "echo")
            c.close()
        same(len(names), 1, "servers of one client")
        used |= names
    same(used, {b"1", b"2"}, "servers used")


@case("acceptance: sockets.yaml runs: workers are found by their sockets")
def _(t):
    text = accepted("sockets.yaml")
    for n in range(4):
        t.server(skip_proxy(worker("w%d" % n)), name="w%d" % n, path="%s/w%d.sock" % (t.directory, n))
    t.limpet(text)
    until(lambda: t.ask(get()).status == 200, "a worker serves")
    same(len(sticks(t, 40)), 4, "workers used")
    t.server(skip_proxy(worker("late")), name="late", path=t.directory + "/late.sock")
    until(lambda: "late" in sticks(t, 40), "a worker that appears takes new sessions", 1 * SLOW + 1)


@case("acceptance: edge.yaml and node.yaml run: two tiers")
def _(t):
    edge, node = accepted("edge.yaml"), accepted("node.yaml")
    import os as _os
    for name in ("a", "b"):
        run = _os.path.join(t.directory, name)
        _os.mkdir(run)
        for n in range(2):
            t.server(serve(worker(name + str(n))), name=name + str(n), path="%s/w%d.sock" % (run, n))
        t.env.pop("PORT", None)
        t.limpet(node, name="node-" + name, RUN=run)
        t.env["NODE_" + name.upper()] = "127.0.0.1:%d" % t.port
    t.env.pop("PORT")
    t.limpet(edge, name="edge")
    until(lambda: t.ask(get()).status == 200, "a worker serves")
    used = set()
    for k in range(1, 9):
        source = "127.0.3.%d" % k
        body = t.ask(get(HANDSHAKE), source=source).body.decode()
        sid = re.search('"sid":"([^"]+)"', body).group(1)
        name = sid.split("-")[2]
        used.add(name)
        for _ in range(3):
            got, client = t.ask(get(POLL + sid), source=source).body.decode().split(" ", 1)
            same((got, client.split(",")[0]), (name, source), "worker and client")
    check(len(used) >= 3, "workers used: %r" % used)


@case("acceptance: routes.yaml runs as it says")
def _(t):
    text = accepted("routes.yaml")
    t.server(serve(lambda m, p: ok("%s %s" % (m.get("x-api-version", "-"), m.get("cookie", "-")))), name="ORIGIN")
    t.limpet(text)
    msg = t.ask(get("/old"))
    same(msg.status, 308, "status")
    check(msg.get("location").endswith("/new"), msg)
    msg = t.ask(get("/admin/x"))
    same((msg.status, msg.body), (403, b"not from here\n"), "answer")
    same(t.ask(get("/admin/x"), source="127.0.0.2").status, 200, "status from 127.0.0.2")
    cookie = [("Cookie", "a=b")]
    same(t.ask(get("/v1/users/7", cookie, host="x.api.example.com")).body, b"yes -", "the API route")
    same(t.ask(get("/v1/users/7", cookie)).body, b"- a=b", "another host")
    same(t.ask(post("/v1/users/7", b"", cookie, host="api.example.com")).body, b"- a=b", "another method")
    same(t.ask(get("/", [("X-Canary", "1")])).get("x-canary"), "served", "the canary's answer")
    check(not t.ask(get("/")).has("x-canary"), "others have none")


def certificates(t):
    """A directory of certificates, with the authority of clients beside them; the authority, a client's."""
    made, directory = os.path.join(t.directory, "made"), os.path.join(t.directory, "certs")
    os.mkdir(made)
    os.mkdir(directory)
    ca = Authority(made)
    shutil.copy(ca.leaf("localhost", "127.0.0.1").both, os.path.join(directory, "site.pem"))
    shutil.copy(ca.pem, os.path.join(directory, "ca.crt"))
    t.env["CERTS"] = directory
    return ca, ca.leaf(cn="somebody", is_client=True)


@case("acceptance: tls.yaml runs: clear text is sent to TLS, clients may show certificates")
def _(t):
    text = accepted("tls.yaml")
    ca, somebody = certificates(t)
    t.server(serve(lambda m, p: ok("%s %s" % (m.get("x-forwarded-proto"), m.get("x-client-cert-cn", "-")))), name="ORIGIN")
    t.limpet(text, ports=("PORT", "TLS_PORT"))
    msg = t.ask(get("/a?b", host="localhost:%d" % t.env["PORT"]))
    same((msg.status, msg.get("location")), (301, "https://localhost/a?b"), "redirect")
    for certificate, want in ((None, b"https -"), (somebody, b"https somebody")):
        ctx = ssl.create_default_context(cafile=ca.pem)
        if certificate:
            ctx.load_cert_chain(certificate.pem, certificate.key)
        sock = socket.create_connection(("127.0.0.1", t.env["TLS_PORT"]), DEADLINE)
        peer = Peer(ctx.wrap_socket(sock, server_hostname="localhost"))
        same(peer.ask(get("/")).body, want, "answer")
        peer.close()


main()
