/* SPDX-License-Identifier: MIT */
/* One certificate: what it says, what is refused and what is odd. */
#include "config.h"

#include "net/tls_store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "base/mem.h"
#include "tls_shake.h"

static struct tls_cert *parse(struct bed *bed, const char *pem)
{
	bed->told = (struct rig_told){ .n_errors = 0 };
	return tls_cert_parse(STR("/etc/x.pem"), str_of(pem), STR(""), NULL, rig_tell, &bed->told);
}

static void what_a_certificate_says_is_known(void **state)
{
	struct bed *bed = *state;
	struct rig_cert cert = rig_issue(
		&(struct rig_cert_options){ .common_name = "www.a.test",
					    .alts = "DNS:WWW.a.test,DNS:*.b.test,IP:192.0.2.1",
					    .more = "OCSP;URI:http://ocsp.test/",
					    .kind = RIG_EC,
					    .serial = 0x1abc },
		&bed->ca);
	char *pem = rig_pem(&cert, &bed->ca, true);
	struct tls_cert *parsed = parse(bed, pem);
	const struct tls_cert_about *about;

	assert_non_null(parsed);
	about = tls_cert_about(parsed);
	assert_string_equal(about->subject, "/CN=www.a.test");
	assert_string_equal(about->issuer, "/CN=ca");
	assert_string_equal(about->common_name, "www.a.test");
	assert_string_equal(about->serial, "1ABC");
	assert_int_equal(about->not_after_unix_s - about->not_before_unix_s, 31 * 86400);
	assert_int_equal(about->names_n, 2);
	assert_string_equal(about->names[0], "www.a.test");
	assert_string_equal(about->names[1], "*.b.test");
	assert_string_equal(about->alt_names, "DNS:WWW.a.test, DNS:*.b.test, IP Address:192.0.2.1");
	assert_string_equal(about->algorithm, "EC256");
	assert_string_equal(about->key_type, "ECDSA P-256");
	assert_int_equal(strlen(about->sha1), 40);
	assert_int_equal(strlen(about->sha256), 64);
	assert_int_equal(about->chain_n, 1);
	assert_string_equal(about->chain[0], "/CN=ca");
	assert_true(about->has_issuer);
	assert_string_equal(about->responder, "http://ocsp.test/");
	assert_int_equal(bed->told.n_errors + bed->told.n_warnings, 0);
	tls_cert_unref(parsed);
	free(pem);
	rig_cert_free(&cert);
}

static void the_pem_of_a_certificate_is_read_as_the_same_one(void **state)
{
	struct bed *bed = *state;
	char *pem = bed_pem(bed, "a", "DNS:a.test", 0);
	struct tls_cert *first = parse(bed, pem), *second;
	char *again = tls_cert_pem(first, true), *open = tls_cert_pem(first, false);

	second = parse(bed, again);
	assert_non_null(second);
	assert_true(tls_cert_is_equal(first, second));
	assert_null(strstr(open, "PRIVATE KEY"));
	tls_cert_unref(first);
	tls_cert_unref(second);
	free(pem);
	free(again);
	free(open);
}

/* X509 of CERT with the key of OTHER. */
static char *mixed_pem(const struct rig_cert *cert, const struct rig_cert *other)
{
	struct rig_cert mixed = { cert->x509, other->key };

	return rig_pem(&mixed, NULL, true);
}

static char *encrypted_pem(const struct rig_cert *cert, bool is_old)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p, *text;
	long size;

	PEM_write_bio_X509(bio, cert->x509);
	if (is_old)
		PEM_write_bio_PrivateKey_traditional(bio, cert->key, EVP_aes_128_cbc(),
						     (unsigned char *)(uintptr_t) "pass", 4, NULL,
						     NULL);
	else
		PEM_write_bio_PKCS8PrivateKey(bio, cert->key, EVP_aes_128_cbc(), "pass", 4, NULL,
					      NULL);
	size = BIO_get_mem_data(bio, &p);
	text = xstrndup((struct str){ p, (size_t)size });
	BIO_free(bio);
	return text;
}

