/* SPDX-License-Identifier: MIT */
/* Names and classes of HTTP/1.x, and the vectorised scanners against plain loops. */
#include "config.h"

#include "proto/http1.h"
#include "proto/http1_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void every_known_field_is_found_in_any_case(void **state)
{
	static const struct {
		enum http_field_id id;
		const char *name;
	} rows[] = {
#define HTTP1_FIELD(id, len, first, last_but_one, name, flags) { id, name },
#include "proto/http1_fields.def"
#undef HTTP1_FIELD
	};

	(void)state;
	assert_int_equal(ARRAY_N(rows), HTTP_FIELD_N - 1);
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str name = str_of(rows[i].name);
		char upper[32];

		assert_int_equal(http_field_id_of(name), rows[i].id);
		for (size_t at = 0; at < name.len; at++) {
			char c = name.p[at];

			upper[at] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
		}
		assert_int_equal(http_field_id_of((struct str){ upper, name.len }), rows[i].id);
		/* One byte changed is another field. */
		for (size_t at = 0; at < name.len; at++) {
			upper[at] ^= 1;
			assert_int_not_equal(http_field_id_of((struct str){ upper, name.len }),
					     rows[i].id);
			upper[at] ^= 1;
		}
		assert_int_not_equal(http_field_id_of((struct str){ name.p, name.len - 1 }),
				     rows[i].id);
	}
}

static void bytes_that_differ_by_the_case_bit_are_not_confused(void **state)
{
	(void)state;
	assert_int_equal(http_field_id_of(STR("content\rlength")), FIELD_OTHER);
	assert_int_equal(http_field_id_of(STR("http\x12-settings")), FIELD_OTHER);
	assert_int_equal(http_field_id_of(STR("")), FIELD_OTHER);
	assert_int_equal(http_field_id_of(STR("e")), FIELD_OTHER);
}

static void a_field_is_found_by_name(void **state)
{
	static const char text[] =
		"GET / HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nx-a: 2\r\nX-A: 3\r\n\r\n";
	const struct http1_limits limits = { 100, 1000 };
	struct http_head head;
	const char *why;

	(void)state;
	assert_int_equal(http1_parse_request(text, sizeof(text) - 1, 0, &limits, &head, &why),
			 PARSE_DONE);
	assert_ptr_equal(http_head_find(&head, STR("HOST")), &head.fields[0]);
	assert_ptr_equal(http_head_find(&head, STR("X-A")), &head.fields[2]);
	assert_null(http_head_find(&head, STR("X-C")));
	assert_null(http_head_find(&head, STR("Cookie")));
	assert_ptr_equal(http_head_first(&head, FIELD_HOST), &head.fields[0]);
	assert_null(http_head_first(&head, FIELD_COOKIE));
}

static void every_why_has_its_status(void **state)
{
	(void)state;
	assert_int_equal(http1_status_of(HTTP1_BAD_BYTE), 400);
	assert_int_equal(http1_status_of(HTTP1_TARGET_TOO_LONG), 414);
	assert_int_equal(http1_status_of(HTTP1_HEAD_TOO_LARGE), 431);
	assert_int_equal(http1_status_of(HTTP1_BAD_EXPECT), 417);
	assert_int_equal(http1_status_of(HTTP1_NO_CONNECT), 501);
	assert_int_equal(http1_status_of(HTTP1_BAD_VERSION), 505);
	assert_int_equal(http1_status_of("something else"), 400);
}

static void methods_and_statuses_have_names(void **state)
{
	(void)state;
	assert_string_equal(http_method_name(HTTP_GET), "GET");
	assert_string_equal(http_method_name(HTTP_PATCH), "PATCH");
	for (int i = 0; i < HTTP_METHOD_N; i++)
		assert_int_not_equal(strlen(http_method_name((enum http_method)i)), 0);
	assert_string_equal(http_status_reason(404), "Not Found");
	assert_string_equal(http_status_reason(101), "Switching Protocols");
	assert_string_equal(http_status_reason(299), "");
	assert_string_equal(http_status_reason(0), "");
	assert_string_equal(http_status_reason(70000), "");
}

static void tokens_values_and_authorities_are_told_apart(void **state)
{
	(void)state;
	assert_true(http_is_token(STR("X-a_!")));
	assert_false(http_is_token(STR("")));
	assert_false(http_is_token(STR("a b")));
	assert_false(http_is_token(STR("a:")));
	assert_true(http_is_field_value(STR("a b\tc\xff")));
	assert_true(http_is_field_value(STR("")));
	assert_false(http_is_field_value(STR(" a")));
	assert_false(http_is_field_value(STR("a\t")));
	assert_false(http_is_field_value(STR("a\r\nSet-Cookie: x")));
	assert_false(http_is_field_value(STR("a\0b")));
	assert_true(http_is_authority(STR("a.b:80")));
	assert_false(http_is_authority(STR("")));
	assert_false(http_is_authority(STR("u@a")));
	/* Not what lies behind it. */
	assert_false(http_is_authority((struct str){ "a%2f", 3 }));
	assert_false(http_is_authority((struct str){ "a%2f", 2 }));
}

