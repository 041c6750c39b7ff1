/* SPDX-License-Identifier: MIT */
/*
 * bench_table [ENTRIES] [shared] - memory and speed of a full session table of 20-byte sids, one
 * thread; the keys are digests, as those of all sids.  "shared": changes are marked for a mirror.
 *
 * Keys are made from their number while the clock runs (the cost of that alone is printed first and
 * taken off), in an order that no cache can foresee.
 */
#include "config.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "balance/lb.h"
#include "balance/table.h"
#include "balance/table_share.h"
#include "base/clock.h"

#define LOOKUPS 4000000u

static volatile uint64_t sink;

static void make_sid(uint64_t number, char sid[20])
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint64_t x = number * 0x9e3779b97f4a7c15u;

	x ^= x >> 29;
	for (int i = 0; i < 10; i++, x >>= 6)
		sid[i] = alphabet[x & 63];
	x = number;
	for (int i = 10; i < 20; i++, x >>= 6)
		sid[i] = alphabet[x & 63];
}

enum what { KEYS_ALONE, KEYS_AND_HASH, FIND, FIND_MISS, OPEN_CLOSE, WHAT_N };

/* What one read that no cache and no foresight helps with costs here: the yardstick for the rest.
 */
static double memory_latency_ns(void)
{
	const uint32_t n = 1u << 20, stride = 16; /* 64 MiB in lines of 64 bytes */
	uint32_t *next = calloc(n, stride * sizeof(*next));
	uint32_t at = 0;
	int64_t from_us;

	if (!next)
		return 0;
	/* A full cycle: the multiplier and increment of a linear congruential generator. */
	for (uint32_t i = 0; i < n; i++)
		next[i * stride] = (i * 1664525u + 1013904223u) % n;
	from_us = clock_now_us();
	for (uint32_t i = 0; i < n; i++)
		at = ((volatile uint32_t *)next)[at * stride];
	sink = at;
	free(next);
	return (double)(clock_now_us() - from_us) * 1000 / n;
}

/* As a proxy does it: the key is known, and its cell asked for, a little before the look-up. */
static double run_prefetched(struct table *table, uint32_t n)
{
	struct {
		struct table_key key;
		char sid[20];
	} ring[8];
	int64_t from_us = clock_now_us();
	uint64_t sum = 0;

	lb_random_seed(1);
	for (uint32_t i = 0; i < LOOKUPS + ARRAY_N(ring); i++) {
		unsigned at = i % ARRAY_N(ring);
		struct table_value value;

		if (i >= ARRAY_N(ring))
			sum += table_find(table, &ring[at].key, &value);
		make_sid(lb_random() % n, ring[at].sid);
		ring[at].key = table_key(table, (struct str){ ring[at].sid, 20 });
		table_prefetch(table, &ring[at].key);
	}
	sink = sum;
	return (double)(clock_now_us() - from_us) * 1000 / LOOKUPS;
}

static double run(struct table *table, uint32_t n, enum what what)
{
	int64_t from_us = clock_now_us();
	uint64_t sum = 0;

	lb_random_seed(1);
	for (uint32_t i = 0; i < LOOKUPS; i++) {
		struct table_value value;
		struct table_key key;
		char sid[20];

		make_sid(lb_random() % n + (what == FIND_MISS ? n : 0), sid);
		sum += (unsigned char)sid[3];
		if (what == KEYS_ALONE)
			continue;
		key = table_key(table, (struct str){ sid, 20 });
		sum += key.hash;
		if (what == FIND || what == FIND_MISS)
			sum += table_find(table, &key, &value);
		if (what == OPEN_CLOSE) {
			sum += table_open(table, &key, &value);
			table_close(table, &key);
		}
	}
	sink = sum;
	return (double)(clock_now_us() - from_us) * 1000 / LOOKUPS;
}

static void fill(struct table *table, uint32_t n)
{
	int64_t from_us = clock_now_us();

	for (uint32_t i = 0; i < n; i++) {
		struct table_value value = { .server = i % 64, .generation = 1, .idle_ms = 45000 };
		struct table_key key;
		char sid[20];

		make_sid(i, sid);
		key = table_key(table, (struct str){ sid, 20 });
		table_put(table, &key, &value, NULL);
	}
	printf("insert            %6.1f ns\n", (double)(clock_now_us() - from_us) * 1000 / n);
}

static void expire(struct table *table, uint32_t n)
{
	int64_t from_us;
	uint32_t freed = 0;

	clock_set_ms(clock_ms() + 60000);
	from_us = clock_now_us();
	while (freed < n)
		freed += table_expire(table, 65536);
	printf("expire            %6.1f ns\n", (double)(clock_now_us() - from_us) * 1000 / n);
}

int main(int argc, char **argv)
{
	static const char *const names[WHAT_N] = { "(making keys)", "(and hashing)", "find",
						   "find, not there", "open + close" };
	uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	size_t empty_bytes = mallinfo2().uordblks;
	struct table_stats stats;
	struct table *table;
	double keys_ns = 0;

	clock_set_ms(1000);
	table = table_new(
		&(struct table_options){ .name = "bench", .max_entries = n, .is_secret = true });
	table_share(table, argc > 2 && strcmp(argv[2], "shared") == 0);
	printf("empty table: %zu bytes; %u entries of 20-byte sids follow\n",
	       mallinfo2().uordblks - empty_bytes, n);
	fill(table, n);
	table_stats(table, &stats);
	printf("entries           %llu, evictions %llu\n", (unsigned long long)stats.entries,
	       (unsigned long long)stats.evictions);
	printf("memory            %.2f bytes an entry by our count, %.2f by malloc's\n",
	       (double)stats.size_bytes / (double)stats.entries,
	       (double)(mallinfo2().uordblks + mallinfo2().hblkhd - empty_bytes) /
		       (double)stats.entries);
	for (int what = 0; what < WHAT_N; what++) {
		double ns = run(table, n, (enum what)what);

		if (what == KEYS_ALONE)
			keys_ns = ns;
		printf("%-17s %6.1f ns", names[what], what == KEYS_ALONE ? ns : ns - keys_ns);
		if (what >= FIND)
			printf("  %6.2f M/s", 1000 / (ns - keys_ns));
		printf("\n");
	}
	double ns = run_prefetched(table, n) - keys_ns;

	printf("find, prefetched  %6.1f ns  %6.2f M/s\n", ns, 1000 / ns);
	printf("(one random read of memory on this machine: %.1f ns)\n", memory_latency_ns());
	expire(table, n);
	table_free(table);
	return 0;
}
