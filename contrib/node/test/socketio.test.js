// SPDX-License-Identifier: MIT
//
// With the real socket.io and its client, where they can be found: beside this package, in the
// chat example once that has been installed, or where LIMPET_NODE_MODULES says.
'use strict';

const assert = require('node:assert/strict');
const http = require('node:http');
const { createRequire } = require('node:module');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { drain, listen } = require('..');
const { tlv, v2, ip4, ip6, directory, until } = require('../fixtures/peer');

function find(name) {
	const places = [__dirname, path.join(__dirname, '../../../examples/socketio-chat'), process.env.LIMPET_NODE_MODULES];
	for (const place of places.filter(Boolean))
		try {
			return createRequire(path.join(place, 'x.js'))(name);
		} catch (err) {
			if (err.code !== 'MODULE_NOT_FOUND')
				throw err;
		}
	return null;
}

const socketio = find('socket.io');
const client = find('socket.io-client');
const skip = !socketio || !client ? 'socket.io and socket.io-client are not installed' : false;

const joined = []; // clients of the test that runs

// A proxy such as Limpet: puts a header in front of each connection to the worker.
async function proxy(t, socket, header) {
	const relay = net.createServer((peer) => {
		const worker = net.connect(socket);
		worker.write(header);
		peer.pipe(worker).pipe(peer);
		peer.on('error', () => worker.destroy()).on('close', () => worker.destroy());
		worker.on('error', () => peer.destroy()).on('close', () => peer.destroy());
	});
	await new Promise((resolve) => relay.listen(0, '127.0.0.1', resolve));
	t.after(() => relay.close());
	return `http://127.0.0.1:${relay.address().port}`;
}

async function chat(t, listenOptions, drainOptions) {
	const server = http.createServer();
	const io = new socketio.Server(server);
	io.on('connection', (s) => {
		s.on('who', (answer) => answer({ address: s.handshake.address, request: s.request.socket.remoteAddress }));
		s.on('all', (text) => io.emit('all', text));
	});
	const stop = drain(server, { io, signal: false, exit: false, grace: 200, ...drainOptions });
	t.after(async () => {
		// Clients first, while the socket is there: Engine.IO waits 30 s for one that is told to close between two polls.
		joined.splice(0).forEach((s) => s.close());
		await until(() => io.engine.clientsCount === 0, 'all clients have left');
		await stop();
	});
	const socket = path.join(directory(t), 'w.sock'); // after the hook: hooks run in this order
	await listen(server, { path: socket, ...listenOptions });
	return { socket, io, stop };
}

function join(t, url, transports, options) {
	const s = client.io(url, { transports, forceNew: true, reconnection: false, ...options });
	joined.push(s);
	return s;
}

const connected = (s) => until(() => s.connected, 'the client is connected');
const KINDS = { 'polling only': ['polling'], 'polling, then upgrade': ['polling', 'websocket'], 'WebSocket only': ['websocket'] };
const CLIENTS = {
	'192.0.2.9': v2({ addresses: ip4('192.0.2.9', 4711), tlvs: [tlv(2, 'chat.example')] }),
	'2001:db8::7': v2({ family: 0x21, addresses: ip6('20010db8000000000000000000000007', 4711) }),
	'198.51.100.1': Buffer.from('PROXY TCP4 198.51.100.1 10.0.0.1 4711 80\r\n'),
};

for (const [kind, transports] of Object.entries(KINDS))
	test(`handshake.address is the client's: ${kind}`, { skip }, async (t) => {
		const { socket } = await chat(t, { proxy: 'required' });
		for (const [address, header] of Object.entries(CLIENTS)) {
			const s = join(t, await proxy(t, socket, header), transports);
			await connected(s);
			await until(() => s.io.engine.transport.name === transports.at(-1), 'the last transport is in use');
			assert.deepEqual(await s.timeout(2000).emitWithAck('who'), { address, request: address });
		}
	});

test('large messages and broadcasts pass', { skip }, async (t) => {
	const { socket } = await chat(t);
	const heard = [];
	const all = [];
	for (const transports of Object.values(KINDS)) {
		const s = join(t, await proxy(t, socket, CLIENTS['192.0.2.9']), transports);
		s.on('all', (text) => heard.push(text.length));
		await connected(s);
		all.push(s);
	}
	for (const s of all)
		s.emit('all', 'x'.repeat(300_000));
	await until(() => heard.length === 9, 'all have heard all');
	assert.deepEqual([...new Set(heard)], [300_000]);
});

test('drain ends polling sessions at once and WebSockets after the grace, so that both come back', { skip }, async (t) => {
	const { socket, stop } = await chat(t, {}, { grace: 500 });
	const url = await proxy(t, socket, CLIENTS['192.0.2.9']);
	const log = [];
	const born = Date.now();
	for (const kind of ['polling', 'websocket']) {
		const s = join(t, url, [kind]);
		s.on('disconnect', (reason) => log.push({ kind, reason, active: s.active, at: Date.now() - born }));
		await connected(s);
	}
	const from = Date.now() - born;
	await stop();
	await until(() => log.length === 2, 'both are disconnected');
	assert.deepEqual(log.map((l) => l.kind), ['polling', 'websocket']);
	assert.ok(log[0].at - from < 450, `polling ended after ${log[0].at - from} ms`);
	assert.ok(log[1].at - from >= 450, `the WebSocket ended after ${log[1].at - from} ms`);
	// "io server disconnect" would keep a client away for good.
	assert.ok(log.every((l) => ['transport close', 'transport error'].includes(l.reason)), JSON.stringify(log));
});
