/* SPDX-License-Identifier: MIT */
/*
 * tls_client - what TLS connections to servers share (OpenSSL).
 *
 * A context holds what all connections of one purpose share: authorities, our certificate, the name
 * that the server must have.  It is immutable and counted; any thread may open connections from it
 * (tls_connect(), net/tls.h).
 */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"

#define TLS_WHY_SIZE 128 /* bytes of a message, with NUL */

struct tls_client_options {
	bool is_verified; /* the certificate must lead to an authority and have `name` */
	bool is_min_1_3;  /* else 1.2 */
	struct str ca;    /* PEM file; "" = the system's */
	struct str sni;   /* asked for, unless it is an address; "" = none */
	struct str name;  /* a host name or an IP that the certificate must have; "" = any */
	struct str certificate, key;      /* PEM files to show; "" = none */
	struct str ciphers, ciphersuites; /* of 1.2 and of 1.3, in OpenSSL's words; "" = its own */
	const struct str *alpn; /* protocols offered, best first, each of 1 to 255 bytes */
	size_t alpn_n;
};

struct tls_client_ctx;

/*
 * Sessions to resume, of one server and one context, on one thread: the newest few.  TLS 1.3
 * tickets are used once (RFC 8446 C.4).  Zeroed = empty.
 */
#define TLS_RESUME_MAX 4
struct tls_resume {
	struct tls_client_ctx *ctx;     /* (ref) whose sessions they are; NULL = empty */
	void *sessions[TLS_RESUME_MAX]; /* (own) newest first */
	unsigned n;
};
void tls_resume_fini(struct tls_resume *resume);

/* NULL: WHY says what was wrong.  The caller has one reference.  Reads files: it blocks. */
struct tls_client_ctx *tls_client_ctx_new(const struct tls_client_options *options,
					  char why[TLS_WHY_SIZE]) must_check;
/* The same as BASE with other names ("" = none, any); what it has read is shared. */
struct tls_client_ctx *tls_client_ctx_named(const struct tls_client_ctx *base, struct str sni,
					    struct str name) must_check;
/* Whether CTX is what that would give. */
bool tls_client_ctx_is_named(const struct tls_client_ctx *ctx, const struct tls_client_ctx *base,
			     struct str sni, struct str name);
struct tls_client_ctx *tls_client_ctx_ref(struct tls_client_ctx *ctx);
void tls_client_ctx_unref(struct tls_client_ctx *ctx); /* NULL is fine */

#endif
