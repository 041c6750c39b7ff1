/* SPDX-License-Identifier: MIT */
/*
 * websocket: a parsed header is written back to the same bytes; the walker sees the same frames
 * as the parser, however its stream is cut.
 */
#include "config.h"

#include "proto/websocket.h"

#include <stdlib.h>

#include "base/bug.h"

#define must(cond) bug_on(!(cond))

static void check_header(const char *p, size_t len)
{
	struct websocket_frame frame;
	char out[WEBSOCKET_HEADER_MAX];
	enum parse answer, all = websocket_parse_header(p, len, &frame, NULL);
	size_t upto = len < sizeof(out) ? len : sizeof(out);

	must(all != PARSE_MORE || len < WEBSOCKET_HEADER_MAX);
	if (all == PARSE_DONE) {
		must(frame.header_size <= len && frame.payload_size <= INT64_MAX);
		must(websocket_write_header(out, &frame) == frame.header_size);
		must(memcmp(out, p, frame.header_size) == 0);
		upto = frame.header_size;
	}
	/* A shorter beginning says MORE, or the same BAD. */
	for (size_t n = 0; n < upto; n++) {
		char *copy = malloc(n + !n);

		memcpy(copy, p, n);
		answer = websocket_parse_header(copy, n, &frame, NULL);
		must(answer == PARSE_MORE || (answer == PARSE_BAD && all == PARSE_BAD));
		free(copy);
	}
}

/* Frame by frame: is there a whole Close, and where does the last whole frame end? */
static bool walk_by_parsing(const char *p, size_t len, bool *has_close, size_t *boundary)
{
	size_t at = 0;

	*has_close = false;
	*boundary = 0;
	for (;;) {
		struct websocket_frame frame;
		enum parse answer = websocket_parse_header(p + at, len - at, &frame, NULL);

		if (answer != PARSE_DONE)
			return answer == PARSE_MORE;
		if (len - at - frame.header_size < frame.payload_size)
			return true;
		at += frame.header_size + (size_t)frame.payload_size;
		*boundary = at;
		*has_close |= frame.opcode == WEBSOCKET_CLOSE;
	}
}

static void check_walk(const char *p, size_t len, unsigned seed)
{
	struct websocket_walk walk;
	size_t want, at = 0, last = 0;
	bool has_close, is_good = walk_by_parsing(p, len, &has_close, &want);

	websocket_walk_init(&walk);
	while (at < len) {
		size_t n = 1 + (seed >> 16) % 24;
		ptrdiff_t boundary;
		char *copy;

		seed = seed * 1103515245u + 12345u;
		n = n < len - at ? n : len - at;
		copy = malloc(n);
		memcpy(copy, p + at, n);
		boundary = websocket_walk_feed(&walk, (struct str){ copy, n });
		free(copy);
		if (boundary >= 0)
			last = at + (size_t)boundary;
		at += n;
	}
	must(walk.is_bad == !is_good && walk.has_close == has_close);
	if (is_good) {
		must(last == want);
		must(websocket_walk_is_at_boundary(&walk) == (want == len));
	}
}

static void check_close(const char *p, size_t len)
{
	char out[WEBSOCKET_CLOSE_MAX], key[WEBSOCKET_ACCEPT_SIZE];
	struct websocket_frame frame;
	const uint8_t mask[4] = { 1, 2, 3, (uint8_t)len };
	bool is_masked = len & 1;
	size_t n = websocket_write_close(out, is_masked ? mask : NULL, (uint16_t)len,
					 (struct str){ p, len });

	must(n <= sizeof(out));
	must(websocket_parse_header(out, n, &frame, NULL) == PARSE_DONE);
	must(frame.opcode == WEBSOCKET_CLOSE && frame.is_masked == is_masked);
	must(frame.header_size + frame.payload_size == n);
	must(websocket_accept_key((struct str){ p, len }, key) && key[27] == '=' && !key[28]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;

	if (size == 0)
		return 0;
	check_header(p + 1, size - 1);
	check_walk(p + 1, size - 1, data[0]);
	check_close(p + 1, size - 1);
	return 0;
}
