/* SPDX-License-Identifier: MIT */
/*
 * Suite R: deploys under load.  A crowd of real clients of all three kinds lives on four workers on
 * Unix sockets while these are restarted one after the other, lose their sockets, or get company.
 *
 * Nobody may see a failure but being told to move, everybody is back within seconds, and they come
 * back evenly: over the time of each drain, the fullest second has less than twice the mean, both
 * of those who were told and, a second later (the clients' own back-off is 0.5 to 1.5 s), of those
 * who came back.
 * How fast they are back is also a matter of the processor time that workers and crowd get: on a
 * busy machine set E2E_SLACK=3.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { start_cluster } from './lib/cluster.mjs';
import { evenness, start_crowd } from './lib/crowd.mjs';
import { sessions_of, slack, start_proxy } from './lib/proxy.mjs';
import { FULL, PROXY, sleep, wait_for } from './lib/util.mjs';

const OVER = FULL ? 10 : 4;             /* seconds for each worker's sessions */
const BACK_MS = slack(5000);            /* a client is back so soon after it was told */
/* A worker that welcomes hundreds at once on a busy machine is slow, not down. */
const CHECK = { http: '/healthz', interval: '1s', timeout: '10s', fall: 3, rise: 1 };
const only = PROXY !== 'limpet' ? { skip: 'a drain is what a load balancer does' } : {};

/* Requests and tunnels in limpet's log that ended otherwise than they should. */
function odd_lines(limpet)
{
	const good = /^(--|LS|LT|C.|-)/;
	return limpet.log.split('\n').filter((line) => line.startsWith('{') && /"type":"(request|tunnel)"/.test(line))
		.map((line) => JSON.parse(line)).filter((line) => !good.test(line.code) || line.status >= 500 ||
			(line.status === 400 && !line.code.startsWith('LS'))).map((line) => `${line.code} ${line.status} ${line.method} ${line.server} ${line.end}`);
}

