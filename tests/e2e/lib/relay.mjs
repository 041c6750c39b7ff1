/* SPDX-License-Identifier: MIT */
/*
 * A slow and simple HTTP relay that tests the tests.
 *   round_robin  every request goes to the next worker: the control, which every suite must refuse
 *   sticky       learns the sid from the handshake's answer: the reference, which the suites must accept
 * It holds an answer to a handshake until it is whole, and knows nothing of health, hosts or tiers.
 */
import http from 'node:http';
import net from 'node:net';

const SID = /"sid\\?":\\?"((?:[^"\\])+)/;

/* The connection to the worker is none of the client's business. */
function own(headers)
{
	const kept = { ...headers };
	delete kept.connection;
	delete kept['keep-alive'];
	return kept;
}

/* WORKERS() -> [{name, where()}] */
export async function start_relay(workers, { mode })
{
	const table = new Map(), sockets = new Set();
	let turn = 0;

	const sid_of = (url) => new URL(url, 'http://x').searchParams.getAll('sid').pop();
	const pick = (url) => {
		const all = workers().filter((worker) => worker.child !== null);
		const known = mode === 'sticky' && table.get(sid_of(url));
		return known || all[turn++ % all.length];
	};
	const head_for = (req) => {
		const headers = { ...req.headers, 'x-forwarded-for': req.socket.remoteAddress };
		if (!sid_of(req.url))
			delete headers['accept-encoding'];
		return headers;
	};
	const refuse = (req, res) => {
		const cors = req.headers.origin
			? { 'Access-Control-Allow-Origin': req.headers.origin, 'Access-Control-Allow-Credentials': 'true', Vary: 'Origin' } : {};
		res.writeHead(400, { 'Content-Type': 'application/json', ...cors });
		res.end('{"code":1,"message":"Session ID unknown"}');
	};

	const server = http.createServer((req, res) => {
		const worker = pick(req.url), sid = sid_of(req.url);
		if (!worker)
			return res.writeHead(503).end('no server\n');
		const up = http.request({ host: '127.0.0.1', ...worker.where(), path: req.url, method: req.method, headers: head_for(req), agent: false });
		up.once('response', (answer) => {
			const parts = [], whole = !sid;
			answer.on('data', (part) => whole ? parts.push(part) : res.write(part));
			answer.once('end', () => {
				if (whole) {
					const body = Buffer.concat(parts), found = SID.exec(body.toString());
					if (found)
						table.set(found[1], worker);
					const headers = own(answer.headers);
					delete headers['transfer-encoding'];
					res.writeHead(answer.statusCode, headers);
					return res.end(req.method === 'HEAD' ? undefined : body);
				}
				res.end();
			});
			answer.once('error', () => res.destroy());
			if (!whole)
				res.writeHead(answer.statusCode, own(answer.headers));
		});
		up.once('error', () => {
			if (res.headersSent)
				res.destroy();
			else if (sid)
				refuse(req, res);
			else
				res.writeHead(503).end('no server\n');
		});
		/* The rest of a body that nobody wants must not hold up the next request. */
		res.once('finish', () => { req.unpipe(up); req.resume(); });
		res.once('close', () => up.destroy());
		req.pipe(up);
	});
	server.on('upgrade', (req, socket, first) => {
		const where = pick(req.url).where();
		const up = net.connect(where.socketPath ? where.socketPath : { port: where.port, host: '127.0.0.1' });
		let head = `${req.method} ${req.url} HTTP/1.1\r\n`;
		for (const [name, value] of Object.entries(head_for(req)))
			head += `${name}: ${value}\r\n`;
		up.write(`${head}\r\n`);
		up.write(first);
		up.pipe(socket).pipe(up);
		up.on('error', () => socket.destroy());
		socket.on('error', () => up.destroy());
		up.once('close', () => socket.destroy());
		socket.once('close', () => up.destroy());
	});
	server.keepAliveTimeout = 60000;
	server.on('connection', (socket) => {
		sockets.add(socket);
		socket.setNoDelay();
		socket.once('close', () => sockets.delete(socket));
	});
	await new Promise((done) => server.listen(0, '127.0.0.1', done));
	return {
		port: server.address().port, table,
		stop: () => new Promise((done) => {
			server.close(done);
			for (const socket of sockets)
				socket.destroy();
		}),
	};
}
