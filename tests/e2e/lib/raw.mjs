/* SPDX-License-Identifier: MIT */
/*
 * Socket.IO sessions that are no client library: each request goes where PICK says, on a connection
 * of its own if so wished, and whatever is wrong with an answer is written down.
 *
 *   unknown   "Session ID unknown": Limpet or a worker does not know the session
 *   moved     another worker answered than the one that made the session
 *   failed    anything else
 *
 * A session remembers the requests under way, so that one can tell later which sessions were between
 * two requests at some moment.
 */
import http from 'node:http';
import { websocket } from './http.mjs';
import { sleep, with_limit } from './util.mjs';

export const make_tally = () => ({ unknown: 0, moved: 0, failed: 0, requests: 0, problems: [] });

const is_refused = (error) => /ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|no connection in time/.test(`${error.code} ${error.message}`);

/* One request.  Rejects with .is_unsent when no byte of it can have reached anybody. */
export function ask(where, method, path, { body, limit = 10000, headers = {}, connect_limit = 0 } = {})
{
	return new Promise((done, fail) => {
		const began = performance.now();
		const req = http.request({ host: where.host || '127.0.0.1', port: where.port, agent: where.agent ?? false,
			localAddress: where.from, method, path, headers: body === undefined ? headers : { ...headers, 'Content-Type': 'text/plain;charset=UTF-8', 'Content-Length': Buffer.byteLength(body) } });
		const over = (error) => {
			clearTimeout(timer);
			clearTimeout(connecting);
			if (error instanceof Error) {
				error.is_unsent = is_refused(error);
				req.destroy();
				fail(error);
			} else {
				done(error);
			}
		};
		const timer = setTimeout(() => over(new Error(`no answer in ${limit} ms`)), limit);
		const connecting = connect_limit ? setTimeout(() => over(new Error('no connection in time')), connect_limit) : undefined;
		req.on('error', over);
		if (connecting)
			req.once('socket', (socket) => socket.connecting ? socket.once('connect', () => clearTimeout(connecting)) : clearTimeout(connecting));
		req.once('response', (res) => {
			let text = '';
			res.setEncoding('utf8').on('data', (part) => { text += part; });
			res.once('error', over);
			res.once('end', () => over({ status: res.statusCode, worker: res.headers['x-worker'], headers: res.headers, text, ms: performance.now() - began }));
		});
		req.end(body);
	});
}

export class RawSession {
	/* PICK: () -> {host, port, agent?, from?} for the next request.  STEADY: poll without end, as clients do. */
	constructor(pick, tally, { kind = 'polling', is_steady = true, patience = 0, connect_limit = 0, limit = 10000, headers } = {})
	{
		Object.assign(this, { pick, tally, kind, is_steady, patience, connect_limit, limit, headers });
		this.acks = new Map();
		this.next_ack = 0;
		this.under_way = new Map();     /* request -> when it began */
		this.history = [];              /* [began, ended] of the latest requests */
		this.is_over = false;
		this.is_broken = false;
	}

	problem(kind, text)
	{
		this.tally[kind]++;
		this.is_broken = true;
		if (this.tally.problems.length < 20)
			this.tally.problems.push(text);
	}

	path(extra = '')
	{
		return `/socket.io/?EIO=4&transport=polling${extra}${this.sid ? `&sid=${encodeURIComponent(this.sid)}` : ''}`;
	}

	/* A request of this session; null when it went wrong, which is then on the tally. */
	async request(method, body, what)
	{
		const mark = {}, give_up = Date.now() + this.patience;
		for (;;) {
			const began = Date.now(), where = this.pick();
			this.under_way.set(mark, began);
			this.tally.requests++;
			let answer, error;
			try {
				answer = await ask(where, method, this.path(), { body, limit: this.is_steady && method === 'GET' ? this.limit + 30000 : this.limit, connect_limit: this.connect_limit, headers: this.headers });
			} catch (caught) {
				error = caught;
			}
			this.under_way.delete(mark);
			this.history.push([began, Date.now()]);
			if (this.history.length > 64)
				this.history.shift();
			if (error && error.is_unsent && Date.now() < give_up && !this.is_over) {
				await sleep(30);
				continue;
			}
			return this.judge(answer, error, `${what} to ${where.host || ''}:${where.port}`);
		}
	}

	judge(answer, error, what)
	{
		if (this.is_over)
			return null;
		if (error)
			this.problem('failed', `${what}: ${error.message}`);
		else if (answer.status === 400 && /"code":1\b|Session ID unknown/.test(answer.text))
			this.problem('unknown', `${what}: ${answer.status} ${answer.text} from ${answer.worker || 'limpet'}, after ${this.age()} ms`);
		else if (answer.status !== 200)
			this.problem('failed', `${what}: ${answer.status} ${answer.text.slice(0, 80)}`);
		else if (this.worker && answer.worker !== this.worker)
			this.problem('moved', `${what}: ${answer.worker}, not ${this.worker}`);
		else
			return answer;
		return null;
	}

