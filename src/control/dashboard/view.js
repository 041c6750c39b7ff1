/* SPDX-License-Identifier: MIT */
/* Draws the model.  Each thing has its elements for as long as it lives; a second's event changes what differs. */

const COMFORTABLE_MAX = 40, COMPACT_MAX = 240;	/* workers of a backend: large tiles, small ones, dots */

const filter = { text: '', groups: new Set() };

/* One number of the node, with its last three minutes. */
class Kpi {
	constructor(label, history)
	{
		this.value = el('span', { class: 'value' }, '–');
		this.note = el('span', { class: 'note' });
		this.spark = history && new Spark(history);
		this.node = el('div', { class: 'kpi' }, el('span', { class: 'label' }, label), this.value, this.note);
		if (this.spark)
			this.node.append(this.spark.node);
	}
	update(value, note)
	{
		set_text(this.value, value);
		set_text(this.note, note);
		this.spark?.draw();
	}
}

const kpis = {
	requests: new Kpi('Requests/s', model.requests),
	sessions: new Kpi('Live sessions', model.sessions),
	connections: new Kpi('Client connections', model.connections),
	errors: new Kpi('Server errors/s', model.errors),
	workers: new Kpi('Workers', null),
};
const worker_shares = new Shares(GROUPS.map(([group, label]) => [group, label]), { legend: false });
kpis.workers.node.append(worker_shares.node);
$('kpis').append(kpis.workers.node, kpis.requests.node, kpis.sessions.node, kpis.connections.node, kpis.errors.node);

function kpis_update(all)
{
	const { process } = model;
	const queued = [...model.backends.values()].reduce((sum, it) => sum + it.data.queued, 0);
	kpis.requests.update(short(process.request_rate), `peak ${short(model.requests.max())} in ${Math.min(3, Math.ceil(model.requests.n / 60)) || 1} min`);
	kpis.sessions.update(short(process.sessions), `${short(all.open)} requests open`);
	kpis.connections.update(short(process.connections), `${short(process.connection_rate)} new/s · limit ${short(process.connections_limit)}`);
	const errors = [...model.frontends.values()].reduce((sum, it) => sum + it.errors, 0);
	const failed = [...model.frontends.values()].reduce((sum, it) => sum + it.data.counters.responses_5xx, 0);
	kpis.errors.update(errors && errors < 10 ? errors.toFixed(1) : short(errors), `${short(failed)} in all · ${short(queued)} queued`);
	set_class(kpis.errors.node, 'bad', errors > 0);
	const out = GROUPS.filter(([group]) => group !== 'up' && all[group]).map(([group, label]) => `${all[group]} ${label.toLowerCase()}`);
	kpis.workers.update(`${short(all.up)} / ${short(all.n)}`, out.join(' · ') || (all.n ? 'all take new sessions' : 'none configured'));
	set_class(kpis.workers.node, 'bad', all.down > 0);
	worker_shares.update(all);
}

const CLASSES = [['s1', '1xx'], ['s2', '2xx'], ['s3', '3xx'], ['s4', '4xx'], ['s5', '5xx']];

