// SPDX-License-Identifier: MIT
//
// drain - ends a worker so that its clients hardly notice.
//
//	SERVING --signal--> HIDDEN --connections taken--> DRAINING --none left, or grace over-->
//	ENDING --flushed--> exit
//
// HIDDEN: the socket's name is gone, Limpet sends nobody new.  Connections that the kernel has
// already queued for us are still accepted, they would be reset otherwise.
// DRAINING: the listener is closed.  Requests and WebSockets that are open go on; idle keep-alive
// connections are closed, others close after their answer.  Polling sessions cannot go on, as each
// of their next requests may need a new connection and nobody finds us any more: they are ended
// at once, and their clients make a new handshake elsewhere.
// ENDING: Socket.IO closes its sessions, all that is left is cut.
//
// Sessions are closed on the Engine.IO level only.  A Socket.IO disconnect packet would tell the
// client "io server disconnect", after which it does not come back by itself.
'use strict';

const { unpublish } = require('./listen');
const { waitingSockets } = require('./accept');

const GRACE_MS = 10_000;
const QUEUED_MS = 100; // for connections in the kernel's queue when the name went
const SWEEP_MS = 50; // between looks for idle connections
const FLUSH_MS = 500; // for last frames to leave

function drain(server, { io, grace = GRACE_MS, signal = 'SIGTERM', exit = true } = {}) {
	const signals = signal ? [].concat(signal) : [];
	const open = new Set(); // every connection, upgraded ones too
	let draining = null;

	server.on('connection', (socket) => {
		open.add(socket);
		socket.once('close', () => open.delete(socket));
	});
	const onSignal = () => {
		if (draining && exit)
			process.exit(1); // asked twice: at once
		stop();
	};
	for (const each of signals)
		process.on(each, onSignal);

	function stop() {
		draining ??= run({ server, io, grace, open }).finally(() => {
			for (const each of signals)
				process.off(each, onSignal);
			if (exit)
				process.exit();
		});
		return draining;
	}
	return stop;
}

async function run({ server, io, grace, open }) {
	const closed = new Promise((resolve) => server.once('close', resolve));
	const over = Date.now() + grace;
	lastAnswers(server, open);
	if (unpublish(server))
		await sleep(QUEUED_MS);
	server.close();
	closePolling(io);
	// Again and again: an answer whose head had left before may yet leave its connection idle.
	closeIdle(server);
	const sweep = setInterval(closeIdle, SWEEP_MS, server).unref();
	await Promise.race([closed, patience(over - Date.now())]);
	clearInterval(sweep);

	if (io)
		await Promise.race([io.close(), patience(FLUSH_MS)]);
	await Promise.race([closed, patience(FLUSH_MS)]);
	for (const socket of [...open, ...waitingSockets(server)])
		socket.destroy();
	await closed;
}

// Node keeps connections alive even when it has stopped listening.  From here on every answer says
// that it is the last: those to come, and those that are due and have not begun.
function lastAnswers(server, open) {
	server.prependListener('request', (req, res) => {
		res.shouldKeepAlive = false;
	});
	for (const socket of open)
		if (socket._httpMessage && !socket._httpMessage.headersSent)
			socket._httpMessage.shouldKeepAlive = false;
}

function closeIdle(server) {
	if (server.closeIdleConnections) // a plain net.Server knows no idle ones
		server.closeIdleConnections();
}

function closePolling(io) {
	const sessions = io && io.engine ? Object.values(io.engine.clients || {}) : [];
	for (const session of sessions)
		if (session.transport.name === 'polling' && !session.upgrading)
			session.close();
}

function sleep(ms) {
	return new Promise((resolve) => {
		setTimeout(resolve, ms);
	});
}

// As sleep, but keeps no process alive that has nothing else to do.
function patience(ms) {
	return new Promise((resolve) => {
		setTimeout(resolve, Math.max(0, ms)).unref();
	});
}

module.exports = { drain };
