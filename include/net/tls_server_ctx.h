/* SPDX-License-Identifier: MIT */
/*
 * tls_server_ctx - the inside of a tls_server: what all of its SSL_CTXs have in common.
 *
 * A connection begins with `base`, which has the tickets and the session cache but no certificate;
 * its client_hello callback changes to the SSL_CTX of the name (net/tls_names.h).  OpenSSL then
 * takes some things from the one (sessions, tickets), some from the other (ALPN, authorities of
 * clients, ciphers, staple), some were copied before (versions, options, verify mode).  So all of
 * them are made by one function, alike.
 */
#ifndef NET_TLS_SERVER_CTX_H
#define NET_TLS_SERVER_CTX_H

#include <stdatomic.h>

#include <openssl/ssl.h>

#include "net/tls_entry.h"
#include "net/tls_server.h"

struct tls_tickets;

#define TLS_CONTEXT_SIZE 16   /* bytes of `context` */
#define TLS_ALPN_MAX     1024 /* bytes of all names as they go over the wire */

struct tls_server {
	unsigned magic;
	atomic_uint refs;
	struct tls_store_user user;  /* certificates, and the table of names */
	SSL_CTX *base;               /* (own) */
	struct tls_tickets *tickets; /* (ref) NULL = none */

	/* Fixed at tls_server_new(); for the SSL_CTXs that come later. */
	char *ciphers, *ciphersuites, *groups; /* (own) NULL = ours */
	bool is_min_1_3, is_sni_strict, has_tickets, has_cache;
	enum tls_verify client_verify;
	X509_STORE *authorities;          /* (ref) of clients; NULL = none */
	STACK_OF(X509_NAME) * ca_names;   /* (own) told to clients; NULL = none */
	unsigned char alpn[TLS_ALPN_MAX]; /* best first, as on the wire */
	unsigned alpn_size;
	/*
	 * Half of the session id context: a digest of what the verification of clients depends on,
	 * the same on both nodes of a pair.  The other half is of the name that was asked for.
	 */
	unsigned char context[TLS_CONTEXT_SIZE];
};

/* An SSL_CTX for the tables of ARG, a struct tls_store_user.  NULL never. */
void *tls_server_make_ctx(void *arg);
/* Sets CTX up.  False: told. */
bool tls_server_set_up(struct tls_server *server, SSL_CTX *ctx,
		       const struct tls_mistakes *to) must_check;
/* Reads the authorities and revocation lists of clients.  False: told. */
bool tls_server_read_authorities(struct tls_server *server,
				 const struct tls_server_options *options,
				 const struct tls_mistakes *to) must_check;

#endif
