/* SPDX-License-Identifier: MIT */
/*
 * A crowd of real socket.io v4 clients in processes of several hundred each, with the reconnection
 * that users have: their own back-off, nothing tuned.  Every client talks now and then.
 *
 * What a client sees goes home as it happens: [at, client, what, detail]
 *
 *   connect   the name of the worker
 *   told      it was told to move: "1001" (a WebSocket's close code) or "400" (code 1 to a request)
 *   failed    anything else that went wrong; detail says what
 *   lost      an echo did not come back though the connection stood
 *   attempt   it tries to come back
 */
import http from 'node:http';
import { createRequire } from 'node:module';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { sleep, wait_for, watch_child } from './util.mjs';

const ME = fileURLToPath(import.meta.url);
export const CROWD_MODES = [
	{ name: 'websocket', share: 4, options: { transports: ['websocket'] } },
	{ name: 'upgrade', share: 3, options: { transports: ['polling', 'websocket'] } },
	{ name: 'polling', share: 3, options: { transports: ['polling'], upgrade: false } },
];
const PER_PROCESS = 350;
const PER_SECOND = 150;         /* that come at first, in all */
const ECHO_LIMIT = 15000;

/* How it was told to move, or null: then it is a failure. */
export function how_told(description, context)
{
	if (context?.code === 1001)
		return '1001';
	if (description === 400 && /"code":1\b/.test(context?.responseText || ''))
		return '400';
	return null;
}

const mode_of = (i) => {
	let at = i % CROWD_MODES.reduce((sum, mode) => sum + mode.share, 0);
	return CROWD_MODES.find((mode) => (at -= mode.share) < 0);
};

/* In the child. */
function run_client(io, { host, port, keep_alive }, i, say)
{
	const agent = new http.Agent({ keepAlive: keep_alive });
	const mode = mode_of(i);
	const socket = io(`http://${host}:${port}`, { forceNew: true, agent, ...mode.options });
	let moves = 0;
	const judge = (what, description, context, more) => {
		const told = how_told(description, context);
		moves++;
		say(i, told ? 'told' : 'failed', told || `${mode.name} ${what}: ${more} ${description} ${context?.status ?? ''} ${context?.responseText ?? context?.code ?? ''}`);
	};
	socket.on('hello', (hello) => say(i, 'connect', hello.name));
	socket.on('disconnect', (why, details) => {
		if (why !== 'io client disconnect')
			judge('disconnect', details?.description, details?.context, why);
	});
	socket.on('connect_error', (error) => judge('connect_error', error.description, error.context, error.message));
	socket.io.on('reconnect_attempt', () => say(i, 'attempt', mode.name));
	const talk = () => {
		if (socket.connected) {
			const before = moves;
			const timer = setTimeout(() => { if (moves === before) say(i, 'lost', mode.name); }, ECHO_LIMIT);
			socket.emit('echo', i, () => clearTimeout(timer));
		}
		setTimeout(talk, 3000 + Math.random() * 5000).unref();
	};
	setTimeout(talk, Math.random() * 5000).unref();
	return socket;
}

if (process.argv[1] === ME) {
	const { io } = createRequire(import.meta.url)('socket.io-client');
	const spec = JSON.parse(process.env.E2E_CROWD), { first, count, pause } = spec;
	const sockets = [];
	let events = [];
	const say = (i, what, detail) => events.push([Date.now(), i, what, detail]);
	setInterval(() => {
		if (events.length)
			process.send(events);
		events = [];
	}, 50);
	process.on('disconnect', () => process.exit(0));
	process.on('message', () => {
		for (const socket of sockets)
			socket.disconnect();
		setTimeout(() => process.exit(0), 500);
	});
	/* Not all in one instant: that is another suite. */
	for (let n = 0; n < count; n++) {
		sockets.push(run_client(io, spec, first + n, say));
		await sleep(pause);
	}
}

/*
 * COUNT clients, all connected when this returns.  ENTER: the words of a command that runs them elsewhere.
 * KEEP_ALIVE false: for servers that die.  When a kept connection is reset, Node's stand-in for a browser's
 * XMLHttpRequest (xmlhttprequest-ssl 2.1) makes its request anew but never ends it, and hangs for many seconds.
 */
export async function start_crowd(port, count, limit = 60000, { host = '127.0.0.1', enter = [], keep_alive = true } = {})
{
	const crowd = { count, events: [], where: new Map(), children: [] };
	const pause = 1000 * Math.ceil(count / PER_PROCESS) / PER_SECOND;
	for (let first = 0; first < count; first += PER_PROCESS) {
		const [program, ...words] = [...enter, process.execPath, ME];
		const child = watch_child(spawn(program, words, {
			env: { ...process.env, E2E_CROWD: JSON.stringify({ host, port, keep_alive, first, count: Math.min(PER_PROCESS, count - first), pause }) },
			stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
		}));
		child.on('message', (events) => {
			for (const event of events) {
				const [, i, what, detail] = event;
				crowd.events.push(event);
				if (what === 'connect')
					crowd.where.set(i, detail);
				else if (what === 'told' || what === 'failed')
					crowd.where.delete(i);
			}
		});
		crowd.children.push(child);
	}
	crowd.is_whole = () => crowd.where.size === count;
	crowd.whole = (limit_ms) => wait_for(crowd.is_whole, () => `all of ${count} clients connected (${crowd.where.size} are)${crowd.missing()}`, limit_ms, 50);
	/* The last of what some of those saw who are not there. */
	crowd.missing = () => Array.from({ length: count }, (_, i) => i).filter((i) => !crowd.where.has(i)).slice(0, 5)
		.map((i) => `\n  client ${i}: ${crowd.events.filter((event) => event[1] === i).slice(-4).map(([at, , what, detail]) => `${what} ${detail} ${Date.now() - at} ms ago`).join(', ')}`).join('');
	crowd.since = (at) => crowd.events.filter((event) => event[0] >= at);
	/* worker -> how many clients live there */
	crowd.spread = () => {
		const n = {};
		for (const name of crowd.where.values())
			n[name] = (n[name] || 0) + 1;
		return n;
	};
	crowd.stop = async () => {
		await Promise.all(crowd.children.map((child) => new Promise((done) => {
			if (child.exitCode !== null)
				return done();
			child.once('exit', done);
			child.send('stop');
		})));
	};
	await crowd.whole(limit);
	return crowd;
}

/* Counts per second of TIMES within [FROM, FROM + SECONDS), and how far the fullest second is above the mean. */
export function evenness(times, from, seconds)
{
	const bins = new Array(seconds).fill(0);
	for (const at of times) {
		const bin = Math.floor((at - from) / 1000);
		if (bin >= 0 && bin < seconds)
			bins[bin]++;
	}
	const mean = bins.reduce((sum, n) => sum + n, 0) / seconds;
	return { bins, mean, ratio: mean ? Math.max(...bins) / mean : 0 };
}
