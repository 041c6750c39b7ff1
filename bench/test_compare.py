#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The parts of the comparison that could lie without anybody noticing: parsing, statistics, the judgement."""
import argparse
import contextlib
import io
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import compare  # noqa: E402
import kinds  # noqa: E402
import peers  # noqa: E402
import rows  # noqa: E402
import verdict  # noqa: E402
from verdict import Ratio, judge, ratio  # noqa: E402

H2LOAD = """\
finished in 3.02s, 13245.50 req/s, 14.10MB/s
requests: 40000 total, 40000 started, 40000 done, 39990 succeeded, 10 failed, 10 errored, 0 timeout
"""
PERF = """\
# started on Mon
8200,,raw_syscalls:sys_enter,1000,100.00,,
4000,,syscalls:sys_enter_recvfrom,1000,100.00,,
3,,syscalls:sys_enter_fcntl,1000,100.00,,
<not counted>,,syscalls:sys_enter_pipe2,0,0.00,,
"""


def near(a, b):
    return abs(a - b) < 1e-9


def refuses(function, *values):
    try:
        function(*values)
    except ValueError:
        return True
    return False


def figures_of_a_line_are_read():
    got = verdict.parse_line("secs=0.400 requests=18449 cpu_us=7.494 failed=0 p99_us=12.5")
    assert got == {"secs": 0.4, "requests": 18449, "cpu_us": 7.494, "failed": 0, "p99_us": 12.5}


def a_line_without_figures_is_a_mistake():
    assert refuses(verdict.parse_line, "load: the proxy: connection refused")
    assert refuses(verdict.parse_line, "")


def what_h2load_could_not_get_is_a_failure():
    got = verdict.parse_h2load(H2LOAD)
    assert got == {"requests": 39990, "failed": 10, "rps": 13245.5}
    assert refuses(verdict.parse_h2load, "connect failed")


def calls_are_divided_by_the_requests():
    assert verdict.parse_perf(PERF, 2000) == {"total": 4.1, "recvfrom": 2.0}
    assert refuses(verdict.parse_perf, "", 2000)


def what_is_not_the_kernel_is_user_space():
    got = verdict.parse_profile("    49.97%  [kernel.kallsyms]\n    41.06%  haproxy          \n     8.97%  libc.so.6\n")
    assert near(got, 0.5003)
    assert refuses(verdict.parse_profile, "")


def the_worst_wait_is_the_noise():
    assert verdict.noise({"wait_pct": 1, "load_wait_pct": 7.5, "steal_pct": 3}) == 7.5
    assert verdict.noise({}) == 0


def ratios_are_taken_within_each_round():
    # The machine was three times slower in the second round, for both.
    got = ratio([7, 21, 7.7], [10, 30, 11])
    assert near(got.median, 0.7) and near(got.of_minima, 0.7) and got.rounds == 3
    # Medians of each on their own would say the same here only by chance.
    got = ratio([5, 30, 8], [10, 40, 10])
    assert near(got.median, 0.75) and near(got.low, 0.5) and near(got.high, 0.8)


def rounds_that_others_disturbed_are_left_out_where_five_remain():
    values, calm = [1, 2, 3, 4, 5, 6], [0, None, 5, 0, 0, 0]
    assert verdict.undisturbed(values, [calm, [0, 0, 0, 0, 5.1, 0]], 5) == [1, 2, 3, 4, None, 6]
    assert verdict.undisturbed(values, [[9, 0, 0, 0, 0, 0], [0, 9, 0, 0, 0, 0]], 5) == values
    outcome = compare.Outcome(ROW, [])
    rounds = [{"cpu_us": 6, "noise": 1}] * 5 + [{"cpu_us": 30, "noise": 40}] * 6
    outcome.samples = {"limpet": rounds, "haproxy": [{"cpu_us": 10, "noise": 0}] * 11}
    assert near(outcome.ratio("limpet").median, 0.6) and outcome.ratio("limpet").rounds == 5
    assert outcome.lost_rounds("limpet") == 0


def a_round_without_both_figures_does_not_count():
    got = ratio([7, None, 7, 9], [10, 10, None, 10])
    assert got.rounds == 2 and near(got.median, 0.8) and near(got.of_minima, 0.7)
    assert ratio([None], [10]) is None
    assert ratio([], []) is None
    assert ratio([1], [0]) is None


