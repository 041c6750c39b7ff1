/* SPDX-License-Identifier: MIT */
/*
 * lb - picks a server of a backend and reserves one slot on it.
 *
 * THE one eligibility filter is here; strategies (balance/strategies.h, one file each) only choose
 * among the members that it lets through:
 *   server_is_ready(), weight > 0, slots left, not tried before in this request,
 *   and backup hosts only when no other member would do but for slots.
 */
#ifndef BALANCE_LB_H
#define BALANCE_LB_H

#include "model/server.h"

#define LB_TRIED_MAX 8

struct lb_ask {
	const struct backend *backend;
	struct srvset *set;
	uint64_t key_hash; /* for BALANCE_HASH; valid when has_key */
	bool has_key;      /* else BALANCE_HASH falls back to random of two */
	uint32_t tried_n;  /* 0 at first, and again to allow those tried; min(tried_n, LB_TRIED_MAX)
			      are valid */
	const struct server *tried[LB_TRIED_MAX]; /* when full, the oldest is overwritten */
};

enum lb_result {
	LB_PICKED, /* *MEMBER has one slot reserved: one server_release_slot() is owed */
	LB_FULL,   /* some would serve but have no slot: wait in the queue */
	LB_NONE,   /* nobody may serve, or all who may have been tried */
};

/*
 * Does not block or allocate; any thread.  Adds the winner to ask->tried and counts server_picked.
 * SET must have been through lb_prepare().
 */
enum lb_result lb_pick(struct lb_ask *ask, struct srvset_member **member);
/*
 * Reserves a slot on MEMBER, which stickiness named, and adds it to ask->tried.  LB_NONE when it is
 * not able to serve; a session of its own goes on while it drains or has weight 0, a new one does
 * not.
 */
enum lb_result lb_take(struct lb_ask *ask, struct srvset_member *member, bool is_own_session);
/* True when some server of SET is ready (health page, "show stat"). */
bool lb_has_ready(const struct srvset *set);

/* Builds SET->lookup for BACKEND: schedule of round robin, Maglev table, cookie tokens.  Control
 * thread. */
void lb_prepare(const struct backend *backend, struct srvset *set);

/* A fast random number; per thread.  Not for secrets. */
uint64_t lb_random(void);
void lb_random_seed(uint64_t seed); /* this thread's numbers repeat; for tests */
/* The hash of a balancing key: stable across nodes and restarts. */
uint64_t lb_key_hash(struct str bytes);
/* Hash of an address under a prefix; the same on every node. */
uint64_t lb_ip_hash(const struct ip_addr *ip, unsigned prefix_v4, unsigned prefix_v6);
/*
 * The member that a consistent hash of KEY_HASH names among those ready (weighted rendezvous up to
 * 64 members, Maglev above); NULL when none.  No slot is reserved.  Backup members only when no
 * other is ready.
 */
struct srvset_member *lb_by_hash(struct srvset *set, uint64_t key_hash);
/* The member whose cookie is TOKEN, or NULL (forged, stale, or no cookie rule).  O(1). */
struct srvset_member *lb_by_token(struct srvset *set, struct str token);

/*
 * Handshakes sent to SERVER whose session is not counted in server->sessions yet; least_sessions
 * adds them, or a burst of reconnecting clients would all go to the server that had the least
 * before it.
 */
void lb_pending_add(const struct server *server, int n);
uint32_t lb_pending(const struct server *server);

#endif
