/* SPDX-License-Identifier: MIT */
/* The certificates in use, those that end first at the top. */

const CERTIFICATES_SHOWN = 40;
const DAY_S = 86400;

/* How a certificate looks with LEFT seconds to go: as the log warns. */
function certificate_state(left)
{
	if (left < 0)
		return ['down', 'Expired'];
	const days = Math.floor(left / DAY_S);
	const text = left < 2 * DAY_S ? count(Math.floor(left / 3600), 'hour', 'hours') : count(days, 'day', 'days');
	return [left < DAY_S ? 'down' : left < 7 * DAY_S ? 'sick' : left < 30 * DAY_S ? 'drain' : 'up', text];
}

function certificate_staple(it, now_s)
{
	if (it.ocsp_failure)
		return `OCSP: ${it.ocsp_failure}`;
	if (!it.ocsp)
		return '';
	return it.ocsp_next_update_unix_s && it.ocsp_next_update_unix_s < now_s ? 'OCSP response has run out' : `OCSP ${it.ocsp}`;
}

/* Paths are cut for those who give no credentials: two may look the same. */
const certificate_key = (it) => [it.path, it.name, it.key, it.not_after_unix_s].join('\n');

const certificates_view = {
	nodes: new Map(),
	node_of(it, now_s)
	{
		let at = this.nodes.get(certificate_key(it));
		if (!at) {
			at = { badge: el('span', { class: 'badge' }), name: el('b'), text: el('span', { class: 'muted' }) };
			at.node = el('li', { class: 'peer certificate' }, at.badge, at.name, at.text);
			this.nodes.set(certificate_key(it), at);
		}
		const [group, label] = certificate_state(it.not_after_unix_s - now_s);
		at.badge.className = `badge ${group}`;
		set_text(at.badge, label);
		set_text(at.name, it.name);
		const more = it.names_n > 1 ? `${count(it.names_n, 'name', 'names')}` : '';
		const source = it.from_memory ? 'set on the stats socket' : '';
		set_text(at.text, [it.key, more, it.binds.join(', '), it.path, source, certificate_staple(it, now_s)].filter((text) => text).join(' · '));
		at.node.title = `${it.names.join(', ')}${it.names_n > it.names.length ? ', …' : ''}\nuntil ${new Date(it.not_after_unix_s * 1000).toISOString().slice(0, 16).replace('T', ' ')} UTC\nby ${it.issuer}`;
		return at.node;
	},
	update()
	{
		const all = model.certificates;
		$('certificates-section').hidden = !all.length;
		if (!all.length)
			return;
		if (!this.list) {
			this.list = el('ul', { class: 'peers', id: 'certificates-list' });
			this.rest = el('p', { class: 'muted summary', id: 'certificates-rest' });
			$('certificates').append(el('article', { class: 'card mirror' }, this.list, this.rest));
		}
		const now_s = model.unix_ms / 1000;
		const shown = [...all].sort((a, b) => a.not_after_unix_s - b.not_after_unix_s).slice(0, CERTIFICATES_SHOWN);
		set_children(this.list, shown.map((it) => this.node_of(it, now_s)));
		const left = all.length - shown.length;
		set_text(this.rest, left ? `and ${count(left, 'certificate', 'certificates')} that ${left === 1 ? 'ends' : 'end'} later` : '');
		this.rest.hidden = !left;
		const keys = new Set(shown.map(certificate_key));
		for (const key of this.nodes.keys())
			if (!keys.has(key))
				this.nodes.delete(key);
	},
};
