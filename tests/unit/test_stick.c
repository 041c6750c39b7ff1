/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/stick.h"
#include "balance_fixture.h"
#include "base/clock.h"

#define START_MS SEC(1000)

static const struct http1_limits limits = { .target_size_max = 8192, .head_size_max = 16384 };

enum {
	ENGINEIO = 1,
	COOKIE = 2,
	LEARN = 4,
	IP = 8,
	IP_REMEMBER = 16,
	REJECT = 32,
	COOKIE_FIRST = 64
};

struct env {
	struct pool pool;
	struct stick_rule rules[4];
	struct stick stick;
	struct http_head head;
	struct ip_addr client;
	char text[1024];
};

static void add_rule(struct env *env, struct stick_rule rule)
{
	rule.max_entries = 1000;
	env->rules[env->pool.backend.sticks_n++] = rule;
}

static void env_make(struct env *env, unsigned what, uint32_t servers_count)
{
	const struct stick_rule cookie = { .kind = STICK_COOKIE_INSERT,
					   .cookie_name = STR("LIMPET"),
					   .secret = STR("hush"),
					   .cookie_path = STR("/"),
					   .max_age_s = -1 };

	clock_set_ms(START_MS);
	memset(env, 0, sizeof(*env));
	if (what & COOKIE_FIRST)
		add_rule(env, cookie);
	if (what & ENGINEIO)
		add_rule(env, (struct stick_rule){ .kind = STICK_ENGINEIO,
						   .path = STR("/socket.io/"),
						   .is_unknown_rejected = what & REJECT });
	if (what & COOKIE)
		add_rule(env, cookie);
	if (what & LEARN)
		add_rule(env, (struct stick_rule){ .kind = STICK_COOKIE_LEARN,
						   .cookie_name = STR("connect.sid"),
						   .learn_idle_ms = SEC(60) });
	if (what & (IP | IP_REMEMBER))
		add_rule(env,
			 (struct stick_rule){ .kind = STICK_IP,
					      .prefix_v4 = 32,
					      .prefix_v6 = 64,
					      .remember_ms = what & IP_REMEMBER ? SEC(60) : 0 });
	/* pool_make() clears: rules first into a copy. */
	size_t n = env->pool.backend.sticks_n;
	static unsigned serial;

	env->pool.backend = (struct backend){ .balance = BALANCE_LEAST_SESSIONS,
					      .sticks = env->rules,
					      .sticks_n = n };
	snprintf(env->pool.name, sizeof(env->pool.name), "stick-%u", serial++);
	env->pool.backend.name = str_of(env->pool.name);
	env->pool.backend.state = backend_state_get(env->pool.backend.name);
	stick_prepare(&env->pool.backend);
	pool_set(&env->pool, NULL, servers_count);
	assert_int_equal(ip_addr_parse(STR("10.0.0.1"), &env->client), 0);
}

static void env_free(struct env *env)
{
	for (int kind = 0; kind < STICK_N; kind++) {
		struct table *table = env->pool.backend.state->tables[kind];

		env->pool.backend.state->tables[kind] = NULL;
		if (!table)
			continue;
		assert_true(table_is_sane(table));
		free((void *)(uintptr_t)table_name(table));
		table_free(table);
	}
	pool_free(&env->pool);
}

/* Asks for a request with these lines; the stick is to be ended. */
static enum stick_result ask(struct env *env, const char *line, const char *fields)
{
	struct stick_facts facts = { .backend = &env->pool.backend,
				     .set = env->pool.set,
				     .head = &env->head,
				     .client = &env->client };
	const char *why = NULL;
	int n = snprintf(env->text, sizeof(env->text), "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line,
			 fields);

	assert_int_equal(http1_parse_request(env->text, (size_t)n, 0, &limits, &env->head, &why),
			 PARSE_DONE);
	stick_ask(&env->stick, &facts);
	assert_true(env->stick.result != STICK_TO || env->stick.server);
	return env->stick.result;
}

static void end(struct env *env)
{
	stick_end(&env->stick, &env->pool.backend);
}

#define HANDSHAKE "GET /socket.io/?EIO=4&transport=polling"

static enum stick_result ask_sid(struct env *env, const char *sid)
{
	char line[300];

	snprintf(line, sizeof(line), "GET /socket.io/?EIO=4&transport=polling&sid=%s", sid);
	return ask(env, line, "");
}

/* A whole handshake to server I that gave SID. */
static void learn(struct env *env, uint32_t i, const char *sid)
{
	ask(env, HANDSHAKE, "");
	stick_chosen(&env->stick, &env->pool.backend, pool_server(&env->pool, i), &env->client);
	stick_learn_sid(&env->stick, &env->pool.backend, pool_server(&env->pool, i), str_of(sid),
			45000);
	end(env);
}

static unsigned sessions(const struct env *env, uint32_t i)
{
	return atomic_load(&pool_server(&env->pool, i)->sessions);
}

static uint64_t counted(const struct env *env, int which)
{
	return counters_sum(&env->pool.backend.state->counters, which);
}

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

static void sid_of_a_dead_server_is_dead_once_then_unknown(void **state)
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
		assert_int_equal(sessions(&env, 1), 0);
		assert_int_equal(ask_sid(&env, "x"), STICK_TO); /* by ip: unknown is forwarded */
		assert_int_equal(env.stick.kind, STICK_IP);
		assert_true(env.stick.has_sid);
		end(&env);
		assert_int_equal(counted(&env, backend_sid_dead), 1);
		assert_int_equal(counted(&env, backend_sid_misses), 1);
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
		cmocka_unit_test(sid_of_a_dead_server_is_dead_once_then_unknown),
		cmocka_unit_test(sid_of_an_older_generation_is_dead),
		cmocka_unit_test(sid_of_a_server_that_left_the_set_is_dead),
		cmocka_unit_test(drained_server_keeps_its_own_sessions_alone),
		cmocka_unit_test(unknown_sid_is_rejected_when_the_rule_says_so),
		cmocka_unit_test(entry_lives_while_a_request_runs_and_idle_ms_after),
		cmocka_unit_test(idle_time_comes_from_rule_or_handshake_or_default),
		cmocka_unit_test(ended_session_is_forgotten),
		cmocka_unit_test(live_sessions_are_counted_once),
		cmocka_unit_test(handshake_under_way_is_weighed_until_it_is_learned_or_over),
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
		cmocka_unit_test(tables_survive_a_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
