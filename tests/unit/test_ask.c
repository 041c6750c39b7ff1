/* SPDX-License-Identifier: MIT */
/* Questions put to a Redis that the test plays: when it is asked, how often, and who hears what. */
#include "config.h"

#include "mirror/ask.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "balance/share.h"
#include "base/clock.h"
#include "mirror/redis.h"
#include "mirror/wire.h"

#define CAP_MS ASK_SYNC_MS
#define LIVE   "live"
#define TOMB   "tomb"

/*
 * Redis: commands wait until the test answers them.
 */
struct redis {
	struct {
		redis_reply_fn *fn;
		void *arg;
		char verb[8], key[96];
	} commands[65536 * 2 + 16];
	size_t n, answered;
	int refuses; /* what redis_command() returns */
};
static struct redis fake;

int redis_command(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n, const char **words,
		  const size_t *sizes)
{
	if (redis->refuses)
		return redis->refuses;
	assert_int_equal(n, 2);
	assert_true(sizes[0] < sizeof(redis->commands[0].verb));
	redis->commands[redis->n].fn = fn;
	redis->commands[redis->n].arg = arg;
	snprintf(redis->commands[redis->n].verb, 8, "%.*s", (int)sizes[0], words[0]);
	snprintf(redis->commands[redis->n].key, sizeof(redis->commands[0].key), "%.*s",
		 (int)sizes[1], words[1]);
	redis->n++;
	return 0;
}

size_t redis_room(const struct redis *redis)
{
	(void)redis;
	return REDIS_COMMANDS_MAX;
}

static void reply(const redisReply *with)
{
	size_t i = fake.answered++;

	assert_true(i < fake.n);
	fake.commands[i].fn(fake.commands[i].arg, with);
}

static redisReply number(long long value)
{
	return (redisReply){ .type = REDIS_REPLY_INTEGER, .integer = value };
}

/* VALUE: NULL = nothing is there. */
static void reply_pair(const char *value, long long left_ms)
{
	redisReply left = number(value ? left_ms : -2);
	redisReply what = { .type = REDIS_REPLY_NIL };

	if (value) {
		what.type = REDIS_REPLY_STRING;
		what.str = (char *)(uintptr_t)value;
		what.len = strlen(value);
	}
	assert_string_equal(fake.commands[fake.answered].verb, "PTTL");
	reply(&left);
	assert_string_equal(fake.commands[fake.answered].verb, "GET");
	reply(&what);
}

static size_t waiting(void)
{
	return fake.n - fake.answered;
}

/*
 * The mirror's core.
 */
static struct loop loop, asker;
static struct table *table;
static unsigned hurries;
static int64_t now_ms;

static void put(const struct table_key *key)
{
	table_put(table, key, &(struct table_value){ .server = 1, .idle_ms = 1000 }, NULL);
}

static enum merge_result take(struct table *of, const struct table_key *key, struct str value,
			      int64_t left_ms)
{
	assert_ptr_equal(of, table);
	assert_true(left_ms > 0);
	if (str_eq(value, STR(TOMB)))
		return MERGE_TAKEN;
	if (!str_eq(value, STR(LIVE)))
		return MERGE_REFUSED;
	put(key);
	ask_on_change(of, key); /* as it may be */
	return MERGE_TAKEN;
}

static void hurry(struct table *of)
{
	assert_ptr_equal(of, table);
	hurries++;
}

static int setup(void **state)
{
	(void)state;
	now_ms = 1000000 + (now_ms ? now_ms - 1000000 + 10000 : 0); /* old negatives are over */
	clock_set_ms(now_ms);
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(loop_init(&asker), 0);
	table = table_new(&(struct table_options){
		.name = "b/engineio", .max_entries = 1000, .is_secret = true });
	table_share(table, true);
	fake.n = fake.answered = 0;
	fake.refuses = 0;
	hurries = 0;
	ask_init(&(struct ask_options){ .loop = &loop, .take = take, .hurry = hurry });
	ask_apply(CAP_MS, true);
	ask_up(&fake, STR("lp"));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ask_fini();
	while (waiting())
		reply(NULL);
	loop_fini(&asker);
	loop_fini(&loop);
	table_free(table);
	return 0;
}

static void turn(void)
{
	loop_turn(&loop, 0);
	loop_turn(&asker, 0);
	loop_turn(&loop, 0);
}

