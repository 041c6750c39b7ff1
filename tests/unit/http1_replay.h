/* SPDX-License-Identifier: MIT */
/*
 * http1_replay - runs one row of a table of heads through the parser in every cut.
 *
 * A row is checked whole; as every prefix of itself; in two pieces cut at every byte; and byte
 * by byte with a growing SEEN.  All must agree: a prefix is incomplete or bad for the same
 * reason, never done before its last byte.  Each piece lies in memory of just its size, so
 * that the address sanitizer sees a read behind it.
 */
#ifndef TESTS_HTTP1_REPLAY_H
#define TESTS_HTTP1_REPLAY_H

#include "proto/http1.h"

struct head_row {
	const char *name;
	struct str input;
	/* One of these is set; none: the head is incomplete. */
	const char *why;    /* refused for this reason */
	const char *want;   /* done; the facts as http1_show_request() or _response() print them */
	const char *fields; /* if not NULL: the fields as http1_show_fields() prints them */
	struct http1_limits limits; /* 0: TARGET_SIZE_MAX, HEAD_SIZE_MAX */
};

#define TARGET_SIZE_MAX 1000
#define HEAD_SIZE_MAX   8000

/*
 * "GET a.b /p ?q none ka": method, authority ("-" absent), path, query ("-" absent), framing,
 * flags. Framing: none, len=N, chunked, close.  Flags: 1.0, ka keep-alive, up Connection: upgrade,
 * ws websocket, abs absolute form, exp 100-continue, cl=N a length that does not frame.
 */
void http1_show_request(const struct http_head *head, char *out, size_t size);
/* "200 OK close ka": status, reason, framing, flags. */
void http1_show_response(const struct http_head *head, char *out, size_t size);
/* "Host=a !Upgrade=x": in order, with "!" when hop-by-hop. */
void http1_show_fields(const struct http_head *head, char *out, size_t size);

void replay_requests(const struct head_row *rows, size_t rows_n);
void replay_responses(const struct head_row *rows, size_t rows_n);

#endif