class FrontendView {
	constructor(it)
	{
		this.it = it;
		this.state = el('span', { class: 'badge' });
		this.binds = el('p', { class: 'binds muted' });
		this.rate = el('b');
		this.connections = el('b');
		this.connection_rate = el('b');
		this.errors = el('b');
		this.tunnels = el('b');
		this.spark = new Spark(it.rates);
		this.shares = new Shares(CLASSES);
		const fact = (value, label) => el('div', { class: 'fact' }, value, el('span', {}, label));
		this.node = el('article', { class: 'card frontend' },
			el('div', { class: 'card-head' }, el('h3', {}, it.name), this.state, el('div', { class: 'spacer' }), this.binds),
			el('div', { class: 'frontend-body' },
				el('div', { class: 'facts' }, fact(this.rate, 'requests/s'), fact(this.connections, 'connections'), fact(this.connection_rate, 'new/s'),
					fact(this.tunnels, 'WebSockets'), fact(this.errors, 'refused')),
				this.spark.node),
			this.shares.node);
	}
	update()
	{
		const { data } = this.it, c = data.counters;
		const states = { open: ['up', 'Open'], full: ['drain', 'Full'], stopped: ['maint', 'Stopped'] };
		const [group, label] = states[data.state] || ['down', data.state];
		this.state.className = `badge ${group}`;
		set_text(this.state, label);
		set_text(this.binds, `${data.mode.toUpperCase()} · ${data.binds.join('  ')}`);
		set_text(this.rate, short(data.request_rate));
		set_text(this.connections, short(data.connections));
		set_text(this.connection_rate, short(data.connection_rate));
		set_text(this.tunnels, short(c.tunnels_now));
		const refused = c.request_errors + c.requests_denied + c.connections_refused;
		set_text(this.errors, short(refused));
		this.shares.update({ s1: c.responses_1xx, s2: c.responses_2xx, s3: c.responses_3xx, s4: c.responses_4xx, s5: c.responses_5xx });
		this.spark.draw();
	}
}

class TileView {
	constructor(it, density)
	{
		this.it = it;
		this.icon = icon('wait');
		this.node = el('button', { type: 'button', class: 'tile', tabindex: '-1', 'data-id': it.id });
		this.node.view = this;
		this.node.append(this.icon);
		if (density !== 'dots') {
			this.name = el('span', { class: 'tile-name' }, it.worker);
			this.number = el('span', { class: 'tile-number' });
			this.node.append(this.name, this.number);
		}
		if (density === 'comfortable') {
			this.spark = new Spark(it.rates);
			this.note = el('span', { class: 'tile-note' });
			this.node.append(this.note, this.spark.node);
		}
		this.density = density;
		it.is_changed = true;
	}
	update()
	{
		const { it } = this;
		this.spark?.draw();
		if (!it.is_changed)
			return false;
		it.is_changed = false;
		const state = state_of(it.state), starting = it.state === 'up' && /^UP \d/.test(it.status);
		const was = this.group;
		if (this.state !== it.state) {
			this.state = it.state;
			this.group = state.group;
			this.node.className = `tile ${state.group}`;
			set_icon(this.icon, state.icon);
		}
		set_class(this.node, 'shaky', starting);
		if (this.number)
			set_text(this.number, this.note ? `${short(it.rate)}/s` : short(it.sessions));
		if (this.note)
			set_text(this.note, this.note_of(state));
		const label = `${it.name}: ${state.label}, ${count(it.sessions, 'session', 'sessions')}, ${short(it.rate)} requests per second`;
		this.node.setAttribute('aria-label', label);
		if (this.density !== 'comfortable')
			this.node.title = label;
		return was !== this.group;
	}
	note_of(state)
	{
		const { it } = this;
		const has_sessions = it.sessions || it.backend.data.counters.sids_learned;
		if (state.group === 'up')
			return (has_sessions ? count(it.sessions, 'session', 'sessions') : `${short(it.open)} open`) + (it.backup ? ', backup' : '');
		return it.sessions ? `${state.label}, ${short(it.sessions)} left` : state.label;
	}
}

