/* SPDX-License-Identifier: MIT */
/* A shared table: what it proposes. */
#include "config.h"

#include "table_share_fixture.h"

/*
 * Proposals.
 */
static void what_is_new_is_proposed_as_an_assign_once(void **state)
{
	struct rig *rig = *state;
	struct table_record proposal;

	assert_int_equal(put(rig, 1), TABLE_PUT_NEW);
	assert_int_equal(woken, 1);
	proposal = collect(rig);
	assert_int_equal(proposal.change, RECORD_ASSIGN);
	assert_int_equal(proposal.state, RECORD_LIVE);
	assert_int_equal(proposal.server, server_of(rig, 1)->number);
	assert_int_equal(proposal.idle_ms, IDLE_MS);
	assert_int_equal(proposal.left_ms, IDLE_MS);
	assert_true(proposal.version);
	assert_true(table_key_eq(&proposal.key, &rig->key));
	assert_int_equal(proposal.key.hash, rig->key.hash);
	assert_int_equal(table_settle(rig->table, &proposal, NULL), MERGE_SAME);
	assert_int_equal(put(rig, 1), TABLE_PUT_SAME);
	assert_int_equal(table_dirty_n(rig->table), 0);
	assert_int_equal(woken, 1);
}

static void another_server_and_a_retired_session_are_sets_with_newer_versions(void **state)
{
	struct rig *rig = *state;
	struct table_record proposal;
	struct table_value only = { .server = server_of(rig, 2)->number,
				    .generation = server_generation(server_of(rig, 2)) };
	uint64_t before;

	put(rig, 1);
	before = collect(rig).version;
	assert_int_equal(put(rig, 2), TABLE_PUT_CHANGED);
	proposal = collect(rig);
	assert_int_equal(proposal.change, RECORD_SET);
	assert_true(proposal.version > before);
	before = proposal.version;
	assert_true(table_retire(rig->table, &rig->key, &only));
	proposal = collect(rig);
	assert_int_equal(proposal.change, RECORD_SET);
	assert_int_equal(proposal.state, RECORD_DEAD);
	assert_true(proposal.version > before);
	assert_int_equal(sessions(rig, 1) + sessions(rig, 2), 0);
}

static void a_use_is_told_when_half_of_the_lifetime_is_over_and_not_before(void **state)
{
	struct rig *rig = *state;
	struct table_value value;
	struct table_record proposal;

	put(rig, 1);
	settle(rig);
	clock_set_ms(START_MS + IDLE_MS / 2);
	assert_true(table_touch(rig->table, &rig->key, &value));
	assert_int_equal(table_dirty_n(rig->table), 0);
	clock_set_ms(START_MS + IDLE_MS / 2 + IDLE_MS / 32);
	assert_true(table_open(rig->table, &rig->key, &value));
	assert_int_equal(table_dirty_n(rig->table), 0); /* its end is what counts */
	table_close(rig->table, &rig->key);
	proposal = collect(rig);
	assert_int_equal(proposal.change, RECORD_REFRESH);
	assert_int_equal(proposal.left_ms, IDLE_MS);
	table_touch(rig->table, &rig->key, &value); /* under way: not again */
	assert_int_equal(table_dirty_n(rig->table), 0);
	assert_int_equal(table_settle(rig->table, &proposal, NULL), MERGE_SAME);
	table_touch(rig->table, &rig->key, &value);
	assert_int_equal(table_dirty_n(rig->table), 0);
}

static void what_is_held_open_is_refreshed_without_a_use(void **state)
{
	struct rig *rig = *state;
	struct table_value value;

	put(rig, 1);
	settle(rig);
	assert_true(table_open(rig->table, &rig->key, &value));
	table_refresh_open(rig->table, 1000);
	assert_int_equal(table_dirty_n(rig->table), 0);
	for (int i = 1; i < 50; i++) {
		clock_set_ms(START_MS + i * (int64_t)IDLE_MS * 9 / 16);
		table_refresh_open(rig->table, 1000);
		assert_int_equal(collect(rig).change, RECORD_REFRESH);
		assert_int_equal(table_settle(rig->table, &rig->records[0], NULL), MERGE_SAME);
	}
	assert_int_equal(found(rig), 1);
}

