#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench_load against bench_floor, and against a proxy that does what it should not: what is counted is what happened.

    top_builddir=build python3 bench/test_load.py
"""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import verdict  # noqa: E402

BUILD = os.environ.get("top_builddir", ".")
LOAD, FLOOR = (os.path.join(BUILD, "bench", name) for name in ("bench_load", "bench_floor"))
KINDS = ("connect", "reset", "cut", "status", "length", "tls", "astray", "stuck")
CPUS = sorted(os.sched_getaffinity(0))
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
work = tempfile.TemporaryDirectory(prefix="load.")
PEM = os.path.join(work.name, "site.pem")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def on_cpu(cpu):
    return lambda: os.sched_setaffinity(0, [cpu])


def load_starts(port, origins, options, pid=None):
    command = [LOAD, "-a", "127.0.0.1:%d" % port, "-w", "0.05", "-d", "0.25"]
    for at in origins:
        command += ["-o", at]
    command += ["-P", str(pid)] if pid else []
    return subprocess.Popen(command + options.split(), stdout=subprocess.PIPE, text=True, preexec_fn=on_cpu(CPUS[-1]))


def figures(process):
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, "status %d: %s" % (process.returncode, out)
    return verdict.parse_line(out.splitlines()[-1])


@contextlib.contextmanager
def floor(options="", origin=None):
    """A relay that runs: its process, its port, its server's address."""
    port, origin = free_port(), origin or "127.0.0.1:%d" % free_port()
    process = subprocess.Popen([FLOOR] + options.split() + ["127.0.0.1:%d" % port, origin], preexec_fn=on_cpu(CPUS[0]))
    try:
        until = time.monotonic() + 10
        with socket.socket() as s:
            while s.connect_ex(("127.0.0.1", port)) != 0:
                assert process.poll() is None and time.monotonic() < until, "the floor did not start"
        yield process, port, origin
    finally:
        process.kill()
        process.wait()


def through(floor_options, options, origin=None):
    with floor(floor_options, origin) as (process, port, server):
        return figures(load_starts(port, [server], options, process.pid))


def clean(got):
    wrong = {kind: got[kind] for kind in KINDS if got[kind]}
    assert not wrong and got["failed"] == 0 and got["requests"] > 0 and got["cpu_us"] > 0, (wrong, got)
    return got


def requests_on_kept_connections():
    got = clean(through("", "-c 8"))
    assert abs(got["bytes"] - 1024 * got["requests"]) <= 8 * 1024 and got["opened"] == 0


def a_connection_for_each_request():
    got = clean(through("", "-m close -c 8 -p /128"))
    assert abs(got["opened"] - got["requests"]) <= 8


def servers_connections_outlive_their_clients():
    clean(through("-1", "-m close -b -c 8 -p /128"))
    met = []

    def behave(s):
        met.append(s)
        answers(GOOD)(s)
    with bad_proxy(behave) as server, floor("-1", "127.0.0.1:%d" % server) as (_, port, _):
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                s.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert s.recv(4096) == GOOD and s.recv(1) == b""
    assert 1 <= len(met) <= 2, "%d for ten clients, and for who saw whether the floor is there" % len(met)


def a_proxy_header_is_taken_off():
    clean(through("-2", "-m close -c 8 -p /128"))


def servers_on_unix_sockets():
    clean(through("", "-c 8", "unix:%s/origin.sock" % work.name))


def messages_come_back():
    got = clean(through("", "-m ws -c 50 -s 64"))
    assert abs(got["bytes"] - 66 * got["requests"]) <= 66 * 50


def pipes_of(pid):
    links = []
    for fd in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
    return sum(link.startswith("pipe:") for link in links)


def bulk_is_whole_copied_and_spliced():
    for options in ("", "-s"):
        with floor(options) as (process, port, server):
            seen = {pipes_of(process.pid)}
            load = load_starts(port, [server], "-c 2 -p /3000000", process.pid)
            while load.poll() is None:
                seen.add(pipes_of(process.pid))
                time.sleep(0.005)
            assert clean(figures(load))["bytes"] > 3e6
        assert (len(seen) > 1) == (options == "-s"), "pipes with %r: %s" % (options, seen)


