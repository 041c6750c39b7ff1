/* SPDX-License-Identifier: MIT */
/* OCSP: requests, responses of all kinds, and what is stapled to a handshake. */
#include "config.h"

#include "net/tls_ocsp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "net/tls_store.h"
#include "tls_shake.h"

struct der {
	unsigned char bytes[4096];
	size_t size;
};

/* What a responder would say of a certificate. */
struct answer {
	int status;                        /* V_OCSP_CERTSTATUS_ */
	long this_update_s, next_update_s; /* from now; next 0 = not told */
	const struct rig_cert *signer;
	const EVP_MD *digest; /* of the id; NULL = SHA-1 */
};

static struct der answer(const struct rig_cert *cert, const struct rig_cert *ca,
			 const struct answer *answer)
{
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(answer->digest, cert->x509, ca->x509);
	ASN1_TIME *from = ASN1_TIME_adj(NULL, time(NULL), 0, answer->this_update_s);
	ASN1_TIME *to = answer->next_update_s
				? ASN1_TIME_adj(NULL, time(NULL), 0, answer->next_update_s)
				: NULL;
	OCSP_RESPONSE *response;
	unsigned char *p;
	struct der der;

	assert_non_null(OCSP_basic_add1_status(
		basic, id, answer->status,
		answer->status == V_OCSP_CERTSTATUS_REVOKED ? OCSP_REVOKED_STATUS_KEYCOMPROMISE : 0,
		answer->status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL, from, to));
	assert_int_equal(OCSP_basic_sign(basic, answer->signer->x509, answer->signer->key,
					 EVP_sha256(), NULL, 0),
			 1);
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	p = der.bytes;
	der.size = (size_t)i2d_OCSP_RESPONSE(response, &p);
	assert_true(der.size < sizeof(der.bytes));
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	return der;
}

static struct str text_of(const struct der *der)
{
	return (struct str){ (const char *)der->bytes, der->size };
}

struct scene {
	struct rig_cert leaf, other, delegate, stranger;
	struct tls_cert *cert;
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct rig_cert_options options = { .common_name = "a",
					    .alts = "DNS:a.test",
					    .kind = RIG_EC };
	struct bed *bed;
	char *pem;

	assert_int_equal(bed_init(state), 0);
	bed = *state;
	bed->more = scene;
	scene->leaf = rig_issue(&options, &bed->ca);
	options.serial = 2;
	scene->other = rig_issue(&options, &bed->ca);
	options = (struct rig_cert_options){
		.common_name = "delegate", .kind = RIG_EC, .key_number = 1, .usage = "OCSPSigning"
	};
	scene->delegate = rig_issue(&options, &bed->ca);
	options.usage = NULL;
	options.key_number = 2;
	scene->stranger = rig_issue(&options, NULL);
	pem = rig_pem(&scene->leaf, &bed->ca, true);
	scene->cert = tls_cert_parse(STR("a"), str_of(pem), STR(""), NULL, rig_tell, &bed->told);
	assert_non_null(scene->cert);
	free(pem);
	return 0;
}

static int tear_down(void **state)
{
	struct bed *bed = *state;
	struct scene *scene = bed->more;

	tls_cert_unref(scene->cert);
	rig_cert_free(&scene->leaf);
	rig_cert_free(&scene->other);
	rig_cert_free(&scene->delegate);
	rig_cert_free(&scene->stranger);
	free(scene);
	return bed_fini(state);
}

static void a_request_asks_for_the_certificate(void **state)
{
	struct bed *bed = *state;
	struct scene *scene = bed->more;
	unsigned char out[TLS_OCSP_REQUEST_MAX];
	char why[TLS_WHY_SIZE];
	size_t size = tls_ocsp_request(scene->cert, out, why);
	const unsigned char *p = out;
	OCSP_REQUEST *request = d2i_OCSP_REQUEST(NULL, &p, (long)size);
	OCSP_CERTID *id = OCSP_cert_to_id(NULL, scene->leaf.x509, bed->ca.x509);

	assert_non_null(request);
	assert_int_equal(p - out, size);
	assert_int_equal(OCSP_request_onereq_count(request), 1);
	assert_int_equal(OCSP_id_cmp(OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0)), id),
			 0);
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(request);
}

