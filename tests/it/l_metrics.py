#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Metrics: what `show metrics` answers is what happened, in a form that promtool has nothing to say to;
the rules, the dashboard and the reference speak of what is there."""
import json
import os
import re
import shutil
import subprocess
import time
from urllib.parse import quote
from urllib.request import urlopen

from lib import *
from lib.case import Skip
from lib.engine import *
from lib.limpet import free_port

TOP = os.environ.get("top_srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def promtool(*args, stdin=None, cwd=None):
    tool = shutil.which("promtool")
    if not tool:
        raise Skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run([tool] + list(args), input=stdin, stdout=subprocess.PIPE, cwd=cwd,
                          stderr=subprocess.STDOUT, timeout=60, universal_newlines=True)
    return done.returncode, done.stdout


def scrape(limpet, form=""):
    return limpet.ask_stats(("show metrics " + form).strip()).rstrip("\n") + "\n"


def labels_of(text):
    at, found = 0, {}
    while at < len(text):
        m = LABEL.match(text, at)
        check(m, "labels %r" % text)
        check(m.group(1) not in found, "label twice in %r" % text)
        found[m.group(1)] = m.group(2)
        at = m.end()
    return found


class Scrape:
    """Samples by name, as (labels, value); every family in one piece, no sample twice."""

    def __init__(self, text):
        self.text = text
        self.samples, self.types, self.help = {}, {}, {}
        seen, family, families = set(), None, set()
        for line in text.rstrip("\n").split("\n"):
            if line.startswith("# HELP "):
                family, self.help[family] = line[7:].split(" ", 1)
                check(family not in families, "family %s comes twice" % family)
                families.add(family)
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                same(name, family, "TYPE right after HELP")
                self.types[name] = kind
            elif line.startswith("#"):
                check(line == "# EOF" or line.startswith("# UNIT " + family), line)
            else:
                m = SAMPLE.match(line)
                check(m, "a sample: %r" % line)
                check(line.startswith(family), "%r belongs to %s" % (line, family))
                check((m.group(1), m.group(2)) not in seen, "twice: %r" % line)
                seen.add((m.group(1), m.group(2)))
                self.samples.setdefault(m.group(1), []).append((labels_of(m.group(2) or ""), float(m.group(3))))

    def get(self, name, **want):
        """The sum of the samples that have the labels."""
        check(name in self.samples, "no sample of %s" % name)
        found = [v for labels, v in self.samples[name]
                 if all(labels.get(k) == w for k, w in want.items())]
        check(found, "%s has no sample with %r; it has %r" % (name, want, self.samples[name]))
        return sum(found)


def settled(limpet, condition, what):
    """The scrape after one of which CONDITION holds: counters follow what the client saw by a moment,
    and families are read one after another."""
    last = []

    def is_so():
        last[:] = [Scrape(scrape(limpet))]
        return condition(last[0])
    until(is_so, lambda: "%s\n%s" % (what, "\n".join(
        l for l in last[0].text.split("\n") if " 0" != l[-2:] and "#" not in l and "bucket" not in l)))
    return Scrape(scrape(limpet))


def traffic(t, two):
    """Requests, sessions, an upgrade that succeeds, one that fails, one session of WebSocket alone."""
    for n in range(10):
        same(t.ask(get("/page/%d" % n)).status, 200, "page")
    sids = [two.handshake() for _ in range(4)]
    for sid in sids:
        same(t.ask(get(POLL + sid)).status, 200, "poll")
    upgraded = t.connect()
    upgraded.send(get(UPGRADE + sids[0], WS_FIELDS))
    same(upgraded.read_response().status, 101, "upgrade")
    upgraded.send(ws_client_text("2probe") + ws_client_text("5"))
    failed = t.connect()
    failed.send(get(UPGRADE + sids[1], WS_FIELDS))
    same(failed.read_response().status, 101, "upgrade")
    failed.send(ws_client_text("2probe"))
    own = t.connect()
    own.send(get("/socket.io/?EIO=4&transport=websocket", WS_FIELDS))
    same(own.read_response().status, 101, "WebSocket alone")
    return sids, upgraded, failed, own


@case("promtool check metrics has nothing to say, before traffic and after")
def _(t):
    two = Two(t, stick="[engineio, {ip: {remember: 5m}}]")
    for _ in range(2):
        same(promtool("check", "metrics", stdin=scrape(two.limpet)), (0, ""), "promtool")
        traffic(t, two)


@case("every row of counters.def comes out, with its help")
def _(t):
    have = Scrape(scrape(Two(t).limpet))
    text = read("include/model/counters.def")
    rows_ = re.findall(r'^COUNTER\((\w+), (\w+), (COUNT|GAUGE),\s*"([^"]*)"', text, re.M)
    check(len(rows_) > 60 and len(rows_) == len(re.findall("^COUNTER", text, re.M)), "rows are read")
    for scope, name, kind, text in rows_:
        code = re.match(r"(\w+)_(\dxx)$", name)
        if code:
            have.get("limpet_%s_%s_total" % (scope, code.group(1)), code=code.group(2))
            continue
        if name in ("reloads", "reloads_failed"):
            have.get("limpet_config_reloads_total",
                     result="failure" if name.endswith("failed") else "success")
            continue
        name = re.sub("bytes_(in|out)$", r"\1_bytes", re.sub("_us$", "_seconds", name))
        full = "limpet_%s_%s%s" % (scope, name, "_total" if kind == "COUNT" else "")
        have.get(full)
        same((have.types[full], have.help[full]), ("counter" if kind == "COUNT" else "gauge", text), full)


@case("the numbers are what was done: requests, handshakes, sessions by transport, upgrades")
def _(t):
    two = Two(t)
    sids, upgraded, failed, own = traffic(t, two)

    def is_there(m):
        return (m.get("limpet_frontend_requests_ended_total", reason="done") == 18 and
                m.get("limpet_server_upgrades_completed_total") == 1 and
                m.get("limpet_server_tunnels_now") == 3)
    m = settled(two.limpet, is_there, "all is counted")
    same(m.get("limpet_frontend_requests_total", frontend="web"), 21, "requests")
    same(m.get("limpet_process_requests_total"), 21, "requests of the process")
    same(m.get("limpet_frontend_responses_total", code="2xx"), 18, "2xx")
    same(m.get("limpet_frontend_responses_total", code="1xx"), 3, "1xx")
    same(m.get("limpet_server_handshakes_total"), 5, "handshakes")
    same(m.get("limpet_server_websocket_handshakes_total"), 1, "born on a WebSocket")
    same(m.get("limpet_backend_sids_learned_total", backend="chat"), 4, "learned")
    same(m.get("limpet_backend_sid_hits_total"), 6, "hits")
    same(m.get("limpet_table_entries", backend="chat", rule="engineio"), 4, "table")
    same(m.get("limpet_server_upgrade_attempts_total"), 2, "attempts")
    same(m.get("limpet_server_sessions", transport="websocket"), 2, "sessions on WebSockets")
    same(m.get("limpet_server_sessions", transport="polling"), 3, "sessions that poll")
    same(m.get("limpet_server_sessions", transport="websocket", server=two.owner(sids[0])) >= 1, True,
         "the session's own server")
    same(m.get("limpet_frontend_tunnels_now"), 3, "tunnels")
    for peer in (failed, upgraded, own):
        peer.close()
    m = settled(two.limpet, lambda m: m.get("limpet_server_tunnels_now") == 0, "the tunnels end")
    same([(l["reason"], v) for l, v in m.samples["limpet_frontend_tunnels_ended_total"] if v], [("tunnel_client", 3)], "ends")
    same((m.get("limpet_server_upgrades_completed_total"), m.get("limpet_server_upgrades_failed_total")),
         (1, 1), "upgrades completed and failed")
    same(m.get("limpet_server_websocket_sessions_now"), 0, "sessions on WebSockets")
    same(m.get("limpet_server_sessions", transport="websocket"), 0, "sessions on WebSockets")


@case("a poll that is held is seen while it is, and is not among the times of requests")
def _(t):
    def worker(name, msg):
        if "sid=" in msg.target:
            t.events.wait("say")
        return two.usual(name, msg, len(two.order))
    two = Two(t, answer=worker)
    sid = two.handshake()
    client = t.connect()
    client.send(get(POLL + sid))
    m = settled(two.limpet, lambda m: m.get("limpet_server_polls_now") == 1, "one poll is held")
    same(m.get("limpet_server_requests_now"), 1, "requests")
    t.events.fire("say")
    same(client.read_response().status, 200, "status")
    m = settled(two.limpet, lambda m: m.get("limpet_backend_request_seconds_count", kind="poll") == 1, "a poll")
    same(m.get("limpet_server_polls_now"), 0, "polls")
    same(m.get("limpet_backend_request_seconds_count", kind="request"), 1, "requests: the handshake")
    same(m.get("limpet_server_timed_requests_total"), 1, "timed")
    same(m.get("limpet_backend_first_byte_seconds_count", kind="poll"), 1, "first bytes of polls")


@case("histograms: what a slow server takes is in its buckets, and in show stat's averages and maxima")
def _(t):
    def worker(name, msg):
        if msg.target == "/slow":
            time.sleep(0.12)
        return ok(name)
    two = Two(t, answer=worker, stick="ip")
    for target in ("/", "/", "/slow"):
        same(t.ask(get(target)).status, 200, "status")

    def bucket(m, le):
        return m.get("limpet_backend_first_byte_seconds_bucket", kind="request", le=le)
    m = settled(two.limpet, lambda m: bucket(m, "+Inf") == 3, "three responses")
    check(bucket(m, "0.1") <= 2, "the slow one is above 0.1 s")
    for name in ("first_byte", "request"):
        check(0.12 <= m.get("limpet_backend_%s_seconds_sum" % name, kind="request") < 5 * SLOW, name)
        found = [v for labels, v in m.samples["limpet_backend_%s_seconds_bucket" % name] if labels["kind"] == "request"]
        same(found, sorted(found), "cumulated")
        same(found[-1], m.get("limpet_backend_%s_seconds_count" % name, kind="request"), "+Inf is the count")
    same(m.get("limpet_backend_queue_seconds_bucket", le="0.00025"), 3, "nobody waited")
    check(m.get("limpet_backend_connect_seconds_count") >= 1, "connections")
    check(m.get("limpet_server_response_seconds_total") >= 0.12, "sums")

    def row():
        found = [r for r in two.limpet.stat_rows() if r["svname"] == "BACKEND"][0]
        return int(found["rtime"]) >= 30 and found
    found = until(row, "the average comes within a second or two; %r" % two.limpet.stat_rows()[-1], 4)
    check(int(found["ttime"]) >= int(found["rtime"]) - 1, "ttime")
    check(int(found["rtime_max"]) >= 120 and int(found["ttime_max"]) >= 120, "maxima")
    same(found["qtime"], "0", "qtime")


@case("servers and hosts: up, state, weight; a worker that is gone is told, code-1 answers by whom")
def _(t):
    two = Two(t)
    have = two.two_sessions()
    m = Scrape(scrape(two.limpet))
    same((m.get("limpet_server_up"), m.get("limpet_host_up"), m.get("limpet_backend_up")), (2, 2, 1), "up")
    same(m.get("limpet_server_state", state="ready"), 2, "ready")
    same(m.get("limpet_backend_servers", state="ready"), 2, "ready of the backend")
    check(m.get("limpet_server_weight", server="A", host="A", worker="", backend="chat") > 0, "weight")
    two.servers["A"].down()
    same(t.ask(get(POLL + have["A"])).status, 400, "its session is lost")
    m = settled(two.limpet, lambda m: m.get("limpet_server_up", server="A") == 0, "A is down")
    same((m.get("limpet_host_up", host="A"), m.get("limpet_host_up", host="B")), (0, 1), "hosts")
    same((m.get("limpet_server_state", server="A", state="down"), m.get("limpet_server_state", server="A", state="ready")),
         (1, 0), "state")
    same(m.get("limpet_backend_servers", state="down"), 1, "down")
    same(m.get("limpet_backend_session_unknown_answers_total"), 1, "answers of ours")
    same(m.get("limpet_server_downs_total", server="A"), 1, "downs")


@case("a worker's own code-1 answer is counted for it")
def _(t):
    def worker(name, msg):
        if "sid=" not in msg.target:
            return two.usual(name, msg, len(two.order))
        return answer(400, '{"code":1,"message":"Session ID unknown"}', [("Content-Type", "application/json")])
    two = Two(t, answer=worker)
    sid = two.handshake()
    same(t.ask(get(POLL + sid)).status, 400, "status")
    m = settled(two.limpet, lambda m: m.get("limpet_server_unknown_sids_total", server=two.owner(sid)) == 1, "seen")
    same(m.get("limpet_backend_session_unknown_answers_total"), 0, "none of ours")


@case("sessions that are told to move leave the gauges, and the tunnels' ends say so")
def _(t):
    two = Two(t, frames=ws_text("0"))     # a close frame goes between frames: so there must be such
    sids, upgraded, failed, own = traffic(t, two)
    settled(two.limpet, lambda m: m.get("limpet_server_upgrades_completed_total") == 1, "upgraded")
    failed.close()
    settled(two.limpet, lambda m: m.get("limpet_server_upgrades_failed_total") == 1, "failed")
    for name in "AB":
        two.limpet.ask_stats("drain chat/%s now" % name)
    for c in (upgraded, own):
        c.read_to(b"moving")            # the reason in the close frame
        c.close()
    for server in two.servers.values():
        for peer in server.peers:
            peer.shut_both()
    m = settled(two.limpet, lambda m: m.get("limpet_server_tunnels_now") == 0, "the tunnels end")
    ends = {(l["side"], l["reason"]): v for l, v in m.samples["limpet_frontend_tunnels_ended_total"] if v}
    same(sum(ends.values()), 3, "ends in %r" % ends)
    same([v for (side, reason), v in ends.items() if side == "limpet"], [2], "ends by Limpet in %r" % ends)
    same(m.get("limpet_server_websocket_sessions_now"), 0, "sessions on WebSockets")
    same(m.get("limpet_server_state", state="drain"), 2, "draining")
    same(m.get("limpet_server_up"), 2, "but up")
    same(m.get("limpet_backend_up"), 0, "no server takes new sessions")


@case("clear counters all: counters begin anew, gauges stay as they are")
def _(t):
    two = Two(t)
    traffic(t, two)
    settled(two.limpet, lambda m: m.get("limpet_server_upgrades_completed_total") == 1, "upgraded")
    two.limpet.ask_stats("clear counters all")
    m = Scrape(scrape(two.limpet))
    same((m.get("limpet_frontend_requests_total"), m.get("limpet_server_handshakes_total")), (0, 0), "counters")
    same((m.get("limpet_frontend_tunnels_now"), m.get("limpet_server_sessions", transport="websocket")), (3, 2), "gauges")


@case("reloads: how many, how the last one went, and when")
def _(t):
    limpet = t.limpet(config(global_='stats: {socket: "unix:${RUN}/stats.sock"}'), A="127.0.0.1:1")
    m = Scrape(scrape(limpet))
    same((m.get("limpet_config_last_reload_success"), m.get("limpet_config_reloads_total", result="success")), (1, 0), "at start")
    text = read(limpet.path)
    limpet.ask_stats("reload")
    limpet.write("nonsense: [\n")
    limpet.ask_stats("reload")
    m = Scrape(scrape(limpet))
    same(m.get("limpet_config_reloads_total", result="success"), 1, "success")
    same(m.get("limpet_config_reloads_total", result="failure"), 1, "failure")
    same(m.get("limpet_config_last_reload_success"), 0, "the last one")
    limpet.write(text)
    limpet.ask_stats("reload")
    same(Scrape(scrape(limpet)).get("limpet_config_last_reload_success"), 1, "and again")


@case("OpenMetrics: names without _total in the heads, units at the ends of names, EOF at the end")
def _(t):
    two = Two(t)
    traffic(t, two)
    text = scrape(two.limpet, "openmetrics")
    check(text.endswith("\n# EOF\n") and text.count("# EOF") == 1, "EOF")
    m = Scrape(text)
    units = dict(line[7:].split(" ") for line in text.split("\n") if line.startswith("# UNIT "))
    check("seconds" in units.values() and "bytes" in units.values(), units)
    for name, unit in units.items():
        check(name.endswith("_" + unit), "%s ends in its unit %s" % (name, unit))
    for name, kind in m.types.items():
        check(not name.endswith("_total"), name)
        suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[kind]
        others = [n for n in m.types if n != name and n in [name + s for s in suffixes]]
        check(not others, "%s and %r" % (name, others))
    for name in m.samples:
        same(sum(name == f + s for f, kind in m.types.items() for s in
                 {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[kind]), 1, name)
    check('le="1.0"' in text and 'le="1"' not in text, "bounds are floats")
    same(set(re.sub("_total$", "", n) for n in Scrape(scrape(two.limpet)).types), set(m.types), "the same families")


@case("an answer for a thousand servers comes whole, every family in one piece, and costs little memory")
def _(t):
    limpet = t.limpet("""\
