/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/tls_cert.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "net/tls_cert_facts.h"
#include "net/tls_mistake.h"

#define TLS_CERT_MAGIC 0x7c3e1a90u
#define CHAIN_MAX      16 /* certificates beside the leaf */

struct tls_cert {
	unsigned magic;
	atomic_uint refs;
	X509 *leaf;             /* (own) */
	EVP_PKEY *key;          /* (own) */
	STACK_OF(X509) * chain; /* (own) may be empty */
	X509 *issuer;           /* (view) of chain; NULL = it is not there */
	struct tls_cert_about about;
	struct arena arena; /* of about's texts */

	pthread_mutex_t staple_lock; /* of what follows */
	unsigned char *staple;       /* (own) DER; NULL = none */
	struct tls_ocsp_about staple_about;
};

/* ---- Out of PEM ---- */

struct pieces {
	X509 *leaf;             /* (own) */
	STACK_OF(X509) * chain; /* (own) */
	EVP_PKEY *key;          /* (own) */
	unsigned keys_n;
	bool is_bad;
};

static void take_certificate(struct pieces *pieces, const unsigned char *der, long size,
			     const struct tls_mistakes *to)
{
	X509 *certificate = d2i_X509(NULL, &der, size);

	if (!certificate) {
		tls_error_openssl(to, "a certificate cannot be read");
		pieces->is_bad = true;
	} else if (!pieces->leaf) {
		pieces->leaf = certificate;
	} else if (sk_X509_num(pieces->chain) >= CHAIN_MAX) {
		if (!pieces->is_bad)
			tls_error(to, "more than %d certificates in one file", CHAIN_MAX + 1);
		pieces->is_bad = true;
		X509_free(certificate);
	} else {
		bug_on(!sk_X509_push(pieces->chain, certificate));
	}
}

static void take_key(struct pieces *pieces, const unsigned char *der, long size,
		     const struct tls_mistakes *to)
{
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &der, size);

	pieces->keys_n++;
	if (!key) {
		tls_error_openssl(to, "the key cannot be read");
		pieces->is_bad = true;
	} else if (pieces->key) {
		tls_warning(to, "more than one key: the first counts");
		EVP_PKEY_free(key);
	} else {
		pieces->key = key;
	}
	ERR_clear_error();
}

static void take_block(struct pieces *pieces, const char *name, const char *header,
		       const unsigned char *der, long size, const struct tls_mistakes *to)
{
	struct str kind = str_of(name);

	if (str_eq(kind, STR("CERTIFICATE")) || str_eq(kind, STR("X509 CERTIFICATE"))) {
		take_certificate(pieces, der, size, to);
	} else if (str_ends(kind, STR("PRIVATE KEY"))) {
		if (!str_starts(kind, STR("ENCRYPTED")) && !strstr(header, "ENCRYPTED")) {
			take_key(pieces, der, size, to);
			return;
		}
		tls_error(to, "the key is encrypted: there is nobody to ask for its password");
		pieces->keys_n++;
		pieces->is_bad = true;
	}
}

/* Blocks of other kinds (parameters, requests) are left out. */
static void take_pieces(struct pieces *pieces, struct str pem, const struct tls_mistakes *to)
{
	BIO *bio;
	char *name, *header;
	unsigned char *der;
	long size;

	if (!pem.len)
		return;
	if (pem.len > TLS_FILE_MAX) {
		tls_error(to, "too large");
		pieces->is_bad = true;
		return;
	}
	ERR_clear_error();
	bio = BIO_new_mem_buf(pem.p, (int)pem.len);
	bug_on(!bio);
	while (PEM_read_bio(bio, &name, &header, &der, &size) == 1) {
		take_block(pieces, name, header, der, size, to);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)size);
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		tls_error_openssl(to, "not well-formed PEM");
		pieces->is_bad = true;
	}
	ERR_clear_error();
	BIO_free(bio);
}

static void pieces_fini(struct pieces *pieces)
{
	X509_free(pieces->leaf);
	sk_X509_pop_free(pieces->chain, X509_free);
	EVP_PKEY_free(pieces->key);
}

/* ---- Whether it can be used ---- */

static void tell_day(char day[16], int64_t unix_s)
{
	time_t at = (time_t)unix_s;
	struct tm tm;

	day[0] = '\0';
	if (gmtime_r(&at, &tm))
		(void)strftime(day, 16, "%Y-%m-%d", &tm);
}

