/* SPDX-License-Identifier: MIT */
/* Field sections of HTTP/2 to heads of HTTP/1.1 and back; limits of a connection. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "session/h2_head.h"
#include "session/h2_limits.h"

#define FIELDS_MAX 12
#define GET                                                                                        \
	{ ":method", "GET" }, { ":scheme", "https" },                                              \
	{                                                                                          \
		":path", "/x?y=1"                                                                  \
	}
#define CONNECT                                                                                    \
	{ ":method", "CONNECT" }, { ":protocol", "websocket" }, { ":scheme", "https" },            \
		{ ":path", "/chat" },                                                              \
	{                                                                                          \
		":authority", "a.test"                                                             \
	}

struct row {
	const char *name;
	struct {
		const char *name, *value;
	} fields[FIELDS_MAX];
	const char *want; /* the head, or NULL: refused */
	unsigned status;
	bool is_open; /* a body follows */
	size_t body_size;
};

static const struct row rows[] = {
	{ "a GET",
	  { GET, { ":authority", "a.test" }, { "accept", "*/*" } },
	  "GET /x?y=1 HTTP/1.1\r\nhost: a.test\r\naccept: */*\r\nConnection: close\r\n\r\n" },
	{ "Host alone, between fields",
	  { GET, { "x-a", "1" }, { "host", "a.test" }, { "x-b", "2" } },
	  "GET /x?y=1 HTTP/1.1\r\nx-a: 1\r\nhost: a.test\r\nx-b: 2\r\nConnection: close\r\n\r\n" },
	{ "Host first",
	  { GET, { "host", "a.test" }, { "x-b", "" } },
	  "GET /x?y=1 HTTP/1.1\r\nhost: a.test\r\nx-b: \r\nConnection: close\r\n\r\n" },
	{ "cookies are joined",
	  { GET, { "cookie", "a=1" }, { "x-a", "1" }, { "cookie", "b=2" } },
	  "GET /x?y=1 HTTP/1.1\r\nx-a: 1\r\ncookie: a=1; b=2\r\nConnection: close\r\n\r\n" },
	{ "TE and HTTP2-Settings go",
	  { GET, { "te", "trailers" }, { "http2-settings", "x" } },
	  "GET /x?y=1 HTTP/1.1\r\nConnection: close\r\n\r\n" },
	{ "a body of unknown length",
	  { GET },
	  "GET /x?y=1 HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
	  0,
	  true },
	{ "a body that is here",
	  { GET },
	  "GET /x?y=1 HTTP/1.1\r\nConnection: close\r\nContent-Length: 7\r\n\r\n",
	  0,
	  false,
	  7 },
	{ "a length of its own",
	  { GET, { "content-length", "5" } },
	  "GET /x?y=1 HTTP/1.1\r\ncontent-length: 5\r\nConnection: close\r\n\r\n",
	  0,
	  true },
	{ "OPTIONS *",
	  { { ":method", "OPTIONS" }, { ":scheme", "http" }, { ":path", "*" } },
	  "OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n" },
	{ "a WebSocket",
	  { CONNECT, { "sec-websocket-version", "13" }, { "sec-websocket-key", "theirs" } },
	  "GET /chat HTTP/1.1\r\nhost: a.test\r\nsec-websocket-version: 13\r\n"
	  "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: KEY\r\n\r\n",
	  0,
	  true },
	{ "another :protocol",
	  { { ":method", "CONNECT" },
	    { ":protocol", "x" },
	    { ":scheme", "http" },
	    { ":path", "/" } },
	  NULL,
	  501 },
	{ "a plain CONNECT", { { ":method", "CONNECT" }, { ":authority", "a:1" } }, NULL, 501 },
	{ ":protocol with GET", { GET, { ":protocol", "websocket" } }, NULL, 400 },
	{ "no method", { { ":scheme", "http" }, { ":path", "/" } }, NULL, 400 },
	{ "no path", { { ":method", "GET" }, { ":scheme", "http" } }, NULL, 400 },
	{ "no scheme", { { ":method", "GET" }, { ":path", "/" } }, NULL, 400 },
	{ "another scheme",
	  { { ":method", "GET" }, { ":scheme", "ftp" }, { ":path", "/" } },
	  NULL,
	  400 },
	{ "a path with a space",
	  { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/ x" } },
	  NULL,
	  400 },
	{ "a path with a line end",
	  { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "/\r\nx: y" } },
	  NULL,
	  400 },
	{ "a relative path",
	  { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "x" } },
	  NULL,
	  400 },
	{ "GET *", { { ":method", "GET" }, { ":scheme", "http" }, { ":path", "*" } }, NULL, 400 },
	{ "a method with a space",
	  { { ":method", "GET /" }, { ":scheme", "http" }, { ":path", "/" } },
	  NULL,
	  400 },
	/* The parser refuses these: below. */
	{ "a bad authority",
	  { GET, { ":authority", "u@a" } },
	  "GET /x?y=1 HTTP/1.1\r\nhost: u@a\r\nConnection: close\r\n\r\n" },
	{ "an empty authority",
	  { GET, { ":authority", "" } },
	  "GET /x?y=1 HTTP/1.1\r\nhost: \r\nConnection: close\r\n\r\n" },
	{ "an authority with a space",
	  { GET, { ":authority", "a b" } },
	  "GET /x?y=1 HTTP/1.1\r\nhost: a b\r\nConnection: close\r\n\r\n" },
	{ "two hosts", { GET, { "host", "a" }, { "host", "a" } }, NULL, 400 },
	{ "hosts that differ", { GET, { ":authority", "a" }, { "host", "b" } }, NULL, 400 },
	{ "hosts that differ in case",
	  { GET, { ":authority", "a" }, { "host", "A" } },
	  "GET /x?y=1 HTTP/1.1\r\nhost: a\r\nConnection: close\r\n\r\n" },
	{ "a pseudo-field behind a field",
	  { { ":method", "GET" }, { "x", "y" }, { ":path", "/" }, { ":scheme", "http" } },
	  NULL,
	  400 },
	{ "a pseudo-field twice", { GET, { ":path", "/" } }, NULL, 400 },
	{ "an unknown pseudo-field", { GET, { ":status", "200" } }, NULL, 400 },
	{ "a bad pseudo-field, told when the first field comes",
	  { { ":method", "GET" }, { ":scheme", "ftp" }, { ":path", "/" }, { "Bad", "1" } },
	  NULL,
	  400 },
	{ "Host that repeats :authority, twice",
	  { GET, { ":authority", "a" }, { "host", "a" }, { "host", "a" } },
	  NULL,
	  400 },
	{ "a line end in Host", { GET, { "host", "a\r\nb: c" } }, NULL, 400 },
	{ "a line end in :authority", { GET, { ":authority", "a\r\nb: c" } }, NULL, 400 },
	{ "a control byte in a name", { GET, { "x\x01", "1" } }, NULL, 400 },
	{ "a tab before a value", { GET, { "x", "\t1" } }, NULL, 400 },
	{ "letters outside ASCII in a name", { GET, { "x\xe9", "1" } }, NULL, 400 },
	{ "upper case", { GET, { "X-A", "1" } }, NULL, 400 },
	{ "a bad name", { GET, { "x a", "1" } }, NULL, 400 },
	{ "no name", { GET, { "", "1" } }, NULL, 400 },
	{ "a line end in a value", { GET, { "x", "1\r\ny: 2" } }, NULL, 400 },
	{ "a lone LF in a value", { GET, { "x", "1\n2" } }, NULL, 400 },
	{ "white space around a value", { GET, { "x", "1 " } }, NULL, 400 },
	{ "connection", { GET, { "connection", "x" } }, NULL, 400 },
	{ "transfer-encoding", { GET, { "transfer-encoding", "chunked" } }, NULL, 400 },
	{ "upgrade", { GET, { "upgrade", "x" } }, NULL, 400 },
	{ "te", { GET, { "te", "gzip" } }, NULL, 400 },
	{ "too large",
	  { GET,
	    { "x-long",
	      "0123456789012345678901234567890123456789012345678901234567890123456789"
	      "0123456789012345678901234567890123456789012345678901234567890123456789" } },
	  NULL,
	  431 },
};

