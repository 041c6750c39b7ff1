/* SPDX-License-Identifier: MIT */
/* Cells in their three forms, and a console that is read slowly or talked to in pieces. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/console.h"
#include "control/control.h"
#include "control/value.h"

struct fixture {
	struct loop loop;
	struct config *config;
	struct control_socket socket;
	struct console *console;
	int peer;
};

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct config_messages messages;
	const char *why;
	int ends[2];

	f->config = config_load_text("test",
				     STR("frontends: {f: {bind: \"127.0.0.1:1\", backend: b}}\n"
					 "backends: {b: {hosts: {h: {address: \"127.0.0.1:2\"}}}}\n"
					 "global: {stats: {socket: []}}\n"),
				     &messages);
	config_messages_fini(&messages);
	if (!f->config || loop_init(&f->loop) != 0 ||
	    control_init(&f->loop, f->config, &why) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0)
		return -1;
	f->socket.level = CTL_ADMIN;
	f->socket.acceptor.fd = -1;
	f->peer = ends[1];
	f->console = console_open(&f->socket, ends[0]);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	control_fini();
	loop_fini(&f->loop);
	buf_pool_fini();
	config_unref(f->config);
	if (f->peer >= 0)
		close(f->peer);
	free(f);
	return 0;
}

static void say(struct fixture *f, const char *text)
{
	assert_int_equal(send(f->peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	loop_turn(&f->loop, 0);
}

/* What the console has said so far, up to SIZE - 1 bytes; "EOF" behind it when that was all. */
static const char *heard(struct fixture *f)
{
	static char text[32768];
	size_t len = 0;

	for (;;) {
		ssize_t n = recv(f->peer, text + len, sizeof(text) - 4 - len, 0);

		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		memcpy(text + len, n == 0 ? "EOF" : "", n == 0 ? 4 : 1);
		return text;
	}
}

