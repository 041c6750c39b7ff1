/* SPDX-License-Identifier: MIT */
/*
 * Suite H: two nodes behind an address that the real keepalived moves, on machines of their own
 * (network namespaces, lib/net.mjs), with a real Redis.  Under traffic the node that has the address
 * dies: Limpet alone by SIGKILL, then the whole machine's cable.
 *
 *   hub 10.77.0.1: workers, Redis      a 10.77.1.1, b 10.77.1.2: Limpet, keepalived
 *   clients 10.77.9.1 and 10.77.16.x   10.77.0.100: the address
 *
 * Every session that was between two requests goes on, with its sid and on its worker; every cookie
 * and address stays bound; all other clients are back with their first attempt once there is service.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { start_cluster } from './lib/cluster.mjs';
import { start_crowd } from './lib/crowd.mjs';
import { start_limpet } from './lib/limpet.mjs';
import { HUB, add_machine, start_hub, start_keepalived } from './lib/net.mjs';
import { mirror_state, node_config, start_redis } from './lib/pair.mjs';
import { host_entry, sessions_of, slack } from './lib/proxy.mjs';
import { FULL, PROXY, sleep, wait_for, with_limit } from './lib/util.mjs';

const ADDRESS = '10.77.0.100';
const COUNT = sessions_of(300, 2000);           /* half raw sessions, half real clients */
/* Who polls over a dead wire learns of it by a ping that does not come. */
const PING_MS = slack(FULL ? 8000 : 3000);
const BOUND = FULL ? 200 : 40;
const only = PROXY !== 'limpet' ? { skip: 'a pair is what a load balancer does' } : {};

/* lib/pair_clients.mjs on the clients' machine. */
async function start_clients(machine, count, bound)
{
	const child = machine.spawn(process.execPath, [fileURLToPath(new URL('lib/pair_clients.mjs', import.meta.url))], {
		stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
		env: { ...process.env, E2E_PAIR: JSON.stringify({ host: ADDRESS, port: 80, count, bound }) },
	});
	const calls = new Map();
	let next = 1, ready;
	const is_ready = new Promise((done) => { ready = done; });
	child.on('message', ({ id, result, ready: now }) => now ? ready() : (calls.get(id)(result), calls.delete(id)));
	await with_limit(is_ready, 10000, 'the clients are there');
	return {
		call: (cmd, arg, limit = slack(60000)) => with_limit(new Promise((done) => {
			calls.set(next, done);
			child.send({ id: next++, cmd, arg });
		}), limit, `the clients did '${cmd}'`),
		stop: () => new Promise((done) => { child.once('exit', done); child.disconnect(); }),
	};
}

