/* SPDX-License-Identifier: MIT */
/*
 * engineio_packets - finds a close packet in the body of a poll's answer or of a post.
 *
 *   body bytes -> [JSONP: string escapes | d=, %xx, \n] -> framing -> "1"?
 *
 * Framing.  EIO=4: packets with 0x1e between.  EIO=3 text: <length>:<packet>..., the length in
 * UTF-16 units.  EIO=3 binary: 00|01, the length's digits as bytes 0..9, ff, packet..., the length
 * in bytes.  What breaks its framing is not looked at any further.  Without JSONP, packets that
 * are not "1" cost a memchr() or a jump.
 */
#include "config.h"

#include "proto/engineio.h"

#define SEPARATOR  0x1e /* EIO=4 */
#define DIGITS_MAX 12   /* of a length */

enum { WRAP_NONE, WRAP_ANSWER, WRAP_POST };

enum { FRAMING_V4, FRAMING_V3, FRAMING_V3_TEXT, FRAMING_V3_BINARY, FRAMING_DEAD };

/* V4 uses START, ONE, SKIP. */
enum {
	STATE_START,  /* first byte of a packet, or of its length */
	STATE_LENGTH, /* more of a binary length */
	STATE_ONE,    /* V4: the packet is "1" so far; V3: its only byte comes */
	STATE_SKIP,   /* the rest of the packet */
};

enum { ANSWER_BEFORE, ANSWER_STRING, ANSWER_AFTER };
enum { POST_KEY, POST_KEY_D, POST_OTHER, POST_VALUE, POST_AFTER };

enum { SLASHES_NONE, SLASHES_ONE, SLASHES_MANY };

static void feed_v4(struct engineio_packets *packets, const char *p, const char *end)
{
	while (p < end) {
		if (packets->state == STATE_SKIP) {
			p = memchr(p, SEPARATOR, (size_t)(end - p));
			if (!p)
				return;
			packets->state = STATE_START;
			p++;
			continue;
		}
		if (*p == SEPARATOR) {
			packets->has_close |= packets->state == STATE_ONE;
			packets->state = STATE_START;
		} else {
			packets->state =
				packets->state == STATE_START && *p == '1' ? STATE_ONE : STATE_SKIP;
		}
		p++;
	}
}

static void next_packet(struct engineio_packets *packets)
{
	packets->state = STATE_START;
	packets->left = 0;
	packets->digits_n = 0;
}

static void add_digit(struct engineio_packets *packets, unsigned digit)
{
	packets->left = packets->left * 10 + digit;
	if (++packets->digits_n > DIGITS_MAX)
		packets->framing = FRAMING_DEAD;
}

static void end_length(struct engineio_packets *packets)
{
	if (packets->digits_n == 0)
		packets->framing = FRAMING_DEAD;
	else if (packets->left == 0)
		next_packet(packets);
	else
		packets->state = packets->left == 1 ? STATE_ONE : STATE_SKIP;
}

/*
 * UTF-16 units that begin in the bytes from P to END: one for each byte that is not a UTF-8
 * continuation, two for the lead of four bytes.
 */
static size_t count_units(const char *p, const char *end)
{
	size_t units = 0;

	for (; p < end; p++)
		units += (size_t)(((unsigned char)*p & 0xc0) != 0x80) +
			 (size_t)((unsigned char)*p >= 0xf0);
	return units;
}

/* A packet's last character may have bytes behind its first one: STATE_START skips those. */
static const char *skip_units(struct engineio_packets *packets, const char *p, const char *end)
{
	while (p < end && packets->left > 0) {
		uint64_t n =
			packets->left > 1 ? packets->left / 2 : 1; /* two units a byte at most */
		size_t units;

		if (n > (uint64_t)(end - p))
			n = (uint64_t)(end - p);
		units = count_units(p, p + n);
		packets->left -= units < packets->left ? units : packets->left;
		p += n;
	}
	if (packets->left == 0)
		next_packet(packets);
	return p;
}

static void feed_v3_text(struct engineio_packets *packets, const char *p, const char *end)
{
	while (p < end && packets->framing == FRAMING_V3_TEXT) {
		switch (packets->state) {
		case STATE_ONE:
			packets->has_close |= *p == '1';
			packets->state = STATE_SKIP;
			break;
		case STATE_SKIP:
			p = skip_units(packets, p, end);
			break;
		default:
			if (*p >= '0' && *p <= '9')
				add_digit(packets, (unsigned)(*p - '0'));
			else if (*p == ':')
				end_length(packets);
			else if (packets->digits_n > 0 || ((unsigned char)*p & 0xc0) != 0x80)
				packets->framing = FRAMING_DEAD;
			p++;
		}
	}
}

static void feed_v3_binary(struct engineio_packets *packets, const char *p, const char *end)
{
	while (p < end && packets->framing == FRAMING_V3_BINARY) {
		unsigned char c = (unsigned char)*p;
		uint64_t n = (uint64_t)(end - p);

		switch (packets->state) {
		case STATE_ONE:
			packets->has_close |= c == (packets->is_text ? '1' : 1);
			packets->state = STATE_SKIP;
			break;
		case STATE_SKIP:
			n = n < packets->left ? n : packets->left;
			packets->left -= n;
			p += n;
			if (packets->left == 0)
				next_packet(packets);
			break;
		case STATE_START:
			packets->is_text = c == 0;
			packets->state = STATE_LENGTH;
			if (c > 1)
				packets->framing = FRAMING_DEAD;
			p++;
			break;
		default:
			if (c <= 9)
				add_digit(packets, c);
			else if (c == 0xff)
				end_length(packets);
			else
				packets->framing = FRAMING_DEAD;
			p++;
		}
	}
}

