/* SPDX-License-Identifier: MIT */
/* websocket: rows from RFC 6455 5.7 and its limits; each is also cut at every byte. */
#include "config.h"

#include "proto/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bug.h"

static const struct header_row {
	const char *name;
	struct str bytes;
	enum parse want;
	struct websocket_frame frame;
	const char *why;
} header_rows[] = {
	{ "unmasked text",
	  STR_INIT("\x81\x05Hello"),
	  PARSE_DONE,
	  { true, 0, 1, false, { 0 }, 5, 2 } },
	{ "masked text",
	  STR_INIT("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
	  PARSE_DONE,
	  { true, 0, 1, true, { 0x37, 0xfa, 0x21, 0x3d }, 5, 6 } },
	{ "first fragment",
	  STR_INIT("\x01\x03Hel"),
	  PARSE_DONE,
	  { false, 0, 1, false, { 0 }, 3, 2 } },
	{ "last fragment", STR_INIT("\x80\x02lo"), PARSE_DONE, { true, 0, 0, false, { 0 }, 2, 2 } },
	{ "256 bytes",
	  STR_INIT("\x82\x7e\x01\x00"),
	  PARSE_DONE,
	  { true, 0, 2, false, { 0 }, 256, 4 } },
	{ "64 KiB",
	  STR_INIT("\x82\x7f\0\0\0\0\0\x01\0\0"),
	  PARSE_DONE,
	  { true, 0, 2, false, { 0 }, 65536, 10 } },
	{ "masked 64 KiB",
	  STR_INIT("\x82\xff\0\0\0\0\0\x01\0\0\1\2\3\4"),
	  PARSE_DONE,
	  { true, 0, 2, true, { 1, 2, 3, 4 }, 65536, 14 } },
	{ "125 bytes", STR_INIT("\x82\x7d"), PARSE_DONE, { true, 0, 2, false, { 0 }, 125, 2 } },
	{ "126 bytes",
	  STR_INIT("\x82\x7e\0\x7e"),
	  PARSE_DONE,
	  { true, 0, 2, false, { 0 }, 126, 4 } },
	{ "65535 bytes",
	  STR_INIT("\x82\x7e\xff\xff"),
	  PARSE_DONE,
	  { true, 0, 2, false, { 0 }, 65535, 4 } },
	{ "largest",
	  STR_INIT("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
	  PARSE_DONE,
	  { true, 0, 2, false, { 0 }, INT64_MAX, 10 } },
	{ "empty ping", STR_INIT("\x89\0"), PARSE_DONE, { true, 0, 9, false, { 0 }, 0, 2 } },
	{ "pong of 125", STR_INIT("\x8a\x7d"), PARSE_DONE, { true, 0, 10, false, { 0 }, 125, 2 } },
	{ "compressed",
	  STR_INIT("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0"),
	  PARSE_DONE,
	  { true, 4, 1, false, { 0 }, 7, 2 } },
	{ "all RSV bits", STR_INIT("\xf1\0"), PARSE_DONE, { true, 7, 1, false, { 0 }, 0, 2 } },
	{ "nothing", STR_INIT(""), PARSE_MORE },
	{ "one byte", STR_INIT("\x81"), PARSE_MORE },
	{ "mask missing", STR_INIT("\x81\x80\1\2\3"), PARSE_MORE },
	{ "125 as 126", STR_INIT("\x82\x7e\0\x7d"), PARSE_BAD, { 0 }, WEBSOCKET_WHY_LENGTH },
	{ "65535 as 127",
	  STR_INIT("\x82\x7f\0\0\0\0\0\0\xff\xff"),
	  PARSE_BAD,
	  { 0 },
	  WEBSOCKET_WHY_LENGTH },
	{ "top bit",
	  STR_INIT("\x82\x7f\x80\0\0\0\0\0\0\0"),
	  PARSE_BAD,
	  { 0 },
	  WEBSOCKET_WHY_LENGTH },
	{ "ping of 126", STR_INIT("\x89\x7e\0\x7e"), PARSE_BAD, { 0 }, WEBSOCKET_WHY_CONTROL },
	{ "ping of 127", STR_INIT("\x89\xff"), PARSE_BAD, { 0 }, WEBSOCKET_WHY_CONTROL },
	{ "fragmented close", STR_INIT("\x08\0"), PARSE_BAD, { 0 }, WEBSOCKET_WHY_CONTROL },
	{ "opcode 3", STR_INIT("\x83\0"), PARSE_BAD, { 0 }, WEBSOCKET_WHY_OPCODE },
	{ "opcode 7", STR_INIT("\x07\0"), PARSE_BAD, { 0 }, WEBSOCKET_WHY_OPCODE },
	{ "opcode 11", STR_INIT("\x8b\0"), PARSE_BAD, { 0 }, WEBSOCKET_WHY_OPCODE },
	{ "opcode 15", STR_INIT("\x8f\0"), PARSE_BAD, { 0 }, WEBSOCKET_WHY_OPCODE },
	{ "HTTP", STR_INIT("GET / HTTP/1.1\r\n"), PARSE_BAD, { 0 }, WEBSOCKET_WHY_OPCODE },
};

/* Parses the first LEN bytes in a heap block of that size. */
static enum parse parse_first(struct str bytes, size_t len, struct websocket_frame *frame,
			      const char **why)
{
	char *copy = malloc(len ? len : 1);
	enum parse answer;

	memcpy(copy, bytes.p, len);
	answer = websocket_parse_header(copy, len, frame, why);
	free(copy);
	return answer;
}

static void assert_same_frame(const struct websocket_frame *got, const struct websocket_frame *want,
			      const char *name)
{
	if (got->fin != want->fin || got->rsv != want->rsv || got->opcode != want->opcode ||
	    got->is_masked != want->is_masked || memcmp(got->mask, want->mask, 4) != 0 ||
	    got->payload_size != want->payload_size || got->header_size != want->header_size)
		fail_msg("%s: another frame", name);
}

static void headers_are_parsed_however_cut(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(header_rows); i++) {
		const struct header_row *row = &header_rows[i];

		for (size_t len = 0; len <= row->bytes.len; len++) {
			struct websocket_frame frame;
			const char *why = NULL;
			enum parse got = parse_first(row->bytes, len, &frame, &why);

			if (got == PARSE_DONE) {
				assert_int_equal(row->want, PARSE_DONE);
				assert_true(len >= frame.header_size);
				assert_same_frame(&frame, &row->frame, row->name);
			} else if (got == PARSE_BAD) {
				assert_int_equal(row->want, PARSE_BAD);
				assert_string_equal(why, row->why);
			} else if (row->want == PARSE_DONE) {
				assert_true(len < row->frame.header_size);
			}
			if (len == row->bytes.len && got != row->want)
				fail_msg("%s: %d", row->name, got);
		}
	}
}

static void written_headers_are_the_parsed_ones(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(header_rows); i++) {
		const struct header_row *row = &header_rows[i];
		char out[WEBSOCKET_HEADER_MAX];

		if (row->want != PARSE_DONE)
			continue;
		assert_int_equal(websocket_write_header(out, &row->frame), row->frame.header_size);
		assert_memory_equal(out, row->bytes.p, row->frame.header_size);
	}
}