/* What does not hinder its use. */
static void warn(const struct tls_cert *cert, const struct tls_mistakes *to)
{
	const struct tls_cert_about *about = &cert->about;
	int64_t now_unix_s = (int64_t)time(NULL);
	const X509 *below = cert->leaf;
	char day[16];

	if (about->not_after_unix_s < now_unix_s) {
		tell_day(day, about->not_after_unix_s);
		tls_warning(to, "expired on %s", day);
	} else if (about->not_before_unix_s > now_unix_s) {
		tell_day(day, about->not_before_unix_s);
		tls_warning(to, "not valid before %s", day);
	}
	if (!about->names_n)
		tls_warning(to, "it has no host name: it serves as the first certificate alone");
	if (X509_check_purpose(cert->leaf, X509_PURPOSE_SSL_SERVER, 0) != 1)
		tls_warning(to, "its key usage does not allow servers");
	for (int i = 0; i < sk_X509_num(cert->chain); i++) {
		X509 *link = sk_X509_value(cert->chain, i);

		if (X509_NAME_cmp(X509_get_subject_name(link), X509_get_issuer_name(below)) != 0) {
			tls_warning(to,
				    "the chain is broken: %s has not issued what stands "
				    "before it",
				    about->chain[i]);
			break;
		}
		below = link;
	}
	ERR_clear_error();
}

/* OpenSSL takes it at the security level that we use. */
static bool is_usable(const struct pieces *pieces, const struct tls_mistakes *to)
{
	EVP_PKEY *key = X509_get0_pubkey(pieces->leaf);
	SSL_CTX *ctx;
	bool ok;

	if (!key) {
		tls_error_openssl(to, "the certificate's key cannot be read");
		return false;
	}
	if (X509_check_private_key(pieces->leaf, pieces->key) != 1) {
		tls_error(to, "the key is another certificate's");
		ERR_clear_error();
		return false;
	}
	if (EVP_PKEY_get_security_bits(key) < 112) {
		tls_error(to,
			  "the key is too weak: %d bits; OpenSSL's security level 2 wants "
			  "2048 of RSA, 224 of elliptic curves",
			  EVP_PKEY_get_bits(key));
		return false;
	}
	ctx = SSL_CTX_new(TLS_server_method());
	bug_on(!ctx);
	SSL_CTX_set_security_level(ctx, 2);
	ok = SSL_CTX_use_cert_and_key(ctx, pieces->leaf, pieces->key, pieces->chain, 1) == 1;
	if (!ok)
		tls_error_openssl(to, "OpenSSL refuses it");
	SSL_CTX_free(ctx);
	return ok;
}

static struct tls_cert *cert_new(struct pieces *pieces)
{
	struct tls_cert *cert = xcalloc(1, sizeof(*cert));

	cert->magic = TLS_CERT_MAGIC;
	atomic_init(&cert->refs, 1);
	cert->leaf = pieces->leaf;
	cert->key = pieces->key;
	cert->chain = pieces->chain;
	*pieces = (struct pieces){ 0 };
	arena_init(&cert->arena, 1024);
	tls_cert_facts(&cert->about, &cert->arena, cert->leaf, cert->chain);
	for (int i = 0; i < sk_X509_num(cert->chain) && !cert->issuer; i++)
		if (X509_check_issued(sk_X509_value(cert->chain, i), cert->leaf) == X509_V_OK)
			cert->issuer = sk_X509_value(cert->chain, i);
	pthread_mutex_init(&cert->staple_lock, NULL);
	return cert;
}

struct tls_cert *tls_cert_parse(struct str file, struct str pem, struct str key_pem,
				const struct tls_cert *key_of, tls_mistake_fn *mistake, void *arg)
{
	const struct tls_mistakes to = { mistake, arg, file };
	struct pieces pieces = { .chain = sk_X509_new_null() };
	struct tls_cert *cert = NULL;

	bug_on(!pieces.chain);
	take_pieces(&pieces, pem, &to);
	if (!pieces.keys_n && key_pem.len) {
		struct pieces beside = { .chain = sk_X509_new_null() };

		take_pieces(&beside, key_pem, &to);
		pieces.key = beside.key;
		pieces.keys_n = beside.keys_n;
		pieces.is_bad |= beside.is_bad;
		beside.key = NULL;
		pieces_fini(&beside);
	}
	if (!pieces.keys_n && key_of && EVP_PKEY_up_ref(key_of->key) == 1) {
		pieces.key = key_of->key;
		pieces.keys_n = 1;
	}
	if (!pieces.leaf && !pieces.is_bad)
		tls_error(&to, "no certificate in it");
	if (!pieces.keys_n && pieces.leaf)
		tls_error(&to, "no key in it, nor in a .key file beside it");
	if (pieces.leaf && pieces.key && !pieces.is_bad && is_usable(&pieces, &to)) {
		cert = cert_new(&pieces);
		warn(cert, &to);
	}
	pieces_fini(&pieces);
	return cert;
}

/* ---- The object ---- */

struct tls_cert *tls_cert_ref(struct tls_cert *cert)
{
	check_magic(cert, TLS_CERT_MAGIC);
	atomic_fetch_add_explicit(&cert->refs, 1, memory_order_relaxed);
	return cert;
}

