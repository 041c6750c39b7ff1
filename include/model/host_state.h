/* SPDX-License-Identifier: MIT */
/*
 * host_state - what the states of a host's workers come to.
 *
 *   UP     some worker takes new sessions
 *   DRAIN  none does, some serves its own (draining, or sick)
 *   MAINT  none serves, and all are in maintenance
 *   DOWN   none serves
 *
 * Nothing is kept: it is counted when it is asked for.  Any thread that may use the set.
 */
#ifndef MODEL_HOST_STATE_H
#define MODEL_HOST_STATE_H

#include "model/server.h"

/* Each worker is in one of the last four. */
struct host_state {
	unsigned members_n;
	unsigned up;    /* ready for new sessions */
	unsigned drain; /* able to serve their own sessions alone */
	unsigned maint; /* in maintenance, by the operator or an agent */
	unsigned down;
};

/* Of the host with number HOST in SET; BUT, if not NULL, counts as if it were in STATE. */
struct host_state host_state_of(const struct srvset *set, uint32_t host, const struct server *but,
				unsigned state);
const char *host_state_name(const struct host_state *host); /* constant: "UP" ... */

/* One server's state in the same words, and the agent's: "DOWN (agent)", "DRAIN (agent)" ... */
const char *server_state_name(unsigned state);

#endif