static void close_frames_are_written(void **state unused_arg)
{
	static const uint8_t zeros[4], mask[4] = { 1, 2, 3, 4 };
	char out[WEBSOCKET_CLOSE_MAX], reason[200];

	assert_int_equal(websocket_write_close(out, NULL, 1001, STR("bye")), 7);
	assert_memory_equal(out,
			    "\x88\x05\x03\xe9"
			    "bye",
			    7);
	assert_int_equal(websocket_write_close(out, zeros, 1012, STR_NONE), 8);
	assert_memory_equal(out, "\x88\x82\0\0\0\0\x03\xf4", 8);
	assert_int_equal(websocket_write_close(out, mask, 1001, STR("bye")), 11);
	assert_memory_equal(out, "\x88\x85\1\2\3\4\x02\xeb\x61\x7d\x64", 11);
	assert_int_equal(websocket_write_close(out, NULL, 0, STR("unsaid")), 2);
	assert_memory_equal(out, "\x88\0", 2);
	memset(reason, 'x', sizeof(reason));
	assert_int_equal(websocket_write_close(out, mask, 1000, (struct str){ reason, 200 }),
			 WEBSOCKET_CLOSE_MAX);
	assert_int_equal((unsigned char)out[1], 0x80 | 125);
	/* A character of three bytes that does not fit is left out whole. */
	memcpy(reason + 121, "\xe2\x82\xac", 3);
	assert_int_equal(websocket_write_close(out, NULL, 1000, (struct str){ reason, 124 }),
			 2 + 2 + 121);
}

