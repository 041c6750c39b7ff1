/* SPDX-License-Identifier: MIT */
/*
 * h2 - a client's HTTP/2 connection (RFC 9113), by nghttp2.
 *
 * Each stream is a client of its own (client_open_stream) whose conn has a face that speaks
 * HTTP/1.1 in memory: a request's header fields are written as an HTTP/1.1 head, which the strict
 * parser reads as every other; the response's head is parsed and its fields are sent as HEADERS;
 * bodies go through bounded buffers under the flow control of both sides.  So the engine, its
 * rules, its limits and its logs are the same for both versions, and nothing can be smuggled that
 * HTTP/1.1 would refuse.
 *
 * WebSocket (RFC 8441): an extended CONNECT is an Upgrade to the engine; its 101 is a 200 here.
 *
 * Threads: the client's.  Memory: struct h2 is the client's; streams end before it.
 */
#ifndef SESSION_H2_H
#define SESSION_H2_H

#include <stdbool.h>

#include "session/client.h"

/* ALPN has agreed on h2; or the bind has no TLS, the frontend `http2.cleartext`, and what has come
 * (or may come) is the connection preface: then h2_start() decides when it has seen it. */
bool h2_is_wanted(struct client *client);
/* From here the client is in CLIENT_H2, closed, or (no preface on clear text) in CLIENT_IDLE. */
void h2_start(struct client *client);
void h2_run(struct client *client);
void h2_on_timer(struct client *client);
/* Ends all streams and frees client->h2; for client_end(). */
void h2_close(struct client *client);
/* Shutting down: GOAWAY; streams under way end, then the connection.  May close the client. */
void h2_drain(struct client *client);

#endif
