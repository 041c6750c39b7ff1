#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bulk that goes by splice(2): hundreds of megabytes, byte-exact, and every way that they may end."""
import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading

from lib import *
from lib.engine import WS_FIELDS, SWITCH
from lib.farm import Frame

BLOCK = random.Random(5).randbytes(1000003)         # a prime: no two blocks lie alike in pages
SCALE = 4 if is_sanitized else 1
MANY = 200 // SCALE                                 # blocks
MB = 1000 * 1000


def digest_of(blocks):
    h = hashlib.blake2b()
    for _ in range(blocks):
        h.update(BLOCK)
    return h.hexdigest()


def put_blocks(peer, blocks):
    """Sends so many; False when the other side has gone."""
    peer.sock.settimeout(4 * DEADLINE)
    try:
        for _ in range(blocks):
            peer.sock.sendall(BLOCK)
    except OSError:
        return False
    return True


def take_bytes(peer, size, nap_each=None):
    """Reads SIZE bytes, or fewer when it ends; (how many, digest).  Sleeps after each NAP_EACH of them."""
    h, n, buf, napped = hashlib.blake2b(), 0, bytearray(1 << 18), 0
    first = peer.take(min(len(peer.buf), size))
    h.update(first)
    n = len(first)
    peer.sock.settimeout(4 * DEADLINE)
    while n < size:
        try:
            got = peer.sock.recv_into(buf, min(len(buf), size - n))
        except (ConnectionResetError, BrokenPipeError):
            peer.is_reset = peer.is_ended = True
            break
        if not got:
            peer.is_ended = True
            break
        h.update(memoryview(buf)[:got])
        n += got
        if nap_each and n // nap_each > napped:
            napped = n // nap_each
            held_up(peer.sock)
    return n, h.hexdigest()


def info(limpet):
    rows = (line.split(":", 1) for line in limpet.ask_stats("show info").splitlines() if ":" in line)
    return {k: v.strip() for k, v in rows}


def spliced(limpet):
    return int(info(limpet)["TotalSplicedBytesOut"])


def none_held(limpet):
    until(lambda: info(limpet)["PipesUsed"] == "0", "no pipe is held", 4 * DEADLINE)


CONFIG = WATCHED + '    hosts: {one: "${A}"}\n'
TCP = CONFIG.replace("{bind", "{mode: tcp, bind").replace("  app:\n", "  app:\n    mode: tcp\n")
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