static void accept_key_is_that_of_the_rfc(void **state unused_arg)
{
	char out[WEBSOCKET_ACCEPT_SIZE];

	assert_true(websocket_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), out));
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_true(websocket_accept_key(STR(""), out));
	assert_string_equal(out, "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=");
}

static void unmasking_can_go_piece_by_piece(void **state unused_arg)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	static const char masked[] = "\x7f\x9f\x4d\x51\x58";
	char data[64], whole[64];

	memcpy(data, masked, 5);
	websocket_unmask(data, 5, mask, 0);
	assert_memory_equal(data, "Hello", 5);
	for (size_t cut = 0; cut <= 50; cut++) {
		for (size_t i = 0; i < 50; i++)
			data[i] = whole[i] = (char)i;
		websocket_unmask(whole, 50, mask, 7);
		websocket_unmask(data, cut, mask, 7);
		websocket_unmask(data + cut, 50 - cut, mask, 7 + cut);
		assert_memory_equal(data, whole, 50);
		assert_int_equal((uint8_t)data[3], 3 ^ mask[(7 + 3) & 3]);
	}
}

#define HELLO       "\x81\x05Hello"
#define MASKED_PING "\x89\x81\1\2\3\4x"
#define CLOSE       "\x88\x02\x03\xe8"
#define X128                                                                                       \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef01234567" \
	"89abcdef0123456789abcdef0123456789abcdef"

static const struct walk_row {
	const char *name;
	struct str bytes;
	ptrdiff_t boundary; /* the last one in the whole */
	bool is_at_boundary, has_close, is_bad;
} walk_rows[] = {
	{ "nothing", STR_INIT(""), 0, true, false, false },
	{ "one frame", STR_INIT(HELLO), 7, true, false, false },
	{ "three frames", STR_INIT(HELLO MASKED_PING HELLO), 21, true, false, false },
	{ "long frame", STR_INIT("\x82\x7e\0\x80" X128 HELLO), 139, true, false, false },
	{ "frame cut in its payload", STR_INIT(HELLO "\x81\x05Hel"), 7, false, false, false },
	{ "frame cut in its header", STR_INIT(HELLO "\x81"), 7, false, false, false },
	{ "first frame is cut", STR_INIT("\x82\x7e\1"), 0, false, false, false },
	{ "close", STR_INIT(HELLO CLOSE), 11, true, true, false },
	{ "close cut off", STR_INIT(HELLO "\x88\x02\x03"), 7, false, false, false },
	{ "empty close", STR_INIT("\x88\x80\1\2\3\4"), 6, true, true, false },
	{ "a close in a payload is none", STR_INIT("\x82\x04" CLOSE), 6, true, false, false },
	{ "frames after a close", STR_INIT(CLOSE HELLO "\x81"), 11, false, true, false },
	{ "not WebSocket", STR_INIT(HELLO "HTTP/1.1 400 Bad Request\r\n\r\n"), -1, false, false,
	  true },
};

static void check_walk(const struct walk_row *row, const struct websocket_walk *walk,
		       const char *how, size_t cut)
{
	if (websocket_walk_is_at_boundary(walk) != row->is_at_boundary ||
	    walk->has_close != row->has_close || walk->is_bad != row->is_bad)
		fail_msg("%s, %s %zu: boundary %d close %d bad %d", row->name, how, cut,
			 websocket_walk_is_at_boundary(walk), walk->has_close, walk->is_bad);
}