static void assert_refused(struct bed *bed, char *pem, const char *why)
{
	assert_null(parse(bed, pem));
	if (!strstr(bed->told.text, why))
		print_message("%s", bed->told.text);
	assert_non_null(strstr(bed->told.text, why));
	assert_int_equal(bed->told.n_errors, 1);
	free(pem);
}

static void what_cannot_be_used_is_refused_with_its_reason(void **state)
{
	struct bed *bed = *state;
	struct rig_cert_options options = { .common_name = "a", .alts = "DNS:a.test" };
	struct rig_cert rsa, ec, weak;
	char *pem;

	options.kind = RIG_RSA;
	rsa = rig_issue(&options, &bed->ca);
	options.kind = RIG_EC;
	ec = rig_issue(&options, &bed->ca);
	options.kind = RIG_RSA_1024;
	weak = rig_issue(&options, &bed->ca);
	assert_refused(bed, xstrdup(""), "E /etc/x.pem: no certificate in it");
	assert_refused(bed, xstrdup("hello\n"), "E /etc/x.pem: no certificate in it");
	assert_refused(bed, rig_pem(&ec, NULL, false),
		       "E /etc/x.pem: no key in it, nor in a .key file beside it");
	assert_refused(bed, mixed_pem(&rsa, &ec), "the key is another certificate's");
	assert_refused(bed, encrypted_pem(&ec, false), "the key is encrypted");
	assert_refused(bed, encrypted_pem(&ec, true), "the key is encrypted");
	assert_refused(bed, rig_pem(&weak, NULL, true), "the key is too weak: 1024 bits");
	pem = rig_pem(&ec, NULL, true);
	pem[60] = '!';
	assert_refused(bed, pem, "not well-formed PEM");
	rig_cert_free(&rsa);
	rig_cert_free(&ec);
	rig_cert_free(&weak);
}

static void what_is_odd_is_a_warning(void **state)
{
	static const struct {
		struct rig_cert_options options;
		const char *want;
	} rows[] = {
		{ { .common_name = "a.test", .from_days = -10, .to_days = -1 }, "expired on 20" },
		{ { .common_name = "a.test", .from_days = 1, .to_days = 2 },
		  "not valid before 20" },
		{ { .common_name = "no name!" }, "it has no host name" },
	};
	struct bed *bed = *state;
	struct rig_cert stray = rig_issue(
		&(struct rig_cert_options){ .common_name = "stray", .kind = RIG_EC }, NULL);

	for (size_t i = 0; i < ARRAY_N(rows) + 1; i++) {
		struct rig_cert_options options = rows[i % ARRAY_N(rows)].options;
		struct rig_cert cert;
		struct tls_cert *parsed;
		bool is_last = i == ARRAY_N(rows);
		char *pem;

		options.kind = RIG_EC;
		if (is_last)
			options = (struct rig_cert_options){ .common_name = "a.test",
							     .kind = RIG_EC };
		cert = rig_issue(&options, &bed->ca);
		pem = rig_pem(&cert, is_last ? &stray : &bed->ca, true);
		parsed = parse(bed, pem);
		assert_non_null(parsed);
		assert_int_equal(bed->told.n_warnings, 1);
		assert_non_null(
			strstr(bed->told.text, is_last ? "the chain is broken" : rows[i].want));
		tls_cert_unref(parsed);
		free(pem);
		rig_cert_free(&cert);
	}
	rig_cert_free(&stray);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BED_TEST(what_a_certificate_says_is_known),
		BED_TEST(the_pem_of_a_certificate_is_read_as_the_same_one),
		BED_TEST(what_cannot_be_used_is_refused_with_its_reason),
		BED_TEST(what_is_odd_is_a_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
