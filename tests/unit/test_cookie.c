/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/cookie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bug.h"

static char *heap_copy(const char *text)
{
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1); /* no NUL: ASan sees an overrun */

	assert_non_null(copy);
	memcpy(copy, text, len);
	return copy;
}

static void cookies_are_iterated_as_sent(void **state unused_arg)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "", "" },
		{ ";", "" },
		{ " ; ;; ", "" },
		{ "a=1", "[a|1]" },
		{ "a=1; b=2", "[a|1][b|2]" },
		{ "a=1;b=2;", "[a|1][b|2]" },
		{ " a = 1 ;\tb=2 ", "[a|1][b|2]" },
		{ "a=\"q\"; b=x=y", "[a|\"q\"][b|x=y]" },
		{ "lonely; a=1", "[|lonely][a|1]" },
		{ "=v; a=", "[|v][a|]" },
		{ "a=\"1;2\"", "[a|\"1][|2\"]" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char *copy = heap_copy(rows[i].in), got[200] = "";
		struct str rest = { copy, strlen(rows[i].in) }, name, value;
		size_t n = 0;

		while (cookie_next(&rest, &name, &value))
			n += (size_t)snprintf(got + n, sizeof(got) - n, "[%.*s|%.*s]",
					      STR_ARG(name), STR_ARG(value));
		assert_string_equal(got, rows[i].want);
		free(copy);
	}
}

static void first_cookie_of_the_exact_name_is_found(void **state unused_arg)
{
	struct str field = STR("xLIMPET=0; limpet=1; LIMPET=2; LIMPET=3; LIMPETx=4"), value;

	assert_true(cookie_find(field, STR("LIMPET"), &value));
	assert_true(str_eq(value, STR("2")));
	assert_false(cookie_find(field, STR("IMPET"), &value));
	assert_null(value.p);
	assert_false(cookie_find(STR_NONE, STR("LIMPET"), &value));
}

static void set_cookie_is_read(void **state unused_arg)
{
	static const struct {
		const char *in;
		const char *name, *value; /* NULL = no cookie */
		bool is_deleted;
	} rows[] = {
		{ "JSESSIONID=abc; Path=/; HttpOnly", "JSESSIONID", "abc", false },
		{ "a=\"b\"", "a", "\"b\"", false },
		{ " a = b ;Secure", "a", "b", false },
		{ "a=", "a", "", false },
		{ "a=b=c; Max-Age=3600", "a", "b=c", false },
		{ "a=b; Max-Age=0", "a", "b", true },
		{ "a=b; max-age=-1", "a", "b", true },
		{ "a=b; MAX-AGE = 0 ; Path=/", "a", "b", true },
		{ "a=b; Max-Age=00", "a", "b", true },
		{ "a=b; Max-Age=", "a", "b", false },
		{ "a=b; Max-Age=-", "a", "b", false },
		{ "a=b; Max-Age=0x", "a", "b", false },
		{ "a=b; Max-Age=99999999999999999999999999", "a", "b", false },
		{ "a=b; Max-Age=0; Max-Age=10", "a", "b", false },
		{ "a=b; Max-Age=10; Max-Age=0", "a", "b", true },
		{ "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a", "", true },
		{ "a=; expires=Thursday, 01-Jan-70 00:00:00 GMT", "a", "", true },
		{ "a=; Expires=Thu Jan  1 00:00:00 1970", "a", "", true },
		{ "a=b; Expires=Wed, 09 Jun 2094 10:18:14 GMT", "a", "b", false },
		{ "a=b; Expires=Wednesday, 09-Jun-44 10:18:14 GMT", "a", "b", false },
		{ "a=b; Expires=never", "a", "b", false },
		{ "a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "a", "b", false },
		{ "a=b; Max-Age=0; Expires=Wed, 09 Jun 2094 10:18:14 GMT", "a", "b", true },
		{ "a=b; Max-Age=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a", "b", true },
		{ "", NULL, NULL, false },
		{ "a", NULL, NULL, false },
		{ "=b", NULL, NULL, false },
		{ "; a=b", NULL, NULL, false },
		{ "a; b=c", NULL, NULL, false },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char *copy = heap_copy(rows[i].in);
		struct str name, value;
		bool is_deleted = false;
		bool is_read = set_cookie_parse((struct str){ copy, strlen(rows[i].in) }, &name,
						&value, &is_deleted);

		if (is_read != (rows[i].name != NULL))
			fail_msg("'%s' read: %d", rows[i].in, is_read);
		if (is_read &&
		    (!str_eq(name, str_of(rows[i].name)) || !str_eq(value, str_of(rows[i].value)) ||
		     is_deleted != rows[i].is_deleted))
			fail_msg("'%s': '%.*s' '%.*s' deleted %d", rows[i].in, STR_ARG(name),
				 STR_ARG(value), is_deleted);
		free(copy);
	}
}

static void one_cookie_is_stripped_and_the_others_stay(void **state unused_arg)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "LIMPET=x", "" },
		{ "", "" },
		{ " ; ", "" },
		{ "LIMPET=x; LIMPET=y", "" },
		{ "a=1", "a=1" },
		{ "LIMPET=x; a=1", "a=1" },
		{ "a=1; LIMPET=x", "a=1" },
		{ "a=1; LIMPET=x; b=2", "a=1; b=2" },
		{ "a=1;LIMPET=x;b=2;c=\"3\"", "a=1;b=2;c=\"3\"" },
		{ "LIMPETS=1; limpet=2; xLIMPET=3", "LIMPETS=1; limpet=2; xLIMPET=3" },
		{ "lonely; LIMPET=x;  d=4", "lonely;  d=4" },
		{ "a=LIMPET=x; b=LIMPET", "a=LIMPET=x; b=LIMPET" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char *copy = heap_copy(rows[i].in), out[100];
		struct str in = { copy, strlen(rows[i].in) };
		size_t n = cookie_without(in, STR("LIMPET"), out, sizeof(out));

		if (!str_eq((struct str){ out, n }, str_of(rows[i].want)))
			fail_msg("'%s' became '%.*s'", rows[i].in, (int)n, out);
		/* In place, with exactly the room that there is. */
		n = cookie_without(in, STR("LIMPET"), copy, in.len);
		assert_true(str_eq((struct str){ copy, n }, str_of(rows[i].want)));
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cookies_are_iterated_as_sent),
		cmocka_unit_test(first_cookie_of_the_exact_name_is_found),
		cmocka_unit_test(set_cookie_is_read),
		cmocka_unit_test(one_cookie_is_stripped_and_the_others_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
