#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""global.state_file: session tables that outlive a restart.

    LIMPET=./limpet python3 tests/it/h_state.py
    H_STATE_ENTRIES=1000000 ...                 # the size of the case that measures
"""
import hashlib
import os
import pwd
import re
import signal
import struct
import subprocess
import threading
import time

from lib import *
from lib.engine import *
from lib.redis import Redis

ENTRIES = int(os.environ.get("H_STATE_ENTRIES", 20000 if is_sanitized else 200000))
STICK = "{engineio: {unknown: reject}}"
FILE = "state_file: ${RUN}/state"


def two(t, stick=STICK, global_=FILE, **kw):
    return Two(t, stick=stick, global_=global_, **kw)


def stop(limpet, how=signal.SIGTERM):
    limpet.signal(how)
    same(limpet.wait_exit(20), 0 if how != signal.SIGKILL else -how, "status")


def restart(limpet, how=signal.SIGTERM):
    stop(limpet, how)
    limpet.start()


def start(limpet, pattern):
    """Starts it again; the log has PATTERN then."""
    at = len(limpet.log())
    limpet.start()
    return until(lambda: re.search(pattern, limpet.log()[at:]),
                 lambda: "/%s/ on the log: %s" % (pattern, limpet.log()[at:]), 60)


def worker_now(t, target, fields=()):
    return t.ask(get(target, fields)).body.decode()


def state(t):
    with open(t.directory + "/state", "rb") as f:
        return f.read()


@case("sids go on over a restart, each at its worker; what is not known does not; no sid is in the file")
def _(t):
    it = two(t)
    sids = [it.handshake() for _ in range(20)]
    restart(it.limpet)
    it.limpet.wait_log("20 entries of session tables loaded")
    for sid in sids * 2:
        same(worker_now(t, POLL + sid), it.owner(sid), "worker of " + sid)
    unknown_session(t.ask(get(POLL + "s-00000000-ZZZZ")))
    data = state(t)
    same([sid for sid in sids if sid.encode() in data], [], "sids in the file")
    same(os.stat(t.directory + "/state").st_mode & 0o777, 0o600, "mode")
    same(os.path.exists(t.directory + "/state.new"), False, "what is left of the save")


@case("five restarts one after another lose nothing")
def _(t):
    it = two(t)
    sids = []
    for n in range(5):
        sids.append(it.handshake())
        restart(it.limpet)
        for sid in sids:
            same(worker_now(t, POLL + sid), it.owner(sid), "worker of %s after %d" % (sid, n + 1))


for _name, _stick in (("that the app sets", "{cookie: {name: app, mode: learn}}"),
                      ("of our own, whose secret was made up", "{cookie: {name: LIMPET, mode: insert}}")):
    @case("a cookie %s leads to its server after a restart" % _name)
    def _(t, stick=_stick):
        it = two(t, stick, answer=lambda worker, msg: ok(worker, [] if msg.has("cookie") else [
            ("Set-Cookie", "app=%d%s; Path=/" % (time.monotonic_ns(), "x" * 100))]))
        met = {}
        for _ in range(12):
            msg = t.ask(get())
            met[(msg.all("set-cookie")[-1]).split(";")[0]] = msg.body.decode()
        same(set(met.values()), {"A", "B"}, "workers")
        for _ in range(2):
            restart(it.limpet)
            for cookie, worker in met.items():
                same(worker_now(t, "/", [("Cookie", cookie)]), worker, "worker of " + cookie)


@case("an address stays at its server")
def _(t):
    it = two(t, "{ip: {remember: 1h}}", answer=lambda worker, msg: ok(worker))
    met = {}
    for n in range(1, 9):
        client = t.connect(source="127.0.3.%d" % n)
        met[n] = client.ask(get()).body
    same(set(met.values()), {b"A", b"B"}, "workers")
    for client in t.clients:
        client.close()
    restart(it.limpet)
    for n in met:
        same(t.connect(source="127.0.3.%d" % n).ask(get()).body, met[n], "worker of 127.0.3.%d" % n)


@case("time goes on while nobody runs: an entry that expired meanwhile is not loaded, the others have what was left")
def _(t):
    it = two(t, interval=100, timeout=400)
    short = it.handshake()
    it.interval, it.timeout = 30000, 30000
    long = it.handshake()
    stop(it.limpet)
    time.sleep(1.2)                     # the lifetime itself
    it.limpet.start()
    it.limpet.wait_log("1 entries of session tables loaded .* since when 1 expired; 0 ")
    unknown_session(t.ask(get(POLL + short)))
    left = [int(n) for n in re.findall(r"exp=(\d+)", it.limpet.ask_stats("show table chat/engineio"))]
    same(len(left), 1, "entries")
    check(50000 < left[0] <= 58800, "what is left: %d ms" % left[0])
    same(worker_now(t, POLL + long), it.owner(long), "worker")


@case("a server that is not configured any more is skipped, and told; the rest is loaded")
def _(t):
    it = two(t)
    sids = [it.handshake() for _ in range(10)]
    stop(it.limpet)
    with open(it.limpet.path) as f:
        text = f.read()
    it.limpet.write(text.replace("      B:", "      C:"))
    it.limpet.start()
    it.limpet.wait_log("5 entries of session tables loaded .* 5 of unknown servers or tables were skipped")
    for sid in sids:
        if it.owner(sid) == "A":
            same(worker_now(t, POLL + sid), "A", "worker")
        else:
            unknown_session(t.ask(get(POLL + sid)))


BROKEN = [("cut in the middle", lambda b: b[:len(b) // 2], "cut off"),
          ("cut by a byte", lambda b: b[:-1], "cut off"),
          ("empty", lambda b: b"", "too short"),
          ("one bit turned", lambda b: b[:40] + bytes([b[40] ^ 4]) + b[41:], "cut off or changed"),
          ("something else", lambda b: b"x" * 5000, "not a state file"),
          ("of a later version", lambda b: sealed(b[:8] + b"\x02\x00" + b[10:-32]), "has version 2"),
          ("malformed under a good hash", lambda b: sealed(b[:-60]), "malformed"),
          ("longer than its content", lambda b: sealed(b[:-32] + b"more"), "malformed")]


def sealed(data):
    return data + hashlib.sha256(data).digest()


@case("a file that is torn, changed or of something else is refused with a reason, and the start goes on empty")
def _(t):
    it = two(t)
    sid = it.handshake()
    for name, change, why in BROKEN:
        sid = it.handshake()
        stop(it.limpet)
        good = state(t)
        with open(t.directory + "/state", "wb") as f:
            f.write(change(good))
        start(it.limpet, "state file .* is refused, session tables are empty: .*" + why)
        unknown_session(t.ask(get(POLL + sid)))
        it.handshake()


@case("a file that others may write, a link, a FIFO and a directory are refused at once")
def _(t):
    it = two(t)
    path = t.directory + "/state"

    def refuse(make, why):
        sid = it.handshake()
        stop(it.limpet)
        make()
        start(it.limpet, "is refused.*" + why)
        unknown_session(t.ask(get(POLL + sid)))
        if os.path.isdir(path):
            os.rmdir(path)
    refuse(lambda: os.chmod(path, 0o620), "others may write it .mode 620")
    refuse(lambda: (os.rename(path, path + "2"), os.symlink(path + "2", path)), "symbolic link")
    refuse(lambda: (os.unlink(path), os.mkfifo(path)), "not a regular file")
    refuse(lambda: (os.unlink(path), os.mkdir(path)), "not a regular file")
    if os.getuid() == 0:
        refuse(lambda: os.chown(path, 12345, 0), "belongs to user 12345")


@case("a link where the save writes is not followed")
def _(t):
    it = two(t)
    it.handshake()
    with open(t.directory + "/victim", "w") as f:
        f.write("precious")
    os.symlink(t.directory + "/victim", t.directory + "/state.new")
    stop(it.limpet)
    same(open(t.directory + "/victim").read(), "precious", "what the link named")
    check(state(t).startswith(b"LIMPETST"), "saved all the same")
    it.limpet.start()


@case("kill -9 loses what came after the last save alone")
def _(t):
    it = two(t)
    kept = [it.handshake() for _ in range(6)]
    check("6 entries of session tables saved" in it.limpet.ask_stats("save state"), "save state")
    lost = [it.handshake() for _ in range(3)]
    restart(it.limpet, signal.SIGKILL)
    for sid in kept:
        same(worker_now(t, POLL + sid), it.owner(sid), "worker")
    for sid in lost:
        unknown_session(t.ask(get(POLL + sid)))


@case("killed in the middle of saves, the file is whole every time")
def _(t):
    it = two(t)
    many(t, it, 5000)
    for n in range(6):
        asks = threading.Thread(target=lambda: save_quietly(it.limpet))
        asks.start()
        time.sleep(0.002 * n)
        it.limpet.signal(signal.SIGKILL)
        asks.join()
        it.limpet.wait_exit()
        start(it.limpet, "5000 entries of session tables loaded")


@case("save state says what is wrong: no file configured, a directory that is not there or not ours")
def _(t):
    it = two(t, global_="pid_file: ${RUN}/pid")
    same(it.limpet.ask_stats("save state").strip(), "Not saved: the configuration has no global.state_file.", "answer")
    with open(it.limpet.path) as f:
        text = f.read()
    it.limpet.write(text.replace("pid_file: ${RUN}/pid", "state_file: ${RUN}/none/state"))
    check("Success=1" in it.limpet.ask_stats("reload"), "reload")
    said = it.limpet.ask_stats("save state")
    check(re.search("not saved: .*none/state.new cannot be made: No such file", said), said)
    it.limpet.wait_log("session tables not saved: ")
    restart(it.limpet)
    it.limpet.wait_log("state file .*/none/state cannot be written at the stop: ")
    status, text = run_limpet(["-f", it.limpet.path, "-c"], env=it.limpet.env)
    same((status, "state" in text), (0, False), "limpet -c: " + text)


@case("SIGUSR2 hands the tables over: the new process reads no file, the old one writes none")
def _(t):
    it = two(t)
    sid = it.handshake()
    stop(it.limpet)
    start(it.limpet, "1 entries of session tables loaded")
    os.unlink(t.directory + "/state")
    kept = t.connect()                  # keeps the old one alive
    same(kept.ask(get(POLL + sid)).status, 200, "status")
    at = len(it.limpet.log())
    pid = it.limpet.upgrade()
    kept.close()
    same(it.limpet.wait_exit(20), 0, "status of the old one")
    same(os.path.exists(t.directory + "/state"), False, "a file that the old one wrote")
    check("loaded" not in it.limpet.log()[at:], it.limpet.log()[at:])
    same(worker_now(t, POLL + sid), it.owner(sid), "worker")
    os.kill(pid, signal.SIGTERM)
    same(it.limpet.end_pid(pid, 20), 0, "status of the new one")
    it.limpet.heirs = []
    start(it.limpet, "1 entries of session tables loaded")


MIRRORED = FILE + """
mirror: {redis: "unix:${RUN}/redis.sock", load_timeout: 1s}"""


@case("with a mirror as well: the file is read first, and Redis hears of what it has lost")
def _(t):
    redis = Redis(t.directory)
    t.others.append(redis.stop)
    it = two(t, global_=MIRRORED)
    sids = [it.handshake() for _ in range(8)]
    until(lambda: len(redis.keys("*:e:*")) == 8, "Redis has all", 10 * SLOW)
    stop(it.limpet)
    keys = redis.keys("*:e:*")
    redis.ask("FLUSHALL")
    start(it.limpet, "8 entries of session tables loaded")
    for sid in sids:
        same(worker_now(t, POLL + sid), it.owner(sid), "worker, from the file")
    until(lambda: redis.keys("*:e:*") == keys, lambda: "Redis has all again: %s" % redis.keys(), 10 * SLOW)


@case("with a mirror as well: where Redis knows better, it decides")
def _(t):
    redis = Redis(t.directory)
    t.others.append(redis.stop)
    it = two(t, global_=MIRRORED)
    sids = [it.handshake() for _ in range(8)]
    until(lambda: len(redis.keys("*:e:*")) == 8, "Redis has all", 10 * SLOW)
    stop(it.limpet)
    said = {key: redis.ask("GET", key) for key in redis.keys("*:e:*")}
    servers = {key: re.search(r"\b[AB]\b", value).group(0) for key, value in said.items()}
    of_a, of_b = [next(k for k in said if servers[k] == s) for s in "AB"]
    redis.ask("SET", of_a, said[of_b], "PX", 60000)
    redis.ask("SET", of_b, said[of_a], "PX", 60000)
    start(it.limpet, "8 entries of session tables loaded")

    def moved():
        return sorted(worker_now(t, POLL + sid) + it.owner(sid) for sid in sids if worker_now(t, POLL + sid) != it.owner(sid))
    until(lambda: len(moved()) == 2, lambda: "two have moved: %s of %s" % (moved(), said), 5 * SLOW)
    same(moved(), ["AB", "BA"], "where they are, and were")


@case("with a mirror whose Redis is away the start goes on with the file")
def _(t):
    redis = Redis(t.directory)
    t.others.append(redis.stop)
    it = two(t, global_=MIRRORED)
    sids = [it.handshake() for _ in range(4)]
    stop(it.limpet)
    redis.kill()
    it.limpet.start()
    for sid in sids:
        same(worker_now(t, POLL + sid), it.owner(sid), "worker")


@case("as root, with a user to become: the file is the user's")
def _(t):
    if os.getuid() != 0:
        raise Skip("needs root")
    os.chmod(t.directory, 0o755)
    os.mkdir(t.directory + "/var")
    nobody = pwd.getpwnam("nobody")
    os.chown(t.directory + "/var", nobody.pw_uid, nobody.pw_gid)
    t.env["ASAN_OPTIONS"] = "detect_leaks=0"
    it = two(t, global_="state_file: ${RUN}/var/state\nuser: nobody")
    sid = it.handshake()
    restart(it.limpet)
    same(os.stat(t.directory + "/var/state").st_uid, nobody.pw_uid, "owner")
    same(worker_now(t, POLL + sid), it.owner(sid), "worker")
    os.chown(t.directory + "/var", 0, 0)
    restart(it.limpet)
    it.limpet.wait_log("session tables not saved: .*Permission denied")
    it.limpet.wait_log("cannot be written at the stop: ")


def table_file(path, table, servers, n):
    """A file as limpet writes it, with N entries."""
    out = [b"LIMPETST", struct.pack("=Hq", 1, int(time.time() * 1000)), b"K", struct.pack("=QQ", 1, 2),
           b"T", struct.pack("=H", len(table)), table]
    for server in servers:
        out += [b"S", struct.pack("=H", len(server)), server]
    for i in range(n):
        out.append(b"E" + struct.pack("=HBB", i % len(servers), 1, 16) + hashlib.md5(b"%d" % i).digest() +
                   struct.pack("=II", 3600000, 3600000))
    out += [b"Z", struct.pack("=Q", n)]
    with open(path, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
        f.write(sealed(b"".join(out)))


def many(t, it, n):
    """Restarts with N entries."""
    stop(it.limpet)
    table_file(t.directory + "/state", b"chat/engineio", [b"A", b"B"], n)
    return start(it.limpet, r"%d entries of session tables loaded from \S+ in (\d+) ms" % n)


def save_quietly(limpet):
    try:
        limpet.ask_stats("save state")
    except Exception:
        pass


@case("%d entries: load and save take a bounded time, and nobody waits for a save" % ENTRIES)
def _(t):
    it = two(t, "{engineio: {unknown: reject, max_entries: %d}}" % max(ENTRIES * 2, 1000))
    load_ms = int(many(t, it, ENTRIES).group(1))
    sid = it.handshake()
    result = {}
    saver = threading.Thread(target=lambda: result.update(text=it.limpet.ask_stats("save state")))
    worst = {"request": 0.0, "stats": 0.0}
    client = t.connect()
    saver.start()
    while saver.is_alive():
        began = time.monotonic()
        same(client.ask(get(POLL + sid)).body.decode(), it.owner(sid), "worker")
        middle = time.monotonic()
        it.limpet.ask_stats("show version")
        worst["request"] = max(worst["request"], middle - began)
        worst["stats"] = max(worst["stats"], time.monotonic() - middle)
    saver.join()
    said = re.search(r"(\d+) entries of session tables saved to \S+: (\d+) bytes in (\d+) ms", result["text"])
    check(said, result["text"])
    check(int(said.group(1)) >= ENTRIES, said.group(0))
    check(max(worst.values()) < 0.5 * SLOW, "somebody waited for the save: %s" % worst)
    began = time.monotonic()
    stop(it.limpet)
    t.note("load %d ms, save %s ms (%s bytes), stop with a save %d ms; meanwhile the slowest request took %d ms, command %d ms" % (
        load_ms, said.group(3), said.group(2), (time.monotonic() - began) * 1000, worst["request"] * 1000, worst["stats"] * 1000))
    check(load_ms < 15000 * ENTRIES / 1e6 * SLOW + 500, "load: %d ms" % load_ms)
    it.limpet.start()


@case("save state a hundred times under traffic: every handshake is answered and every sid stays where it is")
def _(t):
    it = two(t)
    sids, wrong, is_over = [it.handshake() for _ in range(4)], [], threading.Event()

    def traffic():
        n = 0
        while not is_over.is_set() and not wrong:
            sid = it.handshake()
            if worker_now(t, POLL + sid) != it.owner(sid):
                wrong.append(sid)
            n += 1
        result.append(n)
    result = []
    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        for _ in range(100 // (5 if is_sanitized else 1)):
            said = it.limpet.ask_stats("save state")
            check("session tables saved" in said, said)
    finally:
        is_over.set()
        thread.join()
    same(wrong, [], "sids that moved")
    check(result and result[0] > 0, "traffic went on")


main()