class HostView {
	constructor(it)
	{
		this.it = it;
		this.tiles = new Map();
		this.badge = el('span', { class: 'badge' });
		this.facts = el('span', { class: 'muted host-facts' });
		this.button = el('button', { type: 'button', class: 'host-name', 'aria-haspopup': 'dialog' }, el('span', {}, it.name), icon('more'));
		this.button.addEventListener('click', () => sheet.open_host(this.it));
		this.box = el('div', { class: 'tiles', role: 'group', 'aria-label': `Workers of ${it.name}` });
		this.box.addEventListener('keydown', (event) => walk_tiles(event, this.box));
		this.node = el('div', { class: 'host' }, el('div', { class: 'host-head' }, this.button, this.badge, this.facts), this.box);
	}
	place(density)
	{
		const nodes = this.it.servers.map((server) => {
			let tile = this.tiles.get(server.id);
			if (!tile || tile.it !== server || tile.density !== density)
				this.tiles.set(server.id, tile = new TileView(server, density));
			return tile.node;
		});
		const alive = new Set(this.it.servers.map((server) => server.id));
		for (const id of this.tiles.keys())
			if (!alive.has(id))
				this.tiles.delete(id);
		set_children(this.box, nodes);
		if (nodes.length && !nodes.some((node) => node.tabIndex === 0))
			nodes[0].tabIndex = 0;
	}
	/* True when some tile is in another state than before. */
	update()
	{
		const { sum } = this.it;
		let has_moved = false;
		const name = { up: 'Up', drain: 'Draining', maint: 'Maintenance', sick: 'Sick', down: 'Down' }[sum.group];
		this.badge.className = `badge ${sum.group === 'up' && sum.up < sum.n ? 'part' : sum.group}`;
		set_text(this.badge, sum.group === 'up' ? `${sum.up}/${sum.n} up` : name);
		set_text(this.facts, `${count(sum.sessions, 'session', 'sessions')} · ${short(sum.rate)}/s`);
		for (const tile of this.tiles.values())
			has_moved = tile.update() || has_moved;
		return has_moved;
	}
	/* Hides what the filter does not want; how many are left. */
	apply_filter(backend_matches)
	{
		const host_matches = backend_matches || matches(this.it.name);
		let n = 0;
		for (const tile of this.tiles.values()) {
			const wanted = (host_matches || matches(tile.it.name) || matches(tile.it.address)) &&
				(!filter.groups.size || filter.groups.has(state_of(tile.it.state).group));
			tile.node.hidden = !wanted;
			n += wanted;
		}
		this.node.hidden = !n;
		return n;
	}
}

const matches = (text) => !filter.text || (text || '').toLowerCase().includes(filter.text);

/* Arrow keys go from tile to tile; one of them is in the tab order. */
function walk_tiles(event, box)
{
	const tiles = [...box.children].filter((tile) => !tile.hidden);
	const at = tiles.indexOf(document.activeElement);
	const per_row = tiles.findIndex((tile) => tile.offsetTop > tiles[0].offsetTop);
	const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: per_row > 0 ? per_row : tiles.length, ArrowUp: per_row > 0 ? -per_row : -tiles.length };
	const to = event.key === 'Home' ? 0 : event.key === 'End' ? tiles.length - 1 : at + steps[event.key];
	if (at < 0 || !tiles[to])
		return;
	event.preventDefault();
	tiles[at].tabIndex = -1;
	tiles[to].tabIndex = 0;
	tiles[to].focus();
}

