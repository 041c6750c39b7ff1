# SPDX-License-Identifier: MIT
"""A running Limpet: started on a configuration in a directory of its own, watched, ended."""
import ctypes
import fcntl
import mmap
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import termios
import time

from .msg import Fail
from .peer import DEADLINE, connect, tcp_end, tcp_row

__all__ = ["Limpet", "find_limpet", "free_port", "run_limpet", "until", "held_up", "is_sanitized", "SLOW"]

LIBC = ctypes.CDLL(None)

BAD_WORDS = re.compile(rb"BUG at|AddressSanitizer|LeakSanitizer|ThreadSanitizer|"
                       rb"UndefinedBehaviorSanitizer|runtime error:|Assertion .* failed")


def find_limpet():
    """Path of the program under test, or None."""
    places = [os.environ.get("LIMPET")]
    for top in (os.environ.get("top_builddir"), os.path.join(os.path.dirname(__file__), "../../..")):
        if top:
            places += [os.path.join(top, "limpet"), os.path.join(top, "src/main/limpet")]
    for place in places:
        if place and os.access(place, os.X_OK) and os.path.isfile(place):
            return os.path.abspath(place)
    return None


def _is_sanitized(binary):
    try:
        with open(binary, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
            return m.find(b"__asan_init") >= 0 or m.find(b"__tsan_init") >= 0
    except (OSError, ValueError, TypeError):
        return False


is_sanitized = _is_sanitized(find_limpet())
# Factor on "soon".  Who allows more time for everything has a machine that is slow at it.
SLOW = float(os.environ.get("LIMPET_IT_SLOW") or max(5 if is_sanitized else 1, DEADLINE / 10))


def until(condition, what, timeout=None):
    """Polls until CONDITION() is true; its value."""
    limit = time.monotonic() + (DEADLINE if timeout is None else timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            raise Fail("did not come true in time: " + (what() if callable(what) else what))
        time.sleep(0.003)


def held_up(sock, limpet=None):
    """Waits until what stands unread in SOCK grows no more: whoever sends has ended, or is held up.  With LIMPET: when
    bytes have come, and its memory grows no more either, for a full socket alone tells nothing of who is behind it."""
    looks = []

    def is_steady():
        size = bytearray(4)
        fcntl.ioctl(sock.fileno(), termios.FIONREAD, size)
        unread = int.from_bytes(size, sys.byteorder)
        looks.append((unread, limpet and limpet.rss()))
        return len(looks) > 8 and len(set(looks[-8:])) == 1 and (unread or not limpet)
    until(is_steady, "the sender is held up")


def free_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def is_listening(port):
    """Whether this machine listens on the TCP port, asked without connecting to it."""
    want = ":%04X" % port
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(name) as f:
                for line in f:
                    part = line.split()
                    if part[1].endswith(want) and part[3] == "0A":
                        return True
        except (OSError, IndexError):
            pass
    return False


def run_limpet(args, env=None, timeout=20, cwd=None, stderr=subprocess.STDOUT):
    """Runs to the end: (exit status, stdout, with stderr in it unless told otherwise)."""
    done = subprocess.run([find_limpet()] + list(args), stdout=subprocess.PIPE, cwd=cwd,
                          stderr=stderr, env=dict(os.environ, **(env or {})),
                          timeout=timeout, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode("utf-8", "replace")


class Limpet:
    def __init__(self, directory, config, env, name="limpet", max_fds=None):
        self.max_fds = max_fds
        self.directory = directory
        self.env = {k: str(v) for k, v in env.items()}
        self.name = name
        self.path = os.path.join(directory, name + ".yaml")
        self.log_path = os.path.join(directory, name + ".log")
        self.ports = [int(v) for k, v in self.env.items() if k.startswith("PORT")]
        self.process = None
        self.args = []                    # more arguments
        self.heirs = []                   # pids that took over, the last one serves
        self.is_ended_by_test = False     # the case stops it itself and looks at the status
        self.write(config)

    def write(self, config):
        with open(self.path, "w") as f:
            f.write(config)

    def _prepare(self):
        """In the child: dies with the test, whatever ends that; fewer descriptors when told so."""
        LIBC.prctl(1, 9)                # PR_SET_PDEATHSIG, SIGKILL
        if self.max_fds:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.max_fds, self.max_fds))

    def _has_threads(self):
        try:
            for tid in os.listdir("/proc/%d/task" % self.process.pid):
                with open("/proc/%d/task/%s/comm" % (self.process.pid, tid)) as f:
                    if f.read().startswith("traffic-"):
                        return True
        except OSError:
            pass
        return False

    def start(self, wait_for=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [find_limpet(), "-f", self.path] + self.args, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=dict(os.environ, **self.env), cwd=self.directory, preexec_fn=self._prepare)

        def is_up():
            if self.process.poll() is not None:
                raise Fail("%s ended at start with %s: %s" % (
                    self.name, self.process.returncode, self.log()[-1500:]))
            # It listens before it drops its privileges and has its threads and descriptors.
            return all(is_listening(p) for p in self.ports) and self._has_threads() and (
                wait_for is None or os.path.exists(wait_for))
        until(is_up, "%s listens on %s" % (self.name, self.ports or wait_for), 10 * SLOW)
        return self

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def wait_log(self, pattern, timeout=None):
        return until(lambda: re.search(pattern, self.log()), lambda: "log has /%s/; it has:\n%s" % (
            pattern, self.log()[-800:]), timeout)

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, timeout=5 * SLOW):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    @property
    def pid(self):
        """The process that serves."""
        return self.heirs[-1] if self.heirs else self.process.pid

    def upgrade(self, timeout=20):
        """SIGUSR2; the new process' pid once it serves."""
        LIBC.prctl(36, 1)               # PR_SET_CHILD_SUBREAPER: what outlives its parent is ours
        before = self.pid
        at = len(self.log())
        os.kill(before, signal.SIGUSR2)
        def taken():
            text = self.log()[at:]
            if "upgrade failed" in text or "upgrade refused" in text:
                raise Fail(text[-600:])
            return re.search(r"\[%d\].* process (\d+) serves now; this one" % before, text)
        pid = int(until(taken, lambda: "an upgrade; the log: %s" % self.log()[at:], timeout).group(1))
        self.heirs.append(pid)
        return pid

    def end_pid(self, pid, timeout=5):
        """Waits for the end of one that took over: its exit status, or None when it goes on."""
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            try:
                done, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:   # not ours yet: its parent lives
                if not os.path.exists("/proc/%d" % pid):
                    return 0
                done = 0
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        return None

    def _finish_heirs(self):
        wrong = []
        for pid in [self.process.pid] + self.heirs:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        status = self.wait_exit(10 * SLOW)
        if status != 0:
            wrong.append("%s, the first process, ended with status %s" % (self.name, status))
        for pid in self.heirs:
            status = self.end_pid(pid, 10 * SLOW)
            if status != 0:
                wrong.append("%s: process %d ended with status %s" % (self.name, pid, status))
            if status is None:
                os.kill(pid, signal.SIGKILL)
        return wrong

    def rss(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024

    def cpu(self):
        """Processor time used so far, in seconds."""
        with open("/proc/%d/stat" % self.process.pid) as f:
            part = f.read().rsplit(")", 1)[1].split()
        return (int(part[11]) + int(part[12])) / os.sysconf("SC_CLK_TCK")

    def thread_states(self):
        """Of each of its threads, as /proc tells: R, S, T..."""
        states = []
        for task in os.listdir("/proc/%d/task" % self.process.pid):
            with open("/proc/%d/task/%s/stat" % (self.process.pid, task)) as f:
                states.append(f.read().rsplit(")", 1)[1].split()[0])
        return states

    def watches(self, sock):
        """Whether one of its epoll sets has the other end of SOCK, and all that SOCK has sent was read."""
        row = tcp_row(sock.getpeername(), sock.getsockname())
        if not row or not row[4].endswith(":00000000"):
            return False
        ino = "ino:%x " % int(row[9])
        for fd in os.listdir("/proc/%d/fdinfo" % self.pid):
            try:
                with open("/proc/%d/fdinfo/%s" % (self.pid, fd)) as f:
                    if any(line.startswith("tfd:") and ino in line for line in f):
                        return True
            except FileNotFoundError:
                pass
        return False

    def hear_at_once(self, c, data):
        """DATA and the end behind it come as one event from the Peer C, which is watched."""
        until(lambda: self.watches(c.sock), "the client is watched")
        self.signal(signal.SIGSTOP)
        until(lambda: set(self.thread_states()) == {"T"}, "all its threads stand")
        c.send(data)
        c.shut()
        until(lambda: tcp_end(*c.names[::-1])[0] == "08", "the end is there: CLOSE_WAIT")
        self.signal(signal.SIGCONT)

    def fds(self, pipes=True):
        """Descriptors; without pipes those that stand ready for bulk (net/pipe.h) do not count."""
        directory, n = "/proc/%d/fd" % self.process.pid, 0
        for name in os.listdir(directory):
            try:
                n += pipes or not os.readlink(os.path.join(directory, name)).startswith("pipe:")
            except FileNotFoundError:
                pass
        return n

    def finish(self):
        """Ends it as an operator would and tells what was wrong with it: a list of sentences."""
        wrong = []
        if self.process is None:
            return wrong
        if self.heirs:
            wrong += self._finish_heirs()
        elif not self.is_ended_by_test:
            if self.process.poll() is not None:
                wrong.append("%s is gone, status %d" % (self.name, self.process.returncode))
            else:
                self.process.send_signal(signal.SIGTERM)
                status = self.wait_exit(5 * SLOW)
                if status is None:
                    wrong.append("%s did not end within %d s of SIGTERM" % (self.name, 5 * SLOW))
                elif status != 0:
                    wrong.append("%s ended with status %d" % (self.name, status))
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with open(self.log_path, "rb") as f:
            text = f.read()
        bad = BAD_WORDS.search(text)
        if bad:
            at = max(0, bad.start() - 100)
            wrong.append("%s's log says: %s" % (
                self.name, text[at:at + 1800].decode("utf-8", "replace")))
        return wrong

    def ask_stats(self, command, path=None):
        """One command to the stats socket, as `socat` would send it; the answer."""
        peer = connect(path or os.path.join(self.directory, "stats.sock"), name="stats")
        try:
            peer.send(command.encode() + b"\n")
            return peer.read_all().decode("utf-8", "replace")
        finally:
            peer.close()

    def stat_rows(self):
        """`show stat` as a list of dictionaries."""
        lines = [l for l in self.ask_stats("show stat").split("\n") if l]
        names = lines[0].lstrip("# ").split(",")
        return [dict(zip(names, line.split(","))) for line in lines[1:]]
