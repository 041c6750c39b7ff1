/* SPDX-License-Identifier: MIT */
/* Handshakes in memory: which certificate, which alert, what is resumed. */
#include "config.h"

#include "net/tls_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "net/tls_store.h"
#include "tls_shake.h"

/* The alert that the server answers SNI with; -1 = none. */
static int alert_for(struct bed *bed, const char *sni)
{
	struct rig_pair pair;
	int alert;

	rig_pair_init(&pair, bed->client, bed->server, sni);
	assert_false(rig_shake(&pair));
	alert = pair.client_alert;
	rig_pair_fini(&pair);
	return alert;
}

static void use_version(struct bed *bed, int version)
{
	SSL_CTX_set_min_proto_version(bed->client, version);
	SSL_CTX_set_max_proto_version(bed->client, version);
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void the_name_asked_for_chooses_the_certificate(void **state)
{
	struct bed *bed = *state;

	bed_add(bed, "first", RIG_EC, "DNS:first.test");
	bed_add(bed, "second", RIG_EC, "DNS:second.test,DNS:*.wild.test");
	bed_add(bed, "exact", RIG_EC, "DNS:exact.wild.test");
	bed_open(bed);
	assert_string_equal(bed_shown(bed, NULL), "first");
	assert_string_equal(bed_shown(bed, "first.test"), "first");
	assert_string_equal(bed_shown(bed, "second.test"), "second");
	assert_string_equal(bed_shown(bed, "SECOND.Test"), "second");
	assert_string_equal(bed_shown(bed, "second.test."), "second");
	assert_string_equal(bed_shown(bed, "a.wild.test"), "second");
	assert_string_equal(bed_shown(bed, "exact.wild.test"), "exact");
	assert_string_equal(bed_shown(bed, "a.b.wild.test"), "first");
	assert_string_equal(bed_shown(bed, "wild.test"), "first");
	assert_string_equal(bed_shown(bed, "*.wild.test"), "first");
	assert_string_equal(bed_shown(bed, ".wild.test"), "first");
	assert_string_equal(bed_shown(bed, "nobody.test"), "first");
}

static void a_name_without_certificate_is_refused_when_strict(void **state)
{
	struct bed *bed = *state;
	char huge[256];

	memset(huge, 'a', sizeof(huge));
	huge[255] = '\0';
	bed_add(bed, "first", RIG_EC, "DNS:first.test");
	bed->options.is_sni_strict = true;
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_string_equal(bed_shown(bed, "first.test"), "first");
		assert_int_equal(alert_for(bed, "other.test"), SSL_AD_UNRECOGNIZED_NAME);
		assert_int_equal(alert_for(bed, NULL), SSL_AD_UNRECOGNIZED_NAME);
		assert_int_equal(alert_for(bed, huge), SSL_AD_UNRECOGNIZED_NAME);
	}
}

static void a_name_that_is_too_long_gets_the_first_certificate(void **state)
{
	struct bed *bed = *state;
	char huge[256];

	memset(huge, 'a', sizeof(huge));
	huge[255] = '\0';
	bed_add(bed, "first", RIG_EC, "DNS:first.test");
	bed_open(bed);
	assert_string_equal(bed_shown(bed, huge), "first");
}

/* A client that knows ALGORITHMS alone. */
static const char *shown_to(struct bed *bed, const char *algorithms)
{
	/* OpenSSL's macro takes a char *. */
	assert_int_equal(SSL_CTX_set1_sigalgs_list(bed->client, (uintptr_t)algorithms), 1);
	return bed_shown(bed, "a.test");
}

static void the_clients_signature_algorithms_choose_between_rsa_and_ecdsa(void **state)
{
	struct bed *bed = *state;

	bed_add(bed, "other", RIG_RSA, "DNS:other.test");
	bed_add(bed, "rsa", RIG_RSA, "DNS:a.test");
	bed_add(bed, "ecdsa", RIG_EC, "DNS:a.test,DNS:b.test");
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_string_equal(shown_to(bed, "rsa_pss_rsae_sha256:RSA+SHA256"), "rsa");
		assert_string_equal(shown_to(bed, "ECDSA+SHA256"), "ecdsa");
		assert_string_equal(shown_to(bed, "rsa_pss_rsae_sha256:ECDSA+SHA256"), "ecdsa");
		/* Of b.test there is the one kind alone. */
		assert_string_equal(bed_shown(bed, "b.test"), "ecdsa");
		assert_string_equal(bed_shown(bed, "other.test"), "other");
	}
}

static void old_versions_are_refused(void **state)
{
	struct bed *bed = *state;

	bed_add(bed, "a", RIG_RSA, "DNS:a.test");
	bed_open(bed);
	SSL_CTX_set_security_level(bed->client, 0);
	use_version(bed, TLS1_1_VERSION);
	assert_int_equal(alert_for(bed, "a.test"), SSL_AD_PROTOCOL_VERSION);
	use_version(bed, TLS1_2_VERSION);
	assert_string_equal(bed_shown(bed, "a.test"), "a");
}

