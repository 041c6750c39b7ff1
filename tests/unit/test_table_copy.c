/* SPDX-License-Identifier: MIT */
/* Two processes' tables; here one process plays both: its table is emptied between the parts. */
#include "config.h"

#include <sys/socket.h>
#include <unistd.h>

#include "balance/table_copy.h"
#include "stick_fixture.h"

#define ROOM 65536

static struct table *table_of(struct env *env)
{
	return env->pool.backend.state->tables[STICK_ENGINEIO];
}

static bool find(struct env *env, const char *sid, struct table_value *value)
{
	struct table_key key = table_key(table_of(env), str_of(sid));

	return table_find(table_of(env), &key, value);
}

/* Both ends, and a loop for ours. */
struct link {
	struct loop loop;
	int there;
	int peer;
};

static void link_make(struct link *link)
{
	int fds[2];

	assert_int_equal(loop_init(&link->loop), 0);
	clock_set_ms(START_MS);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	link->peer = table_copy_open(&link->loop, fds[0]);
	assert_true(link->peer >= 0);
	link->there = fds[1];
}

static void link_free(struct link *link)
{
	table_copy_close(link->peer);
	table_copy_reap();
	close(link->there);
	loop_fini(&link->loop);
}

/* The next record that was sent; false when there is none. */
static bool hear(struct link *link, unsigned char bytes[TABLE_COPY_RECORD_MAX], ssize_t *n)
{
	*n = recv(link->there, bytes, TABLE_COPY_RECORD_MAX, MSG_DONTWAIT);
	return *n > 0;
}

static void round_trip(struct env *env, unsigned char *bytes, size_t *size)
{
	struct table_copy_walk walk = { 0 };
	struct pack to = { bytes, 0, ROOM, false };

	while (table_copy_write(&walk, &to))
		;
	assert_false(to.is_bad);
	*size = to.n;
	table_clear(table_of(env));
}

static void what_was_copied_is_found_with_server_expiry_and_count(void **state)
{
	static unsigned char bytes[ROOM];
	struct unpack from = { bytes, 0, false };
	struct table_value value;
	struct link link;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	link_make(&link);
	learn(&env, 2, "two");
	learn(&env, 3, "three");
	clock_set_ms(START_MS + SEC(30));
	learn(&env, 2, "young");
	round_trip(&env, bytes, &from.left);
	assert_int_equal(sessions(&env, 2), 0);
	assert_int_equal(table_copy_read(&from), 3);
	assert_false(from.is_bad);
	assert_true(find(&env, "two", &value));
	assert_int_equal(value.server, pool_server(&env.pool, 2)->number);
	assert_int_equal(value.expires_in_ms, SEC(15));
	assert_int_equal(value.idle_ms, SEC(45));
	assert_int_equal(sessions(&env, 2), 2);
	assert_int_equal(sessions(&env, 3), 1);
	clock_set_ms(START_MS + SEC(46));
	assert_false(find(&env, "two", &value));
	assert_true(find(&env, "young", &value));
	table_expire(table_of(&env), 1000);
	assert_int_equal(sessions(&env, 2), 1);
	assert_true(table_is_sane(table_of(&env)));
	link_free(&link);
	env_free(&env);
}

static void a_walk_of_a_large_table_brings_every_entry(void **state)
{
	static unsigned char piece[ROOM];
	struct table_copy_walk walk = { 0 };
	bool seen[900] = { false }, has_more = true;
	struct env env;
	unsigned n = 0;
	char sid[16];

	(void)state;
	env_make(&env, ENGINEIO, 4);
	for (unsigned i = 0; i < 900; i++) {
		snprintf(sid, sizeof(sid), "sid-%04u", i);
		learn(&env, i % 4, sid);
	}
	while (has_more) {
		struct pack to = { piece, 0, sizeof(piece), false };

		has_more = table_copy_write(&walk, &to);
		assert_false(to.is_bad);
		for (size_t i = 0; i + 8 <= to.n; i++)
			if (memcmp(piece + i, "sid-", 4) == 0) {
				unsigned at = (unsigned)strtoul((char *)piece + i + 4, NULL, 10);

				assert_true(at < 900 && !seen[at]);
				seen[at] = true;
				n++;
			}
	}
	assert_int_equal(n, 900);
	env_free(&env);
}

static void a_session_of_a_former_process_stays_dead(void **state)
{
	static unsigned char bytes[ROOM];
	struct unpack from = { bytes, 0, false };
	struct link link;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	link_make(&link);
	learn(&env, 1, "old");
	server_new_generation(pool_server(&env.pool, 1));
	learn(&env, 1, "new");
	round_trip(&env, bytes, &from.left);
	server_new_generation(pool_server(&env.pool, 1)); /* another number than there */
	assert_int_equal(table_copy_read(&from), 2);
	assert_int_equal(ask_sid(&env, "old"), STICK_DEAD);
	end(&env);
	assert_int_equal(ask_sid(&env, "new"), STICK_TO);
	end(&env);
	assert_int_equal(sessions(&env, 1), 1);
	link_free(&link);
	env_free(&env);
}

static void what_a_change_told_is_newer_than_the_walk(void **state)
{
	static unsigned char bytes[ROOM];
	struct unpack from = { bytes, 0, false };
	struct table_value value;
	struct link link;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	link_make(&link);
	learn(&env, 1, "x");
	round_trip(&env, bytes, &from.left);
	learn(&env, 3, "x");
	table_copy_read(&from);
	assert_true(find(&env, "x", &value));
	assert_int_equal(value.server, pool_server(&env.pool, 3)->number);
	assert_int_equal(sessions(&env, 1), 0);
	assert_int_equal(sessions(&env, 3), 1);
	link_free(&link);
	env_free(&env);
}