/* Feeds BYTES from FROM to TO; *LAST follows the last boundary, counted from the beginning. */
static void walk_piece(struct websocket_walk *walk, struct str bytes, size_t from, size_t to,
		       ptrdiff_t *last)
{
	size_t len = to - from;
	char *copy = malloc(len ? len : 1);
	ptrdiff_t boundary;

	memcpy(copy, bytes.p + from, len);
	boundary = websocket_walk_feed(walk, (struct str){ copy, len });
	if (boundary >= 0)
		*last = (ptrdiff_t)from + boundary;
	else if (walk->is_bad)
		*last = -1;
	free(copy);
}

static void walk_finds_boundaries_and_close_however_cut(void **state unused_arg)
{
	struct websocket_walk walk;

	for (size_t i = 0; i < ARRAY_N(walk_rows); i++) {
		const struct walk_row *row = &walk_rows[i];
		ptrdiff_t last = -1;

		for (size_t cut = 0; cut <= row->bytes.len; cut++) {
			websocket_walk_init(&walk);
			walk_piece(&walk, row->bytes, 0, cut, &last);
			walk_piece(&walk, row->bytes, cut, row->bytes.len, &last);
			check_walk(row, &walk, "cut at", cut);
			assert_int_equal(last, row->boundary);
		}
		websocket_walk_init(&walk);
		last = 0;
		for (size_t at = 0; at < row->bytes.len; at++)
			walk_piece(&walk, row->bytes, at, at + 1, &last);
		check_walk(row, &walk, "byte by byte", 0);
		assert_int_equal(last, row->boundary);
	}
}

static void walk_tells_that_no_boundary_is_near(void **state unused_arg)
{
	struct websocket_walk walk;

	websocket_walk_init(&walk);
	assert_int_equal(websocket_walk_feed(&walk, STR("\x82\x7e\x10\0abc")), 0);
	assert_int_equal(websocket_walk_feed(&walk, STR("def")), -1);
	assert_false(websocket_walk_is_at_boundary(&walk));
}

/* Each boundary is a place to put a frame in: none may be overlooked, however the bytes come. */
static void walk_stops_at_the_end_of_each_frame(void **state unused_arg)
{
	static const struct str frames[] = {
		STR_INIT(HELLO),
		STR_INIT("\x01\x82\1\2\3\4xx"),
		STR_INIT(MASKED_PING),
		STR_INIT("\x80\x80\1\2\3\4"),
		STR_INIT("\x82\x7e\0\x80" X128),
		STR_INIT("\x8a\0"),
		STR_INIT(CLOSE),
	};
	struct websocket_walk walk;
	char all[512];
	size_t len = 0;

	for (size_t i = 0; i < ARRAY_N(frames); i++) {
		memcpy(all + len, frames[i].p, frames[i].len);
		len += frames[i].len;
	}
	for (size_t step = 1; step <= len; step++) {
		size_t at = 0, frame_end = 0;

		websocket_walk_init(&walk);
		for (size_t i = 0; i < ARRAY_N(frames); i++) {
			frame_end += frames[i].len;
			do {
				size_t n = step < len - at ? step : len - at;

				at += websocket_walk_frame(&walk, (struct str){ all + at, n });
			} while (!websocket_walk_is_at_boundary(&walk));
			assert_int_equal(at, frame_end);
			assert_int_equal(walk.has_close, i + 1 == ARRAY_N(frames));
		}
		assert_int_equal(walk.data_frames, 3);
	}
}

static void walk_skips_a_payload_of_any_length(void **state unused_arg)
{
	struct websocket_walk walk;
	uint64_t left = UINT64_C(0x7fffffffffffffff);

	websocket_walk_init(&walk);
	assert_int_equal(
		websocket_walk_frame(&walk, STR("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff")), 10);
	assert_true(walk.left == left && !walk.is_bad);
	websocket_walk_feed(&walk, STR("\x88\x80"));
	assert_true(walk.left == left - 2 && !walk.is_bad && !walk.has_close);
}