enum who { CA, DELEGATE, STRANGER, LEAF, OTHER };

static const struct rig_cert *cert_of(struct bed *bed, enum who who)
{
	struct scene *scene = bed->more;
	const struct rig_cert *const certs[] = { &bed->ca, &scene->delegate, &scene->stranger,
						 &scene->leaf, &scene->other };

	return certs[who];
}

static const struct {
	int said;
	long from_s, to_s; /* from now; to 0 = not told */
	enum who signer, about;
	bool is_sha256;
	enum tls_ocsp_status status;
	const char *why; /* NULL = taken */
} judged[] = {
	{ V_OCSP_CERTSTATUS_GOOD, -10, 3600, CA, LEAF, false, TLS_OCSP_GOOD, NULL },
	{ V_OCSP_CERTSTATUS_GOOD, -10, 0, CA, LEAF, false, TLS_OCSP_GOOD, NULL },
	{ V_OCSP_CERTSTATUS_GOOD, -10, 3600, CA, LEAF, true, TLS_OCSP_GOOD, NULL },
	{ V_OCSP_CERTSTATUS_GOOD, -10, 3600, DELEGATE, LEAF, false, TLS_OCSP_GOOD, NULL },
	{ V_OCSP_CERTSTATUS_REVOKED, -10, 3600, CA, LEAF, false, TLS_OCSP_REVOKED, NULL },
	{ V_OCSP_CERTSTATUS_UNKNOWN, -10, 3600, CA, LEAF, false, TLS_OCSP_UNKNOWN, NULL },
	/* A clock that is ahead of ours. */
	{ V_OCSP_CERTSTATUS_GOOD, 60, 3600, CA, LEAF, false, TLS_OCSP_GOOD, NULL },
	{ V_OCSP_CERTSTATUS_GOOD, 3000, 3600, CA, LEAF, false, TLS_OCSP_GOOD, "not in force now" },
	{ V_OCSP_CERTSTATUS_GOOD, -7200, -3600, CA, LEAF, false, TLS_OCSP_GOOD,
	  "not in force now" },
	{ V_OCSP_CERTSTATUS_GOOD, -10, 3600, CA, OTHER, false, TLS_OCSP_NONE,
	  "about another certificate" },
	{ V_OCSP_CERTSTATUS_GOOD, -10, 3600, STRANGER, LEAF, false, TLS_OCSP_GOOD,
	  "signature is not the issuer's" },
	/* Of the same authority, but not one that may sign. */
	{ V_OCSP_CERTSTATUS_GOOD, -10, 3600, OTHER, LEAF, false, TLS_OCSP_GOOD,
	  "signature is not the issuer's" },
};

static void responses_are_judged(void **state)
{
	struct bed *bed = *state;
	struct scene *scene = bed->more;

	for (size_t i = 0; i < ARRAY_N(judged); i++) {
		const struct answer said = { judged[i].said, judged[i].from_s, judged[i].to_s,
					     cert_of(bed, judged[i].signer),
					     judged[i].is_sha256 ? EVP_sha256() : NULL };
		struct der der = answer(cert_of(bed, judged[i].about), &bed->ca, &said);
		const char *want = judged[i].why;
		struct tls_ocsp_about about;
		char why[TLS_WHY_SIZE] = "";
		bool ok = tls_ocsp_check(scene->cert, text_of(&der), &about, why);

		if (ok != !want || (want && !strstr(why, want)))
			fail_msg("row %zu: %s", i, why);
		assert_int_equal(about.status, judged[i].status);
		assert_int_equal(about.next_update_unix_s != 0,
				 about.status != TLS_OCSP_NONE && judged[i].to_s);
		assert_int_equal(about.revoked_unix_s != 0, about.status == TLS_OCSP_REVOKED);
	}
}

