/* SPDX-License-Identifier: MIT */
/*
 * engineio_scan: every body is read whole, cut in two at every byte, and byte by byte; each piece
 * stands in a heap block of its exact size, so that ASan sees an overrun.
 */
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
#define OPEN                                                                                       \
	"{\"sid\":\"" SID20 "\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,"              \
	"\"pingTimeout\":20000,\"maxPayload\":1000000}"
#define OPEN_ESCAPED                                                                               \
	"{\\\"sid\\\":\\\"" SID20 "\\\",\\\"upgrades\\\":[\\\"websocket\\\"],"                     \
	"\\\"pingInterval\\\":25000,\\\"pingTimeout\\\":20000}"

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

static const struct scan_row {
	const char *name;
	struct str body;
	struct str sid; /* p == NULL: none */
	uint32_t interval_ms, timeout_ms;
	enum parse fed; /* what feeding says, without the end of the body */
	bool is_too_long;
} scan_rows[] = {
	{ "EIO=4", STR_INIT("0" OPEN), STR_INIT(SID20), 25000, 20000, PARSE_DONE },
	{ "EIO=3 text", STR_INIT("96:0" OPEN "2:40"), STR_INIT(SID20), 25000, 20000, PARSE_DONE },
	{ "EIO=3 binary",
	  STR_INIT("\0\11\7\xff"
		   "0" OPEN "\0\2\xff"
		   "40"),
	  STR_INIT(SID20), 25000, 20000, PARSE_DONE },
	{ "JSONP", STR_INIT("___eio[0](\"0" OPEN_ESCAPED "\");"), STR_INIT(SID20), 25000, 20000,
	  PARSE_DONE },
	{ "JSONP, EIO=3", STR_INIT("/**/___eio[12](\"96:0" OPEN_ESCAPED "2:40\");"),
	  STR_INIT(SID20), 25000, 20000, PARSE_DONE },
	{ "JSONP in single quotes", STR_INIT("___eio[0]('0" OPEN "');"), STR_INIT(SID20), 25000,
	  20000, PARSE_DONE },
	{ "JSON alone", STR_INIT(OPEN), STR_INIT(SID20), 25000, 20000, PARSE_DONE },
	{ "WebSocket-like, packets after",
	  STR_INIT("0" OPEN "\x1e"
		   "40{\"sid\":\"other\"}"),
	  STR_INIT(SID20), 25000, 20000, PARSE_DONE },
	{ "white space",
	  STR_INIT("0{ \"sid\" : \"x\" ,\r\n\t\"pingInterval\" : 300 , \"pingTimeout\" :\t200 }"),
	  STR_INIT("x"), 300, 200, PARSE_DONE },
	{ "white space, JSONP", STR_INIT("f(\"0{ \\\"sid\\\" :\\n \\\"x\\\" }\")"), STR_INIT("x"),
	  0, 0, PARSE_DONE },
	{ "other order", STR_INIT("0{\"pingTimeout\":5,\"pingInterval\":7,\"sid\":\"x\"}"),
	  STR_INIT("x"), 7, 5, PARSE_DONE },
	{ "sid between", STR_INIT("0{\"pingTimeout\":5,\"sid\":\"x\",\"pingInterval\":7}"),
	  STR_INIT("x"), 7, 5, PARSE_DONE },
	{ "no figures", STR_INIT("0{\"sid\":\"x\"}"), STR_INIT("x"), 0, 0, PARSE_DONE },
	{ "one figure", STR_INIT("0{\"sid\":\"x\",\"pingTimeout\":20000}"), STR_INIT("x"), 0, 20000,
	  PARSE_DONE },
	{ "figure last before the brace",
	  STR_INIT("0{\"sid\":\"x\",\"pingInterval\":1,\"pingTimeout\":2}"), STR_INIT("x"), 1, 2,
	  PARSE_DONE },
	{ "figures that are none",
	  STR_INIT("0{\"sid\":\"x\",\"pingInterval\":\"1\",\"pingTimeout\":null}"), STR_INIT("x"),
	  0, 0, PARSE_DONE },
	{ "huge figures",
	  STR_INIT("0{\"sid\":\"x\",\"pingInterval\":99999999999999999999999,\"pingTimeout\":"
		   "4294967296}"),
	  STR_INIT("x"), UINT32_MAX, UINT32_MAX, PARSE_DONE },
	{ "fraction", STR_INIT("0{\"sid\":\"x\",\"pingInterval\":25.5,\"pingTimeout\":1}"),
	  STR_INIT("x"), 25, 1, PARSE_DONE },
	{ "figures of another object",
	  STR_INIT("{\"pingInterval\":1,\"pingTimeout\":2}{\"sid\":\"x\"}"), STR_INIT("x"), 0, 0,
	  PARSE_DONE },
	{ "figures of an inner object",
	  STR_INIT(
		  "{\"sid\":\"x\",\"o\":{\"pingInterval\":1,\"pingTimeout\":2},\"pingTimeout\":3}"),
	  STR_INIT("x"), 0, 3, PARSE_DONE },
	{ "figures of the outer object",
	  STR_INIT("{\"pingInterval\":1,\"o\":{\"sid\":\"x\"},\"pingTimeout\":2}"), STR_INIT("x"),
	  0, 0, PARSE_DONE },
	{ "escapes in the sid", STR_INIT("0{\"sid\":\"a\\\"b\\\\c\\/d\\n\\u0041\"}"),
	  STR_INIT("a\"b\\c/d\nA"), 0, 0, PARSE_DONE },
	{ "the same, JSONP",
	  STR_INIT("e(\"0{\\\"sid\\\":\\\"a\\\\\\\"b\\\\\\\\c\\\\u0041\\\"}\");"),
	  STR_INIT("a\"b\\cA"), 0, 0, PARSE_DONE },
	{ "UTF-8 and \\u", STR_INIT("0{\"sid\":\"\xc3\xa9\\u00e9\\u20AC\\ud83d\\ude00\"}"),
	  STR_INIT("\xc3\xa9\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), 0, 0, PARSE_DONE },
	{ "lone surrogates", STR_INIT("0{\"sid\":\"\\ud83dx\\ude00\"}"),
	  STR_INIT("\xef\xbf\xbdx\xef\xbf\xbd"), 0, 0, PARSE_DONE },
	{ "escaped key", STR_INIT("0{\"\\u0073id\":\"x\"}"), STR_INIT("x"), 0, 0, PARSE_DONE },
	{ "bare number", STR_INIT("0{\"sid\":17,\"pingInterval\":1}"), STR_INIT("17"), 1, 0,
	  PARSE_DONE },
	{ "bare number last", STR_INIT("0{\"sid\":17}"), STR_INIT("17"), 0, 0, PARSE_DONE },
	{ "one byte", STR_INIT("0{\"sid\":\"1\"}"), STR_INIT("1"), 0, 0, PARSE_DONE },
	{ "brace in the sid", STR_INIT("0{\"sid\":\"}{\",\"pingInterval\":1}"), STR_INIT("}{"), 1,
	  0, PARSE_DONE },
	{ "128 bytes", STR_INIT("0{\"sid\":\"" SID128 "\"}"), STR_INIT(SID128), 0, 0, PARSE_DONE },
	{ "129 bytes", STR_INIT("0{\"sid\":\"" SID128 "9\",\"pingInterval\":1}"), STR_INIT(SID128),
	  1, 0, PARSE_DONE, true },
	{ "nested", STR_INIT("{\"data\":{\"sid\":\"x\"}}"), STR_INIT("x"), 0, 0, PARSE_DONE },
	{ "in an array", STR_INIT("[\"open\",{\"sid\":\"x\"}]"), STR_INIT("x"), 0, 0, PARSE_DONE },
	{ "sid in a string is not it",
	  STR_INIT("0{\"m\":\"{\\\"sid\\\":\\\"no\\\"}\",\"sid\":\"yes\"}"), STR_INIT("yes"), 0, 0,
	  PARSE_DONE },
	{ "sid as a value is not it",
	  STR_INIT("0{\"a\":\"sid\",\"b\":\"x\"}"),
	  { NULL, 0 },
	  0,
	  0,
	  PARSE_MORE },
	{ "value called sid before", STR_INIT("0{\"a\":\"sid\",\"sid\":\"x\"}"), STR_INIT("x"), 0,
	  0, PARSE_DONE },
	{ "other keys",
	  STR_INIT("0{\"xsid\":\"a\",\"SID\":\"b\",\"sidx\":\"c\",\"si\":\"d\"}"),
	  { NULL, 0 },
	  0,
	  0,
	  PARSE_MORE },
	{ "second object", STR_INIT("1:6 {\"a\":1} 0{\"sid\":\"x\"}"), STR_INIT("x"), 0, 0,
	  PARSE_DONE },
	{ "sid is no string", STR_INIT("0{\"sid\":null,\"a\":{\"sid\":\"x\"}}"), STR_INIT("x"), 0,
	  0, PARSE_DONE },
	{ "empty sid",
	  STR_INIT("0{\"sid\":\"\",\"pingInterval\":1,\"pingTimeout\":2}"),
	  { NULL, 0 },
	  0,
	  0,
	  PARSE_MORE },
	{ "object cut off", STR_INIT("0{\"sid\":\"x\",\"pingInterval\":25000"), STR_INIT("x"), 0, 0,
	  PARSE_MORE },
	{ "sid cut off", STR_INIT("0{\"sid\":\"abc"), { NULL, 0 }, 0, 0, PARSE_MORE },
	{ "JSONP cut off", STR_INIT("___eio[0](\"0{\\\"sid\\\":\\\"x\\\",\\\"pi"), STR_INIT("x"), 0,
	  0, PARSE_MORE },
	{ "JSONP ended in the object", STR_INIT("___eio[0](\"0{\\\"sid\\\":\\\"x\\\",\");"),
	  STR_INIT("x"), 0, 0, PARSE_DONE },
	{ "second literal", STR_INIT("f(\"a\",\"0{\\\"sid\\\":\\\"x\\\"}\")"), STR_INIT("x"), 0, 0,
	  PARSE_DONE },
	{ "nothing", STR_INIT(""), { NULL, 0 }, 0, 0, PARSE_MORE },
	{ "HTML",
	  STR_INIT("<html lang=\"en\"><body class='{}'>sid</body></html>"),
	  { NULL, 0 },
	  0,
	  0,
	  PARSE_MORE },
	{ "gzip",
	  STR_INIT("\x1f\x8b\x08\0\0\0\0\0\0\x03{\"sid\":\"x\"}"),
	  { NULL, 0 },
	  0,
	  0,
	  PARSE_BAD },
	{ "deflate",
	  STR_INIT(
		  "\x78\x9c\x33\xa8\x56\x2a\xce\x4c\x51\xb2\x52\xaa\x50\xaa\x05\0\x18\x2e\x03\xf9"),
	  { NULL, 0 },
	  0,
	  0,
	  PARSE_MORE },
	{ "broken escape", STR_INIT("0{\"sid\":\"a\\u00zb\"}"), STR_INIT("azb"), 0, 0, PARSE_DONE },
};

static enum parse scan_piece(struct engineio_scan *scan, struct str whole, size_t from, size_t to)
{
	struct str piece = heap_copy(str_sub(whole.p + from, whole.p + to));
	enum parse answer = engineio_scan_feed(scan, piece);

	heap_free(piece);
	return answer;
}

static void check_scan(const struct scan_row *row, struct engineio_scan *scan, enum parse fed,
		       const char *how, size_t cut)
{
	struct str sid = { scan->sid, scan->sid_len };
	bool is_found;

	if (fed != row->fed || (fed == PARSE_DONE && !engineio_scan_has_sid(scan)))
		fail_msg("%s, %s %zu: feeding says %d", row->name, how, cut, fed);
	is_found = engineio_scan_finish(scan);
	sid.len = scan->sid_len;
	if (is_found != (row->sid.p != NULL) || is_found != engineio_scan_has_sid(scan))
		fail_msg("%s, %s %zu: found: %d", row->name, how, cut, is_found);
	if (!is_found)
		return;
	if (!str_eq(sid, row->sid) || scan->is_sid_too_long != row->is_too_long ||
	    scan->ping_interval_ms != row->interval_ms || scan->ping_timeout_ms != row->timeout_ms)
		fail_msg("%s, %s %zu: sid '%.*s' %u %u", row->name, how, cut, STR_ARG(sid),
			 scan->ping_interval_ms, scan->ping_timeout_ms);
}

static void handshake_is_found_in_every_form_however_cut(void **state unused_arg)
{
	struct engineio_scan scan;

	for (size_t i = 0; i < ARRAY_N(scan_rows); i++) {
		const struct scan_row *row = &scan_rows[i];
		struct str body = row->body;
		enum parse fed = PARSE_MORE;

		engineio_scan_init(&scan);
		check_scan(row, &scan, scan_piece(&scan, body, 0, body.len), "whole", 0);
		for (size_t cut = 0; cut <= body.len; cut++) {
			engineio_scan_init(&scan);
			scan_piece(&scan, body, 0, cut);
			fed = scan_piece(&scan, body, cut, body.len);
			check_scan(row, &scan, fed, "cut at", cut);
		}
		engineio_scan_init(&scan);
		for (size_t at = 0; at < body.len; at++)
			fed = scan_piece(&scan, body, at, at + 1);
		check_scan(row, &scan, fed, "byte by byte", 0);
	}
}

/* Of what is fed after the answer nothing is taken. */
static void scan_is_done_at_the_last_byte_it_needs(void **state unused_arg)
{
	static const char until[] = "0{\"sid\":\"x\",\"pingInterval\":1,\"pingTimeout\":2";
	struct engineio_scan scan;

	engineio_scan_init(&scan);
	assert_int_equal(engineio_scan_feed(&scan, str_of(until)), PARSE_MORE);
	assert_true(engineio_scan_has_sid(&scan));
	assert_int_equal(engineio_scan_feed(&scan, STR(",")), PARSE_DONE);
	assert_int_equal(engineio_scan_feed(&scan, STR("\"pingTimeout\":9}")), PARSE_DONE);
	assert_int_equal(scan.ping_timeout_ms, 2);
}

/* BEFORE bytes of noise, then a handshake with a sid alone. */
static enum parse scan_after(struct engineio_scan *scan, size_t before)
{
	enum parse answer = PARSE_MORE;

	engineio_scan_init(scan);
	while (before-- > 0)
		answer = engineio_scan_feed(scan, STR(" "));
	if (answer == PARSE_MORE)
		answer = engineio_scan_feed(scan, STR("{\"sid\":\"x\""));
	return answer;
}

static void only_the_first_4096_bytes_are_looked_at(void **state unused_arg)
{
	size_t size = sizeof("{\"sid\":\"x\"") - 1;
	struct engineio_scan scan;

	assert_int_equal(scan_after(&scan, ENGINEIO_SCAN_MAX - size), PARSE_DONE);
	assert_true(engineio_scan_finish(&scan));
	assert_int_equal(scan_after(&scan, ENGINEIO_SCAN_MAX - size - 1), PARSE_MORE);
	assert_true(engineio_scan_finish(&scan));
	assert_int_equal(scan_after(&scan, ENGINEIO_SCAN_MAX - size + 1), PARSE_BAD);
	assert_false(engineio_scan_finish(&scan));
	assert_int_equal(scan_after(&scan, ENGINEIO_SCAN_MAX), PARSE_BAD);
}

static void scan_is_small(void **state unused_arg)
{
	assert_true(sizeof(struct engineio_scan) <= 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake_is_found_in_every_form_however_cut),
		cmocka_unit_test(scan_is_done_at_the_last_byte_it_needs),
		cmocka_unit_test(only_the_first_4096_bytes_are_looked_at),
		cmocka_unit_test(scan_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
