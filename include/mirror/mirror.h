/* SPDX-License-Identifier: MIT */
/*
 * mirror - the session tables of a pair of nodes, kept alike through Redis.
 *
 *   table (dirty bits) -> push   -> Redis: one key per entry + one stream of changes
 *   Redis: stream      -> follow -> table_merge()        the other node's changes, in order
 *   Redis: all keys    -> resync -> table_merge()        at the start, and after a gap
 *   ask                <- share.h                        read_through and sync: requests that wait
 *   beat               <-> {prefix}:n                    who is there, same key?, same servers?
 *
 * The local table is what serves; nothing here is ever waited for, but for share.h's questions.
 * Redis away means: entries stay marked, memory does not grow, and when it is back the marks are
 * pushed and everything is compared once (a full resync at a bounded rate).
 *
 * Control thread alone, but for what share.h says.
 */
#ifndef MIRROR_MIRROR_H
#define MIRROR_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "model/config.h"

enum mirror_state {
	MIRROR_OFF,     /* not configured */
	MIRROR_AWAY,    /* no connection; trying */
	MIRROR_LOADING, /* connected, the first or another full comparison runs */
	MIRROR_UP,      /* follows and pushes */
	MIRROR_PAUSED,  /* by the operator */
};
#define MIRROR_STATES_N (MIRROR_PAUSED + 1)
const char *mirror_state_name(enum mirror_state state); /* "off" "away" "loading" "up" "paused" */

/* Once, before mirror_apply(). */
void mirror_init(struct loop *loop);
/*
 * The mirror of CONFIG: starts, changes (a new connection when `redis` and the like differ), or
 * ends.  At start and at each reload, after the tables are made.
 */
void mirror_apply(const struct config *config);
/* FN once, when the first load is complete, or when IN_MS are over; at once when there is no
 * mirror. */
void mirror_when_loaded(int64_t in_ms, void (*fn)(void *arg, bool is_loaded), void *arg);
/* At the end of the process: pushes what is dirty, for at most IN_MS, then calls FN. */
void mirror_flush(int64_t in_ms, void (*fn)(void *arg), void *arg);
void mirror_fini(void);

/* The operator's. */
void mirror_pause(void);
void mirror_resume(void);
bool mirror_resync(void); /* False: not connected. */

#define MIRROR_WHY_SIZE 160
struct mirror_status {
	enum mirror_state state;
	bool is_loaded; /* the first load was complete (healthz) */
	bool is_sync;
	char where[128];           /* Redis, for people; "" = away */
	char why[MIRROR_WHY_SIZE]; /* of the last loss; "" = none */
	int64_t since_ms;          /* in this state, clock_ms() when it began */
	uint64_t dirty;            /* entries not yet on Redis, those under way included */
	uint64_t lag_ms; /* age of the newest change that was applied, when it was; 0 = none */
	uint64_t pushed, rejected,
		push_errors;                /* proposals: accepted, another stood there, errors */
	uint64_t applied, ignored, refused; /* records of others: taken, older, malformed */
	uint64_t
		conflicts; /* another server stood on Redis under our key, or the other way round */
	uint64_t unknown_names; /* records of servers or tables that this node does not have now */
	uint64_t resyncs, gaps;
	uint64_t resync_keys;   /* of the running or last one */
	int64_t resync_ms;      /* how long the last one took */
	uint64_t stream_number; /* of the newest change seen */
	uint64_t losses;        /* connections lost */
};
/* A copy.  Control thread. */
void mirror_status(struct mirror_status *status);

#endif