static void version_1_3_alone_can_be_asked_for(void **state)
{
	struct bed *bed = *state;

	bed_add(bed, "a", RIG_RSA, "DNS:a.test");
	bed->options.is_min_1_3 = true;
	bed_open(bed);
	use_version(bed, TLS1_2_VERSION);
	assert_int_equal(alert_for(bed, "a.test"), SSL_AD_PROTOCOL_VERSION);
	use_version(bed, TLS1_3_VERSION);
	assert_string_equal(bed_shown(bed, "a.test"), "a");
}

static void weak_ciphers_are_refused(void **state)
{
	static const char *const weak[] = { "AES128-GCM-SHA256",       "DHE-RSA-AES128-GCM-SHA256",
					    "ECDHE-RSA-AES128-SHA",    "ECDHE-RSA-AES256-SHA384",
					    "ECDHE-RSA-AES128-SHA256", "AES128-SHA",
					    "ADH-AES128-GCM-SHA256",   "ECDHE-RSA-NULL-SHA" };
	struct bed *bed = *state;

	bed_add(bed, "rsa", RIG_RSA, "DNS:a.test");
	bed_add(bed, "ecdsa", RIG_EC, "DNS:a.test");
	bed_open(bed);
	SSL_CTX_set_security_level(bed->client, 0);
	use_version(bed, TLS1_2_VERSION);
	for (size_t i = 0; i < ARRAY_N(weak); i++) {
		assert_int_equal(SSL_CTX_set_cipher_list(bed->client, weak[i]), 1);
		assert_int_equal(alert_for(bed, "a.test"), SSL_AD_HANDSHAKE_FAILURE);
	}
	assert_int_equal(SSL_CTX_set_cipher_list(bed->client, "ECDHE-RSA-CHACHA20-POLY1305"), 1);
	assert_string_equal(bed_shown(bed, "a.test"), "rsa");
}

static void the_first_cipher_of_ours_wins_but_for_clients_that_want_chacha(void **state)
{
	struct bed *bed = *state;
	struct rig_pair pair;

	bed_add(bed, "a", RIG_EC, "DNS:a.test");
	bed_open(bed);
	use_version(bed, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(bed->client,
				"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:"
				"ECDHE-ECDSA-AES128-GCM-SHA256");
	rig_pair_init(&pair, bed->client, bed->server, "a.test");
	assert_true(rig_shake(&pair));
	assert_string_equal(SSL_get_cipher_name(pair.server), "ECDHE-ECDSA-AES128-GCM-SHA256");
	rig_pair_fini(&pair);
	SSL_CTX_set_cipher_list(bed->client,
				"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256");
	rig_pair_init(&pair, bed->client, bed->server, "a.test");
	assert_true(rig_shake(&pair));
	assert_string_equal(SSL_get_cipher_name(pair.server), "ECDHE-ECDSA-CHACHA20-POLY1305");
	rig_pair_fini(&pair);
}

static void groups_that_are_not_ours_are_refused(void **state)
{
	struct bed *bed = *state;

	bed_add(bed, "a", RIG_RSA, "DNS:a.test"); /* of ECDSA its curve would count as well */
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_int_equal(SSL_CTX_set1_groups_list(bed->client, (uintptr_t) "P-521"), 1);
		assert_int_equal(alert_for(bed, "a.test"), SSL_AD_HANDSHAKE_FAILURE);
		assert_int_equal(SSL_CTX_set1_groups_list(bed->client, (uintptr_t) "P-384:P-521"),
				 1);
		assert_string_equal(bed_shown(bed, "a.test"), "a");
		/* In 1.3 the first key share is refused, and a second ClientHello comes. */
		assert_int_equal(SSL_CTX_set1_groups_list(bed->client, (uintptr_t) "P-521:P-256"),
				 1);
		assert_string_equal(bed_shown(bed, "a.test"), "a");
	}
}

/* What is agreed on of OFFERED (as on the wire); NULL: the handshake failed, with *ALERT. */
static const char *agreed(struct bed *bed, const char *offered, int *alert)
{
	static char name[32];
	const unsigned char *chosen;
	struct rig_pair pair;
	unsigned size;
	bool ok;

	rig_pair_init(&pair, bed->client, bed->server, "b.test");
	if (offered[0])
		SSL_set_alpn_protos(pair.client, (const unsigned char *)offered,
				    (unsigned)strlen(offered));
	ok = rig_shake(&pair);
	SSL_get0_alpn_selected(pair.client, &chosen, &size);
	snprintf(name, sizeof(name), "%.*s", (int)size, chosen ? (const char *)chosen : "");
	*alert = pair.client_alert;
	rig_pair_fini(&pair);
	return ok ? name : NULL;
}