static void what_is_no_response_is_refused_at_every_cut(void **state)
{
	struct bed *bed = *state;
	struct scene *scene = bed->more;
	struct answer good = { V_OCSP_CERTSTATUS_GOOD, -10, 3600, &bed->ca, NULL };
	struct der der = answer(&scene->leaf, &bed->ca, &good);
	struct tls_ocsp_about about;
	char why[TLS_WHY_SIZE];

	for (size_t n = 0; n < der.size; n++)
		assert_false(tls_ocsp_check(scene->cert, (struct str){ (char *)der.bytes, n },
					    &about, why));
	der.bytes[der.size] = 0;
	assert_false(tls_ocsp_check(scene->cert, (struct str){ (char *)der.bytes, der.size + 1 },
				    &about, why));
	/* tryLater */
	assert_false(tls_ocsp_check(scene->cert, (struct str){ "\x30\x03\x0a\x01\x03", 5 }, &about,
				    why));
	assert_string_equal(why, "trylater");
}

/* The response that a client gets which asks for one. */
static struct der stapled(struct bed *bed)
{
	const unsigned char *p;
	struct der der = { .size = 0 };
	struct rig_pair pair;
	long size;

	rig_pair_init(&pair, bed->client, bed->server, "a.test");
	SSL_set_tlsext_status_type(pair.client, TLSEXT_STATUSTYPE_ocsp);
	assert_true(rig_shake(&pair));
	size = SSL_get_tlsext_status_ocsp_resp(pair.client, &p);
	if (size > 0) {
		der.size = (size_t)size;
		memcpy(der.bytes, p, der.size);
	}
	rig_pair_fini(&pair);
	return der;
}

static void open_with_leaf(struct bed *bed)
{
	struct scene *scene = bed->more;

	rig_write_cert(&bed->dir, "a.pem", &scene->leaf, &bed->ca);
	bed_name(bed, "a.pem");
	bed_open(bed);
}

static void a_response_beside_the_certificate_is_stapled(void **state)
{
	struct bed *bed = *state;
	struct scene *scene = bed->more;
	struct answer good = { V_OCSP_CERTSTATUS_GOOD, -10, 3600, &bed->ca, NULL };
	struct der der = answer(&scene->leaf, &bed->ca, &good), got;
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	rig_write(&bed->dir, "a.pem.ocsp", der.bytes, der.size);
	open_with_leaf(bed);
	assert_int_equal(bed->told.n_warnings, 0);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		SSL_CTX_set_min_proto_version(bed->client, versions[i]);
		SSL_CTX_set_max_proto_version(bed->client, versions[i]);
		got = stapled(bed);
		assert_int_equal(got.size, der.size);
		assert_memory_equal(got.bytes, der.bytes, der.size);
	}
}

static void an_old_response_is_told_and_not_stapled(void **state)
{
	struct bed *bed = *state;
	struct scene *scene = bed->more;
	struct answer old = { V_OCSP_CERTSTATUS_GOOD, -7200, -3600, &bed->ca, NULL };
	struct der der = answer(&scene->leaf, &bed->ca, &old);

	rig_write(&bed->dir, "a.pem.ocsp", der.bytes, der.size);
	open_with_leaf(bed);
	assert_int_equal(bed->told.n_warnings, 1);
	assert_non_null(strstr(bed->told.text, "a.pem.ocsp is not stapled: it is not in force"));
	assert_int_equal(stapled(bed).size, 0);
}

static void a_staple_that_runs_out_is_not_sent_any_more(void **state)
{
	struct bed *bed = *state;
	struct tls_ocsp_about about = { .status = TLS_OCSP_GOOD,
					.next_update_unix_s = (int64_t)time(NULL) - 1 };
	struct tls_cert *cert;
	unsigned char *der;
	size_t size;

	open_with_leaf(bed);
	cert = tls_entry_cert(tls_store_find(bed->certificates[0]));
	tls_cert_set_staple(cert, "x", 1, &about);
	assert_int_equal(stapled(bed).size, 0);
	assert_true(tls_cert_staple_about(cert, &about));
	der = tls_cert_staple_any(cert, &size);
	assert_int_equal(size, 1);
	OPENSSL_free(der);
}

