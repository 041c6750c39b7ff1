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
 *   ENDING_ABRUPT  every connection that serves the server is closed now, requests included.
 */
#ifndef SESSION_ENDING_H
#define SESSION_ENDING_H

#include <stdint.h>

#include "base/bug.h"
#include "model/server.h"

struct traffic;

enum ending_how { ENDING_POLITE, ENDING_ABRUPT };

/*
 * Ends SHARE_PERMILLE thousandths (1000 = all) of what lives at SERVER, evenly over OVER_MS
 * milliseconds (0 = now).  A new ending of the same server replaces the one under way; SHARE 0
 * cancels it.  Any thread but best the control thread; returns at once.
 */
void ending_post(struct server *server, unsigned share_permille, int64_t over_ms,
		 enum ending_how how);
/* What is under way, for "show": milliseconds left, or -1 when none is.  Any thread. */
int64_t ending_left_ms(const struct server *server);

#endif
