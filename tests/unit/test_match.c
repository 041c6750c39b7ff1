/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "model/config.h"

/* A request in short. */
struct request {
	const char *method, *host, *path, *query;
	const char *fields; /* "name: value\n..." */
	const char *client; /* NULL = a Unix socket */
	const char *sni;
};

struct row {
	const char *match; /* the YAML mapping */
	struct request request;
	bool want;
};

static struct config *config_with(const char *match)
{
	struct config_messages messages;
	struct config *config;
	char *text = xasprintf(
		"frontends: {f: {bind: \":1\", routes: [{match: %s, respond: 204}]}}", match);

	config = config_load_text("t", str_of(text), &messages);
	if (!config)
		fail_msg("%s: %s", match, messages.texts[0]);
	config_messages_fini(&messages);
	free(text);
	return config;
}

static void head_fill(struct http_head *head, const struct request *request)
{
	struct str rest = str_of(request->fields);

	memset(head, 0, sizeof(*head));
	head->method = str_of(request->method ? request->method : "GET");
	head->query = str_of(request->query);
	for (size_t i = 0; i < HTTP_FIELD_N; i++)
		head->first[i] = -1;
	while (rest.len) {
		struct http_field *field = &head->fields[head->fields_n];
		const char *end = memchr(rest.p, '\n', rest.len);
		const char *colon = memchr(rest.p, ':', rest.len);

		if (!end)
			end = rest.p + rest.len;
		field->name = str_sub(rest.p, colon);
		field->value = str_trim(str_sub(colon + 1, end));
		if (str_ieq(field->name, STR("cookie"))) {
			field->id = FIELD_COOKIE;
			if (head->first[FIELD_COOKIE] < 0)
				head->first[FIELD_COOKIE] = (int16_t)head->fields_n;
		}
		head->fields_n++;
		rest = end == rest.p + rest.len ? STR("") : str_sub(end + 1, rest.p + rest.len);
	}
}

static bool holds(const struct match *match, const struct request *request)
{
	struct http_head *head = malloc(sizeof(*head));
	struct ip_addr client = { .family = AF_UNSPEC };
	struct match_facts facts = { .head = head,
				     .client = &client,
				     .host = str_of(request->host),
				     .path = str_of(request->path),
				     .sni = str_of(request->sni) };
	bool result;

	head_fill(head, request);
	if (request->client)
		assert_int_equal(ip_addr_parse(str_of(request->client), &client), 0);
	result = match_holds(match, &facts);
	free(head);
	return result;
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct config *config = config_with(rows[i].match);

		if (holds(config->frontends[0].routes[0].match, &rows[i].request) != rows[i].want)
			fail_msg("row %zu: %s: %s is wrong", i, rows[i].match,
				 rows[i].want ? "no" : "yes");
		config_unref(config);
	}
}

#define CHECK(rows) check_rows(rows, ARRAY_N(rows))

static void hosts_match_without_case_and_by_wildcard(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{host: a.example.com}", { .host = "A.Example.COM" }, true },
		{ "{host: A.Example.com}", { .host = "a.example.com" }, true },
		{ "{host: a.example.com}", { .host = "a.example.com." }, true },
		{ "{host: a.example.com}", { .host = "b.example.com" }, false },
		{ "{host: a.example.com}", { .host = "xa.example.com" }, false },
		{ "{host: \"*.example.com\"}", { .host = "a.b.EXAMPLE.com" }, true },
		{ "{host: \"*.example.com\"}", { .host = "example.com" }, false },
		{ "{host: \"*.example.com\"}", { .host = ".example.com" }, false },
		{ "{host: \"*.example.com\"}", { .host = "badexample.com" }, false },
		{ "{host: [a, b]}", { .host = "b" }, true },
		{ "{host: \"!a\"}", { .host = "b" }, true },
		{ "{host: \"!a\"}", { .host = "A" }, false },
		{ "{host: \"!a\"}", { .host = NULL }, true },
		{ "{host: [\"*.x\", \"!a.x\"]}", { .host = "b.x" }, true },
		{ "{host: [\"*.x\", \"!a.x\"]}", { .host = "a.x" }, false },
		{ "{host: [\"*.x\", \"!a.x\"]}", { .host = "y" }, false },
		{ "{host: \"*\"}", { .host = "y" }, true },
		{ "{host: \"*\"}", { .host = "" }, false },
		{ "{host: \"!*\"}", { .host = "" }, true },
		{ "{host: \"[::1]\"}", { .host = "::1" }, true },
		{ "{sni: a.example.com}", { .sni = "a.example.com" }, true },
		{ "{sni: a.example.com}", { .sni = NULL }, false },
		{ "{sni: \"!*\"}", { .sni = NULL }, true },
	};

	CHECK(rows);
}

