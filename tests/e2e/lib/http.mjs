/* SPDX-License-Identifier: MIT */
/* HTTP and WebSocket as a test wants them: every field visible, nothing retried. */
import http from 'node:http';
import net from 'node:net';
import WebSocket from 'ws';
import { client_address, with_limit } from './util.mjs';

/*
 * One request.  WHERE is {port, host} or {socketPath}.  Resolves to {status, headers, body
 * (Buffer), text, ms}, rejects when the connection breaks before the answer is whole.
 * The returned promise has .req, to abort with.
 */
export function request(where, path, opts = {})
{
	const started = performance.now();
	let req;
	const answer = new Promise((done, fail) => {
		req = http.request({
			host: '127.0.0.1', ...where, path,
			method: opts.method || 'GET', headers: opts.headers || {},
			agent: opts.agent === undefined ? false : opts.agent,
			localAddress: where.socketPath ? undefined : opts.localAddress,
		});
		req.once('error', fail);
		req.once('upgrade', (res, socket) => { socket.destroy(); fail(new Error('unexpected 101')); });
		req.once('response', (res) => {
			const parts = [];
			res.on('data', (part) => parts.push(part));
			res.once('error', fail);
			res.once('aborted', () => fail(new Error('answer cut off')));
			res.once('end', () => {
				const body = Buffer.concat(parts);
				done({
					status: res.statusCode, headers: res.headers, rawHeaders: res.rawHeaders, body,
					text: body.toString(), ms: performance.now() - started, reused: req.reusedSocket,
				});
			});
		});
		req.end(opts.body);
	});
	const limited = with_limit(answer, opts.limit || 8000, `${opts.method || 'GET'} ${path} answered`);
	limited.catch(() => req.destroy());
	limited.req = req;
	return limited;
}

/* Agents of the three kinds of client that the specification names. */
export function fresh_addresses(start = 20000)
{
	let next = start;
	return { name: 'a new source address for every request', opts: () => ({ agent: false, localAddress: client_address(next++) }) };
}

export function keep_alive(sockets)
{
	const agent = new http.Agent({ keepAlive: true, maxSockets: sockets, maxFreeSockets: sockets });
	let made = 0;
	const create = agent.createConnection;
	agent.createConnection = function (...args) { made++; return create.apply(this, args); };
	return { name: `${sockets} keep-alive connection(s) for all sessions`, agent, opts: () => ({ agent }), made: () => made, close: () => agent.destroy() };
}

export function plain()
{
	return { name: 'a connection for every request', opts: () => ({ agent: false }) };
}

/* A WebSocket whose frames wait in a queue: {ws, next(limit), close} once open. */
export function websocket(where, path, opts = {})
{
	const url = where.socketPath ? `ws+unix://${where.socketPath}:${path}` : `ws://${where.host || '127.0.0.1'}:${where.port}${path}`;
	const ws = new WebSocket(url, {
		perMessageDeflate: opts.perMessageDeflate ?? false, headers: opts.headers,
		origin: opts.origin, localAddress: opts.localAddress, handshakeTimeout: 5000,
	});
	const queue = [], waiting = [];
	let over = false;
	const closed = new Promise((done) => ws.once('close', (code, reason) => {
		over = `closed (${code})`;
		while (waiting.length)
			waiting.shift().fail(new Error(`closed (${code})`));
		done({ code, reason: reason.toString(), at: performance.now() });
	}));
	ws.on('message', (data, binary) => {
		const item = binary ? data : data.toString();
		if (waiting.length)
			waiting.shift().done(item);
		else
			queue.push(item);
	});
	const next = (limit = 5000) => queue.length ? Promise.resolve(queue.shift()) : over ? Promise.reject(new Error(over))
		: with_limit(new Promise((done, fail) => waiting.push({ done, fail })), limit, 'a WebSocket frame');
	const face = { ws, next, queue, closed, send: (data) => ws.send(data), close: () => ws.close(), terminate: () => ws.terminate() };
	const opened = new Promise((done, fail) => {
		ws.once('open', () => done(face));
		ws.once('error', fail);
		ws.once('unexpected-response', (req, res) => {
			const parts = [];
			res.on('data', (part) => parts.push(part));
			res.once('end', () => {
				const refused = new Error(`refused with ${res.statusCode}`);
				refused.status = res.statusCode;
				refused.headers = res.headers;
				refused.text = Buffer.concat(parts).toString();
				fail(refused);
			});
		});
	});
	ws.on('error', () => {});
	return opened;
}

/* Raw bytes out, raw bytes in, until the peer closes or DONE(text) holds. */
export function raw(where, bytes, { until, limit = 5000, localAddress, halfClose = false } = {})
{
	let got = Buffer.alloc(0);
	const s = net.connect({ host: '127.0.0.1', ...where, localAddress });
	const all = new Promise((done, fail) => {
		s.once('connect', () => halfClose ? s.end(bytes) : s.write(bytes));
		s.on('data', (part) => {
			got = Buffer.concat([got, part]);
			if (until && until(got.toString('latin1')))
				done({ text: got.toString('latin1'), closed: false });
		});
		s.once('error', fail);
		s.once('close', () => done({ text: got.toString('latin1'), closed: true }));
	});
	return with_limit(all, limit, () => 'raw exchange').finally(() => s.destroy());
}

/* Splits pipelined HTTP/1.1 answers that carry Content-Length or chunks. */
export function split_answers(text)
{
	const answers = [];
	while (text.length) {
		const end = text.indexOf('\r\n\r\n');
		if (end < 0)
			break;
		const head = text.slice(0, end), status = Number(head.split(' ')[1]);
		let rest = text.slice(end + 4), body = '';
		const length = /\r\ncontent-length: *(\d+)/i.exec(head);
		if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
			for (;;) {
				const line = rest.indexOf('\r\n');
				if (line < 0)
					return answers;
				const size = parseInt(rest, 16);
				if (rest.length < line + 2 + size + 2)
					return answers;
				body += rest.slice(line + 2, line + 2 + size);
				rest = rest.slice(line + 2 + size + 2);
				if (size === 0)
					break;
			}
		} else {
			const want = length ? Number(length[1]) : 0;
			if (rest.length < want)
				return answers;
			body = rest.slice(0, want);
			rest = rest.slice(want);
		}
		answers.push({ status, head, body });
		text = rest;
	}
	return answers;
}
