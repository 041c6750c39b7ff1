/* SPDX-License-Identifier: MIT */
/* Commands and answers of a link that is up, and how it is lost. */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "redis_rig.h"

static void commands_of_a_turn_go_out_together_and_answers_come_in_order(void **state unused_arg)
{
	rig_start_up();
	assert_int_equal(rig_command("a", "GET x"), 0);
	assert_int_equal(rig_command("b", "INCR y"), 0);
	assert_int_equal(rig_command("c", "SET z 1"), 0);
	assert_int_equal(redis_room(rig.redis), REDIS_COMMANDS_MAX - 3);
	rig_hear(rig.peer, "GET x;INCR y;SET z 1");
	rig_say(rig.peer, "$2\r\nxx\r\n:5\r\n-ERR such things happen\r\n");
	rig_until(rig_has_told("c="));
	assert_string_equal(rig.told, "a=xx b=5 c=ERR such things happen ");
	assert_string_equal(redis_where(rig.redis), rig.url);
}

static void answers_may_come_one_byte_at_a_time(void **state unused_arg)
{
	static const char bytes[] = "$2\r\nxx\r\n:5\r\n";

	rig_start_up();
	assert_int_equal(rig_command("a", "GET x"), 0);
	assert_int_equal(rig_command("b", "GET y"), 0);
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		assert_int_equal(send(rig.peer, &bytes[i], 1, 0), 1);
		loop_turn(&rig.loop, 0);
		assert_true(i >= 7 || rig.told[0] == '\0');
	}
	rig_until(rig_has_told("b="));
	assert_string_equal(rig.told, "a=xx b=5 ");
}

static void all_without_an_answer_get_null_before_down_is_told(void **state unused_arg)
{
	struct redis_stats stats;

	rig_start_up();
	assert_int_equal(rig_command("a", "GET x"), 0);
	assert_int_equal(rig_command("b", "GET y"), 0);
	assert_int_equal(rig_command("c", "GET z"), 0);
	rig_hear(rig.peer, "GET x;GET y;GET z");
	rig_say(rig.peer, ":1\r\n$10\r\nhal");
	rig_hang_up(&rig.peer);
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "a=1 b=NULL c=NULL down(closed by the peer) ");
	assert_int_equal(rig_command("d", "GET x"), -ENOTCONN);
	assert_int_equal(redis_room(rig.redis), 0);
	assert_string_equal(redis_where(rig.redis), "");
	redis_stats(rig.redis, &stats);
	assert_int_equal(stats.losses, 1);
	assert_int_equal(stats.waiting, 0);
	assert_int_equal(stats.commands, 4); /* and PING */
}

static void what_was_queued_and_not_sent_is_not_sent_after_a_loss(void **state unused_arg)
{
	rig_start_up();
	assert_int_equal(rig_command("a", "GET x"), 0);
	redis_drop(rig.redis, "as I like");
	assert_string_equal(rig.told, "a=NULL down(as I like) ");
	rig_hang_up(&rig.peer);
	rig.peer = rig_accept(rig.server);
	rig_hear(rig.peer, "PING");
	rig_say(rig.peer, "+PONG\r\n");
	rig_until(redis_is_up(rig.redis));
}

static void errors_that_mean_a_loss_are_one(void **state unused_arg)
{
	static const char *const losses[] = {
		"READONLY You can't write against a read only replica.",
		"LOADING Redis is loading the dataset in memory",
		"MASTERDOWN Link with MASTER is down",
		"CLUSTERDOWN The cluster is down",
		"NOAUTH Authentication required.",
		"ASK 3999 127.0.0.1:6381",
		"MOVED 3999 nonsense",
		"ERR Error running script (call to f_1): @user_script:1: @user_script: 1: "
		"-READONLY "
		"You can't write against a read only replica.",
	};

	for (size_t i = 0; i < ARRAY_N(losses); i++) {
		char text[512];

		if (i)
			assert_int_equal(rig_setup(NULL), 0);
		rig_start_up();
		assert_int_equal(rig_command("a", "GET x"), 0);
		assert_int_equal(rig_command("b", "GET y"), 0);
		snprintf(text, sizeof(text), "-%s\r\n:1\r\n", losses[i]);
		rig_say(rig.peer, text);
		rig_until(rig_has_told("down"));
		snprintf(text, sizeof(text), "a=NULL b=NULL down(redis says: %s) ", losses[i]);
		assert_string_equal(rig.told, text);
		if (i < ARRAY_N(losses) - 1)
			assert_int_equal(rig_teardown(NULL), 0);
	}
}

