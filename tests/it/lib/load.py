# SPDX-License-Identifier: MIT
"""Load and the servers for it, each a process of its own on epoll: what must not be lost while Limpet is
changed under it.

A server answers every GET with its name, holds nothing, and echoes whatever comes after an upgrade. A load
keeps CONNECTIONS keep-alive connections asking, one request after the other, and SOCKETS WebSockets open that
say something now and then and must hear it back. Every answer is checked; what is wrong is told at the end.
"""
import errno
import json
import os
import select
import signal
import socket
import struct
import time

from .msg import Fail

__all__ = ["LoadServer", "Load"]

UPGRADED = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
ASK_UPGRADE = (b"GET %s HTTP/1.1\r\nHost: load\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
FRAME = b"\x81\x84\x00\x00\x00\x00ping"         # a masked text frame; the mask is zero, so its echo is itself


class Child:
    """A forked process that is told to end by a byte on a pipe, and answers with JSON on another."""

    def __init__(self, run):
        stop_r, self.stop_w = os.pipe()
        self.out_r, out_w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(self.stop_w)
            os.close(self.out_r)
            try:
                said = run(stop_r)
            except Exception as err:                            # told to the parent, who fails the case
                said = {"errors": ["%s: %s" % (type(err).__name__, err)]}
            os.write(out_w, json.dumps(said).encode() + b"\n")
            os._exit(0)
        os.close(stop_r)
        os.close(out_w)

    def finish(self, limit=30):
        if not self.pid:
            return {}
        os.write(self.stop_w, b".")
        os.close(self.stop_w)
        said = b""
        while select.select([self.out_r], [], [], limit)[0]:
            piece = os.read(self.out_r, 65536)
            if not piece:
                break
            said += piece
        os.close(self.out_r)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = 0
        if not said:
            raise Fail("a load process has said nothing")
        return json.loads(said)


class LoadServer(Child):
    """Looks like a server of Case: has an address, errors, threads and stop()."""

    def __init__(self, name):
        self.name, self.errors, self.threads = name, [], []
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.address = "127.0.0.1:%d" % listener.getsockname()[1]
        listener.setblocking(False)
        super().__init__(lambda stop: self.run(listener, stop))
        listener.close()

    def run(self, listener, stop):
        poll = select.epoll()
        poll.register(listener, select.EPOLLIN)
        poll.register(stop, select.EPOLLIN)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self.name), self.name.encode())
        conns, asked, upgraded = {}, {}, set()
        while True:
            for fd, _ in poll.poll():
                if fd == stop:
                    return {"errors": []}
                if fd == listener.fileno():
                    self.accept(listener, poll, conns, asked)
                    continue
                conn = conns[fd]
                try:
                    data = conn.recv(65536)
                except OSError:
                    data = b""
                if not data:
                    poll.unregister(fd)
                    conn.close()
                    del conns[fd], asked[fd]
                    upgraded.discard(fd)
                elif fd in upgraded:
                    conn.send(data)
                else:
                    asked[fd] += data
                    if asked[fd].endswith(b"\r\n\r\n"):
                        is_upgrade = b"websocket" in asked[fd].lower()
                        asked[fd] = b""
                        conn.send(UPGRADED if is_upgrade else answer)
                        if is_upgrade:
                            upgraded.add(fd)

    @staticmethod
    def accept(listener, poll, conns, asked):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            conn.setblocking(False)
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conns[conn.fileno()], asked[conn.fileno()] = conn, b""
            poll.register(conn, select.EPOLLIN)

    def stop(self):
        self.finish()


