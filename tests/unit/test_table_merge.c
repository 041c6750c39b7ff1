/* SPDX-License-Identifier: MIT */
/* A shared table: what it makes of answers and of other nodes' records. */
#include "config.h"

#include <pthread.h>

#include "table_share_fixture.h"

/*
 * Answers.
 */
static void an_answer_to_an_older_proposal_changes_nothing(void **state)
{
	struct rig *rig = *state;
	struct table_record first, second, stored;

	put(rig, 1);
	first = collect(rig);
	put(rig, 2);
	assert_int_equal(table_settle(rig->table, &first, NULL), MERGE_IGNORED);
	assert_int_equal(table_dirty_n(rig->table), 1);
	second = collect(rig);
	stored = record(rig, 0, newer());
	assert_int_equal(table_settle(rig->table, &first, &stored), MERGE_IGNORED);
	assert_int_equal(found(rig), 2);
	assert_int_equal(table_settle(rig->table, &second, NULL), MERGE_SAME);
	assert_int_equal(found(rig), 2);
}

static void the_first_writer_wins_even_with_an_older_version(void **state)
{
	struct rig *rig = *state;
	struct table_record stored = record(rig, 2, newer()), proposal, now;

	put(rig, 1);
	proposal = collect(rig);
	assert_true(stored.version < proposal.version);
	assert_int_equal(table_settle(rig->table, &proposal, &stored), MERGE_TAKEN);
	assert_int_equal(found(rig), 2);
	assert_int_equal(table_dirty_n(rig->table), 0);
	assert_true(table_record(rig->table, &rig->key, &now));
	assert_int_equal(now.version, stored.version);
	assert_int_equal(sessions(rig, 1), 0);
	assert_int_equal(sessions(rig, 2), 1);
}

static void the_first_writer_loses_when_his_server_cannot_serve(void **state)
{
	struct rig *rig = *state;
	struct table_record stored = record(rig, 2, newer()), proposal, again;

	put(rig, 1);
	proposal = collect(rig);
	server_set_state(server_of(rig, 2), SERVER_DOWN, 0, "test");
	assert_int_equal(table_settle(rig->table, &proposal, &stored), MERGE_PROPOSED);
	assert_int_equal(found(rig), 1);
	again = collect(rig);
	assert_int_equal(again.change, RECORD_SET);
	assert_true(again.version > proposal.version && again.version > stored.version);
	assert_int_equal(sessions(rig, 1), 1);
	assert_int_equal(sessions(rig, 2), 0);
	server_set_state(server_of(rig, 2), 0, SERVER_DOWN, "test");
}

static void a_drop_that_lost_brings_the_entry_back(void **state)
{
	struct rig *rig = *state;
	struct table_record proposal, stored;

	put(rig, 1);
	settle(rig);
	table_drop(rig->table, &rig->key);
	proposal = collect(rig);
	stored = record(rig, 2, newer());
	assert_int_equal(table_settle(rig->table, &proposal, &stored), MERGE_TAKEN);
	assert_int_equal(found(rig), 2);
	assert_int_equal(sessions(rig, 2), 1);
}

static void no_answer_means_that_it_is_proposed_again(void **state)
{
	struct rig *rig = *state;
	struct table_record proposal;

	put(rig, 1);
	proposal = collect(rig);
	table_unsettle(rig->table, &proposal, false);
	assert_int_equal(collect(rig).change, RECORD_ASSIGN);
	assert_int_equal(rig->records[0].version, proposal.version);
	table_settle(rig->table, &proposal, NULL);
	table_drop(rig->table, &rig->key);
	table_unsettle(rig->table, &proposal, false); /* of before: nothing */
	proposal = collect(rig);
	table_unsettle(rig->table, &proposal, false);
	assert_int_equal(collect(rig).change, RECORD_DROP);
}

static void a_refresh_of_nothing_becomes_an_assign(void **state)
{
	struct rig *rig = *state;
	struct table_value value;
	struct table_record proposal;

	put(rig, 1);
	settle(rig);
	clock_set_ms(START_MS + IDLE_MS * 3 / 4);
	table_touch(rig->table, &rig->key, &value);
	proposal = collect(rig);
	assert_int_equal(proposal.change, RECORD_REFRESH);
	table_unsettle(rig->table, &proposal, true);
	assert_int_equal(collect(rig).change, RECORD_ASSIGN);
}

/* A replica that had less became the master. */
static void a_refresh_that_meets_something_older_is_proposed_as_a_set(void **state)
{
	struct rig *rig = *state;
	struct table_record stored = record(rig, 2, newer()), proposal;
	struct table_value value;

	put(rig, 1);
	settle(rig);
	clock_set_ms(START_MS + IDLE_MS * 3 / 4);
	table_touch(rig->table, &rig->key, &value);
	proposal = collect(rig);
	assert_int_equal(table_settle(rig->table, &proposal, &stored), MERGE_PROPOSED);
	assert_int_equal(found(rig), 1);
	assert_int_equal(collect(rig).change, RECORD_SET);
	assert_int_equal(rig->records[0].version, proposal.version);
}

/*
 * Other nodes' records.
 */
