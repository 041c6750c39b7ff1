# SPDX-License-Identifier: MIT
"""What goes wrong between Limpet and Redis, and clients that must not notice.

Tcp        a redis-server that listens on a port as well
Sentinel   watches one, and makes a replica the master when it is gone
Between    a proxy in front of Redis that is slow, talks nonsense, or closes
Traffic    clients of both nodes, all the time; what failed, and how long the slowest waited
"""
import json
import os
import queue
import random
import re
import shutil
import socket
import subprocess
import threading
import time

from .case import Skip
from .engine import HANDSHAKE, POLL
from .limpet import SLOW, free_port, until
from .msg import Fail, get
from .peer import connect
from .redis import Redis

__all__ = ["Tcp", "Sentinel", "Between", "Traffic"]


class Tcp(Redis):
    def __init__(self, directory, name="redis", args=()):
        self.port = free_port()
        super().__init__(directory, name, ["--port", str(self.port), "--bind", "127.0.0.1"] + list(args))


class Sentinel:
    """Of the master NAME at PORT; calls it gone after half a second."""

    def __init__(self, directory, port, name="mymaster"):
        self.port = free_port()
        path = os.path.join(directory, "sentinel.conf")
        with open(path, "w") as f:
            f.write("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %d 1\n"
                    "sentinel down-after-milliseconds %s 500\nsentinel failover-timeout %s 3000\n"
                    % (self.port, directory, name, port, name, name))
        program = shutil.which("redis-server")
        if not program:
            raise Skip("no redis-server")
        with open(os.path.join(directory, "sentinel.out"), "ab") as out:
            self.process = subprocess.Popen([program, path, "--sentinel"], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Between:
    """Listens on a port and passes bytes to the Unix socket PATH.

    delay       seconds that each piece takes, each way
    on_answer   ON_ANSWER(connection's number, answer's number, bytes): the bytes to pass instead, or None to close
    """

    def __init__(self, path):
        self.path, self.delay, self.on_answer = path, 0, None
        self.errors, self.threads, self.is_over = (), (), False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.accepts, self.pairs = 0, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self.path)
            except OSError:
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs.append((client, server))
            n, self.accepts = self.accepts, self.accepts + 1
            for source, to, is_answer in ((client, server, False), (server, client, True)):
                pieces = queue.Queue()
                threading.Thread(target=self._read, args=(source, pieces, n if is_answer else None), daemon=True).start()
                threading.Thread(target=self._write, args=(to, source, pieces), daemon=True).start()

    def _read(self, source, pieces, number):
        answers = 0
        while True:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            if data and number is not None and self.on_answer:
                data = self.on_answer(number, answers, data)
                answers += 1
            pieces.put((time.monotonic() + self.delay, data))
            if not data:
                return

    @staticmethod
    def _write(to, source, pieces):
        while True:
            at, data = pieces.get()
            time.sleep(max(0, at - time.monotonic()))
            try:
                if not data:
                    raise OSError
                to.sendall(data)
            except OSError:
                for sock in (to, source):
                    try:
                        sock.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
                return

    def cut(self):
        """Ends all connections."""
        pairs, self.pairs = self.pairs, []
        for sock in (s for pair in pairs for s in pair):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.close()
        self.cut()


class Traffic:
    """Three clients of the nodes at PORTS.  Each goes on making a session at a random node, polls it there (its worker
    must answer) and at the other node (its worker, or, unless is_shared, 400), and polls an OLD session, which
    both nodes know, at both.  OWNER(sid) names the worker.  Beside them somebody asks a worker directly, at the port
    DIRECT: what he waits is the machine's fault, not Limpet's."""

    def __init__(self, ports, owner, old=(), direct=None):
        self.ports, self.owner, self.old = ports, owner, list(old)
        self.is_shared = False
        self.born, self.wrong = [], []
        self.asked = self.missed = 0
        self.worst = {}
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        self.stall = 0.0
        self.threads = [threading.Thread(target=self._run, args=(random.Random(i),), daemon=True) for i in range(3)]
        if direct:
            self.threads.append(threading.Thread(target=self._watch, args=(direct,), daemon=True))
        for thread in self.threads:
            thread.start()

    def _run(self, rng):
        clients = [connect(port, name="traffic") for port in self.ports]
        try:
            while not self.is_over.is_set() and not self.wrong:
                self._step(rng, clients)
                time.sleep(0.004)
        except Exception as err:
            with self.lock:
                self.wrong.append("a client: %r" % err)
        finally:
            for client in clients:
                client.close()

    def _watch(self, address):
        client = connect(address, name="direct")
        while not self.is_over.is_set():
            began = time.monotonic()
            client.ask(get(POLL + "nobody"))
            time.sleep(0.004)
            with self.lock:
                self.stall = max(self.stall, time.monotonic() - began)
        client.close()

    def _ask(self, client, target, kind):
        began = time.monotonic()
        msg = client.ask(get(target))
        took = time.monotonic() - began
        with self.lock:
            self.asked += 1
            if took > self.worst.get(kind, (0, 0))[0]:
                self.worst[kind] = (took, began)
        return msg

    def _expect(self, client, sid, kind, may_be_unknown=False):
        is_shared = self.is_shared          # of before the question
        msg = self._ask(client, POLL + sid, kind)
        if msg.status == 200 and msg.body.decode() == self.owner(sid):
            return
        if msg.status == 400 and may_be_unknown and not is_shared:
            with self.lock:
                self.missed += 1
            return
        with self.lock:
            self.wrong.append("%s of %s: %d %r, its worker is %s" % (kind, sid, msg.status, msg.body[:80], self.owner(sid)))

    def _step(self, rng, clients):
        here = rng.randrange(2)
        msg = self._ask(clients[here], HANDSHAKE, "handshake")
        if msg.status != 200:
            self.wrong.append("handshake: %d %r" % (msg.status, msg.body[:80]))
            return
        sid = json.loads(msg.body[1:])["sid"]
        with self.lock:
            self.born.append(sid)
        self._expect(clients[here], sid, "poll where it was born")
        self._expect(clients[1 - here], sid, "poll at the other node", True)
        if self.old:
            for client in clients:
                self._expect(client, rng.choice(self.old), "poll of an old session")

    def wait_for(self, n=30):
        """N more requests were answered."""
        want = self.asked + n
        until(lambda: self.wrong or self.asked >= want, "traffic goes on", 20 * SLOW)

    def new_phase(self):
        """Of the phase before: the worst times, and the machine's."""
        with self.lock:
            worst, self.worst = self.worst, {}
            stall, self.stall = self.stall, 0.0
        return worst, stall

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(10 * SLOW)
        return self.wrong
