/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance_fixture.h"

#define MEMBERS(...)                                                                               \
	(const struct pool_member[])                                                               \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

static void count_picks(struct pool *pool, uint32_t rounds, uint32_t *counts)
{
	memset(counts, 0, pool->set->members_n * sizeof(*counts));
	for (uint32_t i = 0; i < rounds; i++) {
		int at = pool_pick(pool);

		assert_true(at >= 0);
		counts[at]++;
	}
}

static void round_robin_follows_weights_exactly(void **state)
{
	struct pool pool;
	uint32_t counts[3];

	(void)state;
	pool_make(&pool, BALANCE_ROUND_ROBIN, MEMBERS({ 100 }, { 50 }, { 25 }), 3);
	count_picks(&pool, 700, counts);
	assert_int_equal(counts[0], 400);
	assert_int_equal(counts[1], 200);
	assert_int_equal(counts[2], 100);
	pool_free(&pool);
}

/* In any window of turns each member has its share, give or take two. */
static void round_robin_is_smooth(void **state)
{
	static const uint32_t weights[] = { 50, 30, 10, 10 };
	struct pool pool;
	int picks[200];

	(void)state;
	pool_make(&pool, BALANCE_ROUND_ROBIN, MEMBERS({ 50 }, { 30 }, { 10 }, { 10 }), 4);
	for (int i = 0; i < 200; i++)
		picks[i] = pool_pick(&pool);
	for (int from = 0; from < 100; from++) {
		uint32_t counts[4] = { 0 };

		for (uint32_t n = 1; n <= 100; n++) {
			counts[picks[from + (int)n - 1]]++;
			for (int m = 0; m < 4; m++)
				assert_true(abs((int)(counts[m] * 100) - (int)(n * weights[m])) <=
					    200);
		}
	}
	pool_free(&pool);
}

static void round_robin_stays_even_when_one_is_down(void **state)
{
	struct pool pool;
	uint32_t counts[4];

	(void)state;
	pool_make(&pool, BALANCE_ROUND_ROBIN, NULL, 4);
	server_set_state(pool_server(&pool, 1), SERVER_DOWN, 0, "test");
	count_picks(&pool, 3000, counts);
	assert_int_equal(counts[0], 1000);
	assert_int_equal(counts[1], 0);
	assert_int_equal(counts[2], 1000);
	assert_int_equal(counts[3], 1000);
	pool_free(&pool);
}

static void round_robin_takes_diverse_weights(void **state)
{
	struct pool pool;
	uint32_t counts[3];

	(void)state;
	pool_make(&pool, BALANCE_ROUND_ROBIN, MEMBERS({ 25600 }, { 12799 }, { 1 }), 3);
	count_picks(&pool, 4096 * 4, counts);
	assert_in_range(counts[0], 10890, 10950);
	assert_in_range(counts[1], 5440, 5470);
	assert_in_range(counts[2], 1, 8); /* few, yet not none */
	pool_free(&pool);
}

static void weight_zero_gets_nothing(void **state)
{
	(void)state;
	for (int balance = 0; balance < BALANCE_N; balance++) {
		struct pool pool;
		uint32_t counts[2];

		pool_make(&pool, (enum balance_kind)balance, MEMBERS({ 0 }, { 100 }), 2);
		pool.ask.has_key = true;
		count_picks(&pool, 100, counts);
		assert_int_equal(counts[0], 0);
		pool_free(&pool);
	}
}

static void without_checks_a_server_that_is_down_is_the_last_resort(void **state)
{
	struct srvset_member *member;
	struct pool pool;

	(void)state;
	pool_make(&pool, BALANCE_ROUND_ROBIN, NULL, 3);
	pool.backend.health.kind = CHECK_NONE;
	server_set_state(pool_server(&pool, 0), SERVER_MAINT, 0, "test");
	server_set_state(pool_server(&pool, 1), SERVER_DOWN, 0, "test");
	assert_int_equal(pool_pick(&pool), 2);
	server_set_state(pool_server(&pool, 2), SERVER_DRAIN, 0, "test");
	assert_int_equal(pool_pick(&pool), 1);
	server_set_state(pool_server(&pool, 1), SERVER_GONE, 0, "test");
	pool.ask.tried_n = 0;
	assert_int_equal(lb_pick(&pool.ask, &member), LB_NONE);
	pool_free(&pool);
}

