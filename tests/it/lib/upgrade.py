# SPDX-License-Identifier: MIT
"""What the tests of upgrades share: a configuration, another program, and who must end."""
import os
import re
import signal

from .limpet import *
from .case import *

__all__ = ["CONFIG", "text_of", "program", "refused"]

CONFIG = """\
global:
  threads: %(threads)s
  pid_file: ${RUN}/pid
  stats: {socket: "unix:${RUN}/stats.sock"}%(global_)s
frontends:
  web: {bind: [%(bind)s], backend: app}
backends:
  app:
    hosts:
      one: {address: "${A}"}
"""


def text_of(threads="${THREADS:-2}", global_="", bind='"127.0.0.1:${PORT}"'):
    return CONFIG % {"threads": threads, "global_": "".join("\n  " + g for g in global_.split("\n") if g),
                     "bind": bind}


def program(t, text, name="program"):
    """A program to be started instead of Limpet."""
    path = os.path.join(t.directory, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def refused(limpet, what, timeout=20):
    """SIGUSR2 leads to nothing but a line in the log that has WHAT."""
    at = len(limpet.log())
    os.kill(limpet.pid, signal.SIGUSR2)
    until(lambda: re.search("upgrade (failed|refused).*" + what, limpet.log()[at:]),
          lambda: "/%s/; the log: %s" % (what, limpet.log()[at:]), timeout)
    check(limpet.process.poll() is None, "the old process is there")