static void our_first_protocol_wins(void **state)
{
	struct bed *bed = *state;
	int alert;

	bed_add(bed, "a", RIG_EC, "DNS:a.test");
	bed_add(bed, "b", RIG_EC, "DNS:b.test");
	bed->alpn[0] = STR("h2");
	bed->alpn[1] = STR("http/1.1");
	bed->options.alpn_n = 2;
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_string_equal(agreed(bed, "\x08http/1.1\x02h2", &alert), "h2");
		assert_string_equal(agreed(bed,
					   "\x03"
					   "foo\x08http/1.1",
					   &alert),
				    "http/1.1");
		assert_string_equal(agreed(bed, "", &alert), "");
		assert_null(agreed(bed,
				   "\x03"
				   "foo",
				   &alert));
		assert_int_equal(alert, SSL_AD_NO_APPLICATION_PROTOCOL);
	}
}

static void without_protocols_of_ours_none_is_agreed_on(void **state)
{
	struct bed *bed = *state;
	int alert;

	bed_add(bed, "a", RIG_EC, "DNS:a.test");
	bed_open(bed);
	assert_string_equal(agreed(bed, "\x02h2", &alert), "");
}

static void all_mistakes_are_told(void **state)
{
	struct bed *bed = *state;

	rig_write(&bed->dir, "empty", "hello", 5);
	bed_name(bed, "empty");
	bed_name(bed, "missing");
	bed->options.ciphers = STR("NONSENSE");
	bed->options.groups = STR("X25520");
	bed->server = tls_server_new(&bed->options, rig_tell, &bed->told);
	assert_null(bed->server);
	assert_non_null(strstr(bed->told.text, "empty: no certificate in it"));
	assert_non_null(strstr(bed->told.text, "missing: No such file or directory"));
	assert_non_null(strstr(bed->told.text, "E : 'ciphers': 'NONSENSE'"));
	assert_non_null(strstr(bed->told.text, "E : 'groups': 'X25520'"));
	assert_int_equal(bed->told.n_errors, 4);
	assert_null(tls_store_find(bed->certificates[0]));
}

static void the_servers_name_is_known_of_a_resumed_session_too(void **state)
{
	struct bed *bed = *state;
	SSL_SESSION *session;
	struct rig_pair pair;

	bed_add(bed, "a", RIG_EC, "DNS:a.test,DNS:b.test");
	bed_open(bed);
	use_version(bed, TLS1_2_VERSION);
	rig_pair_init(&pair, bed->client, bed->server, "a.test");
	assert_true(rig_shake(&pair));
	session = SSL_get1_session(pair.client);
	rig_pair_fini(&pair);
	rig_pair_init(&pair, bed->client, bed->server, "a.test");
	SSL_set_session(pair.client, session);
	assert_true(rig_shake(&pair));
	assert_true(SSL_session_reused(pair.server));
	assert_string_equal(SSL_get_servername(pair.server, TLSEXT_NAMETYPE_host_name), "a.test");
	rig_pair_fini(&pair);
	SSL_SESSION_free(session);
}

static void renegotiation_is_refused(void **state)
{
	struct bed *bed = *state;
	struct rig_pair pair;
	char byte;

	bed_add(bed, "a", RIG_EC, "DNS:a.test");
	bed_open(bed);
	use_version(bed, TLS1_2_VERSION);
	rig_pair_init(&pair, bed->client, bed->server, "a.test");
	assert_true(rig_shake(&pair));
	assert_int_equal(SSL_renegotiate(pair.client), 1);
	assert_true(SSL_do_handshake(pair.client) <= 0);
	assert_true(SSL_read(pair.server, &byte, 1) <= 0);
	assert_true(SSL_do_handshake(pair.client) <= 0);
	assert_int_equal(pair.client_alert, SSL_AD_NO_RENEGOTIATION);
	rig_pair_fini(&pair);
}

static const struct CMUnitTest tests[] = {
	BED_TEST(the_name_asked_for_chooses_the_certificate),
	BED_TEST(a_name_without_certificate_is_refused_when_strict),
	BED_TEST(a_name_that_is_too_long_gets_the_first_certificate),
	BED_TEST(the_clients_signature_algorithms_choose_between_rsa_and_ecdsa),
	BED_TEST(old_versions_are_refused),
	BED_TEST(version_1_3_alone_can_be_asked_for),
	BED_TEST(weak_ciphers_are_refused),
	BED_TEST(the_first_cipher_of_ours_wins_but_for_clients_that_want_chacha),
	BED_TEST(groups_that_are_not_ours_are_refused),
	BED_TEST(our_first_protocol_wins),
	BED_TEST(without_protocols_of_ours_none_is_agreed_on),
	BED_TEST(all_mistakes_are_told),
	BED_TEST(the_servers_name_is_known_of_a_resumed_session_too),
	BED_TEST(renegotiation_is_refused),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
