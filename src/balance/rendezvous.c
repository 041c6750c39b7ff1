/* SPDX-License-Identifier: MIT */
/*
 * rendezvous - weighted highest-random-weight hashing (Thaler and Ravishankar 1998; the weights as
 * in "weighted distributed hash tables", Schindelhauer and Schomaker 2005).
 *
 * Each member draws x uniform in (0, 1] from the key and its name; the least -log(x) / weight wins,
 * which is member i with probability weight_i / sum.  A member that goes takes only its own keys
 * with it, and one whose weight changes moves only keys to or from itself.
 *
 * The logarithm is fixed point, from a table that is itself made by integer arithmetic, so that
 * nodes of different processors and compilers agree.
 */
#include "config.h"

#include <pthread.h>
#include <string.h>

#include "balance/strategies.h"

#define LOG_BITS 9
#define LOG_N    (1u << LOG_BITS)

static uint64_t log_table[LOG_N + 1]; /* log2(1 + i / LOG_N), 32 fraction bits */
static pthread_once_t log_once = PTHREAD_ONCE_INIT;

/* log2 of M / 2^62, M in [2^62, 2^63): one bit for each squaring. */
static uint64_t log2_by_squaring(uint64_t m)
{
	uint64_t log = 0;

	for (int bit = 31; bit >= 0; bit--) {
		m = (uint64_t)((unsigned __int128)m * m >> 62);
		if (m >> 63) {
			log |= (uint64_t)1 << bit;
			m >>= 1;
		}
	}
	return log;
}

static void make_log_table(void)
{
	for (uint64_t i = 0; i < LOG_N; i++)
		log_table[i] = log2_by_squaring(((uint64_t)1 << 62) + (i << (62 - LOG_BITS)));
	log_table[LOG_N] = (uint64_t)1 << 32;
}

void rendezvous_prepare(void)
{
	pthread_once(&log_once, make_log_table);
}

uint64_t rendezvous_neg_log2(uint64_t x)
{
	unsigned exponent = 63;
	uint64_t from, to, fraction;

	if (x == UINT64_MAX)
		return 0;
	x++;
	exponent -= (unsigned)__builtin_clzll(x);
	x <<= 63 - exponent; /* the leading one in bit 63 */
	x <<= 1;             /* and off: what is left is the fraction */
	from = log_table[x >> (64 - LOG_BITS)];
	to = log_table[(x >> (64 - LOG_BITS)) + 1];
	fraction = x << LOG_BITS >> 32;
	return ((uint64_t)(64 - exponent) << 32) - from - ((to - from) * fraction >> 32);
}

struct srvset_member *rendezvous_choose(const struct lb_tier *tier, struct lb_filter *filter,
					uint64_t key_hash)
{
	struct srvset_member *best = NULL;
	uint64_t best_log = 0, key = lb_mix(key_hash);

	for (uint32_t i = 0; i < tier->n; i++) {
		struct srvset_member *member = lb_member(tier, i);
		uint64_t draw, log;

		if (!lb_passes(filter, member))
			continue;
		draw = lb_mix(lb_mix(key ^ member->server->name_hash) + key);
		log = rendezvous_neg_log2(draw);
		/* log / weight < best_log / best->weight; at most 39 + 15 bits each */
		if (best) {
			uint64_t mine = log * best->weight, its = best_log * member->weight;

			if (mine > its ||
			    (mine == its && strcmp(member->server->name, best->server->name) > 0))
				continue;
		}
		best = member;
		best_log = log;
	}
	return best;
}