static void check_row(const struct row *row)
{
	struct h2_request request = { .is_ended = !row->is_open,
				      .body_size = row->body_size,
				      .key = "KEY" };
	struct h2_head head;
	struct buf out = { 0 };
	bool is_good;

	h2_head_init(&head, 150);
	for (unsigned i = 0; i < FIELDS_MAX && row->fields[i].name; i++)
		h2_head_add(&head, str_of(row->fields[i].name), str_of(row->fields[i].value));
	is_good = h2_head_write(&head, &request, &out);
	if (is_good != (row->want != NULL) || (!is_good && head.status != row->status))
		fail_msg("%s: %d, status %u", row->name, is_good, head.status);
	if (is_good && !str_eq(buf_str(&out), str_of(row->want)))
		fail_msg("%s:\n%.*s", row->name, STR_ARG(buf_str(&out)));
	if (is_good)
		assert_int_equal(request.is_chunked, strstr(row->want, "chunked") != NULL);
	buf_release(&out);
	h2_head_fini(&head);
}

static void requests_become_heads_or_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		check_row(&rows[i]);
}

static void what_is_written_is_what_the_parser_reads(void **state)
{
	static struct http_head parsed;
	struct http1_limits limits = { 1000, 1000 };
	const char *why = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct str want = str_of(rows[i].want);
		enum parse parse;

		if (!want.p)
			continue;
		parse = http1_parse_request(want.p, want.len, 0, &limits, &parsed, &why);
		if (strstr(rows[i].name, "authority") && !strstr(want.p, "host: a\r"))
			assert_ptr_equal(why, HTTP1_BAD_HOST);
		else if (strstr(want.p, "host: "))
			assert_int_equal(parse, PARSE_DONE);
		else
			assert_ptr_equal(why, HTTP1_NO_HOST);
		if (parse == PARSE_DONE)
			assert_int_equal(parsed.size, want.len);
	}
}

