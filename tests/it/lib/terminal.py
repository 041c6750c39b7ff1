# SPDX-License-Identifier: MIT
"""A program on a terminal of ours: what it has drawn on the screen, and keys for it.

The screen understands what ncurses writes for TERM=xterm, and no more.
"""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from .limpet import SLOW
from .msg import Fail
from .peer import DEADLINE

__all__ = ["Terminal", "Screen"]

SEQUENCE = re.compile(r"\x1b\[([?>]?)([\d;]*)([@-~])|\x1b[()][A-Z0-9]|\x1b[=>78cM]|\x1b\][^\x07]*\x07|[\s\S]")


class Screen:
    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.top, self.bottom = 0, rows - 1
        self.y = self.x = 0
        self.cells = [[" "] * columns for _ in range(rows)]
        self.last = " "

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def put(self, char):
        if self.x >= self.columns:
            self.x = 0
            self.line_feed()
        self.cells[self.y][self.x] = self.last = char
        self.x += 1

    def line_feed(self):
        if self.y == self.bottom:
            del self.cells[self.top]
            self.cells.insert(self.bottom, [" "] * self.columns)
        elif self.y < self.rows - 1:
            self.y += 1

    def scroll(self, at, n):
        for _ in range(min(n, self.bottom - at + 1)):
            del self.cells[self.bottom]
            self.cells.insert(at, [" "] * self.columns)

    def unscroll(self, at, n):
        for _ in range(min(n, self.bottom - at + 1)):
            del self.cells[at]
            self.cells.insert(self.bottom, [" "] * self.columns)

    def erase(self, mode, row=True):
        cells = self.cells[self.y]
        first, last = {0: (self.x, self.columns), 1: (0, self.x + 1), 2: (0, self.columns)}[mode]
        for x in range(first, min(last, self.columns)):
            cells[x] = " "
        if not row:
            others = {0: range(self.y + 1, self.rows), 1: range(0, self.y), 2: range(self.rows)}[mode]
            for y in others:
                self.cells[y] = [" "] * self.columns

    def control(self, final, numbers):
        n = numbers[0] if numbers and numbers[0] else 1
        row = self.cells[self.y]
        if final in "Hf":
            self.y = min(max(n, 1), self.rows) - 1
            self.x = min(max(numbers[1] if len(numbers) > 1 and numbers[1] else 1, 1), self.columns) - 1
        elif final == "d":
            self.y = min(n, self.rows) - 1
        elif final in "G`":
            self.x = min(n, self.columns) - 1
        elif final == "A":
            self.y = max(self.y - n, 0)
        elif final in "Be":
            self.y = min(self.y + n, self.rows - 1)
        elif final in "Ca":
            self.x = min(self.x + n, self.columns - 1)
        elif final == "D":
            self.x = max(self.x - n, 0)
        elif final == "K":
            self.erase(numbers[0] if numbers else 0)
        elif final == "J":
            self.erase(numbers[0] if numbers else 0, row=False)
        elif final == "X":
            for x in range(self.x, min(self.x + n, self.columns)):
                row[x] = " "
        elif final == "P":
            del row[self.x:self.x + n]
            row += [" "] * (self.columns - len(row))
        elif final == "@":
            row[self.x:self.x] = [" "] * n
            del row[self.columns:]
        elif final == "b":
            for _ in range(n):
                self.put(self.last)
        elif final == "L":
            self.scroll(self.y, n)
        elif final == "M":
            self.unscroll(self.y, n)
        elif final == "S":
            self.unscroll(self.top, n)
        elif final == "T":
            self.scroll(self.top, n)
        elif final == "r":
            self.top, self.bottom = (numbers[0] - 1, numbers[1] - 1) if len(numbers) == 2 else (0, self.rows - 1)
            self.y = self.x = 0

    def feed(self, text):
        """Takes TEXT; gives back an end of it that is not a whole sequence."""
        at = 0
        while at < len(text):
            rest = text[at:]
            if rest[0] == "\x1b" and not re.match(SEQUENCE.pattern.rsplit("|", 1)[0], rest) and len(rest) < 64:
                return rest
            match = SEQUENCE.match(text, at)
            at = match.end()
            char = match.group(0)
            if match.group(3):
                if not match.group(1):
                    self.control(match.group(3), [int(v or 0) for v in match.group(2).split(";")] if match.group(2) else [])
            elif char == "\r":
                self.x = 0
            elif char == "\n":
                self.line_feed()
            elif char == "\b":
                self.x = max(self.x - 1, 0)
            elif char == "\x1bM":
                if self.y == self.top:
                    self.scroll(self.top, 1)
                else:
                    self.y -= 1
            elif char >= " " and len(char) == 1:
                self.put(char)
        return ""


class Terminal:
    """ARGS run on a terminal of their own; ended with the case by t.finish() or close()."""

    def __init__(self, args, rows=30, columns=120, env=None):
        self.screen = Screen(rows, columns)
        self.raw = ""
        self.left = ""
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            args, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, close_fds=True,
            env=dict(os.environ, TERM="xterm", LINES=str(rows), COLUMNS=str(columns), **(env or {})),
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)

    def key(self, text):
        os.write(self.ours, text.encode())

    def read(self, seconds=0.05):
        """What comes within SECONDS is drawn; False at the end."""
        ready, _, _ = select.select([self.ours], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.ours, 65536)
        except OSError:
            data = b""
        text = data.decode("utf-8", "replace")
        self.raw += text
        self.left = self.screen.feed(self.left + text)
        return bool(data)

    def until(self, condition, what):
        """Reads until CONDITION(screen's text) is true; its value."""
        limit = time.monotonic() + DEADLINE * 2 * SLOW
        while True:
            value = condition(self.screen.text())
            if value:
                return value
            if time.monotonic() > limit or not self.read():
                raise Fail("%s; the screen is:\n%s" % (what, self.screen.text()))

    def wait_exit(self):
        limit = time.monotonic() + DEADLINE * SLOW
        while self.process.poll() is None and time.monotonic() < limit:
            self.read()
        while self.process.poll() is not None and self.read(0):
            if not select.select([self.ours], [], [], 0)[0]:
                break
        return self.process.poll()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