global: {stats: {socket: "unix:${RUN}/stats.sock"}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: app}}
backends: {app: {hosts: {%s}}}
""" % ", ".join('h%d: {address: 127.0.%d.1, workers: 3001-3004}' % (n, n) for n in range(250)))
    scrape(limpet)
    before = limpet.rss()
    m = Scrape(scrape(limpet))
    same(len(m.samples["limpet_server_requests_total"]), 1000, "servers")
    same(len(m.samples["limpet_host_up"]), 250, "hosts")
    same(m.get("limpet_host_workers"), 1000, "workers")
    check(len(m.text) > 4000000, "size %d" % len(m.text))
    check(limpet.rss() - before < 2000000 * SLOW, "memory grew by %d" % (limpet.rss() - before))
    same(promtool("check", "metrics", stdin=m.text), (0, ""), "promtool")


@case("Prometheus itself takes every sample, as OpenMetrics, and its rules find nothing wrong")
def _(t):
    prometheus = shutil.which("prometheus")
    if not prometheus:
        raise Skip("prometheus is not installed")
    two = Two(t)
    here = "127.0.0.1:%d" % free_port()
    two.limpet.write(read(two.limpet.path).replace('/stats.sock"', '/stats.sock", http: "%s"' % here))
    check("Reloaded." in two.limpet.ask_stats("reload"), "reload")
    traffic(t, two)
    want = len(re.findall(r"^[^#\n]", scrape(two.limpet, "openmetrics"), re.M))
    port = free_port()
    path = os.path.join(t.directory, "prometheus.yml")
    with open(path, "w") as f:
        f.write("""\
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: ["%s"]
scrape_configs:
  - {job_name: limpet, static_configs: [{targets: ["%s"]}]}