void tls_cert_unref(struct tls_cert *cert)
{
	if (!cert)
		return;
	check_magic(cert, TLS_CERT_MAGIC);
	if (atomic_fetch_sub_explicit(&cert->refs, 1, memory_order_acq_rel) != 1)
		return;
	cert->magic = 0;
	X509_free(cert->leaf);
	EVP_PKEY_free(cert->key);
	sk_X509_pop_free(cert->chain, X509_free);
	arena_fini(&cert->arena);
	OPENSSL_free(cert->staple);
	pthread_mutex_destroy(&cert->staple_lock);
	free(cert);
}

const struct tls_cert_about *tls_cert_about(const struct tls_cert *cert)
{
	return &cert->about;
}

bool tls_cert_is_equal(const struct tls_cert *a, const struct tls_cert *b)
{
	int n = sk_X509_num(a->chain);

	if (X509_cmp(a->leaf, b->leaf) != 0 || n != sk_X509_num(b->chain) ||
	    EVP_PKEY_eq(a->key, b->key) != 1)
		return false;
	for (int i = 0; i < n; i++)
		if (X509_cmp(sk_X509_value(a->chain, i), sk_X509_value(b->chain, i)) != 0)
			return false;
	return true;
}

char *tls_cert_pem(const struct tls_cert *cert, bool has_key)
{
	/* Of OpenSSL's secure kind: what it has held is wiped when it is freed. */
	BIO *bio = BIO_new(BIO_s_secmem());
	bool ok = bio && PEM_write_bio_X509(bio, cert->leaf) == 1;
	char *bytes, *text;
	long size;

	for (int i = 0; ok && i < sk_X509_num(cert->chain); i++)
		ok = PEM_write_bio_X509(bio, sk_X509_value(cert->chain, i)) == 1;
	if (ok && has_key)
		ok = PEM_write_bio_PKCS8PrivateKey(bio, cert->key, NULL, NULL, 0, NULL, NULL) == 1;
	bug_on(!ok);
	size = BIO_get_mem_data(bio, &bytes);
	text = xmalloc((size_t)size + 1);
	memcpy(text, bytes, (size_t)size);
	text[size] = '\0';
	BIO_free(bio);
	return text;
}

/* ---- The staple ---- */

void tls_cert_set_staple(struct tls_cert *cert, const void *der, size_t size,
			 const struct tls_ocsp_about *about)
{
	unsigned char *copy = size ? OPENSSL_memdup(der, size) : NULL;
	unsigned char *old;

	pthread_mutex_lock(&cert->staple_lock);
	old = cert->staple;
	cert->staple = copy;
	cert->staple_about = copy ? *about : (struct tls_ocsp_about){ 0 };
	cert->staple_about.size = copy ? size : 0;
	pthread_mutex_unlock(&cert->staple_lock);
	OPENSSL_free(old);
}

bool tls_cert_staple_about(struct tls_cert *cert, struct tls_ocsp_about *about)
{
	pthread_mutex_lock(&cert->staple_lock);
	*about = cert->staple_about;
	pthread_mutex_unlock(&cert->staple_lock);
	return about->size > 0;
}

static unsigned char *copy_staple(struct tls_cert *cert, size_t *size, bool is_any)
{
	const struct tls_ocsp_about *about = &cert->staple_about;
	unsigned char *copy = NULL;
	int64_t now_unix_s = is_any ? 0 : (int64_t)time(NULL);

	*size = 0;
	pthread_mutex_lock(&cert->staple_lock);
	if (cert->staple &&
	    (is_any || !about->next_update_unix_s || about->next_update_unix_s > now_unix_s)) {
		copy = OPENSSL_memdup(cert->staple, about->size);
		*size = copy ? about->size : 0;
	}
	pthread_mutex_unlock(&cert->staple_lock);
	return copy;
}

unsigned char *tls_cert_staple(struct tls_cert *cert, size_t *size)
{
	return copy_staple(cert, size, false);
}

unsigned char *tls_cert_staple_any(struct tls_cert *cert, size_t *size)
{
	return copy_staple(cert, size, true);
}

void tls_cert_keep_staple(struct tls_cert *cert, struct tls_cert *from)
{
	struct tls_ocsp_about about;
	unsigned char *der;
	size_t size;

	if (strcmp(cert->about.sha256, from->about.sha256) != 0 || !cert->issuer ||
	    tls_cert_staple_about(cert, &about) || !tls_cert_staple_about(from, &about))
		return;
	der = tls_cert_staple_any(from, &size);
	about.size = size;
	if (der)
		tls_cert_set_staple(cert, der, size, &about);
	OPENSSL_free(der);
}

/* ---- For OpenSSL ---- */

void *tls_cert_x509(const struct tls_cert *cert)
{
	return cert->leaf;
}

void *tls_cert_key(const struct tls_cert *cert)
{
	return cert->key;
}

void *tls_cert_chain(const struct tls_cert *cert)
{
	return cert->chain;
}

void *tls_cert_issuer(const struct tls_cert *cert)
{
	return cert->issuer;
}
