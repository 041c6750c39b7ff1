/* SPDX-License-Identifier: MIT */
/*
 * round_robin - a schedule made once, read by all threads with one atomic counter.
 *
 * Weights, divided by their greatest common divisor, are the slots of each member (scaled down when
 * they are too many).  Member i's k-th slot is due at (k + phase_i) / weight_i; the schedule is
 * the slots in order of that.  So each member's turns are evenly spaced, and the phases (multiples
 * of the golden ratio) keep members of one weight from coming in a bunch.
 *
 * A member that does not pass costs the caller its turn: it takes the next one off the counter.
 * If it merely looked further, the successor of a member that is down would get double traffic.
 */
#include "config.h"

#include <stdlib.h>

#include "balance/strategies.h"
#include "base/mem.h"

struct due {
	uint64_t at;
	uint32_t position;
};

static int due_cmp(const void *a, const void *b)
{
	const struct due *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->position < y->position ? -1 : x->position > y->position;
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Slots of each member; returns their sum. */
static uint32_t slots_of(const struct lb_tier *tier, uint32_t *slots)
{
	uint64_t total = tier->weight_sums[tier->n - 1];
	uint64_t max =
		(uint64_t)tier->n * 8 > LB_SCHEDULE_MAX ? (uint64_t)tier->n * 8 : LB_SCHEDULE_MAX;
	uint32_t divisor = 0, sum = 0;

	for (uint32_t i = 0; i < tier->n; i++)
		divisor = gcd(lb_member(tier, i)->weight, divisor);
	for (uint32_t i = 0; i < tier->n; i++) {
		uint64_t weight = lb_member(tier, i)->weight;

		if (total / divisor <= max)
			slots[i] = (uint32_t)(weight / divisor);
		else
			slots[i] = (uint32_t)((weight * max + total / 2) / total);
		if (!slots[i])
			slots[i] = 1;
		sum += slots[i];
	}
	return sum;
}

void round_robin_prepare(struct lb_tier *tier)
{
	uint32_t *slots = xcalloc(tier->n, sizeof(*slots));
	uint32_t n = slots_of(tier, slots), at = 0;
	struct due *dues = xcalloc(n, sizeof(*dues));

	for (uint32_t i = 0; i < tier->n; i++) {
		/* Phase in 1/2^32 of the distance between two turns: half, plus i golden ratios. */
		uint64_t phase = (uint32_t)(0x80000000u + i * 0x9e3779b9u);

		for (uint64_t k = 0; k < slots[i]; k++)
			dues[at++] = (struct due){ ((k << 32) + phase) / slots[i], i };
	}
	qsort(dues, n, sizeof(*dues), due_cmp);
	tier->schedule = xcalloc(n, sizeof(*tier->schedule));
	tier->schedule_n = n;
	for (uint32_t i = 0; i < n; i++)
		tier->schedule[i] = dues[i].position;
	free(dues);
	free(slots);
}

struct srvset_member *round_robin_choose(const struct lb_tier *tier, struct lb_filter *filter)
{
	_Atomic uint32_t *turn = &filter->ask->backend->state->turn;
	uint32_t at = 0;

	for (uint32_t i = 0; i < tier->schedule_n; i++) {
		at = atomic_fetch_add_explicit(turn, 1, memory_order_relaxed);
		struct srvset_member *member =
			lb_member(tier, tier->schedule[at % tier->schedule_n]);

		if (lb_passes(filter, member))
			return member;
	}
	/* Other threads took turns meanwhile: make sure that every member was looked at. */
	for (uint32_t i = 0; i < tier->n; i++) {
		struct srvset_member *member = lb_member(tier, (at + i) % tier->n);

		if (lb_passes(filter, member))
			return member;
	}
	return NULL;
}
