/* SPDX-License-Identifier: MIT */
/*
 * Suite D: workers die, sockets are stale, clients leave.  What a client hears, and how soon; who
 * else notices (nobody); and that nothing is ever sent twice.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fake_server } from './lib/fake.mjs';
import { start_farm } from './lib/farm.mjs';
import { start_cluster } from './lib/cluster.mjs';
import { Client } from './lib/fleet.mjs';
import { keep_alive, raw, request, websocket } from './lib/http.mjs';
import { sessions_of, slack, start_proxy } from './lib/proxy.mjs';
import { PROXY, sleep, wait_for } from './lib/util.mjs';

const BASE = '/socket.io/?EIO=4&transport=polling';
const UNKNOWN = '{"code":1,"message":"Session ID unknown"}';
const ORIGIN = 'http://page.example';
/* What only a load balancer can do; the relay that tests the tests cannot. */
const BALANCER = PROXY === 'limpet' ? false : 'the relay knows nothing of health';

const handshake = async (port, opts) => {
	const answer = await request({ port }, BASE, opts);
	assert.equal(answer.status, 200, answer.text);
	return { sid: JSON.parse(answer.text.slice(1)).sid, worker: answer.headers['x-worker'] };
};

/* A session that COUNT handshakes at most bring to the worker NAME (or, without a name, to any). */
async function session_on(port, name, opts, count = 60)
{
	for (let n = 0; n < count; n++) {
		const one = await handshake(port, opts);
		if (!name || one.worker === name)
			return one;
	}
	throw new Error(`${count} handshakes, and none went to ${name}`);
}

function check_cors(answer, origin)
{
	if (origin) {
		assert.equal(answer.headers['access-control-allow-origin'], origin);
		assert.equal(answer.headers['access-control-allow-credentials'], 'true');
		assert.match(answer.headers.vary || '', /origin/i);
	} else {
		assert.equal(answer.headers['access-control-allow-origin'], undefined);
	}
}