describe('failover', only, () => {
	let cluster, redis, clients, prober, crowd, people;
	const nodes = {};
	const complaints = [];

	async function start_node(name)
	{
		const node = nodes[name], { machine } = node;
		const by = (stick) => ({ stick, balance: 'round_robin', health_check: { http: '/healthz', interval: '1s', timeout: '10s', fall: 3, rise: 1 },
			hosts: Object.fromEntries(cluster.hosts.map((host) => [host.name, host_entry(host, 'tcp')])) });
		node.limpet = await start_limpet(node_config(cluster, {
			name, bind: ':80', stats: { http: '127.0.0.1:8404' }, mirror: { redis: redis.url, read_through: `${slack(50)}ms` },
			frontend: { routes: [
				{ match: { path: '/up' }, respond: { status: 200 } },
				{ match: { path: ['/login', '/cookie'] }, backend: 'by_cookie' },
				{ match: { path: '/address' }, backend: 'by_address' },
			] },
			backends: { by_cookie: by([{ cookie: { name: 'APPSID', mode: 'learn' } }]), by_address: by([{ ip: { remember: '30m' } }]) },
		}), { name, enter: machine.enter, address: machine.address, ports: [80] });
		return node;
	}
	const active = () => Object.values(nodes).find((node) => node.keepalived.state() === 'MASTER');
	const waiting = () => Object.values(nodes).find((node) => node.keepalived.state() === 'BACKUP');
	const is_settled = () => active() && waiting() && active().machine.has(ADDRESS) && !waiting().machine.has(ADDRESS);
	const tails = () => Object.values(nodes).map((node) => `${node.machine.name}:\n${node.keepalived.tail()}\n${node.limpet.tail()}`).join('\n');

	before(async () => {
		start_hub();
		nodes.a = { machine: await add_machine('a', '10.77.1.1') };
		nodes.b = { machine: await add_machine('b', '10.77.1.2') };
		people = await add_machine('clients', '10.77.9.1');
		people.run('ip route add local 10.77.16.0/24 dev lo');
		redis = await start_redis({ address: HUB, port: 6379 });
		cluster = await start_cluster({ workers: 4, hosts: 2, net: 'tcp', address: HUB, options: { pingInterval: PING_MS, pingTimeout: 2 * PING_MS } });
		await Promise.all(['a', 'b'].map(start_node));
		nodes.a.keepalived = start_keepalived(nodes.a.machine, { peer: '10.77.1.2', priority: 101, address: ADDRESS });
		nodes.b.keepalived = start_keepalived(nodes.b.machine, { peer: '10.77.1.1', priority: 100, address: ADDRESS });
		await wait_for(is_settled, () => `one node has the address\n${tails()}`, slack(15000), 20);
		await wait_for(async () => (await mirror_state(nodes.a.limpet)) === 'up' && (await mirror_state(nodes.b.limpet)) === 'up', () => `mirrors up\n${tails()}`, 10000, 50);
		clients = await start_clients(people, Math.ceil(COUNT / 2), BOUND);
		prober = await start_clients(people, 0, 0);

		/* Bound while one worker is away: a hash alone would lead elsewhere once it is back. */
		const away = `by_address/${cluster.hosts[0].name}/${cluster.hosts[0].workers[0].port}`;
		assert.equal((await active().limpet.stats(`set server ${away} state maint`)).trim(), '');
		await clients.call('bind');
		assert.equal((await active().limpet.stats(`set server ${away} state ready`)).trim(), '');
		const [problems] = await Promise.all([
			clients.call('start'),
			start_crowd(80, Math.floor(COUNT / 2), slack(90000), { host: ADDRESS, enter: people.enter, keep_alive: false }).then((all) => { crowd = all; }),
		]);
		assert.deepEqual(problems, []);
		await prober.call('probe');
	}, { timeout: slack(150000) });

	after(async () => {
		await crowd?.stop();
		await Promise.all([clients?.stop(), prober?.stop()]);
		await Promise.all(Object.values(nodes).map((node) => node.keepalived?.stop()));
		for (const node of Object.values(nodes))
			complaints.push(...await node.limpet?.stop() ?? []);
		await cluster?.stop();
		await redis?.stop();
		assert.deepEqual(complaints, []);
	}, { timeout: 60000 });

	/* Real clients: who was lost is back with the first attempt that began when there was service. */
	function judge_crowd(t, from, service_at)
	{
		const events = crowd.since(from), lost = new Set(), late = [];
		let slowest = 0, attempts = 0;
		const gone_at = new Map(), trying = new Map();
		for (const [at, i, what, detail] of events) {
			if (what === 'failed' || what === 'told') {
				lost.add(i);
				if (!gone_at.has(i))
					gone_at.set(i, at);
				if (trying.get(i) > service_at + 50)
					late.push(`client ${i}: ${detail}, an attempt that began ${trying.get(i) - service_at} ms after service was back`);
				trying.delete(i);
			} else if (what === 'attempt') {
				attempts++;
				trying.set(i, at);
			} else if (what === 'connect') {
				slowest = Math.max(slowest, at - (gone_at.get(i) ?? at));
				trying.delete(i);
			}
		}
		const last = Math.max(...gone_at.values()) - from;
		t.diagnostic(`real clients: ${lost.size} of ${crowd.count} lost their connection (the last after ${last} ms), ${attempts} attempts in all, ` +
			`the slowest back ${slowest} ms after its loss`);
		assert.deepEqual(late.slice(0, 5), [], `${late.length} needed more than one attempt`);
	}

	/*
	 * KILL: ends the active node.  IS_SILENT: nobody tells the clients, who learn of it when they write, or
	 * by a ping that does not come.  SERVES_ON: it serves until the other node has the address.
	 */
	async function fail_over(t, kill, { is_silent = false, serves_on = false } = {})
	{
		const old = active(), heir = waiting(), bound = await clients.call('where_bound');
		const workers = new Set(bound.map((line) => line.split(': ')[1]));
		assert.equal(workers.size, 4, bound.join('\n'));
		const from = Date.now();
		await kill(old);
		const died_at = Date.now();
		let marked = serves_on || await clients.call('mark', [from, died_at]);
		const master_at = await wait_for(() => heir.keepalived.master_since(from), () => `the other node took over\n${tails()}`, slack(10000), 5);
		if (serves_on)
			marked = await clients.call('mark', [from, master_at + 100]);
		const served = await wait_for(async () => (await prober.call('probes', serves_on ? master_at : died_at)).find(([, , wrong]) => !wrong), () => `there is service\n${tails()}`, slack(10000), 50);
		const service_at = served[1];
		t.diagnostic(`without service for ${service_at - from} ms: keepalived took over after ${master_at - from} ms, served ${Math.max(0, service_at - master_at)} ms later`);
		assert.ok(service_at - master_at < slack(1000), 'under a second apart from keepalived');

		await wait_for(async () => (await clients.call('kept', service_at)) === marked.between || (await clients.call('problems')).length,
			'the sessions go on', slack(FULL ? 30000 : 15000), 200).catch(() => {});
		const kept = await clients.call('kept', service_at);
		t.diagnostic(`sessions: ${marked.between} were between two requests, ${kept} of them went on; ${marked.busy} had a request under way`);
		assert.deepEqual(await clients.call('problems'), []);
		assert.equal(kept, marked.between);
		assert.ok(marked.between > COUNT / 4, 'there were many');
		assert.deepEqual(await clients.call('where_bound'), bound, 'cookies and addresses are bound as before');

		const renewed = await clients.call('renew');
		assert.deepEqual(renewed.problems, []);
		await sleep(slack(1000) + (is_silent ? 3 * PING_MS : 0));
		await crowd.whole(slack(10000) + PING_MS);
		judge_crowd(t, from, service_at);
		/* Late is a matter of the machine; refused, cut off or answered wrongly is not. */
		const probes = (await prober.call('probes', service_at)).map(([, , wrong]) => wrong), bad = probes.filter(Boolean);
		t.diagnostic(`${probes.length} requests of the prober after that, ${bad.length} of them late`);
		assert.deepEqual(bad.filter((wrong) => !/ in (400 ms|time)$/.test(wrong)), [], 'no request failed once there was service');
		return { old, heir };
	}

	test('kill -9 of the active Limpet', { timeout: slack(120000) }, async (t) => {
		const { old, heir } = await fail_over(t, async (node) => node.limpet.kill());

		/* It comes back, full, and does not take the address. */
		await start_node(old.machine.name);
		await wait_for(() => old.keepalived.state() === 'BACKUP', 'the old node waits', slack(10000), 50);
		assert.equal(await mirror_state(old.limpet), 'up');
		assert.equal(active(), heir);
	});

	test('the active machine loses its cable; the one that was restarted takes over', { timeout: slack(120000) }, async (t) => {
		const { old } = await fail_over(t, async (node) => node.machine.unplug(), { is_silent: true });
		old.machine.plug();
		const plugged_at = Date.now();
		await wait_for(is_settled, () => `the old node waits\n${tails()}`, slack(15000), 50);
		await wait_for(async () => (await mirror_state(old.limpet)) === 'up', () => `its mirror is up\n${tails()}`, slack(60000), 100);
		t.diagnostic(`plugged in again, it waits and follows the other after ${Date.now() - plugged_at} ms`);
	});

	if (FULL)
		test('kill -9 of keepalived on the active node: two have the address, one is heard', { timeout: slack(120000) }, async (t) => {
			await fail_over(t, async (node) => node.keepalived.kill(), { is_silent: true, serves_on: true });
		});
});
