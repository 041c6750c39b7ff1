/* SPDX-License-Identifier: MIT */
/* How a link comes up, whom it connects to, and when it tries again. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "redis_rig.h"

static char url[256];

static void use_url(const char *fmt, ...) printf_like(1, 2);
static void use_url(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(url, sizeof(url), fmt, args);
	va_end(args);
	rig.options.url = str_of(url);
}

static void greeted_with(const char *user, const char *password, const char *query,
			 const char *want)
{
	char answers[128];
	size_t n = 0;

	use_url("%s%s", rig.url, query);
	rig.options.username = str_of(user);
	rig.options.password = str_of(password);
	rig_start();
	rig.peer = rig_accept(rig.server);
	rig_hear(rig.peer, want);
	for (const char *c = want; c; c = strchr(c + 1, ';'))
		n += (size_t)snprintf(answers + n, sizeof(answers) - n, "+OK\r\n");
	rig_say(rig.peer, answers);
	rig_until(redis_is_up(rig.redis));
	assert_string_equal(rig.told, "up ");
}

static void a_password_alone_is_sent_alone(void **state unused_arg)
{
	greeted_with("", "secret", "", "AUTH secret;PING");
}

static void a_user_is_sent_with_the_password_and_a_database_selected(void **state unused_arg)
{
	greeted_with("joe", "secret", "?db=3", "AUTH joe secret;SELECT 3;PING");
}

static void the_urls_user_and_password_are_decoded(void **state unused_arg)
{
	uint16_t port;
	int listener = rig_listen_tcp(&port);

	use_url("redis://j%%40e:p%%2Fw%%25@127.0.0.1:%u/2", port);
	rig_start();
	rig.peer = rig_accept(listener);
	rig_hear(rig.peer, "AUTH j@e p/w%%;SELECT 2;PING");
	rig_say(rig.peer, "+OK\r\n+OK\r\n+PONG\r\n");
	rig_until(redis_is_up(rig.redis));
	snprintf(url, sizeof(url), "127.0.0.1:%u", port);
	assert_string_equal(redis_where(rig.redis), url);
	close(listener);
}

static void refused_greetings_are_told_without_the_password(void **state unused_arg)
{
	static const struct {
		const char *answer, *told;
	} rows[] = {
		{ "-WRONGPASS invalid username-password pair\r\n",
		  "down(redis says: WRONGPASS invalid username-password pair) " },
		{ "-ERR unknown command `AUTH`, with args beginning with: `hush`, \r\n",
		  "down(redis says: ERR unknown command `AUTH`,) " },
		{ "-ERR I do not like hush\r\n", "down(redis says: the password is refused) " },
		{ "+OK\r\n-ERR DB index is out of range\r\n+PONG\r\n",
		  "down(redis says: ERR DB index is out of range) " },
		{ "+OK\r\n+OK\r\n-LOADING Redis is loading\r\n",
		  "down(redis says: LOADING Redis is loading) " },
		{ "-NOAUTH Authentication required.\r\n",
		  "down(redis says: NOAUTH Authentication required.) " },
		{ "-DENIED protected\r\n", "down(redis says: DENIED protected) " },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		if (i)
			assert_int_equal(rig_setup(NULL), 0);
		use_url("%s?db=9", rig.url);
		rig.options.password = STR("hush");
		rig_start();
		rig.peer = rig_accept(rig.server);
		rig_hear(rig.peer, "AUTH hush;SELECT 9;PING");
		rig_say(rig.peer, rows[i].answer);
		rig_until(rig_has_told("down"));
		assert_string_equal(rig.told, rows[i].told);
		if (i < ARRAY_N(rows) - 1)
			assert_int_equal(rig_teardown(NULL), 0);
	}
}

static void who_may_not_ping_is_up_all_the_same(void **state unused_arg)
{
	rig_start();
	rig.peer = rig_accept(rig.server);
	rig_say(rig.peer, "-NOPERM this user has no permissions to run the 'ping' command\r\n");
	rig_until(redis_is_up(rig.redis));
}

static void one_that_says_why_and_closes_is_heard(void **state unused_arg)
{
	rig_start();
	rig.peer = rig_accept(rig.server);
	rig_say(rig.peer, "-ERR max number of clients reached\r\n");
	rig_hang_up(&rig.peer);
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "down(redis says: ERR max number of clients reached) ");
}

static void a_silent_greeting_ends_in_time(void **state unused_arg)
{
	rig.options.connect_ms = 100;
	rig_start();
	rig.peer = rig_accept(rig.server);
	rig_until(rig_has_told("down"));
	assert_true(rig_has_told("no answer in time"));
}

/* How long after a loss the link is there again. */
static int64_t back_after_us(void)
{
	int64_t at_us = clock_now_us();

	rig_hang_up(&rig.peer);
	rig.peer = rig_accept(rig.server);
	return clock_now_us() - at_us;
}

