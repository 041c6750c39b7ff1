/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void sizes_of_nothing_give_memory(void **state)
{
	char *text;

	(void)state;
	free(xmalloc(0));
	free(xcalloc(0, 0));
	free(xrealloc(xmalloc(4), 0));
	text = xstrndup(STR_NONE);
	assert_string_equal(text, "");
	free(text);
	text = xasprintf("%s-%d", "a", 7);
	assert_string_equal(text, "a-7");
	free(text);
}

static void put_many(struct slab *slab, uint32_t n)
{
	void *objects[100];

	for (uint32_t i = 0; i < n; i++)
		objects[i] = slab_get(slab);
	for (uint32_t i = 0; i < n; i++)
		slab_put(slab, objects[i]);
}

static void slab_gives_back_what_nobody_needed_since_it_aged(void **state)
{
	struct slab slab;

	(void)state;
	slab_init(&slab, "test", 64, 1000);
	put_many(&slab, 100);
	assert_false(slab_trim(&slab, 1000)); /* nothing is aged */
	assert_int_equal(slab.idle, 100);
	slab_age(&slab);
	put_many(&slab, 40); /* needed: those are not aged any more */
	assert_int_equal(slab.idle, 100);
	assert_true(slab_trim(&slab, 10));
	assert_int_equal(slab.idle, 90);
	assert_int_equal(slab.freed_n, 10);
	slab_age(&slab); /* while there are aged ones nothing else becomes it */
	assert_false(slab_trim(&slab, 1000));
	assert_int_equal(slab.idle, 40);
	slab_age(&slab);
	assert_false(slab_trim(&slab, 1000));
	assert_int_equal(slab.idle, SLAB_KEPT);
	put_many(&slab, 20);
	assert_int_equal(slab.idle, 20);
	slab_fini(&slab);
}

static void slab_that_is_used_as_before_keeps_all(void **state)
{
	struct slab slab;

	(void)state;
	slab_init(&slab, "test", 64, 1000);
	put_many(&slab, 100);
	for (int tick = 0; tick < 5; tick++) {
		slab_age(&slab);
		put_many(&slab, 100);
		assert_false(slab_trim(&slab, 1000));
		assert_int_equal(slab.idle, 100);
		assert_int_equal(slab.freed_n, 0);
	}
	slab_fini(&slab);
}

static void slab_gives_an_object_again(void **state)
{
	struct slab slab;
	void *a, *b;

	(void)state;
	slab_init(&slab, "test", 1, 1); /* smaller than a pointer */
	a = slab_get(&slab);
	b = slab_get(&slab);
	assert_ptr_not_equal(a, b);
	assert_int_equal(slab.used, 2);
	slab_put(&slab, NULL);
	slab_put(&slab, a);
	slab_put(&slab, b); /* over idle_max: freed */
	assert_int_equal(slab.used, 0);
	assert_int_equal(slab.idle, 1);
	assert_ptr_equal(slab_get(&slab), a);
	assert_int_equal(slab.idle, 0);
	slab_put(&slab, a);
	slab_fini(&slab);
	assert_int_equal(slab.idle, 0);
}

static void arena_pieces_are_aligned_and_apart(void **state)
{
	struct arena arena;
	char *pieces[200];

	(void)state;
	arena_init(&arena, 1000);
	for (size_t i = 0; i < 200; i++) {
		pieces[i] = arena_alloc(&arena, i * 7);
		assert_int_equal((uintptr_t)pieces[i] % 16, 0);
		memset(pieces[i], (int)i, i * 7);
	}
	for (size_t i = 0; i < 200; i++)
		for (size_t k = 0; k < i * 7; k++)
			assert_int_equal((unsigned char)pieces[i][k], i);
	arena_fini(&arena);
}

static void arena_reset_keeps_one_block_of_normal_size(void **state)
{
	struct arena arena;
	void *first;

	(void)state;
	arena_init(&arena, 256);
	arena_reset(&arena); /* of an empty one */
	first = arena_alloc(&arena, 10);
	arena_alloc(&arena, 10000);
	arena_alloc(&arena, 200);
	arena_reset(&arena);
	assert_ptr_equal(arena_alloc(&arena, 10), first);
	arena_reset(&arena);
	arena_fini(&arena);
	arena_init(&arena, 256);
	arena_alloc(&arena, 10000); /* an outsize block comes first */
	arena_reset(&arena);
	assert_null(arena.blocks);
	memset(arena_alloc(&arena, 256), 1, 256);
	arena_fini(&arena);
	arena_fini(&arena);
}

static void arena_texts_are_terminated_copies(void **state)
{
	struct arena arena;
	char source[] = "abc";
	struct str copy, none;

	(void)state;
	arena_init(&arena, 64);
	copy = arena_str(&arena, (struct str){ source, 2 });
	none = arena_str(&arena, STR_NONE);
	source[0] = 'x';
	assert_string_equal(copy.p, "ab");
	assert_int_equal(copy.len, 2);
	assert_true(none.p && none.len == 0);
	assert_string_equal(arena_printf(&arena, "%0100d", 7) + 98, "07");
	for (int i = 0; i < 8; i++)
		assert_int_equal(((char *)arena_calloc(&arena, 2, 4))[i], 0);
	arena_fini(&arena);
}

/* Whether there is memory at AT: malloc keeps that of a small block, munmap() does not. */
static bool is_there(const void *at)
{
	uintptr_t page = (uintptr_t)at & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);

	return msync((void *)page, 1, MS_ASYNC) == 0;
}

static void arena_maps_all_blocks_but_the_first(void **state)
{
	struct arena arena;
	char *first, *second, *large;

	(void)state;
	arena_init_mapped(&arena, 256, 64 * 1024, true);
	first = arena_alloc(&arena, 200);
	for (int i = 0; i < 2; i++) {
		second = arena_alloc(&arena, 200);
		large = arena_alloc(&arena, 300000);
		memset(first, 1, 200);
		memset(second, 2, 200);
		memset(large, 3, 300000);
		assert_int_equal(first[199], 1);
		assert_int_equal(second[199], 2);
		assert_int_equal((uintptr_t)large % 16, 0);
		assert_true(is_there(second) && is_there(large));
		arena_reset(&arena);
		assert_false(is_there(second) || is_there(large));
		assert_ptr_equal(arena_alloc(&arena, 200), first);
	}
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_of_nothing_give_memory),
		cmocka_unit_test(slab_gives_an_object_again),
		cmocka_unit_test(slab_gives_back_what_nobody_needed_since_it_aged),
		cmocka_unit_test(slab_that_is_used_as_before_keeps_all),
		cmocka_unit_test(arena_pieces_are_aligned_and_apart),
		cmocka_unit_test(arena_reset_keeps_one_block_of_normal_size),
		cmocka_unit_test(arena_texts_are_terminated_copies),
		cmocka_unit_test(arena_maps_all_blocks_but_the_first),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
