/* SPDX-License-Identifier: MIT */
/* The mirror: how this node shares its sessions, with whom, and what is wrong with that. */

const MIRROR_STATES = {
	up: ['up', 'Up'], loading: ['drain', 'Comparing'], paused: ['maint', 'Paused'], away: ['down', 'Redis is away'],
};
const MIRROR_ACTIONS = {
	pause: { label: 'Pause', icon: 'maint', title: 'Pause the mirror?', done: 'The mirror is paused.',
		says: 'This node goes on with its own tables. What changes is marked, and told when the mirror goes on.',
		warning: 'The other nodes do not learn of sessions that begin here meanwhile.' },
	resume: { label: 'Resume', icon: 'up', title: 'Go on with the mirror?', done: 'The mirror goes on.', says: 'Marked changes are told, and everything is compared.' },
	resync: { label: 'Compare', icon: 'drain', title: 'Compare everything with Redis?', done: 'All entries are being compared.',
		says: 'All entries are read from Redis at the rate of global.mirror.resync_rate. Sessions go on.' },
};

const mirror_view = {
	peers: new Map(),
	build()
	{
		const fact = (value, label) => el('div', { class: 'fact' }, value, el('span', {}, label));
		this.badge = el('span', { class: 'badge', id: 'mirror-state' });
		this.where = el('p', { class: 'muted summary' });
		this.facts = ['lag', 'dirty', 'conflicts', 'resyncs', 'sessions'].map(() => el('b'));
		this.problems = el('ul', { class: 'problems', id: 'mirror-problems', role: 'status' });
		this.list = el('ul', { class: 'peers', id: 'mirror-peers' });
		this.loss = el('p', { class: 'muted summary', id: 'mirror-loss' });
		this.buttons = Object.entries(MIRROR_ACTIONS).map(([name, action]) => {
			const button = el('button', { type: 'button', class: 'button', 'data-mirror': name }, icon(action.icon), action.label);
			button.addEventListener('click', () => this.act(name));
			return button;
		});
		this.actions = el('div', { class: 'buttons' }, ...this.buttons);
		const [lag, dirty, conflicts, resyncs, sessions] = this.facts;
		this.dirty_fact = fact(dirty, 'not yet told');
		this.node = el('article', { class: 'card mirror' },
			el('div', { class: 'card-head' },
				el('div', { class: 'card-title' }, this.badge, this.where),
				el('div', { class: 'facts' }, fact(lag, 'lag'), this.dirty_fact, fact(conflicts, 'conflicts'), fact(resyncs, 'comparisons'), fact(sessions, 'sessions of the pair')),
				this.actions),
			this.problems, this.list, this.loss);
		$('mirror').append(this.node);
	},
	async act(name)
	{
		const action = MIRROR_ACTIONS[name];
		if (!await ask(action.title, action.says, action.warning, action.label))
			return;
		try {
			await post('api/v1/mirror', { action: name });
			toast(action.done);
		} catch (error) {
			toast(`The mirror is unchanged: ${error.message}`, true);
		}
	},
	peer_node(peer)
	{
		let it = this.peers.get(peer.name);
		if (!it) {
			it = { badge: el('span', { class: 'badge' }), text: el('span', { class: 'muted' }) };
			it.node = el('li', { class: 'peer' }, el('b', {}, peer.name), it.badge, it.text);
			this.peers.set(peer.name, it);
		}
		const [group, label] = peer.present === null ? ['maint', 'Unknown'] : !peer.present ? ['down', 'Gone'] :
			peer.key_mismatch ? ['down', 'Another secret'] : peer.servers_differ ? ['drain', 'Other servers'] : ['up', 'There'];
		it.badge.className = `badge ${group}`;
		set_text(it.badge, label);
		const seen = peer.seen_ms === null || peer.seen_ms < 3000 ? '' : ` · heard ${duration(peer.seen_ms / 1000)} ago`;
		set_text(it.text, `${count(peer.entries, 'entry', 'entries')} · limpet ${peer.version} · mirror ${peer.state}${seen}`);
		return it.node;
	},
	update()
	{
		const it = model.mirror;
		$('mirror-section').hidden = !it;
		if (!it)
			return;
		if (!this.node)
			this.build();
		const [group, label] = MIRROR_STATES[it.state] || ['down', it.state];
		this.badge.className = `badge ${group}`;
		set_text(this.badge, label);
		set_text(this.where, `${it.mode} · for ${duration(it.state_s)}${it.redis ? ` · ${it.redis}` : ''}`);
		const [lag, dirty, conflicts, resyncs, sessions] = this.facts;
		set_text(lag, `${short(it.lag_ms)} ms`);
		set_text(dirty, short(it.dirty));
		set_text(conflicts, short(it.conflicts));
		set_text(resyncs, short(it.resyncs));
		set_text(sessions, short(it.pair.sessions));
		set_class(this.dirty_fact, 'warn', it.dirty > 0 && it.state !== 'up');
		this.actions.hidden = !model.info.can_act;
		for (const button of this.buttons) {
			const name = button.dataset.mirror;
			button.hidden = name === 'pause' ? it.state === 'paused' : name === 'resume' ? it.state !== 'paused' : false;
			button.disabled = name === 'resync' && it.state !== 'up';
		}
		if (this.problems.shown !== it.problems.join('\n')) {
			this.problems.shown = it.problems.join('\n');
			this.problems.replaceChildren(...it.problems.map((text) => el('li', { class: 'problem' }, text)));
		}
		this.problems.hidden = !it.problems.length;
		set_children(this.list, it.peers.map((peer) => this.peer_node(peer)));
		for (const name of this.peers.keys())
			if (!it.peers.some((peer) => peer.name === name))
				this.peers.delete(name);
		set_text(this.loss, it.last_loss ? `Last loss: ${it.last_loss} (${count(it.losses, 'loss', 'losses')} in all)` : '');
		this.loss.hidden = !it.last_loss;
	},
};