static void nobody_is_picked_when_all_are_down(void **state)
{
	(void)state;
	for (int balance = 0; balance < BALANCE_N; balance++) {
		struct pool pool;
		struct srvset_member *member;

		pool_make(&pool, (enum balance_kind)balance, NULL, 20);
		for (uint32_t i = 0; i < 20; i++)
			server_set_state(pool_server(&pool, i), 1u << i % 4, 0, "test");
		assert_int_equal(lb_pick(&pool.ask, &member), LB_NONE);
		assert_false(lb_has_ready(pool.set));
		server_set_state(pool_server(&pool, 7), 0, 15, "test");
		assert_true(lb_has_ready(pool.set));
		assert_int_equal(pool_pick(&pool), 7);
		pool_free(&pool);
	}
}

static void an_empty_set_picks_nobody(void **state)
{
	(void)state;
	for (int balance = 0; balance < BALANCE_N; balance++) {
		struct pool pool;
		struct srvset_member *member;

		pool_make(&pool, (enum balance_kind)balance, NULL, 0);
		pool.ask.has_key = true;
		assert_int_equal(lb_pick(&pool.ask, &member), LB_NONE);
		assert_null(lb_by_hash(pool.set, 1));
		pool_free(&pool);
	}
}

static void tried_members_are_not_picked_again(void **state)
{
	(void)state;
	for (int balance = 0; balance < BALANCE_N; balance++) {
		struct pool pool;
		struct srvset_member *member;
		unsigned seen = 0;

		pool_make(&pool, (enum balance_kind)balance, NULL, 4);
		pool.ask.has_key = true;
		for (int i = 0; i < 4; i++) {
			assert_int_equal(lb_pick(&pool.ask, &member), LB_PICKED);
			server_release_slot(member->server);
			seen |= 1u << (member - pool.set->members);
		}
		assert_int_equal(seen, 15);
		assert_int_equal(lb_pick(&pool.ask, &member), LB_NONE);
		pool.ask.tried_n = 0;
		assert_int_equal(lb_pick(&pool.ask, &member), LB_PICKED);
		server_release_slot(member->server);
		pool_free(&pool);
	}
}

static void full_is_told_from_none(void **state)
{
	(void)state;
	for (int balance = 0; balance < BALANCE_N; balance++) {
		struct pool pool;
		struct srvset_member *member;

		pool_make(&pool, (enum balance_kind)balance,
			  MEMBERS({ 100, 2 }, { 100, 1 }, { 100, 9, true }), 3);
		pool.ask.has_key = true;
		for (int i = 0; i < 3; i++) {
			pool.ask.tried_n = 0;
			assert_int_equal(lb_pick(&pool.ask, &member), LB_PICKED);
			assert_false(member->is_backup);
		}
		pool.ask.tried_n = 0;
		assert_int_equal(lb_pick(&pool.ask, &member), LB_FULL);
		assert_int_equal(atomic_load(&pool_server(&pool, 0)->used), 2);
		assert_int_equal(atomic_load(&pool_server(&pool, 1)->used), 1);
		server_set_state(pool_server(&pool, 0), SERVER_DOWN, 0, "test");
		server_set_state(pool_server(&pool, 1), SERVER_DRAIN, 0, "test");
		assert_int_equal(lb_pick(&pool.ask, &member), LB_PICKED);
		assert_true(member->is_backup);
		pool_free(&pool);
	}
}

