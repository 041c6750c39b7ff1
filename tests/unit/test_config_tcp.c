/* SPDX-License-Identifier: MIT */
/*
 * What mode tcp may say in its routes, and the values that came with it and with TLS to clients:
 * protocols, fingerprints, rates, HSTS.
 */
#include "config.h"

#include "model/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/load.h"
#include "model/match.h"

#define BACKEND "backends: {b: {mode: tcp, hosts: {h: \"10.0.0.1:1\"}}}\n"

static int setup(void **state unused_arg)
{
	load_tls_server = NULL; /* no certificates are read */
	return 0;
}

/* Loads TEXT; its messages, one a line, are put into GOT.  NULL when there was an error. */
static struct config *load(const char *text, char *got, size_t size)
{
	struct config_messages messages;
	struct config *config = config_load_text("t", str_of(text), &messages);
	size_t used = 0;

	got[0] = '\0';
	for (size_t i = 0; i < messages.n && used < size; i++)
		used += (size_t)snprintf(got + used, size - used, "%s\n", messages.texts[i]);
	assert_int_equal(!config, messages.errors_n > 0);
	config_messages_fini(&messages);
	return config;
}

struct row {
	const char *text;
	const char *messages; /* all of them, one a line */
};

static void check_rows(const struct row *rows, size_t n, const char *before, const char *after)
{
	for (size_t i = 0; i < n; i++) {
		char *text = xasprintf("%s%s%s", before, rows[i].text, after);
		char got[4000];

		config_unref(load(text, got, sizeof(got)));
		if (strcmp(got, rows[i].messages) != 0)
			fail_msg("%s\ngave\n%snot\n%s", text, got, rows[i].messages);
		free(text);
	}
}

static void routes_of_mode_tcp_look_at_the_connection_alone(void **state unused_arg)
{
	static const struct row rows[] = {
		{ "{match: {source: 10.0.0.0/8, sni: [a.example, \"*.b\"], alpn: h2, protocol: "
		  "tls}, "
		  "backend: b}",
		  "" },
		{ "{name: n, match: {protocol: [\"!tls\", \"!none\"]}, reject: true}", "" },
		{ "{reject: on}", "" },
		{ "{match: {path: /a}, backend: b}", "t:2:10: 'path' needs mode http\n" },
		{ "{match: {sni: a, host: a, method: GET}, backend: b}",
		  "t:2:18: 'host' needs mode http\nt:2:27: 'method' needs mode http\n" },
		{ "{match: {header: {a: b}, query: {a: b}, cookie: {a: b}}, backend: b}",
		  "t:2:10: 'header' needs mode http\nt:2:26: 'query' needs mode http\n"
		  "t:2:41: 'cookie' needs mode http\n" },
		{ "{match: {path_prefix: /a, path_regex: a}, backend: b}",
		  "t:2:10: 'path_prefix' needs mode http\nt:2:27: 'path_regex' needs mode http\n" },
		{ "{respond: 404}", "t:2:2: 'respond' needs mode http\n" },
		{ "{redirect: /a}", "t:2:2: 'redirect' needs mode http\n" },
		{ "{backend: b, set_headers: {a: b}, remove_response_headers: a}",
		  "t:2:14: 'set_headers' needs mode http\n"
		  "t:2:35: 'remove_response_headers' needs mode http\n" },
		{ "{backend: b, match: {snu: a}}",
		  "t:2:22: unknown key 'snu' in 'match'; did you mean 'sni'?\n" },
		{ "{backend: b, match: [sni]}",
		  "t:2:21: 'match': expected a mapping, got a list\n" },
		{ "{reject: 1s}",
		  "t:2:1: route 1 needs exactly one of 'backend', 'respond', 'redirect' and "
		  "'reject'\n"
		  "t:2:10: 'reject': expected true or false, got '1s'\n" },
		{ "{match: {sni: \"a:1\"}, backend: b}",
		  "t:2:15: 'a:1': a host is matched without its port\n" },
		{ "{match: {client_cn: x}, backend: b}",
		  "t:2:21: 'client_cn' is never known: no bind of this frontend asks for client "
		  "certificates ('tls: {client_verify: ...}')\n" },
	};

	check_rows(rows, ARRAY_N(rows),
		   "frontends: {t: {mode: tcp, backend: b, bind: \":1\", routes: [\n",
		   "]}}\n" BACKEND);
}