class BackendView {
	constructor(it)
	{
		this.it = it;
		this.hosts = new Map();
		this.badge = el('span', { class: 'badge' });
		this.summary = el('p', { class: 'muted summary' });
		this.rate = el('b');
		this.sessions = el('b');
		this.queued = el('b');
		this.failed = el('b');
		this.spark = new Spark(it.rates);
		const fact = (value, label) => el('div', { class: 'fact' }, value, el('span', {}, label));
		this.box = el('div', { class: 'hosts' });
		this.node = el('article', { class: 'card backend' },
			el('div', { class: 'card-head' },
				el('div', { class: 'card-title' }, el('h3', {}, it.name), this.badge, this.summary),
				el('div', { class: 'facts' }, fact(this.rate, 'requests/s'), fact(this.sessions, 'sessions'), fact(this.queued, 'queued'), fact(this.failed, 'not served')),
				this.spark.node),
			this.box);
		this.box.addEventListener('click', (event) => {
			const tile = event.target.closest('.tile');
			if (tile)
				sheet.open_server(tile.view.it);
		});
	}
	place()
	{
		const n = this.it.servers.length;
		const density = n <= COMFORTABLE_MAX ? 'comfortable' : n <= COMPACT_MAX ? 'compact' : 'dots';
		this.box.className = `hosts ${density}`;
		set_children(this.box, [...this.it.hosts.values()].map((host) => {
			let view = this.hosts.get(host.name);
			if (!view || view.it !== host)
				this.hosts.set(host.name, view = new HostView(host));
			view.place(density);
			return view.node;
		}));
		for (const name of this.hosts.keys())
			if (!this.it.hosts.has(name))
				this.hosts.delete(name);
	}
	update()
	{
		const { data, sum } = this.it;
		let has_moved = false;
		const is_up = data.state === 'up';
		this.badge.className = `badge ${!is_up ? 'down' : sum.up < sum.n ? 'part' : 'up'}`;
		set_text(this.badge, !sum.n ? 'No worker' : !is_up ? 'Down' : sum.up < sum.n ? `${sum.up} of ${sum.n} up` : 'Up');
		set_text(this.summary, `${count(this.it.hosts.size, 'host', 'hosts')}, ${count(sum.n, 'worker', 'workers')}`);
		set_text(this.rate, short(data.request_rate));
		set_text(this.sessions, short(data.sessions));
		set_text(this.queued, short(data.queued));
		set_text(this.failed, short(data.counters.no_server + data.counters.queue_timeouts));
		set_class(this.queued.parentNode, 'warn', data.queued > 0);
		set_class(this.failed.parentNode, 'bad', this.it.no_server > 0);
		this.spark.draw();
		for (const view of this.hosts.values())
			has_moved = view.update() || has_moved;
		return has_moved;
	}
	apply_filter()
	{
		const backend_matches = matches(this.it.name);
		let n = 0;
		for (const view of this.hosts.values())
			n += view.apply_filter(backend_matches);
		this.node.hidden = !n && (filter.text || filter.groups.size) && !(backend_matches && !filter.groups.size);
		return n;
	}
}

const frontend_views = new Map(), backend_views = new Map();

function views_of(map, things, View, parent)
{
	set_children(parent, [...things.values()].map((it) => {
		let view = map.get(it.name);
		if (!view || view.it !== it)
			map.set(it.name, view = new View(it));
		return view.node;
	}));
	for (const name of map.keys())
		if (!things.has(name))
			map.delete(name);
}

const chips = new Map(GROUPS.map(([group, label]) => {
	const number = el('b');
	const node = el('button', { type: 'button', class: `chip ${group}`, 'aria-pressed': 'false' }, icon(STATES[group].icon), `${label} `, number);
	node.addEventListener('click', () => {
		const on = !filter.groups.has(group);
		filter.groups[on ? 'add' : 'delete'](group);
		node.setAttribute('aria-pressed', on);
		apply_filter();
	});
	$('filters').append(node);
	return [group, { node, number }];
}));

function apply_filter()
{
	let n = 0;
	for (const view of backend_views.values())
		n += view.apply_filter();
	$('empty').hidden = n > 0 || (!filter.text && !filter.groups.size && model.backends.size > 0);
	set_text($('empty'), model.backends.size ? 'No worker is like that.' : 'No backend is configured.');
}

function draw(is_full)
{
	const all = sum_up([...model.servers.values()]);
	let has_moved = is_full;
	if (is_full) {
		views_of(frontend_views, model.frontends, FrontendView, $('frontends'));
		views_of(backend_views, model.backends, BackendView, $('backends'));
		for (const view of backend_views.values())
			view.place();
		set_text($('node'), model.node);
		$('frontends-section').hidden = !model.frontends.size;
	}
	set_text($('version'), `Limpet ${model.version} · up ${duration(model.process.uptime_s)}`);
	const title = `${all.down ? `(${all.down} down) ` : ''}${model.node} – Limpet`;
	if (document.title !== title)
		document.title = title;
	kpis_update(all);
	mirror_view.update();
	certificates_view.update();
	for (const view of frontend_views.values())
		view.update();
	for (const view of backend_views.values())
		has_moved = view.update() || has_moved;
	for (const [group, chip] of chips) {
		set_text(chip.number, String(all[group]));
		chip.node.hidden = !all[group] && !filter.groups.has(group);
	}
	if (has_moved)
		apply_filter();
	sheet.update();
}
