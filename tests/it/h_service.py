#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The service: what systemd is told, user, group, capabilities, chroot, the unit."""
import atexit
import grp
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from lib import *
from lib.limpet import is_listening

TOP = os.environ.get("top_srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


class Notify:
    """systemd's end of NOTIFY_SOCKET: who said what, in order."""

    def __init__(self, t):
        self.path = t.directory + "/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o777)
        self.sock.setblocking(False)
        self.said = []              # (pid, text)

    def read(self):
        while True:
            try:
                data, control, _, _ = self.sock.recvmsg(4096, 256)
            except BlockingIOError:
                return self.said
            pid = int.from_bytes(control[0][2][:4], "little")
            self.said.append((pid, data.decode()))

    def wait(self, pattern, after=0):
        """The index of the first message from AFTER on that has PATTERN."""
        def found():
            for i, (_, text) in enumerate(self.read()[after:], after):
                if re.search(pattern, text, re.M):
                    return i + 1
            return 0
        return until(found, lambda: "/%s/ in %s" % (pattern, self.said[after:])) - 1


def notified(t, text=None, **env):
    notify = Notify(t)
    t.echo()
    return notify, t.limpet(text or config(), NOTIFY_SOCKET=notify.path, **env)


@case("systemd hears when it is ready, loads again, serves again, and stops")
def _(t):
    notify, limpet = notified(t)
    at = notify.wait("^READY=1$")
    pid = limpet.process.pid
    same(notify.said[at][0], pid, "who is ready")
    check("MAINPID=%d\n" % pid in notify.said[at][1], notify.said[at])
    before = time.monotonic()
    limpet.signal(signal.SIGHUP)
    at = notify.wait("^RELOADING=1$", at + 1)
    usec = int(re.search(r"^MONOTONIC_USEC=(\d+)$", notify.said[at][1], re.M).group(1))
    check(before <= usec / 1e6 <= time.monotonic(), "the instant of the reload: %d" % usec)
    at = notify.wait("^READY=1$", at + 1)
    check("failed" not in notify.said[at][1], notify.said[at])
    limpet.write(config().replace("backends:", "backendz:"))
    limpet.signal(signal.SIGHUP)
    at = notify.wait("^RELOADING=1$", at + 1)
    at = notify.wait("^READY=1$", at + 1)
    check(re.search("^STATUS=.*failed", notify.said[at][1], re.M), notify.said[at])
    limpet.is_ended_by_test = True
    limpet.signal(signal.SIGTERM)
    notify.wait("^STOPPING=1$", at + 1)
    same(limpet.wait_exit(5 * SLOW), 0, "status")


@case("after an upgrade the new process speaks to systemd, and the old one says nothing more")
def _(t):
    notify, limpet = notified(t)
    kept = t.connect()
    same(kept.ask(get()).status, 200, "status")
    old = limpet.process.pid
    new = limpet.upgrade()
    at = notify.wait("^MAINPID=%d$" % new)
    same(notify.said[at][0], new, "who says so")
    check("READY=1" in notify.said[at][1], notify.said[at])
    # Its threads hear of it a moment later: the answer to the last request says so.
    until(lambda: "close" in kept.ask(get()).all("connection"), "a last request to the old one")
    same(limpet.wait_exit(10 * SLOW), 0, "the old one's status")
    same([s for s in notify.read()[at:] if s[0] == old], [], "what the old one said after that")


@case("the watchdog is fed while all threads turn, by the new process after an upgrade as well")
def _(t):
    notify, limpet = notified(t, WATCHDOG_USEC=300000)
    at = notify.wait("^WATCHDOG=1$")
    at = notify.wait("^WATCHDOG=1$", at + 1)
    limpet.signal(signal.SIGSTOP)
    until(lambda: set(limpet.thread_states()) == {"T"}, "all its threads stand")
    have = len(notify.read())
    time.sleep(0.4)                     # what must not happen
    same(len(notify.read()), have, "words of a process that does not run")
    limpet.signal(signal.SIGCONT)
    at = notify.wait("^WATCHDOG=1$", have)
    new = limpet.upgrade()
    at = notify.wait("^MAINPID=%d$" % new)
    at = notify.wait("^WATCHDOG=1$", at + 1)
    same(notify.said[at][0], new, "who feeds it")


@case("a watchdog of another process is not fed")
def _(t):
    notify, limpet = notified(t, WATCHDOG_USEC=100000, WATCHDOG_PID=1)
    notify.wait("^READY=1$")
    time.sleep(0.3)                     # what must not happen
    check(not [s for s in notify.read() if "WATCHDOG" in s[1]], notify.said)


def need_root():
    if os.getuid() != 0:
        raise Skip("needs root")


def low_port():
    for port in range(1000, 700, -1):
        try:
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
                return port
        except OSError:
            pass
    raise Skip("no free port below 1024")


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict((l.split(":", 1)[0], l.split(":", 1)[1].split()) for l in f)


def open_to_all(t):
    """The directory of the case, for a user that is not root."""
    os.chmod(t.directory, 0o777)
    binary = find_limpet()
    if subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "test", "-x", binary]).returncode != 0:
        place = tempfile.mkdtemp(prefix="limpet-it-")      # the tree is in somebody's home
        atexit.register(shutil.rmtree, place)
        os.chmod(place, 0o755)
        os.environ["LIMPET"] = shutil.copy(binary, place)


