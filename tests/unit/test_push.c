/* SPDX-License-Identifier: MIT */
/* Changes on their way to a Redis that the test plays: what goes out, and what its answers do. */
#include "config.h"

#include "mirror/push.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "balance/stick.h"
#include "balance/table_share.h"
#include "balance/version.h"
#include "base/clock.h"
#include "base/log.h"
#include "mirror/scripts.h"
#include "mirror/tables.h"

/*
 * Redis: commands wait until the test answers them.
 */
struct redis {
	struct {
		redis_reply_fn *fn;
		void *arg;
		char verb[16], letter, value[96];
	} commands[8192];
	size_t n, answered;
	int refuses; /* what redis_command() returns */
	unsigned drops;
};
static struct redis fake;

/* EVAL script 3 entry stream number letter version value left length node table key */
int redis_command(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n, const char **words,
		  const size_t *sizes)
{
	if (redis->refuses)
		return redis->refuses;
	assert_int_equal(n, 14);
	assert_int_equal(sizes[6], 1);
	redis->commands[redis->n].fn = fn;
	redis->commands[redis->n].arg = arg;
	redis->commands[redis->n].letter = words[6][0];
	snprintf(redis->commands[redis->n].verb, 16, "%.*s", (int)sizes[0], words[0]);
	snprintf(redis->commands[redis->n].value, 96, "%.*s", (int)sizes[8], words[8]);
	redis->n++;
	return 0;
}

size_t redis_room(const struct redis *redis)
{
	(void)redis;
	return REDIS_COMMANDS_MAX;
}

void redis_drop(struct redis *redis, const char *why)
{
	(void)why;
	redis->drops++;
}

static size_t waiting(void)
{
	return fake.n - fake.answered;
}

static void reply(const redisReply *with)
{
	size_t i = fake.answered++;

	assert_true(i < fake.n);
	fake.commands[i].fn(fake.commands[i].arg, with);
}

static void reply_error(const char *text)
{
	redisReply error = { .type = REDIS_REPLY_ERROR,
			     .str = (char *)(uintptr_t)text,
			     .len = strlen(text) };

	reply(&error);
}

/* {FIRST}, {FIRST, NUMBER} or {FIRST, VALUE, NUMBER}. */
static void reply_parts(long long first, const char *value, long long second, size_t n)
{
	redisReply a = { .type = REDIS_REPLY_INTEGER, .integer = first };
	redisReply b = { .type = REDIS_REPLY_INTEGER, .integer = second };
	redisReply v = { .type = REDIS_REPLY_STRING,
			 .str = (char *)(uintptr_t)value,
			 .len = value ? strlen(value) : 0 };
	redisReply *parts[] = { &a, n == 3 ? &v : &b, &b };
	redisReply all = { .type = REDIS_REPLY_ARRAY, .elements = n, .element = parts };

	reply(&all);
}

static void accept_all(void)
{
	static long long number;

	while (waiting())
		reply_parts(1, NULL, ++number, 2);
}

/*
 * A table of a backend "b" with the servers "one" and "two".
 */
static struct loop loop;
static struct config *config;
static struct backend_state *backend;
static struct table *table;
static struct server *one, *two;
static int64_t now_ms = 1000000;
static unsigned keys_n;

/* And another one, when what is collected together has been collected (PUSH_BATCH_MS). */
static void turn(void)
{
	clock_set_ms(now_ms);
	loop_turn(&loop, 0);
	now_ms += PUSH_BATCH_MS + 1;
	clock_set_ms(now_ms);
	wheel_advance(&loop.wheel, now_ms);
	loop_turn(&loop, 0);
	clock_set_ms(now_ms);
}

static void pass(int64_t ms)
{
	while (ms > 0) {
		now_ms += ms < 10 ? ms : 10;
		ms -= 10;
		clock_set_ms(now_ms);
		wheel_advance(&loop.wheel, now_ms);
		turn();
	}
}

static struct table_key put(const struct server *server)
{
	struct table_key key;
	char text[16];

	snprintf(text, sizeof(text), "key-%u", ++keys_n);
	key = table_key(table, str_of(text));
	table_put(table, &key,
		  &(struct table_value){ .server = server->number,
					 .generation = atomic_load(&server->generation),
					 .idle_ms = 60000 },
		  NULL);
	return key;
}

