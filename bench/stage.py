# SPDX-License-Identifier: MIT
"""What the benches of latency and of the mirror share: a directory, processes, questions to a Limpet, a Redis."""
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

from arena import family, on_term

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition, what, limit=120, every=0.005):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            sys.exit("%s: not in %d s: %s" % (os.path.basename(sys.argv[0]), limit, what))
        time.sleep(every)


def listens(path):
    """Whether somebody takes connections at PATH: its socket is there a moment before."""
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


def ask(path, command):
    """One command to a stats socket; its answer, "" while nobody listens there."""
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
        except OSError:
            return ""
        s.sendall(command.encode() + b"\n")
        text = b""
        while True:
            data = s.recv(65536)
            if not data:
                return text.decode()
            text += data


def mirror(path):
    """`show mirror` as a dictionary."""
    return dict(l.split(": ", 1) for l in ask(path, "show mirror").split("\n") if ": " in l)


class Stage:
    """With it, whatever ends the bench ends its processes, theirs too, and removes the directory."""

    def __init__(self, prefix):
        signal.signal(signal.SIGTERM, on_term)
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)  # of a process that took over the parent has gone
        self.scratch = tempfile.TemporaryDirectory(prefix=prefix)
        self.dir = self.scratch.name

    def __enter__(self):
        return self

    def __exit__(self, *what):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            while True:
                for pid in family(os.getpid())[1:]:
                    self.kill(pid)
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
                time.sleep(0.002)
        except ChildProcessError:
            pass  # nobody is left
        self.scratch.cleanup()

    @staticmethod
    def kill(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    @staticmethod
    def start(arguments, cpu=None, real_time=False, **more):
        """In a session of its own, so that the scheduler gives each a share."""
        def prepare():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setsid()
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})
            if real_time:
                try:
                    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
                except PermissionError:
                    os.nice(-10)
        return subprocess.Popen(arguments, preexec_fn=prepare, **more)

    @staticmethod
    def end(*processes):
        for process in processes:
            process.terminate()
            process.communicate()


class Redis:
    """On a Unix socket in the stage's directory, or in DIRECTORY."""

    def __init__(self, stage, cpu=None, directory=None):
        directory = directory or stage.dir
        self.path = directory + "/redis.sock"
        self.process = stage.start(["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--dir",
                                    directory], cpu, stdout=subprocess.DEVNULL)
        until(lambda: listens(self.path), "redis-server")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def send(self, commands):
        """Pipelined; their answers, all of one line, are read."""
        self.sock.sendall(b"".join(b"*%d\r\n" % len(c) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in c)
                                   for c in commands))
        lines = 0
        while lines < len(commands):
            data = self.sock.recv(1 << 20)
            if b"-" in data[:1]:
                sys.exit("redis: %r" % data[:100])
            lines += data.count(b"\r\n")

    def fill(self, table, n):
        """N sessions of TABLE at A and nothing else, as a node writes them."""
        self.send([(b"FLUSHALL",)])
        version = int(time.time() * 1000 - 60000) * 64
        for at in range(0, n, 1000):
            self.send([(b"SET", b"{limpet}:e:%s/engineio:%032x" % (table.encode(), random.getrandbits(128)),
                        b"1 l %016x 3600000 A" % ((version + at) << 16 | 7), b"PX", b"3600000")
                       for _ in range(min(1000, n - at))])

    def end(self):
        self.sock.close()
        Stage.end(self.process)