static void a_deleted_entry_is_absent_and_told_as_a_tombstone(void **state)
{
	struct rig *rig = *state;
	struct table_value value;
	struct table_record proposal;
	uint64_t assigned;

	put(rig, 1);
	assigned = collect(rig).version;
	clock_set_ms(START_MS + 4000);
	assert_true(table_drop(rig->table, &rig->key));
	assert_int_equal(found(rig), -1);
	assert_false(table_open(rig->table, &rig->key, &value));
	assert_false(table_touch(rig->table, &rig->key, &value));
	assert_false(table_drop(rig->table, &rig->key));
	assert_int_equal(stats(rig).entries, 0);
	assert_int_equal(stats(rig).tombs, 1);
	assert_int_equal(sessions(rig, 1), 0);
	proposal = collect(rig);
	assert_int_equal(proposal.change, RECORD_DROP);
	assert_int_equal(proposal.state, RECORD_TOMB);
	assert_int_equal(proposal.server, SERVER_NONE);
	assert_int_equal(proposal.left_ms, IDLE_MS - 4000);
	assert_true(proposal.version > assigned);
	clock_set_ms(START_MS + IDLE_MS + 3000);
	table_expire(rig->table, 100);
	assert_int_equal(stats(rig).tombs, 0);
}

static void an_entry_that_was_almost_over_leaves_a_tombstone_for_a_second(void **state)
{
	struct rig *rig = *state;

	put(rig, 1);
	clock_set_ms(START_MS + IDLE_MS - 1);
	assert_true(table_drop(rig->table, &rig->key));
	assert_int_equal(collect(rig).left_ms, 1000);
}

static void what_comes_after_a_tombstone_is_new_and_newer(void **state)
{
	struct rig *rig = *state;
	struct table_record dropped, again;

	put(rig, 1);
	settle(rig);
	table_drop(rig->table, &rig->key);
	dropped = collect(rig);
	table_settle(rig->table, &dropped, NULL);
	assert_int_equal(put(rig, 2), TABLE_PUT_NEW);
	assert_int_equal(found(rig), 2);
	again = collect(rig);
	assert_int_equal(again.change, RECORD_ASSIGN);
	assert_true(again.version > dropped.version);
	assert_int_equal(stats(rig).tombs, 0);
	/* Redis has not heard of this one: an ASSIGN would meet what was deleted. */
	table_drop(rig->table, &rig->key);
	put(rig, 1);
	assert_int_equal(collect(rig).change, RECORD_SET);
	assert_int_equal(sessions(rig, 1), 1);
	assert_int_equal(sessions(rig, 2), 0);
}

static void clearing_a_shared_table_leaves_tombstones_and_unsharing_takes_them(void **state)
{
	struct rig *rig = *state;

	for (int i = 0; i < 100; i++) {
		struct table_value value = { .server = server_of(rig, 0)->number,
					     .idle_ms = IDLE_MS };
		char text[16];
		struct table_key key;

		snprintf(text, sizeof(text), "k%d", i);
		key = table_key(rig->table, str_of(text));
		table_put(rig->table, &key, &value, NULL);
	}
	table_clear(rig->table);
	assert_true(table_is_sane(rig->table));
	assert_int_equal(stats(rig).entries, 0);
	assert_int_equal(stats(rig).tombs, 100);
	assert_int_equal(table_dirty_n(rig->table), 100);
	table_share(rig->table, false);
	assert_true(table_is_sane(rig->table));
	assert_int_equal(stats(rig).tombs, 0);
	assert_int_equal(table_dirty_n(rig->table), 0);
	put(rig, 1);
	table_drop(rig->table, &rig->key);
	assert_int_equal(stats(rig).tombs + table_dirty_n(rig->table), 0);
}

