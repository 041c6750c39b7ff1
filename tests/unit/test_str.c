/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/str.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bug.h"

static void views_compare_by_bytes(void **state)
{
	(void)state;
	assert_true(str_eq(STR("a\0b"), STR("a\0b")));
	assert_false(str_eq(STR("a\0b"), STR("a\0c")));
	assert_false(str_eq(STR("a"), STR("ab")));
	assert_true(str_eq(STR_NONE, STR("")));
	assert_true(str_ieq(STR("HoSt-1"), STR("hOsT-1")));
	assert_false(str_ieq(STR("@[`{"), STR("`{@["))); /* 32 apart, and no letters */
	assert_false(str_ieq(STR("\xc9"), STR("\xe9")));
}

static void prefixes_and_suffixes_may_be_longer_than_the_text(void **state)
{
	(void)state;
	assert_true(str_starts(STR("unix:/p"), STR("unix:")));
	assert_false(str_starts(STR("uni"), STR("unix:")));
	assert_true(str_istarts(STR("UNIX:/p"), STR("unix:")));
	assert_true(str_ends(STR("a.sock"), STR(".sock")));
	assert_false(str_ends(STR("ock"), STR(".sock")));
	assert_true(str_iends(STR("a.SOCK"), STR(".sock")));
	assert_true(str_starts(STR_NONE, STR("")));
	assert_true(str_ends(STR(""), STR("")));
}

static void find_gives_the_first_or_minus_one(void **state)
{
	(void)state;
	assert_int_equal(str_find_char(STR("a:b:c"), ':'), 1);
	assert_int_equal(str_find_char(STR("abc"), ':'), -1);
	assert_int_equal(str_find_char(STR_NONE, ':'), -1);
	assert_int_equal(str_find(STR("aab"), STR("ab")), 1);
	assert_int_equal(str_find(STR("a"), STR("ab")), -1);
	assert_int_equal(str_find(STR_NONE, STR("x")), -1);
	assert_int_equal(str_find(STR("abc"), STR("")), 0);
}

static void trim_takes_spaces_and_tabs_alone(void **state)
{
	(void)state;
	assert_true(str_eq(str_trim(STR(" \t a b\t ")), STR("a b")));
	assert_true(str_eq(str_trim(STR("\r\na\n")), STR("\r\na\n")));
	assert_int_equal(str_trim(STR(" \t ")).len, 0);
	assert_int_equal(str_trim(STR_NONE).len, 0);
}

static void list_elements_are_taken_one_by_one(void **state)
{
	static const struct {
		struct str in;
		const char *want[4];
	} rows[] = {
		{ STR_INIT("a, b ,c"), { "a", "b", "c" } },
		{ STR_INIT(" , ,,a,,"), { "a" } },
		{ STR_INIT(""), { NULL } },
		{ STR_INIT(","), { NULL } },
		{ STR_INIT("for=\"a,b\", x"), { "for=\"a,b\"", "x" } },
		{ STR_INIT("\"a\\\",b\",c"), { "\"a\\\",b\"", "c" } },
		{ STR_INIT("\"open,x"), { "\"open,x" } },
		{ STR_INIT("\"end\\"), { "\"end\\" } },
		{ STR_INIT("a\\,b"), { "a\\", "b" } }, /* no escape outside quotes */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str rest = rows[i].in, element;
		size_t n = 0;

		while (str_next_element(&rest, &element)) {
			assert_non_null(rows[i].want[n]);
			assert_true(str_eq(element, str_of(rows[i].want[n])));
			n++;
		}
		assert_null(rows[i].want[n]);
		assert_int_equal(rest.len, 0);
	}
}

static void numbers_are_digits_and_nothing_else(void **state)
{
	static const struct {
		struct str in;
		uint64_t max;
		int rc;
		uint64_t want;
	} rows[] = {
		{ STR_INIT("0"), 10, 0, 0 },
		{ STR_INIT("10"), 10, 0, 10 },
		{ STR_INIT("11"), 10, -ERANGE, 0 },
		{ STR_INIT("0000000000000000000000000000007"), 10, 0, 7 },
		{ STR_INIT("18446744073709551615"), UINT64_MAX, 0, UINT64_MAX },
		{ STR_INIT("18446744073709551616"), UINT64_MAX, -ERANGE, 0 },
		{ STR_INIT("36893488147419103239"), UINT64_MAX, -ERANGE, 0 }, /* wraps to 7 */
		{ STR_INIT("99999999999999999999"), UINT64_MAX, -ERANGE, 0 },
		{ STR_INIT("99999999999999999999x"), UINT64_MAX, -EINVAL, 0 },
		{ STR_INIT(""), 10, -EINVAL, 0 },
		{ STR_INIT("-1"), 10, -EINVAL, 0 },
		{ STR_INIT("+1"), 10, -EINVAL, 0 },
		{ STR_INIT(" 1"), 10, -EINVAL, 0 },
		{ STR_INIT("1 "), 10, -EINVAL, 0 },
		{ STR_INIT("1\0"), 10, -EINVAL, 0 },
		{ STR_INIT("0x1"), 100, -EINVAL, 0 },
		{ STR_INIT("\xb2"), 10, -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		uint64_t value = 4711;

		assert_int_equal(str_to_u64(rows[i].in, rows[i].max, &value), rows[i].rc);
		assert_true(value == (rows[i].rc ? 4711 : rows[i].want));
	}
}

static void numbers_are_written_as_they_are_read(void **state)
{
	static const uint32_t numbers[] = { 0,   1,     9,         10,         99,
					    100, 65535, 999999999, 1000000000, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_N(numbers); i++) {
		char want[16], got[16] = "";

		snprintf(want, sizeof(want), "%u", numbers[i]);
		assert_int_equal(str_put_u32(got, numbers[i]), strlen(want));
		assert_string_equal(got, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(views_compare_by_bytes),
		cmocka_unit_test(prefixes_and_suffixes_may_be_longer_than_the_text),
		cmocka_unit_test(find_gives_the_first_or_minus_one),
		cmocka_unit_test(trim_takes_spaces_and_tabs_alone),
		cmocka_unit_test(list_elements_are_taken_one_by_one),
		cmocka_unit_test(numbers_are_digits_and_nothing_else),
		cmocka_unit_test(numbers_are_written_as_they_are_read),
	};

	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
