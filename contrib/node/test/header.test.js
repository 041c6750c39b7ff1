// SPDX-License-Identifier: MIT
'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { parseHeader } = require('..');
const { SIGNATURE, tlv, u16, v2, ip4, ip6, sealed } = require('../fixtures/peer');

const line = (text) => Buffer.from(text, 'latin1');
const MAPPED = '00000000000000000000ffff01020304';
const V6 = '20010db8000000000000000000000007';
const ssl = (client, verify, ...fields) =>
	tlv(0x20, Buffer.concat([Buffer.from([client, 0, 0, 0, verify]), ...fields]));

// {name, input, src: "address port" of the source or null, see: further checks}
const GOOD = [
	{ name: 'v1 TCP4', input: line('PROXY TCP4 192.0.2.9 10.0.0.1 4711 80\r\n'), src: '192.0.2.9 4711' },
	{ name: 'v1 TCP6', input: line('PROXY TCP6 2001:DB8:0::7 ::1 65535 0\r\n'), src: '2001:db8::7 65535' },
	{ name: 'v1 TCP6, as long as it gets', src: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535',
	  input: line(`PROXY TCP6 ${Array(8).fill('ffff').join(':')} ${Array(8).fill('ffff').join(':')} 65535 65535\r\n`) },
	{ name: 'v1 UNKNOWN', input: line('PROXY UNKNOWN\r\n'), src: null },
	{ name: 'v1 UNKNOWN with the rest of a line', input: line('PROXY UNKNOWN ffff::1 what ever 1 2\r\n'), src: null },
	{ name: 'v1 UNKNOWN of 107 bytes', input: line('PROXY UNKNOWN '.padEnd(105, 'x') + '\r\n'), src: null },
	{ name: 'v2 IPv4', input: v2({ addresses: ip4('192.0.2.9', 4711) }), src: '192.0.2.9 4711',
	  see: (p) => assert.deepEqual({ ...p.dst }, { family: 'IPv4', address: '10.0.0.1', port: 80 }) },
	{ name: 'v2 IPv6', input: v2({ family: 0x21, addresses: ip6(V6, 4711) }), src: '2001:db8::7 4711',
	  see: (p) => assert.equal(p.dst.address, '::1') },
	{ name: 'v2 IPv6, mapped', input: v2({ family: 0x21, addresses: ip6(MAPPED, 1) }), src: '::ffff:1.2.3.4 1' },
	{ name: 'v2 over datagrams (HTTP/3 in front)', input: v2({ family: 0x12, addresses: ip4('1.2.3.4', 5) }), src: '1.2.3.4 5',
	  see: (p) => assert.equal(p.transport, 'dgram') },
	{ name: 'v2 Unix', input: v2({ family: 0x31, addresses: Buffer.from('/a'.padEnd(108, '\0') + '/b'.padEnd(108, '\0')) }),
	  src: 'undefined undefined', see: (p) => assert.deepEqual([p.src.path, p.dst.path], ['/a', '/b']) },
	{ name: 'v2 unspecified family', input: v2({ family: 0, tlvs: [tlv(2, 'a.example')] }), src: null,
	  see: (p) => assert.equal(p.tlvs.authority, 'a.example') },
	{ name: 'v2 LOCAL', input: v2({ command: 0x20, family: 0 }), src: null, local: true },
	{ name: 'v2 LOCAL with addresses, which say nothing', local: true, src: null,
	  input: v2({ command: 0x20, addresses: ip4('1.2.3.4', 5), tlvs: [Buffer.from('junk')] }) },
	{ name: 'v2 with text fields', src: '1.2.3.4 5',
	  input: v2({ addresses: ip4('1.2.3.4', 5), tlvs: [tlv(1, 'h2'), tlv(2, 'chat.example'), tlv(4, '....'), tlv(5, [0, 255, 7]), tlv(0x30, 'blue'), tlv(0xea, 'own')] }),
	  see: ({ tlvs }) => {
		assert.deepEqual([tlvs.alpn, tlvs.authority, tlvs.netns], ['h2', 'chat.example', 'blue']);
		assert.deepEqual(tlvs.uniqueId, Buffer.from([0, 255, 7]));
		assert.deepEqual(tlvs.raw.map((f) => f.type), [1, 2, 5, 0x30, 0xea]);
	  } },
	{ name: 'v2 with SSL and a good certificate', src: '1.2.3.4 5',
	  input: v2({ addresses: ip4('1.2.3.4', 5), tlvs: [ssl(3, 0, tlv(0x21, 'TLSv1.3'), tlv(0x22, 'Anna'), tlv(0x23, 'AES'), tlv(0x24, 'RSA'), tlv(0x25, 'EC'), tlv(0x2f, '?'))] }),
	  see: ({ tlvs }) => assert.deepEqual({ ...tlvs.ssl }, { tls: true, certificate: true, verified: true,
		version: 'TLSv1.3', cn: 'Anna', cipher: 'AES', sigAlg: 'RSA', keyAlg: 'EC' }) },
	{ name: 'v2 with SSL, nobody asked for a certificate', src: '1.2.3.4 5',
	  input: v2({ addresses: ip4('1.2.3.4', 5), tlvs: [ssl(1, 0)] }), see: ({ tlvs }) => assert.equal(tlvs.ssl.verified, false) },
	{ name: 'v2 with SSL, a bad certificate', src: '1.2.3.4 5',
	  input: v2({ addresses: ip4('1.2.3.4', 5), tlvs: [ssl(3, 1)] }), see: ({ tlvs }) => assert.equal(tlvs.ssl.verified, false) },
	{ name: 'v2 with its checksum', input: sealed(v2({ addresses: ip4('1.2.3.4', 5), tlvs: [tlv(2, 'x')] })), src: '1.2.3.4 5' },
	{ name: 'v2 of 4096 bytes', input: v2({ addresses: ip4('1.2.3.4', 5), tlvs: [tlv(4, Buffer.alloc(4096 - 16 - 12 - 3))] }), src: '1.2.3.4 5' },
];

