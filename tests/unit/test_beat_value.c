/* SPDX-License-Identifier: MIT */
/* What a node says of itself: written, read, cut, and made up by somebody hostile. */
#include "config.h"

#include "mirror/beat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/bug.h"
#include "base/mem.h"

#define HEAD                                                                                       \
	"1 boot=00000000000000ff beat=7 limpet=0.4.0 key=0123456789abcdef state=up entries=12 "    \
	"servers=fedcba9876543210"

struct row {
	const char *name, *text;
	bool is_ours;
};

static const struct row rows[] = {
	{ "the least", HEAD, true },
	{ "with counts", HEAD " requests=5+6 sessions=0+18446744073709551615", true },
	{ "with backends", HEAD " on=api:00000001 on=chat:1:ffffffff more", true },
	{ "stopping", HEAD " stopping", true },
	{ "a word of a newer node", HEAD " zone=eu-1 colour", true },
	{ "another version", "2" HEAD, false },
	{ "nothing", "", false },
	{ "only the version", "1", false },
	{ "without the servers",
	  "1 boot=00000000000000ff beat=7 limpet=1 key=0123456789abcdef "
	  "state=up entries=12",
	  false },
	{ "a word twice", HEAD " beat=8", false },
	{ "counts twice", HEAD " requests=1+1 requests=1+1", false },
	{ "two spaces", HEAD "  more", false },
	{ "a space at the end", HEAD " ", false },
	{ "a newline", HEAD "\n", false },
	{ "a byte that is no ASCII", HEAD " zone=\xc3\xa9", false },
	{ "counts without plus", HEAD " requests=5", false },
	{ "counts with a sign", HEAD " requests=5+-6", false },
	{ "counts too large", HEAD " requests=0+18446744073709551616", false },
	{ "backends that do not ascend", HEAD " on=b:00000001 on=a:00000001", false },
	{ "a backend twice", HEAD " on=a:00000001 on=a:00000001", false },
	{ "a backend without a name", HEAD " on=:00000001", false },
	{ "a backend without a hash", HEAD " on=chat", false },
	{ "a hash in capitals", HEAD " on=chat:0000000A", false },
	{ "a short boot",
	  "1 boot=ff beat=7 limpet=1 key=0123456789abcdef state=up entries=12 "
	  "servers=fedcba9876543210",
	  false },
	{ "a state that is none",
	  "1 boot=00000000000000ff beat=7 limpet=1 key=0123456789abcdef "
	  "state=fine entries=12 servers=fedcba9876543210",
	  false },
};

/* In memory of its own, so that the sanitizers see each byte too far. */
static bool read_copy(const char *text, size_t len, struct beat_value *value, char **copy)
{
	*copy = test_malloc(len + 1);
	memcpy(*copy, text, len);
	return beat_value_read((struct str){ *copy, len }, value);
}

static void each_text_is_ours_or_not(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct beat_value value;
		char *copy;

		if (read_copy(rows[i].text, strlen(rows[i].text), &value, &copy) != rows[i].is_ours)
			fail_msg("%s: '%s'", rows[i].name, rows[i].text);
		test_free(copy);
	}
}

static void no_cut_of_the_least_is_ours(void **state unused_arg)
{
	for (size_t len = 0; len < sizeof(HEAD) - 1; len++) {
		struct beat_value value;
		char *copy;

		if (read_copy(HEAD, len, &value, &copy))
			fail_msg("cut at %zu", len);
		test_free(copy);
	}
}

static void every_cut_of_every_text_is_read_safely(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(rows); i++)
		for (size_t len = 0; len <= strlen(rows[i].text); len++) {
			struct beat_value value;
			char *copy;

			read_copy(rows[i].text, len, &value, &copy);
			assert_true(value.backends_n <= BEAT_BACKENDS_MAX);
			test_free(copy);
		}
}

