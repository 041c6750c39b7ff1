/* SPDX-License-Identifier: MIT */
/* The dashboard's server: credentials, origins, names in paths, JSON both ways, the page's parts.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "control/api.h"
#include "control/dashboard.h"
#include "control/http_auth.h"
#include "control/http_routes.h"
#include "control/json.h"

static const struct stats_http_conf conf = { .username = STR_INIT("op"),
					     .secret = STR_INIT("s:ecret") };

static struct ip_addr peer_of(const char *text)
{
	struct ip_addr ip = { 0 };

	assert_int_equal(ip_addr_parse(str_of(text), &ip), 0);
	return ip;
}

static int setup(void **state unused_arg)
{
	clock_set_ms(SEC(1000));
	auth_set(NULL);
	auth_forget();
	return 0;
}

static void without_credentials_everybody_is_let_in(void **state unused_arg)
{
	struct ip_addr peer = peer_of("10.0.0.1");

	assert_false(auth_has_credentials());
	assert_int_equal(auth_check(STR_NONE, &peer), AUTH_OK);
	assert_int_equal(auth_check(STR("Basic nonsense"), &peer), AUTH_OK);
}

static void credentials_must_be_right_to_the_byte(void **state unused_arg)
{
	static const struct {
		const char *value;
		enum auth want;
	} rows[] = {
		{ "Basic b3A6czplY3JldA==", AUTH_OK }, /* op:s:ecret */
		{ "bAsIc   b3A6czplY3JldA==  ", AUTH_OK },
		{ "Basic b3A6czplY3JldA=", AUTH_WRONG },
		{ "Basic b3A6czplY3JldA", AUTH_WRONG },
		{ "Basic b3A6czplY3JldB==", AUTH_WRONG }, /* bits after the last byte */
		{ "Basic b3A6czplY3JldA==b3A6", AUTH_WRONG },
		{ "Basic b3A6czplY3JldAo=", AUTH_WRONG },
		{ "Basic =", AUTH_WRONG },
		{ "Basic ====", AUTH_WRONG },
		{ "Basic b3A", AUTH_WRONG },
		{ "Basic", AUTH_WRONG },
		{ "", AUTH_WRONG },
		{ "Bearer b3A6czplY3JldA==", AUTH_WRONG },
		{ "Basic b3A6czplY3J-dA==", AUTH_WRONG },
	};
	struct ip_addr peer = peer_of("10.0.0.1");

	assert_true(auth_set(&conf));
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		auth_forget();
		assert_int_equal(auth_check(str_of(rows[i].value), &peer), rows[i].want);
	}
	assert_int_equal(auth_check(STR_NONE, &peer), AUTH_MISSING);
}

static void a_source_is_locked_out_for_a_minute(void **state unused_arg)
{
	struct ip_addr peer = peer_of("2001:db8::1"), same_net = peer_of("2001:db8::2");
	struct ip_addr other = peer_of("2001:db8:0:1::1");

	auth_set(&conf);
	for (int i = 0; i < AUTH_WRONG_MAX; i++)
		assert_int_equal(auth_check(STR("Basic eA=="), &peer), AUTH_WRONG);
	assert_int_equal(auth_check(STR("Basic b3A6czplY3JldA=="), &peer), AUTH_LOCKED);
	assert_int_equal(auth_check(STR("Basic b3A6czplY3JldA=="), &same_net), AUTH_LOCKED);
	assert_int_equal(auth_check(STR("Basic b3A6czplY3JldA=="), &other), AUTH_OK);
	assert_int_equal(auth_check(STR_NONE, &peer), AUTH_MISSING);
	clock_set_ms(SEC(1000) + AUTH_WINDOW_MS - 1);
	assert_int_equal(auth_check(STR("Basic b3A6czplY3JldA=="), &peer), AUTH_LOCKED);
	clock_set_ms(SEC(1000) + AUTH_WINDOW_MS);
	assert_int_equal(auth_check(STR("Basic b3A6czplY3JldA=="), &peer), AUTH_OK);
}

