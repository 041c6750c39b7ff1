# SPDX-License-Identifier: MIT
"""Scripted raw peers: a client connection, and a server whose connections run scripts.

A script is a list of steps, each a tuple (operation, arguments...) made by the functions below:
data, so that a case is a table row.  A callable may stand in place of a script; it gets the peer.
"""
import itertools
import os
import re
import select
import socket
import struct
import threading
import time

from .msg import Fail, Message, parse_fields, parse_head

__all__ = ["Peer", "Server", "DEADLINE", "send", "drip", "expect", "request", "response", "close",
           "shut", "reset", "eof", "gone", "silent", "pause", "wait", "fire", "serve", "connect"]

DEADLINE = float(os.environ.get("LIMPET_IT_TIMEOUT", "5"))    # s; longest wait for anything


arrivals = itertools.count()      # numbers every request that any server of ours reads


# Steps ---------------------------------------------------------------------------------------

def send(*data): return ("send", b"".join(data))
def drip(*data): return ("drip", b"".join(data))               # one byte per write
def expect(pattern): return ("expect", pattern)                # bytes exactly, or a compiled regex
def request(**want): return ("request", want)                  # read one request; want: its parts
def response(status=None, body=None, to="GET"): return ("response", status, body, to)
def close(): return ("close",)
def shut(): return ("shut",)                                   # no more from us: SHUT_WR
def reset(): return ("reset",)                                 # RST
def eof(): return ("eof",)                                     # the other side ends in order
def gone(): return ("gone",)                                   # ends, in order or by reset
def silent(seconds): return ("silent", seconds)                # nothing arrives for so long
def pause(seconds): return ("pause", seconds)
def wait(event): return ("wait", event)                        # until somebody fires EVENT
def fire(event): return ("fire", event)


class Ended(Fail):
    """The other side ended the connection in the middle of something."""


def tcp_row(here, there):
    """The words of /proc/net/tcp on one end of a TCP connection; None: it is no more."""
    here, there = ":%04X" % here[1], ":%04X" % there[1]
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as f:
                for line in f:
                    part = line.split()
                    if part[1].endswith(here) and part[2].endswith(there):
                        return part
        except OSError:
            pass
    return None


def tcp_end(here, there):
    """(state, bytes not yet acknowledged, not yet read) of one end of a TCP connection; None: it is no more."""
    row = tcp_row(here, there)
    return row and (row[3],) + tuple(int(n, 16) for n in row[4].split(":"))