static void a_response_can_be_set_and_taken_off(void **state)
{
	struct bed *bed = *state;
	struct scene *scene = bed->more;
	struct answer said = { V_OCSP_CERTSTATUS_GOOD, -10, 3600, &bed->ca, NULL };
	struct der good = answer(&scene->leaf, &bed->ca, &said), revoked, unknown;
	struct tls_ocsp_about about;
	struct str path;

	said.status = V_OCSP_CERTSTATUS_REVOKED;
	revoked = answer(&scene->leaf, &bed->ca, &said);
	said.status = V_OCSP_CERTSTATUS_UNKNOWN;
	unknown = answer(&scene->leaf, &bed->ca, &said);
	open_with_leaf(bed);
	path = bed->certificates[0];
	assert_int_equal(stapled(bed).size, 0);
	assert_int_equal(tls_store_set_ocsp(path, text_of(&good), &about, rig_tell, &bed->told), 0);
	assert_int_equal(about.status, TLS_OCSP_GOOD);
	assert_int_equal(stapled(bed).size, good.size);
	assert_int_equal(tls_store_set_ocsp(path, text_of(&unknown), NULL, rig_tell, &bed->told),
			 -EINVAL);
	assert_int_equal(tls_store_set_ocsp(path, STR("junk"), NULL, rig_tell, &bed->told),
			 -EINVAL);
	assert_int_equal(stapled(bed).size, good.size);
	assert_int_equal(tls_store_set_ocsp(path, text_of(&revoked), &about, rig_tell, &bed->told),
			 0);
	assert_string_equal(about.reason, "keyCompromise");
	assert_int_equal(bed->told.n_warnings, 1);
	assert_int_equal(tls_store_set_ocsp(path, STR(""), NULL, rig_tell, &bed->told), 0);
	assert_int_equal(stapled(bed).size, 0);
	assert_int_equal(tls_store_set_ocsp(STR("/no"), STR(""), NULL, rig_tell, &bed->told),
			 -ENOENT);
}

static void the_same_leaf_keeps_its_staple_when_its_file_changes(void **state)
{
	struct bed *bed = *state;
	struct scene *scene = bed->more;
	struct answer said = { V_OCSP_CERTSTATUS_GOOD, -10, 3600, &bed->ca, NULL };
	struct der good = answer(&scene->leaf, &bed->ca, &said);
	char *pem = rig_pem(&scene->leaf, &bed->ca, true), *longer;
	struct str path;

	open_with_leaf(bed);
	path = bed->certificates[0];
	assert_int_equal(tls_store_set_ocsp(path, text_of(&good), NULL, rig_tell, &bed->told), 0);
	longer = xasprintf("# renewed\n%s", pem);
	rig_write(&bed->dir, "a.pem", longer, strlen(longer));
	assert_int_equal(tls_store_reread(path, rig_tell, &bed->told), 1);
	assert_int_equal(stapled(bed).size, good.size);
	rig_write_cert(&bed->dir, "a.pem", &scene->other, &bed->ca);
	assert_int_equal(tls_store_reread(path, rig_tell, &bed->told), 1);
	assert_int_equal(stapled(bed).size, 0);
	free(pem);
	free(longer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_asks_for_the_certificate),
		TEST(responses_are_judged),
		TEST(what_is_no_response_is_refused_at_every_cut),
		TEST(a_response_beside_the_certificate_is_stapled),
		TEST(an_old_response_is_told_and_not_stapled),
		TEST(a_staple_that_runs_out_is_not_sent_any_more),
		TEST(a_response_can_be_set_and_taken_off),
		TEST(the_same_leaf_keeps_its_staple_when_its_file_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