static void backup_serves_only_when_no_other_is_ready(void **state)
{
	(void)state;
	for (int balance = 0; balance < BALANCE_N; balance++) {
		struct pool pool;
		uint32_t counts[3];

		pool_make(&pool, (enum balance_kind)balance,
			  MEMBERS({ 100, 0, true }, { 100 }, { 100 }), 3);
		pool.ask.has_key = true;
		count_picks(&pool, 200, counts);
		assert_int_equal(counts[0], 0);
		server_set_state(pool_server(&pool, 1), SERVER_DOWN, 0, "test");
		server_set_state(pool_server(&pool, 2), SERVER_MAINT, 0, "test");
		count_picks(&pool, 50, counts);
		assert_int_equal(counts[0], 50);
		pool_free(&pool);
	}
}

static void least_conn_fills_by_weight(void **state)
{
	struct pool pool;
	struct srvset_member *member;

	(void)state;
	pool_make(&pool, BALANCE_LEAST_CONN, MEMBERS({ 100 }, { 200 }, { 300 }), 3);
	for (int i = 0; i < 600; i++) {
		pool.ask.tried_n = 0;
		assert_int_equal(lb_pick(&pool.ask, &member), LB_PICKED);
	}
	assert_in_range(atomic_load(&pool_server(&pool, 0)->used), 99, 101);
	assert_in_range(atomic_load(&pool_server(&pool, 1)->used), 199, 201);
	assert_in_range(atomic_load(&pool_server(&pool, 2)->used), 299, 301);
	pool_free(&pool);
}

static void least_sessions_looks_at_sessions_not_connections(void **state)
{
	struct pool pool;

	(void)state;
	pool_make(&pool, BALANCE_LEAST_SESSIONS, NULL, 3);
	for (int i = 0; i < 3; i++)
		atomic_store(&pool_server(&pool, (uint32_t)i)->sessions, 10 + (unsigned)i);
	atomic_store(&pool_server(&pool, 0)->used, 500);
	assert_int_equal(pool_pick(&pool), 0);
	atomic_store(&pool_server(&pool, 0)->sessions, 11); /* a tie: fewer slots used wins */
	assert_int_equal(pool_pick(&pool), 1);
	pool_free(&pool);
}

static void least_sessions_counts_handshakes_under_way(void **state)
{
	struct pool pool;
	uint32_t counts[4];

	(void)state;
	pool_make(&pool, BALANCE_LEAST_SESSIONS, NULL, 4);
	memset(counts, 0, sizeof(counts));
	for (int i = 0; i < 400; i++) { /* a burst: no answer has come yet */
		int at = pool_pick(&pool);

		lb_pending_add(pool_server(&pool, (uint32_t)at), 1);
		counts[at]++;
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(counts[i], 100);
		lb_pending_add(pool_server(&pool, (uint32_t)i), -100);
		assert_int_equal(lb_pending(pool_server(&pool, (uint32_t)i)), 0);
	}
	pool_free(&pool);
}

static void equals_are_chosen_at_random(void **state)
{
	struct pool pool;
	uint32_t counts[4];

	(void)state;
	lb_random_seed(42);
	pool_make(&pool, BALANCE_LEAST_SESSIONS, NULL, 4);
	count_picks(&pool, 4000, counts);
	for (int i = 0; i < 4; i++)
		assert_in_range(counts[i], 850, 1150);
	pool_free(&pool);
}

/* Two choices keep the fullest near the mean where one choice would not. */
static void two_choices_are_nearly_even(void **state)
{
	static const enum balance_kind kinds[] = { BALANCE_RANDOM, BALANCE_LEAST_CONN };
	(void)state;
	lb_random_seed(7);
	for (size_t k = 0; k < ARRAY_N(kinds); k++) {
		struct pool pool;
		struct srvset_member *member;

		pool_make(&pool, kinds[k], NULL, 100);
		for (int i = 0; i < 10000; i++) {
			pool.ask.tried_n = 0;
			assert_int_equal(lb_pick(&pool.ask, &member), LB_PICKED);
		}
		for (uint32_t i = 0; i < 100; i++)
			assert_in_range(atomic_load(&pool_server(&pool, i)->used), 94, 106);
		pool_free(&pool);
	}
}

