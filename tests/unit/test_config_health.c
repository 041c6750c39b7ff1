/* SPDX-License-Identifier: MIT */
/* Checks and agents in the configuration: forms, dump, mistakes.  Beside test_config.c. */
#include "config.h"

#include "model/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/server_tls.h"

#define FRONT "frontends: {web: {bind: \"192.0.2.1:80\", backend: b}}\n"
#define HOSTS "hosts: {h: \"10.0.0.1:1\"}"

static struct config *load(const char *text)
{
	struct config_messages messages;
	struct config *config = config_load_text("t", str_of(text), &messages);

	if (!config)
		fail_msg("%s\n%s", text, messages.n ? messages.texts[0] : "");
	config_messages_fini(&messages);
	return config;
}

static void assert_str(struct str have, const char *want)
{
	if (!str_eq(have, str_of(want)))
		fail_msg("'%.*s' is not '%s'", STR_ARG(have), want);
}

static void health_checks_come_in_all_their_forms(void **state unused_arg)
{
	static const struct {
		const char *text;
		enum check_kind kind;
		const char *path;
	} rows[] = {
		{ "none", CHECK_NONE, "" },
		{ "false", CHECK_NONE, "" },
		{ "tcp", CHECK_TCP, "" },
		{ "/healthz", CHECK_HTTP, "/healthz" },
		{ "{http: /h}", CHECK_HTTP, "/h" },
		{ "{tcp: true}", CHECK_TCP, "" },
		{ "{interval: 5s}", CHECK_TCP, "" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char text[256];
		struct config *config;
		const struct health_conf *health;

		snprintf(text, sizeof(text), FRONT "backends: {b: {health_check: %s, " HOSTS "}}\n",
			 rows[i].text);
		config = load(text);
		health = &config->backends[0].health;
		assert_int_equal(health->kind, rows[i].kind);
		assert_true(str_eq(health->path, str_of(rows[i].path)));
		assert_str(health->method, "GET");
		assert_int_equal(health->timeout_ms, 2000);
		assert_int_equal(health->fall, 3);
		assert_int_equal(health->rise, 2);
		assert_int_equal(health->statuses_n, 1);
		assert_int_equal(health->statuses[0].from, 200);
		assert_int_equal(health->statuses[0].to, 399);
		config_unref(config);
	}
}

static void texts_of_checks_are_bytes(void **state unused_arg)
{
	struct config *config =
		load(FRONT "backends: {b: {" HOSTS
			   ", health_check: {send: \"a\\r\\n\", expect: \"hex:00 fF0a\"},\n"
			   "  agent_check: {port: 7, send: \"hex:\"}}}\n");
	const struct backend *backend = &config->backends[0];

	assert_int_equal(backend->health.kind, CHECK_TCP);
	assert_str(backend->health.send, "a\r\n");
	assert_int_equal(backend->health.expect.bytes.len, 3);
	assert_memory_equal(backend->health.expect.bytes.p, "\0\xff\n", 3);
	assert_null(backend->health.expect.regex);
	assert_int_equal(backend->agent.port, 7);
	assert_int_equal(backend->agent.send.len, 0);
	assert_int_equal(backend->agent.interval_ms, 2000);
	config_unref(config);
}

static bool has_check_tls(struct backend *backend)
{
	struct srvset_spec spec = { .host = STR("h") };
	bool has_tls;

	backend->state = backend_state_get(backend->name);
	spec_take_tls(backend, NULL, &spec);
	has_tls = spec.check_tls != NULL;
	spec_drop_tls(&spec);
	return has_tls;
}

static void checks_go_over_tls_when_told_so(void **state unused_arg)
{
	static const struct {
		const char *text;
		bool has_tls;
	} rows[] = {
		{ "tls", true },
		{ "tcp", false },
		{ "{tcp: true, tls: true}", true },
		{ "{http: /, tls: {verify: false}}", true },
		{ "{http: /, tls: false}, tls: true", false },
		{ "{http: /}, tls: true", true }, /* auto: as traffic */
		{ "none, tls: true", false },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char text[256];
		struct config *config;

		snprintf(text, sizeof(text), FRONT "backends: {b: {" HOSTS ", health_check: %s}}\n",
			 rows[i].text);
		config = load(text);
		assert_int_equal(has_check_tls(&config->backends[0]), rows[i].has_tls);
		config_unref(config);
	}
}

static const char *const round_trips[] = {
	FRONT
	"backends:\n  b:\n    " HOSTS "\n"
	"    health_check: {http: /, method: HEAD, host: a.b, headers: {X-K: \"a b\", B: c},\n"
	"      tls: {verify: false, sni: x, min_version: \"1.3\"}, spread: 0, port: 80}\n"
	"    passive_check: {action: fast_check}\n    on_marked_down: close\n"
	"    agent_check: {port: 9, address: \"::1\", send: \"hex:00 ff\", interval: 1s}\n",
	FRONT "backends:\n  b:\n    hosts: {a: {address: \"10.0.0.1:1\", agent_port: 7}}\n"
	      "    health_check: {tcp: true, send: \"PING\\r\\n\", expect: \"~^\\\\+PONG\",\n"
	      "      tls: false, address: 127.0.0.1}\n",
	FRONT "backends:\n  b: {" HOSTS ", agent_check: 9999,\n"
	      "    health_check: {http: /, body: \"a|b$$\", tls: auto}}\n",
};

static void a_dump_loads_to_the_same_again(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(round_trips); i++) {
		struct config *first = load(round_trips[i]), *second;
		size_t len, again_len;
		char *text = config_dump(first, true, &len), *again;

		second = load(text);
		again = config_dump(second, true, &again_len);
		assert_string_equal(text, again);
		config_unref(first);
		config_unref(second);
		free(text);
		free(again);
	}
}