static void pass_ms(int64_t ms)
{
	for (; ms > 0; ms--) {
		clock_set_ms(++now_ms);
		turn();
	}
}

/*
 * Who asks.
 */
struct asked {
	bool is_waiting;
	unsigned answers;
	enum share_answer answer;
};

static void on_answer(void *arg, enum share_answer answer)
{
	struct asked *asked = arg;

	asked->is_waiting = false;
	asked->answers++;
	asked->answer = answer;
}

static void ask(struct asked *asked, enum share_kind kind, const char *sid)
{
	struct table_key key = table_key(table, str_of(sid));

	asked->is_waiting = (kind == SHARE_ASK ? share_ask : share_store)(table, &key, &asker,
									  on_answer, asked) != NULL;
	turn();
}

static void expect(const struct asked *asked, enum share_answer answer)
{
	assert_false(asked->is_waiting);
	assert_int_equal(asked->answers, 1);
	assert_int_equal(asked->answer, answer);
}

static void session_that_redis_has_is_taken_over(void **state)
{
	struct asked asked = { 0 };
	struct table_key key = table_key(table, STR("sid"));
	char name[WIRE_KEY_MAX] = "";

	(void)state;
	ask(&asked, SHARE_ASK, "sid");
	assert_true(asked.is_waiting);
	assert_int_equal(waiting(), 2);
	assert_true(wire_key_write(name, STR("lp"), STR("b/engineio"), &key) > 0);
	assert_memory_equal(fake.commands[0].key, name, strlen(fake.commands[0].key));
	assert_string_equal(fake.commands[1].key, fake.commands[0].key);
	assert_null(strstr(fake.commands[0].key, "sid"));
	reply_pair(LIVE, 500);
	turn();
	expect(&asked, SHARE_YES);
	assert_int_equal(waiting(), 0);
}

static void one_question_for_a_key_is_under_way_whoever_asks(void **state)
{
	struct asked asked[50] = { { 0 } };
	struct ask_stats before, after;

	(void)state;
	ask_stats(&before);
	for (size_t i = 0; i < 50; i++)
		ask(&asked[i], SHARE_ASK, "sid");
	assert_int_equal(waiting(), 2);
	ask_stats(&after);
	assert_int_equal(after.open, 1);
	assert_int_equal(after.joined - before.joined, 49);
	reply_pair(LIVE, 500);
	turn();
	for (size_t i = 0; i < 50; i++)
		expect(&asked[i], SHARE_YES);
}

static void redis_is_asked_again_until_the_other_node_has_written(void **state)
{
	struct asked asked = { 0 };

	(void)state;
	ask(&asked, SHARE_ASK, "sid");
	reply_pair(NULL, 0);
	turn();
	assert_int_equal(waiting(), 0);
	assert_true(asked.is_waiting);
	pass_ms(1);
	assert_int_equal(waiting(), 0);
	pass_ms(1);
	assert_int_equal(waiting(), 2);
	reply_pair(NULL, 0);
	pass_ms(3);
	assert_int_equal(waiting(), 0);
	pass_ms(1);
	assert_int_equal(waiting(), 2);
	reply_pair(LIVE, 500);
	turn();
	expect(&asked, SHARE_YES);
}

static void session_that_nobody_knows_costs_five_tries_and_less_than_the_cap(void **state)
{
	struct asked asked = { 0 };
	unsigned tries = 0;
	int64_t since_ms = now_ms;

	(void)state;
	ask(&asked, SHARE_ASK, "sid");
	for (int i = 0; i < CAP_MS * 2 && asked.is_waiting; i++) {
		while (waiting()) {
			reply_pair(NULL, 0);
			tries++;
		}
		pass_ms(asked.is_waiting);
	}
	expect(&asked, SHARE_NO);
	assert_in_range(tries, 4, 6);
	assert_true(now_ms - since_ms < CAP_MS);
}

static void miss_is_remembered_for_a_second(void **state)
{
	struct asked asked = { 0 }, again = { 0 };

	(void)state;
	ask(&asked, SHARE_ASK, "sid");
	reply_pair(TOMB, 500); /* it is over: no need to ask again */
	turn();
	expect(&asked, SHARE_NO);
	for (int i = 0; i < 9; i++) {
		ask(&again, SHARE_ASK, "sid");
		assert_false(again.is_waiting);
		pass_ms(100);
	}
	ask(&again, SHARE_ASK, "another");
	assert_true(again.is_waiting);
	pass_ms(150);
	ask(&again, SHARE_ASK, "sid");
	assert_true(again.is_waiting);
	pass_ms(CAP_MS + 1);
}