static void first_fills_in_order(void **state)
{
	struct pool pool;
	struct srvset_member *member;

	(void)state;
	pool_make(&pool, BALANCE_FIRST, MEMBERS({ 1, 2 }, { 100, 2 }, { 100, 2 }), 3);
	for (int i = 0; i < 6; i++) {
		pool.ask.tried_n = 0;
		assert_int_equal(lb_pick(&pool.ask, &member), LB_PICKED);
		assert_int_equal(member - pool.set->members, i / 2);
	}
	pool_free(&pool);
}

static void hash_without_a_key_goes_by_random(void **state)
{
	struct pool pool;
	uint32_t counts[4];

	(void)state;
	lb_random_seed(3);
	pool_make(&pool, BALANCE_HASH, NULL, 4);
	count_picks(&pool, 4000, counts);
	for (int i = 0; i < 4; i++)
		assert_true(counts[i] > 800);
	pool_free(&pool);
}

static void take_tells_own_sessions_from_new_ones(void **state)
{
	struct pool pool;
	struct srvset_member *member;

	(void)state;
	pool_make(&pool, BALANCE_FIRST, MEMBERS({ 100, 1 }, { 0 }), 2);
	member = &pool.set->members[0];
	assert_int_equal(lb_take(&pool.ask, member, false), LB_PICKED);
	assert_int_equal(lb_take(&pool.ask, member, false), LB_FULL);
	server_release_slot(member->server);
	server_set_state(member->server, SERVER_DRAIN, 0, "test");
	assert_int_equal(lb_take(&pool.ask, member, false), LB_NONE);
	assert_int_equal(lb_take(&pool.ask, member, true), LB_PICKED);
	server_set_state(member->server, SERVER_DOWN, 0, "test");
	assert_int_equal(lb_take(&pool.ask, member, true), LB_NONE);
	assert_int_equal(lb_take(&pool.ask, &pool.set->members[1], false), LB_NONE);
	assert_int_equal(lb_take(&pool.ask, &pool.set->members[1], true), LB_PICKED);
	pool_free(&pool);
}

/* What no strategy may ever do, whatever the states: 1000 seeded runs. */
static void check_pick(struct pool *pool, uint64_t seed)
{
	struct srvset_member *member = NULL;
	bool has_primary = false, has_backup = false, has_slot = false;
	enum lb_result result, want;

	for (uint32_t i = 0; i < pool->set->members_n; i++) {
		const struct srvset_member *m = &pool->set->members[i];
		bool is_ready = server_state(m->server) == 0 && m->weight;

		has_primary |= is_ready && !m->is_backup;
		has_backup |= is_ready && m->is_backup;
	}
	for (uint32_t i = 0; i < pool->set->members_n; i++) {
		const struct srvset_member *m = &pool->set->members[i];

		has_slot |=
			server_state(m->server) == 0 && m->weight && m->is_backup == !has_primary &&
			(!m->max_connections || atomic_load(&m->server->used) < m->max_connections);
	}
	pool->ask.tried_n = 0;
	result = lb_pick(&pool->ask, &member);
	want = has_slot ? LB_PICKED : has_primary || has_backup ? LB_FULL : LB_NONE;
	if (result != want)
		print_message("# seed %llu\n", (unsigned long long)seed);
	assert_int_equal(result, want);
	if (result != LB_PICKED)
		return;
	assert_int_equal(server_state(member->server), 0);
	assert_true(member->weight > 0);
	assert_int_equal(member->is_backup, !has_primary);
	assert_true(!member->max_connections ||
		    atomic_load(&member->server->used) <= member->max_connections);
}

