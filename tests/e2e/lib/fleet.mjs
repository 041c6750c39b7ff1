/* SPDX-License-Identifier: MIT */
/* Many real socket.io clients in this process, each with an address of its own, and what went wrong with them. */
import http from 'node:http';
import { createRequire } from 'node:module';
import { client_address, sleep, wait_for, with_limit } from './util.mjs';

const require_here = createRequire(import.meta.url);
const IO = { v4: require_here('socket.io-client').io, v2: require_here('socket.io-client-v2') };

/* The three ways a client may talk. */
export const MODES = {
	polling: { options: { transports: ['polling'], upgrade: false }, transport: 'polling', handshake: 'polling' },
	upgrade: { options: { transports: ['polling', 'websocket'] }, transport: 'websocket', handshake: 'polling' },
	websocket: { options: { transports: ['websocket'] }, transport: 'websocket', handshake: 'websocket' },
};

export class Client {
	constructor(port, { i = 0, version = 'v4', mode = 'upgrade', address = client_address(i), keepAlive = true, options = {}, agent } = {})
	{
		this.mode = MODES[mode];
		this.address = address;
		this.agent = agent || new http.Agent({ keepAlive, localAddress: address, family: 4 });
		this.own_agent = !agent;
		this.hellos = [];
		this.news = [];
		this.disconnects = [];
		this.errors = [];
		this.attempts = 0;
		this.socket = IO[version](`http://127.0.0.1:${port}${options.namespace || ''}`, {
			forceNew: true, reconnection: false, timeout: 15000, agent: this.agent, ...this.mode.options, ...options,
		});
		this.socket.on('hello', (hello) => this.hellos.push(hello));
		this.socket.on('news', (news) => this.news.push(news));
		this.socket.on('disconnect', (why) => { if (!this.closing) this.disconnects.push(why); });
		this.socket.on('connect_error', (error) => this.errors.push(`${error.message || error} ${error.description?.message || error.description || ''} ${error.context?.responseText || ''}`.trim()));
		const manager = this.socket.io;
		manager.on('reconnect_attempt', () => this.attempts++);
		if (version === 'v2')
			this.socket.on('reconnect_attempt', () => this.attempts++);
	}

	get hello() { return this.hellos[this.hellos.length - 1]; }
	get transport() { return this.socket.io.engine?.transport?.name; }
	get engine_id() { return this.socket.io.engine?.id; }
	get ready() { return this.socket.connected && this.hellos.length > 0; }
	get settled() { return this.errors.length > 0 || this.disconnects.length > 0 || (this.ready && this.transport === this.mode.transport); }

	echo(what, limit = 10000)
	{
		return with_limit(new Promise((done) => this.socket.emit('echo', what, done)), limit, `echo of ${this.address}`);
	}

	close()
	{
		this.closing = true;
		this.socket.close();
	}
}

/*
 * Connects COUNT clients at once, has them all talk ROUNDS times, broadcasts, and says goodbye.
 * Returns {problems, clients}: problems are sentences, none is good.
 */
export async function run_fleet(port, cluster, { count, version, mode, rounds = 3, first = 1, broadcasts = 2, limit = 20000, address, keepAlive, options })
{
	const problems = [];
	const clients = Array.from({ length: count }, (_, i) => new Client(port, { i: first + i, version, mode, address, keepAlive, options }));
	const say = (text) => { if (problems.length < 40) problems.push(text); };

	try {
		await wait_for(() => clients.every((client) => client.settled), 'all clients settled', limit, 20);
	} catch {
		const late = clients.filter((client) => !client.settled);
		say(`${late.length} of ${count} clients did not connect (first: ${late[0].transport}, connected ${late[0].socket.connected}, hellos ${late[0].hellos.length})`);
	}
	const good = clients.filter((client) => client.ready);
	for (let round = 0; round < rounds && !problems.length; round++) {
		await Promise.all(good.map(async (client, i) => {
			try {
				const said = { round, i, text: 'x'.repeat((i * 37) % 500) };
				const heard = await client.echo(said, limit);
				if (JSON.stringify(heard) !== JSON.stringify(said))
					say(`client ${i} heard ${JSON.stringify(heard).slice(0, 80)} for an echo`);
			} catch (error) {
				say(error.message);
			}
		}));
	}

	/* Half of the broadcasts come from a client, half from the servers; each reaches everybody once. */
	const wanted = [];
	for (let n = 0; n < broadcasts; n++) {
		const news = `news ${n} of ${Math.random()}`;
		wanted.push(news);
		if (n % 2 === 0 && good.length)
			good[n].socket.emit('shout', news);
		else
			await cluster.broadcast(news);
	}
	const heard_all = (client) => wanted.every((news) => client.news.includes(news));
	await wait_for(() => good.every(heard_all), 'broadcasts', problems.length ? 3000 : limit, 20)
		.catch(() => say(`${good.filter((client) => !heard_all(client)).length} of ${good.length} clients missed a broadcast`));
	for (const client of good)
		for (const news of wanted)
			if (client.news.filter((one) => one === news).length > 1)
				say(`a client heard a broadcast twice`);

	for (const client of clients) {
		if (client.errors.length)
			say(`client could not connect: ${client.errors[0]}`);
		if (client.disconnects.length)
			say(`client was disconnected: ${client.disconnects[0]}`);
		if (client.hellos.length > 1)
			say(`client was welcomed ${client.hellos.length} times`);
		if (client.ready && client.transport !== client.mode.transport)
			say(`client talks over ${client.transport}, not ${client.mode.transport}`);
	}
	const talk = clients.map((client) => ({ address: client.address, hello: client.hello, engine_id: client.engine_id }));
	for (const client of clients)
		client.close();
	await sleep(0);
	return { problems, clients, talk };
}

/* What the workers say of the same fleet.  CHANGE: difference() of the cluster. */
export function judge_workers(change, talk, { proxy, spread = true } = {})
{
	const problems = [];
	const say = (text) => { if (problems.length < 40) problems.push(text); };
	const foreign = change.reduce((sum, seen) => sum + seen.foreign.length, 0);
	const unknown = change.reduce((sum, seen) => sum + seen.unknown, 0);

	if (foreign)
		say(`${foreign} requests with a sid reached a worker that does not own it, e.g. ${change.find((seen) => seen.foreign.length).foreign[0]}`);
	if (unknown)
		say(`${unknown} times "Session ID unknown"`);

	const total = change.reduce((sum, seen) => sum + Object.keys(seen.sessions).length, 0);
	if (total !== talk.length)
		say(`${talk.length} clients made ${total} sessions`);
	if (spread) {
		/* A hash of addresses is fair on the whole only; counting is fair every time. */
		const each = change.map((seen) => Object.keys(seen.sessions).length), mean = total / change.length;
		if (spread === 'hashed' ? Math.max(...each) > 3 * mean || each.filter((n) => n === 0).length > change.length / 4 : Math.min(...each) < mean / 2)
			say(`sessions are not spread: ${change.map((seen) => `${seen.name}: ${Object.keys(seen.sessions).length}`).join(', ')}`);
	}
	for (const { address, hello, engine_id } of talk) {
		if (!hello)
			continue;
		const seen = change.find((one) => one.name === hello.name);
		if (!seen?.sessions[engine_id])
			say(`session of ${address} is not known to ${hello.name}, which welcomed it`);
		const believed = proxy ? hello.address : hello.forwarded;
		if (believed !== address)
			say(`${hello.name} believes that ${address} is ${believed}`);
	}
	return problems;
}
