# SPDX-License-Identifier: MIT
"""
TLS clients of a test: python's, and the openssl command's.

    here = Certs()                              # directory with authorities and certificates, gone at exit
    peer = tls(t, ctx=here.client())            # a Peer whose bytes go over TLS
    said = s_client(port, "-tls1_2", data=b"GET ...")
"""
import atexit
import os
import shutil
import socket
import ssl
import subprocess
import tempfile

from .certs import Authority, fingerprint, openssl
from .limpet import SLOW
from .msg import Fail
from .peer import DEADLINE, Peer

__all__ = ["Certs", "tls", "s_client", "alert", "refused", "memory_handshake", "fingerprint", "openssl", "TLS_CONFIG"]

# ${TLS} is what stands in `tls`, ${MORE} further keys of the frontend.
TLS_CONFIG = """\
global:
  threads: ${THREADS:-1}
  stats: {socket: "unix:${RUN}/%(stats)s.sock"}
  log: {level: info}
frontends:
  web:
    bind: {address: "127.0.0.1:${%(port)s}", tls: {%(tls)s}%(bind)s}
    backend: app%(frontend)s
backends:
  app:
    hosts: {one: "${A}"}%(backend)s
"""


class Certs:
    """What most cases need; further ones are made by `ca`."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="limpet-certs-")
        atexit.register(shutil.rmtree, self.directory, True)
        self.ca = Authority(self.directory)
        self.site = self.ca.leaf("site.test", "www.site.test")

    def path(self, name):
        return os.path.join(self.directory, name)

    def client(self, certificate=None, alpn=None, is_checked=True, most=None, least=None):
        """A client's context."""
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.load_verify_locations(self.ca.pem)
        if not is_checked:
            ctx.check_hostname = False
            ctx.verify_mode = ssl.CERT_NONE
        if certificate:
            ctx.load_cert_chain(certificate.pem, certificate.key)
        if alpn:
            ctx.set_alpn_protocols(alpn)
        if most:
            ctx.maximum_version = most
        if least:
            ctx.minimum_version = least
        return ctx

    def config(self, tls="", frontend="", backend="", bind="", certificates=None, port="PORT"):
        """A frontend with TLS on ${PORT}; each text is further keys in flow style."""
        def lines(text, indent): return "".join("\n" + " " * indent + k for k in text.split("\n") if k)
        files = certificates or [self.site.both]
        return TLS_CONFIG % {
            "port": port, "stats": "stats" if port == "PORT" else "stats-" + port,
            "tls": "certificates: [%s]%s" % (", ".join('"%s"' % f for f in files), tls and ", " + tls),
            "bind": bind and ", " + bind, "frontend": lines(frontend, 4), "backend": lines(backend, 4)}


def tls(t, ctx, name="site.test", port=None, first=b"", session=None):
    """A client connection whose handshake is done; FIRST goes before it in clear text."""
    plain = socket.create_connection(("127.0.0.1", t.port if port is None else port), DEADLINE * SLOW)
    try:
        if first:
            plain.sendall(first)
        wrapped = ctx.wrap_socket(plain, server_hostname=name, session=session)
    except BaseException:
        plain.close()
        raise
    peer = Peer(wrapped, t.events, "client %d" % (len(t.clients) + 1))
    t.clients.append(peer)
    return peer


def refused(t, ctx, **kw):
    """What the handshake, or the first read behind it (TLS 1.3), fails with."""
    try:
        peer = tls(t, ctx, **kw)
        peer.sock.settimeout(DEADLINE * SLOW)
        peer.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = peer.sock.recv(100)
    except (ssl.SSLError, ConnectionError) as err:
        return str(err)
    raise Fail("the handshake was not refused; behind it came %r" % got)


def alert(t, want, ctx, **kw):
    """The handshake ends with the alert WANT, as OpenSSL names it."""
    why = refused(t, ctx, **kw).lower().replace("_", " ")
    if want not in why:
        raise Fail("the handshake ended with %r, not %r" % (why, want))


def s_client(port, *args, data=b"", timeout=None, ca=None, is_quiet=False):
    """(exit status, what it says) of `openssl s_client`, told DATA."""
    command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % port] + list(args)
    if ca:
        command += ["-CAfile", ca]
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout or DEADLINE * SLOW)
    return done.returncode, done.stdout.decode("latin-1")


class MemoryClient:
    """A client whose records pass through our hands."""

    def __init__(self, ctx, name):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def step(self):
        """True when the handshake is done; what is to be sent stands in `outgoing`."""
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False


def memory_handshake(ctx, sock, name="site.test", write=None):
    """A handshake over SOCK, whose bytes are sent by WRITE(sock, bytes)."""
    write = write or (lambda s, data: s.sendall(data))
    client = MemoryClient(ctx, name)
    while True:
        is_done = client.step()
        data = client.outgoing.read()
        if data:
            write(sock, data)
        if is_done:
            return client
        got = sock.recv(65536)
        if not got:
            raise Fail("the server closed within the handshake")
        client.incoming.write(got)
