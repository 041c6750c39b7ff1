# SPDX-License-Identifier: MIT
"""A real redis-server of the test's own, and a client for it."""
import os
import shutil
import signal
import socket
import subprocess

from .case import Skip
from .limpet import SLOW, until
from .msg import Fail

__all__ = ["Redis"]


class Redis:
    """Listens on a Unix socket in DIRECTORY; keeps nothing on disk unless told so by ARGS."""

    def __init__(self, directory, name="redis", args=()):
        self.program = shutil.which("redis-server")
        if not self.program:
            raise Skip("no redis-server")
        self.directory, self.name, self.args = directory, name, list(args)
        self.path = os.path.join(directory, name + ".sock")
        self.process = None
        self.socket = None
        self.start()

    def start(self):
        with open(os.path.join(self.directory, self.name + ".out"), "ab") as out:
            self.process = subprocess.Popen(
                [self.program, "--port", "0", "--unixsocket", self.path, "--save", "",
                 "--dir", self.directory] + self.args, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        until(self.is_up, "redis-server answers", 10 * SLOW)

    def is_up(self):
        try:
            return self.ask("PING") == "PONG"
        except (OSError, Fail):
            self.socket = None
            return False

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait()
            self.socket = None

    def restart(self):
        self.kill()
        self.start()

    def ask(self, *words):
        """One command; the answer as Python has it.  An error answer is a Fail."""
        if not self.socket:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(10)
            self.socket.connect(self.path)
            self.reader = self.socket.makefile("rb")
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) +
                            b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self._answer()

    def _answer(self):
        line = self.reader.readline()
        if not line:
            raise Fail("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise Fail("redis: " + rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.reader.read(int(rest) + 2)[:-2].decode("utf-8", "replace")
        return None if rest == b"-1" else [self._answer() for _ in range(int(rest))]

    def keys(self, pattern="*"):
        return sorted(self.ask("KEYS", pattern))

    def stop(self):
        if self.socket:
            self.socket.close()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