@case("%d MB down with a length, to a reader that lags" % MANY)
def _(t):
    def script(peer):
        peer.read_request()
        peer.send(LENGTH % (MANY * len(BLOCK)))
        put_blocks(peer, MANY)
        peer.read_request()
        peer.send(ok("next"))
    t.server(script)
    limpet = t.limpet(CONFIG)
    c = t.connect(rcvbuf=300000)
    c.send(get())
    same(c.read_head().get("content-length"), str(MANY * len(BLOCK)), "length")
    same(take_bytes(c, MANY * len(BLOCK), 20 * MB), (MANY * len(BLOCK), digest_of(MANY)), "body")
    same(c.ask(get()).body, b"next", "the connection goes on")
    check(spliced(limpet) > MANY * MB * 3 // 4, "most of it was spliced: %d" % spliced(limpet))
    none_held(limpet)


@case("splice: false copies, and a reload turns it on again")
def _(t):
    def script(peer):
        while peer.read_request():
            peer.send(LENGTH % (4 * len(BLOCK)))
            put_blocks(peer, 4)
    t.server(script)
    off = CONFIG.replace("global:\n", "global:\n  splice: false\n")
    limpet = t.limpet(off)
    c = t.connect()
    for config, goes_by_pipe in ((off, False), (CONFIG, True)):
        if goes_by_pipe:
            limpet.write(config)
            limpet.signal(signal.SIGHUP)
            limpet.wait_log("loaded again")
        c.send(get())
        c.read_head()
        same(take_bytes(c, 4 * len(BLOCK)), (4 * len(BLOCK), digest_of(4)), "body")
        same(spliced(limpet) > 0, goes_by_pipe, "bytes were spliced")


@case("%d MB up with a length, to a server that lags" % MANY)
def _(t):
    def script(peer):
        msg = peer.read_request(want_body=False)
        peer.send(ok(take_bytes(peer, int(msg.get("content-length")), 20 * MB)[1]))
    t.server(script)
    limpet = t.limpet(CONFIG)
    c = t.connect()
    c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (MANY * len(BLOCK)))
    check(put_blocks(c, MANY), "all sent")
    c.sock.settimeout(4 * DEADLINE)
    same(c.read_response().body, digest_of(MANY).encode(), "body")
    check(spliced(limpet) > MANY * MB * 3 // 4, "most of it was spliced")
    none_held(limpet)


def read_chunks(peer, most=1 << 40):
    """Decodes chunks while they come: (bytes, digest, whether the last chunk came)."""
    h, n = hashlib.blake2b(), 0
    try:
        while n < most:
            size = int(peer.read_to(b"\r\n"), 16)
            if not size:
                same(peer.read(2), b"\r\n", "the end of the last chunk")
                return n, h.hexdigest(), True
            h.update(peer.read(size))
            n += size
            same(peer.read(2), b"\r\n", "the end of a chunk")
    except Fail:
        check(peer.is_ended, "a chunk is cut off without an end")
    return n, h.hexdigest(), False


for framing in ("close", "chunked"):
    def _down(t, framing=framing):
        blocks = 40 // SCALE

        def script(peer):
            peer.read_request()
            if framing == "close":
                peer.send(CLOSE)
                put_blocks(peer, blocks)
            else:
                peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(blocks):
                    peer.send(chunk(BLOCK))
                peer.send(b"0\r\n\r\n")
            peer.close()
        t.server(script)
        limpet = t.limpet(CONFIG)
        c = t.connect()
        c.send(get())
        same(c.read_head().get("transfer-encoding"), "chunked", "coding")
        same(read_chunks(c), (blocks * len(BLOCK), digest_of(blocks), True), "body")
        check(spliced(limpet) > blocks * MB // 2, "most of it was spliced")
        none_held(limpet)
    case("%d MB down, the server's framing: %s" % (40 // SCALE, framing))(_down)


for framing in ("length", "close"):
    def _cut(t, framing=framing):
        def script(peer):
            peer.read_request()
            peer.send(LENGTH % (100 * len(BLOCK)) if framing == "length" else CLOSE)
            put_blocks(peer, 10)
            t.events.wait("half")
            peer.reset()
        t.server(script)
        limpet = t.limpet(CONFIG)
        c = t.connect(rcvbuf=100000)
        c.send(get())
        c.read_head()
        if framing == "length":
            take_bytes(c, MB)
            t.events.fire("half")
            n, _ = take_bytes(c, 100 * len(BLOCK))
            check(n < 100 * len(BLOCK) and c.is_ended, "it is cut off")
        else:
            read_chunks(c, MB)
            t.events.fire("half")
            n, _, is_whole = read_chunks(c)
            check(not is_whole and c.is_ended, "it does not look complete")
        limpet.wait_log(r" SD")
        none_held(limpet)
    case("a server that resets in the middle: the answer does not look complete (%s)" % framing)(_cut)


@case("a client that goes away in the middle: its server's connection is closed at once, no pipe is left")
def _(t):
    stuck = []

    def script(peer):
        peer.read_request()
        peer.send(LENGTH % (100 * len(BLOCK)))
        stuck.append(put_blocks(peer, 100))
    t.server(script)
    limpet = t.limpet(CONFIG)
    c = t.connect(rcvbuf=100000)
    c.send(get())
    c.read_head()
    take_bytes(c, MB)
    until(lambda: info(limpet)["PipesUsed"] == "1", "a pipe holds what the client does not take")
    c.reset()
    until(lambda: stuck, "the server is told", 4 * DEADLINE)
    same(stuck, [False], "in the middle")
    none_held(limpet)
    limpet.wait_log(r" CD")


@case("a server that answers in the middle of an upload and closes: the answer arrives")
def _(t):
    def script(peer):
        peer.read_request(want_body=False)
        take_bytes(peer, 3 * MB)
        peer.send(answer(413, "enough", [("Connection", "close")]))
        peer.shut()
        take_bytes(peer, 3 * MB)
        peer.close()
    t.server(script)
    limpet = t.limpet(CONFIG)
    c = t.connect()
    c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (100 * len(BLOCK)))
    sender = threading.Thread(target=put_blocks, args=(c, 100))
    sender.start()
    c.sock.settimeout(DEADLINE)
    msg = c.read_response()
    same((msg.status, msg.body), (413, b"enough"), "answer")
    c.shut_both()
    sender.join()
    none_held(limpet)


def parallel(t, limpet, n, blocks):
    """N at once, each BLOCKS up and down."""
    wrong, size = [], blocks * len(BLOCK)

    def one():
        c = connect(t.port)
        c.sock.settimeout(4 * DEADLINE)
        try:
            sender = threading.Thread(target=lambda: (c.sock.sendall(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size), put_blocks(c, blocks)))
            sender.start()
            c.read_head()
            if take_bytes(c, size) != (size, digest_of(blocks)):
                wrong.append("altered")
            sender.join()
        except Fail as err:
            wrong.append(str(err))
        c.close()
    threads = [threading.Thread(target=one) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(wrong, [], "what went wrong")
    none_held(limpet)


def echo(peer):
    msg = peer.read_request(want_body=False)
    left = int(msg.get("content-length"))
    peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % left)
    while left:
        if not peer.buf and not peer.fill(4 * DEADLINE):
            return
        data = peer.take(len(peer.buf))
        left -= len(data)
        peer.sock.settimeout(4 * DEADLINE)
        peer.sock.sendall(data)


@case("twenty clients at once, each with both directions in bulk")
def _(t):
    t.server(echo)
    limpet = t.limpet(CONFIG)
    parallel(t, limpet, 20, 8 // SCALE)
    check(spliced(limpet) > 10 * MB // SCALE, "spliced")


@case("without descriptors for pipes the same is copied")
def _(t):
    t.server(echo)
    limpet = t.limpet(CONFIG, max_fds=130)
    parallel(t, limpet, 12, 4)
    check(int(info(limpet)["Maxpipes"]) <= 2, "pipes")
    check(int(info(limpet)["PipesFree"]) <= 2, "pipes")


@case("small requests and answers, and a body of 16 KB, never see a pipe")
def _(t):
    t.server(serve(lambda msg, peer: ok(msg.body or b"x" * 16000)))
    limpet = t.limpet(CONFIG)
    c = t.connect()
    for _ in range(50):
        same(len(c.ask(get()).body), 16000, "body")
        same(c.ask(post("/", BLOCK[:12000])).body, BLOCK[:12000], "body")
    seen = info(limpet)
    same((seen["TotalSplicedBytesOut"], seen["PipesUsed"], seen["PipesFree"]), ("0", "0", "0"), "pipes")


def moved_per_turn(path):
    """Bytes that splice(2) has moved between two waits of the loop."""
    turns = [0]
    with open(path) as trace:
        for line in trace:
            done = re.search(r"splice.* = (\d+)$", line)
            if "epoll_" in line:
                turns.append(0)
            elif done:
                turns[-1] += int(done.group(1))
    return turns


@case("splice(2) is what is called, and in bulk alone")
def _(t):
    if not shutil.which("strace"):
        raise Skip("no strace")

    def script(peer):
        for _ in range(20):
            peer.read_request()
            peer.send(ok("small"))
        peer.read_request()
        peer.send(LENGTH % (20 * len(BLOCK)))
        put_blocks(peer, 20)
    t.server(script)
    limpet = t.limpet(CONFIG)
    path = os.path.join(t.directory, "trace")
    tracer = subprocess.Popen(["strace", "-f", "-o", path, "-e", "trace=splice,pipe2,recvfrom,epoll_wait,epoll_pwait",
                               "-p", str(limpet.pid)], stderr=subprocess.PIPE)
    if b"attached" not in tracer.stderr.readline():
        tracer.kill()
        tracer.wait()
        raise Skip("strace may not attach")

    def calls(name):
        with open(path) as f:
            return f.read().count(name + "(")
    c = t.connect()
    for _ in range(20):
        same(c.ask(get()).body, b"small", "body")
    small = calls("splice"), calls("pipe2")
    c.send(get())
    c.read_head()
    same(take_bytes(c, 20 * len(BLOCK)), (20 * len(BLOCK), digest_of(20)), "body")
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    same(small, (0, 0), "splice and pipe2 for small answers")
    check(calls("splice") > 20, "splice in bulk: %d" % calls("splice"))
    check(calls("recvfrom") < 100, "recv in bulk: %d" % calls("recvfrom"))
    # A turn has three occasions (what was left, the server's event, the client's), each for 512 KiB into the pipe and
    # out of it, and what the pipe held before goes out, too.
    check(max(moved_per_turn(path)) <= 7 * 512 * 1024, "others have their turn: %r" % moved_per_turn(path))


# WebSockets.

def ws_frame(data, mask=b""):
    """A binary frame; DATA is as on the wire, whatever the mask makes of it."""
    masked, size = 128 if mask else 0, len(data)
    if size < 126:
        head = bytes([0x82, masked | size])
    elif size < 65536:
        head = bytes([0x82, masked | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x82, masked | 127]) + size.to_bytes(8, "big")
    return head + mask + data


def frames(rng, is_masked):
    """Small and large ones, mixed: the bytes on the wire."""
    out = []
    for size in (5, 20 * MB // SCALE, 0, 125, 126, 70000, 3 * MB, 65536, 17, 1 * MB):
        data = (BLOCK * (size // len(BLOCK) + 1))[:size]
        out.append(ws_frame(data, rng.randbytes(4) if is_masked else b""))
        out += [ws_frame(b"small", rng.randbytes(4) if is_masked else b"")] * 3
    return b"".join(out)


@case("WebSocket frames of 20 MB between small ones, both ways at once, byte-exact")
def _(t):
    up, down = frames(random.Random(1), True), frames(random.Random(2), False)
    got = []

    def script(peer):
        peer.read_request()
        peer.send(SWITCH)
        sender = threading.Thread(target=lambda: peer.sock.sendall(down))
        peer.sock.settimeout(4 * DEADLINE)
        sender.start()
        got.append(take_bytes(peer, len(up), 8 * MB)[1])
        sender.join()
        peer.wait_gone(4 * DEADLINE)
    t.server(script)
    limpet = t.limpet(CONFIG)
    c = t.connect()
    c.send(get("/", WS_FIELDS))
    same(c.read_head().status, 101, "status")
    c.sock.settimeout(4 * DEADLINE)
    sender = threading.Thread(target=lambda: c.sock.sendall(up))
    sender.start()
    same(take_bytes(c, len(down), 8 * MB)[1], hashlib.blake2b(down).hexdigest(), "down")
    sender.join()
    until(lambda: got, "the server has all", 4 * DEADLINE)
    same(got[0], hashlib.blake2b(up).hexdigest(), "up")
    check(spliced(limpet) > 20 * MB // SCALE, "large frames were spliced: %d" % spliced(limpet))
    c.close()
    none_held(limpet)


@case("a WebSocket that has to leave in the middle of a large frame: its end, then the Close")
def _(t):
    large = ws_frame(BLOCK * 8)

    def script(peer):
        peer.read_request()
        peer.send(SWITCH)
        peer.sock.settimeout(4 * DEADLINE)
        peer.sock.sendall(large)
        frame = Frame(peer)
        t.events.fire("told" if frame.is_going_away() else "told something else")
        peer.close()
    t.server(script)
    limpet = t.limpet(CONFIG)
    c = t.connect(rcvbuf=100000)
    c.send(get("/", WS_FIELDS))
    same(c.read_head().status, 101, "status")
    until(lambda: info(limpet)["PipesUsed"] == "1", "a pipe holds some of it", 4 * DEADLINE)
    limpet.ask_stats("drain app/one now")
    same(take_bytes(c, len(large)), (len(large), hashlib.blake2b(large).hexdigest()), "the frame")
    check(Frame(c).is_going_away(), "a Close behind it")
    t.events.wait("told", 4 * DEADLINE)
    c.close()
    none_held(limpet)


# Mode tcp.

@case("mode tcp: %d MB each way at once, each side ends its own" % MANY)
def _(t):
    got = []

    def script(peer):
        sender = threading.Thread(target=lambda: (put_blocks(peer, MANY), peer.shut()))
        sender.start()
        got.append(take_bytes(peer, 1 << 40, 40 * MB))
        sender.join()
    t.server(script)
    limpet = t.limpet(TCP)
    c = t.connect()
    sender = threading.Thread(target=lambda: (put_blocks(c, MANY), c.shut()))
    sender.start()
    want = MANY * len(BLOCK), digest_of(MANY)
    same(take_bytes(c, 1 << 40, 50 * MB), want, "down")
    sender.join()
    until(lambda: got, "the server has all", 4 * DEADLINE)
    same(got[0], want, "up")
    check(not c.is_reset, "an end in order")
    check(spliced(limpet) > MANY * MB, "most of it was spliced")
    none_held(limpet)


@case("mode tcp: a half-close in bulk; the other direction goes on to its end")
def _(t):
    def script(peer):
        n, digest = take_bytes(peer, 1 << 40)
        check(peer.is_ended and not peer.is_reset, "an end in order")
        put_blocks(peer, 20)
        peer.send(b"%d %s" % (n, digest.encode()))
        peer.shut()
    t.server(script)
    t.limpet(TCP)
    c = t.connect()
    put_blocks(c, 20)
    c.shut()
    same(take_bytes(c, 20 * len(BLOCK)), (20 * len(BLOCK), digest_of(20)), "down")
    same(c.read_all(4 * DEADLINE), b"%d %s" % (20 * len(BLOCK), digest_of(20).encode()), "up")
    check(not c.is_reset, "an end in order")


@case("mode tcp: a reset in the middle of bulk is a reset for the other side")
def _(t):
    def script(peer):
        put_blocks(peer, 10)
        peer.reset()
    t.server(script)
    limpet = t.limpet(TCP)
    c = t.connect(rcvbuf=100000)
    n, _ = take_bytes(c, 1 << 40)
    check(n < 10 * len(BLOCK) or c.is_reset, "it does not look complete")
    check(c.is_reset, "a reset")
    none_held(limpet)


main()
