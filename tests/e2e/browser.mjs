/* SPDX-License-Identifier: MIT */
/*
 * Suite E: a page in headless Chromium.  Its connections are the browser's own: kept alive, six at
 * most, shared by all sockets of the page, with preflights when the page is of another origin.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, start_browser } from './lib/chromium.mjs';
import { difference, start_cluster } from './lib/cluster.mjs';
import { slack, start_proxy } from './lib/proxy.mjs';
import { HERE, PROXY, wait_for } from './lib/util.mjs';

const MODES = {
	polling: { transports: ['polling'], upgrade: false },
	upgrade: { transports: ['polling', 'websocket'] },
	websocket: { transports: ['websocket'] },
};

describe('a page in headless Chromium', { skip: !CHROMIUM && 'no chromium' }, () => {
	let browser, cluster, proxy, elsewhere;
	before(async () => {
		cluster = await start_cluster({ kind: 'v4', net: 'unix', workers: 4, hosts: 2 });
		proxy = await start_proxy(cluster, { tiers: 2 });
		const html = fs.readFileSync(path.join(HERE, 'lib/page.html'));
		elsewhere = http.createServer((req, res) => { res.setHeader('Content-Type', 'text/html; charset=utf-8'); res.end(html); });
		await new Promise((done) => elsewhere.listen(0, '127.0.0.1', done));
		browser = await start_browser();
	});
	after(async () => {
		await browser?.close();
		elsewhere.close();
		elsewhere.closeAllConnections();
		const complaints = await proxy.stop();
		await cluster.stop();
		assert.deepEqual(complaints, []);
	});

	const here = () => `http://127.0.0.1:${proxy.port}`;
	const there = () => `http://127.0.0.1:${elsewhere.address().port}`;
	const with_page = async (url, fn) => {
		const page = await browser.newPage();
		try {
			await page.goto(url, { waitUntil: 'load' });
			await page.addScriptTag({ url: `${here()}/socket.io/socket.io.js` });
			return await fn(page);
		} finally {
			await page.close();
		}
	};
	const report = (page) => page.evaluate('window.report()');

	/* COUNT sockets on one page talk; the workers must agree that each stayed where it was. */
	const stays = async (page, count, options) => {
		const before_it = await cluster.seen();
		for (let i = 0; i < count; i++)
			await page.evaluate(([url, opts]) => window.start(url, opts), [here(), options]);
		const want = options.transports.includes('websocket') ? 'websocket' : 'polling';
		await wait_for(async () => (await report(page)).every((one) => one.connected && one.hellos.length && one.transport === want),
			'all sockets of the page connected', slack(10000), 50).catch(async (error) => { throw new Error(`${error.message}: ${JSON.stringify(await report(page))}`); });
		for (let round = 0; round < 5; round++)
			for (let i = 0; i < count; i++)
				assert.deepEqual(await page.evaluate(([n, what]) => window.ask(n, what), [i, { round, i }]), { round, i });
		await cluster.broadcast('to the page');
		await wait_for(async () => (await report(page)).every((one) => one.news.length === 1), 'a broadcast in each socket', 3000, 20);
		for (const one of await report(page)) {
			assert.deepEqual([one.disconnects, one.errors, one.hellos.length], [[], [], 1]);
			if (PROXY === 'limpet')
				assert.equal(one.hellos[0].forwarded, '127.0.0.1');
		}
		const change = difference(before_it, await cluster.seen());
		assert.deepEqual(change.flatMap((seen) => seen.foreign), []);
		assert.deepEqual(change.map((seen) => seen.unknown), change.map(() => 0));
		return change;
	};

	for (const [mode, options] of Object.entries(MODES)) {
		const count = mode === 'polling' ? 3 : 8;
		test(`${count} sockets of one page, ${mode}, stay on their workers`, async () => {
			await with_page(here(), (page) => stays(page, count, options));
		});
		test(`${count} sockets of a page from elsewhere, ${mode}, without credentials`, async () => {
			await with_page(there(), (page) => stays(page, count, { ...options, withCredentials: false }));
		});
	}
	test('a page from elsewhere whose requests need preflights', async () => {
		await with_page(there(), async (page) => {
			const change = await stays(page, 3, { ...MODES.polling, withCredentials: false, extraHeaders: { 'x-custom': 'yes' } });
			assert.ok(change.reduce((sum, seen) => sum + seen.preflights, 0) > 3, 'there were preflights');
		});
	});
	for (const [mode, origin] of [['polling', there], ['polling', here], ['upgrade', there]])
		test(`a page ${origin === here ? 'from here' : 'from elsewhere'}, ${mode}, is back after its worker was killed`, async () => {
			await with_page(origin(), async (page) => {
				await page.evaluate(([url, opts]) => window.start(url, opts), [here(), MODES[mode]]);
				await wait_for(async () => { const [one] = await report(page); return one.hellos.length === 1 && one.transport === (mode === 'polling' ? 'polling' : 'websocket'); }, 'connected', 5000, 20);
				const [{ hellos: [hello] }] = await report(page);
				const victim = cluster.by_name(hello.name);
				const from = performance.now();
				await victim.kill();
				await wait_for(async () => (await report(page))[0].hellos.length === 2, async () => 'back', slack(5000), 20)
					.catch(async (error) => { throw new Error(`${error.message}: ${JSON.stringify(await report(page))}`); });
				const took = performance.now() - from;
				const [now] = await report(page);
				await victim.start();
				assert.notEqual(now.hellos[1].name, hello.name);
				assert.equal(now.disconnects.length, 1);
				assert.ok(took < slack(3000), `it took ${Math.round(took)} ms`);
				assert.deepEqual([now.attempts, now.errors], [1, []]);
			});
		});
});
