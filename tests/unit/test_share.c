/* SPDX-License-Identifier: MIT */
/* Questions between two threads: each is answered once, at any order of answer, timer and change of
 * mind. */
#include "config.h"

#include "balance/share.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "balance/table_share.h"
#include "base/clock.h"

#define LATE_MAX 512

static struct loop asker, other;
static pthread_t thread;
static struct table *table;
static struct table_key key;

/* What the other thread does with questions. */
enum manner { PROMPT, DEAF, AT_RANDOM };
static _Atomic(enum manner) manner;
static struct share_question *late[LATE_MAX];
static uint64_t seed = 42;

static uint64_t roll(uint64_t *state, uint64_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 33) % below;
}

/* A question may be kept for any time; it is answered when its place is wanted. */
static void on_question(struct share_question *question)
{
	struct share_question **place = &late[roll(&seed, LATE_MAX)];

	if (manner == PROMPT || (manner == AT_RANDOM && roll(&seed, 2))) {
		share_answer(question, SHARE_YES);
		return;
	}
	if (*place)
		share_answer(*place, SHARE_NO);
	*place = question;
}

static bool may_ask(struct table *of, const struct table_key *of_key)
{
	return of == table && table_key_eq(of_key, &key);
}

static const struct share_mirror mirror = {
	.loop = &other,
	.on_question = on_question,
	.may_ask = may_ask,
	.ask_cap_ms = 5,
	.store_cap_ms = 7,
};

static const struct share_mirror patient = {
	.loop = &other,
	.on_question = on_question,
	.may_ask = may_ask,
	.ask_cap_ms = 60000,
	.store_cap_ms = 60000,
};

static void *run(void *arg)
{
	(void)arg;
	loop_run(&other);
	return NULL;
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(loop_init(&asker), 0);
	assert_int_equal(loop_init(&other), 0);
	table = table_new(&(struct table_options){ .name = "b/engineio", .max_entries = 100 });
	table_share(table, true);
	key = table_key(table, STR("sid"));
	share_set_mirror(&mirror);
	assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
	return 0;
}

/* Ends as the process does: who asks first, then the mirror. */
static int teardown(void **state)
{
	(void)state;
	share_set_mirror(NULL);
	loop_stop(&other);
	pthread_join(thread, NULL);
	loop_fini(&asker);
	for (size_t i = 0; i < LATE_MAX; i++)
		if (late[i])
			share_answer(late[i], SHARE_AWAY);
	memset(late, 0, sizeof(late));
	loop_fini(&other);
	table_free(table);
	return 0;
}

struct asked {
	struct share_question *question; /* NULL = none, or answered */
	unsigned answers;
	enum share_answer answer;
	int64_t answered_us;
};

static void on_answer(void *arg, enum share_answer answer)
{
	struct asked *asked = arg;

	assert_non_null(asked->question);
	asked->question = NULL;
	asked->answers++;
	asked->answer = answer;
	asked->answered_us = clock_now_us();
}

static void ask(struct asked *asked, enum share_kind kind)
{
	asked->question = (kind == SHARE_ASK ? share_ask : share_store)(table, &key, &asker,
									on_answer, asked);
}

static void wait_for(struct asked *asked)
{
	int64_t limit_us = clock_now_us() + 5000000;

	while (asked->question && clock_now_us() < limit_us)
		loop_turn(&asker, 10);
	assert_null(asked->question);
}

static void question_is_answered_by_the_mirror(void **state)
{
	struct asked asked = { 0 };
	struct share_stats before, after;

	(void)state;
	manner = PROMPT;
	share_set_mirror(&patient);
	share_stats(&before);
	ask(&asked, SHARE_ASK);
	assert_non_null(asked.question);
	wait_for(&asked);
	assert_int_equal(asked.answers, 1);
	assert_int_equal(asked.answer, SHARE_YES);
	ask(&asked, SHARE_STORE);
	wait_for(&asked);
	assert_int_equal(asked.answers, 2);
	share_stats(&after);
	assert_int_equal(after.asks - before.asks, 1);
	assert_int_equal(after.hits - before.hits, 1);
	assert_int_equal(after.stores - before.stores, 1);
	assert_int_equal(after.stored - before.stored, 1);
}

static void deaf_mirror_costs_no_more_than_the_cap(void **state)
{
	struct asked asked = { 0 };
	int64_t since_us;

	(void)state;
	manner = DEAF;
	clock_update();
	since_us = clock_now_us();
	ask(&asked, SHARE_ASK);
	wait_for(&asked);
	assert_int_equal(asked.answers, 1);
	assert_int_equal(asked.answer, SHARE_TIMEOUT);
	assert_true(asked.answered_us - since_us >= 4000);
}

static void nobody_waits_without_a_mirror(void **state)
{
	struct asked asked = { 0 };
	struct table_key unknown = table_key(table, STR("other"));
	static const struct share_mirror lazy = { .loop = &other, .may_ask = may_ask };

	(void)state;
	assert_null(share_ask(table, &unknown, &asker, on_answer, &asked)); /* cached */
	share_set_mirror(&lazy);
	ask(&asked, SHARE_ASK);
	assert_null(asked.question);
	ask(&asked, SHARE_STORE);
	assert_null(asked.question);
	share_set_mirror(NULL);
	ask(&asked, SHARE_ASK);
	assert_null(asked.question);
	share_set_mirror(&mirror);
	table_share(table, false);
	ask(&asked, SHARE_ASK);
	assert_null(asked.question);
}

static void forgotten_question_is_not_answered(void **state)
{
	struct asked asked = { 0 };

	(void)state;
	manner = PROMPT;
	for (int i = 0; i < 100; i++) {
		struct share_question *question;

		ask(&asked, SHARE_ASK);
		question = asked.question;
		if (i % 2) /* its answer may be on the way */
			sched_yield();
		asked.question = NULL;
		share_forget(question);
		loop_turn(&asker, 0);
	}
	share_forget(NULL);
	assert_int_equal(asked.answers, 0);
}

static void every_order_of_answers_forgetting_and_timers_is_survived(void **state)
{
	static struct asked all[64];
	uint64_t dice = 7;
	unsigned asks = 0, forgotten = 0, answers = 0;

	(void)state;
	manner = AT_RANDOM;
	memset(all, 0, sizeof(all));
	for (unsigned round = 0; round < 8000; round++) {
		struct asked *asked = &all[roll(&dice, ARRAY_N(all))];

		if (!asked->question) {
			ask(asked, roll(&dice, 2) ? SHARE_ASK : SHARE_STORE);
			asks += asked->question != NULL;
		} else if (roll(&dice, 4) == 0) {
			struct share_question *question = asked->question;

			asked->question = NULL;
			share_forget(question);
			forgotten++;
		}
		if (roll(&dice, 32) == 0)
			share_set_mirror(roll(&dice, 8) ? &mirror : NULL);
		if (roll(&dice, 8) == 0)
			loop_turn(&asker, roll(&dice, 2) ? 1 : 0);
	}
	for (size_t i = 0; i < ARRAY_N(all); i++)
		wait_for(&all[i]);
	for (size_t i = 0; i < ARRAY_N(all); i++)
		answers += all[i].answers;
	assert_true(answers > 200 && forgotten > 200);
	assert_int_equal(answers + forgotten, asks);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(question_is_answered_by_the_mirror),
		TEST(deaf_mirror_costs_no_more_than_the_cap),
		TEST(nobody_waits_without_a_mirror),
		TEST(forgotten_question_is_not_answered),
		TEST(every_order_of_answers_forgetting_and_timers_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