static void trailers_are_checked_as_fields_are(void **state)
{
	struct buf lines = { 0 };
	char *large = xcalloc(1, HTTP1_TRAILERS_SIZE_MAX + 1);

	(void)state;
	memset(large, 'x', HTTP1_TRAILERS_SIZE_MAX);
	assert_true(h2_trailer_add(&lines, STR("x-a"), STR("1")));
	assert_true(h2_trailer_add(&lines, STR("content-length"), STR("1"))); /* left out */
	assert_false(h2_trailer_add(&lines, STR(":path"), STR("/")));
	assert_false(h2_trailer_add(&lines, STR("X-A"), STR("1")));
	assert_false(h2_trailer_add(&lines, STR("x-a"), STR("1\r\n")));
	assert_false(h2_trailer_add(&lines, STR("x-a"), str_of(large)));
	assert_true(str_eq(buf_str(&lines), STR("x-a: 1\r\n")));
	buf_release(&lines);
	free(large);
}

static nghttp2_nv fields[4];
static struct h2_response response;

static enum parse read_text(struct str text)
{
	response = (struct h2_response){ .fields = fields, .fields_max = 4 };
	return h2_response_read(text, &response);
}

static void read_response(const char *text)
{
	struct str body = STR("HTTP/1.1 500 not a head");
	char whole[512];

	snprintf(whole, sizeof(whole), "%s%.*s", text, STR_ARG(body));
	for (size_t n = 0; n < strlen(text); n++)
		assert_int_equal(read_text((struct str){ text, n }), PARSE_MORE);
	assert_int_equal(read_text(str_of(whole)), PARSE_DONE);
	assert_int_equal(response.size, strlen(text));
	/* The fields are views into it. */
	assert_int_equal(read_text(str_of(text)), PARSE_DONE);
}

static void responses_lose_what_belongs_to_a_connection(void **state)
{
	(void)state;
	read_response("HTTP/1.1 200 OK\r\nX-Upper: Value\r\nConnection: close\r\n"
		      "Keep-Alive: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(response.status, 200);
	assert_int_equal(response.fields_n, 2);
	assert_memory_equal(fields[0].value, "200", 3);
	assert_memory_equal(fields[1].name, "X-Upper", 7); /* nghttp2 sends lower case */
	assert_int_equal(fields[1].flags, NGHTTP2_NV_FLAG_NONE);
	assert_memory_equal(fields[1].value, "Value", 5);
	assert_int_equal(response.framing, FRAMING_CHUNKED);
}

static void framing_of_a_response_is_told(void **state)
{
	static const struct {
		const char *text;
		enum http_framing framing;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", FRAMING_LENGTH },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", FRAMING_NONE },
		{ "HTTP/1.1 200 OK\r\n\r\n", FRAMING_CLOSE },
		{ "HTTP/1.1 204 No\r\n\r\n", FRAMING_NONE },
		{ "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", FRAMING_NONE },
		{ "HTTP/1.1 103 Hint\r\nLink: x\r\n\r\n", FRAMING_NONE },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		read_response(cases[i].text);
		assert_int_equal(response.framing, cases[i].framing);
	}
}