for (const shape of [{ title: 'one tier, Unix sockets', net: 'unix', tiers: 1 }, { title: 'two tiers, TCP', net: 'tcp', tiers: 2 }])
	describe(`a worker killed with -9 (${shape.title})`, () => {
		let cluster, proxy;
		beforeEach(async () => {
			cluster = await start_cluster({ kind: 'v4', net: shape.net, workers: 4, hosts: 2, options: { allowEIO3: true } });
			proxy = await start_proxy(cluster, { tiers: shape.tiers });
		});
		afterEach(async () => {
			const complaints = await proxy.stop();
			await cluster.stop();
			assert.deepEqual(complaints, []);
		});

		test('under load: its clients are back in one handshake, and nobody else notices', { skip: PROXY === 'control' }, async () => {
			const count = sessions_of(60, 120), modes = ['polling', 'upgrade', 'websocket'];
			const clients = Array.from({ length: count }, (_, i) => new Client(proxy.port, {
				i: 50000 + i, mode: modes[i % 3], options: { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 200, randomizationFactor: 0.5 },
			}));
			let talking = true, echoes = 0;
			try {
				await wait_for(() => clients.every((client) => client.ready && client.transport === client.mode.transport), 'all clients connected', 20000);
				const talk = Promise.all(clients.map(async (client) => {
					while (talking) {
						await Promise.race([client.echo({ n: echoes }, 15000).then(() => echoes++, () => {}), wait_for(() => !client.socket.connected || !talking, 'talk', 20000, 100)]);
						await sleep(20);
					}
				}));
				await wait_for(() => echoes > count * 2, 'load', 10000);

				const victim = cluster.all[1];
				const hit = clients.filter((client) => client.hello.name === victim.name), others = clients.filter((client) => client.hello.name !== victim.name);
				assert.ok(hit.length >= count / 8, `${hit.length} clients on the victim`);
				const handshakes = (await cluster.seen()).filter((seen) => seen.name !== victim.name).reduce((sum, seen) => sum + seen.handshakes, 0);
				await victim.kill();
				const from = performance.now();
				await wait_for(() => hit.every((client) => client.hellos.length === 2 && client.socket.connected), () =>
					`clients of the dead worker back; ${hit.filter((client) => client.hellos.length < 2).length} of ${hit.length} are not; e.g. ${JSON.stringify(hit.find((client) => client.hellos.length < 2)?.errors)}`, slack(8000));
				const took = performance.now() - from;
				talking = false;
				await talk;
				const more = (await cluster.seen()).reduce((sum, seen) => sum + seen.handshakes, 0) - handshakes;
				assert.ok(took < slack(3000), `it took ${Math.round(took)} ms`);
				assert.deepEqual(hit.flatMap((client) => client.errors), [], 'no handshake failed');
				assert.deepEqual(hit.map((client) => client.attempts), hit.map(() => 1), 'one attempt each');
				assert.equal(more, hit.length, 'one handshake each');
				for (const client of hit)
					assert.notEqual(client.hello.name, victim.name);
				assert.deepEqual(others.flatMap((client) => [...client.disconnects, ...client.errors]), [], 'nobody else noticed');
				for (const seen of await cluster.seen())
					assert.deepEqual([seen.foreign, seen.unknown], [[], 0], `${seen.name} was asked for sessions of others`);
			} finally {
				talking = false;
				for (const client of clients)
					client.close();
			}
		});

		for (const origin of [undefined, ORIGIN])
			test(`under a pending poll: the client hears of it at once${origin ? ', and a page may read it' : ''}`, async () => {
				const agent = keep_alive(1);
				const headers = origin ? { Origin: origin } : {};
				const { sid, worker } = await handshake(proxy.port, agent.opts());
				/* A Socket.IO session: connect first, so that what is pending is pending for long. */
				await request({ port: proxy.port }, `${BASE}&sid=${sid}`, { ...agent.opts(), method: 'POST', body: '40' });
				await request({ port: proxy.port }, `${BASE}&sid=${sid}`, agent.opts());
				const pending = request({ port: proxy.port }, `${BASE}&sid=${sid}`, { ...agent.opts(), headers, limit: 4000 });
				let pends = true;
				pending.then(() => { pends = false; }, () => { pends = false; });
				await sleep(100);
				assert.ok(pends, 'the poll was answered before anybody died');
				const from = performance.now();
				await cluster.by_name(worker).kill();
				const answer = await pending;
				const took = performance.now() - from;
				assert.equal(answer.status, 400);
				assert.equal(answer.text, UNKNOWN);
				assert.match(answer.headers['content-type'], /^application\/json/);
				assert.ok(took < slack(500), `it took ${Math.round(took)} ms`);
				check_cors(answer, origin);
				agent.close();
			});

		test('after a poll died with its worker: later requests of the session are not sent to other workers', async () => {
			const { sid, worker } = await handshake(proxy.port);
			const pending = request({ port: proxy.port }, `${BASE}&sid=${sid}`, { limit: 4000 });
			await sleep(100);
			await cluster.by_name(worker).kill();
			assert.equal((await pending).status, 400);
			for (const opts of [{ method: 'POST', body: '40' }, {}]) {
				const answer = await request({ port: proxy.port }, `${BASE}&sid=${sid}`, opts);
				assert.deepEqual([answer.status, answer.text], [400, UNKNOWN]);
			}
			/* In two tiers the inner one's answer ends the session at the edge, which then forwards an unknown sid. */
			if (shape.tiers > 1)
				return;
			for (const seen of await cluster.seen())
				assert.deepEqual(seen.foreign, [], `${seen.name} was asked for a session of a dead worker`);
		});

		test('under a WebSocket: it closes at once', async () => {
			const ws = await websocket({ port: proxy.port }, '/socket.io/?EIO=4&transport=websocket');
			await ws.next();
			ws.send('40');
			await ws.next();
			const hello = await ws.next();
			const from = performance.now();
			await cluster.by_name(JSON.parse(hello.slice(2))[1].name).kill();
			await ws.closed;
			assert.ok(performance.now() - from < slack(500));
		});

		test('a session of a dead worker is answered in the form that fits the request', async () => {
			const { sid, worker } = await handshake(proxy.port);
			await cluster.by_name(worker).kill();
			for (const origin of [undefined, ORIGIN]) {
				const headers = origin ? { Origin: origin } : {};
				const polled = await request({ port: proxy.port }, `${BASE}&sid=${sid}`, { headers });
				assert.deepEqual([polled.status, polled.text], [400, UNKNOWN]);
				assert.match(polled.headers['content-type'], /^application\/json/);
				check_cors(polled, origin);
				const posted = await request({ port: proxy.port }, `${BASE}&sid=${sid}`, { headers, method: 'POST', body: '4x' });
				assert.deepEqual([posted.status, posted.text], [400, UNKNOWN]);
				check_cors(posted, origin);
				if (BALANCER)
					continue;
				const refused = await websocket({ port: proxy.port }, `/socket.io/?EIO=4&transport=websocket&sid=${sid}`, { origin }).catch((error) => error);
				assert.equal(refused.status, 400);
				assert.equal(refused.text, 'Session ID unknown');
				assert.match(refused.headers['content-type'], /^text\/html/);
				assert.match(refused.headers.connection || '', /close/i);
			}
			if (shape.tiers > 1)
				return; /* see above */
			for (const seen of await cluster.seen())
				assert.deepEqual(seen.foreign, [], `${seen.name} was asked for a session of a dead worker`);
		});

		test('handshakes go on without a failure while a worker is dead', { skip: BALANCER }, async () => {
			await cluster.all[2].kill();
			for (let n = 0; n < 30; n++)
				assert.equal((await request({ port: proxy.port }, BASE)).status, 200);
		});

		test('a worker born anew in the same place knows none of the old sessions, and is not asked', async () => {
			const { sid, worker } = await handshake(proxy.port);
			const reborn = cluster.by_name(worker);
			await reborn.kill();
			/* Somebody hears of the death, or nobody does: both must end alike. */
			await reborn.start();
			const answer = await request({ port: proxy.port }, `${BASE}&sid=${sid}`, { headers: { Origin: ORIGIN } });
			assert.deepEqual([answer.status, answer.text], [400, UNKNOWN]);
			check_cors(answer, ORIGIN);
			/* A path that was bound again tells of the new process; a port tells nothing when nobody asked meanwhile. */
			if (!BALANCER && shape.net === 'unix')
				assert.deepEqual((await reborn.call('seen')).foreign, [], 'the new process was asked for an old session');
			await wait_for(async () => (await handshake(proxy.port)).worker === worker, 'new sessions on the worker born anew', slack(5000), 20);
		});

		test('all workers dead: 503 for handshakes; and all is well when one is back', async () => {
			for (const worker of cluster.all)
				await worker.kill();
			const answer = await request({ port: proxy.port }, BASE);
			assert.ok(answer.status === 503 || answer.status === 502, `status ${answer.status}`);
			await cluster.all[0].start();
			await wait_for(async () => (await request({ port: proxy.port }, BASE)).status === 200, 'handshakes again', slack(4000), 50);
		});
	});

