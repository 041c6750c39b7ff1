/* SPDX-License-Identifier: MIT */
/*
 * tunnel - two connections joined after a 101: bytes go both ways, unread.
 *
 * Bytes that were pipelined behind either head are the first to go.  The end of one side is passed
 * to the other once everything before it has been; when both have ended, or one is broken, the
 * tunnel is over.  Of an Engine.IO session's frames only the headers of the first few from the
 * client are looked at: its second data frame says that the upgrade is complete, and from then on
 * the end of the tunnel is the end of the session.
 */
#ifndef SESSION_TUNNEL_H
#define SESSION_TUNNEL_H

#include "proto/websocket.h"
#include "session/access_log.h"
#include "session/body.h"
#include "session/client.h"

struct txn;
struct upstream;
struct stick_hold;

struct tunnel {
	unsigned magic;
	enum txn_end end;
	struct client *client;         /* (view) owns us */
	struct upstream *upstream;     /* (own) */
	const struct backend *backend; /* (view) in client->config */
	struct server *server;         /* (view); one slot is owed */
	int64_t limit_ms; /* both sides silent; for Engine.IO at least the session's own figures */
	struct body to_server, to_client;
	struct stick_hold *hold; /* (own) the session's entry, held open; NULL = none */
	unsigned generation;     /* of the server, for a session that began with this tunnel */
	bool is_own_session;     /* the session began with this tunnel and is not in the table */
	bool is_upgraded;        /* the client's second data frame has been seen */
	struct websocket_walk *walk; /* (own) while that is awaited */
	union {
		struct soon again;  /* while it lives */
		struct grave grave; /* after that */
	};
	struct log_mark mark; /* for the line at the end */
	char text[];          /* target and request id, as mark tells */
};

/* The txn has seen and passed on a 101: its connections become a tunnel; the txn is freed. */
void tunnel_start(struct txn *txn);
void tunnel_run(struct tunnel *tunnel);
void tunnel_on_timer(struct tunnel *tunnel);
/* Ends and logs it; the client is the caller's to close. */
void tunnel_abort(struct tunnel *tunnel, enum txn_end end);

#endif