static void sharing_proposes_what_is_there_and_restored_entries_get_versions(void **state)
{
	struct rig *rig = *state;
	struct table_value value = { .server = server_of(rig, 1)->number,
				     .idle_ms = IDLE_MS,
				     .expires_in_ms = 7000 };
	struct table_record proposal;

	table_share(rig->table, false);
	put(rig, 1);
	assert_int_equal(table_dirty_n(rig->table), 0);
	table_share(rig->table, true);
	assert_int_equal(collect(rig).change, RECORD_ASSIGN);
	assert_true(rig->records[0].version);
	table_share(rig->table, false);
	table_drop(rig->table, &rig->key);
	table_share(rig->table, true);
	assert_true(table_restore(rig->table, &rig->key, &value));
	assert_true(table_record(rig->table, &rig->key, &proposal));
	assert_int_equal(proposal.version, 0);
	proposal = collect(rig);
	assert_int_equal(proposal.change, RECORD_ASSIGN);
	assert_int_equal(proposal.left_ms, 7000);
	assert_true(proposal.version);
}

static void tombstones_that_were_told_make_room_before_entries(void **state)
{
	struct rig *rig = *state;

	put(rig, 1);
	table_drop(rig->table, &rig->key);
	settle(rig);
	table_set_max(rig->table, 10);
	for (int i = 0; i < 10; i++) {
		struct table_value value = { .server = server_of(rig, 0)->number,
					     .idle_ms = IDLE_MS };
		char text[16];
		struct table_key key;

		snprintf(text, sizeof(text), "k%d", i);
		key = table_key(rig->table, str_of(text));
		table_put(rig->table, &key, &value, NULL);
	}
	assert_true(table_is_sane(rig->table));
	assert_int_equal(stats(rig).entries, 10);
	assert_int_equal(stats(rig).tombs, 0);
	assert_int_equal(stats(rig).evictions, 0);
}

static void what_a_resync_did_not_meet_is_proposed(void **state)
{
	struct rig *rig = *state;
	struct table_record theirs = record(rig, 2, newer());
	struct table_key met = rig->key;

	table_merge(rig->table, &theirs, MERGE_STORED);
	rig->key = table_key(rig->table, STR("another"));
	put(rig, 1);
	settle(rig);
	table_resync_begin(rig->table);
	assert_int_equal(table_merge(rig->table, &theirs, MERGE_STORED), MERGE_SAME);
	table_propose_all(rig->table);
	assert_int_equal(collect(rig).change, RECORD_SET);
	assert_true(table_key_eq(&rig->records[0].key, &rig->key));
	assert_false(table_key_eq(&rig->records[0].key, &met));
	table_settle(rig->table, &rig->records[0], NULL);
	table_propose_all(rig->table); /* Redis was emptied */
	assert_int_equal(table_collect(rig->table, MAX, rig->records), 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_is_new_is_proposed_as_an_assign_once),
		TEST(another_server_and_a_retired_session_are_sets_with_newer_versions),
		TEST(a_use_is_told_when_half_of_the_lifetime_is_over_and_not_before),
		TEST(what_is_held_open_is_refreshed_without_a_use),
		TEST(a_deleted_entry_is_absent_and_told_as_a_tombstone),
		TEST(an_entry_that_was_almost_over_leaves_a_tombstone_for_a_second),
		TEST(what_comes_after_a_tombstone_is_new_and_newer),
		TEST(clearing_a_shared_table_leaves_tombstones_and_unsharing_takes_them),
		TEST(sharing_proposes_what_is_there_and_restored_entries_get_versions),
		TEST(tombstones_that_were_told_make_room_before_entries),
		TEST(what_a_resync_did_not_meet_is_proposed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