static void protocols_are_words(void **state unused_arg)
{
	static const struct row tcp[] = {
		{ "[tls, http, h2c, ssh, other, none]", "" },
		{ "\"*\"", "" },
		{ "htp", "t:2:1: 'htp' is no protocol that is told apart: tls, http, h2c, ssh, "
			 "other, none; did you mean 'http'?\n" },
		{ "[\"!postgres\"]",
		  "t:2:2: 'postgres' is no protocol that is told apart: tls, http, h2c, "
		  "ssh, other, none\n" },
		{ "~t", "t:2:1: '~t' is no protocol that is told apart: tls, http, h2c, ssh, "
			"other, none\n" },
	};
	static const struct row http[] = {
		{ "[tls, http]", "" },
		{ "http, sni: a.test",
		  "t:2:12: warning: 'sni' is never known: no bind of this frontend has 'tls'\n" },
		{ "[tls, \"!ssh\"]",
		  "t:2:7: 'protocol': 'ssh' needs mode tcp; in mode http it is tls or http\n" },
		{ "none",
		  "t:2:1: 'protocol': 'none' needs mode tcp; in mode http it is tls or http\n" },
	};

	check_rows(tcp, ARRAY_N(tcp),
		   "frontends: {t: {mode: tcp, backend: b, bind: \":1\", routes: [{reject: true, "
		   "match: "
		   "{protocol: \n",
		   "}}]}}\n" BACKEND);
	check_rows(http, ARRAY_N(http),
		   "frontends: {t: {bind: \":1\", routes: [{reject: true, match: {protocol: \n",
		   "}}]}}\n");
}

#define HEX15 "0123456789abcde"
#define HEX64 HEX15 "f" HEX15 "f" HEX15 "f" HEX15 "f"
#define CERTIFICATES                                                                               \
	"frontends: {t: {mode: tcp, backend: b, bind: {address: \":1\", tls: {certificates: /c, "  \
	"client_ca: "                                                                              \
	"/a, "                                                                                     \
	"client_verify: required}}, routes: [{reject: true, match: {client_fingerprint: \n"

static void fingerprints_are_64_digits(void **state unused_arg)
{
	static const char why[] = " is not a SHA-256 fingerprint: 64 hexadecimal digits, colons "
				  "between the bytes allowed\n";
	static const char *const bad[] = {
		HEX15,     HEX64 "0", HEX15 "g" HEX15 HEX15 HEX15 "000", "0:" HEX64,
		":" HEX64, HEX64 ":", "01::23" HEX15 HEX15 HEX15 HEX15
	};

	for (size_t i = 0; i < ARRAY_N(bad); i++) {
		char *text = xasprintf("\"%s\"", bad[i]),
		     *want = xasprintf("t:2:1: '%s'%s", bad[i], why);
		struct row row = { text, want };

		check_rows(&row, 1, CERTIFICATES, "}}]}}\n" BACKEND);
		free(text);
		free(want);
	}
}

static bool fingerprint_matches(const char *said, const char *shown)
{
	char *text = xasprintf(CERTIFICATES "\"%s\"}}]}}\n" BACKEND, said);
	char got[4000];
	struct config *config = load(text, got, sizeof(got));
	struct match_facts facts = { .client_fingerprint = str_of(shown) };
	bool holds;

	if (!config)
		fail_msg("%s: %s", said, got);
	holds = match_holds(config->frontends[0].routes[0].match, &facts);
	config_unref(config);
	free(text);
	return holds;
}

static void fingerprints_are_the_same_with_colons_and_in_capitals(void **state unused_arg)
{
	char colons[3 * 32];

	for (size_t i = 0; i < 32; i++) {
		memcpy(colons + 3 * i, &HEX64[2 * i], 2);
		colons[3 * i + 2] = i == 31 ? '\0' : ':';
	}
	assert_true(fingerprint_matches(HEX64, HEX64));
	assert_true(fingerprint_matches(colons, HEX64));
	for (char *p = colons; *p; p++)
		if (*p >= 'a')
			*p = (char)(*p - 'a' + 'A');
	assert_true(fingerprint_matches(colons, HEX64));
	assert_false(fingerprint_matches(HEX64, HEX15 "e" HEX15 "f" HEX15 "f" HEX15 "f"));
	assert_false(fingerprint_matches(HEX64, NULL));
}

static void rates_come_in_their_forms(void **state unused_arg)
{
	static const struct {
		const char *text;
		uint32_t n;
		int64_t window_ms;
	} good[] = {
		{ "20", 20, SEC(1) },         { "100/10s", 100, SEC(10) },
		{ "1k/1h", 1000, SEC(3600) }, { "0", 0, SEC(1) },
		{ "5/250ms", 5, MS(250) },    { "1m", 1000000, SEC(1) },
		{ "1/100ms", 1, MS(100) },
	};
	static const char range[] = "'connection_rate_per_source' takes at most 1000000 in a time "
				    "of 100ms to 1h, not ";
	static const char *const bad[] = { "1m/99ms", "1/2h", "1000001", "1/0s" };
	static const char *const odd[] = { "x",  "10/", "/10s", "10/10",
					   "-1", "1.5", "10/s", "10/1s/1s" };
	char got[4000];

	for (size_t i = 0; i < ARRAY_N(good); i++) {
		char *text = xasprintf("frontends: {t: {mode: tcp, backend: b, bind: \":1\",\n"
				       "connection_rate_per_source: %s}}\n" BACKEND,
				       good[i].text);
		struct config *config = load(text, got, sizeof(got));

		assert_non_null(config);
		assert_int_equal(config->frontends[0].connection_rate_per_source.n, good[i].n);
		assert_int_equal(config->frontends[0].connection_rate_per_source.window_ms,
				 good[i].window_ms);
		config_unref(config);
		free(text);
	}
	for (size_t i = 0; i < ARRAY_N(bad) + ARRAY_N(odd); i++) {
		bool is_odd = i >= ARRAY_N(bad);
		const char *value = is_odd ? odd[i - ARRAY_N(bad)] : bad[i];
		char *want = is_odd ? xasprintf("t:2:29: 'connection_rate_per_source': expected a "
						"number for each second, a rate like "
						"100/10s, or 0, got '%s'\n",
						value)
				    : xasprintf("t:2:29: %s'%s'\n", range, value);
		struct row row = { value, want };

		check_rows(&row, 1,
			   "frontends: {t: {mode: tcp, backend: b, bind: \":1\",\n"
			   "connection_rate_per_source: ",
			   "}}\n" BACKEND);
		free(want);
	}
}

