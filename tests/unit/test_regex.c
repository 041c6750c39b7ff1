/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/regex.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct regex *compiled(const char *pattern)
{
	char error[REGEX_ERROR_SIZE];
	size_t offset;
	struct regex *regex = regex_new(str_of(pattern), error, &offset);

	assert_non_null(regex);
	return regex;
}

static void patterns_match_what_they_say(void **state unused_arg)
{
	static const struct {
		const char *pattern, *subject;
		bool want;
	} rows[] = {
		{ "^/v[12]/", "/v1/x", true },
		{ "^/v[12]/", "/v3/x", false },
		{ "v1", "/a/v1/b", true },
		{ "^/v([12])/users/[0-9]+$", "/v2/users/77", true },
		{ "^/v([12])/users/[0-9]+$", "/v2/users/77/x", false },
		{ "^a$", "a\n", false },
		{ "^(a)(b)(c)(d)$", "abcd", true },
		{ "(?i)^HELLO$", "hello", true },
		{ "^.$", "\xff", true },
		{ "^$", "", true },
		{ "", "anything", true },
	};

	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct regex *regex = compiled(rows[i].pattern);

		if (regex_matches(regex, str_of(rows[i].subject)) != rows[i].want)
			fail_msg("row %zu: '%s' on '%s'", i, rows[i].pattern, rows[i].subject);
		regex_free(regex);
	}
}

static void an_absent_subject_is_an_empty_one(void **state unused_arg)
{
	struct regex *regex = compiled("^$");

	assert_true(regex_matches(regex, STR_NONE));
	regex_free(regex);
}

static void what_is_no_pattern_is_told_with_its_place(void **state unused_arg)
{
	char error[REGEX_ERROR_SIZE];
	size_t offset;

	assert_null(regex_new(STR("a(b"), error, &offset));
	assert_string_equal(error, "missing closing parenthesis");
	assert_int_equal(offset, 3);
	/* UTF mode would make byte strings that are not UTF-8 fail to match. */
	assert_null(regex_new(STR("(*UTF)a"), error, &offset));
}

static void a_pattern_longer_than_the_limit_is_refused(void **state unused_arg)
{
	static char text[REGEX_PATTERN_MAX + 1];
	char error[REGEX_ERROR_SIZE];
	size_t offset;

	memset(text, 'a', sizeof(text));
	assert_null(regex_new((struct str){ text, sizeof(text) }, error, &offset));
}

static void a_match_without_end_is_given_up_and_counted(void **state unused_arg)
{
	struct regex *regex = compiled("^(a+)+$");
	uint64_t before = regex_limit_hits();

	assert_false(
		regex_matches(regex, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaX")));
	assert_int_equal(regex_limit_hits(), before + 1);
	assert_true(regex_matches(regex, STR("aaaa")));
	regex_free(regex);
}

#define ROUNDS 20000

static void *match_many(void *arg)
{
	const struct regex *regex = arg;
	uintptr_t wrong = 0;

	for (int i = 0; i < ROUNDS; i++)
		wrong += !regex_matches(regex, STR("/v1/users/123")) +
			 regex_matches(regex, STR("/v1/users/x"));
	return (void *)wrong;
}

static void one_pattern_serves_many_threads_at_once(void **state unused_arg)
{
	struct regex *regex = compiled("^/v([12])/users/([0-9]+)$");
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_N(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, match_many, regex), 0);
	for (size_t i = 0; i < ARRAY_N(threads); i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	regex_free(regex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_what_they_say),
		cmocka_unit_test(an_absent_subject_is_an_empty_one),
		cmocka_unit_test(what_is_no_pattern_is_told_with_its_place),
		cmocka_unit_test(a_pattern_longer_than_the_limit_is_refused),
		cmocka_unit_test(a_match_without_end_is_given_up_and_counted),
		cmocka_unit_test(one_pattern_serves_many_threads_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