NO_LEAKS = "detect_leaks=0"             # the leak checker cannot look at a process that changed its user
DROPPED = """\
global:
  threads: ${THREADS:-2}
  user: nobody
  pid_file: ${RUN}/pid
  stats: {socket: "unix:${RUN}/stats.sock"}
frontends:
  web: {bind: [%s], backend: app}
backends:
  app: {hosts: {one: "${A}"}}
"""


@case("as root: the user changes, CAP_NET_BIND_SERVICE alone is kept, so that reload and upgrade can bind low ports")
def _(t):
    need_root()
    open_to_all(t)
    t.echo()
    ports = [low_port()]
    limpet = t.limpet(DROPPED % '"127.0.0.1:${PORT}", "127.0.0.1:%d"' % ports[0], ASAN_OPTIONS=NO_LEAKS)
    nobody = pwd.getpwnam("nobody")
    bind_only = "%016x" % (1 << 10)

    def look(pid):
        until(lambda: status_of(pid)["NoNewPrivs"] == ["1"], "privileges are dropped")
        status = status_of(pid)
        same(status["Uid"], [str(nobody.pw_uid)] * 4, "Uid")
        same(status["Gid"], [str(nobody.pw_gid)] * 4, "Gid")
        same(sorted(status["Groups"]), sorted(str(g) for g in os.getgrouplist("nobody", nobody.pw_gid)), "Groups")
        for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
            same(status[name], [bind_only], name)
        same(status["NoNewPrivs"], ["1"], "NoNewPrivs")
    look(limpet.pid)
    ports.append(low_port())
    binds = ", ".join('"127.0.0.1:%d"' % p for p in ports)
    limpet.write(DROPPED % ('"127.0.0.1:${PORT}", ' + binds))
    limpet.signal(signal.SIGHUP)
    until(lambda: is_listening(ports[1]), "a low port after a reload")
    ports.append(low_port())
    binds = ", ".join('"127.0.0.1:%d"' % p for p in ports)
    limpet.write(DROPPED % ('"127.0.0.1:${PORT}", ' + binds))
    pid = limpet.upgrade()
    look(pid)
    for port in [t.port] + ports:
        same(t.ask(get(), address=port).body, b"A", "port %d" % port)
    same(open(t.directory + "/pid").read().strip(), str(pid), "pid file, written without root's rights")
    check("Pid: %d" % pid in limpet.ask_stats("show info"), "the stats socket is served")