class Load(Child):
    def __init__(self, port, connections=0, sockets=0, path=b"/", pause=0.05):
        self.port, self.pause, self.path = port, pause, path
        self.connections, self.sockets = connections, sockets
        ready_r, self.ready_w = os.pipe()
        super().__init__(self.run)
        os.close(self.ready_w)
        if not select.select([ready_r], [], [], 60)[0] or os.read(ready_r, 1) != b"r":
            raise Fail("the load did not come up: %s" % self.finish())
        os.close(ready_r)

    def connect(self):
        conn = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return conn

    def open_sockets(self, errors):
        opened = []
        for i in range(self.sockets):
            conn = self.connect()
            conn.sendall(ASK_UPGRADE % (b"/ws" if i % 2 else b"/socket.io/?EIO=4&transport=websocket"))
            said = b""
            while not said.endswith(b"\r\n\r\n"):
                piece = conn.recv(4096)
                if not piece:
                    break
                said += piece
            if not said.startswith(b"HTTP/1.1 101"):
                errors.append("upgrade %d: %r" % (i, said[:60]))
            opened.append(conn)
        return opened

    def run(self, stop):
        errors = []
        self.poll = poll = select.epoll()
        poll.register(stop, select.EPOLLIN)
        sockets = {s.fileno(): s for s in self.open_sockets(errors)}
        conns = {c.fileno(): c for c in (self.connect() for _ in range(self.connections))}
        for fd, conn in list(sockets.items()) + list(conns.items()):
            conn.setblocking(False)
            poll.register(fd, select.EPOLLIN)
        os.write(self.ready_w, b"r")
        os.close(self.ready_w)
        return self.go(stop, conns, sockets, errors)

    def go(self, stop, conns, sockets, errors):
        """Asks on each connection every PAUSE seconds, and says something on a WebSocket every PAUSE as well."""
        request = b"GET %s HTTP/1.1\r\nHost: load\r\n\r\n" % self.path
        done = {"requests": 0, "echoes": 0, "errors": errors, "slowest_ms": 0, "names": {}}
        asked = {}                      # fd -> since when, for what is under way
        got = {}
        turn = list(sockets)
        next_at = time.monotonic()
        is_over = False
        while not is_over or asked:
            now = time.monotonic()
            if is_over and min(asked.values()) < now - 20:
                errors.append("%d answers never came" % len(asked))
                break
            if not is_over and now >= next_at:
                next_at = now + self.pause
                for fd in conns:
                    if fd not in asked:
                        conns[fd].send(request)
                        asked[fd], got[fd] = now, b""
                for fd in turn[:20]:
                    if fd not in asked:
                        sockets[fd].send(FRAME)
                        asked[fd], got[fd] = now, b""
                turn = turn[20:] + turn[:20]
            for fd, _ in self.poll.poll(max(0.001, min(0.2, next_at - now))):
                if fd == stop:
                    is_over = True
                    self.poll.unregister(stop)
                    continue
                self.hear(fd, conns, sockets, asked, got, done)
        done["left"] = len(conns) + len(sockets)
        return done

    def hear(self, fd, conns, sockets, asked, got, done):
        where = conns if fd in conns else sockets
        try:
            data = where[fd].recv(65536)
        except OSError as err:
            data = b""
            done["errors"].append("%s: %s" % ("request" if where is conns else "socket", errno.errorcode[err.errno]))
        if not data:
            done["errors"].append("%s closed%s" % ("connection" if where is conns else "socket",
                                                   " while asking" if fd in asked else ""))
            self.poll.unregister(fd)
            where.pop(fd).close()
            asked.pop(fd, None)
            return
        if fd not in asked:
            done["errors"].append("unasked: %r" % data[:60])
            return
        got[fd] += data
        if where is sockets:
            if len(got[fd]) < len(FRAME):
                return
            if got[fd] != FRAME:
                done["errors"].append("echo: %r" % got[fd][:60])
            done["echoes"] += 1
        else:
            head, _, body = got[fd].partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            if not length or len(body) < int(length):
                return
            if not head.startswith(b"HTTP/1.1 200") or b"connection: close" in head.lower():
                done["errors"].append("answer: %r" % head[:200])
            done["requests"] += 1
            name = body.decode()
            done["names"][name] = done["names"].get(name, 0) + 1
        done["slowest_ms"] = max(done["slowest_ms"], int((time.monotonic() - asked.pop(fd)) * 1000))