describe('sockets come and go', { skip: BALANCER }, () => {
	let cluster, proxy;
	beforeEach(async () => { cluster = await start_cluster({ kind: 'v4', net: 'unix', workers: 4, hosts: 2 }); });
	afterEach(async () => {
		const complaints = await proxy?.stop();
		await cluster.stop();
		assert.deepEqual(complaints, []);
	});

	test('a worker that appears takes new sessions within a second', async () => {
		proxy = await start_proxy(cluster);
		for (let n = 0; n < 20; n++)
			await handshake(proxy.port);
		const worker = cluster.make(cluster.hosts[0]);
		await worker.start();
		const from = performance.now();
		await wait_for(async () => (await handshake(proxy.port)).worker === worker.name, 'a session on the new worker', slack(3000), 20);
		const took = performance.now() - from;
		assert.ok(took < slack(1000), `it took ${Math.round(took)} ms`);
	});

	test('the first worker of an empty directory is found', async () => {
		await cluster.stop();
		fs.rmSync(cluster.hosts[0].workers[0].spec.unix, { force: true });
		for (const host of cluster.hosts)
			for (const file of fs.readdirSync(host.dir))
				fs.rmSync(path.join(host.dir, file));
		const starting = start_proxy(cluster);
		await sleep(300);
		await cluster.all[0].start();
		proxy = await starting;
		assert.equal((await handshake(proxy.port)).worker, cluster.all[0].name);
	});

	test('a socket file that goes takes its worker out, and its sessions are told so', async () => {
		proxy = await start_proxy(cluster);
		const { sid, worker } = await handshake(proxy.port);
		const gone = cluster.by_name(worker);
		await gone.kill();
		fs.rmSync(gone.spec.unix, { force: true });
		await sleep(200);
		for (let n = 0; n < 12; n++)
			assert.notEqual((await handshake(proxy.port)).worker, worker);
		const answer = await request({ port: proxy.port }, `${BASE}&sid=${sid}`);
		assert.deepEqual([answer.status, answer.text], [400, UNKNOWN]);
	});

	test('stale socket files are down, not errors: every handshake succeeds, and the log stays quiet', async () => {
		const stale = [];
		for (const host of cluster.hosts) {
			const worker = cluster.make(host);
			await worker.start();
			stale.push(worker);
		}
		for (const worker of stale)
			await worker.kill();
		assert.ok(stale.every((worker) => fs.existsSync(worker.spec.unix)), 'the files are there');
		proxy = await start_proxy(cluster);
		for (let n = 0; n < 40; n++)
			assert.equal((await request({ port: proxy.port }, BASE)).status, 200);
		await sleep(1500);
		const lines = proxy.limpets[0].log.split('\n').filter((line) => line && !/"status"|"path"/.test(line));
		assert.ok(lines.length < 60, `${lines.length} lines on the log:\n${lines.slice(-20).join('\n')}`);
		/* And the file may come to life again. */
		await stale[0].start();
		await wait_for(async () => (await handshake(proxy.port)).worker === stale[0].name, 'a session on it', slack(3000), 20);
	});
});

