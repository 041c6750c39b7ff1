/* SPDX-License-Identifier: MIT */
/*
 * upstream - a connection to a server, and the pool of idle ones.
 *
 * Connections are pooled per traffic thread and server, last used first.  One that opened with a
 * client's PROXY header is never pooled: it stays with that client (client->kept).  A pooled
 * connection is given up a second before the server's own keep-alive timeout, when the server
 * closes or says anything, and when its server's process is known to be a new one (generation).
 *
 * With UPSTREAM_TUNNEL it has a tunnel in the place of what requests need: an idle WebSocket is
 * this struct and its client.
 */
#ifndef SESSION_UPSTREAM_H
#define SESSION_UPSTREAM_H

#include "base/buf.h"
#include "base/list.h"
#include "net/conn.h"
#include "session/traffic.h"
#include "session/tunnel.h"

enum upstream_state {
	UPSTREAM_CONNECTING, /* the TLS handshake included */
	UPSTREAM_BUSY,
	UPSTREAM_TUNNEL,
	UPSTREAM_IDLE,
	UPSTREAM_CLOSED
};

struct client;
struct txn;

struct upstream {
	unsigned magic;
	enum upstream_state state : 8;
	enum proxy_mode send_proxy : 8;
	bool is_for_one_client; /* opened with a PROXY header */
	struct conn conn;
	struct buf in, out;
	struct traffic *traffic; /* (view) */
	struct server *server;   /* (view) never freed; of a tunnel, one slot is owed */
	unsigned generation;     /* of the server when it was opened */
	uint32_t requests;       /* sent on it, the current one included */
	union {
		struct list link;   /* IDLE: srvpool.idle or .kept; TUNNEL: srvpool.tunnels, until
				       it leaves */
		struct grave grave; /* CLOSED */
	};
	union {
		struct { /* CONNECTING, BUSY, IDLE */
			union {
				struct txn *txn;           /* (view) CONNECTING, BUSY */
				struct client *txn_client; /* (view) IDLE and is_for_one_client: who
							      keeps it */
			};
			int64_t idle_until_ms;         /* IDLE */
			int32_t keep_alive_ms;         /* idle time that the server allows; from its
							  Keep-Alive field */
			struct ip_addr proxied_source; /* is_for_one_client: whose */
		};
		struct tunnel tunnel; /* (own) TUNNEL, and CLOSED after it */
	};
};
_Static_assert(sizeof(struct upstream) == 232, "every idle WebSocket pays for one");
#define UPSTREAM_MAGIC 0x55505354u

static inline struct upstream *tunnel_upstream(const struct tunnel *tunnel)
{
	return container_of((struct tunnel *)(uintptr_t)tunnel, struct upstream, tunnel);
}
static inline struct server *tunnel_server(const struct tunnel *tunnel)
{
	return tunnel_upstream(tunnel)->server;
}

/* How long a server that says nothing may find us idle: Node's default is 5 s. */
#define UPSTREAM_KEEP_ALIVE_MS 4000
/* After so long without a word its connection gets keep-alive probes. */
#define UPSTREAM_SILENT_MS SEC(10)
#define POOL_IDLE_MAX      512 /* idle connections per server and thread */

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