static void a_change_is_sent_and_found_by_who_misses_it(void **state)
{
	unsigned char set[TABLE_COPY_RECORD_MAX], dropped[TABLE_COPY_RECORD_MAX];
	ssize_t set_n, dropped_n, n;
	struct link link;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	link_make(&link);
	learn(&env, 2, "abc");
	assert_true(hear(&link, set, &set_n));
	while (hear(&link, dropped, &n))
		;
	table_clear(table_of(&env)); /* tells nobody */
	assert_int_equal(send(link.there, set, (size_t)set_n, 0), set_n);
	assert_int_equal(ask_sid(&env, "abc"), STICK_TO);
	assert_ptr_equal(env.stick.server, pool_server(&env.pool, 2));
	assert_int_equal(sessions(&env, 2), 1);
	end(&env);
	while (hear(&link, dropped, &n))
		assert_true(n != set_n || memcmp(set, dropped, (size_t)n) != 0); /* no echo */
	assert_int_equal(ask_sid(&env, "abc"), STICK_TO);
	env.stick.chosen = env.stick.server;
	stick_drop_sid(&env.stick, &env.pool.backend);
	end(&env);
	dropped_n = 0;
	while (hear(&link, dropped, &n))
		dropped_n = n;
	assert_true(dropped_n > 0);
	learn(&env, 2, "abc");
	assert_int_equal(send(link.there, dropped, (size_t)dropped_n, 0), dropped_n);
	assert_true(table_copy_catch_up());
	assert_int_equal(ask_sid(&env, "abc"), STICK_FREE);
	end(&env);
	link_free(&link);
	env_free(&env);
}

static void a_use_there_keeps_the_entry_alive_here(void **state)
{
	unsigned char use[TABLE_COPY_RECORD_MAX], other[TABLE_COPY_RECORD_MAX];
	ssize_t use_n = 0, n;
	struct table_value value;
	struct link link;
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	link_make(&link);
	learn(&env, 2, "abc");
	while (hear(&link, other, &n))
		;
	assert_int_equal(ask_sid(&env, "abc"), STICK_TO);
	assert_true(hear(&link, use, &use_n));
	end(&env);
	clock_set_ms(START_MS + SEC(40));
	assert_int_equal(send(link.there, use, (size_t)use_n, 0), use_n);
	table_copy_catch_up();
	clock_set_ms(START_MS + SEC(80));
	assert_true(find(&env, "abc", &value));
	link_free(&link);
	env_free(&env);
}

static void a_peer_that_does_not_read_gets_all_later_in_order(void **state)
{
	unsigned char bytes[TABLE_COPY_RECORD_MAX];
	struct link link;
	struct env env;
	unsigned n = 0;
	ssize_t size;
	char sid[16];

	(void)state;
	env_make(&env, ENGINEIO, 4);
	link_make(&link);
	for (unsigned i = 0; i < 900; i++) {
		snprintf(sid, sizeof(sid), "%04u", i);
		learn(&env, i % 4, sid);
	}
	for (unsigned turns = 0; n < 900 && turns < 100000; turns++) {
		loop_turn(&link.loop, 0);
		clock_set_ms(START_MS);
		while (hear(&link, bytes, &size)) {
			struct unpack in = { bytes, (size_t)size, false };

			if (unpack_u8(&in) != 1)
				continue; /* a use */
			snprintf(sid, sizeof(sid), "%04u", n++);
			assert_non_null(memmem(bytes, (size_t)size, sid, 4));
		}
	}
	assert_int_equal(n, 900);
	assert_int_equal(table_copy_lost(), 0);
	link_free(&link);
	env_free(&env);
}

static void records_that_are_cut_or_strange_change_nothing(void **state)
{
	static unsigned char bytes[ROOM];
	struct unpack from = { bytes, 0, false };
	struct link link;
	struct env env;
	size_t size;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	link_make(&link);
	learn(&env, 1, "abc");
	round_trip(&env, bytes, &size);
	for (size_t cut = 1; cut < size; cut++) {
		unsigned char copy[TABLE_COPY_RECORD_MAX];

		memcpy(copy, bytes, cut);
		from = (struct unpack){ copy, cut, false };
		assert_int_equal(table_copy_read(&from), 0);
		assert_true(from.is_bad);
	}
	for (size_t at = 0; at < size; at++) {
		unsigned char was = bytes[at];

		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[at] = (unsigned char)(was ^ 1u << bit);
			from = (struct unpack){ bytes, size, false };
			table_copy_read(&from);
			assert_true(table_is_sane(table_of(&env)));
		}
		bytes[at] = was;
	}
	link_free(&link);
	env_free(&env);
}

static void a_quiet_peer_is_told_nothing(void **state)
{
	unsigned char bytes[TABLE_COPY_RECORD_MAX];
	struct link link;
	struct env env;
	ssize_t n;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	link_make(&link);
	table_copy_quiet(link.peer);
	learn(&env, 1, "abc");
	assert_false(hear(&link, bytes, &n));
	link_free(&link);
	env_free(&env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_copied_is_found_with_server_expiry_and_count),
		cmocka_unit_test(a_walk_of_a_large_table_brings_every_entry),
		cmocka_unit_test(a_session_of_a_former_process_stays_dead),
		cmocka_unit_test(what_a_change_told_is_newer_than_the_walk),
		cmocka_unit_test(a_change_is_sent_and_found_by_who_misses_it),
		cmocka_unit_test(a_use_there_keeps_the_entry_alive_here),
		cmocka_unit_test(a_peer_that_does_not_read_gets_all_later_in_order),
		cmocka_unit_test(records_that_are_cut_or_strange_change_nothing),
		cmocka_unit_test(a_quiet_peer_is_told_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
