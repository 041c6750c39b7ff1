/* SPDX-License-Identifier: MIT */
/* Certificates of clients: good, missing, expired, of a stranger, revoked; the alerts for them. */
#include "config.h"

#include "net/tls_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "tls_shake.h"

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

struct clients {
	struct rig_cert ca, stranger, good, expired, strange, revoked;
	char ca_path[400], crl_path[400];
};

static struct rig_cert issue(const char *name, const struct rig_cert *ca, long serial, int from,
			     int to)
{
	return rig_issue(&(struct rig_cert_options){ .common_name = name,
						     .kind = RIG_EC,
						     .key_number = 1,
						     .serial = serial,
						     .from_days = from,
						     .to_days = to },
			 ca);
}

static int set_up(void **state)
{
	struct rig_cert_options ca = { .common_name = "clients", .kind = RIG_EC, .is_ca = true };
	struct clients *clients = calloc(1, sizeof(*clients));
	struct bed *bed;
	X509_CRL *crl;

	assert_int_equal(bed_init(state), 0);
	bed = *state;
	bed->more = clients;
	clients->ca = rig_issue(&ca, NULL);
	ca.common_name = "stranger";
	ca.key_number = 2;
	clients->stranger = rig_issue(&ca, NULL);
	clients->good = issue("good", &clients->ca, 2, 0, 0);
	clients->expired = issue("expired", &clients->ca, 3, -10, -1);
	clients->strange = issue("strange", &clients->stranger, 4, 0, 0);
	clients->revoked = issue("revoked", &clients->ca, 5, 0, 0);
	snprintf(clients->ca_path, sizeof(clients->ca_path), "%s",
		 rig_write_cert(&bed->dir, "ca", &clients->ca, NULL));
	crl = rig_revoke(&clients->ca, 5);
	snprintf(clients->crl_path, sizeof(clients->crl_path), "%s",
		 rig_write_crl(&bed->dir, "crl", crl));
	X509_CRL_free(crl);
	/* What is asked for must not depend on which certificate is chosen. */
	bed_add(bed, "a", RIG_EC, "DNS:a.test");
	bed_add(bed, "b", RIG_EC, "DNS:b.test");
	bed->options.client_ca = str_of(clients->ca_path);
	bed->options.client_verify = TLS_VERIFY_REQUIRED;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *bed = *state;
	struct clients *clients = bed->more;

	rig_cert_free(&clients->ca);
	rig_cert_free(&clients->stranger);
	rig_cert_free(&clients->good);
	rig_cert_free(&clients->expired);
	rig_cert_free(&clients->strange);
	rig_cert_free(&clients->revoked);
	free(clients);
	return bed_fini(state);
}

static void use_version(struct bed *bed, int version)
{
	SSL_CTX_set_min_proto_version(bed->client, version);
	SSL_CTX_set_max_proto_version(bed->client, version);
}

static void begin(struct bed *bed, struct rig_pair *pair, const struct rig_cert *cert)
{
	rig_pair_init(pair, bed->client, bed->server, "b.test");
	if (!cert)
		return;
	assert_int_equal(SSL_use_certificate(pair->client, cert->x509), 1);
	assert_int_equal(SSL_use_PrivateKey(pair->client, cert->key), 1);
}

/* The alert that CERT gets; -1 = it is let in. */
static int alert_for(struct bed *bed, const struct rig_cert *cert)
{
	struct rig_pair pair;
	int alert;
	bool ok;

	begin(bed, &pair, cert);
	ok = rig_shake(&pair);
	alert = pair.client_alert;
	assert_int_equal(ok, alert == -1);
	rig_pair_fini(&pair);
	return alert;
}

static void required_certificates_are_refused_with_the_alert_that_fits(void **state)
{
	struct bed *bed = *state;
	struct clients *clients = bed->more;

	bed->options.client_crl = str_of(clients->crl_path);
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_int_equal(alert_for(bed, &clients->good), -1);
		assert_int_equal(alert_for(bed, NULL), versions[i] == TLS1_3_VERSION
							       ? SSL_AD_CERTIFICATE_REQUIRED
							       : SSL_AD_HANDSHAKE_FAILURE);
		assert_int_equal(alert_for(bed, &clients->expired), SSL_AD_CERTIFICATE_EXPIRED);
		assert_int_equal(alert_for(bed, &clients->strange), SSL_AD_UNKNOWN_CA);
		assert_int_equal(alert_for(bed, &clients->revoked), SSL_AD_CERTIFICATE_REVOKED);
	}
}

static void an_authority_that_has_expired_verifies_nobody(void **state)
{
	struct bed *bed = *state;
	struct rig_cert ca = rig_issue(&(struct rig_cert_options){ .common_name = "old",
								   .kind = RIG_EC,
								   .is_ca = true,
								   .from_days = -10,
								   .to_days = -1 },
				       NULL);
	struct rig_cert leaf = issue("leaf", &ca, 9, 0, 0);

	rig_write_cert(&bed->dir, "ca", &ca, NULL);
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_int_equal(alert_for(bed, &leaf), SSL_AD_CERTIFICATE_EXPIRED);
	}
	rig_cert_free(&leaf);
	rig_cert_free(&ca);
}

static void without_a_revocation_list_nobody_is_revoked(void **state)
{
	struct bed *bed = *state;
	struct clients *clients = bed->more;

	bed_open(bed);
	assert_int_equal(alert_for(bed, &clients->revoked), -1);
}

