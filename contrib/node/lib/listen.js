// SPDX-License-Identifier: MIT
//
// listen - a worker's Unix socket that whoever watches the directory only ever sees working.
//
// Model.  The server binds and listens under a hidden temporary name beside the final one, gets
// its mode there, and is then given the final name by link(2), in one step.  link, unlike rename,
// fails when the name is taken: two workers that start at once cannot silently displace each
// other.  A file that is already there is asked first: a socket that refuses is stale and makes
// room, one that answers is somebody's and stays, and what is no socket is never touched.
//
// The name is removed when the server closes or the process ends, and only while the file is
// still the one that we made (device and inode): a successor's socket is not ours to remove.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { acceptProxy } = require('./accept');

const SUN_PATH_MAX = 107; // bytes that sockaddr_un takes, the final zero apart
const TRIES = 5;
const ENDING_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'];
const kClaim = Symbol('limpet.listen');

const claims = new Set(); // every name that this process owns now

async function listen(server, options = {}) {
	const { path: name, mode = 0o660, unlink = true, backlog, proxy, timeout, maxHeader } = options;
	if (typeof name !== 'string' || name === '')
		throw new TypeError('limpet-worker: listen() wants a path');
	const temporary = path.join(path.dirname(name), `.lw-${crypto.randomBytes(4).toString('hex')}.tmp`);
	for (const each of [name, temporary])
		if (Buffer.byteLength(each) > SUN_PATH_MAX)
			throw failure('ENAMETOOLONG', `a Unix socket's path has at most ${SUN_PATH_MAX} bytes`, each);

	await makeRoom(name, unlink); // before binding: a busy name should cost nothing
	acceptProxy(server, { proxy, timeout, maxHeader });
	await bind(server, temporary, backlog);
	try {
		fs.chmodSync(temporary, mode);
		await publish(temporary, name, unlink);
	} catch (err) {
		server.close();
		fs.rmSync(temporary, { force: true });
		throw err;
	}
	const claim = { name: path.resolve(name), id: identity(name) };
	own(claim);
	dress(server, claim, name);
	return server;
}

// The name goes the moment that the server stops listening, not when its last connection ends:
// 'close' would be too late.  And it has to be told its name, it only knows the temporary one.
function dress(server, claim, name) {
	const { close } = server;
	server[kClaim] = claim;
	server.address = () => (server.listening ? name : null);
	server.close = function (...args) {
		disown(claim);
		delete server.address;
		server.close = close;
		return close.apply(this, args);
	};
}

// `exclusive`: in a worker of node:cluster the primary would otherwise bind the socket, and hand
// all workers the same one.
function bind(server, temporary, backlog) {
	return new Promise((resolve, reject) => {
		const onError = (err) => {
			server.off('listening', onListening);
			reject(err);
		};
		const onListening = () => {
			server.off('error', onError);
			resolve();
		};
		server.once('error', onError);
		server.once('listening', onListening);
		server.listen({ path: temporary, exclusive: true, backlog });
	});
}

// Gives the socket its final name.  The name may have been taken since we looked: look again.
async function publish(temporary, name, unlink) {
	for (let tries = TRIES; ; tries--) {
		try {
			fs.linkSync(temporary, name);
			fs.unlinkSync(temporary);
			return;
		} catch (err) {
			if (err.code === 'EEXIST' && tries > 0) {
				await makeRoom(name, unlink);
			} else if (err.code === 'EPERM' || err.code === 'ENOTSUP' || err.code === 'ENOSYS') {
				fs.renameSync(temporary, name); // a file system without hard links
				return;
			} else {
				throw err;
			}
		}
	}
}

// Returns when nothing is in the way of a new socket called `name`; throws when something is.
async function makeRoom(name, unlink) {
	const found = identity(name);
	if (!found)
		return;
	if (!found.isSocket)
		throw failure('ENOTSOCK', 'the file is no socket, it stays as it is', name);
	if (!unlink || (await answers(name)))
		throw failure('EADDRINUSE', 'another process listens there', name);
	removeStale(name, found);
}

/*
 * Removes the file that was found stale, and no other: another worker may have found the same
 * and put its own socket there since.  The file is first moved aside, where nobody else would
 * touch it; when it then turns out to be a different one, it gets its name back.
 */
function removeStale(name, found) {
	const aside = path.join(path.dirname(name), `.lw-${crypto.randomBytes(4).toString('hex')}.old`);
	try {
		fs.renameSync(name, aside);
	} catch (err) {
		if (err.code === 'ENOENT')
			return;
		throw err;
	}
	if (!isSame(identity(aside), found)) {
		fs.renameSync(aside, name);
		throw failure('EADDRINUSE', 'another process has just begun to listen there', name);
	}
	fs.unlinkSync(aside);
}

// Does anybody listen on this socket?  Throws when that cannot be found out.
function answers(name) {
	return new Promise((resolve, reject) => {
		const probe = net.connect({ path: name });
		probe.once('connect', () => {
			probe.destroy();
			resolve(true);
		});
		probe.once('error', (err) => {
			if (err.code === 'ECONNREFUSED' || err.code === 'ENOENT')
				resolve(false);
			else if (err.code === 'EAGAIN' || err.code === 'EPROTOTYPE')
				resolve(true); // its queue is full; or it takes datagrams
			else
				reject(err);
		});
	});
}

// Which file has this name?  null when there is none.
function identity(name) {
	const stat = fs.lstatSync(name, { bigint: true, throwIfNoEntry: false });
	return stat ? { dev: stat.dev, ino: stat.ino, mtimeNs: stat.mtimeNs, isSocket: stat.isSocket() } : null;
}

// The time counts too: inode numbers are used again at once on some file systems.
function isSame(a, b) {
	return a !== null && b !== null && a.dev === b.dev && a.ino === b.ino && a.mtimeNs === b.mtimeNs;
}

function failure(code, text, name) {
	const err = new Error(`${code}: ${text}: ${name}`);
	return Object.assign(err, { code, path: name, syscall: 'listen' });
}

function own(claim) {
	if (claims.size === 0) {
		process.on('exit', disownAll);
		// First in the row: a once() handler counts only before its turn has come.
		for (const signal of ENDING_SIGNALS)
			process.prependListener(signal, onSignal);
	}
	claims.add(claim);
}

// Takes the name away, if it is ours.  May be called any number of times.
function disown(claim) {
	if (!claims.delete(claim))
		return;
	try {
		if (isSame(identity(claim.name), claim.id))
			fs.unlinkSync(claim.name);
	} catch {
		// The directory went, or is no longer ours to write: nothing to be done on the way out.
	}
	if (claims.size > 0)
		return;
	process.off('exit', disownAll);
	for (const signal of ENDING_SIGNALS)
		process.off(signal, onSignal);
}

function disownAll() {
	for (const claim of claims)
		disown(claim);
}

// A signal that nobody else handles ends the process without an 'exit' event: clean up and let it
// do so.  Whoever handles it decides how the process ends, and the file goes then.
function onSignal(signal) {
	if (process.listenerCount(signal) > 1)
		return;
	disownAll();
	process.kill(process.pid, signal);
}

// Takes the server's name out of its directory; it keeps listening.  False: it had none.
function unpublish(server) {
	if (!server[kClaim] || !claims.has(server[kClaim]))
		return false;
	disown(server[kClaim]);
	return true;
}

module.exports = { listen, unpublish };
