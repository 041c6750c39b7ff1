/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <math.h>

#include "balance/strategies.h"
#include "balance_fixture.h"

#define KEYS 20000

static uint64_t key_at(uint32_t i)
{
	return lb_key_hash((struct str){ (const char *)&i, sizeof(i) });
}

static int by_hash(struct pool *pool, uint64_t key)
{
	const struct srvset_member *member = lb_by_hash(pool->set, key);

	return member ? (int)(member - pool->set->members) : -1;
}

static void logarithm_is_right_and_monotonic(void **state)
{
	uint64_t last = UINT64_MAX;

	(void)state;
	rendezvous_prepare();
	assert_int_equal(rendezvous_neg_log2(UINT64_MAX), 0);
	assert_int_equal(rendezvous_neg_log2(0), (uint64_t)64 << 32);
	for (int bit = 0; bit < 64; bit++)
		assert_int_equal(rendezvous_neg_log2(((uint64_t)1 << bit) - 1), (uint64_t)(64 - bit)
											<< 32);
	for (uint64_t i = 0; i < 100000; i++) {
		uint64_t x = i * (UINT64_MAX / 100000) + i;
		uint64_t got = rendezvous_neg_log2(x);
		double want = 64 - log2((double)x + 1);

		assert_true(fabs((double)got / 4294967296.0 - want) < 2e-6);
		assert_true(got <= last);
		last = got;
	}
}

/* From another program, with floating point logarithms; every processor must agree for ever. */
static void same_keys_go_to_the_same_members_on_every_machine(void **state)
{
	static const int want[16] = { 1, 0, 0, 3, 3, 0, 1, 3, 3, 1, 1, 3, 3, 0, 3, 0 };
	struct pool pool;

	(void)state;
	pool_make(&pool, BALANCE_HASH,
		  (const struct pool_member[]){ { 100 }, { 50 }, { 7 }, { 256 } }, 4);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(by_hash(&pool, i * 1000003u), want[i]);
	pool_free(&pool);
}

static void keys_follow_weights(void **state)
{
	static const struct pool_member members[] = { { 100 }, { 200 }, { 300 }, { 400 } };
	struct pool pool;
	uint32_t counts[4] = { 0 };

	(void)state;
	pool_make(&pool, BALANCE_HASH, members, 4);
	for (uint32_t i = 0; i < KEYS; i++)
		counts[by_hash(&pool, key_at(i))]++;
	for (uint32_t i = 0; i < 4; i++) {
		double share = (double)members[i].weight / 1000;
		double deviation = sqrt(KEYS * share * (1 - share));

		assert_true(fabs(counts[i] - KEYS * share) < 4 * deviation);
	}
	pool_free(&pool);
}

static void a_member_that_goes_takes_only_its_own_keys(void **state)
{
	(void)state;
	for (uint32_t n = 2; n <= LB_RENDEZVOUS_MAX; n += 31) {
		struct pool pool;
		uint32_t gone = n / 2, moved = 0;

		pool_make(&pool, BALANCE_HASH, NULL, n);
		for (uint32_t i = 0; i < KEYS / 10; i++) {
			int before, after;

			server_set_state(pool_server(&pool, gone), 0, SERVER_DOWN, "test");
			before = by_hash(&pool, key_at(i));
			server_set_state(pool_server(&pool, gone), SERVER_DOWN, 0, "test");
			after = by_hash(&pool, key_at(i));
			assert_true(after != (int)gone);
			if (before == (int)gone)
				moved++;
			else
				assert_int_equal(after, before);
		}
		assert_true(moved > 0);
		pool_free(&pool);
	}
}

/* Taken out of the configuration: the same as being down.  The last one, as names follow the index.
 */
static void a_new_member_takes_keys_to_itself_alone(void **state)
{
	struct pool pool;
	static int before[KEYS];
	uint32_t moved = 0;

	(void)state;
	pool_make(&pool, BALANCE_HASH, NULL, 9);
	for (uint32_t i = 0; i < KEYS; i++)
		before[i] = by_hash(&pool, key_at(i));
	pool_set(&pool, NULL, 10);
	for (uint32_t i = 0; i < KEYS; i++) {
		int after = by_hash(&pool, key_at(i));

		if (after == before[i])
			continue;
		assert_int_equal(after, 9);
		moved++;
	}
	assert_in_range(moved, KEYS / 10 * 9 / 10, KEYS / 10 * 11 / 10);
	pool_free(&pool);
}

static void a_heavier_member_takes_keys_to_itself_alone(void **state)
{
	struct pool_member members[5] = { { 100 }, { 100 }, { 100 }, { 100 }, { 100 } };
	struct pool pool;
	static int before[KEYS];
	uint32_t moved = 0;

	(void)state;
	pool_make(&pool, BALANCE_HASH, members, 5);
	for (uint32_t i = 0; i < KEYS; i++)
		before[i] = by_hash(&pool, key_at(i));
	members[2].weight = 150;
	pool_set(&pool, members, 5);
	for (uint32_t i = 0; i < KEYS; i++) {
		int after = by_hash(&pool, key_at(i));

		assert_true(after == before[i] || after == 2);
		moved += after != before[i];
	}
	/* From 1/5 to 3/11 of all. */
	assert_in_range(moved, KEYS * 6 / 100, KEYS * 9 / 100);
	pool_free(&pool);
}

static void the_order_in_the_file_does_not_matter(void **state)
{
	struct pool pool;
	struct srvset_spec specs[3];
	static const struct str names[3] = { STR_INIT("a"), STR_INIT("b"), STR_INIT("c") };
	static const struct server *before[1000];

	(void)state;
	pool_make(&pool, BALANCE_HASH, NULL, 0);
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < 3; i++)
			specs[i] = (struct srvset_spec){ .host = names[turn ? 2 - i : i],
							 .weight = 100 };
		struct srvset *set = srvset_build(pool.backend.state, specs, 3);

		lb_prepare(&pool.backend, set);
		for (uint32_t i = 0; i < 1000; i++) {
			const struct server *server = lb_by_hash(set, key_at(i))->server;

			if (turn)
				assert_ptr_equal(server, before[i]);
			before[i] = server;
		}
		srvset_free(set);
	}
	pool_free(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(logarithm_is_right_and_monotonic),
		cmocka_unit_test(same_keys_go_to_the_same_members_on_every_machine),
		cmocka_unit_test(keys_follow_weights),
		cmocka_unit_test(a_member_that_goes_takes_only_its_own_keys),
		cmocka_unit_test(a_new_member_takes_keys_to_itself_alone),
		cmocka_unit_test(a_heavier_member_takes_keys_to_itself_alone),
		cmocka_unit_test(the_order_in_the_file_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