describe('who leaves', () => {
	let farm, proxy;
	before(async () => {
		farm = await start_farm({ kind: 'engine4', path: '/socket.io/' });
		proxy = await start_proxy(farm);
	});
	after(async () => {
		const complaints = await proxy.stop();
		await farm.stop();
		assert.deepEqual(complaints, []);
	});
	const ended = (sid) => farm.apps.some((app) => sid in app.seen.ended);

	for (const how of ['FIN', 'RST'])
		test(`a client that goes (${how}) under a pending poll: the worker knows at once`, async () => {
			const { sid } = await handshake(proxy.port);
			const socket = net.connect({ port: proxy.port, host: '127.0.0.1' });
			socket.write(`GET ${BASE}&sid=${sid} HTTP/1.1\r\nHost: x\r\n\r\n`);
			await sleep(100);
			assert.ok(!ended(sid));
			const from = performance.now();
			if (how === 'RST')
				socket.resetAndDestroy();
			else
				socket.destroy();
			await wait_for(() => ended(sid), "the worker's close", slack(2000), 2);
			assert.ok(performance.now() - from < slack(300), `it took ${Math.round(performance.now() - from)} ms`);
		});
	test('a client that breaks its WebSocket: the worker knows at once', async () => {
		const ws = await websocket({ port: proxy.port }, '/socket.io/?EIO=4&transport=websocket');
		const { sid } = JSON.parse((await ws.next()).slice(1));
		const from = performance.now();
		ws.terminate();
		await wait_for(() => ended(sid), "the worker's close", slack(2000), 2);
		assert.ok(performance.now() - from < slack(300));
	});
	test('a client that leaves in the middle of a POST: nothing reaches the session, and it lives on', async () => {
		const { sid, worker } = await handshake(proxy.port);
		const socket = net.connect({ port: proxy.port, host: '127.0.0.1' });
		socket.write(`POST ${BASE}&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n4hal`);
		await sleep(60);
		socket.destroy();
		await sleep(100);
		const app = farm.apps.find((one) => one.seen.name === worker);
		/* engine.io ends a session whose POST broke; what must not happen is half a message. */
		if (sid in app.seen.ended)
			return;
		assert.equal((await request({ port: proxy.port }, `${BASE}&sid=${sid}`, { method: 'POST', body: '4whole' })).text, 'ok');
		assert.equal((await request({ port: proxy.port }, `${BASE}&sid=${sid}`)).text, '4whole');
	});
	test('nothing but the client ends a pending poll: it is held as long as the server holds it', async () => {
		const { sid } = await handshake(proxy.port);
		const pending = request({ port: proxy.port }, `${BASE}&sid=${sid}`, { limit: 10000 });
		await sleep(3000);
		assert.ok(!ended(sid));
		await request({ port: proxy.port }, `${BASE}&sid=${sid}`, { method: 'POST', body: '4after three seconds' });
		assert.equal((await pending).text, '4after three seconds');
	});
});