const flipped = (bytes, at) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
const v4 = ip4('1.2.3.4', 5);
const seal = sealed(v2({ addresses: v4 }));
const BAD = [
	{ name: 'v1 with a bare LF', input: line('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n') },
	{ name: 'v1 with a bare CR', input: line('PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX') },
	{ name: 'v1 with a CR inside UNKNOWN', input: line('PROXY UNKNOWN a\rb\r\n') },
	{ name: 'v1 of 108 bytes', input: line('PROXY UNKNOWN '.padEnd(106, 'x') + '\r\n') },
	{ name: 'v1 that never ends', input: line('PROXY UNKNOWN '.padEnd(300, 'x')) },
	{ name: 'v1 with two spaces', input: line('PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n') },
	{ name: 'v1 with a space at the end', input: line('PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n') },
	{ name: 'v1 with a word missing', input: line('PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n') },
	{ name: 'v1 in lower case', input: line('PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n') },
	{ name: 'v1 UDP4', input: line('PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n') },
	{ name: 'v1 TCP4 with IPv6', input: line('PROXY TCP4 ::1 ::1 1 2\r\n') },
	{ name: 'v1 TCP6 with IPv4', input: line('PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n') },
	{ name: 'v1 TCP6 with a zone', input: line('PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n') },
	{ name: 'v1 with an octet of 256', input: line('PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n') },
	{ name: 'v1 with an octet that starts with 0', input: line('PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n') },
	{ name: 'v1 with port 65536', input: line('PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n') },
	{ name: 'v1 with port 01', input: line('PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n') },
	{ name: 'v1 with a signed port', input: line('PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n') },
	{ name: 'v1 with an empty port', input: line('PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n') },
	{ name: 'v2 of version 1', input: v2({ command: 0x11, addresses: v4 }) },
	{ name: 'v2 with command 2', input: v2({ command: 0x22, addresses: v4 }) },
	{ name: 'v2 with family 4', input: v2({ family: 0x41, addresses: v4 }) },
	{ name: 'v2 with transport 3', input: v2({ family: 0x13, addresses: v4 }) },
	{ name: 'v2 IPv4 cut short', input: v2({ addresses: v4.subarray(0, 11) }) },
	{ name: 'v2 IPv6 with IPv4 addresses', input: v2({ family: 0x21, addresses: v4 }) },
	{ name: 'v2 Unix cut short', input: v2({ family: 0x31, addresses: Buffer.alloc(215) }) },
	{ name: 'v2 of 4097 bytes', input: v2({ addresses: v4, tlvs: [tlv(4, Buffer.alloc(4097 - 16 - 12 - 3))] }) },
	{ name: 'v2 that claims 65535 bytes', input: v2({ addresses: v4, length: 65535 }) },
	{ name: 'v2 field without a length', input: v2({ addresses: v4, tlvs: [Buffer.from([2, 0])] }) },
	{ name: 'v2 field that leaves the header', input: v2({ addresses: v4, tlvs: [Buffer.from([2, 0, 2, 65])] }) },
	{ name: 'v2 SSL of four bytes', input: v2({ addresses: v4, tlvs: [tlv(0x20, [1, 0, 0, 0])] }) },
	{ name: 'v2 SSL whose field leaves it', input: v2({ addresses: v4, tlvs: [tlv(0x20, [1, 0, 0, 0, 0, 0x21, 0, 9])] }) },
	{ name: 'v2 checksum of three bytes', input: v2({ addresses: v4, tlvs: [tlv(3, [0, 0, 0])] }) },
	{ name: 'v2 checksum after a flipped address bit', input: flipped(seal, 17) },
	{ name: 'v2 checksum that is itself wrong', input: flipped(seal, seal.length - 1) },
];

