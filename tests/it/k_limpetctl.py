#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""limpetctl: on a terminal, in a pipe, as JSON, again and again; exit statuses; completion by bash."""
import json
import os
import re
import shutil
import subprocess

from lib import *
from lib.terminal import Terminal

CONFIG = """\
global:
  threads: 1
  stats: {socket: "unix:${RUN}/stats.sock"}
frontends: {web: {bind: "127.0.0.1:${PORT}", backend: chat}}
backends:
  chat:
    stick: {ip: {remember: 5m}}
    health_check: {http: /healthz, interval: 50ms, rise: 1, fall: 2}
    hosts:
      app-1: {address: 127.0.0.1, workers: ["${W1}", "${W2}"]}
      other: "${B}"
"""


def program():
    for top in (os.environ.get("top_builddir"), os.path.dirname(find_limpet())):
        path = os.path.join(top or ".", "limpetctl")
        if os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise Skip("limpetctl is not built")


def cluster(t):
    t.echo(name="B")
    for name in ("W1", "W2"):
        t.env[name] = str(t.echo(name=name).port)
    limpet = t.limpet(CONFIG)
    until(lambda: all(r["check_status"].endswith("L7OK") for r in limpet.stat_rows() if r["type"] == "2"), "checked")
    limpet.env2 = {"LIMPET_SOCKET": os.path.join(limpet.directory, "stats.sock")}
    return limpet


def ctl(limpet, *args, env=None):
    done = subprocess.run([program()] + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30, text=True, env=dict(os.environ, **limpet.env2, **(env or {})))
    return done.returncode, done.stdout, done.stderr


def on_terminal(limpet, *args, env=None, rows=40):
    terminal = Terminal([program()] + list(args), rows=rows, columns=160, env=dict(limpet.env2, **(env or {})))
    status = terminal.wait_exit()
    text, raw = terminal.screen.text(), terminal.raw
    terminal.close()
    return status, text, raw


@case("on a terminal tables stand in columns, and states have colours")
def _(t):
    limpet = cluster(t)
    limpet.ask_stats("disable server chat/other")
    status, text, raw = on_terminal(limpet, "show", "workers")
    lines = text.rstrip("\n").split("\n")
    same((status, len(lines)), (0, 4), text)
    at = lines[0].index("status")
    same([l[at:].split()[0] for l in lines[1:]], ["UP", "UP", "MAINT"], "status")
    check("\x1b[32mUP" in raw and "\x1b[33mMAINT" in raw, raw)
    status, text, raw = on_terminal(limpet, "show", "workers", env={"NO_COLOR": "1"})
    check("\x1b[3" not in raw, "NO_COLOR")
    status, text, raw = on_terminal(limpet, "show servers state")
    check(re.search(r"^be_id +be_name +srv_id", text, re.M) or "be_name" in text, text)
    status, text, raw = on_terminal(limpet, "show info")
    check("Name: Limpet" in raw and "NbThreadGroups: 1" in text, text)
    status, text, raw = on_terminal(limpet, "set server chat/nope state up")
    same((status, text.strip()), (1, "No such server."), "an error")


@case("in a pipe answers are as they are on the wire, without colours")
def _(t):
    limpet = cluster(t)
    for command in ("show stat", "show workers", "show backend"):
        status, out, err = ctl(limpet, *command.split())
        same((status, err), (0, ""), command)
        check(out.startswith("# ") and "\x1b" not in out, out[:200])
    same(ctl(limpet, "show backend")[1], limpet.ask_stats("show backend").rstrip("\n") + "\n", "the same")


@case("exit status: 0 done, 1 the command failed, 2 no connection or wrong usage")
def _(t):
    limpet = cluster(t)
    for args, want in ((("disable", "server", "chat/other"), 0), (("enable server chat/other",), 0),
                       (("enable server chat/x",), 1), (("show cli level; enable server chat/x; show cli level",), 1),
                       (("frob",), 1), (("-s", "/nowhere", "show info"), 2), (("--frob",), 2), (("-w", "0", "show info"), 2),
                       (("show\ninfo",), 2), (("--help",), 0), (("--version",), 0), (("help",), 0),
                       (("wait 50 srv-removable chat/other",), 1)):
        same(ctl(limpet, *args)[0], want, args)
    status, out, err = ctl(limpet, "enable server chat/x")
    same((out, err), ("", "No such server.\n"), "an error")
    status, out, err = ctl(limpet, "help")
    check("show stat" in out, out)


