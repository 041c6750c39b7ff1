# SPDX-License-Identifier: MIT
"""A HAProxy to compare with: the real one, with a configuration of the case's."""
import os
import shutil
import subprocess

from .limpet import free_port, until
from .peer import connect

__all__ = ["Haproxy", "find_haproxy"]


def find_haproxy():
    for place in (shutil.which("haproxy"), "/usr/sbin/haproxy"):
        if place and os.access(place, os.X_OK):
            return place
    return None


class Haproxy:
    """TEXT may have ${NAME}s of the environment ENV; ${HA_SOCK} and ${HA_PORT} are its own."""

    def __init__(self, t, text):
        self.directory = t.directory
        self.port = free_port()
        path = os.path.join(t.directory, "haproxy.cfg")
        with open(path, "w") as f:
            f.write(text)
        env = dict(os.environ, HA_SOCK=os.path.join(t.directory, "ha"), HA_PORT=str(self.port),
                   **{k: str(v) for k, v in t.env.items()})
        self.log = open(os.path.join(t.directory, "haproxy.log"), "wb")
        self.process = subprocess.Popen([find_haproxy(), "-db", "-f", path], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, env=env)
        until(self.is_up, "haproxy runs; see %s/haproxy.log" % t.directory)

    def is_up(self):
        try:
            connect(os.path.join(self.directory, "ha-admin.sock"), name="haproxy").close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