static void record_that_is_not_ours_is_no_session(void **state)
{
	struct asked asked = { 0 };

	(void)state;
	ask(&asked, SHARE_ASK, "sid");
	reply_pair("garbage", 500);
	turn();
	expect(&asked, SHARE_NO);
}

static void stream_may_be_faster_than_redis(void **state)
{
	struct asked asked = { 0 }, late = { 0 };
	struct table_key key = table_key(table, STR("sid")), other = table_key(table, STR("x"));

	(void)state;
	ask(&asked, SHARE_ASK, "sid");
	ask_on_change(table, &other);
	ask_on_change(table, &key); /* of which the table knows nothing: a tombstone */
	turn();
	assert_true(asked.is_waiting);
	put(&key);
	ask_on_change(table, &key);
	turn();
	expect(&asked, SHARE_YES);
	reply_pair(NULL, 0); /* late */
	/* It came while the question was on its way. */
	ask(&late, SHARE_ASK, "sid");
	expect(&late, SHARE_YES);
	assert_int_equal(waiting(), 0);
}

static void lost_redis_answers_all_and_nobody_waits_any_more(void **state)
{
	struct asked asked[3] = { { 0 } };

	(void)state;
	ask(&asked[0], SHARE_ASK, "a");
	ask(&asked[1], SHARE_STORE, "b");
	while (waiting()) /* as redis.h promises: before on_down */
		reply(NULL);
	ask_down();
	turn();
	expect(&asked[0], SHARE_AWAY);
	expect(&asked[1], SHARE_AWAY);
	ask(&asked[2], SHARE_ASK, "c");
	assert_false(asked[2].is_waiting);
	ask(&asked[2], SHARE_STORE, "c");
	assert_false(asked[2].is_waiting);
	ask_up(&fake, STR("lp"));
	ask(&asked[2], SHARE_ASK, "a");
	assert_true(asked[2].is_waiting);
	reply_pair(LIVE, 500);
	turn();
	expect(&asked[2], SHARE_YES);
}

static void silent_redis_costs_the_cap_and_late_answers_are_harmless(void **state)
{
	struct asked asked = { 0 }, again = { 0 };

	(void)state;
	ask(&asked, SHARE_ASK, "sid");
	pass_ms(CAP_MS);
	expect(&asked, SHARE_TIMEOUT);
	/* Silence is no answer that could be remembered. */
	ask(&again, SHARE_ASK, "sid");
	assert_true(again.is_waiting);
	assert_int_equal(waiting(), 4);
	reply_pair(LIVE, 500);
	reply_pair(LIVE, 500);
	turn();
	expect(&again, SHARE_YES);
	expect(&asked, SHARE_TIMEOUT);
}

static void error_of_redis_ends_the_wait(void **state)
{
	struct asked asked = { 0 };
	redisReply error = { .type = REDIS_REPLY_ERROR, .str = (char[]){ "NOPERM" }, .len = 6 };

	(void)state;
	ask(&asked, SHARE_ASK, "sid");
	reply(&error);
	reply(&error);
	turn();
	expect(&asked, SHARE_AWAY);
}

static void full_link_is_tried_again(void **state)
{
	struct asked asked = { 0 }, away = { 0 };

	(void)state;
	fake.refuses = -ENOBUFS;
	ask(&asked, SHARE_ASK, "sid");
	assert_true(asked.is_waiting);
	fake.refuses = 0;
	pass_ms(4);
	assert_int_equal(waiting(), 2);
	reply_pair(LIVE, 500);
	turn();
	expect(&asked, SHARE_YES);
	fake.refuses = -ENOTCONN;
	ask(&away, SHARE_ASK, "other");
	expect(&away, SHARE_AWAY);
}

static void handshake_is_told_when_its_proposal_is_settled(void **state)
{
	struct asked asked = { 0 }, failed = { 0 };
	struct table_key a = table_key(table, STR("a")), b = table_key(table, STR("b"));

	(void)state;
	put(&a);
	ask(&asked, SHARE_STORE, "a");
	assert_int_equal(hurries, 1);
	assert_int_equal(waiting(), 0);
	ask(&failed, SHARE_STORE, "b");
	ask_on_settled(table, &a);
	turn();
	expect(&asked, SHARE_YES);
	assert_true(failed.is_waiting);
	ask_on_failed(table, &b);
	turn();
	expect(&failed, SHARE_AWAY);
}

