/* SPDX-License-Identifier: MIT */
/*
 * http1 - parses HTTP/1.x message heads and chunked bodies (RFC 9112).  Pure: no I/O, no memory.
 *
 * A head is parsed in place in one pass: every fact is a view into the caller's buffer, which
 * must stay where it is as long as the facts are used.  What is ambiguous is refused: the parser
 * is strict so that no two readers of the same bytes can disagree about where a message ends.
 */
#ifndef PROTO_HTTP1_H
#define PROTO_HTTP1_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/str.h"
#include "proto/parse.h"

#define HTTP1_FIELDS_MAX 100 /* fields of one head or trailer section; more is refused (431) */

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_CONNECT,
	HTTP_OPTIONS,
	HTTP_TRACE,
	HTTP_PATCH,
	HTTP_OTHER,
	HTTP_METHOD_N
};

/* Fields that the engine treats specially; every other one is FIELD_OTHER. */
enum http_field_id {
	FIELD_OTHER, /* 0 */
	FIELD_HOST,
	FIELD_CONTENT_LENGTH,
	FIELD_TRANSFER_ENCODING,
	FIELD_CONNECTION,
	FIELD_KEEP_ALIVE,
	FIELD_PROXY_CONNECTION,
	FIELD_PROXY_AUTHENTICATE,
	FIELD_PROXY_AUTHORIZATION,
	FIELD_TE,
	FIELD_TRAILER,
	FIELD_UPGRADE,
	FIELD_EXPECT,
	FIELD_COOKIE,
	FIELD_SET_COOKIE,
	FIELD_ORIGIN,
	FIELD_ACCEPT_ENCODING,
	FIELD_CONTENT_ENCODING,
	FIELD_CONTENT_TYPE,
	FIELD_DATE,
	FIELD_X_FORWARDED_FOR,
	FIELD_X_FORWARDED_PROTO,
	FIELD_X_FORWARDED_HOST,
	FIELD_X_FORWARDED_PORT,
	FIELD_FORWARDED,
	FIELD_X_REQUEST_ID,
	FIELD_SEC_WEBSOCKET_KEY,
	FIELD_SEC_WEBSOCKET_ACCEPT,
	FIELD_USER_AGENT,
	FIELD_HTTP2_SETTINGS,
	HTTP_FIELD_N
};

struct http_field {
	struct str name;  /* (view) as sent */
	struct str value; /* (view) without surrounding white space */
	uint8_t id;       /* enum http_field_id */
	bool is_hop;      /* must not be passed on, see below */
};
/*
 * is_hop is set on fields that are hop-by-hop by themselves (Connection, Keep-Alive,
 * Proxy-Connection, TE, Transfer-Encoding, Upgrade, HTTP2-Settings; RFC 9110 7.6.1) and on those
 * that Connection names, with the exception of Host, Content-*, cookies, Origin, X-Forwarded-*,
 * Forwarded, X-Request-Id and Sec-WebSocket-*: a client must not be able to take those off.
 * Proxy-Authenticate, Proxy-Authorization and Trailer are end-to-end here.
 */

/* How the body that follows a head is delimited (RFC 9112 6.3). */
enum http_framing {
	FRAMING_NONE,    /* no body */
	FRAMING_LENGTH,  /* content_length bytes, > 0 */
	FRAMING_CHUNKED, /* transfer coding "chunked", the only one */
	FRAMING_CLOSE,   /* response: until the server closes */
};

struct http_head {
	/* Both. */
	uint8_t minor; /* HTTP/1.minor: 0 or 1 */
	/* Of a response: as for a GET; that the request was a HEAD is the caller's to know. */
	enum http_framing framing;
	uint64_t content_length; /* valid when has_content_length, may be 0 */
	bool has_content_length;
	bool is_keep_alive;          /* RFC 9112 9.3 persistence, by version and Connection */
	bool has_connection_upgrade; /* Connection names "upgrade" */
	/*
	 * has_connection_upgrade and Upgrade has the element "websocket", in HTTP/1.1 alone; a
	 * request also must be a GET without a body (RFC 6455 4.1), a response a 101.
	 */
	bool is_websocket;
	uint16_t fields_n;
	size_t size; /* bytes of the head, with the empty line */

	/* Request. */
	enum http_method method_id;
	struct str method; /* as sent; a token */
	struct str target; /* as sent */
	/*
	 * Host's value or, in absolute form, the target's authority (RFC 9112 3.2.2: it wins over
	 * Host): host [":" port], without user information, port 1..65535.  In HTTP/1.0 alone it
	 * may be empty, or absent (p == NULL) without Host.
	 */
	struct str authority;
	/*
	 * Target without query; "*" for OPTIONS *; raw, not decoded.  A literal, not a view, when
	 * an absolute-form target has no path: "/", or "*" for OPTIONS without a query.
	 */
	struct str path;
	struct str query; /* after '?', without it; p == NULL when there is no '?' */
	bool is_absolute_form;
	bool has_expect_continue;

	/* Response. */
	uint16_t status;   /* 100..599 */
	struct str reason; /* may be empty */

	/* Index of the first field with that id, or -1. */
	int16_t first[HTTP_FIELD_N];
	struct http_field fields[HTTP1_FIELDS_MAX];
};