static void a_record_of_an_unknown_key_is_taken_and_counted(void **state)
{
	struct rig *rig = *state;
	struct table_record theirs = record(rig, 1, newer());
	struct table_value value;

	theirs.left_ms = 5000;
	assert_int_equal(table_merge(rig->table, &theirs, MERGE_STREAM), MERGE_TAKEN);
	assert_true(table_find(rig->table, &rig->key, &value));
	assert_int_equal(value.expires_in_ms, 5000);
	assert_int_equal(sessions(rig, 1), 1);
	assert_int_equal(table_dirty_n(rig->table), 0);
	assert_int_equal(table_merge(rig->table, &theirs, MERGE_STREAM), MERGE_SAME);
	assert_int_equal(sessions(rig, 1), 1);
	theirs.left_ms = 9000;
	assert_int_equal(table_merge(rig->table, &theirs, MERGE_STREAM), MERGE_SAME);
	assert_true(table_find(rig->table, &rig->key, &value));
	assert_int_equal(value.expires_in_ms, 9000);
	clock_set_ms(START_MS + 9000);
	assert_int_equal(found(rig), -1);
	assert_int_equal(sessions(rig, 1), 0);
}

static void a_newer_record_replaces_and_keeps_the_opens(void **state)
{
	struct rig *rig = *state;
	struct table_record theirs;
	struct table_value value;

	put(rig, 1);
	settle(rig);
	assert_true(table_open(rig->table, &rig->key, &value));
	theirs = record(rig, 2, newer());
	assert_int_equal(table_merge(rig->table, &theirs, MERGE_STREAM), MERGE_TAKEN);
	assert_true(table_find(rig->table, &rig->key, &value));
	assert_int_equal(value.opens, 1);
	assert_int_equal(sessions(rig, 1), 0);
	assert_int_equal(sessions(rig, 2), 1);
	theirs.version = newer();
	theirs.state = RECORD_DEAD;
	assert_int_equal(table_merge(rig->table, &theirs, MERGE_STREAM), MERGE_TAKEN);
	assert_int_equal(sessions(rig, 2), 0);
	assert_true(table_record(rig->table, &rig->key, &theirs));
	assert_int_equal(theirs.state, RECORD_DEAD);
	table_close(rig->table, &rig->key);
	assert_true(table_is_sane(rig->table));
}

static void a_tombstone_ends_the_entry_and_keeps_older_copies_out(void **state)
{
	struct rig *rig = *state;
	struct table_record older = record(rig, 1, newer()), tomb = record(rig, 1, newer());
	struct table_value value;

	tomb.state = RECORD_TOMB;
	tomb.server = SERVER_NONE;
	assert_int_equal(table_merge(rig->table, &older, MERGE_STREAM), MERGE_TAKEN);
	assert_true(table_open(rig->table, &rig->key, &value));
	assert_int_equal(table_merge(rig->table, &tomb, MERGE_STREAM), MERGE_TAKEN);
	assert_int_equal(found(rig), -1);
	assert_int_equal(sessions(rig, 1), 0);
	table_close(rig->table, &rig->key);
	assert_true(table_is_sane(rig->table));
	/* If Redis has only the older one it hears of the end. */
	assert_int_equal(table_merge(rig->table, &older, MERGE_STREAM), MERGE_PROPOSED);
	assert_int_equal(found(rig), -1);
	assert_int_equal(collect(rig).change, RECORD_DROP);
	assert_int_equal(rig->records[0].version, tomb.version);
}

static void a_tombstone_of_an_unknown_key_is_kept(void **state)
{
	struct rig *rig = *state;
	struct table_record older = record(rig, 1, newer()), tomb = record(rig, 1, newer());

	tomb.state = RECORD_TOMB;
	tomb.server = SERVER_NONE;
	assert_int_equal(table_merge(rig->table, &tomb, MERGE_STREAM), MERGE_TAKEN);
	assert_int_equal(table_merge(rig->table, &older, MERGE_STREAM), MERGE_PROPOSED);
	assert_int_equal(stats(rig).entries, 0);
	assert_int_equal(stats(rig).tombs, 1);
}

static void a_proposal_under_way_is_not_overwritten_by_the_stream(void **state)
{
	struct rig *rig = *state;
	struct table_record theirs, proposal;

	put(rig, 1);
	theirs = record(rig, 2, newer());
	assert_int_equal(table_merge(rig->table, &theirs, MERGE_STREAM), MERGE_IGNORED);
	proposal = collect(rig);
	assert_int_equal(table_merge(rig->table, &theirs, MERGE_STREAM), MERGE_IGNORED);
	assert_int_equal(found(rig), 1);
	table_settle(rig->table, &proposal, NULL);
	/* Accepted before or after THEIRS?  Redis is asked once more. */
	proposal = collect(rig);
	assert_int_equal(proposal.change, RECORD_REFRESH);
	assert_int_equal(table_settle(rig->table, &proposal, &theirs), MERGE_TAKEN);
	assert_int_equal(found(rig), 2);
	assert_int_equal(table_dirty_n(rig->table), 0);
}

