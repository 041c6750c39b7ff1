/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "loop/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bug.h"

static struct wheel wheel;

struct bell {
	struct timer timer;
	int64_t ran_at_ms;
	unsigned runs;
};

static void on_bell(struct timer *timer)
{
	struct bell *bell = container_of(timer, struct bell, timer);

	bell->ran_at_ms = wheel.now_ms;
	bell->runs++;
}

static void bell_init(struct bell *bell)
{
	*bell = (struct bell){ 0 };
	timer_init(&bell->timer, on_bell);
}

static int bounded(void **state)
{
	(void)state;
	alarm(60); /* a wheel that turns for ever ends the test */
	return 0;
}

static void timer_runs_at_its_time_and_once(void **state)
{
	static const int64_t waits[] = { 1,    2,      63,       64,
					 65,   127,    4095,     4096,
					 4097, 262143, 262144,   16777216,
					 5000, 60000,  86400000, INT64_C(30) * 86400000 };
	static const int64_t starts[] = { 1, 63, 64, 4095, 1000000, 0xffffff, INT64_C(1) << 36 };

	(void)state;
	for (size_t s = 0; s < ARRAY_N(starts); s++) {
		for (size_t i = 0; i < ARRAY_N(waits); i++) {
			struct bell one;
			int64_t at_ms = starts[s] + waits[i];

			wheel_init(&wheel, starts[s]);
			bell_init(&one);
			timer_set(&wheel, &one.timer, at_ms);
			wheel_advance(&wheel, at_ms - 1);
			assert_int_equal(one.runs, 0);
			assert_in_range(wheel_next_ms(&wheel), 1, at_ms);
			wheel_advance(&wheel, at_ms);
			assert_int_equal(one.runs, 1);
			assert_int_equal(one.ran_at_ms, at_ms);
			assert_false(timer_is_set(&one.timer));
			wheel_advance(&wheel, at_ms + 100000);
			assert_int_equal(one.runs, 1);
			assert_int_equal(wheel_next_ms(&wheel), -1);
		}
	}
}

static void timer_runs_across_every_power_of_two(void **state)
{
	(void)state;
	for (unsigned bit = 1; bit < 41; bit++) {
		struct bell one;
		int64_t edge = INT64_C(1) << bit;

		bell_init(&one);
		wheel_init(&wheel, edge - 1);
		timer_set(&wheel, &one.timer, edge + 1);
		wheel_advance(&wheel, edge);
		assert_int_equal(one.runs, 0);
		wheel_advance(&wheel, edge + 1);
		assert_int_equal(one.runs, 1);
	}
}

static void next_is_never_later_than_the_first_timer(void **state)
{
	struct bell bells[50];

	(void)state;
	srand(7);
	for (int round = 0; round < 200; round++) {
		int64_t now = 1 + rand() % 1000000, first = INT64_MAX;

		wheel_init(&wheel, now);
		for (size_t i = 0; i < ARRAY_N(bells); i++) {
			int64_t at_ms = now + 1 + rand() % (1 << rand() % 24);

			bell_init(&bells[i]);
			timer_set(&wheel, &bells[i].timer, at_ms);
			first = at_ms < first ? at_ms : first;
		}
		assert_true(wheel_next_ms(&wheel) <= first);
		/* What the loop does: it sleeps until next, and advances. */
		for (int turns = 0; wheel_next_ms(&wheel) <= first && turns < 10; turns++)
			wheel_advance(&wheel, wheel_next_ms(&wheel));
		assert_int_equal(wheel.now_ms, first);
	}
}