def what_is_added_is_taken_within_each_round():
    us, percent = verdict.added([11, 22, 33], [10, 20, 30])
    assert near(us, 2) and near(percent, 10)
    assert verdict.added([None], [1]) is None


def what_is_left_of_haproxy_s_cost():
    floor = Ratio(0.6, 0.6, 0.6, 0.6, 5)
    assert near(verdict.left(Ratio(0.7, 0, 0, 0, 5), floor), 0.25)
    assert near(verdict.left(Ratio(1.0, 0, 0, 0, 5), floor), 1)
    assert verdict.left(Ratio(0.5, 0, 0, 0, 5), floor) < 0
    assert verdict.left(None, floor) is None and verdict.left(floor, None) is None
    assert verdict.left(floor, Ratio(0.99, 0, 0, 0, 5)) is None


def a_median_within_a_fifth_is_good():
    said = judge(0.7, Ratio(0.84, 0.5, 2, 0.9, 7), 0, 2)
    assert said.good and said.final


def a_median_above_a_fifth_is_measured_again():
    said = judge(0.7, Ratio(0.85, 0.8, 0.9, 0.7, 7), 0, 1)
    assert not said.good and not said.final


def in_the_end_median_and_minima_have_to_agree():
    assert judge(0.7, Ratio(0.85, 0.8, 0.9, 0.80, 21), 0, 0).good
    said = judge(0.7, Ratio(0.85, 0.8, 0.9, 0.85, 21), 0, 0)
    assert not said.good and said.final


def a_dearer_kernel_is_no_step_back_and_a_cheaper_one_no_excuse():
    dear, cheap = Ratio(0.8, 0, 0, 0, 7), Ratio(0.4, 0, 0, 0, 7)
    assert verdict.expected_here(0.62, 0.25, dear) == 0.8 + 0.25 * (1 - 0.8)
    assert verdict.expected_here(0.62, 0.25, cheap) == 0.62
    assert verdict.expected_here(0.62, 0.25, None) == verdict.expected_here(0.62, None, dear) == 0.62
    assert all(row.share is None or 0 < row.share <= 0.3 for row in rows.ROWS)


@contextlib.contextmanager
def measured(**us):
    """Rounds of kind "load" have these figures for Limpet, HAProxy, the floor; gives who was measured, and how often."""
    seen = []

    def measure_load(arena, row, slots, rounds, *_):
        seen.append(([slot.label for slot in slots], rounds))
        return {slot.label: [{"cpu_us": us[slot.label], "failed": 0}] * rounds for slot in slots}
    measure, kinds.KINDS["load"] = kinds.KINDS["load"], measure_load
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield seen
    finally:
        kinds.KINDS["load"] = measure


TWO = [peers.Limpet("limpet", "/x"), peers.HAProxy("haproxy", "/x")]
ROW = rows.Row("r", "", "a row", 0.6, "", share=0.2)


def good_with(**us):
    with measured(**us) as seen:
        _, good = compare.judged(None, ROW, TWO, peers.Floor("floor", "/x"), 7, 0)
    return good, seen


def a_row_that_is_not_good_begins_anew_beside_the_floor():
    good, seen = good_with(limpet=7.1, haproxy=10, floor=5)
    assert good and seen == [(["limpet", "haproxy"], 7)], seen
    good, seen = good_with(limpet=7.3, haproxy=10, floor=5)
    beside = ["limpet", "haproxy", "floor"]
    assert not good and seen == [(beside[:2], 7), (beside, 14), (beside, 21)], seen
    good, seen = good_with(limpet=7.3, haproxy=10, floor=8)
    assert good and seen == [(beside[:2], 7), (beside, 14)], seen


def one_row_that_has_become_a_fifth_worse_fails_the_smoke():
    worse = rows.Row("w", "", "another", 0.5, "")
    options = argparse.Namespace(limpet="/x", build="/does/not/exist", rounds=0, entries=0)
    with measured(limpet=6.1, haproxy=10):
        assert compare.smoke(None, [ROW], TWO, options) == 0
        assert compare.smoke(None, [ROW, worse], TWO, options) == 1
        assert compare.smoke(None, [worse, ROW], TWO, options) == 1


def failed_requests_are_never_good():
    said = judge(0.7, Ratio(0.5, 0.5, 0.5, 0.5, 9), 1, 2)
    assert not said.good and said.final


