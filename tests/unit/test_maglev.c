/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/strategies.h"
#include "balance_fixture.h"

static const struct lb_tier *tier_of(const struct pool *pool)
{
	const struct lb_lookup *lookup = pool->set->lookup;

	return &lookup->tiers[0];
}

static void count_slots(const struct pool *pool, uint32_t *counts)
{
	const struct lb_tier *tier = tier_of(pool);

	assert_non_null(tier->maglev);
	memset(counts, 0, tier->n * sizeof(*counts));
	for (uint32_t i = 0; i < MAGLEV_SIZE; i++) {
		assert_true(tier->maglev[i] < tier->n);
		counts[tier->maglev[i]]++;
	}
}

static int by_hash(struct pool *pool, uint64_t key)
{
	const struct srvset_member *member = lb_by_hash(pool->set, key);

	return member ? (int)(member - pool->set->members) : -1;
}

static void table_is_made_above_64_members_alone(void **state)
{
	struct pool pool;

	(void)state;
	pool_make(&pool, BALANCE_HASH, NULL, LB_RENDEZVOUS_MAX);
	assert_null(tier_of(&pool)->maglev);
	pool_set(&pool, NULL, LB_RENDEZVOUS_MAX + 1);
	assert_non_null(tier_of(&pool)->maglev);
	pool_free(&pool);
}

static void balance_is_within_1_06_of_the_mean_at_1000_members(void **state)
{
	struct pool pool;
	static uint32_t counts[1000];
	double mean = MAGLEV_SIZE / 1000.0;

	(void)state;
	pool_make(&pool, BALANCE_HASH, NULL, 1000);
	count_slots(&pool, counts);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_true(counts[i] <= mean * 1.06);
		assert_true(counts[i] >= mean / 1.06);
	}
	pool_free(&pool);
}

static void slots_follow_weights(void **state)
{
	static struct pool_member members[200];
	static uint32_t counts[200];
	struct pool pool;
	uint32_t total = 0;

	(void)state;
	for (uint32_t i = 0; i < 200; i++)
		total += members[i].weight = 1 + i % 100;
	pool_make(&pool, BALANCE_HASH, members, 200);
	count_slots(&pool, counts);
	for (uint32_t i = 0; i < 200; i++) {
		double want = (double)MAGLEV_SIZE * members[i].weight / total;

		assert_true(counts[i] <= want + 2);
		assert_true(counts[i] >= want - 2);
	}
	pool_free(&pool);
}

static void a_member_that_is_down_moves_only_its_own_keys_and_evenly(void **state)
{
	struct pool pool;
	static uint32_t taken[100];
	uint32_t moved = 0;

	(void)state;
	pool_make(&pool, BALANCE_HASH, NULL, 100);
	for (uint64_t i = 0; i < 200000; i++) {
		int before, after;

		server_set_state(pool_server(&pool, 42), 0, SERVER_DOWN, "test");
		before = by_hash(&pool, i);
		server_set_state(pool_server(&pool, 42), SERVER_DOWN, 0, "test");
		after = by_hash(&pool, i);
		assert_true(after != 42);
		if (before != 42) {
			assert_int_equal(after, before);
			continue;
		}
		taken[after]++;
		moved++;
	}
	assert_in_range(moved, 1800, 2200);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(taken[i] < moved / 99 * 3); /* no neighbour gets it all */
	pool_free(&pool);
}

static void keys_find_the_last_member_that_is_up(void **state)
{
	struct pool pool;

	(void)state;
	pool_make(&pool, BALANCE_HASH, NULL, 500);
	for (uint32_t i = 0; i < 500; i++)
		if (i != 123)
			server_set_state(pool_server(&pool, i), SERVER_DOWN, 0, "test");
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(by_hash(&pool, i), 123);
	server_set_state(pool_server(&pool, 123), SERVER_DRAIN, 0, "test");
	assert_int_equal(by_hash(&pool, 1), -1);
	pool_free(&pool);
}

/* Out of the configuration, so that the table is made anew. */
static void removal_moves_few_keys_of_others(void **state)
{
	static const uint32_t sizes[] = { 100, 1000 };
	static int before[100000];

	(void)state;
	for (size_t s = 0; s < ARRAY_N(sizes); s++) {
		uint32_t n = sizes[s], own = 0, others = 0;
		struct pool pool;

		pool_make(&pool, BALANCE_HASH, NULL, n);
		for (uint32_t i = 0; i < 100000; i++)
			before[i] = by_hash(&pool, i);
		pool_set(&pool, NULL, n - 1); /* the last name is gone */
		for (uint32_t i = 0; i < 100000; i++) {
			int after = by_hash(&pool, i);

			own += before[i] == (int)n - 1;
			others += before[i] != (int)n - 1 && after != before[i];
		}
		print_message("# %u members, one removed: %.2f%% its own keys, %.2f%% of others "
			      "moved\n",
			      n, own / 1000.0, others / 1000.0);
		assert_true(others < 5000);
		pool_free(&pool);
	}
}

static void tables_of_two_nodes_agree(void **state)
{
	struct pool pool;
	uint64_t sum = 0;

	(void)state;
	pool_make(&pool, BALANCE_HASH, NULL, 100);
	for (uint32_t i = 0; i < MAGLEV_SIZE; i++)
		sum = lb_mix(sum + tier_of(&pool)->maglev[i]);
	/* From another program; every processor and every later release must give it. */
	assert_int_equal(sum, 0xb86e967b46f98dbdu);
	pool_free(&pool);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_is_made_above_64_members_alone),
		cmocka_unit_test(balance_is_within_1_06_of_the_mean_at_1000_members),
		cmocka_unit_test(slots_follow_weights),
		cmocka_unit_test(a_member_that_is_down_moves_only_its_own_keys_and_evenly),
		cmocka_unit_test(keys_find_the_last_member_that_is_up),
		cmocka_unit_test(removal_moves_few_keys_of_others),
		cmocka_unit_test(tables_of_two_nodes_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
