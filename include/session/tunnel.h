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
struct tunnel_again;

#define TUNNEL_LEAVE_MS SEC(5)

/* Of mode tcp, for the sums at its end; each at most what fits: over an hour, 17 minutes. */
struct tunnel_times {
	uint64_t queue_ms : 22, connect_ms : 22;
	uint64_t first_ms : 20; /* from client->since_ms until its first bytes had told the route */
};

/*
 * It lives in its server connection (struct upstream), in the place of what that needs only as long
 * as requests go over it: tunnel_upstream().  The walks are in the bodies.
 */
struct tunnel {
	struct client *client;         /* (view) owns us */
	const struct backend *backend; /* (view) in client's config */
	struct log_mark *mark;         /* (own) for the line at the end; NULL = none was wanted */
	struct tunnel_again *again; /* (own) has bytes to move in its next turn; NULL = has none */
	union {
		struct stick_hold *hold;   /* (own) the session's entry, held open; NULL = none */
		unsigned own_generation;   /* is_own_session: of the server */
		struct tunnel_times times; /* is_tcp */
	};
	struct body to_server, to_client;
	uint32_t limit_ms; /* both silent; for Engine.IO at least the session's figures */
	enum txn_end end : 8;
	bool is_tcp : 1;         /* mode tcp: no frames; what does not end in order is reset */
	bool is_own_session : 1; /* the session began with this tunnel and is not in the table */
	bool is_upgraded : 1;    /* has a hold, and the client's second data frame has been seen */
	bool has_to_leave : 1;   /* tunnel_leave() was called; perhaps it waits for is_upgraded */
	bool is_leaving : 1;     /* the Close frames are on their way */
	/* is_leaving: that direction has had its last frame */
	bool is_up_told, is_down_told;
};
_Static_assert(sizeof(struct tunnel) == 112, "every idle WebSocket pays for one");

/* NULL = none. */
static inline struct stick_hold *tunnel_hold(const struct tunnel *tunnel)
{
	return tunnel->is_own_session || tunnel->is_tcp ? NULL : tunnel->hold;
}

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
