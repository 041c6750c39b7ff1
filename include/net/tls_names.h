/* SPDX-License-Identifier: MIT */
/*
 * tls_names - which certificates go with which name: the table that a handshake looks its SNI up
 * in.
 *
 *   "a.test"  ---> set {RSA of a.pem, ECDSA of b.pem} ---> SSL_CTX
 *   "*.test"  ---> set {RSA of a.pem}                 ---> SSL_CTX
 *
 * Of the certificates that have a name, the first one of each kind of key goes into its set; names
 * with the same set share an SSL_CTX.
 *
 * Immutable and counted; any thread.
 */
#ifndef NET_TLS_NAMES_H
#define NET_TLS_NAMES_H

#include "base/bug.h"
#include "base/str.h"
#include "net/tls_cert.h"

struct tls_names;

/* Kinds of keys that OpenSSL keeps side by side: RSA, RSA-PSS, ECDSA, Ed25519, Ed448. */
#define TLS_SET_MAX 5
/* What an SSL_CTX of a table serves; tls_names_set_of() finds it.  Lives as long as the SSL_CTX. */
struct tls_set {
	struct tls_cert *certs[TLS_SET_MAX]; /* (ref) */
	size_t certs_n;
};

/* A new SSL_CTX without certificates, ready but for them; NULL: it has told why. */
typedef void *tls_ctx_fn(void *arg);

/*
 * CERTS in the order that counts; the first one is the default's.  At least one.  Sets that OLD
 * (may be NULL) has too keep their SSL_CTX.  NULL: MAKE has failed.
 */
struct tls_names *tls_names_new(struct tls_cert *const *certs, size_t n,
				const struct tls_names *old, tls_ctx_fn *make,
				void *arg) must_check;
struct tls_names *tls_names_ref(struct tls_names *names);
void tls_names_unref(struct tls_names *names); /* NULL is fine */

/*
 * (view) The SSL_CTX of SNI, as a client has sent it: whatever its case, with or without a dot at
 * its end.  NULL: no certificate has that name.
 */
void *tls_names_find(const struct tls_names *names, struct str sni);
void *tls_names_default(const struct tls_names *names); /* (view) never NULL */
/* NULL: SSL_CTX is not from a table. */
const struct tls_set *tls_names_set_of(const void *ssl_ctx);

#endif
