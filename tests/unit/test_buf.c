/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static int empty_pool(void **state)
{
	(void)state;
	buf_pool_fini();
	return 0;
}

static void empty_buf_owns_nothing(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	buf_append(&buf, NULL, 0);
	buf_consume(&buf, 0);
	buf_pack(&buf);
	assert_null(buf.block);
	assert_int_equal(buf_length(&buf), 0);
	assert_true(buf_str(&buf).p != NULL);
	buf_append_str(&buf, STR("abc"));
	buf_consume(&buf, 3);
	assert_null(buf.block); /* with the last byte the storage goes */
	buf_release(&buf);
}

static void storage_goes_back_to_the_pool_and_is_used_again(void **state)
{
	struct buf a = { 0 }, b = { 0 };
	struct buf_block *block;

	(void)state;
	buf_reserve(&a, 1);
	block = a.block;
	assert_int_equal(buf_room(&a), BUF_SIZE);
	buf_release(&a);
	buf_reserve(&b, BUF_SIZE);
	assert_ptr_equal(b.block, block);
	buf_release(&b);
}

static void large_storage_is_kept_for_the_next_that_needs_it_until_nobody_does(void **state)
{
	struct buf bufs[5] = { 0 };
	struct buf again = { 0 };
	struct buf_block *block;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		buf_append(&bufs[i], "abc", 3);
		buf_make_room(&bufs[i], 3 * BUF_SIZE); /* its bytes go with it */
		assert_int_equal(bufs[i].block->size, 4 * BUF_SIZE);
		assert_memory_equal(buf_bytes(&bufs[i]), "abc", 3);
	}
	block = bufs[3].block;
	for (unsigned i = 0; i < 5; i++)
		buf_release(&bufs[i]); /* the fifth goes back to malloc */
	buf_make_room(&again, 3 * BUF_SIZE);
	assert_ptr_equal(again.block, block);
	assert_int_equal(buf_length(&again), 0);
	assert_int_equal(buf_room(&again), 4 * BUF_SIZE);
	buf_append(&again, "abc", 3);
	buf_make_room(&again, 7 * BUF_SIZE);
	assert_int_equal(again.block->size, 8 * BUF_SIZE);
	assert_memory_equal(buf_bytes(&again), "abc", 3);
	buf_make_room(&again, 40 * BUF_SIZE); /* of a size that is not kept */
	buf_make_room(&again, 70 * BUF_SIZE);
	assert_memory_equal(buf_bytes(&again), "abc", 3);
	buf_release(&again);
	assert_int_equal(buf_pool_spare(4 * BUF_SIZE), 4);
	assert_int_equal(buf_pool_spare(8 * BUF_SIZE), 1);
	buf_pool_age(); /* some was used since the last time */
	assert_int_equal(buf_pool_spare(4 * BUF_SIZE), 4);
	buf_pool_age();
	assert_int_equal(buf_pool_spare(4 * BUF_SIZE) + buf_pool_spare(8 * BUF_SIZE), 0);
}

static void reserve_moves_bytes_to_the_front_before_it_grows(void **state)
{
	struct buf buf = { 0 };
	struct buf_block *block;

	(void)state;
	buf_reserve(&buf, BUF_SIZE);
	block = buf.block;
	memset(buf_tail(&buf), 'a', BUF_SIZE);
	buf_fill(&buf, BUF_SIZE);
	buf_consume(&buf, BUF_SIZE - 10);
	assert_int_equal(buf_room(&buf), 0);
	buf_reserve(&buf, BUF_SIZE - 10);
	assert_ptr_equal(buf.block, block);
	assert_int_equal(buf.block->size, BUF_SIZE);
	assert_int_equal(buf_length(&buf), 10);
	assert_memory_equal(buf_bytes(&buf), "aaaaaaaaaa", 10);
	buf_reserve(&buf, BUF_SIZE - 9);
	assert_int_equal(buf.block->size, BUF_SIZE * 2);
	assert_memory_equal(buf_bytes(&buf), "aaaaaaaaaa", 10);
	buf_release(&buf);
}

static void first_reserve_may_be_larger_than_a_block(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	buf_reserve(&buf, BUF_SIZE + 1);
	assert_true(buf_room(&buf) >= BUF_SIZE + 1);
	memset(buf_tail(&buf), 1, BUF_SIZE + 1);
	buf_release(&buf);
}

static void use_many(unsigned n)
{
	struct buf bufs[50] = { 0 };

	for (unsigned i = 0; i < n; i++)
		buf_reserve(&bufs[i], 1);
	for (unsigned i = 0; i < n; i++)
		buf_release(&bufs[i]);
}

static void spare_blocks_that_nobody_needed_are_given_back(void **state)
{
	unsigned freed = buf_pool_freed();

	(void)state;
	buf_pool_fini();
	use_many(50);
	assert_false(buf_pool_trim(100)); /* none is aged */
	assert_int_equal(buf_pool_spare(BUF_SIZE), 50);
	buf_pool_age();
	use_many(20);
	assert_int_equal(buf_pool_spare(BUF_SIZE), 50);
	assert_true(buf_pool_trim(5));
	assert_int_equal(buf_pool_spare(BUF_SIZE), 45);
	assert_false(buf_pool_trim(100));
	assert_int_equal(buf_pool_spare(BUF_SIZE), 20);
	assert_int_equal(buf_pool_freed() - freed, 30);
	buf_pool_age();
	assert_false(buf_pool_trim(100));
	assert_int_equal(buf_pool_spare(BUF_SIZE), 8);
	buf_pool_fini();
	assert_int_equal(buf_pool_spare(BUF_SIZE), 0);
}

static void random_bytes_come_out_as_they_went_in(void **state)
{
	struct buf buf = { 0 };
	unsigned char in = 0, out = 0;

	(void)state;
	srand(3);
	for (int step = 0; step < 20000; step++) {
		size_t n = (size_t)rand() % (rand() % 50 ? 300 : 20000);

		if (rand() % 2 && buf_length(&buf) < 200000) {
			buf_reserve(&buf, n);
			assert_true(buf_room(&buf) >= n);
			for (size_t i = 0; i < n; i++)
				buf_tail(&buf)[i] = (char)in++;
			buf_fill(&buf, n);
		} else {
			n = n < buf_length(&buf) ? n : buf_length(&buf);
			for (size_t i = 0; i < n; i++)
				assert_int_equal((unsigned char)buf_bytes(&buf)[i], out++);
			buf_consume(&buf, n);
		}
	}
	buf_release(&buf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_buf_owns_nothing),
		cmocka_unit_test(storage_goes_back_to_the_pool_and_is_used_again),
		cmocka_unit_test(
			large_storage_is_kept_for_the_next_that_needs_it_until_nobody_does),
		cmocka_unit_test(reserve_moves_bytes_to_the_front_before_it_grows),
		cmocka_unit_test(first_reserve_may_be_larger_than_a_block),
		cmocka_unit_test(spare_blocks_that_nobody_needed_are_given_back),
		cmocka_unit_test(random_bytes_come_out_as_they_went_in),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, empty_pool);
}
