#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""OCSP: responders that are asked, responses that are set, and what is stapled."""
import base64
import http.server
import re
import threading
import time

from lib import *
from lib.care import *
from lib.tls import openssl, s_client

here = Care()


class Responder:
    """An OCSP responder: HTTP around `openssl ocsp`."""

    def __init__(self, t):
        self.middle = here.ca.authority("Middle CA")
        self.index = t.directory + "/index"
        self.days, self.asked, self.is_wrong = "2", 0, False
        self.directory = t.directory
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked += 1
                answer = outer.answer(body) if self.headers["Content-Type"] == "application/ocsp-request" else b""
                self.send_response(500 if outer.is_wrong else 200)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass
        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        t.others.append(self.server.shutdown)
        self.leaf = self.middle.leaf("stapled.test", extra="authorityInfoAccess=OCSP;URI:http://127.0.0.1:%d/ask\n" % (
            self.server.server_address[1]))
        self.serial = openssl("x509", "-in", self.leaf.pem, "-noout", "-serial").decode().strip().split("=")[1]
        self.tell("V")

    def tell(self, status):
        revoked = "260101000000Z,keyCompromise" if status == "R" else ""
        with open(self.index, "w") as f:
            f.write("%s\t291231000000Z\t%s\t%s\tunknown\t/CN=stapled.test\n" % (status, revoked, self.serial))

    def answer(self, request):
        name = "%s/request-%d" % (self.directory, self.asked)
        with open(name, "wb") as f:
            f.write(request)
        openssl("ocsp", "-index", self.index, "-CA", self.middle.pem, "-rsigner", self.middle.pem, "-rkey",
                self.middle.key, "-reqin", name, "-respout", name + ".out", "-ndays", self.days)
        return read(name + ".out")


def inside(der, at):
    """Where the content of the DER value at AT begins and ends."""
    length, begin = der[at + 1], at + 2
    if length & 128:
        begin += length & 127
        length = int.from_bytes(der[at + 2:begin], "big")
    return begin, begin + length


def ends_in(t, answer, seconds, key):
    """ANSWER with another end, signed anew by KEY: `openssl ocsp` knows minutes alone."""
    at = answer.index(bytes.fromhex("06092b0601050507300101")) + 11    # id-pkix-ocsp-basic; its OCTET STRING
    data, _ = inside(answer, inside(answer, at)[0])
    algorithm = inside(answer, data)[1]
    signature, end = inside(answer, inside(answer, algorithm)[1])
    found = re.search(rb"\xa0\x11\x18\x0f(\d{14})Z", answer[data:algorithm])
    moment = time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() + seconds)).encode()
    signed = answer[data:data + found.start(1)] + moment + answer[data + found.end(1):algorithm]
    with open(t.directory + "/signed", "wb") as f:
        f.write(signed)
    while True:                         # lengths of ECDSA signatures differ by a byte or two
        new = b"\0" + openssl("dgst", "-sha256", "-sign", key, t.directory + "/signed")
        if len(new) == end - signature:
            return answer[:data] + signed + answer[algorithm:signature] + new + answer[end:]


def stapled(t):
    """What the handshake staples, in OpenSSL's words."""
    return s_client(t.port, "-servername", "stapled.test", "-status", data=b"Q")[1]


@case("a responder is asked, its answer is stapled, and all of it can be seen")
def refresh(t):
    responder = Responder(t)
    limpet = here.start(t, [responder.leaf.both], tls_more="ocsp_refresh: true")
    limpet.wait_log("certificate .*: good, says its OCSP responder", 20 * SLOW)
    same(responder.asked, 1, "questions")
    check("Cert Status: good" in stapled(t), "the staple")
    said = limpet.ask_stats("show ssl cert " + responder.leaf.both)
    for line in ("OCSP: good", "OCSP nextUpdate: ", "OCSP responder: http://127.0.0.1:", "OCSP asked: ",
                 "OCSP next question: "):
        check("\n" + line in said, "%s in %s" % (line, said))
    key = re.search("\nOCSP Response Key: ([0-9a-f]+)\n", said).group(1)
    check(key in limpet.ask_stats("show ssl ocsp-response"), "it is listed")
    whole = limpet.ask_stats("show ssl ocsp-response " + key)
    check("Cert Status: good" in whole and "\n\n" not in whole[:-2], "the whole of it")


