/* SPDX-License-Identifier: MIT */
/*
 * A cluster of real workers, each its own process, spread over named hosts.
 * What one worker shouts, all workers say: the broadcast that a cluster adapter would make.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fork } from 'node:child_process';
import { HERE, REPO, temp_dir, wait_for, watch_child, with_limit } from './util.mjs';

export const HAVE_LIMPET_WORKER = fs.existsSync(path.join(REPO, 'contrib/node/package.json'));

class Worker {
	constructor(spec)
	{
		this.spec = spec;
		this.name = spec.name;
		this.calls = new Map();
		this.next_id = 1;
		this.child = null;
	}

	async start()
	{
		const child = watch_child(fork(path.join(HERE, 'lib/worker.mjs'), {
			env: { ...process.env, E2E_WORKER: JSON.stringify(this.spec) }, stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
			execArgv: [],
		}));
		this.child = child;
		await with_limit(new Promise((done, fail) => {
			child.once('exit', (code, signal) => {
				fail(new Error(`worker ${this.name} ended (${code ?? signal}) before it listened`));
				for (const call of this.calls.values())
					call.fail(new Error(`worker ${this.name} is gone`));
				this.calls.clear();
				if (this.child === child)
					this.child = null;
			});
			child.on('message', (message) => {
				if (message.ready) {
					this.port = typeof message.ready === 'number' ? message.ready : undefined;
					this.spec.port = this.port;
					done();
				} else if ('shout' in message) {
					this.on_shout?.(message.shout);
				} else {
					this.calls.get(message.id)?.done(message.result);
					this.calls.delete(message.id);
				}
			});
		}), 15000, `worker ${this.name} listening`);
		return this;
	}

	where()
	{
		return this.spec.unix ? { socketPath: this.spec.unix } : { port: this.port, ...(this.spec.address ? { host: this.spec.address } : {}) };
	}

	call(cmd, arg)
	{
		if (!this.child)
			return Promise.reject(new Error(`worker ${this.name} is gone`));
		const id = this.next_id++;
		return with_limit(new Promise((done, fail) => {
			this.calls.set(id, { done, fail });
			this.child.send({ id, cmd, arg });
		}), 5000, `worker ${this.name} answered '${cmd}'`);
	}

	/* SIGKILL, and back once the kernel has taken the process away. */
	async kill()
	{
		const child = this.child;
		if (!child)
			return;
		const gone = new Promise((done) => child.once('exit', done));
		process.kill(child.pid, 'SIGKILL');
		await gone;
	}
}

/* SPEC: {kind, net: 'unix'|'tcp', address (of tcp), workers, hosts, proxy, options, ids, path}; workers are dealt to hosts in turn. */
export async function start_cluster(spec)
{
	const dir = temp_dir('w');
	const hosts = Array.from({ length: spec.hosts || 2 }, (_, i) => ({ name: `app-${i + 1}`, dir: path.join(dir, `app-${i + 1}`), workers: [] }));
	const cluster = { spec, hosts, dir, all: [], kind: spec.kind || 'v4' };
	let next = 0;

	cluster.make = (host) => {
		const index = next++;
		const short = `w${host.workers.length + 1}`;
		fs.mkdirSync(host.dir, { recursive: true });
		const worker = new Worker({
			kind: spec.kind || 'v4', name: `${host.name}/${short}`, index, width: spec.workers, ids: spec.ids, path: spec.path,
			options: spec.options, proxy: spec.proxy, address: spec.address, unix: spec.net === 'tcp' ? undefined : path.join(host.dir, `${short}.sock`),
		});
		worker.on_shout = (payload) => cluster.broadcast(payload);
		host.workers.push(worker);
		cluster.all.push(worker);
		return worker;
	};
	cluster.living = () => cluster.all.filter((worker) => worker.child);
	cluster.broadcast = (payload) => Promise.all(cluster.living().map((worker) => worker.call('broadcast', payload).catch(() => {})));
	cluster.seen = () => Promise.all(cluster.living().map((worker) => worker.call('seen')));
	cluster.by_name = (name) => cluster.all.find((worker) => worker.name === name);
	cluster.settled = () => wait_for(async () => (await cluster.seen()).every((seen) => seen.live === 0),
		'workers without sessions', 10000, 50);
	cluster.stop = () => Promise.all(cluster.living().map((worker) => worker.kill()));

	for (let i = 0; i < spec.workers; i++)
		cluster.make(hosts[i % hosts.length]);
	await Promise.all(cluster.all.map((worker) => worker.start()));
	return cluster;
}

/* What happened since BEFORE (an earlier cluster.seen()), summed over the cluster. */
export function difference(before, after)
{
	const was = new Map(before.map((seen) => [seen.name, seen]));
	return after.map((now) => {
		const old = was.get(now.name) || { foreign: [], unknown: 0, handshakes: 0, requests: 0, preflights: 0, sessions: {} };
		return {
			name: now.name, foreign: now.foreign.slice(old.foreign.length), unknown: now.unknown - old.unknown,
			handshakes: now.handshakes - old.handshakes, requests: now.requests - old.requests, preflights: now.preflights - old.preflights,
			sessions: Object.fromEntries(Object.entries(now.sessions).filter(([sid]) => !(sid in old.sessions))),
		};
	});
}
