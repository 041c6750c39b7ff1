/* SPDX-License-Identifier: MIT */
/*
 * sessions - live sessions of a server, counted.  Private to stick*.c and table*.c.
 *
 * Counted before the entry stands, so that whoever ends it finds it counted.  A count of an old
 * generation was set to zero by server_new_generation() and is nobody's to touch.
 */
#ifndef BALANCE_SESSIONS_H
#define BALANCE_SESSIONS_H

#include "balance/table.h"
#include "model/server.h"

static inline uint32_t server_generation(const struct server *server)
{
	return atomic_load_explicit(&server->generation, memory_order_relaxed);
}

static inline bool server_is_of_generation(const struct server *server, uint32_t generation)
{
	return ((server_generation(server) ^ generation) & TABLE_GENERATION_MASK) == 0;
}

static inline void sessions_up(struct server *server)
{
	atomic_fetch_add(&server->sessions, 1);
}

static inline void sessions_down(struct server *server)
{
	unsigned n = atomic_load_explicit(&server->sessions, memory_order_relaxed);

	while (n && !atomic_compare_exchange_weak(&server->sessions, &n, n - 1))
		;
}

/* on_gone of a table of sessions. */
static inline void sessions_entry_gone(void *arg, struct str key, const struct table_value *value,
				       enum table_gone why)
{
	struct server *server = server_by_number(value->server);

	(void)arg;
	(void)key;
	(void)why;
	if (server && server_is_of_generation(server, value->generation))
		sessions_down(server);
}

#endif
