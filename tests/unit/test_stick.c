/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "stick_fixture.h"

static void handshake_is_free_and_its_sid_sticks(void **state)
{
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	assert_int_equal(ask(&env, HANDSHAKE, ""), STICK_FREE);
	assert_true(env.stick.is_engineio && env.stick.is_handshake && !env.stick.has_sid);
	end(&env);
	learn(&env, 2, "abcAAAA");
	assert_int_equal(sessions(&env, 2), 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask_sid(&env, "abcAAAA"), STICK_TO);
		assert_ptr_equal(env.stick.server, pool_server(&env.pool, 2));
		assert_int_equal(env.stick.kind, STICK_ENGINEIO);
		assert_true(env.stick.is_own_session && env.stick.is_sid_known);
		assert_int_equal(env.stick.idle_ms, 45000);
		end(&env);
	}
	assert_int_equal(counted(&env, backend_sid_hits), 3);
	assert_int_equal(counted(&env, backend_sids_learned), 1);
	env_free(&env);
}

static void sid_is_found_wherever_it_stands(void **state)
{
	static const char *const lines[] = {
		"GET /socket.io/?sid=s%2F1",
		"POST /socket.io/?t=x&%73id=s/1&EIO=4",
		"OPTIONS /socket.io/?sid=other&sid=s%2f1",
		"GET /socket.io/anything?sid=s/1",
		"GET /socket.io?transport=websocket&sid=s/1",
	};
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	learn(&env, 3, "s/1");
	for (size_t i = 0; i < ARRAY_N(lines); i++) {
		assert_int_equal(ask(&env, lines[i], ""), STICK_TO);
		assert_ptr_equal(env.stick.server, pool_server(&env.pool, 3));
		end(&env);
	}
	assert_int_equal(ask(&env, "GET /other/?sid=s/1", ""), STICK_FREE);
	assert_false(env.stick.is_engineio || env.stick.has_sid);
	end(&env);
	assert_int_equal(ask(&env, "GET /socket.io/?sid=&SID=s/1&xsid=s/1", ""), STICK_FREE);
	assert_true(env.stick.is_handshake);
	end(&env);
	assert_int_equal(ask(&env, "OPTIONS /socket.io/?EIO=4", ""), STICK_FREE);
	assert_false(env.stick.is_handshake);
	end(&env);
	env_free(&env);
}

static void sid_of_a_dead_server_stays_dead(void **state)
{
	static const unsigned bits[] = { SERVER_DOWN, SERVER_MAINT, SERVER_GONE };

	(void)state;
	for (size_t i = 0; i < ARRAY_N(bits); i++) {
		struct env env;

		env_make(&env, ENGINEIO | IP, 4);
		learn(&env, 1, "x");
		server_set_state(pool_server(&env.pool, 1), bits[i], 0, "test");
		assert_int_equal(ask_sid(&env, "x"), STICK_DEAD);
		assert_false(env.stick.is_sid_known);
		end(&env);
		/* No other worker is asked, however often the client tries. */
		assert_int_equal(ask_sid(&env, "x"), STICK_DEAD);
		assert_true(env.stick.has_sid);
		end(&env);
		assert_int_equal(counted(&env, backend_sid_dead), 2);
		assert_int_equal(counted(&env, backend_sid_misses), 0);
		/* It was only away: its sessions go on. */
		server_set_state(pool_server(&env.pool, 1), 0, bits[i], "test");
		assert_int_equal(ask_sid(&env, "x"), STICK_TO);
		end(&env);
		assert_int_equal(sessions(&env, 1), 1);
		env_free(&env);
	}
}

static void sid_of_an_older_generation_is_dead(void **state)
{
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	learn(&env, 1, "x");
	learn(&env, 1, "y");
	server_new_generation(pool_server(&env.pool, 1));
	learn(&env, 1, "z");
	assert_int_equal(sessions(&env, 1), 1);
	assert_int_equal(ask_sid(&env, "x"), STICK_DEAD);
	end(&env);
	learn(&env, 1, "y"); /* the same sid, of the new process */
	assert_int_equal(sessions(&env, 1), 2);
	assert_int_equal(ask_sid(&env, "y"), STICK_TO);
	end(&env);
	env_free(&env);
}

