#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The scripts around a pair of nodes: keepalived's check and notify, and the address on EC2, with a fake AWS CLI and a
fake metadata server.  keepalived itself runs in tests/e2e/pair-failover.mjs."""
import json
import os
import signal
import subprocess
import time

from lib import *

TOP = os.path.abspath(os.environ.get("top_srcdir") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
CHECK = os.path.join(TOP, "contrib/keepalived/limpet-check")
NOTIFY = os.path.join(TOP, "contrib/keepalived/limpet-notify")
ADDRESS = os.path.join(TOP, "contrib/aws/limpet-aws-address")
STATS = """\
global: {stats: {http: "127.0.0.1:${PORT2}"}}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: b}}
backends: {b: {hosts: {A: "${A}"}}}
"""


def run(words, env=None, limit=20):
    """Status, what it said, and how long it took."""
    began = time.monotonic()
    done = subprocess.run(words, env={"PATH": os.environ["PATH"], **(env or {})}, timeout=limit, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout, time.monotonic() - began


@case("limpet-check: 2xx is good, any other answer is bad at once")
def _(t):
    server = t.server(serve(lambda msg, peer: ok() if msg.target == "/healthz" and msg.get("host") else answer(503)))
    same(run(["bash", CHECK, server.address + "/healthz"])[0], 0, "status")
    same(run(["bash", CHECK, server.address + "/other"])[0], 1, "status")
    same(run(["bash", CHECK, server.address])[0], 1, "status without a path")
    same(run(["bash", CHECK, server.address + "/healthz", server.address + "/other"])[0], 1, "one of two")


@case("limpet-check: refused is bad at once, silence after its limit")
def _(t):
    status, said, took = run(["bash", CHECK, "-w", "900", "127.0.0.1:%d/healthz" % free_port()])
    same(status, 1, "status")
    check("refused" in said and took < 1, (said, took))
    server = t.server(lambda peer: peer.read(1) and time.sleep(3))
    status, said, took = run(["bash", CHECK, server.address + "/healthz"], {"LIMPET_CHECK_LIMIT": "1"})
    same(status, 1, "status")
    check("no answer" in said and 0.9 < took, (said, took))


@case("limpet-check -w: goes on asking, and ends at the first bad answer")
def _(t):
    asked = []

    def reply(msg, peer):
        asked.append(time.monotonic())
        return ok() if len(asked) < 4 else answer(503)
    server = t.server(serve(reply))
    status, said, took = run(["bash", CHECK, "-w", "5000", server.address + "/healthz"])
    same((status, len(asked)), (1, 4), "status and questions")
    check(took < 4, took)
    del asked[3:]


@case("limpet-notify: keeps the state, runs LIMPET_ON_MASTER for MASTER alone, and tells its failure")
def _(t):
    ran = os.path.join(t.directory, "ran")
    env = {"LIMPET_STATE_DIR": t.directory, "LIMPET_NOTIFY_CONF": os.path.join(t.directory, "conf")}
    with open(env["LIMPET_NOTIFY_CONF"], "w") as f:
        f.write("LIMPET_ON_MASTER=%s/on-master\n" % t.directory)
    script(t, "on-master", 'cat "$LIMPET_STATE_FILE" >>%s; [ ! -e %s/fail ]' % (ran, t.directory))
    for state in ("BACKUP", "FAULT", "MASTER"):
        same(run(["bash", NOTIFY, "INSTANCE", "limpet", state, "100"], env)[0], 0, "status")
        same(read(t.directory, "limpet.state"), state + "\n", "the state file")
    same(read(ran), "MASTER\n", "it ran once, when the state was written")
    open(os.path.join(t.directory, "fail"), "w").close()
    same(run(["bash", NOTIFY, "INSTANCE", "limpet", "MASTER", "100"], env)[0], 1, "status when it fails")
    same(run(["bash", NOTIFY, "INSTANCE", "../../x", "BACKUP", "100"], env)[0], 0, "status with a name that is a path")
    same(read(t.directory, "instance.state"), "BACKUP\n", "the state file of an odd name")


def read(*path):
    with open(os.path.join(*path)) as f:
        return f.read()


def script(t, name, text):
    path = os.path.join(t.directory, name)
    with open(path, "w") as f:
        f.write("#!/bin/bash\n" + text + "\n")
    os.chmod(path, 0o755)
    return path


# The cloud: what belongs to which interface, how often it fails first, and what it was asked.
AWS = """
cd %s
echo "$*" >>calls
case "$*" in *--region\\ eu-test-1*) ;; *) echo "no region" >&2; exit 1 ;; esac
failures=$(cat failures)
if [ "$failures" -gt 0 ]; then
	echo $((failures - 1)) >failures
	echo "An error occurred (RequestLimitExceeded)" >&2
	exit 254
