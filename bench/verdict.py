# SPDX-License-Identifier: MIT
"""What follows from the figures of a row: ratios, the share of HAProxy's cost that is left, the judgement.

Nothing here measures or prints; bench/test_compare.py looks at all of it.
"""
import dataclasses
import re
import statistics

SLACK = 1.2  # a row fails when it is a fifth above what is expected
ROUNDS_LEAST = 3  # fewer rounds with both figures decide nothing
ROUNDS_QUIET = 5  # so many make the rounds in which others disturbed superfluous
NOISE_MOST = 5  # percent of a window in which somebody waited for a processor


def parse_line(line):
    """The key=value words of a line, numbers as floats.  A line without any is a mistake."""
    words = re.findall(r"(?:^|(?<=\s))([a-z_0-9]+)=(-?[0-9.]+)(?=\s|$)", line)
    if not words:
        raise ValueError("no figures in %r" % line)
    return {key: float(value) for key, value in words}


def parse_h2load(text):
    """requests, failed and rps of what h2load said."""
    total = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    rate = re.search(r"^finished in [\d.]+\w+, ([\d.]+) req/s", text, re.M)
    if not total or not rate:
        raise ValueError("h2load said something else: %r" % text[-300:])
    good, failed, errored = map(int, total.groups())
    return {"requests": good, "failed": max(failed, errored), "rps": float(rate.group(1))}


def noise(figures):
    """The largest share, in percent, of a window in which somebody waited for a processor that others had."""
    return max(figures.get(key, 0) for key in ("wait_pct", "load_wait_pct", "steal_pct"))


def undisturbed(values, noises, limit):
    """VALUES (one a round) without those of rounds whose noise, the worst of NOISES (a list for each contestant), is
    above LIMIT: they tell of others on the machine.  All of them where too few would remain.
    """
    worst = [max((noise or 0) for noise in each) for each in zip(*noises)]
    kept = [value if noise <= limit else None for value, noise in zip(values, worst)]
    return kept if sum(value is not None for value in kept) >= ROUNDS_QUIET else values


@dataclasses.dataclass
class Ratio:
    """Of one contestant to another: the median of the ratios within each round, their spread, the ratio of the minima."""
    median: float
    low: float
    high: float
    of_minima: float
    rounds: int


def ratio(mine, other):
    """MINE and OTHER: one figure a round, None where there is none.  None when no round has both."""
    pairs = [(a, b) for a, b in zip(mine, other) if a is not None and b is not None and b > 0]
    if not pairs:
        return None
    each = [a / b for a, b in pairs]
    return Ratio(statistics.median(each), min(each), max(each),
                 min(a for a, _ in pairs) / min(b for _, b in pairs), len(pairs))


def added(with_it, without):
    """Median of what something adds within each round, and of the same in percent; None without rounds."""
    pairs = [(a, b) for a, b in zip(with_it, without) if a is not None and b is not None and b > 0]
    if not pairs:
        return None
    return (statistics.median(a - b for a, b in pairs), statistics.median(100 * (a - b) / b for a, b in pairs))


def left(mine, floor):
    """G = (ours - floor) / (HAProxy - floor), from the ratios to HAProxy; None where HAProxy is at the floor itself."""
    if mine is None or floor is None or floor.median > 0.97:
        return None
    return (mine.median - floor.median) / (1 - floor.median)


def expected_here(expected, share, floor):
    """EXPECTED was measured where the kernel took a certain part of HAProxy's cost.  FLOOR (a Ratio or None) tells the
    part that it takes here: of the rest Limpet may have SHARE.  Never less than EXPECTED.
    """
    if share is None or floor is None:
        return expected
    return max(expected, floor.median + share * (1 - floor.median))


@dataclasses.dataclass
class Verdict:
    good: bool
    final: bool  # more rounds would not change it
    why: str


def is_slack(expected, got):
    """Limpet has become so much better that what is expected would not see it become worse again."""
    return got is not None and got.rounds >= ROUNDS_LEAST and got.median * SLACK < expected


def lost(mine, other):
    """Rounds in which OTHER has a figure and we have none: a proxy that has died or hangs, whatever the others say."""
    return sum(a is None and b is not None for a, b in zip(mine, other))


def judge(expected, got, failed, attempts_left, lost_rounds=0):
    """EXPECTED ratio, GOT it (a Ratio or None), FAILED requests of ours, LOST_ROUNDS without a figure of ours.

    The median decides.  One that is too high gets more rounds while there are attempts; at the last one the ratio of
    the minima has a say, as others on the machine make a round slower, never faster: a row fails when both are
    too high.  Requests that failed and rounds that are lost are never noise, and too few rounds are no success.
    """
    limit = expected * SLACK
    if failed:
        return Verdict(False, True, "%d requests failed" % failed)
    if lost_rounds:
        return Verdict(False, True, "%d rounds without an answer of ours" % lost_rounds)
    if got is None or got.rounds < ROUNDS_LEAST:
        return Verdict(False, attempts_left == 0, "only %d rounds have figures" % (got.rounds if got else 0))
    text = "x %.3f of HAProxy, expected %.3f, at most %.3f" % (got.median, expected, limit)
    if got.median <= limit:
        return Verdict(True, True, text)
    if attempts_left:
        return Verdict(False, False, text)
    if got.of_minima <= limit:
        return Verdict(True, True, text + "; but x %.3f by the minima: a noisy machine" % got.of_minima)
    return Verdict(False, True, text + "; x %.3f by the minima" % got.of_minima)


def parse_perf(text, requests):
    """Calls for each request, by name, of what `perf stat -x,` wrote; "total" is all of them."""
    out = {}
    for line in text.splitlines():
        words = line.split(",")
        if len(words) > 2 and "sys_enter" in words[2] and words[0].isdigit():
            name = words[2].rpartition("sys_enter")[2].lstrip("_").split(":")[0] or "total"
            if int(words[0]) / requests >= 0.005:
                out[name] = int(words[0]) / requests
    if "total" not in out:
        raise ValueError("perf counted nothing")
    return out


def parse_profile(text):
    """The share (0 to 1) that is not the kernel's, of what `perf report --sort dso` printed."""
    shares = re.findall(r"^\s*([\d.]+)%\s+(\S+)", text, re.M)
    if not shares:
        raise ValueError("perf recorded nothing")
    return sum(float(share) for share, name in shares if not name.startswith("[kernel")) / 100
