/* SPDX-License-Identifier: MIT */
/*
 * ending - ends the sessions, tunnels and requests of a server that must go: at an even pace, in a
 * way that their clients understand, or at once.
 *
 * An ending is posted to every traffic thread; each ends its own share of what it carries for the
 * server, evenly until the time is over, so that clients come back elsewhere without a herd.
 *
 *   ENDING_POLITE  WebSockets: a close frame (1001) towards both sides, then the close; Engine.IO
 *                  sessions that poll: the pending poll, or the next request, is answered 400 code
 *                  1, and their table entries are dead.  Other requests are let alone.
 *   ENDING_HANDED_OVER  as ENDING_POLITE, but another process goes on with the sessions: polls have
 *                  until the end of the time, and who is between two requests stays.
 *   ENDING_ABRUPT  everything that serves the server is over now: polls are answered as above,
 *                  requests without a response yet 503, all other connections are closed.
 *
 * A session that is between two requests is on no thread.  Each thread answers for an equal part of
 * those: what it may end of them it ends when their next request comes.  Who has not come when the
 * time is over is found dead by its server's new generation, which the control thread sees to.
 */
#ifndef SESSION_ENDING_H
#define SESSION_ENDING_H

#include <stdint.h>

#include "base/bug.h"
#include "model/server.h"

struct traffic;
struct tunnel;
struct txn;

enum ending_how { ENDING_POLITE, ENDING_HANDED_OVER, ENDING_ABRUPT };

/*
 * Ends SHARE_PERMILLE thousandths (1000 = all) of what lives at SERVER, evenly over OVER_MS
 * milliseconds (0 = now; ENDING_ABRUPT: always all, and now).  Only what began before: of a server
 * that is SERVER_GONE, what its last process had, not what a new one on the same path will have.
 *
 * A new ending of the same server replaces the one under way; SHARE 0 cancels it.  Any thread but
 * best the control thread; returns at once.
 */
void ending_post(struct server *server, unsigned share_permille, int64_t over_ms,
		 enum ending_how how);
/* What is under way, for "show": milliseconds left, or -1 when none is.  Any thread. */
int64_t ending_left_ms(const struct server *server);

/* The last ending of a server, under way or over. */
struct ending_info {
	int64_t left_ms; /* -1 = over, or cancelled */
	int64_t over_ms;
	unsigned share_permille;
	uint32_t tunnels, polls; /* that still have to go, about 50 ms ago */
	uint32_t leaving;        /* tunnels that have been told and are still open */
	uint32_t ended;          /* sessions and tunnels told to leave so far */
};
/* False: it never had one.  Any thread. */
bool ending_info(const struct server *server, struct ending_info *info);

/*
 * The rest is for the session layer, on the traffic thread.
 */
void ending_add_tunnel(struct tunnel *tunnel);
void ending_remove_tunnel(struct tunnel *tunnel); /* idempotent */
/* TUNNEL has begun to leave its server, or, IS_OVER, has left it. */
void ending_leaving(const struct tunnel *tunnel, bool is_over);
/* TXN, in TXN_RSP_HEAD, is a poll of a session. */
void ending_add_poll(struct txn *txn);
void ending_remove_poll(struct txn *txn); /* idempotent */
/* A request of a known session has come: is it this session's turn?  Then its entry is dead. */
bool ending_takes(struct txn *txn);
void ending_fini(struct traffic *traffic);

#endif
