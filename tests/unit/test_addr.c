/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct ip_addr ip(const char *text)
{
	struct ip_addr addr;

	if (ip_addr_parse(str_of(text), &addr) != 0)
		fail_msg("not an address: %s", text);
	return addr;
}

static void addresses_are_read_and_written(void **state)
{
	static const char *const rows[][2] = {
		{ "10.0.0.1", "10.0.0.1" },
		{ "::1", "::1" },
		{ "[2001:DB8::0:1]", "2001:db8::1" },
		{ "::ffff:192.0.2.7", "192.0.2.7" },
		{ "255.255.255.255", "255.255.255.255" },
	};
	char out[ADDR_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct ip_addr addr = ip(rows[i][0]);

		assert_true(str_eq(ip_addr_ip_text(&addr, out), str_of(rows[i][1])));
	}
}

static void what_is_no_address_is_refused(void **state)
{
	static const struct str rows[] = {
		STR_INIT(""),
		STR_INIT("1.2.3"),
		STR_INIT("1.2.3.4.5"),
		STR_INIT("256.1.1.1"),
		STR_INIT("01.2.3.4"),
		STR_INIT(" 1.2.3.4"),
		STR_INIT("1.2.3.4 "),
		STR_INIT("1.2.3.4:80"),
		STR_INIT(":::"),
		STR_INIT("fe80::1%eth0"),
		STR_INIT("[::1"),
		STR_INIT("::1]"),
		STR_INIT("[]"),
		STR_INIT("0x7f.1"),
		STR_INIT("10.0.0.1\0evil"),
		STR_INIT("1:2:3:4:5:6:7:8:9"),
		STR_INIT("0000:0000:0000:0000:0000:0000:255.255.255.2555555555555"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct ip_addr addr;

		if (ip_addr_parse(rows[i], &addr) != -EINVAL)
			fail_msg("taken: %.*s", STR_ARG(rows[i]));
	}
}

/* What inet_pton() says of texts that are nearly addresses. */
static void addresses_of_ipv4_are_those_of_inet_pton(void **state)
{
	static const char *const parts[] = { "0",   "00",  "01",  "1",   "9",   "10",   "99", "100",
					     "199", "255", "256", "260", "999", "1000", "",   " 1",
					     "1 ",  "+1",  "a",   "0x1", "1.",  ".1" };
	uint64_t seed = 88172645463325252u;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		unsigned n = i % 8 ? 4 : (unsigned)i / 8 % 6;
		unsigned char want[4];
		struct ip_addr got;
		char text[64] = "";
		size_t len = 0;
		bool is_good;

		for (unsigned k = 0; k < n; k++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
						k ? "." : "",
						parts[seed % (i % 3 ? ARRAY_N(parts) : 10)]);
		}
		is_good = inet_pton(AF_INET, text, want) == 1;
		if ((ip_addr_parse(str_of(text), &got) == 0) != is_good)
			fail_msg("'%s' %s", text, is_good ? "is refused" : "is taken");
		if (is_good)
			assert_memory_equal(got.ip, want, 4);
	}
}

