# SPDX-License-Identifier: MIT
"""The contestants: how each is told to do the same, from the variables of a row.

    mode     http | tcp              origin   tcp | unix (addresses of the servers)
    tls      "" | ecdsa | rsa        h2       HTTP/2 may be spoken
    reuse    connections to servers  ws       requests are upgraded
    stick    "" | table | cookie     pp2      PROXY v2 to the servers
    servers  how many                threads  of traffic
    master   as it is run where it reloads
GET /generation is answered by the proxy itself, with 200 and the generation of its configuration.
"""
import dataclasses
import os
import shutil
import subprocess

DEFAULTS = {"mode": "http", "origin": "tcp", "tls": "", "h2": False, "reuse": True, "ws": False, "stick": "",
            "pp2": False, "servers": 1, "threads": 1, "master": False}
MOST = 9800  # connections


@dataclasses.dataclass
class Place:
    """Where one contestant runs."""
    dir: str
    port: int
    servers: list  # addresses: 127.0.0.1:9001 or unix:/path
    pems: dict  # of "ecdsa" and "rsa": key and certificate
    generation: int = 1

    def path(self, name):
        return os.path.join(self.dir, name)


class Peer:
    def __init__(self, name, binary):
        self.name, self.binary = name, binary

    def supports(self, v):
        return True

    def config(self, v, place):
        """Text of the configuration."""
        raise NotImplementedError

    def big(self, place, backends, servers):
        raise NotImplementedError

    def command(self, path, v):
        raise NotImplementedError

    def check(self, path):
        raise NotImplementedError

    reload_signal = None
    file = "config"

    def version(self):
        return ""


