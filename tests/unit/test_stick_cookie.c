/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "stick_fixture.h"

static void cookie_is_given_once_and_leads_back(void **state)
{
	struct env env;
	char cookie[200], again[200], fields[400];

	(void)state;
	env_make(&env, COOKIE, 5);
	for (uint32_t i = 0; i < 5; i++) {
		ask(&env, "GET /", "");
		size_t n = stick_set_cookie(&env.stick, env.pool.set, pool_server(&env.pool, i),
					    cookie, sizeof(cookie));
		end(&env);
		assert_int_equal(n, strlen("LIMPET=; Path=/") + 24);
		assert_null(strstr(cookie, "h0"));
		snprintf(fields, sizeof(fields),
			 "Cookie: LIMPET=forged\r\nX: y\r\nCookie: a=b;  %.*s\r\n",
			 (int)strcspn(cookie, ";"), cookie);
		assert_int_equal(ask(&env, "GET /", fields), STICK_TO);
		assert_ptr_equal(env.stick.server, pool_server(&env.pool, i));
		assert_int_equal(env.stick.kind, STICK_COOKIE_INSERT);
		assert_int_equal(stick_set_cookie(&env.stick, env.pool.set,
						  pool_server(&env.pool, i), again, sizeof(again)),
				 0);
		assert_true(stick_set_cookie(&env.stick, env.pool.set,
					     pool_server(&env.pool, (i + 1) % 5), again,
					     sizeof(again)) > 0);
		assert_string_not_equal(cookie, again);
		end(&env);
	}
	assert_int_equal(counted(&env, backend_cookie_hits), 5);
	env_free(&env);
}

static void forged_or_stale_cookies_are_ignored(void **state)
{
	static const char *const values[] = {
		"", "h0/w", "0", "AAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAA", "\"x\""
	};
	struct env env;
	char fields[200];

	(void)state;
	env_make(&env, COOKIE, 5);
	for (size_t i = 0; i < ARRAY_N(values); i++) {
		snprintf(fields, sizeof(fields), "Cookie: LIMPET=%s\r\n", values[i]);
		assert_int_equal(ask(&env, "GET /", fields), STICK_FREE);
		assert_false(env.stick.has_valid_cookie);
		end(&env);
	}
	env_free(&env);
}

static void cookie_of_a_server_that_is_down_is_replaced(void **state)
{
	struct env env;
	char cookie[200], fields[300];

	(void)state;
	env_make(&env, COOKIE, 2);
	ask(&env, "GET /", "");
	stick_set_cookie(&env.stick, env.pool.set, pool_server(&env.pool, 0), cookie,
			 sizeof(cookie));
	end(&env);
	snprintf(fields, sizeof(fields), "Cookie: %.*s\r\n", (int)strcspn(cookie, ";"), cookie);
	server_set_state(pool_server(&env.pool, 0), SERVER_DOWN, 0, "test");
	assert_int_equal(ask(&env, "GET /", fields), STICK_FREE);
	assert_true(stick_set_cookie(&env.stick, env.pool.set, pool_server(&env.pool, 1), cookie,
				     sizeof(cookie)) > 0);
	end(&env);
	env_free(&env);
}

static void cookie_attributes_are_written(void **state)
{
	struct env env;
	char cookie[300], tail[300];

	(void)state;
	env_make(&env, COOKIE, 1);
	env.rules[0].cookie_path = STR("/chat");
	env.rules[0].domain = STR("example.com");
	env.rules[0].max_age_s = 3600;
	env.rules[0].is_http_only = env.rules[0].is_secure = true;
	env.rules[0].same_site = SAME_SITE_NONE;
	ask(&env, "GET /", "");
	size_t n = stick_set_cookie(&env.stick, env.pool.set, pool_server(&env.pool, 0), cookie,
				    sizeof(cookie));
	assert_int_equal(n, strlen(cookie));
	snprintf(tail, sizeof(tail), "%s", strchr(cookie, ';'));
	assert_string_equal(tail, "; Path=/chat; Domain=example.com; Max-Age=3600; HttpOnly; Secure"
				  "; SameSite=None");
	for (size_t size = 0; size <= n; size++) /* never cut short */
		assert_int_equal(stick_set_cookie(&env.stick, env.pool.set,
						  pool_server(&env.pool, 0), cookie, size),
				 0);
	end(&env);
	env_free(&env);
}