static void sid_of_a_server_that_left_the_set_is_dead(void **state)
{
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 4);
	learn(&env, 3, "x");
	pool_set(&env.pool, NULL, 3);
	assert_int_equal(ask_sid(&env, "x"), STICK_DEAD);
	end(&env);
	env_free(&env);
}

static void drained_server_keeps_its_own_sessions_alone(void **state)
{
	struct env env;
	char cookie[200], fields[300];

	(void)state;
	env_make(&env, ENGINEIO | COOKIE, 3);
	learn(&env, 1, "x");
	ask(&env, "GET /", "");
	assert_true(stick_set_cookie(&env.stick, env.pool.set, pool_server(&env.pool, 1), cookie,
				     sizeof(cookie)) > 0);
	end(&env);
	snprintf(fields, sizeof(fields), "Cookie: a=b; %.*s\r\n", (int)strcspn(cookie, ";"),
		 cookie);
	server_set_state(pool_server(&env.pool, 1), SERVER_DRAIN, 0, "test");
	assert_int_equal(ask_sid(&env, "x"), STICK_TO);
	end(&env);
	assert_int_equal(ask(&env, HANDSHAKE, fields), STICK_FREE);
	assert_true(env.stick.has_valid_cookie);
	end(&env);
	assert_int_equal(ask(&env, "GET /page", fields), STICK_TO);
	assert_true(env.stick.is_own_session);
	end(&env);
	env_free(&env);
}

static void unknown_sid_is_rejected_when_the_rule_says_so(void **state)
{
	struct env env;
	char line[400] = "GET /socket.io/?sid=";

	(void)state;
	env_make(&env, ENGINEIO | IP | REJECT, 3);
	assert_int_equal(ask_sid(&env, "nobody"), STICK_UNKNOWN);
	end(&env);
	memset(line + strlen(line), 'q', 200); /* too long to be one that we know */
	assert_int_equal(ask(&env, line, ""), STICK_UNKNOWN);
	assert_true(env.stick.has_sid);
	end(&env);
	assert_int_equal(ask(&env, HANDSHAKE, ""), STICK_TO);
	assert_int_equal(env.stick.kind, STICK_IP);
	end(&env);
	env_free(&env);
}

static void entry_lives_while_a_request_runs_and_idle_ms_after(void **state)
{
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 2);
	learn(&env, 1, "x");
	assert_int_equal(ask_sid(&env, "x"), STICK_TO);
	clock_set_ms(START_MS + SEC(600));
	stick_expire();
	assert_int_equal(sessions(&env, 1), 1);
	end(&env);
	clock_set_ms(START_MS + SEC(644));
	assert_int_equal(ask_sid(&env, "x"), STICK_TO);
	end(&env);
	clock_set_ms(START_MS + SEC(644 + 47));
	stick_expire();
	assert_int_equal(sessions(&env, 1), 0);
	assert_int_equal(ask_sid(&env, "x"), STICK_FREE);
	end(&env);
	env_free(&env);
}

static void idle_time_comes_from_rule_or_handshake_or_default(void **state)
{
	static const struct {
		int64_t rule_ms;
		uint32_t told_ms, want_ms;
	} rows[] = { { 0, 30000, 30000 }, { 0, 0, 45000 }, { 7000, 30000, 7000 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct env env;

		env_make(&env, ENGINEIO, 2);
		env.rules[0].idle_ms = rows[i].rule_ms;
		ask(&env, HANDSHAKE, "");
		stick_learn_sid(&env.stick, &env.pool.backend, pool_server(&env.pool, 0), STR("x"),
				rows[i].told_ms);
		end(&env);
		ask_sid(&env, "x");
		assert_int_equal(env.stick.idle_ms, rows[i].want_ms);
		end(&env);
		env_free(&env);
	}
}

static void ended_session_is_forgotten(void **state)
{
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 2);
	learn(&env, 1, "x");
	assert_int_equal(ask_sid(&env, "x"), STICK_TO);
	stick_drop_sid(&env.stick, &env.pool.backend);
	stick_drop_sid(&env.stick, &env.pool.backend);
	end(&env);
	assert_int_equal(sessions(&env, 1), 0);
	assert_int_equal(ask_sid(&env, "x"), STICK_FREE);
	end(&env);
	env_free(&env);
}

