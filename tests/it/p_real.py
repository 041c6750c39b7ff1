#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mode tcp with the programs that people put behind it: Redis, SSH, PostgreSQL, nginx, TLS that is passed through."""
import hashlib
import os
import pwd
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading

from lib import *
from lib.certs import Authority
from lib.redis import Redis

SBIN = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def need(*programs):
    found = [shutil.which(p, path=SBIN) for p in programs]
    for name, path in zip(programs, found):
        if not path:
            raise Skip("no " + name)
    return found if len(found) > 1 else found[0]


def start(t, args, name, **more):
    """A program of the case's, ended with it; its output is in a file."""
    with open("%s/%s.out" % (t.directory, name), "ab") as out:
        process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **more)

    def end():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    t.others.append(end)
    return process


def run(args, status=0, timeout=30, **more):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                          **dict(dict(stdin=subprocess.DEVNULL), **more))
    same(done.returncode, status, "status of %s (%s)" % (args[0], done.stderr.decode("utf-8", "replace")[-400:]))
    return done.stdout.decode("utf-8", "replace")


def listens(port, what):
    def is_up():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False
    until(is_up, what + " listens", 15 * SLOW)


def conf(hosts, backend="", routes="", more=""):
    return ('global: {threads: "${THREADS:-1}", stats: {socket: "unix:${RUN}/stats.sock"}}\n'
            'frontends:\n  raw: {mode: tcp, bind: "127.0.0.1:${PORT}", backend: app%s}\n'
            'backends:\n  app: {mode: tcp, hosts: %s%s}\n%s') % (routes, hosts, backend, more)


# Redis -----------------------------------------------------------------------------------------

def redis_behind(t):
    redis = Redis(t.directory)
    t.others.append(lambda: redis.kill(signal.SIGTERM))
    limpet = t.limpet(conf('{redis: "unix:%s"}' % redis.path, ', health_check: {tcp: true, send: "PING\\\\r\\\\n", '
                           'expect: "+PONG"}'))
    return redis, limpet