def handshakes_are_full_unless_they_resume():
    got = clean(through("-c " + PEM, "-t -m close -c 4 -p /128"))
    assert got["handshakes"] > 0 and got["resumed"] == 0
    got = clean(through("-c " + PEM, "-t -r -m close -c 4 -p /128"))
    assert got["resumed"] > 0.8 * got["handshakes"] > 0
    clean(through("-1 -c " + PEM, "-t -m close -b -c 4 -p /128"))
    got = clean(through("-c " + PEM, "-t -c 4"))
    assert got["handshakes"] == 0, "in the window none"
    clean(through("-c " + PEM, "-t -c 2 -p /1048576"))


def idle_connections_are_held():
    for options, more in (("", ""), ("", " -U"), ("-c " + PEM, " -t")):
        with floor(options) as (_, port, server):
            load = load_starts(port, [server], "-m idle -c 200 -d 20" + more)
            got = verdict.parse_line(load.stdout.readline())
            load.terminate()
            load.communicate(timeout=20)
            assert got["held"] == 200 and got["failed"] == 0, got


def an_open_loop_sends_what_is_due():
    got = clean(through("", "-c 16 -R 2000 -d 0.5"))
    assert 600 <= got["requests"] <= 1110, got["requests"]  # the warm-up may have left some


def a_stall_is_seen_by_all_that_were_due_in_it():
    # 200 of 1,000 ms: of what was due then, half waited for longer than 100 ms.
    with floor() as (process, port, server):
        load = load_starts(port, [server], "-c 16 -R 2000 -d 1", process.pid)
        time.sleep(0.4)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        process.send_signal(signal.SIGCONT)
        got = figures(load)
    assert got["p90_us"] > 50000 and got["p99_us"] > 150000, got
    assert got["p50_us"] < 100000 and got["max_us"] < 1e6, got


def processor_time_is_that_of_the_proxy():
    with floor() as (process, port, server):
        clock = ~process.pid << 3 | 2
        before = time.clock_gettime(clock)
        got = clean(figures(load_starts(port, [server], "-c 16 -w 0 -d 0.5", process.pid)))
        spent = time.clock_gettime(clock) - before
    told = got["cpu_us"] * got["requests"] / 1e6
    assert 0.85 * spent <= told <= 1.02 * spent, (told, spent)


def who_waits_for_a_processor_is_told():
    with floor() as (process, port, server):
        busy = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE,
                                preexec_fn=on_cpu(CPUS[0]))
        try:
            busy.stdout.readline()  # it is at its loop
            got = clean(figures(load_starts(port, [server], "-c 32 -d 0.6", process.pid)))
        finally:
            busy.kill()
            busy.wait()
    assert verdict.noise(got) > 10, got


def sessions_are_asked_where_they_were_opened():
    sids = os.path.join(work.name, "sids")
    origins = ["127.0.0.1:%d" % free_port() for _ in range(2)]
    common = "-c 4 -N 2000 -F %s " % sids
    with floor("", origins[0]) as (_, port, _):
        got = figures(load_starts(port, origins, common + "-E fill -n 2000 -w 0 -d 20"))
        assert got["failed"] == 0 and got["made"] == 2000 == got["requests"], got
        got = figures(load_starts(port, origins, common + "-E poll"))
        assert got["failed"] == 0 and got["requests"] > 0, got
    with floor("", origins[1]) as (_, port, _):
        got = figures(load_starts(port, origins, common + "-E poll"))
    assert got["requests"] > 0 and got["astray"] >= 0.9 * got["requests"], "another server has them: %s" % got


