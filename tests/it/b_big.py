#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten megabytes each way with a reader that lags: every byte arrives, memory stays bounded."""
import hashlib
import threading
import time

from lib import *

SIZE = 10 * 1000 * 1000
MARGIN = 20 * 1000 * 1000
DATA = body_bytes(SIZE)


def watch(limpet, peak, stop):
    while not stop.is_set():
        peak[0] = max(peak[0], limpet.rss())
        stop.wait(0.01)


def bounded(limpet, function):
    """Runs FUNCTION and checks how far the process grew meanwhile."""
    before, peak, stop = limpet.rss(), [0], threading.Event()
    watcher = threading.Thread(target=watch, args=(limpet, peak, stop))
    watcher.start()
    try:
        function()
    finally:
        stop.set()
        watcher.join()
    if not is_sanitized:
        check(peak[0] - before < MARGIN, "grew by %d bytes" % (peak[0] - before))


def lagging(peer, size):
    """Reads SIZE bytes after a pause in which every buffer on the way fills up."""
    time.sleep(0.3)
    return peer.read(size)


def framed(kind):
    if kind == "length":
        return b"Content-Length: %d\r\n\r\n" % SIZE, DATA
    if kind == "chunked":
        return b"Transfer-Encoding: chunked\r\n\r\n", b"".join(
            chunk(DATA[i:i + 100000]) for i in range(0, SIZE, 100000)) + b"0\r\n\r\n"
    return b"Connection: close\r\n\r\n", DATA


for kind in ("length", "chunked", "close"):
    def down(t, kind=kind):
        fields, body = framed(kind)

        def script(peer):
            peer.read_request()
            peer.send(b"HTTP/1.1 200 OK\r\n" + fields + body)
            peer.close()
        t.server(script)
        limpet = t.limpet()
        c = t.connect(rcvbuf=65536)
        c.send(get())

        def read():
            time.sleep(0.3)
            check(c.read_response().body == DATA, "the body is altered")
        bounded(limpet, read)
    case("10 MB down to a lagging client, server's framing: %s" % kind)(down)

for kind in ("length", "chunked"):
    def up(t, kind=kind):
        fields, body = framed(kind)

        def script(peer):
            time.sleep(0.3)
            msg = peer.read_request()
            peer.send(ok(hashlib.sha256(msg.body).hexdigest()))
        t.server(script)
        limpet = t.limpet()
        c = t.connect()

        def write():
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + body)
            same(c.read_response().body, hashlib.sha256(DATA).hexdigest().encode(), "digest")
        bounded(limpet, write)
    case("10 MB up to a lagging server, framing: %s" % kind)(up)


@case("10 MB echoed while both directions run at once")
def _(t):
    def script(peer):
        peer.read_request(want_body=False)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        left = SIZE
        while left:
            if not peer.buf:
                peer.fill()
            data = peer.take(len(peer.buf))
            left -= len(data)
            peer.send(data)
    t.server(script)
    limpet = t.limpet()
    c = t.connect()

    def both():
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE
        sender = threading.Thread(target=lambda: c.sock.sendall(head + DATA))
        c.sock.settimeout(DEADLINE)
        sender.start()
        check(c.read_response().body == DATA, "the body is altered")
        sender.join()
    bounded(limpet, both)


@case("a client that does not read at all is held by back-pressure, not by memory")
def _(t):
    sent = [0]

    def script(peer):
        peer.read_request()
        peer.sock.settimeout(0.3)
        peer.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * SIZE))
        try:
            while True:
                sent[0] += peer.sock.send(DATA[:1000000])
        except OSError:
            t.events.fire("stuck")
    t.server(script)
    limpet = t.limpet()
    c = t.connect(rcvbuf=65536)
    c.send(get())
    bounded(limpet, lambda: t.events.wait("stuck"))
    check(sent[0] < 2 * MARGIN, "%d bytes were taken from the server" % sent[0])
    c.close()


main()
