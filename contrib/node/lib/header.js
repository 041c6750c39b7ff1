// SPDX-License-Identifier: MIT
//
// header - reads a PROXY protocol header, version 1 or 2, from the start of a buffer.
//
// Model.  A pure function of the bytes so far: it keeps nothing between calls and does no I/O.
// It is called again with more bytes until it says something other than 'more', so a header
// that comes byte by byte gives the same answer as one that comes whole.  Nothing it returns
// is a view into the buffer that it was given.
//
// Always true: a wrong byte is refused as soon as it is there, not when the header would be
// complete, and no header is waited for beyond `maxHeader` bytes.
'use strict';

const net = require('node:net');

const V1_START = Buffer.from('PROXY ', 'latin1');
const V1_MAX = 107; // with CR LF, as the specification counts it
const V2_SIGNATURE = Buffer.from([13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10]);
const V2_FIXED = 16;
const MAX_HEADER = 4096;

const TLV = {
	ALPN: 0x01, AUTHORITY: 0x02, CRC32C: 0x03, NOOP: 0x04, UNIQUE_ID: 0x05, SSL: 0x20, NETNS: 0x30,
};
const SSL_FIELDS = { 0x21: 'version', 0x22: 'cn', 0x23: 'cipher', 0x24: 'sigAlg', 0x25: 'keyAlg' };
const SSL_CLIENT = { TLS: 1, CERT_CONN: 2, CERT_SESS: 4 };

const MORE = Object.freeze({ state: 'more' });
const NONE = Object.freeze({ state: 'none' });
const bad = (why) => ({ state: 'bad', why });
const done = (length, proxy) => ({ state: 'done', length, proxy });

// Do the bytes so far agree with `start`, as far as both go?
function agrees(buf, start) {
	const n = Math.min(buf.length, start.length);
	return buf.compare(start, 0, n, 0, n) === 0;
}

/*
 * Returns one of
 *   { state: 'more' }                  not enough bytes to tell
 *   { state: 'none' }                  these bytes begin no PROXY header
 *   { state: 'bad', why }              they begin one, and it is wrong
 *   { state: 'done', length, proxy }   `length` bytes were the header; `proxy` is what it says
 */
function parseHeader(buf, { maxHeader = MAX_HEADER } = {}) {
	if (agrees(buf, V2_SIGNATURE))
		return buf.length < V2_SIGNATURE.length ? MORE : parseV2(buf, maxHeader);
	if (agrees(buf, V1_START))
		return buf.length < V1_START.length ? MORE : parseV1(buf);
	return NONE;
}

function parseV1(buf) {
	const end = buf.subarray(0, V1_MAX).findIndex((byte) => byte === 13 || byte === 10);
	if (end < 0)
		return buf.length < V1_MAX ? MORE : bad('v1 line too long');
	if (buf[end] === 10)
		return bad('v1 line ends in a bare LF');
	if (end + 2 > V1_MAX)
		return bad('v1 line too long');
	if (end + 1 === buf.length)
		return MORE;
	if (buf[end + 1] !== 10)
		return bad('v1 line has a bare CR');

	const words = buf.toString('latin1', V1_START.length, end).split(' ');
	// What follows UNKNOWN says nothing, the specification wants it ignored.
	if (words[0] === 'UNKNOWN')
		return done(end + 2, describe(1, { local: false }));
	if (words[0] !== 'TCP4' && words[0] !== 'TCP6')
		return bad('v1 protocol is none of TCP4, TCP6, UNKNOWN');
	if (words.length !== 5)
		return bad('v1 line has not six words');
	const family = words[0] === 'TCP4' ? 'IPv4' : 'IPv6';
	const src = endpointV1(family, words[1], words[3]);
	const dst = endpointV1(family, words[2], words[4]);
	if (!src || !dst)
		return bad('v1 address or port is wrong');
	return done(end + 2, describe(1, { local: false, transport: 'stream', src, dst }));
}

function endpointV1(family, address, port) {
	const good = family === 'IPv4' ? net.isIPv4(address) : net.isIPv6(address) && !address.includes('%');
	if (!good || !/^(0|[1-9][0-9]{0,4})$/.test(port) || Number(port) > 65535)
		return null;
	return endpoint(family, address, Number(port));
}

function endpoint(family, address, port) {
	if (family === 'IPv6') // one spelling for one address, or they could not be compared
		address = new net.SocketAddress({ address, family: 'ipv6' }).address;
	return Object.freeze({ family, address, port });
}

function parseV2(buf, maxHeader) {
	const command = buf[12];
	if (buf.length > 12 && command !== 0x20 && command !== 0x21)
		return bad('v2 version or command is unknown');
	if (buf.length > 13 && ((buf[13] & 0xf0) > 0x30 || (buf[13] & 0x0f) > 2))
		return bad('v2 address family or transport is unknown');
	if (buf.length < V2_FIXED)
		return MORE;
	const length = V2_FIXED + buf.readUInt16BE(14);
	if (length > maxHeader)
		return bad('v2 header too long');
	if (buf.length < length)
		return MORE;
	// LOCAL: the proxy speaks for itself (a health check).  The rest is to be discarded.
	if (command === 0x20)
		return done(length, describe(2, { local: true }));
	return parseV2Block(buf.subarray(0, length));
}

