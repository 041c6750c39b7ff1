#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The PROXY protocol: taken from given networks, strictly; sent exactly, with the first request."""
import re
import socket
import struct
import threading

from lib import *

SIG = b"\r\n\r\n\0\r\nQUIT\n"
IN = "127.0.0.1:${PORT}"


def v2(src="192.0.2.1", dst="198.51.100.2", sport=1111, dport=80, command=1, tlvs=b"", family=None, length=None,
       version=2):
    if ":" in src:
        addresses = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
        family = 0x21 if family is None else family
    else:
        addresses = socket.inet_aton(src) + socket.inet_aton(dst)
        family = 0x11 if family is None else family
    body = addresses + struct.pack("!HH", sport, dport) + tlvs
    return SIG + bytes([version << 4 | command, family]) + struct.pack(
        "!H", len(body) if length is None else length) + body


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def with_crc(make, good=True):
    """A header made by MAKE(tlvs) with a CRC32C TLV that fits, or does not."""
    zero = make(tlv(3, b"\0\0\0\0"))
    value = struct.pack("!I", crc32c(zero) ^ (0 if good else 1))
    return make(tlv(3, value))


V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 1111 80\r\n"
V1_6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 80\r\n"

# (name, header, the client's address as the server must hear it)
GOOD = [
    ("v1 TCP4", V1, "192.0.2.1"),
    ("v1 TCP6", V1_6, "2001:db8::1"),
    ("v1 UNKNOWN", b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ("v1 UNKNOWN with more behind", b"PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n", "127.0.0.1"),
    ("v2 TCP4", v2(), "192.0.2.1"),
    ("v2 TCP6", v2("2001:db8::1", "2001:db8::2"), "2001:db8::1"),
    ("v2 LOCAL without addresses", SIG + b"\x20\0\0\0", "127.0.0.1"),
    ("v2 LOCAL with addresses", v2(command=0), "127.0.0.1"),
    ("v2 with TLVs", v2(tlvs=tlv(1, b"http/1.1") + tlv(2, b"example.test") + tlv(0xe0, b"any")), "192.0.2.1"),
    ("v2 with an empty TLV and padding", v2(tlvs=tlv(4, b"") + tlv(4, bytes(30))), "192.0.2.1"),
    ("v2 with a good CRC32C", with_crc(lambda x: v2(tlvs=x)), "192.0.2.1"),
    ("v2 with a good CRC32C among TLVs", with_crc(lambda x: v2(tlvs=tlv(2, b"a") + x + tlv(5, b"id"))), "192.0.2.1"),
    ("v2 with 1,000 bytes of TLVs", v2(tlvs=tlv(0xe1, bytes(1000))), "192.0.2.1"),
    ("v2 AF_UNSPEC", SIG + b"\x21\0\0\0", "127.0.0.1"),
]
BAD = [
    ("none at all, a plain request", get()),
    ("v1 with bad address", b"PROXY TCP4 192.0.2.300 198.51.100.2 1111 80\r\n"),
    ("v1 with an IPv6 address in TCP4", b"PROXY TCP4 ::1 ::2 1111 80\r\n"),
    ("v1 with an IPv4 address in TCP6", b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"),
    ("v1 with port 65536", b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 80\r\n"),
    ("v1 with a negative port", b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 80\r\n"),
    ("v1 with a leading zero in a port", b"PROXY TCP4 192.0.2.1 198.51.100.2 01111 80\r\n"),
    ("v1 with a leading zero in an address", b"PROXY TCP4 192.0.02.1 198.51.100.2 1111 80\r\n"),
    ("v1 with two spaces", b"PROXY TCP4  192.0.2.1 198.51.100.2 1111 80\r\n"),
    ("v1 with a missing port", b"PROXY TCP4 192.0.2.1 198.51.100.2 1111\r\n"),
    ("v1 with a word too many", b"PROXY TCP4 192.0.2.1 198.51.100.2 1111 80 x\r\n"),
    ("v1 ended by a bare LF", b"PROXY TCP4 192.0.2.1 198.51.100.2 1111 80\n"),
    ("v1 of 200 bytes", b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n"),
    ("v1 without an end", b"PROXY TCP4 " + b"1" * 300),
    ("v1 in small letters", V1.replace(b"PROXY", b"proxy")),
    ("v1 of an unknown family", V1.replace(b"TCP4", b"UDP4")),
    ("v1 with a NUL", V1.replace(b"1111", b"11\0001")),
    ("v2 with a wrong version", v2(version=3)),
    ("v2 with an unknown command", v2(command=2)),
    ("v2 with too short a length", v2(length=8)),
    ("v2 with a length beyond every limit", v2(length=65535) + bytes(65535 - 12)),
    ("v2 with a TLV that overruns", v2(tlvs=b"\x02\x00\x20abc")),
    ("v2 with a cut TLV head", v2(tlvs=b"\x02\x00")),
    ("v2 with a bad CRC32C", with_crc(lambda x: v2(tlvs=x), False)),
    ("v2 with a CRC32C of wrong size", v2(tlvs=tlv(3, b"\0\0"))),
    ("v2 with a wrong signature", b"\r\n\r\n\0\r\nQUIX\n" + v2()[12:]),
    ("v2 of an unknown family", v2(family=0x41)),
    ("v2 over UDP", v2(family=0x12)),
]


class Shared:
    def __init__(self):
        self.t = None

    def get(self):
        if self.t is None:
            self.t = Case("shared")
            self.origin = self.t.server(serve(lambda m, p: ok(m.get("x-forwarded-for", "-"))))
            self.limpet = self.t.limpet(
                'global: {threads: "${THREADS:-1}"}\n'
                'frontends: {web: {bind: {address: "127.0.0.1:${PORT}", accept_proxy: [127.0.0.0/30]}, backend: app}}\n'
                'backends: {app: {hosts: {one: "${A}"}}}\n')
        return self.t


shared = Shared()
for name, header, want in GOOD:
    def taken(_, header=header, want=want):
        t = shared.get()
        for way in ("whole", "bytes", "apart"):
            c = t.connect()
            if way == "bytes":
                c.drip(header + get())
            elif way == "apart":
                c.pieces([header, get()])
            else:
                c.send(header + get())
            same(c.read_response().body.decode(), want, way + ": the client's address")
            same(c.ask(get()).body.decode(), want, way + ": the same, later")
            c.close()
    case("taken: " + name)(taken)

for name, header in BAD:
    def refused(_, header=header):
        t = shared.get()
        for way in ("whole", "bytes"):
            before = shared.origin.received
            c = t.connect()
            data = header if header.startswith(b"GET") else header + get()
            c.drip(data) if way == "bytes" and len(data) < 3000 else c.send(data)
            rest = c.read_all()
            same(rest, b"", way + ": bytes before the end")
            check(c.is_reset or way == "bytes", way + ": the end is no reset")
            same(shared.origin.received, before, way + ": bytes that reached the server")
            c.close()
    case("refused by reset: " + name)(refused)


@case("a header cut at every byte is waited for")
def _(_):
    t = shared.get()
    for header, want in ((V1, "192.0.2.1"), (v2(tlvs=tlv(2, b"example.test")), "192.0.2.1")):
        for cut in range(1, len(header)):
            c = t.connect()
            c.pieces([header[:cut], header[cut:] + get()], 0.001)
            same(c.read_response().body.decode(), want, "cut at %d" % cut)
            c.close()


@case("a connection from outside the networks is refused, header or not")
def _(_):
    t = shared.get()
    for data in (V1 + get(), v2() + get(), get()):
        c = t.connect(source="127.0.0.77")
        c.send(data)
        same(c.read_all(), b"", "bytes")


@case("a connection that never sends its header is ended after timeouts.client_head")
def _(t):
    t.echo()
    t.limpet('defaults: {timeouts: {client_head: 200ms}}\n'
             'frontends: {web: {bind: {address: "127.0.0.1:${PORT}", accept_proxy: true}, backend: app}}\n'
             'backends: {app: {hosts: {one: "${A}"}}}\n')
    c = t.connect()
    c.send(V1[:10])
    same(c.read_all(), b"", "bytes")


@case("after all that, Limpet is alive and well")
def _(_):
    t = shared.get()
    wrong = t.finish()
    shared.t = None
    check(not wrong, "\n".join(wrong))


# Sent to servers.

def read_v2(peer):
    head = peer.read(16)
    same(head[:12], SIG, "signature")
    command, family, size = struct.unpack("!BBH", head[12:])
    body = peer.read(size)
    if family == 0x11:
        src, dst = socket.inet_ntoa(body[:4]), socket.inet_ntoa(body[4:8])
        sport, dport = struct.unpack("!HH", body[8:12])
        rest = body[12:]
    elif family == 0x21:
        src, dst = (socket.inet_ntop(socket.AF_INET6, body[i:i + 16]) for i in (0, 16))
        sport, dport = struct.unpack("!HH", body[32:36])
        rest = body[36:]
    else:
        return command, family, None, None, body, head + body
    return command, family, (src, sport), (dst, dport), rest, head + body


def tlvs_of(data):
    found = {}
    while data:
        kind, size = struct.unpack("!BH", data[:3])
        check(len(data) >= 3 + size, "a TLV overruns")
        found[kind] = data[3:3 + size]
        data = data[3 + size:]
    return found


class Tier:
    """A server that reads a PROXY header first; keeps what it said."""

    def __init__(self, t, version=2, **kw):
        self.headers = []
        self.first_reads = []
        self.version = version
        self.server = t.server(self.script, **kw)

    def script(self, peer):
        peer.fill(3600)
        self.first_reads.append(bytes(peer.buf))
        if self.version == 2:
            self.headers.append(read_v2(peer))
        else:
            self.headers.append(peer.read_to(b"\r\n"))
        mine = self.headers[-1]
        while peer.buf or peer.fill(3600):
            msg = peer.read_request()
            peer.send(ok(mine[2][0] if self.version == 2 and mine[2] else "?"))


@case("v2 is sent with the client's addresses, in one segment with the first request")
def _(t):
    tier = Tier(t)
    t.limpet(config(backend="send_proxy: v2"))
    c = t.connect(source="127.0.0.5")
    local = c.sock.getsockname()
    same(c.ask(get("/first")).body, b"127.0.0.5", "client")
    command, family, src, dst, rest, whole = tier.headers[0]
    same((command, family, src, dst), (0x21, 0x11, local, ("127.0.0.1", t.port)), "header")
    check(b"GET /first HTTP/1.1\r\n" in tier.first_reads[0] and tier.first_reads[0].endswith(b"\r\n\r\n"),
          "head and header in one read: %r" % tier.first_reads[0])
    have = tlvs_of(rest)
    if 3 in have:
        zeroed = whole.replace(tlv(3, have[3]), tlv(3, bytes(4)))
        same(struct.unpack("!I", have[3])[0], crc32c(zeroed), "CRC32C")


@case("v1 is sent exactly")
def _(t):
    tier = Tier(t, 1)
    t.limpet(config(backend="send_proxy: v1"))
    c = t.connect(source="127.0.0.5")
    same(c.ask(get()).status, 200, "status")
    same(tier.headers[0], b"PROXY TCP4 127.0.0.5 127.0.0.1 %d %d\r\n" % (c.sock.getsockname()[1], t.port), "header")


@case("send_proxy of a host wins over its backend's")
def _(t):
    tier = Tier(t, 1)
    t.limpet(config(backend="send_proxy: v2", hosts='{one: {address: "${A}", send_proxy: v1}}'))
    same(t.ask(get()).status, 200, "status")
    check(tier.headers[0].startswith(b"PROXY TCP4 "), tier.headers)


@case("an accepted client's address goes on in the header that is sent")
def _(t):
    tier = Tier(t)
    t.limpet('frontends: {web: {bind: {address: "127.0.0.1:${PORT}", accept_proxy: true}, backend: app}}\n'
             'backends: {app: {send_proxy: v2, hosts: {one: "${A}"}}}\n')
    for header, client, server in ((v2(), ("192.0.2.1", 1111), ("198.51.100.2", 80)),
                                   (v2("2001:db8::1", "2001:db8::2"), ("2001:db8::1", 1111), ("2001:db8::2", 80))):
        c = t.connect()
        c.send(header + get())
        same(c.read_response().status, 200, "status")
        same(tier.headers[-1][2:4], (client, server), "header")


@case("a server connection that opened with a client's header is not used for another client")
def _(t):
    tier = Tier(t)
    t.limpet(config(backend="send_proxy: v2"))
    for n in range(3):
        for last in (5, 6, 7):
            same(t.ask(get(), source="127.0.0.%d" % last).body, b"127.0.0.%d" % last, "client in the header")


@case("one client's requests share a connection that opened with its header")
def _(t):
    tier = Tier(t)
    t.limpet(config(backend="send_proxy: v2"))
    c = t.connect()
    for _ in range(5):
        same(c.ask(get()).status, 200, "status")
    same(tier.server.accepts, 1, "server connections")


@case("on an outer proxy's connection that mixes clients each request goes out under its own client")
def _(t):
    tier = Tier(t)
    t.limpet(config("trusted_proxies: [127.0.0.0/8]", "send_proxy: v2"))
    c = t.connect()
    got = [c.ask(get(fields=[("X-Forwarded-For", "203.0.113.%d" % (n % 3))])).body.decode() for n in range(9)]
    # The header may carry the trusted X-Forwarded-For or the outer proxy itself, but never somebody else.
    check(got == ["203.0.113.%d" % (n % 3) for n in range(9)] or set(got) == {"127.0.0.1"}, got)


@case("health checks open with LOCAL")
def _(t):
    tier = Tier(t)
    t.limpet(config(backend="send_proxy: v2, health_check: {http: /healthz, interval: 100ms}"))
    until(lambda: tier.headers, "a check came")
    same(tier.headers[0][0], 0x20, "version and command")


@case("a retried request opens the other server's connection with the header, too")
def _(t):
    t.refused("A")
    tier = Tier(t, name="B")
    t.limpet(config(backend="send_proxy: v2, retries: 2", hosts='{one: "${A}", two: "${B}"}'))
    for _ in range(4):
        same(t.ask(get()).body, b"127.0.0.1", "client in the header")


@case("two tiers: the inner one knows the client, picks the worker, and both stick")
def _(t):
    from lib.engine import HANDSHAKE, POLL, OPEN
    n = [0]

    def worker(name):
        def handler(msg, peer):
            if "sid=" in msg.target:
                return ok(name + " " + msg.get("x-forwarded-for", "-"))
            n[0] += 1
            return ok(OPEN % ("%s-sid-%04d" % (name, n[0])))
        return serve(handler)
    inner = ('frontends: {node: {bind: {address: "127.0.0.1:${PORT}", accept_proxy: [127.0.0.0/8]}, backend: chat}}\n'
             'backends: {chat: {stick: [engineio, ip], hosts: {one: "${%s}", two: "${%s}"}}}\n')
    for name in "ABCD":
        t.server(worker(name), name=name)
    for name, pair in (("inner1", "AB"), ("inner2", "CD")):
        t.env.pop("PORT", None)
        t.limpet(inner % tuple(pair), name=name)
        t.env[name.upper()] = "127.0.0.1:%d" % t.port
    t.env.pop("PORT")
    t.limpet('frontends: {web: {bind: "127.0.0.1:${PORT}", backend: chat}}\n'
             'backends: {chat: {stick: engineio, send_proxy: v2, forwarded: none, '
             'hosts: {h1: "${INNER1}", h2: "${INNER2}"}}}\n', name="edge")
    used = set()
    for k in range(1, 13):
        source = "127.0.2.%d" % k
        body = t.ask(get(HANDSHAKE), source=source).body.decode()
        sid = re.search('"sid":"([^"]+)"', body).group(1)
        used.add(sid[0])
        for _ in range(3):
            got = t.ask(get(POLL + sid), source=source).body.decode().split(" ")
            same((got[0], got[1].split(",")[0]), (sid[0], source), "worker and client")
    check(len(used) >= 3, "workers used: %s" % used)


main()
