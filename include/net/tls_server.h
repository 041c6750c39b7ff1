/* SPDX-License-Identifier: MIT */
/*
 * tls_server - what the TLS connections of one bind share: versions, ciphers, certificates by name,
 * authorities of clients, tickets.
 *
 * Certificates are kept once for the process, by the path of their file (net/tls_store.h); a
 * tls_server has a table of names that leads to them.  When one is replaced, a new table is
 * published: handshakes under way finish with what they began with, the next one finds the new.
 *
 * Which certificate: the SNI's exact name, else the wildcard of its parent ("*.example.com" stands
 * for one label), else the first certificate of the first file (the default), unless is_sni_strict:
 * then the handshake ends with unrecognized_name (RFC 6066 3).  Without SNI the default, or,
 * strict, the same alert.  Of one name an RSA and an ECDSA certificate may stand side by side: the
 * client's signature algorithms decide.
 *
 * Threads: made and changed on the control thread (or before the threads run); handshakes on any
 * thread look names up under a short lock (doc/threads.md).  Counted.
 */
#ifndef NET_TLS_SERVER_H
#define NET_TLS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "net/tls_client.h"

enum tls_verify { TLS_VERIFY_NONE, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRED };

struct tls_server_options {
	const struct str *certificates; /* PEM files, or directories of them */
	size_t certificates_n;
	bool is_min_1_3;
	struct str ciphers, ciphersuites, groups; /* "" = ours */
	const struct str *alpn;                   /* best first; none = no ALPN */
	size_t alpn_n;
	struct str client_ca, client_crl; /* PEM files; "" = none */
	enum tls_verify client_verify;
	bool is_sni_strict;
	bool has_tickets;
	struct str ticket_keys;   /* file of keys, see net/tls_tickets.h; "" = none */
	struct str ticket_secret; /* keys are derived from it and the time; "" = random ones */
	uint32_t session_cache;   /* TLS 1.2 sessions without tickets kept; 0 = none */
	int64_t session_ms;       /* how long a session may be resumed */
	bool has_ocsp_refresh;    /* ask the responders ourselves */
	struct str label;         /* tells the operator which bind it is: "web/:443" */
};

struct tls_server;

/* Tells each mistake: FILE is the one it is about ("" = none in particular). */
typedef void tls_mistake_fn(void *arg, bool is_error, struct str file, const char *text);

/*
 * NULL: what was told by MISTAKE says why; all of them are told.  Warnings (is_error false) do not
 * hinder it: a certificate that has expired, a directory's file that is no certificate.  The caller
 * has one reference.  Reads files; files that have changed count for this server at once, for the
 * others with tls_store_activate().
 */
struct tls_server *tls_server_new(const struct tls_server_options *options, tls_mistake_fn *mistake,
				  void *arg) must_check;
struct tls_server *tls_server_ref(struct tls_server *server);
void tls_server_unref(struct tls_server *server); /* NULL is fine; any thread */

/*
 * For tls.c: the SSL_CTX that new connections begin with (SSL_new() takes its own reference).  A
 * view: it and what its callbacks use live as long as SERVER.
 */
void *tls_server_ssl_ctx(struct tls_server *server);

#endif
