/* SPDX-License-Identifier: MIT */
/* The sheet with one worker or host in detail, what may be done to it, and the question before it is done. */

const ACTIONS = {
	ready: { label: 'Ready', title: 'Put back', done: 'takes sessions again', says: 'It takes new sessions again as soon as its checks say that it is up.' },
	drain: { label: 'Drain', title: 'Drain', done: 'drains', says: 'It takes no new session. Those that live there go on until they end.' },
	maint: { label: 'Maintenance', title: 'Take out', done: 'is in maintenance', says: 'It serves nobody: its sessions must start anew on other workers.' },
};

function toast(text, is_bad)
{
	const node = el('p', { class: is_bad ? 'toast bad' : 'toast' }, text);
	$('toasts').append(node);
	setTimeout(() => node.remove(), is_bad ? 8000 : 4000);
}

/* Resolves to whether the answer was yes. */
function ask(title, text, warning, yes)
{
	const dialog = $('confirm');
	return new Promise((answer) => {
		const no_button = el('button', { type: 'button', class: 'button' }, 'Cancel');
		const yes_button = el('button', { type: 'button', class: 'button primary', id: 'confirm-yes' }, yes);
		dialog.replaceChildren(el('h2', { id: 'confirm-title' }, title), el('p', {}, text),
			...(warning ? [el('p', { class: 'warning' }, warning)] : []), el('div', { class: 'buttons' }, no_button, yes_button));
		dialog.returnValue = '';
		no_button.addEventListener('click', () => dialog.close());
		yes_button.addEventListener('click', () => dialog.close('yes'));
		dialog.addEventListener('close', () => answer(dialog.returnValue === 'yes'), { once: true });
		dialog.showModal();
		no_button.focus();
	});
}

const path_of = (it) => it.worker === undefined ?
	`api/v1/hosts/${encodeURIComponent(it.backend.name)}/${encodeURIComponent(it.name)}` :
	`api/v1/servers/${encodeURIComponent(it.backend.name)}/${encodeURIComponent(it.name)}`;

async function post(path, body)
{
	const response = await fetch(path, { method: 'POST', credentials: 'same-origin',
		headers: { 'Content-Type': 'application/json', 'X-Limpet-Action': '1' }, body: JSON.stringify(body) });
	if (!response.ok)
		throw new Error((await response.text()).trim() || `status ${response.status}`);
}

async function act(it, state)
{
	const action = ACTIONS[state], is_host = it.worker === undefined, sum = is_host ? it.sum : sum_up([it]);
	const others = it.backend.sum.up - sum.up;
	const who = is_host ? `host ${it.name} (${count(it.servers.length, 'worker', 'workers')})` : it.name;
	const warning = state !== 'ready' && sum.up && others < 1 ? `No other worker of ${it.backend.name} takes new sessions.` : '';
	const lives = sum.sessions ? ` ${count(sum.sessions, 'session lives', 'sessions live')} there now.` : '';
	if (!await ask(`${action.title} ${who}?`, action.says + (state === 'ready' ? '' : lives), warning, action.label))
		return;
	try {
		await post(path_of(it), { state });
		toast(`${it.name} ${action.done}.`);
	} catch (error) {
		toast(`${it.name} is unchanged: ${error.message}`, true);
	}
}

