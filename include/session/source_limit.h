/* SPDX-License-Identifier: MIT */
/*
 * source_limit - connections at once, and new ones in a time, of one source address in a frontend
 * (max_connections_per_source, connection_rate_per_source).
 *
 * One source is an IPv4 address or an IPv6 /64.  The address is the one that the PROXY header told,
 * where the bind takes one.  Connections over Unix sockets without one have no source and no limit.
 * What is remembered is bounded; a source that has neither connections nor a used-up rate costs
 * nothing.
 *
 * Threads: any (traffic threads); guarded by a lock for each shard (doc/threads.md).
 */
#ifndef SESSION_SOURCE_LIMIT_H
#define SESSION_SOURCE_LIMIT_H

#include <stdbool.h>

struct client;

/* False: over a limit, which has been counted and, now and then, logged; the caller closes. */
bool source_limit_take(struct client *client);
/* Its connection is closed; harmless when it was not counted. */
void source_limit_give_back(struct client *client);

#endif
