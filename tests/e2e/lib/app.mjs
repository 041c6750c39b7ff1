/* SPDX-License-Identifier: MIT */
/*
 * The application behind the proxy: one real Socket.IO (v4 or v2) or bare Engine.IO (6 or 3)
 * server that writes down what a load balancer can do wrong.
 *
 *   foreign   requests that carry a sid which this worker never gave out: the proxy's fault, always
 *   unknown   "Session ID unknown" as the engine itself reported it
 *   sessions  sid -> {address, forwarded, transport}: what the worker believes of its client
 */
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { createRequire } from 'node:module';
import { HERE } from './util.mjs';

const require_here = createRequire(import.meta.url);
const require_v4 = createRequire(require_here.resolve('socket.io'));
const require_v2 = createRequire(require_here.resolve('socket.io-v2'));

const PAGE = fs.readFileSync(path.join(HERE, 'lib/page.html'), 'utf8');

/* Ways to make a sid; INDEX of WIDTH keeps small numbers apart between workers. */
const ID_MAKERS = {
	uuid: () => () => crypto.randomUUID(),
	small: (index, width) => { let n = 0; return () => String(n++ * width + index); },
	percent: (index) => { let n = 0; return () => `a b/+${index}&c=%41;#é~${n++}`; },
	long: (index) => { let n = 0; return () => `${index}-${n++}-`.padEnd(128, 'x'); },
};

export function make_app({ kind = 'v4', name = 'host/0', index = 0, width = 4, path: where = '/socket.io/', ids, options = {} })
{
	const seen = { name, foreign: [], unknown: 0, errors: {}, handshakes: 0, requests: 0, preflights: 0, connections: 0, sessions: {}, ended: {} };
	const owned = new Set(), sockets = new Set();
	const server = http.createServer((req, res) => {
		if (req.url.startsWith('/healthz'))
			return res.end('ok\n');
		if (req.url.startsWith('/login')) {             /* the application's own cookie */
			res.setHeader('Set-Cookie', `APPSID=${crypto.randomUUID()}; Path=/`);
			return res.end('welcome\n');
		}
		if (req.url === '/' || req.url.startsWith('/?')) {
			res.setHeader('Content-Type', 'text/html; charset=utf-8');
			return res.end(PAGE);
		}
		res.statusCode = 404;
		res.end('nothing here\n');
	});
	let io, engine, shout = (payload) => io.emit('news', payload);

	if (kind === 'v4') {
		const { Server } = require_here('socket.io');
		io = new Server(server, { path: where, cors: { origin: true, credentials: true }, ...options });
		engine = io.engine;
	} else if (kind === 'v2') {
		io = require_here('socket.io-v2')(server, { path: where.replace(/\/$/, ''), ...options });
		engine = io.engine;
	} else if (kind === 'engine4' || kind === 'engine3') {
		const { Server } = (kind === 'engine4' ? require_v4 : require_v2)('engine.io');
		engine = new Server({ cors: { origin: true, credentials: true }, ...options });
		engine.attach(server, { path: where, ...options });
		engine.on('connection', (socket) => {
			socket.on('message', (data) => {
				if (data === 'please close')
					socket.close();
				else
					socket.send(data);
			});
		});
	} else {
		throw new Error(`no such kind of application: ${kind}`);
	}

	if (ids)
		engine.generateId = ID_MAKERS[ids](index, width);

	const note_session = (socket) => {
		const req = socket.request;
		owned.add(socket.id);
		seen.sessions[socket.id] = {
			address: String(req?.socket?.remoteAddress ?? req?.connection?.remoteAddress ?? '').replace(/^::ffff:/, ''),
			forwarded: req?.headers?.['x-forwarded-for'], transport: socket.transport.name,
		};
		socket.on('close', (reason) => {
			seen.ended[socket.id] = { reason, at: Date.now() };
		});
	};
	engine.prependListener('connection', note_session);
	engine.on('connection_error', (error) => {
		seen.errors[error.code] = (seen.errors[error.code] || 0) + 1;
		if (error.code === 1)
			seen.unknown++;
	});

	const watch = (req) => {
		if (!req.url.startsWith(where))
			return;
		seen.requests++;
		if (req.method === 'OPTIONS')
			seen.preflights++;
		const sid = new URL(req.url, 'http://x').searchParams.getAll('sid').pop();
		if (!sid) {
			if (req.method === 'GET' && /[?&]transport=/.test(req.url))
				seen.handshakes++;
			return;
		}
		if (!owned.has(sid)) {
			seen.foreign.push(`${req.method} ${req.url}`);
			if (kind === 'v2' || kind === 'engine3')
				seen.unknown++;
		}
	};
	server.prependListener('request', (req, res) => {
		watch(req);
		res.setHeader('X-Worker', name);
	});
	server.prependListener('upgrade', (req) => watch(req));
	server.on('connection', (socket) => {
		seen.connections++;
		sockets.add(socket);
		socket.once('close', () => sockets.delete(socket));
	});

	if (io) {
		io.on('connection', (socket) => {
			socket.emit('hello', {
				name, id: socket.id, engine_id: socket.conn.id, address: String(socket.handshake.address).replace(/^::ffff:/, ''),
				forwarded: socket.handshake.headers['x-forwarded-for'],
			});
			socket.on('who', (ack) => ack(name));
			socket.on('echo', (data, ack) => ack(data));
			socket.on('shout', (payload) => shout(payload));
			socket.on('bin', (data, ack) => { socket.emit('bin', Buffer.from(data)); ack?.(Buffer.from(data)); });
			socket.on('kick', () => socket.disconnect(true));
		});
		io.of('/chat').on('connection', (socket) => {
			socket.on('echo', (data, ack) => ack(data));
		});
		io.of('/secret').use((socket, next) => next(new Error('not allowed here')));
	}

	return {
		server, engine, io, seen,
		on_shout: (fn) => { shout = fn; },
		broadcast: (payload) => io.emit('news', payload),
		live: () => Object.keys(engine.clients).length,
		/* Ends everything, so that nothing keeps the process. */
		close: () => new Promise((done) => {
			/* Not engine.close(): a polling session would wait half a minute for a poll to tell it to. */
			for (const socket of Object.values(engine.clients))
				socket.transport.closeTimeout = 1, socket.onClose('forced close');
			server.close(() => done());
			for (const socket of sockets)
				socket.destroy();
		}),
	};
}
