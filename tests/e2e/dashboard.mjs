/* SPDX-License-Identifier: MIT */
/*
 * Suite dashboard: the page of global.stats.http in headless Chromium, with real requests and
 * Engine.IO sessions behind it.  The browser may talk to nobody but Limpet, and may complain of nothing.
 *
 * E2E_SHOTS=DIR keeps screenshots there.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, start_browser } from './lib/chromium.mjs';
import { start_limpet } from './lib/limpet.mjs';
import { start_redis } from './lib/pair.mjs';
import { slack } from './lib/proxy.mjs';
import { free_port, sleep, temp_dir, wait_for } from './lib/util.mjs';

const USER = 'operator', PASSWORD = 'correct horse: battery';
const SHOTS = process.env.E2E_SHOTS;

/* A worker that gives out Engine.IO sessions and answers the rest; SICK of them with 5xx. */
async function start_worker(port)
{
	const sockets = new Set();
	let births = 0;
	const server = http.createServer((req, res) => {
		const url = new URL(req.url, 'http://x');
		req.resume();
		if (url.searchParams.has('EIO') && !url.searchParams.get('sid')) {
			const sid = `${port}x${births++}`.padEnd(20, 'A');
			res.end(`0{"sid":"${sid}","upgrades":[],"pingInterval":250000,"pingTimeout":200000,"maxPayload":1000000}`);
			return;
		}
		res.statusCode = Number(url.searchParams.get('status')) || 200;
		res.end('ok');
	});
	server.on('upgrade', (req, socket) => {
		socket.on('error', () => {});
		socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n');
		sockets.add(socket.once('close', () => sockets.delete(socket)));
	});
	server.keepAliveTimeout = 600000;
	await new Promise((done) => server.listen(port, '127.0.0.1', done));
	return { port, kill: () => new Promise((done) => { server.close(done); server.closeAllConnections(); sockets.forEach((socket) => socket.destroy()); }) };
}

async function start_fleet(shape)
{
	const fleet = { backends: {}, workers: new Map() };
	for (const [backend, hosts] of Object.entries(shape)) {
		fleet.backends[backend] = { health_check: { tcp: true, interval: '300ms', timeout: '300ms', fall: 1, rise: 1 }, hosts: {} };
		for (const [host, n] of Object.entries(hosts)) {
			const workers = [];
			for (let i = 0; i < n; i++) {
				const port = await free_port();
				const worker = await start_worker(port);
				worker.name = n === 1 ? host : `${host}/${3001 + i}`;
				fleet.workers.set(`${backend}/${worker.name}`, worker);
				workers.push(n === 1 ? port : { port, name: String(3001 + i) });
			}
			fleet.backends[backend].hosts[host] = n === 1 ? `127.0.0.1:${workers[0]}` : { address: '127.0.0.1', workers };
		}
	}
	fleet.stop = () => Promise.all([...fleet.workers.values()].map((worker) => worker.kill()));
	return fleet;
}

/* One request through Limpet. */
const ask = (agent, port, where) => new Promise((done) => {
	const req = http.get({ agent, port, host: '127.0.0.1', path: where }, (res) => { res.resume(); res.once('end', () => done(res.statusCode)); });
	req.once('error', () => done(0));
});

/* A WebSocket through Limpet, silent until the other side ends it. */
const upgrade = (port, where) => new Promise((done) => {
	const req = http.get({ port, host: '127.0.0.1', path: where, agent: false, headers: { Connection: 'Upgrade', Upgrade: 'websocket',
		'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' } });
	req.once('upgrade', (res, socket) => { socket.on('error', () => {}); done(socket); });
	req.once('response', (res) => { res.resume(); done(null); });
	req.once('error', () => done(null));
});

