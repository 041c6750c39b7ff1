/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/table_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bug.h"

#define REGION_N 630 /* chunks of a region */
#define HUGE     (UINT64_C(2) << 20)

static bool is_zero(const char *bytes, size_t n)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

static void assert_regions(uint32_t n, uint32_t huge_n)
{
	uint32_t is_n, is_huge_n;

	table_mem_regions(&is_n, &is_huge_n);
	assert_int_equal(is_n, n);
	assert_int_equal(is_huge_n, huge_n);
}

static void chunks_are_zeroes_apart_and_given_back(void **state)
{
	enum { N = 2 * REGION_N + 5 };
	static char *chunks[N];

	(void)state;
	assert_regions(0, 0);
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < N; i++) {
			chunks[i] = table_chunk_get();
			assert_int_equal((uintptr_t)chunks[i] % 64, 0);
			assert_true(is_zero(chunks[i], TABLE_CHUNK_SIZE));
			memset(chunks[i], (int)(1 + i % 255), TABLE_CHUNK_SIZE);
		}
		for (size_t i = 0; i < N; i++)
			assert_true(chunks[i][0] == (char)(1 + i % 255) &&
				    memcmp(chunks[i], chunks[i] + 1, TABLE_CHUNK_SIZE - 1) == 0);
		assert_regions(3, 2);
		for (size_t i = 0; i < N; i++)
			table_chunk_put(chunks[(i * 7) % N]);
		assert_regions(0, 0);
	}
}

static void a_region_is_marked_when_all_of_it_is_in_use(void **state)
{
	static void *chunks[REGION_N];

	(void)state;
	for (size_t i = 0; i + 1 < REGION_N; i++)
		chunks[i] = table_chunk_get();
	assert_regions(1, 0);
	chunks[REGION_N - 1] = table_chunk_get();
	assert_regions(1, 1);
	for (size_t i = 0; i < REGION_N; i++)
		table_chunk_put(chunks[i]);
	assert_regions(0, 0);
}

static void a_used_chunk_is_handed_out_again_as_zeroes(void **state)
{
	char *other = table_chunk_get(), *chunk = table_chunk_get();

	(void)state;
	memset(chunk, 0xff, TABLE_CHUNK_SIZE);
	table_chunk_put(chunk);
	assert_ptr_equal(table_chunk_get(), chunk);
	assert_true(is_zero(chunk, TABLE_CHUNK_SIZE));
	table_chunk_put(chunk);
	table_chunk_put(other);
	assert_regions(0, 0);
}

#define PARTS     64
#define PART_SIZE ((size_t)100008) /* 64 of them are more than 4 MiB; no multiple of a page */

static void parts_of_an_index_lie_side_by_side(void **state)
{
	struct table_index_maps maps;
	struct table_index_map *map[PARTS];
	char *at[PARTS];

	(void)state;
	table_index_maps_init(&maps);
	for (uint32_t i = 0; i < PARTS; i++) {
		at[i] = table_index_part_take(&maps, NULL, i, PARTS, PART_SIZE, &map[i]);
		assert_non_null(at[i]);
		assert_true(is_zero(at[i], PART_SIZE));
		memset(at[i], (int)(i + 1), PART_SIZE);
	}
	assert_int_equal((uintptr_t)at[0] % HUGE, 0);
	for (uint32_t i = 0; i < PARTS; i++) {
		assert_ptr_equal(at[i], at[0] + i * ((PART_SIZE + 63) / 64 * 64));
		assert_true(at[i][0] == (char)(i + 1) && at[i][PART_SIZE - 1] == (char)(i + 1));
	}
	/* One that comes back leaves its neighbours as they are, and is zeroes when taken again. */
	table_index_part_give(&maps, map[7], at[7], PART_SIZE);
	assert_true(at[6][PART_SIZE - 1] == 7 && at[8][0] == 9);
	assert_ptr_equal(table_index_part_take(&maps, NULL, 7, PARTS, PART_SIZE, &map[7]), at[7]);
	assert_true(is_zero(at[7], PART_SIZE));
	for (uint32_t i = 0; i < PARTS; i++)
		table_index_part_give(&maps, map[i], at[i], PART_SIZE);
	table_index_maps_fini(&maps);
}

static void a_small_index_has_no_map(void **state)
{
	struct table_index_maps maps;
	struct table_index_map *map;

	(void)state;
	table_index_maps_init(&maps);
	assert_null(table_index_part_take(&maps, NULL, 0, 64, 65472, &map));
	assert_null(map);
	table_index_maps_fini(&maps);
}

static void larger_parts_come_from_a_new_map_beside_the_old_one(void **state)
{
	struct table_index_map *old, *map, *again;
	struct table_index_maps maps;
	char *before, *after;

	(void)state;
	table_index_maps_init(&maps);
	before = table_index_part_take(&maps, NULL, 3, PARTS, PART_SIZE, &old);
	memset(before, 5, PART_SIZE);
	/* The same part of the same map twice would be two owners of one memory. */
	assert_null(table_index_part_take(&maps, old, 3, PARTS, PART_SIZE, &again));
	assert_null(table_index_part_take(&maps, old, 3, PARTS, PART_SIZE / 2 + 50000, &again));
	after = table_index_part_take(&maps, old, 3, PARTS, PART_SIZE * 2, &map);
	assert_non_null(after);
	assert_ptr_not_equal(map, old);
	memset(after, 6, PART_SIZE * 2);
	assert_int_equal(before[PART_SIZE - 1], 5);
	table_index_part_give(&maps, old, before, PART_SIZE);
	table_index_part_give(&maps, map, after, PART_SIZE * 2);
	table_index_maps_fini(&maps);
}

static void an_index_on_its_own_is_zeroes(void **state)
{
	static const size_t sizes[] = { 8, 4095, 4096, 4097, 16384, 1000000 };

	(void)state;
	table_index_free(NULL, 0);
	for (size_t i = 0; i < ARRAY_N(sizes); i++) {
		char *at = table_index_new(sizes[i]);

		assert_true(is_zero(at, sizes[i]));
		memset(at, 1, sizes[i]);
		table_index_free(at, sizes[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_are_zeroes_apart_and_given_back),
		cmocka_unit_test(a_region_is_marked_when_all_of_it_is_in_use),
		cmocka_unit_test(a_used_chunk_is_handed_out_again_as_zeroes),
		cmocka_unit_test(parts_of_an_index_lie_side_by_side),
		cmocka_unit_test(a_small_index_has_no_map),
		cmocka_unit_test(larger_parts_come_from_a_new_map_beside_the_old_one),
		cmocka_unit_test(an_index_on_its_own_is_zeroes),
	};

	return cmocka_run_group_tests_name("table_mem", tests, NULL, NULL);
}