static void paths_match_whole_by_segments_and_by_pattern(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{path: /old}", { .path = "/old" }, true },
		{ "{path: /old}", { .path = "/old/" }, false },
		{ "{path: /old}", { .path = "/Old" }, false },
		{ "{path: [/a, /b]}", { .path = "/b" }, true },
		{ "{path: \"!/a\"}", { .path = "/b" }, true },
		{ "{path: \"!/a\"}", { .path = "/a" }, false },
		{ "{path: \"!/a\"}", { .path = NULL }, true },
		{ "{path: /a}", { .path = NULL }, false },
		{ "{path_prefix: /private}", { .path = "/private" }, true },
		{ "{path_prefix: /private}", { .path = "/private/x" }, true },
		{ "{path_prefix: /private}", { .path = "/private/" }, true },
		{ "{path_prefix: /private}", { .path = "/privateer" }, false },
		{ "{path_prefix: /private/}", { .path = "/private/x" }, true },
		{ "{path_prefix: /private/}", { .path = "/private" }, false },
		{ "{path_prefix: /}", { .path = "/anything" }, true },
		{ "{path_prefix: [/a, \"!/a/b\"]}", { .path = "/a/c" }, true },
		{ "{path_prefix: [/a, \"!/a/b\"]}", { .path = "/a/b/c" }, false },
		{ "{path_prefix: [/a, \"!/a/b\"]}", { .path = "/c" }, false },
		{ "{path_regex: \"^/v([12])/users/[0-9]+$\"}", { .path = "/v1/users/7" }, true },
		{ "{path_regex: \"^/v([12])/users/[0-9]+$\"}", { .path = "/v3/users/7" }, false },
		{ "{path_regex: \"!^/v1\"}", { .path = "/v2" }, true },
		{ "{path_regex: \"!^/v1\"}", { .path = "/v1" }, false },
		{ "{path_regex: \"(a+)+$\"}",
		  { .path = "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaX" },
		  false },
	};

	CHECK(rows);
}

static void methods_match_exactly(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{method: [GET, HEAD]}", { .method = "HEAD" }, true },
		{ "{method: [GET, HEAD]}", { .method = "POST" }, false },
		{ "{method: GET}", { .method = "get" }, false },
		{ "{method: [\"!GET\", \"!HEAD\"]}", { .method = "POST" }, true },
		{ "{method: [\"!GET\", \"!HEAD\"]}", { .method = "HEAD" }, false },
	};

	CHECK(rows);
}

static void sources_match_by_network(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{source: 10.0.0.0/8}", { .client = "10.1.2.3" }, true },
		{ "{source: 10.0.0.0/8}", { .client = "11.1.2.3" }, false },
		{ "{source: 10.0.0.0/8}", { .client = "::ffff:10.1.2.3" }, true },
		{ "{source: \"2001:db8::/32\"}", { .client = "2001:db8::1" }, true },
		{ "{source: \"!10.0.0.0/8\"}", { .client = "10.1.2.3" }, false },
		{ "{source: \"!10.0.0.0/8\"}", { .client = "192.0.2.1" }, true },
		{ "{source: \"!10.0.0.0/8\"}", { .client = NULL }, true },
		{ "{source: 0.0.0.0/0}", { .client = NULL }, false },
		{ "{source: [10.0.0.0/8, \"!10.1.0.0/16\"]}", { .client = "10.2.0.1" }, true },
		{ "{source: [10.0.0.0/8, \"!10.1.0.0/16\"]}", { .client = "10.1.0.1" }, false },
		{ "{source: \"*\"}", { .client = "::1" }, true },
		{ "{source: \"*\"}", { .client = NULL }, false },
	};

	CHECK(rows);
}