static void csv_quotes_what_has_a_comma_or_a_quote(void **state)
{
	static const struct {
		struct value value;
		const char *want;
	} rows[] = {
		{ { .type = VALUE_EMPTY }, "" },
		{ { .type = VALUE_STR, .text = "plain" }, "plain" },
		{ { .type = VALUE_STR, .text = "" }, "" },
		{ { .type = VALUE_STR, .text = "a,b" }, "\"a,b\"" },
		{ { .type = VALUE_STR, .text = "say \"x\"" }, "\"say \"\"x\"\"\"" },
		{ { .type = VALUE_STR, .text = "\"" }, "\"\"\"\"" },
		{ { .type = VALUE_U32, .number = 7 }, "7" },
		{ { .type = VALUE_U64, .number = UINT64_MAX }, "18446744073709551615" },
		{ { .type = VALUE_S32, .number = (uint64_t)-1 }, "-1" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		value_csv(&f->console->run, &rows[i].value);
		assert_int_equal(buf_length(&f->console->out), strlen(rows[i].want));
		if (rows[i].want[0])
			assert_memory_equal(buf_bytes(&f->console->out), rows[i].want,
					    strlen(rows[i].want));
		buf_release(&f->console->out);
	}
}

static void json_escapes_quotes_and_control_bytes(void **state)
{
	static const struct column column = { "x", "KNS", VALUE_STR, "" };
	static const char want[] = "\"value\":{\"type\":\"str\",\"value\":\"a\\\"b\\nc\"}";
	struct fixture *f = *state;
	const struct value value = { .type = VALUE_STR, .text = "a\"b\nc" };

	value_json(&f->console->run, &column, &value);
	assert_true(str_ends(buf_str(&f->console->out), str_of(want)));
	buf_release(&f->console->out);
}

static void one_line_is_answered_and_then_it_closes(void **state)
{
	struct fixture *f = *state;

	say(f, "show cli level\nshow version\n");
	assert_string_equal(heard(f), "admin\n\nEOF");
}

static void a_line_may_come_byte_by_byte(void **state)
{
	struct fixture *f = *state;

	for (const char *c = "operator;show cli level\r"; *c; c++) {
		say(f, (const char[]){ *c, '\0' });
		assert_string_equal(heard(f), "");
	}
	say(f, "\n");
	assert_string_equal(heard(f), "\noperator\n\n\nEOF");
}

static void the_prompt_stays_until_quit(void **state)
{
	struct fixture *f = *state;

	say(f, "prompt\n");
	assert_string_equal(heard(f), "\n> ");
	say(f, "show cli level\nshow cli level\n");
	assert_string_equal(heard(f), "admin\n\n> admin\n\n> ");
	say(f, "prompt i\n");
	assert_string_equal(heard(f), "\n");
	say(f, "user;show cli level\n");
	assert_string_equal(heard(f), "\nuser\n\n");
	say(f, "reload\n");
	assert_string_equal(heard(f), "Permission denied\n\n");
	say(f, "quit\n");
	assert_string_equal(heard(f), "EOF");
}

static void a_payload_is_taken_and_asked_for(void **state)
{
	struct fixture *f = *state;

	say(f, "prompt\nshow cli level <<END\n");
	assert_string_equal(heard(f), "\n> + ");
	say(f, "one\n\ntwo\n");
	assert_string_equal(heard(f), "+ + + ");
	say(f, "END\n");
	assert_string_equal(heard(f), "admin\n\n> ");
	say(f, "show cli level <<\nbody\n\n");
	assert_string_equal(heard(f), "+ + admin\n\n> ");
}

static void severity_is_told_when_asked_for(void **state)
{
	struct fixture *f = *state;

	say(f, "set severity-output number;enable server x;set severity-output string;"
	       "enable server x;show cli level\n");
	assert_string_equal(heard(f), "\n[3]: Require 'backend/server'.\n\n\n"
				      "[err]: Require 'backend/server'.\n\n[info]: admin\n\nEOF");
}

static void lines_and_payloads_without_end_are_refused(void **state)
{
	struct fixture *f = *state;
	char *text = xmalloc(CONSOLE_LINE_MAX + 1);

	memset(text, 'x', CONSOLE_LINE_MAX);
	text[CONSOLE_LINE_MAX] = '\0';
	say(f, text);
	assert_string_equal(heard(f), "The line is too long.\n\nEOF");
	free(text);
}

static void a_payload_without_end_is_refused(void **state)
{
	struct fixture *f = *state;
	char line[1025];

	memset(line, 'x', 1024);
	line[1023] = '\n';
	line[1024] = '\0';
	say(f, "help <<\n");
	for (unsigned i = 0; i < CONSOLE_PAYLOAD_MAX / 1024; i++)
		say(f, line);
	assert_string_equal(heard(f), "The payload is too long.\n\nEOF");
}

static void a_reader_that_takes_nothing_costs_two_pieces_at_most(void **state)
{
	struct fixture *f = *state;
	char line[CONSOLE_LINE_MAX];

	for (size_t i = 0; i + 6 < sizeof(line); i += 5)
		memcpy(line + i, "help;\n", 7);
	say(f, line);
	for (int i = 0; i < 100000 && f->console->conn.can_write; i++)
		loop_turn(&f->loop, 1);
	assert_false(f->console->conn.can_write);
	assert_int_equal(f->console->state, CONSOLE_RUN);
	assert_in_range(buf_length(&f->console->out), RUN_PIECE, 2 * RUN_PIECE);
	assert_in_range(f->console->out.block->size, RUN_PIECE, 2 * RUN_PIECE);
}

static void a_slow_reader_gets_all_of_it(void **state)
{
	struct fixture *f = *state;
	char line[CONSOLE_LINE_MAX], bytes[5000];
	size_t got = 0, once;
	ssize_t n = -1;

	memcpy(line, "prompt i;help\n", 15);
	say(f, line);
	once = strlen(heard(f)) - 1; /* but for the answer to prompt */
	for (int i = 0; i < 1000; i++)
		memcpy(line + 5 * i, "help;", 5);
	memcpy(line + 5000, "prompt n\n", 10);
	say(f, line);
	for (int i = 0; i < 100000 && n != 0; i++) {
		loop_turn(&f->loop, 1);
		n = recv(f->peer, bytes, sizeof(bytes), 0);
		if (n > 0)
			got += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(got, 1000 * once + 1);
}

static void silence_ends_the_connection(void **state)
{
	struct fixture *f = *state;

	loop_turn(&f->loop, 0); /* the socket's first event */
	clock_set_ms(clock_ms() + CONSOLE_IDLE_MS - 100);
	loop_turn(&f->loop, 0);
	assert_string_equal(heard(f), "");
	clock_set_ms(clock_ms() + 200);
	wheel_advance(&f->loop.wheel, clock_ms());
	assert_string_equal(heard(f), "EOF");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(csv_quotes_what_has_a_comma_or_a_quote),
		TEST(json_escapes_quotes_and_control_bytes),
		TEST(one_line_is_answered_and_then_it_closes),
		TEST(a_line_may_come_byte_by_byte),
		TEST(the_prompt_stays_until_quit),
		TEST(a_payload_is_taken_and_asked_for),
		TEST(severity_is_told_when_asked_for),
		TEST(lines_and_payloads_without_end_are_refused),
		TEST(a_payload_without_end_is_refused),
		TEST(a_reader_that_takes_nothing_costs_two_pieces_at_most),
		TEST(a_slow_reader_gets_all_of_it),
		TEST(silence_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