describe('the timeout of an Engine.IO request comes from its own handshake', { skip: BALANCER }, () => {
	let farm, proxy;
	before(async () => {
		farm = await start_farm({ kind: 'engine4', path: '/socket.io/', options: { pingInterval: 3000, pingTimeout: 2000 } });
		proxy = await start_proxy(farm, { backend: { timeouts: { server: '1s', tunnel: '1s' } } });
	});
	after(async () => {
		const complaints = await proxy.stop();
		await farm.stop();
		assert.deepEqual(complaints, []);
	});
	test('timeouts.server below pingInterval + pingTimeout does not end a poll', async () => {
		const { sid } = await handshake(proxy.port);
		const polled = await request({ port: proxy.port }, `${BASE}&sid=${sid}`);
		assert.equal(polled.text, '2', 'the poll ends with the ping after three seconds');
	});
	test('timeouts.tunnel below pingInterval + pingTimeout does not end a silent WebSocket that began as one', async () => {
		const ws = await websocket({ port: proxy.port }, '/socket.io/?EIO=4&transport=websocket');
		await ws.next();
		assert.equal(await ws.next(), '2');
	});
	test('nor one that a session was upgraded to', async () => {
		const { sid } = await handshake(proxy.port);
		const ws = await websocket({ port: proxy.port }, `/socket.io/?EIO=4&transport=websocket&sid=${sid}`);
		ws.send('2probe');
		assert.equal(await ws.next(), '3probe');
		ws.send('5');
		assert.equal(await ws.next(), '2');
	});
});

describe('nothing is sent twice', () => {
	let farm, proxy, behave;
	const open = (sid) => `0{"sid":"${sid}","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`;
	before(async () => {
		farm = await start_farm({
			net: 'tcp', make: (i, name) => { let n = 0; return fake_server({
				name, make_sid: () => `once-${i}-${n++}`,
				handshake: (sid) => [`HTTP/1.1 200 OK\r\nX-Worker: ${name}\r\nContent-Length: ${open(sid).length}\r\n\r\n${open(sid)}`],
				later: (req) => behave(req),
			}); },
		});
		proxy = await start_proxy(farm);
	});
	after(async () => {
		const complaints = await proxy.stop();
		await farm.stop();
		assert.deepEqual(complaints, []);
	});
	const received = (what) => farm.apps.flatMap((app) => app.seen.later).filter((req) => req.url.includes(what)).length;

	for (const [how, parts] of Object.entries({
		'closes without an answer': [null], 'resets without an answer': [undefined], 'closes in the middle of a head': ['HTTP/1.1 200 O', 20, null],
	}))
		for (const method of ['POST', 'GET'])
			test(`a server that ${how} to a ${method} with a sid: asked once, and the client hears an error`, async () => {
				const { sid } = await handshake(proxy.port);
				behave = () => parts;
				const tag = `t=${Math.random().toString(36).slice(2)}`;
				const from = performance.now();
				const answer = await request({ port: proxy.port }, `${BASE}&sid=${sid}&${tag}`, { method, body: method === 'POST' ? '4x' : undefined });
				assert.ok([400, 502].includes(answer.status), `status ${answer.status}`);
				assert.ok(performance.now() - from < slack(1000));
				assert.equal(received(tag), 1);
				assert.deepEqual(farm.foreign(), []);
			});
	test('a server that closes its idle connection just then: a POST with a sid arrives once or not at all', async () => {
		behave = () => ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', null];
		const agent = keep_alive(1);
		for (let n = 0; n < 30; n++) {
			const { sid } = await handshake(proxy.port, agent.opts());
			const tag = `t=race${n}x`;
			const answer = await request({ port: proxy.port }, `${BASE}&sid=${sid}&${tag}`, { ...agent.opts(), method: 'POST', body: '4x' });
			assert.ok(received(tag) <= 1, 'it was sent twice');
			assert.equal(answer.status === 200, received(tag) === 1, `status ${answer.status}, received ${received(tag)} times`);
		}
		agent.close();
	});
	test('a bad answer to a session becomes 502 and is not asked again', { skip: BALANCER }, async () => {
		for (const bad of ['garbage\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok']) {
			const { sid } = await handshake(proxy.port);
			behave = () => [bad];
			const tag = `t=${Math.random().toString(36).slice(2)}`;
			const answer = await request({ port: proxy.port }, `${BASE}&sid=${sid}&${tag}`);
			assert.equal(answer.status, 502, bad);
			assert.equal(received(tag), 1);
		}
	});
	test('a sid never appears on the log', { skip: BALANCER }, async () => {
		behave = () => ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'];
		const { sid } = await handshake(proxy.port);
		await request({ port: proxy.port }, `${BASE}&sid=${sid}`);
		await wait_for(() => /"status"|200/.test(proxy.limpets[0].log), 'lines on the log', 3000);
		const line = proxy.limpets[0].log.split('\n').find((one) => one.includes(sid));
		assert.equal(line, undefined);
	});
});