static void a_lost_link_is_back_at_once_the_first_time_later_after_a_while(void **state unused_arg)
{
	int64_t took_us = 0;

	/* A busy machine may be slow; but a pause is never shorter than 100 ms. */
	for (unsigned i = 0; i < 5; i++) {
		if (i) {
			assert_int_equal(rig_teardown(NULL), 0);
			assert_int_equal(rig_setup(NULL), 0);
		}
		rig_start_up();
		took_us = back_after_us();
		if (took_us < 90000)
			break;
	}
	assert_in_range(took_us, 0, 90000);
	rig_say(rig.peer, "+PONG\r\n");
	rig_until(redis_is_up(rig.redis));
	assert_in_range(back_after_us(), 95000, 4000000);
}

static void tries_become_rarer(void **state unused_arg)
{
	unsigned tries = 0;

	rig_hang_up(&rig.server);
	rig_start();
	rig_turns(1500); /* at about 0, .1, .2-.3, .4-.7, .8-1.5 s */
	for (const char *at = rig.told; (at = strstr(at, "down(")) != NULL; at++)
		tries++;
	assert_in_range(tries, 3, 8);
	assert_true(rig_has_told("connection refused"));
}

static void moved_leads_to_the_node_until_that_fails(void **state unused_arg)
{
	uint16_t first_port, second_port;
	int first = rig_listen_tcp(&first_port), second = rig_listen_tcp(&second_port);
	char text[64];

	use_url("redis://127.0.0.1:%u", first_port);
	rig_start();
	rig.peer = rig_accept(first);
	rig_say(rig.peer, "+PONG\r\n");
	rig_until(redis_is_up(rig.redis));
	assert_int_equal(rig_command("a", "SET x 1"), 0);
	snprintf(text, sizeof(text), "-MOVED 16287 127.0.0.1:%u\r\n", second_port);
	rig_say(rig.peer, text);
	rig_until(rig_has_told("down"));
	rig_hang_up(&rig.peer);

	rig.peer = rig_accept(second);
	rig_hear(rig.peer, "PING");
	rig_say(rig.peer, "+PONG\r\n");
	rig_until(redis_is_up(rig.redis));
	snprintf(text, sizeof(text), "127.0.0.1:%u", second_port);
	assert_string_equal(redis_where(rig.redis), text);

	close(second);
	rig_hang_up(&rig.peer); /* that node is gone, so the configured one is asked */
	rig.peer = rig_accept(first);
	close(first);
}

static void moved_without_a_host_means_the_same_host(void **state unused_arg)
{
	uint16_t first_port, second_port;
	int first = rig_listen_tcp(&first_port), second = rig_listen_tcp(&second_port);
	char text[64];

	use_url("redis://127.0.0.1:%u", first_port);
	rig_start();
	rig.peer = rig_accept(first);
	rig_say(rig.peer, "+PONG\r\n");
	rig_until(redis_is_up(rig.redis));
	assert_int_equal(rig_command("a", "SET x 1"), 0);
	snprintf(text, sizeof(text), "-MOVED 1 :%u\r\n", second_port);
	rig_say(rig.peer, text);
	rig_hang_up(&rig.peer);
	rig.peer = rig_accept(second);
	close(first);
	close(second);
}