class Peer:
    """One connection.  Every read has a deadline; nothing here sleeps to be lucky."""

    def __init__(self, sock, events=None, name="peer"):
        self.sock = sock
        self.events = events if events is not None else Events()
        self.name = name
        self.buf = bytearray()      # received, not yet taken
        self.received = 0           # bytes, in all
        self.history = bytearray()  # the first 64 KiB received
        self.is_ended = False       # the other side will send no more
        self.is_reset = False
        self.requests = []
        self.responses = []
        self.ended_at = None
        self.names = None           # of both ends; TCP, and not reset already
        sock.settimeout(DEADLINE)
        if sock.family != socket.AF_UNIX:
            try:
                self.names = (sock.getsockname(), sock.getpeername())
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                pass                    # reset already; a read will tell

    # Reading.

    def fill(self, timeout=None, most=262144):
        """Reads what there is; False at the end of the stream."""
        if self.is_ended:
            return False
        try:
            self.sock.settimeout(DEADLINE if timeout is None else timeout)
            data = self.sock.recv(most)
        except socket.timeout:
            raise Fail("%s: nothing came for %.1f s; have %r" % (
                self.name, DEADLINE if timeout is None else timeout, bytes(self.buf[:200])))
        except (ConnectionResetError, BrokenPipeError, ConnectionAbortedError):
            self.is_reset = True
            data = b""
        except OSError as err:
            if self.sock.fileno() == -1:
                data = b""
            else:
                raise Fail("%s: %s" % (self.name, err))
        if not data:
            self.is_ended = True
            self.ended_at = time.monotonic()
            return False
        self.buf += data
        self.received += len(data)
        if len(self.history) < 65536:
            self.history += data[:65536]
        return True

    def take(self, size):
        data = bytes(self.buf[:size])
        del self.buf[:size]
        return data

    def read(self, size):
        while len(self.buf) < size:
            if not self.fill():
                raise Ended("%s: ended after %d of %d bytes: %r" % (
                    self.name, len(self.buf), size, bytes(self.buf[:200])))
        return self.take(size)

    def read_to(self, mark):
        start = 0
        while True:
            at = self.buf.find(mark, max(0, start))
            if at >= 0:
                return self.take(at + len(mark))
            start = len(self.buf) - len(mark)
            if not self.fill():
                raise Ended("%s: ended %s before %r; have %r" % (
                    self.name, "by reset" if self.is_reset else "in order", mark,
                    bytes(self.buf[:300])))

    def read_all(self, timeout=None):
        while self.fill(timeout):
            pass
        return self.take(len(self.buf))

    def _chunked(self, msg):
        while True:
            line = self.read_to(b"\r\n")[:-2]
            if not re.fullmatch(rb"[0-9a-fA-F]+", line):
                raise Fail("%s: odd chunk line %r" % (self.name, line))
            size = int(line, 16)
            if size == 0:
                break
            msg.body += self.read(size)
            if self.read(2) != b"\r\n":
                raise Fail("%s: a chunk does not end with CRLF" % self.name)
        lines = []
        while True:
            line = self.read_to(b"\r\n")[:-2]
            if not line:
                break
            lines.append(line)
        msg.trailers = parse_fields(lines)

    def _body(self, msg, is_close_ok):
        if msg.has("transfer-encoding"):
            if msg.get("transfer-encoding").lower() != "chunked":
                raise Fail("%s: coding %r" % (self.name, msg.get("transfer-encoding")))
            msg.framing = "chunked"
            self._chunked(msg)
        elif msg.has("content-length"):
            msg.framing = "length"
            msg.body = self.read(int(msg.get("content-length")))
        elif is_close_ok:
            msg.framing = "close"
            msg.body = self.read_all()
            if self.is_reset:
                raise Fail("%s: a close-delimited body ended by reset" % self.name)
        msg.is_complete = True
        return msg

    def read_head(self):
        return parse_head(self.read_to(b"\r\n\r\n"))

    def read_request(self, want_body=True):
        msg = self.read_head()
        msg.number = next(arrivals)
        self.requests.append(msg)
        return self._body(msg, False) if want_body else msg

    def read_response(self, to="GET", want_body=True):
        msg = self.read_head()
        self.responses.append(msg)
        if not hasattr(msg, "status"):
            raise Fail("%s: not a response: %r" % (self.name, msg.start))
        if not want_body or to == "HEAD" or msg.status in (101, 204, 304) or msg.status < 200:
            msg.is_complete = True
            return msg
        return self._body(msg, True)

    def ask(self, data, to="GET"):
        """Sends DATA and reads one final response."""
        self.send(data)
        while True:
            msg = self.read_response(to)
            if msg.status >= 200 or msg.status == 101:
                return msg

    # Writing and ends.

    def send(self, data):
        self.sock.settimeout(DEADLINE)
        try:
            self.sock.sendall(data)
        except socket.timeout:
            raise Fail("%s: could not send %d bytes in %.1f s" % (self.name, len(data), DEADLINE))
        except (ConnectionResetError, BrokenPipeError):
            pass                        # who cares asks gone() or eof()

    def drip(self, data):
        for at in range(len(data)):
            self.send(data[at:at + 1])
            if at % 4 == 0:
                time.sleep(0)           # lets the other process see single bytes now and then

    def pieces(self, parts, gap=0.002):
        """Sends each part as a segment of its own, with a gap in which it can be read."""
        for part in parts:
            self.send(part)
            time.sleep(gap)

    def shut(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def shut_both(self):
        """Ends the connection for whoever reads from it here, in another thread too."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_gone(self, timeout=None, allow=b""):
        """The other side ends the connection; True when in order, False when by reset."""
        rest = self.read_all(timeout)
        if rest and not re.fullmatch(allow, rest, re.S):
            raise Fail("%s: unexpected bytes before the end: %r" % (self.name, rest[:300]))
        return not self.is_reset

    def is_silent(self, seconds):
        if self.buf:
            return False
        if self.is_ended:
            return True
        return not select.select([self.sock], [], [], seconds)[0]

    def _wait_ends(self, condition, what):
        """CONDITION(our end, the other end), which is a program on this machine; TCP."""
        if not self.names:
            return
        ours, theirs = self.names
        limit = time.monotonic() + DEADLINE
        while True:
            ends = tcp_end(ours, theirs), tcp_end(theirs, ours)     # in this order: what is acknowledged is there
            if condition(*ends):
                return
            if time.monotonic() > limit:
                raise Fail("%s: the other end has not %s: %r" % (self.name, what, ends))
            time.sleep(0.002)

    def wait_read(self):
        """Until the other end has taken all that was sent."""
        self._wait_ends(lambda us, them: not them or (not us or us[1] == 0) and them[2] == 0, "read all")

    def wait_let_go(self):
        """Until the other end has closed its side: it is neither ESTABLISHED nor in CLOSE_WAIT."""
        self._wait_ends(lambda us, them: not them or them[0] not in ("01", "08"), "closed")

    # Scripts.

    def run(self, script):
        if callable(script):
            return script(self)
        for step in script:
            getattr(self, "_do_" + step[0])(*step[1:])
        return None

    def _do_send(self, data): self.send(data)
    def _do_drip(self, data): self.drip(data)
    def _do_shut(self): self.shut()
    def _do_close(self): self.close()
    def _do_reset(self): self.reset()
    def _do_pause(self, seconds): time.sleep(seconds)
    def _do_wait(self, event): self.events.wait(event)
    def _do_fire(self, event): self.events.fire(event)
    def _do_gone(self): self.wait_gone()

    def _do_eof(self):
        if not self.wait_gone():
            raise Fail("%s: the end came by reset" % self.name)

    def _do_silent(self, seconds):
        if not self.is_silent(seconds):
            self.fill(1)
            raise Fail("%s: not silent: %r" % (self.name, bytes(self.buf[:200])))

    def _do_expect(self, pattern):
        if isinstance(pattern, bytes):
            while len(self.buf) < len(pattern) and pattern.startswith(bytes(self.buf)):
                if not self.fill():
                    break
            got = self.take(len(pattern))
            if got != pattern:
                raise Fail("%s: expected %r, got %r" % (self.name, pattern, got))
            return
        while True:
            match = pattern.search(self.buf)
            if match:
                self.take(match.end())
                return
            if not self.fill():
                raise Fail("%s: ended before /%s/; have %r" % (
                    self.name, pattern.pattern.decode("latin-1"), bytes(self.buf[:300])))

    def _do_request(self, want):
        msg = self.read_request()
        for part, value in want.items():
            have = getattr(msg, part)
            if have != value:
                raise Fail("%s: request's %s is %r, not %r" % (self.name, part, have, value))

    def _do_response(self, status, body, to):
        msg = self.read_response(to)
        if status is not None and msg.status != status:
            raise Fail("%s: status %d, not %d; %r" % (self.name, msg.status, status, msg.body[:200]))
        if body is not None and msg.body != body:
            raise Fail("%s: body %r, not %r" % (self.name, msg.body[:200], body[:200]))


class Events:
    """Named one-shot events between the scripts of a case."""

    def __init__(self):
        self.lock = threading.Lock()
        self.events = {}

    def _get(self, name):
        with self.lock:
            return self.events.setdefault(name, threading.Event())

    def wait(self, name, timeout=None):
        if not self._get(name).wait(DEADLINE if timeout is None else timeout):
            raise Fail("event %r did not come" % name)

    def fire(self, name):
        self._get(name).set()

    def is_fired(self, name):
        return self._get(name).is_set()


def serve(handler):
    """A script that answers request after request; HANDLER(message, peer) gives bytes, or None
    when it has done all itself; it ends with the connection."""
    def script(peer):
        while peer.buf or peer.fill(3600):
            msg = peer.read_request()
            data = handler(msg, peer)
            if data is not None:
                peer.send(data)
    return script


class Server:
    """Listens; the n-th connection runs the n-th script, the last script runs for all later ones."""

    def __init__(self, *scripts, events=None, name="server", path=None, host="127.0.0.1", port=0,
                 backlog=128):
        self.scripts = list(scripts)
        self.events = events if events is not None else Events()
        self.name = name
        self.path = path
        self.peers = []
        self.errors = []
        self.threads = []
        self.is_closing = False
        self.is_over = False        # the case has seen all it wants: Limpet may end anything anywhere
        self.changed = threading.Condition()
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.address = "unix:" + path
            self.port = None
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self.listener = socket.socket(family)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((host, port))
            self.port = self.listener.getsockname()[1]
            self.address = ("[%s]:%d" if ":" in host else "%s:%d") % (host, self.port)
        self.listener.listen(backlog)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            if self.is_closing:
                sock.close()
                return
            with self.changed:
                n = len(self.peers)
                peer = Peer(sock, self.events, "%s conn %d" % (self.name, n + 1))
                script = self.scripts[min(n, len(self.scripts) - 1)] if self.scripts else []
                thread = threading.Thread(target=self._run, args=(peer, script), daemon=True)
                self.peers.append(peer)
                self.threads.append((thread, script))
                self.changed.notify_all()
            thread.start()

    def _run(self, peer, script):
        try:
            peer.run(script)
            if not callable(script) and (not script or script[-1][0] not in ("reset", "close")):
                peer.read_all(3600)         # stays open until the other side ends it
        except Fail as err:
            if not self.is_closing and not (self.is_over and callable(script) and isinstance(err, Ended)):
                self.errors.append("%s: %s" % (self.name, err))
        except Exception as err:            # a bug of the test: tell it as well
            if not self.is_closing:
                self.errors.append("%s: %r" % (self.name, err))
        finally:
            peer.close()
            with self.changed:
                self.changed.notify_all()

    @property
    def accepts(self): return len(self.peers)

    @property
    def received(self): return sum(p.received for p in self.peers)

    @property
    def requests(self):
        """In the order of arrival, whatever the connection: several threads of Limpet have several."""
        return sorted((m for p in list(self.peers) for m in list(p.requests)), key=lambda m: m.number)

    def wait_accepts(self, n, timeout=None):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.peers) >= n,
                                         DEADLINE if timeout is None else timeout):
                raise Fail("%s: %d connections, not %d" % (self.name, len(self.peers), n))
        return self.peers[n - 1]

    def down(self, is_reset=False):
        """Dies: refuses from now on, and every connection ends."""
        self.is_closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)
        for peer in list(self.peers):
            try:
                if is_reset:
                    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0))
                peer.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            peer.sock.close()

    stop = down


def connect(address, source=None, events=None, name="client", rcvbuf=None):
    """ADDRESS: a port of 127.0.0.1, a path, or (host, port)."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address)
        return Peer(sock, events, name)
    if isinstance(address, int):
        address = ("127.0.0.1", address)
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if source:
        sock.bind((source, 0))
    sock.settimeout(DEADLINE)
    is_reset = False
    try:
        sock.connect(address)
    except ConnectionResetError:        # accepted and reset before we came to look
        is_reset = True
    peer = Peer(sock, events, name)
    peer.is_reset = peer.is_ended = is_reset
    return peer