/* A page of the dashboard that keeps what the browser had to say. */
async function open_page(browser, { port, credentials, viewport = { width: 1360, height: 900 }, scheme = 'light' })
{
	const page = await browser.newPage();
	const seen = { complaints: [], elsewhere: [] };
	page.on('console', (message) => ['error', 'warning'].includes(message.type()) && seen.complaints.push(message.text()));
	page.on('pageerror', (error) => seen.complaints.push(String(error)));
	page.on('request', (request) => {
		const url = new URL(request.url());
		if (url.protocol !== 'data:' && url.host !== `127.0.0.1:${port}`)
			seen.elsewhere.push(request.url());
	});
	await page.setViewportSize(viewport);
	await page.emulateMedia({ colorScheme: scheme });
	if (credentials)
		await page.setExtraHTTPHeaders({ Authorization: `Basic ${Buffer.from(credentials).toString('base64')}` });
	await page.goto(`http://127.0.0.1:${port}/`, { waitUntil: 'load' });
	await page.waitForSelector('body.ready', { timeout: slack(5000) }).catch((error) => { throw new Error(`${error.message}\n${seen.complaints.join('\n')}`); });
	page.seen = seen;
	return page;
}

function is_clean(page)
{
	assert.deepEqual(page.seen.complaints, [], 'the console');
	assert.deepEqual(page.seen.elsewhere, [], 'requests to others');
}

async function shoot(page, name)
{
	if (SHOTS)
		await page.screenshot({ path: path.join(SHOTS, name), fullPage: false });
}

const tile = (page, name) => page.locator(`.tile[aria-label^="${name}:"]`);
const label = (page, name) => tile(page, name).getAttribute('aria-label');
const has_state = (page, name, state, limit = 5000) => wait_for(async () => (await label(page, name))?.startsWith(`${name}: ${state},`),
	() => `${name} is shown as ${state}`, slack(limit), 50);

