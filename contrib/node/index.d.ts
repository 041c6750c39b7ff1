// SPDX-License-Identifier: MIT
import { Server, Socket } from 'net';

export interface InetEndpoint {
	family: 'IPv4' | 'IPv6';
	address: string;
	port: number;
}

export interface UnixEndpoint {
	family: 'Unix';
	path: string;
}

export interface ProxySsl {
	/** The client spoke TLS to the proxy. */
	tls: boolean;
	/** The client showed a certificate. */
	certificate: boolean;
	/** It showed one, and the proxy found it good. */
	verified: boolean;
	version?: string;
	cn?: string;
	cipher?: string;
	sigAlg?: string;
	keyAlg?: string;
}

export interface ProxyTlvs {
	alpn?: string;
	authority?: string;
	uniqueId?: Buffer;
	netns?: string;
	ssl?: ProxySsl;
	/** All fields in the order in which they came, NOOP left out. */
	raw: ReadonlyArray<{ type: number; value: Buffer }>;
}

export interface ProxyHeader {
	version: 1 | 2;
	/** The proxy's own connection (a health check): it has no client. */
	local: boolean;
	transport?: 'stream' | 'dgram';
	/** null: the header names no addresses (LOCAL, UNKNOWN, unspecified). */
	src: InetEndpoint | UnixEndpoint | null;
	dst: InetEndpoint | UnixEndpoint | null;
	tlvs: ProxyTlvs;
}

export interface ProxyOptions {
	/**
	 * 'optional': a header is taken when there is one. 'required': a connection without one is
	 * destroyed. false: connections are left alone. Default 'optional'.
	 */
	proxy?: 'optional' | 'required' | false;
	/** Milliseconds that a header may take. Default 5000. */
	timeout?: number;
	/** Bytes that a version 2 header may have. Default 4096. */
	maxHeader?: number;
}

export interface ListenOptions extends ProxyOptions {
	/** The Unix socket, at most 107 bytes. */
	path: string;
	/** Its permissions. Default 0o660. */
	mode?: number;
	/** Replace a stale socket. Default true; false: whatever is there is an error. */
	unlink?: boolean;
	/** Connections that the kernel queues. Default Node's, 511. */
	backlog?: number;
}

/** Resolves with the server when the socket is there under its name and accepts. */
export function listen<S extends Server>(server: S, options: ListenOptions): Promise<S>;

/**
 * Takes PROXY headers on a server that listens by other means. Emits 'proxyError' (error, socket)
 * on the server for each connection that is refused.
 */
export function acceptProxy<S extends Server>(server: S, options?: ProxyOptions): S;

export interface DrainOptions {
	/** A Socket.IO server on this HTTP server. */
	io?: { close(): unknown; engine?: unknown };
	/** Milliseconds for what is open to end by itself. Default 10000. */
	grace?: number;
	/** What starts the drain. false: only the returned function does. Default 'SIGTERM'. */
	signal?: NodeJS.Signals | NodeJS.Signals[] | false;
	/** End the process when drained. Default true. */
	exit?: boolean;
}

/** Returns a function that starts the drain; its promise resolves when nothing is open any more. */
export function drain(server: Server, options?: DrainOptions): () => Promise<void>;

export type ParseResult =
	| { state: 'more' }
	| { state: 'none' }
	| { state: 'bad'; why: string }
	| { state: 'done'; length: number; proxy: ProxyHeader };

/** Reads a PROXY header from the start of `bytes`. */
export function parseHeader(bytes: Buffer, options?: { maxHeader?: number }): ParseResult;

declare module 'net' {
	interface Socket {
		/** What the PROXY header of this connection said; absent when it came without one. */
		proxy?: ProxyHeader;
	}
}
