# SPDX-License-Identifier: MIT
"""
Certificates that are replaced under a running Limpet.

    care = Care()                       # directory and authority as Certs; care.other, care.site2, care.rsa
    limpet = care.start(t)              # its certificate is ${RUN}/site.pem
    set_cert(limpet, path, text)        # the first half of a transaction
    care.seen(t), print_of(certificate) # what a new client gets, and what it should
"""
import hashlib
import os
import re
import shutil
import ssl

from .limpet import SLOW, until
from .tls import Certs, tls

__all__ = ["Care", "both", "copy", "payload", "print_of", "read", "set_cert"]


def read(path, mode="rb"):
    with open(path, mode) as f:
        return f.read()


def both(certificate):
    return read(certificate.both)


def copy(certificate, path):
    shutil.copy(certificate.both, path)
    os.chmod(path, 0o600)
    return path


def print_of(certificate):
    """SHA-256 of a certificate's leaf, as clients see it."""
    leaf = re.search("-----BEGIN CERT.*?END CERTIFICATE-----", read(certificate.pem).decode(), re.S)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf.group(0))).hexdigest()


def payload(text):
    """TEXT without empty lines, and the one that ends it."""
    if isinstance(text, bytes):
        text = text.decode()
    return "".join(line + "\n" for line in text.splitlines() if line) + "\n"


def set_cert(limpet, path, text):
    return limpet.ask_stats("set ssl cert %s <<\n%s" % (path, payload(text)))


class Care(Certs):
    def __init__(self):
        super().__init__()
        self.site2 = self.ca.leaf("site.test", file="site2")
        self.rsa = self.ca.leaf("site.test", kind="rsa", file="site-rsa")
        self.other = self.ca.leaf("other.test", file="other")

    def start(self, t, files=None, tls_more="", edit=lambda text: text):
        """FILES are named by the bind; EDIT changes the text of the configuration."""
        t.echo()
        if files is None:
            files = [copy(self.site, os.path.join(t.directory, "site.pem"))]
        return t.limpet(edit(self.config(certificates=files, tls=tls_more)))

    def place(self, t):
        """A directory with site.pem in it."""
        path = os.path.join(t.directory, "certs")
        os.mkdir(path)
        copy(self.site, path + "/site.pem")
        return path

    def seen(self, t, name="site.test"):
        """SHA-256 of the certificate that a new client gets."""
        peer = tls(t, self.client(is_checked=False), name=name)
        der = peer.sock.getpeercert(True)
        peer.close()
        return hashlib.sha256(der).hexdigest()

    def wait_seen(self, t, certificate, name="site.test"):
        want = print_of(certificate)
        until(lambda: self.seen(t, name) == want, "clients get the new certificate", 15 * SLOW)
