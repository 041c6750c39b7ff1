/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"

/* A txn with as much around it as forwarded.c looks at. */
struct rig {
	struct txn txn;
	struct client client;
	struct frontend frontend;
	struct bind_conf bind;
	struct backend backend;
	struct http_head head;
	struct ip_net trusted[2];
	struct buf out;
};

static int setup(void **state)
{
	struct rig *rig = xcalloc(1, sizeof(*rig));

	assert_int_equal(ip_net_parse(STR("10.0.0.0/8"), &rig->trusted[0]), 0);
	assert_int_equal(ip_net_parse(STR("fd00::/8"), &rig->trusted[1]), 0);
	rig->frontend.trusted_proxies = rig->trusted;
	rig->frontend.trusted_proxies_n = 2;
	rig->client.frontend = &rig->frontend;
	rig->bind.addr.in.sin_family = AF_INET;
	rig->bind.addr.in.sin_port = htons(80);
	rig->bind.addr.size = sizeof(rig->bind.addr.in);
	rig->client.bind = &rig->bind;
	rig->txn.client = &rig->client;
	rig->txn.backend = &rig->backend;
	rig->txn.head = &rig->head;
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	buf_release(&rig->out);
	buf_pool_fini();
	free(rig);
	return 0;
}

/* PEER asks with FIELDS; the text must live as long as the facts. */
static void ask(struct rig *rig, const char *peer, const char *fields, char *text, size_t size)
{
	struct http1_limits limits = { 8192, 16384 };
	const char *why;

	snprintf(text, size, "GET / HTTP/1.1\r\nHost: h:8\r\n%s\r\n", fields);
	assert_int_equal(http1_parse_request(text, strlen(text), 0, &limits, &rig->head, &why),
			 PARSE_DONE);
	assert_int_equal(ip_addr_parse(str_of(peer), &rig->client.source), 0);
	forwarded_find_source(&rig->txn);
}

static void client_is_the_rightmost_that_no_trusted_proxy_is(void **state)
{
	static const struct {
		const char *peer, *fields, *want;
	} rows[] = {
		{ "1.2.3.4", "X-Forwarded-For: 9.9.9.9\r\n", "1.2.3.4" }, /* not believed */
		{ "10.0.0.1", "", "10.0.0.1" },
		{ "10.0.0.1", "X-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9" },
		{ "10.0.0.1", "X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\n",
		  "9.9.9.9" }, /* forged left */
		{ "10.0.0.1", "X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.3.3.3\r\n", "9.9.9.9" },
		{ "10.0.0.1", "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 9.9.9.9\r\n",
		  "9.9.9.9" },
		{ "10.0.0.1", "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 10.2.2.2\r\n",
		  "9.9.9.9" },
		{ "10.0.0.1", "X-Forwarded-For: 10.1.1.1, 10.2.2.2\r\n", "10.1.1.1" },
		{ "10.0.0.1", "X-Forwarded-For: 9.9.9.9, nonsense\r\n", "10.0.0.1" },
		{ "10.0.0.1", "X-Forwarded-For: 9.9.9.9, nonsense, 10.2.2.2\r\n", "10.2.2.2" },
		{ "10.0.0.1", "X-Forwarded-For: ,, 9.9.9.9 ,,\r\n", "9.9.9.9" },
		{ "10.0.0.1", "X-Forwarded-For:\r\n", "10.0.0.1" },
		{ "10.0.0.1", "X-Forwarded-For: 9.9.9.9:1234\r\n", "9.9.9.9" },
		{ "10.0.0.1", "X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1" },
		{ "10.0.0.1", "X-Forwarded-For: [2001:db8::1]:99\r\n", "2001:db8::1" },
		{ "fd00::1", "X-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9" },
		{ "10.0.0.1", "X-Forwarded-For: unix:/x\r\n", "10.0.0.1" },
		{ "10.0.0.1", "Forwarded: for=9.9.9.9;proto=https\r\n", "9.9.9.9" },
		{ "10.0.0.1", "Forwarded: proto=http;FOR=\"[2001:db8::1]:4711\"\r\n",
		  "2001:db8::1" },
		{ "10.0.0.1", "Forwarded: for=6.6.6.6, for=9.9.9.9, for=10.1.1.1\r\n", "9.9.9.9" },
		{ "10.0.0.1", "Forwarded: for=9.9.9.9, for=_hidden\r\n", "10.0.0.1" },
		{ "10.0.0.1", "Forwarded: for=unknown\r\n", "10.0.0.1" },
		{ "10.0.0.1", "Forwarded: proto=https\r\n", "10.0.0.1" },
		/* X-Forwarded-For decides when both are there. */
		{ "10.0.0.1", "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9" },
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char text[512], addr[ADDR_TEXT_SIZE];
		struct str have;

		ask(rig, rows[i].peer, rows[i].fields, text, sizeof(text));
		have = ip_addr_ip_text(&rig->txn.source, addr);
		if (!str_eq(have, str_of(rows[i].want)))
			fail_msg("row %zu: %s %s: have %.*s, want %s", i, rows[i].peer,
				 rows[i].fields, STR_ARG(have), rows[i].want);
	}
}

