/* SPDX-License-Identifier: MIT */
/*
 * table_inner - a table from within: shards, and what a call does before and after it holds one's
 * mutex.  Private to table*.c.
 */
#ifndef BALANCE_TABLE_INNER_H
#define BALANCE_TABLE_INNER_H

#include "balance/table_shard.h"
#include "balance/table_share.h"
#include "base/clock.h"

#define TABLE_MAGIC 0x5441424cu

struct table {
	unsigned magic;
	uint32_t shards_n; /* (const) power of two */
	const char *name;  /* (view, const) */
	table_gone_fn *on_gone;
	void *arg;
	bool is_secret, is_counted; /* (const) */
	_Atomic bool is_shared;
	int64_t base_ms;      /* (const) clock when made */
	struct shard *shards; /* (own) */
	struct table_index_maps index_maps;
	_Atomic uint32_t max_entries;
	_Atomic uint32_t cells_final; /* per shard; see shard_insert() */
	_Atomic uint32_t count;       /* entries and tombstones */
	_Atomic uint32_t dirty_n, urgent_n;
	_Atomic uint32_t expire_at;  /* shard where table_expire() goes on */
	_Atomic uint32_t collect_at; /* shard where table_collect() goes on */
	_Atomic uint64_t refresh_at; /* cursor of table_refresh_open() */
	_Atomic uint32_t epoch;      /* grows with table_resync_begin(); see table_propose_all() */
	_Atomic bool is_resyncing;
};

static inline int64_t table_now(const struct table *table)
{
	int64_t now = clock_ms() - table->base_ms;

	return now > 0 ? now : 0; /* this thread's clock may be behind that of the maker */
}

static inline struct shard *shard_of(const struct table *table, const struct table_key *key)
{
	return &table->shards[(key->hash >> 32) * table->shards_n >> 32];
}

static inline void table_tell(struct table *table, const struct table_key *key,
			      const struct table_value *value, enum table_change change)
{
	const struct table_follower *follower =
		atomic_load_explicit(&table_follower, memory_order_acquire);

	if (unlikely(follower != NULL))
		follower->changed(table, key, value, change);
}

/* Before the mutex is taken. */
static inline void table_gone_init(const struct table *table, struct shard_gone *gone)
{
	gone->n = gone->left_n = 0;
	gone->is_wanted = table->on_gone != NULL;
	gone->is_woken = false;
}

/* Lets the mutex go, then tells what GONE has collected; entries that left are counted first. */
void table_unlock(struct table *table, struct shard *shard, struct shard_gone *gone);

/* The mutex is held by all of these. */

/* The entry or tombstone of KEY, or NULL; one that has expired is freed on the way. */
struct shard_entry *table_find_any(struct shard *shard, const struct table_key *key, int64_t now,
				   struct shard_gone *gone, uint32_t *cell);
/* The same, but a tombstone is absent. */
static inline struct shard_entry *table_find_live(struct shard *shard, const struct table_key *key,
						  int64_t now, struct shard_gone *gone,
						  uint32_t *cell)
{
	struct shard_entry *entry = table_find_any(shard, key, now, gone, cell);

	return entry && likely(!entry->is_tomb) ? entry : NULL;
}
/* Inserts KEY, which is absent, and makes room; table_make_room_elsewhere() has to follow. */
struct shard_entry *table_insert(struct table *table, struct shard *shard,
				 const struct table_key *key, const struct table_value *value,
				 int64_t now, struct shard_gone *gone);
/* As if ENTRY had been used last so long ago that LEFT_MS of its idle time are left. */
void table_set_left(struct shard *shard, uint32_t number, int64_t left_ms, int64_t now);

/* Without the mutex: SHARD had too little to give. */
void table_make_room_elsewhere(struct table *table, const struct shard *shard, int64_t now);

static inline uint32_t table_idle(uint32_t idle_ms)
{
	return idle_ms < 1 ? 1 : idle_ms > TABLE_IDLE_MAX_MS ? TABLE_IDLE_MAX_MS : idle_ms;
}

/* table_share.c: a use of ENTRY has ended; is that to be told? */
void table_mark_use(struct shard *shard, struct shard_entry *entry, uint32_t cell, int64_t now,
		    struct shard_gone *gone);
/* ENTRY was put (NEW: it was free here), or ended; it gets a new version. */
void table_mark_change(struct shard *shard, struct shard_entry *entry, uint32_t cell,
		       enum shard_push push, struct shard_gone *gone);
/* What ENTRY is to others; `change` as its mark says. */
void table_record_of(const struct shard *shard, const struct shard_entry *entry, int64_t now,
		     struct table_record *record);

#endif
