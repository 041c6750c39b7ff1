# SPDX-License-Identifier: MIT
"""One Limpet whose servers are checked, and scripts of servers that answer checks."""
from lib import *

HEAD = WATCHED + "    retries: 0\n"
TIMES = "interval: 100ms, spread: 0, timeout: 200ms, fall: 2, rise: 1"


def asked(peer):
    """Takes the request, if one comes: Limpet may end just then."""
    if peer.fill(3600):
        peer.read_request()


def heard(peer, size):
    """The SIZE bytes that a check sends; Limpet may end it at any moment (on a busy machine)."""
    while len(peer.buf) < size:
        if not peer.fill(3600):
            raise Gone()
    return peer.take(size)


class Gone(Exception):
    """The check was ended before all of it was heard."""


def answering(script):
    """SCRIPT for a check's connection; one that is ended before it has asked is of no account."""
    def run(peer):
        try:
            script(peer)
        except Gone:
            pass
    return run


def limpet(t, check, more="", hosts='{A: "${A}"}'):
    return t.limpet(HEAD + "    health_check: %s\n%s    hosts: %s\n" % (
        check.replace("TIMES", TIMES), more, hosts))


def row(limpet, name="A"):
    return [r for r in limpet.stat_rows() if r["svname"] == name][0]


def code(limpet, name="A"):
    return row(limpet, name)["check_status"].replace("* ", "")


def settles(limpet, want, status=None, name="A"):
    """The check's code becomes WANT, and the server's status begins with STATUS."""
    def look():
        r = row(limpet, name)
        return r["check_status"].replace("* ", "") == want and (not status or r["status"].startswith(status))
    until(look, lambda: "%s %s; it is %s" % (want, status, {
        k: row(limpet, name)[k] for k in ("status", "check_status", "last_chk", "check_code")}))
