/* SPDX-License-Identifier: MIT */
/* uri: each row's input stands in a heap block of its exact size, so that ASan sees an overrun. */
#include "config.h"

#include "proto/uri.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct str heap_copy(struct str s)
{
	char *copy = malloc(s.len ? s.len : 1);

	assert_non_null(copy);
	memcpy(copy, s.p ? s.p : "", s.len);
	return (struct str){ copy, s.len };
}

static void heap_free(struct str s)
{
	void *p;

	memcpy(&p, &s.p, sizeof(p));
	free(p);
}

static void assert_str(struct str got, struct str want, const char *name)
{
	if (!str_eq(got, want) || !got.p != !want.p)
		fail_msg("%s: got '%.*s', want '%.*s'", name, STR_ARG(got), STR_ARG(want));
}

static void parameters_are_split_at_ampersands_only(void **state unused_arg)
{
	/* Each parameter is printed as [key|value], [key] without a '='. */
	static const struct {
		const char *query, *want;
	} rows[] = {
		{ "", "" },
		{ "&", "" },
		{ "&&&", "" },
		{ "a", "[a]" },
		{ "a=", "[a|]" },
		{ "=b", "[|b]" },
		{ "=", "[|]" },
		{ "a=1&b=2", "[a|1][b|2]" },
		{ "&a=1&&b=2&", "[a|1][b|2]" },
		{ "a=1;b=2", "[a|1;b=2]" },
		{ "a=b=c", "[a|b=c]" },
		{ "%61=%26&x", "[%61|%26][x]" },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str whole = heap_copy(str_of(rows[i].query)), query = whole, key, value;
		char got[200] = "";
		size_t n = 0;

		while (uri_next_param(&query, &key, &value))
			n += (size_t)snprintf(got + n, sizeof(got) - n, "[%.*s%s%.*s]",
					      STR_ARG(key), value.p ? "|" : "", STR_ARG(value));
		assert_string_equal(got, rows[i].want);
		assert_false(uri_next_param(&query, &key, &value));
		heap_free(whole);
	}
}

static void absent_query_has_no_parameters(void **state unused_arg)
{
	struct str query = STR_NONE, key, value;

	assert_false(uri_next_param(&query, &key, &value));
	assert_false(uri_find_param(STR_NONE, STR("a"), true, &value));
	assert_null(value.p);
}

static const struct {
	struct str in, want;
	bool plus;
} decode_rows[] = {
	{ STR_INIT(""), STR_INIT("") },
	{ STR_INIT("abc"), STR_INIT("abc") },
	{ STR_INIT("%41%62%2f"), STR_INIT("Ab/") },
	{ STR_INIT("%"), STR_INIT("%") },
	{ STR_INIT("%4"), STR_INIT("%4") },
	{ STR_INIT("%zz%4g%g4"), STR_INIT("%zz%4g%g4") },
	{ STR_INIT("%%41"), STR_INIT("%A") },
	{ STR_INIT("%2541"), STR_INIT("%41") },
	{ STR_INIT("a+b%2B"), STR_INIT("a+b+") },
	{ STR_INIT("a+b%2B"), STR_INIT("a b+"), true },
	{ STR_INIT("%00%ff\xff"), STR_INIT("\0\xff\xff") },
};

static void percent_encoding_is_undone_as_node_does(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(decode_rows); i++) {
		struct str in = heap_copy(decode_rows[i].in);
		char out[32];
		ptrdiff_t n = uri_decode(in, out, sizeof(out), decode_rows[i].plus);

		assert_true(n >= 0);
		assert_str((struct str){ out, (size_t)n }, decode_rows[i].want,
			   decode_rows[i].in.p);
		heap_free(in);
	}
}