static void headers_match_by_any_of_their_fields(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{header: {x-canary: \"1\"}}", { .fields = "X-Canary: 1" }, true },
		{ "{header: {x-canary: \"1\"}}", { .fields = "x-canary: 2" }, false },
		{ "{header: {x-canary: \"1\"}}", { .fields = "a: b" }, false },
		{ "{header: {x-canary: \"1\"}}", { .fields = "x-canary: 2\nx-canary: 1" }, true },
		{ "{header: {x: V}}", { .fields = "x: v" }, false },
		{ "{header: {x: [a, b]}}", { .fields = "x: b" }, true },
		{ "{header: {x: \"*\"}}", { .fields = "x:" }, true },
		{ "{header: {x: \"*\"}}", { .fields = "y: 1" }, false },
		{ "{header: {x: \"!*\"}}", { .fields = "y: 1" }, true },
		{ "{header: {x: \"!*\"}}", { .fields = "x: 1" }, false },
		{ "{header: {x: \"!a\"}}", { .fields = "y: 1" }, true },
		{ "{header: {x: \"!a\"}}", { .fields = "x: b\nx: a" }, false },
		{ "{header: {x: [\"*\", \"!a\"]}}", { .fields = "x: b" }, true },
		{ "{header: {x: [\"*\", \"!a\"]}}", { .fields = "x: a" }, false },
		{ "{header: {x: [\"*\", \"!a\"]}}", { .fields = "y: a" }, false },
		{ "{header: {x: \"\"}}", { .fields = "x:" }, true },
		{ "{header: {x: \"\"}}", { .fields = "x: 1" }, false },
		{ "{header: {x: \"~^[0-9]+$\"}}", { .fields = "x: 123" }, true },
		{ "{header: {x: \"~^[0-9]+$\"}}", { .fields = "x: a" }, false },
		{ "{header: {x: \"!~^[0-9]+$\"}}", { .fields = "x: a" }, true },
		{ "{header: {x: \"1\", y: \"2\"}}", { .fields = "x: 1\ny: 2" }, true },
		{ "{header: {x: \"1\", y: \"2\"}}", { .fields = "x: 1\ny: 3" }, false },
	};

	CHECK(rows);
}

static void query_keys_and_values_match_decoded(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{query: {k: v}}", { .query = "a=b&k=v" }, true },
		{ "{query: {k: v}}", { .query = "xk=v" }, false },
		{ "{query: {k: v}}", { .query = "%6b=%76" }, true },
		{ "{query: {k: \"a b\"}}", { .query = "k=a+b" }, true },
		{ "{query: {k: \"a b\"}}", { .query = "k=a%20b" }, true },
		{ "{query: {k: v}}", { .query = "k=w&k=v" }, true },
		{ "{query: {k: \"!v\"}}", { .query = "k=w&k=%76" }, false },
		{ "{query: {k: \"!v\"}}", { .query = NULL }, true },
		{ "{query: {k: \"*\"}}", { .query = "k" }, true },
		{ "{query: {k: \"*\"}}", { .query = "k=" }, true },
		{ "{query: {k: \"\"}}", { .query = "k" }, true },
		{ "{query: {k: \"!*\"}}", { .query = "j=1" }, true },
		{ "{query: {k: \"~^1+$\"}}", { .query = "k=%31%31" }, true },
	};

	CHECK(rows);
}

static void cookies_match_by_exact_name(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{cookie: {c: v}}", { .fields = "Cookie: a=b; c=v" }, true },
		{ "{cookie: {c: v}}", { .fields = "Cookie: C=v" }, false },
		{ "{cookie: {c: v}}", { .fields = "x: 1\nCookie: a=b\nCookie: c=v" }, true },
		{ "{cookie: {c: v}}", { .fields = "x: 1" }, false },
		{ "{cookie: {c: \"!*\"}}", { .fields = "x: 1" }, true },
		{ "{cookie: {c: \"!*\"}}", { .fields = "Cookie: c=1" }, false },
		{ "{cookie: {c: \"~^s%3a\"}}", { .fields = "Cookie: c=s%3axyz" }, true },
	};

	CHECK(rows);
}

static void all_keys_must_hold(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{host: h, path: /p, method: GET}", { .host = "h", .path = "/p" }, true },
		{ "{host: h, path: /p, method: GET}", { .host = "h", .path = "/q" }, false },
		{ "{host: h, path: /p, method: GET}", { .host = "i", .path = "/p" }, false },
		{ "{host: h, path: /p, method: GET}",
		  { .host = "h", .path = "/p", .method = "PUT" },
		  false },
		{ "{path_prefix: /admin, source: [\"!127.0.0.2/32\"]}",
		  { .path = "/admin/x", .client = "127.0.0.1" },
		  true },
		{ "{path_prefix: /admin, source: [\"!127.0.0.2/32\"]}",
		  { .path = "/admin/x", .client = "127.0.0.2" },
		  false },
	};

	CHECK(rows);
}

/* What a TLS connection, or its first bytes, tell. */
static bool holds_of_connection(const char *match, const struct match_facts *facts)
{
	struct config *config = config_with(match);
	bool result = match_holds(config->frontends[0].routes[0].match, facts);

	config_unref(config);
	return result;
}

