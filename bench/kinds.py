# SPDX-License-Identifier: MIT
"""How a row is measured.  Each function gives, for each slot, a list with the figures of each round (None: none)."""
import os
import re
import signal
import shutil
import socket
import subprocess
import time

import arena as place
import peers
import verdict

HELD = 5000  # idle connections
RELOADS = 4
BIG = (1000, 10)


class Slot:
    """A contestant in a row, with or without what the row adds."""

    def __init__(self, peer, row, adds):
        self.peer = peer
        self.v = {**peers.DEFAULTS, **row.vars, **(row.adds if adds else {})}
        self.label = peer.name + ("+" if adds else "")
        if isinstance(peer, peers.Floor):
            self.v["floor"] = row.floor or ""

    def options(self, row, entries, sids):
        text = row.bare if row.bare and isinstance(self.peer, peers.Floor) else row.load
        return text.format(entries=entries, sids=sids).split()


def slots_of(row, contestants):
    """Those of the contestants that can do what the row asks for; each without and with what it adds."""
    out = []
    for adds in [False, True] if row.adds else [False]:
        for peer in contestants:
            if isinstance(peer, peers.Floor) and row.floor is None:
                continue
            slot = Slot(peer, row, adds)
            can_add = isinstance(peer, peers.Floor) or peer.supports({**slot.v, **row.adds})
            if peer.supports(slot.v) and can_add:
                out.append(slot)
    return out


def started(arena, slots, say):
    """The slots that run, by their order."""
    out = []
    for number, slot in enumerate(slots):
        running = place.Running(arena, slot.peer, slot.v, number)
        try:
            running.start()
        except place.Failed as failure:
            say("# %s" % failure)
            running.stop()
            continue
        out.append((slot, running))
    return out


def learn(arena, row, slot, running, entries):
    """Gives a table its entries: from the servers' handshakes, and for HAProxy, which reads no bodies, from requests."""
    common = ["-c", "64", "-N", str(entries), "-F", running.sids, "-n", str(entries), "-w", "0", "-d", "120"]
    figures = arena.load(running, common + ["-E", "fill"], 150)
    if isinstance(slot.peer, peers.HAProxy):
        os.unlink(running.sids)
        figures = arena.load(running, common + ["-E", "ask"], 150)
    if figures["requests"] < entries or figures["failed"]:
        raise place.Failed("%s learned %d of %d" % (slot.label, figures["requests"], entries))


def side_by_side(arena, slots, rounds, say, figures_of, prepare=None):
    """Processes that run all the time, in turn round by round; what FIGURES_OF says of each (slot, running).  PREPARE is
    called with all of them first; what it returns are processes to be stopped in the end."""
    samples = {slot.label: [] for slot in slots}
    ready, helpers = started(arena, slots, say), []
    try:
        if prepare:
            helpers = prepare(ready) or []
        for _ in range(rounds):
            for slot, running in ready:
                figures = None
                try:
                    figures = figures_of(slot, running)
                except (ValueError, place.Failed) as failure:
                    say("# %s" % failure)
                samples[slot.label].append(figures)
    finally:
        for process in helpers:
            arena.stop(process)
        for _, running in ready:
            running.stop()
    return samples


def has_tool(name, package, say):
    if not shutil.which(name):
        say("# %s (%s) is not installed" % (name, package))
        return False
    return True


def measure_load(arena, row, slots, rounds, say, entries):
    def fill(ready):
        for slot, running in ready:
            if slot.v["stick"] == "table":
                learn(arena, row, slot, running, entries)

    def figures_of(slot, running):
        return arena.slot(running, slot.options(row, entries, running.sids), row.quiet)
    return side_by_side(arena, slots, rounds, say, figures_of, fill)


def settled(pid):
    """Memory when it has stopped to change, two readings a tenth of a second apart."""
    before = place.memory(pid)
    for _ in range(20):
        time.sleep(0.1)
        now = place.memory(pid)
        if abs(now - before) < 65536:
            return now
        before = now
    return before


def one_by_one(arena, slots, rounds, say, figures_of):
    """A fresh process for each slot of each round, and what FIGURES_OF says of it (a function of slot and running)."""
    samples = {slot.label: [] for slot in slots}
    for _ in range(rounds):
        for slot in slots:
            figures = None
            for _, running in started(arena, [slot], say):
                try:
                    figures = figures_of(slot, running)
                except place.Failed as failure:
                    say("# %s" % failure)
                finally:
                    running.stop()
            samples[slot.label].append(figures)
    return samples