static void decoding_needs_room_for_the_decoded_bytes_alone(void **state unused_arg)
{
	char out[3];

	assert_int_equal(uri_decode(STR("%41%42%43"), out, 3, false), 3);
	assert_int_equal(uri_decode(STR("%41%42%43"), out, 2, false), -ENOSPC);
	assert_int_equal(uri_decode(STR(""), out, 0, false), 0);
	assert_int_equal(uri_decode(STR("a"), out, 0, false), -ENOSPC);
}

static void keys_compare_decoded(void **state unused_arg)
{
	static const struct {
		const char *raw, *name;
		bool want;
	} rows[] = {
		{ "sid", "sid", true },   { "%73id", "sid", true },    { "%73%69%64", "sid", true },
		{ "si%64", "sid", true }, { "SID", "sid", false },     { "xsid", "sid", false },
		{ "sidx", "sid", false }, { "si", "sid", false },      { "", "sid", false },
		{ "%73i", "sid", false }, { "%2573id", "sid", false }, { "s%69d%", "sid", false },
		{ "a+b", "a b", true },   { "a%2Bb", "a b", false },   { "a%2Bb", "a+b", true },
		{ "", "", true },         { "%", "%", true },          { "%4", "%4", true },
		{ "si%6", "sid", false },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str raw = heap_copy(str_of(rows[i].raw));

		if (uri_key_is(raw, str_of(rows[i].name)) != rows[i].want)
			fail_msg("'%s' is '%s'?", rows[i].raw, rows[i].name);
		heap_free(raw);
	}
}

static void first_or_last_parameter_is_found(void **state unused_arg)
{
	struct str query = STR("a=1&b=2&%61=3&c&b="), value;

	assert_true(uri_find_param(query, STR("a"), false, &value));
	assert_str(value, STR("1"), "first a");
	assert_true(uri_find_param(query, STR("a"), true, &value));
	assert_str(value, STR("3"), "last a");
	assert_true(uri_find_param(query, STR("b"), true, &value));
	assert_str(value, STR(""), "last b");
	assert_true(uri_find_param(query, STR("c"), false, &value));
	assert_str(value, STR(""), "c without a value");
	assert_false(uri_find_param(query, STR("d"), true, &value));
	assert_null(value.p);
}

static const struct {
	struct str path, want;
} path_rows[] = {
	{ STR_INIT("/"), STR_INIT("/") },
	{ STR_INIT("/socket.io/"), STR_INIT("/socket.io/") },
	{ STR_INIT("/a/b.c/d..e/f-_~!$&'()*+,;=:@"), STR_INIT("/a/b.c/d..e/f-_~!$&'()*+,;=:@") },
	{ STR_INIT("/.hidden"), STR_INIT("/.hidden") },
	{ STR_INIT("/a/..."), STR_INIT("/a/...") },
	{ STR_INIT("/a/..b"), STR_INIT("/a/..b") },
	{ STR_INIT("//"), STR_INIT("/") },
	{ STR_INIT("//a///b//"), STR_INIT("/a/b/") },
	{ STR_INIT("/."), STR_INIT("/") },
	{ STR_INIT("/.."), STR_INIT("/") },
	{ STR_INIT("/a/."), STR_INIT("/a/") },
	{ STR_INIT("/a/.."), STR_INIT("/") },
	{ STR_INIT("/a/b/.."), STR_INIT("/a/") },
	{ STR_INIT("/a/b/../"), STR_INIT("/a/") },
	{ STR_INIT("/a/./b/./c"), STR_INIT("/a/b/c") },
	{ STR_INIT("/a/b/c/./../../g"), STR_INIT("/a/g") }, /* RFC 3986 5.2.4 */
	{ STR_INIT("/../../etc/passwd"), STR_INIT("/etc/passwd") },
	{ STR_INIT("/a/../../b"), STR_INIT("/b") },
	{ STR_INIT("/a//../b"), STR_INIT("/b") },
	{ STR_INIT("/%2e%2e/private"), STR_INIT("/private") },
	{ STR_INIT("/a/%2E./private"), STR_INIT("/private") },
	{ STR_INIT("/a/.%2e/private"), STR_INIT("/private") },
	{ STR_INIT("/%70rivate"), STR_INIT("/private") },
	{ STR_INIT("/a%2fb%2F"), STR_INIT("/a/b/") },
	{ STR_INIT("/a/..%2fb"), STR_INIT("/b") },
	{ STR_INIT("/a%2f%2f..%2Fb"), STR_INIT("/b") },
	{ STR_INIT("/a%00b"), STR_INIT("/a%00b") },
	{ STR_INIT("/a\0b//c"),
	  STR_INIT("/a\0b/c") }, /* as it came: it takes one byte, not three */
	{ STR_INIT("/a%"), STR_INIT("/a%") },
	{ STR_INIT("/a%4"), STR_INIT("/a%4") },
	{ STR_INIT("/a%zz"), STR_INIT("/a%zz") },
	{ STR_INIT("/%C3%A9"), STR_INIT("/\xc3\xa9") },
	{ STR_INIT("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa//b"),
	  STR_INIT("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/b") },
	{ STR_INIT("/aaaaaaaaaaaaaa//b"), STR_INIT("/aaaaaaaaaaaaaa/b") },
	{ STR_INIT("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/.."), STR_INIT("/") },
	{ STR_INIT("*"), STR_INIT("*") },
	{ STR_INIT(""), { NULL, 0 } },
	{ STR_INIT("a/b"), { NULL, 0 } },
	{ STR_INIT("**"), { NULL, 0 } },
	{ STR_INIT("%2Fa"), { NULL, 0 } },
};

