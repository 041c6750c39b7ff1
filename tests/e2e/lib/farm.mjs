/* SPDX-License-Identifier: MIT */
/*
 * Servers inside this process, for suites that look at single messages rather than at load.
 * A farm has the shape of a cluster, so start_proxy() takes it.
 */
import fs from 'node:fs';
import path from 'node:path';
import { make_app } from './app.mjs';
import { temp_dir } from './util.mjs';

/* MAKE(index) -> {server, close()}, an http.Server or net.Server and the way to end it; by default one of app.mjs. */
export async function start_farm({ count = 4, net = 'unix', make, ...spec })
{
	const dir = temp_dir('f');
	const host = { name: 'farm', dir, workers: [] };
	fs.mkdirSync(dir, { recursive: true });
	for (let i = 0; i < count; i++) {
		const name = `farm/w${i + 1}`;
		const app = make ? make(i, name) : make_app({ ...spec, name, index: i, width: count });
		const socket = path.join(dir, `w${i + 1}.sock`);
		await new Promise((done, fail) => {
			app.server.once('error', fail);
			if (net === 'tcp')
				app.server.listen(0, '127.0.0.1', done);
			else
				app.server.listen(socket, done);
		});
		const port = net === 'tcp' ? app.server.address().port : undefined;
		host.workers.push({ name, app, port, where: () => net === 'tcp' ? { port, host: '127.0.0.1' } : { socketPath: socket } });
	}
	return {
		spec: { net, kind: spec.kind }, hosts: [host], all: host.workers, apps: host.workers.map((worker) => worker.app),
		/*
		 * Requests that reached a worker which never gave out their sid.  Tests ask for sids of "nobody" on purpose,
		 * and for sessions that have ended, which are then nobody's.
		 */
		foreign: () => {
			const ended = new Set(host.workers.flatMap(({ app }) => Object.keys(app.seen.ended || {})));
			return host.workers.flatMap(({ app }) => app.seen.foreign).filter((what) =>
				!what.includes('nobody') && !ended.has(new URL(what.split(' ')[1], 'http://x').searchParams.getAll('sid').pop()));
		},
		stop: () => Promise.all(host.workers.map(({ app }) => app.close())),
	};
}