static uint32_t server_of(const struct table_key *key)
{
	struct table_value value;

	assert_true(table_find(table, key, &value));
	return value.server;
}

static int setup(void **state)
{
	static const struct str text =
		STR_INIT("frontends: {f: {bind: \"127.0.0.1:1\", backend: b}}\n"
			 "backends: {b: {stick: engineio, hosts: {one: \"127.0.0.1:2\", two: "
			 "\"127.0.0.1:3\"}}}\n");
	struct config_messages messages = { 0 };

	(void)state;
	clock_set_ms(now_ms);
	version_set_node(STR("test"));
	config = config_load_text("test", text, &messages);
	assert_non_null(config);
	config_messages_fini(&messages);
	backend = backend_state_get(STR("b"));
	config->backends[0].state = backend;
	stick_prepare(&config->backends[0]);
	one = server_get(backend, STR("one"), STR(""));
	two = server_get(backend, STR("two"), STR(""));
	table = backend->tables[STICK_ENGINEIO];
	assert_int_equal(loop_init(&loop), 0);
	push_init(&loop);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	push_fini();
	tables_fini();
	stick_fini();
	config_unref(config);
	loop_fini(&loop);
	return 0;
}

/* Connected, and Redis has shown that it takes changes. */
static int begin(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	table_clear(table);
	tables_apply(config, false);
	tables_apply(config, true);
	push_apply(STR("p"), STR("test#1"), 1000);
	scripts_forget();
	push_up(&fake);
	put(one);
	turn();
	accept_all();
	turn();
	accept_all();
	assert_true(push_is_idle());
	return 0;
}

static int end(void **state)
{
	(void)state;
	while (waiting())
		reply(NULL);
	push_down();
	return 0;
}

static void one_goes_alone_until_redis_knows_the_script(void **state)
{
	(void)state;
	scripts_forget();
	for (unsigned i = 0; i < 5; i++)
		put(one);
	turn();
	assert_int_equal(waiting(), 1);
	assert_string_equal(fake.commands[fake.answered].verb, "EVAL");
	reply_parts(1, NULL, 7, 2);
	turn();
	assert_int_equal(waiting(), 4);
	assert_string_equal(fake.commands[fake.answered].verb, "EVALSHA");
	reply_error("NOSCRIPT No matching script. Please use EVAL.");
	accept_all();
	turn();
	assert_int_equal(waiting(), 1);
	accept_all();
	assert_true(push_is_idle());
	assert_int_equal(push_stats()->errors, 0);
}

static void no_more_than_the_window_is_under_way(void **state)
{
	uint64_t before = push_stats()->pushed;

	(void)state;
	for (unsigned i = 0; i < PUSH_WINDOW + 500; i++)
		put(one);
	turn();
	assert_int_equal(waiting(), PUSH_WINDOW);
	assert_int_equal(push_stats()->waiting, PUSH_WINDOW);
	for (unsigned i = 0; i < 100; i++)
		reply_parts(1, NULL, 1, 2);
	turn();
	assert_int_equal(waiting(), PUSH_WINDOW);
	while (waiting()) {
		accept_all();
		turn();
	}
	assert_int_equal(push_stats()->pushed - before, PUSH_WINDOW + 500);
	assert_true(push_is_idle());
}

static void what_was_under_way_when_the_link_is_lost_goes_out_again(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++)
		put(one);
	turn();
	assert_int_equal(waiting(), 10);
	while (waiting())
		reply(NULL);
	push_down();
	turn();
	assert_int_equal(waiting(), 0);
	assert_int_equal(tables_dirty(), 10);
	for (unsigned i = 0; i < 10; i++)
		put(two); /* while it is away: marks, and nothing else */
	turn();
	assert_int_equal(tables_dirty(), 20);
	assert_int_equal(waiting(), 0);
	push_up(&fake);
	turn();
	assert_int_equal(waiting(), 20);
	accept_all();
	assert_true(push_is_idle());
}