def measure_memory(arena, row, slots, rounds, say, entries):
    """Growth for each of HELD idle connections of a process that has served before."""
    return one_by_one(arena, slots, rounds, say, lambda _, running: held(arena, running, row.load.split()))


def held(arena, running, options):
    tls = [word for word in options if word == "-t"]
    arena.load(running, ["-S", "-w", "0", "-d", "0.3"] + tls)
    before = settled(running.process.pid)
    with open(running.place.path("idle"), "w+", encoding="ascii") as out:
        command = arena.load_command(running, ["-m", "idle", "-c", str(HELD), "-d", "60"] + options, account=False)
        process = arena.spawn(command, False, out, peer=False)
        try:
            deadline = time.monotonic() + 50
            while os.fstat(out.fileno()).st_size == 0:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise place.Failed("%s: idle connections did not come up" % running.peer.name)
                time.sleep(0.02)
            after = settled(running.process.pid)
        finally:
            arena.stop(process)
        out.seek(0)
        said = verdict.parse_line(out.readline())
    return {"bytes": (after - before) / HELD, "base_mb": before / 1e6, "failed": said["failed"]}


def measure_table(arena, row, slots, rounds, say, entries):
    def figures_of(slot, running):
        arena.load(running, ["-w", "0", "-d", "0.3"])
        before = settled(running.process.pid)
        learn(arena, row, slot, running, entries)
        return {"bytes": (settled(running.process.pid) - before) / entries, "failed": 0}
    return one_by_one(arena, slots, rounds, say, figures_of)


def measure_h2(arena, row, slots, rounds, say, entries):
    """h2load makes the load, our origin answers, both on the load's processor."""
    if not has_tool("h2load", "nghttp2-client", say):
        return {slot.label: [] for slot in slots}

    def origins(ready):
        return [arena.spawn([arena.load_binary, "-m", "origin", "-o", at], False, subprocess.DEVNULL, False)
                for at in sorted({at for _, running in ready for at in running.servers})]

    def figures_of(_, running):
        command = ["h2load"] + row.load.split() + ["https://127.0.0.1:%d/1024" % running.place.port]
        before = place.cpu_seconds(running.process.pid)
        _, text = arena.run(running, command)
        spent = place.cpu_seconds(running.process.pid) - before
        figures = verdict.parse_h2load(text)
        figures["cpu_us"] = spent * 1e6 / max(figures["requests"], 1)
        return figures
    return side_by_side(arena, slots, rounds, say, figures_of, origins)