async function totals(limpet)
{
	const [head, ...rows] = (await limpet.stats('show stat')).trim().split('\n').map((line) => line.replace(/^# /, '').split(','));
	const at = (name) => head.indexOf(name);
	const sum = (name, rest) => rest.reduce((n, row) => n + Number(row[at(name)] || 0), 0);
	const servers = rows.filter((row) => row[at('pxname')] === 'chat' && !['BACKEND', 'FRONTEND'].includes(row[at('svname')]));
	const frontends = rows.filter((row) => row[at('svname')] === 'FRONTEND');
	return {
		'5xx': sum('hrsp_5xx', frontends), refused: sum('dreq', frontends) + sum('ereq', frontends),
		connect_errors: sum('econ', servers), response_errors: sum('eresp', servers), retries: sum('wretr', servers),
	};
}

/* What the crowd saw since AT, judged. */
function judge(crowd, at, workers)
{
	const events = crowd.since(at);
	const bad = events.filter(([, , what]) => what === 'failed' || what === 'lost').map(([, i, what, detail]) => `client ${i} ${what}: ${detail}`);
	assert.deepEqual(bad.slice(0, 10), [], `${bad.length} clients saw more than being told to move`);
	let slowest = 0;
	const late = [];
	const told_at = new Map();
	for (const [when, i, what, detail] of events) {
		if (what === 'told' && !told_at.has(i))
			told_at.set(i, when);
		if (what !== 'connect')
			continue;
		assert.ok(workers.includes(detail), `client ${i} landed on ${detail}`);
		const took = when - (told_at.get(i) ?? when);
		if (took >= BACK_MS)
			late.push(`client ${i}: ${events.filter((event) => event[1] === i).map((event) => `${event[2]} ${event[3]} at ${event[0] - at}`).join(', ')}`);
		slowest = Math.max(slowest, took);
		told_at.delete(i);
	}
	assert.equal(told_at.size, 0, 'everybody who was told is back');
	assert.deepEqual(late.slice(0, 5), [], `${late.length} were back late, the slowest after ${slowest} ms`);
	return { told: events.filter(([, , what]) => what === 'told'), back: events.filter(([, , what]) => what === 'connect'), slowest };
}

/* Both histograms of a drain that began at AT and took SECONDS. */
function judge_pace(t, name, seen, at, seconds)
{
	const told = evenness(seen.told.map(([when]) => when), at, seconds);
	const back = evenness(seen.back.map(([when]) => when), at + 1000, seconds);
	t.diagnostic(`${name}: ${seen.told.length} told (${seen.told.filter(([, , , how]) => how === '1001').length} by 1001), slowest back ${seen.slowest} ms`);
	t.diagnostic(`${name}: told per second ${told.bins.join(' ')}: max/mean ${told.ratio.toFixed(2)}`);
	t.diagnostic(`${name}: back per second ${back.bins.join(' ')}: max/mean ${back.ratio.toFixed(2)}`);
	return { told, back };
}

const is_quiet = async (limpet) => (await limpet.stats('show endings')).trim().split('\n').length === 1;

describe('deploys', only, () => {
	let cluster, proxy, limpet, crowd;
	const names = () => cluster.all.map((worker) => worker.name);
	const found = (worker) => wait_for(async () => (await limpet.stats(`get weight chat/${worker.name}`)).includes('initial'),
		`${worker.name} found`, slack(10000), 50);

	before(async () => {
		cluster = await start_cluster({ workers: 4, hosts: 1, net: 'unix' });
		proxy = await start_proxy(cluster, { backend: { drain_over: '4s', health_check: CHECK } });
		limpet = proxy.limpets[0];
		crowd = await start_crowd(proxy.port, sessions_of(200, 2000), slack(90000));
	}, { timeout: 120000 });
	after(async () => {
		await crowd?.stop();
		const complaints = await proxy.stop();
		await cluster.stop();
		assert.deepEqual(complaints, []);
	});

	/* One worker's deploy: drained, seen empty, restarted, taken into service. */
	async function restart(t, worker)
	{
		const before_at = Date.now(), lived = crowd.spread()[worker.name] || 0;
		await limpet.stats(`drain chat/${worker.name} over ${OVER}s`);
		await wait_for(() => is_quiet(limpet), `${worker.name} drained`, slack((OVER + 10) * 1000), 100);
		await crowd.whole(slack(10000));
		assert.equal(crowd.spread()[worker.name] || 0, 0, `nobody is left on ${worker.name}`);
		const seen = judge(crowd, before_at, names().filter((name) => name !== worker.name));
		assert.equal(seen.told.length, lived, `of ${lived} clients of ${worker.name} each was told once`);
		const pace = judge_pace(t, worker.name, seen, before_at, OVER);
		assert.ok(pace.told.ratio < 2 && pace.back.ratio < slack(2), `told ${pace.told.bins}, back ${pace.back.bins}`);

		/* Sessions that were between two requests end at the worker by its own ping timeout. */
		const { live, foreign } = await worker.call('seen');
		t.diagnostic(`${worker.name}: ${live} sessions not yet given up by the worker`);
		assert.deepEqual(foreign, []);
		await worker.call('close');
		await worker.kill();
		await worker.start();
		await found(worker);
		await limpet.stats(`set server chat/${worker.name} state ready`);
	}

	test('a rolling restart of four workers: nobody sees more than being told, and they come back evenly', { timeout: slack(300000) }, async (t) => {
		for (const worker of cluster.all)
			await restart(t, worker);
		assert.ok(crowd.is_whole());
		assert.deepEqual(await totals(limpet), { '5xx': 0, refused: 0, connect_errors: 0, response_errors: 0, retries: 0 });
		assert.deepEqual(odd_lines(limpet), []);
		t.diagnostic(`sessions per worker: ${JSON.stringify(crowd.spread())}`);
	});

	test('a worker that closes its socket and waits for its connections: they are told over drain_over', { timeout: slack(120000) }, async (t) => {
		const worker = cluster.all[0];
		/* After the restarts the first one has the fewest; enough for this. */
		const lived = crowd.spread()[worker.name] || 0, at = Date.now();
		assert.ok(lived > 0);
		await worker.call('close');
		await wait_for(() => limpet.log.includes('socket-gone: ending'), 'the ending began', slack(5000), 20);
		await wait_for(async () => (await worker.call('seen')).live === 0 || Date.now() - at > slack(6000), 'the worker is empty', slack(15000), 50);
		await wait_for(() => is_quiet(limpet), 'the ending is over', slack(15000), 100);
		await crowd.whole(slack(10000));
		const seen = judge(crowd, at, names().filter((name) => name !== worker.name));
		judge_pace(t, worker.name, seen, at, 4);
		assert.equal(crowd.spread()[worker.name] || 0, 0);
		const sockets = seen.told.filter(([, , , how]) => how === '1001').map(([when]) => when);
		assert.ok(sockets.length && evenness(sockets, at, 4).ratio < 2, `WebSockets told per second: ${evenness(sockets, at, 4).bins}`);
		await worker.kill();
		await worker.start();
		await found(worker);
		assert.deepEqual(odd_lines(limpet), []);
	});

	test('rebalance brings a new worker its share', { timeout: slack(120000) }, async (t) => {
		const worker = cluster.make(cluster.hosts[0]);
		await worker.start();
		await found(worker);
		const up = new RegExp(`^chat,${worker.name},(?:[^,]*,){15}UP`, 'm');
		await wait_for(async () => up.test(await limpet.stats('show stat')), 'it is up', slack(5000), 50);
		t.diagnostic(`before: ${JSON.stringify(crowd.spread())}`);
		const at = Date.now();
		t.diagnostic((await limpet.stats(`rebalance chat 100 over ${OVER}s`)).trim().replaceAll('\n', ' | '));
		await wait_for(() => is_quiet(limpet), 'the endings are over', slack((OVER + 10) * 1000), 100);
		await crowd.whole(slack(10000));
		const seen = judge(crowd, at, names());
		const pace = judge_pace(t, 'rebalance', seen, at, OVER);
		assert.ok(pace.told.ratio < 2, `told ${pace.told.bins}`);
		const spread = crowd.spread(), share = crowd.count / names().length;
		t.diagnostic(`after: ${JSON.stringify(spread)}`);
		for (const name of names())
			assert.ok(Math.abs((spread[name] || 0) - share) < share * 0.25 + 3, `${name} has ${spread[name]} of ${share}`);
		assert.deepEqual(odd_lines(limpet), []);
		const total = await totals(limpet);
		assert.deepEqual([total['5xx'], total.refused], [0, 0]);
	});
});
