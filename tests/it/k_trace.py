#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trace: what one client or session does is told on the console while it happens."""
import os
import re

from lib import *
from lib.engine import *
from lib.peer import connect


def console(limpet, command):
    peer = connect(os.path.join(limpet.directory, "stats.sock"), name="console")
    peer.send(command.encode() + b"\n")
    return peer


def lines_until(peer, condition, seen):
    """Reads lines to SEEN until CONDITION(seen) holds."""
    while not condition(seen):
        while b"\n" not in peer.buf:
            check(peer.fill(), "the trace ended with:\n" + "\n".join(seen))
        line, _, rest = bytes(peer.buf).partition(b"\n")
        peer.buf[:] = rest
        seen.append(line.decode())
    return seen


@case("every step of a client's requests is told, with backend, server and status, and none of another's")
def _(t):
    two = Two(t)
    limpet = two.limpet
    peer = console(limpet, "trace 127.0.0.1")
    seen = lines_until(peer, lambda s: len(s) == 1, [])
    check(seen[0].startswith("# tracing for 60s"), seen)
    client = t.connect()
    client.ask(get("/some/path"))
    client.close()
    lines_until(peer, lambda s: any("client closed" in l for l in s), seen)
    mine = [l for l in seen[1:]]
    check("client accepted fe=web" in mine[0], mine[0])
    states = [re.sub(r"^\S+ thread=\d 0x[0-9a-f]+ 127\.0\.0\.1:\d+ ", "", l).split()[0] for l in mine]
    same(states[0], "client", "the first")
    check(len(states) >= 6, states)
    done = [l for l in mine if "/some/path" in l][-1]
    check(re.search(r"GET /some/path be=chat srv=[AB].* status=200", done), done)
    check(all(re.match(r"\+\d+\.\d{6} thread=\d ", l) for l in mine), mine)
    same(limpet.ask_stats("trace 10.1.2.3 for 300ms")[:14], "# tracing for ", "another trace ends the first")
    rest = peer.read_all().decode()
    same(rest, "\n", "the end of the first")


@case("a session is traced by its hash, whatever connection its requests come on; others are not")
def _(t):
    two = Two(t)
    limpet = two.limpet
    sids = [two.handshake() for _ in range(2)]
    hash_ = re.search(r"key=(~\w+)", limpet.ask_stats("show table chat/engineio key " + sids[0])).group(1)
    peer = console(limpet, "trace %s for 1m" % hash_)       # the 32 digits of "show table"; the log and the trace print 16
    seen = lines_until(peer, lambda s: len(s) == 1, [])
    for i in range(3):
        for sid in sids:
            t.ask(get("/socket.io/?EIO=4&transport=polling&sid=%s&n=%d" % (sid, i)))
    lines_until(peer, lambda s: sum("status=" in l and " done " in l.lower() for l in s) >= 3 or
                sum("n=2" in l for l in s) >= 4, seen)
    same({re.search(r"sid=(~\w+)", l).group(1) for l in seen[1:] if "sid=~" in l}, {hash_[:17]}, "sessions")
    check(sids[0] not in "\n".join(seen), "a sid is shown")
    same(limpet.ask_stats("trace"), "A trace is under way.\n\n", "asked")
    same(limpet.ask_stats("trace off"), "\n", "off")
    peer.read_all()
    same(limpet.ask_stats("trace"), "No trace.\n\n", "asked again")


@case("a trace ends by itself, and with its console; mistakes are told")
def _(t):
    two = Two(t)
    limpet = two.limpet
    same(limpet.ask_stats("trace 10.1.2.3 for 100ms;show cli level"),
         "# tracing for 0s; 'trace off' ends it\n\nadmin\n\n", "ends")
    peer = console(limpet, "trace 127.0.0.1 for 1h")
    lines_until(peer, lambda s: s, [])
    peer.close()
    until(lambda: limpet.ask_stats("trace") == "No trace.\n\n", "it went with its console")
    same(t.ask(get()).status, 200, "traffic goes on")
    for command in ("trace nonsense", "trace ~123", "trace ~0123456789abcdeF"):
        check(limpet.ask_stats(command).startswith("'trace' expects"), command)
    check(limpet.ask_stats("trace 10.0.0.1 for ever").startswith("Expects 'for'"), "for ever")


@case("a trace that ends another one, whose console goes on with a trace at once, ends too: none is left over")
def _(t):
    two = Two(t)
    limpet = two.limpet
    first = console(limpet, "prompt i\ntrace 10.0.0.1\ntrace 10.0.0.2")
    lines_until(first, lambda s: len(s) >= 2, [])
    second = console(limpet, "trace 10.0.0.3")
    same(second.read_all(), b"# tracing for 60s; 'trace off' ends it\n\n", "the second, ended by the third")
    same(limpet.ask_stats("trace off"), "\n", "off")
    first.send(b"quit\n")
    check(first.read_all().count(b"tracing") == 1, "the third, ended by 'off'")


@case("a console that does not read costs bounded memory, and traffic goes on")
def _(t):
    two = Two(t)
    limpet = two.limpet
    peer = console(limpet, "trace 127.0.0.1 for 1h")
    lines_until(peer, lambda s: s, [])
    client = t.connect()
    client.ask(get())
    before = limpet.rss()
    for _ in range(1500):
        client.ask(get("/" + "x" * 150))
    check(limpet.rss() - before < (48 if is_sanitized else 4) << 20, "memory")
    limpet.ask_stats("trace off")
    text = peer.read_all().decode()
    check(re.search(r"# \d+ lines were dropped", text), text[-300:])


main()