static void protocols_offered_match_by_any_of_a_list(void **state unused_arg)
{
	struct match_facts facts = { .alpn = STR("\2h2\x08http/1.1"), .is_alpn_list = true };

	assert_true(holds_of_connection("{alpn: h2}", &facts));
	assert_true(holds_of_connection("{alpn: [x, http/1.1]}", &facts));
	assert_true(holds_of_connection("{alpn: \"~^http\"}", &facts));
	assert_false(holds_of_connection("{alpn: h2x}", &facts));
	assert_false(holds_of_connection("{alpn: \"!h2\"}", &facts));
	assert_true(holds_of_connection("{alpn: \"!h3\"}", &facts));
	facts = (struct match_facts){ .alpn = STR("h2") };
	assert_true(holds_of_connection("{alpn: h2}", &facts));
	assert_false(holds_of_connection("{alpn: http/1.1}", &facts));
	facts.alpn = STR_NONE;
	assert_false(holds_of_connection("{alpn: \"*\"}", &facts));
	assert_true(holds_of_connection("{alpn: \"!h2\"}", &facts));
}

static void a_connection_without_a_request_matches_without_harm(void **state unused_arg)
{
	static const char *const keys[] = { "method: GET",       "host: a",
					    "path: /a",          "path_prefix: /a",
					    "path_regex: a",     "header: {a: \"*\"}",
					    "query: {a: \"*\"}", "cookie: {a: \"*\"}" };
	static const char *const negated[] = { "method: \"!GET\"",   "host: \"!a\"",
					       "path: \"!/a\"",      "path_prefix: \"!/a\"",
					       "path_regex: \"!a\"", "header: {a: \"!*\"}",
					       "query: {a: \"!*\"}", "cookie: {a: \"!*\"}" };
	struct ip_addr client = { .family = AF_UNSPEC };
	struct match_facts facts = { .client = &client };

	for (size_t i = 0; i < ARRAY_N(keys); i++) {
		char *text = xasprintf("{%s}", keys[i]);

		assert_false(holds_of_connection(text, &facts));
		free(text);
		text = xasprintf("{%s}", negated[i]);
		assert_true(holds_of_connection(text, &facts));
		free(text);
	}
	facts.protocol = STR("tls");
	assert_true(holds_of_connection("{protocol: [http, tls]}", &facts));
	assert_false(holds_of_connection("{protocol: \"!tls\"}", &facts));
}

static void a_match_tells_what_of_the_first_bytes_it_looks_at(void **state unused_arg)
{
	static const struct {
		const char *match;
		enum match_looks looks;
	} looking[] = {
		{ "{source: 10.0.0.0/8}", MATCH_LOOKS_AT_NOTHING },
		{ "{protocol: tls}", MATCH_LOOKS_AT_PROTOCOL },
		{ "{source: 10.0.0.0/8, protocol: \"!tls\"}", MATCH_LOOKS_AT_PROTOCOL },
		{ "{sni: a.example}", MATCH_LOOKS_AT_HELLO },
		{ "{alpn: h2}", MATCH_LOOKS_AT_HELLO },
		{ "{protocol: tls, alpn: \"!h2\"}", MATCH_LOOKS_AT_HELLO },
	};

	for (size_t i = 0; i < ARRAY_N(looking); i++) {
		struct config *config = config_with(looking[i].match);

		assert_int_equal(match_looks_at(config->frontends[0].routes[0].match),
				 looking[i].looks);
		config_unref(config);
	}
}

static void a_route_without_a_match_always_applies(void **state unused_arg)
{
	struct config *config = config_with("{}");
	const struct request request = { .path = "/" };

	assert_null(config->frontends[0].routes[0].match);
	assert_true(holds(NULL, &request));
	config_unref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_match_without_case_and_by_wildcard),
		cmocka_unit_test(paths_match_whole_by_segments_and_by_pattern),
		cmocka_unit_test(methods_match_exactly),
		cmocka_unit_test(sources_match_by_network),
		cmocka_unit_test(headers_match_by_any_of_their_fields),
		cmocka_unit_test(query_keys_and_values_match_decoded),
		cmocka_unit_test(cookies_match_by_exact_name),
		cmocka_unit_test(all_keys_must_hold),
		cmocka_unit_test(protocols_offered_match_by_any_of_a_list),
		cmocka_unit_test(a_connection_without_a_request_matches_without_harm),
		cmocka_unit_test(a_match_tells_what_of_the_first_bytes_it_looks_at),
		cmocka_unit_test(a_route_without_a_match_always_applies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
