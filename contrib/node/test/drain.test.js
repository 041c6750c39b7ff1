// SPDX-License-Identifier: MIT
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { drain, listen } = require('..');
const { directory, say, body, until, worker } = require('../fixtures/peer');

const get = (url, extra = '') => `GET ${url} HTTP/1.1\r\nHost: a\r\n${extra}\r\n`;
const UPGRADE = get('/', 'Connection: Upgrade\r\nUpgrade: x\r\n');
const GRACE = { grace: 300 };

// A connection that stays open; `text` grows with what comes.
function dial(socket) {
	const peer = net.connect(socket);
	const line = { peer, text: '', closed: false };
	peer.on('data', (chunk) => (line.text += chunk)).on('error', () => {});
	line.gone = new Promise((resolve) => peer.on('close', () => { line.closed = true; resolve(); }));
	return line;
}

async function started(t, drainOptions) {
	const socket = path.join(directory(t), 'w.sock');
	const w = worker(t, socket, { drain: drainOptions });
	await w.says('ready');
	return { socket, ...w };
}

const hidden = (socket) => until(() => !fs.existsSync(socket), 'the socket is gone');

test('an idle worker ends at once, with 0, and its socket is gone', async (t) => {
	const { socket, child, ended } = await started(t, { grace: 60_000 });
	child.kill('SIGTERM');
	assert.deepEqual(await ended, [0, null]);
	assert.equal(fs.existsSync(socket), false);
});

test('a request that is open is answered in full, after the name has gone', async (t) => {
	const { socket, child, ended, says, heard } = await started(t, { grace: 60_000 });
	const answer = say(socket, [get('/600')]);
	await says('got');
	child.kill('SIGTERM');
	await hidden(socket);
	assert.equal(heard.length, 2, 'the request is still open');
	const text = await answer;
	assert.equal(body(text).includes(String(child.pid)), true);
	assert.match(text, /Connection: close/i);
	assert.deepEqual(await ended, [0, null]);
});

test('a connection whose answer had begun as a keep-alive one is closed after it', async (t) => {
	const { socket, child, ended } = await started(t, { grace: 60_000 });
	const line = dial(socket);
	line.peer.write(get('/begin'));
	await until(() => line.text.includes('begun'), 'the answer has begun');
	child.kill('SIGTERM');
	assert.deepEqual(await ended, [0, null]);
	assert.match(line.text, /Connection: keep-alive/i);
	assert.match(line.text, /done/);
});

test('idle keep-alive connections are closed, they do not hold up the end', async (t) => {
	const { socket, child, ended } = await started(t, { grace: 60_000 });
	const lines = [dial(socket), dial(socket)];
	for (const line of lines)
		line.peer.write(get('/'));
	await until(() => lines.every((line) => line.text.includes(child.pid)), 'both are answered');
	assert.ok(lines.every((line) => !line.closed), 'both are kept alive');
	child.kill('SIGTERM');
	assert.deepEqual(await ended, [0, null]);
	await Promise.all(lines.map((line) => line.gone));
});

test('a WebSocket goes on until the grace ends, and not longer', async (t) => {
	const { socket, child, ended } = await started(t, GRACE);
	const line = dial(socket);
	line.peer.write(UPGRADE);
	await until(() => line.text.includes('101'), 'it is upgraded');
	child.kill('SIGTERM');
	await hidden(socket);
	line.peer.write('still there?');
	await until(() => line.text.endsWith('still there?'), 'it is still served');
	assert.equal(line.closed, false);
	assert.deepEqual(await ended, [0, null]);
	await line.gone;
});

test('a WebSocket that ends within the grace ends the wait', async (t) => {
	const { socket, child, ended } = await started(t, { grace: 60_000 });
	const line = dial(socket);
	line.peer.write(UPGRADE);
	await until(() => line.text.includes('101'), 'it is upgraded');
	child.kill('SIGTERM');
	await hidden(socket);
	line.peer.end();
	assert.deepEqual(await ended, [0, null]);
});

test('a connection that the kernel had queued when the name went is served', async (t) => {
	const { socket, child, ended } = await started(t, { grace: 60_000 });
	child.kill('SIGSTOP');
	const line = dial(socket); // connected, not accepted
	await new Promise((resolve) => line.peer.write(get('/'), resolve));
	child.kill('SIGTERM');
	child.kill('SIGCONT');
	assert.deepEqual(await ended, [0, null]);
	await line.gone;
	assert.match(line.text, /^HTTP\/1.1 200/);
});

test('a second signal ends the process at once', async (t) => {
	const { socket, child, ended } = await started(t, { grace: 60_000 });
	const line = dial(socket);
	line.peer.write(UPGRADE);
	await until(() => line.text.includes('101'), 'it is upgraded');
	child.kill('SIGTERM');
	await hidden(socket);
	child.kill('SIGTERM');
	assert.deepEqual(await ended, [1, null]);
});

test('other signals can be chosen, and several', async (t) => {
	for (const signal of ['SIGUSR2', 'SIGTERM']) {
		const { child, ended } = await started(t, { signal: ['SIGTERM', 'SIGUSR2'] });
		child.kill(signal);
		assert.deepEqual(await ended, [0, null]);
	}
});

test('without a signal and without exit, the returned function drains, once', async (t) => {
	const socket = path.join(directory(t), 'w.sock');
	const server = http.createServer((req, res) => res.end());
	const before = process.listenerCount('SIGTERM');
	const stop = drain(server, { signal: false, exit: false, grace: 100 });
	await listen(server, { path: socket });
	const silent = dial(socket); // its PROXY header never comes
	silent.peer.write('PROXY');
	await until(() => new Promise((r) => server.getConnections((e, n) => r(n === 1))), 'it is accepted');
	assert.equal(stop(), stop());
	await stop();
	await silent.gone;
	assert.equal(server.listening, false);
	assert.equal(fs.existsSync(socket), false);
	assert.equal(process.listenerCount('SIGTERM'), before);
});