static void random_timers_run_at_their_last_wish(void **state)
{
	struct bell bells[200];
	int64_t wishes[200], now = 123456;

	(void)state;
	srand(11);
	wheel_init(&wheel, now);
	for (size_t i = 0; i < 200; i++) {
		bell_init(&bells[i]);
		wishes[i] = 0;
	}
	for (int step = 0; step < 20000; step++) {
		size_t i = (size_t)rand() % 200;
		int64_t target = now + rand() % 40;

		switch (rand() % 4) {
		case 0:
			timer_stop(&bells[i].timer);
			wishes[i] = 0;
			break;
		case 1:
			timer_fini(&wheel, &bells[i].timer);
			wishes[i] = 0;
			break;
		default:
			wishes[i] = now + 1 + rand() % (1 << rand() % 18);
			timer_set(&wheel, &bells[i].timer, wishes[i]);
		}
		bells[i].runs = 0;
		wheel_advance(&wheel, target);
		now = target;
		for (size_t k = 0; k < 200; k++) {
			bool is_due = wishes[k] && wishes[k] <= now;

			assert_int_equal(bells[k].runs, is_due);
			if (is_due) {
				assert_int_equal(bells[k].ran_at_ms, wishes[k]);
				wishes[k] = 0;
				bells[k].runs = 0;
			}
		}
	}
}

static void pushing_a_deadline_ahead_leaves_it_queued_where_it_is(void **state)
{
	struct bell one;
	struct timer **slot;

	(void)state;
	wheel_init(&wheel, 1000);
	bell_init(&one);
	timer_set(&wheel, &one.timer, 1010);
	slot = one.timer.prev_next;
	timer_set(&wheel, &one.timer, 5000);
	assert_ptr_equal(one.timer.prev_next, slot);
	wheel_advance(&wheel, 4999);
	assert_int_equal(one.runs, 0);
	timer_set(&wheel, &one.timer, 4999 + 3); /* and earlier again */
	wheel_advance(&wheel, 5002);
	assert_int_equal(one.runs, 1);
}

static void stopped_timer_does_not_run_and_may_be_set_again(void **state)
{
	struct bell one;

	(void)state;
	wheel_init(&wheel, 1000);
	bell_init(&one);
	timer_set(&wheel, &one.timer, 1010);
	timer_stop(&one.timer);
	wheel_advance(&wheel, 1005);
	timer_set(&wheel, &one.timer, 1020);
	wheel_advance(&wheel, 1015);
	assert_int_equal(one.runs, 0);
	wheel_advance(&wheel, 1020);
	assert_int_equal(one.runs, 1);
}

static void time_in_the_past_means_the_next_advance(void **state)
{
	struct bell one;

	(void)state;
	wheel_init(&wheel, 1000);
	bell_init(&one);
	timer_set(&wheel, &one.timer, 5);
	assert_int_equal(one.runs, 0);
	wheel_advance(&wheel, 1001);
	assert_int_equal(one.runs, 1);
}

static void years_away_is_no_sooner_than_asked(void **state)
{
	static const int64_t days[] = { 24, 25, 49, 50, 99, 365, 36500 };

	(void)state;
	for (size_t i = 0; i < ARRAY_N(days); i++) {
		int64_t at_ms = 4711 + days[i] * 86400000;
		struct bell one;

		wheel_init(&wheel, 4711);
		bell_init(&one);
		timer_set(&wheel, &one.timer, 5000);
		timer_set(&wheel, &one.timer, at_ms); /* a wish: it is queued for 5000 */
		while (wheel_next_ms(&wheel) < at_ms)
			wheel_advance(&wheel, wheel_next_ms(&wheel));
		assert_int_equal(one.runs, 0);
		wheel_advance(&wheel, at_ms);
		assert_int_equal(one.ran_at_ms, at_ms);
	}
}

static void longest_time_of_all_does_not_wrap(void **state)
{
	struct bell one;

	(void)state;
	wheel_init(&wheel, 1000);
	bell_init(&one);
	timer_set(&wheel, &one.timer, INT64_MAX);
	assert_true(timer_is_set(&one.timer));
	assert_int_equal(one.timer.at_ms, TIMER_AT_MAX_MS);
	wheel_advance(&wheel, INT64_C(1) << 40);
	assert_int_equal(one.runs, 0);
	timer_set(&wheel, &one.timer, (INT64_C(1) << 40) + 5); /* and sooner after all */
	wheel_advance(&wheel, (INT64_C(1) << 40) + 5);
	assert_int_equal(one.runs, 1);
}

