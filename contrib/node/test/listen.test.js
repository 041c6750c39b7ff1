// SPDX-License-Identifier: MIT
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { test } = require('node:test');
const { listen } = require('..');
const { directory, say, body, until, worker } = require('../fixtures/peer');

const GET = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const server = (text = 'ok') => http.createServer((req, res) => res.end(text));
const code = (promise) => promise.then(() => 'none', (err) => err.code);

function place(t) {
	const dir = directory(t);
	return { dir, socket: path.join(dir, 'w.sock') };
}

// A socket file that nobody listens on: what a worker leaves that was killed.
async function leaveStale(t, socket) {
	const dead = worker(t, socket);
	await dead.says('ready');
	dead.child.kill('SIGKILL');
	await dead.ended;
	assert.ok(fs.lstatSync(socket).isSocket());
}

test('the socket is there with its mode when the promise resolves, and nothing beside it', async (t) => {
	const { dir, socket } = place(t);
	for (const mode of [0o660, 0o600, 0o666]) {
		const s = await listen(server(), { path: socket, mode });
		assert.equal(fs.statSync(socket).mode & 0o777, mode);
		assert.deepEqual(fs.readdirSync(dir), ['w.sock']);
		assert.equal(s.address(), socket);
		assert.equal(body(await say(socket, [GET])), 'ok');
		s.close();
		assert.deepEqual(fs.readdirSync(dir), [], 'gone as soon as it is closed');
	}
	const usual = await listen(server(), { path: socket });
	assert.equal(fs.statSync(socket).mode & 0o777, 0o660);
	usual.close();
});

test('whoever watches the directory never sees a *.sock that refuses', async (t) => {
	const { dir, socket } = place(t);
	const seen = new Set();
	const failures = [];
	let tried = 0;
	const watcher = fs.watch(dir, (event, name) => {
		seen.add(name);
		if (!name?.endsWith('.sock') || !fs.existsSync(socket))
			return;
		tried++;
		net.connect(socket).on('error', (err) => failures.push(err.code)).on('connect', function () { this.destroy(); });
	});
	t.after(() => watcher.close());
	const s = server();
	for (let round = 0; round < 20; round++) {
		await listen(s, { path: socket });
		const before = tried;
		await until(() => tried > before, 'the watcher sees the socket');
		await new Promise((resolve) => setImmediate(resolve));
		await say(socket, [GET]);
		s.close();
	}
	assert.deepEqual(failures.filter((c) => c !== 'ENOENT'), []);
	assert.ok([...seen].some((name) => name?.startsWith('.')), 'the temporary name is a hidden one');
});

test('a stale socket is replaced', async (t) => {
	const { dir, socket } = place(t);
	await leaveStale(t, socket);
	const s = await listen(server('new'), { path: socket });
	assert.equal(body(await say(socket, [GET])), 'new');
	assert.deepEqual(fs.readdirSync(dir), ['w.sock']);
	s.close();
});

test('a stale socket stays when unlink is false', async (t) => {
	const { socket } = place(t);
	await leaveStale(t, socket);
	const before = fs.lstatSync(socket).ino;
	assert.equal(await code(listen(server(), { path: socket, unlink: false })), 'EADDRINUSE');
	assert.equal(fs.lstatSync(socket).ino, before);
});

test('a socket on which somebody listens is not touched', async (t) => {
	const { dir, socket } = place(t);
	const first = await listen(server('first'), { path: socket });
	const second = server('second');
	assert.equal(await code(listen(second, { path: socket })), 'EADDRINUSE');
	assert.equal(body(await say(socket, [GET])), 'first');
	assert.deepEqual(fs.readdirSync(dir), ['w.sock']);
	first.close();
	await listen(second, { path: socket }); // the same server may try again
	assert.equal(body(await say(socket, [GET])), 'second');
	second.close();
});

test('a listener whose queue is full is alive', async (t) => {
	const { dir, socket } = place(t);
	// A process that listens and never accepts: it is stopped.
	const busy = worker(t, socket, { listen: { backlog: 1 } });
	await busy.says('ready');
	busy.child.kill('SIGSTOP');
	const fill = Array.from({ length: 8 }, () => net.connect(socket).on('error', () => {}));
	t.after(() => fill.forEach((peer) => peer.destroy()));
	assert.equal(await code(listen(server(), { path: socket })), 'EADDRINUSE');
	assert.deepEqual(fs.readdirSync(dir), ['w.sock']);
	busy.child.kill('SIGCONT');
});