def said(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return (done.stdout.strip().splitlines() or [""])[0]


class Limpet(Peer):
    reload_signal = "HUP"
    file = "limpet.yaml"

    def version(self):
        return said(self.binary, "-V")

    def command(self, path, v):
        return [self.binary, "-f", path]

    def check(self, path):
        return [self.binary, "-c", "-f", path]

    def config(self, v, place):
        http = v["mode"] == "http"
        bind = 'address: "127.0.0.1:%d", backlog: 16384' % place.port
        if v["tls"]:
            alpn = "" if not http else ', alpn: [%s"http/1.1"]' % ("h2, " if v["h2"] else "")
            bind += ', tls: {certificates: "%s"%s}' % (place.pems[v["tls"]], alpn)
        lines = [
            "global:", "  threads: %d" % v["threads"], "  max_connections: %d" % MOST,
            "  log: {target: stderr, level: warn}", '  stats: {socket: "unix:%s"}' % place.path("stats.sock"),
            "defaults:",
            "  timeouts: {client_head: 60s, keep_alive: 300s, client: 300s, connect: 5s, server: 300s, tunnel: 300s}",
            "frontends:", "  f:", "    mode: %s" % v["mode"], "    bind: {%s}" % bind, "    backend: b"]
        if v["master"]:
            lines += ["    routes:",
                      "      - {match: {path: /generation}, respond: {status: %d}}" % (200 + place.generation)]
        if http:
            lines.append("    request_id: false")
        lines += ["backends:", "  b:", "    mode: %s" % v["mode"], "    balance: round_robin"]
        if http:
            lines.append("    forwarded: none")
        if v["stick"] == "table":
            lines.append("    stick: {engineio: {idle: 1h, max_entries: 1100k}}")
        elif v["stick"] == "cookie":
            lines.append("    stick: {cookie: {name: SRV, secret: bench}}")
        if v["pp2"]:
            lines.append("    send_proxy: v2")
        if not v["reuse"]:
            lines.append("    reuse: false")
        lines.append("    hosts:")
        lines += ['      s%d: "%s"' % (i, at) for i, at in enumerate(place.servers, 1)]
        return "\n".join(lines) + "\n"

    def big(self, place, backends, servers):
        lines = ["global: {threads: 1, max_connections: 2000, log: {target: stderr, level: warn}}", "frontends:",
                 '  f:', '    bind: "127.0.0.1:%d"' % place.port, "    backend: b1", "    routes:"]
        lines += ["      - {match: {host: h%d.test}, backend: b%d}" % (i, i) for i in range(1, backends + 1)]
        lines.append("backends:")
        for i in range(1, backends + 1):
            lines += ["  b%d:" % i, "    hosts:"]
            lines += ['      s%d: "127.0.0.1:%d"' % (j, 9001 + (i + j) % 4) for j in range(1, servers + 1)]
        return "\n".join(lines) + "\n"


class HAProxy(Peer):
    reload_signal = "USR2"
    file = "haproxy.cfg"

    def version(self):
        return said(self.binary, "-v")

    def command(self, path, v):
        return [self.binary, "-W" if v["master"] else "-db", "-f", path]

    def check(self, path):
        return [self.binary, "-c", "-f", path]

    def config(self, v, place):
        http = v["mode"] == "http"
        bind = "bind 127.0.0.1:%d backlog 16384" % place.port
        if v["tls"]:
            bind += " ssl crt " + place.pems[v["tls"]] + (" alpn h2,http/1.1" if v["h2"] else "")
        lines = ["global", "nbthread %d" % v["threads"], "maxconn %d" % MOST,
                 "stats socket %s level admin" % place.path("stats.sock")]
        if v["tls"]:
            lines += ["ssl-default-bind-options ssl-min-ver TLSv1.2", "ssl-default-bind-curves X25519:P-256"]
        lines += ["defaults", "mode " + v["mode"], "timeout client 300s", "timeout server 300s", "timeout connect 5s",
                  "timeout tunnel 300s", "timeout http-keep-alive 300s", "timeout http-request 60s",
                  "option tcp-smart-accept", "option tcp-smart-connect", "option redispatch", "retries 3"]
        if http:
            lines += ["http-reuse always"] if v["reuse"] else ["option http-server-close", "http-reuse never"]
        lines += ["frontend f", bind]
        if v["master"]:
            lines.append("http-request return status %d if { path /generation }" % (200 + place.generation))
        lines += ["default_backend b", "backend b", "balance roundrobin"]
        if v["stick"] == "table":
            lines += ["stick-table type string len 24 size 1100k expire 1h", "stick on url_param(sid)"]
        elif v["stick"] == "cookie":
            lines.append("cookie SRV insert indirect nocache")
        more = (" send-proxy-v2" if v["pp2"] else "")
        for i, at in enumerate(place.servers, 1):
            at = at.replace("unix:", "unix@")
            lines.append("server s%d %s%s%s" % (i, at, more, " cookie s%d" % i if v["stick"] == "cookie" else ""))
        return "\n".join(lines) + "\n"

    def big(self, place, backends, servers):
        lines = ["global", "nbthread 1", "maxconn 2000", "stats socket %s level admin" % place.path("stats.sock"),
                 "defaults", "mode http", "timeout client 30s", "timeout server 30s", "timeout connect 5s",
                 "frontend f", "bind 127.0.0.1:%d" % place.port]
        lines += ["use_backend b%d if { hdr(host) -i h%d.test }" % (i, i) for i in range(1, backends + 1)]
        lines.append("default_backend b1")
        for i in range(1, backends + 1):
            lines += ["backend b%d" % i, "balance roundrobin"]
            lines += ["server s%d 127.0.0.1:%d" % (j, 9001 + (i + j) % 4) for j in range(1, servers + 1)]
        return "\n".join(lines) + "\n"


class Nginx(Peer):
    reload_signal = "HUP"
    file = "nginx.conf"
    STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"

    def version(self):
        return said(self.binary, "-v")

    def supports(self, v):
        return not v["stick"] and not v["pp2"] and (v["mode"] == "http" or os.path.exists(self.STREAM))

    def command(self, path, v):
        where = os.path.dirname(path)
        return [self.binary, "-e", os.path.join(where, "error.log"), "-p", where, "-c", path]

    def check(self, path):
        return self.command(path, DEFAULTS) + ["-t", "-q"]

    def head(self, v, place):
        lines = ["daemon off; worker_processes %d; pid %s;" % (v["threads"], place.path("nginx.pid")),
                 "error_log %s crit; worker_rlimit_nofile 20000;" % place.path("error.log"),
                 "events { worker_connections %d; multi_accept on; accept_mutex off; }" % (2 * MOST)]
        if v["mode"] == "tcp":
            lines.insert(0, "load_module %s;" % self.STREAM)
        if os.geteuid() == 0:
            lines.insert(0, "user root;")  # for the Unix sockets of the servers
        return lines

    @staticmethod
    def scratch(place):
        return ["%s_temp_path %s;" % (kind, place.path("temp"))
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]

    def config(self, v, place):
        reuseport = " reuseport" if v["threads"] > 1 else ""
        servers = ["server %s max_fails=0;" % at for at in place.servers]
        lines = self.head(v, place)
        if v["mode"] == "tcp":
            lines += ["stream { upstream o {"] + servers + [
                "}", "server { listen 127.0.0.1:%d backlog=16384%s; proxy_pass o;" % (place.port, reuseport),
                "proxy_timeout 300s; tcp_nodelay on; } }"]
            return "\n".join(lines) + "\n"
        lines += ["http {", "access_log off; server_tokens off; keepalive_timeout 300s;",
                  "keepalive_requests 1000000000; client_header_timeout 300s;"] + self.scratch(place) + [
            "proxy_http_version 1.1; proxy_max_temp_file_size 0; proxy_read_timeout 300s;",
            "map $http_upgrade $onward { default upgrade; '' ''; }", "upstream o {"] + servers
        if v["reuse"]:
            lines.append("keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 300s;")
        tls = ""
        if v["tls"]:
            tls = " ssl http2" if v["h2"] else " ssl"
        lines += ["}", "server { listen 127.0.0.1:%d%s backlog=16384%s;" % (place.port, tls, reuseport)]
        if v["tls"]:
            pem = place.pems[v["tls"]]
            lines += ["ssl_certificate %s; ssl_certificate_key %s;" % (pem, pem),
                      "ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519:P-256;",
                      "ssl_session_cache shared:S:10m; ssl_session_tickets on;"]
        if v["master"]:
            lines.append("location = /generation { return %d; }" % (200 + place.generation))
        onward = 'proxy_set_header Connection "";' if v["reuse"] else "proxy_set_header Connection close;"
        if v["ws"]:
            onward = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $onward;"
        lines += ["location / { proxy_pass http://o;", onward, "} } }"]
        return "\n".join(lines) + "\n"

    def big(self, place, backends, servers):
        lines = self.head(DEFAULTS, place) + ["http { access_log off;"] + self.scratch(place)
        for i in range(1, backends + 1):
            lines.append("upstream b%d {" % i)
            lines += ["server 127.0.0.1:%d;" % (9001 + (i + j) % 4) for j in range(1, servers + 1)]
            lines += ["}", "server { listen 127.0.0.1:%d; server_name h%d.test; location / { proxy_pass http://b%d; } }"
                      % (place.port, i, i)]
        return "\n".join(lines + ["}"]) + "\n"


class Floor(Peer):
    """bench_floor: what its options are comes with the row."""
    file = "floor.args"

    def supports(self, v):
        return not v["stick"] and not v["h2"] and v["threads"] == 1 and not v["master"]

    def config(self, v, place):
        words = (["-2"] if v["pp2"] else []) + (["-c", place.pems[v["tls"]]] if v["tls"] else [])
        return " ".join(words + ["127.0.0.1:%d" % place.port, place.servers[0]])

    def command(self, path, v):
        with open(path, encoding="utf-8") as f:
            return [self.binary] + v.get("floor", "").split() + f.read().split()


KINDS = {"limpet": Limpet, "haproxy": HAProxy, "nginx": Nginx, "floor": Floor}


def find(spec, binaries):
    """A contestant from NAME, or NAME=KIND:BINARY; None when it is not installed."""
    name, _, rest = spec.partition("=")
    kind, _, binary = (rest or name).partition(":")
    if kind not in KINDS:
        raise SystemExit("compare: %s: a contestant is one of %s, or NAME=KIND:BINARY" % (spec, ", ".join(KINDS)))
    binary = shutil.which(binary or binaries.get(kind, kind), path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    return KINDS[kind](name, os.path.abspath(binary)) if binary else None