/* Limits that the operator chose. */
struct http1_limits {
	uint32_t target_size_max; /* bytes of the request target; more: 414 */
	uint32_t head_size_max;   /* bytes of the whole head; more: 431 */
};

#define HTTP1_METHOD_LEN_MAX         32 /* bytes of a method */
#define HTTP1_CONNECTION_OPTIONS_MAX 32 /* elements of all Connection fields of one head */

/*
 * Parses a request head at the start of BUF[0..LEN).  SEEN is how many of these bytes an earlier
 * call of the same head has had (0 at first), so that a slow sender costs no quadratic work.
 * Up to one empty line (CRLF) before the request line is skipped (RFC 9112 2.2) and counted in
 * size.
 *
 * PARSE_DONE: *HEAD is filled.  PARSE_MORE: *HEAD is undefined.  PARSE_BAD: *WHY is one of the
 * HTTP1_BAD_* strings; http1_status_of(*WHY) is the status to answer (400, 414, 417, 431, 501,
 * 505).
 *
 * A limit is reported as soon as it is passed, though the head be incomplete; so is any byte that
 * can't be in a head (NUL, bare CR, other controls), which is what refuses TLS on a plain port.
 * A head that fills head_size_max bytes without being complete is too large, so a buffer of just
 * that size will do.  Other mistakes are told at the end of their line at the latest.
 *
 * Cutting the input differently never changes the outcome or *WHY.
 */
enum parse http1_parse_request(const char *buf, size_t len, size_t seen,
			       const struct http1_limits *limits, struct http_head *head,
			       const char **why);

/* The same for a response head; target_size_max does not apply. No empty line is skipped. */
enum parse http1_parse_response(const char *buf, size_t len, size_t seen,
				const struct http1_limits *limits, struct http_head *head,
				const char **why);

unsigned http1_status_of(const char *why); /* 400 for a string that is not ours */

/* The first field with ID, or NULL. */
static inline const struct http_field *http_head_first(const struct http_head *head,
						       enum http_field_id id)
{
	return head->first[id] < 0 ? NULL : &head->fields[head->first[id]];
}
/* The first field whose name is NAME, case ignored, or NULL. */
const struct http_field *http_head_find(const struct http_head *head, struct str name);

enum http_field_id http_field_id_of(struct str name);
enum http_field_id http1_lookup_field(struct str name); /* likewise; NAME is known for a token */
const char *http_method_name(enum http_method id);
const char *http_status_reason(unsigned status); /* "Not Found"; "" when unknown */
bool http_is_token(struct str s);                /* RFC 9110 5.6.2, not empty */
bool http_is_field_value(struct str s);          /* RFC 9110 5.5: may be set as a value */
/* host [":" port] as Host has it (RFC 9110 7.2): name, IPv4 or [IPv6], not empty. */
bool http_is_authority(struct str s);

/* Decoder of the chunked coding (RFC 9112 7.1).  Chunk extensions are dropped. */
struct http1_chunked {
	uint64_t left;      /* data bytes left of the current chunk */
	uint32_t line_size; /* bytes of the current chunk line so far, or of the trailers seen */
	uint8_t state;
};

#define HTTP1_CHUNK_LINE_MAX    4096 /* bytes of a chunk-size line with extensions */
#define HTTP1_TRAILERS_SIZE_MAX 8192 /* bytes of a trailer section */

void http1_chunked_init(struct http1_chunked *chunked);

/*
 * Takes bytes of BUF[0..LEN): *USED tells how many.  *DATA is the piece of body among them
 * (a view into BUF; empty when the bytes taken held none).  Call again with the rest until
 * *USED == 0 and PARSE_MORE: more bytes are needed.
 *
 * PARSE_DONE: the body has ended, and with *USED the final CRLF; *DATA is empty.  The trailer
 * section, when one was sent, is taken only as a whole in one buffer; TRAILERS->fields[0..fields_n)
 * are its fields (views into BUF; fields that have an id, and others that RFC 9110 6.5.1 bars from
 * trailers, have is_hop set and must not be passed on).  While the section is incomplete, each call
 * must begin with its first byte, that is, at what was left by *USED.  TRAILERS may be NULL when
 * the caller drops trailers. PARSE_BAD: *WHY is one of HTTP1_BAD_*.
 */
enum parse http1_chunked_next(struct http1_chunked *chunked, const char *buf, size_t len,
			      size_t *used, struct str *data, struct http_head *trailers,
			      const char **why);

/* How many of the next bytes are data of the current chunk, whatever they are. */
uint64_t http1_chunked_unseen(const struct http1_chunked *chunked);
/* That the next N <= http1_chunked_unseen() bytes have passed. */
void http1_chunked_skip(struct http1_chunked *chunked, uint64_t n);

/* Writes the chunk-size line ("1a2b\r\n") for SIZE > 0 to OUT (at least 20 bytes); its length. */
size_t http1_chunk_line(char *out, uint64_t size);
/* Appends it to TO. */
void http1_put_chunk_line(struct buf *to, uint64_t size);

/* Why a head or body was refused: compared by address, shown in logs, tests and counters. */
#define HTTP1_WHY(name, status, text) extern const char name[];
#include "proto/http1_why.def"
#undef HTTP1_WHY

#endif
