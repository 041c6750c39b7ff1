/* SPDX-License-Identifier: MIT */
/*
 * Suite metrics: what Limpet counts of sessions is what real Socket.IO clients of every transport
 * do, worker by worker.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
import { start_cluster } from './lib/cluster.mjs';
import { slack, start_proxy } from './lib/proxy.mjs';
import { PROXY, wait_for } from './lib/util.mjs';

const { io } = createRequire(import.meta.url)('socket.io-client');
const POLLING = 8, UPGRADE = 14, WEBSOCKET = 6, ALL = POLLING + UPGRADE + WEBSOCKET;

describe('metrics of real sessions', { skip: PROXY !== 'limpet' && 'limpet alone has them' }, () => {
	let cluster, proxy;
	const sockets = [], workers = new Map();
	before(async () => {
		cluster = await start_cluster({ kind: 'v4', net: 'unix', workers: 4, hosts: 2 });
		proxy = await start_proxy(cluster);
	});
	after(async () => {
		for (const socket of sockets)
			socket.close();
		const complaints = await proxy.stop();
		await cluster.stop();
		assert.deepEqual(complaints, []);
	});

	/* The sum of a metric's samples whose labels have all of WANT. */
	const read = async () => {
		const text = await proxy.limpets[0].stats('show metrics');
		const samples = text.split('\n').map((line) => /^(limpet_\w+)(?:\{(.*)\})? (\S+)$/.exec(line)).filter(Boolean);
		return (name, want = {}) => samples
			.filter(([, is, labels = '']) => is === `limpet_${name}` &&
				Object.entries(want).every(([key, value]) => `,${labels},`.includes(`,${key}="${value}",`)))
			.reduce((sum, [, , , value]) => sum + Number(value), 0);
	};
	const connect = async (count, options) => {
		await Promise.all(Array.from({ length: count }, () => new Promise((done, fail) => {
			const socket = io(`http://127.0.0.1:${proxy.port}`, { forceNew: true, reconnection: false, ...options });
			sockets.push(socket);
			socket.on('hello', (hello) => workers.set(socket, hello.name));
			socket.once('connect', () => {
				if (options.transports.length > 1 && socket.io.engine.transport.name === 'polling')
					socket.io.engine.once('upgrade', done);
				else
					done();
			});
			socket.once('connect_error', fail);
		})));
	};

	test('sessions by transport, handshakes and upgrades are those of the clients', async () => {
		await connect(POLLING, { transports: ['polling'], upgrade: false });
		await connect(UPGRADE, { transports: ['polling', 'websocket'] });
		await connect(WEBSOCKET, { transports: ['websocket'] });
		let sum;
		await wait_for(async () => {
			sum = await read();
			return sum('server_sessions', { transport: 'websocket' }) === UPGRADE + WEBSOCKET &&
				sum('server_polls_now') === POLLING;
		}, () => `${UPGRADE + WEBSOCKET} sessions on WebSockets, not ${sum('server_sessions', { transport: 'websocket' })}; ` +
			`${POLLING} polls, not ${sum('server_polls_now')}`, slack(5000), 50);
		assert.equal(sum('server_sessions', { transport: 'polling' }), POLLING);
		assert.equal(sum('server_handshakes_total'), ALL);
		assert.equal(sum('server_websocket_handshakes_total'), WEBSOCKET);
		assert.equal(sum('backend_sids_learned_total'), POLLING + UPGRADE);
		assert.equal(sum('server_upgrade_attempts_total'), UPGRADE);
		assert.equal(sum('server_upgrades_completed_total'), UPGRADE);
		assert.equal(sum('server_upgrades_failed_total'), 0);
		assert.equal(sum('server_tunnels_now'), UPGRADE + WEBSOCKET);
		assert.equal(sum('server_unknown_sids_total') + sum('backend_session_unknown_answers_total'), 0);
	});

	test('each worker has the sessions that its clients say', async () => {
		const sum = await read(), say = {};
		for (const name of workers.values())
			say[name] = (say[name] || 0) + 1;
		assert.equal(workers.size, ALL);
		for (const host of cluster.hosts)
			for (const worker of host.workers) {
				const own = worker.name.split('/').pop();
				assert.equal(sum('server_sessions', { host: host.name, worker: own }), say[worker.name] || 0, worker.name);
			}
	});

	test('when the clients leave, no session and no tunnel remains', async () => {
		for (const socket of sockets)
			socket.close();
		let sum;
		await wait_for(async () => {
			sum = await read();
			return sum('server_sessions') === 0 && sum('server_tunnels_now') === 0 && sum('server_polls_now') === 0;
		}, () => `none, not ${sum('server_sessions')} sessions and ${sum('server_tunnels_now')} tunnels`, slack(5000), 50);
		assert.equal(sum('frontend_tunnels_ended_total'), UPGRADE + WEBSOCKET);
		assert.equal(sum('server_websocket_sessions_now'), 0);
	});
});
