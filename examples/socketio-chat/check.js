// SPDX-License-Identifier: MIT
//
// Checks a running chat from outside, with real clients:
//
//	node check.js URL                 40 clients; says what it found, exits with 0 or 1
//	node check.js --wait URL SECONDS  waits until URL/healthz answers 200
//
// On a loopback URL each client comes from an address of its own (127.0.0.2, 127.0.0.3, ...), so
// that the address that a worker sees can be told from all others.
'use strict';

const http = require('node:http');
const https = require('node:https');
const { io } = require('socket.io-client');

const CLIENTS = 40;
const ROUNDS = 12; // questions that each client asks, one after the other
const BURST = 5; // and at once
const PATIENCE_MS = 10_000;
const KINDS = [
	{ kind: 'polling only', transports: ['polling'] },
	{ kind: 'polling, upgrade', transports: ['polling', 'websocket'] },
	{ kind: 'websocket only', transports: ['websocket'] },
];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const plain = (address) => String(address).replace(/^::ffff:/, '');
const nameOf = (me) => `${me.host}/${me.worker} (pid ${me.pid})`;

async function until(condition, patienceMs = PATIENCE_MS) {
	for (const end = Date.now() + patienceMs; Date.now() < end; await sleep(10))
		if (await condition())
			return true;
	return false;
}

const isUp = (url) => new Promise((resolve) => {
	http.get(new URL('/healthz', url), (res) => resolve(res.resume().statusCode === 200)).on('error', () => resolve(false));
});

class Client {
	constructor(url, n, isLoopback) {
		Object.assign(this, KINDS[n % KINDS.length], { n, wrong: [], workers: new Set(), heard: new Set() });
		this.address = isLoopback ? `127.0.0.${n + 2}` : null;
		const { Agent } = url.protocol === 'https:' ? https : http;
		this.agent = new Agent({ keepAlive: true, ...(this.address && { localAddress: this.address }) });
		this.socket = io(url.href, { transports: this.transports, agent: this.agent, forceNew: true, reconnection: false });
		this.socket.on('connect_error', (err) => this.wrong.push(`cannot connect: ${err.description || err.message}`));
		this.socket.on('disconnect', (why) => this.wrong.push(`lost its session: ${why}`));
		this.socket.on('hello', (me) => { this.met(me); this.cluster = me.workers; });
		this.socket.on('said', ({ text }) => this.heard.add(text));
	}

	met(me) {
		this.workers.add(nameOf(me));
		this.sid ??= me.sid;
		if (me.sid !== this.sid)
			this.wrong.push('has another session than before');
		if (!me.address || (this.address && plain(me.address) !== this.address))
			this.wrong.push(`comes from ${this.address || 'somewhere'}, its worker sees ${me.address}`);
	}

	get transport() {
		return this.socket.io.engine.transport.name;
	}

	async ready() {
		if (!(await until(() => this.cluster || this.wrong.length)) || this.wrong.length)
			return this.wrong.length || this.wrong.push('got no session in time');
		const last = this.transports.at(-1);
		if (!(await until(() => this.transport === last)))
			this.wrong.push(`is on ${this.transport}, not on ${last}`);
	}

	async ask() {
		try {
			this.met(await this.socket.timeout(PATIENCE_MS).emitWithAck('whoami'));
		} catch (err) {
			this.wrong.push(`got no answer: ${err.message}`);
		}
	}

	async talk() {
		for (let round = 0; round < ROUNDS && !this.wrong.length; round++) {
			await this.ask();
			await sleep(20 + ((this.n * 7 + round * 13) % 40)); // so that clients and their connections mix
		}
		if (!this.wrong.length)
			await Promise.all(Array.from({ length: BURST }, () => this.ask()));
	}

	close() {
		this.socket.off('disconnect');
		this.socket.close();
		this.agent.destroy();
	}
}

// One client of each worker speaks; everybody has to hear all of them.
async function broadcast(clients) {
	const speakers = new Map(clients.filter((c) => !c.wrong.length).map((c) => [[...c.workers][0], c]));
	const texts = [...speakers.keys()].map((worker) => `check ${process.pid} from ${worker}`);
	[...speakers.values()].forEach((client, i) => client.socket.emit('say', texts[i]));
	await until(() => clients.every((c) => c.wrong.length || texts.every((text) => c.heard.has(text))));
	return clients.filter((c) => texts.length > 0 && texts.every((text) => c.heard.has(text))).length;
}

async function check(url) {
	const isLoopback = process.platform === 'linux' && /^(127\.|localhost$)/.test(url.hostname);
	if (isLoopback)
		url.hostname = '127.0.0.1'; // 127.0.0.x cannot reach [::1]
	const clients = Array.from({ length: CLIENTS }, (_, n) => new Client(url, n, isLoopback));
	await Promise.all(clients.map((c) => c.ready()));
	await Promise.all(clients.map((c) => c.talk()));
	const heard = await broadcast(clients);

	const sessions = clients.filter((c) => c.sid);
	const perWorker = new Map();
	for (const client of sessions)
		for (const worker of client.workers)
			perWorker.set(worker, (perWorker.get(worker) || 0) + 1);
	const wanted = Math.min(2, Math.max(0, ...clients.map((c) => c.cluster || 0)));
	const stayed = sessions.filter((c) => c.workers.size === 1).length;
	const addressed = sessions.filter((c) => !c.wrong.some((why) => why.includes('its worker sees'))).length;
	const whole = clients.filter((c) => !c.wrong.length).length;
	clients.forEach((c) => c.close());

	const results = [
		[whole === CLIENTS, `${whole} of ${CLIENTS} clients kept their session, with no error`],
		[stayed === CLIENTS, `${stayed} of ${CLIENTS} stayed on one worker`],
		[addressed === CLIENTS, `${addressed} of ${CLIENTS} are seen with their own address${isLoopback ? '' : ' (any address: the URL is no loopback one)'}`],
		[heard === CLIENTS, `${heard} of ${CLIENTS} heard the broadcasts from every worker`],
		[wanted > 0 && perWorker.size >= wanted, `${perWorker.size} workers had clients: ${[...perWorker.values()].join(', ')}`],
	];
	for (const { kind } of KINDS) {
		const some = clients.filter((c) => c.kind === kind);
		console.log(`     ${kind}: ${some.filter((c) => !c.wrong.length).length} of ${some.length} clients well`);
	}
	for (const [isGood, text] of results)
		console.log(`${isGood ? 'ok  ' : 'FAIL'} ${text}`);
	for (const client of clients.filter((c) => c.wrong.length).slice(0, 8))
		console.log(`     client ${client.n} (${client.kind}): ${client.wrong[0]}`);
	return results.every(([isGood]) => isGood);
}

async function main(args) {
	if (args[0] === '--wait')
		return until(() => isUp(args[1]), 1000 * Number(args[2] || 10));
	return check(new URL(args[0] || 'http://127.0.0.1:8080'));
}

main(process.argv.slice(2)).then(
	(isGood) => process.exit(isGood ? 0 : 1),
	(err) => {
		console.error(err);
		process.exit(1);
	},
);
