/* SPDX-License-Identifier: MIT */
/*
 * Suite A: both nodes of a pair serve every session at once.  Each request of a session goes to one
 * of the two at random, and POST, GET and the upgrade leave together right after the handshake.
 *
 * The same without a mirror must fail: then the suite can tell.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { start_cluster, difference } from './lib/cluster.mjs';
import { judge_workers, run_fleet } from './lib/fleet.mjs';
import { start_pair, start_redis, start_splitter } from './lib/pair.mjs';
import { sessions_of, slack } from './lib/proxy.mjs';
import { RawSession, make_tally } from './lib/raw.mjs';
import { FULL, PROXY, sleep, wait_for } from './lib/util.mjs';

const COUNT = sessions_of(300, 2000);
const PER_SECOND = FULL ? 100 : 120;
/* The cap is for a machine with nothing else to do; here clients, workers and Redis share two cores. */
const READ_THROUGH = `${slack(100)}ms`;
const only = PROXY !== 'limpet' ? { skip: 'a pair is what a load balancer does' } : {};

/* COUNT sessions, a third of which upgrade; all alive at once, ROUNDS echoes each. */
async function alternate(pair, count, rounds, limit = slack(15000))
{
	const tally = make_tally(), agents = pair.ports.map(() => new http.Agent({ keepAlive: true }));
	const used = [0, 0];
	const pick = () => {
		const i = Math.random() < 0.5 ? 0 : 1;
		used[i]++;
		return { port: pair.ports[i], agent: agents[i] };
	};
	const sessions = Array.from({ length: count }, (_, i) => new RawSession(pick, tally, { kind: i % 3 === 0 ? 'upgrade' : 'polling', limit }));
	const began = Date.now(), opening = [];
	for (const [i, session] of sessions.entries()) {
		opening.push(session.open());
		const ahead = began + (i * 1000) / PER_SECOND - Date.now();
		if (ahead > 0)
			await sleep(ahead);
	}
	await Promise.all(opening);
	for (let round = 0; round < rounds; round++) {
		await Promise.all(sessions.filter((session) => !session.is_broken).map(async (session) => {
			await sleep(Math.random() * 1000 * count / 500);
			await session.echo();
		}));
	}
	const workers = new Set(sessions.map((session) => session.worker));
	await Promise.all(sessions.map((session) => session.close()));
	for (const agent of agents)
		agent.destroy();
	return { tally, used, workers, upgraded: sessions.filter((session) => session.ws).length, good: sessions.filter((session) => !session.is_broken).length };
}

function tell(t, what, { tally, used, upgraded, good })
{
	t.diagnostic(`${what}: ${tally.requests} requests (${used.join(' and ')} at the nodes), ${good} sessions without a fault, ${upgraded} upgraded, ` +
		`${tally.unknown} unknown, ${tally.moved} moved, ${tally.failed} failed`);
}

const percentile = (times, p) => times.sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * p))];