class Through(Redis):
    """The test's own client of Redis, through the port of a Limpet."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.reader = self.socket.makefile("rb")


@case("Redis: redis-cli, a pipeline of 20,000 commands, and values of a megabyte")
def _(t):
    redis, _ = redis_behind(t)
    cli = need("redis-cli")
    same(run([cli, "-p", str(t.port), "SET", "a", "b"]).strip(), "OK", "SET")
    n = 20000
    lines = b"".join(b"INCR n\r\n" for _ in range(n))
    said = subprocess.run([cli, "-p", str(t.port), "--pipe"], input=lines, stdout=subprocess.PIPE, timeout=60)
    check(b"errors: 0, replies: %d" % n in said.stdout, said.stdout)
    same(redis.ask("GET", "n"), str(n), "counted")
    through = Through(t.port)
    value = "v" * (1 << 20)
    for k in range(8):
        same(through.ask("SET", "big%d" % k, value), "OK", "SET")
        same(through.ask("GET", "big%d" % k), value, "GET")


@case("Redis: publish and subscribe, blocking commands, and a subscriber that is silent for a while")
def _(t):
    redis_behind(t)
    subscriber, waiter, other = Through(t.port), Through(t.port), Through(t.port)
    same(subscriber.ask("SUBSCRIBE", "news"), ["subscribe", "news", 1], "SUBSCRIBE")
    got = []
    blocked = threading.Thread(target=lambda: got.append(waiter.ask("BLPOP", "queue", 10)), daemon=True)
    blocked.start()
    until(lambda: "blocked_clients:1" in other.ask("INFO", "clients"), "it blocks")
    same(select.select([subscriber.socket], [], [], 0.3)[0], [], "what the subscriber hears meanwhile")
    for k in range(50):
        same(other.ask("PUBLISH", "news", "story %d" % k), 1, "heard by one")
    same([subscriber._answer() for _ in range(50)], [["message", "news", "story %d" % k] for k in range(50)], "heard")
    other.ask("RPUSH", "queue", "job")
    blocked.join(10)
    same(got, [["queue", "job"]], "BLPOP")


@case("Redis: a client that goes away is gone for Redis as well")
def _(t):
    redis, _ = redis_behind(t)
    one = Through(t.port)
    one.ask("CLIENT", "SETNAME", "somebody")
    check("name=somebody" in redis.ask("CLIENT", "LIST"), "it is there")
    one.reader.close()
    one.socket.close()
    until(lambda: "name=somebody" not in redis.ask("CLIENT", "LIST"), "it is not there")


# SSH -------------------------------------------------------------------------------------------

def ssh_behind(t):
    sshd, ssh, keygen = need("sshd", "ssh", "ssh-keygen")
    d = t.directory
    if os.geteuid() == 0 and not os.path.isdir("/run/sshd"):
        try:
            os.mkdir("/run/sshd", 0o755)        # which Debian's service makes before it starts sshd
        except OSError as err:
            raise Skip("sshd as root needs /run/sshd: %s" % err)
    for name in ("host", "me"):
        run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", "%s/%s" % (d, name)])
    port = free_port()
    with open(d + "/sshd_config", "w") as f:
        f.write("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/me.pub\nPidFile none\n"
                "StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nUseDNS no\n"
                "Subsystem sftp internal-sftp\n" % (port, d, d))
    start(t, [sshd, "-D", "-e", "-f", d + "/sshd_config"], "sshd")
    listens(port, "sshd")
    limpet = t.limpet(conf('{ssh: "127.0.0.1:%d"}' % port))
    options = ["-F", "none", "-i", d + "/me", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
               "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
    return limpet, options, pwd.getpwuid(os.geteuid()).pw_name


@case("SSH: a command with input and output, and scp of 10 MB there and back")
def _(t):
    limpet, options, user = ssh_behind(t)
    scp = need("scp")
    d = t.directory
    ssh = ["ssh", "-p", str(t.port)] + options + [user + "@127.0.0.1"]
    data = os.urandom(100000)
    done = subprocess.run(ssh + ["cat; echo done >&2; exit 3"], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30)
    same((done.returncode, done.stdout == data, done.stderr), (3, True, b"done\n"), "cat through ssh")
    big = os.urandom(10 * 1000 * 1000)
    with open(d + "/big", "wb") as f:
        f.write(big)
    there = ["scp", "-q", "-P", str(t.port)] + options
    run([scp] + there[1:] + [d + "/big", "%s@127.0.0.1:%s/there" % (user, d)])
    run([scp] + there[1:] + ["%s@127.0.0.1:%s/there" % (user, d), d + "/back"])
    with open(d + "/back", "rb") as f:
        check(f.read() == big, "what came back is what went")
    words = limpet.wait_log(r"(?m)^\S+ tcp .* app ssh \S\S-- .*$").group(0).split()
    check(int(words[10].split("/")[0]) > 100000, words)


# PostgreSQL ------------------------------------------------------------------------------------

def postgres_program(name):
    for top in sorted(os.listdir("/usr/lib/postgresql") if os.path.isdir("/usr/lib/postgresql") else [], reverse=True):
        path = "/usr/lib/postgresql/%s/bin/%s" % (top, name)
        if os.access(path, os.X_OK):
            return path
    return need(name)


def as_other():
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        except KeyError:
            pass
    raise Skip("root, and no user to run PostgreSQL as")


@case("PostgreSQL: queries, a large result, COPY, and a statement that is cancelled on a second connection")
def _(t):
    initdb, postgres, psql = postgres_program("initdb"), postgres_program("postgres"), need("psql")
    other = as_other()
    data = t.directory + "/pg"
    os.mkdir(data)
    if other:
        os.chmod(t.directory, 0o755)
        os.chown(data, other["user"], other["group"])
    run([initdb, "-D", data, "-A", "trust", "-U", "me", "-N", "--no-locale", "-E", "UTF8"], timeout=60, cwd=data, **other)
    port = free_port()
    start(t, [postgres, "-D", data, "-p", str(port), "-k", data, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
              "-c", "shared_buffers=1MB", "-c", "max_connections=10"], "postgres", cwd=data, **other)
    listens(port, "postgres")
    t.limpet(conf('{pg: "127.0.0.1:%d"}' % port))
    at = [psql, "-h", "127.0.0.1", "-p", str(t.port), "-U", "me", "-d", "postgres", "-X", "-q", "-A", "-t",
          "-v", "ON_ERROR_STOP=1"]

    def is_ready():
        return subprocess.run(at + ["-c", "select 1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    until(is_ready, "queries are answered", 10 * SLOW)
    same(run(at + ["-c", "select 6 * 7"]).strip(), "42", "answer")
    big = run(at + ["-c", "select repeat('x', 100) from generate_series(1, 50000)"])
    same(len(big), 101 * 50000, "bytes of the large result")
    run(at + ["-c", "create table c (n int)"])
    done = subprocess.run(at + ["-c", "copy c from stdin"], input=b"".join(b"%d\n" % n for n in range(50000)), timeout=30)
    same((done.returncode, run(at + ["-c", "select count(*) from c"]).strip()), (0, "50000"), "copied")
    sleeper = subprocess.Popen(at + ["-c", "select pg_sleep(30)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: run(at + ["-c", "select count(*) from pg_stat_activity where query like '%sleep(30)' and state = 'active'"
                            ]).strip() == "1", "it sleeps")
    sleeper.send_signal(signal.SIGINT)          # psql sends the cancel on a connection of its own
    said = sleeper.communicate(timeout=10)[1].decode()
    check("canceling statement" in said, said)


# nginx -----------------------------------------------------------------------------------------

@case("nginx with listen ... proxy_protocol hears the client's address by PROXY v2")
def _(t):
    nginx = need("nginx")
    port = free_port()
    d = t.directory
    with open(d + "/nginx.conf", "w") as f:
        f.write("daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log %s/nginx.err;\nevents {}\nhttp {\n"
                "access_log off;\nclient_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f;\n"
                "uwsgi_temp_path %s/u; scgi_temp_path %s/s;\nserver { listen 127.0.0.1:%d proxy_protocol;\n"
                "set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;\n"
                "location / { return 200 \"$remote_addr $proxy_protocol_port $proxy_protocol_server_port\"; } } }\n"
                % (d, d, d, d, d, d, d, port))
    start(t, [nginx, "-p", d, "-e", d + "/nginx.err", "-c", d + "/nginx.conf"], "nginx")
    listens(port, "nginx")
    t.limpet(conf('{web: "127.0.0.1:%d"}' % port, ", send_proxy: v2"))
    for k in (1, 2):
        c = t.connect(source="127.0.9.%d" % k)
        for _ in range(3):                      # on one connection
            msg = c.ask(get("/"))
            same(msg.body.decode(), "127.0.9.%d %d %d" % (k, c.sock.getsockname()[1], t.port), "what nginx knows")
        c.close()


# TLS that is passed through --------------------------------------------------------------------

@case("TLS is routed by the name that is asked for, and is the servers' own to terminate")
def _(t):
    openssl = need("openssl")
    ca = Authority(t.directory)
    for name in ("one", "two", "other"):
        site = ca.leaf(name + ".test", file=name)
        port = free_port()
        t.env[name.upper()] = "127.0.0.1:%d" % port
        os.mkdir("%s/%s" % (t.directory, name))
        with open("%s/%s/who" % (t.directory, name), "w") as f:
            f.write(name)
        start(t, [openssl, "s_server", "-accept", "127.0.0.1:%d" % port, "-cert", site.pem, "-key", site.key, "-WWW",
                  "-quiet"], name, cwd="%s/%s" % (t.directory, name))
        listens(port, name)
    limpet = t.limpet(conf('{other: "${OTHER}"}', routes=', routes: [{match: {sni: one.test}, backend: one}, '
                           '{match: {sni: "*.two.test"}, backend: two}, {match: {sni: two.test}, backend: two}]',
                           more='  one: {mode: tcp, hosts: {one: "${ONE}"}}\n  two: {mode: tcp, hosts: {two: "${TWO}"}}\n'))

    def who(name, server, versions=None):
        context = ssl.create_default_context(cafile=ca.pem)
        context.check_hostname = False          # the test looks at the name itself
        if versions:
            context.minimum_version = context.maximum_version = versions
        with socket.create_connection(("127.0.0.1", t.port), 5) as sock:
            with context.wrap_socket(sock, server_hostname=name) as tls:
                names = [v for k, v in tls.getpeercert()["subjectAltName"]]
                tls.sendall(b"GET /who HTTP/1.0\r\n\r\n")
                said = b""
                while True:
                    try:
                        data = tls.recv(4096)
                    except ssl.SSLError:
                        break
                    if not data:
                        break
                    said += data
        same((names, said.split(b"\r\n\r\n")[-1].decode()), ([server + ".test"], server), "certificate and answer")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        who("one.test", "one", version)
        who("ONE.test", "one", version)
        who("two.test", "two", version)
        who("a.two.test", "two", version)
        who("three.test", "other", version)
        who(None, "other", version)
    limpet.wait_log(r' raw route-1 one one \S\S-- 0 .*"TCP one\.test"')
    # A hello that is no hello reaches nobody.
    c = t.connect()
    c.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
    check(not c.wait_gone(), "reset")
    limpet.wait_log(r' raw - - - PR-- 0 ')


main()