static void filter_holds_for_every_strategy_and_state(void **state)
{
	struct pool_member members[100];

	(void)state;
	for (uint64_t seed = 1; seed <= 1000; seed++) {
		struct pool pool;
		uint32_t n;

		lb_random_seed(seed);
		n = 1 + (uint32_t)(lb_random() % (seed % 10 ? 8 : 100));
		for (uint32_t i = 0; i < n; i++)
			members[i] = (struct pool_member){
				.weight = (uint32_t)(lb_random() % 5) * 50,
				.max_connections = (uint32_t)(lb_random() % 4),
				.is_backup = lb_random() % 3 == 0,
			};
		pool_make(&pool, (enum balance_kind)(seed % BALANCE_N), members, n);
		for (int step = 0; step < 40; step++) {
			uint32_t at = (uint32_t)(lb_random() % n);

			pool.ask.has_key = lb_random() % 2;
			pool.ask.key_hash = lb_random();
			if (lb_random() % 2)
				server_set_state(pool_server(&pool, at), 1u << lb_random() % 4, 0,
						 "test");
			else
				server_set_state(pool_server(&pool, at), 0, 15, "test");
			check_pick(&pool, seed);
		}
		pool_free(&pool);
	}
}

static void keys_and_addresses_hash_the_same_everywhere(void **state)
{
	struct ip_addr a, b;

	(void)state;
	/* From OpenSSL's SIPHASH: a node that is upgraded must agree with one that is not. */
	assert_int_equal(lb_key_hash(STR("limpet")), 0x553c18552ac8c159u);
	assert_int_equal(ip_addr_parse(STR("10.1.2.3"), &a), 0);
	assert_int_equal(lb_ip_hash(&a, 32, 64), 0x893338d1a5cf6fdeu);
	b = a;
	b.port = 99;
	assert_int_equal(lb_ip_hash(&a, 32, 64), lb_ip_hash(&b, 32, 64));
	assert_int_equal(ip_addr_parse(STR("10.1.2.4"), &b), 0);
	assert_true(lb_ip_hash(&a, 32, 64) != lb_ip_hash(&b, 32, 64));
	assert_int_equal(lb_ip_hash(&a, 24, 64), lb_ip_hash(&b, 24, 64));
	assert_int_equal(ip_addr_parse(STR("2001:db8::1"), &a), 0);
	assert_int_equal(ip_addr_parse(STR("2001:db8::ffff:1"), &b), 0);
	assert_int_equal(lb_ip_hash(&a, 32, 64), lb_ip_hash(&b, 32, 64));
	assert_true(lb_ip_hash(&a, 32, 128) != lb_ip_hash(&b, 32, 128));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_robin_follows_weights_exactly),
		cmocka_unit_test(round_robin_is_smooth),
		cmocka_unit_test(round_robin_stays_even_when_one_is_down),
		cmocka_unit_test(round_robin_takes_diverse_weights),
		cmocka_unit_test(weight_zero_gets_nothing),
		cmocka_unit_test(without_checks_a_server_that_is_down_is_the_last_resort),
		cmocka_unit_test(nobody_is_picked_when_all_are_down),
		cmocka_unit_test(an_empty_set_picks_nobody),
		cmocka_unit_test(tried_members_are_not_picked_again),
		cmocka_unit_test(full_is_told_from_none),
		cmocka_unit_test(backup_serves_only_when_no_other_is_ready),
		cmocka_unit_test(least_conn_fills_by_weight),
		cmocka_unit_test(least_sessions_looks_at_sessions_not_connections),
		cmocka_unit_test(least_sessions_counts_handshakes_under_way),
		cmocka_unit_test(equals_are_chosen_at_random),
		cmocka_unit_test(two_choices_are_nearly_even),
		cmocka_unit_test(first_fills_in_order),
		cmocka_unit_test(hash_without_a_key_goes_by_random),
		cmocka_unit_test(take_tells_own_sessions_from_new_ones),
		cmocka_unit_test(filter_holds_for_every_strategy_and_state),
		cmocka_unit_test(keys_and_addresses_hash_the_same_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
