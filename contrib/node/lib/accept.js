// SPDX-License-Identifier: MIT
//
// accept - takes the PROXY header off each new connection before the server sees the connection.
//
// Model.  A net.Server (http.Server is one) learns of a connection through its own 'connection'
// event.  We stand in front of that event: the first time it is emitted for a socket we hold it
// back, read until the header is complete, give the socket its client's address, push what came
// after the header back into the socket, and emit the event again.  So every listener, added
// before or after us, sees the socket only when it is ready, and HTTP never meets a foreign byte.
//
// Always true:
//   1. A socket is either waiting (in `waiting`, ours alone) or handed over, never both.
//   2. Handing over happens in the turn that saw the header's last byte: no event can slip
//      in between, and no byte is read that is not given on.
//   3. A waiting socket costs at most `maxHeader` bytes and one read, for at most `timeout`.
'use strict';

const net = require('node:net');
const tls = require('node:tls');
const { parseHeader, MAX_HEADER } = require('./header');

const MODES = ['optional', 'required', false];
const TIMEOUT_MS = 5000;
const kFront = Symbol('limpet.acceptProxy');

function acceptProxy(server, { proxy = 'optional', timeout = TIMEOUT_MS, maxHeader = MAX_HEADER } = {}) {
	if (!(server instanceof net.Server))
		throw new TypeError('limpet-worker: not a net.Server or http.Server');
	if (!MODES.includes(proxy))
		throw new TypeError("limpet-worker: proxy must be 'optional', 'required' or false");
	// TLS takes the descriptor itself, bytes that are pushed back would never reach it.
	if (proxy && server instanceof tls.Server)
		throw new TypeError('limpet-worker: PROXY headers in front of TLS are not supported');
	const settings = { proxy, timeout, maxHeader };
	if (server[kFront])
		Object.assign(server[kFront], settings);
	else if (proxy)
		standInFront(server, settings);
	return server;
}

function standInFront(server, settings) {
	const front = { server, ...settings, waiting: new Set(), ready: new WeakSet() };
	const emit = server.emit;
	front.handOver = (socket) => {
		front.ready.add(socket);
		emit.call(server, 'connection', socket);
	};
	server[kFront] = front;
	server.emit = function (event, socket, ...rest) {
		if (event !== 'connection' || !front.proxy || front.ready.has(socket))
			return emit.call(this, event, socket, ...rest);
		awaitHeader(front, socket);
		return true;
	};
}

function awaitHeader(front, socket) {
	let seen = null; // bytes so far, none of them given on yet
	const timer = setTimeout(onTimeout, front.timeout);
	timer.unref();
	front.waiting.add(socket);
	socket.on('data', onData);
	socket.on('end', onEnd);
	socket.on('error', onError);
	socket.on('close', letGo);
	socket.resume(); // a server made with pauseOnConnect would wait for ever

	function letGo() {
		clearTimeout(timer);
		front.waiting.delete(socket);
		socket.off('data', onData);
		socket.off('end', onEnd);
		socket.off('close', letGo);
		socket.off('error', onError);
	}

	function handOver(proxy, rest) {
		letGo();
		// As a socket is when it is new: neither flowing (with nobody listening that would
		// throw bytes away) nor paused (a 'data' listener would then not start it).
		socket.readableFlowing = null;
		if (rest && rest.length > 0)
			socket.unshift(rest);
		if (proxy)
			introduce(socket, proxy);
		front.handOver(socket);
	}

	function refuse(why) {
		letGo();
		socket.on('error', () => {}); // whatever the close may still bring
		socket.destroy();
		const err = new Error(`PROXY header refused: ${why}`);
		err.code = 'ERR_LIMPET_PROXY_HEADER';
		front.server.emit('proxyError', err, socket);
	}

	function onData(chunk) {
		seen = seen ? Buffer.concat([seen, chunk]) : chunk;
		const result = parseHeader(seen, front);
		if (result.state === 'done')
			handOver(result.proxy, seen.subarray(result.length));
		else if (result.state === 'bad')
			refuse(result.why);
		else if (result.state === 'none' && front.proxy === 'optional')
			handOver(null, seen);
		else if (result.state === 'none')
			refuse('there is none');
	}

	function onTimeout() {
		// Somebody who says nothing needs no header in 'optional': HTTP has its own patience.
		if (!seen && front.proxy === 'optional')
			handOver(null, null);
		else
			refuse('it did not come in time');
	}

	function onEnd() {
		// Nothing at all is a probe that only connects: no error.
		if (seen)
			refuse('the connection ended within it');
		else
			socket.destroy();
	}

	function onError() {
		letGo();
		socket.on('error', () => {});
		socket.destroy();
	}
}

// Gives the socket its client's address.  Its own properties hide the getters of net.Socket, and
// stay readable after the close, when an access log wants them.
function introduce(socket, proxy) {
	const value = (v) => ({ value: v, enumerable: true, configurable: true, writable: false });
	Object.defineProperty(socket, 'proxy', value(proxy));
	if (!proxy.src || proxy.src.family === 'Unix')
		return;
	Object.defineProperties(socket, {
		remoteAddress: value(proxy.src.address),
		remotePort: value(proxy.src.port),
		remoteFamily: value(proxy.src.family),
	});
}

// Sockets whose header is not complete yet: the HTTP server knows nothing of them.
function waitingSockets(server) {
	return server[kFront] ? [...server[kFront].waiting] : [];
}

module.exports = { acceptProxy, waitingSockets };