static void paths_are_normalised_for_matching(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(path_rows); i++) {
		struct str path = heap_copy(path_rows[i].path), want = path_rows[i].want, got;
		char *out = malloc(path.len + 1);

		got = uri_normalize_path(path, out, path.len);
		assert_str(got, want, path_rows[i].path.p);
		/* Nothing to do: the very same view. */
		if (want.p && str_eq(path, want))
			assert_ptr_equal(got.p, path.p);
		heap_free(path);
		free(out);
	}
}

/* A dot-segment or a double slash is seen wherever it stands: the scan reads 16 bytes at a time. */
static void work_is_found_at_every_place(void **state unused_arg)
{
	static const char *const odd[] = { "//", "/./", "/../", "%41" };

	for (size_t k = 0; k < ARRAY_N(odd); k++) {
		for (int before = 0; before < 40; before++) {
			char text[100], out[100];
			struct str got;

			snprintf(text, sizeof(text), "/%.*s%s%.*s", before,
				 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst", odd[k],
				 40 - before, "zyxwvutsrqponmlkjihgfedcbazyxwvutsrqponmlk");
			got = uri_normalize_path(str_of(text), out, sizeof(out));
			assert_ptr_equal(got.p, out);
			assert_true(str_find(got, STR("//")) < 0 && str_find(got, STR("/.")) < 0);
			assert_true(str_find(got, STR("%")) < 0);
		}
	}
}

static void too_little_room_is_told(void **state unused_arg)
{
	char out[8];

	assert_null(uri_normalize_path(STR("//abcdefgh"), out, sizeof(out)).p);
	assert_null(uri_normalize_path(STR("//abcdefg%2F"), out, sizeof(out)).p);
	assert_non_null(uri_normalize_path(STR("//abcdefg"), out, sizeof(out)).p);
	assert_null(uri_normalize_path(STR("//"), out, 0).p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_are_split_at_ampersands_only),
		cmocka_unit_test(absent_query_has_no_parameters),
		cmocka_unit_test(percent_encoding_is_undone_as_node_does),
		cmocka_unit_test(decoding_needs_room_for_the_decoded_bytes_alone),
		cmocka_unit_test(keys_compare_decoded),
		cmocka_unit_test(first_or_last_parameter_is_found),
		cmocka_unit_test(paths_are_normalised_for_matching),
		cmocka_unit_test(work_is_found_at_every_place),
		cmocka_unit_test(too_little_room_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