static void brought_forward_again_and_again_it_runs_when_it_was_asked_last(void **state)
{
	int64_t at_ms = INT64_C(60) * 86400000;
	struct bell one;

	(void)state;
	wheel_init(&wheel, 99);
	bell_init(&one);
	timer_set(&wheel, &one.timer, at_ms);
	for (; at_ms > 300; at_ms -= at_ms / 3)
		timer_set(&wheel, &one.timer, at_ms);
	timer_set(&wheel, &one.timer, at_ms);
	wheel_advance(&wheel, at_ms - 1);
	assert_int_equal(one.runs, 0);
	wheel_advance(&wheel, at_ms);
	assert_int_equal(one.runs, 1);
	assert_int_equal(wheel_next_ms(&wheel), -1);
}

/* Two timers of one moment: the first to run takes the other out, for good. */
static struct bell pair[2];

static void kill_other(struct timer *timer)
{
	struct bell *other = timer == &pair[0].timer ? &pair[1] : &pair[0];

	on_bell(timer);
	timer_fini(&wheel, &other->timer);
	other->timer = (struct timer){ .next = (struct timer *)(uintptr_t)0xdead };
}

static void timer_may_take_out_another_of_the_same_moment(void **state)
{
	(void)state;
	wheel_init(&wheel, 1000);
	for (int i = 0; i < 2; i++) {
		bell_init(&pair[i]);
		pair[i].timer.fn = kill_other;
		timer_set(&wheel, &pair[i].timer, 1064);
	}
	wheel_advance(&wheel, 2000);
	assert_int_equal(pair[0].runs + pair[1].runs, 1);
	assert_int_equal(wheel_next_ms(&wheel), -1);
}

static void set_again(struct timer *timer)
{
	on_bell(timer);
	timer_set(&wheel, timer, wheel.now_ms + 10);
}

static void timer_that_sets_itself_keeps_its_pace_when_time_jumps(void **state)
{
	struct bell one;

	(void)state;
	wheel_init(&wheel, 1000);
	bell_init(&one);
	one.timer.fn = set_again;
	timer_set(&wheel, &one.timer, 1010);
	wheel_advance(&wheel, 2000);
	assert_int_equal(one.runs, 100);
	wheel_advance(&wheel, 1500); /* backwards is nothing */
	assert_int_equal(one.runs, 100);
}

static void time_further_away_than_the_wheel_is_kept(void **state)
{
	struct bell one;

	(void)state;
	wheel_init(&wheel, 1000);
	bell_init(&one);
	timer_set(&wheel, &one.timer, INT64_MAX / 2);
	wheel_advance(&wheel, INT64_C(1) << 41);
	assert_int_equal(one.runs, 0);
	assert_true(timer_is_set(&one.timer));
	timer_fini(&wheel, &one.timer);
	assert_int_equal(wheel_next_ms(&wheel), -1);
}

/*
 * A crowd of timers within a minute.
 */
#define CROWD_N 1000000u

static struct timer *crowd;
static int64_t crowd_late_ms_max, crowd_early_n;
static uint32_t crowd_ran_n;

static int64_t crowd_at_ms(size_t i)
{
	return 1000000 + 1 + (int64_t)(i * 7919 % 60000);
}

static void on_crowd(struct timer *timer)
{
	int64_t late_ms = wheel.now_ms - crowd_at_ms((size_t)(timer - crowd));

	crowd_ran_n++;
	crowd_early_n += late_ms < 0;
	if (late_ms > crowd_late_ms_max)
		crowd_late_ms_max = late_ms;
}