/* The handshake works out; what the server thinks of CERT. */
static long result_of(struct bed *bed, const struct rig_cert *cert)
{
	struct rig_pair pair;
	long result;

	begin(bed, &pair, cert);
	assert_true(rig_shake(&pair));
	assert_int_equal(SSL_get0_peer_certificate(pair.server) != NULL, cert != NULL);
	result = SSL_get_verify_result(pair.server);
	rig_pair_fini(&pair);
	return result;
}

static void optional_certificates_are_judged_and_let_in(void **state)
{
	struct bed *bed = *state;
	struct clients *clients = bed->more;

	bed->options.client_verify = TLS_VERIFY_OPTIONAL;
	bed->options.client_crl = str_of(clients->crl_path);
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		use_version(bed, versions[i]);
		assert_int_equal(result_of(bed, &clients->good), X509_V_OK);
		assert_int_equal(result_of(bed, NULL), X509_V_OK);
		assert_int_equal(result_of(bed, &clients->expired), X509_V_ERR_CERT_HAS_EXPIRED);
		assert_int_not_equal(result_of(bed, &clients->strange), X509_V_OK);
		assert_int_equal(result_of(bed, &clients->revoked), X509_V_ERR_CERT_REVOKED);
	}
}

static void nobody_is_asked_without_verification(void **state)
{
	struct bed *bed = *state;
	struct clients *clients = bed->more;
	struct rig_pair pair;

	bed->options.client_verify = TLS_VERIFY_NONE;
	bed_open(bed);
	begin(bed, &pair, &clients->good);
	assert_true(rig_shake(&pair));
	assert_null(SSL_get0_peer_certificate(pair.server));
	rig_pair_fini(&pair);
}

static void the_names_of_the_authorities_are_sent(void **state)
{
	struct bed *bed = *state;
	const STACK_OF(X509_NAME) * names;
	struct rig_pair pair;
	char text[64];

	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct clients *clients = bed->more;

		use_version(bed, versions[i]);
		begin(bed, &pair, &clients->good);
		assert_true(rig_shake(&pair));
		names = SSL_get0_peer_CA_list(pair.client);
		assert_int_equal(sk_X509_NAME_num(names), 1);
		X509_NAME_oneline(sk_X509_NAME_value(names, 0), text, sizeof(text));
		assert_string_equal(text, "/CN=clients");
		rig_pair_fini(&pair);
	}
}

/* A session of CERT's on the bed's server. */
static SSL_SESSION *session_of(struct bed *bed, const struct rig_cert *cert)
{
	struct rig_pair pair;
	SSL_SESSION *session;

	begin(bed, &pair, cert);
	assert_true(rig_shake(&pair));
	rig_exchange(&pair);
	session = SSL_get1_session(pair.client);
	rig_pair_fini(&pair);
	return session;
}

static void a_resumed_session_keeps_what_was_found(void **state)
{
	struct bed *bed = *state;
	struct clients *clients = bed->more;

	bed->options.client_verify = TLS_VERIFY_OPTIONAL;
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct rig_pair pair;
		SSL_SESSION *session;

		use_version(bed, versions[i]);
		session = session_of(bed, &clients->expired);
		begin(bed, &pair, NULL);
		SSL_set_session(pair.client, session);
		assert_true(rig_shake(&pair));
		assert_true(SSL_session_reused(pair.server));
		assert_int_equal(SSL_get_verify_result(pair.server), X509_V_ERR_CERT_HAS_EXPIRED);
		assert_non_null(SSL_get0_peer_certificate(pair.server));
		rig_pair_fini(&pair);
		SSL_SESSION_free(session);
	}
}

/* Sessions of a bind that takes anybody, brought to one that does not; the ticket keys are shared.
 */
static void a_session_does_not_get_past_another_binds_verification(void **state)
{
	struct bed *bed = *state;
	struct clients *clients = bed->more;
	struct tls_server *strict;

	bed->options.ticket_secret = STR("of both");
	bed_open(bed);
	strict = bed->server;
	bed->options.client_verify = TLS_VERIFY_OPTIONAL;
	bed_open(bed);
	for (size_t i = 0; i < ARRAY_N(versions); i++) {
		struct tls_server *lax = bed->server;
		struct rig_pair pair;
		SSL_SESSION *session;

		use_version(bed, versions[i]);
		session = session_of(bed, &clients->strange);
		bed->server = strict;
		begin(bed, &pair, NULL);
		SSL_set_session(pair.client, session);
		assert_false(rig_shake(&pair));
		assert_false(SSL_session_reused(pair.server));
		rig_pair_fini(&pair);
		SSL_SESSION_free(session);
		bed->server = lax;
	}
	tls_server_unref(strict);
}

static void files_without_authorities_are_told(void **state)
{
	struct bed *bed = *state;
	struct clients *clients = bed->more;

	bed->options.client_ca = str_of(clients->crl_path);
	bed->options.client_crl = str_of(clients->ca_path);
	bed->server = tls_server_new(&bed->options, rig_tell, &bed->told);
	assert_null(bed->server);
	assert_non_null(strstr(bed->told.text, "crl: no certificate in it"));
	assert_non_null(strstr(bed->told.text, "ca: no revocation list in it"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(required_certificates_are_refused_with_the_alert_that_fits),
		TEST(an_authority_that_has_expired_verifies_nobody),
		TEST(without_a_revocation_list_nobody_is_revoked),
		TEST(optional_certificates_are_judged_and_let_in),
		TEST(nobody_is_asked_without_verification),
		TEST(the_names_of_the_authorities_are_sent),
		TEST(a_resumed_session_keeps_what_was_found),
		TEST(a_session_does_not_get_past_another_binds_verification),
		TEST(files_without_authorities_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