describe('the dashboard in headless Chromium', { skip: !CHROMIUM && 'no chromium' }, () => {
	let browser, fleet, limpet, port, http_port;
	const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
	const restarts = [];

	before(async () => {
		if (SHOTS)
			fs.mkdirSync(SHOTS, { recursive: true });
		fleet = await start_fleet({ chat: { 'app-1': 4, 'app-2': 4, 'app-3': 4 }, api: { 'api-1': 2, 'api-2': 2 }, static: { 'files-1': 1 } });
		[port, http_port] = [await free_port(), await free_port()];
		fleet.backends.chat.stick = 'engineio';
		limpet = await start_limpet({
			global: { node: 'lb-1', stats: { http: { address: `127.0.0.1:${http_port}`, username: USER, password: PASSWORD } } },
			frontends: { web: { bind: `127.0.0.1:${port}`, routes: [{ match: { path_prefix: '/api' }, backend: 'api' },
				{ match: { path_prefix: '/files' }, backend: 'static' }, { match: { path_prefix: '/private' }, respond: { status: 403 } }], backend: 'chat' } },
			backends: fleet.backends,
		}, { ports: [port, http_port] });
		browser = await start_browser();
	});
	after(async () => {
		await browser?.close();
		agent.destroy();
		const complaints = limpet ? await limpet.stop() : [];
		await fleet?.stop();
		assert.deepEqual(complaints, []);
	});

	const page_of = (options = {}) => open_page(browser, { port: http_port, credentials: `${USER}:${PASSWORD}`, ...options });
	const server_row = async (name) => {
		const lines = (await limpet.stats('show stat')).split('\n');
		const keys = lines[0].slice(2).split(',');
		const row = lines.map((line) => line.split(',')).find((cells) => `${cells[0]}/${cells[1]}` === name);
		return Object.fromEntries(keys.map((key, i) => [key, row?.[i]]));
	};

	test('without the password there is no page, no number and no event', async () => {
		for (const where of ['/', '/api/v1/stat', '/api/v1/events', '/api/v1/info', '/nowhere']) {
			const answer = await fetch(`http://127.0.0.1:${http_port}${where}`);
			assert.equal(answer.status, 401, where);
			await answer.arrayBuffer();
		}
		for (const where of ['/healthz', '/metrics'])
			assert.equal((await fetch(`http://127.0.0.1:${http_port}${where}`)).status, 200, where);
	});

	test('every frontend, backend, host and worker is on the page, and all are up', async () => {
		const page = await page_of();
		assert.equal(await page.locator('.tile').count(), 17);
		assert.equal(await page.locator('.backend').count(), 3);
		assert.equal(await page.locator('.frontend').count(), 1);
		assert.equal(await page.locator('.host').count(), 6);
		for (const name of ['app-1/3001', 'app-3/3004', 'api-2/3002', 'files-1'])
			await has_state(page, name, 'Up');
		assert.equal(await page.locator('#node').textContent(), 'lb-1');
		assert.equal(await page.locator('#live-text').textContent(), 'Live');
		is_clean(page);
		await page.close();
	});

	test('traffic and sessions appear while one looks, without a new page', async () => {
		const page = await page_of();
		for (let i = 0; i < 24; i++)
			assert.equal(await ask(agent, port, '/socket.io/?EIO=4&transport=polling'), 200);
		const sessions = page.locator('#kpis .kpi:nth-child(3) .value');
		await wait_for(async () => (await sessions.textContent()) === '24', 'the page shows 24 sessions', slack(4000), 50)
			.catch(async (error) => { throw new Error(`${error.message}, but ${await sessions.textContent()}`); });
		const before_it = Number((await server_row('api/api-1/3001')).stot);
		await Promise.all(Array.from({ length: 40 }, () => ask(agent, port, '/api/x')));
		await wait_for(async () => /, [1-9]\d* requests per second/.test(await label(page, 'api-1/3001') || ''), 'a rate on a tile', slack(4000), 20);
		assert.ok(Number((await server_row('api/api-1/3001')).stot) > before_it);
		const legend = page.locator('.frontend .legend.s2 b');
		await wait_for(async () => Number(await legend.textContent()) >= 64, 'answers 2xx are counted', slack(4000), 50);
		is_clean(page);
		await page.close();
	});

	test('a worker that dies is seen at once, its host and backend as well, and so is its return', async () => {
		const page = await page_of();
		const worker = fleet.workers.get('chat/app-2/3003');
		await worker.kill();
		await has_state(page, 'app-2/3003', 'Down');
		const host = page.locator('.host', { has: page.locator('.host-name', { hasText: 'app-2' }) });
		await wait_for(async () => (await host.locator('.badge').textContent()) === '3/4 up', 'its host says so', slack(3000), 50);
		assert.equal(await page.title(), '(1 down) lb-1 – Limpet');
		await page.locator('.chip.down').click();
		assert.equal(await page.locator('.tile:visible').count(), 1);
		await page.locator('.chip.down').click();
		const again = await start_worker(worker.port);
		worker.kill = again.kill;
		await has_state(page, 'app-2/3003', 'Up');
		is_clean(page);
		await page.close();
	});

	test('a worker is drained by click, after a question, and the stats socket agrees', async () => {
		const page = await page_of();
		await tile(page, 'app-1/3002').click();
		await page.locator('#sheet button[data-action="drain"]').click();
		await page.locator('#confirm').getByRole('button', { name: 'Cancel' }).click();
		await page.locator('#confirm').waitFor({ state: 'hidden' });
		assert.match((await server_row('chat/app-1/3002')).status, /^UP/, 'nothing happens without a yes');
		await page.locator('#sheet button[data-action="drain"]').click();
		await page.locator('#confirm-yes').click();
		await has_state(page, 'app-1/3002', 'Draining');
		assert.equal((await server_row('chat/app-1/3002')).status, 'DRAIN');
		await page.locator('#sheet button[data-action="ready"]').click();
		await page.locator('#confirm-yes').click();
		await has_state(page, 'app-1/3002', 'Up');
		assert.equal(limpet.log.match(/dashboard: operator from 127\.0\.0\.1 set server chat\/app-1\/3002 to drain/g).length, 1, 'the first time was cancelled');
		is_clean(page);
		await page.close();
	});

	test('a whole host is taken out and put back; the last one comes with a warning', async () => {
		const page = await page_of();
		await page.locator('.host-name', { hasText: 'api-1' }).click();
		await page.locator('#sheet button[data-action="maint"]').click();
		assert.equal(await page.locator('#confirm .warning').count(), 0);
		await page.locator('#confirm-yes').click();
		await has_state(page, 'api-1/3001', 'Maintenance');
		await has_state(page, 'api-1/3002', 'Maintenance');
		await page.locator('#sheet .close').click();
		await page.locator('.host-name', { hasText: 'api-2' }).click();
		await page.locator('#sheet button[data-action="drain"]').click();
		assert.equal(await page.locator('#confirm .warning').textContent(), 'No other worker of api takes new sessions.');
		await page.locator('#confirm').getByRole('button', { name: 'Cancel' }).click();
		await page.locator('#sheet .close').click();
		await page.locator('.host-name', { hasText: 'api-1' }).click();
		await page.locator('#sheet button[data-action="ready"]').click();
		await page.locator('#confirm-yes').click();
		await has_state(page, 'api-1/3001', 'Up');
		is_clean(page);
		await page.close();
	});

	test('the search leaves what it names, and arrow keys walk over the workers', async () => {
		const page = await page_of();
		await page.keyboard.press('/');
		await page.keyboard.type('app-3');
		assert.equal(await page.locator('.tile:visible').count(), 4);
		await page.keyboard.press('Tab');
		await page.locator('.tile:visible').first().focus();
		await page.keyboard.press('ArrowRight');
		assert.match(await page.evaluate('document.activeElement.getAttribute("aria-label")'), /^app-3\/3002:/);
		await page.keyboard.press('Enter');
		assert.equal(await page.locator('#sheet-title').textContent(), 'app-3/3002');
		await page.keyboard.press('Escape');
		await page.locator('#search').fill('nothing like that');
		assert.ok(await page.locator('#empty').isVisible());
		is_clean(page);
		await page.close();
	});

	test('another page cannot act with the credentials that the browser holds', async () => {
		const evil = http.createServer((req, res) => { res.setHeader('Content-Type', 'text/html'); res.end('<!doctype html><title>evil</title>'); });
		await new Promise((done) => evil.listen(0, '127.0.0.1', done));
		const page = await browser.newPage();
		await page.goto(`http://127.0.0.1:${evil.address().port}/`);
		await page.setExtraHTTPHeaders({ Authorization: `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}` });
		const target = `http://127.0.0.1:${http_port}/api/v1/servers/chat/app-1/3001`;
		const outcomes = await page.evaluate(async ([url]) => Promise.all([
			fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include', body: '{"state":"maint"}' }).then((r) => r.type, () => 'refused'),
			fetch(url, { method: 'POST', credentials: 'include', headers: { 'Content-Type': 'application/json', 'X-Limpet-Action': '1' }, body: '{"state":"maint"}' }).then((r) => r.status, () => 'refused'),
		]), [target]);
		assert.equal(outcomes[1], 'refused');
		assert.match((await server_row('chat/app-1/3001')).status, /^UP/);
		await page.close();
		evil.close();
		evil.closeAllConnections();
	});

	test('a node that hangs is told to be stale, and found again when it goes on', async () => {
		const page = await page_of();
		limpet.child.kill('SIGSTOP');
		try {
			await wait_for(async () => (await page.locator('#live-text').textContent()).startsWith('Stale'), 'the page says that it is stale', slack(8000), 50);
			assert.ok(await page.locator('#banner').isVisible());
		} finally {
			limpet.child.kill('SIGCONT');
		}
		await wait_for(async () => (await page.locator('#live-text').textContent()) === 'Live', 'live again', slack(8000), 50);
		assert.ok(await page.locator('#banner').isHidden());
		is_clean(page);
		await page.close();
	});

	test('a page whose node went away goes on when it is back', async () => {
		const page = await page_of();
		const text = fs.readFileSync(limpet.file, 'utf8');
		const config = JSON.parse(text);
		delete config.global.stats.http;
		fs.writeFileSync(limpet.file, JSON.stringify(config));
		await limpet.stats('reload');
		await wait_for(async () => (await page.locator('#live-text').textContent()).startsWith('Stale'), 'the page has no news any more', slack(8000), 50);
		fs.writeFileSync(limpet.file, text);
		await limpet.stats('reload');
		await wait_for(async () => (await page.locator('#live-text').textContent()) === 'Live', 'live again', slack(12000), 50);
		assert.deepEqual(page.seen.complaints.filter((line) => !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED/.test(line)), []);
		assert.deepEqual(page.seen.elsewhere, []);
		await page.close();
	});

	test('a worker that leaves the configuration leaves the page, also an open sheet', async () => {
		const page = await page_of();
		const text = fs.readFileSync(limpet.file, 'utf8');
		const config = JSON.parse(text);
		config.backends.chat.hosts['app-3'].workers.pop();
		config.backends['new-one'] = { hosts: { solo: `127.0.0.1:${await free_port()}` } };
		await tile(page, 'app-3/3004').click();
		fs.writeFileSync(limpet.file, JSON.stringify(config));
		await limpet.stats('reload');
		await wait_for(async () => (await tile(page, 'solo').count()) === 1, 'the new one', slack(4000), 50);
		assert.equal(await tile(page, 'app-3/3004').count(), 0);
		assert.equal(await page.locator('.tile').count(), 17);
		assert.equal(await page.locator('#sheet .sheet-state .muted').textContent(), 'It is not there any more.');
		assert.ok(await page.locator('#sheet button[data-action="drain"]').isDisabled());
		fs.writeFileSync(limpet.file, text);
		await limpet.stats('reload');
		await wait_for(async () => (await tile(page, 'app-3/3004').count()) === 1, 'it is back', slack(4000), 50);
		is_clean(page);
		await page.close();
	});

	test('on a phone nothing is wider than the screen', async () => {
		const page = await page_of({ viewport: { width: 360, height: 780 } });
		assert.ok(await page.evaluate('document.documentElement.scrollWidth <= 360'), 'no sideways scrolling');
		await tile(page, 'app-1/3001').click();
		assert.ok(await page.locator('#sheet').isVisible());
		assert.ok(await page.evaluate('document.documentElement.scrollWidth <= 360'));
		is_clean(page);
		await page.close();
	});

	test('pictures', { skip: !SHOTS && 'E2E_SHOTS is not set' }, async () => {
		let is_over = false;
		const traffic = (async () => {
			for (let n = 0; !is_over; n++) {
				const burst = Math.round(14 + 10 * Math.sin(n / 9) + 6 * Math.random());
				await Promise.all(Array.from({ length: burst }, (_, i) => ask(agent, port, i % 9 === 0 ? '/api/x' : i % 31 === 1 ? '/files/x?status=404' : i % 6 === 0 ?
					`/socket.io/?EIO=4&transport=polling` : n % 40 === 7 && i === 3 ? '/api/x?status=500' : i % 13 === 5 ? '/x?status=304' : '/x')));
				await sleep(90);
			}
		})();
		await fleet.workers.get('chat/app-2/3003').kill();
		await limpet.stats('set server api/api-2/3002 state maint');
		const light = await page_of();
		const dark = await page_of({ scheme: 'dark' });
		const phone = await page_of({ viewport: { width: 360, height: 1160 }, scheme: 'dark' });
		const sockets = await Promise.all(Array.from({ length: 60 }, () => upgrade(port, '/socket.io/?EIO=4&transport=websocket')));
		await sleep(Number(process.env.E2E_SHOTS_SECONDS || 60) * 1000);
		await limpet.stats('set server chat/app-3/3001 state drain');
		await sleep(8000);
		await shoot(light, 'dashboard-light.png');
		await shoot(phone, 'dashboard-phone.png');
		await phone.mouse.wheel(0, 900);
		await sleep(1200);
		await shoot(phone, 'phone-2.png');
		await tile(phone, 'app-3/3001').click();
		await sleep(1500);
		await shoot(phone, 'phone-3.png');
		await tile(dark, 'app-1/3003').click();
		await sleep(2500);
		await shoot(dark, 'dashboard-dark.png');
		await dark.locator('#sheet button[data-action="drain"]').click();
		await sleep(300);
		await shoot(dark, 'confirm.png');
		is_over = true;
		sockets.forEach((socket) => socket?.destroy());
		await traffic;
		for (const page of [light, dark, phone]) {
			is_clean(page);
			await page.close();
		}
	});
});