const where = (end) => end && `${end.address} ${end.port}`;

for (const row of GOOD) {
	test(`${row.name} is read`, () => {
		const result = parseHeader(row.input);
		assert.equal(result.state, 'done', result.why);
		assert.equal(result.length, row.input.length);
		assert.equal(result.proxy.version, row.input[0] === 80 ? 1 : 2);
		assert.equal(result.proxy.local, row.local === true);
		assert.equal(where(result.proxy.src), row.src);
		row.see?.(result.proxy);
	});
	test(`${row.name} is the same when cut anywhere, whatever follows`, () => {
		const whole = parseHeader(row.input);
		for (let n = 0; n < row.input.length; n++)
			assert.equal(parseHeader(row.input.subarray(0, n)).state, 'more', `after ${n} bytes`);
		for (const after of ['GET / HTTP/1.1\r\n', '\r\n', 'PROXY TCP4 9.9.9.9 9.9.9.9 9 9\r\n', SIGNATURE])
			assert.deepEqual(parseHeader(Buffer.concat([row.input, Buffer.from(after)])), whole);
	});
}

for (const row of BAD) {
	test(`${row.name} is refused`, () => {
		const result = parseHeader(row.input);
		assert.equal(result.state, 'bad');
		assert.match(result.why, /^v[12] /);
	});
	test(`${row.name} is refused for the same reason byte by byte`, () => {
		let result = { state: 'more' };
		for (let n = 0; result.state === 'more' && n <= row.input.length; n++)
			result = parseHeader(row.input.subarray(0, n));
		assert.deepEqual(result, parseHeader(row.input));
	});
}

test('what begins no header is told apart at its first different byte', () => {
	for (const text of ['G', 'POST / HTTP/1.1', 'PROPFIND', 'PROXX', 'PROXY\r', '\r\nG', '\r\n\r\n\r', '\n', '\0', '\x16\x03\x01'])
		assert.equal(parseHeader(line(text)).state, 'none', JSON.stringify(text));
	for (const text of ['', 'P', 'PR', 'PROXY', '\r', '\r\n', '\r\n\r\n\0\r\nQUIT'])
		assert.equal(parseHeader(line(text)).state, 'more', JSON.stringify(text));
});

test('a header that is too long is refused before it is waited for', () => {
	const start = Buffer.concat([SIGNATURE, Buffer.from([0x21, 0x11]), u16(5000)]);
	assert.equal(parseHeader(start).state, 'bad');
	assert.equal(parseHeader(start, { maxHeader: 6000 }).state, 'more');
});

test('the answer keeps no view into the buffer', () => {
	const input = v2({ addresses: ip4('1.2.3.4', 5), tlvs: [tlv(5, 'id')] });
	const { proxy } = parseHeader(input);
	input.fill(0);
	assert.equal(proxy.tlvs.uniqueId.toString(), 'id');
	assert.equal(proxy.tlvs.raw[0].value.toString(), 'id');
});

test('random bytes never throw', () => {
	let seed = 20240607;
	const random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 16;
	for (let round = 0; round < 20000; round++) {
		const row = GOOD[random() % GOOD.length];
		const input = Buffer.from(row.input.subarray(0, 300));
		for (let flips = random() % 4; flips >= 0; flips--)
			input[random() % input.length] = random() & 255;
		assert.match(parseHeader(input).state, /^(more|none|bad|done)$/);
	}
});
