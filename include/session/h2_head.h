/* SPDX-License-Identifier: MIT */
/*
 * h2_head - the field sections of HTTP/2 as heads of HTTP/1.1, and back (RFC 9113 8).  Pure: no
 * I/O and no session.
 *
 *   :method :path :authority :scheme :protocol, fields  -->  "GET /x HTTP/1.1\r\nHost: ...\r\n\r\n"
 *   "HTTP/1.1 200 OK\r\n..."                            -->  :status, fields in lower case
 *
 * Nothing that could end a line, or read as another field, gets into the text; what HTTP/1.1 has
 * rules for beyond that (Host, lengths, expectations, sizes) its own parser checks afterwards.
 */
#ifndef SESSION_H2_HEAD_H
#define SESSION_H2_HEAD_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "proto/http1.h"

enum h2_pseudo { H2_METHOD, H2_SCHEME, H2_AUTHORITY, H2_PATH, H2_PROTOCOL, H2_HOST, H2_PSEUDO_N };

/*
 * A request's field section as it comes, and the head that becomes of it in one pass:
 *
 *   GET/x/1https a.test  GET /x/1 HTTP/1.1 CR LF host: a.test CR LF accept: ...
 *   pseudo-fields        head_at: written when the first other field comes
 */
struct h2_head {
	struct buf text;    /* (own) */
	struct buf cookies; /* (own) joined with "; " (RFC 9113 8.2.3) */
	struct {
		uint32_t at, length;
		bool is_there;
	} pseudo[H2_PSEUDO_N]; /* in text */
	uint32_t head_at;      /* in text; 0 = pseudo-fields may still come */
	uint32_t size_max;     /* bytes of names and values together; more: 431 */
	uint32_t size;
	bool has_length; /* Content-Length */
	uint16_t status; /* 0, or how it is to be refused */
	const char *why; /* likewise; constant */
};

void h2_head_init(struct h2_head *head, uint32_t size_max);
void h2_head_fini(struct h2_head *head);
/* The next field.  Mistakes are remembered: head->status. */
void h2_head_add(struct h2_head *head, struct str name, struct str value);
void h2_head_refuse(struct h2_head *head, uint16_t status, const char *why);

/* How the request goes on behind its field section. */
struct h2_request {
	bool is_ended;      /* no body follows, or all of it is known: body_size */
	uint64_t body_size; /* of an ended one */
	const char *key;    /* Sec-WebSocket-Key for an extended CONNECT, NUL-terminated */
	bool is_chunked;    /* result: the body must be framed with the chunked coding */
	bool is_websocket;  /* result: an Upgrade was written */
	bool is_head;       /* result: method HEAD */
};

/* The method is CONNECT and :protocol was sent (RFC 8441). */
bool h2_head_is_extended(const struct h2_head *head);
/*
 * All fields are there: moves the head to OUT (empty).  False: it is to be refused, head->status
 * and head->why tell how.  Either way nothing but h2_head_fini() is left to be done with HEAD.
 */
bool h2_head_write(struct h2_head *head, struct h2_request *request, struct buf *out);

/* A field of a trailer section, as a line to TO.  False: malformed, or too large. */
bool h2_trailer_add(struct buf *to, struct str name, struct str value);

/* A response's head as it goes out.  Not to be copied: fields[0] points into it. */
struct h2_response {
	unsigned status;
	size_t size;        /* bytes of the head */
	nghttp2_nv *fields; /* (loan) the caller's array; [0] is :status */
	size_t fields_n;
	size_t fields_max;
	enum http_framing framing; /* as for a GET */
	uint64_t content_length;
	struct str accept; /* Sec-WebSocket-Accept of a 101 */
	char status_text[4];
};

/*
 * Reads the HTTP/1.1 head that the engine has written at the beginning of TEXT.  The fields are
 * views into TEXT; nghttp2 puts names into lower case where it copies them.  PARSE_MORE: it goes on
 * behind TEXT.  PARSE_BAD: it is none.
 */
enum parse h2_response_read(struct str text, struct h2_response *response);

#endif