static void other_errors_are_answers(void **state unused_arg)
{
	rig_start_up();
	assert_int_equal(rig_command("a", "GET x"), 0);
	assert_int_equal(rig_command("b", "GET x"), 0);
	assert_int_equal(rig_command("c", "GET x"), 0);
	rig_say(rig.peer, "-NOSCRIPT No matching script\r\n-OOM no memory\r\n-READONLYISH x\r\n");
	rig_until(rig_has_told("c="));
	assert_string_equal(rig.told,
			    "a=NOSCRIPT No matching script b=OOM no memory c=READONLYISH x ");
}

static void garbage_is_a_loss(void **state unused_arg)
{
	rig_start_up();
	assert_int_equal(rig_command("a", "GET x"), 0);
	rig_say(rig.peer, "HTTP/1.1 400 Bad Request\r\n\r\n");
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "a=NULL down(no answer of a Redis) ");
}

static void an_announced_size_beyond_the_limit_is_a_loss(void **state unused_arg)
{
	rig_start_up();
	assert_int_equal(rig_command("a", "GET x"), 0);
	rig_say(rig.peer, "*2147483647\r\n");
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "a=NULL down(an answer larger than 64 MiB) ");
}

static void answers_that_nobody_asked_for_are_a_loss(void **state unused_arg)
{
	rig_start_up();
	rig_say(rig.peer, "+OK\r\n");
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "down(an answer to no command) ");
}

static void silence_is_a_loss(void **state unused_arg)
{
	int64_t began_us;

	rig.options.answer_ms = 80;
	rig_start_up();
	rig_turns(120); /* nothing is awaited */
	assert_string_equal(rig.told, "");
	began_us = clock_now_us();
	assert_int_equal(rig_command("a", "GET x"), 0);
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "a=NULL down(no answer in time) ");
	assert_in_range(clock_now_us() - began_us, 70000, 2000000);
}

static void the_time_runs_for_the_oldest_alone(void **state unused_arg)
{
	rig.options.answer_ms = 150;
	rig_start_up();
	assert_int_equal(rig_command("a", "GET x"), 0);
	assert_int_equal(rig_command("b", "GET x"), 0);
	rig_turns(100);
	rig_say(rig.peer, ":1\r\n");
	rig_turns(100);
	assert_string_equal(rig.told, "a=1 ");
	rig_until(rig_has_told("down"));
}

static void a_blocking_command_may_take_longer(void **state unused_arg)
{
	rig.options.answer_ms = 50;
	rig_start_up();
	assert_int_equal(rig_command("a", "XREAD BLOCK 100"), 0);
	redis_answer_in(rig.redis, 400);
	rig_turns(150);
	assert_string_equal(rig.told, "");
	rig_say(rig.peer, ":1\r\n");
	rig_until(rig_has_told("a=1"));
	assert_int_equal(rig_command("b", "GET x"), 0);
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "a=1 b=NULL down(no answer in time) ");
}

static void commands_without_an_answer_are_bounded(void **state unused_arg)
{
	char *answers = xmalloc(REDIS_COMMANDS_MAX * 4 + 1);
	struct redis_stats stats;

	rig_start_up();
	for (size_t i = 0; i < REDIS_COMMANDS_MAX; i++) {
		assert_int_equal(rig_command("", "A"), 0);
		memcpy(answers + i * 4, ":1\r\n", 5);
	}
	assert_int_equal(rig_command("x", "A"), -ENOBUFS);
	assert_int_equal(redis_room(rig.redis), 0);
	for (size_t i = 0; i < REDIS_COMMANDS_MAX * 4;) {
		ssize_t n = send(rig.peer, answers + i, REDIS_COMMANDS_MAX * 4 - i, MSG_NOSIGNAL);

		i += n > 0 ? (size_t)n : 0;
		loop_turn(&rig.loop, 1);
	}
	rig_until(redis_room(rig.redis) == REDIS_COMMANDS_MAX);
	redis_stats(rig.redis, &stats);
	assert_int_equal(stats.bytes_in, REDIS_COMMANDS_MAX * 4 + 7);
	free(answers);
}

/* The peer reads nothing: what is queued stays within the bound, and all of it goes in the end. */
static void a_slow_reader_is_waited_for(void **state unused_arg)
{
	static char junk[1 << 16];
	size_t size = 1 << 20, queued = 0, got = 0;
	char *value = xmalloc(size + 1);
	struct redis_stats stats;

	memset(value, 'v', size);
	value[size] = '\0';
	rig_start_up();
	while (rig_command("", value) == 0) {
		assert_in_range(++queued, 1, 40);
		loop_turn(&rig.loop, 0);
	}
	assert_in_range(queued, 15, 20);
	rig_until((recv(rig.peer, junk, 1, MSG_PEEK)) == 1);
	while (got < queued * size) {
		ssize_t n = recv(rig.peer, junk, sizeof(junk), 0);

		got += n > 0 ? (size_t)n : 0;
		loop_turn(&rig.loop, n > 0 ? 0 : 1);
	}
	redis_stats(rig.redis, &stats);
	assert_int_equal(stats.bytes_out, queued * (size + 4 + 10 + 2) + 14);
	assert_int_equal(redis_room(rig.redis), REDIS_COMMANDS_MAX - queued);
	assert_true(redis_is_up(rig.redis));
	free(value);
}

