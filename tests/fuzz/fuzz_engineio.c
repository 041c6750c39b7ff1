/* SPDX-License-Identifier: MIT */
/*
 * engineio: a body's answer does not depend on how it is cut.  The first byte chooses the reader's
 * parameters and the cuts; the rest is a query and a body alike.
 */
#include "config.h"

#include "proto/engineio.h"

#include <stdlib.h>

#include "base/bug.h"

#define must(cond) bug_on(!(cond))

/* Takes a piece off REST, of a size that follows from SEED, into a block of its own. */
static struct str take_piece(struct str *rest, unsigned *seed)
{
	struct str piece;
	char *copy;

	*seed = *seed * 1103515245u + 12345u;
	piece.len = (*seed >> 16) % 7 == 0 ? 0 : 1 + (*seed >> 20) % 40;
	piece.len = piece.len < rest->len ? piece.len : rest->len;
	copy = malloc(piece.len + !piece.len);
	memcpy(copy, rest->p, piece.len);
	piece.p = copy;
	*rest = (struct str){ rest->p + piece.len, rest->len - piece.len };
	return piece;
}

static void free_piece(struct str piece)
{
	void *p;

	memcpy(&p, &piece.p, sizeof(p));
	free(p);
}

static void check_scan(struct str body, unsigned seed)
{
	struct engineio_scan whole, cut;
	enum parse one, two = PARSE_MORE;

	engineio_scan_init(&whole);
	engineio_scan_init(&cut);
	one = engineio_scan_feed(&whole, body);
	while (body.len > 0) {
		struct str piece = take_piece(&body, &seed);
		enum parse before = two;

		two = engineio_scan_feed(&cut, piece);
		must(before == PARSE_MORE || two == before);
		free_piece(piece);
	}
	must(one == two);
	must(one != PARSE_DONE || engineio_scan_has_sid(&whole));
	must(engineio_scan_finish(&whole) == engineio_scan_finish(&cut));
	if (!engineio_scan_has_sid(&whole))
		return;
	must(whole.sid_len >= 1 && whole.sid_len <= ENGINEIO_SID_MAX);
	must(whole.sid_len == cut.sid_len && !memcmp(whole.sid, cut.sid, whole.sid_len));
	must(whole.is_sid_too_long == cut.is_sid_too_long);
	must(whole.ping_interval_ms == cut.ping_interval_ms);
	must(whole.ping_timeout_ms == cut.ping_timeout_ms);
}

static void check_packets(struct str body, unsigned how, unsigned seed)
{
	struct engineio_packets whole, cut;
	enum engineio_direction direction = how & 2 ? ENGINEIO_TO_CLIENT : ENGINEIO_TO_SERVER;
	bool had = false;

	engineio_packets_init(&whole, how & 1 ? 4 : 3, how & 4, direction);
	engineio_packets_init(&cut, how & 1 ? 4 : 3, how & 4, direction);
	engineio_packets_feed(&whole, body);
	while (body.len > 0) {
		struct str piece = take_piece(&body, &seed);
		bool has = engineio_packets_feed(&cut, piece);

		must(has || !had);
		had = has;
		free_piece(piece);
	}
	must(whole.has_close == cut.has_close);
	must(engineio_packets_finish(&whole) == engineio_packets_finish(&cut));
}

/* What is written after a percent sign is the same sid. */
static void check_query(struct str query)
{
	static const char hex[] = "0123456789abcdef";
	char text[4 + 3 * ENGINEIO_SID_MAX] = "sid=";
	struct engineio_query got, again;
	size_t n = 4;

	engineio_parse_query(query, &got);
	must(got.sid_len <= ENGINEIO_SID_MAX && got.has_sid == (got.sid_len > 0));
	must(got.version == 0 || (got.version >= 2 && got.version <= 4));
	must(!got.is_sid_too_long || got.sid_len == ENGINEIO_SID_MAX);
	for (size_t i = 0; i < got.sid_len; i++) {
		text[n++] = '%';
		text[n++] = hex[(uint8_t)got.sid[i] >> 4];
		text[n++] = hex[(uint8_t)got.sid[i] & 15];
	}
	engineio_parse_query((struct str){ text, n }, &again);
	must(again.sid_len == got.sid_len && !memcmp(again.sid, got.sid, got.sid_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str body = { (const char *)data + 1, size - 1 };

	if (size == 0)
		return 0;
	check_query(body);
	check_scan(body, data[0]);
	check_packets(body, data[0] & 7, data[0]);
	engineio_is_unknown_sid_body(body);
	engineio_path_matches(body, STR("/socket.io/"));
	return 0;
}
