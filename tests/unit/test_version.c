/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "balance/version.h"
#include "base/bug.h"
#include "base/mem.h"

#define NOON 1800000000000

static int64_t now_ms;

static int64_t test_wall(void)
{
	return now_ms;
}

static int begin(void **state)
{
	(void)state;
	now_ms = NOON;
	version_set_wall(test_wall);
	version_load(&(struct version_clock){ .node = 7 });
	return 0;
}

static int end(void **state)
{
	(void)state;
	version_set_wall(NULL);
	return 0;
}

static void version_follows_the_wall_clock_and_names_the_node(void **state)
{
	uint64_t version = version_next();

	(void)state;
	assert_int_equal(version_unix_ms(version), NOON);
	assert_int_equal(version & 0xffff, 7);
	now_ms += 5;
	assert_int_equal(version_unix_ms(version_next()), NOON + 5);
}

static void versions_grow_when_the_clock_stands_or_goes_back(void **state)
{
	uint64_t before = version_next();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t version = version_next();

		assert_true(version > before);
		before = version;
		now_ms -= i % 3;
	}
	/* 64 in a millisecond */
	assert_in_range(version_unix_ms(before), NOON + 1000 / 64 - 1, NOON + 1000 / 64 + 1);
}

static void version_is_newer_than_what_was_seen_whatever_the_clock_says(void **state)
{
	uint64_t theirs;

	(void)state;
	now_ms += SEC(3600);
	theirs = version_next();
	version_load(&(struct version_clock){ .node = 9 });
	now_ms -= SEC(3600); /* another node, an hour behind */
	assert_true(version_next() < theirs);
	assert_true(version_seen(theirs));
	assert_true(version_next() > theirs);
	assert_true(version_seen(theirs)); /* an old one changes nothing */
	assert_true(version_next() > theirs);
}

static void versions_of_nowhere_and_of_a_far_future_are_not_believed(void **state)
{
	uint64_t last_believed = (uint64_t)(NOON + VERSION_AHEAD_MAX_MS) * 64 << 16 | 1;

	(void)state;
	assert_false(version_seen(0));
	assert_false(version_seen(0xffff));
	assert_false(version_seen(UINT64_MAX));
	assert_false(version_seen(last_believed + (UINT64_C(64) << 16)));
	assert_int_equal(version_unix_ms(version_next()), NOON);
	assert_true(version_seen(last_believed));
}

static void node_comes_from_its_name_and_is_never_zero(void **state)
{
	uint16_t node;

	(void)state;
	version_set_node(STR("a.example"));
	node = version_node();
	assert_int_not_equal(node, 0);
	version_set_node(STR("b.example"));
	assert_int_not_equal(version_node(), node);
	version_set_node(STR("a.example"));
	assert_int_equal(version_node(), node);
	version_set_node((struct str){ NULL, 0 });
	assert_int_not_equal(version_node(), 0);
}

#define THREADS 4
#define EACH    20000

static void *make_many(void *arg)
{
	uint64_t *versions = arg;

	for (int i = 0; i < EACH; i++) {
		versions[i] = version_next();
		if (i % 16 == 0)
			version_seen(versions[i] + (UINT64_C(3) << 16));
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void threads_never_make_the_same_version(void **state)
{
	uint64_t *versions = xcalloc(THREADS * EACH, sizeof(*versions));
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_many, versions + i * EACH),
				 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 1; i < THREADS * EACH; i++)
		assert_true(i % EACH == 0 || versions[i] > versions[i - 1]);
	qsort(versions, THREADS * EACH, sizeof(*versions), compare);
	for (int i = 1; i < THREADS * EACH; i++)
		assert_int_not_equal(versions[i], versions[i - 1]);
	free(versions);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(version_follows_the_wall_clock_and_names_the_node,
						begin, end),
		cmocka_unit_test_setup_teardown(versions_grow_when_the_clock_stands_or_goes_back,
						begin, end),
		cmocka_unit_test_setup_teardown(
			version_is_newer_than_what_was_seen_whatever_the_clock_says, begin, end),
		cmocka_unit_test_setup_teardown(
			versions_of_nowhere_and_of_a_far_future_are_not_believed, begin, end),
		cmocka_unit_test_setup_teardown(node_comes_from_its_name_and_is_never_zero, begin,
						end),
		cmocka_unit_test_setup_teardown(threads_never_make_the_same_version, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
