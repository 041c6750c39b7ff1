/* SPDX-License-Identifier: MIT */
/*
 * Limpet itself as a child process.  JSON is YAML, so configurations are plain objects here.
 * stop() is part of every test: it asks for a clean exit and looks for sanitizer reports.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { REPO, can_connect, temp_dir, wait_for, watch_child, with_limit } from './util.mjs';

const CANDIDATES = [process.env.LIMPET, path.join(REPO, 'limpet'), path.join(REPO, 'build/limpet')];
export const BINARY = process.env.LIMPET || CANDIDATES.find((file) => file && fs.existsSync(file));
const BAD_NEWS = /AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:|\bBUG\b|assertion|double free|stack smashing/i;

/* Boilerplate of every configuration here. */
export function with_global(config, dir, name = 'limpet')
{
	return {
		global: {
			node: name, threads: 2, shutdown_grace: '2s', log: { target: 'stderr', format: 'json' },
			...(config.global || {}),
			stats: { socket: `unix:${dir}/${name}.stats`, ...config.global?.stats },
		},
		...Object.fromEntries(Object.entries(config).filter(([key]) => key !== 'global')),
	};
}

/*
 * CONFIG: an object with frontends and backends.  PORTS: what must accept before we go on.
 * ENTER: the words of a command that runs it elsewhere, in another network namespace, say.
 */
export async function start_limpet(config, { ports = [], name = 'limpet', env = {}, enter = [], address = '127.0.0.1' } = {})
{
	if (!BINARY)
		throw new Error('no limpet binary: build it, or name it in the environment variable LIMPET');
	const dir = temp_dir('l');
	const file = path.join(dir, `${name}.yaml`);
	fs.writeFileSync(file, JSON.stringify(with_global(config, dir, name), null, 2) + '\n');

	const [program, ...words] = [...enter, BINARY, '-f', file];
	const child = watch_child(spawn(program, words, {
		stdio: ['ignore', 'pipe', 'pipe'],
		env: {
			ASAN_OPTIONS: 'abort_on_error=0:exitcode=99:detect_leaks=1', UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1:exitcode=98',
			...process.env, ...env,
		},
	}));
	const me = { child, file, dir, name, log: '', ended: null, stats_path: `${dir}/${name}.stats` };
	const save = (part) => { me.log += part; };
	child.stdout.setEncoding('utf8').on('data', save);
	child.stderr.setEncoding('utf8').on('data', save);
	me.exit = new Promise((done) => {
		child.once('error', (error) => done(me.ended = { error: error.message }));
		child.once('close', (code, signal) => done(me.ended = { code, signal }));
	});

	me.tail = () => me.log.split('\n').filter((line) => !line.includes('"type":"request"')).slice(-25).join('\n');
	me.stats = (command) => new Promise((done, fail) => {
		let text = '';
		const s = net.connect(me.stats_path, () => s.write(`${command}\n`));
		s.setEncoding('utf8').on('data', (part) => { text += part; });
		s.once('error', fail);
		s.once('close', () => done(text));
	});
	/* SIGKILL, at this very moment. */
	me.kill = async () => {
		me.is_killed = true;
		child.kill('SIGKILL');
		await me.exit;
	};
	/* All that is wrong with this run of limpet, as sentences; empty is good. */
	me.stop = async () => {
		const wrong = [];
		if (me.is_killed) {
			await me.exit;
		} else if (me.ended) {
			wrong.push(`${name} ended by itself: ${JSON.stringify(me.ended)}\n${me.tail()}`);
		} else {
			child.kill('SIGTERM');
			try {
				await with_limit(me.exit, 8000, `${name} ended after SIGTERM`);
				if (me.ended.code !== 0)
					wrong.push(`${name} ended with ${JSON.stringify(me.ended)} after SIGTERM\n${me.tail()}`);
			} catch (error) {
				wrong.push(`${error.message}\n${me.tail()}`);
				child.kill('SIGKILL');
				await me.exit;
			}
		}
		const bad = me.log.split('\n').findIndex((line) => BAD_NEWS.test(line) && !line.startsWith('{'));
		if (bad >= 0)
			wrong.push(`${name} reported: ${me.log.split('\n').slice(bad, bad + 25).join('\n')}`);
		if (wrong.length && process.env.E2E_KEEP)
			fs.writeFileSync(path.join(dir, 'log'), me.log);
		return wrong;
	};

	try {
		for (const port of ports)
			await wait_for(() => me.ended || can_connect({ port, host: address }), `${name} accepting on ${port}`, 10000, 20);
		if (me.ended)
			throw new Error(`${name} did not start: ${JSON.stringify(me.ended)}`);
	} catch (error) {
		child.kill('SIGKILL');
		throw new Error(`${error.message}\n${me.log}\n${fs.readFileSync(file, 'utf8')}`);
	}
	return me;
}