static void chunk_lines_are_written(void **state)
{
	static const struct {
		uint64_t size;
		const char *line;
	} rows[] = {
		{ 1, "1\r\n" },         { 15, "f\r\n" },
		{ 16, "10\r\n" },       { 0x1a2b, "1a2b\r\n" },
		{ 65536, "10000\r\n" }, { UINT64_MAX, "ffffffffffffffff\r\n" },
	};
	char out[20];

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		assert_int_equal(http1_chunk_line(out, rows[i].size), strlen(rows[i].line));
		assert_memory_equal(out, rows[i].line, strlen(rows[i].line));
	}
}

typedef const char *scan_fn(const char *p, const char *end);

static bool plain_is_value(unsigned char c)
{
	return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool plain_is_target(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != '#';
}

static bool plain_is_token(unsigned char c)
{
	return c && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		     (c < 0x80 && strchr("!#$%&'*+-.^_`|~", c)));
}

/* What stands before P may be looked at, back to FLOOR, but must not matter. */
typedef const char *floor_scan_fn(const char *floor, const char *p, const char *end);

static void check_floor_scan(floor_scan_fn *scan, bool (*is_in)(unsigned char c), char filler)
{
	for (size_t len = 1; len < 52; len++) {
		char *buf = malloc(len);

		assert_non_null(buf);
		for (size_t from = 0; from < len; from++) {
			memset(buf, '\x7f', from);
			memset(buf + from, filler, len - from);
			assert_ptr_equal(scan(buf, buf + from, buf + len), buf + len);
			assert_ptr_equal(scan(buf + from, buf + from, buf + len), buf + len);
			for (size_t at = from; at < len; at++) {
				for (unsigned c = 0; c < 256; c += c < 0x30 || c > 0x7c ? 1 : 7) {
					const char *want =
						buf + (is_in((unsigned char)c) ? len : at);

					buf[at] = (char)c;
					if (scan(buf, buf + from, buf + len) != want)
						fail_msg("byte %02x at %zu of %zu, from %zu", c, at,
							 len, from);
				}
				buf[at] = filler;
			}
		}
		free(buf);
	}
}

/* Every byte at every place of runs of every length, each in memory of just its size. */
static void check_scan(scan_fn *scan, bool (*is_in)(unsigned char c), char filler)
{
	for (size_t len = 1; len < 52; len++) {
		char *buf = malloc(len);

		assert_non_null(buf);
		memset(buf, filler, len);
		assert_ptr_equal(scan(buf, buf + len), buf + len);
		for (size_t at = 0; at < len; at++) {
			for (unsigned c = 0; c < 256; c++) {
				const char *want = buf + (is_in((unsigned char)c) ? len : at);

				buf[at] = (char)c;
				if (scan(buf, buf + len) != want)
					fail_msg("byte %02x at %zu of %zu", c, at, len);
			}
			buf[at] = filler;
		}
		free(buf);
	}
}

static void scanners_agree_with_plain_loops(void **state)
{
	(void)state;
	check_floor_scan(http1_scan_value, plain_is_value, 'v');
	check_floor_scan(http1_scan_value, plain_is_value, '\t');
	check_floor_scan(http1_scan_value, plain_is_value, '\xff');
	check_floor_scan(http1_scan_target, plain_is_target, '/');
	check_scan(http1_scan_token, plain_is_token, 'T');
	check_scan(http1_scan_token, plain_is_token, '~');
}

static void portable_scanners_agree_with_plain_loops(void **state)
{
	(void)state;
	check_scan(http1_scan_value_swar, plain_is_value, 'v');
	check_scan(http1_scan_value_swar, plain_is_value, '\t');
	check_scan(http1_scan_value_swar, plain_is_value, '\x80');
	check_scan(http1_scan_target_swar, plain_is_target, '/');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_known_field_is_found_in_any_case),
		cmocka_unit_test(bytes_that_differ_by_the_case_bit_are_not_confused),
		cmocka_unit_test(a_field_is_found_by_name),
		cmocka_unit_test(every_why_has_its_status),
		cmocka_unit_test(methods_and_statuses_have_names),
		cmocka_unit_test(tokens_values_and_authorities_are_told_apart),
		cmocka_unit_test(chunk_lines_are_written),
		cmocka_unit_test(scanners_agree_with_plain_loops),
		cmocka_unit_test(portable_scanners_agree_with_plain_loops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