test('what is no socket is never touched', async (t) => {
	const { dir, socket } = place(t);
	fs.writeFileSync(socket, 'precious');
	assert.equal(await code(listen(server(), { path: socket })), 'ENOTSOCK');
	assert.equal(fs.readFileSync(socket, 'utf8'), 'precious');
	const link = path.join(dir, 'link.sock');
	fs.symlinkSync('nowhere', link);
	assert.equal(await code(listen(server(), { path: link })), 'ENOTSOCK');
	assert.equal(fs.readlinkSync(link), 'nowhere');
	fs.mkdirSync(path.join(dir, 'd.sock'));
	assert.equal(await code(listen(server(), { path: path.join(dir, 'd.sock') })), 'ENOTSOCK');
	assert.deepEqual(fs.readdirSync(dir).sort(), ['d.sock', 'link.sock', 'w.sock']);
});

test('of ten that start at once on a stale socket, one wins and the others hear so', async (t) => {
	const { dir, socket } = place(t);
	await leaveStale(t, socket);
	const servers = Array.from({ length: 10 }, (_, n) => server(String(n)));
	const results = await Promise.all(servers.map((s) => code(listen(s, { path: socket }))));
	const winners = results.flatMap((result, n) => (result === 'none' ? [String(n)] : []));
	assert.equal(winners.length, 1, results.join(' '));
	assert.equal(results.filter((result) => result === 'EADDRINUSE').length, 9);
	assert.equal(body(await say(socket, [GET])), winners[0]);
	assert.deepEqual(fs.readdirSync(dir), ['w.sock']);
	servers[winners[0]].close();
});

test('a path that is too long, or has no directory, is an error that says so', async (t) => {
	const { dir } = place(t);
	assert.equal(await code(listen(server(), { path: path.join(dir, `${'x'.repeat(120)}.sock`) })), 'ENAMETOOLONG');
	assert.match(await code(listen(server(), { path: path.join(dir, 'no', 'w.sock') })), /ENOENT|EACCES/);
	await assert.rejects(listen(server(), {}), TypeError);
	assert.deepEqual(fs.readdirSync(dir), []);
});

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'])
	test(`${signal} ends the process as it would without us, and the socket is gone`, async (t) => {
		const { dir, socket } = place(t);
		const w = worker(t, socket);
		await w.says('ready');
		w.child.kill(signal);
		assert.deepEqual(await w.ended, [null, signal]);
		assert.deepEqual(fs.readdirSync(dir), []);
	});

test('process.exit and an uncaught error leave no socket', async (t) => {
	const { dir, socket } = place(t);
	for (const [url, want] of [['/exit', 0], ['/throw', 1]]) {
		const w = worker(t, socket);
		await w.says('ready');
		await say(socket, [`GET ${url} HTTP/1.1\r\nHost: a\r\n\r\n`]);
		assert.deepEqual(await w.ended, [want, null]);
		assert.deepEqual(fs.readdirSync(dir), []);
	}
});

test('a signal that the program handles itself is left to it', async (t) => {
	const { socket } = place(t);
	const w = worker(t, socket, { handle: 'SIGTERM' });
	await w.says('ready');
	w.child.kill('SIGTERM');
	await w.says('handled');
	assert.equal(body(await say(socket, [GET])), String(w.child.pid));
	w.child.kill('SIGTERM'); // it handled one, and only one
	assert.deepEqual(await w.ended, [null, 'SIGTERM']);
	assert.equal(fs.existsSync(socket), false);
});

test('a successor\'s socket is not removed', async (t) => {
	const { socket } = place(t);
	const old = worker(t, socket);
	await old.says('ready');
	fs.unlinkSync(socket);
	const young = worker(t, socket);
	await young.says('ready');
	old.child.kill('SIGTERM');
	await old.ended;
	assert.equal(body(await say(socket, [GET])), String(young.child.pid));
});

test('workers of node:cluster have a socket each, and accept on it themselves', async (t) => {
	const { dir, socket } = place(t);
	const w = worker(t, socket, { cluster: true });
	await until(() => w.heard.filter((what) => what.ready).length === 2, 'both are ready', 15000);
	const pids = [];
	for (const name of ['w.sock1', 'w.sock2'])
		for (let n = 0; n < 3; n++)
			pids.push(body(await say(path.join(dir, name), [GET])));
	assert.deepEqual(pids.slice(0, 3), Array(3).fill(pids[0]));
	assert.deepEqual(pids.slice(3), Array(3).fill(pids[3]));
	assert.notEqual(pids[0], pids[3]);
	w.child.kill('SIGKILL'); // the workers end when their primary is gone
	await until(() => fs.readdirSync(dir).length === 0, 'their sockets go');
});

test('the package can be imported as an ES module', async () => {
	const names = await import('limpet-worker');
	assert.deepEqual(Object.keys(names).filter((n) => !['default', 'module.exports'].includes(n)).sort(),
		['acceptProxy', 'drain', 'listen', 'parseHeader']);
});
