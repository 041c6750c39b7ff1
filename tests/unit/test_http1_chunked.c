/* SPDX-License-Identifier: MIT */
/* The chunked coding: every row whole, cut at every byte, and byte by byte. */
#include "config.h"

#include "proto/http1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct chunked_row {
	const char *name;
	struct str input;
	const char *why;      /* refused for this reason; else see body */
	const char *body;     /* what it decodes to; NULL with why == NULL: incomplete */
	const char *trailers; /* "name=value !hop=value" */
	size_t behind;        /* bytes behind the end that are not the body's */
};

struct outcome {
	enum parse parse;
	const char *why;
	size_t used;
	char body[1024];
	size_t body_size;
	char trailers[512];
};

static void show_trailers(const struct http_head *trailers, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < trailers->fields_n; i++) {
		const struct http_field *field = &trailers->fields[i];

		at += (size_t)snprintf(out + at, size - at, "%s%s%.*s=%.*s", i ? " " : "",
				       field->is_hop ? "!" : "", STR_ARG(field->name),
				       STR_ARG(field->value));
	}
}

/*
 * Feeds what lies before each end in ENDS (the last is the whole), as an engine does: what a
 * call leaves stays in front of the next piece.
 */
static void decode(const struct chunked_row *row, const size_t *ends, size_t ends_n,
		   bool has_trailers, struct outcome *outcome)
{
	static struct http_head trailers;
	struct http1_chunked chunked;
	size_t taken = 0;

	memset(outcome, 0, sizeof(*outcome));
	http1_chunked_init(&chunked);
	for (size_t i = 0; i < ends_n; i++) {
		size_t used;

		do {
			size_t len = ends[i] - taken;
			char *copy = malloc(len ? len : 1);
			struct str data;

			assert_non_null(copy);
			memcpy(copy, row->input.p + taken, len);
			outcome->parse =
				http1_chunked_next(&chunked, copy, len, &used, &data,
						   has_trailers ? &trailers : NULL, &outcome->why);
			assert_true(used <= len);
			if (outcome->parse != PARSE_BAD && data.len) {
				assert_int_equal(outcome->parse, PARSE_MORE);
				assert_true(data.p >= copy && data.p + data.len <= copy + len);
				memcpy(outcome->body + outcome->body_size, data.p, data.len);
				outcome->body_size += data.len;
			}
			if (outcome->parse == PARSE_DONE && has_trailers)
				show_trailers(&trailers, outcome->trailers,
					      sizeof(outcome->trailers));
			free(copy);
			taken += used;
			outcome->used = taken;
		} while (outcome->parse == PARSE_MORE && used > 0);
		if (outcome->parse != PARSE_MORE)
			return;
	}
}

static void check_same(const struct chunked_row *row, const char *how, size_t at,
		       const struct outcome *got, const struct outcome *want)
{
	bool is_same = got->parse == want->parse && got->why == want->why;

	if (is_same && want->parse != PARSE_BAD)
		is_same = got->used == want->used && got->body_size == want->body_size &&
			  memcmp(got->body, want->body, want->body_size) == 0 &&
			  strcmp(got->trailers, want->trailers) == 0;
	if (!is_same)
		fail_msg("row '%s', %s %zu: %d (%s) %zu '%.*s' '%s' instead of %d (%s) %zu '%.*s' "
			 "'%s'",
			 row->name, how, at, got->parse, got->why ? got->why : "", got->used,
			 (int)got->body_size, got->body, got->trailers, want->parse,
			 want->why ? want->why : "", want->used, (int)want->body_size, want->body,
			 want->trailers);
}

static void replay_row(const struct chunked_row *row)
{
	static struct outcome whole, got;
	size_t len = row->input.len, *ends = malloc((len + 1) * sizeof(*ends));

	assert_non_null(ends);
	decode(row, &len, 1, true, &whole);
	for (size_t cut = 0; cut <= len; cut++) {
		size_t two[] = { cut, len };

		ends[cut] = cut;
		decode(row, two, 2, true, &got);
		check_same(row, "cut at", cut, &got, &whole);
		decode(row, two, 1, true, &got);
		if (got.parse != PARSE_MORE)
			check_same(row, "prefix of", cut, &got, &whole);
		if (got.parse == PARSE_DONE && cut < whole.used)
			fail_msg("row '%s': done too early", row->name);
	}
	decode(row, ends, len + 1, true, &got);
	check_same(row, "byte by byte", 0, &got, &whole);
	decode(row, ends, len + 1, false, &got);
	free(ends);
	whole.trailers[0] = '\0';
	check_same(row, "without trailers", 0, &got, &whole);
}