static void many_sources_make_the_oldest_forgotten(void **state unused_arg)
{
	struct ip_addr first = peer_of("10.0.0.1");

	auth_set(&conf);
	for (int i = 0; i < AUTH_WRONG_MAX; i++)
		auth_check(STR("Basic eA=="), &first);
	assert_int_equal(auth_check(STR("Basic eA=="), &first), AUTH_LOCKED);
	for (int i = 0; i < AUTH_SOURCES_MAX; i++) {
		char text[32];
		struct ip_addr peer;

		clock_set_ms(SEC(1000) + i + 1);
		snprintf(text, sizeof(text), "10.1.0.%d", i);
		peer = peer_of(text);
		assert_int_equal(auth_check(STR("Basic eA=="), &peer), AUTH_WRONG);
	}
	assert_int_equal(auth_check(STR("Basic eA=="), &first), AUTH_WRONG);
}

static void other_credentials_are_noticed(void **state unused_arg)
{
	struct stats_http_conf other = conf;

	assert_true(auth_set(&conf));
	assert_false(auth_set(&conf));
	other.secret = STR("other");
	assert_true(auth_set(&other));
	assert_true(auth_set(NULL));
	assert_false(auth_set(NULL));
}

static void an_origin_is_ours_by_its_whole_authority(void **state unused_arg)
{
	static const struct {
		const char *origin, *authority;
		bool want;
	} rows[] = {
		{ "http://lb:8404", "lb:8404", true },
		{ "https://LB:8404", "lb:8404", true }, /* TLS ends before us */
		{ "http://lb", "lb:8404", false },
		{ "http://lb:8404.evil", "lb:8404", false },
		{ "http://evil/lb:8404", "lb:8404", false },
		{ "null", "lb:8404", false },
		{ "lb:8404", "lb:8404", false },
		{ "file://", "", false },
		{ "ftp://lb:8404", "lb:8404", false },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++)
		assert_int_equal(
			auth_is_same_origin(str_of(rows[i].origin), str_of(rows[i].authority)),
			rows[i].want);
}

static void names_that_dns_cannot_make_ours_are_known(void **state unused_arg)
{
	struct str items[] = { STR("lb.example.com") };
	struct str_list hosts = { items, 1 };
	static const struct {
		const char *authority;
		bool want;
	} rows[] = {
		{ "127.0.0.1:80", true },
		{ "[::1]:80", true },
		{ "[::1", false },
		{ "localhost", true },
		{ "a.localhost:1", true },
		{ "LB.Example.com.", true },
		{ "node-1:9", true },
		{ "node-1.evil", false },
		{ "127.0.0.1.evil", false },
		{ "", false },
		{ ":80", false },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++)
		assert_int_equal(
			auth_is_host_known(str_of(rows[i].authority), STR("node-1"), &hosts),
			rows[i].want);
}

static void a_path_names_a_backend_and_what_follows(void **state unused_arg)
{
	char out[HTTP_NAME_SIZE];
	struct str backend, name;

	assert_true(http_read_names(STR("chat/app-1/3001"), out, &backend, &name));
	assert_true(str_eq(backend, STR("chat")));
	assert_true(str_eq(name, STR("app-1/3001")));
	assert_true(http_read_names(STR("c%68at/app-1%2F3001"), out, &backend, &name));
	assert_true(str_eq(backend, STR("chat")));
	assert_true(str_eq(name, STR("app-1/3001")));
	assert_false(http_read_names(STR("chat"), out, &backend, &name));
	assert_false(http_read_names(STR("chat/"), out, &backend, &name));
	assert_false(http_read_names(STR("/x"), out, &backend, &name));
	assert_false(http_read_names(STR(""), out, &backend, &name));
}

static void a_path_too_long_for_a_name_is_none(void **state unused_arg)
{
	char out[HTTP_NAME_SIZE], text[HTTP_NAME_SIZE + 3];
	struct str backend, name, path = { text, sizeof(text) };

	memset(text, 'x', sizeof(text));
	text[2] = '/';
	assert_false(http_read_names(path, out, &backend, &name));
	path.len = HTTP_NAME_SIZE + 1;
	assert_true(http_read_names(path, out, &backend, &name));
	assert_int_equal(backend.len + name.len, HTTP_NAME_SIZE);
}

static void json_is_written_with_commas_and_escapes(void **state unused_arg)
{
	struct buf out = { 0 };
	struct json json = { .out = &out };

	json_open(&json, NULL, '{');
	json_str(&json, "a", STR("x\"\\\n\x01</script>\xff\xc3\xa4"));
	json_u64(&json, "b", UINT64_MAX);
	json_s64(&json, "c", INT64_MIN);
	json_open(&json, "d", '[');
	json_bool(&json, NULL, true);
	json_null(&json, NULL);
	json_open(&json, NULL, '[');
	json_close(&json, ']');
	json_s64(&json, NULL, -1);
	json_close(&json, ']');
	json_open(&json, "e", '{');
	json_close(&json, '}');
	json_close(&json, '}');
	assert_true(
		str_eq(buf_str(&out), STR("{\"a\":\"x\\\"\\\\\\n\\u0001</script>\\u00ff\xc3\xa4\","
					  "\"b\":18446744073709551615,\"c\":-9223372036854775808,"
					  "\"d\":[true,null,[],-1],\"e\":{}}")));
	buf_release(&out);
	buf_pool_fini();
}