static void a_dump_has_every_key_of_a_check(void **state unused_arg)
{
	static const char *const wanted[] = {
		"method: HEAD",
		"headers: {X-K: \"a b\", B: c}",
		"sni: x",
		"port: 80",
		"spread: 0",
		"action: fast_check",
		"on_marked_down: close",
		"address: \"::1\"",
		"send: \"hex:00 ff\"",
	};
	struct config *config = load(round_trips[0]);
	size_t len;
	char *text = config_dump(config, true, &len);

	for (size_t i = 0; i < ARRAY_N(wanted); i++)
		if (!strstr(text, wanted[i]))
			fail_msg("no %s in\n%s", wanted[i], text);
	free(text);
	config_unref(config);
}

struct row {
	const char *text, *messages;
};

static void mistakes_are_told(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "health_check: {http: /, send: x}",
		  "t:4:19: 'send' and 'expect' are for tcp checks, not 'http'\n" },
		{ "health_check: {tcp: true, body: x}",
		  "t:4:19: 'body' and 'headers' need 'http'\n" },
		{ "health_check: {http: /, method: HEAD, body: x}",
		  "t:4:19: 'body': the answer to HEAD has none\n" },
		{ "health_check: {http: /, body: \"(\"}",
		  "t:4:35: '(' is not a regular expression: missing closing parenthesis (at "
		  "character 2)\n" },
		{ "health_check: {send: \"hex:0\"}",
		  "t:4:26: 'send': after 'hex:' come pairs of hexadecimal digits\n" },
		{ "health_check: {http: /, headers: {\"a b\": c}}",
		  "t:4:39: 'headers': 'a b' is not the name of a header field\n" },
		{ "health_check: {tcp: true, tls: {ca: /nonexistent}}",
		  "t:4:36: 'tls' of 'health_check': authorities cannot be read: No such file or "
		  "directory\n" },
		{ "health_check: {tcp: true, tls: maybe}",
		  "t:4:36: 'tls': expected true, false, auto or a mapping, got 'maybe'\n" },
		{ "agent_check: 0",
		  "t:4:18: 'agent_check': expected a port or a mapping, got '0'\n" },
		{ "passive_check: {action: fast_check}",
		  "t:3:3: backend 'b': 'passive_check.action: fast_check' needs a "
		  "'health_check'\n" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct config_messages messages;
		char *text =
			xasprintf(FRONT "backends:\n  b: \n    %s\n    " HOSTS "\n", rows[i].text);
		struct config *config = config_load_text("t", str_of(text), &messages);
		char *got = messages.n ? xasprintf("%s\n", messages.texts[0]) : xstrdup("");

		assert_null(config);
		assert_int_equal(messages.n, 1);
		if (strcmp(got, rows[i].messages) != 0)
			fail_msg("%s\ngave %snot  %s", text, got, rows[i].messages);
		free(got);
		free(text);
		config_messages_fini(&messages);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(health_checks_come_in_all_their_forms),
		cmocka_unit_test(texts_of_checks_are_bytes),
		cmocka_unit_test(checks_go_over_tls_when_told_so),
		cmocka_unit_test(a_dump_loads_to_the_same_again),
		cmocka_unit_test(a_dump_has_every_key_of_a_check),
		cmocka_unit_test(mistakes_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
