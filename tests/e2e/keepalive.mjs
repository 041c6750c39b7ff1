/* SPDX-License-Identifier: MIT */
/*
 * Suite B: who sends the request says nothing.  Many sessions on one connection, as an outer proxy
 * mixes them; a new address for every request, as phones have them; everybody behind one address;
 * clients that take no cookies, and clients that send somebody else's.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { start_farm } from './lib/farm.mjs';
import { HAVE_LIMPET_WORKER, difference, start_cluster } from './lib/cluster.mjs';
import { judge_workers, run_fleet } from './lib/fleet.mjs';
import { fresh_addresses, keep_alive, raw, request, split_answers } from './lib/http.mjs';
import { start_proxy } from './lib/proxy.mjs';
import { PROXY } from './lib/util.mjs';

const BASE = '/socket.io/?EIO=4&transport=polling';
const SHAPES = [
	{ title: 'one tier on Unix sockets', net: 'unix', tiers: 1 },
	{ title: 'two tiers on TCP', net: 'tcp', tiers: 2 },
];

/* Handshakes, then ROUNDS of one message there and back for each session, the sessions taking turns. */
async function interleaved(port, agent, { sessions = 40, rounds = 4, headers } = {})
{
	const all = [], cookies = [];
	for (let n = 0; n < sessions; n++) {
		const answer = await request({ port }, BASE, { ...agent.opts(), headers });
		assert.equal(answer.status, 200, answer.text);
		all.push({ sid: JSON.parse(answer.text.slice(1)).sid, worker: answer.headers['x-worker'] });
		cookies.push(answer.headers['set-cookie']);
	}
	for (let round = 0; round < rounds; round++)
		for (const [n, { sid, worker }] of all.entries()) {
			const path = `${BASE}&sid=${sid}`;
			const posted = await request({ port }, path, { ...agent.opts(), method: 'POST', body: `4${n}:${round}`, headers });
			assert.equal(posted.text, 'ok');
			assert.equal(posted.headers['x-worker'], worker);
			const polled = await request({ port }, path, { ...agent.opts(), headers });
			assert.equal(polled.text, `4${n}:${round}`);
			assert.equal(polled.headers['x-worker'], worker);
		}
	return { all, cookies };
}