const sheet = {
	it: null, detail: null,
	open_server(it) { this.open(it, `${it.name}`, 'Worker'); },
	open_host(it) { this.open(it, it.name, 'Host'); },
	open(it, title, kind)
	{
		const dialog = $('sheet');
		this.it = it;
		this.detail = null;
		this.badge = el('span', { class: 'badge' });
		this.says = el('p', { class: 'muted' });
		this.sessions = el('b');
		this.rate = el('b');
		this.opened = el('b');
		this.spark = new Spark(it.rates);
		this.list = el('dl', { class: 'details' });
		const fact = (value, label) => el('div', { class: 'fact' }, value, el('span', {}, label));
		const close = el('button', { type: 'button', class: 'icon-button close', 'aria-label': 'Close' }, icon('down'));
		close.addEventListener('click', () => dialog.close());
		this.buttons = Object.keys(ACTIONS).map((state) => {
			const button = el('button', { type: 'button', class: `button ${state}`, 'data-action': state }, icon({ ready: 'up', drain: 'drain', maint: 'maint' }[state]), ACTIONS[state].label);
			button.addEventListener('click', () => act(this.it, state));
			return button;
		});
		dialog.replaceChildren(
			el('div', { class: 'sheet-head' }, el('div', {}, el('p', { class: 'muted kind' }, `${kind} of ${it.backend.name}`), el('h2', { id: 'sheet-title' }, title)), close),
			el('div', { class: 'sheet-state' }, this.badge, this.says),
			el('div', { class: 'facts' }, fact(this.sessions, 'sessions'), fact(this.opened, 'open requests'), fact(this.rate, 'requests/s')),
			this.spark.node,
			model.info.can_act ? el('div', { class: 'buttons actions' }, ...this.buttons) :
				el('p', { class: 'note-box' }, icon('lock'), model.info.has_credentials ? 'This page may look and not touch: global.stats.http.admin is off.' :
					'Read-only: set a username and a password in global.stats.http to drain workers from here.'),
			this.list);
		if (!dialog.open)
			dialog.showModal();
		this.fetched = 0;
		this.update();
	},
	update()
	{
		const { it } = this;
		if (!$('sheet').open || !it)
			return;
		const is_host = it.worker === undefined, sum = is_host ? it.sum : sum_up([it]);
		if (model.backends.get(it.backend.name) !== it.backend || (is_host ? it.backend.hosts.get(it.name) : model.servers.get(it.id)) !== it) {
			set_text(this.says, 'It is not there any more.');
			for (const button of this.buttons)
				button.disabled = true;
			return;
		}
		const state = is_host ? STATES[sum.group] || UNKNOWN : state_of(it.state);
		this.badge.className = `badge ${is_host && sum.group === 'up' && sum.up < sum.n ? 'part' : state.group}`;
		set_text(this.badge, is_host && sum.group === 'up' ? `${sum.up}/${sum.n} up` : state.label);
		const now = is_host ? '' : { up: 'ready', drain: 'drain', maint: 'maint' }[it.state];
		for (const button of this.buttons)
			button.disabled = button.dataset.action === now;
		set_text(this.says, is_host ? GROUPS.filter(([group]) => sum[group]).map(([group, label]) => `${sum[group]} ${label.toLowerCase()}`).join(', ') : state.text);
		set_text(this.sessions, short(sum.sessions));
		set_text(this.rate, short(sum.rate));
		set_text(this.opened, short(sum.open));
		this.spark.draw();
		this.refresh();
	},
	/* The rest is asked for every other second, and only while it is looked at. */
	async refresh()
	{
		const { it } = this;
		if (Date.now() - this.fetched < 1900)
			return;
		this.fetched = Date.now();
		try {
			const response = await fetch(path_of(it), { credentials: 'same-origin' });
			if (response.ok && this.it === it)
				this.show(it.worker === undefined ? host_rows((await response.json()).host) : server_rows((await response.json()).server));
		} catch { /* the stream tells that the node is away */ }
	},
	show(rows)
	{
		if (this.list.children.length !== rows.length * 2)
			this.list.replaceChildren(...rows.flatMap(([name]) => [el('dt', {}, name), el('dd')]));
		rows.forEach(([name, value], i) => {
			set_text(this.list.children[2 * i], name);
			set_text(this.list.children[2 * i + 1], value);
		});
	},
};

const ago = (unix_ms) => unix_ms ? `${duration((model.unix_ms - unix_ms) / 1000)} ago` : 'never';

function server_rows(it)
{
	const c = it.counters, check = it.check;
	const outcome = check.kind === 'none' ? 'none configured' :
		[check.code || 'not yet', check.http_status || '', check.duration_ms >= 0 ? `in ${check.duration_ms} ms` : ''].filter(Boolean).join(' ');
	return [
		['Status', it.status],
		['Last change', ago(it.changed_unix_ms)],
		['Health check', outcome],
		...(check.text ? [['It said', check.text]] : []),
		...(check.agent_code ? [['Agent', `${check.agent_code} ${check.agent_text}`]] : []),
		...(it.address ? [['Address', it.address]] : []),
		['Weight', it.weight === it.user_weight ? String(it.weight) : `${it.weight} of ${it.user_weight}`],
		...(it.max_connections ? [['Slots', `${short(it.open)} of ${short(it.max_connections)}`]] : []),
		['Last request', ago(it.last_session_unix_ms)],
		['Requests', `${short(c.requests)}, at most ${short(it.request_rate_max)}/s`],
		['Answers', `${short(c.responses_2xx)} 2xx, ${short(c.responses_4xx)} 4xx, ${short(c.responses_5xx)} 5xx`],
		['Sessions born', short(c.handshakes)],
		['WebSockets', short(c.upgrades)],
		['Traffic', `${bytes(c.bytes_in)} in, ${bytes(c.bytes_out)} out`],
		['Errors', `${short(c.connect_errors)} connecting, ${short(c.response_errors)} answering`],
		['Went down', `${count(it.downs, 'time', 'times')}, ${duration(it.down_s)} in all`],
	];
}

function host_rows(it)
{
	return [
		['Workers', `${it.workers}${it.backup ? ', backup' : ''}`],
		['Taking sessions', String(it.up)],
		['Draining', String(it.drain)],
		['In maintenance', String(it.maint)],
		['Down', String(it.down)],
		['Weight', String(it.weight)],
	];
}

/* A click beside a dialog closes it. */
for (const id of ['sheet', 'confirm'])
	$(id).addEventListener('click', (event) => {
		const box = $(id).getBoundingClientRect();
		if (event.target === $(id) && (event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom))
			$(id).close();
	});