@case("--json: tables are arrays of objects, show info is one object, JSON stays as it is")
def _(t):
    limpet = cluster(t)
    rows = json.loads(ctl(limpet, "--json", "show", "stat")[1])
    same([(r["pxname"], r["svname"]) for r in rows][:2], [("web", "FRONTEND"), ("chat", "app-1/" + t.env["W1"])], "rows")
    same((rows[1]["weight"], rows[1]["status"], rows[1]["throttle"], rows[0]["lastsess"]), (100, "UP", None, None), "values")
    info = json.loads(ctl(limpet, "-j", "show info")[1])
    same((info["Name"], info["Pid"]), ("Limpet", limpet.process.pid), "info")
    same(json.loads(ctl(limpet, "-j", "show cli level")[1]), ["admin"], "a line")
    state = json.loads(ctl(limpet, "-j", "show servers state")[1])
    same([s["srv_name"] for s in state][2], "other", "state")
    same(json.loads(ctl(limpet, "-j", "show info json")[1])[0]["value"]["value"], "Limpet", "already JSON")
    status, out, err = ctl(limpet, "-j", "enable server chat/x")
    same((status, out, err), (1, "", "No such server.\n"), "an error")


@case("--watch shows it again and again until it is ended, or the command fails")
def _(t):
    limpet = cluster(t)
    process = subprocess.Popen([program(), "--watch", "0.1", "show", "cli", "level"], stdout=subprocess.PIPE,
                               env=dict(os.environ, **limpet.env2))
    text = b"".join(process.stdout.read(1) for _ in range(18))
    same(text, b"admin\n" * 3, "three times")
    process.terminate()
    process.wait()
    process.stdout.close()
    terminal = Terminal([program(), "-w0.1", "show workers"], env=limpet.env2)
    terminal.until(lambda s: "every 0.1 s" in s and "other" in s, "the first screen")
    limpet.ask_stats("disable server chat/other")
    terminal.until(lambda s: "MAINT" in s, "a later one")
    terminal.key("\x03")
    terminal.wait_exit()
    terminal.close()
    same(ctl(limpet, "-w", "0.1", "enable server chat/x")[0], 1, "a command that fails")


@case("without a command on a terminal it is a prompt, which quit ends")
def _(t):
    limpet = cluster(t)
    terminal = Terminal([program()], env=limpet.env2)
    terminal.until(lambda s: s.rstrip().endswith(">"), "the prompt")
    terminal.key("show cli level\n")
    terminal.until(lambda s: "admin" in s, "an answer")
    terminal.key("quit\n")
    same(terminal.wait_exit(), 0, "status")
    terminal.close()


def completions(limpet, *words):
    """What bash offers for the last of WORDS."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "contrib", "limpetctl.bash-completion")
    script = ('PATH="%s:$PATH"; source "%s"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _limpetctl; '
              'printf "%%s\\n" "${COMPREPLY[@]}"' % (os.path.dirname(program()), here))
    done = subprocess.run(["bash", "-c", script, "bash", "limpetctl"] + list(words), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=20, env=dict(os.environ, **limpet.env2))
    same(done.stderr, "", "errors of bash")
    return set(done.stdout.split())


@case("completion by bash: commands, and names that the running Limpet has")
def _(t):
    if not shutil.which("bash"):
        raise Skip("no bash")
    limpet = cluster(t)
    servers = {"chat/app-1/" + t.env["W1"], "chat/app-1/" + t.env["W2"], "chat/other"}
    check({"show", "set", "enable", "reload"} <= completions(limpet, ""), "first words")
    same(completions(limpet, "sho"), {"show"}, "a beginning")
    check({"stat", "info", "sess", "sessions", "servers"} <= completions(limpet, "show", "s") | completions(limpet, "show", "i"),
          "second words")
    for words in (("set", "server"), ("enable", "server"), ("get", "weight"), ("shutdown", "sessions", "server")):
        same(completions(limpet, *words, ""), servers, words)
    check({"state", "weight"} <= completions(limpet, "set", "server", "chat/other", ""), "what of a server")
    same(completions(limpet, "set", "server", "chat/other", "state", "d"), {"drain"}, "states")
    same(completions(limpet, "disable", "frontend", ""), {"web"}, "frontends")
    same(completions(limpet, "show", "workers", ""), {"chat"}, "backends")
    same(completions(limpet, "show", "table", ""), {"chat/ip"}, "tables")
    same(completions(limpet, "--js"), {"--json"}, "options")
    same(completions(limpet, "-s", "/nowhere", "set", "server", ""), set(), "no Limpet, no names, no noise")


main()