def generation(port):
    """What is in force: the status that GET /generation is answered with; None when there is no answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.sendall(b"GET /generation HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n")
            got = re.match(rb"HTTP/1\.[01] (\d\d\d)", s.recv(4096))
            return int(got.group(1)) if got else None
    except OSError:
        return None


def reload_once(running):
    """Milliseconds from the signal until a new connection meets the new configuration."""
    running.place.generation += 1
    running.write()
    began = time.monotonic()
    running.process.send_signal(getattr(signal, "SIG" + running.peer.reload_signal))
    while generation(running.place.port) != 200 + running.place.generation:
        if time.monotonic() > began + 10:
            raise place.Failed("%s: a reload did not take" % running.peer.name)
        time.sleep(0.001)
    return (time.monotonic() - began) * 1000


def measure_reload(arena, row, slots, rounds, say, entries):
    return one_by_one(arena, slots, rounds, say, lambda _, running: reloads(arena, row, running))


def reloads(arena, row, running):
    with open(running.place.path("load"), "w+", encoding="ascii") as out:
        options = row.load.split() + ["-S", "-w", "0", "-d", str(1.5 + 0.6 * RELOADS)]
        process = arena.spawn(arena.load_command(running, options, account=False), False, out, peer=False)
        try:
            time.sleep(0.7)
            each = []
            for _ in range(RELOADS):
                each.append(reload_once(running))
                time.sleep(0.4)
            process.wait(30)
        finally:
            arena.stop(process)
        out.seek(0)
        figures = verdict.parse_line(out.read().splitlines()[-1])
    figures["reload_ms"] = sorted(each)[len(each) // 2]
    figures["slowest_ms"] = max(each)
    return figures


def measure_startup(arena, row, slots, rounds, say, entries):
    samples = {slot.label: [] for slot in slots}
    for _ in range(rounds):
        for number, slot in enumerate(slots):
            running = place.Running(arena, slot.peer, slot.v, number)
            if isinstance(slot.peer, peers.Floor):
                continue
            path = running.place.path(slot.peer.file)
            with open(path, "w", encoding="utf-8") as f:
                f.write(slot.peer.big(running.place, *BIG))
            figures = None
            try:
                began, spent = time.monotonic(), os.times()
                running.spawn(slot.peer.check(path))
                wrong = running.process.wait(30)
                check = (time.monotonic() - began) * 1000
                now = os.times()
                arena.stop(running.process)
                if wrong:
                    raise place.Failed("%s: its check fails" % slot.label)
                figures = {"start_ms": running.start(path) * 1000, "check_ms": check, "failed": 0,
                           "check_cpu_ms": (now.children_user + now.children_system - spent.children_user -
                                            spent.children_system) * 1000}
                figures["mb"] = settled(running.process.pid) / 1e6
            except place.Failed as failure:
                say("# %s" % failure)
            finally:
                running.stop()
            samples[slot.label].append(figures)
    return samples


def system_calls(arena, row, slots, say, entries):
    """Calls for each request, by the kernel's tracepoints; {} where perf or they are missing."""
    events = "/sys/kernel/tracing/events/syscalls/"
    if not shutil.which("perf") or not os.path.isdir(events) or row.kind != "load":
        return {}
    names = [name for name in ("epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "recvfrom", "sendto", "sendmsg", "read", "write", "readv",
                               "writev", "accept4", "connect", "close", "socket", "shutdown", "setsockopt",
                               "getsockopt", "splice", "ioctl", "fcntl", "clock_gettime", "getpid", "pipe2")
             if os.path.isdir(events + "sys_enter_" + name)]
    out = {}
    for slot, running in started(arena, slots, say):
        path = running.place.path("perf")
        command = ["perf", "stat", "-x,", "-e",
                   ",".join(["raw_syscalls:sys_enter"] + ["syscalls:sys_enter_" + name for name in names]), "-p",
                   ",".join(map(str, place.family(running.process.pid))), "-o", path, "--"]
        options = ["-w", "0", "-d", str(arena.seconds)] + slot.options(row, entries, running.sids)
        try:
            _, text = arena.run(running, command + arena.load_command(running, options))
            requests = verdict.parse_line(text.splitlines()[-1])["requests"]
            with open(path, encoding="utf-8") as file:
                out[slot.label] = verdict.parse_perf(file.read(), requests)
        except (ValueError, IndexError, OSError, place.Failed) as error:
            say("# perf: %s" % error)
        finally:
            running.stop()
    return out


def user_share(path):
    """Share of the samples of PATH, which perf recorded, outside of the kernel."""
    done = subprocess.run(["perf", "report", "-i", path, "--stdio", "-q", "--sort", "dso"], capture_output=True, text=True)
    return verdict.parse_profile(done.stdout)


def measure_user(arena, row, slots, rounds, say, entries):
    """Processor time outside of the kernel, by perf's samples."""
    if not has_tool("perf", "linux-perf", say):
        return {slot.label: [] for slot in slots}

    def figures_of(slot, running):
        path = running.place.path("perf")
        command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "3999", "-o", path, "-p",
                   ",".join(map(str, place.family(running.process.pid)))]
        with open(running.place.path("perf.log"), "w", encoding="utf-8") as log:
            process = arena.spawn(command, False, log, peer=False)
            time.sleep(0.2)
            figures = arena.slot(running, slot.options(row, entries, running.sids), row.quiet)
            process.send_signal(signal.SIGINT)
            process.wait(20)
            arena.stop(process)
        figures["user_us"] = user_share(path) * figures["cpu_us"]
        return figures
    return side_by_side(arena, slots, rounds, say, figures_of)


KINDS = {"load": measure_load, "user": measure_user, "memory": measure_memory, "table": measure_table, "h2": measure_h2,
         "reload": measure_reload, "startup": measure_startup}
