/* SPDX-License-Identifier: MIT */
/* What a weight comes to, and the steps of slow start. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "model/server.h"
#include "model/weight.h"

static void steps_are_of_a_second_at_least_and_twenty_at_most(void **state)
{
	(void)state;
	assert_int_equal(slow_start_step_ms(SEC(60)), SEC(3));
	assert_int_equal(slow_start_step_ms(SEC(20)), SEC(1));
	assert_int_equal(slow_start_step_ms(SEC(4)), SEC(1));
	assert_int_equal(slow_start_step_ms(MS(100)), SEC(1));
}

static void share_grows_to_all_of_it(void **state)
{
	static const int64_t totals[] = { 1, 999, 1000, 1001, 2500, 10000, 30000, 3600000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_N(totals); i++) {
		int64_t now = 5000, steps = 0;
		uint32_t before = 0;

		for (;;) {
			uint32_t pct = slow_start_pct(5000, totals[i], now);
			int64_t next = slow_start_next_ms(5000, totals[i], now);

			assert_in_range(pct, before + (steps > 0), 100);
			if (next < 0)
				break;
			assert_in_range(next, 1, slow_start_step_ms(totals[i]));
			assert_int_equal(slow_start_pct(5000, totals[i], now + next - 1), pct);
			before = pct;
			now += next;
			steps++;
		}
		assert_int_equal(slow_start_pct(5000, totals[i], now), 100);
		assert_int_equal(now, 5000 + totals[i]);
		assert_in_range(steps, 1, 20);
	}
}

static void share_is_linear(void **state)
{
	(void)state;
	assert_int_equal(slow_start_pct(1, SEC(20), 1), 2);
	assert_int_equal(slow_start_pct(1, SEC(20), 1 + SEC(1)), 5);
	assert_int_equal(slow_start_pct(1, SEC(20), 1 + SEC(10)), 50);
	assert_int_equal(slow_start_pct(1, SEC(20), SEC(20)), 95);
	assert_int_equal(slow_start_pct(1, SEC(20), 1 + SEC(20)), 100);
	assert_int_equal(slow_start_pct(0, SEC(20), 1 + SEC(1)), 100);
	assert_int_equal(slow_start_pct(1, 0, 1), 100);
	assert_int_equal(slow_start_pct(9000, SEC(20), 1), 2); /* a clock read earlier */
}

static void weight_is_never_less_than_one_but_for_nought(void **state)
{
	(void)state;
	assert_int_equal(weight_effective(100, 100, 100), 100);
	assert_int_equal(weight_effective(100, 50, 10), 5);
	assert_int_equal(weight_effective(1, 100, 5), 1);
	assert_int_equal(weight_effective(0, 100, 100), 0);
	assert_int_equal(weight_effective(10, 0, 100), 0);
	assert_int_equal(weight_effective(655, 25600, 100), WEIGHT_EFFECTIVE_MAX);
}

struct parts {
	uint32_t user, agent_pct, throttle_pct, want;
};

static void apply(const struct parts *parts, size_t n)
{
	struct srvset_spec specs[4] = { { .weight = 0 } };
	uint32_t agent_pcts[4];

	for (size_t i = 0; i < n; i++) {
		specs[i].user_weight = parts[i].user;
		specs[i].throttle_pct = parts[i].throttle_pct;
		agent_pcts[i] = parts[i].agent_pct;
	}
	weight_apply(specs, agent_pcts, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(specs[i].weight, parts[i].want);
}

static void small_weights_are_made_finer_for_the_whole_set(void **state)
{
	static const struct parts plain[] = { { 1, 100, 100, 1 }, { 3, 100, 100, 3 } };
	static const struct parts large[] = { { 100, 100, 35, 35 }, { 100, 100, 100, 100 } };
	static const struct parts small[] = { { 1, 100, 5, 5 },
					      { 3, 100, 100, 300 },
					      { 0, 100, 100, 0 } };
	static const struct parts mixed[] = { { 200, 100, 100, 20000 }, { 2, 50, 25, 25 } };
	static const struct parts wide[] = { { 655, 25600, 100, WEIGHT_EFFECTIVE_MAX },
					     { 1, 10, 1, 1 } };

	(void)state;
	apply(plain, ARRAY_N(plain));
	apply(large, ARRAY_N(large));
	apply(small, ARRAY_N(small));
	apply(mixed, ARRAY_N(mixed));
	apply(wide, ARRAY_N(wide));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps_are_of_a_second_at_least_and_twenty_at_most),
		cmocka_unit_test(share_grows_to_all_of_it),
		cmocka_unit_test(share_is_linear),
		cmocka_unit_test(weight_is_never_less_than_one_but_for_nought),
		cmocka_unit_test(small_weights_are_made_finer_for_the_whole_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