describe('the panel of the mirror', { skip: !CHROMIUM && 'no chromium' }, () => {
	let browser, fleet, redis;
	const nodes = {};

	before(async () => {
		fleet = await start_fleet({ chat: { 'app-1': 2 } });
		fleet.backends.chat.stick = 'engineio';
		redis = await start_redis();
		for (const [node, secret] of [['lb-1', 'the secret of both'], ['lb-2', 'the secret of both'], ['lb-3', 'another secret']]) {
			const [port, http_port] = [await free_port(), await free_port()];
			const limpet = await start_limpet({
				global: { node, mirror: { redis: redis.url, secret },
					stats: { http: { address: `127.0.0.1:${http_port}`, username: USER, password: PASSWORD } } },
				frontends: { web: { bind: `127.0.0.1:${port}`, backend: 'chat' } },
				backends: fleet.backends,
			}, { ports: [port, http_port], name: node });
			nodes[node] = { limpet, port, http_port };
		}
		browser = await start_browser();
	});
	after(async () => {
		await browser?.close();
		const complaints = [];
		for (const { limpet } of Object.values(nodes))
			complaints.push(...await limpet.stop());
		await redis?.stop();
		await fleet?.stop();
		assert.deepEqual(complaints, []);
	});

	const page_of = (node, options = {}) => open_page(browser, { port: nodes[node].http_port, credentials: `${USER}:${PASSWORD}`, ...options });
	const says = (page, where, text, limit = 15000) => wait_for(async () => (await page.locator(where).textContent()) === text, `${where} says ${text}`, slack(limit), 50)
		.catch(async (error) => { throw new Error(`${error.message}, but ${await page.locator(where).textContent()}`); });
	const peer = (page, name) => page.locator('#mirror-peers .peer', { hasText: name });

	test('it shows the state and the other nodes; another secret is in red', async () => {
		const page = await page_of('lb-1');
		await says(page, '#mirror-state', 'Up');
		await wait_for(async () => (await peer(page, 'lb-2').locator('.badge').textContent()) === 'There', 'lb-2 is there', slack(10000), 50);
		await wait_for(async () => (await peer(page, 'lb-3').locator('.badge').textContent()) === 'Another secret', 'lb-3 has another secret', slack(10000), 50);
		assert.equal(await page.locator('#mirror-problems .problem').textContent(), 'node lb-3 has another global.mirror.secret: sessions are not shared');
		assert.equal(await page.locator('#mirror-problems .problem').evaluate((node) => getComputedStyle(node).color),
			await peer(page, 'lb-3').locator('.badge.down').evaluate((node) => getComputedStyle(node).color));
		await page.setViewportSize({ width: 360, height: 780 });
		assert.ok(await page.evaluate('document.documentElement.scrollWidth <= 360'), 'no sideways scrolling on a phone');
		await shoot(page, 'mirror-phone.png');
		is_clean(page);
		await page.close();
	});

	test('it is paused by click, after a question, goes on, and compares', async () => {
		const page = await page_of('lb-2');
		await says(page, '#mirror-state', 'Up');
		assert.ok(await page.locator('[data-mirror="resume"]').isHidden());
		await page.locator('[data-mirror="pause"]').click();
		await page.locator('#confirm').getByRole('button', { name: 'Cancel' }).click();
		await page.locator('#confirm').waitFor({ state: 'hidden' });
		assert.match(await nodes['lb-2'].limpet.stats('show mirror'), /^State: up$/m, 'nothing happens without a yes');
		await page.locator('[data-mirror="pause"]').click();
		await page.locator('#confirm-yes').click();
		await says(page, '#mirror-state', 'Paused');
		assert.match(await nodes['lb-2'].limpet.stats('show mirror'), /^State: paused$/m);
		assert.ok(await page.locator('[data-mirror="resync"]').isDisabled());
		await page.locator('[data-mirror="resume"]').click();
		await page.locator('#confirm-yes').click();
		await says(page, '#mirror-state', 'Up');
		const resyncs = async () => Number(/^Resyncs: (\d+)$/m.exec(await nodes['lb-2'].limpet.stats('show mirror'))[1]);
		const before_it = await resyncs();
		await page.locator('[data-mirror="resync"]').click();
		await page.locator('#confirm-yes').click();
		await wait_for(async () => await resyncs() === before_it + 1, 'everything was compared once more', slack(10000), 50);
		assert.equal(nodes['lb-2'].limpet.log.match(/dashboard: operator from 127\.0\.0\.1: mirror pause/g).length, 1, 'the first time was cancelled');
		is_clean(page);
		await page.close();
	});

	test('Redis away is told with the reason, and so is its return', async () => {
		const page = await page_of('lb-1');
		await says(page, '#mirror-state', 'Up');
		redis.child.kill('SIGSTOP');
		try {
			await says(page, '#mirror-state', 'Redis is away');
			assert.match(await page.locator('#mirror-problems').textContent(), /Redis is away: ./);
			assert.equal(await peer(page, 'lb-2').locator('.badge').textContent(), 'Unknown');
			await shoot(page, 'mirror-away.png');
		} finally {
			redis.child.kill('SIGCONT');
		}
		await says(page, '#mirror-state', 'Up');
		await wait_for(async () => /^Last loss: ./.test(await page.locator('#mirror-loss').textContent()), 'the last loss and why', slack(5000), 50);
		is_clean(page);
		await page.close();
	});
});

