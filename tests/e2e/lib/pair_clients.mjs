/* SPDX-License-Identifier: MIT */
/*
 * Everything that talks to the address of a pair, in a process of its own on the clients' machine:
 *
 *   sessions   raw Socket.IO sessions that poll with pauses, so that at any moment many are between
 *              two requests; each from an address of its own
 *   bindings   clients that are bound by the application's cookie, and clients bound by their address
 *   prober     a new connection and a request every 20 ms: when was there service?  It has a process of
 *              its own, with nothing else to do
 *
 * Asked over IPC: {id, cmd, arg}.
 */
import { RawSession, ask, make_tally } from './raw.mjs';
import { sleep } from './util.mjs';

const { host, port, count, bound } = JSON.parse(process.env.E2E_PAIR);
/* No more than the kernel's table of neighbours holds. */
const address = (i) => `10.77.16.${1 + (i % 250)}`;
const bindings = [];
const probes = [];              /* [began, ended, what went wrong or ''] */
/* Between two echoes; more for many, so that the machine carries them. */
const PAUSE = 500 * Math.max(1, count / 250);
let is_talking = true;

const make_session = (i) => new RawSession(() => ({ host, port, from: address(i) }), make_tally(),
	{ is_steady: false, patience: 15000, connect_limit: 300, limit: 10000 });
const sessions = Array.from({ length: count }, (_, i) => make_session(i));

async function talk(session)
{
	while (is_talking && !session.is_broken) {
		await sleep(PAUSE + Math.random() * 2 * PAUSE);
		if (await session.echo())
			session.last_good_at = Date.now();
	}
}

/* Where each binding leads: the worker that answers, or what went wrong. */
async function where_bound()
{
	const all = [];
	for (const { path, from, cookie } of bindings) {
		const answer = await ask({ host, port, from }, 'GET', path, { headers: cookie ? { Cookie: cookie } : {}, connect_limit: 1000 })
			.catch((error) => ({ worker: error.message }));
		all.push(`${path} ${cookie || from}: ${answer.worker || `status ${answer.status}`}`);
	}
	return all;
}

async function probe()
{
	const began = Date.now();
	const wrong = await ask({ host, port }, 'GET', '/up', { limit: 400, connect_limit: 200 })
		.then((answer) => answer.status === 200 ? '' : `status ${answer.status}`, (error) => error.message);
	probes.push([began, Date.now(), wrong]);
}

const problems_of = (all) => all.flatMap((session) => session.tally.problems);
const between = () => sessions.filter((session) => session.sid && !session.is_old && !session.was_busy_then);

const COMMANDS = {
	/* Binds them all, one after the other. */
	bind: async () => {
		for (let i = 0; i < bound; i++) {
			const answer = await ask({ host, port }, 'GET', '/login');
			bindings.push({ path: '/cookie', cookie: answer.headers['set-cookie'][0].split(';')[0] });
			bindings.push({ path: '/address', from: address(i) });
		}
		return where_bound();
	},
	where_bound,
	probe: () => { setInterval(probe, 20); return true; },
	/* The sessions come, a few each moment. */
	start: async () => {
		await Promise.all(sessions.map(async (session, i) => {
			await sleep(i * 8);
			if (await session.open())
				talk(session);
		}));
		return problems_of(sessions);
	},
	/* Who was between two requests at [FROM, TO]?  To be asked soon: histories are short. */
	mark: ([from, to]) => {
		for (const session of sessions) {
			session.was_busy_then = session.was_busy(from, to);
			session.is_old = session.is_broken && !session.was_busy_then;
		}
		return { busy: sessions.filter((session) => session.was_busy_then).length, between: between().length };
	},
	/* How many of those have talked since AT, on the worker and with the sid that they had. */
	kept: (at) => between().filter((session) => !session.is_broken && session.last_good_at > at).length,
	problems: () => problems_of(between()),
	probes: (from) => probes.filter(([began]) => began >= from),
	/* Those that broke make a new session, in one attempt each. */
	renew: async () => {
		const broken = sessions.filter((session) => session.is_broken);
		for (const old of broken) {
			const i = sessions.indexOf(old);
			sessions[i] = make_session(i);
			if (await sessions[i].open())
				talk(sessions[i]);
		}
		return { broken: broken.length, problems: problems_of(sessions) };
	},
	stop: () => { is_talking = false; return true; },
};

process.on('message', async ({ id, cmd, arg }) => process.send({ id, result: await COMMANDS[cmd](arg) }));
process.on('disconnect', () => process.exit(0));
process.send({ ready: true });