static void payload_that_passes_unseen_is_skipped(void **state unused_arg)
{
	struct websocket_walk seen, skipped;

	websocket_walk_init(&seen);
	websocket_walk_init(&skipped);
	assert_int_equal(websocket_walk_unseen(&skipped), 0);
	websocket_walk_skip(&skipped, 0);
	websocket_walk_feed(&seen, STR("\x82\x8a"
				       "mask"
				       "0123"));
	websocket_walk_feed(&skipped, STR("\x82\x8a"
					  "mask"
					  "0123"));
	assert_int_equal(websocket_walk_unseen(&skipped), 6);
	websocket_walk_feed(&seen, STR("4567"));
	websocket_walk_skip(&skipped, 4);
	assert_int_equal(websocket_walk_unseen(&skipped), 2);
	assert_false(websocket_walk_is_at_boundary(&skipped));
	websocket_walk_feed(&seen, STR("89"));
	websocket_walk_skip(&skipped, 2);
	assert_memory_equal(&seen, &skipped, sizeof(seen));
	assert_true(websocket_walk_is_at_boundary(&skipped));
	assert_int_equal(websocket_walk_unseen(&skipped), 0);
	websocket_walk_feed(&skipped, STR("\x88\x03"
					  "x"));
	websocket_walk_skip(&skipped, 2); /* a Close is one, seen or not */
	assert_true(skipped.has_close && skipped.data_frames == 1);
	websocket_walk_feed(&skipped, STR("\x83")); /* no frame: nothing has to be seen any more */
	assert_true(websocket_walk_unseen(&skipped) == UINT64_MAX);
	websocket_walk_skip(&skipped, UINT64_C(1) << 40);
	assert_true(skipped.is_bad);
}

static void nothing_of_a_header_passes_unseen(void **state unused_arg)
{
	static const char header[] = "\x82\xff\0\0\0\0\0\x01\0\0mask";
	struct websocket_walk walk;

	websocket_walk_init(&walk);
	for (size_t i = 0; i < sizeof(header) - 1; i++) {
		assert_int_equal(websocket_walk_unseen(&walk), 0);
		websocket_walk_feed(&walk, (struct str){ header + i, 1 });
	}
	assert_int_equal(websocket_walk_unseen(&walk), 65536);
}

static void walk_refuses_what_is_no_frame(void **state unused_arg)
{
	static const struct str rows[] = {
		STR_INIT("\x83"),                         /* reserved opcode */
		STR_INIT("\x08"),                         /* a Close in fragments */
		STR_INIT("\x89\x7e"),                     /* a long Ping */
		STR_INIT("\x81\x7e\0\x7d"),               /* 125 in two bytes */
		STR_INIT("\x81\x7f\0\0\0\0\0\0\xff\xff"), /* 65535 in eight */
		STR_INIT("\x81\x7f\x80"),                 /* 2^63 */
	};
	struct websocket_walk walk;

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		websocket_walk_init(&walk);
		assert_int_equal(websocket_walk_feed(&walk, rows[i]), -1);
		assert_true(walk.is_bad);
		assert_int_equal(websocket_walk_frame(&walk, STR(HELLO)), 0);
		websocket_walk_init(&walk);
		websocket_walk_feed(&walk, (struct str){ rows[i].p, rows[i].len - 1 });
		assert_false(walk.is_bad); /* not before the byte that is wrong */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_parsed_however_cut),
		cmocka_unit_test(written_headers_are_the_parsed_ones),
		cmocka_unit_test(close_frames_are_written),
		cmocka_unit_test(accept_key_is_that_of_the_rfc),
		cmocka_unit_test(unmasking_can_go_piece_by_piece),
		cmocka_unit_test(walk_finds_boundaries_and_close_however_cut),
		cmocka_unit_test(walk_tells_that_no_boundary_is_near),
		cmocka_unit_test(walk_stops_at_the_end_of_each_frame),
		cmocka_unit_test(walk_skips_a_payload_of_any_length),
		cmocka_unit_test(payload_that_passes_unseen_is_skipped),
		cmocka_unit_test(nothing_of_a_header_passes_unseen),
		cmocka_unit_test(walk_refuses_what_is_no_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
