/* SPDX-License-Identifier: MIT */
/*
 * least - the member with the least load for its weight, counting the one to come: (load + 1) /
 * weight.
 *
 * Up to LB_SCAN_MAX members all are looked at; above, two random ones are compared, which is nearly
 * as even, does not send every thread to the same member at the same moment, and costs the same for
 * a thousand.
 */
#include "config.h"

#include "balance/strategies.h"

static uint64_t used_of(const struct srvset_member *member)
{
	return atomic_load_explicit(&member->server->used, memory_order_relaxed);
}

/* Handshakes under way are sessions a moment later: without them a burst would go to one server. */
static uint64_t sessions_of(const struct srvset_member *member)
{
	return (uint64_t)atomic_load_explicit(&member->server->sessions, memory_order_relaxed) +
	       lb_pending(member->server);
}

bool least_conn_less(const struct srvset_member *a, const struct srvset_member *b)
{
	return (used_of(a) + 1) * b->weight < (used_of(b) + 1) * a->weight;
}

static bool least_sessions_less(const struct srvset_member *a, const struct srvset_member *b)
{
	uint64_t load_a = (sessions_of(a) + 1) * b->weight;
	uint64_t load_b = (sessions_of(b) + 1) * a->weight;

	return load_a != load_b ? load_a < load_b : least_conn_less(a, b);
}

struct srvset_member *least_of_all(const struct lb_tier *tier, struct lb_filter *filter,
				   lb_less_fn *less)
{
	struct srvset_member *best = NULL;
	uint32_t ties = 0;

	for (uint32_t i = 0; i < tier->n; i++) {
		struct srvset_member *member = lb_member(tier, i);

		if (!lb_passes(filter, member))
			continue;
		if (!best || less(member, best)) {
			best = member;
			ties = 1;
		} else if (!less(best, member) && lb_random() % ++ties == 0) {
			best = member; /* each of the equals is as likely */
		}
	}
	return best;
}

static struct srvset_member *least_choose(const struct lb_tier *tier, struct lb_filter *filter,
					  lb_less_fn *less)
{
	struct srvset_member *member = NULL;

	if (tier->n > LB_SCAN_MAX)
		member = random_two(tier, filter, less);
	return member ? member : least_of_all(tier, filter, less);
}

struct srvset_member *least_conn_choose(const struct lb_tier *tier, struct lb_filter *filter)
{
	return least_choose(tier, filter, least_conn_less);
}

struct srvset_member *least_sessions_choose(const struct lb_tier *tier, struct lb_filter *filter)
{
	return least_choose(tier, filter, least_sessions_less);
}
