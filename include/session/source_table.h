/* SPDX-License-Identifier: MIT */
/*
 * source_table - how many connections each source has, and how much of its rate is left.
 *
 * An entry stands for one source (an IPv4 address, or an IPv6 /64) in one frontend, and only while
 * it has connections or its rate has not recovered.  The rate is a token bucket, kept as the
 * instant at which it will be full again.
 *
 * Always true (source_table_is_sane):
 *   1. An entry without connections stands in its shard's idle list, one with some does not.
 *   2. A shard has at most SOURCE_IDLE_MAX idle entries: of the oldest few the one that is the
 *      first to be full again makes room, and is counted.  Entries with connections are as many as
 *      connections at most.
 *
 * Threads.  Call from any; a call holds the mutex of one shard for one probe.  The hash is keyed,
 * so nobody can aim at a shard or a chain.
 */
#ifndef SESSION_SOURCE_TABLE_H
#define SESSION_SOURCE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/config.h"
#include "net/addr.h"

#define SOURCE_SHARDS_N 64
#define SOURCE_IDLE_MAX 4096 /* of one shard */

struct source_table;

/* What may be taken.  0 = no limit. */
struct source_limits {
	uint32_t connections;
	struct rate_conf rate;
};

enum source_answer { SOURCE_MAY, SOURCE_HAS_TOO_MANY, SOURCE_IS_TOO_FAST };

struct source_table *source_table_new(void);
void source_table_free(struct source_table *table); /* for tests; nobody else uses it any more */

/*
 * One more connection of SOURCE (AF_INET or AF_INET6) in FRONTEND (a number).  SOURCE_MAY: it is
 * counted, and owes one source_table_give().  Else nothing has been taken.
 */
enum source_answer source_table_take(struct source_table *table, uint32_t frontend,
				     const struct ip_addr *source,
				     const struct source_limits *limits);
void source_table_give(struct source_table *table, uint32_t frontend, const struct ip_addr *source);

struct source_view {
	struct ip_addr source; /* masked */
	uint32_t frontend;
	uint32_t connections;
	int64_t full_in_ms; /* until the whole rate may be used again */
};

/*
 * Copies the next entries, at most N, and moves *CURSOR (0 at first).  0 = there are no more.  What
 * comes and goes meanwhile may be left out or told twice.
 */
size_t source_table_walk(struct source_table *table, uint64_t *cursor, struct source_view *views,
			 size_t n);

struct source_stats {
	uint64_t entries, idle;
	uint64_t forgotten; /* made room before they had recovered, ever */
};
void source_table_stats(struct source_table *table, struct source_stats *stats);
bool source_table_is_sane(struct source_table *table); /* nobody else uses it now */

#endif