static void a_member_is_read_strictly(void **state unused_arg)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "{\"state\":\"drain\"}", "drain" },
		{ " {\t\"state\" : \"\" }\r\n", "" },
		{ "{\"state\":\"a\",\"state\":\"b\"}", NULL },
		{ "{\"State\":\"a\"}", NULL },
		{ "{\"state\":\"a\\u0062\"}", NULL },
		{ "{\"state\":\"a\n\"}", NULL },
		{ "{\"state\":a}", NULL },
		{ "{\"state\"}", NULL },
		{ "{}", NULL },
		{ "", NULL },
		{ "{\"state\":\"a\"}}", NULL },
		{ "[\"state\"]", NULL },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str value = STR_NONE, text = str_of(rows[i].text);
		int rc = json_read_member(text, STR("state"), &value);

		assert_int_equal(rc, rows[i].want ? 0 : -EINVAL);
		if (rows[i].want)
			assert_true(str_eq(value, str_of(rows[i].want)));
		for (size_t cut = 0; cut + 2 < text.len && rows[i].want; cut++) {
			char *part = xstrndup((struct str){ text.p, cut });

			/* Only white space may be missing at the end. */
			if (!strchr(part, '}'))
				assert_int_equal(
					json_read_member(str_of(part), STR("state"), &value),
					-EINVAL);
			free(part);
		}
	}
}

static void the_worst_state_names_a_server(void **state unused_arg)
{
	assert_string_equal(api_state(0, 100), "up");
	assert_string_equal(api_state(0, 0), "drain");
	assert_string_equal(api_state(SERVER_DRAIN, 1), "drain");
	assert_string_equal(api_state(SERVER_DRAIN | SERVER_MAINT, 1), "maint");
	assert_string_equal(api_state(SERVER_DOWN | SERVER_DRAIN, 1), "down");
	assert_string_equal(api_state(SERVER_DOWN | SERVER_GONE, 1), "gone");
	assert_string_equal(api_state(SERVER_SICK, 1), "sick");
	assert_string_equal(api_state(SERVER_AGENT_DRAIN, 1), "agent_drain");
	assert_string_equal(api_state(1u << 30, 1), "down");
}

static void the_page_is_whole(void **state unused_arg)
{
	assert_true(str_ends(dashboard_parts[DASHBOARD_HEAD], STR("<style>")));
	assert_true(str_starts(dashboard_parts[DASHBOARD_BODY], STR("</style>\n")));
	assert_true(str_ends(dashboard_parts[DASHBOARD_BODY], STR("<script>")));
	assert_true(str_starts(dashboard_parts[DASHBOARD_TAIL], STR("</script>\n")));
	assert_true(str_starts(dashboard_parts[DASHBOARD_SCRIPT], STR("'use strict';\n")));
	assert_int_equal(str_find(dashboard_parts[DASHBOARD_SCRIPT], STR("</script")), -1);
	assert_int_equal(str_find(dashboard_parts[DASHBOARD_STYLE], STR("</style")), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_credentials_everybody_is_let_in, setup),
		cmocka_unit_test_setup(credentials_must_be_right_to_the_byte, setup),
		cmocka_unit_test_setup(a_source_is_locked_out_for_a_minute, setup),
		cmocka_unit_test_setup(many_sources_make_the_oldest_forgotten, setup),
		cmocka_unit_test_setup(other_credentials_are_noticed, setup),
		cmocka_unit_test(an_origin_is_ours_by_its_whole_authority),
		cmocka_unit_test(names_that_dns_cannot_make_ours_are_known),
		cmocka_unit_test(a_path_names_a_backend_and_what_follows),
		cmocka_unit_test(a_path_too_long_for_a_name_is_none),
		cmocka_unit_test(json_is_written_with_commas_and_escapes),
		cmocka_unit_test(a_member_is_read_strictly),
		cmocka_unit_test(the_worst_state_names_a_server),
		cmocka_unit_test(the_page_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
