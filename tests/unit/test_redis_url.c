/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/redis_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bug.h"

/* "scheme user=U password=P host:port,... path=P master=M db=N" of what it says. */
static void dump(const struct redis_url *url, char *out, size_t size)
{
	static const char *const schemes[] = { "tcp", "tls", "unix", "sentinel" };
	size_t n = (size_t)snprintf(out, size, "%s %.*s|%.*s", schemes[url->scheme],
				    STR_ARG(url->username), STR_ARG(url->password));

	for (size_t i = 0; i < url->hosts_n; i++)
		n += (size_t)snprintf(out + n, size - n, " %.*s %u", STR_ARG(url->hosts[i].host),
				      url->hosts[i].port);
	snprintf(out + n, size - n, " %.*s%.*s /%u", STR_ARG(url->path), STR_ARG(url->master),
		 url->db);
}

static void urls_say_what_they_mean(void **state unused_arg)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "redis://h", "tcp | h 6379  /0" },
		{ "redis://h/", "tcp | h 6379  /0" },
		{ "REDIS://h:1/7", "tcp | h 1  /7" },
		{ "rediss://a.b-c_d:65535/15999", "tls | a.b-c_d 65535  /15999" },
		{ "redis://u:p@10.0.0.1", "tcp u|p 10.0.0.1 6379  /0" },
		{ "redis://:p:q%40@h", "tcp |p:q%40 h 6379  /0" },
		{ "redis://u@h", "tcp u| h 6379  /0" },
		{ "redis://[::1]:7", "tcp | ::1 7  /0" },
		{ "redis://[2001:db8::1]/2", "tcp | 2001:db8::1 6379  /2" },
		{ "unix:/run/r.sock", "unix | /run/r.sock /0" },
		{ "unix:///run/r.sock?db=3", "unix | /run/r.sock /3" },
		{ "sentinel://a/m", "sentinel | a 26379 m /0" },
		{ "sentinel://u:p@a:1,[::2],c:3/my-set_1.x/4",
		  "sentinel u|p a 1 ::2 26379 c 3 my-set_1.x /4" },
	};
	struct redis_url url;
	char text[512];
	const char *why;

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		assert_true(redis_url_parse(str_of(rows[i].text), &url, &why));
		dump(&url, text, sizeof(text));
		assert_string_equal(text, rows[i].want);
	}
}

static void wrong_urls_are_refused_with_a_reason(void **state unused_arg)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "expected redis://" },
		{ "http://h", "expected redis://" },
		{ "redis:/h", "expected redis://" },
		{ "redis://", "the host is missing" },
		{ "redis://:6379", "the host is missing" },
		{ "redis://u:p@/1", "the host is missing" },
		{ "redis://h:0", "not a port" },
		{ "redis://h:65536", "not a port" },
		{ "redis://h:", "not a port" },
		{ "redis://h:1x", "not a port" },
		{ "redis://[::1", "'[' without ']'" },
		{ "redis://[::1]6", "not a port" },
		{ "redis://[h]:6", "no IPv6 address" },
		{ "redis://[127.0.0.1]", "no IPv6 address" },
		{ "redis://[]", "no IPv6 address" },
		{ "redis://::1", "the host is missing" },
		{ "redis://2001:db8::1", "an IPv6 address stands in brackets" },
		{ "redis://h h", "a space" },
		{ "redis://h\xc3\xa4", "a space" },
		{ "redis://h!", "neither an address" },
		{ "redis://-h", "neither an address" },
		{ "redis://h/16000", "not the number of a database" },
		{ "redis://h/x", "not the number of a database" },
		{ "redis://h/1/2", "not the number of a database" },
		{ "redis://h/-1", "not the number of a database" },
		{ "redis://u:p@p@h", "'@' in a user name or password is written %40" },
		{ "redis://u:50%@h", "'%' in a user name or password is written %25" },
		{ "redis://u:%zz@h", "'%' in a user name or password is written %25" },
		{ "redis://u:%00@h", "'%' in a user name or password is written %25" },
		{ "redis://u%4:p@h", "'%' in a user name or password is written %25" },
		{ "redis://a,b", "neither an address" },
		{ "unix:", "the path of a socket begins" },
		{ "unix:x", "the path of a socket begins" },
		{ "unix://x/y", "the path of a socket begins" },
		{ "unix:/x?database=3", "after '?' comes db=NUMBER" },
		{ "unix:/x?db=", "not the number of a database" },
		{ "sentinel://a", "after the sentinels comes '/'" },
		{ "sentinel://a/", "the master's name" },
		{ "sentinel://a/m m", "a space" },
		{ "sentinel://a/m:x", "the master's name" },
		{ "sentinel://a,/m", "the host is missing" },
		{ "sentinel://a/m/x", "not the number of a database" },
		{ "sentinel://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a/m", "more than 16 sentinels" },
	};
	struct redis_url url;
	const char *why;

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		why = "";
		if (redis_url_parse(str_of(rows[i].text), &url, &why))
			fail_msg("'%s' was taken", rows[i].text);
		if (strncmp(why, rows[i].why, strlen(rows[i].why)) != 0)
			fail_msg("'%s': %s", rows[i].text, why);
	}
}

static void limits_of_lengths_are_kept(void **state unused_arg)
{
	struct redis_url url;
	char text[1024];
	const char *why;

	snprintf(text, sizeof(text), "unix:/%0106d", 0);
	assert_true(redis_url_parse(str_of(text), &url, &why));
	snprintf(text, sizeof(text), "unix:/%0107d", 0);
	assert_false(redis_url_parse(str_of(text), &url, &why));
	assert_string_equal(why, "the path of a socket has at most 107 bytes");
	snprintf(text, sizeof(text), "redis://:%0512d@h", 0);
	assert_true(redis_url_parse(str_of(text), &url, &why));
	snprintf(text, sizeof(text), "redis://:%0513d@h", 0);
	assert_false(redis_url_parse(str_of(text), &url, &why));
	snprintf(text, sizeof(text), "redis://%0253d", 0);
	assert_true(redis_url_parse(str_of(text), &url, &why));
	snprintf(text, sizeof(text), "redis://%0254d", 0);
	assert_false(redis_url_parse(str_of(text), &url, &why));
}

static void secrets_are_decoded(void **state unused_arg)
{
	char out[32];

	assert_int_equal(redis_url_decode(STR("p%40%2Fq%3a:"), out), 6);
	assert_memory_equal(out, "p@/q::", 6);
	assert_int_equal(redis_url_decode(STR(""), out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_say_what_they_mean),
		cmocka_unit_test(wrong_urls_are_refused_with_a_reason),
		cmocka_unit_test(limits_of_lengths_are_kept),
		cmocka_unit_test(secrets_are_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
