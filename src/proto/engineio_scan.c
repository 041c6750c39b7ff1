/* SPDX-License-Identifier: MIT */
/*
 * engineio_scan - finds the handshake in a response body.
 *
 * Model.  A tokeniser for JSON that looks at braces, strings and colons alone, one byte at a time,
 * so that cuts cannot matter.  Outside all braces everything is noise (packet types, lengths,
 * binary framing) but a quote: it opens a string literal whose decoded content is read in place
 * of the body until it ends (JSONP).  Strings are read as strings, so a "sid" inside another
 * member's value is not taken for one.
 *
 * Always true:
 *   1. sid_depth != 0 says that sid holds a whole sid; it is the first one, and never changes.
 *   2. The ping figures kept are from the sid's object, or, before the sid, from the object at
 *      ping_depth, and are dropped when that ends.
 */
#include "config.h"

#include "proto/engineio.h"

enum {
	SCAN_SEEK,       /* the next string or brace */
	SCAN_STRING,     /* the end of a string, which may be a key */
	SCAN_COLON,      /* a colon, which makes the string a key */
	SCAN_VALUE,      /* the first byte of the value of a member that we want */
	SCAN_SID,        /* the end of the sid's string */
	SCAN_SID_NUMBER, /* the end of a sid that is a bare number */
	SCAN_NUMBER,     /* the end of a ping figure */
	SCAN_DONE,
	SCAN_BAD,
};

enum { MEMBER_OTHER, MEMBER_SID, MEMBER_INTERVAL, MEMBER_TIMEOUT };

#define KEY_TOO_LONG 255

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static uint8_t member_of(const struct engineio_scan *scan)
{
	struct str key = { scan->key, scan->key_len };

	if (scan->key_len == KEY_TOO_LONG)
		return MEMBER_OTHER;
	if (str_eq(key, STR("sid")))
		return scan->sid_depth ? MEMBER_OTHER : MEMBER_SID;
	if (str_eq(key, STR("pingInterval")))
		return MEMBER_INTERVAL;
	return str_eq(key, STR("pingTimeout")) ? MEMBER_TIMEOUT : MEMBER_OTHER;
}

static void forget_figures(struct engineio_scan *scan)
{
	scan->has_interval = scan->has_timeout = false;
	scan->ping_interval_ms = scan->ping_timeout_ms = 0;
	scan->ping_depth = 0;
}

static void done_if_complete(struct engineio_scan *scan)
{
	if (scan->sid_depth && scan->has_interval && scan->has_timeout)
		scan->state = SCAN_DONE;
}

static void end_sid(struct engineio_scan *scan)
{
	scan->state = SCAN_SEEK;
	if (scan->sid_len == 0)
		return;
	scan->sid_depth = scan->depth;
	if (scan->ping_depth != scan->depth)
		forget_figures(scan);
	done_if_complete(scan);
}

static void end_figure(struct engineio_scan *scan)
{
	scan->state = SCAN_SEEK;
	if (scan->sid_depth && scan->depth != scan->sid_depth)
		return;
	if (scan->ping_depth != scan->depth)
		forget_figures(scan);
	scan->ping_depth = scan->depth;
	if (scan->member == MEMBER_INTERVAL) {
		scan->ping_interval_ms = (uint32_t)scan->number;
		scan->has_interval = true;
	} else {
		scan->ping_timeout_ms = (uint32_t)scan->number;
		scan->has_timeout = true;
	}
	done_if_complete(scan);
}

static void put_sid(struct engineio_scan *scan, const char *bytes, int n)
{
	for (int i = 0; i < n; i++) {
		if (scan->sid_len == ENGINEIO_SID_MAX)
			scan->is_sid_too_long = true;
		else
			scan->sid[scan->sid_len++] = bytes[i];
	}
}

static void put_key(struct engineio_scan *scan, const char *bytes, int n)
{
	for (int i = 0; i < n; i++) {
		if (scan->key_len >= sizeof(scan->key))
			scan->key_len = KEY_TOO_LONG;
		else
			scan->key[scan->key_len++] = bytes[i];
	}
}

static void seek(struct engineio_scan *scan, char c)
{
	scan->state = SCAN_SEEK;
	if (c == '"' && scan->depth > 0) {
		scan->state = SCAN_STRING;
		scan->key_len = 0;
	} else if (c == '{') {
		if (scan->depth == UINT8_MAX)
			scan->state = scan->sid_depth ? SCAN_DONE : SCAN_BAD;
		else
			scan->depth++;
	} else if (c == '}' && scan->depth > 0) {
		if (scan->depth == scan->sid_depth)
			scan->state = SCAN_DONE;
		else if (scan->depth == scan->ping_depth && !scan->sid_depth)
			forget_figures(scan);
		scan->depth--;
	}
}