static void networks_hold_their_addresses_alone(void **state)
{
	static const struct {
		const char *net, *in, *out;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.255.255", "11.0.0.0" },
		{ "10.1.2.3/8", "10.0.0.0", "9.255.255.255" },
		{ "0.0.0.0/0", "255.1.2.3", "::1" },
		{ "::/0", "2001:db8::1", "1.2.3.4" },
		{ "192.0.2.128/25", "192.0.2.129", "192.0.2.127" },
		{ "192.0.2.1", "192.0.2.1", "192.0.2.2" },
		{ "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
		{ "::1/128", "::1", "::2" },
		{ "::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct ip_addr in = ip(rows[i].in), out = ip(rows[i].out);
		struct ip_net net;

		assert_int_equal(ip_net_parse(str_of(rows[i].net), &net), 0);
		assert_true(ip_net_has(&net, &in));
		assert_false(ip_net_has(&net, &out));
		assert_true(ip_nets_have(&net, 1, &in));
		assert_false(ip_nets_have(&net, 0, &in));
	}
}

static void peer_on_a_unix_socket_is_in_no_network(void **state)
{
	struct ip_addr none = { .family = AF_UNSPEC };
	struct ip_net net;

	(void)state;
	assert_int_equal(ip_net_parse(STR("0.0.0.0/0"), &net), 0);
	assert_false(ip_net_has(&net, &none));
}

static void bad_prefixes_are_refused(void **state)
{
	static const char *const rows[] = { "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1",
					    "::/129",      "/8",        "10.0.0.0/8/8",
					    "10.0.0.0/ 8", "10/8",      "::ffff:10.0.0.0/104" };

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct ip_net net;

		if (ip_net_parse(str_of(rows[i]), &net) == 0)
			fail_msg("taken: %s", rows[i]);
	}
}

static void mask_clears_port_and_host_bits(void **state)
{
	struct ip_addr v4 = ip("10.1.2.255"), v6 = ip("2001:db8:ffff:ffff::1"), masked;
	char out[ADDR_TEXT_SIZE];

	(void)state;
	v4.port = 80;
	masked = ip_addr_masked(&v4, 25, 64);
	assert_true(str_eq(ip_addr_text(&masked, out), STR("10.1.2.128:0")));
	masked = ip_addr_masked(&v4, 0, 64);
	assert_true(str_eq(ip_addr_ip_text(&masked, out), STR("0.0.0.0")));
	masked = ip_addr_masked(&v6, 25, 50);
	assert_true(str_eq(ip_addr_text(&masked, out), STR("[2001:db8:ffff:c000::]:0")));
	masked = ip_addr_masked(&v6, 25, 128);
	assert_true(ip_addr_same_ip(&masked, &v6));
}

static void socket_addresses_go_there_and_back(void **state)
{
	static const char *const rows[][2] = {
		{ "10.0.0.1:80", "10.0.0.1:80" },
		{ "[::1]:65535", "[::1]:65535" },
		{ ":8080", "[::]:8080" },
		{ "*:8080", "[::]:8080" },
		{ "unix:/run/a b.sock", "unix:/run/a b.sock" },
		{ "unix:@name", "unix:@name" },
		{ "[::ffff:10.0.0.1]:1", "10.0.0.1:1" },
	};
	char out[ADDR_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct sock_addr addr, again;

		assert_int_equal(sock_addr_parse(str_of(rows[i][0]), &addr), 0);
		assert_string_equal(sock_addr_text(&addr, out).p, rows[i][1]);
		assert_int_equal(sock_addr_parse(str_of(out), &again), 0);
		assert_true(sock_addr_eq(&addr, &again));
	}
}

static void bad_socket_addresses_are_refused(void **state)
{
	static const struct str rows[] = {
		STR_INIT(""),
		STR_INIT("10.0.0.1"),
		STR_INIT("10.0.0.1:"),
		STR_INIT("10.0.0.1:65536"),
		STR_INIT("::1:80"),
		STR_INIT("[::1]"),
		STR_INIT("localhost:80"),
		STR_INIT("unix:"),
		STR_INIT("unix:@"),
		STR_INIT("unix:/a\0b"),
		STR_INIT("10.0.0.1:+80"),
		STR_INIT(":"),
		STR_INIT("[::1]80"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct sock_addr addr;

		if (sock_addr_parse(rows[i], &addr) == 0)
			fail_msg("taken: %.*s", STR_ARG(rows[i]));
	}
}

static void longest_unix_path_fits_and_no_longer_one(void **state)
{
	struct sock_addr addr;
	char text[200], out[ADDR_TEXT_SIZE];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:/", 6);
	assert_int_equal(sock_addr_parse((struct str){ text, 5 + 107 }, &addr), 0);
	assert_int_equal(sock_addr_text(&addr, out).len, 5 + 107);
	assert_int_equal(sock_addr_parse((struct str){ text, 5 + 108 }, &addr), -ENAMETOOLONG);
}

static void peer_without_a_name_is_told_without_reading_further(void **state)
{
	struct sock_addr addr;
	char out[ADDR_TEXT_SIZE];

	(void)state;
	memset(&addr, 'x', sizeof(addr));
	addr.un.sun_family = AF_UNIX;
	addr.un.sun_path[0] = '\0';
	addr.size = offsetof(struct sockaddr_un, sun_path);
	assert_string_equal(sock_addr_text(&addr, out).p, "unix:");
	assert_int_equal(sock_addr_ip(&addr).family, AF_UNSPEC);
}

static void addresses_of_ipv4_are_written_as_inet_ntop_does(void **state)
{
	static const uint8_t bytes[] = { 0, 1, 9, 10, 99, 100, 199, 255 };

	(void)state;
	for (unsigned i = 0; i < 4096; i++) {
		struct ip_addr addr = { .family = AF_INET,
					.ip = { bytes[i & 7], bytes[i >> 3 & 7], bytes[i >> 6 & 7],
						bytes[i >> 9] } };
		char got[ADDR_TEXT_SIZE], want[INET_ADDRSTRLEN];
		struct str text = ip_addr_ip_text(&addr, got);

		assert_non_null(inet_ntop(AF_INET, addr.ip, want, sizeof(want)));
		assert_string_equal(got, want);
		assert_int_equal(text.len, strlen(want));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_written),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(addresses_of_ipv4_are_those_of_inet_pton),
		cmocka_unit_test(addresses_of_ipv4_are_written_as_inet_ntop_does),
		cmocka_unit_test(networks_hold_their_addresses_alone),
		cmocka_unit_test(peer_on_a_unix_socket_is_in_no_network),
		cmocka_unit_test(bad_prefixes_are_refused),
		cmocka_unit_test(mask_clears_port_and_host_bits),
		cmocka_unit_test(socket_addresses_go_there_and_back),
		cmocka_unit_test(bad_socket_addresses_are_refused),
		cmocka_unit_test(longest_unix_path_fits_and_no_longer_one),
		cmocka_unit_test(peer_without_a_name_is_told_without_reading_further),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