describe('the panel of certificates', { skip: !CHROMIUM && 'no chromium' }, () => {
	let browser, fleet, limpet, http_port;
	const dir = temp_dir('certificates');
	const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
	/* Signs itself; DAYS may be none, which is a certificate that has run out. */
	const make = (name, days, file = name) => {
		const [key, pem] = [path.join(dir, `${file}.tmp`), path.join(dir, `${file}.pem`)];
		const made = openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key,
			'-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name},DNS:www.${name}`, '-days', String(days));
		fs.writeFileSync(pem, Buffer.concat([made, fs.readFileSync(key)]), { mode: 0o600 });
		fs.unlinkSync(key);
		return pem;
	};

	before(async () => {
		const files = [['fresh.test', 90], ['month.test', 20], ['week.test', 3], ['day.test', 1]].map(([name, days]) => make(name, days));
		const port = await free_port();
		http_port = await free_port();
		fleet = await start_fleet({ chat: { 'app-1': 1 } });
		limpet = await start_limpet({
			global: { stats: { http: { address: `127.0.0.1:${http_port}`, username: USER, password: PASSWORD } } },
			frontends: { web: { bind: { address: `127.0.0.1:${port}`, tls: { certificates: files } }, backend: 'chat' } },
			backends: fleet.backends,
		}, { ports: [port, http_port] });
		browser = await start_browser();
	});
	after(async () => {
		await browser?.close();
		const complaints = await limpet?.stop();
		await fleet?.stop();
		assert.deepEqual(complaints, []);
	});

	test('it shows what ends first at the top, in the colour of its age, and what is replaced at once', async () => {
		const page = await open_page(browser, { port: http_port, credentials: `${USER}:${PASSWORD}` });
		const rows = page.locator('#certificates-list .certificate');
		const all = (what) => rows.locator(what).allTextContents();
		await wait_for(async () => await rows.count() === 4, 'four certificates', slack(10000), 50);
		assert.deepEqual(await all('b'), ['day.test', 'week.test', 'month.test', 'fresh.test']);
		const classes = await rows.locator('.badge').evaluateAll((nodes) => nodes.map((node) => node.className));
		assert.deepEqual(classes.slice(1), ['badge sick', 'badge drain', 'badge up']);
		assert.match((await all('.badge'))[1], /^[23] days$/);
		assert.match((await all('.muted'))[0], /^ECDSA P-256 · 2 names · .*\/day\.test\.pem$/);
		fs.renameSync(make('day.test', 60, 'renewed'), path.join(dir, 'day.test.pem'));
		await wait_for(async () => (await all('b')).join() === 'week.test,month.test,day.test,fresh.test', 'the renewed one moves down', slack(15000), 50);
		await page.setViewportSize({ width: 360, height: 780 });
		assert.ok(await page.evaluate('document.documentElement.scrollWidth <= 360'), 'no sideways scrolling on a phone');
		await shoot(page, 'certificates-phone.png');
		is_clean(page);
		await page.close();
	});
});
