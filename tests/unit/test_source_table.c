/* SPDX-License-Identifier: MIT */
/* source_table: what a source may take, what is remembered of it, and for how long. */
#include "config.h"

#include "session/source_table.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

#define START SEC(1000)

static int setup(void **state)
{
	clock_set_ms(START);
	*state = source_table_new();
	return 0;
}

static int teardown(void **state)
{
	source_table_free(*state);
	return 0;
}

static struct ip_addr addr(const char *text)
{
	struct ip_addr ip;

	assert_int_equal(ip_addr_parse(str_of(text), &ip), 0);
	return ip;
}

static enum source_answer take(struct source_table *table, uint32_t frontend, const char *source,
			       struct source_limits limits)
{
	struct ip_addr ip = addr(source);
	enum source_answer answer = source_table_take(table, frontend, &ip, &limits);

	assert_true(source_table_is_sane(table));
	return answer;
}

static void give(struct source_table *table, uint32_t frontend, const char *source)
{
	struct ip_addr ip = addr(source);

	source_table_give(table, frontend, &ip);
	assert_true(source_table_is_sane(table));
}

static uint64_t entries(struct source_table *table)
{
	struct source_stats stats;

	source_table_stats(table, &stats);
	return stats.entries;
}

static void a_source_has_no_more_connections_than_its_limit(void **state)
{
	struct source_table *table = *state;
	struct source_limits two = { .connections = 2 };

	assert_int_equal(take(table, 1, "10.0.0.1", two), SOURCE_MAY);
	assert_int_equal(take(table, 1, "10.0.0.1", two), SOURCE_MAY);
	assert_int_equal(take(table, 1, "10.0.0.1", two), SOURCE_HAS_TOO_MANY);
	assert_int_equal(take(table, 1, "10.0.0.2", two), SOURCE_MAY);
	assert_int_equal(take(table, 2, "10.0.0.1", two), SOURCE_MAY);
	give(table, 1, "10.0.0.1");
	assert_int_equal(take(table, 1, "10.0.0.1", two), SOURCE_MAY);
	assert_int_equal(take(table, 1, "10.0.0.1", two), SOURCE_HAS_TOO_MANY);
}

static void limits_change_while_connections_stay(void **state)
{
	struct source_table *table = *state;

	for (int i = 0; i < 5; i++)
		assert_int_equal(take(table, 1, "10.0.0.1", (struct source_limits){ 5, { 0 } }),
				 SOURCE_MAY);
	assert_int_equal(take(table, 1, "10.0.0.1", (struct source_limits){ 3, { 0 } }),
			 SOURCE_HAS_TOO_MANY);
	assert_int_equal(take(table, 1, "10.0.0.1", (struct source_limits){ 6, { 0 } }),
			 SOURCE_MAY);
	for (int i = 0; i < 6; i++)
		give(table, 1, "10.0.0.1");
	assert_int_equal(entries(table), 0);
}

static void a_bucket_is_used_up_and_fills_evenly(void **state)
{
	struct source_table *table = *state;
	struct source_limits ten = { .rate = { 10, SEC(1) } };

	for (int i = 0; i < 10; i++) {
		assert_int_equal(take(table, 1, "10.0.0.1", ten), SOURCE_MAY);
		give(table, 1, "10.0.0.1");
	}
	assert_int_equal(take(table, 1, "10.0.0.1", ten), SOURCE_IS_TOO_FAST);
	clock_set_ms(START + 99);
	assert_int_equal(take(table, 1, "10.0.0.1", ten), SOURCE_IS_TOO_FAST);
	clock_set_ms(START + 100);
	assert_int_equal(take(table, 1, "10.0.0.1", ten), SOURCE_MAY);
	assert_int_equal(take(table, 1, "10.0.0.1", ten), SOURCE_IS_TOO_FAST);
	clock_set_ms(START + SEC(60));
	for (int i = 0; i < 10; i++)
		assert_int_equal(take(table, 1, "10.0.0.1", ten), SOURCE_MAY);
	assert_int_equal(take(table, 1, "10.0.0.1", ten), SOURCE_IS_TOO_FAST);
}