function parseV2Block(header) {
	const family = header[13] >> 4;
	const transport = [undefined, 'stream', 'dgram'][header[13] & 0x0f];
	const size = [0, 12, 36, 216][family];
	if (header.length < V2_FIXED + size)
		return bad('v2 addresses are cut short');
	const tlvs = parseTlvs(header, V2_FIXED + size);
	if (typeof tlvs === 'string')
		return bad(tlvs);
	const ends = family && transport ? endpointsV2(family, header.subarray(V2_FIXED)) : {};
	return done(header.length, describe(2, { local: false, transport, tlvs, ...ends }));
}

function endpointsV2(family, b) {
	if (family === 1)
		return {
			src: endpoint('IPv4', b.subarray(0, 4).join('.'), b.readUInt16BE(8)),
			dst: endpoint('IPv4', b.subarray(4, 8).join('.'), b.readUInt16BE(10)),
		};
	if (family === 2)
		return {
			src: endpoint('IPv6', hextets(b.subarray(0, 16)), b.readUInt16BE(32)),
			dst: endpoint('IPv6', hextets(b.subarray(16, 32)), b.readUInt16BE(34)),
		};
	return { src: unixEndpoint(b.subarray(0, 108)), dst: unixEndpoint(b.subarray(108, 216)) };
}

const hextets = (b) => b.toString('hex').match(/.{4}/g).join(':');

function unixEndpoint(b) {
	const end = b.indexOf(0);
	return Object.freeze({ family: 'Unix', path: b.toString('utf8', 0, end < 0 ? b.length : end) });
}

// Walks type-length-value fields.  Returns false when one is cut short.
function eachTlv(b, from, see) {
	while (from < b.length) {
		if (from + 3 > b.length)
			return false;
		const end = from + 3 + b.readUInt16BE(from + 1);
		if (end > b.length)
			return false;
		see(b[from], b.subarray(from + 3, end), from + 3);
		from = end;
	}
	return true;
}

// Returns the fields, or a string that says what is wrong with them.
function parseTlvs(header, from) {
	const tlvs = { raw: [] };
	let why = null;
	const whole = eachTlv(header, from, (type, value, at) => {
		if (type === TLV.NOOP)
			return;
		tlvs.raw.push(Object.freeze({ type, value: Buffer.from(value) }));
		if (type === TLV.ALPN)
			tlvs.alpn = value.toString('latin1');
		else if (type === TLV.AUTHORITY)
			tlvs.authority = value.toString('utf8');
		else if (type === TLV.UNIQUE_ID)
			tlvs.uniqueId = Buffer.from(value);
		else if (type === TLV.NETNS)
			tlvs.netns = value.toString('latin1');
		else if (type === TLV.CRC32C && !checksumHolds(header, value, at))
			why = 'v2 checksum is wrong';
		else if (type === TLV.SSL && !(tlvs.ssl = parseSsl(value)))
			why = 'v2 SSL field is wrong';
	});
	if (!whole)
		return 'v2 field is cut short';
	if (why)
		return why;
	Object.freeze(tlvs.raw);
	return Object.freeze(tlvs);
}

function parseSsl(value) {
	if (value.length < 5)
		return null;
	const certificate = (value[0] & (SSL_CLIENT.CERT_CONN | SSL_CLIENT.CERT_SESS)) !== 0;
	const ssl = {
		tls: (value[0] & SSL_CLIENT.TLS) !== 0,
		certificate,
		// "verify" is also 0 when nobody asked for a certificate: that proves nothing.
		verified: certificate && value.readUInt32BE(1) === 0,
	};
	const whole = eachTlv(value, 5, (type, text) => {
		if (SSL_FIELDS[type])
			ssl[SSL_FIELDS[type]] = text.toString('utf8');
	});
	return whole ? Object.freeze(ssl) : null;
}

function describe(version, { local, transport, src = null, dst = null, tlvs }) {
	const none = Object.freeze({ raw: Object.freeze([]) });
	return Object.freeze({ version, local, transport, src, dst, tlvs: tlvs || none });
}

const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
	for (let bit = 0; bit < 8; bit++)
		n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1;
	return n;
});

// The sum is taken over the whole header with the four bytes of the sum itself as zeros.
function checksumHolds(header, value, at) {
	if (value.length !== 4)
		return false;
	let crc = 0xffffffff;
	for (let i = 0; i < header.length; i++) {
		const byte = i >= at && i < at + 4 ? 0 : header[i];
		crc = (crc >>> 8) ^ CRC32C_TABLE[(crc ^ byte) & 0xff];
	}
	return ((crc ^ 0xffffffff) >>> 0) === value.readUInt32BE(0);
}

module.exports = { parseHeader, MAX_HEADER };
