/* SPDX-License-Identifier: MIT */
/*
 * strategies - how a member is chosen among those that the filter lets through; one file each.
 *
 * A srvset's lookup holds two tiers: the members that are not backup, and the backup ones.  A
 * strategy sees one tier and the filter's verdict on each member, and knows nothing else.  It
 * reserves nothing: lb_pick() does, and asks again when another thread was faster.
 *
 *   srvset ---> lb_lookup ---> tiers[0] (primary)  ---> members[], schedule, Maglev table
 *                         ---> tiers[1] (backup)
 *                         ---> tokens (cookie insert)
 *
 * Threads.  All of it is const after lb_prepare(); backend->state->turn and the servers' atomics
 * are all that changes.
 */
#ifndef BALANCE_STRATEGIES_H
#define BALANCE_STRATEGIES_H

#include "balance/lb.h"

#define LB_SCAN_MAX       16 /* members up to which least_* looks at all of them */
#define LB_RENDEZVOUS_MAX 64 /* members up to which hashing is by rendezvous */
#define LB_SCHEDULE_MAX                                                                            \
	4096 /* slots of a round robin schedule, or 8 for each member if that is more */
#define MAGLEV_SIZE 65537

struct lb_tier {
	struct srvset *set;    /* (view) */
	uint32_t n;            /* members of weight > 0 */
	uint32_t *members;     /* (own) indexes into set->members, in configured order */
	uint64_t *weight_sums; /* (own) running sums over members[]; weight_sums[n - 1] is the total
				*/
	uint32_t *schedule;    /* (own) positions in members[]; NULL unless round_robin */
	uint32_t schedule_n;
	uint16_t *maglev; /* (own) positions in members[], MAGLEV_SIZE of them; NULL = rendezvous */
};

struct lb_lookup {
	struct lb_tier tiers[2];
	uint32_t *tokens; /* (own) open-addressed: hash of token -> member index + 1; NULL = none */
	uint32_t tokens_n; /* power of two */
};

/* The filter.  Of a member that fails only for want of a slot, *IS_FULL becomes true. */
struct lb_filter {
	const struct lb_ask *ask; /* NULL: only readiness counts, slots and tries do not */
	bool is_full;
	bool is_last_resort; /* nobody is ready: who is down or sick will do */
};
bool lb_passes(struct lb_filter *filter, const struct srvset_member *member);

static inline struct srvset_member *lb_member(const struct lb_tier *tier, uint32_t position)
{
	return &tier->set->members[tier->members[position]];
}

/*
 * Each returns a member that passes, or NULL after it has looked at every one of the tier (so that
 * filter->is_full is right then).
 */
typedef struct srvset_member *lb_choose_fn(const struct lb_tier *tier, struct lb_filter *filter);
lb_choose_fn round_robin_choose, least_conn_choose, least_sessions_choose, random_choose,
	first_choose, hash_choose;

/* hash_choose() for a key. */
struct srvset_member *hash_choose_key(const struct lb_tier *tier, struct lb_filter *filter,
				      uint64_t key_hash);
struct srvset_member *rendezvous_choose(const struct lb_tier *tier, struct lb_filter *filter,
					uint64_t key_hash);
struct srvset_member *maglev_choose(const struct lb_tier *tier, struct lb_filter *filter,
				    uint64_t key_hash);

/* A random position in the tier, in proportion to weight. */
uint32_t random_position(const struct lb_tier *tier);
/* Two (weighted) random choices by LESS; NULL when some tries found nobody. */
typedef bool lb_less_fn(const struct srvset_member *a, const struct srvset_member *b);
struct srvset_member *random_two(const struct lb_tier *tier, struct lb_filter *filter,
				 lb_less_fn *less);
/* The least of all members; ties at random. */
struct srvset_member *least_of_all(const struct lb_tier *tier, struct lb_filter *filter,
				   lb_less_fn *less);
/* Fewer slots used, by weight. */
lb_less_fn least_conn_less;

/* Builders; control thread. */
void round_robin_prepare(struct lb_tier *tier);
void rendezvous_prepare(void);
void maglev_prepare(struct lb_tier *tier);

/* -log2((x + 1) / 2^64) as fixed point with 32 fraction bits: 0..64 << 32.  Integer arithmetic
 * alone. */
uint64_t rendezvous_neg_log2(uint64_t x);

/* A bijective mixing of 64 bits (the finalizer of splitmix64). */
static inline uint64_t lb_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	x ^= x >> 31;
	return x;
}

#endif
