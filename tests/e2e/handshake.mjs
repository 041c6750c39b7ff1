/* SPDX-License-Identifier: MIT */
/*
 * Suite C, second half: the one answer from which everything is learned.  Handshakes in every form
 * that servers use and in every number of pieces; each body must reach the client byte for byte, and
 * each later request must reach the worker that sent it.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import zlib from 'node:zlib';
import { after, before, describe, test } from 'node:test';
import { chunks, dribble, fake_server } from './lib/fake.mjs';
import { start_farm } from './lib/farm.mjs';
import { fresh_addresses, request, websocket } from './lib/http.mjs';
import { start_proxy } from './lib/proxy.mjs';
import { PROXY, sleep, wait_for } from './lib/util.mjs';

const open = (sid, more = {}) => JSON.stringify({ sid, upgrades: ['websocket'], pingInterval: 25000, pingTimeout: 20000, maxPayload: 1000000, ...more });
const head = (fields, type = 'text/plain; charset=UTF-8') => `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\n${fields}\r\n\r\n`;
const sized = (body, type) => head(`Content-Length: ${Buffer.byteLength(body)}`, type);

/* {body(sid) -> what the client must get, parts(sid, body, req) -> how it is sent} */
const FORMS = {
	'head and body in one segment': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [sized(body) + body] },
	'the body comes later than the head': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [sized(body), 120, body] },
	'everything in segments of one byte': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => dribble(sized(body) + body, { size: () => 1 }) },
	'the body in segments of one to three bytes': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [sized(body), ...dribble(body)] },
	'the body in chunks of one to three bytes': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [head('Transfer-Encoding: chunked'), ...chunks(body)] },
	'chunks of one to three bytes, each in its own segments': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [head('Transfer-Encoding: chunked'), ...dribble(Buffer.concat(chunks(body)))] },
	'one chunk with an extension and trailers': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [head('Transfer-Encoding: chunked'), `${body.length.toString(16)};a=b\r\n`, body, '\r\n0\r\nX-Trail: 1\r\n\r\n'] },
	'a body that ends with the connection': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [head('Connection: close'), ...dribble(body, { size: () => 20 }), null] },
	'an answer of HTTP/1.0': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [`HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n${body}`, null] },
	'after an informational answer': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => ['HTTP/1.1 103 Early Hints\r\nLink: </x.js>\r\n\r\n', 20, sized(body), body] },
	'protocol 3 with lengths and a second packet': { query: 'EIO=3', body: (sid) => `${open(sid).length + 1}:0${open(sid)}2:40`, parts: (sid, body) => [sized(body), ...dribble(body, { size: () => 7 })] },
	'protocol 3 in binary form': {
		query: 'EIO=3', type: 'application/octet-stream',
		body: (sid) => { const text = `0${open(sid)}`; return Buffer.concat([Buffer.from([0, ...String(text.length).split('').map(Number), 255]), Buffer.from(text), Buffer.from([0, 2, 255]), Buffer.from('40')]); },
		parts: (sid, body) => [sized(body, 'application/octet-stream'), ...dribble(body, { size: () => 2 })],
	},
	'JSONP, where the quotes are escaped': {
		query: 'EIO=3&j=0', body: (sid) => `___eio[0](${JSON.stringify(`${open(sid).length + 1}:0${open(sid)}2:40`)});`,
		parts: (sid, body) => [sized(body, 'text/javascript; charset=UTF-8'), ...dribble(body, { size: () => 5 })],
	},
	'JSONP in one segment': {
		query: 'EIO=3&j=12', body: (sid) => `/**/___eio[12](${JSON.stringify(`0${open(sid)}`)});`,
		parts: (sid, body) => [sized(body, 'application/javascript') + body],
	},
	'sid after three thousand other bytes': { body: (sid) => `0${JSON.stringify({ upgrades: ['websocket'], padding: 'p'.repeat(3000), pingInterval: 25000, pingTimeout: 20000, sid })}`, parts: (sid, body) => [sized(body), ...dribble(body, { size: () => 500 })] },
	'an odd content type': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [sized(body, 'application/x-odd') + body] },
	'spaces and lower-case in the head': { body: (sid) => `0${open(sid)}`, parts: (sid, body) => [`HTTP/1.1 200 fine\r\ncontent-length:   ${body.length}  \r\ncontent-type:text/plain\r\n\r\n${body}`] },
	'compressed if anybody asks for it': {
		ask: { 'Accept-Encoding': 'gzip, deflate, br' }, body: (sid) => `0${open(sid)}`,
		parts: (sid, body, req) => /gzip/.test(req.headers['accept-encoding'] || '')
			? [head('Content-Encoding: gzip\r\nTransfer-Encoding: chunked'), ...chunks(zlib.gzipSync(body), { size: () => 40 })] : [sized(body) + body],
		decode: true,
	},
	'a long body after the open packet': { body: (sid) => `0${open(sid)}\x1e4${'m'.repeat(200000)}`, parts: (sid, body) => [sized(body), body] },
};
const SIDS = {
	'20 characters that end alike on every worker': (i) => { let n = 0; return () => `${i}bcdefghijklmnop${String(n++).padStart(4, 'A')}`; },
	'one byte': (i) => { let n = 0; return () => String.fromCharCode(97 + i + 4 * (n++ % 6)); },
	'128 bytes': (i) => { let n = 0; return () => `${'x'.repeat(120)}${i}${String(n++).padStart(7, '0')}`; },
	'UTF-8 and signs': (i) => { let n = 0; return () => `é€ ${i}&=+%/?#~${n++}`; },
};