static void free_it(void)
{
	redis_free(rig.redis);
	redis_free(rig.redis); /* harmless until it is buried */
	rig.redis = NULL;
	rig.on_reply = NULL;
}

static void a_reply_may_free_the_link(void **state unused_arg)
{
	rig_start_up();
	rig.on_reply = free_it;
	assert_int_equal(rig_command("a", "A"), 0);
	assert_int_equal(rig_command("b", "B"), 0);
	assert_int_equal(rig_command("c", "C"), 0);
	rig_say(rig.peer, ":1\r\n:2\r\n:3\r\n");
	rig_until(rig_has_told("c="));
	rig_turns(20);
	assert_string_equal(rig.told, "a=1 b=NULL c=NULL ");
}

static void a_loss_may_free_the_link(void **state unused_arg)
{
	rig_start_up();
	rig.on_reply = free_it;
	assert_int_equal(rig_command("a", "A"), 0);
	assert_int_equal(rig_command("b", "B"), 0);
	rig_hang_up(&rig.peer);
	rig_until(rig_has_told("b="));
	rig_turns(20);
	assert_string_equal(rig.told, "a=NULL b=NULL "); /* and no "down" */
}

static void down_may_free_the_link(void **state unused_arg)
{
	rig_start_up();
	rig.on_down = free_it;
	rig_hang_up(&rig.peer);
	rig_until(rig_has_told("down"));
	rig_turns(20);
}

static void up_may_free_the_link(void **state unused_arg)
{
	rig.on_up = free_it;
	rig_start();
	rig.peer = rig_accept(rig.server);
	rig_say(rig.peer, "+PONG\r\n:1\r\n");
	rig_until(rig_has_told("up"));
	rig_turns(20);
	assert_string_equal(rig.told, "up ");
}

static void drop_it(void)
{
	rig.on_reply = NULL;
	redis_drop(rig.redis, "no sense");
}

static void a_reply_may_drop_the_link(void **state unused_arg)
{
	rig_start_up();
	rig.on_reply = drop_it;
	assert_int_equal(rig_command("a", "A"), 0);
	assert_int_equal(rig_command("b", "B"), 0);
	rig_say(rig.peer, ":1\r\n:2\r\n");
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "a=1 b=NULL down(no sense) ");
	rig_hang_up(&rig.peer);
	rig.peer = rig_accept(rig.server);
}

static void ask_more(void)
{
	rig.on_reply = NULL;
	if (redis_is_up(rig.redis))
		assert_int_equal(rig_command("more", "M"), 0);
	else
		assert_int_equal(rig_command("more", "M"), -ENOTCONN);
}

static void a_reply_may_send_a_command(void **state unused_arg)
{
	rig_start_up();
	rig.on_reply = ask_more;
	assert_int_equal(rig_command("a", "A"), 0);
	rig_hear(rig.peer, "A");
	rig_say(rig.peer, ":1\r\n");
	rig_hear(rig.peer, "M");
	rig.on_reply = rig.on_down = ask_more;
	rig_hang_up(&rig.peer);
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "a=1 more=NULL down(closed by the peer) ");
}

static void freeing_a_link_on_its_way_tells_nothing(void **state unused_arg)
{
	rig_start();
	free_it();
	rig_turns(10);
	rig_start();
	rig.peer = rig_accept(rig.server);
	free_it();
	rig_turns(10);
	assert_string_equal(rig.told, "");
	redis_free(NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(commands_of_a_turn_go_out_together_and_answers_come_in_order),
		T(answers_may_come_one_byte_at_a_time),
		T(all_without_an_answer_get_null_before_down_is_told),
		T(what_was_queued_and_not_sent_is_not_sent_after_a_loss),
		T(errors_that_mean_a_loss_are_one),
		T(other_errors_are_answers),
		T(garbage_is_a_loss),
		T(an_announced_size_beyond_the_limit_is_a_loss),
		T(answers_that_nobody_asked_for_are_a_loss),
		T(silence_is_a_loss),
		T(the_time_runs_for_the_oldest_alone),
		T(a_blocking_command_may_take_longer),
		T(commands_without_an_answer_are_bounded),
		T(a_slow_reader_is_waited_for),
		T(a_reply_may_free_the_link),
		T(a_loss_may_free_the_link),
		T(down_may_free_the_link),
		T(up_may_free_the_link),
		T(a_reply_may_drop_the_link),
		T(a_reply_may_send_a_command),
		T(freeing_a_link_on_its_way_tells_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
