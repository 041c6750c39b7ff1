/* SPDX-License-Identifier: MIT */
/* A shared table whose keys are secrets and whose entries are sessions of three servers. */
#ifndef SHARE_FIXTURE_H
#define SHARE_FIXTURE_H

#include "balance/sessions.h"
#include "balance/table_share.h"
#include "balance/version.h"
#include "balance_fixture.h"
#include "base/clock.h"

#define START_MS SEC(1000)
#define IDLE_MS  64000
#define MAX      64

struct rig {
	struct pool pool;
	struct table *table;
	struct table_record records[MAX]; /* collected last */
	struct table_key key;             /* of "k" */
};

static _Atomic unsigned woken; /* any thread */

static inline void on_dirty(struct table *table)
{
	(void)table;
	woken++;
}

static inline int rig_make(void **state)
{
	struct rig *rig = xcalloc(1, sizeof(*rig));

	clock_set_ms(START_MS);
	version_load(&(struct version_clock){ .node = 1 });
	pool_make(&rig->pool, BALANCE_RANDOM, NULL, 3);
	rig->table = table_new(&(struct table_options){ .name = "chat/engineio",
							.max_entries = 1000,
							.on_gone = sessions_entry_gone,
							.is_secret = true,
							.is_counted = true });
	rig->key = table_key(rig->table, STR("k"));
	table_share(rig->table, true);
	woken = 0;
	atomic_store(&table_dirty_hook, on_dirty);
	*state = rig;
	return 0;
}

static inline int rig_free(void **state)
{
	struct rig *rig = *state;

	atomic_store(&table_dirty_hook, NULL);
	assert_true(table_is_sane(rig->table));
	table_free(rig->table);
	pool_free(&rig->pool);
	free(rig);
	return 0;
}

static inline struct server *server_of(const struct rig *rig, uint32_t i)
{
	return pool_server(&rig->pool, i);
}

static inline unsigned sessions(const struct rig *rig, uint32_t i)
{
	return atomic_load(&server_of(rig, i)->sessions);
}

/* As stick_learn_sid() does it; any thread. */
static inline enum table_put put_any_time(struct rig *rig, uint32_t i)
{
	struct server *server = server_of(rig, i);
	struct table_value value = { .server = server->number,
				     .generation = server_generation(server),
				     .idle_ms = IDLE_MS };
	enum table_put result;

	sessions_up(server);
	result = table_put(rig->table, &rig->key, &value, NULL);
	if (result == TABLE_PUT_SAME)
		sessions_down(server);
	return result;
}

static inline enum table_put put(struct rig *rig, uint32_t i)
{
	enum table_put result = put_any_time(rig, i);

	assert_true(table_is_sane(rig->table));
	return result;
}

/* The one proposal that there is. */
static inline struct table_record collect(struct rig *rig)
{
	assert_int_equal(table_dirty_n(rig->table), 1);
	assert_int_equal(table_collect(rig->table, MAX, rig->records), 1);
	assert_int_equal(table_dirty_n(rig->table), 0);
	assert_true(table_is_sane(rig->table));
	return rig->records[0];
}

static inline void settle(struct rig *rig)
{
	struct table_record proposal = collect(rig);

	assert_int_equal(table_settle(rig->table, &proposal, NULL), MERGE_SAME);
	assert_true(table_is_sane(rig->table));
}

/* A record of another node, for "k". */
static inline struct table_record record(const struct rig *rig, uint32_t i, uint64_t version)
{
	return (struct table_record){ .key = rig->key,
				      .state = RECORD_LIVE,
				      .version = version,
				      .server = server_of(rig, i)->number,
				      .idle_ms = IDLE_MS,
				      .left_ms = IDLE_MS };
}

static inline uint64_t newer(void)
{
	uint64_t version = version_next();

	return (version & ~UINT64_C(0xffff)) | 2;
}

/* Where "k" leads: index of the server, or -1. */
static inline int found(struct rig *rig)
{
	struct table_value value;

	assert_true(table_is_sane(rig->table));
	if (!table_find(rig->table, &rig->key, &value))
		return -1;
	for (int i = 0; i < 3; i++)
		if (server_of(rig, (uint32_t)i)->number == value.server)
			return i;
	fail();
	return -2;
}

static inline struct table_stats stats(struct rig *rig)
{
	struct table_stats stats;

	table_stats(rig->table, &stats);
	return stats;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_make, rig_free)

#endif
