/* SPDX-License-Identifier: MIT */
/* Two Limpets before one cluster, a Redis between them, and a splitter that deals connections to both. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { start_limpet } from './limpet.mjs';
import { host_entry } from './proxy.mjs';
import { can_connect, free_port, temp_dir, wait_for, watch_child } from './util.mjs';

const CHECK = { http: '/healthz', interval: '1s', timeout: '10s', fall: 3, rise: 1 };

/* Debian's redis-server, on a Unix socket or on ADDRESS. */
export async function start_redis({ address, port } = {})
{
	const dir = temp_dir('r'), socket = path.join(dir, 'redis.sock');
	const words = ['--save', '', '--appendonly', 'no', '--dir', dir];
	if (address)
		words.push('--bind', address, '--port', String(port), '--protected-mode', 'no');
	else
		words.push('--port', '0', '--unixsocket', socket);
	const child = watch_child(spawn('redis-server', words, { stdio: ['ignore', fs.openSync(path.join(dir, 'log'), 'w'), 'inherit'] }));
	const gone = new Promise((done) => child.once('exit', done));
	await new Promise((done, fail) => { child.once('spawn', done); child.once('error', () => fail(new Error('redis-server is not installed: tools/setup-debian.sh test'))); });
	await wait_for(() => can_connect(address ? { host: address, port } : { path: socket }), 'redis accepting', 10000, 20);
	return { url: address ? `redis://${address}:${port}/0` : `unix:${socket}`, child, stop: async () => { child.kill('SIGTERM'); await gone; } };
}

/* MIRROR: {redis, mode, read_through, prefix} or null. */
export function node_config(cluster, { name, bind, mirror, backend = {}, stats = {}, frontend = {}, backends = {} })
{
	return {
		global: { node: name, stats, ...(mirror ? { mirror: { secret: 'the secret of this pair', ...mirror } } : {}) },
		frontends: { web: { bind, backend: 'chat', ...frontend } },
		backends: {
			chat: {
				stick: 'engineio', health_check: CHECK, ...backend,
				hosts: Object.fromEntries(cluster.hosts.map((host) => [host.name, host_entry(host, cluster.spec.net)])),
			},
			...backends,
		},
	};
}

/* The state that `show mirror` tells, or '' */
export async function mirror_state(limpet)
{
	const found = /^state:?\s+(\S+)/im.exec(await limpet.stats('show mirror'));
	return found ? found[1].toLowerCase() : '';
}

export async function start_pair(cluster, { mirror, accept_proxy, backend, name = 'n' } = {})
{
	const pair = { ports: [], limpets: [], mirror };
	pair.start = async (i) => {
		const port = pair.ports[i] ||= await free_port();
		const bind = accept_proxy ? { address: `127.0.0.1:${port}`, accept_proxy } : `127.0.0.1:${port}`;
		pair.limpets[i] = await start_limpet(node_config(cluster, { name: `${name}${i + 1}`, bind, mirror, backend }), { ports: [port], name: `${name}${i + 1}` });
		return pair.limpets[i];
	};
	pair.up = () => wait_for(async () => !mirror || (await Promise.all(pair.limpets.map(mirror_state))).every((state) => state === 'up'),
		() => `both mirrors up\n${pair.limpets.map((limpet) => limpet.tail()).join('\n')}`, 15000, 50);
	pair.stop = async () => (await Promise.all(pair.limpets.map((limpet) => limpet.stop()))).flat();
	/* One of both, at random. */
	pair.pick = () => ({ port: pair.ports[Math.random() < 0.5 ? 0 : 1] });
	await Promise.all([pair.start(0), pair.start(1)]);
	await pair.up();
	return pair;
}

/* Deals each connection to one of PORTS at random, with a PROXY header that names the client. */
export async function start_splitter(ports)
{
	const used = ports.map(() => 0), sockets = new Set();
	const server = net.createServer((client) => {
		const i = Math.floor(Math.random() * ports.length);
		used[i]++;
		const far = net.connect({ port: ports[i], host: '127.0.0.1' });
		far.write(`PROXY TCP4 ${client.remoteAddress.replace(/^::ffff:/, '')} ${client.localAddress.replace(/^::ffff:/, '')} ${client.remotePort} ${client.localPort}\r\n`);
		client.pipe(far).pipe(client);
		for (const [one, other] of [[client, far], [far, client]]) {
			sockets.add(one);
			one.on('error', () => other.destroy());
			one.on('close', () => { sockets.delete(one); other.destroy(); });
		}
	});
	const port = await free_port();
	await new Promise((done) => server.listen(port, '127.0.0.1', done));
	return { port, used, stop: () => new Promise((done) => { server.close(done); for (const socket of sockets) socket.destroy(); }) };
}
