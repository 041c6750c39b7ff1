/* SPDX-License-Identifier: MIT */
/*
 * tunnel - two connections joined after a 101, or in mode tcp: bytes go both ways, unread.
 *
 * Bytes that were pipelined behind either head are the first to go.  The end of one side is passed
 * to the other once everything before it has been; when both have ended, or one is broken, the
 * tunnel is over.
 *
 * A walk over the headers of each side's frames knows at any time where the next one begins.  The
 * client's second data frame of an Engine.IO session that began by polling says that its upgrade is
 * complete, and from then on the end of the tunnel is the end of the session.
 *
 * tunnel_leave() has both sides told to go: at the next boundary of each direction our Close frame
 * (1001, RFC 6455 7.4.1) is put in, and nothing of that direction is passed on any more.  The
 * tunnel is over when both have said Close or ended, or after TUNNEL_LEAVE_MS.  While an upgrade is
 * under way its WebSocket is let alone, at most as long: a client that has paused its polling would
 * hang until its ping timeout.
 *
 * In mode tcp (is_tcp) there are no frames, and nothing can be said to who has to go:
 * tunnel_leave() ends it.  Whatever is not the orderly end of both sides is passed on as a reset,
 * so that nobody takes for complete what is not.
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

#define TUNNEL_LEAVE_MS SEC(5)

struct tunnel {
	unsigned magic;
	enum txn_end end;
	struct client *client;         /* (view) owns us */
	struct upstream *upstream;     /* (own) */
	const struct backend *backend; /* (view) in client->config */
	struct server *server;         /* (view); one slot is owed */
	struct list link;              /* srvpool.tunnels, until it leaves */
	struct body to_server, to_client;
	struct websocket_walk up, down; /* of what has gone to the server, to the client */
	struct stick_hold *hold;        /* (own) the session's entry, held open; NULL = none */
	uint32_t limit_ms;   /* both silent; for Engine.IO at least the session's figures */
	unsigned generation; /* of the server, for a session that began with this tunnel */
	bool is_tcp;         /* mode tcp: no frames; what does not end in order is reset */
	bool is_own_session; /* the session began with this tunnel and is not in the table */
	bool is_upgraded;    /* has a hold, and the client's second data frame has been seen */
	bool has_to_leave;   /* tunnel_leave() was called; perhaps it waits for is_upgraded */
	bool is_leaving;     /* the Close frames are on their way */
	bool is_up_told, is_down_told; /* is_leaving: that direction has had its last frame */
	union {
		struct soon again;  /* while it lives */
		struct grave grave; /* after that */
	};
	struct log_mark mark; /* for the line at the end */
	char text[];          /* target and request id, as mark tells */
};

/* The txn has seen and passed on a 101, or (mode tcp) is connected: its connections become a
 * tunnel; the txn is freed. */
void tunnel_start(struct txn *txn);
void tunnel_run(struct tunnel *tunnel);
void tunnel_run_soon(struct tunnel *tunnel);
void tunnel_on_timer(struct tunnel *tunnel);
/* Its server has to be left: a Close frame to both sides, then the end.  May close the client. */
void tunnel_leave(struct tunnel *tunnel);
void tunnel_leave_run(struct tunnel *tunnel); /* tunnel_leave.c; for tunnel_run() */
void tunnel_leave_timeout(struct tunnel *tunnel);
/* Ends and logs it, and closes the client. */
void tunnel_end(struct tunnel *tunnel, enum txn_end end);
/* Ends and logs it; the client is the caller's to close. */
void tunnel_abort(struct tunnel *tunnel, enum txn_end end);

#endif
