/* SPDX-License-Identifier: MIT */
/*
 * tls_cert - one certificate with its chain, its key and what is known of them.
 *
 * It comes from a PEM text (leaf, chain and key in any order but for the leaf, which is the first
 * certificate) and does not change any more, but for the OCSP response that is stapled to it.
 *
 * Threads: any; counted.  The staple is guarded by a lock of the certificate's own.
 */
#ifndef NET_TLS_CERT_H
#define NET_TLS_CERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "net/tls_server.h"

struct tls_cert;

/* Constant; dies with its certificate.  Texts have no control characters. */
struct tls_cert_about {
	const char *subject, *issuer; /* "/C=DE/O=Example/CN=www.example.com" */
	const char *common_name;      /* of the subject; "" = none */
	const char *serial;           /* hex digits, upper case, even in number */
	int64_t not_before_unix_s, not_after_unix_s;
	const char *const *names; /* lower case: DNS names of the SANs, or else the common name */
	size_t names_n;
	const char *alt_names;            /* all SANs as told: "DNS:a.test, IP Address:192.0.2.1" */
	const char *algorithm;            /* of the key: "RSA2048", "EC256", "ED25519" */
	const char *key_type;             /* "RSA-2048", "ECDSA P-256", "Ed25519" */
	unsigned key_bits;                /* 0 = not known */
	char sha1[41], sha256[65];        /* fingerprints of the leaf, upper case */
	const char *const *chain;         /* subjects, leaf's issuer first, without the leaf */
	const char *const *chain_issuers; /* of each of these */
	size_t chain_n;
	bool has_issuer;         /* the chain has the leaf's issuer: OCSP is possible */
	const char *responder;   /* URL of its OCSP responder; NULL = none */
	bool is_staple_required; /* "must staple" (RFC 7633) */
};

/* What an OCSP response says (RFC 6960). */
enum tls_ocsp_status { TLS_OCSP_NONE, TLS_OCSP_GOOD, TLS_OCSP_REVOKED, TLS_OCSP_UNKNOWN };
struct tls_ocsp_about {
	enum tls_ocsp_status status; /* NONE = no response */
	int64_t produced_unix_s, this_update_unix_s;
	int64_t next_update_unix_s; /* 0 = not told */
	int64_t revoked_unix_s;     /* of TLS_OCSP_REVOKED */
	const char *reason;         /* of TLS_OCSP_REVOKED; constant; NULL = not told */
	size_t size;                /* bytes of the response */
};

/*
 * PEM is what FILE holds; KEY_PEM (may be "") what stands beside it and is looked at when PEM has
 * no key; KEY_OF (may be NULL) lends its key when there is none either.  NULL: MISTAKE was told
 * each reason.  Warnings: it has expired, is not valid yet, has no name.  The caller has a
 * reference.
 */
struct tls_cert *tls_cert_parse(struct str file, struct str pem, struct str key_pem,
				const struct tls_cert *key_of, tls_mistake_fn *mistake,
				void *arg) must_check;
struct tls_cert *tls_cert_ref(struct tls_cert *cert);
void tls_cert_unref(struct tls_cert *cert); /* NULL is fine */

const struct tls_cert_about *tls_cert_about(const struct tls_cert *cert);
/* Same leaf, chain and key. */
bool tls_cert_is_equal(const struct tls_cert *a, const struct tls_cert *b);
/*
 * Leaf and chain as PEM, then (HAS_KEY) the key: a secret that the caller wipes.  NUL-terminated;
 * free() it.
 */
char *tls_cert_pem(const struct tls_cert *cert, bool has_key);

/* The staple: a DER that was checked (net/tls_ocsp.h), with what it says.  SIZE 0 takes it off. */
void tls_cert_set_staple(struct tls_cert *cert, const void *der, size_t size,
			 const struct tls_ocsp_about *about);
/* False: there is none, and *ABOUT is empty. */
bool tls_cert_staple_about(struct tls_cert *cert, struct tls_ocsp_about *about);
/* A copy by OPENSSL_malloc(); NULL: there is none, or it may not be sent any more. */
unsigned char *tls_cert_staple(struct tls_cert *cert, size_t *size);
/* The staple whatever its age, by OPENSSL_malloc(); NULL = none. */
unsigned char *tls_cert_staple_any(struct tls_cert *cert, size_t *size);

/* CERT, which has no staple yet, takes FROM's when they have the same leaf. */
void tls_cert_keep_staple(struct tls_cert *cert, struct tls_cert *from);

/* For the other modules of TLS: OpenSSL's objects, views. */
void *tls_cert_x509(const struct tls_cert *cert);   /* X509 * */
void *tls_cert_key(const struct tls_cert *cert);    /* EVP_PKEY * */
void *tls_cert_chain(const struct tls_cert *cert);  /* STACK_OF(X509) *; may be empty */
void *tls_cert_issuer(const struct tls_cert *cert); /* X509 * of the chain; NULL = none */

#endif