static void crowd_set(void)
{
	crowd = calloc(CROWD_N, sizeof(*crowd));
	assert_non_null(crowd);
	crowd_late_ms_max = crowd_early_n = 0;
	crowd_ran_n = 0;
	wheel_init(&wheel, 1000000);
	for (size_t i = 0; i < CROWD_N; i++) {
		timer_init(&crowd[i], on_crowd);
		timer_set(&wheel, &crowd[i], crowd_at_ms(i));
	}
}

static void crowd_end(void)
{
	assert_int_equal(crowd_ran_n, CROWD_N);
	assert_int_equal(crowd_early_n, 0);
	assert_int_equal(crowd_late_ms_max, 0); /* by the wheel's own time: nothing was overtaken */
	assert_int_equal(wheel_next_ms(&wheel), -1);
	free(crowd);
}

static void a_million_timers_move_down_a_few_at_a_time(void **state)
{
	(void)state;
	for (int64_t step_ms = 1; step_ms <= 16; step_ms *= 4) {
		crowd_set();
		for (int64_t now = wheel.now_ms; now < 1000000 + 60016;) {
			uint32_t before = crowd_ran_n;

			now += step_ms;
			wheel_advance(&wheel, now);
			assert_true(wheel.moved_n <= WHEEL_MOVES * WHEEL_MS_MAX);
			assert_true(step_ms > 1 || wheel.moved_n <= WHEEL_MOVES);
			assert_true(crowd_ran_n - before <= 17 * step_ms);
		}
		crowd_end();
	}
}

static void a_million_timers_of_a_loop_that_sleeps_move_down_a_few_at_a_time(void **state)
{
	uint32_t gone = 0;
	int64_t next;

	(void)state;
	crowd_set();
	/* Nothing is due for half a minute. */
	for (size_t i = 0; i < CROWD_N; i++)
		if (crowd_at_ms(i) < 1030000)
			timer_fini(&wheel, &crowd[i]), gone++;
	crowd_ran_n = gone;
	while ((next = wheel_next_ms(&wheel)) != -1) {
		assert_true(next > wheel.now_ms);
		wheel_advance(&wheel, next);
		assert_true(wheel.moved_n <= WHEEL_MOVES * WHEEL_MS_MAX);
	}
	crowd_end();
}

static void a_million_timers_are_in_time_when_the_loop_had_none(void **state)
{
	(void)state;
	crowd_set();
	/* Past slots of every level that nobody could move ahead of their time. */
	wheel_advance(&wheel, 1000000 + 45678);
	assert_true(wheel.moved_n > WHEEL_MOVES * WHEEL_MS_MAX);
	for (int64_t now = wheel.now_ms; now < 1000000 + 60000;)
		wheel_advance(&wheel, ++now);
	crowd_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timer_runs_at_its_time_and_once),
		cmocka_unit_test(timer_runs_across_every_power_of_two),
		cmocka_unit_test(next_is_never_later_than_the_first_timer),
		cmocka_unit_test(random_timers_run_at_their_last_wish),
		cmocka_unit_test(pushing_a_deadline_ahead_leaves_it_queued_where_it_is),
		cmocka_unit_test(stopped_timer_does_not_run_and_may_be_set_again),
		cmocka_unit_test(time_in_the_past_means_the_next_advance),
		cmocka_unit_test(years_away_is_no_sooner_than_asked),
		cmocka_unit_test(longest_time_of_all_does_not_wrap),
		cmocka_unit_test(brought_forward_again_and_again_it_runs_when_it_was_asked_last),
		cmocka_unit_test(timer_may_take_out_another_of_the_same_moment),
		cmocka_unit_test(timer_that_sets_itself_keeps_its_pace_when_time_jumps),
		cmocka_unit_test(time_further_away_than_the_wheel_is_kept),
		cmocka_unit_test(a_million_timers_move_down_a_few_at_a_time),
		cmocka_unit_test(a_million_timers_of_a_loop_that_sleeps_move_down_a_few_at_a_time),
		cmocka_unit_test(a_million_timers_are_in_time_when_the_loop_had_none),
	};

	return cmocka_run_group_tests_name("timer", tests, bounded, NULL);
}
