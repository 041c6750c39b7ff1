# SPDX-License-Identifier: MIT
"""Where the comparison runs: a network of its own, processors, directories, processes."""
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time

import peers
import verdict

CLONE_NEWNET = 0x40000000
# reno: others pace, or learn from earlier connections.  The ports leave room for ours below.
SETTINGS = {"net/ipv4/tcp_congestion_control": "reno", "net/ipv4/ip_local_port_range": "10240 65535",
            "net/core/somaxconn": "16384", "net/ipv4/tcp_max_syn_backlog": "16384"}
FIRST_PORT, FIRST_SERVER = 8001, 9001


def own_network():
    """Moves this process into a network namespace with a loopback of its own; False where that may not be."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh14x", b"lo", 1 | 64)  # IFF_UP | IFF_RUNNING
        fcntl.ioctl(s, 0x8914, request)  # SIOCSIFFLAGS
    for name, value in SETTINGS.items():
        try:
            with open("/proc/sys/" + name, "w", encoding="ascii") as f:
                f.write(value)
        except OSError:
            pass  # read-only in a container, or no reno
    return True


def family(pid):
    """PID and all below it."""
    pids = [pid]
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task), encoding="ascii") as f:
                for child in f.read().split():
                    pids += family(int(child))
    except OSError:
        pass  # it ended meanwhile
    return pids


def cpu_seconds(pid):
    """Processor time of PID and all below it."""
    total = 0.0
    for each in family(pid):
        try:
            total += time.clock_gettime(~each << 3 | 2)  # the process's clock, as clock_getcpuclockid(3) makes it
        except OSError:
            pass
    return total


def memory(pid):
    """Anonymous memory of PID and all below it, bytes: pages that several share count once.  Those of libraries do not
    count, for whoever else maps them makes them look cheaper."""
    total = 0
    for each in family(pid):
        try:
            with open("/proc/%d/smaps_rollup" % each, encoding="ascii") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss_Anon:"))
        except OSError:
            pass
    return total * 1024


class Failed(Exception):
    """A contestant did not start, or a load made no sense: told, and the row goes without it."""


class Running:
    """A contestant that runs."""

    def __init__(self, arena, peer, v, number):
        self.arena, self.peer, self.v = arena, peer, v
        place_dir = os.path.join(arena.dir, "%s.%d" % (peer.name, number))
        os.makedirs(os.path.join(place_dir, "temp"), exist_ok=True)
        count = v["servers"]
        if v["origin"] == "unix":
            self.servers = ["unix:%s/o%d.sock" % (place_dir, i) for i in range(1, count + 1)]
        else:
            self.servers = ["127.0.0.1:%d" % (arena.first_server + i) for i in range(count)]
        self.place = peers.Place(place_dir, arena.port(number), self.servers, arena.pems)
        self.sids = os.path.join(place_dir, "sids")
        self.process = None

    def write(self):
        path = self.place.path(self.peer.file)
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.peer.config(self.v, self.place))
        return path

    def spawn(self, command):
        with open(self.place.path("log"), "ab") as log:
            self.process = self.arena.spawn(command, self.v["threads"] > 1, log)

    def start(self, path=None):
        """Starts it and waits until it takes connections; returns the seconds of that."""
        began = time.monotonic()
        self.spawn(self.peer.command(path or self.write(), self.v))
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > began + 20:
                with open(self.place.path("log"), encoding="utf-8", errors="replace") as f:
                    raise Failed("%s did not start: %s" % (self.peer.name, f.read()[-800:]))
            time.sleep(0.0005)
        return time.monotonic() - began

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.place.port)) == 0

    def stop(self):
        if self.process is not None:
            self.arena.stop(self.process)
            self.process = None


def on_term(number, frame):
    """As an interrupt: what runs is ended on the way out."""
    raise SystemExit(128 + number)


class Arena:
    """Close it in the end; a SIGTERM leads there, too."""

    def __init__(self, load, seconds, warm, tries, noise):
        signal.signal(signal.SIGTERM, on_term)
        self.load_binary, self.seconds, self.warm, self.tries, self.noise = load, seconds, warm, tries, noise
        self.network = own_network()
        self.cpus = sorted(os.sched_getaffinity(0))[:2]
        self.scratch = tempfile.TemporaryDirectory(prefix="bench.")
        self.dir = self.scratch.name
        self.processes = []
        self.first_server, self.first_port = FIRST_SERVER, FIRST_PORT
        if not self.network:
            self.first_port = self.free_ports(64)
            self.first_server = self.first_port + 32
        self.pems = {}

    def certificates(self):
        """Made when a row wants them."""
        for name, kind in (("ecdsa", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]), ("rsa", ["rsa:2048"])):
            if name not in self.pems:
                key, cert, pem = (os.path.join(self.dir, "%s.%s" % (name, part)) for part in ("key", "crt", "pem"))
                subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "30", "-subj",
                                "/CN=bench.test", "-keyout", key, "-out", cert], check=True, capture_output=True)
                with open(pem, "w", encoding="ascii") as out:
                    for part in (key, cert):
                        with open(part, encoding="ascii") as f:
                            out.write(f.read())
                self.pems[name] = pem

    @staticmethod
    def free_ports(n):
        """First of N ports in a row that nobody listens on: on a host's own loopback."""
        for first in range(18000, 30000, n):
            held = []
            try:
                for port in range(first, first + n):
                    held.append(socket.socket())
                    held[-1].bind(("127.0.0.1", port))
                return first
            except OSError:
                continue
            finally:
                for s in held:
                    s.close()
        raise Failed("no free ports")

    def port(self, number):
        return self.first_port + number

    def spawn(self, command, everywhere, output, peer=True):
        """A process in a session of its own, so that the scheduler counts it for itself, on its processor."""
        cpus = self.cpus if everywhere else [self.cpus[0] if peer else self.cpus[-1]]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        self.processes.append(process)
        return process

    def stop(self, process):
        pids = family(process.pid) if process.poll() is None else []
        try:
            process.terminate()
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in pids[1:]:  # a worker that its master left
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.processes.remove(process)

    def close(self):
        for process in list(self.processes):
            self.stop(process)
        self.scratch.cleanup()

    def load_command(self, target, options, account=True):
        command = [self.load_binary, "-a", "127.0.0.1:%d" % target.place.port]
        if account:
            command += ["-P", str(target.process.pid)]
        for at in target.servers:
            command += ["-o", at]
        return command + options

    def run(self, target, command, limit=60):
        """COMMAND, which loads TARGET, to its end: its status and what it wrote."""
        with open(os.path.join(self.dir, "load"), "w+", encoding="utf-8") as out:
            process = self.spawn(command, False, out, peer=False)
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                raise Failed("the load against %s did not end" % target.peer.name) from None
            finally:
                self.stop(process)
            out.seek(0)
            return process.returncode, out.read()

    def load(self, target, options, limit=60):
        """Figures of one run of bench_load against TARGET."""
        status, text = self.run(target, self.load_command(target, options), limit)
        if status != 0:
            raise Failed("the load against %s: %s" % (target.peer.name, text[-300:]))
        return verdict.parse_line(text.splitlines()[-1])

    def slot(self, target, options, quiet=True):
        """One run of a window; while others disturb it, up to TRIES of them: the least disturbed counts."""
        best, failed = None, 0
        window = ["-w", str(self.warm), "-d", str(self.seconds)]
        for _ in range(self.tries if quiet else 1):
            figures = self.load(target, window + options)
            failed += figures["failed"]
            if not figures["requests"] and not figures["bytes"]:
                continue
            figures["noise"] = verdict.noise(figures) if quiet else 0
            if best is None or figures["noise"] < best["noise"]:
                best = figures
            if best["noise"] <= self.noise:
                break
        if best is None:
            raise Failed("%s answered nothing in a window" % target.peer.name)
        best["failed"] = failed  # also in what is left out
        return best
