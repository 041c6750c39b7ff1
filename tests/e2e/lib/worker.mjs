/* SPDX-License-Identifier: MIT */
/* One worker process: the application of app.mjs on a Unix socket or a port, asked and told over IPC. */
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { make_app } from './app.mjs';
import { REPO } from './util.mjs';

const spec = JSON.parse(process.env.E2E_WORKER);
const app = make_app(spec);
app.on_shout((payload) => process.send({ shout: payload }));

const COMMANDS = {
	seen: () => ({ ...app.seen, live: app.live() }),
	/* As a worker ends in a deploy: its socket file goes, and its connections may end. */
	close: () => { app.server.close(); return true; },
	broadcast: (payload) => { app.broadcast(payload); return true; },
};

process.on('message', async ({ id, cmd, arg }) => {
	process.send({ id, result: await COMMANDS[cmd](arg) });
});
/* The parent is gone: so are we. */
process.on('disconnect', () => process.exit(0));

if (spec.proxy) {
	const { listen } = createRequire(import.meta.url)(path.join(REPO, 'contrib/node'));
	await listen(app.server, { path: spec.unix, proxy: 'optional' });
} else if (spec.unix) {
	fs.rmSync(spec.unix, { force: true });
	await new Promise((done) => app.server.listen(spec.unix, done));
} else {
	await new Promise((done) => app.server.listen(spec.port || 0, spec.address || '127.0.0.1', done));
}
process.send({ ready: spec.unix || app.server.address().port });