static void hsts_is_a_duration_or_a_mapping(void **state unused_arg)
{
	static const struct {
		const char *text, *value;
	} rows[] = {
		{ "180d", "max-age=15552000" },
		{ "{max_age: 365d, include_subdomains: true, preload: true}",
		  "max-age=31536000; includeSubDomains; preload" },
		{ "{max_age: 1h, include_subdomains: true}", "max-age=3600; includeSubDomains" },
		{ "0", "" },
	};
	static const struct row bad[] = {
		{ "soon", "t:2:7: 'max_age': expected a duration like 5s, got 'soon'\n" },
		{ "[1d]",
		  "t:2:7: 'hsts': expected a duration like 365d, or a mapping, got a list\n" },
		{ "{maxage: 1d}",
		  "t:2:8: unknown key 'maxage' in 'hsts'; did you mean 'max_age'?\n" },
		{ "{max_age: 1d, preload: true}",
		  "t:2:7: warning: 'preload': browsers want 'include_subdomains' and a 'max_age' "
		  "of a year with it\n" },
	};
	char got[4000];

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char *text = xasprintf("frontends: {t: {routes: [{respond: 404}], bind: {address: "
				       "\":1\", tls: {certificates: /c,\nhsts: %s}}}}\n",
				       rows[i].text);
		struct config *config = load(text, got, sizeof(got));

		if (!config || got[0])
			fail_msg("%s: %s", rows[i].text, got);
		if (!str_eq(config->frontends[0].binds[0].tls->hsts_value, str_of(rows[i].value)))
			fail_msg("%s: wrong value", rows[i].text);
		config_unref(config);
		free(text);
	}
	check_rows(bad, ARRAY_N(bad),
		   "frontends: {t: {routes: [{respond: 404}], bind: {address: \":1\", tls: "
		   "{certificates: /c,\nhsts: ",
		   "}}}}\n");
}

static const char *const round_trips[] = {
	"frontends: {t: {mode: tcp, bind: \":1\", backend: b, max_connections_per_source: 7,\n"
	"  connection_rate_per_source: 100/10s, routes: [{match: {sni: [\"*.a\", \"!b.a\"],\n"
	"  alpn: [h2, \"~^x\"], protocol: \"!ssh\", source: \"::/0\"}, backend: b},\n"
	"  {match: {protocol: none}, reject: true}]}}\n" BACKEND,
	"frontends: {t: {bind: {address: \":1\", tls: {certificates: [/c, /d], client_ca: /a,\n"
	"  client_verify: optional, hsts: {max_age: 400d, include_subdomains: true}}},\n"
	"  connection_rate_per_source: 5, routes: [{match: {protocol: tls, client_cn: \"~x\",\n"
	"  client_fingerprint: \"" HEX64 "\"}, respond: 404}]}}\n",
};

static void a_dump_loads_to_the_same_again(void **state unused_arg)
{
	char got[4000];

	for (size_t i = 0; i < ARRAY_N(round_trips); i++) {
		struct config *first = load(round_trips[i], got, sizeof(got)), *second;
		size_t len, again_len;
		char *text, *again;

		if (!first)
			fail_msg("%s", got);
		text = config_dump(first, true, &len);
		second = load(text, got, sizeof(got));
		if (!second)
			fail_msg("%s\n%s", text, got);
		again = config_dump(second, true, &again_len);
		assert_string_equal(text, again);
		assert_int_equal(
			first->frontends[0].routes[first->frontends[0].routes_n - 1].is_rejected,
			i == 0);
		assert_int_equal(
			second->frontends[0].routes[second->frontends[0].routes_n - 1].is_rejected,
			i == 0);
		config_unref(first);
		config_unref(second);
		free(text);
		free(again);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes_of_mode_tcp_look_at_the_connection_alone),
		cmocka_unit_test(protocols_are_words),
		cmocka_unit_test(fingerprints_are_64_digits),
		cmocka_unit_test(fingerprints_are_the_same_with_colons_and_in_capitals),
		cmocka_unit_test(rates_come_in_their_forms),
		cmocka_unit_test(hsts_is_a_duration_or_a_mapping),
		cmocka_unit_test(a_dump_loads_to_the_same_again),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