/* Bytes of the payload itself. */
static void feed_payload(struct engineio_packets *packets, const char *p, size_t len)
{
	if (len == 0)
		return;
	if (packets->framing == FRAMING_V3)
		packets->framing = (unsigned char)*p <= 1 ? FRAMING_V3_BINARY : FRAMING_V3_TEXT;
	if (packets->framing == FRAMING_V4)
		feed_v4(packets, p, p + len);
	else if (packets->framing == FRAMING_V3_TEXT)
		feed_v3_text(packets, p, p + len);
	else if (packets->framing == FRAMING_V3_BINARY)
		feed_v3_binary(packets, p, p + len);
}

static void end_payload(struct engineio_packets *packets)
{
	if (packets->framing == FRAMING_V4 && packets->state == STATE_ONE)
		packets->has_close = true;
	packets->framing = FRAMING_DEAD;
}

/* ___eio[0]("..."); */
static void feed_answer(struct engineio_packets *packets, const char *p, const char *end)
{
	char out[8];
	int n;

	if (packets->wrap_state == ANSWER_BEFORE) {
		p = memchr(p, '"', (size_t)(end - p));
		if (!p)
			return;
		packets->wrap_state = ANSWER_STRING;
		p++;
	}
	for (; p < end && packets->wrap_state == ANSWER_STRING; p++) {
		n = engineio_unescape(&packets->unescape, *p, out);
		if (n < 0) {
			end_payload(packets);
			packets->wrap_state = ANSWER_AFTER;
		} else {
			feed_payload(packets, out, (size_t)n);
		}
	}
}

/*
 * One byte of a post's decoded value.  The client wrote a newline as \n and a backslash before an
 * n as two; no other backslash is an escape.  Of k > 1 backslashes before an n, k - 1 stay.
 */
static void take_slashed(struct engineio_packets *packets, char c)
{
	if (c == '\\') {
		if (packets->slashes != SLASHES_NONE)
			feed_payload(packets, "\\", 1);
		packets->slashes = packets->slashes == SLASHES_NONE ? SLASHES_ONE : SLASHES_MANY;
		return;
	}
	if (packets->slashes != SLASHES_NONE && c != 'n')
		feed_payload(packets, "\\", 1);
	if (packets->slashes == SLASHES_ONE && c == 'n')
		c = '\n';
	packets->slashes = SLASHES_NONE;
	feed_payload(packets, &c, 1);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)ascii_lower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Passes a %xx that was none on as it stood. */
static void flush_percent(struct engineio_packets *packets)
{
	if (packets->percent > 0)
		take_slashed(packets, '%');
	if (packets->percent > 1)
		take_slashed(packets, packets->percent_high);
	packets->percent = 0;
}

static void end_value(struct engineio_packets *packets)
{
	flush_percent(packets);
	if (packets->slashes != SLASHES_NONE)
		feed_payload(packets, "\\", 1);
	end_payload(packets);
	packets->wrap_state = POST_AFTER;
}

static void take_encoded(struct engineio_packets *packets, char c)
{
	if (packets->percent > 0 && hex_value(c) >= 0) {
		if (packets->percent == 1) {
			packets->percent_high = c;
			packets->percent = 2;
			return;
		}
		packets->percent = 0;
		take_slashed(packets, (char)((unsigned)hex_value(packets->percent_high) << 4 |
					     (unsigned)hex_value(c)));
		return;
	}
	flush_percent(packets);
	if (c == '&')
		end_value(packets);
	else if (c == '%')
		packets->percent = 1;
	else
		take_slashed(packets, c == '+' ? ' ' : c);
}

/* d=... */
static void feed_post(struct engineio_packets *packets, const char *p, const char *end)
{
	for (; p < end && packets->wrap_state != POST_AFTER; p++) {
		if (packets->wrap_state == POST_VALUE)
			take_encoded(packets, *p);
		else if (*p == '&')
			packets->wrap_state = POST_KEY;
		else if (packets->wrap_state == POST_KEY && *p == 'd')
			packets->wrap_state = POST_KEY_D;
		else if (packets->wrap_state == POST_KEY_D && *p == '=')
			packets->wrap_state = POST_VALUE;
		else
			packets->wrap_state = POST_OTHER;
	}
}

void engineio_packets_init(struct engineio_packets *packets, uint8_t version, bool is_jsonp,
			   enum engineio_direction direction)
{
	*packets = (struct engineio_packets){ 0 };
	packets->framing = version == 4 ? FRAMING_V4 : FRAMING_V3;
	if (is_jsonp)
		packets->wrap = direction == ENGINEIO_TO_CLIENT ? WRAP_ANSWER : WRAP_POST;
}

bool engineio_packets_feed(struct engineio_packets *packets, struct str piece)
{
	if (packets->has_close || piece.len == 0)
		return packets->has_close;
	if (packets->wrap == WRAP_ANSWER)
		feed_answer(packets, piece.p, piece.p + piece.len);
	else if (packets->wrap == WRAP_POST)
		feed_post(packets, piece.p, piece.p + piece.len);
	else
		feed_payload(packets, piece.p, piece.len);
	return packets->has_close;
}

bool engineio_packets_finish(struct engineio_packets *packets)
{
	if (packets->wrap == WRAP_NONE)
		end_payload(packets);
	else if (packets->wrap == WRAP_POST && packets->wrap_state == POST_VALUE)
		end_value(packets);
	return packets->has_close;
}
