/* SPDX-License-Identifier: MIT */
/* engineio: queries, paths, and the answer to an unknown sid. */
#include "config.h"

#include "proto/engineio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bug.h"

#define SID20  "2lAdVqdI6ds0HKJ7AAAA"
#define X10    "xxxxxxxxxx"
#define X100   X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define SID128 X100 X10 X10 "12345678"
static const struct query_row {
	const char *query;
	const char *sid; /* NULL = a handshake */
	uint8_t version;
	enum engineio_transport transport;
	bool is_jsonp, is_too_long;
} query_rows[] = {
	{ "", NULL, 0, ENGINEIO_OTHER, false },
	{ "EIO=4&transport=polling", NULL, 4, ENGINEIO_POLLING, false },
	{ "EIO=4&transport=polling&t=abc&sid=" SID20, SID20, 4, ENGINEIO_POLLING, false },
	{ "sid=" SID20 "&transport=websocket&EIO=3", SID20, 3, ENGINEIO_WEBSOCKET, false },
	{ "EIO=2&sid=a", "a", 2, ENGINEIO_OTHER, false },
	{ "EIO=5&sid=a", "a", 0, ENGINEIO_OTHER, false },
	{ "EIO=44&sid=a", "a", 0, ENGINEIO_OTHER, false },
	{ "EIO=3&EIO=4", NULL, 4, ENGINEIO_OTHER, false },
	{ "eio=4", NULL, 0, ENGINEIO_OTHER, false },
	{ "transport=webtransport", NULL, 0, ENGINEIO_OTHER, false },
	{ "transport=polling&transport=websocket", NULL, 0, ENGINEIO_WEBSOCKET, false },
	{ "transport=%70olling&E%49O=%34", NULL, 4, ENGINEIO_POLLING, false },
	/* JSONP. */
	{ "EIO=3&transport=polling&j=0", NULL, 3, ENGINEIO_POLLING, true },
	{ "j=", NULL, 0, ENGINEIO_OTHER, true },
	{ "%6a=1", NULL, 0, ENGINEIO_OTHER, true },
	{ "jj=1&J=1", NULL, 0, ENGINEIO_OTHER, false },
	/* Fact 6: the last wins, an empty one is a handshake, others are not it. */
	{ "sid=a&sid=b", "b", 0, ENGINEIO_OTHER, false },
	{ "sid=a&sid=", NULL, 0, ENGINEIO_OTHER, false },
	{ "sid=a&sid", NULL, 0, ENGINEIO_OTHER, false },
	{ "sid=&sid=a", "a", 0, ENGINEIO_OTHER, false },
	{ "sid=", NULL, 0, ENGINEIO_OTHER, false },
	{ "sid", NULL, 0, ENGINEIO_OTHER, false },
	{ "xsid=a&SID=b&Sid=c&sidx=d&si=e", NULL, 0, ENGINEIO_OTHER, false },
	{ "a=1;sid=b", NULL, 0, ENGINEIO_OTHER, false },
	{ "sid=a;b", "a;b", 0, ENGINEIO_OTHER, false },
	{ "&&sid=a&&", "a", 0, ENGINEIO_OTHER, false },
	{ "sid=a=b", "a=b", 0, ENGINEIO_OTHER, false },
	{ "%73id=a", "a", 0, ENGINEIO_OTHER, false },
	{ "%73%69%64=%61", "a", 0, ENGINEIO_OTHER, false },
	{ "%2573id=a", NULL, 0, ENGINEIO_OTHER, false },
	{ "sid=a%20b+c%2B", "a b c+", 0, ENGINEIO_OTHER, false },
	{ "sid=a+b", "a b", 0, ENGINEIO_OTHER, false },
	{ "sid=%", "%", 0, ENGINEIO_OTHER, false },
	{ "sid=%zz%4", "%zz%4", 0, ENGINEIO_OTHER, false },
	{ "sid=%C3%A9", "\xc3\xa9", 0, ENGINEIO_OTHER, false },
	/* Fact 4: 1 to 128 bytes, any of them. */
	{ "sid=" SID128, SID128, 0, ENGINEIO_OTHER, false },
	{ "sid=" SID128 "%41", SID128, 0, ENGINEIO_OTHER, false, true },
	{ "sid=" SID128 "9", SID128, 0, ENGINEIO_OTHER, false, true },
	{ "sid=" SID128 "9&sid=b", "b", 0, ENGINEIO_OTHER, false },
	{ "sid=" X100 X10 X10 "%31%32%33%34%35%36%37%38", SID128, 0, ENGINEIO_OTHER, false },
	{ "sid=550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000" },
};