describe('both nodes at once', only, () => {
	let cluster, redis;
	const pairs = {};
	const start = async (name, mirror) => pairs[name] ||= await start_pair(cluster, { mirror: mirror && { redis: redis.url, prefix: name, ...mirror }, name });

	before(async () => {
		redis = await start_redis();
		cluster = await start_cluster({ workers: 4, hosts: 2, net: 'unix' });
	}, { timeout: 60000 });
	after(async () => {
		const complaints = (await Promise.all(Object.values(pairs).map((pair) => pair.stop()))).flat();
		await cluster?.stop();
		await redis?.stop();
		assert.deepEqual(complaints, []);
	});

	async function judge(t, name, mirror, count, rounds)
	{
		const pair = await start(name, mirror), seen = await cluster.seen();
		const run = await alternate(pair, count, rounds);
		tell(t, name, run);
		const change = difference(seen, await cluster.seen());
		assert.deepEqual(run.tally.problems, []);
		assert.equal(run.good, count);
		assert.equal(change.reduce((sum, one) => sum + one.foreign.length, 0), 0, 'no worker saw a session of another');
		assert.equal(change.reduce((sum, one) => sum + one.unknown, 0), 0, 'no worker was asked for an unknown session');
		assert.ok(run.upgraded >= Math.floor(count / 3) && run.workers.size === 4 && Math.min(...run.used) > run.tally.requests / 3);
	}

	test('without a mirror sessions are lost: the test can tell', { timeout: slack(60000) }, async (t) => {
		const run = await alternate(await start('none', null), 40, 1, slack(3000));
		tell(t, 'none', run);
		assert.ok(run.tally.unknown > 10, 'nearly every session is unknown at the other node');
	});

	test('mode async, read_through: no session is unknown, none is moved', { timeout: slack(180000) }, async (t) => {
		await judge(t, 'async', { mode: 'async', read_through: READ_THROUGH }, COUNT, FULL ? 3 : 2);
	});

	test('mode sync, read_through: no session is unknown, none is moved', { timeout: slack(180000) }, async (t) => {
		await judge(t, 'sync', { mode: 'sync', read_through: READ_THROUGH }, COUNT, FULL ? 3 : 2);
	});

	/* Every request and every WebSocket is a connection of its own, and any of them may go to either node. */
	for (const mode of ['upgrade', 'polling'])
		test(`real socket.io clients (${mode}) behind something that deals connections at random`, { timeout: slack(60000) }, async (t) => {
			const pair = await start_pair(cluster, { mirror: { redis: redis.url, prefix: `real-${mode}`, mode: 'async', read_through: READ_THROUGH }, accept_proxy: ['127.0.0.0/8'], name: `real-${mode}` });
			const splitter = await start_splitter(pair.ports), seen = await cluster.seen();
			const count = FULL ? 150 : 40;
			const run = await run_fleet(splitter.port, cluster, { count, version: 'v4', mode, keepAlive: false, limit: slack(20000) });
			const problems = judge_workers(difference(seen, await cluster.seen()), run.talk, {});
			t.diagnostic(`connections dealt: ${splitter.used.join(' and ')}`);
			await splitter.stop();
			assert.deepEqual(await pair.stop(), []);
			assert.deepEqual([...run.problems, ...problems], []);
			assert.ok(Math.min(...splitter.used) > count);
		});

	test('what each mode costs a handshake', { timeout: slack(60000) }, async (t) => {
		const names = ['none', 'async', 'sync'], times = { none: [], async: [], sync: [] }, worst = {};
		const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
		await start('async', { mode: 'async', read_through: READ_THROUGH });
		await start('sync', { mode: 'sync', read_through: READ_THROUGH });
		/* One after the other in turn: whatever else the machine does meets all three. */
		for (let i = 0; i < (FULL ? 1500 : 300); i++)
			for (const name of names) {
				const tally = make_tally(), session = new RawSession(() => ({ port: pairs[name].ports[0], agent }), tally);
				assert.ok(await session.handshake(), tally.problems[0]);
				if (i >= 20)
					times[name].push(session.handshake_ms);
				await session.close();
			}
		agent.destroy();
		for (const name of names)
			worst[name] = { median: percentile(times[name], 0.5), p99: percentile(times[name], 0.99) };
		t.diagnostic(`a handshake, ms: ${names.map((name) => `${name} ${worst[name].median.toFixed(2)} (p99 ${worst[name].p99.toFixed(2)})`).join(', ')}`);
		assert.ok(worst.async.median < worst.none.median * 1.5 + 0.5, 'async waits for nobody');
		assert.ok(worst.sync.median < worst.none.median + slack(10), 'sync waits for one trip to Redis');
	});

	test('a node that is killed and started comes back with a full table before it serves', { timeout: slack(60000) }, async (t) => {
		const pair = await start('restart', { mode: 'async', read_through: '0' }), tally = make_tally();
		const count = 200, sessions = Array.from({ length: count }, () => new RawSession(() => ({ port: pair.ports[0] }), tally, { is_steady: false }));
		const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
		for (const session of sessions) {
			session.pick = () => ({ port: pair.ports[0], agent });
			assert.ok(await session.open(), tally.problems[0]);
		}
		await pair.limpets[1].kill();
		const began = performance.now();
		await pair.start(1);            /* returns with the first connection that is accepted */
		t.diagnostic(`accepting after ${Math.round(performance.now() - began)} ms`);
		for (const session of sessions)
			session.pick = () => ({ port: pair.ports[1] });
		await Promise.all(sessions.slice(0, 50).map((session) => session.echo()));
		for (const session of sessions.slice(50))
			await session.echo();
		agent.destroy();
		assert.deepEqual(tally.problems, []);
		await Promise.all(sessions.map((session) => session.close()));
	});
});
