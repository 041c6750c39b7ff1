/* SPDX-License-Identifier: MIT */
/* A backend with stick rules, and requests to ask about. */
#ifndef STICK_FIXTURE_H
#define STICK_FIXTURE_H

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

static inline void add_rule(struct env *env, struct stick_rule rule)
{
	rule.max_entries = 1000;
	env->rules[env->pool.backend.sticks_n++] = rule;
}

static inline void env_make(struct env *env, unsigned what, uint32_t servers_count)
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

static inline void env_free(struct env *env)
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
static inline enum stick_result ask(struct env *env, const char *line, const char *fields)
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

static inline void end(struct env *env)
{
	stick_end(&env->stick, &env->pool.backend);
}

#define HANDSHAKE "GET /socket.io/?EIO=4&transport=polling"

static inline enum stick_result ask_sid(struct env *env, const char *sid)
{
	char line[300];

	snprintf(line, sizeof(line), "GET /socket.io/?EIO=4&transport=polling&sid=%s", sid);
	return ask(env, line, "");
}

/* A whole handshake to server I that gave SID. */
static inline void learn(struct env *env, uint32_t i, const char *sid)
{
	ask(env, HANDSHAKE, "");
	stick_chosen(&env->stick, &env->pool.backend, pool_server(&env->pool, i), &env->client);
	stick_learn_sid(&env->stick, &env->pool.backend, pool_server(&env->pool, i), str_of(sid),
			45000);
	end(env);
}

static inline unsigned sessions(const struct env *env, uint32_t i)
{
	return atomic_load(&pool_server(&env->pool, i)->sessions);
}

static inline uint64_t counted(const struct env *env, int which)
{
	return counters_sum(&env->pool.backend.state->counters, which);
}

#endif