@case("a responder that is of no use is told of, asked again later, and a good one is not forgotten")
def bad_responder(t):
    responder = Responder(t)
    responder.is_wrong = True
    limpet = here.start(t, [responder.leaf.both], tls_more="ocsp_refresh: true")
    limpet.wait_log("its OCSP responder is of no use: status 500", 20 * SLOW)
    said = limpet.ask_stats("show ssl cert " + responder.leaf.both)
    check("\nOCSP failure: status 500" in said and "\nOCSP: no response\n" in said, said)
    check("no response sent" in stapled(t), "nothing is stapled")
    same(here.seen(t, "stapled.test"), print_of(responder.leaf), "the certificate")


@case("an OCSP response is set on the stats socket, and one for another certificate is refused")
def set_response(t):
    responder = Responder(t)
    limpet = here.start(t, [responder.leaf.both])
    request = t.directory + "/request"
    openssl("ocsp", "-issuer", responder.middle.pem, "-cert", responder.leaf.pem, "-no_nonce", "-reqout", request)
    good = base64.b64encode(responder.answer(read(request))).decode()
    check("no response sent" in stapled(t), "nothing is stapled at first")
    same(limpet.ask_stats("set ssl ocsp-response " + good), "OCSP Response updated!\n\n")
    check("Cert Status: good" in stapled(t), "it is stapled")
    lines = "\n".join(good[i:i + 64] for i in range(0, len(good), 64))
    same(limpet.ask_stats("set ssl ocsp-response <<\n%s\n\n" % lines), "OCSP Response updated!\n\n")
    changed = base64.b64decode(good).replace(b"2026", b"2027", 1)
    responder.serial = "0BAD"
    responder.tell("V")
    unknown = responder.answer(read(request))
    for text in (b"", b"\x30\x03\x0a\x01\x06", changed, unknown):
        said = limpet.ask_stats("set ssl ocsp-response " + base64.b64encode(text).decode())
        check("updated" not in said, said)
    check("Cert Status: good" in stapled(t), "it is stapled still")
    # In a transaction, as HAProxy has it.
    path = responder.leaf.both
    same(limpet.ask_stats("set ssl cert %s.ocsp <<\n%s\n\n" % (path, good)),
         "Transaction created for certificate %s!\n\n" % path)
    check("Success!" in limpet.ask_stats("commit ssl cert " + path))
    check("Cert Status: good" in stapled(t), "it is stapled still")


@case("a response that runs out is not stapled any more, and one line tells of it")
def runs_out(t):
    responder = Responder(t)
    limpet = here.start(t, [responder.leaf.both])
    request = t.directory + "/request"
    openssl("ocsp", "-issuer", responder.middle.pem, "-cert", responder.leaf.pem, "-no_nonce", "-reqout", request)
    short = ends_in(t, responder.answer(read(request)), 3 + SLOW, responder.middle.key)
    same(limpet.ask_stats("set ssl ocsp-response " + base64.b64encode(short).decode()), "OCSP Response updated!\n\n")
    check("has run out" not in limpet.log(), "it is in force")
    limpet.wait_log("warn: certificate %s: its OCSP response has run out and is not stapled any more" % re.escape(
        responder.leaf.both), 20 * SLOW)
    check("no response sent" in stapled(t), "nothing is stapled")
    check("Reloaded." in limpet.ask_stats("reload"))
    same(limpet.log().count("has run out"), 1, "lines about it")


@case("PATH.ocsp is stapled when it comes, and a revoked certificate is told of")
def staple_file(t):
    responder = Responder(t)
    path = copy(responder.leaf, t.directory + "/stapled.pem")
    limpet = here.start(t, [path])
    request = t.directory + "/request"
    openssl("ocsp", "-issuer", responder.middle.pem, "-cert", responder.leaf.pem, "-no_nonce", "-reqout", request)
    with open(path + ".ocsp", "wb") as f:
        f.write(responder.answer(read(request)))
    until(lambda: "Cert Status: good" in stapled(t), "the staple of the file", 15 * SLOW)
    check("\nOCSP: good\n" in limpet.ask_stats("show ssl cert " + path))


if __name__ == "__main__":
    main()
