/* SPDX-License-Identifier: MIT */
/*
 * client_hello - what the first bytes of a connection tell before anything is answered: the
 * protocol, and of TLS what its ClientHello asks for (SNI, ALPN), without ending the TLS.
 *
 * Strict, as the route depends on it and the server reads the same bytes: what two readers could
 * take differently is refused.  Pure: no memory, no I/O.  Both functions look at the beginning of
 * the connection each time; how the input is cut never changes the outcome, and an outcome other
 * than PARSE_MORE stands whatever follows.
 */
#ifndef PROTO_CLIENT_HELLO_H
#define PROTO_CLIENT_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "proto/parse.h"

/* Bytes of a connection (records and all) in which the hello must end; BUF_SIZE holds them. */
#define CLIENT_HELLO_SIZE_MAX 16384
#define CLIENT_HELLO_SNI_MAX  253 /* bytes of a host name */
#define FIRST_BYTES_MAX       48  /* bytes after which first_bytes() always knows */

enum first_protocol {
	FIRST_TLS,  /* a handshake record of SSL 3 or later */
	FIRST_HTTP, /* HTTP/1: a method, a space and the beginning of a target */
	FIRST_H2C,  /* the preface of HTTP/2 (RFC 9113 3.4) */
	FIRST_SSH,
	FIRST_OTHER,
	FIRST_N
};

/* "tls", "http", "h2c", "ssh", "other": the words of a route's `protocol`; constant. */
struct str first_protocol_name(enum first_protocol protocol);

/*
 * Tells by which protocol the connection begins.  PARSE_MORE: more than one is possible yet (or
 * LEN is 0); who cannot wait any longer takes it for FIRST_OTHER.  Never PARSE_BAD.
 */
enum parse first_bytes(const char *buf, size_t len, enum first_protocol *protocol);

struct client_hello {
	uint16_t legacy_version; /* 0x0303 from every client of today */
	uint16_t version;        /* highest that it supports and that we know, 0x0304 = TLS 1.3 at
				    most; 0 = none */
	/*
	 * The name as sent but for one dot at its end: letters, digits, '-', '_' and dots, no label
	 * empty; p == NULL = none.  With encrypted ClientHello (has_ech) the outer one: the public
	 * name.
	 */
	struct str sni;
	struct str alpn; /* RFC 7301 3.1, checked: each name behind its length; p == NULL = none */
	bool has_ech;
	size_t size; /* bytes of the connection that the hello took, record headers included */
};

extern const char CLIENT_HELLO_WHY_RECORD[];    /* not TLS, or another record in between */
extern const char CLIENT_HELLO_WHY_HANDSHAKE[]; /* another handshake message */
extern const char CLIENT_HELLO_WHY_SIZE[];      /* longer than CLIENT_HELLO_SIZE_MAX */
extern const char CLIENT_HELLO_WHY_TRAILER[];   /* its last record goes on behind it */
extern const char CLIENT_HELLO_WHY_FORM[];      /* lengths or values that cannot be */
extern const char CLIENT_HELLO_WHY_TWICE[];     /* an extension that comes twice */
extern const char CLIENT_HELLO_WHY_SNI[];       /* not one valid host name */
extern const char CLIENT_HELLO_WHY_ALPN[];      /* malformed list */

/*
 * Reads the ClientHello (RFC 5246 7.4.1.2, RFC 8446 4.1.2) with which a TLS connection begins, in
 * as many records as it comes.  PARSE_DONE: HELLO's views lie in BUF or in SCRATCH, whichever it
 * was (in one record: BUF).  PARSE_MORE: a correct beginning; LEN is less than
 * CLIENT_HELLO_SIZE_MAX.  PARSE_BAD: *WHY (may be NULL) says what is wrong; HELLO is void.
 *
 * SCRATCH has CLIENT_HELLO_SIZE_MAX bytes and need not live longer than the views.
 */
enum parse client_hello_parse(const char *buf, size_t len, char *scratch,
			      struct client_hello *hello, const char **why);

#endif
