/* SPDX-License-Identifier: MIT */
/*
 * A link has one lookup at most, whatever the number of its tries, so a dead name server costs one
 * thread.  A try that ends leaves its lookup to the next one, which may want another name: then it
 * asks again when the answer is there.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "mirror/redis_internal.h"
#include "net/resolve.h"

struct redis_lookup {
	struct resolve *resolve;
	struct redis_host host;
};

static void on_found(void *arg, const struct sock_addr *list, size_t n, const char *why)
{
	struct redis *redis = arg;
	struct redis_host host = redis->lookup->host;
	struct redis_addrs addrs = { .n = 0 };

	free(redis->lookup);
	redis->lookup = NULL;
	if (redis->state != LINK_RESOLVING)
		return;
	if (strcmp(redis->peer.name, host.name) != 0 || redis->peer.port != host.port) {
		redis_resolve(redis);
		return;
	}
	while (addrs.n < n && addrs.n < REDIS_ADDRS_MAX) {
		addrs.list[addrs.n] = list[addrs.n];
		addrs.n++;
	}
	snprintf(addrs.why, sizeof(addrs.why), "%s", why);
	redis_resolved(redis, &addrs);
}

void redis_resolve(struct redis *redis)
{
	redis->state = LINK_RESOLVING;
	if (redis->lookup)
		return; /* an earlier try's: on_found() goes on */
	redis->lookup = xcalloc(1, sizeof(*redis->lookup));
	redis->lookup->host = redis->peer;
	redis->lookup->resolve = resolve_start(redis->loop, str_of(redis->peer.name),
					       redis->peer.port, on_found, redis);
}

void redis_resolve_forget(struct redis *redis)
{
	if (!redis->lookup)
		return;
	resolve_forget(redis->lookup->resolve);
	free(redis->lookup);
	redis->lookup = NULL;
}
