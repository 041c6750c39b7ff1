/* SPDX-License-Identifier: MIT */
/*
 * Suite A: real clients of every kind through every shape of cluster.  In each cell all clients
 * arrive at once; no session may be unknown anywhere, or reach a second worker, or lose a broadcast,
 * and each worker must know each client's own address.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FULL, PROXY } from './lib/util.mjs';
import { HAVE_LIMPET_WORKER, difference, start_cluster } from './lib/cluster.mjs';
import { MODES, judge_workers, run_fleet } from './lib/fleet.mjs';
import { sessions_of, start_proxy } from './lib/proxy.mjs';

const MANY = sessions_of(60, 60), CROWD = sessions_of(150, 500);
let first = 1;

async function cell(proxy, cluster, { version, mode, count, spread })
{
	const before_it = await cluster.seen();
	const { problems, talk } = await run_fleet(proxy.port, cluster, { count, version, mode, first });
	first += count;
	await cluster.settled().catch((error) => problems.push(error.message));
	const change = difference(before_it, await cluster.seen());
	return [...problems, ...judge_workers(change, talk, { proxy: cluster.spec.proxy, spread })];
}

/* Which server the v2 clients meet: a real v2 one, or v4 with allowEIO3. */
const GRID = [];
for (const workers of [4, 8])
	for (const net of ['unix', 'tcp'])
		for (const kind of workers === 4 ? ['v4', 'v2'] : ['v4'])
			GRID.push({ workers, net, kind, clients: workers === 8 ? ['v4', 'v2'] : [kind] });
if (PROXY === 'limpet')
	GRID.push({ workers: 4, net: 'unix', kind: 'v4', clients: ['v4', 'v2'], proxy: true });

for (const grid of GRID) {
	const title = `${grid.workers} ${grid.kind} workers on ${grid.net}${grid.proxy ? ' through limpet-worker, with PROXY v2' : ''}`;
	describe(title, { skip: grid.proxy && !HAVE_LIMPET_WORKER ? 'contrib/node is not there' : false }, () => {
		let cluster;
		before(async () => {
			cluster = await start_cluster({
				kind: grid.kind, net: grid.net, workers: grid.workers, hosts: 2, proxy: grid.proxy,
				options: grid.kind === 'v4' ? { allowEIO3: true } : {},
			});
		});
		after(() => cluster.stop());

		const spread = grid.workers === 8 ? 'hashed' : true;
		for (const tiers of [1, 2]) {
			describe(tiers === 1 ? 'one tier' : 'two tiers', () => {
				let proxy;
				before(async () => {
					/* Eight workers: address after the session, on both tiers, as the embedded default has it. */
					const stick = grid.workers === 8 ? ['engineio', 'ip'] : 'engineio';
					proxy = await start_proxy(cluster, { tiers, stick });
				});
				after(async () => assert.deepEqual(await proxy.stop(), []));

				for (const version of grid.clients)
					for (const mode of Object.keys(MODES))
						test(`${MANY} ${version} clients, ${mode}: every request of a session reaches its worker`, async () => {
							assert.deepEqual(await cell(proxy, cluster, { version, mode, count: MANY, spread }), []);
						});
				/* The crowd: in the full run every mode on Unix sockets, and the upgrade on TCP and by v2 clients. */
				for (const version of grid.clients)
					for (const mode of Object.keys(MODES)) {
						const plain = version === 'v4' && grid.net === 'unix' && !grid.proxy;
						if (mode === 'upgrade' ? !(plain || FULL) : !(plain && FULL))
							continue;
						test(`${CROWD} ${version} clients at once, ${mode}: every request of a session reaches its worker`, async () => {
							assert.deepEqual(await cell(proxy, cluster, { version, mode, count: CROWD, spread }), []);
						});
					}
			});
		}
	});
}

describe('the same set-up without stickiness fails', () => {
	let cluster, proxy;
	before(async () => {
		cluster = await start_cluster({ kind: 'v4', net: 'unix', workers: 4, hosts: 2, options: { allowEIO3: true } });
		proxy = await start_proxy(cluster, { stick: [], balance: 'round_robin', mode: 'round_robin' });
	});
	after(async () => {
		assert.deepEqual(await proxy.stop(), []);
		await cluster.stop();
	});
	for (const version of ['v4', 'v2'])
		for (const mode of ['polling', 'upgrade'])
			test(`the test can tell: ${version}, ${mode}, without stickiness gives unknown sessions`, async () => {
				const before_it = await cluster.seen();
				const { problems, talk } = await run_fleet(proxy.port, cluster, { count: 20, version, mode, first, rounds: 1, broadcasts: 1, limit: 3000 });
				first += 20;
				const change = difference(before_it, await cluster.seen());
				const verdict = [...problems, ...judge_workers(change, talk)];
				assert.ok(verdict.length > 0, 'no problem was seen');
				assert.ok(change.some((seen) => seen.foreign.length > 0), 'no request reached a worker that does not own its session');
				assert.ok(change.some((seen) => seen.unknown > 0), 'no worker answered Session ID unknown');
			});
});
