#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""HTTP/2 over TLS by ALPN, and clients that others have written: curl, nghttp, h2load."""
import os
import re
import shutil
import subprocess

from lib import *
from lib.h2 import *
from lib.tls import *

HERE = Certs()


def start(t, tls="", frontend="", body=None):
    seen = []

    def run(msg, peer):
        seen.append(msg)
        return ok(body if body is not None else msg.body or b"hello")
    t.server(serve(run))
    t.limpet(HERE.config(tls, frontend))
    return seen


def by_alpn(t, alpn=("h2", "http/1.1")):
    """A connection over TLS, and what was agreed on."""
    peer = tls(t, HERE.client(alpn=list(alpn)))
    return peer, peer.sock.selected_alpn_protocol()


def command(*args, timeout=60):
    if not shutil.which(args[0]):
        raise Skip("no " + args[0])
    done = subprocess.run([str(a) for a in args], capture_output=True, timeout=timeout, check=False)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


@case("ALPN h2 is HTTP/2, http/1.1 and none are HTTP/1.1")
def _(t):
    seen = start(t)
    peer, agreed = by_alpn(t)
    same(agreed, "h2", "ALPN")
    h2 = H2(t, sock=peer.sock, scheme="https")
    same(h2.response(h2.post("/x", b"body")).body, b"body", "body")
    same((seen[0].get("x-forwarded-proto"), seen[0].get("host")), ("https", "site.test"), "fields")
    for alpn in (["http/1.1"], None):
        peer = tls(t, HERE.client(alpn=alpn))
        peer.send(get("/"))
        same(peer.read_response().status, 200, "HTTP/1.1")
    t.limpets[0].wait_log(r'"POST /x HTTP/2\.0"')


@case("after ALPN h2 anything but the preface is refused")
def _(t):
    start(t)
    peer, _ = by_alpn(t)
    peer.send(get("/"))
    peer.read_all()
    t.limpets[0].wait_log("HTTP/2 connection from .* closed")


@case("a connection whose records are broken is closed, and the log says why")
def _(t):
    start(t)
    peer, _ = by_alpn(t)
    h2 = H2(t, sock=peer.sock, scheme="https")
    same(h2.response(h2.get("/")).status, 200, "a good request")
    os.write(peer.sock.fileno(), b"\x17\x03\x03\0\x20" + b"x" * 32)
    t.limpets[0].wait_log("HTTP/2 connection from .* closed: .*bad record mac")


@case("large bodies both ways over TLS")
def _(t):
    start(t)
    peer, _ = by_alpn(t)
    h2 = H2(t, sock=peer.sock, scheme="https")
    body = body_bytes(3000000)
    check(h2.response(h2.post("/x", body)).body == body, "the same bytes")


@case("curl: GET, HEAD, upload, over TLS and on clear text")
def _(t):
    body = body_bytes(700000)
    path = t.directory + "/body"
    with open(path, "wb") as f:
        f.write(body)
    start(t)
    url = "https://site.test:%d" % t.port
    at = ["curl", "-sS", "--http2", "--cacert", HERE.ca.pem, "--resolve", "site.test:%d:127.0.0.1" % t.port]
    same(command(*at, "-w", " %{http_version} %{http_code}", url + "/"), (0, "hello 2 200"), "GET")
    code, said = command(*at, "-I", url + "/")
    check(code == 0 and said.startswith("HTTP/2 200"), said)
    code, said = command(*at, "--data-binary", "@" + path, "-o", path + ".back", "-w", "%{http_version}", url + "/")
    same((code, said), (0, "2"), "upload")
    with open(path + ".back", "rb") as f:
        check(f.read() == body, "the same bytes")


@case("nghttp with its own settings and many requests on one connection")
def _(t):
    start(t)
    url = "https://127.0.0.1:%d/" % t.port
    code, said = command("nghttp", "-nv", "-m", "20", "--no-verify-peer", "--window-bits=16", url)
    same(code, 0, said)
    same(len(re.findall(r":status: 200", said)), 20, "responses")
    check("GOAWAY frame <" not in said.replace("send GOAWAY", ""), said[-2000:])


@case("h2load: all of several thousand requests succeed")
def _(t):
    start(t)
    code, said = command("h2load", "-n", "3000", "-c", "10", "-m", "30", "https://127.0.0.1:%d/" % t.port)
    same(code, 0, said)
    check("3000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said)


@case("h2load on clear text, with bodies")
def _(t):
    t.server(serve(lambda m, p: ok(m.body)))
    t.limpet(config(frontend="http2: {cleartext: true}"))
    path = t.directory + "/body"
    with open(path, "wb") as f:
        f.write(body_bytes(30000))
    code, said = command("h2load", "-n", "500", "-c", "5", "-m", "10", "-d", path, "http://127.0.0.1:%d/" % t.port)
    same(code, 0, said)
    check("500 succeeded, 0 failed, 0 errored, 0 timeout" in said, said)


main()
