/* SPDX-License-Identifier: MIT */
/*
 * random - two members drawn in proportion to weight; the less loaded one is taken.
 */
#include "config.h"

#include "balance/strategies.h"

#define DRAWS_MAX 16 /* before a full scan, when most do not pass */

uint32_t random_position(const struct lb_tier *tier)
{
	uint64_t total = tier->weight_sums[tier->n - 1];
	uint64_t at = (uint64_t)((unsigned __int128)lb_random() * total >> 64);
	uint32_t low = 0, high = tier->n - 1;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (tier->weight_sums[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct srvset_member *random_two(const struct lb_tier *tier, struct lb_filter *filter,
				 lb_less_fn *less)
{
	struct srvset_member *first = NULL;

	for (uint32_t i = 0; i < DRAWS_MAX; i++) {
		struct srvset_member *member = lb_member(tier, random_position(tier));

		if (member == first || !lb_passes(filter, member))
			continue;
		if (first)
			return less(member, first) ? member : first;
		first = member;
	}
	return first;
}

struct srvset_member *random_choose(const struct lb_tier *tier, struct lb_filter *filter)
{
	struct srvset_member *member = random_two(tier, filter, least_conn_less);

	return member ? member : least_of_all(tier, filter, least_conn_less);
}