@case("as root: without a low port nothing at all is kept; group alone drops root's groups")
def _(t):
    need_root()
    open_to_all(t)
    t.echo()
    limpet = t.limpet(DROPPED % '"127.0.0.1:${PORT}"', ASAN_OPTIONS=NO_LEAKS)
    until(lambda: status_of(limpet.pid)["NoNewPrivs"] == ["1"], "privileges are dropped")
    status = status_of(limpet.pid)
    for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        same(status[name], ["0" * 16], name)
    same(status["NoNewPrivs"], ["1"], "NoNewPrivs")
    same(t.ask(get()).body, b"A", "body")
    limpet.upgrade()
    same(t.ask(get()).body, b"A", "body")
    group = grp.getgrnam("nogroup")
    other = t.limpet((DROPPED % '"127.0.0.1:${PORT_TWO}"').replace("user: nobody", "group: nogroup").replace(
        "/pid", "/pid2").replace("stats.sock", "two.sock"), name="two", ports=("PORT_TWO",))
    until(lambda: "runs:" in other.log(), "it runs")
    status = status_of(other.pid)
    same((status["Gid"], status["Groups"]), ([str(group.gr_gid)] * 4, [str(group.gr_gid)]), "group and groups")


@case("as root: an unknown user, and a chroot that is not there, stop the start")
def _(t):
    need_root()
    t.echo()
    t.env["PORT"] = free_port()
    for said, want in (("user: nobody", "user: no-such-user"), ("user: nobody", "chroot: /no/such/directory")):
        path = t.directory + "/c.yaml"
        with open(path, "w") as f:
            f.write((DROPPED % '"127.0.0.1:${PORT}"').replace(said, want))
        status, text = run_limpet(["-f", path], env={k: str(v) for k, v in t.env.items()})
        check(status == 1 and ("no such user" in text or "chroot failed" in text), text)


@case("as root: in a chroot it serves; an upgrade says that the program cannot be reached")
def _(t):
    need_root()
    open_to_all(t)
    t.echo()
    os.mkdir(t.directory + "/root")
    limpet = t.limpet((DROPPED % '"127.0.0.1:${PORT}"').replace("user: nobody", "user: nobody\n  chroot: ${RUN}/root"),
                      ASAN_OPTIONS=NO_LEAKS)
    same(os.readlink("/proc/%d/root" % limpet.pid), t.directory + "/root", "root directory")
    same(t.ask(get()).body, b"A", "body")
    limpet.signal(signal.SIGUSR2)
    limpet.wait_log("upgrade refused: .* cannot be reached from inside the chroot")
    same(t.ask(get()).body, b"A", "body")


@case("more connections than descriptors allow stop the start, and listeners of all threads are counted")
def _(t):
    t.env["PORT"] = free_port()
    path = t.directory + "/c.yaml"
    binds = ", ".join('"127.0.0.%d:${PORT}"' % (i + 1) for i in range(100))

    def start(max_connections, bind, threads):
        with open(path, "w") as f:
            f.write('global: {threads: %d, max_connections: %d}\nfrontends: {web: {bind: [%s], routes: [{respond: {status: 200}}]}}\n' % (
                threads, max_connections, bind))
        return subprocess.run(["prlimit", "--nofile=1000:1000", find_limpet(), "-f", path], timeout=20,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict(os.environ, PORT=str(t.env["PORT"])))
    if not shutil.which("prlimit"):
        raise Skip("no prlimit")
    done = start(5000, '"127.0.0.1:${PORT}"', 1)
    text = done.stdout.decode()
    check(done.returncode == 1 and re.search(r"max_connections 5000 .*limit is 1000.*lower max_connections to (\d+)", text), text)
    most = int(re.search(r"to (\d+)", text).group(1))
    done = start(most, binds, 8)
    text = done.stdout.decode()
    check(done.returncode == 1 and "lower max_connections" in text, "800 listeners: " + text)


@case("the unit: systemd takes it, and its exposure is low")
def _(t):
    if not shutil.which("systemd-analyze"):
        raise Skip("no systemd-analyze")
    path = t.directory + "/limpet.service"
    with open(TOP + "/contrib/systemd/limpet.service.in") as f:
        text = f.read().replace("@sbindir@/limpet", find_limpet()).replace("@sysconfdir@", "/etc")
    with open(path, "w") as f:
        f.write(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    same((done.returncode, done.stdout.decode()), (0, ""), "systemd-analyze verify")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", path],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    if b"nrecognized option" in done.stdout:
        raise Skip("this systemd-analyze cannot tell offline")
    same(done.returncode, 0, done.stdout.decode()[-200:])
    t.note(done.stdout.decode().strip().split("\n")[-1])


main()
