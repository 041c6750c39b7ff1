// SPDX-License-Identifier: MIT
//
// A chat on a cluster of workers, each on a Unix socket of its own in RUN:
//
//	primary ---fork---> worker 1 listens on RUN/worker-1.sock
//	                    worker 2 listens on RUN/worker-2.sock ...
//
// The primary carries no traffic: it starts a worker per CPU, and again those that die.  Limpet
// watches RUN and brings each client to one worker.  Broadcasts reach the clients of all workers
// through Node's cluster adapter, or through Redis when REDIS_URL is set (then also those of other
// hosts).
//
// Environment: RUN [/tmp/limpet-chat], WORKERS [one per CPU], GRACE [10] seconds, REDIS_URL.
'use strict';

const cluster = require('node:cluster');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { Server } = require('socket.io');
const { listen, drain } = require('limpet-worker');

const RUN = process.env.RUN || '/tmp/limpet-chat';
const WORKERS = Number(process.env.WORKERS) || os.cpus().length;
const GRACE_MS = 1000 * (Number(process.env.GRACE) || 10);
const PAGE = path.join(__dirname, 'page.html');
const TEXT_MAX = 500; // characters of a message

if (cluster.isPrimary)
	primary();
else
	worker(process.env.WORKER_NAME).catch((err) => {
		console.error(`${process.env.WORKER_NAME}: ${err.message}`);
		process.exit(1);
	});

function primary() {
	fs.mkdirSync(RUN, { recursive: true, mode: 0o750 });
	if (!process.env.REDIS_URL)
		require('@socket.io/cluster-adapter').setupPrimary();
	let stopping = false;

	function start(name, delayMs) {
		const bornAt = Date.now();
		const child = cluster.fork({ WORKER_NAME: name });
		child.on('exit', (code, signal) => {
			if (stopping)
				return;
			console.error(`${name} (pid ${child.process.pid}) ended: ${signal || code}`);
			// One that cannot live is not started as fast as the machine can.
			const wait = Date.now() - bornAt > 5000 ? 100 : Math.min(5000, delayMs * 2);
			setTimeout(() => stopping || start(name, wait), wait);
		});
	}
	for (let n = 1; n <= WORKERS; n++)
		start(`worker-${n}`, 100);
	console.error(`primary ${process.pid}: ${WORKERS} workers in ${RUN}`);

	// The workers drain; the primary ends when the last one has.
	const stop = () => {
		stopping = true;
		for (const child of Object.values(cluster.workers))
			child.process.kill('SIGTERM');
		const wait = setInterval(() => Object.keys(cluster.workers).length || clearInterval(wait) || process.exit(0), 50);
	};
	process.once('SIGTERM', stop);
	process.once('SIGINT', stop);
}

async function worker(name) {
	const me = { host: os.hostname(), worker: name, pid: process.pid };
	const server = http.createServer((req, res) => answer(req, res, me));
	const io = new Server(server, { serveClient: true });
	io.adapter(await adapter());
	io.on('connection', (socket) => chat(io, socket, me));
	process.on('SIGINT', () => {}); // Ctrl-C reaches the whole group; the primary tells us in order
	drain(server, { io, grace: GRACE_MS });
	await listen(server, { path: path.join(RUN, `${name}.sock`) });
}

async function adapter() {
	if (!process.env.REDIS_URL)
		return require('@socket.io/cluster-adapter').createAdapter();
	const { createClient } = require('redis');
	const publish = createClient({ url: process.env.REDIS_URL });
	const subscribe = publish.duplicate();
	for (const client of [publish, subscribe])
		client.on('error', (err) => console.error(`redis: ${err.message}`));
	await Promise.all([publish.connect(), subscribe.connect()]);
	return require('@socket.io/redis-adapter').createAdapter(publish, subscribe);
}

function answer(req, res, me) {
	const url = req.url.split('?')[0];
	const send = (status, type, body) => {
		res.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' });
		res.end(body);
	};
	if (url === '/')
		send(200, 'text/html; charset=utf-8', fs.readFileSync(PAGE));
	else if (url === '/healthz')
		send(200, 'text/plain', 'ok\n');
	else if (url === '/whoami')
		send(200, 'application/json', `${JSON.stringify({ ...me, address: req.socket.remoteAddress })}\n`);
	else
		send(404, 'text/plain', 'not found\n');
}

function chat(io, socket, me) {
	const whoami = () => ({
		...me,
		address: socket.handshake.address,
		transport: socket.conn.transport.name,
		sid: socket.conn.id,
	});
	let name = 'somebody';
	socket.emit('hello', { ...whoami(), workers: WORKERS });
	socket.on('whoami', (reply) => typeof reply === 'function' && reply(whoami()));
	socket.on('name', (text) => {
		name = String(text).trim().slice(0, 30) || 'somebody';
	});
	socket.on('say', (text) => {
		if (typeof text === 'string' && text.trim())
			io.emit('said', { name, text: text.slice(0, TEXT_MAX), worker: me.worker, host: me.host });
	});
}
