/* SPDX-License-Identifier: MIT */
/* The stream of events and its ends; the filter; light and dark. */

const live = { source: null, opened: 0, last: 0, tries: 0, timer: null };

function show_live(kind, text, banner)
{
	$('live').className = `pill ${kind}`;
	set_text($('live-text'), text);
	set_text($('banner'), banner || '');
	$('banner').hidden = !banner;
	$('banner').className = kind === 'drain' ? 'banner soft' : 'banner';
	set_class(document.body, 'stale', kind === 'down');
}

function live_check()
{
	const age = live.last ? Math.round((Date.now() - live.last) / 1000) : 0;
	if (live.last && age <= 3) {
		if (model.process.draining)
			show_live('drain', 'Stopping', 'This node is stopping: it takes no new connections, and the open ones may end.');
		else
			show_live('up', 'Live');
		return;
	}
	if (live.last)
		show_live('down', `Stale, ${duration(age)}`, 'No news from the node: what you see is old. Trying again…');
	/* A stream that is open and silent is dead, whatever the browser thinks; one that is being made may wait for a password. */
	if (live.source?.readyState === EventSource.CLOSED || (live.last && live.source?.readyState === EventSource.OPEN && Date.now() - Math.max(live.last, live.opened) > 10000))
		reconnect();
}

function reconnect()
{
	if (live.timer)
		return;
	live.source?.close();
	live.timer = setTimeout(() => {
		live.timer = null;
		connect();
	}, Math.min(500 * 2 ** live.tries++, 8000));
}

async function info_fetch()
{
	try {
		const response = await fetch('api/v1/info', { credentials: 'same-origin' });
		if (response.ok)
			model.info = await response.json();
	} catch {
		return;
	}
	set_text($('access'), model.info.can_act ? 'Operator' : 'Read-only');
	$('access').hidden = false;
	set_text($('foot-text'), model.info.can_act ? 'Workers and hosts can be drained, taken out and put back: choose one.' :
		model.info.has_credentials ? 'This page is read-only (global.stats.http.admin is off).' :
			'This page is read-only: without credentials in global.stats.http nobody changes anything here.');
}

function on_event(event, is_full)
{
	const is_first = !live.last;
	model_apply(JSON.parse(event.data), is_full);
	live.last = Date.now();
	live.tries = 0;
	draw(is_full);
	live_check();
	if (is_full)
		info_fetch();
	if (is_first)
		set_class(document.body, 'ready', true);
}

function connect()
{
	live.opened = Date.now();
	live.source = new EventSource('api/v1/events');
	live.source.addEventListener('full', (event) => on_event(event, true));
	live.source.addEventListener('delta', (event) => model.process && on_event(event, false));
	live.source.addEventListener('error', () => {
		if (!live.last)
			show_live('wait', 'Connecting', live.source.readyState === EventSource.CLOSED ? 'The node refuses the stream of events; trying again…' : '');
		if (live.source.readyState === EventSource.CLOSED)
			reconnect();
	});
}

const THEMES = { auto: 'as the system', light: 'light', dark: 'dark' };

function theme_set(theme)
{
	if (theme === 'auto')
		delete document.documentElement.dataset.theme;
	else
		document.documentElement.dataset.theme = theme;
	$('theme').setAttribute('aria-label', `Colours: ${THEMES[theme]}`);
	$('theme').title = `Colours: ${THEMES[theme]}`;
	try {
		localStorage.setItem('limpet-theme', theme);
	} catch { /* not kept, then */ }
}

function theme_read()
{
	try {
		const theme = localStorage.getItem('limpet-theme');
		return THEMES[theme] ? theme : 'auto';
	} catch {
		return 'auto';
	}
}

let theme = theme_read();
theme_set(theme);
$('theme').addEventListener('click', () => {
	const names = Object.keys(THEMES);
	theme_set(theme = names[(names.indexOf(theme) + 1) % names.length]);
});
$('search').addEventListener('input', () => {
	filter.text = $('search').value.trim().toLowerCase();
	apply_filter();
});
document.addEventListener('keydown', (event) => {
	if (event.key === '/' && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName) && !document.querySelector('dialog[open]')) {
		event.preventDefault();
		$('search').focus();
	}
});
setInterval(live_check, 1000);
/* A page that comes back from sleep does not wait for the browser to notice. */
document.addEventListener('visibilitychange', () => {
	if (!document.hidden && live.last && Date.now() - live.last > 5000) {
		live.tries = 0;
		reconnect();
	}
});
connect();
