/* SPDX-License-Identifier: MIT */
/*
 * engineio_packets: every body is read whole, cut in two at every byte, and byte by byte; each
 * piece stands in a heap block of its exact size, so that ASan sees an overrun.
 */
#include "config.h"

#include "proto/engineio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bug.h"

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

static const struct packets_row {
	const char *name;
	struct str body;
	uint8_t version;
	bool is_jsonp;
	enum engineio_direction direction;
	bool want;
} packets_rows[] = {
	/* EIO=4. */
	{ "close alone", STR_INIT("1"), 4, false, ENGINEIO_TO_SERVER, true },
	{ "close first",
	  STR_INIT("1\x1e"
		   "2"),
	  4, false, ENGINEIO_TO_CLIENT, true },
	{ "close last",
	  STR_INIT("4hello\x1e"
		   "2\x1e"
		   "1"),
	  4, false, ENGINEIO_TO_CLIENT, true },
	{ "close between",
	  STR_INIT("4a\x1e"
		   "1\x1e"
		   "4b"),
	  4, false, ENGINEIO_TO_CLIENT, true },
	{ "message with a 1",
	  STR_INIT("41\x1e"
		   "4\x1e"
		   "11\x1e"
		   "2"),
	  4, false, ENGINEIO_TO_CLIENT, false },
	{ "noop", STR_INIT("6"), 4, false, ENGINEIO_TO_CLIENT, false },
	{ "v3 close is none in v4", STR_INIT("1:1"), 4, false, ENGINEIO_TO_SERVER, false },
	{ "nothing", STR_INIT(""), 4, false, ENGINEIO_TO_SERVER, false },
	{ "empty packets", STR_INIT("\x1e\x1e"), 4, false, ENGINEIO_TO_SERVER, false },
	{ "close after an empty one",
	  STR_INIT("\x1e"
		   "1"),
	  4, false, ENGINEIO_TO_SERVER, true },
	{ "ok", STR_INIT("ok"), 4, false, ENGINEIO_TO_CLIENT, false },
	/* EIO=3 text; EIO=2 and none told are read so too. */
	{ "v3 close", STR_INIT("1:1"), 3, false, ENGINEIO_TO_SERVER, true },
	{ "v0 close", STR_INIT("1:1"), 0, false, ENGINEIO_TO_SERVER, true },
	{ "v3 close last", STR_INIT("6:4hello1:1"), 3, false, ENGINEIO_TO_CLIENT, true },
	{ "v3 close first", STR_INIT("1:11:2"), 3, false, ENGINEIO_TO_CLIENT, true },
	{ "v3 message 1:1", STR_INIT("4:41:1"), 3, false, ENGINEIO_TO_CLIENT, false },
	{ "v3 message that is longer", STR_INIT("100:4 1:1"), 3, false, ENGINEIO_TO_CLIENT, false },
	{ "v3 two bytes with a 1", STR_INIT("2:111:2"), 3, false, ENGINEIO_TO_CLIENT, false },
	{ "v3 empty packet", STR_INIT("0:1:1"), 3, false, ENGINEIO_TO_CLIENT, true },
	{ "v3 two-byte characters",
	  STR_INIT("3:4\xc3\xa9\xc3\xa9"
		   "1:1"),
	  3, false, ENGINEIO_TO_CLIENT, true },
	{ "v3 three-byte characters",
	  STR_INIT("2:4\xe2\x82\xac"
		   "1:1"),
	  3, false, ENGINEIO_TO_CLIENT, true },
	{ "v3 four-byte characters count two",
	  STR_INIT("3:4\xf0\x9f\x98\x80"
		   "1:1"),
	  3, false, ENGINEIO_TO_CLIENT, true },
	{ "v3 bytes are not counted",
	  STR_INIT("5:4\xc3\xa9\xc3\xa9"
		   "1:1"),
	  3, false, ENGINEIO_TO_CLIENT, false },
	{ "v3 broken UTF-8, two units a lead",
	  STR_INIT("3:\xf0\xf0"
		   "1:1"),
	  3, false, ENGINEIO_TO_CLIENT, true },
	{ "v3 text is not framed", STR_INIT("1"), 3, false, ENGINEIO_TO_CLIENT, false },
	{ "v3 broken length",
	  STR_INIT("1x:1"
		   "1:1"),
	  3, false, ENGINEIO_TO_CLIENT, false },
	{ "v3 no length", STR_INIT(":11:1"), 3, false, ENGINEIO_TO_CLIENT, false },
	{ "v3 endless length", STR_INIT("0000000000000000000001:1"), 3, false, ENGINEIO_TO_CLIENT,
	  false },
	{ "v3 huge length", STR_INIT("18446744073709551617:1"), 3, false, ENGINEIO_TO_CLIENT,
	  false },
	/* EIO=3 binary. */
	{ "binary close",
	  STR_INIT("\0\1\xff"
		   "1"),
	  3, false, ENGINEIO_TO_CLIENT, true },
	{ "binary close last",
	  STR_INIT("\0\6\xff"
		   "4hello"
		   "\0\1\xff"
		   "1"),
	  3, false, ENGINEIO_TO_CLIENT, true },
	{ "binary frame of the type 1", STR_INIT("\1\1\xff\1"), 3, false, ENGINEIO_TO_CLIENT,
	  true },
	{ "binary frame with the text 1",
	  STR_INIT("\1\1\xff"
		   "1"),
	  3, false, ENGINEIO_TO_CLIENT, false },
	{ "text frame with the byte 1", STR_INIT("\0\1\xff\1"), 3, false, ENGINEIO_TO_CLIENT,
	  false },
	{ "binary length of two digits",
	  STR_INIT("\1\1\0\xff"
		   "\4\0\1\xff"
		   "1\0\1\xff"
		   "1x\0\1\xff"
		   "1"),
	  3, false, ENGINEIO_TO_CLIENT, true },
	{ "close inside a binary frame",
	  STR_INIT("\1\5\xff\4\0\1\xff"
		   "1"),
	  3, false, ENGINEIO_TO_CLIENT, false },
	{ "binary without a length",
	  STR_INIT("\0\xff"
		   "1\0\1\xff"
		   "1"),
	  3, false, ENGINEIO_TO_CLIENT, false },
	{ "binary that is broken",
	  STR_INIT("\0\1\xff"
		   "2\2\1\xff"
		   "1"),
	  3, false, ENGINEIO_TO_CLIENT, false },
	/* JSONP. */
	{ "jsonp answer", STR_INIT("___eio[0](\"1:1\");"), 3, true, ENGINEIO_TO_CLIENT, true },
	{ "jsonp answer, quotes", STR_INIT("___eio[0](\"7:42[\\\"a\\\"]1:1\");"), 3, true,
	  ENGINEIO_TO_CLIENT, true },
	{ "jsonp answer, v4", STR_INIT("___eio[0](\"4a\\u001e1\");"), 4, true, ENGINEIO_TO_CLIENT,
	  true },
	{ "jsonp answer, v4 alone", STR_INIT("___eio[0](\"1\");"), 4, true, ENGINEIO_TO_CLIENT,
	  true },
	{ "jsonp answer, v4 escaped", STR_INIT("___eio[0](\"\\u0031\");"), 4, true,
	  ENGINEIO_TO_CLIENT, true },
	{ "jsonp answer cut off", STR_INIT("___eio[0](\"1"), 4, true, ENGINEIO_TO_CLIENT, false },
	{ "jsonp answer, message", STR_INIT("___eio[1](\"2:41\");"), 3, true, ENGINEIO_TO_CLIENT,
	  false },
	{ "jsonp answer, surrogates", STR_INIT("___eio[1](\"3:4\\ud83d\\ude001:1\");"), 3, true,
	  ENGINEIO_TO_CLIENT, true },
	{ "jsonp post", STR_INIT("d=1%3A1"), 3, true, ENGINEIO_TO_SERVER, true },
	{ "jsonp post, plain", STR_INIT("d=1:1"), 3, true, ENGINEIO_TO_SERVER, true },
	{ "jsonp post, other fields", STR_INIT("a=d&xd=1%3A1&d=1%3a1&b=c"), 3, true,
	  ENGINEIO_TO_SERVER, true },
	{ "jsonp post, not d", STR_INIT("a=1:1&dd=1:1&e=d=1:1"), 3, true, ENGINEIO_TO_SERVER,
	  false },
	{ "jsonp post, message", STR_INIT("d=4%3A41%3A1"), 3, true, ENGINEIO_TO_SERVER, false },
	{ "jsonp post, spaces", STR_INIT("d=4:4+%20+1:1"), 3, true, ENGINEIO_TO_SERVER, true },
	{ "jsonp post, newline", STR_INIT("d=4:4a\\nb1:1"), 3, true, ENGINEIO_TO_SERVER, true },
	{ "jsonp post, newline encoded", STR_INIT("d=4%3A4a%5Cnb1%3A1"), 3, true,
	  ENGINEIO_TO_SERVER, true },
	{ "jsonp post, escaped backslash", STR_INIT("d=5:4a\\\\nb1:1"), 3, true, ENGINEIO_TO_SERVER,
	  true },
	{ "jsonp post, three backslashes", STR_INIT("d=6:4a\\\\\\nb1:1"), 3, true,
	  ENGINEIO_TO_SERVER, true },
	{ "jsonp post, other backslashes", STR_INIT("d=7:4\\a\\\\b\\1:1"), 3, true,
	  ENGINEIO_TO_SERVER, true },
	{ "jsonp post, UTF-8", STR_INIT("d=2:4%E2%82%AC1:1"), 3, true, ENGINEIO_TO_SERVER, true },
	{ "jsonp post, v4", STR_INIT("d=4a%1E1"), 4, true, ENGINEIO_TO_SERVER, true },
	{ "jsonp post, v4, fields after", STR_INIT("d=1&x=y"), 4, true, ENGINEIO_TO_SERVER, true },
	{ "jsonp post, v4, stray percent", STR_INIT("d=1%"), 4, true, ENGINEIO_TO_SERVER, false },
	{ "jsonp post, v4, stray digit", STR_INIT("d=1%3"), 4, true, ENGINEIO_TO_SERVER, false },
	{ "jsonp post, v4, stray backslash", STR_INIT("d=1\\"), 4, true, ENGINEIO_TO_SERVER,
	  false },
	{ "jsonp post, bad escapes", STR_INIT("d=6:4%zz%31%1:1"), 3, true, ENGINEIO_TO_SERVER,
	  true },
	{ "jsonp post, bad escapes counted", STR_INIT("d=6:4%zz%%311:1"), 3, true,
	  ENGINEIO_TO_SERVER, true },
};

