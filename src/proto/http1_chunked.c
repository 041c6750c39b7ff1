/* SPDX-License-Identifier: MIT */
/*
 * http1_chunked - decoder of the chunked transfer coding (RFC 9112 7.1).
 *
 *   SIZE -> (EXTENSION ->) SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *                             \-- size 0 --> TRAILERS -> END
 *
 * A chunk line is: 1 to 16 hex digits, then CR LF or an extension that begins with ";" at once.
 * Every line ends with CR LF; white space around the size, which some readers skip and others
 * do not, is refused.
 */
#include "config.h"

#include "proto/http1_internal.h"

#include "proto/http1_scan.h"

enum chunked_state {
	CHUNKED_SIZE,      /* waiting for a digit, or the end of the digits */
	CHUNKED_EXTENSION, /* waiting for the CR after an extension */
	CHUNKED_SIZE_LF,   /* waiting for the LF of a chunk line */
	CHUNKED_DATA,      /* waiting for LEFT bytes */
	CHUNKED_DATA_CR,   /* waiting for the CR LF after data */
	CHUNKED_DATA_LF,
	CHUNKED_TRAILERS, /* waiting for the whole trailer section */
	CHUNKED_END,
};

void http1_chunked_init(struct http1_chunked *chunked)
{
	*chunked = (struct http1_chunked){ .state = CHUNKED_SIZE };
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum parse take_size(struct http1_chunked *chunked, struct http1_cursor *c)
{
	while (c->p < c->end) {
		char byte = *c->p;
		int digit = hex_value(byte);

		if (digit >= 0) {
			/* line_size counts the digits here. */
			if (++chunked->line_size > 16 || chunked->left >> 59)
				return http1_bad(c, HTTP1_BAD_CHUNK_SIZE);
			chunked->left = chunked->left << 4 | (unsigned)digit;
			c->p++;
			continue;
		}
		chunked->line_size++;
		if (chunked->line_size == 1 || (byte != '\r' && byte != ';'))
			return http1_bad(c, HTTP1_BAD_CHUNK_SIZE);
		c->p++;
		chunked->state = byte == ';' ? CHUNKED_EXTENSION : CHUNKED_SIZE_LF;
		return PARSE_DONE;
	}
	return PARSE_MORE;
}

static enum parse take_extension(struct http1_chunked *chunked, struct http1_cursor *c)
{
	const char *p = http1_scan_value(c->buf, c->p, c->end);
	size_t size = (size_t)(p - c->p);

	/* The CR LF counts too. */
	if (size > HTTP1_CHUNK_LINE_MAX - 2 - chunked->line_size)
		return http1_bad(c, HTTP1_CHUNK_LINE_TOO_LONG);
	chunked->line_size += (uint32_t)size;
	c->p = p;
	if (p == c->end)
		return PARSE_MORE;
	if (*p != '\r')
		return http1_bad(c, http1_why_byte(*p, HTTP1_BAD_BYTE));
	c->p++;
	chunked->state = CHUNKED_SIZE_LF;
	return PARSE_DONE;
}

static enum parse take_byte(struct http1_cursor *c, char byte, const char *why)
{
	if (c->p == c->end)
		return PARSE_MORE;
	if (*c->p != byte)
		return http1_bad(c, why);
	c->p++;
	return PARSE_DONE;
}

static enum parse take_data(struct http1_chunked *chunked, struct http1_cursor *c, struct str *data)
{
	size_t size = (size_t)(c->end - c->p);

	if (size == 0)
		return PARSE_MORE;
	if (size > chunked->left)
		size = (size_t)chunked->left;
	*data = (struct str){ c->p, size };
	c->p += size;
	chunked->left -= size;
	if (chunked->left == 0)
		chunked->state = CHUNKED_DATA_CR;
	return PARSE_DONE;
}

static enum parse take_trailers(struct http1_chunked *chunked, struct http1_cursor *c,
				struct http_head *trailers)
{
	const char *buf = c->p;
	size_t len = (size_t)(c->end - c->p), seen = chunked->line_size;
	enum parse parse;

	chunked->line_size = len < HTTP1_TRAILERS_SIZE_MAX ? (uint32_t)len : 0;
	if (!http1_has_news(buf, len, seen) && len < HTTP1_TRAILERS_SIZE_MAX)
		return PARSE_MORE;
	if (len > HTTP1_TRAILERS_SIZE_MAX)
		c->end = buf + HTTP1_TRAILERS_SIZE_MAX;
	http1_head_init(trailers);
	parse = http1_take_fields(c, trailers);
	if (parse == PARSE_DONE) {
		trailers->size = (size_t)(c->p - buf);
		chunked->state = CHUNKED_END;
		return PARSE_DONE;
	}
	c->p = buf;
	if (parse == PARSE_MORE && len >= HTTP1_TRAILERS_SIZE_MAX)
		return http1_bad(c, HTTP1_BAD_TRAILER);
	return parse;
}

/* PARSE_DONE: one step was made.  Kept out of http1_chunked_next() for its 4 KiB of stack. */
static enum parse take_dropped_trailers(struct http1_chunked *chunked, struct http1_cursor *c)
{
	struct http_head dropped;

	return take_trailers(chunked, c, &dropped);
}

static enum parse take_line_feed(struct http1_chunked *chunked, struct http1_cursor *c)
{
	enum parse parse = take_byte(c, '\n', HTTP1_BAD_LINE_END);

	if (parse == PARSE_DONE) {
		chunked->state = chunked->left ? CHUNKED_DATA : CHUNKED_TRAILERS;
		chunked->line_size = 0;
	}
	return parse;
}

static enum parse take_data_end(struct http1_chunked *chunked, struct http1_cursor *c)
{
	bool is_cr = chunked->state == CHUNKED_DATA_CR;
	enum parse parse = take_byte(c, is_cr ? '\r' : '\n', HTTP1_BAD_CHUNK_END);

	if (parse == PARSE_DONE) {
		chunked->state = is_cr ? CHUNKED_DATA_LF : CHUNKED_SIZE;
		chunked->line_size = 0;
	}
	return parse;
}

uint64_t http1_chunked_unseen(const struct http1_chunked *chunked)
{
	return chunked->state == CHUNKED_DATA ? chunked->left : 0;
}

void http1_chunked_skip(struct http1_chunked *chunked, uint64_t n)
{
	bug_on(n > http1_chunked_unseen(chunked));
	if (!n)
		return;
	chunked->left -= n;
	if (chunked->left == 0)
		chunked->state = CHUNKED_DATA_CR;
}

enum parse http1_chunked_next(struct http1_chunked *chunked, const char *buf, size_t len,
			      size_t *used, struct str *data, struct http_head *trailers,
			      const char **why)
{
	struct http1_cursor c = { .buf = buf, .p = buf, .end = buf + len, .kind = HTTP1_TRAILERS };
	enum parse parse = PARSE_DONE;

	*data = (struct str){ buf, 0 };
	while (parse == PARSE_DONE && data->len == 0 && chunked->state != CHUNKED_END) {
		switch ((enum chunked_state)chunked->state) {
		case CHUNKED_SIZE:
			parse = take_size(chunked, &c);
			break;
		case CHUNKED_EXTENSION:
			parse = take_extension(chunked, &c);
			break;
		case CHUNKED_SIZE_LF:
			parse = take_line_feed(chunked, &c);
			break;
		case CHUNKED_DATA:
			parse = take_data(chunked, &c, data);
			break;
		case CHUNKED_DATA_CR:
		case CHUNKED_DATA_LF:
			parse = take_data_end(chunked, &c);
			break;
		case CHUNKED_TRAILERS:
			parse = trailers ? take_trailers(chunked, &c, trailers)
					 : take_dropped_trailers(chunked, &c);
			break;
		case CHUNKED_END:
			break;
		}
	}
	*used = (size_t)(c.p - buf);
	if (parse == PARSE_BAD)
		*why = c.why;
	if (parse == PARSE_BAD || chunked->state == CHUNKED_END)
		return parse;
	return PARSE_MORE;
}
