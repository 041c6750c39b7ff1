#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGUSR2 that fails, at whatever moment: the old process goes on as if nothing had happened."""
import os
import re
import signal
import socket
import sys
import threading
import time

from lib import *
from lib.engine import *
from lib.peer import connect
from lib.load import Load, LoadServer
from lib.upgrade import *


@case("a file with a mistake stops the upgrade, the log tells it, the old process goes on")
def _(t):
    t.echo()
    limpet = t.limpet(text_of())
    c = t.connect()
    same(c.ask(get()).body, b"A", "body")
    limpet.write(text_of().replace("backends:", "backendz:"))
    refused(limpet, r"limpet\.yaml:\d+:\d+: .*backendz")
    same(c.ask(get()).body, b"A", "body on the old connection")
    same(t.ask(get()).body, b"A", "body")
    check("Pid: %d" % limpet.process.pid in limpet.ask_stats("show info"), "the stats socket is there")
    limpet.write(text_of())
    limpet.upgrade()
    same(t.ask(get()).body, b"A", "body")


@case("a bind that cannot be had stops the upgrade")
def _(t):
    t.echo()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        limpet = t.limpet(text_of(), TAKEN=taken.getsockname()[1])
        limpet.write(text_of(bind='"127.0.0.1:${PORT}", "127.0.0.1:${TAKEN}"'))
        refused(limpet, "cannot listen on")
        same(t.ask(get()).body, b"A", "body")


BAD_PROGRAMS = [
    ("exits at once", "#!/bin/sh\nexit 3\n", "exited with status 3"),
    ("dies of a signal", "#!/bin/sh\nkill -9 $$\n", "signal 9"),
    ("is no program", "no magic\n", "cannot be started"),
    ("never says a word", "#!/bin/sh\nexec sleep 60\n", "not ready within"),
    ("says nonsense", "#!%s\nimport socket, time\ns = socket.socket(fileno=3)\ns.recv(65536)\n"
     "s.send(b'\\xff\\xff\\xff')\ntime.sleep(60)\n" % sys.executable, "not expected"),
    ("says that it is ready when it is not", "#!%s\nimport socket, time\ns = socket.socket(fileno=3)\ns.recv(65536)\n"
     "s.send(b'\\x67')\ntime.sleep(60)\n" % sys.executable, "not expected"),
    ("speaks another version", "#!%s\nimport socket, struct\ns = socket.socket(fileno=3)\nhello = s.recv(65536)\n"
     "assert hello[0] == 1 and struct.unpack('<I', hello[1:5])[0] == 0x4c4d5031\n"
     "why = b'hands over in version %%d' %% struct.unpack('<H', hello[5:7])[0]\n"
     "s.send(b'\\x68' + struct.pack('<H', len(why)) + why)\n" % sys.executable, "hands over in version [0-9]"),
]


def bad_program(name, text, what):
    @case("a new program that %s: the old one goes on and tells why" % name)
    def _(t):
        t.echo()
        limpet = t.limpet(text_of(global_="upgrade_timeout: %ss" % (1 if "not ready" in what else 20)),
                          args=["-b", program(t, text)])
        c = t.connect()
        same(c.ask(get()).body, b"A", "body")
        before = limpet.fds()
        for _ in range(2):
            refused(limpet, what)
        same(c.ask(get()).body, b"A", "body on the old connection")
        same(t.ask(get()).body, b"A", "body")
        until(lambda: limpet.fds() <= before + 1, "no descriptor is left open")


for row in BAD_PROGRAMS:
    bad_program(*row)


@case("the new process is killed before it is ready: the old one goes on, and the next try succeeds")
def _(t):
    t.echo()
    path = program(t, "#!/bin/sh\n[ -e go ] || exec sleep 60\nexec %s \"$@\"\n" % find_limpet())
    limpet = t.limpet(text_of(), args=["-b", path])
    limpet.signal(signal.SIGUSR2)
    pid = int(limpet.wait_log(r"started as process (\d+)").group(1))
    os.kill(limpet.pid, signal.SIGUSR2)
    limpet.wait_log("upgrade refused: An upgrade is under way")
    os.kill(limpet.pid, signal.SIGHUP)
    limpet.wait_log("reload refused: an upgrade is under way")
    os.kill(pid, signal.SIGKILL)
    limpet.wait_log(r"upgrade failed: .*signal 9.*this process goes on")
    same(t.ask(get()).body, b"A", "body")
    open(t.directory + "/go", "w").close()
    os.kill(limpet.pid, signal.SIGHUP)
    limpet.wait_log("loaded again")
    limpet.upgrade()
    same(t.ask(get()).body, b"A", "body")


@case("killed at any moment the new process takes nothing with it")
def _(t):
    t.echo()
    limpet = t.limpet(text_of())
    failed = served = 0
    for step in range(12):
        at = len(limpet.log())
        os.kill(limpet.pid, signal.SIGUSR2)
        found = until(lambda: re.search(r"started as process (\d+)", limpet.log()[at:]), "a start")
        time.sleep(step * 0.004 * SLOW)
        if "serves now" in limpet.log()[at:]:
            limpet.heirs.append(int(found.group(1)))
            served += 1
            break
        os.kill(int(found.group(1)), signal.SIGKILL)
        until(lambda: "upgrade failed" in limpet.log()[at:] or "has ended" in limpet.log()[at:], "the end of it")
        if "serves now" in limpet.log()[at:]:
            raise Skip("killed just when it served: then there is nobody left")
        failed += 1
        same(t.ask(get()).body, b"A", "body")
    if served and not failed:
        raise Skip("it serves faster than it can be killed here")
    check(failed, "none was killed in time")
    same(t.ask(get()).body, b"A", "body")


@case("SIGTERM while an upgrade is under way stops both")
def _(t):
    t.echo()
    limpet = t.limpet(text_of(), args=["-b", program(t, "#!/bin/sh\nexec sleep 60\n")])
    limpet.signal(signal.SIGUSR2)
    pid = int(limpet.wait_log(r"started as process (\d+)").group(1))
    limpet.is_ended_by_test = True
    limpet.signal(signal.SIGTERM)
    same(limpet.wait_exit(5 * SLOW), 0, "status")
    until(lambda: not os.path.exists("/proc/%d" % pid), "the new one is gone")


@case("SIGTERM to the process that has handed over ends it; the new one is not touched")
def _(t):
    two = Two(t, frames=b"hi")
    c = t.connect()
    same(c.ask(get(UPGRADE + two.handshake(), WS_FIELDS)).status, 101, "status")
    two.limpet.upgrade()
    os.kill(two.limpet.process.pid, signal.SIGTERM)
    two.limpet.wait_log(r"\[%d\].*stopping" % two.limpet.process.pid)
    os.kill(two.limpet.process.pid, signal.SIGTERM)
    same(two.limpet.wait_exit(5 * SLOW), 0, "status")
    check(os.path.exists(t.directory + "/stats.sock"), "the stats socket's file is there")
    same(t.ask(get()).status, 200, "status")


@case("the variable by which the new process is told is refused from anybody else")
def _(t):
    t.echo()
    t.env["PORT"] = free_port()
    path = t.directory + "/c.yaml"
    with open(path, "w") as f:
        f.write(text_of())
    for value in ("3,4", "0,1", "x", "99999999999,1", ""):
        status, text = run_limpet(["-f", path], env=dict(t.env, LIMPET_HANDOVER=value, PORT=str(t.env["PORT"])))
        check(status == 1 and "LIMPET_HANDOVER" in text, "%r: %d %s" % (value, status, text))


main()
