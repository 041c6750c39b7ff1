/* SPDX-License-Identifier: MIT */
/*
 * source_limit - connections at once, and new ones in a time, of one source address in a frontend
 * (max_connections_per_source, connection_rate_per_source).
 *
 * One source is an IPv4 address or an IPv6 /64.  The address is the one that the PROXY header told,
 * where the bind takes one.  Connections over Unix sockets without one have no source and no limit,
 * nor have those that a proxy made for itself (LOCAL).  Those that were accepted before a frontend
 * had a limit are not counted; a reload changes the limits, not what is counted.
 * What is remembered is bounded; a source that has neither connections nor a used-up rate costs
 * nothing.
 *
 * Threads: any (traffic threads); guarded by a lock for each shard (doc/threads.md).
 */
#ifndef SESSION_SOURCE_LIMIT_H
#define SESSION_SOURCE_LIMIT_H

#include <stdbool.h>

struct client;
struct source_table;

/* False: over a limit, which has been counted and, now and then, logged; the caller closes. */
bool source_limit_take(struct client *client);
/* Its connection is closed; harmless when it was not counted. */
void source_limit_give_back(struct client *client);
/* What is remembered, for show sources; NULL while no frontend has had a limit. */
struct source_table *source_limit_table(void);

#endif
