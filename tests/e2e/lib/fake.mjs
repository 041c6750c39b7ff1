/* SPDX-License-Identifier: MIT */
/*
 * A server of our own for answers that no real server gives on purpose: its handshakes come in any
 * form and any pieces.  Requests that carry a sid are answered with the worker's name, and counted.
 *
 *   handshake(sid, req) -> list of parts: strings or buffers to send as they are, numbers are pauses in ms
 *   later(req, socket)  -> the same for a request with a sid; by default 200 with the worker's name
 */
import net from 'node:net';

export const sid_in = (url) => new URL(url, 'http://x').searchParams.getAll('sid').pop();

export function fake_server({ name, make_sid, handshake, later })
{
	const seen = { name, foreign: [], handshakes: [], later: [], closed: 0 };
	const owned = new Set(), sockets = new Set();

	const answer = (req) => {
		const sid = sid_in(req.url);
		if (!req.url.includes('transport='))
			return ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n'];
		if (sid) {
			seen.later.push(req);
			if (!owned.has(sid))
				seen.foreign.push(`${req.method} ${req.url}`);
			return later?.(req) ?? [`HTTP/1.1 200 OK\r\nX-Worker: ${name}\r\nContent-Length: ${name.length}\r\n\r\n${name}`];
		}
		seen.handshakes.push(req);
		const fresh = make_sid();
		owned.add(fresh);
		return handshake(fresh, req);
	};

	const server = net.createServer((socket) => {
		let buffer = Buffer.alloc(0), busy = Promise.resolve(), open = true;
		sockets.add(socket);
		socket.setNoDelay();
		socket.on('error', () => {});
		socket.once('close', () => { open = false; seen.closed++; sockets.delete(socket); });
		const pause = (ms) => new Promise((done) => setTimeout(done, ms));
		const send = async (parts) => {
			for (const part of parts) {
				if (!open)
					return;
				if (typeof part === 'number')
					await pause(part);
				else if (part === null)
					socket.end();
				else if (part === undefined)
					socket.resetAndDestroy();
				else
					socket.write(typeof part === 'string' ? Buffer.from(part) : part);
			}
		};
		socket.on('data', (part) => {
			buffer = Buffer.concat([buffer, part]);
			for (;;) {
				const end = buffer.indexOf('\r\n\r\n');
				if (end < 0)
					return;
				const lines = buffer.subarray(0, end).toString().split('\r\n');
				const [method, url, version] = lines[0].split(' ');
				const headers = Object.fromEntries(lines.slice(1).map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
				const length = Number(headers['content-length'] || 0);
				let whole = end + 4 + length, body;
				if (/chunked/i.test(headers['transfer-encoding'] || '')) {
					const last = buffer.indexOf('0\r\n\r\n', end + 4);
					if (last < 0)
						return;
					whole = last + 5;
				}
				if (buffer.length < whole)
					return;
				body = buffer.subarray(end + 4, whole).toString();
				buffer = buffer.subarray(whole);
				const req = { method, url, version, headers, body, socket };
				busy = busy.then(() => send(answer(req)));
			}
		});
	});
	return { server, seen, owned, close: () => new Promise((done) => { server.close(() => done()); for (const s of sockets) s.destroy(); }) };
}

/* BYTES in segments of 1 to 3 bytes, with pauses so that they are segments on the wire too. */
export function dribble(bytes, { size = (i) => 1 + (i % 3), pause = 1 } = {})
{
	const all = Buffer.from(bytes), parts = [];
	for (let at = 0, i = 0; at < all.length; i++) {
		const n = size(i);
		parts.push(all.subarray(at, at + n), pause);
		at += n;
	}
	return parts;
}

export function chunks(bytes, { size = (i) => 1 + (i % 3) } = {})
{
	const all = Buffer.from(bytes), parts = [];
	for (let at = 0, i = 0; at < all.length; i++) {
		const part = all.subarray(at, at + size(i));
		parts.push(Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]));
		at += part.length;
	}
	return [...parts, Buffer.from('0\r\n\r\n')];
}
