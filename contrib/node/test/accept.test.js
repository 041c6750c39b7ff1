// SPDX-License-Identifier: MIT
'use strict';

const assert = require('node:assert/strict');
const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { acceptProxy, listen } = require('..');
const { tlv, v2, ip4, ip6, directory, say, bytewise, body, until } = require('../fixtures/peer');

const V1 = Buffer.from('PROXY TCP4 192.0.2.9 10.0.0.1 4711 80\r\n');
const V2 = v2({ addresses: ip4('192.0.2.9', 4711), tlvs: [tlv(2, 'chat.example')] });
const V2_6 = v2({ family: 0x21, addresses: ip6('20010db8000000000000000000000007', 4711) });
const LOCAL = v2({ command: 0x20, family: 0 });
const GET = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');

// Answers who asked, and what the body was.
function whoami(req, res) {
	const chunks = [];
	const { remoteAddress, remotePort, remoteFamily, proxy } = req.socket;
	req.on('data', (chunk) => chunks.push(chunk));
	req.on('end', () => {
		const text = JSON.stringify({ remoteAddress, remotePort, remoteFamily, url: req.url,
			version: proxy?.version, local: proxy?.local, authority: proxy?.tlvs.authority,
			body: Buffer.concat(chunks).toString('latin1') });
		res.end(text);
	});
}

async function start(t, options = {}, server = http.createServer(whoami)) {
	const socket = path.join(directory(t), 'w.sock');
	const errors = [];
	server.on('proxyError', (err) => errors.push(err.message));
	await listen(server, { path: socket, ...options });
	t.after(() => {
		server.close();
		server.closeAllConnections?.();
	});
	return { server, socket, errors };
}

const ask = async (socket, ...pieces) => JSON.parse(body(await say(socket, pieces)));

test('v1, v2, IPv6, LOCAL and UNKNOWN headers name the client', async (t) => {
	const { socket } = await start(t);
	const from = async (header) => {
		const { remoteAddress, remotePort, remoteFamily, version, local, authority } = await ask(socket, Buffer.concat([header, GET]));
		return [remoteAddress, remotePort, remoteFamily, version, local, authority];
	};
	assert.deepEqual(await from(V1), ['192.0.2.9', 4711, 'IPv4', 1, false, undefined]);
	assert.deepEqual(await from(V2), ['192.0.2.9', 4711, 'IPv4', 2, false, 'chat.example']);
	assert.deepEqual(await from(V2_6), ['2001:db8::7', 4711, 'IPv6', 2, false, undefined]);
	assert.deepEqual(await from(LOCAL), [undefined, undefined, undefined, 2, true, undefined]);
	assert.deepEqual(await from(Buffer.from('PROXY UNKNOWN\r\n')), [undefined, undefined, undefined, 1, false, undefined]);
});

test('a header byte by byte, or with the request in the same segment, loses nothing', async (t) => {
	const { socket } = await start(t);
	for (const header of [V1, V2, V2_6]) {
		const whole = Buffer.concat([header, GET]);
		const want = await ask(socket, whole);
		assert.equal(want.remotePort, 4711);
		assert.deepEqual(await ask(socket, ...bytewise(whole)), want);
		assert.deepEqual(await ask(socket, header, GET), want);
	}
});

test('a header cut at every byte gives the same', async (t) => {
	const { socket } = await start(t);
	const whole = Buffer.concat([V2, GET]);
	for (let cut = 1; cut <= V2.length + 2; cut++)
		assert.equal((await ask(socket, whole.subarray(0, cut), whole.subarray(cut))).remoteAddress, '192.0.2.9', `cut at ${cut}`);
});