static void strange_records_are_refused(void **state)
{
	struct rig *rig = *state;
	struct table_record good = record(rig, 1, newer()), bad = good;

	bad.version = 0;
	assert_int_equal(table_merge(rig->table, &bad, MERGE_STORED), MERGE_REFUSED);
	bad.version = UINT64_MAX;
	assert_int_equal(table_merge(rig->table, &bad, MERGE_STORED), MERGE_REFUSED);
	bad = good;
	bad.server = 65000;
	assert_int_equal(table_merge(rig->table, &bad, MERGE_STORED), MERGE_REFUSED);
	bad = good;
	bad.left_ms = 0;
	assert_int_equal(table_merge(rig->table, &bad, MERGE_STORED), MERGE_REFUSED);
	bad = good;
	bad.key.len = 17;
	assert_int_equal(table_merge(rig->table, &bad, MERGE_STORED), MERGE_REFUSED);
	assert_int_equal(found(rig), -1);
	put(rig, 1);
	bad = good;
	bad.version = UINT64_MAX;
	good = collect(rig);
	assert_int_equal(table_settle(rig->table, &good, &bad), MERGE_REFUSED);
	assert_int_equal(found(rig), 1);
	assert_int_equal(table_dirty_n(rig->table), 0);
}

/*
 * Threads: traffic, and a control thread that collects, answers and merges.
 */
#define THREADS 3
#define KEYS    300

static _Atomic bool is_over;
static _Atomic int64_t passed_ms; /* the threads' clocks differ by a little */

static void stress_once(struct rig *rig, uint32_t i)
{
	struct table_value value;

	switch (i % 7) {
	case 0:
	case 1:
		put_any_time(rig, (uint32_t)(lb_random() % 3));
		break;
	case 2:
		table_drop(rig->table, &rig->key);
		break;
	case 3:
		table_touch(rig->table, &rig->key, &value);
		break;
	default:
		if (table_open(rig->table, &rig->key, &value))
			table_close(rig->table, &rig->key);
	}
}

static void *stress(void *arg)
{
	struct rig mine = *(struct rig *)arg;

	for (uint32_t i = 0; i < 3000; i++) {
		char text[16];

		clock_set_ms(START_MS + atomic_fetch_add(&passed_ms, 10));
		snprintf(text, sizeof(text), "%u", (unsigned)(lb_random() % KEYS));
		mine.key = table_key(mine.table, str_of(text));
		stress_once(&mine, (uint32_t)lb_random());
	}
	return NULL;
}

static void answer_some(struct rig *rig, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct table_record stored;

		rig->key = rig->records[i].key;
		stored = record(rig, i % 3, newer());
		if (i % 4 == 3)
			table_unsettle(rig->table, &rig->records[i], false);
		else
			table_settle(rig->table, &rig->records[i], i % 4 == 2 ? &stored : NULL);
		stored.version = newer();
		table_merge(rig->table, &stored, i % 2 ? MERGE_STREAM : MERGE_STORED);
	}
}

static void *control(void *arg)
{
	struct rig mine = *(struct rig *)arg;

	for (int64_t i = 0; !atomic_load(&is_over); i++) {
		clock_set_ms(START_MS + atomic_load(&passed_ms));
		answer_some(&mine, table_collect(mine.table, MAX, mine.records));
		table_refresh_open(mine.table, 100);
		table_expire(mine.table, 100);
		if (i % 64 == 0)
			table_propose_all(mine.table);
	}
	return NULL;
}

static void threads_may_change_and_merge_at_once(void **state)
{
	struct rig *rig = *state;
	pthread_t threads[THREADS], controller;

	atomic_store(&is_over, false);
	atomic_store(&passed_ms, 0);
	assert_int_equal(pthread_create(&controller, NULL, control, rig), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, stress, rig), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&is_over, true);
	pthread_join(controller, NULL);
	clock_set_ms(START_MS + atomic_load(&passed_ms));
	assert_true(table_is_sane(rig->table));
	assert_int_equal(sessions(rig, 0) + sessions(rig, 1) + sessions(rig, 2),
			 stats(rig).entries);
	table_clear(rig->table);
	assert_int_equal(sessions(rig, 0) + sessions(rig, 1) + sessions(rig, 2), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(an_answer_to_an_older_proposal_changes_nothing),
		TEST(the_first_writer_wins_even_with_an_older_version),
		TEST(the_first_writer_loses_when_his_server_cannot_serve),
		TEST(a_drop_that_lost_brings_the_entry_back),
		TEST(no_answer_means_that_it_is_proposed_again),
		TEST(a_refresh_of_nothing_becomes_an_assign),
		TEST(a_refresh_that_meets_something_older_is_proposed_as_a_set),
		TEST(a_record_of_an_unknown_key_is_taken_and_counted),
		TEST(a_newer_record_replaces_and_keeps_the_opens),
		TEST(a_tombstone_ends_the_entry_and_keeps_older_copies_out),
		TEST(a_tombstone_of_an_unknown_key_is_kept),
		TEST(a_proposal_under_way_is_not_overwritten_by_the_stream),
		TEST(strange_records_are_refused),
		TEST(threads_may_change_and_merge_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
