/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/server.h"
#include "proto/http1.h"

static struct frontend_state *fe, *fe2;
static struct backend_state *be;
static struct capture *got;

static int make(void **state)
{
	(void)state;
	fe = frontend_state_get(STR("fe"));
	fe2 = frontend_state_get(STR("fe2"));
	be = backend_state_get(STR("be"));
	got = xcalloc(1, sizeof(*got));
	return 0;
}

static int drop(void **state)
{
	(void)state;
	free(got);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	capture_clear();
	return 0;
}

static struct capture_facts facts_of(struct frontend_state *frontend)
{
	return (struct capture_facts){
		.frontend = frontend,
		.backend = be,
		.why = "why",
		.uri_size_max = 8192,
		.head_size_max = 15360,
		.error_at = CAPTURE_HEAD,
	};
}

static void take(struct frontend_state *frontend, const char *text)
{
	struct capture_facts facts = facts_of(frontend);

	capture_request(&facts, str_of(text));
}

static void nothing_is_there_at_first(void **state)
{
	(void)state;
	assert_int_equal(capture_next(false, 0, got), 0);
	assert_int_equal(capture_next(true, 0, got), 0);
	assert_int_equal(capture_events(), 0);
}

static void last_one_of_each_proxy_is_kept_and_all_are_counted(void **state)
{
	(void)state;
	take(fe, "one");
	take(fe2, "two");
	take(fe, "three");
	assert_int_equal(capture_events(), 3);
	assert_int_equal(capture_next(false, 0, got), fe->id);
	assert_int_equal(got->event, 2);
	assert_int_equal(got->length, 5);
	assert_memory_equal(got->bytes, "three", 5);
	assert_int_equal(capture_next(false, fe->id, got), fe2->id);
	assert_memory_equal(got->bytes, "two", 3);
	assert_int_equal(capture_next(false, fe2->id, got), 0);
}

static void responses_are_filed_under_their_backend(void **state)
{
	struct capture_facts facts = facts_of(fe);

	(void)state;
	capture_response(&facts, STR("HTTP/1.1 x"));
	assert_int_equal(capture_next(false, 0, got), 0);
	assert_int_equal(capture_next(true, 0, got), be->id);
	assert_true(got->is_response);
	assert_int_equal(capture_error_at(got), 9);
}

static void what_is_cleared_is_gone(void **state)
{
	(void)state;
	take(fe, "secret");
	capture_clear();
	assert_int_equal(capture_next(false, 0, got), 0);
	assert_int_equal(capture_events(), 0);
	take(fe2, "next");
	assert_int_equal(capture_next(false, 0, got), fe2->id);
	assert_int_equal(got->event, 0);
}

static void long_message_is_kept_to_the_buffers_size(void **state)
{
	char *text = xmalloc(CAPTURE_SIZE + 100);
	struct capture_facts facts = facts_of(fe);

	(void)state;
	memset(text, 'x', CAPTURE_SIZE + 100);
	capture_request(&facts, (struct str){ text, CAPTURE_SIZE + 100 });
	free(text);
	assert_int_equal(capture_next(false, 0, got), fe->id);
	assert_int_equal(got->length, CAPTURE_SIZE + 100);
	assert_true(capture_error_at(got) < 100); /* a method is not that long */
}

/* The first byte with which the head is bad: one less is not. */
static void error_position_is_the_first_byte_that_shows_it(void **state)
{
	static const char *const heads[] = {
		"G\x01T / HTTP/1.1\r\n\r\n",
		"GET  / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n",
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
		"chunked\r\n\r\n",
	};
	struct http1_limits limits = { 8192, 15360 };
	struct http_head *head = xmalloc(sizeof(*head));

	(void)state;
	for (size_t i = 0; i < ARRAY_N(heads); i++) {
		const char *why;
		size_t at;

		take(fe, heads[i]);
		assert_int_equal(capture_next(false, 0, got), fe->id);
		at = capture_error_at(got);
		assert_true(at < strlen(heads[i]));
		assert_int_equal(http1_parse_request(heads[i], at + 1, 0, &limits, head, &why),
				 PARSE_BAD);
		assert_int_equal(http1_parse_request(heads[i], at, 0, &limits, head, &why),
				 PARSE_MORE);
	}
	free(head);
}

static void known_position_of_a_body_is_told_as_it_is(void **state)
{
	struct capture_facts facts = facts_of(fe);

	(void)state;
	facts.error_at = 2;
	capture_request(&facts, STR("\r\nzz"));
	assert_int_equal(capture_next(false, 0, got), fe->id);
	assert_int_equal(capture_error_at(got), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(nothing_is_there_at_first, forget),
		cmocka_unit_test_teardown(last_one_of_each_proxy_is_kept_and_all_are_counted,
					  forget),
		cmocka_unit_test_teardown(responses_are_filed_under_their_backend, forget),
		cmocka_unit_test_teardown(what_is_cleared_is_gone, forget),
		cmocka_unit_test_teardown(long_message_is_kept_to_the_buffers_size, forget),
		cmocka_unit_test_teardown(error_position_is_the_first_byte_that_shows_it, forget),
		cmocka_unit_test_teardown(known_position_of_a_body_is_told_as_it_is, forget),
	};

	return cmocka_run_group_tests_name("capture", tests, make, drop);
}
