/* SPDX-License-Identifier: MIT */
/*
 * health - which servers may serve: active checks (TCP, TLS, HTTP), probes of servers that are
 * down, agents beside servers, and what traffic tells (passive checks).
 *
 * Members of a srvset in force have a struct check (server->check); those on which nothing is to
 * run, with an IP address, no check, no agent, and well, have none until that changes.  What runs
 * on it:
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
 * That holds where checks go where traffic goes; elsewhere a refusal is a failure like others, and
 * a server that traffic found dead is probed at its own address until somebody listens there.
 *
 * An agent's words become bits of their own (SERVER_AGENT_...) and a share of the weight.
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

/*
 * Switches of the operator.  Control thread.  They hold as long as the server is in a set, over
 * reloads too; a server that is in none has none: setters give -ENOENT then.
 *
 * A check that is switched off is as one that is not configured: a server that traffic has found
 * dead is still probed.  An agent check that is switched off is not made; what it has said stays.
 */
int health_set_enabled(struct server *server, bool is_enabled);
bool health_is_enabled(const struct server *server); /* and configured */
int agent_set_enabled(struct server *server, bool is_enabled);
bool agent_is_enabled(const struct server *server);
bool health_has_agent(const struct server *server); /* an agent check is configured */

enum health_forced {
	HEALTH_FORCED_UP,
	HEALTH_FORCED_STOPPING, /* no new sessions */
	HEALTH_FORCED_DOWN,     /* where nothing is checked, until it is forced up */
};
/* As if the checks had come to this; the next ones may find otherwise.  0 or -ENOENT. */
int health_force(struct server *server, enum health_forced forced);
/* The same for the agent's word; -ENOENT also when it has no agent. */
int agent_force(struct server *server, bool is_up);

/*
 * Where checks go instead of where the configuration sends them; NULL, 0 and an empty text with
 * p == NULL mean: as configured.  -EINVAL: a port or address for a server on a Unix socket needs
 * both.
 */
int health_set_check_address(struct server *server, const struct ip_addr *ip);
int health_set_check_port(struct server *server, uint16_t port);
int agent_set_address(struct server *server, const struct ip_addr *ip);
int agent_set_port(struct server *server, uint16_t port);
int agent_set_send(struct server *server, struct str text); /* copied; 256 bytes at most */

struct health_info {
	const char *code; /* "L4OK" "L4TOUT" "L4CON" "L6OK" "L6TOUT" "L6RSP" "L7OK" "L7TOUT" "L7RSP"
			     "L7STS" "SOCKERR"; "" = none yet */
	char text[64];    /* what the last check met, for people */
	uint16_t http_status; /* 0 = none */
	int64_t duration_ms;  /* of the last check; -1 = none yet */
	int64_t at_ms;        /* its end, monotonic; 0 = none yet */
	enum check_kind kind; /* CHECK_NONE: probes alone */
	bool is_enabled;      /* by the operator */
	bool is_running;
	uint32_t rise, fall; /* as configured */
	uint32_t successes;  /* in a row while DOWN */
	uint32_t failures;   /* in a row while up */
	uint64_t checks_n, failed_n;
	struct sock_addr addr; /* where the checks go */

	bool has_agent, is_agent_enabled, is_agent_running;
	const char *agent_code;    /* "L4OK" ... "L7OK" (up), "L7STS" (down); "" = none yet */
	char agent_text[64];       /* the agent's last words */
	int64_t agent_duration_ms; /* -1 = none yet */
	int64_t agent_at_ms;       /* 0 = none yet */
	uint32_t agent_rise, agent_fall, agent_health; /* 1, 1 and 0 = down, 1 = up */
	struct sock_addr agent_addr;
};
/* False when the server is in no set.  Control thread. */
bool health_info(const struct server *server, struct health_info *out);

#endif
