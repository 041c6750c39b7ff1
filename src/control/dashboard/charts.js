/* SPDX-License-Identifier: MIT */
/* Sparklines, and bars of shares. */

const SPARK_WIDTH = 120, SPARK_HEIGHT = 28;

/* A History, three minutes at most: the newest second is at the right edge. */
class Spark {
	constructor(history)
	{
		this.history = history;
		this.area = svg('path', { class: 'area' });
		this.line = svg('path', { class: 'line' });
		this.node = svg('svg', { class: 'spark', viewBox: `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, this.area, this.line);
	}
	draw()
	{
		const { history } = this;
		const max = Math.max(history.max(), 1), step = SPARK_WIDTH / (Math.max(history.n, 60) - 1);
		const from = SPARK_WIDTH - (history.n - 1) * step;
		if (history.n < 2)
			return;
		let path = '';
		for (let i = 0; i < history.n; i++) {
			const y = SPARK_HEIGHT - 1.5 - history.get(i) / max * (SPARK_HEIGHT - 4);
			path += `${i ? 'L' : 'M'}${(from + i * step).toFixed(1)} ${y.toFixed(1)}`;
		}
		if (path === this.drawn)
			return;
		this.drawn = path;
		this.line.setAttribute('d', path);
		this.area.setAttribute('d', `${path}L${SPARK_WIDTH} ${SPARK_HEIGHT}L${from.toFixed(1)} ${SPARK_HEIGHT}Z`);
	}
}

/* A bar of parts: [[class, label]...]; update({class: number}). */
class Shares {
	constructor(parts, { legend = true } = {})
	{
		this.parts = parts.map(([name, label]) => {
			const bar = el('span', { class: `share ${name}` });
			const value = el('b');
			const entry = el('span', { class: `legend ${name}` }, el('i', { 'aria-hidden': 'true' }), `${label} `, value);
			return { name, label, bar, value, entry };
		});
		this.bar = el('div', { class: 'shares', role: 'img' }, ...this.parts.map((part) => part.bar));
		this.node = el('div', { class: 'shares-box' }, this.bar);
		if (legend)
			this.node.append(el('div', { class: 'legends' }, ...this.parts.map((part) => part.entry)));
	}
	update(numbers)
	{
		const sum = this.parts.reduce((all, part) => all + (numbers[part.name] || 0), 0);
		const said = [];
		for (const part of this.parts) {
			const n = numbers[part.name] || 0;
			/* A share that is there is seen, however small it is. */
			const grow = n ? Math.max(n / sum, 0.012) : 0;
			if (part.grow !== grow) {
				part.grow = grow;
				part.bar.style.flexGrow = grow;
				part.bar.hidden = !n;
			}
			set_text(part.value, short(n));
			set_class(part.entry, 'none', !n);
			if (n)
				said.push(`${part.label} ${short(n)}`);
		}
		const label = said.join(', ') || 'none yet';
		if (this.said !== label)
			this.bar.setAttribute('aria-label', this.said = label);
	}
}
