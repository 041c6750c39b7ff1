/* SPDX-License-Identifier: MIT */
/*
 * http1_internal - what the http1 source files share.  Nobody else includes this.
 *
 * Always true of these parsers: they go strictly from left to right, and what is wrong is told
 * from the bytes up to and including the first one that shows it.  So a prefix of a bad head
 * is either incomplete or bad for the same reason, however the bytes were cut.
 */
#ifndef PROTO_HTTP1_INTERNAL_H
#define PROTO_HTTP1_INTERNAL_H

#include "proto/http1.h"

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE, HTTP1_TRAILERS };

/* Where a parser stands in its buffer. */
struct http1_cursor {
	const char *buf; /* first byte of the buffer */
	const char *p;   /* next byte */
	const char *end; /* one past the last byte */
	const char *why; /* set with PARSE_BAD */
	enum http1_kind kind;
};

#define HTTP1_FLAG_HOP     1
#define HTTP1_FLAG_KEPT    2
#define HTTP1_FLAG_CHECKED 4
extern const uint8_t http1_field_flags[HTTP_FIELD_N];

static inline enum parse http1_bad(struct http1_cursor *c, const char *why)
{
	c->why = why;
	return PARSE_BAD;
}

/* WHY for the unexpected byte BYTE: controls have reasons of their own. */
const char *http1_why_byte(char byte, const char *otherwise);

/* Clears what the parsers add to, and nothing else of the 4 KiB. */
void http1_head_init(struct http_head *head);

/* Takes CR LF. */
enum parse http1_take_line_end(struct http1_cursor *c);

/* Takes field lines up to and with the empty line, into HEAD->fields, first, fields_n. */
enum parse http1_take_fields(struct http1_cursor *c, struct http_head *head);

/* What is known at the end of the fields alone: framing, persistence, upgrade, hop-by-hop. */
enum parse http1_finish_head(struct http1_cursor *c, struct http_head *head);

/* True when the bytes after SEEN can change the answer of a parse that wanted more. */
bool http1_has_news(const char *buf, size_t len, size_t seen);

#endif
