/* SPDX-License-Identifier: MIT */
/*
 * first - the first member, in configured order, that has a slot: the others stay idle until
 * needed.
 */
#include "config.h"

#include "balance/strategies.h"

struct srvset_member *first_choose(const struct lb_tier *tier, struct lb_filter *filter)
{
	for (uint32_t i = 0; i < tier->n; i++)
		if (lb_passes(filter, lb_member(tier, i)))
			return lb_member(tier, i);
	return NULL;
}
