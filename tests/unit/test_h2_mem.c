/* SPDX-License-Identifier: MIT */
/* The memory of HTTP/2 sessions: blocks come back, and hold what was put into them. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session/h2_mem.h"

#define STEPS   20000
#define PIECES  200
#define SIZE_MX 3000

static uint32_t spare_of(const struct h2_mem *mem)
{
	uint32_t n = 0;

	for (size_t i = 0; i < H2_MEM_SIZES; i++)
		n += mem->spare_n[i];
	return n;
}

static void a_block_that_was_put_back_is_given_again(void **state)
{
	struct h2_mem mem = { 0 };
	void *first = h2_mem_get(&mem, 100), *second;

	(void)state;
	assert_int_equal(mem.used_n, 1);
	h2_mem_put(&mem, first);
	assert_int_equal(spare_of(&mem), 1);
	second = h2_mem_get(&mem, 90); /* of the same size, rounded */
	assert_ptr_equal(first, second);
	h2_mem_put(&mem, second);
	h2_mem_put(&mem, NULL);
	h2_mem_fini(&mem);
	assert_int_equal(spare_of(&mem), 0);
}

static void large_blocks_are_not_kept(void **state)
{
	struct h2_mem mem = { 0 };

	(void)state;
	h2_mem_put(&mem, h2_mem_get(&mem, H2_MEM_STEP * H2_MEM_SIZES));
	assert_int_equal(spare_of(&mem), 0);
	h2_mem_put(&mem, h2_mem_get(&mem, H2_MEM_STEP * H2_MEM_SIZES - 16));
	assert_int_equal(spare_of(&mem), 1);
	h2_mem_fini(&mem);
}

static void spare_blocks_are_bounded(void **state)
{
	static void *blocks[2 * H2_MEM_SPARE_MAX / H2_MEM_STEP];
	struct h2_mem mem = { 0 };
	size_t n = sizeof(blocks) / sizeof(*blocks);

	(void)state;
	for (size_t i = 0; i < n; i++)
		blocks[i] = h2_mem_get(&mem, 1);
	for (size_t i = 0; i < n; i++)
		h2_mem_put(&mem, blocks[i]);
	assert_int_equal(spare_of(&mem), H2_MEM_SPARE_MAX / H2_MEM_STEP);
	h2_mem_fini(&mem);
}

static void zeroed_memory_is_zero_though_it_was_used(void **state)
{
	struct h2_mem mem = { 0 };
	char *p = h2_mem_get(&mem, 200);

	(void)state;
	memset(p, 1, 200);
	h2_mem_put(&mem, p);
	p = h2_mem_get_zeroed(&mem, 200);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(p[i], 0);
	h2_mem_put(&mem, p);
	h2_mem_fini(&mem);
}

static void check(const char *p, size_t size, char mark)
{
	for (size_t i = 0; i < size; i++)
		if (p[i] != mark)
			fail_msg("byte %zu of %zu", i, size);
}

/* What nghttp2 does, at random: the pieces never touch each other. */
static void pieces_keep_what_is_in_them(void **state)
{
	static struct {
		char *p;
		size_t size;
	} pieces[PIECES];
	struct h2_mem mem = { 0 };
	nghttp2_mem face = h2_mem_for_nghttp2(&mem);

	(void)state;
	srand(7);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)rand() % PIECES;
		size_t size = (size_t)rand() % SIZE_MX, before = pieces[i].size;

		assert_true(pieces[i].p || !before);
		if (pieces[i].p)
			check(pieces[i].p, before, (char)i);
		if (pieces[i].p && step % 3 == 0) {
			face.free(pieces[i].p, &mem);
			pieces[i].p = NULL;
			pieces[i].size = 0;
			continue;
		}
		pieces[i].p = face.realloc(pieces[i].p, size, &mem);
		pieces[i].size = size;
		assert_int_equal((size_t)pieces[i].p % 16, 0);
		check(pieces[i].p, size < before ? size : before, (char)i);
		memset(pieces[i].p, (char)i, size);
	}
	for (unsigned i = 0; i < PIECES; i++)
		face.free(pieces[i].p, &mem);
	assert_null(face.calloc((size_t)1 << 40, (size_t)1 << 40, &mem));
	h2_mem_fini(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_that_was_put_back_is_given_again),
		cmocka_unit_test(large_blocks_are_not_kept),
		cmocka_unit_test(spare_blocks_are_bounded),
		cmocka_unit_test(zeroed_memory_is_zero_though_it_was_used),
		cmocka_unit_test(pieces_keep_what_is_in_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