static bool packets_piece(struct engineio_packets *packets, struct str whole, size_t from,
			  size_t to)
{
	struct str piece = heap_copy(str_sub(whole.p + from, whole.p + to));
	bool has_close = engineio_packets_feed(packets, piece);

	heap_free(piece);
	return has_close;
}

static void check_packets(const struct packets_row *row, struct engineio_packets *packets,
			  const char *how, size_t cut)
{
	bool had = packets->has_close, got = engineio_packets_finish(packets);

	if (got != row->want || (had && !got) || got != packets->has_close)
		fail_msg("%s, %s %zu: %d", row->name, how, cut, got);
}

static void start_packets(struct engineio_packets *packets, const struct packets_row *row)
{
	engineio_packets_init(packets, row->version, row->is_jsonp, row->direction);
}

static void close_packet_is_found_however_cut(void **state unused_arg)
{
	struct engineio_packets packets;

	for (size_t i = 0; i < ARRAY_N(packets_rows); i++) {
		const struct packets_row *row = &packets_rows[i];
		struct str body = row->body;

		start_packets(&packets, row);
		packets_piece(&packets, body, 0, body.len);
		check_packets(row, &packets, "whole", 0);
		for (size_t cut = 0; cut <= body.len; cut++) {
			start_packets(&packets, row);
			packets_piece(&packets, body, 0, cut);
			packets_piece(&packets, body, cut, body.len);
			check_packets(row, &packets, "cut at", cut);
		}
		start_packets(&packets, row);
		for (size_t at = 0; at < body.len; at++)
			packets_piece(&packets, body, at, at + 1);
		check_packets(row, &packets, "byte by byte", 0);
	}
}

