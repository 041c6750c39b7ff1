/* SPDX-License-Identifier: MIT */
/* What stands on Redis: what is written is read back, and nothing else is read. */
#include "config.h"

#include "mirror/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define V "5f3a000000000001"

static const char *const good_values[] = {
	"1 l " V " 45000 app-1/3001",         "1 l " V " 1 a",
	"1 d " V " 1728000000 10.0.0.1:3000", "1 t " V " 45000",
	"1 l 0000000000000001 45000 a",       "1 l ffffffffffffffff 45000 a",
};
static const char *const bad_values[] = {
	"",
	" ",
	"1",
	"1 l",
	"1 l " V,
	"1 l " V " 45000",
	"1 l " V " 45000 ",
	"1 l " V " 45000 a ",
	"1 l " V " 45000 a b",
	"1 l " V " 45000  a",
	" 1 l " V " 45000 a",
	"2 l " V " 45000 a",
	"01 l " V " 45000 a",
	"1 x " V " 45000 a",
	"1 ld " V " 45000 a",
	"1 t " V " 45000 a",
	"1 t " V " 45000 ",
	"1 l 5F3a000000000001 45000 a",
	"1 l 0000000000000000 45000 a",
	"1 l 5f3a00000000001 45000 a",
	"1 l 5f3a0000000000011 45000 a",
	"1 l " V " 0 a",
	"1 l " V " 045000 a",
	"1 l " V " +5 a",
	"1 l " V " -5 a",
	"1 l " V " 1728000001 a",
	"1 l " V " 99999999999999999999999 a",
	"1 l " V " 45000 a\nb",
	"1 l " V " 45000 a\x7f",
	"1 l " V " 45000 \xc3\xa9",
};

static void a_value_is_read_and_written_alike(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_N(good_values); i++) {
		struct wire_value value;
		char out[WIRE_VALUE_MAX];
		size_t n;

		assert_true(wire_value_read(str_of(good_values[i]), &value));
		n = wire_value_write(out, &value);
		assert_true(str_eq((struct str){ out, n }, str_of(good_values[i])));
	}
}

static void a_value_of_any_other_form_is_refused(void **state)
{
	struct wire_value value;

	(void)state;
	for (size_t i = 0; i < ARRAY_N(bad_values); i++)
		if (wire_value_read(str_of(bad_values[i]), &value))
			fail_msg("'%s' was read", bad_values[i]);
	/* Cut at any byte that matters, and with a NUL in it. */
	for (size_t n = 0; n < strlen(good_values[0]) - strlen("app-1/3001"); n++)
		assert_false(wire_value_read((struct str){ good_values[0], n }, &value));
	assert_false(wire_value_read(STR("1 l " V " 45000 a\0b"), &value));
}

static void what_could_not_be_read_is_not_written(void **state)
{
	const struct wire_value fine = { RECORD_LIVE, 1, 1000, STR_INIT("a") };
	char name[WIRE_SERVER_MAX + 1], out[WIRE_VALUE_MAX];
	struct wire_value value;

	(void)state;
	assert_true(wire_value_write(out, &fine) > 0);
	value = fine, value.version = 0;
	assert_int_equal(wire_value_write(out, &value), 0);
	value = fine, value.idle_ms = 0;
	assert_int_equal(wire_value_write(out, &value), 0);
	value = fine, value.idle_ms = TABLE_IDLE_MAX_MS + 1;
	assert_int_equal(wire_value_write(out, &value), 0);
	value = fine, value.state = RECORD_TOMB;
	assert_int_equal(wire_value_write(out, &value), 0);
	value = fine, value.server = STR("a b");
	assert_int_equal(wire_value_write(out, &value), 0);
	value = fine, value.server = STR("");
	assert_int_equal(wire_value_write(out, &value), 0);
	memset(name, 'x', sizeof(name));
	value = fine, value.server = (struct str){ name, WIRE_SERVER_MAX };
	assert_true(wire_value_write(out, &value) > 0);
	value.server.len++;
	assert_int_equal(wire_value_write(out, &value), 0);
}

static struct table_key key_of(const char *bytes, size_t n)
{
	struct table_key key = { .len = (uint8_t)n };

	memcpy(key.bytes, bytes, n);
	return key;
}

static void a_key_is_read_and_written_alike(void **state)
{
	static const char bytes[] = "\x00\x01\x7f\x80\xff 012345678901";
	static const char *const prefixes[] = { "limpet", "", "a:b", "{x}", "}", "a}:e:b" };
	static const char *const tables[] = { "chat/engineio", "a:b/ip", "x" };

	(void)state;
	for (size_t p = 0; p < ARRAY_N(prefixes); p++)
		for (size_t t = 0; t < ARRAY_N(tables); t++)
			for (size_t n = 1; n <= TABLE_KEY_SIZE; n++) {
				struct table_key key = key_of(bytes, n);
				struct wire_key back;
				struct str table;
				char out[WIRE_KEY_MAX];
				size_t size = wire_key_write(out, str_of(prefixes[p]),
							     str_of(tables[t]), &key);

				assert_true(size > 0);
				assert_true(wire_key_read((struct str){ out, size },
							  str_of(prefixes[p]), &table, &back));
				assert_true(str_eq(table, str_of(tables[t])));
				assert_int_equal(back.size, n);
				assert_memory_equal(back.bytes, bytes, n);
			}
}