static void accept_of_a_switch_is_taken_out(void **state)
{
	(void)state;
	read_response("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Accept: abc=\r\nSec-WebSocket-Protocol: chat\r\n\r\n");
	assert_true(str_eq(response.accept, STR("abc=")));
	assert_int_equal(response.fields_n, 2);
	assert_memory_equal(fields[1].name, "Sec-WebSocket-Protocol", 22);
}

static void what_is_no_head_is_refused(void **state)
{
	static const char *const texts[] = {
		"\r\n",
		"HTTP/2 200\r\n\r\n",
		"HTTP/1.1 99 X\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"HTTP/1.1 200 OK\nX: y\n\n",
		"HTTP/1.1 200 OK\r\na: 1\r\nb: 1\r\nc: 1\r\nd: 1\r\n\r\n"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (read_text(str_of(texts[i])) != PARSE_BAD)
			fail_msg("taken: %s", texts[i]);
}

static void white_space_around_a_value_is_left_out(void **state)
{
	(void)state;
	read_response("HTTP/1.1 200 OK\r\nA:  1 \t\r\nB:\r\nC: \r\n\r\n");
	assert_int_equal(response.fields_n, 4);
	assert_int_equal(fields[1].valuelen, 1);
	assert_int_equal(fields[2].valuelen, 0);
	assert_int_equal(fields[3].valuelen, 0);
}

static void resets_are_counted_in_spans(void **state)
{
	struct h2_limits limits;

	(void)state;
	h2_limits_init(&limits, 3, 1000);
	for (int i = 0; i < 3; i++)
		assert_null(h2_limits_reset(&limits, 1000));
	assert_non_null(h2_limits_reset(&limits, 10999));
	assert_null(h2_limits_reset(&limits, 11000));
}

static const char *frames(struct h2_limits *limits, uint8_t type, uint8_t flags, size_t length,
			  unsigned n)
{
	const nghttp2_frame_hd hd = { .type = type, .flags = flags, .length = length };
	const char *why = NULL;

	while (n-- && !why)
		why = h2_limits_frame(limits, &hd, 1000);
	return why;
}

static void frames_that_carry_nothing_are_counted(void **state)
{
	struct h2_limits limits;

	(void)state;
	h2_limits_init(&limits, 3, 1000);
	assert_null(frames(&limits, NGHTTP2_DATA, 0, 10, 100000));
	assert_null(frames(&limits, NGHTTP2_HEADERS, 0, 10, 100000));
	assert_null(frames(&limits, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 0, 100000));
	assert_null(frames(&limits, NGHTTP2_PING, 0, 8, H2_EMPTY_FRAMES_MAX));
	assert_non_null(frames(&limits, NGHTTP2_DATA, 0, 0, 1));
	h2_limits_init(&limits, 3, 1000);
	assert_non_null(frames(&limits, NGHTTP2_SETTINGS, 0, 0, H2_EMPTY_FRAMES_MAX + 1));
}

static void window_updates_are_explained_by_what_was_sent(void **state)
{
	struct h2_limits limits;

	(void)state;
	h2_limits_init(&limits, 3, 1000);
	assert_null(frames(&limits, NGHTTP2_WINDOW_UPDATE, 0, 4, H2_EMPTY_FRAMES_MAX));
	h2_limits_sent(&limits, 16384);
	assert_null(frames(&limits, NGHTTP2_WINDOW_UPDATE, 0, 4, 64));
	assert_non_null(frames(&limits, NGHTTP2_WINDOW_UPDATE, 0, 4, 64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_become_heads_or_are_refused),
		cmocka_unit_test(what_is_written_is_what_the_parser_reads),
		cmocka_unit_test(trailers_are_checked_as_fields_are),
		cmocka_unit_test(responses_lose_what_belongs_to_a_connection),
		cmocka_unit_test(framing_of_a_response_is_told),
		cmocka_unit_test(accept_of_a_switch_is_taken_out),
		cmocka_unit_test(what_is_no_head_is_refused),
		cmocka_unit_test(white_space_around_a_value_is_left_out),
		cmocka_unit_test(resets_are_counted_in_spans),
		cmocka_unit_test(frames_that_carry_nothing_are_counted),
		cmocka_unit_test(window_updates_are_explained_by_what_was_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
