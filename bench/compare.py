#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What Limpet costs, beside HAProxy, nginx and a relay that parses nothing, on this machine in the same run.

    bench/compare.py                              # every row, all that are installed
    bench/compare.py ka-1k close --rounds 9       # some rows
    bench/compare.py ka-1k -- limpet old=limpet:/path/to/limpet haproxy floor
    bench/compare.py --smoke                      # as `make bench` does: judged, fails when a row got worse by a fifth
    bench/compare.py --list

Absolute times mean nothing on a shared machine.  One slot is one window of load against one contestant; slots are
interleaved, round by round, and what counts is the median of the ratios to HAProxy within each round.  Processor time is
the proxy's own, from the kernel.  G = (Limpet - floor) / (HAProxy - floor) is the share of HAProxy's own cost that is left.
A slot in which proxy or load waited for a processor is repeated, --tries times at most; a round in which that did not
help is left out where five others remain.

The proxy is pinned to the first processor of this process and the load to the second; with root's rights in a network
namespace of its own, else on the host's loopback.

--smoke judges each row by the ratio that bench/rows.py expects.  The median must be at most a fifth above it.  A row
that is above is measured again, up to three times with more rounds each, from the second on beside the floor and with
all rounds of these counting: a machine whose kernel takes more of HAProxy's cost is no step back.  In the end it fails
when both the median and the ratio of the minima are too high (bench/verdict.py).  Exit status 1 then.  Without
HAProxy, or with one processor, there is nothing to compare: a reason, and status 0.
"""
import argparse
import datetime
import os
import statistics
import subprocess
import sys

import arena as place
import kinds
import peers
import rows as table
import verdict

MORE_ROUNDS = (1, 2, 3)  # times the rounds, for each attempt
TIMES = ("p50_us", "p99_us", "p999_us")
BESIDE = {"reload": ("slowest_ms", "idle_closed"), "startup": ("check_ms", "mb"), "memory": ("base_mb",),
          "h2": ("rps",)}


def say(line=""):
    print(line, flush=True)


def figures_of(samples, label, key):
    return [one.get(key) if one else None for one in samples.get(label, [])]


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def failed_of(samples, label):
    return int(sum(one["failed"] for one in samples.get(label, []) if one))


def short(value):
    if value is None:
        return "-"
    return "%.*f" % (0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3, value)


class Outcome:
    """A row, measured: what is printed and judged."""

    def __init__(self, row, slots):
        self.row, self.slots = row, slots
        self.samples = {slot.label: [] for slot in slots}
        self.calls = {}

    def extend(self, samples):
        for label, more in samples.items():
            self.samples[label] += more

    def of(self, label, key=None):
        return figures_of(self.samples, label, key or self.row.figure)

    def like(self, name, label):
        """The slot of NAME that does what that of LABEL does: with what the row adds, or without."""
        return name + "+" if label.endswith("+") and name + "+" in self.samples else name

    def ratio(self, label, like=None):
        """To HAProxy that does what LIKE (by default LABEL itself) does."""
        other = self.like("haproxy", like or label)
        noises = [self.of(each, "noise") for each in (label, other)] if self.row.quiet else []
        return verdict.ratio(verdict.undisturbed(self.of(label), noises, verdict.NOISE_MOST), self.of(other))

    def left(self, label):
        return verdict.left(self.ratio(label), self.ratio(self.like("floor", label), label))

    def lost_rounds(self, label):
        """Rounds in which LABEL alone has no figure."""
        return verdict.lost(self.of(label), self.of(self.like("haproxy", label)))

    def judged_label(self):
        return "limpet+" if self.row.adds else "limpet"

    def tell(self):
        say("%s: %s (%s)" % (self.row.name, self.row.what, self.row.unit))
        for slot in self.slots:
            values = [value for value in self.of(slot.label) if value is not None]
            if not values:
                say("  %-14s -" % slot.label)
                continue
            text = "  %-14s %9s  (%s..%s)" % (slot.label, short(median(values)), short(min(values)), short(max(values)))
            ratio = self.ratio(slot.label)
            if ratio:
                text += "  x %.3f (%.2f..%.2f), minima x %.3f" % (ratio.median, ratio.low, ratio.high, ratio.of_minima)
            left = self.left(slot.label)
            if left is not None and not isinstance(slot.peer, (peers.Floor, peers.HAProxy)):
                text += "  G %.2f" % left
            say(text + self.beside(slot.label))
        for label, calls in self.calls.items():
            say("  calls %-8s %s" % (label, " ".join("%s %.2f" % pair for pair in calls.items())))

    def beside(self, label):
        out = ""
        if self.row.adds and label.endswith("+"):
            more = verdict.added(self.of(label), self.of(label[:-1]))
            if more:
                out += "  adds %+.2f %s (%+.1f %%)" % (more[0], self.row.unit, more[1])
        if " -R " in " " + self.row.load:
            out += "  " + " ".join("%s %s" % (key, short(median(self.of(label, key)))) for key in TIMES)
        for key in BESIDE.get(self.row.kind, ()):
            out += "  %s %s" % (key, short(median(self.of(label, key))))
        if self.row.kind == "load":
            out += "  cpu %s %%" % short(median(self.of(label, "cpu_pct")))
            noise = median(self.of(label, "noise"))
            if noise and noise >= 1:
                out += "  noise %s %%" % short(noise)
        if failed_of(self.samples, label):
            out += "  FAILED %d" % failed_of(self.samples, label)
        return out

    def markdown(self, date, machine, commit):
        cells = [date, machine, commit, "`%s`" % self.row.name, self.row.what]
        suffix = "+" if self.row.adds else ""
        for name in ("limpet", "haproxy", "nginx", "floor"):
            value, ratio = median(self.of(name + suffix)), self.ratio(name + suffix)
            text = "-" if value is None else "%s %s" % (short(value), self.row.unit)
            if value is not None and ratio and name != "haproxy":
                text += ", x %.2f" % ratio.median
            if suffix and value is not None:
                more = verdict.added(self.of(name + suffix), self.of(name))
                text += " (adds %+.2f)" % more[0] if more else ""
            cells.append(text)
        left = self.left("limpet" + suffix)
        cells.append("-" if left is None else "%.2f" % left)
        return "| " + " | ".join(cells) + " |"


def run_row(arena, row, contestants, rounds, entries, with_calls):
    outcome = Outcome(row, kinds.slots_of(row, contestants))
    measure(arena, outcome, rounds, entries)
    if with_calls:
        outcome.calls = kinds.system_calls(arena, row, outcome.slots, say, entries)
    return outcome


def measure(arena, outcome, rounds, entries):
    row = outcome.row
    if row.vars.get("tls"):
        arena.certificates()
    try:
        outcome.extend(kinds.KINDS[row.kind](arena, row, outcome.slots, rounds, say, entries))
    except place.Failed as failure:
        say("# %s: %s" % (row.name, failure))


def judged(arena, row, contestants, floor, rounds, entries):
    """Measures until the verdict is final; prints it as a test case.  A row that is not good at once begins anew,
    beside the floor."""
    outcome = Outcome(row, kinds.slots_of(row, contestants))
    for attempt, more in enumerate(MORE_ROUNDS, 1):
        measure(arena, outcome, rounds * more, entries)
        label = outcome.judged_label()
        expected = verdict.expected_here(row.expected, row.share, outcome.ratio("floor"))
        said = verdict.judge(expected, outcome.ratio(label), failed_of(outcome.samples, label),
                             len(MORE_ROUNDS) - attempt, outcome.lost_rounds(label))
        if said.good or said.final:
            break
        say("# %s: %s; again, with more rounds" % (row.name, said.why))
        if attempt == 1 and floor and row.share is not None:
            outcome = Outcome(row, kinds.slots_of(row, contestants + [floor]))
    outcome.tell()
    if verdict.is_slack(row.expected, outcome.ratio(label)):
        say("# %s: lower what bench/rows.py expects; the next step back would not be seen" % row.name)
    say("%s - %s: %s" % ("ok" if said.good else "not ok", row.name, said.why))
    return outcome, said.good


def smoke(arena, chosen, contestants, options):
    passed = failed = 0
    floor = peers.find("floor", binaries_of(options))
    for row in chosen:
        rounds = options.rounds or {"load": 7, "startup": 5}.get(row.kind, 3)
        _, good = judged(arena, row, contestants, floor, rounds, options.entries)
        passed, failed = passed + good, failed + (not good)
    say("# PASS:  %d" % passed)
    say("# FAIL:  %d" % failed)
    return 1 if failed else 0


def commit():
    done = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "rev-parse", "--short", "HEAD"],
                          capture_output=True, text=True)
    return done.stdout.strip() or "-"


def arguments(argv):
    names = argv[argv.index("--") + 1:] if "--" in argv else []
    argv = argv[:argv.index("--")] if "--" in argv else argv
    parser = argparse.ArgumentParser(usage="compare.py [option...] [ROW...] [-- CONTESTANT...]")
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--limpet", default="./limpet", help="the program [./limpet]")
    parser.add_argument("--build", default=".", help="where bench/bench_load is [.]")
    parser.add_argument("--rounds", type=int, default=0, help="[9; fewer for what takes long]")
    parser.add_argument("--seconds", type=float, default=0, help="a window [0.8]")
    parser.add_argument("--warm", type=float, default=0.15)
    parser.add_argument("--tries", type=int, default=3, help="of a slot that others disturb [3]")
    parser.add_argument("--noise", type=float, default=verdict.NOISE_MOST,
                        help="percent of waiting that makes a slot noisy [%d]" % verdict.NOISE_MOST)
    parser.add_argument("--entries", type=int, default=1000000, help="learned sessions [1000000]")
    parser.add_argument("--calls", action="store_true", help="system calls for each request, too (perf)")
    parser.add_argument("--markdown", metavar="MACHINE", help="rows for doc/performance.md in the end")
    options = parser.parse_args(argv)
    options.contestants = names or (["limpet", "haproxy"] if options.smoke else ["limpet", "haproxy", "nginx", "floor"])
    return options


def binaries_of(options):
    return {"limpet": options.limpet, "floor": os.path.join(options.build, "bench/bench_floor")}


def contestants_of(options):
    found = {spec: peers.find(spec, binaries_of(options)) for spec in options.contestants}
    for spec, peer in found.items():
        say("# %s" % (peer.name + ": " + (peer.version() or peer.binary) if peer else spec + ": not installed"))
    return [peer for peer in found.values() if peer]


def main():
    options = arguments(sys.argv[1:])
    by_name = {row.name: row for row in table.ROWS}
    if options.list:
        for row in table.ROWS:
            say("%-15s %s%s" % (row.name, row.what, ", smoke" if row.smoke else ""))
        return 0
    for name in set(options.rows) - set(by_name):
        raise SystemExit("compare: no row %s; --list has them" % name)
    chosen = [row for row in table.ROWS if row.name in options.rows or
              (not options.rows and (row.smoke or not options.smoke))]
    if len(os.sched_getaffinity(0)) < 2:
        say("# skipped: the proxy and its load need a processor each")
        return 0
    contestants = contestants_of(options)
    if options.smoke and not any(peer.name == "haproxy" for peer in contestants):
        say("# skipped: haproxy is not installed, and without it there is nothing to compare with")
        return 0
    load = os.path.abspath(os.path.join(options.build, "bench/bench_load"))
    arena = place.Arena(load, options.seconds or (0.4 if options.smoke else 0.8), options.warm, options.tries,
                        options.noise)
    try:
        say("# %d processors, Linux %s, %s" % (os.cpu_count(), os.uname().release,
                                               "a network of its own" if arena.network else "the host's loopback"))
        if options.smoke:
            return smoke(arena, chosen, contestants, options)
        outcomes = []
        for row in chosen:
            rounds = options.rounds or {"load": 9, "h2": 5, "startup": 5, "user": 3}.get(row.kind, 2)
            outcomes.append(run_row(arena, row, contestants, rounds, options.entries, options.calls))
            outcomes[-1].tell()
        if options.markdown:
            for outcome in outcomes:
                say(outcome.markdown(datetime.date.today().isoformat(), options.markdown, commit()))
        return 0
    finally:
        arena.close()


if __name__ == "__main__":
    sys.exit(main())
