/* SPDX-License-Identifier: MIT */
/*
 * health - which servers may serve: active checks, probes of servers that are down, and what
 * traffic tells (passive checks).
 *
 * Every member of a srvset in force has a struct check (server->check).  What runs on it:
 *
 *   configured  server     what happens
 *   none        up         nothing; traffic alone tells
 *   none        DOWN       connect(): 20, 40, 80 ... 1000 ms, then each second; success = up
 *   tcp, http   up, DOWN   the check, each interval; `fall` failures = DOWN, `rise` successes = up
 *   any         newborn    connect(): 5, 10, 20 ... 1000 ms; success = up (its socket file exists,
 *                          but its process does not listen yet)
 *
 * A refused connect (ECONNREFUSED, ENOENT) means that the process is gone: the server is DOWN at
 * once and gets a new generation, exactly once until it has come up again.  Other failures never
 * touch the generation.
 *
 * Threads: everything runs on the control thread but for health_passive() and health_poke().
 */
#ifndef HEALTH_HEALTH_H
#define HEALTH_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "model/config.h"
#include "model/server.h"

void health_init(struct loop *loop);
void health_fini(void); /* stops everything; before loop_fini() */

/*
 * To be called after each srvset_publish(), with the configuration in force (all its backends have
 * their state): starts, keeps, changes and stops checks.  Keeps a reference.  A Unix socket that is
 * seen for the first time is tried at once; when it refuses, its server starts DOWN.
 */
void health_apply(struct config *config);

/*
 * The socket file of SERVER has appeared at ADDR; IS_AGAIN: in place of an earlier one, so this is
 * another process.  Sets DOWN unless it listens already.  For discovery, before the set that
 * names the server is published.
 */
void health_born(struct server *server, const struct sock_addr *addr, bool is_again);

enum health_outcome {
	HEALTH_OK,
	HEALTH_CONNECT_REFUSED, /* ECONNREFUSED, ENOENT; not a Unix socket's EAGAIN (full backlog)
				 */
	HEALTH_CONNECT_FAILED,  /* other failures of connect(), time-out included */
	HEALTH_TIMEOUT,         /* no response in time */
	HEALTH_5XX,
	HEALTH_BROKEN, /* connection ended, or nonsense came, instead of a response */
};
/*
 * What a request met.  Any thread.  HEALTH_OK writes nothing.  passive.failures within
 * passive.window take the server down, but never a 5xx the last one that is ready.  A refused
 * connection takes it down at once, even with passive checks off.
 */
void health_passive(struct server *server, const struct backend *backend,
		    enum health_outcome outcome);

/* The next check or probe runs now.  Any thread. */
void health_poke(struct server *server);

struct health_info {
	const char *code; /* "L4OK" "L4TOUT" "L4CON" "L7OK" "L7TOUT" "L7RSP" "L7STS" "SOCKERR"; "" =
			     none yet */
	char text[64];    /* what the last check met, for people */
	uint16_t http_status; /* 0 = none */
	int64_t duration_ms;  /* of the last check; -1 = none yet */
	int64_t at_ms;        /* its end, monotonic; 0 = none yet */
	enum check_kind kind; /* CHECK_NONE: probes alone */
	bool is_running;
	uint32_t rise, fall; /* as configured */
	uint32_t successes;  /* in a row while DOWN */
	uint32_t failures;   /* in a row while up */
	uint64_t checks_n, failed_n;
};
/* False when the server is in no set.  Control thread. */
bool health_info(const struct server *server, struct health_info *out);

#endif