for (const [form_name, form] of Object.entries(FORMS))
	describe(`a handshake: ${form_name}`, { concurrency: false }, () => {
		let farm, proxy, scheme;
		before(async () => {
			const makers = {};
			farm = await start_farm({
				make: (i, name) => fake_server({
					name, make_sid: () => (makers[scheme] ??= {}, (makers[scheme][i] ??= SIDS[scheme](i))()),
					handshake: (sid, req) => form.parts(sid, form.body(sid), req),
				}),
			});
			proxy = await start_proxy(farm);
		});
		after(async () => {
			const complaints = await proxy.stop();
			await farm.stop();
			assert.deepEqual(complaints, []);
		});
		/* One-byte sids once are enough: there are few of them. */
		for (const one of form_name === 'head and body in one segment' ? Object.keys(SIDS) : [Object.keys(SIDS)[0]])
			test(`${form_name}; sids of ${one}`, async () => {
				scheme = one;
				const phones = fresh_addresses();
				for (let n = 0; n < 6; n++) {
					const shake = await request({ port: proxy.port }, `/socket.io/?${form.query || 'EIO=4'}&transport=polling`, { ...phones.opts(), headers: form.ask });
					assert.equal(shake.status, 200, shake.text);
					const owner = farm.apps.find((app) => [...app.owned].some((sid) => Buffer.from(form.body(sid)).equals(form.decode && shake.headers['content-encoding'] === 'gzip' ? zlib.gunzipSync(shake.body) : shake.body)));
					assert.ok(owner, `the body is not what a worker sent: ${shake.text.slice(0, 200)}`);
					const sid = [...owner.owned].pop();
					const got = await Promise.all([0, 1, 2, 3, 4].map((k) => request({ port: proxy.port },
						`/socket.io/?EIO=4&transport=polling&sid=${encodeURIComponent(sid)}`, { ...phones.opts(), method: k % 2 ? 'POST' : 'GET', body: k % 2 ? '4x' : undefined })));
					assert.deepEqual(got.map((answer) => answer.headers['x-worker']), Array(5).fill(owner.seen.name));
				}
				assert.deepEqual(farm.foreign(), []);
			});
	});

