# SPDX-License-Identifier: MIT
"""
Authorities and certificates of a test, made by the openssl command.

    ca = Authority(t.directory)                            # ca.pem, ca.key
    site = ca.leaf("site.test", "*.site.test")             # ECDSA; names may be IP addresses
    rsa = ca.leaf("site.test", kind="rsa", file="site-rsa")
    old = ca.leaf("old.test", days=-1)                     # has expired yesterday
    me = ca.leaf(cn="somebody", is_client=True)
    site.pem, site.key, site.both                          # paths: chain, key, both in one file
    middle = ca.authority("Middle CA")                     # an intermediate one; leaves carry it

Everything is a file in the directory that the authority was given.  A certificate takes some tenths
of a second: make those that several cases share once.
"""
import ipaddress
import os
import subprocess

__all__ = ["Authority", "Certificate", "fingerprint", "openssl"]


def openssl(*args, **more):
    """What the command writes; it must succeed."""
    done = subprocess.run(("openssl",) + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=20, **more)
    if done.returncode != 0:
        raise AssertionError("openssl %s: %s" % (" ".join(args), done.stderr.decode()))
    return done.stdout


def fingerprint(pem):
    """SHA-256 of the first certificate of a file: 64 hex digits."""
    text = openssl("x509", "-in", pem, "-noout", "-fingerprint", "-sha256").decode()
    return text.strip().split("=", 1)[1].replace(":", "").lower()


def alt_name(name):
    try:
        return "IP:%s" % ipaddress.ip_address(name)
    except ValueError:
        return "DNS:%s" % name


class Certificate:
    """Paths of PEM files: `pem` (with the chain), `key`, and `both` in one file."""

    def __init__(self, base):
        self.pem, self.key, self.both = base + ".pem", base + ".key", base + "-both.pem"

    def write(self, certificates):
        with open(self.pem, "wb") as out:
            out.write(certificates)
        with open(self.key, "rb") as key, open(self.both, "wb") as out:
            out.write(certificates + key.read())
        os.chmod(self.both, 0o600)


class Authority(Certificate):
    def __init__(self, directory, cn="Test CA", file="ca", days=30, parent=None):
        self.directory, self.file, self.cn, self.parent = str(directory), file, cn, parent
        self.leaves = 0
        super().__init__(os.path.join(self.directory, file))
        extensions = ("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign,"
                      "digitalSignature\nsubjectKeyIdentifier=hash\n")
        self.own = self.sign_request(self.key, "ecdsa", cn, extensions, days, parent)
        self.write(self.own if not parent else self.own + parent.chain())

    def chain(self):
        """What a leaf carries behind itself; a root is not sent."""
        return self.own + self.parent.chain() if self.parent else b""

    def sign_request(self, key, kind, cn, extensions, days, signer):
        base = key[:-len(".key")]
        algorithm = {"rsa": ("RSA", "rsa_keygen_bits:2048"),
                     "ecdsa": ("EC", "ec_paramgen_curve:prime256v1")}[kind]
        if not os.path.exists(key):
            openssl("genpkey", "-algorithm", algorithm[0], "-pkeyopt", algorithm[1], "-out", key)
            os.chmod(key, 0o600)
        with open(base + ".ext", "w") as out:
            out.write(extensions)
        openssl("req", "-new", "-key", key, "-out", base + ".csr", "-subj",
                "/CN=%s" % cn.replace("/", "\\/"), "-utf8")
        by = ["-CA", signer.pem, "-CAkey", signer.key] if signer else ["-signkey", key]
        made = openssl("x509", "-req", "-in", base + ".csr", "-days", str(days), "-sha256",
                       "-set_serial", "0x" + os.urandom(8).hex(), "-extfile", base + ".ext", *by)
        os.unlink(base + ".csr")
        os.unlink(base + ".ext")
        return made

    def authority(self, cn, file=None):
        """An intermediate authority below this one."""
        return Authority(self.directory, cn, file or cn.lower().replace(" ", "-"), parent=self)

    def leaf(self, *names, kind="ecdsa", days=30, is_client=False, cn=None, file=None, extra=""):
        """A certificate for NAMES; FILE is its base name, else made from the first name.

        EXTRA is further lines of extensions ("tlsfeature=status_request")."""
        self.leaves += 1
        base = file or "%s-%s-%d" % ((cn or names[0]).replace("*", "any").replace("/", "-")
                                     .replace(":", "-").replace(" ", "-"), kind, self.leaves)
        made = Certificate(os.path.join(self.directory, base))
        extensions = "basicConstraints=CA:FALSE\nextendedKeyUsage=%s\n" % (
            "clientAuth" if is_client else "serverAuth")
        if names:
            extensions += "subjectAltName=%s\n" % ",".join(alt_name(n) for n in names)
        own = self.sign_request(made.key, kind, cn or names[0], extensions + extra, days, self)
        made.write(own + self.chain())
        return made