/* A body that was cut off has no last packet: the caller does not call finish then. */
static void last_packet_of_eio_4_needs_the_end_of_the_body(void **state unused_arg)
{
	struct engineio_packets packets;

	engineio_packets_init(&packets, 4, false, ENGINEIO_TO_CLIENT);
	assert_false(engineio_packets_feed(&packets, STR("4a\x1e"
							 "1")));
	assert_false(engineio_packets_feed(&packets, STR("2")));
	assert_false(engineio_packets_finish(&packets));
}

static void long_packets_are_skipped(void **state unused_arg)
{
	struct engineio_packets packets;
	size_t size = 1000000;
	char *body = malloc(size + 32);
	int n = snprintf(body, 32, "%zu:", size / 2);

	/* "\xc3\xa9" is one unit. */
	for (size_t i = 0; i < size; i++)
		body[(size_t)n + i] = i % 2 ? '\xa9' : '\xc3';
	memcpy(body + n + size, "1:1", 3);
	engineio_packets_init(&packets, 3, false, ENGINEIO_TO_CLIENT);
	assert_false(engineio_packets_feed(&packets, (struct str){ body, (size_t)n + size + 2 }));
	assert_true(engineio_packets_feed(&packets, (struct str){ body + n + size + 2, 1 }));
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_packet_is_found_however_cut),
		cmocka_unit_test(last_packet_of_eio_4_needs_the_end_of_the_body),
		cmocka_unit_test(long_packets_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