static void a_shorter_window_forgives_what_the_longer_one_had(void **state)
{
	struct source_table *table = *state;
	struct source_limits slow = { .rate = { 1, SEC(3600) } }, fast = { .rate = { 1, SEC(1) } };

	assert_int_equal(take(table, 1, "10.0.0.1", slow), SOURCE_MAY);
	assert_int_equal(take(table, 1, "10.0.0.1", fast), SOURCE_IS_TOO_FAST);
	clock_set_ms(START + SEC(3599));
	assert_int_equal(take(table, 1, "10.0.0.1", slow), SOURCE_IS_TOO_FAST);
	clock_set_ms(START + SEC(3600));
	assert_int_equal(take(table, 1, "10.0.0.1", fast), SOURCE_MAY);
	assert_int_equal(take(table, 1, "10.0.0.1", (struct source_limits){ 0 }), SOURCE_MAY);
}

static void a_network_of_64_bits_is_one_source(void **state)
{
	struct source_table *table = *state;
	struct source_limits one = { .connections = 1 };

	assert_int_equal(take(table, 1, "2001:db8:0:1::1", one), SOURCE_MAY);
	assert_int_equal(take(table, 1, "2001:db8:0:1:ffff::2", one), SOURCE_HAS_TOO_MANY);
	assert_int_equal(take(table, 1, "2001:db8:0:2::1", one), SOURCE_MAY);
	give(table, 1, "2001:db8:0:1:abcd::");
	assert_int_equal(take(table, 1, "2001:db8:0:1::3", one), SOURCE_MAY);
	/* The same bytes in another family. */
	assert_int_equal(take(table, 1, "32.1.13.184", one), SOURCE_MAY);
}

static void a_source_that_has_recovered_is_forgotten(void **state)
{
	struct source_table *table = *state;
	struct source_limits ten = { .rate = { 10, SEC(1) } };
	struct source_stats stats;

	assert_int_equal(take(table, 1, "10.0.0.1", ten), SOURCE_MAY);
	clock_set_ms(START + 50);
	give(table, 1, "10.0.0.1");
	source_table_stats(table, &stats);
	assert_int_equal(stats.entries, 1);
	assert_int_equal(stats.idle, 1);
	clock_set_ms(START + 101);
	for (int i = 0; i < 1000; i++) { /* of every shard */
		char text[32];

		snprintf(text, sizeof(text), "10.1.%d.%d", i / 250, i % 250);
		assert_int_equal(take(table, 1, text, ten), SOURCE_MAY);
	}
	source_table_stats(table, &stats);
	assert_int_equal(stats.entries, 1000);
	clock_set_ms(START + SEC(2));
	for (int i = 0; i < 1000; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.1.%d.%d", i / 250, i % 250);
		give(table, 1, text);
	}
	assert_int_equal(entries(table), 0);
}

static void a_flood_of_sources_does_not_grow_the_table(void **state)
{
	struct source_table *table = *state;
	struct source_limits slow = { .rate = { 1, SEC(3600) } };
	struct ip_addr ip = addr("2001:db8::");
	struct source_stats stats;
	uint32_t flood = SOURCE_SHARDS_N * SOURCE_IDLE_MAX + 100000;

	assert_int_equal(take(table, 1, "10.0.0.1", (struct source_limits){ 1, { 1, SEC(3600) } }),
			 SOURCE_MAY);
	for (uint32_t i = 0; i < flood; i++) {
		memcpy(ip.ip + 4, &i, sizeof(i));
		assert_int_equal(source_table_take(table, 1, &ip, &slow), SOURCE_MAY);
		source_table_give(table, 1, &ip);
	}
	assert_true(source_table_is_sane(table));
	source_table_stats(table, &stats);
	assert_int_equal(stats.entries + stats.forgotten, flood + 1);
	assert_true(stats.idle <= SOURCE_SHARDS_N * SOURCE_IDLE_MAX);
	assert_true(stats.forgotten >= 100000);
	/* Who has a connection is not forgotten. */
	assert_int_equal(take(table, 1, "10.0.0.1", (struct source_limits){ .connections = 1 }),
			 SOURCE_HAS_TOO_MANY);
}