test('a large body that begins in the header\'s segment comes whole', async (t) => {
	const { socket } = await start(t);
	const payload = Buffer.alloc(3_000_000, 'abcdefghij\n');
	const head = Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${payload.length}\r\n\r\n`);
	const answer = await ask(socket, Buffer.concat([V2, head, payload]));
	assert.equal(answer.body, payload.toString('latin1'));
	assert.equal(answer.remoteAddress, '192.0.2.9');
});

test('all requests of a keep-alive connection, pipelined ones too, are the client\'s', async (t) => {
	const { socket } = await start(t);
	const one = (n, close) => `GET /${n} HTTP/1.1\r\nHost: a\r\n${close ? 'Connection: close\r\n' : ''}\r\n`;
	const together = await say(socket, [Buffer.concat([V2, Buffer.from(one(1) + one(2) + one(3, true))])]);
	assert.deepEqual(together.match(/"url":"[^"]*"/g), ['"url":"/1"', '"url":"/2"', '"url":"/3"']);
	assert.equal(together.match(/"remoteAddress":"192.0.2.9"/g).length, 3);

	const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
	agent.createConnection = () => {
		const peer = net.connect(socket);
		peer.write(V2_6);
		return peer;
	};
	const ports = new Set();
	for (let n = 0; n < 5; n++) {
		const answer = await new Promise((resolve, reject) => {
			const req = http.get({ agent, path: `/${n}`, host: 'a' }, (res) => {
				let text = '';
				res.on('data', (chunk) => (text += chunk)).on('end', () => resolve(JSON.parse(text)));
			});
			req.on('error', reject).on('socket', (s) => ports.add(s));
		});
		assert.deepEqual([answer.url, answer.remoteAddress], [`/${n}`, '2001:db8::7']);
	}
	assert.equal(ports.size, 1, 'one connection carried all');
	agent.destroy();
});

test('an upgrade keeps the address and the bytes that came with it', async (t) => {
	const server = http.createServer();
	server.on('upgrade', (req, socket, head) => {
		socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
		socket.write(`${req.socket.remoteAddress}|${head}`);
		socket.on('data', (chunk) => socket.write(chunk));
		socket.on('end', () => socket.end());
	});
	const { socket } = await start(t, {}, server);
	const request = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfirst');
	const answer = await say(socket, [Buffer.concat([V2, request]), Buffer.from(' second')], { end: true });
	assert.equal(body(answer), '192.0.2.9|first second');
	const slow = await say(socket, bytewise(Buffer.concat([V2, request])), { end: true });
	assert.equal(body(slow), '192.0.2.9|first');
});

test('optional: plain requests pass unchanged, also those that begin like a header', async (t) => {
	const { socket, errors } = await start(t);
	for (const start of ['GET', 'POST', 'PROPFIND', 'PUT', 'PATCH', '\r\nGET', '\r\n\r\nGET']) {
		const request = Buffer.from(`${start} /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
		for (const pieces of [[request], bytewise(request)]) {
			const answer = await ask(socket, ...pieces);
			assert.deepEqual([answer.url, answer.remoteAddress, answer.version], ['/x', undefined, undefined]);
		}
	}
	assert.deepEqual(errors, []);
});

test('required: a connection without a header is destroyed before HTTP sees it', async (t) => {
	let requests = 0;
	const { socket, errors } = await start(t, { proxy: 'required' }, http.createServer((req, res) => res.end(String(++requests))));
	assert.equal(await say(socket, [GET]), '');
	assert.equal(requests, 0);
	assert.match(errors[0], /there is none/);
	assert.equal(body(await say(socket, [V1, GET])), '1');
	assert.equal(body(await say(socket, [LOCAL, GET])), '2', 'a health check is let in');
});

test('off: a header is a bad request, nobody believes it', async (t) => {
	const { socket } = await start(t, { proxy: false });
	assert.match(await say(socket, [V1, GET]), /^HTTP\/1.1 400 /);
	assert.equal((await ask(socket, GET)).remoteAddress, undefined);
});

