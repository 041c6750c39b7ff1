/* SPDX-License-Identifier: MIT */
/*
 * upstream - a connection to a server, and the pool of idle ones.
 *
 * Connections are pooled per traffic thread and server, last used first.  One that opened with a
 * client's PROXY header is never pooled: it stays with that client (client->kept).  A pooled
 * connection is given up a second before the server's own keep-alive timeout, when the server
 * closes or says anything, and when its server's process is known to be a new one (generation).
 */
#ifndef SESSION_UPSTREAM_H
#define SESSION_UPSTREAM_H

#include "base/buf.h"
#include "base/list.h"
#include "net/conn.h"
#include "session/traffic.h"

enum upstream_state {
	UPSTREAM_CONNECTING, /* the TLS handshake included */
	UPSTREAM_BUSY,
	UPSTREAM_TUNNEL,
	UPSTREAM_IDLE,
	UPSTREAM_CLOSED
};

struct client;
struct txn;
struct tunnel;

struct upstream {
	unsigned magic;
	enum upstream_state state;
	struct conn conn;
	struct timer timer;      /* idle time in the pool */
	struct list link;        /* pool */
	struct traffic *traffic; /* (view) */
	struct server *server;   /* (view) never freed */
	struct buf in, out;
	union {
		struct txn *txn;           /* (view) CONNECTING, BUSY */
		struct tunnel *tunnel;     /* (view) TUNNEL */
		struct client *txn_client; /* (view) IDLE and is_for_one_client: who keeps it */
	};
	unsigned generation;   /* of the server when it was opened */
	uint32_t requests;     /* sent on it, the current one included */
	int32_t keep_alive_ms; /* idle time that the server allows; from its Keep-Alive field */
	enum proxy_mode send_proxy;
	bool is_for_one_client;        /* opened with a PROXY header */
	struct ip_addr proxied_source; /* whose */
	struct grave grave;
};
#define UPSTREAM_MAGIC 0x55505354u

/* How long a server that says nothing may find us idle: Node's default is 5 s. */
#define UPSTREAM_KEEP_ALIVE_MS 4000
#define POOL_IDLE_MAX          512 /* idle connections per server and thread */

/* An idle connection to MEMBER's server, taken from the pool; NULL when there is none. */
struct upstream *upstream_from_pool(struct traffic *traffic, const struct srvset_member *member);
/*
 * Opens one for TXN.  NULL: failed at once, *ERROR is the errno (EAGAIN: Unix backlog full).
 * Otherwise the txn hears txn_on_upstream(); the state tells whether it is connected already.
 */
struct upstream *upstream_open(struct txn *txn, const struct srvset_member *member, int *error);
/* After a whole response, with nothing unread: to the pool, or to CLIENT for a proxied one. */
void upstream_put(struct upstream *upstream, struct client *client);
/* Takes client->kept out of its idle state; it is the caller's then. */
void upstream_take_kept(struct client *client);
/* upstream_tls.c.  0 or -ENOMEM; what stands in `out` goes before TLS. */
int upstream_tls_begin(struct upstream *upstream, const struct srvset_member *member);
enum io upstream_tls_run(struct upstream *upstream); /* as tls_handshake() */
/* Why it failed with ERROR before it was connected: a constant.  UPSTREAM may be NULL. */
const char *upstream_failure_text(struct upstream *upstream, int error);
void upstream_close(struct upstream *upstream); /* NULL is fine; idempotent */
/* Closes the idle connections of servers that are gone or of an older generation. */
void upstream_pool_sweep(struct traffic *traffic);
void upstream_pool_fini(struct traffic *traffic);

#endif