describe('what a proxy may do to a handshake', () => {
	let farm, proxy;
	before(async () => {
		farm = await start_farm({
			make: (i, name) => { let n = 0; return fake_server({
				name, make_sid: () => `early-${i}-${n++}`,
				/* All but the last bytes, a pause, the rest. */
				handshake: (sid) => { const body = `0${open(sid)}`; const cut = body.indexOf(sid) + sid.length + 1; return [sized(body) + body.slice(0, cut), 400, body.slice(cut)]; },
			}); },
		});
		proxy = await start_proxy(farm);
	});
	after(async () => {
		const complaints = await proxy.stop();
		await farm.stop();
		assert.deepEqual(complaints, []);
	});

	test('the entry stands before the first byte that names the sid is released', async () => {
		for (let n = 0; n < 4; n++) {
			const socket = net.connect({ port: proxy.port, host: '127.0.0.1' });
			let got = '';
			socket.setEncoding('latin1').on('data', (part) => { got += part; });
			socket.write('GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n');
			const sid = await wait_for(() => /"sid":"([^"]+)"/.exec(got)?.[1], 'a sid', 3000, 1);
			const answers = await Promise.all([1, 2, 3, 4].map(() => request({ port: proxy.port }, `/socket.io/?EIO=4&transport=polling&sid=${sid}`)));
			const owner = `farm/w${Number(sid.split('-')[1]) + 1}`;
			assert.deepEqual(answers.map((answer) => answer.text), Array(4).fill(owner));
			socket.destroy();
		}
		assert.deepEqual(farm.foreign(), []);
	});

	test('Accept-Encoding is taken off handshakes, and off those alone', { skip: PROXY !== 'limpet' && 'the relay takes it off all requests without a sid' }, async () => {
		const ask = { 'Accept-Encoding': 'gzip, br' };
		const shake = await request({ port: proxy.port }, '/socket.io/?EIO=4&transport=polling', { headers: ask });
		const sid = /"sid":"([^"]+)"/.exec(shake.text)[1];
		const owner = farm.apps.find((app) => app.owned.has(sid));
		assert.equal(owner.seen.handshakes.at(-1).headers['accept-encoding'], undefined);
		await request({ port: proxy.port }, `/socket.io/?EIO=4&transport=polling&sid=${sid}`, { headers: ask });
		assert.equal(owner.seen.later.at(-1).headers['accept-encoding'], 'gzip, br');
	});

	test('of several sids in the query the last counts; an empty one after it makes a handshake', async () => {
		const sids = [];
		for (let n = 0; n < 4; n++)
			sids.push(/"sid":"([^"]+)"/.exec((await request({ port: proxy.port }, '/socket.io/?EIO=4&transport=polling&sid=')).text)[1]);
		for (const last of sids) {
			const others = sids.filter((sid) => sid !== last).map((sid) => `sid=${sid}`).join('&');
			const answer = await request({ port: proxy.port }, `/socket.io/?${others}&EIO=4&sid=${last}&transport=polling&SID=${sids[0]}&xsid=${sids[1]}`);
			assert.equal(answer.text, `farm/w${Number(last.split('-')[1]) + 1}`);
		}
		assert.deepEqual(farm.foreign(), []);
	});
});

describe('sessions are what least_sessions counts', () => {
	let farm, proxy;
	before(async () => {
		farm = await start_farm({ kind: 'engine4', path: '/socket.io/', options: { perMessageDeflate: { threshold: 0 } } });
		proxy = await start_proxy(farm);
	});
	after(async () => {
		const complaints = await proxy.stop();
		await farm.stop();
		assert.deepEqual(complaints, []);
	});
	const counts = () => farm.apps.map((app) => app.live());
	const even = (slack) => assert.ok(Math.max(...counts()) - Math.min(...counts()) <= slack, `sessions per worker: ${counts()}`);
	const shake = async () => {
		const answer = await request({ port: proxy.port }, '/socket.io/?EIO=4&transport=polling');
		return { sid: JSON.parse(answer.text.slice(1)).sid, worker: answer.headers['x-worker'] };
	};

	test('polling sessions between two polls, WebSockets, compressed ones, and ends', { skip: PROXY !== 'limpet' && 'the relay does not count' }, async () => {
		const polling = [], sockets = [];
		for (let n = 0; n < 20; n++)
			polling.push(await shake());
		even(1);
		for (let n = 0; n < 20; n++) {
			const ws = await websocket({ port: proxy.port }, '/socket.io/?EIO=4&transport=websocket', { perMessageDeflate: n % 2 ? { threshold: 0 } : false });
			await ws.next();
			sockets.push(ws);
		}
		even(1);
		/* All polling sessions of one worker end by a close packet: the next ones go there. */
		const emptied = polling[0].worker;
		const gone = polling.filter((one) => one.worker === emptied);
		for (const { sid } of gone)
			assert.equal((await request({ port: proxy.port }, `/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: 'POST', body: '1' })).text, 'ok');
		for (let n = 0; n < gone.length; n++)
			assert.equal((await shake()).worker, emptied);
		even(1);
		/* All WebSockets close: what is counted must follow. */
		for (const ws of sockets)
			ws.close();
		await Promise.all(sockets.map((ws) => ws.closed));
		await wait_for(() => counts().reduce((a, b) => a + b) === 20, 'workers rid of their WebSockets', 2000);
		await sleep(50);
		for (let n = 0; n < 20; n++)
			await shake();
		even(1);
	});
});