/* A sentinel that is not there, one that knows nothing, one that knows. */
static void sentinels_are_asked_in_turn_and_the_master_confirmed(void **state unused_arg)
{
	uint16_t gone_port, second_port, third_port, master_port;
	int gone = rig_listen_tcp(&gone_port), second = rig_listen_tcp(&second_port),
	    third = rig_listen_tcp(&third_port), master = rig_listen_tcp(&master_port);
	char text[128], port[8];
	int fd;

	close(gone);
	use_url("sentinel://:pw@127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/set-1/4", gone_port,
		second_port, third_port);
	rig_start();
	fd = rig_accept(second);
	rig_hear(fd, "SENTINEL get-master-addr-by-name set-1");
	rig_say(fd, "*-1\r\n");
	close(fd);
	fd = rig_accept(third);
	rig_hear(fd, "SENTINEL get-master-addr-by-name set-1");
	snprintf(port, sizeof(port), "%u", master_port);
	snprintf(text, sizeof(text), "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(port), port);
	rig_say(fd, text);
	rig.peer = rig_accept(master);
	close(fd);
	rig_hear(rig.peer, "AUTH pw;SELECT 4;ROLE;PING");
	rig_say(rig.peer, "+OK\r\n+OK\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n+PONG\r\n");
	rig_until(redis_is_up(rig.redis));
	assert_string_equal(rig.told, "up ");
	close(second);
	close(third);
	close(master);
}

static void one_that_is_not_the_master_is_left(void **state unused_arg)
{
	uint16_t sentinel_port, port;
	int sentinel = rig_listen_tcp(&sentinel_port), replica = rig_listen_tcp(&port);
	char text[128], digits[8];
	int fd;

	use_url("sentinel://127.0.0.1:%u/m", sentinel_port);
	rig_start();
	fd = rig_accept(sentinel);
	snprintf(digits, sizeof(digits), "%u", port);
	snprintf(text, sizeof(text), "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(digits),
		 digits);
	rig_say(fd, text);
	rig.peer = rig_accept(replica);
	rig_hear(rig.peer, "ROLE;PING");
	rig_say(rig.peer, "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$4\r\nsync\r\n:1\r\n+PONG\r\n");
	rig_until(rig_has_told("down"));
	assert_string_equal(rig.told, "down(not the master that the sentinel says it is) ");
	close(fd);
	fd = rig_accept(sentinel); /* asked again */
	close(fd);
	close(sentinel);
	close(replica);
}

static void a_silent_sentinel_costs_its_share_of_the_time_alone(void **state unused_arg)
{
	uint16_t first_port, second_port;
	int first = rig_listen_tcp(&first_port), second = rig_listen_tcp(&second_port);
	int64_t began_us = clock_now_us();
	int fd;

	rig.options.connect_ms = 600;
	use_url("sentinel://127.0.0.1:%u,127.0.0.1:%u/m", first_port, second_port);
	rig_start();
	rig.peer = rig_accept(first);
	fd = rig_accept(second);
	assert_in_range(clock_now_us() - began_us, 250000, 2000000);
	assert_string_equal(rig.told, "");
	close(fd);
	rig_until(rig_has_told("down"));
	close(first);
	close(second);
}

static void sentinels_that_talk_nonsense_are_left(void **state unused_arg)
{
	static const char *const rows[] = {
		"*2\r\n$1\r\n!\r\n$1\r\n1\r\n",
		"*2\r\n$9\r\n127.0.0.1\r\n$1\r\n0\r\n",
		"*2\r\n$9\r\n127.0.0.1\r\n:6\r\n",
		"*2\r\n$-1\r\n$-1\r\n",
		"*0\r\n",
		"+OK\r\n",
	};
	uint16_t port;
	int sentinel = rig_listen_tcp(&port);

	use_url("sentinel://127.0.0.1:%u/m", port);
	rig_start();
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		int fd = rig_accept(sentinel);

		rig_say(fd, rows[i]);
		rig_until(rig_has_told("down"));
		assert_string_equal(rig.told, "down(no answer of a sentinel) ");
		rig.told[0] = '\0';
		close(fd);
	}
	close(sentinel);
}

static void names_are_resolved_and_all_addresses_tried(void **state unused_arg)
{
	uint16_t port;
	int listener = rig_listen_tcp(&port); /* localhost may mean ::1, where nobody listens */

	use_url("redis://localhost:%u", port);
	rig_start();
	rig.peer = rig_accept(listener);
	rig_say(rig.peer, "+PONG\r\n");
	rig_until(redis_is_up(rig.redis));
	close(listener);
}

static void a_name_that_means_nothing_is_told(void **state unused_arg)
{
	use_url("redis://no-such-host.invalid");
	rig_start();
	rig_until(rig_has_told("down"));
	assert_true(rig_has_told("down(no-such-host.invalid: "));
}

/* The thread may end before or after the link, and even after the loop. */
static void a_link_may_go_while_its_name_is_looked_up(void **state unused_arg)
{
	for (unsigned i = 0; i < 20; i++) {
		use_url("redis://no-such-host-%u.invalid", i);
		rig_start();
		rig_turns(i % 5);
		redis_free(rig.redis);
		rig.redis = NULL;
		if (i % 2)
			rig_turns(2);
	}
	assert_int_equal(rig_teardown(NULL), 0);
	usleep(50000); /* for the sanitizers: threads that are left touch nothing */
	assert_int_equal(rig_setup(NULL), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_password_alone_is_sent_alone),
		T(a_user_is_sent_with_the_password_and_a_database_selected),
		T(the_urls_user_and_password_are_decoded),
		T(refused_greetings_are_told_without_the_password),
		T(who_may_not_ping_is_up_all_the_same),
		T(one_that_says_why_and_closes_is_heard),
		T(a_silent_greeting_ends_in_time),
		T(a_lost_link_is_back_at_once_the_first_time_later_after_a_while),
		T(tries_become_rarer),
		T(moved_leads_to_the_node_until_that_fails),
		T(moved_without_a_host_means_the_same_host),
		T(sentinels_are_asked_in_turn_and_the_master_confirmed),
		T(one_that_is_not_the_master_is_left),
		T(a_silent_sentinel_costs_its_share_of_the_time_alone),
		T(sentinels_that_talk_nonsense_are_left),
		T(names_are_resolved_and_all_addresses_tried),
		T(a_name_that_means_nothing_is_told),
		T(a_link_may_go_while_its_name_is_looked_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
