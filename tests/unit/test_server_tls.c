/* SPDX-License-Identifier: MIT */
/* Which names a server's TLS context has, and when it is the one of the set before. */
#include "config.h"

#include "model/server_tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "net/tls_client.h"

static struct config *load(const char *tls, const char *check)
{
	struct config_messages messages = { 0 };
	char text[512];
	struct config *config;

	snprintf(text, sizeof(text),
		 "frontends: {f: {bind: \":0\", backend: b}}\nbackends:\n  b:\n    hosts: {h: "
		 "\"10.0.0.1:1\"}\n"
		 "    tls: %s\n    health_check: %s\n",
		 tls, check);
	config = config_load_text("t", (struct str){ text, strlen(text) }, &messages);
	for (size_t i = 0; i < messages.n; i++)
		fprintf(stderr, "%s\n", messages.texts[i]);
	config_messages_fini(&messages);
	assert_non_null(config);
	config->backends[0].state = backend_state_get(config->backends[0].name);
	return config;
}

static struct srvset_spec spec_of(const char *addr, const char *dns_name)
{
	struct srvset_spec spec = { .host = STR("h"), .dns_name = str_of(dns_name), .weight = 1 };

	assert_int_equal(sock_addr_parse(str_of(addr), &spec.addr), 0);
	return spec;
}

static void names_come_from_the_file_else_from_the_address(void **state unused_arg)
{
	static const struct {
		const char *tls, *addr, *dns_name, *sni, *name;
	} rows[] = {
		{ "true", "10.0.0.1:1", "", "", "10.0.0.1" },
		{ "true", "[2001:db8::1]:1", "", "", "2001:db8::1" },
		{ "true", "10.0.0.1:1", "app.test", "app.test", "app.test" },
		{ "{sni: x.test}", "10.0.0.1:1", "app.test", "x.test", "x.test" },
		{ "{verify_name: y.test}", "10.0.0.1:1", "app.test", "app.test", "y.test" },
		{ "{verify_name: y.test}", "10.0.0.1:1", "", "", "y.test" },
		{ "{verify_name: y.test, sni: x.test}", "10.0.0.1:1", "", "x.test", "y.test" },
		{ "{verify: false}", "10.0.0.1:1", "app.test", "app.test", "" },
		{ "{verify: false}", "10.0.0.1:1", "", "", "" },
		{ "true", "unix:/added/at/run/time", "", "h", "h" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct config *config = load(rows[i].tls, "none");
		const struct backend *backend = &config->backends[0];
		struct srvset_spec spec = spec_of(rows[i].addr, rows[i].dns_name);

		spec_take_tls(backend, NULL, &spec);
		assert_true(tls_client_ctx_is_named(spec.tls, backend->tls_ctx, str_of(rows[i].sni),
						    str_of(rows[i].name)));
		assert_null(spec.check_tls);
		spec_drop_tls(&spec);
		config_unref(config);
	}
}

static void checks_have_the_names_of_traffic_unless_they_have_their_own(void **state unused_arg)
{
	static const struct {
		const char *check, *sni, *name;
	} rows[] = {
		{ "{http: /, tls: true}", "app.test", "app.test" },
		{ "{http: /, host: c.test, tls: true}", "c.test", "c.test" },
		{ "{http: /, host: \"c.test:80\", tls: true}", "app.test", "app.test" },
		{ "{http: /, host: c.test, tls: {sni: d.test}}", "d.test", "d.test" },
		{ "{tcp: true, tls: {verify_name: e.test}}", "app.test", "e.test" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct config *config = load("{sni: x.test}", rows[i].check);
		const struct backend *backend = &config->backends[0];
		struct srvset_spec spec = spec_of("10.0.0.1:1", "app.test");

		spec_take_tls(backend, NULL, &spec);
		assert_true(tls_client_ctx_is_named(spec.check_tls, backend->health.tls_ctx,
						    str_of(rows[i].sni), str_of(rows[i].name)));
		spec_drop_tls(&spec);
		config_unref(config);
	}
	for (int is_tls = 0; is_tls < 2; is_tls++) {
		struct config *config = load(is_tls ? "true" : "false", "tcp");
		struct srvset_spec spec = spec_of("10.0.0.1:1", "");

		spec_take_tls(&config->backends[0], NULL, &spec);
		assert_ptr_equal(spec.check_tls, spec.tls);
		assert_int_equal(spec.tls != NULL, is_tls);
		spec_drop_tls(&spec);
		config_unref(config);
	}
}

static void a_set_keeps_contexts_until_a_name_or_the_configuration_changes(void **state unused_arg)
{
	struct config *config = load("true", "none"), *next = load("true", "none");
	struct srvset_spec spec = spec_of("10.0.0.1:1", "");
	struct tls_client_ctx *first;
	struct srvset *set;

	spec_take_tls(&config->backends[0], NULL, &spec);
	first = spec.tls;
	set = srvset_build(config->backends[0].state, &spec, 1);
	spec_drop_tls(&spec);
	spec_take_tls(&config->backends[0], set, &spec);
	assert_ptr_equal(spec.tls, first);
	spec_drop_tls(&spec);
	spec_take_tls(&next->backends[0], set, &spec);
	assert_ptr_not_equal(spec.tls, first);
	spec_drop_tls(&spec);
	spec = spec_of("10.0.0.2:1", "");
	spec_take_tls(&config->backends[0], set, &spec);
	assert_ptr_not_equal(spec.tls, first);
	spec_drop_tls(&spec);
	config_unref(config);
	config_unref(next);
	srvset_free(set); /* its contexts outlive the configuration */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_from_the_file_else_from_the_address),
		cmocka_unit_test(checks_have_the_names_of_traffic_unless_they_have_their_own),
		cmocka_unit_test(a_set_keeps_contexts_until_a_name_or_the_configuration_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