static void tokens_depend_on_secret_backend_and_server(void **state)
{
	struct env a, b;

	(void)state;
	env_make(&a, COOKIE, 2);
	env_make(&b, COOKIE, 2);
	assert_string_not_equal(a.pool.set->members[0].cookie, a.pool.set->members[1].cookie);
	assert_string_not_equal(a.pool.set->members[0].cookie, b.pool.set->members[0].cookie);
	char old[28];

	memcpy(old, a.pool.set->members[0].cookie, sizeof(old));
	pool_set(&a.pool, NULL, 2);
	assert_string_equal(old, a.pool.set->members[0].cookie); /* the same after a reload */
	a.rules[0].secret = STR("other");
	pool_set(&a.pool, NULL, 2);
	assert_string_not_equal(old, a.pool.set->members[0].cookie);
	env_free(&a);
	env_free(&b);
}

static void known_sid_wins_over_a_cookie_listed_before_it(void **state)
{
	struct env env;
	char cookie[200], fields[300];

	(void)state;
	env_make(&env, COOKIE_FIRST | ENGINEIO, 3);
	learn(&env, 2, "x");
	ask(&env, "GET /", "");
	stick_set_cookie(&env.stick, env.pool.set, pool_server(&env.pool, 0), cookie,
			 sizeof(cookie));
	end(&env);
	snprintf(fields, sizeof(fields), "Cookie: %.*s\r\n", (int)strcspn(cookie, ";"), cookie);
	assert_int_equal(ask(&env, "GET /socket.io/?sid=x", fields), STICK_TO);
	assert_ptr_equal(env.stick.server, pool_server(&env.pool, 2));
	end(&env);
	assert_int_equal(ask(&env, HANDSHAKE, fields), STICK_TO);
	assert_ptr_equal(env.stick.server, pool_server(&env.pool, 0));
	end(&env);
	env_free(&env);
}

static void app_cookie_is_learned_from_the_response(void **state)
{
	struct env env;
	char fields[600], value[301];
	const char *const values[] = { "s%3Aabc.def", value };

	(void)state;
	memset(value, 'v', 300); /* too long for a key: hashed */
	value[300] = '\0';
	env_make(&env, LEARN, 4);
	for (uint32_t i = 0; i < 2; i++) {
		snprintf(fields, sizeof(fields), "connect.sid=%s; Path=/; HttpOnly", values[i]);
		assert_int_equal(ask(&env, "GET /login", ""), STICK_FREE);
		stick_learn_set_cookie(&env.stick, &env.pool.backend, pool_server(&env.pool, i + 1),
				       str_of(fields));
		stick_learn_set_cookie(&env.stick, &env.pool.backend, pool_server(&env.pool, 0),
				       STR("other=x"));
		end(&env);
		snprintf(fields, sizeof(fields), "Cookie: q=1; connect.sid=%s\r\n", values[i]);
		assert_int_equal(ask(&env, "GET /", fields), STICK_TO);
		assert_ptr_equal(env.stick.server, pool_server(&env.pool, i + 1));
		assert_int_equal(env.stick.kind, STICK_COOKIE_LEARN);
		end(&env);
	}
	ask(&env, "GET /logout", fields);
	stick_learn_set_cookie(&env.stick, &env.pool.backend, pool_server(&env.pool, 2),
			       STR("connect.sid=; Max-Age=0"));
	end(&env);
	assert_int_equal(ask(&env, "GET /", fields), STICK_FREE);
	end(&env);
	env_free(&env);
}

static void unknown_app_cookie_sticks_to_the_server_chosen(void **state)
{
	static const char fields[] = "Cookie: connect.sid=abc\r\n";
	struct env env;

	(void)state;
	env_make(&env, LEARN, 4);
	assert_int_equal(ask(&env, "GET /", fields), STICK_FREE);
	stick_chosen(&env.stick, &env.pool.backend, pool_server(&env.pool, 3), &env.client);
	end(&env);
	for (int s = 0; s < 300; s += 50) { /* refreshed by use */
		clock_set_ms(START_MS + SEC(s));
		assert_int_equal(ask(&env, "GET /", fields), STICK_TO);
		assert_ptr_equal(env.stick.server, pool_server(&env.pool, 3));
		end(&env);
	}
	server_set_state(pool_server(&env.pool, 3), SERVER_DOWN, 0, "test");
	assert_int_equal(ask(&env, "GET /", fields), STICK_FREE);
	stick_chosen(&env.stick, &env.pool.backend, pool_server(&env.pool, 1), &env.client);
	end(&env);
	assert_int_equal(ask(&env, "GET /", fields), STICK_TO);
	assert_ptr_equal(env.stick.server, pool_server(&env.pool, 1));
	end(&env);
	env_free(&env);
}

