/* SPDX-License-Identifier: MIT */
/* A backend with servers "hN/w" for tests of the balance layer; each call of pool_make() a fresh
 * one. */
#ifndef BALANCE_FIXTURE_H
#define BALANCE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "balance/lb.h"
#include "base/mem.h"

struct pool {
	struct backend backend;
	struct srvset *set;
	struct lb_ask ask;
	char name[32];
};

struct pool_member {
	uint32_t weight, max_connections;
	bool is_backup;
};

/* Puts N members in force; the same NAMES_FROM gives the same names, so a pool can change its set.
 */
static inline void pool_set(struct pool *pool, const struct pool_member *members, uint32_t n)
{
	struct srvset_spec *specs = xcalloc(n + 1, sizeof(*specs));
	char(*names)[16] = xcalloc(n + 1, sizeof(*names));

	for (uint32_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "h%u", i);
		specs[i] = (struct srvset_spec){
			.host = str_of(names[i]),
			.worker = STR("w"),
			.weight = members ? members[i].weight : 100,
			.max_connections = members ? members[i].max_connections : 0,
			.is_backup = members && members[i].is_backup,
		};
	}
	pool->set = srvset_build(pool->backend.state, specs, n);
	lb_prepare(&pool->backend, pool->set);
	srvset_free(srvset_publish(pool->backend.state, pool->set));
	pool->ask = (struct lb_ask){ .backend = &pool->backend, .set = pool->set };
	free(specs);
	free(names);
}

static inline void pool_make(struct pool *pool, enum balance_kind balance,
			     const struct pool_member *members, uint32_t n)
{
	static unsigned serial;

	*pool = (struct pool){ .backend.balance = balance, .backend.health.kind = CHECK_TCP };
	snprintf(pool->name, sizeof(pool->name), "pool-%u", serial++);
	pool->backend.name = str_of(pool->name);
	pool->backend.state = backend_state_get(pool->backend.name);
	pool_set(pool, members, n);
}

static inline void pool_free(struct pool *pool)
{
	srvset_free(srvset_publish(pool->backend.state, NULL));
}

static inline struct server *pool_server(const struct pool *pool, uint32_t i)
{
	return pool->set->members[i].server;
}

/* One fresh request: picks, gives the slot back, returns the member's index or -1. */
static inline int pool_pick(struct pool *pool)
{
	struct srvset_member *member;

	pool->ask.tried_n = 0;
	if (lb_pick(&pool->ask, &member) != LB_PICKED)
		return -1;
	server_release_slot(member->server);
	return (int)(member - pool->set->members);
}

#endif