def a_round_that_limpet_alone_has_lost_is_never_good():
    said = judge(0.7, Ratio(0.5, 0.5, 0.5, 0.5, 9), 0, 2, lost_rounds=1)
    assert not said.good and said.final
    assert verdict.lost([1, None, 2, None], [3, 4, None, None]) == 1
    row = next(row for row in rows.ROWS if row.name == "ka-1k")
    outcome = compare.Outcome(row, [])
    outcome.samples = {"limpet": [{"cpu_us": 1}, None], "haproxy": [{"cpu_us": 1}, {"cpu_us": 1}]}
    assert outcome.lost_rounds("limpet") == 1


def a_sigterm_leaves_nothing_behind():
    code = ("import arena, subprocess, time\n"
            "a = arena.Arena('/bin/true', 1, 0, 1, 5)\n"
            "try:\n"
            "    print(a.spawn(['sleep', '60'], True, subprocess.DEVNULL).pid, a.dir, flush=True)\n"
            "    time.sleep(60)\n"
            "finally:\n"
            "    a.close()\n")
    with subprocess.Popen([sys.executable, "-B", "-c", code], cwd=os.path.dirname(os.path.abspath(__file__)),
                          stdout=subprocess.PIPE, text=True) as running:
        pid, scratch = running.stdout.readline().split()
        running.terminate()
        running.wait(10)
    assert not os.path.exists("/proc/" + pid) and not os.path.exists(scratch), (pid, scratch)


def too_few_rounds_are_never_good():
    assert not judge(0.7, None, 0, 0).good
    said = judge(0.7, Ratio(0.5, 0.5, 0.5, 0.5, 2), 0, 0)
    assert not said.good and said.final
    assert not judge(0.7, Ratio(0.5, 0.5, 0.5, 0.5, 2), 0, 1).final


def what_is_expected_must_not_be_slack():
    assert verdict.is_slack(0.7, Ratio(0.55, 0.5, 0.6, 0.55, 7))
    assert not verdict.is_slack(0.7, Ratio(0.6, 0.5, 0.7, 0.6, 7))
    assert not verdict.is_slack(0.7, Ratio(0.5, 0.5, 0.5, 0.5, 2))
    assert not verdict.is_slack(0.7, None)


def without_haproxy_the_smoke_is_skipped_with_a_reason():
    compare = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare.py")
    done = subprocess.run([sys.executable, "-B", compare, "--smoke", "--", "x=haproxy:/does/not/exist"],
                          capture_output=True, text=True)
    assert done.returncode == 0 and "# skipped:" in done.stdout, done


def a_row_that_is_not_there_is_a_mistake():
    compare = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compare.py")
    done = subprocess.run([sys.executable, "-B", compare, "--smoke", "ka-2k"], capture_output=True, text=True)
    assert done.returncode != 0 and "no row ka-2k" in done.stderr, done


def the_table_is_whole():
    names = [row.name for row in rows.ROWS]
    assert len(set(names)) == len(names)
    for row in rows.ROWS:
        assert 0 < row.expected <= 1, row.name
        assert set(row.vars) | set(row.adds) <= set(peers.DEFAULTS), row.name
    for name in ("ka-1k", "close", "ws", "tcp-ka", "tls-ka", "mem-ka", "startup"):
        assert any(row.name == name and row.smoke for row in rows.ROWS), name


def each_contestant_can_be_told_every_row():
    pems = {"ecdsa": "/e.pem", "rsa": "/r.pem"}
    for row in rows.ROWS:
        for v in ({**peers.DEFAULTS, **row.vars}, {**peers.DEFAULTS, **row.vars, **row.adds}):
            for kind in peers.KINDS:
                servers = ["127.0.0.1:%d" % (9001 + i) for i in range(v["servers"])]
                peer = peers.KINDS[kind](kind, "/bin/" + kind)
                text = peer.config(v, peers.Place("/tmp/x", 8001, servers, pems))
                assert "8001" in text and (v["tls"] == "" or pems[v["tls"]] in text), (kind, row.name)
                assert kind == "floor" or all(at in text for at in servers), (kind, row.name)


HELPERS = ("near", "refuses", "measured", "good_with")
TESTS = [value for name, value in list(globals().items())
         if callable(value) and getattr(value, "__module__", "") == __name__ and name not in HELPERS]


def main():
    print("1..%d" % len(TESTS))
    failed = 0
    for number, test in enumerate(TESTS, 1):
        try:
            test()
            print("ok %d - %s" % (number, test.__name__))
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print("not ok %d - %s\n# %s: %s" % (number, test.__name__, type(error).__name__, error))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