static void a_key_of_any_other_form_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"{p}",
		"{p}:e:",
		"{p}:e:t",
		"{p}:e:t:",
		"{p}:e::00",
		"{p}:e:t:0",
		"{p}:e:t:0g",
		"{p}:e:t:0A",
		"{p}:e:t:0011223344556677889900aabbccddeeff",
		"{p}:e:a b:00",
		"{p}:x:t:00",
		"{q}:e:t:00",
		"{pp}:e:t:00",
		"p:e:t:00",
		"{p}:e:t:00 ",
	};
	struct wire_key key;
	struct str table;

	(void)state;
	assert_true(wire_key_read(STR("{p}:e:t:00"), STR("p"), &table, &key));
	for (size_t i = 0; i < ARRAY_N(bad); i++)
		if (wire_key_read(str_of(bad[i]), STR("p"), &table, &key))
			fail_msg("'%s' was read", bad[i]);
}

static void a_key_that_is_too_long_is_not_written(void **state)
{
	struct table_key key = key_of("0123456789012345", 16);
	char prefix[WIRE_KEY_MAX], out[WIRE_KEY_MAX];

	(void)state;
	memset(prefix, 'p', sizeof(prefix));
	assert_int_equal(
		wire_key_write(out, (struct str){ prefix, sizeof(prefix) }, STR("t"), &key), 0);
	assert_int_equal(wire_name_write(out, (struct str){ prefix, sizeof(prefix) }, 's'), 0);
	assert_int_equal(wire_pattern_write(out, (struct str){ prefix, sizeof(prefix) }), 0);
	assert_int_equal(wire_key_write(out, STR("p"), STR("a b"), &key), 0);
}

static void a_pattern_matches_its_prefix_alone(void **state)
{
	char out[WIRE_KEY_MAX];
	size_t n = wire_pattern_write(out, STR("a*b?[c]\\"));

	(void)state;
	assert_true(str_eq((struct str){ out, n }, STR("{a\\*b\\?\\[c\\]\\\\}:e:*")));
	n = wire_name_write(out, STR("p"), 'q');
	assert_true(str_eq((struct str){ out, n }, STR("{p}:q")));
}

static const struct str fine[WIRE_FIELDS_N] = {
	STR_INIT("q"), STR_INIT("7"),
	STR_INIT("n"), STR_INIT("one#12345678"),
	STR_INIT("t"), STR_INIT("chat/engineio"),
	STR_INIT("k"), STR_INIT("00ff"),
	STR_INIT("c"), STR_INIT("s"),
	STR_INIT("p"), STR_INIT("44000"),
	STR_INIT("v"), STR_INIT("1 l " V " 45000 a"),
};

static void a_change_is_read(void **state)
{
	struct wire_change change;

	(void)state;
	assert_true(wire_change_read(fine, WIRE_FIELDS_N, &change));
	assert_int_equal(change.number, 7);
	assert_true(str_eq(change.node, STR("one#12345678")));
	assert_true(str_eq(change.table, STR("chat/engineio")));
	assert_int_equal(change.key.size, 2);
	assert_memory_equal(change.key.bytes, "\x00\xff", 2);
	assert_int_equal(change.change, RECORD_SET);
	assert_int_equal(wire_change_letter(change.change), 's');
	assert_int_equal(change.left_ms, 44000);
	assert_int_equal(change.value.idle_ms, 45000);
}

static void a_change_with_one_wrong_field_is_refused(void **state)
{
	static const struct {
		size_t at;
		struct str text;
	} rows[] = {
		{ 0, STR_INIT("x") },
		{ 0, STR_INIT("") },
		{ 1, STR_INIT("0") },
		{ 1, STR_INIT("-1") },
		{ 1, STR_INIT("07") },
		{ 1, STR_INIT("9223372036854775808") },
		{ 3, STR_INIT("") },
		{ 3, STR_INIT("a b") },
		{ 5, STR_INIT("") },
		{ 7, STR_INIT("") },
		{ 7, STR_INIT("0") },
		{ 9, STR_INIT("x") },
		{ 9, STR_INIT("") },
		{ 9, STR_INIT("ss") },
		{ 11, STR_INIT("0") },
		{ 11, STR_INIT("") },
		{ 11, STR_INIT("1728000001") },
		{ 13, STR_INIT("") },
		{ 13, STR_INIT("1 l") },
		{ 12, STR_INIT("V") },
	};
	struct wire_change change;

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct str fields[WIRE_FIELDS_N];

		memcpy(fields, fine, sizeof(fields));
		fields[rows[i].at] = rows[i].text;
		if (wire_change_read(fields, WIRE_FIELDS_N, &change))
			fail_msg("field %zu '%.*s' was taken", rows[i].at, STR_ARG(rows[i].text));
	}
	for (size_t n = 0; n < WIRE_FIELDS_N; n++)
		assert_false(wire_change_read(fine, n, &change));
}

static void the_time_of_an_id_is_read(void **state)
{
	static const char *const bad[] = {
		"", "-", "1-", "-1", "a-0", "1-a", "1", "01-0", "1-0-0"
	};
	uint64_t ms;

	(void)state;
	assert_true(wire_id_ms(STR("1700000000000-12"), &ms));
	assert_int_equal(ms, 1700000000000u);
	for (size_t i = 0; i < ARRAY_N(bad); i++)
		assert_false(wire_id_ms(str_of(bad[i]), &ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_read_and_written_alike),
		cmocka_unit_test(a_value_of_any_other_form_is_refused),
		cmocka_unit_test(what_could_not_be_read_is_not_written),
		cmocka_unit_test(a_key_is_read_and_written_alike),
		cmocka_unit_test(a_key_of_any_other_form_is_refused),
		cmocka_unit_test(a_key_that_is_too_long_is_not_written),
		cmocka_unit_test(a_pattern_matches_its_prefix_alone),
		cmocka_unit_test(a_change_is_read),
		cmocka_unit_test(a_change_with_one_wrong_field_is_refused),
		cmocka_unit_test(the_time_of_an_id_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
