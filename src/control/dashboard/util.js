'use strict';
/* SPDX-License-Identifier: MIT */
/* Elements, numbers as people read them, and short histories.  Text from outside only ever becomes textContent. */

const $ = (id) => document.getElementById(id);

/* el('p', {class: 'x', hidden: true}, 'text', child...) */
function el(tag, attrs, ...children)
{
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(attrs || {})) {
		if (value === true)
			node.setAttribute(name, '');
		else if (value !== false && value !== undefined && value !== null)
			node.setAttribute(name, value);
	}
	node.append(...children);
	return node;
}

function svg(tag, attrs, ...children)
{
	const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const [name, value] of Object.entries(attrs || {}))
		node.setAttribute(name, value);
	node.append(...children);
	return node;
}

function icon(name)
{
	return svg('svg', { class: 'icon', 'aria-hidden': 'true' }, svg('use', { href: `#i-${name}` }));
}

function set_icon(node, name)
{
	node.firstChild.setAttribute('href', `#i-${name}`);
}

/* Writes only what has changed: the browser lays out what is touched. */
function set_text(node, text)
{
	if (node.shown !== text) {
		node.shown = text;
		node.textContent = text;
	}
}

function set_class(node, name, on)
{
	if (node.classList.contains(name) !== on)
		node.classList.toggle(name, on);
}

/* The children of PARENT become NODES, in that order; those that are there stay. */
function set_children(parent, nodes)
{
	const wanted = new Set(nodes);
	for (const child of [...parent.children])
		if (!wanted.has(child))
			child.remove();
	nodes.forEach((node, i) => {
		if (parent.children[i] !== node)
			parent.insertBefore(node, parent.children[i] || null);
	});
}

/* 1234567 -> "1.23M" */
function short(n)
{
	if (!Number.isFinite(n))
		return '–';
	for (const [size, unit] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
		if (Math.abs(n) < size)
			continue;
		const value = n / (unit === 'k' ? 1e3 : size);
		return (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)) + unit;
	}
	return Math.round(n).toLocaleString('en');
}

function bytes(n)
{
	for (const [size, unit] of [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']])
		if (n >= size)
			return `${(n / size).toFixed(n / size >= 100 ? 0 : 1)} ${unit}`;
	return `${n} B`;
}

function duration(s)
{
	s = Math.max(0, Math.floor(s));
	if (s < 60)
		return `${s} s`;
	if (s < 3600)
		return `${Math.floor(s / 60)} min`;
	if (s < 86400)
		return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
	return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

const count = (n, one, many) => `${short(n)} ${n === 1 ? one : many}`;

/* The last HISTORY seconds of one number. */
const HISTORY = 180;

class History {
	constructor()
	{
		this.values = new Float32Array(HISTORY);
		this.at = 0;
		this.n = 0;
	}
	push(value)
	{
		this.values[this.at] = value;
		this.at = (this.at + 1) % HISTORY;
		if (this.n < HISTORY)
			this.n++;
	}
	/* I-th of the last N, oldest first. */
	get(i)
	{
		return this.values[(this.at - this.n + i + HISTORY) % HISTORY];
	}
	max()
	{
		let max = 0;
		for (let i = 0; i < this.n; i++)
			max = Math.max(max, this.get(i));
		return max;
	}
}