test('malformed and oversized headers: the socket is destroyed, without an answer', async (t) => {
	const { socket, errors, server } = await start(t);
	const wrong = [
		Buffer.from('PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n'),
		Buffer.from('PROXY UNKNOWN '.padEnd(200, 'x')),
		v2({ command: 0x22, addresses: ip4('1.2.3.4', 5) }),
		v2({ addresses: ip4('1.2.3.4', 5), length: 60000 }),
	];
	for (const header of wrong) {
		assert.equal(await say(socket, [Buffer.concat([header, GET])]), '');
		assert.equal(await say(socket, bytewise(header)), '');
	}
	assert.equal(errors.length, 2 * wrong.length);
	await until(() => new Promise((r) => server.getConnections((e, n) => r(n === 0))), 'no connection left behind');
});

test('a second header is a bad request, not a second chance', async (t) => {
	const { socket } = await start(t);
	assert.match(await say(socket, [Buffer.concat([V2, V1, GET])]), /^HTTP\/1.1 400 /);
});

test('a slow or unfinished header: the socket is destroyed', async (t) => {
	const { socket, errors } = await start(t, { timeout: 50, proxy: 'required' });
	assert.equal(await say(socket, [V2.subarray(0, 20)]), '');
	assert.match(errors.pop(), /in time/);
	assert.equal(await say(socket, []), '');
	assert.match(errors.pop(), /in time/);
	assert.equal(await say(socket, [V2.subarray(0, 20)], { end: true }), '');
	assert.match(errors.pop(), /ended within it/);
	assert.equal(await say(socket, [], { end: true }), '');
	assert.deepEqual(errors, [], 'a probe that only connects is no error');
});

test('optional: who says nothing for long is left to HTTP', async (t) => {
	const { socket, server } = await start(t, { timeout: 20 });
	const peer = net.connect(socket);
	await new Promise((resolve) => server.once('connection', resolve));
	peer.end(GET);
	let answer = '';
	for await (const chunk of peer)
		answer += chunk;
	assert.match(answer, /^HTTP\/1.1 200/);
});

test('a peer that resets within its header troubles nobody', async (t) => {
	const tcp = acceptProxy(http.createServer(whoami));
	await new Promise((resolve) => tcp.listen(0, '127.0.0.1', resolve));
	t.after(() => tcp.close());
	const peer = net.connect(tcp.address().port, '127.0.0.1');
	await new Promise((resolve) => peer.write(V2.subarray(0, 9), resolve));
	const connections = (want) => () => new Promise((r) => tcp.getConnections((e, n) => r(n === want)));
	await until(connections(1), 'the connection is there');
	peer.resetAndDestroy();
	await until(connections(0), 'the connection is gone');
	assert.ok(tcp.listening);
});

test('listeners added before and after see the socket only with its address', async (t) => {
	const seen = [];
	const server = http.createServer(whoami);
	server.on('connection', (s) => seen.push(s.remoteAddress));
	const { socket } = await start(t, {}, server);
	server.on('connection', (s) => seen.push(s.remoteAddress));
	await ask(socket, ...bytewise(V2), GET);
	assert.deepEqual(seen, ['192.0.2.9', '192.0.2.9']);
});

test('a plain net.Server works too, whichever way it reads', async (t) => {
	const readers = {
		data: (s) => s.on('data', (chunk) => s.write(chunk)),
		readable: (s) => s.on('readable', () => { for (let c; (c = s.read()); ) s.write(c); }),
		pipe: (s) => s.pipe(s, { end: false }),
		late: (s) => setTimeout(() => s.on('data', (chunk) => s.write(chunk)), 20),
	};
	for (const [name, read] of Object.entries(readers)) {
		const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: name === 'pipe' }, (s) => {
			s.write(`${s.remoteAddress}:`);
			s.on('end', () => s.end());
			read(s);
		});
		const { socket } = await start(t, {}, server);
		assert.equal(await say(socket, [Buffer.concat([V2, Buffer.from('ab')]), Buffer.from('cd')], { end: true }), '192.0.2.9:abcd', name);
		server.close();
	}
});

test('the settings are checked', () => {
	assert.throws(() => acceptProxy({}), TypeError);
	assert.throws(() => acceptProxy(http.createServer(), { proxy: 'yes' }), TypeError);
	assert.throws(() => acceptProxy(https.createServer(), { proxy: 'optional' }), /TLS/);
});