""" % (os.path.abspath(os.path.join(TOP, "contrib/prometheus/limpet-rules.yml")), here))
    with open(os.path.join(t.directory, "prometheus.log"), "w") as log:
        process = subprocess.Popen(
            [prometheus, "--config.file=" + path, "--storage.tsdb.path=" + os.path.join(t.directory, "tsdb"),
             "--web.listen-address=127.0.0.1:%d" % port, "--log.level=info"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def api(path):
        try:
            with urlopen("http://127.0.0.1:%d/api/v1/%s" % (port, path), timeout=5) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def value(query):
        found = api("query?query=" + quote(query))
        return found and found["result"] and float(found["result"][0]["value"][1])
    try:
        until(lambda: value("up{job=\"limpet\"}") == 1, lambda: "a scrape; targets: %r" % api("targets"), 20)
        have = value("scrape_samples_scraped")
        check(abs(have - want) <= 20, "%d samples were taken, of %d" % (have, want))
        same(value("sum(limpet_server_handshakes_total)"), 5, "handshakes as Prometheus has them")
        same(value("sum(limpet_server_sessions{transport=\"websocket\"})"), 2, "sessions on WebSockets")
        same(value("count(limpet_backend_request_seconds_bucket{le=\"1.0\"})"), 2, "bounds as OpenMetrics writes them")
        until(lambda: value("limpet:sessions:sum"), "a recording rule has run", 10 * SLOW)
        for group in api("rules")["groups"]:
            for rule in group["rules"]:
                same((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])
                check(rule.get("state") != "firing", "%s fires" % rule["name"])
    finally:
        process.terminate()
        process.wait(20)


def names_in(query):
    """Names of metrics that a PromQL expression asks for."""
    query = re.sub(r'"(?:[^"\\]|\\.)*"', '""', query)
    return set(re.findall(r"\blimpet_[a-z0-9_]+", query))


def known(m):
    return set(m.samples) | set(m.types)


@case("promtool check rules and test rules agree to contrib/prometheus")
def _(t):
    directory = os.path.join(TOP, "contrib/prometheus")
    rc, text = promtool("check", "rules", "--lint-fatal", "limpet-rules.yml", cwd=directory)
    same(rc, 0, "check rules: " + text)
    rules, tests = read("contrib/prometheus/limpet-rules.yml"), read("contrib/prometheus/limpet-rules-test.yml")
    for alert in re.findall(r"alert: (\S+)", rules):
        check("alertname: %s\n" % alert in tests, "%s has a test" % alert)
    rc, text = promtool("test", "rules", "limpet-rules-test.yml", cwd=directory)
    same(rc, 0, "test rules: " + text)
    rc, text = promtool("check", "config", "--syntax-only", "prometheus.yml", cwd=directory)
    same(rc, 0, "check config: " + text)


@case("rules and dashboard ask for nothing that does not exist")
def _(t):
    two = Two(t, stick="[engineio, {ip: {remember: 5m}}]")
    traffic(t, two)
    have = known(Scrape(scrape(two.limpet)))
    may_be_absent = {"limpet_server_check_duration_seconds", "limpet_server_max_connections"}
    rules = read("contrib/prometheus/limpet-rules.yml")
    recorded = set(re.findall(r"record: (\S+)", rules))
    wanted = names_in(re.sub(r"(record|alert): \S+", "", rules))
    check(len(wanted) > 15, "names in the rules: %r" % wanted)
    same(wanted - have - may_be_absent, set(), "rules")
    board = json.loads(read("contrib/grafana/limpet.json"))
    found = []

    def walk(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("expr", "query", "definition") and isinstance(value, str):
                    found.append(value)
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(board)
    wanted = set().union(*map(names_in, found))
    check(len(wanted) > 25, "names in the dashboard: %r" % wanted)
    same(wanted - have - may_be_absent, set(), "dashboard")
    for name in set(re.findall(r"\blimpet:[a-z0-9_:]+", " ".join(found))):
        check(name in recorded, "%s is recorded" % name)


@case("the dashboard: a panel has a title, a place of its own, queries and a unit")
def _(t):
    board = json.loads(read("contrib/grafana/limpet.json"))
    check(board["schemaVersion"] >= 36 and board["uid"] and board["title"], "head")
    names = [v["name"] for v in board["templating"]["list"]]
    same(names, ["datasource", "job", "instance", "backend"], "variables")
    panels = [p for p in board["panels"] if p["type"] != "row"]
    check(len(panels) >= 20, "%d panels" % len(panels))
    same(len(set(p["id"] for p in board["panels"])), len(board["panels"]), "ids")
    taken = set()
    for p in board["panels"]:
        g = p["gridPos"]
        check(0 <= g["x"] and g["x"] + g["w"] <= 24, "%s is on the board" % p["title"])
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        check(not cells & taken, "%s has a place of its own" % p["title"])
        taken |= cells
    for p in panels:
        check(p["title"] and p["targets"] and p.get("description"), p["title"])
        same(p["datasource"]["uid"], "${datasource}", p["title"])
        check("unit" in p["fieldConfig"]["defaults"] or p["type"] == "heatmap", "%s has a unit" % p["title"])
        for target in p["targets"]:
            check('instance=~"$instance"' in target["expr"], "%s: %s" % (p["title"], target["expr"]))


main()