/* The proposal was settled before the question came: Redis is looked at. */
static void handshake_that_redis_has_already_is_found_there(void **state)
{
	struct asked asked = { 0 };

	(void)state;
	ask(&asked, SHARE_STORE, "a");
	pass_ms(2);
	assert_int_equal(waiting(), 2);
	reply_pair(NULL, 0);
	assert_true(asked.is_waiting);
	pass_ms(4);
	assert_int_equal(waiting(), 2);
	reply_pair(LIVE, 500);
	turn();
	expect(&asked, SHARE_YES);
}

static void handshake_that_redis_does_not_take_waits_for_the_cap(void **state)
{
	struct asked asked = { 0 };

	(void)state;
	ask(&asked, SHARE_STORE, "a");
	for (int i = 0; i < CAP_MS; i++) {
		while (waiting())
			reply_pair(NULL, 0);
		assert_true(asked.is_waiting);
		pass_ms(1);
	}
	expect(&asked, SHARE_TIMEOUT);
	pass_ms(2);
	assert_int_equal(ask_open_n, 0);
}

static void open_questions_are_bounded(void **state)
{
	struct asked *asked = calloc(ASK_KEYS_MAX + 1, sizeof(*asked));
	char sid[16];

	(void)state;
	for (unsigned i = 0; i <= ASK_KEYS_MAX; i++) {
		struct table_key key;

		snprintf(sid, sizeof(sid), "s%u", i);
		key = table_key(table, str_of(sid));
		asked[i].is_waiting = share_ask(table, &key, &asker, on_answer, &asked[i]) != NULL;
	}
	turn();
	assert_int_equal(ask_open_n, ASK_KEYS_MAX);
	assert_int_equal(waiting(), 2 * ASK_KEYS_MAX);
	expect(&asked[ASK_KEYS_MAX], SHARE_AWAY);
	/* So many are not asked twice. */
	for (int i = 0; i < 100; i++)
		reply_pair(NULL, 0);
	assert_int_equal(ask_open_n, ASK_KEYS_MAX - 100);
	turn();
	expect(&asked[0], SHARE_NO);
	ask_down();
	turn();
	expect(&asked[100], SHARE_AWAY);
	while (waiting())
		reply(NULL);
	free(asked);
}

static void caps_change_with_the_configuration(void **state)
{
	struct asked asked = { 0 };

	(void)state;
	ask_apply(0, true);
	ask(&asked, SHARE_ASK, "a");
	assert_false(asked.is_waiting);
	ask(&asked, SHARE_STORE, "a");
	assert_true(asked.is_waiting);
	ask_apply(CAP_MS, false);
	pass_ms(CAP_MS);
	expect(&asked, SHARE_TIMEOUT);
	while (waiting())
		reply_pair(NULL, 0);
	ask(&asked, SHARE_STORE, "a");
	assert_false(asked.is_waiting);
	ask(&asked, SHARE_ASK, "a");
	assert_true(asked.is_waiting);
	ask_apply(0, false); /* who waits is still answered */
	reply_pair(LIVE, 500);
	turn();
	assert_int_equal(asked.answers, 2);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(session_that_redis_has_is_taken_over),
		TEST(one_question_for_a_key_is_under_way_whoever_asks),
		TEST(redis_is_asked_again_until_the_other_node_has_written),
		TEST(session_that_nobody_knows_costs_five_tries_and_less_than_the_cap),
		TEST(miss_is_remembered_for_a_second),
		TEST(record_that_is_not_ours_is_no_session),
		TEST(stream_may_be_faster_than_redis),
		TEST(lost_redis_answers_all_and_nobody_waits_any_more),
		TEST(silent_redis_costs_the_cap_and_late_answers_are_harmless),
		TEST(error_of_redis_ends_the_wait),
		TEST(full_link_is_tried_again),
		TEST(handshake_is_told_when_its_proposal_is_settled),
		TEST(handshake_that_redis_has_already_is_found_there),
		TEST(handshake_that_redis_does_not_take_waits_for_the_cap),
		TEST(open_questions_are_bounded),
		TEST(caps_change_with_the_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
