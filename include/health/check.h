/* SPDX-License-Identifier: MIT */
/*
 * check - what this layer keeps of each server in force: its check, and its agent if it has one.
 * Used inside this layer alone; control thread.
 */
#ifndef HEALTH_CHECK_H
#define HEALTH_CHECK_H

#include "base/list.h"
#include "health/exchange.h"
#include "health/flags.h"
#include "health/health.h"

/* Where to, when the operator has said so. */
struct retarget {
	struct ip_addr ip; /* AF_UNSPEC = not said */
	uint16_t port;     /* 0 = not said */
};

struct agent;

struct check {
	struct list link;              /* all checks */
	struct server *server;         /* (view) */
	const struct backend *backend; /* (view) into the configuration that health.c holds */
	struct sock_addr addr;         /* of traffic */
	struct sock_addr target;       /* of checks */
	struct sock_addr now;          /* of the run under way */
	enum proxy_mode send_proxy;
	struct tls_client_ctx *tls_ctx; /* (ref) NULL = plain */
	struct retarget retarget;

	struct timer timer; /* the next run */
	struct exchange exchange;
	bool is_probe; /* this run is a bare connect to addr */

	bool is_newborn; /* DOWN since its socket file appeared: its process does not listen yet */
	bool is_proven;  /* has had a result; the first one decides without fall and rise */
	bool is_kept;    /* scratch of health_apply() */
	bool is_weight_due; /* likewise: server_weight_hook() is to run at its end */
	bool is_stale_told;
	bool is_disabled;    /* by the operator */
	bool is_forced_down; /* by the operator: not probed */
	int64_t backoff_ms;  /* wait before the next probe */
	struct health_info info;
	struct agent *agent; /* (own) NULL = none */
	struct grave grave;
};

/* health.c */
struct loop *check_loop(void);           /* NULL = not running */
void check_init(struct check *check);    /* zeroed before: nothing is planned yet */
int64_t check_random_up_to(int64_t max); /* spreads things over time, no more */
/* INTERVAL_MS, more or less SPREAD_PCT. */
int64_t check_spread(int64_t interval_ms, unsigned spread_pct);
/* What is checked now: nothing when it is switched off. */
enum check_kind check_kind(const struct check *check);
void check_schedule(struct check *check);
/* The next run within a moment, if none is under way. */
void check_schedule_soon(struct check *check);
void check_mark_up(struct check *check, const char *why);
/* A run is told nothing, and the next one goes where the check goes now. */
void check_restart(struct check *check);
/*
 * Where to: RETARGET's, else IP (AF_UNSPEC = not said) and PORT (0 = not said), else ADDR's own.
 * A port alone, of a server on a Unix socket, is 127.0.0.1's.
 */
struct sock_addr check_target(const struct sock_addr *addr, const struct retarget *retarget,
			      const struct ip_addr *ip, uint32_t port);

/* check_list.c.  SERVER's, made if need be; NULL when it is in no set. */
struct check *check_of(struct server *server);
/* Of a server without a check: its backend, or NULL, and where its checks would go. */
const struct backend *check_place(const struct server *server, struct sock_addr *target);
void check_list_init(void);
void check_list_fini(void);

/* agent.c.  The port of the agent of CHECK's server comes with it: 0 = none. */
void agent_apply(struct check *check, uint32_t port);
void agent_free(struct check *check); /* what it has said stays */
void agent_tell(const struct check *check, struct health_info *info);

#endif
