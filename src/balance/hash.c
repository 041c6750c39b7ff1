/* SPDX-License-Identifier: MIT */
/*
 * hash - a key's member by consistent hashing; a request without the key goes by random of two.
 *
 * Every node of a pair gives the same answer: only names, weights and readiness count.
 */
#include "config.h"

#include "balance/strategies.h"

struct srvset_member *hash_choose_key(const struct lb_tier *tier, struct lb_filter *filter,
				      uint64_t key_hash)
{
	return tier->maglev ? maglev_choose(tier, filter, key_hash)
			    : rendezvous_choose(tier, filter, key_hash);
}

struct srvset_member *hash_choose(const struct lb_tier *tier, struct lb_filter *filter)
{
	if (!filter->ask->has_key)
		return random_choose(tier, filter);
	return hash_choose_key(tier, filter, filter->ask->key_hash);
}
