/* SPDX-License-Identifier: MIT */
/*
 * maglev - a table of 65537 slots filled by the members' own permutations (Eisenbud and others,
 * NSDI 2016, section 3.4), weights as the number of turns that a member gets.
 *
 * A look-up is one read of the table.  A member that is down is skipped by a second walk through
 * the table whose step comes from the key, so that its keys spread over all others and no others
 * move; the table is made anew only when the configuration changes, and then few keys of others
 * move (measured in tests/unit/test_maglev.c).
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "balance/strategies.h"
#include "base/mem.h"

#define WALK_MAX 64 /* steps before rendezvous over all members decides: most of them are down */

/* One member while the table is filled. */
struct filler {
	const struct server *server;
	uint32_t position;   /* in tier->members */
	uint32_t next, step; /* its permutation: next, next + step, ... modulo MAGLEV_SIZE */
	uint32_t weight;
	uint64_t credit;
};

/* Order of turns: by name, so that nodes agree whatever the order of their files. */
static int filler_cmp(const void *a, const void *b)
{
	const struct filler *x = a, *y = b;

	if (x->server->name_hash != y->server->name_hash)
		return x->server->name_hash < y->server->name_hash ? -1 : 1;
	return strcmp(x->server->name, y->server->name);
}

#define SLOT_FREE UINT16_MAX

static void fill_one(struct lb_tier *tier, struct filler *filler)
{
	while (tier->maglev[filler->next] != SLOT_FREE)
		filler->next = (filler->next + filler->step) % MAGLEV_SIZE;
	tier->maglev[filler->next] = (uint16_t)filler->position;
}

/* Rounds in which the heaviest gets one turn, others one whenever they have saved up for it. */
static void fill(struct lb_tier *tier, struct filler *fillers, uint32_t weight_max)
{
	uint32_t filled = 0;

	while (filled < MAGLEV_SIZE) {
		for (uint32_t i = 0; i < tier->n && filled < MAGLEV_SIZE; i++) {
			fillers[i].credit += fillers[i].weight;
			if (fillers[i].credit < weight_max)
				continue;
			fillers[i].credit -= weight_max;
			fill_one(tier, &fillers[i]);
			filled++;
		}
	}
}

void maglev_prepare(struct lb_tier *tier)
{
	struct filler *fillers;
	uint32_t weight_max = 0;

	if (tier->n >= SLOT_FREE)
		return; /* more members than the table can name: rendezvous */
	fillers = xcalloc(tier->n, sizeof(*fillers));
	tier->maglev = xmalloc(MAGLEV_SIZE * sizeof(*tier->maglev));
	memset(tier->maglev, 0xff, MAGLEV_SIZE * sizeof(*tier->maglev));
	for (uint32_t i = 0; i < tier->n; i++) {
		const struct srvset_member *member = lb_member(tier, i);
		uint64_t hash = member->server->name_hash;

		fillers[i] = (struct filler){
			.server = member->server,
			.position = i,
			.next = (uint32_t)(lb_mix(hash) % MAGLEV_SIZE),
			.step = (uint32_t)(lb_mix(hash + 0x9e3779b97f4a7c15u) % (MAGLEV_SIZE - 1)) +
				1,
			.weight = member->weight,
		};
		if (member->weight > weight_max)
			weight_max = member->weight;
	}
	qsort(fillers, tier->n, sizeof(*fillers), filler_cmp);
	fill(tier, fillers, weight_max);
	free(fillers);
}

struct srvset_member *maglev_choose(const struct lb_tier *tier, struct lb_filter *filter,
				    uint64_t key_hash)
{
	uint64_t mixed = lb_mix(key_hash);
	uint32_t at = (uint32_t)(mixed % MAGLEV_SIZE);
	uint32_t step = (uint32_t)(lb_mix(mixed + 1) % (MAGLEV_SIZE - 1)) + 1;

	for (uint32_t i = 0; i < WALK_MAX; i++) {
		struct srvset_member *member = lb_member(tier, tier->maglev[at]);

		if (lb_passes(filter, member))
			return member;
		at = (at + step) % MAGLEV_SIZE;
	}
	return rendezvous_choose(tier, filter, key_hash);
}
