/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "model/histogram.h"

static uint64_t slot_of(int64_t us, uint64_t *sum_us)
{
	uint64_t slots[2 * HISTOGRAM_SLOTS], where = UINT64_MAX;
	struct tally tally = { 0 };

	histogram_add(&tally, 1, 2, us);
	tally_sum(&tally, 0, 2 * HISTOGRAM_SLOTS, slots);
	for (size_t i = 0; i < HISTOGRAM_SLOTS; i++) {
		assert_int_equal(slots[i], 0); /* its neighbour has none of it */
		if (i == HISTOGRAM_SUM || !slots[HISTOGRAM_SLOTS + i])
			continue;
		assert_int_equal(slots[HISTOGRAM_SLOTS + i], 1);
		assert_int_equal(where, UINT64_MAX);
		where = i;
	}
	*sum_us = slots[HISTOGRAM_SLOTS + HISTOGRAM_SUM];
	tally_fini(&tally);
	return where;
}

static void bounds_ascend(void **state)
{
	(void)state;
	for (size_t i = 1; i < HISTOGRAM_BOUNDS_N; i++)
		assert_true(histogram_bounds_us[i] > histogram_bounds_us[i - 1]);
}

static void a_time_at_a_bound_is_within_it_and_one_above_is_not(void **state)
{
	uint64_t sum_us;

	(void)state;
	for (size_t i = 0; i < HISTOGRAM_BOUNDS_N; i++) {
		assert_int_equal(slot_of(histogram_bounds_us[i], &sum_us), i);
		assert_int_equal(sum_us, histogram_bounds_us[i]);
		assert_int_equal(slot_of((int64_t)histogram_bounds_us[i] + 1, &sum_us), i + 1);
	}
}

static void zero_and_less_are_in_the_first_and_add_nothing_to_the_sum(void **state)
{
	uint64_t sum_us;

	(void)state;
	assert_int_equal(slot_of(0, &sum_us), 0);
	assert_int_equal(sum_us, 0);
	assert_int_equal(slot_of(-5, &sum_us), 0);
	assert_int_equal(sum_us, 0);
}

static void what_is_above_all_bounds_has_a_slot_of_its_own(void **state)
{
	uint64_t sum_us;

	(void)state;
	assert_int_equal(slot_of(INT64_C(86400000000), &sum_us), HISTOGRAM_BOUNDS_N);
	assert_int_equal(sum_us, UINT64_C(86400000000));
}

#define ADDS 20000
static struct tally shared;

static void *add_many(void *arg)
{
	thread_index = (unsigned)(uintptr_t)arg;
	for (int i = 0; i < ADDS; i++)
		histogram_add(&shared, 0, 1, 1000);
	return NULL;
}

static void threads_add_up_while_somebody_reads(void **state)
{
	uint64_t slots[HISTOGRAM_SLOTS], last = 0;
	pthread_t threads[3];

	(void)state;
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, (void *)(i + 1)), 0);
	for (int i = 0; i < 200; i++) {
		tally_sum(&shared, 0, HISTOGRAM_SLOTS, slots);
		assert_true(slots[2] >= last);
		last = slots[2];
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	tally_sum(&shared, 0, HISTOGRAM_SLOTS, slots);
	assert_int_equal(slots[2], 3 * ADDS);
	assert_int_equal(slots[HISTOGRAM_SUM], 3u * ADDS * 1000);
	tally_clear(&shared, HISTOGRAM_SLOTS);
	tally_sum(&shared, 0, HISTOGRAM_SLOTS, slots);
	assert_int_equal(slots[2] + slots[HISTOGRAM_SUM], 0);
	tally_fini(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounds_ascend),
		cmocka_unit_test(a_time_at_a_bound_is_within_it_and_one_above_is_not),
		cmocka_unit_test(zero_and_less_are_in_the_first_and_add_nothing_to_the_sum),
		cmocka_unit_test(what_is_above_all_bounds_has_a_slot_of_its_own),
		cmocka_unit_test(threads_add_up_while_somebody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