static void begin_value(struct engineio_scan *scan, char c)
{
	if (is_space(c))
		return;
	if (scan->member == MEMBER_SID && (c == '"' || is_digit(c))) {
		scan->state = c == '"' ? SCAN_SID : SCAN_SID_NUMBER;
		scan->sid_len = 0;
		scan->is_sid_too_long = false;
		put_sid(scan, &c, c != '"');
	} else if (scan->member != MEMBER_SID && is_digit(c)) {
		scan->state = SCAN_NUMBER;
		scan->number = (uint64_t)(c - '0');
	} else {
		seek(scan, c);
	}
}

/* One byte of the text that holds the packets. */
static void take(struct engineio_scan *scan, char c)
{
	char out[8];
	int n;

	switch (scan->state) {
	case SCAN_SEEK:
		seek(scan, c);
		break;
	case SCAN_STRING:
		n = engineio_unescape(&scan->inner, c, out);
		if (n < 0)
			scan->state = SCAN_COLON;
		else
			put_key(scan, out, n);
		break;
	case SCAN_COLON:
		if (c == ':') {
			scan->member = member_of(scan);
			scan->state = scan->member == MEMBER_OTHER ? SCAN_SEEK : SCAN_VALUE;
		} else if (!is_space(c)) {
			seek(scan, c);
		}
		break;
	case SCAN_VALUE:
		begin_value(scan, c);
		break;
	case SCAN_SID:
		n = engineio_unescape(&scan->inner, c, out);
		if (n < 0)
			end_sid(scan);
		else
			put_sid(scan, out, n);
		break;
	case SCAN_SID_NUMBER:
		if (is_digit(c)) {
			put_sid(scan, &c, 1);
			break;
		}
		end_sid(scan);
		if (scan->state == SCAN_SEEK)
			seek(scan, c);
		break;
	case SCAN_NUMBER:
		if (is_digit(c)) {
			scan->number = scan->number * 10 + (uint64_t)(c - '0');
			if (scan->number > UINT32_MAX)
				scan->number = UINT32_MAX;
			break;
		}
		end_figure(scan);
		if (scan->state == SCAN_SEEK)
			seek(scan, c);
		break;
	default:
		break;
	}
}

/* The string literal around the packets has ended; another one may follow. */
static void end_outer(struct engineio_scan *scan)
{
	scan->in_outer = false;
	scan->depth = 0;
	scan->inner = (struct engineio_unescape){ 0 };
	if (scan->sid_depth) {
		scan->state = SCAN_DONE;
		return;
	}
	scan->state = SCAN_SEEK;
	forget_figures(scan);
}

static void take_outer(struct engineio_scan *scan, char c)
{
	char out[8];
	int n = engineio_unescape(&scan->outer, c, out);

	if (n < 0)
		end_outer(scan);
	for (int i = 0; i < n; i++)
		take(scan, out[i]);
}

void engineio_scan_init(struct engineio_scan *scan)
{
	*scan = (struct engineio_scan){ 0 };
}

enum parse engineio_scan_feed(struct engineio_scan *scan, struct str piece)
{
	for (size_t i = 0; i < piece.len && scan->state < SCAN_DONE; i++) {
		char c = piece.p[i];

		if (scan->seen++ == 0 && c == 0x1f) /* gzip; no text begins so */
			scan->state = SCAN_BAD;
		else if (scan->in_outer)
			take_outer(scan, c);
		else if (c == '"' && scan->depth == 0)
			scan->in_outer = true;
		else
			take(scan, c);
		if (scan->seen == ENGINEIO_SCAN_MAX && scan->state < SCAN_DONE)
			scan->state = scan->sid_depth ? SCAN_DONE : SCAN_BAD;
	}
	if (scan->state < SCAN_DONE)
		return PARSE_MORE;
	return scan->state == SCAN_DONE ? PARSE_DONE : PARSE_BAD;
}

bool engineio_scan_has_sid(const struct engineio_scan *scan)
{
	return scan->sid_depth != 0;
}

bool engineio_scan_finish(struct engineio_scan *scan)
{
	if (scan->state < SCAN_DONE)
		scan->state = scan->sid_depth ? SCAN_DONE : SCAN_BAD;
	return scan->state == SCAN_DONE;
}
