/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static void time_stands_until_it_is_read_again(void **state)
{
	int64_t ms = clock_ms(), before_us = clock_now_us();

	(void)state;
	assert_true(ms > 0);
	while (clock_now_us() < before_us + 5000)
		assert_int_equal(clock_ms(), ms);
	clock_update();
	assert_true(clock_ms() >= ms + 4);
	assert_true(clock_ms() <= clock_now_us() / 1000);
}

static void wall_clock_is_of_this_century(void **state)
{
	(void)state;
	assert_true(clock_unix_ms() > INT64_C(1600000000000));
}

static void *first_call(void *arg)
{
	*(int64_t *)arg = clock_ms() > 0 && clock_unix_ms() > 0;
	return NULL;
}

static void thread_that_never_updated_has_a_time_too(void **state)
{
	pthread_t thread;
	int64_t is_fine = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, first_call, &is_fine), 0);
	pthread_join(thread, NULL);
	assert_true(is_fine);
}

static void set_clock_stands_still(void **state)
{
	(void)state;
	clock_set_ms(1000);
	clock_update();
	assert_int_equal(clock_ms(), 1000);
	clock_set_ms(1001);
	assert_int_equal(clock_ms(), 1001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_stands_until_it_is_read_again),
		cmocka_unit_test(wall_clock_is_of_this_century),
		cmocka_unit_test(thread_that_never_updated_has_a_time_too),
		cmocka_unit_test(set_clock_stands_still),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
