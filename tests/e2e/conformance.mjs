/* SPDX-License-Identifier: MIT */
/*
 * Suite C: Engine.IO v3/v4 and Socket.IO v5 conformance.  Each case is run against one server directly,
 * and through the proxy with four workers behind it: once with a new source address for every
 * request, once with two keep-alive connections that all sessions share.  A case checks what the
 * protocol documents say and returns what it saw; all three must have seen the same.
 */
import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import { after, before, describe, test } from 'node:test';
import { decode, decode_binary3, decode_jsonp, encode, encode_binary3 } from './lib/eio.mjs';
import { start_farm } from './lib/farm.mjs';
import { fresh_addresses, keep_alive, plain, raw, request, websocket } from './lib/http.mjs';
import { slack, start_proxy } from './lib/proxy.mjs';
import { sleep, wait_for } from './lib/util.mjs';

/* Fields that belong to one hop or differ from run to run. */
const PRIVATE_FIELDS = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding', 'content-length', 'x-worker', 'x-request-id']);

class Talk {
	constructor(where, agent, { eio, path })
	{
		Object.assign(this, { where, agent, eio, path });
		this.sids = [];
		this.cleanup = [];
	}

	url(params = {}, { raw_query } = {})
	{
		const query = raw_query ?? Object.entries({ EIO: this.eio, transport: 'polling', ...params })
			.filter(([, value]) => value !== undefined).map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&');
		return `${this.path}?${query}`;
	}

	http(params, opts = {})
	{
		return request(this.where, this.url(params, opts), { ...this.agent.opts(), ...opts });
	}

	get(sid, opts) { return this.http({ sid, ...opts?.params }, opts); }
	post(sid, packets, opts) { return this.http({ sid, ...opts?.params }, { method: 'POST', headers: { 'Content-Type': 'text/plain;charset=UTF-8' }, body: Array.isArray(packets) ? encode(this.eio, packets) : packets, ...opts }); }

	async ws(params = {}, opts = {})
	{
		const { localAddress } = this.agent.opts();
		const ws = await websocket(this.where, this.url({ transport: 'websocket', ...params }), { localAddress, ...opts });
		this.cleanup.push(() => ws.terminate());
		return ws;
	}

	/* A polling handshake; gives {sid, open, answer}. */
	async open(opts = {})
	{
		const answer = await this.http(opts.params || {}, opts);
		assert.equal(answer.status, 200, answer.text);
		const packets = decode(this.eio, answer.text);
		assert.equal(packets[0][0], '0', 'the first packet is an open packet');
		const open = JSON.parse(packets[0].slice(1));
		this.sids.push(open.sid);
		return { sid: open.sid, open, packets, answer };
	}

	async open_ws(opts = {})
	{
		const ws = await this.ws(opts.params, opts);
		const first = await ws.next();
		assert.equal(first[0], '0');
		const open = JSON.parse(first.slice(1));
		this.sids.push(open.sid);
		return { ws, sid: open.sid, open };
	}

	async poll(sid, opts)
	{
		const answer = await this.get(sid, opts);
		return answer.status === 200 ? decode(this.eio, answer.text) : [`status ${answer.status}`, answer.text];
	}

	/* Polls until COUNT packets have come, leaving heartbeats out unless asked. */
	async collect(sid, count, { heartbeats = false } = {})
	{
		const got = [];
		while (got.length < count) {
			const packets = await this.poll(sid);
			for (const packet of packets) {
				assert.ok(!packet.startsWith('status'), packets.join(' '));
				if (heartbeats || (packet !== '2' && packet !== '3'))
					got.push(packet);
				if (packet === '2' && this.eio === 4)
					await this.post(sid, ['3']);
			}
		}
		return got;
	}

	async is_gone(sid)
	{
		const answer = await this.get(sid);
		assert.equal(answer.status, 400);
		assert.equal(answer.text, '{"code":1,"message":"Session ID unknown"}');
		return 'gone';
	}

	/* What two runs may be compared by. */
	face(answer)
	{
		const headers = Object.fromEntries(Object.entries(answer.headers).filter(([name]) => !PRIVATE_FIELDS.has(name)));
		return JSON.parse(this.blind(JSON.stringify({ status: answer.status, headers, text: answer.text })));
	}

	blind(text)
	{
		for (const sid of this.sids)
			text = sid.length < 6 ? text.replaceAll(`"sid\\":\\"${sid}\\"`, '"sid\\":\\"<sid>\\"')
				: text.replaceAll(sid, '<sid>').replaceAll(encodeURIComponent(sid), '<sid>');
		return text;
	}

	done()
	{
		for (const end of this.cleanup)
			end();
	}
}

/* Outcome of something that may be refused or closed, for comparison. */
const outcome = (promise) => promise.then(() => 'opened', (error) => error.status ? { status: error.status, text: error.text, type: error.headers['content-type'] } : String(error.message));

/* ---- Engine.IO, both protocols -------------------------------------------------------- */