for (const shape of SHAPES)
	describe(shape.title, () => {
		let farm, proxy;
		before(async () => {
			farm = await start_farm({ kind: 'engine4', path: '/socket.io/', net: shape.net });
			proxy = await start_proxy(farm, { tiers: shape.tiers });
		});
		after(async () => {
			const complaints = await proxy.stop();
			await farm.stop();
			assert.deepEqual(complaints, []);
		});
		const spread = (all) => assert.equal(new Set(all.map((one) => one.worker)).size, 4, 'all four workers have sessions');

		for (const sockets of [1, 2])
			test(`${sockets} keep-alive connection(s) carry the requests of forty sessions`, async () => {
				const agent = keep_alive(sockets);
				const { all } = await interleaved(proxy.port, agent);
				spread(all);
				assert.ok(agent.made() <= sockets, `${agent.made()} connections were made`);
				agent.close();
				assert.deepEqual(farm.foreign(), []);
			});
		test('two keep-alive connections with requests of all sessions at once', async () => {
			const agent = keep_alive(2);
			const { all } = await interleaved(proxy.port, agent, { rounds: 1 });
			await Promise.all(all.map(({ sid }, n) => request({ port: proxy.port }, `${BASE}&sid=${sid}`, { ...agent.opts(), method: 'POST', body: `4at once ${n}` })));
			const polled = await Promise.all(all.map(({ sid }) => request({ port: proxy.port }, `${BASE}&sid=${sid}`, agent.opts())));
			assert.deepEqual(polled.map((answer) => answer.text), all.map((one, n) => `4at once ${n}`));
			assert.ok(agent.made() <= 2, `${agent.made()} connections were made`);
			agent.close();
			assert.deepEqual(farm.foreign(), []);
		});
		test('a new source address for every request', async () => {
			const { all } = await interleaved(proxy.port, fresh_addresses(30000));
			spread(all);
			assert.deepEqual(farm.foreign(), []);
		});
		test('requests of several sessions pipelined on one connection are answered in order', async () => {
			const { all } = await interleaved(proxy.port, keep_alive(1), { sessions: 8, rounds: 0 });
			let bytes = '';
			for (const [n, { sid }] of all.entries()) {
				const body = `4pipelined ${n}`;
				bytes += `POST ${BASE}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
				bytes += `GET ${BASE}&sid=${sid} HTTP/1.1\r\nHost: x\r\n\r\n`;
			}
			const { text } = await raw({ port: proxy.port }, bytes, { until: (got) => split_answers(got).length >= 16 });
			const answers = split_answers(text);
			assert.deepEqual(answers.map((answer) => answer.body), all.flatMap((one, n) => ['ok', `4pipelined ${n}`]));
			for (const [n, answer] of answers.entries())
				assert.match(answer.head, new RegExp(`x-worker: ${all[n >> 1].worker}`, 'i'));
			assert.deepEqual(farm.foreign(), []);
		});
	});

describe('everybody behind one address', () => {
	let cluster, proxy;
	before(async () => {
		cluster = await start_cluster({ kind: 'v4', net: 'unix', workers: 4, hosts: 2 });
		proxy = await start_proxy(cluster, { tiers: 2 });
	});
	after(async () => {
		const complaints = await proxy.stop();
		await cluster.stop();
		assert.deepEqual(complaints, []);
	});
	for (const mode of ['polling', 'upgrade', 'websocket'])
		test(`60 clients of one address, ${mode}, are spread and stay where they are`, async () => {
			const before_it = await cluster.seen();
			const { problems, talk } = await run_fleet(proxy.port, cluster, { count: 60, version: 'v4', mode, address: '127.0.0.1' });
			const change = difference(before_it, await cluster.seen());
			assert.deepEqual([...problems, ...judge_workers(change, talk)], []);
		});
});

describe('cookies', { skip: PROXY !== 'limpet' && 'the relay knows no cookies' }, () => {
	let farm, proxy;
	const stick = ['engineio', { cookie: { name: 'LIMPET', mode: 'insert', secret: 'for the tests alone' } }];
	before(async () => {
		farm = await start_farm({ kind: 'engine4', path: '/socket.io/' });
		proxy = await start_proxy(farm, { stick });
	});
	after(async () => {
		const complaints = await proxy.stop();
		await farm.stop();
		assert.deepEqual(complaints, []);
	});

	test('clients that refuse Set-Cookie keep their sessions', async () => {
		const { all, cookies } = await interleaved(proxy.port, fresh_addresses(40000), { sessions: 20 });
		assert.ok(cookies.every((cookie) => /^LIMPET=/.test(String(cookie))), `handshakes set ${cookies[0]}`);
		assert.equal(new Set(all.map((one) => one.worker)).size, 4);
		assert.deepEqual(farm.foreign(), []);
	});
	test("another session's cookie does not move a session", async () => {
		const { all, cookies } = await interleaved(proxy.port, fresh_addresses(41000), { sessions: 12, rounds: 0 });
		for (const { sid, worker } of all)
			for (const cookie of cookies) {
				const posted = await request({ port: proxy.port }, `${BASE}&sid=${sid}`, { method: 'POST', body: '4x', headers: { Cookie: String(cookie).split(';')[0] } });
				assert.equal(posted.text, 'ok');
				assert.equal(posted.headers['x-worker'], worker);
			}
		assert.deepEqual(farm.foreign(), []);
	});
	test('a client that takes the cookie makes its next handshake on the same worker', async () => {
		for (let n = 0; n < 8; n++) {
			const first = await request({ port: proxy.port }, BASE);
			const cookie = String(first.headers['set-cookie']).split(';')[0];
			for (let again = 0; again < 4; again++) {
				const next = await request({ port: proxy.port }, BASE, { headers: { Cookie: `a=b; ${cookie}; c=d` } });
				assert.equal(next.headers['x-worker'], first.headers['x-worker']);
			}
		}
	});
	test('a forged cookie is ignored', async () => {
		const workers = new Set();
		for (let n = 0; n < 12; n++)
			workers.add((await request({ port: proxy.port }, BASE, { headers: { Cookie: 'LIMPET=bm90IG91cnM' } })).headers['x-worker']);
		assert.equal(workers.size, 4);
	});
});

describe('the address decides where a handshake goes when the session does not', { skip: PROXY !== 'limpet' && 'the relay does not hash' }, () => {
	for (const shape of SHAPES)
		test(`stick: [engineio, ip] on ${shape.title}: one address, one worker; many addresses, all workers`, async () => {
			const farm = await start_farm({ kind: 'engine4', path: '/socket.io/', net: shape.net });
			const proxy = await start_proxy(farm, { tiers: shape.tiers, stick: ['engineio', 'ip'] });
			try {
				const used = new Set();
				for (let n = 1; n <= 40; n++) {
					const localAddress = `127.9.${n}.5`, got = new Set();
					for (let again = 0; again < 3; again++)
						got.add((await request({ port: proxy.port }, BASE, { localAddress })).headers['x-worker']);
					assert.equal(got.size, 1, `${localAddress} went to ${[...got]}`);
					used.add([...got][0]);
				}
				assert.equal(used.size, 4);
			} finally {
				const complaints = await proxy.stop();
				await farm.stop();
				assert.deepEqual(complaints, []);
			}
		});
});

describe('the client\'s address with pooled connections and PROXY headers', { skip: PROXY !== 'limpet' ? 'the relay sends no PROXY header' : !HAVE_LIMPET_WORKER && 'contrib/node is not there' }, () => {
	for (const tiers of [1, 2])
		test(`${tiers} tier(s): each request tells its own client, whichever connection it takes`, async () => {
			const cluster = await start_cluster({ kind: 'v4', net: 'unix', workers: 2, hosts: 2, proxy: true });
			const proxy = await start_proxy(cluster, { tiers });
			try {
				for (let n = 1; n <= 60; n++) {
					const localAddress = `127.8.${n % 7}.${1 + n % 5}`;
					const answer = await request({ port: proxy.port }, BASE, { localAddress });
					const { sid } = JSON.parse(answer.text.slice(1));
					const seen = (await cluster.seen()).find((one) => one.name === answer.headers['x-worker']);
					assert.equal(seen.sessions[sid].address, localAddress);
				}
			} finally {
				const complaints = await proxy.stop();
				await cluster.stop();
				assert.deepEqual(complaints, []);
			}
		});
});
