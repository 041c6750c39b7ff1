/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/tls_cert_facts.h"

#include <stdio.h>
#include <time.h>

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define NAMES_MAX      1000 /* of one certificate; more are not looked at */
#define NAME_LEN_MAX   253  /* of a host name in text (RFC 1035 3.1) */
#define FEATURE_STAPLE 5    /* status_request, RFC 7633 */

int64_t tls_unix_s_of(const void *asn1_time)
{
	struct tm tm = { 0 };

	if (!asn1_time || ASN1_TIME_to_tm(asn1_time, &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}

/* TEXT without control characters; others may stand (UTF-8). */
static const char *clean(struct arena *arena, struct str text)
{
	char *copy = arena_alloc(arena, text.len + 1);

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		copy[i] = c < ' ' || c == 0x7f ? '?' : (char)c;
	}
	copy[text.len] = '\0';
	return copy;
}

static const char *name_text(struct arena *arena, const X509_NAME *name)
{
	char *line = X509_NAME_oneline(name, NULL, 0);
	const char *text = clean(arena, str_of(line ? line : ""));

	OPENSSL_free(line);
	return text;
}

static const char *common_name(struct arena *arena, const X509_NAME *name)
{
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	const X509_NAME_ENTRY *entry = at < 0 ? NULL : X509_NAME_get_entry(name, at);
	unsigned char *utf8 = NULL;
	int len = entry ? ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry)) : -1;
	const char *text =
		clean(arena, len < 0 ? STR("") : (struct str){ (char *)utf8, (size_t)len });

	OPENSSL_free(utf8);
	return text;
}

static const char *serial_text(struct arena *arena, const X509 *leaf)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
	char *hex = number ? BN_bn2hex(number) : NULL;
	const char *text = clean(arena, str_of(hex ? hex : ""));

	OPENSSL_free(hex);
	BN_free(number);
	return text;
}

/* Lower case, or NULL: no host name, nor a wildcard of one. */
static const char *host_name(struct arena *arena, struct str name)
{
	char *copy;

	if (name.len && name.p[name.len - 1] == '.')
		name.len--;
	if (!name.len || name.len > NAME_LEN_MAX)
		return NULL;
	copy = arena_alloc(arena, name.len + 1);
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = ascii_lower((unsigned char)name.p[i]);
		bool is_alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!is_alnum && c != '-' && c != '.' && c != '_' && !(c == '*' && i == 0))
			return NULL;
		copy[i] = (char)c;
	}
	copy[name.len] = '\0';
	return copy;
}

/* RFC 6125 6.4.4: the common name counts when there is no DNS name among the SANs. */
static void fill_names(struct tls_cert_about *about, struct arena *arena, const X509 *leaf)
{
	GENERAL_NAMES *alts = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	int alts_n = alts ? sk_GENERAL_NAME_num(alts) : 0;
	int max = alts_n < NAMES_MAX ? alts_n : NAMES_MAX;
	const char **names = arena_calloc(arena, (size_t)max + 1, sizeof(*names));
	bool has_dns = false;

	for (int i = 0; i < max; i++) {
		int type;
		const ASN1_STRING *value =
			GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(alts, i), &type);
		const char *name;

		if (type != GEN_DNS)
			continue;
		has_dns = true;
		name = host_name(arena, (struct str){ (const char *)ASN1_STRING_get0_data(value),
						      (size_t)ASN1_STRING_length(value) });
		if (name)
			names[about->names_n++] = name;
	}
	if (!has_dns) {
		const char *name = host_name(arena, str_of(about->common_name));

		if (name)
			names[about->names_n++] = name;
	}
	about->names = names;
	GENERAL_NAMES_free(alts);
}

static const char *alt_names(struct arena *arena, const X509 *leaf)
{
	int at = X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1);
	BIO *bio = at < 0 ? NULL : BIO_new(BIO_s_mem());
	const char *text = "";

	if (bio && X509V3_EXT_print(bio, X509_get_ext(leaf, at), 0, 0) == 1) {
		char *p;
		long len = BIO_get_mem_data(bio, &p);

		text = clean(arena, (struct str){ p, len < 0 ? 0 : (size_t)len });
	}
	BIO_free(bio);
	return text;
}