static struct str heap_copy(struct str s)
{
	char *copy = malloc(s.len ? s.len : 1);

	assert_non_null(copy);
	if (s.len)
		memcpy(copy, s.p, s.len);
	return (struct str){ copy, s.len };
}

static void heap_free(struct str s)
{
	void *p;

	memcpy(&p, &s.p, sizeof(p));
	free(p);
}

static void query_tells_the_session_and_the_transport(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(query_rows); i++) {
		const struct query_row *row = &query_rows[i];
		struct str query = heap_copy(str_of(row->query)), sid;
		struct engineio_query got;

		memset(&got, 0xee, sizeof(got));
		engineio_parse_query(query, &got);
		sid = (struct str){ got.sid, got.sid_len };
		if (got.has_sid != (row->sid != NULL) || !str_eq(sid, str_of(row->sid)) ||
		    got.version != row->version || got.transport != row->transport ||
		    got.is_jsonp != row->is_jsonp || got.is_sid_too_long != row->is_too_long)
			fail_msg("'%s': sid %d '%.*s' EIO %u transport %d jsonp %d long %d",
				 row->query, got.has_sid, STR_ARG(sid), got.version, got.transport,
				 got.is_jsonp, got.is_sid_too_long);
		heap_free(query);
	}
}

static void absent_query_is_a_handshake(void **state unused_arg)
{
	struct engineio_query got;

	engineio_parse_query(STR_NONE, &got);
	assert_false(got.has_sid);
	assert_int_equal(got.version, 0);
}

static void sid_may_have_a_nul(void **state unused_arg)
{
	struct engineio_query got;

	engineio_parse_query(STR("sid=a%00b"), &got);
	assert_true(got.has_sid);
	assert_int_equal(got.sid_len, 3);
	assert_memory_equal(got.sid, "a\0b", 3);
}

static void path_is_matched_as_a_prefix(void **state unused_arg)
{
	static const struct {
		const char *path, *prefix;
		bool want;
	} rows[] = {
		{ "/socket.io/", "/socket.io/", true },
		{ "/socket.io/", "/socket.io", true },
		{ "/socket.io", "/socket.io/", true },
		{ "/socket.io", "/socket.io", true },
		{ "/socket.io/socket.io.js", "/socket.io/", true },
		{ "/socket.iox", "/socket.io", false },
		{ "/socket.io.js", "/socket.io/", false },
		{ "/socket.i", "/socket.io/", false },
		{ "/x/socket.io/", "/socket.io/", false },
		{ "/Socket.io/", "/socket.io/", false },
		{ "/", "/socket.io/", false },
		{ "", "/socket.io/", false },
		{ "/anything", "/", true },
		{ "/anything", "", true },
		{ "/chat/ws/", "/chat/ws", true },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++)
		if (engineio_path_matches(str_of(rows[i].path), str_of(rows[i].prefix)) !=
		    rows[i].want)
			fail_msg("'%s' under '%s'?", rows[i].path, rows[i].prefix);
}

static void answer_to_an_unknown_sid_is_known(void **state unused_arg)
{
	static const struct {
		const char *body;
		bool want;
	} rows[] = {
		{ "{\"code\":1,\"message\":\"Session ID unknown\"}", true },
		{ "{\"message\":\"Session ID unknown\",\"code\":1}", true },
		{ " { \"code\" : 1 ,\r\n\"message\" : \"Session ID unknown\" }\n", true },
		{ "Session ID unknown", true },
		{ "Session ID unknown\n", true },
		{ "{\"code\":1}", false },
		{ "{\"code\":0,\"message\":\"Transport unknown\"}", false },
		{ "{\"code\":3,\"message\":\"Bad request\"}", false },
		{ "{\"code\":10,\"message\":\"Session ID unknown\"}", false },
		{ "{\"code\":2,\"message\":\"Session ID unknown\"}", false },
		{ "{\"code\":1,\"message\":\"Session ID unknown!\"}", false },
		{ "{\"code\":1,\"message\":\"Session ID unknown\"", false },
		{ "Session ID unknown to us", false },
		{ "{", false },
		{ "", false },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str body = heap_copy(str_of(rows[i].body));

		if (engineio_is_unknown_sid_body(body) != rows[i].want)
			fail_msg("'%s'?", rows[i].body);
		heap_free(body);
	}
	assert_false(engineio_is_unknown_sid_body(STR_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(query_tells_the_session_and_the_transport),
		cmocka_unit_test(absent_query_is_a_handshake),
		cmocka_unit_test(sid_may_have_a_nul),
		cmocka_unit_test(path_is_matched_as_a_prefix),
		cmocka_unit_test(answer_to_an_unknown_sid_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