static void a_record_that_stands_there_is_taken_over(void **state)
{
	struct table_key key = put(one);
	uint64_t conflicts = push_stats()->conflicts, rejected = push_stats()->rejected;
	char value[96];

	(void)state;
	turn();
	assert_int_equal(fake.commands[fake.answered].letter, 'a');
	snprintf(value, sizeof(value), "1 l %016llx 60000 two", (unsigned long long)version_next());
	reply_parts(0, value, 50000, 3);
	assert_int_equal(server_of(&key), two->number);
	assert_int_equal(push_stats()->conflicts, conflicts + 1);
	assert_int_equal(push_stats()->rejected, rejected + 1);
	turn();
	assert_true(push_is_idle());
}

static void a_record_whose_server_cannot_serve_is_answered_with_a_newer_one(void **state)
{
	struct table_key key = put(one);
	char value[96];

	(void)state;
	turn();
	atomic_fetch_or(&two->state, SERVER_DOWN);
	snprintf(value, sizeof(value), "1 l %016llx 60000 two", (unsigned long long)version_next());
	reply_parts(0, value, 50000, 3);
	turn();
	assert_int_equal(waiting(), 1);
	assert_int_equal(fake.commands[fake.answered].letter, 's');
	assert_true(memcmp(fake.commands[fake.answered].value + 4, value + 4, 16) > 0);
	accept_all();
	assert_int_equal(server_of(&key), one->number);
	assert_true(push_is_idle());
	atomic_fetch_and(&two->state, ~(unsigned)SERVER_DOWN);
}

static void what_is_absent_cannot_be_refreshed_and_is_assigned(void **state)
{
	struct table_key key = put(one);
	struct table_value value;

	(void)state;
	turn();
	accept_all();
	pass(40000);
	assert_true(table_touch(table, &key, &value));
	turn();
	while (waiting() && fake.commands[fake.answered].letter != 'r')
		reply_parts(1, NULL, 1, 2);
	assert_int_equal(waiting(), 1);
	reply_parts(2, NULL, 0, 1);
	turn();
	assert_int_equal(waiting(), 1);
	assert_int_equal(fake.commands[fake.answered].letter, 'a');
	accept_all();
	assert_true(push_is_idle());
}

static void a_full_redis_is_asked_again_by_and_by(void **state)
{
	size_t asked;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		put(one);
	turn();
	while (waiting())
		reply_error("OOM command not allowed when used memory > 'maxmemory'.");
	assert_true(strstr(push_stats()->why, "OOM"));
	asked = fake.n;
	turn();
	assert_int_equal(fake.n, asked); /* not at once */
	for (unsigned i = 0; i < 2000; i++) {
		pass(10);
		assert_true(waiting() <= 1);
		if (waiting())
			reply_error("OOM command not allowed when used memory > 'maxmemory'.");
	}
	/* 20 s: 0.1, 0.2 ... 5 s and then each 2.5 to 5 s. */
	assert_in_range(fake.n - asked, 6, 16);
	assert_int_equal(tables_dirty(), 10);
	while (!waiting())
		pass(10);
	reply_parts(1, NULL, 5, 2);
	assert_string_equal(push_stats()->why, "");
	turn();
	assert_int_equal(waiting(), 9);
	accept_all();
	assert_true(push_is_idle());
}

static void a_replica_is_left(void **state)
{
	(void)state;
	put(one);
	turn();
	reply_error("ERR Error running script: -READONLY You can't write against a replica.");
	assert_int_equal(fake.drops, 1);
	assert_int_equal(tables_dirty(), 1);
}

static void an_answer_of_another_form_ends_the_proposal(void **state)
{
	static const char *const values[] = { "", "nonsense", "1 l 0 60000 two",
					      "1 l 0000000000000001 60000 /x" };
	uint64_t errors = push_stats()->errors;

	(void)state;
	for (size_t i = 0; i < ARRAY_N(values); i++) {
		put(one);
		turn();
		reply_parts(0, values[i], 50000, 3);
		turn();
		assert_true(push_is_idle());
	}
	put(one);
	turn();
	reply_parts(9, NULL, 0, 1);
	turn();
	assert_true(push_is_idle());
	assert_int_equal(push_stats()->errors, errors + ARRAY_N(values) + 1);
}

static void a_link_that_takes_no_more_loses_nothing(void **state)
{
	(void)state;
	fake.refuses = -ENOBUFS;
	for (unsigned i = 0; i < 300; i++)
		put(one);
	turn();
	assert_int_equal(tables_dirty(), 300);
	fake.refuses = 0;
	push_soon();
	turn();
	assert_int_equal(waiting(), 300);
	accept_all();
	assert_true(push_is_idle());
}