const HANDSHAKE = {
	'a polling handshake gives sid, upgrades, pingInterval, pingTimeout': async (t) => {
		const { open, answer } = await t.open();
		assert.match(answer.headers['content-type'], /^text\/plain/);
		assert.equal(typeof open.sid, 'string');
		assert.ok(open.sid.length > 0);
		assert.deepEqual(open.upgrades, ['websocket']);
		assert.equal(open.pingInterval, 25000);
		assert.equal(open.pingTimeout, 20000);
		if (t.eio === 4)
			assert.equal(open.maxPayload, 1000000);
		return { fields: Object.keys(open), face: t.face(answer) };
	},
	'an empty sid is a handshake': async (t) => {
		const { open } = await t.open({ params: { sid: '' } });
		return Object.keys(open);
	},
	'parameters may come in any order, with others between them': async (t) => {
		const { sid } = await t.open({ raw_query: `t=abc&transport=polling&xsid=nobody&SID=nobody&foo=%26sid%3Dnobody&EIO=${t.eio}` });
		const posted = await t.http({}, { raw_query: `sid=${encodeURIComponent(sid)}&t=N1&xsid=nobody&transport=polling&EIO=${t.eio}`, method: 'POST', body: encode(t.eio, ['4one']) });
		assert.equal(posted.text, 'ok');
		const polled = await t.http({}, { raw_query: `EIO=${t.eio}&SID=nobody&sid=${encodeURIComponent(sid)}&transport=polling&t=x;sid=nobody` });
		assert.deepEqual(decode(t.eio, polled.text), ['4one']);
		return [t.face(posted), t.face(polled)];
	},
	'the key and the value of sid may be percent-encoded': async (t) => {
		const { sid } = await t.open();
		const every = [...Buffer.from(sid)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
		const posted = await t.http({}, { raw_query: `EIO=${t.eio}&transport=polling&%73id=${every}`, method: 'POST', body: encode(t.eio, ['4two']) });
		assert.equal(posted.text, 'ok');
		const polled = await t.http({}, { raw_query: `EIO=${t.eio}&transport=polling&s%69d=${every.toUpperCase().replaceAll('%', '%')}` });
		assert.deepEqual(decode(t.eio, polled.text), ['4two']);
	},
	'an unknown transport is refused': async (t) => {
		const answer = await t.http({ transport: 'pigeon' });
		assert.equal(answer.status, 400);
		assert.equal(answer.text, '{"code":0,"message":"Transport unknown"}');
		return t.face(answer);
	},
	'a missing transport is refused': async (t) => {
		const answer = await t.http({ transport: undefined });
		assert.equal(answer.status, 400);
		return t.face(answer);
	},
	'an unsupported protocol version is answered as the server does': async (t) => {
		const none = await t.http({ EIO: undefined }), odd = await t.http({ EIO: 'abc' });
		if (t.eio === 4) {
			assert.equal(none.status, 400);
			assert.equal(none.text, '{"code":5,"message":"Unsupported protocol version"}');
		}
		const shape = (answer) => [answer.status, answer.text.replace(/"sid":"[^"]+"/, '"sid":"<sid>"')];
		return [shape(none), shape(odd)];
	},
	'a handshake with another method than GET is refused': async (t) => {
		const seen = [];
		for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
			const answer = await t.http({}, { method, body: method === 'DELETE' ? undefined : 'x' });
			assert.equal(answer.status, 400);
			assert.equal(answer.text, '{"code":2,"message":"Bad handshake method"}');
			seen.push(t.face(answer));
		}
		return seen;
	},
	'an unknown sid is told so, on GET and on POST': async (t) => {
		const seen = [];
		for (const opts of [{}, { method: 'POST', body: encode(t.eio, ['4x']) }, { headers: { Origin: 'http://page.example' } }]) {
			const answer = await t.http({ sid: 'nobody-has-this' }, opts);
			assert.equal(answer.status, 400);
			assert.equal(answer.text, '{"code":1,"message":"Session ID unknown"}');
			assert.match(answer.headers['content-type'], /^application\/json/);
			seen.push(t.face(answer));
		}
		return seen;
	},
	'CORS: the preflight of a session is answered by its worker': async (t) => {
		const { sid } = await t.open({ headers: { Origin: 'http://page.example' } });
		const answer = await t.http({ sid }, {
			method: 'OPTIONS', headers: { Origin: 'http://page.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'x-custom' },
		});
		const posted = await t.post(sid, ['4after'], { headers: { Origin: 'http://page.example', 'x-custom': '1', 'Content-Type': 'text/plain' } });
		assert.equal(posted.text, 'ok');
		assert.equal(posted.headers['access-control-allow-origin'], 'http://page.example');
		return [t.face(answer), t.face(posted)];
	},
	'a HEAD request is answered without a body': async (t) => {
		const answer = await t.http({}, { method: 'HEAD' });
		assert.equal(answer.text, '');
		return t.face(answer);
	},
};

const POLLING = {
	'a message is posted, answered ok, and comes back in a poll': async (t) => {
		const { sid } = await t.open();
		const posted = await t.post(sid, ['4hello']);
		assert.equal(posted.status, 200);
		assert.equal(posted.text, 'ok');
		const polled = await t.get(sid);
		assert.equal(polled.text, encode(t.eio, ['4hello']));
		return [t.face(posted), t.face(polled)];
	},
	'several packets travel in one payload': async (t) => {
		const { sid } = await t.open();
		const packets = ['4a', '4', '4héllo €', '4' + 'z'.repeat(300), '4\u{1d11e} clef'];
		await t.post(sid, packets);
		assert.deepEqual(await t.collect(sid, packets.length), packets);
	},
	'a poll waits for the message that another request brings': async (t) => {
		const { sid } = await t.open();
		const waiting = t.poll(sid);
		await sleep(30);
		assert.equal((await t.post(sid, ['4late'])).text, 'ok');
		assert.deepEqual(await waiting, ['4late']);
	},
	'many messages keep their order': async (t) => {
		const { sid } = await t.open();
		const sent = [];
		for (let i = 0; i < 10; i++) {
			sent.push(`4message ${i}`);
			await t.post(sid, [sent[i]]);
		}
		assert.deepEqual(await t.collect(sid, 10), sent);
	},
	'a large message passes whole in both directions': async (t) => {
		const { sid } = await t.open();
		const big = `4${'0123456789abcdef'.repeat(20000)}`;
		assert.equal((await t.post(sid, [big])).text, 'ok');
		const [heard] = await t.collect(sid, 1);
		assert.ok(heard === big, 'the message changed');
	},
	'a body that comes in pieces is one payload': async (t) => {
		const { sid } = await t.open();
		const body = encode(t.eio, ['4in pieces']);
		const answer = await slow_post(t.where, t.url({ sid }), body);
		assert.match(answer, /^HTTP\/1\.1 200 [\s\S]*ok/);
		assert.deepEqual(await t.poll(sid), ['4in pieces']);
	},
	'a chunked body is one payload': async (t) => {
		const { sid } = await t.open();
		const answer = await slow_post(t.where, t.url({ sid }), encode(t.eio, ['4in chunks']), true);
		assert.match(answer, /^HTTP\/1\.1 200 [\s\S]*ok/);
		assert.deepEqual(await t.poll(sid), ['4in chunks']);
	},
	'Expect: 100-continue is answered before the body': async (t) => {
		const { sid } = await t.open();
		const body = encode(t.eio, ['4expected']);
		let told = false;
		const head = `POST ${t.url({ sid })} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
		const net = await import('node:net');
		const socket = net.connect({ host: '127.0.0.1', ...t.where });
		const text = await new Promise((done, fail) => {
			let got = '';
			socket.on('data', (part) => {
				got += part;
				if (!told && /^HTTP\/1\.1 100 /.test(got)) {
					told = true;
					socket.write(body);
				}
			});
			socket.once('error', fail);
			socket.once('close', () => done(got));
			socket.setTimeout(4000, () => socket.destroy());
			socket.write(head);
		});
		assert.ok(told, `no 100 Continue: ${text}`);
		assert.match(text, /HTTP\/1\.1 200 [\s\S]*ok/);
		assert.deepEqual(await t.poll(sid), ['4expected']);
	},
	'an HTTP/1.0 client can poll': async (t) => {
		const { sid } = await t.open();
		await t.post(sid, ['4old']);
		const { text } = await raw(t.where, `GET ${t.url({ sid })} HTTP/1.0\r\nHost: x\r\n\r\n`);
		assert.match(text, /^HTTP\/1\.[01] 200 /);
		assert.ok(text.endsWith(encode(t.eio, ['4old'])), text);
		assert.doesNotMatch(text, /transfer-encoding/i);
	},
	'two overlapping polls end the session': async (t) => {
		const { sid } = await t.open();
		const one = t.get(sid).then((answer) => t.face(answer), (error) => `broken: ${error.message}`);
		await sleep(50);
		const two = await t.get(sid).then((answer) => t.face(answer), (error) => `broken: ${error.message}`);
		const first = await one;
		await t.is_gone(sid);
		/* Node words a reset in several ways; that the poll broke is what counts. */
		return [first, two].map((seen) => typeof seen === 'string' ? 'broken' : seen);
	},
	'a close packet from the client ends the session and frees its poll': async (t) => {
		const { sid } = await t.open();
		const waiting = t.get(sid);
		await sleep(50);
		const closed = await t.post(sid, ['1']);
		assert.equal(closed.text, 'ok');
		const freed = await waiting;
		await t.is_gone(sid);
		return [t.face(closed), t.face(freed)];
	},
	'a close packet from the server ends the session': async (t) => {
		const { sid } = await t.open();
		const waiting = t.get(sid);
		await sleep(30);
		await t.post(sid, ['4please close']);
		const answer = await waiting;
		assert.deepEqual(decode(t.eio, answer.text), ['1']);
		await wait_for(async () => (await t.get(sid)).status === 400, 'the session gone', 2000);
		await t.is_gone(sid);
		return t.face(answer);
	},
	'a packet that cannot be parsed ends the session': async (t) => {
		const { sid } = await t.open();
		const answer = await t.post(sid, t.eio === 4 ? 'abc' : '3:abc').then((got) => t.face(got), () => 'broken');
		await t.is_gone(sid);
		return answer;
	},
	'a body over the limit is refused': async (t) => {
		const { sid } = await t.open();
		const seen = await t.post(sid, [`4${'x'.repeat(1200000)}`], { limit: 5000 }).then((got) => got.status, () => 'broken');
		/* Some servers answer, some just break the connection, which a proxy may put in words of its own. */
		assert.ok(seen >= 400 || seen === 'broken', `answered ${seen}`);
	},
	'a method that a session does not know is answered as the server does': async (t) => {
		const { sid } = await t.open();
		return t.face(await t.get(sid, { method: 'DELETE' }));
	},
	'a compressed poll stays compressed': async (t) => {
		const { sid } = await t.open({ headers: { 'Accept-Encoding': 'gzip' } });
		await t.post(sid, [`4${'y'.repeat(5000)}`]);
		const answer = await t.get(sid, { headers: { 'Accept-Encoding': 'gzip' } });
		assert.equal(answer.headers['content-encoding'], 'gzip');
		assert.equal(zlib.gunzipSync(answer.body).toString(), encode(t.eio, [`4${'y'.repeat(5000)}`]));
	},
};

async function slow_post(where, url, body, chunked)
{
	const net = await import('node:net');
	const socket = net.connect({ host: '127.0.0.1', ...where });
	socket.setNoDelay();
	const answered = new Promise((done, fail) => {
		let got = '';
		socket.on('data', (part) => { got += part; });
		socket.once('error', fail);
		socket.once('close', () => done(got));
		socket.setTimeout(4000, () => socket.destroy());
	});
	socket.write(`POST ${url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\r\n${chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${Buffer.byteLength(body)}`}\r\n\r\n`);
	for (const byte of Buffer.from(body)) {
		await sleep(2);
		socket.write(chunked ? Buffer.concat([Buffer.from('1;x=y\r\n'), Buffer.from([byte]), Buffer.from('\r\n')]) : Buffer.from([byte]));
	}
	if (chunked)
		socket.write('0\r\n\r\n');
	return answered;
}

const WEBSOCKET = {
	'a session may start with a WebSocket': async (t) => {
		const { ws, open } = await t.open_ws();
		assert.deepEqual(open.upgrades, []);
		ws.send('4hello');
		assert.equal(await ws.next(), '4hello');
		ws.send('4');
		assert.equal(await ws.next(), '4');
		return Object.keys(open);
	},
	'a WebSocket carries binary frames': async (t) => {
		const { ws } = await t.open_ws();
		const bytes = Buffer.from([t.eio === 3 ? 4 : 1, 2, 3, 254, 255]);
		ws.send(bytes);
		const heard = await ws.next();
		assert.ok(Buffer.isBuffer(heard));
		return [...heard];
	},
	'a WebSocket carries large and many messages in order': async (t) => {
		const { ws } = await t.open_ws();
		const sent = [];
		for (let i = 0; i < 50; i++) {
			sent.push(`4${i}:${'w'.repeat((i * 977) % 9000)}`);
			ws.send(sent[i]);
		}
		sent.push(`4${'W'.repeat(300000)}`);
		ws.send(sent[50]);
		for (const one of sent)
			assert.ok(await ws.next() === one, `not ${one.slice(0, 20)}`);
	},
	'a WebSocket may compress': async (t) => {
		const { ws } = await t.open_ws({ perMessageDeflate: { threshold: 0 } });
		const text = `4${'compress me '.repeat(400)}`;
		ws.send(text);
		assert.equal(await ws.next(), text);
		return ws.ws.extensions;
	},
	'the client closes its WebSocket': async (t) => {
		const { ws, sid } = await t.open_ws();
		ws.close();
		const { code } = await ws.closed;
		await wait_for(() => t.ended(sid), 'the worker closing the session', 2000);
		return code;
	},
	'the server closes a WebSocket': async (t) => {
		const { ws, sid } = await t.open_ws();
		ws.send('4please close');
		const { code } = await ws.closed;
		await wait_for(() => t.ended(sid), 'the worker closing the session', 2000);
		return code;
	},
	'a close packet on a WebSocket has the effect that the server gives it': async (t) => {
		const { ws } = await t.open_ws();
		ws.send('1');
		ws.send('4after');
		return Promise.race([ws.next(), ws.closed.then(({ code }) => code)]).catch((error) => error.message);
	},
	'an upgrade: probe, answer, noop for the poll, upgrade, and messages on the new transport': async (t) => {
		const { sid } = await t.open();
		const waiting = t.poll(sid);
		const ws = await t.ws({ sid });
		ws.send('2probe');
		assert.equal(await ws.next(), '3probe');
		assert.deepEqual(await waiting, ['6']);
		ws.send('5');
		ws.send('4over there');
		assert.equal(await ws.next(), '4over there');
		const late = await t.get(sid);
		assert.equal(late.status, 400);
		assert.equal(late.text, '{"code":3,"message":"Bad request"}');
		ws.close();
		await wait_for(() => t.ended(sid), 'the worker closing the session', 2000);
		return t.face(late);
	},
	'a probe that is not followed by an upgrade leaves the session on polling': async (t) => {
		const { sid } = await t.open();
		const ws = await t.ws({ sid });
		ws.send('2probe');
		assert.equal(await ws.next(), '3probe');
		ws.close();
		await ws.closed;
		await t.post(sid, ['4still here']);
		assert.deepEqual(await t.collect_after_noop(sid, 1), ['4still here']);
	},
	'an upgrade with a wrong first packet is closed': async (t) => {
		const { sid } = await t.open();
		const ws = await t.ws({ sid });
		ws.send('4not a probe');
		const { code } = await ws.closed;
		await t.post(sid, ['4alive']);
		assert.deepEqual(await t.collect_after_noop(sid, 1), ['4alive']);
		return code;
	},
	'an upgrade of an unknown session is refused': async (t) => {
		const seen = await outcome(t.ws({ sid: 'nobody-has-this' }));
		assert.equal(seen.status, 400);
		assert.match(seen.text, /Session ID unknown/);
		return seen;
	},
	'a second upgrade of an upgraded session is refused': async (t) => {
		const { sid } = await t.open();
		const ws = await t.ws({ sid });
		ws.send('2probe');
		await ws.next();
		ws.send('5');
		ws.send('4x');
		assert.equal(await ws.next(), '4x');
		const second = await t.ws({ sid }).catch((error) => error);
		const seen = second instanceof Error ? String(second.message) : `closed with ${(await second.closed).code}`;
		ws.send('4y');
		assert.equal(await ws.next(), '4y');
		return seen;
	},
	'a WebSocket upgrade for the polling transport is refused': async (t) => outcome(t.ws({ transport: 'polling' })),
	'a plain GET for the websocket transport is refused': async (t) => {
		const answer = await t.http({ transport: 'websocket' });
		assert.equal(answer.status, 400);
		return t.face(answer);
	},
	'a WebSocket upgrade with a bad version or key is refused': async (t) => {
		const { text } = await raw(t.where, `GET ${t.url({ transport: 'websocket' })} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\nSec-WebSocket-Key: x\r\n\r\n`,
			{ until: (got) => /\r\n\r\n/.test(got) && got.length > 30 });
		assert.match(text, /^HTTP\/1\.1 400 /);
	},
	'frames sent with the upgrade request, before its answer, are kept': async (t) => {
		const frame = (text) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
		const { text } = await raw(t.where, Buffer.concat([
			Buffer.from(`GET ${t.url({ transport: 'websocket' })} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`),
			frame('4early'),
		]), { until: (got) => got.includes('4early') });
		assert.match(text, /^HTTP\/1\.1 101 /);
		assert.match(text, /s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
		assert.ok(text.includes('4early'), 'the frame was lost');
	},
};

/* With pingInterval 300 ms and pingTimeout 200 ms, as in the protocol's own test-suite. */
const HEARTBEAT_4 = {
	'polling: the server pings, and the session lives while pongs come': async (t) => {
		const { sid, open } = await t.open();
		assert.deepEqual([open.pingInterval, open.pingTimeout], [300, 200]);
		for (let i = 0; i < 4; i++) {
			assert.deepEqual(await t.poll(sid), ['2']);
			assert.equal((await t.post(sid, ['3'])).text, 'ok');
		}
		await t.post(sid, ['4alive']);
		assert.deepEqual(await t.collect(sid, 1), ['4alive']);
		assert.equal((await t.post(sid, ['1'])).text, 'ok');
	},
	'polling: a session without pongs is closed': async (t) => {
		const { sid } = await t.open();
		assert.deepEqual(await t.poll(sid), ['2']);
		const last = await t.get(sid, { limit: 3000 }).then((answer) => t.face(answer), () => 'broken');
		await wait_for(() => t.ended(sid), 'the worker closing the session', slack(1000));
		await t.is_gone(sid);
		return last;
	},
	'websocket: the server pings, and the session lives while pongs come': async (t) => {
		const { ws } = await t.open_ws();
		for (let i = 0; i < 4; i++) {
			assert.equal(await ws.next(), '2');
			ws.send('3');
		}
		ws.send('4alive');
		assert.equal(await ws.next(), '4alive');
	},
	'websocket: a session without pongs is closed': async (t) => {
		const { ws } = await t.open_ws();
		const from = performance.now();
		assert.equal(await ws.next(), '2');
		const { code, at } = await ws.closed;
		assert.ok(at - from > 400 && at - from < slack(1500), `closed after ${at - from} ms`);
		return code;
	},
	'a session that never polls is closed': async (t) => {
		const { sid } = await t.open();
		await wait_for(() => t.ended(sid), 'the worker closing the session', slack(2000));
		await t.is_gone(sid);
	},
};

const HEARTBEAT_3 = {
	'polling: the client pings and is answered': async (t) => {
		const { sid, open } = await t.open();
		assert.deepEqual([open.pingInterval, open.pingTimeout], [300, 200]);
		for (let i = 0; i < 4; i++) {
			await sleep(200);
			await t.post(sid, ['2']);
			assert.deepEqual(await t.poll(sid), ['3']);
		}
		await t.post(sid, ['4alive']);
		assert.deepEqual(await t.collect(sid, 1), ['4alive']);
	},
	'polling: a session without pings is closed': async (t) => {
		const { sid } = await t.open();
		const last = await t.get(sid, { limit: 3000 }).then((answer) => t.face(answer), () => 'broken');
		await wait_for(() => t.ended(sid), 'the worker closing the session', slack(1000));
		await t.is_gone(sid);
		return last;
	},
	'websocket: the client pings and is answered': async (t) => {
		const { ws } = await t.open_ws();
		for (let i = 0; i < 4; i++) {
			await sleep(200);
			ws.send('2');
			assert.equal(await ws.next(), '3');
		}
	},
	'websocket: a session without pings is closed': async (t) => {
		const { ws } = await t.open_ws();
		const { code } = await ws.closed;
		return code;
	},
};

const BINARY_4 = {
	'binary is base64 with a b in polling, and a binary frame on a WebSocket': async (t) => {
		const { sid } = await t.open();
		await t.post(sid, ['bAQIDBP8=']);
		assert.deepEqual(await t.poll(sid), ['bAQIDBP8=']);
		await t.post(sid, ['4text', 'bAAAA', '4more']);
		assert.deepEqual(await t.collect(sid, 3), ['4text', 'bAAAA', '4more']);
	},
};

const BINARY_3 = {
	'binary is base64 with b4 when the client asks for it': async (t) => {
		const { sid } = await t.open({ params: { b64: 1 } });
		await t.post(sid, ['b4AQIDBP8='], { params: { b64: 1 } });
		const answer = await t.get(sid, { params: { b64: 1 } });
		assert.equal(answer.text, '10:b4AQIDBP8=');
		return t.face(answer);
	},
	'binary payloads travel as octet-stream': async (t) => {
		const { sid } = await t.open();
		const posted = await t.post(sid, encode_binary3(['4text', Buffer.from([4, 1, 2, 3, 255])]), { headers: { 'Content-Type': 'application/octet-stream' } });
		assert.equal(posted.text, 'ok');
		const got = [];
		const types = [];
		while (got.length < 2) {
			const answer = await t.get(sid);
			types.push(answer.headers['content-type']);
			got.push(...(/octet/.test(answer.headers['content-type']) ? decode_binary3(answer.body) : decode(3, answer.text)));
		}
		assert.deepEqual(got, ['4text', [4, 1, 2, 3, 255]]);
		return types;
	},
	'JSONP: handshake, post and poll': async (t) => {
		const params = { j: 0 };
		const shake = await t.http(params);
		const [first] = decode(3, decode_jsonp(shake.text));
		const { sid } = JSON.parse(first.slice(1));
		t.sids.push(sid);
		const posted = await t.http({ sid, ...params }, { method: 'POST', body: `d=${encodeURIComponent('6:4jsonp')}`, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } });
		assert.equal(posted.text, 'ok');
		const polled = await t.http({ sid, j: 1 });
		assert.deepEqual(decode(3, decode_jsonp(polled.text)), ['4jsonp']);
		return [t.face(shake), t.face(posted), t.face(polled)];
	},
};

/* ---- Socket.IO v5 over Engine.IO 4 ----------------------------------------------------- */

/* A Socket.IO connection at packet level, over either transport: say(text), hear() -> Engine.IO messages. */
async function sio_open(t, transport)
{
	if (transport === 'websocket') {
		const { ws, sid } = await t.open_ws();
		return { sid, say: async (...packets) => packets.forEach((packet) => ws.send(packet)), hear: () => ws.next(), ws };
	}
	const { sid } = await t.open();
	const queue = [];
	return {
		sid, queue,
		say: async (...packets) => assert.equal((await t.post(sid, packets.map((packet) => Buffer.isBuffer(packet) ? `b${packet.toString('base64')}` : packet))).text, 'ok'),
		hear: async () => {
			while (!queue.length) {
				const packets = await t.poll(sid);
				queue.push(...packets.map((packet) => packet[0] === 'b' ? Buffer.from(packet.slice(1), 'base64') : packet));
			}
			return queue.shift();
		},
	};
}

async function sio_connect(t, transport)
{
	const c = await sio_open(t, transport);
	await c.say('40');
	const reply = await c.hear();
	assert.match(reply, /^40\{"sid":"[^"]+"/);
	c.id = JSON.parse(reply.slice(2)).sid;
	t.sids.push(c.id);
	assert.notEqual(c.id, c.sid, "the engine's sid is not the socket's id");
	const hello = await c.hear();
	assert.match(hello, /^42\["hello",/);
	c.hello = JSON.parse(hello.slice(2))[1];
	assert.equal(c.hello.id, c.id);
	assert.equal(c.hello.engine_id, c.sid);
	return c;
}

/* A server that closes says so in a poll, and the session lives until somebody asks. */
async function poll_to_the_end(t, sid, transport)
{
	const heard = [];
	while (transport === 'polling' && !heard.includes('1') && !heard.some((packet) => packet.startsWith('status')))
		heard.push(...await t.poll(sid));
	await wait_for(() => t.ended(sid), () => `the worker closing the session; heard ${JSON.stringify(heard)}`, slack(3000));
}

const SOCKETIO_5 = {};
for (const transport of ['polling', 'websocket'])
	Object.assign(SOCKETIO_5, {
		[`${transport}: CONNECT to the main namespace`]: async (t) => { await sio_connect(t, transport); },
		[`${transport}: CONNECT with a payload and to a custom namespace`]: async (t) => {
			const c = await sio_open(t, transport);
			await c.say('40/chat,{"token":"123"}');
			assert.match(await c.hear(), /^40\/chat,\{"sid":"[^"]+"/);
			await c.say('42/chat,7["echo",{"a":[1,2,null]}]');
			assert.equal(await c.hear(), '43/chat,7[{"a":[1,2,null]}]');
		},
		[`${transport}: CONNECT_ERROR for an unknown namespace and from a middleware`]: async (t) => {
			const c = await sio_open(t, transport);
			await c.say('40/nowhere');
			assert.equal(await c.hear(), '44/nowhere,{"message":"Invalid namespace"}');
			await c.say('40/secret,');
			assert.equal(await c.hear(), '44/secret,{"message":"not allowed here"}');
		},
		[`${transport}: EVENT and ACK`]: async (t) => {
			const c = await sio_connect(t, transport);
			await c.say('4212["echo","foo \u{1d11e}"]');
			assert.equal(await c.hear(), '4312["foo \u{1d11e}"]');
			await c.say('4200["echo",[true]]'.replace('00', '0'));
			assert.equal(await c.hear(), '430[[true]]');
		},
		[`${transport}: BINARY_EVENT and BINARY_ACK`]: async (t) => {
			const c = await sio_connect(t, transport);
			await c.say('451-9["bin",{"_placeholder":true,"num":0}]', Buffer.from([1, 2, 3]));
			assert.equal(await c.hear(), '451-["bin",{"_placeholder":true,"num":0}]');
			assert.deepEqual([...await c.hear()], [1, 2, 3]);
			assert.equal(await c.hear(), '461-9[{"_placeholder":true,"num":0}]');
			assert.deepEqual([...await c.hear()], [1, 2, 3]);
		},
		[`${transport}: DISCONNECT of one namespace leaves the connection`]: async (t) => {
			const c = await sio_connect(t, transport);
			await c.say('40/chat,');
			assert.match(await c.hear(), /^40\/chat,/);
			await c.say('41/chat,');
			await c.say('421["echo",1]');
			assert.equal(await c.hear(), '431[1]');
		},
		[`${transport}: DISCONNECT by the server closes the connection`]: async (t) => {
			const c = await sio_connect(t, transport);
			await c.say('42["kick"]');
			assert.equal(await c.hear(), '41');
			await poll_to_the_end(t, c.sid, transport);
		},
		[`${transport}: an invalid Socket.IO packet closes the connection`]: async (t) => {
			const c = await sio_connect(t, transport);
			await c.say('4abc');
			await poll_to_the_end(t, c.sid, transport);
		},
	});
Object.assign(SOCKETIO_5, {
	'a client that never sends CONNECT is closed': async (t) => {
		const { sid } = await t.open();
		await poll_to_the_end(t, sid, 'polling');
		await t.is_gone(sid);
	},
	'an upgrade keeps the socket': async (t) => {
		const c = await sio_connect(t, 'polling');
		const waiting = t.poll(c.sid);
		const ws = await t.ws({ sid: c.sid });
		ws.send('2probe');
		assert.equal(await ws.next(), '3probe');
		await waiting;
		ws.send('5');
		ws.send('423["echo","upgraded"]');
		assert.equal(await ws.next(), '433["upgraded"]');
	},
	'the client library is served under the same path': async (t) => {
		const answer = await request(t.where, `${t.path}socket.io.js`, t.agent.opts());
		assert.equal(answer.status, 200);
		assert.ok(answer.body.length > 50000);
		return { ...t.face(answer), text: answer.body.length };
	},
	'the client library is compressed for those who ask': async (t) => {
		const answer = await request(t.where, `${t.path}socket.io.js`, { ...t.agent.opts(), headers: { 'Accept-Encoding': 'gzip' } });
		assert.equal(answer.status, 200);
		const whole = answer.headers['content-encoding'] === 'gzip' ? zlib.gunzipSync(answer.body) : answer.body;
		return whole.length;
	},
});

/* Socket.IO of protocol 4 (server 2.x): the server connects the main namespace itself. */
const SOCKETIO_2 = {
	'the handshake carries CONNECT of the main namespace': async (t) => {
		const { packets, sid } = await t.open();
		assert.equal(packets[1], '40');
		const [hello] = await t.collect(sid, 1);
		const told = JSON.parse(hello.slice(2))[1];
		assert.equal(told.engine_id, sid, "the socket's id is the engine's sid");
		assert.equal(told.id, sid);
		await t.post(sid, ['4212["echo","foo"]']);
		assert.deepEqual(await t.collect(sid, 1), ['4312["foo"]']);
	},
	'a custom namespace connects': async (t) => {
		const { sid } = await t.open();
		await t.collect(sid, 1);
		await t.post(sid, ['40/chat']);
		assert.deepEqual(await t.collect(sid, 1), ['40/chat,']);
	},
	'a WebSocket session gets open, CONNECT and its events': async (t) => {
		const { ws, sid } = await t.open_ws();
		assert.equal(await ws.next(), '40');
		assert.ok((await ws.next()).includes(sid));
		ws.send('421["echo",5]');
		assert.equal(await ws.next(), '431[5]');
	},
	'DISCONNECT by the server': async (t) => {
		const { sid } = await t.open();
		await t.collect(sid, 1);
		await t.post(sid, ['42["kick"]']);
		assert.equal((await t.collect(sid, 1))[0], '41');
		await poll_to_the_end(t, sid, 'polling');
	},
};

/* ---- the table -------------------------------------------------------------------------- */

const ENGINE_PATH = '/engine.io/';
const BASE = { ...HANDSHAKE, ...POLLING, ...WEBSOCKET };
const DEFLATE = { perMessageDeflate: { threshold: 0 } };
const FAST = { pingInterval: 300, pingTimeout: 200 };
const IDS = Object.fromEntries([
	'a polling handshake gives sid, upgrades, pingInterval, pingTimeout', 'the key and the value of sid may be percent-encoded',
].map((name) => [name, HANDSHAKE[name]]).concat([
	'a message is posted, answered ok, and comes back in a poll', 'a poll waits for the message that another request brings',
	'a close packet from the client ends the session and frees its poll',
].map((name) => [name, POLLING[name]])).concat([
	'an upgrade: probe, answer, noop for the poll, upgrade, and messages on the new transport', 'the client closes its WebSocket',
].map((name) => [name, WEBSOCKET[name]])));

const TABLES = [
	{ title: 'Engine.IO 4', kind: 'engine4', eio: 4, path: ENGINE_PATH, options: DEFLATE, cases: { ...BASE, ...BINARY_4 } },
	{ title: 'Engine.IO 3 on a server of its time', kind: 'engine3', eio: 3, path: ENGINE_PATH, options: { ...DEFLATE, origins: '*:*' }, cases: { ...BASE, ...BINARY_3 } },
	{ title: 'Engine.IO 3 on a new server (allowEIO3)', kind: 'engine4', eio: 3, path: ENGINE_PATH, options: { ...DEFLATE, allowEIO3: true }, cases: { ...POLLING, ...WEBSOCKET, ...BINARY_3 } },
	{ title: 'heartbeats of Engine.IO 4', kind: 'engine4', eio: 4, path: ENGINE_PATH, options: FAST, together: true, cases: HEARTBEAT_4 },
	{ title: 'heartbeats of Engine.IO 3', kind: 'engine3', eio: 3, path: ENGINE_PATH, options: FAST, together: true, cases: HEARTBEAT_3 },
	{ title: 'Socket.IO 5', kind: 'v4', eio: 4, path: '/socket.io/', options: { connectTimeout: 500 }, cases: SOCKETIO_5 },
	{ title: 'Socket.IO on a v2 server', kind: 'v2', eio: 3, path: '/socket.io/', cases: SOCKETIO_2 },
	{ title: 'sids that are UUIDs', kind: 'engine4', eio: 4, path: ENGINE_PATH, ids: 'uuid', cases: IDS },
	{ title: 'sids that are small numbers', kind: 'engine4', eio: 4, path: ENGINE_PATH, ids: 'small', cases: IDS },
	{ title: 'sids of characters that need escaping', kind: 'engine4', eio: 4, path: ENGINE_PATH, ids: 'percent', cases: IDS },
	{ title: 'sids of 128 bytes', kind: 'engine4', eio: 4, path: ENGINE_PATH, ids: 'long', cases: IDS },
	{ title: 'a path of one\'s own', kind: 'engine4', eio: 4, path: '/my/app/live/', cases: IDS },
	{ title: 'a path without a slash at its end', kind: 'engine4', eio: 4, path: '/live', options: { addTrailingSlash: false }, cases: IDS },
	{ title: 'a server that also sets a cookie', kind: 'engine4', eio: 4, path: ENGINE_PATH, options: { cookie: { name: 'io' } }, cases: IDS },
];

for (const table of TABLES)
	describe(table.title, () => {
		let direct, farm, proxy;
		const agents = {};
		before(async () => {
			const { kind, path, options, ids } = table;
			direct = await start_farm({ count: 1, net: 'tcp', kind, path, options, ids });
			farm = await start_farm({ count: 4, net: 'unix', kind, path, options, ids });
			proxy = await start_proxy(farm, { stick: path === '/socket.io/' ? 'engineio' : [{ engineio: { path } }] });
			agents.phones = fresh_addresses();
			agents.two = keep_alive(2);
		});
		after(async () => {
			agents.two.close();
			const complaints = await proxy.stop();
			await farm.stop();
			await direct.stop();
			assert.deepEqual(complaints, []);
			assert.deepEqual(farm.foreign(), [], 'requests reached a worker that does not own their session');
		});

		const run = async (fn, where, agent, servers) => {
			const t = new Talk(where, agent, table);
			t.kind = table.kind;
			t.ended = (sid) => servers.apps.some((app) => sid in app.seen.ended);
			/* A failed upgrade may leave a noop in the next poll. */
			t.collect_after_noop = async (sid, count) => {
				const got = [];
				while (got.length < count)
					got.push(...(await t.collect(sid, 1)).filter((packet) => packet !== '6'));
				return got;
			};
			try {
				const seen = await fn(t);
				return seen === undefined ? seen : JSON.parse(t.blind(JSON.stringify(seen)));
			} finally {
				t.done();
			}
		};
		for (const [name, fn] of Object.entries(table.cases))
			test(name, async () => {
				const ways = [
					['directly', () => run(fn, direct.all[0].where(), plain(), direct)],
					...[agents.phones, agents.two].map((agent) => [agent.name, () => run(fn, { port: proxy.port }, agent, farm)]),
				].map(([way, start]) => async () => start().catch((error) => { error.message = `${way}: ${error.message}`; throw error; }));
				/* Heartbeats are all waiting, so all three wait together. */
				const [want, ...got] = table.together ? await Promise.all(ways.map((start) => start()))
					: [await ways[0](), await ways[1](), await ways[2]()];
				assert.deepEqual(got[0], want, `${agents.phones.name}: differs from one server asked directly`);
				assert.deepEqual(got[1], want, `${agents.two.name}: differs from one server asked directly`);
			});
	});