fi
case "$*" in
*describe-addresses*) cat eip ;;
*describe-network-interfaces*) cat addresses ;;
*associate-address*--allocation-id\\ eipalloc-0abc*--network-interface-id\\ eni-here*) echo eni-here >eip ;;
*assign-private-ip-addresses*--network-interface-id\\ eni-here*--private-ip-addresses\\ 10.0.1.10*) printf '10.0.1.11\\t10.0.1.10\\n' >addresses ;;
*) exit 1 ;;
esac
"""
META = {"/latest/meta-data/placement/region": b"eu-test-1", "/latest/meta-data/mac": b"0a:0b",
        "/latest/meta-data/network/interfaces/macs/0a:0b/interface-id": b"eni-here"}


class Cloud:
    def __init__(self, t, eip="eni-there", addresses="10.0.1.11", failures=0):
        self.t = t
        self.logged = os.path.join(t.directory, "logged")
        script(t, "aws", AWS % t.directory)
        script(t, "logger", 'echo "$*" >>%s' % self.logged)
        for name, text in (("eip", eip), ("addresses", addresses), ("failures", str(failures)), ("calls", ""), ("logged", "")):
            with open(os.path.join(t.directory, name), "w") as f:
                f.write(text + ("\n" if text else ""))

        def reply(msg, peer):
            if msg.method == "PUT":
                return ok(b"the-token") if msg.target == "/latest/api/token" and msg.has("x-aws-ec2-metadata-token-ttl-seconds") else answer(400)
            if msg.get("x-aws-ec2-metadata-token") != "the-token":
                return answer(401)
            return ok(META[msg.target]) if msg.target in META else answer(404)
        self.meta = t.server(serve(reply))

    def take(self, **env):
        return run(["bash", ADDRESS], {"PATH": self.t.directory + ":" + os.environ["PATH"], "LIMPET_AWS_CONF": "/dev/null", "LIMPET_AWS_SECONDS": "5",
                                       "LIMPET_METADATA": "http://" + self.meta.address, **env})

    def calls(self, word):
        return sum(word in line for line in read(self.t.directory, "calls").splitlines())


@case("limpet-aws-address: an Elastic IP comes here, once")
def _(t):
    cloud = Cloud(t)
    for n in range(2):
        same(cloud.take(LIMPET_EIP_ALLOCATION="eipalloc-0abc")[0], 0, "status")
        same(read(t.directory, "eip"), "eni-here\n", "where it is")
    same(cloud.calls(" associate-address"), 1, "calls that change something")


@case("limpet-aws-address: a secondary address comes here, once, and not one that only looks like it")
def _(t):
    cloud = Cloud(t, addresses="10.0.1.11\t10.0.1.101")
    for n in range(2):
        same(cloud.take(LIMPET_ADDRESS="10.0.1.10")[0], 0, "status")
    same(cloud.calls("assign-private-ip-addresses"), 1, "calls that change something")


@case("limpet-aws-address: errors of the API are tried again, told once, and no token is logged")
def _(t):
    cloud = Cloud(t, failures=3)
    same(cloud.take(LIMPET_EIP_ALLOCATION="eipalloc-0abc")[0], 0, "status")
    logged = read(cloud.logged)
    same(logged.count("RequestLimitExceeded"), 1, "times told")
    check("the-token" not in logged + read(t.directory, "calls"), logged)


@case("limpet-aws-address: it gives up in time, and says why")
def _(t):
    cloud = Cloud(t, failures=1000)
    same(cloud.take(LIMPET_EIP_ALLOCATION="eipalloc-0abc", LIMPET_AWS_SECONDS="1")[0], 1, "status")
    check("gave up after 1 s: An error occurred (RequestLimitExceeded)" in read(cloud.logged), read(cloud.logged))


@case("limpet-aws-address: who is no longer MASTER takes nothing")
def _(t):
    cloud = Cloud(t)
    state = os.path.join(t.directory, "state")
    with open(state, "w") as f:
        f.write("BACKUP\n")
    same(cloud.take(LIMPET_EIP_ALLOCATION="eipalloc-0abc", LIMPET_STATE_FILE=state)[0], 1, "status")
    same(cloud.calls("address"), 0, "calls")


@case("limpet-aws-address: settings that are wrong or missing are told")
def _(t):
    cloud = Cloud(t)
    same(cloud.take()[0], 2, "status without settings")
    same(cloud.take(LIMPET_EIP_ALLOCATION="192.0.2.1")[0], 2, "status with an address for an id")


@case("the IAM policy is JSON and allows what the script calls, no more")
def _(t):
    policy = json.loads(read(TOP, "contrib/aws/policy.json"))
    allowed = set()
    for statement in policy["Statement"]:
        actions = statement["Action"]
        allowed |= set([actions] if isinstance(actions, str) else actions)
    same(allowed, {"ec2:DescribeAddresses", "ec2:DescribeNetworkInterfaces", "ec2:AssociateAddress", "ec2:AssignPrivateIpAddresses"}, "actions")


@case("limpet-check with Limpet itself: good while it serves, bad when it stops and when it is gone")
def _(t):
    t.server(serve(lambda msg, peer: ok()))
    limpet = t.limpet(STATS, ports=("PORT", "PORT2"))
    where = "127.0.0.1:%s/healthz" % t.env["PORT2"]
    same(run(["bash", CHECK, where])[0], 0, "status")
    watch = subprocess.Popen(["bash", CHECK, "-w", "60000", where], stdout=subprocess.DEVNULL)
    limpet.is_ended_by_test = True
    limpet.signal(signal.SIGTERM)
    same(watch.wait(10), 1, "the watch's status")
    same(limpet.wait_exit(), 0, "limpet's status")
    same(run(["bash", CHECK, where])[0], 1, "status")


main()