static void server_is_told_the_chain(void **state)
{
	static const struct {
		enum forwarded_mode mode;
		const char *peer, *fields, *want;
	} rows[] = {
		{ FORWARDED_NONE, "1.2.3.4", "", "" },
		{ FORWARDED_X, "1.2.3.4",
		  "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n",
		  "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h:8\r\n"
		  "X-Forwarded-Port: 80\r\n" },
		{ FORWARDED_X, "10.0.0.1",
		  "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: "
		  "https\r\n"
		  "X-Forwarded-Port: 443\r\n",
		  "X-Forwarded-For: 9.9.9.9, 8.8.8.8, 10.0.0.1\r\nX-Forwarded-Host: h:8\r\n" },
		{ FORWARDED_RFC7239, "1.2.3.4", "Forwarded: for=6.6.6.6\r\n",
		  "Forwarded: for=1.2.3.4;host=\"h:8\";proto=http\r\n" },
		{ FORWARDED_RFC7239, "fd00::1", "Forwarded: for=9.9.9.9\r\n",
		  "Forwarded: for=9.9.9.9, for=\"[fd00::1]\";host=\"h:8\";proto=http\r\n" },
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char text[512];

		rig->backend.forwarded = rows[i].mode;
		ask(rig, rows[i].peer, rows[i].fields, text, sizeof(text));
		forwarded_write(&rig->txn, &rig->out);
		if (!str_eq(buf_str(&rig->out), str_of(rows[i].want)))
			fail_msg("row %zu: have %.*s", i, STR_ARG(buf_str(&rig->out)));
		buf_release(&rig->out);
	}
}

static void what_an_untrusted_client_says_of_itself_is_replaced(void **state)
{
	static const enum http_field_id xs[] = { FIELD_X_FORWARDED_PROTO, FIELD_X_FORWARDED_HOST,
						 FIELD_X_FORWARDED_PORT };
	struct rig *rig = *state;
	char text[512];

	rig->backend.forwarded = FORWARDED_X;
	ask(rig, "1.2.3.4", "", text, sizeof(text));
	assert_true(forwarded_replaces(&rig->txn, FIELD_X_FORWARDED_FOR));
	assert_true(forwarded_replaces(&rig->txn, FIELD_FORWARDED));
	for (size_t i = 0; i < ARRAY_N(xs); i++)
		assert_true(forwarded_replaces(&rig->txn, xs[i]));
	assert_false(forwarded_replaces(&rig->txn, FIELD_HOST));
	ask(rig, "10.0.0.1", "", text, sizeof(text));
	assert_true(forwarded_replaces(&rig->txn, FIELD_X_FORWARDED_FOR));
	for (size_t i = 0; i < ARRAY_N(xs); i++)
		assert_false(forwarded_replaces(&rig->txn, xs[i]));
	rig->backend.forwarded = FORWARDED_NONE;
	assert_false(forwarded_replaces(&rig->txn, FIELD_X_FORWARDED_FOR));
}

/* A bind to port 0 is known to the kernel alone. */
static void port_that_is_not_known_is_not_told(void **state)
{
	struct rig *rig = *state;
	char text[512];

	ask(rig, "1.2.3.4", "", text, sizeof(text));
	rig->backend.forwarded = FORWARDED_X;
	rig->bind.addr.in.sin_port = 0;
	forwarded_write(&rig->txn, &rig->out);
	assert_true(str_eq(buf_str(&rig->out),
			   STR("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: http\r\n"
			       "X-Forwarded-Host: h:8\r\n")));
}

#define FORWARDED_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		FORWARDED_TEST(client_is_the_rightmost_that_no_trusted_proxy_is),
		FORWARDED_TEST(server_is_told_the_chain),
		FORWARDED_TEST(what_an_untrusted_client_says_of_itself_is_replaced),
		FORWARDED_TEST(port_that_is_not_known_is_not_told),
	};

	return cmocka_run_group_tests_name("forwarded", tests, NULL, NULL);
}
