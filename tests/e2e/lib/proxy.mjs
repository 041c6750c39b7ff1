/* SPDX-License-Identifier: MIT */
/*
 * The thing under test in front of a cluster: Limpet in one tier or in two, or (E2E_PROXY)
 * the relay that shows what the suites must accept and what they must refuse.
 */
import { FULL, PROXY, free_port, wait_for } from './util.mjs';
import { request } from './http.mjs';
import { start_limpet } from './limpet.mjs';
import { start_relay } from './relay.mjs';

const CHECK = { http: '/healthz', interval: '500ms', timeout: '2s', fall: 2, rise: 1 };

/* How limpet is told of a host's workers. */
export function host_entry(host, net)
{
	if (net !== 'tcp')
		return `unix:${host.dir}/*.sock`;
	return { address: host.workers[0].spec?.address || '127.0.0.1', workers: host.workers.map((worker) => worker.port) };
}

/*
 * CLUSTER: {hosts: [{name, dir, workers: [{name, where()}]}], spec: {net, proxy}}.
 * Returns {port, relay?, limpets, stop()}; stop() gives a list of complaints.
 */
export async function start_proxy(cluster, { tiers = 1, stick = 'engineio', inner_stick, balance, backend = {}, frontend = {}, mode } = {})
{
	if (PROXY !== 'limpet') {
		const relay = await start_relay(() => cluster.hosts.flatMap((host) => host.workers),
			{ mode: mode || (Array.isArray(stick) && !stick.length ? 'round_robin' : PROXY === 'control' ? 'round_robin' : 'sticky') });
		return { port: relay.port, limpets: [], relay, stop: async () => { await relay.stop(); return []; } };
	}

	const to_workers = {
		forwarded: cluster.spec.proxy ? 'none' : 'x_forwarded_for', send_proxy: cluster.spec.proxy ? 'v2' : 'none',
		health_check: CHECK, ...(balance ? { balance } : {}),
	};
	const limpets = [];
	const port = await free_port();
	if (tiers === 1) {
		limpets.push(await start_limpet({
			frontends: { web: { bind: `127.0.0.1:${port}`, backend: 'chat', ...frontend } },
			backends: {
				chat: {
					stick, ...to_workers, ...backend,
					hosts: Object.fromEntries(cluster.hosts.map((host) => [host.name, host_entry(host, cluster.spec.net)])),
				},
			},
		}, { ports: [port] }));
	} else {
		const hosts = {};
		for (const host of cluster.hosts) {
			const inner = await free_port();
			hosts[host.name] = { address: `127.0.0.1:${inner}` };
			limpets.push(await start_limpet({
				frontends: { node: { bind: { address: `127.0.0.1:${inner}`, accept_proxy: ['127.0.0.0/8'] }, backend: 'chat' } },
				backends: {
					chat: { stick: inner_stick || stick, ...to_workers, ...backend, hosts: { local: host_entry(host, cluster.spec.net) } },
				},
			}, { ports: [inner], name: `inner-${host.name}` }));
		}
		limpets.unshift(await start_limpet({
			frontends: { web: { bind: `127.0.0.1:${port}`, backend: 'chat', ...frontend } },
			backends: {
				chat: { stick, ...(balance ? { balance } : {}), ...backend, send_proxy: 'v2', forwarded: 'none', health_check: CHECK, hosts },
			},
		}, { ports: [port], name: 'edge' }));
	}
	/* Checks may hold new servers back for a moment; no test is about that moment. */
	await wait_for(() => request({ port }, '/healthz').then((answer) => answer.status === 200, () => false),
		() => `the proxy passing /healthz\n${limpets.map((limpet) => limpet.tail()).join('\n')}`, 10000, 50);
	return {
		port, limpets,
		stop: async () => (await Promise.all(limpets.map((limpet) => limpet.stop()))).flat(),
	};
}

/* A duration that a sanitizer build on a busy machine may stretch. */
export const slack = (ms) => ms * Number(process.env.E2E_SLACK || 1);
export const sessions_of = (fast, full) => Number(process.env.E2E_SESSIONS || (FULL ? full : fast));