static void all_goes_no_faster_than_it_may(void **state)
{
	size_t before;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		put(one);
	turn();
	accept_all();
	turn();
	before = fake.n;
	push_all(1000);
	for (unsigned i = 0; i < 50; i++) {
		pass(10);
		accept_all();
	}
	assert_in_range(fake.n - before, 300, 700); /* in half a second */
	for (unsigned i = 0; i < 100; i++) {
		pass(10);
		accept_all();
	}
	assert_true(push_is_idle());
	assert_true(fake.n - before >= 1000);
}

/* Its client may go to another node next, which has but the cap of read_through to find out. */
static void what_a_request_changes_waits_for_no_comparison(void **state)
{
	static const uint32_t rates[] = { 1000, 100000000 };

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		put(one);
	turn();
	accept_all();
	turn();
	for (size_t i = 0; i < ARRAY_N(rates); i++) {
		push_all(rates[i]);
		pass(30);
		assert_in_range(waiting(), 1, PUSH_WINDOW_LATER);
		for (size_t n = waiting(), k = 0; k < 5; k++) {
			put(one);
			clock_set_ms(now_ms += PUSH_BATCH_MS);
			loop_turn(&loop, 0); /* alone in its millisecond: at once */
			assert_int_equal(waiting(), n + k + 1);
			assert_int_equal(fake.commands[fake.n - 1].letter, 'a');
		}
		while (!push_is_idle()) {
			accept_all();
			pass(10);
		}
	}
}

static void what_changes_within_a_millisecond_goes_together(void **state)
{
	size_t before;

	(void)state;
	put(one);
	turn();
	accept_all();
	turn();
	before = fake.n;
	clock_set_ms(now_ms);
	put(one);
	loop_turn(&loop, 0);
	assert_int_equal(fake.n - before, 1); /* alone: at once */
	for (unsigned i = 0; i < 5; i++) {
		put(one);
		loop_turn(&loop, 0);
	}
	assert_int_equal(fake.n - before, 1);
	push_soon(); /* somebody waits */
	loop_turn(&loop, 0);
	assert_int_equal(fake.n - before, 6);
	put(one);
	loop_turn(&loop, 0);
	turn();
	assert_int_equal(fake.n - before, 7);
	accept_all();
}

/* Refreshes among them: who is not refreshed ends at the other nodes. */
static void what_nobody_waits_for_goes_on_under_any_load(void **state)
{
	size_t later = 0;

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		put(one);
	turn();
	accept_all();
	for (unsigned i = 0; i < PUSH_WINDOW; i++)
		put(one);
	turn();
	push_all(100000000);
	for (unsigned i = 0; i < 700; i++) {
		size_t at = fake.answered;

		reply_parts(1, NULL, 1, 2);
		reply_parts(1, NULL, 1, 2);
		put(one);
		put(one);
		pass(10);
		assert_true(fake.n - at > PUSH_WINDOW - PUSH_WINDOW_LATER);
	}
	for (size_t i = 0; i < fake.n; i++)
		later += fake.commands[i].letter == 's';
	assert_true(later > 0);
	while (!push_is_idle()) {
		accept_all();
		pass(10);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_goes_alone_until_redis_knows_the_script),
		TEST(no_more_than_the_window_is_under_way),
		TEST(what_was_under_way_when_the_link_is_lost_goes_out_again),
		TEST(a_record_that_stands_there_is_taken_over),
		TEST(a_record_whose_server_cannot_serve_is_answered_with_a_newer_one),
		TEST(what_is_absent_cannot_be_refreshed_and_is_assigned),
		TEST(a_full_redis_is_asked_again_by_and_by),
		TEST(a_replica_is_left),
		TEST(an_answer_of_another_form_ends_the_proposal),
		TEST(a_link_that_takes_no_more_loses_nothing),
		TEST(all_goes_no_faster_than_it_may),
		TEST(what_a_request_changes_waits_for_no_comparison),
		TEST(what_changes_within_a_millisecond_goes_together),
		TEST(what_nobody_waits_for_goes_on_under_any_load),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