static void what_was_written_is_read(void **state unused_arg)
{
	static const struct beat_value value = {
		.boot = 0xfeedull << 40,
		.beat = UINT64_MAX,
		.key_check = 17,
		.servers = 4711,
		.state = MIRROR_PAUSED,
		.is_stopping = true,
		.entries = 1000000,
		.version = STR_INIT("0.4.0-rc1"),
		.base = { [BEAT_sessions] = 3 },
		.counts = { [BEAT_sessions] = 4, [BEAT_unknown] = UINT64_MAX },
		.backends = { { STR_INIT("api"), 0 }, { STR_INIT("chat:2"), UINT32_MAX } },
		.backends_n = 2,
	};
	char text[BEAT_VALUE_SIZE];
	struct beat_value again;

	assert_true(beat_value_read((struct str){ text, beat_value_write(text, &value) }, &again));
	assert_true(again.boot == value.boot && again.beat == value.beat);
	assert_true(again.key_check == 17 && again.servers == 4711 && again.entries == 1000000);
	assert_int_equal(again.state, MIRROR_PAUSED);
	assert_true(again.is_stopping && !again.has_more);
	assert_true(str_eq(again.version, value.version));
	assert_memory_equal(again.base, value.base, sizeof(value.base));
	assert_memory_equal(again.counts, value.counts, sizeof(value.counts));
	assert_int_equal(again.backends_n, 2);
	assert_true(str_eq(again.backends[1].name, STR("chat:2")));
	assert_int_equal(again.backends[1].hash, UINT32_MAX);
}

static void backends_beyond_the_room_are_told_of(void **state unused_arg)
{
	struct beat_value value = { .version = STR("1"), .backends_n = BEAT_BACKENDS_MAX }, again;
	char names[BEAT_BACKENDS_MAX][65], text[BEAT_VALUE_SIZE];
	size_t len;

	for (int i = 0; i < BEAT_BACKENDS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "%02d%062d", i, 0);
		value.backends[i].name = str_of(names[i]);
	}
	len = beat_value_write(text, &value);
	assert_true(len < BEAT_VALUE_SIZE);
	assert_true(beat_value_read((struct str){ text, len }, &again));
	assert_true(again.has_more && !again.is_stopping);
	assert_in_range(again.backends_n, 40, BEAT_BACKENDS_MAX - 1);
}

/*
 * Which backends differ.
 */
static const char *differences(const char *a, const char *b)
{
	static char out[160];
	struct beat_value va, vb;
	char *ta = xasprintf("%s %s", HEAD, a), *tb = xasprintf("%s %s", HEAD, b);

	assert_true(beat_value_read(str_of(ta), &va) && beat_value_read(str_of(tb), &vb));
	vb.servers++;
	fingerprint_differences(&va, &vb, out, sizeof(out));
	free(ta);
	free(tb);
	return out;
}

static void backends_that_differ_are_named(void **state unused_arg)
{
	static const struct {
		const char *a, *b, *want;
	} cases[] = {
		{ "on=a:00000001", "on=a:00000002", "a" },
		{ "on=a:00000001 on=b:00000001", "on=b:00000001", "a" },
		{ "on=a:00000001", "on=a:00000001 on=b:00000001", "b" },
		{ "on=a:00000001 on=c:00000003", "on=b:00000001 on=c:00000004", "a, b, c" },
		{ "on=a:00000001 more", "on=a:00000002 on=b:00000001", "a" },
		{ "on=a:00000002 on=b:00000001", "on=a:00000001 more", "a" },
		{ "on=a:00000001 more", "on=a:00000001 more", "some backend" },
	};

	for (size_t i = 0; i < ARRAY_N(cases); i++)
		assert_string_equal(differences(cases[i].a, cases[i].b), cases[i].want);
}

static void what_is_alike_has_no_differences(void **state unused_arg)
{
	struct beat_value value;
	char out[160] = "x";

	assert_true(beat_value_read(STR(HEAD), &value));
	assert_int_equal(fingerprint_differences(&value, &value, out, sizeof(out)), 0);
	assert_string_equal(out, "");
}

static void a_long_list_of_differences_is_cut(void **state unused_arg)
{
	struct beat_value a = { .servers = 1 }, b = { .servers = 2 };
	char names[BEAT_BACKENDS_MAX][16], out[32];

	for (int i = 0; i < BEAT_BACKENDS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "backend-%02d", i);
		a.backends[a.backends_n++] = (struct beat_backend){ str_of(names[i]), 0 };
	}
	size_t len = fingerprint_differences(&a, &b, out, sizeof(out));

	assert_int_equal(len, strlen(out));
	assert_string_equal(out, "backend-00, backend-01, ...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_text_is_ours_or_not),
		cmocka_unit_test(no_cut_of_the_least_is_ours),
		cmocka_unit_test(every_cut_of_every_text_is_read_safely),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(backends_beyond_the_room_are_told_of),
		cmocka_unit_test(backends_that_differ_are_named),
		cmocka_unit_test(what_is_alike_has_no_differences),
		cmocka_unit_test(a_long_list_of_differences_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