static void check_row(const struct chunked_row *row)
{
	static struct outcome whole, want;
	size_t len = row->input.len;

	decode(row, &len, 1, true, &whole);
	memset(&want, 0, sizeof(want));
	want.parse = row->why ? PARSE_BAD : row->body ? PARSE_DONE : PARSE_MORE;
	want.why = row->why;
	if (want.parse == PARSE_MORE) {
		assert_int_equal(whole.parse, PARSE_MORE);
	} else {
		if (row->body) {
			want.body_size = strlen(row->body);
			memcpy(want.body, row->body, want.body_size);
			want.used = len - row->behind;
		}
		if (row->trailers)
			memcpy(want.trailers, row->trailers, strlen(row->trailers));
		check_same(row, "whole", len, &whole, &want);
	}
	replay_row(row);
}

#define CHECK(rows)                                                                                \
	do {                                                                                       \
		for (size_t row = 0; row < ARRAY_N(rows); row++)                                   \
			check_row(&(rows)[row]);                                                   \
	} while (0)
#define END "0\r\n\r\n"

static void chunks_are_decoded(void **state)
{
	static const struct chunked_row rows[] = {
		{ "empty body", STR_INIT(END), .body = "" },
		{ "one chunk", STR_INIT("5\r\nhello\r\n" END), .body = "hello" },
		{ "two chunks", STR_INIT("5\r\nhello\r\n1\r\n!\r\n" END), .body = "hello!" },
		{ "upper and lower hex", STR_INIT("A\r\n0123456789\r\na\r\n0123456789\r\n" END),
		  .body = "01234567890123456789" },
		{ "zeros before", STR_INIT("0000000000000002\r\nab\r\n000\r\n\r\n"), .body = "ab" },
		{ "data that looks like chunks", STR_INIT("7\r\n0\r\n\r\n\r\n\r\n" END),
		  .body = "0\r\n\r\n\r\n" },
		{ "extension", STR_INIT("2;a=b\r\nab\r\n0;c\r\n\r\n"), .body = "ab" },
		{ "quoted extension", STR_INIT("2;a=\"b;\tc\\\"\xff\"\r\nab\r\n" END),
		  .body = "ab" },
		{ "empty extension", STR_INIT("2;\r\nab\r\n" END), .body = "ab" },
		{ "what follows is not ours", STR_INIT("1\r\na\r\n" END "GET / HTTP/1.1\r\n"),
		  .body = "a", .behind = 16 },
		{ "trailers", STR_INIT("1\r\na\r\n0\r\nX-Sum: 5 \r\nY:\r\n\r\n"), .body = "a",
		  .trailers = "X-Sum=5 Y=" },
		{ "trailers and more", STR_INIT("0\r\nX: y\r\n\r\n\1"), .body = "",
		  .trailers = "X=y", .behind = 1 },
		{ "trailers that may not be",
		  STR_INIT("0\r\nContent-Length: 5\r\nContent-Length: x\r\nHost: a\r\n"
			   "Transfer-Encoding: y\r\nAUTHORIZATION: z\r\nCookie: c\r\nX: y\r\n\r\n"),
		  .body = "",
		  .trailers = "!Content-Length=5 !Content-Length=x !Host=a !Transfer-Encoding=y "
			      "!AUTHORIZATION=z !Cookie=c X=y" },
		{ "incomplete size", STR_INIT("5"), NULL },
		{ "incomplete data", STR_INIT("5\r\nhell"), NULL },
		{ "incomplete end", STR_INIT("5\r\nhello\r\n0\r\n"), NULL },
		{ "incomplete trailers", STR_INIT("0\r\nX: y\r\n"), NULL },
		{ "nothing", STR_INIT(""), NULL },
		{ "the largest size", STR_INIT("7fffffffffffffff\r\nab"), NULL },
	};

	(void)state;
	CHECK(rows);
}