static void a_walk_tells_every_source_once(void **state)
{
	struct source_table *table = *state;
	struct source_limits limits = { 9, { 10, SEC(1) } };
	struct source_view views[7];
	uint64_t cursor = 0;
	unsigned seen[500] = { 0 }, told = 0;
	size_t n;

	for (unsigned i = 0; i < 500; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.0.%u.%u", i / 250, i % 250);
		assert_int_equal(take(table, 7, text, limits), SOURCE_MAY);
	}
	while ((n = source_table_walk(table, &cursor, views, ARRAY_N(views))) > 0) {
		for (size_t i = 0; i < n; i++) {
			seen[views[i].source.ip[2] * 250 + views[i].source.ip[3]]++;
			assert_int_equal(views[i].frontend, 7);
			assert_int_equal(views[i].connections, 1);
			assert_int_equal(views[i].full_in_ms, 100);
		}
		told += (unsigned)n;
	}
	assert_int_equal(told, 500);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(seen[i], 1);
}

struct hammer {
	struct source_table *table;
	unsigned seed;
	atomic_uint *open_now; /* of each of 8 sources */
};

#define HAMMER_LIMIT 3

static void *hammer_run(void *arg)
{
	struct hammer *hammer = arg;
	struct source_limits limits = { HAMMER_LIMIT, { 1000000, MS(100) } };
	unsigned mine[8] = { 0 }, random = hammer->seed;

	clock_set_ms(START);
	for (int i = 0; i < 40000; i++) {
		struct ip_addr ip = { .family = AF_INET, .ip = { 10, 0, 0, 0 } };
		unsigned which = (random = random * 1103515245 + 12345) >> 16 & 7;

		ip.ip[3] = (uint8_t)which;
		if (mine[which] && (random >> 20 & 1)) {
			mine[which]--;
			atomic_fetch_sub(&hammer->open_now[which], 1);
			source_table_give(hammer->table, 1, &ip);
		} else if (source_table_take(hammer->table, 1, &ip, &limits) == SOURCE_MAY) {
			mine[which]++;
			bug_on(atomic_fetch_add(&hammer->open_now[which], 1) >= HAMMER_LIMIT);
		}
	}
	for (unsigned which = 0; which < 8; which++) {
		struct ip_addr ip = { .family = AF_INET, .ip = { 10, 0, 0, (uint8_t)which } };

		while (mine[which]--) {
			atomic_fetch_sub(&hammer->open_now[which], 1);
			source_table_give(hammer->table, 1, &ip);
		}
	}
	return NULL;
}

static void threads_together_stay_within_the_limit(void **state)
{
	atomic_uint open_now[8] = { 0 };
	struct hammer hammers[2] = { { *state, 1, open_now }, { *state, 99, open_now } };
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer_run, &hammers[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(source_table_is_sane(*state));
	clock_set_ms(START + SEC(1));
	assert_int_equal(take(*state, 1, "10.0.0.1", (struct source_limits){ 1, { 0 } }),
			 SOURCE_MAY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_source_has_no_more_connections_than_its_limit),
		TEST(limits_change_while_connections_stay),
		TEST(a_bucket_is_used_up_and_fills_evenly),
		TEST(a_shorter_window_forgives_what_the_longer_one_had),
		TEST(a_network_of_64_bits_is_one_source),
		TEST(a_source_that_has_recovered_is_forgotten),
		TEST(a_flood_of_sources_does_not_grow_the_table),
		TEST(a_walk_tells_every_source_once),
		TEST(threads_together_stay_within_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