static void fill_key(struct tls_cert_about *about, struct arena *arena, const X509 *leaf)
{
	EVP_PKEY *key = X509_get0_pubkey(leaf);
	char group[64] = "";
	const char *curve = NULL;
	int bits;

	about->algorithm = about->key_type = "unknown";
	if (!key)
		return;
	bits = EVP_PKEY_get_bits(key);
	about->key_bits = bits < 0 ? 0 : (unsigned)bits;
	if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS")) {
		about->algorithm = arena_printf(arena, "RSA%u", about->key_bits);
		about->key_type = arena_printf(arena, "RSA-%u", about->key_bits);
	} else if (EVP_PKEY_is_a(key, "EC")) {
		if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1)
			curve = EC_curve_nid2nist(OBJ_txt2nid(group));
		about->algorithm = arena_printf(arena, "EC%u", about->key_bits);
		about->key_type = arena_printf(arena, "ECDSA %s", curve ? curve : group);
	} else if (EVP_PKEY_is_a(key, "ED25519")) {
		about->algorithm = "ED25519";
		about->key_type = "Ed25519";
	} else if (EVP_PKEY_is_a(key, "ED448")) {
		about->algorithm = "ED448";
		about->key_type = "Ed448";
	}
}

static void fingerprint(char *out, const X509 *leaf, const EVP_MD *md)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;

	out[0] = '\0';
	if (X509_digest(leaf, md, digest, &size) != 1)
		return;
	for (unsigned i = 0; i < size; i++)
		snprintf(out + (size_t)i * 2, 3, "%02X", digest[i]);
}

static void fill_chain(struct tls_cert_about *about, struct arena *arena, X509 *leaf,
		       STACK_OF(X509) * chain)
{
	int n = sk_X509_num(chain);
	const char **subjects, **issuers;

	if (n <= 0)
		return;
	subjects = arena_calloc(arena, (size_t)n, sizeof(*subjects));
	issuers = arena_calloc(arena, (size_t)n, sizeof(*issuers));
	for (int i = 0; i < n; i++) {
		X509 *link = sk_X509_value(chain, i);

		subjects[i] = name_text(arena, X509_get_subject_name(link));
		issuers[i] = name_text(arena, X509_get_issuer_name(link));
		if (X509_check_issued(link, leaf) == X509_V_OK)
			about->has_issuer = true;
	}
	about->chain = subjects;
	about->chain_issuers = issuers;
	about->chain_n = (size_t)n;
}

static void fill_ocsp(struct tls_cert_about *about, struct arena *arena, X509 *leaf)
{
	STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(leaf);
	TLS_FEATURE *features = X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL);

	if (urls && sk_OPENSSL_STRING_num(urls) > 0)
		about->responder = clean(arena, str_of(sk_OPENSSL_STRING_value(urls, 0)));
	X509_email_free(urls);
	for (int i = 0; features && i < sk_ASN1_INTEGER_num(features); i++)
		if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == FEATURE_STAPLE)
			about->is_staple_required = true;
	TLS_FEATURE_free(features);
}

void tls_cert_facts(struct tls_cert_about *about, struct arena *arena, void *leaf, void *chain)
{
	X509 *x509 = leaf;

	*about = (struct tls_cert_about){ 0 };
	about->subject = name_text(arena, X509_get_subject_name(x509));
	about->issuer = name_text(arena, X509_get_issuer_name(x509));
	about->common_name = common_name(arena, X509_get_subject_name(x509));
	about->serial = serial_text(arena, x509);
	about->not_before_unix_s = tls_unix_s_of(X509_get0_notBefore(x509));
	about->not_after_unix_s = tls_unix_s_of(X509_get0_notAfter(x509));
	fill_names(about, arena, x509);
	about->alt_names = alt_names(arena, x509);
	fill_key(about, arena, x509);
	fingerprint(about->sha1, x509, EVP_sha1());
	fingerprint(about->sha256, x509, EVP_sha256());
	fill_chain(about, arena, x509, chain);
	fill_ocsp(about, arena, x509);
}
