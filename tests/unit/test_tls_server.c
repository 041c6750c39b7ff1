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

#define PATHS_MAX 4

struct bed {
	struct rig_dir dir;
	struct rig_cert ca;
	struct rig_told told;
	SSL_CTX *client;
	struct tls_server_options options;
	struct str certificates[PATHS_MAX];
	struct str alpn[2];
	struct tls_server *server;
};

static int set_up(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	rig_dir_init(&bed->dir);
	bed->ca = rig_issue(
		&(struct rig_cert_options){ .common_name = "ca", .kind = RIG_EC, .is_ca = true },
		NULL);
	bed->client = SSL_CTX_new(TLS_client_method());
	bed->options = (struct tls_server_options){ .certificates = bed->certificates,
						    .alpn = bed->alpn,
						    .has_tickets = true,
						    .session_cache = 100,
						    .session_ms = SEC(3600),
						    .label = STR("web/:443") };
	*state = bed;
	return 0;
}

static int tear_down(void **state)
{
	struct bed *bed = *state;

	tls_server_unref(bed->server);
	tls_store_sweep();
	for (size_t i = 0; i < PATHS_MAX; i++)
		free((char *)(uintptr_t)bed->certificates[i].p);
	SSL_CTX_free(bed->client);
	rig_cert_free(&bed->ca);
	rig_dir_fini(&bed->dir);
	free(bed);
	return 0;
}

/* A file of the bind's, with a certificate for ALTS. */
static void add(struct bed *bed, const char *name, enum rig_key kind, const char *alts)
{
	struct rig_cert cert = rig_issue(
		&(struct rig_cert_options){ .common_name = name, .alts = alts, .kind = kind },
		&bed->ca);

	bed->certificates[bed->options.certificates_n++] =
		str_of(strdup(rig_write_cert(&bed->dir, name, &cert, &bed->ca)));
	rig_cert_free(&cert);
}

static void open_server(struct bed *bed)
{
	bed->server = tls_server_new(&bed->options, rig_tell, &bed->told);
	if (!bed->server)
		print_message("%s", bed->told.text);
	assert_non_null(bed->server);
}

/* The common name that is shown to who asks for SNI; "" = the handshake fails. */
static const char *shown(struct bed *bed, const char *sni)
{
	struct rig_pair pair;
	const char *name = "";

	rig_pair_init(&pair, bed->client, bed->server, sni);
	if (rig_shake(&pair))
		name = rig_shown(&pair);
	rig_pair_fini(&pair);
	return name;
}

static void the_name_asked_for_chooses_the_certificate(void **state)
{
	struct bed *bed = *state;

	add(bed, "first", RIG_EC, "DNS:first.test");
	add(bed, "second", RIG_EC, "DNS:second.test,DNS:*.wild.test");
	add(bed, "exact", RIG_EC, "DNS:exact.wild.test");
	open_server(bed);
	assert_string_equal(shown(bed, NULL), "first");
	assert_string_equal(shown(bed, "first.test"), "first");
	assert_string_equal(shown(bed, "second.test"), "second");
	assert_string_equal(shown(bed, "SECOND.Test"), "second");
	assert_string_equal(shown(bed, "second.test."), "second");
	assert_string_equal(shown(bed, "a.wild.test"), "second");
	assert_string_equal(shown(bed, "exact.wild.test"), "exact");
	assert_string_equal(shown(bed, "a.b.wild.test"), "first");
	assert_string_equal(shown(bed, "wild.test"), "first");
	assert_string_equal(shown(bed, "*.wild.test"), "first");
	assert_string_equal(shown(bed, ".wild.test"), "first");
	assert_string_equal(shown(bed, "nobody.test"), "first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_name_asked_for_chooses_the_certificate, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
