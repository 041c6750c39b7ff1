/* SPDX-License-Identifier: MIT */
/*
 * drain - what becomes of the sessions of servers that are drained, that lose their socket, or that
 * have more than their share.
 *
 *   SERVER_DRAIN set        -> GRACE (backend's drain_grace; 0: until they end by themselves)
 *                              -> ENDING (evenly over drain_over) -> CLOSING -> gone
 *   "drain B/S over 60s"    -> ENDING
 *   its socket has vanished -> ENDING (what the old process still carries)
 *   "rebalance B"           -> ENDING (a share of it)
 *
 * A server that takes new sessions again keeps those it has.  Control thread, but for
 * drain_on_change().
 */
#ifndef CONTROL_DRAIN_H
#define CONTROL_DRAIN_H

#include <stdint.h>

#include "model/config.h"
#include "model/server.h"

#define DRAIN_BITS (SERVER_DRAIN | SERVER_AGENT_DRAIN)

/*
 * A server's state has changed.  On the thread that changed it; a traffic thread sets none of the
 * bits that matter here.  CONFIG is in force, or about to be.
 */
void drain_on_change(struct server *server, unsigned old_state, unsigned new_state,
		     const struct config *config);

enum drain_why { DRAIN_SERVER, DRAIN_SOCKET_GONE, DRAIN_REBALANCE };
/*
 * Ends SHARE_PERMILLE of what lives at SERVER evenly over OVER_MS (0 = now), from now on.  Replaces
 * what is under way there.
 */
void drain_start(struct server *server, enum drain_why why, unsigned share_permille,
		 int64_t over_ms);
/* The rest of them stay.  False: nothing was under way. */
bool drain_cancel(struct server *server);

enum drain_phase {
	DRAIN_GRACE,   /* its sessions go on for left_ms */
	DRAIN_ENDING,  /* they are being ended */
	DRAIN_CLOSING, /* all have been told; the last are closing */
};

struct drain_info {
	struct server *server;
	enum drain_phase phase;
	enum drain_why why;
	int64_t left_ms, over_ms;
	unsigned share_permille;
	uint32_t sessions, tunnels; /* there now; a WebSocket session is both */
	uint32_t had;               /* sessions and other tunnels when ENDING began */
	uint32_t ended;
};
/* The one after *AT (NULL at first) of those under way, by number; false at the end. */
bool drain_next(const struct server **at, struct drain_info *info);
const char *drain_why_name(enum drain_why why); /* "drain", "socket-gone", "rebalance" */
const char *drain_phase_name(enum drain_phase phase);
uint32_t drain_tunnels(const struct server *server); /* open, those being closed included */
/* Those under way are forgotten, and changes begin none.  Before console_loop() is gone. */
void drain_fini(void);

#endif
