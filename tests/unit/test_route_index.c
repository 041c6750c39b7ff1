/* SPDX-License-Identifier: MIT */
/* The index finds what trying one route after another finds. */
#include "config.h"

#include "model/route_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"

static uint64_t random_state;

static unsigned up_to(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state % n);
}

static const char *pick(const char *const *words, unsigned n)
{
	return words[up_to(n)];
}
#define PICK(...)                                                                                  \
	pick((const char *const[]){ __VA_ARGS__ },                                                 \
	     sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static const char *random_pattern(void)
{
	return PICK("a.test", "b.test", "\"*.test\"", "\"*.b.test\"", "www.b.test", "\"!c.test\"",
		    "\"*\"", "A.B.test", "\"*.deep.a.b.test\"", "\"!*.b.test\"", "localhost",
		    "\"[::1]\"");
}

static int random_match(char *out, size_t size)
{
	const char *path = PICK("", ", path: /x", ", path_prefix: /y", ", path: [/x, /z]",
				", path: \"!/x\"", ", method: GET");

	if (up_to(8) == 0)
		return snprintf(out, size, "path: [/x, %s]", PICK("/y/1", "/z", "/w"));
	if (up_to(8) == 0)
		return snprintf(out, size, "path_prefix: %s", PICK("/x", "/y", "/w/w"));
	if (up_to(3) == 0)
		return snprintf(out, size, "sni: [%s, %s]%s", random_pattern(), random_pattern(),
				path);
	return snprintf(out, size, "host: [%s, %s]%s", random_pattern(), random_pattern(), path);
}

static struct config *random_routes(unsigned n)
{
	size_t size = 512 + n * 160, len;
	char *text = xmalloc(size);
	struct config_messages messages;
	struct config *config;

	len = (size_t)snprintf(text, size, "frontends:\n  f:\n    bind: \":1\"\n    routes:\n");
	for (unsigned i = 0; i < n; i++) {
		char match[128];

		random_match(match, sizeof(match));
		len += (size_t)snprintf(text + len, size - len,
					"      - {match: {%s}, respond: 204}\n", match);
	}
	config = config_load_text("t", (struct str){ text, len }, &messages);
	if (!config)
		fail_msg("%s in\n%s", messages.texts[0], text);
	config_messages_fini(&messages);
	free(text);
	return config;
}

static struct match_facts random_facts(struct http_head *head)
{
	static const struct ip_addr client = { .family = AF_INET, .ip = { 127, 0, 0, 1 } };
	static char longer[3][300]; /* than an indexed pattern may be */
	const char *host;

	for (int i = 0; i < 3; i++)
		snprintf(longer[i], sizeof(longer[i]), "%0*d%s", 248 + i, 0, ".b.test");
	host = PICK("a.test", "A.TEST", "a.test.", "b.test", "www.b.test", "x.www.B.test",
		    ".b.test", "c.test", "", "test", ".", "1.2.deep.a.b.test", "::1", "a.b.test.",
		    "localhost", "deep.a.b.test", longer[0], longer[1], longer[2]);
	const char *sni = PICK("a.test", "www.b.test", "x.test", "c.test");

	head->method = up_to(2) ? STR("GET") : STR("POST");
	return (struct match_facts){
		.head = head,
		.client = &client,
		.host = str_of(host),
		.sni = up_to(3) ? str_of(sni) : STR_NONE,
		.path = str_of(PICK("/x", "/x/1", "/y", "/y/1", "/z", "/", "/w/w/w")),
	};
}

static const struct route *find_one_by_one(const struct frontend *frontend,
					   const struct match_facts *facts)
{
	for (size_t i = 0; i < frontend->routes_n; i++)
		if (match_holds(frontend->routes[i].match, facts))
			return &frontend->routes[i];
	return NULL;
}

static void the_first_route_that_holds_is_found(void **state)
{
	unsigned found_n = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 150; seed++) {
		struct config *config;

		random_state = seed * 0x9e3779b97f4a7c15u;
		config = random_routes(ROUTE_INDEX_MIN + up_to(60));
		for (int i = 0; i < 200; i++) {
			struct http_head head = { .fields_n = 0 };
			struct match_facts facts = random_facts(&head);
			const struct route *want = find_one_by_one(config->frontends, &facts);

			if (route_find(config->frontends, &facts) != want)
				fail_msg("seed %llu: host '%.*s' path '%.*s'",
					 (unsigned long long)seed, STR_ARG(facts.host),
					 STR_ARG(facts.path));
			found_n += want != NULL;
		}
		config_unref(config);
	}
	assert_true(found_n > 10000);
}

static struct config *hosts(unsigned n, const char *first, const char *last)
{
	size_t size = 512 + n * 80, len;
	char *text = xmalloc(size);
	struct config_messages messages;
	struct config *config;

	len = (size_t)snprintf(text, size, "frontends:\n  f:\n    bind: \":1\"\n    routes:\n%s",
			       first);
	for (unsigned i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, size - len,
					"      - {match: {host: h%u.test}, respond: 204}\n", i);
	len += (size_t)snprintf(text + len, size - len, "%s", last);
	config = config_load_text("t", (struct str){ text, len }, &messages);
	assert_non_null(config);
	config_messages_fini(&messages);
	free(text);
	return config;
}

static size_t index_of(const struct config *config, const char *host)
{
	struct http_head head = { .method = STR("GET") };
	struct ip_addr client = { .family = AF_INET };
	struct match_facts facts = {
		.head = &head, .client = &client, .host = str_of(host), .path = STR("/")
	};
	const struct route *route = route_find(config->frontends, &facts);

	return route ? (size_t)(route - config->frontends->routes) : SIZE_MAX;
}

static void a_thousand_hosts_have_their_own_routes(void **state)
{
	struct config *config = hosts(1000, "", "");

	(void)state;
	assert_non_null(config->frontends->route_index);
	for (unsigned i = 0; i < 1000; i++) {
		char host[32];

		snprintf(host, sizeof(host), "H%u.test.", i);
		assert_int_equal(index_of(config, host), i);
	}
	assert_true(index_of(config, "h1000.test") == SIZE_MAX);
	assert_true(index_of(config, "") == SIZE_MAX);
	config_unref(config);
}

static void a_route_without_a_name_keeps_its_place(void **state)
{
	struct config *config =
		hosts(100, "      - {match: {host: h7.test, path: /no}, respond: 204}\n",
		      "      - {match: {path_prefix: /}, respond: 204}\n");

	(void)state;
	assert_int_equal(index_of(config, "h7.test"), 8);
	assert_int_equal(index_of(config, "else.test"), 101);
	config_unref(config);
	config = hosts(100, "      - {match: {path_prefix: /}, respond: 204}\n", "");
	assert_int_equal(index_of(config, "h7.test"), 0);
	config_unref(config);
}

static void a_name_that_no_pattern_can_have_is_not_looked_up(void **state)
{
	struct config *config = hosts(100, "", "      - {respond: 204}\n");
	char host[600];

	(void)state;
	memset(host, 'a', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	assert_int_equal(index_of(config, host), 100);
	memset(host, '.', sizeof(host) - 1);
	assert_int_equal(index_of(config, host), 100);
	host[255] = '\0';
	assert_int_equal(index_of(config, host), 100);
	config_unref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_route_that_holds_is_found),
		cmocka_unit_test(a_thousand_hosts_have_their_own_routes),
		cmocka_unit_test(a_route_without_a_name_keeps_its_place),
		cmocka_unit_test(a_name_that_no_pattern_can_have_is_not_looked_up),
	};

	return cmocka_run_group_tests_name("route_index", tests, NULL, NULL);
}
