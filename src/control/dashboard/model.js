/* SPDX-License-Identifier: MIT */
/* What is known of the node: the last full event, and the changes since. */

/* The states of a server, worst first: how they look and what they mean. */
const STATES = {
	down: { icon: 'down', label: 'Down', group: 'down', text: 'It serves nobody: its health check fails or it refuses connections.' },
	agent_down: { icon: 'down', label: 'Down (agent)', group: 'down', text: 'Its agent says that it is down.' },
	gone: { icon: 'gone', label: 'Gone', group: 'down', text: 'Its socket has vanished, or it is not configured any more.' },
	sick: { icon: 'sick', label: 'Sick', group: 'sick', text: 'Too many bad answers in traffic: no new sessions, its own go on.' },
	drain: { icon: 'drain', label: 'Draining', group: 'drain', text: 'It takes no new sessions; its own go on until they end.' },
	agent_drain: { icon: 'drain', label: 'Draining (agent)', group: 'drain', text: 'Its agent asks for no new sessions; its own go on.' },
	maint: { icon: 'maint', label: 'Maintenance', group: 'maint', text: 'Taken out by the operator: it serves nobody.' },
	agent_maint: { icon: 'maint', label: 'Maintenance (agent)', group: 'maint', text: 'Its agent says that it is in maintenance.' },
	up: { icon: 'up', label: 'Up', group: 'up', text: 'It takes new sessions.' },
};
const GROUPS = [['up', 'Up'], ['drain', 'Draining'], ['maint', 'Maintenance'], ['sick', 'Sick'], ['down', 'Down']];
const UNKNOWN = { icon: 'wait', label: 'Unknown', group: 'down', text: '' };
const state_of = (name) => STATES[name] || UNKNOWN;

const model = {
	info: { can_act: false, has_credentials: false },
	node: '', version: '', process: null, mirror: null, certificates: [], unix_ms: 0,
	frontends: new Map(),	/* by name */
	backends: new Map(),	/* by name; each with hosts and servers */
	servers: new Map(),	/* by id */
	requests: new History(), connections: new History(), sessions: new History(), errors: new History(),
};

/* What a counter grew by in a second; 0 at first, and when it was cleared. */
function rate_of(owner, key, now, unix_ms)
{
	const last = owner.last || (owner.last = {});
	const then = last[key];
	last[key] = { now, unix_ms };
	if (!then || now < then.now || unix_ms <= then.unix_ms)
		return 0;
	return (now - then.now) * 1000 / (unix_ms - then.unix_ms);
}

function frontend_update(data, unix_ms)
{
	let it = model.frontends.get(data.name);
	if (!it)
		model.frontends.set(data.name, it = { name: data.name, rates: new History() });
	it.data = data;
	it.errors = rate_of(it, '5xx', data.counters.responses_5xx, unix_ms);
	it.rates.push(data.request_rate);
	return it;
}

function server_update(it, [, state, status, weight, sessions, open, rate, check])
{
	it.is_changed = it.is_changed || it.state !== state || it.status !== status || it.sessions !== sessions ||
		it.open !== open || it.rate !== rate || it.weight !== weight;
	Object.assign(it, { state, status, weight, sessions, open, rate, check });
}

function backend_of(name)
{
	let it = model.backends.get(name);
	if (!it)
		model.backends.set(name, it = { name, hosts: new Map(), servers: [], rates: new History() });
	return it;
}

/* The servers of a full event: those that stay keep their history. */
function servers_replace(backend, list)
{
	const hosts = new Map();
	backend.servers = list.map((data) => {
		const known = model.servers.get(data.id);
		const it = known || { id: data.id, rates: new History() };
		Object.assign(it, { name: data.name, host: data.host, worker: data.worker || data.host, address: data.address, backup: data.backup, backend });
		server_update(it, [data.id, data.state, data.status, data.weight, data.sessions, data.open, data.request_rate, data.check_code]);
		model.servers.set(it.id, it);
		let host = hosts.get(it.host);
		if (!host) {
			host = backend.hosts.get(it.host) || { name: it.host, backend, rates: new History() };
			host.servers = [];
			hosts.set(it.host, host);
		}
		host.servers.push(it);
		it.host_of = host;
		return it;
	});
	backend.hosts = hosts;
}

/* Numbers of many workers in one place. */
function sum_up(servers)
{
	const sum = { n: servers.length, sessions: 0, open: 0, rate: 0, up: 0, drain: 0, maint: 0, sick: 0, down: 0 };
	for (const it of servers) {
		sum.sessions += it.sessions;
		sum.open += it.open;
		sum.rate += it.rate;
		sum[state_of(it.state).group]++;
	}
	sum.group = sum.up ? 'up' : sum.drain ? 'drain' : sum.sick ? 'sick' : sum.maint && !sum.down ? 'maint' : 'down';
	return sum;
}

function model_apply(event, is_full)
{
	model.unix_ms = event.unix_ms;
	model.process = event.process;
	model.mirror = event.mirror;
	if (is_full)
		model.certificates = event.certificates;
	if (is_full) {
		model.node = event.node;
		model.version = event.version;
		for (const [map, list] of [[model.frontends, event.frontends], [model.backends, event.backends]]) {
			const names = new Set(list.map((data) => data.name));
			for (const name of [...map.keys()])
				if (!names.has(name))
					map.delete(name);
			const order = list.map((data) => [data.name, map.get(data.name)]).filter(([, it]) => it);
			map.clear();
			order.forEach(([name, it]) => map.set(name, it));
		}
	}
	for (const data of event.frontends)
		frontend_update(data, event.unix_ms);
	for (const data of event.backends) {
		const backend = backend_of(data.name);
		backend.data = data;
		backend.no_server = rate_of(backend, 'no_server', data.counters.no_server, event.unix_ms);
		if (is_full)
			servers_replace(backend, data.servers);
		else
			for (const row of data.servers)
				if (model.servers.has(row[0]))
					server_update(model.servers.get(row[0]), row);
	}
	if (is_full) {
		const alive = new Set([...model.backends.values()].flatMap((backend) => backend.servers));
		for (const [id, it] of model.servers)
			if (!alive.has(it))
				model.servers.delete(id);
	}
	histories_push();
}

function histories_push()
{
	let errors = 0;
	for (const it of model.frontends.values())
		errors += it.errors;
	model.requests.push(model.process.request_rate);
	model.connections.push(model.process.connections);
	model.sessions.push(model.process.sessions);
	model.errors.push(errors);
	for (const backend of model.backends.values()) {
		backend.rates.push(backend.data.request_rate);
		backend.sum = sum_up(backend.servers);
		for (const host of backend.hosts.values()) {
			host.sum = sum_up(host.servers);
			host.rates.push(host.sum.rate);
			for (const it of host.servers)
				it.rates.push(it.rate);
		}
	}
}
