/* SPDX-License-Identifier: MIT */
/*
 * bench_table [full] - memory and speed of full session tables of 20-byte sids, one thread; the
 * keys are digests, as those of all sids are.  "shared": changes are marked for a mirror.  Bytes
 * are resident memory of an entry, index and empty table included.
 *
 * Keys are made from their number while the clock runs (the cost of that alone is taken off), in an
 * order that no cache can foresee.
 */
#include "config.h"

#include <malloc.h>
#include <unistd.h>

#include "balance/lb.h"
#include "balance/table.h"
#include "balance/table_share.h"
#include "base/clock.h"
#include "micro.h"

#define IDLE_MS 45000

static uint32_t lookups;

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

static double resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long pages = 0;

	must(file && fscanf(file, "%*s %ld", &pages) == 1);
	fclose(file);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

enum what { KEYS_ALONE, KEYS_AND_HASH, FIND, FIND_MISS, OPEN_CLOSE, PUT_AGAIN, WHAT_N };

static const char *const names[WHAT_N] = {
	"(making a sid)", "hash", "find, hit", "find, miss", "open and close", "put, was there",
};

/* What one read that no cache and no foresight helps with costs here: the yardstick. */
static double memory_latency_ns(void)
{
	const uint32_t n = 1u << 20, stride = 16; /* 64 MiB in lines of 64 bytes */
	uint32_t *next = calloc(n, stride * sizeof(*next));
	uint32_t at = 0;
	uint64_t from_ns;

	must(next);
	/* A full cycle: the multiplier and increment of a linear congruential generator. */
	for (uint32_t i = 0; i < n; i++)
		next[i * stride] = (i * 1664525u + 1013904223u) % n;
	from_ns = micro_ns();
	for (uint32_t i = 0; i < n; i++)
		at = ((volatile uint32_t *)next)[at * stride];
	must(at == 0); /* back where it began */
	free(next);
	return (double)(micro_ns() - from_ns) / n;
}

static struct table_key key_of(struct table *table, uint64_t number)
{
	char sid[20];

	make_sid(number, sid);
	return table_key(table, (struct str){ sid, 20 });
}

static struct table_value value_of(uint32_t number)
{
	return (struct table_value){ .server = number % 64, .generation = 1, .idle_ms = IDLE_MS };
}

/* As a proxy does it: the key is known, and its cell asked for, a little before the look-up. */
static double run_prefetched(struct table *table, uint32_t n)
{
	struct {
		struct table_key key;
		uint32_t number;
	} ring[8];
	uint64_t from_ns = micro_ns();
	uint32_t found = 0;

	lb_random_seed(1);
	for (uint32_t i = 0; i < lookups + ARRAY_N(ring); i++) {
		unsigned at = i % ARRAY_N(ring);
		struct table_value value;

		if (i >= ARRAY_N(ring))
			found += table_find(table, &ring[at].key, &value) &&
				 value.server == ring[at].number % 64;
		ring[at].number = (uint32_t)(lb_random() % n);
		ring[at].key = key_of(table, ring[at].number);
		table_prefetch(table, &ring[at].key);
	}
	must(found == lookups);
	return (double)(micro_ns() - from_ns) / lookups;
}

static bool run_one(struct table *table, uint32_t number, enum what what)
{
	struct table_value value;
	struct table_key key = key_of(table, number);

	switch (what) {
	case FIND:
		return table_find(table, &key, &value) && value.server == number % 64;
	case FIND_MISS:
		return !table_find(table, &key, &value);
	case OPEN_CLOSE:
		if (!table_open(table, &key, &value))
			return false;
		table_close(table, &key);
		return value.server == number % 64;
	case PUT_AGAIN:
		value = value_of(number);
		return table_put(table, &key, &value, NULL) == TABLE_PUT_SAME;
	case KEYS_ALONE:
	case KEYS_AND_HASH:
	case WHAT_N:
		break;
	}
	return key.len == TABLE_KEY_SIZE;
}

static double run(struct table *table, uint32_t n, enum what what)
{
	uint64_t from_ns = micro_ns();
	uint32_t right = 0;

	lb_random_seed(1);
	for (uint32_t i = 0; i < lookups; i++) {
		uint32_t number = (uint32_t)(lb_random() % n) + (what == FIND_MISS ? n : 0);

		if (what == KEYS_ALONE) {
			char sid[20];

			make_sid(number, sid);
			micro_barrier();
			right++;
		} else {
			right += run_one(table, number, what);
		}
	}
	must(right == lookups);
	return (double)(micro_ns() - from_ns) / lookups;
}

static double fill(struct table *table, uint32_t n)
{
	uint64_t from_ns = micro_ns();

	for (uint32_t i = 0; i < n; i++) {
		struct table_key key = key_of(table, i);
		struct table_value value = value_of(i);

		table_put(table, &key, &value, NULL);
	}
	return (double)(micro_ns() - from_ns) / n;
}

static double expire(struct table *table, uint32_t n)
{
	uint64_t from_ns;
	uint32_t freed = 0;

	clock_set_ms(clock_ms() + IDLE_MS + 15000);
	from_ns = micro_ns();
	while (freed < n)
		freed += table_expire(table, 65536);
	must(freed == n);
	return (double)(micro_ns() - from_ns) / n;
}

static void row(uint32_t n, bool is_shared, const char *what, double ns, double bytes)
{
	char name[96];

	snprintf(name, sizeof(name), "%.2g M entries%s: %s", n / 1e6, is_shared ? ", shared" : "",
		 what);
	micro_row(name, ns, 0, bytes);
}

static void bench(uint32_t n, bool is_shared)
{
	double before = (malloc_trim(0), resident_bytes()), keys_ns = 0, fill_ns, bytes;
	struct table *table = table_new(
		&(struct table_options){ .name = "bench", .max_entries = n, .is_secret = true });
	struct table_stats stats;

	table_share(table, is_shared);
	fill_ns = fill(table, n);
	table_stats(table, &stats);
	must(stats.entries == n && stats.evictions == 0);
	bytes = (resident_bytes() - before) / (double)stats.entries;
	for (int what = 0; what < WHAT_N; what++) {
		double ns = run(table, n, (enum what)what);

		if (what == KEYS_ALONE) {
			keys_ns = ns;
			row(n, is_shared, "insert, with its hash", fill_ns - keys_ns, bytes);
		} else {
			row(n, is_shared, names[what], ns - keys_ns, bytes);
		}
	}
	row(n, is_shared, "find, prefetched", run_prefetched(table, n) - keys_ns, bytes);
	must(table_is_sane(table));
	row(n, is_shared, "expire", expire(table, n), bytes);
	table_stats(table, &stats);
	must(stats.entries == 0);
	table_free(table);
}

int main(int argc, char **argv)
{
	bool is_full = micro_begin(argc, argv, "session table");

	lookups = is_full ? 4000000 : 200000;
	clock_set_ms(1000);
	micro_row("one random read of memory on this machine", memory_latency_ns(), 0, 0);
	if (!is_full) {
		bench(100000, false);
		return 0;
	}
	bench(1000000, false);
	bench(1000000, true);
	bench(10000000, false);
	return 0;
}