static void live_sessions_are_counted_once(void **state)
{
	struct env env;
	uint32_t generation;

	(void)state;
	env_make(&env, ENGINEIO, 2);
	learn(&env, 0, "x");
	learn(&env, 0, "x"); /* told twice */
	assert_int_equal(sessions(&env, 0), 1);
	learn(&env, 1, "x"); /* small numbers collide: it is the other's now */
	assert_int_equal(sessions(&env, 0), 0);
	assert_int_equal(sessions(&env, 1), 1);
	stick_session_begin(pool_server(&env.pool, 0), &generation);
	assert_int_equal(sessions(&env, 0), 1);
	stick_session_end(pool_server(&env.pool, 0), generation);
	assert_int_equal(sessions(&env, 0), 0);
	stick_session_begin(pool_server(&env.pool, 0), &generation);
	server_new_generation(pool_server(&env.pool, 0));
	stick_session_end(pool_server(&env.pool, 0), generation);
	assert_int_equal(sessions(&env, 0), 0);
	env_free(&env);
}

static void handshake_under_way_is_weighed_until_it_is_learned_or_over(void **state)
{
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 2);
	ask(&env, HANDSHAKE, "");
	stick_chosen(&env.stick, &env.pool.backend, pool_server(&env.pool, 0), &env.client);
	assert_int_equal(lb_pending(pool_server(&env.pool, 0)), 1);
	stick_chosen(&env.stick, &env.pool.backend, pool_server(&env.pool, 1), &env.client);
	assert_int_equal(lb_pending(pool_server(&env.pool, 0)), 0);
	assert_int_equal(lb_pending(pool_server(&env.pool, 1)), 1);
	stick_learn_sid(&env.stick, &env.pool.backend, pool_server(&env.pool, 1), STR("x"), 0);
	assert_int_equal(lb_pending(pool_server(&env.pool, 1)), 0);
	end(&env);
	ask(&env, HANDSHAKE, "");
	stick_chosen(&env.stick, &env.pool.backend, pool_server(&env.pool, 1), &env.client);
	end(&env);
	assert_int_equal(lb_pending(pool_server(&env.pool, 1)), 0);
	env_free(&env);
}

static void tables_survive_a_reload(void **state)
{
	struct env env;

	(void)state;
	env_make(&env, ENGINEIO, 3);
	learn(&env, 2, "x");
	env.rules[0].max_entries = 5;
	stick_prepare(&env.pool.backend);
	pool_set(&env.pool, NULL, 3);
	assert_int_equal(ask_sid(&env, "x"), STICK_TO);
	end(&env);
	struct table_stats stats;

	table_stats(env.pool.backend.state->tables[STICK_ENGINEIO], &stats);
	assert_int_equal(stats.max_entries, 5);
	env_free(&env);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_is_free_and_its_sid_sticks),
		cmocka_unit_test(sid_is_found_wherever_it_stands),
		cmocka_unit_test(sid_of_a_dead_server_stays_dead),
		cmocka_unit_test(sid_of_an_older_generation_is_dead),
		cmocka_unit_test(sid_of_a_server_that_left_the_set_is_dead),
		cmocka_unit_test(drained_server_keeps_its_own_sessions_alone),
		cmocka_unit_test(unknown_sid_is_rejected_when_the_rule_says_so),
		cmocka_unit_test(entry_lives_while_a_request_runs_and_idle_ms_after),
		cmocka_unit_test(idle_time_comes_from_rule_or_handshake_or_default),
		cmocka_unit_test(ended_session_is_forgotten),
		cmocka_unit_test(live_sessions_are_counted_once),
		cmocka_unit_test(handshake_under_way_is_weighed_until_it_is_learned_or_over),
		cmocka_unit_test(tables_survive_a_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