@contextlib.contextmanager
def bad_proxy(behave):
    """Something that takes connections; BEHAVE(socket) does the rest for each."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(s):
        with s, contextlib.suppress(OSError):
            behave(s)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def answers(text):
    def behave(s):
        while s.recv(4096):
            s.sendall(text)
    return behave


def blamed(behave, kind, options="-c 2 -p /10 -d 0.3"):
    with bad_proxy(behave) as port:
        got = figures(load_starts(port, [], options))
    assert got[kind] > 0, "no %s: %s" % (kind, got)
    assert got["failed"] == got[kind] + sum(got[other] for other in KINDS if other != kind), got


def an_answer_that_is_wrong_is_a_failure():
    blamed(answers(GOOD.replace(b"200 OK", b"503 No")), "status")
    blamed(answers(b"nonsense\r\n\r\n"), "status")
    blamed(answers(GOOD.replace(b": 10", b": 9")), "length")
    blamed(answers(GOOD + b"x"), "length")
    blamed(answers(b"HTTP/1.1 200 OK\r\n\r\n"), "length")


def an_answer_that_does_not_come_whole_is_a_failure():
    def half(s):
        s.recv(4096)
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
    blamed(half, "cut")
    blamed(lambda s: s.recv(4096), "cut")

    def reset(s):
        s.recv(1)  # the rest is unread: a reset
    blamed(reset, "reset")

    def silent(s):
        while s.recv(4096):
            pass
    blamed(silent, "stuck", "-c 2 -p /10 -d 1.4 -w 0")


def a_proxy_that_is_not_there_is_a_failure():
    got = figures(load_starts(free_port(), [], "-c 2 -n 10 -w 0"))
    assert got["connect"] == got["failed"] >= 10 and got["requests"] == 0, got


def a_cookie_that_meets_another_server_is_astray():
    turn = iter(range(10**9))

    def behave(s):
        while s.recv(4096):
            s.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: SRV=1; path=/\r\nContent-Length: 10\r\n\r\n%c123456789" %
                      b"ab"[next(turn) % 2])
    blamed(behave, "astray", "-c 2 -p /10 -k")


def an_end_while_nothing_is_under_way_is_no_failure():
    def behave(s):
        for _ in range(3):
            s.recv(4096)
            s.sendall(GOOD)
    with bad_proxy(behave) as port:
        got = figures(load_starts(port, [], "-c 4 -p /10 -R 20 -d 1"))
    assert got["failed"] == 0 and got["idle_closed"] > 0 and got["requests"] > 10, got


TESTS = [requests_on_kept_connections, a_connection_for_each_request, servers_connections_outlive_their_clients,
         a_proxy_header_is_taken_off, servers_on_unix_sockets, messages_come_back, bulk_is_whole_copied_and_spliced,
         handshakes_are_full_unless_they_resume, idle_connections_are_held, an_open_loop_sends_what_is_due,
         a_stall_is_seen_by_all_that_were_due_in_it, processor_time_is_that_of_the_proxy,
         who_waits_for_a_processor_is_told, sessions_are_asked_where_they_were_opened,
         an_answer_that_is_wrong_is_a_failure, an_answer_that_does_not_come_whole_is_a_failure,
         a_proxy_that_is_not_there_is_a_failure, a_cookie_that_meets_another_server_is_astray,
         an_end_while_nothing_is_under_way_is_no_failure]


def certificate():
    key, cert = os.path.join(work.name, "key"), os.path.join(work.name, "crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "3", "-subj", "/CN=bench.test", "-keyout", key, "-out", cert], check=True, capture_output=True)
    with open(PEM, "w", encoding="ascii") as out:
        for part in (key, cert):
            with open(part, encoding="ascii") as f:
                out.write(f.read())


def main():
    chosen = [test for test in TESTS if not sys.argv[1:] or test.__name__ in sys.argv[1:]]
    certificate()
    print("1..%d" % len(chosen))
    failed = 0
    for number, test in enumerate(chosen, 1):
        try:
            test()
            print("ok %d - %s" % (number, test.__name__), flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print("not ok %d - %s\n# %s: %s" % (number, test.__name__, type(error).__name__, error), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
