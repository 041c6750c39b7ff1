/* SPDX-License-Identifier: MIT */
/*
 * Small things every suite needs: temporary directories, ports, waiting for a
 * condition, and the list of processes to end when the suite ends for any reason.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const HERE = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const REPO = path.resolve(HERE, '../..');
export const FULL = (process.env.E2E_MODE || 'fast') === 'full';
/* 'limpet' is the subject; 'reference' and 'control' are lib/relay.mjs and test the tests. */
export const PROXY = process.env.E2E_PROXY || 'limpet';

const alive = new Set();
const dirs = new Set();

export function watch_child(child)
{
	alive.add(child);
	child.once('exit', () => alive.delete(child));
	return child;
}

process.on('exit', () => {
	for (const child of alive)
		try { process.kill(child.pid, 'SIGKILL'); } catch { /* gone already */ }
	if (!process.env.E2E_KEEP)
		for (const dir of dirs)
			fs.rmSync(dir, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
	process.on(signal, () => process.exit(130));

/* Short, because the path of a Unix socket has 107 bytes at most. */
export function temp_dir(tag = 'e2e')
{
	const dir = fs.mkdtempSync(path.join(os.tmpdir(), `lp-${tag}-`));
	dirs.add(dir);
	return dir;
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/* Polls TEST until it gives something truthy, and returns that. */
export async function wait_for(test, what, limit = 5000, every = 10)
{
	const end = Date.now() + limit;
	for (;;) {
		const got = await test();
		if (got)
			return got;
		if (Date.now() >= end)
			throw new Error(`after ${limit} ms still not: ${typeof what === 'function' ? what() : what}`);
		await sleep(every);
	}
}

export function with_limit(promise, limit, what)
{
	let timer;
	const late = new Promise((_, fail) => {
		timer = setTimeout(() => fail(new Error(`after ${limit} ms still not: ${what}`)), limit);
	});
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const handed_out = new Set();

/*
 * A port that nobody listens on.  Below the ephemeral range, so that no outgoing
 * connection takes it between now and the moment somebody binds it.
 */
export async function free_port()
{
	for (;;) {
		const port = 18000 + Math.floor(Math.random() * 14000);
		if (handed_out.has(port))
			continue;
		const free = await new Promise((done) => {
			const probe = net.createServer();
			probe.once('error', () => done(false));
			probe.listen(port, '0.0.0.0', () => probe.close(() => done(true)));
		});
		if (free) {
			handed_out.add(port);
			return port;
		}
	}
}

export function can_connect(where)
{
	return new Promise((done) => {
		const s = net.connect(where);
		s.once('connect', () => { s.destroy(); done(true); });
		s.once('error', () => done(false));
	});
}

/* The I-th client's own address; all of 127/8 is ours on Linux. */
export const client_address = (i) => `127.${1 + ((i >> 16) & 63)}.${(i >> 8) & 255}.${(i & 255) || 77}`;