static void address_sticks_by_hash_and_moves_only_when_it_must(void **state)
{
	struct env env;
	struct server *server;

	(void)state;
	env_make(&env, IP, 5);
	assert_int_equal(ask(&env, "GET /", ""), STICK_TO);
	server = env.stick.server;
	assert_int_equal(env.stick.kind, STICK_IP);
	assert_false(env.stick.is_own_session);
	end(&env);
	env.client.port = 4711;
	assert_int_equal(ask(&env, "GET /x", ""), STICK_TO);
	assert_ptr_equal(env.stick.server, server);
	end(&env);
	server_set_state(server, SERVER_DRAIN, 0, "test");
	assert_int_equal(ask(&env, "GET /", ""), STICK_TO);
	assert_ptr_not_equal(env.stick.server, server);
	end(&env);
	env.client = (struct ip_addr){ .family = AF_UNSPEC };
	assert_int_equal(ask(&env, "GET /", ""), STICK_FREE);
	end(&env);
	env_free(&env);
}

static void address_sticks_in_tcp_mode(void **state)
{
	struct env env;
	struct stick_facts facts;

	(void)state;
	env_make(&env, IP_REMEMBER, 5);
	facts = (struct stick_facts){ &env.pool.backend, env.pool.set, NULL, &env.client };
	stick_ask(&env.stick, &facts);
	assert_int_equal(env.stick.result, STICK_TO);
	assert_false(env.stick.is_engineio);
	end(&env);
	env_free(&env);
}

static void remembered_address_stays_when_servers_come(void **state)
{
	struct env env;
	struct server *servers[50];

	(void)state;
	env_make(&env, IP_REMEMBER, 2);
	for (int turn = 0; turn < 2; turn++) {
		for (unsigned i = 0; i < 50; i++) {
			env.client.ip[3] = (uint8_t)i;
			assert_int_equal(ask(&env, "GET /", ""), STICK_TO);
			if (turn)
				assert_ptr_equal(env.stick.server, servers[i]);
			servers[i] = env.stick.server;
			stick_chosen(&env.stick, &env.pool.backend, servers[i], &env.client);
			end(&env);
		}
		pool_set(&env.pool, NULL, 5);
	}
	server_set_state(servers[0], SERVER_DOWN, 0, "test");
	env.client.ip[3] = 0;
	assert_int_equal(ask(&env, "GET /", ""), STICK_TO);
	assert_ptr_not_equal(env.stick.server, servers[0]);
	end(&env);
	env_free(&env);
}

/* Redispatched: what was remembered of the first server is replaced. */
static void redispatch_is_remembered(void **state)
{
	struct env env;

	(void)state;
	env_make(&env, IP_REMEMBER, 5);
	ask(&env, "GET /", "");
	stick_chosen(&env.stick, &env.pool.backend, pool_server(&env.pool, 1), &env.client);
	stick_chosen(&env.stick, &env.pool.backend, pool_server(&env.pool, 4), &env.client);
	end(&env);
	assert_int_equal(ask(&env, "GET /", ""), STICK_TO);
	assert_ptr_equal(env.stick.server, pool_server(&env.pool, 4));
	end(&env);
	env_free(&env);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cookie_is_given_once_and_leads_back),
		cmocka_unit_test(forged_or_stale_cookies_are_ignored),
		cmocka_unit_test(cookie_of_a_server_that_is_down_is_replaced),
		cmocka_unit_test(cookie_attributes_are_written),
		cmocka_unit_test(tokens_depend_on_secret_backend_and_server),
		cmocka_unit_test(known_sid_wins_over_a_cookie_listed_before_it),
		cmocka_unit_test(app_cookie_is_learned_from_the_response),
		cmocka_unit_test(unknown_app_cookie_sticks_to_the_server_chosen),
		cmocka_unit_test(address_sticks_by_hash_and_moves_only_when_it_must),
		cmocka_unit_test(address_sticks_in_tcp_mode),
		cmocka_unit_test(remembered_address_stays_when_servers_come),
		cmocka_unit_test(redispatch_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
