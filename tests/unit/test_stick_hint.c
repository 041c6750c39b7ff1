/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "balance/stick_hint.h"
#include "base/clock.h"
#include "model/server.h"

static struct stick_rule rule = { .kind = STICK_ENGINEIO };
static struct backend_state backend_state;
static struct backend backend = { .state = &backend_state, .sticks = &rule, .sticks_n = 1 };

static int make(void **state)
{
	(void)state;
	clock_set_ms(1000);
	backend_state.tables[STICK_ENGINEIO] = table_new(
		&(struct table_options){ .name = "t", .max_entries = 5000, .is_secret = true });
	return 0;
}

static int end(void **state)
{
	(void)state;
	stick_hint_end();
	table_free(backend_state.tables[STICK_ENGINEIO]);
	return 0;
}

static void put(struct table *table, struct str sid, unsigned server)
{
	struct table_key key = table_key(table, sid);
	struct table_value value = { .server = server, .idle_ms = 5000 };

	assert_int_equal(table_put(table, &key, &value, NULL), TABLE_PUT_NEW);
}

/* What a request of SID gets to know after a hint from LINE. */
static int server_of(struct table *table, const char *line, struct str sid)
{
	struct table_value value = { 0 };
	struct table_key key;

	stick_hint_begin(&backend, str_of(line));
	stick_hint_go_on();
	key = stick_hint_key(table, sid);
	stick_hint_end();
	return table_find(table, &key, &value) ? (int)value.server : -1;
}

/* Right, wrong, cut, or none: the answer is that of the sid that was parsed. */
static void hint_never_changes_an_answer(void **state)
{
	static const char *const lines[] = {
		"GET /socket.io/?sid=abcd HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /socket.io/?EIO=4&transport=polling&sid=abcd HTTP/1.1\r\n\r\n",
		"GET /socket.io/?sid=abcd&t=1 HTTP/1.1\r\n",
		"GET /socket.io/?sid=other HTTP/1.1\r\n",
		"GET /socket.io/?sid=abce HTTP/1.1\r\n", /* as long as another */
		"GET /socket.io/?sid=other&sid=abcd HTTP/1.1\r\n",
		"GET /socket.io/?sid=%61bcd HTTP/1.1\r\n",
		"GET /socket.io/?xsid=abcd&&sid= HTTP/1.1\r\n",
		"GET /socket.io/?sid=abc",
		"GET /socket.io/?sid=",
		"GET /socket.io/?&",
		"GET /socket.io/?",
		"GET / HTTP/1.1\r\nX: ?sid=other \r\n",
		"?",
		"",
	};
	struct table *table = backend_state.tables[STICK_ENGINEIO];

	(void)state;
	put(table, STR("abcd"), 7);
	put(table, STR("other"), 8);
	put(table, STR("abce"), 9);
	for (size_t i = 0; i < ARRAY_N(lines); i++) {
		assert_int_equal(server_of(table, lines[i], STR("abcd")), 7);
		assert_int_equal(server_of(table, lines[i], STR("other")), 8);
		assert_int_equal(server_of(table, lines[i], STR("abce")), 9);
		assert_int_equal(server_of(table, lines[i], STR("abc")), -1);
	}
}

static void hint_of_a_long_sid_or_line_is_not_taken(void **state)
{
	struct table *table = backend_state.tables[STICK_ENGINEIO];
	char line[2048], sid[200];

	(void)state;
	memset(sid, 's', sizeof(sid));
	put(table, (struct str){ sid, 128 }, 3);
	for (int len = 120; len < 200; len++) {
		snprintf(line, sizeof(line), "GET /?sid=%.*s HTTP/1.1\r\n", len, sid);
		assert_int_equal(server_of(table, line, (struct str){ sid, 128 }), 3);
	}
	for (int pad = 400; pad < 560; pad++) {
		snprintf(line, sizeof(line), "GET /?%0*d&sid=%.*s HTTP/1.1\r\n", pad, 0, 128, sid);
		assert_int_equal(server_of(table, line, (struct str){ sid, 128 }), 3);
	}
}

static void hint_is_for_its_table_alone(void **state)
{
	struct table *table = backend_state.tables[STICK_ENGINEIO];
	struct table *plain =
		table_new(&(struct table_options){ .name = "p", .max_entries = 5000 });
	const char *line = "GET /?sid=abcd HTTP/1.1\r\n";

	(void)state;
	put(table, STR("abcd"), 1);
	put(plain, STR("abcd"), 2);
	assert_int_equal(server_of(plain, line, STR("abcd")), 2);
	assert_int_equal(server_of(table, line, STR("abcd")), 1);
	stick_hint_begin(NULL, str_of(line)); /* no default backend */
	stick_hint_go_on();
	table_free(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hint_never_changes_an_answer, make, end),
		cmocka_unit_test_setup_teardown(hint_of_a_long_sid_or_line_is_not_taken, make, end),
		cmocka_unit_test_setup_teardown(hint_is_for_its_table_alone, make, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