static void bad_chunks_are_refused(void **state)
{
	static const struct chunked_row rows[] = {
		{ "no size", STR_INIT("\r\n\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "extension alone", STR_INIT(";a\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "letter", STR_INIT("g\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "0x", STR_INIT("0x5\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "plus", STR_INIT("+5\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "minus", STR_INIT("-5\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "underscore", STR_INIT("1_0\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "comma", STR_INIT("5,5\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "space before", STR_INIT(" 5\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "space behind", STR_INIT("5 \r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "tab behind", STR_INIT("5\t\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "space before the extension", STR_INIT("5 ;a\r\nhello\r\n"),
		  HTTP1_BAD_CHUNK_SIZE },
		{ "NUL behind", STR_INIT("5\0\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "full-width digit", STR_INIT("\xef\xbc\x95\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "2^63", STR_INIT("8000000000000000\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "2^64", STR_INIT("10000000000000000\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "2^64 + 5", STR_INIT("10000000000000005\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "17 digits", STR_INIT("00000000000000005\r\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "all ones", STR_INIT("ffffffffffffffff\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "LF ends the size", STR_INIT("5\nhello\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "CR ends the size", STR_INIT("5\rhello\r\n"), HTTP1_BAD_LINE_END },
		{ "CR CR LF ends the size", STR_INIT("5\r\r\nhello\r\n"), HTTP1_BAD_LINE_END },
		{ "LF in the extension", STR_INIT("5;a\nhello\r\n"), HTTP1_BAD_LINE_END },
		{ "CR in the extension", STR_INIT("5;a\rb\r\nhello\r\n"), HTTP1_BAD_LINE_END },
		{ "LF in a quoted extension", STR_INIT("5;a=\"\n\"\r\nhello\r\n"),
		  HTTP1_BAD_LINE_END },
		{ "NUL in the extension", STR_INIT("5;a\0\r\nhello\r\n"), HTTP1_BAD_BYTE },
		{ "DEL in the extension", STR_INIT("5;a\x7f\r\nhello\r\n"), HTTP1_BAD_BYTE },
		{ "data too long", STR_INIT("4\r\nhello\r\n"), HTTP1_BAD_CHUNK_END },
		{ "data too short", STR_INIT("6\r\nhello\r\n0\r\n\r\n"), HTTP1_BAD_CHUNK_END },
		{ "LF ends the data", STR_INIT("5\r\nhello\n0\r\n\r\n"), HTTP1_BAD_CHUNK_END },
		{ "CR ends the data", STR_INIT("5\r\nhello\r0\r\n\r\n"), HTTP1_BAD_CHUNK_END },
		{ "two bytes instead of CR LF", STR_INIT("5\r\nhelloXX0\r\n\r\n"),
		  HTTP1_BAD_CHUNK_END },
		{ "empty line between", STR_INIT("1\r\na\r\n\r\n0\r\n\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "LF ends the last size", STR_INIT("0\n\r\n"), HTTP1_BAD_CHUNK_SIZE },
		{ "LF ends it all", STR_INIT("0\r\n\n"), HTTP1_BAD_LINE_END },
		{ "CR ends it all", STR_INIT("0\r\n\rx"), HTTP1_BAD_LINE_END },
		{ "a request for trailers", STR_INIT("0\r\nGET / HTTP/1.1\r\n\r\n"),
		  HTTP1_BAD_FIELD_SPACE },
		{ "folded trailer", STR_INIT("0\r\nX: y\r\n z\r\n\r\n"), HTTP1_BAD_FOLDING },
		{ "trailer without colon", STR_INIT("0\r\nX\r\n\r\n"), HTTP1_BAD_FIELD_NAME },
		{ "trailer with space before the colon", STR_INIT("0\r\nX : y\r\n\r\n"),
		  HTTP1_BAD_FIELD_SPACE },
		{ "trailer ended by LF", STR_INIT("0\r\nX: y\n\r\n"), HTTP1_BAD_LINE_END },
		{ "NUL in a trailer", STR_INIT("0\r\nX: \0y\r\n\r\n"), HTTP1_BAD_BYTE },
	};

	(void)state;
	CHECK(rows);
}

static const char *feed(struct http1_chunked *chunked, const char *buf, size_t len)
{
	const char *why = NULL;
	enum parse parse;
	struct str data;
	size_t used;

	do {
		parse = http1_chunked_next(chunked, buf, len, &used, &data, NULL, &why);
		buf += used;
		len -= used;
	} while (parse == PARSE_MORE && used > 0);
	return parse == PARSE_DONE ? "done" : parse == PARSE_BAD ? why : "more";
}

static void a_chunk_line_has_a_limit(void **state)
{
	static char line[HTTP1_CHUNK_LINE_MAX + 8];
	struct http1_chunked chunked;

	(void)state;
	memset(line, 'x', sizeof(line));
	line[0] = '5';
	line[1] = ';';
	memcpy(line + HTTP1_CHUNK_LINE_MAX - 2, "\r\n", 2);
	http1_chunked_init(&chunked);
	assert_string_equal(feed(&chunked, line, HTTP1_CHUNK_LINE_MAX), "more");
	memcpy(line + HTTP1_CHUNK_LINE_MAX - 2, "x\r\n", 3);
	http1_chunked_init(&chunked);
	assert_ptr_equal(feed(&chunked, line, HTTP1_CHUNK_LINE_MAX + 1), HTTP1_CHUNK_LINE_TOO_LONG);
	/* It holds for a line that comes in pieces, and before the line ends. */
	memset(line + 2, 'x', sizeof(line) - 2);
	http1_chunked_init(&chunked);
	for (size_t i = 0; i < HTTP1_CHUNK_LINE_MAX - 2; i++)
		assert_string_equal(feed(&chunked, line + i, 1), "more");
	assert_ptr_equal(feed(&chunked, line, 1), HTTP1_CHUNK_LINE_TOO_LONG);
}

static void a_trailer_section_has_limits(void **state)
{
	static char text[HTTP1_TRAILERS_SIZE_MAX + 8];
	struct http1_chunked chunked;
	size_t len = 3;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "0\r\nX:", 5);
	memcpy(text + 3 + HTTP1_TRAILERS_SIZE_MAX - 4, "\r\n\r\n", 4);
	http1_chunked_init(&chunked);
	assert_string_equal(feed(&chunked, text, 3 + HTTP1_TRAILERS_SIZE_MAX), "done");
	memcpy(text + 3 + HTTP1_TRAILERS_SIZE_MAX - 4, "x\r\n\r\n", 5);
	http1_chunked_init(&chunked);
	assert_ptr_equal(feed(&chunked, text, 4 + HTTP1_TRAILERS_SIZE_MAX), HTTP1_BAD_TRAILER);
	http1_chunked_init(&chunked);
	assert_ptr_equal(feed(&chunked, text, 3 + HTTP1_TRAILERS_SIZE_MAX), HTTP1_BAD_TRAILER);

	/* It holds for a section that comes in pieces. */
	http1_chunked_init(&chunked);
	assert_string_equal(feed(&chunked, text, 3), "more");
	assert_string_equal(feed(&chunked, text + 3, HTTP1_TRAILERS_SIZE_MAX - 2), "more");
	assert_string_equal(feed(&chunked, text + 3, HTTP1_TRAILERS_SIZE_MAX - 1), "more");
	assert_ptr_equal(feed(&chunked, text + 3, HTTP1_TRAILERS_SIZE_MAX), HTTP1_BAD_TRAILER);

	for (int i = 0; i <= HTTP1_FIELDS_MAX; i++, len += 4)
		memcpy(text + len, "a:\r\n", 4);
	http1_chunked_init(&chunked);
	assert_ptr_equal(feed(&chunked, text, len), HTTP1_TOO_MANY_FIELDS);
}

static void data_of_a_chunk_may_pass_unseen_and_nothing_else(void **state)
{
	static const char input[] = "a;x=y\r\n0123456789\r\n0\r\n\r\n";
	struct http1_chunked chunked;
	const char *why;
	struct str data;
	size_t used;

	(void)state;
	http1_chunked_init(&chunked);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(http1_chunked_unseen(&chunked), 0);
		http1_chunked_skip(&chunked, 0);
		assert_int_equal(
			http1_chunked_next(&chunked, input + i, 1, &used, &data, NULL, &why),
			PARSE_MORE);
	}
	assert_int_equal(http1_chunked_unseen(&chunked), 10);
	http1_chunked_skip(&chunked, 4);
	assert_int_equal(http1_chunked_next(&chunked, input + 11, 1, &used, &data, NULL, &why),
			 PARSE_MORE);
	assert_int_equal(data.len, 1);
	assert_int_equal(http1_chunked_unseen(&chunked), 5);
	http1_chunked_skip(&chunked, 5);
	assert_int_equal(http1_chunked_unseen(&chunked), 0);
	assert_int_equal(http1_chunked_next(&chunked, input + 17, 7, &used, &data, NULL, &why),
			 PARSE_DONE);
	assert_int_equal(http1_chunked_unseen(&chunked), 0);

	http1_chunked_init(&chunked);
	(void)!http1_chunked_next(&chunked, "1\r\n", 3, &used, &data, NULL, &why);
	http1_chunked_skip(&chunked, 1);
	assert_int_equal(http1_chunked_next(&chunked, "x", 1, &used, &data, NULL, &why), PARSE_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_are_decoded),
		cmocka_unit_test(bad_chunks_are_refused),
		cmocka_unit_test(a_chunk_line_has_a_limit),
		cmocka_unit_test(a_trailer_section_has_limits),
		cmocka_unit_test(data_of_a_chunk_may_pass_unseen_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
