# SPDX-License-Identifier: MIT
"""Mode tcp: its configuration, and servers that say who they are."""
from .case import same

__all__ = ["SIG", "MEG", "conf", "echo", "named", "says", "line", "row"]

SIG = b"\r\n\r\n\0\r\nQUIT\n"
MEG = 1 << 20


def conf(frontend="", backend="", hosts='{one: "${A}"}', global_="", bind='"127.0.0.1:${PORT}"', more=""):
    """A frontend and a backend of mode tcp around some lines; flow style."""
    def items(text): return ", " + text if text else ""
    return ('global: {threads: "${THREADS:-1}", stats: {socket: "unix:${RUN}/stats.sock"}%s}\n'
            'frontends:\n  raw: {mode: tcp, bind: %s, backend: app%s}\n'
            'backends:\n  app: {mode: tcp, hosts: %s%s}\n%s') % (
                items(global_), bind, items(frontend), hosts, items(backend), more)


def echo(peer):
    while peer.buf or peer.fill(60):
        peer.send(peer.take(len(peer.buf)))


def named(name):
    """Says its name at once, then echoes."""
    def script(peer):
        peer.send(name.encode())
        echo(peer)
    return script


def says(c, name=None):
    """The first byte, which tells the server."""
    got = c.read(1).decode()
    if name:
        same(got, name, "server")
    return got


def line(limpet, pattern):
    """The words of the connection's line in the log."""
    return limpet.wait_log(r"(?m)^\S+ tcp .*" + pattern + ".*$").group(0).split(" ")


def row(limpet, svname):
    return [r for r in limpet.stat_rows() if r["svname"] == svname][0]
