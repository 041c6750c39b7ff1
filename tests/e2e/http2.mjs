/* SPDX-License-Identifier: MIT */
/*
 * Suite: Socket.IO over HTTP/2 and TLS.  Many sessions share one connection, their polls, posts and
 * WebSockets (RFC 8441) are streams of it, and each must reach the worker that holds its session.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import http2 from 'node:http2';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, start_browser } from './lib/chromium.mjs';
import { difference, start_cluster } from './lib/cluster.mjs';
import { request } from './lib/http.mjs';
import { start_limpet } from './lib/limpet.mjs';
import { host_entry, slack } from './lib/proxy.mjs';
import { PROXY, free_port, temp_dir, wait_for } from './lib/util.mjs';

function make_certificate()
{
	const dir = temp_dir('c');
	const [key, crt, both] = ['key.pem', 'crt.pem', 'site.pem'].map((name) => path.join(dir, name));

	execFileSync('sh', ['-c', `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout ${key} -out ${crt} 2>/dev/null && cat ${crt} ${key} > ${both}`]);
	return both;
}

/* An answer over one stream. */
function ask(session, headers, body)
{
	return new Promise((done, fail) => {
		const stream = session.request(headers, { endStream: body === undefined });
		const answer = { status: 0, body: '' };
		stream.setEncoding('utf8');
		stream.on('response', (head) => { answer.status = head[':status']; answer.head = head; });
		stream.on('data', (part) => { answer.body += part; });
		stream.on('end', () => done(answer));
		stream.on('error', fail);
		if (body !== undefined)
			stream.end(body);
	});
}

describe('Socket.IO over HTTP/2', { skip: PROXY !== 'limpet' && 'limpet alone' }, () => {
	let cluster, limpet, port, stats;
	before(async () => {
		[port, stats] = [await free_port(), await free_port()];
		cluster = await start_cluster({ kind: 'v4', net: 'unix', workers: 4, hosts: 2 });
		limpet = await start_limpet({
			global: { stats: { http: `127.0.0.1:${stats}` } },
			frontends: { web: { bind: { address: `127.0.0.1:${port}`, tls: { certificates: [make_certificate()] } }, backend: 'chat' } },
			backends: {
				chat: {
					stick: 'engineio', health_check: { http: '/healthz', interval: '500ms', timeout: '2s', fall: 2, rise: 1 },
					hosts: Object.fromEntries(cluster.hosts.map((host) => [host.name, host_entry(host, 'unix')])),
				},
			},
		}, { ports: [port, stats] });
		const session = connect();
		await wait_for(() => ask(session, { ':path': '/healthz' }).then((answer) => answer.status === 200), 'healthy workers', slack(10000), 50);
		session.close();
	});
	after(async () => {
		const complaints = await limpet.stop();
		await cluster.stop();
		assert.deepEqual(complaints, []);
	});

	const connect = () => http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
	const counter = async (name) => {
		const { body } = await request({ port: stats }, '/metrics');
		const line = String(body).split('\n').find((one) => one.startsWith(`limpet_frontend_${name}`) && one.includes('"web"'));
		return Number(line?.split(' ').pop() ?? NaN);
	};
	const counters = async () => Object.fromEntries(await Promise.all(
		['connections_total', 'h2_connections_total', 'h2_streams_total', 'tunnels_total'].map(async (name) => [name, await counter(name)])));
	const nobody_was_lost = (before_it, after_it) => {
		const change = difference(before_it, after_it);

		assert.deepEqual(change.flatMap((seen) => seen.foreign), []);
		assert.deepEqual(change.map((seen) => seen.unknown), change.map(() => 0));
	};

	test('forty polling sessions on one connection of node each stay on their worker', async () => {
		const before_it = await cluster.seen();
		const session = connect();
		const base = '/socket.io/?EIO=4&transport=polling';
		await Promise.all(Array.from({ length: 40 }, async (_, i) => {
			const open = await ask(session, { ':path': base });
			assert.equal(open.status, 200);
			const sid = JSON.parse(open.body.slice(1)).sid;
			const at = `${base}&sid=${sid}`;
			assert.deepEqual([(await ask(session, { ':path': at, ':method': 'POST' }, '40')).body], ['ok']);
			assert.match((await ask(session, { ':path': at })).body, /^40/);
			for (let round = 0; round < 5; round++) {
				const poll = ask(session, { ':path': at }); /* waits for what the post asks for */
				const post = await ask(session, { ':path': at, ':method': 'POST' }, `42${round}["echo",{"i":${i},"round":${round}}]`);
				assert.deepEqual([post.status, post.body], [200, 'ok']);
				let text = (await poll).body;
				while (!text.includes(`43${round}[`))
					text = (await ask(session, { ':path': at })).body;
				assert.ok(text.includes(`"i":${i},"round":${round}`), text);
			}
			await ask(session, { ':path': at, ':method': 'POST' }, '1');
		}));
		session.close();
		nobody_was_lost(before_it, await cluster.seen());
	});

	describe('a page in Chromium', { skip: !CHROMIUM && 'no chromium' }, () => {
		let browser;
		before(async () => { browser = await start_browser(['--ignore-certificate-errors']); });
		after(async () => { await browser?.close(); });
		const report = (page) => page.evaluate('window.report()');

		for (const [mode, transports, count] of [['polling', ['polling'], 6], ['upgrade', ['polling', 'websocket'], 8], ['websocket', ['websocket'], 8]])
			test(`${count} sockets, ${mode}, are streams of one connection and stay on their workers`, async () => {
				const url = `https://127.0.0.1:${port}`;
				const page = await browser.newPage();
				const [before_it, had] = [await cluster.seen(), await counters()];
				await page.goto(url, { waitUntil: 'load' });
				await page.addScriptTag({ url: `${url}/socket.io/socket.io.js` });
				for (let i = 0; i < count; i++)
					await page.evaluate(([to, options]) => window.start(to, options), [url, { transports, upgrade: transports.length > 1 }]);
				await wait_for(async () => (await report(page)).every((one) => one.connected && one.hellos.length && one.transport === transports.at(-1)),
					'all sockets connected', slack(10000), 50).catch(async (error) => { throw new Error(`${error.message}: ${JSON.stringify(await report(page))}`); });
				for (let round = 0; round < 5; round++)
					for (let i = 0; i < count; i++)
						assert.deepEqual(await page.evaluate(([n, what]) => window.ask(n, what), [i, { round, i }]), { round, i });
				await cluster.broadcast('to the page');
				await wait_for(async () => (await report(page)).every((one) => one.news.length === 1), 'a broadcast in each socket', slack(3000), 20);
				for (const one of await report(page))
					assert.deepEqual([one.disconnects, one.errors, one.hellos.length], [[], [], 1]);
				const have = await counters();
				await page.close();
				const grew = Object.fromEntries(Object.entries(have).map(([name, value]) => [name, value - had[name]]));
				assert.equal(grew.tunnels_total, transports.includes('websocket') ? count : 0, 'WebSockets');
				assert.equal(grew.connections_total, grew.h2_connections_total, `no connection spoke HTTP/1.1: ${JSON.stringify(grew)}`);
				assert.ok(grew.connections_total <= 3, `few connections: ${JSON.stringify(grew)}`);
				assert.ok(grew.h2_streams_total >= count, `streams: ${JSON.stringify(grew)}`);
				nobody_was_lost(before_it, await cluster.seen());
			});
	});
});