	age() { return Math.round(performance.now() - this.born_at); }

	async handshake()
	{
		const answer = await this.request('GET', undefined, 'handshake');
		if (!answer)
			return false;
		this.handshake_ms = answer.ms;
		this.born_at = performance.now();
		this.worker = answer.worker;
		this.sid = JSON.parse(answer.text.slice(1)).sid;
		return true;
	}

	/* POST, GET and, if it is to be, the upgrade: in one moment, on different connections. */
	async open()
	{
		if (!await this.handshake())
			return false;
		const welcome = this.wait('hello');
		const all = [this.request('POST', '40', 'the first POST'), this.is_steady ? void (this.polling = this.poll_on()) : this.poll_until('hello')];
		if (this.kind === 'upgrade')
			all.push(this.upgrade());
		await Promise.all(all);
		if (this.is_broken)
			return false;
		const hello = await with_limit(welcome, this.limit, 'the welcome').catch((error) => { this.problem('failed', error.message); });
		if (hello && hello.name !== this.worker)
			this.problem('moved', `welcomed by ${hello.name}, not ${this.worker}`);
		return !this.is_broken;
	}

	wait(what) { return new Promise((done) => this.acks.set(what, done)); }

	take(packet)
	{
		const found = /^43(\d+)(.*)$/s.exec(packet);
		if (packet === '2')
			this.ws ? this.ws.send('3') : this.request('POST', '3', 'pong');
		else if (found)
			this.tell(Number(found[1]), JSON.parse(found[2])[0]);
		else if (packet.startsWith('42["hello",'))
			this.tell('hello', JSON.parse(packet.slice(2))[1]);
	}

	tell(key, value)
	{
		this.acks.get(key)?.(value);
		this.acks.delete(key);
	}

	async poll()
	{
		const answer = await this.request('GET', undefined, 'a poll');
		for (const packet of answer ? answer.text.split('\x1e') : [])
			this.take(packet);
		return answer;
	}

	async poll_until(key)
	{
		while (this.acks.has(key) && !this.is_broken)
			await this.poll();
	}

	async poll_on()
	{
		while (!this.is_over && !this.is_broken && !this.is_upgrading)
			if (!await this.poll())
				return;
	}

	async upgrade()
	{
		const where = this.pick();
		try {
			const ws = await websocket(where, `/socket.io/?EIO=4&transport=websocket&sid=${encodeURIComponent(this.sid)}`);
			this.pending_ws = ws;
			ws.send('2probe');
			const probe = await ws.next(this.limit);
			if (probe !== '3probe')
				throw new Error(`${probe} for a probe`);
			/* The worker answers the pending poll, and then none may follow. */
			this.is_upgrading = true;
			await this.polling;
			ws.send('5');
			this.ws = ws;
			this.read_frames();
		} catch (error) {
			const unknown = error.status === 400 && /Session ID unknown/.test(error.text);
			if (!this.is_over)
				this.problem(unknown ? 'unknown' : 'failed', `the upgrade at ${where.port}: ${error.message} ${error.text || ''} after ${this.age()} ms`);
		}
	}

	async read_frames()
	{
		try {
			for (;;)
				this.take(await this.ws.next(600000));
		} catch (error) {
			if (!this.is_over)
				this.problem('failed', `the WebSocket: ${error.message}`);
		}
	}

	/* Talks once and waits for the answer. */
	async echo(limit = this.limit)
	{
		const n = this.next_ack++, text = `${this.sid} says ${n}`, back = this.wait(n);
		const packet = `42${n}${JSON.stringify(['echo', text])}`;
		if (this.ws)
			this.ws.send(packet);
		else if (!await this.request('POST', packet, 'a POST'))
			return false;
		if (!this.ws && !this.is_steady)
			await this.poll_until(n);
		const heard = await with_limit(back, limit, 'an echo').catch((error) => { if (!this.is_broken) this.problem('failed', error.message); });
		if (heard !== undefined && heard !== text)
			this.problem('failed', `heard ${heard}`);
		return heard === text;
	}

	/* Was a request of it under way at any moment of [FROM, TO]? */
	was_busy(from, to)
	{
		return [...this.under_way.values()].some((began) => began <= to) || this.history.some(([began, ended]) => began <= to && ended >= from);
	}

	async close()
	{
		this.is_over = true;
		if (this.ws || this.pending_ws)
			(this.ws || this.pending_ws).terminate();
		else if (this.sid)
			await ask(this.pick(), 'POST', this.path(), { body: '1', limit: 2000 }).catch(() => {});
	}
}
