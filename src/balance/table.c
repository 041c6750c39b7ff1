/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/table.h"

#include <stdlib.h>
#include <string.h>

#include "balance/table_inner.h"
#include "base/mem.h"

#define SHARDS_MAX    4096
#define SHARD_SMALL   1024  /* entries below which a table is not cut further */
#define SHARD_LARGE   32768 /* entries above which it is, so that a growing index pauses briefly */
#define SHARDS_USUAL  64
#define EVICT_AT_ONCE 4 /* entries of one shard, and of others, that one table_put() frees */

_Atomic(const struct table_follower *) table_follower;

static uint32_t shards_for(uint32_t max_entries)
{
	uint32_t n = 1;

	while (n < SHARDS_USUAL && max_entries / (n * 2) >= SHARD_SMALL)
		n *= 2;
	while (n < SHARDS_MAX && max_entries / n > SHARD_LARGE)
		n *= 2;
	return n;
}

struct table *table_new(const struct table_options *options)
{
	struct table *table = xcalloc(1, sizeof(*table));

	table_index_maps_init(&table->index_maps);
	table->magic = TABLE_MAGIC;
	table->name = options->name;
	table->on_gone = options->on_gone;
	table->arg = options->arg;
	table->is_secret = options->is_secret;
	table->is_counted = options->is_counted;
	table->base_ms = clock_ms();
	table->shards_n = shards_for(options->max_entries);
	table->shards = aligned_alloc(64, table->shards_n * sizeof(*table->shards));
	bug_on(!table->shards);
	for (uint32_t i = 0; i < table->shards_n; i++)
		shard_init(&table->shards[i], &(struct shard_place){
						      .is_secret = options->is_secret,
						      .part = i,
						      .parts_n = table->shards_n,
						      .maps = &table->index_maps,
						      .dirty_all = &table->dirty_n,
						      .urgent_all = &table->urgent_n,
					      });
	table_set_max(table, options->max_entries);
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	check_magic(table, TABLE_MAGIC);
	for (uint32_t i = 0; i < table->shards_n; i++)
		shard_fini(&table->shards[i]);
	table_index_maps_fini(&table->index_maps);
	free(table->shards);
	table->magic = 0;
	free(table);
}

void table_set_max(struct table *table, uint32_t max_entries)
{
	uint32_t max = max_entries < 1 ? 1 : max_entries > 1u << 30 ? 1u << 30 : max_entries;
	uint32_t share = max / table->shards_n + 1, root = 1;

	while ((uint64_t)root * root < share)
		root++;
	/* Most shards stay within two roots of their share; then load 4/5. */
	share += root * 2;
	atomic_store(&table->max_entries, max);
	atomic_store(&table->cells_final, share + share / 4 + 8);
}

/*
 * What ended is told after the mutex is let go.
 */
_Atomic(table_dirty_fn *) table_dirty_hook;

void table_unlock(struct table *table, struct shard *shard, struct shard_gone *gone)
{
	pthread_mutex_unlock(&shard->mutex);
	if (gone->left_n)
		atomic_fetch_sub_explicit(&table->count, gone->left_n, memory_order_relaxed);
	for (uint32_t i = 0; gone->is_wanted && i < gone->n; i++)
		table->on_gone(table->arg,
			       (struct str){ (char *)gone->items[i].key, gone->items[i].key_len },
			       &gone->items[i].value, gone->items[i].why);
	gone->n = gone->left_n = 0;
	if (unlikely(gone->is_woken)) {
		table_dirty_fn *hook = atomic_load(&table_dirty_hook);

		gone->is_woken = false;
		if (hook)
			hook(table);
	}
}

void table_prefetch(const struct table *table, const struct table_key *key)
{
	struct shard *shard = shard_of(table, key);
	struct shard_cell *cells = atomic_load_explicit(&shard->cells, memory_order_relaxed);
	uint32_t cells_n = atomic_load_explicit(&shard->cells_n, memory_order_relaxed);

	/* Never dereferenced: a stale address, or one past the end, is harmless. */
	if (cells)
		__builtin_prefetch((const void *)((uintptr_t)cells +
						  ((uint64_t)(uint32_t)key->hash * cells_n >> 32) *
							  sizeof(*cells)));
}

void table_prefetch_entry(const struct table *table, const struct table_key *key)
{
	struct shard *shard = shard_of(table, key);
	const struct shard_entry *entry;

	pthread_mutex_lock(&shard->mutex); /* cells and chunks may move without it */
	entry = shard_guess(shard, key);
	pthread_mutex_unlock(&shard->mutex);
	/* It may be freed by now, which does a prefetch no harm. */
	if (entry) {
		__builtin_prefetch(entry, 1);
		__builtin_prefetch((const char *)(entry + 1) - 1, 1); /* two lines, mostly */
	}
}

struct shard_entry *table_find_any(struct shard *shard, const struct table_key *key, int64_t now,
				   struct shard_gone *gone, uint32_t *cell)
{
	struct shard_entry *entry;

	*cell = shard_find(shard, key);
	if (*cell == UINT32_MAX)
		return NULL;
	entry = shard_at(shard, *cell);
	if (!entry->opens && shard_left_ms(entry, now) <= 0) {
		shard_remove(shard, *cell, TABLE_GONE_EXPIRED, now, gone);
		return NULL;
	}
	return entry;
}

enum use { USE_LOOK, USE_OPEN, USE_TOUCH };

static bool table_use_once(struct table *table, const struct table_key *key,
			   struct table_value *value, enum use use)
{
	struct shard *shard = shard_of(table, key);
	int64_t now = table_now(table);
	struct shard_gone gone;
	struct shard_entry *entry;
	int64_t left = 0;
	uint32_t cell;

	table_gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	entry = table_find_live(shard, key, now, &gone, &cell);
	shard->lookups++;
	if (entry)
		left = entry->opens ? (int64_t)entry->idle_ms : shard_left_ms(entry, now);
	if (entry && use == USE_OPEN) {
		if (entry->opens == SHARD_OPENS_MAX)
			entry = NULL; /* more than there can be connections */
		else
			entry->opens++;
	} else if (entry && use == USE_TOUCH) {
		shard_use(entry, now);
		if (unlikely(shard->is_shared))
			table_mark_use(shard, entry, cell, now, &gone);
	}
	if (entry) {
		shard->hits++;
		shard_value(entry, now, value);
		if (use == USE_OPEN)
			value->expires_in_ms = left;
	}
	table_unlock(table, shard, &gone);
	return entry != NULL;
}

static bool table_use(struct table *table, const struct table_key *key, struct table_value *value,
		      enum use use)
{
	bool is_there = table_use_once(table, key, value, use);
	const struct table_follower *follower =
		atomic_load_explicit(&table_follower, memory_order_acquire);

	if (likely(!follower))
		return is_there;
	if (!is_there) {
		/* Again whatever it says: another thread may have read it since our first look. */
		(void)follower->catch_up();
		is_there = table_use_once(table, key, value, use);
	}
	if (is_there && use != USE_LOOK)
		follower->changed(table, key, NULL, TABLE_USED);
	return is_there;
}

bool table_find(struct table *table, const struct table_key *key, struct table_value *value)
{
	return table_use(table, key, value, USE_LOOK);
}

bool table_open(struct table *table, const struct table_key *key, struct table_value *value)
{
	return table_use(table, key, value, USE_OPEN);
}

bool table_touch(struct table *table, const struct table_key *key, struct table_value *value)
{
	return table_use(table, key, value, USE_TOUCH);
}

void table_close(struct table *table, const struct table_key *key)
{
	struct shard *shard = shard_of(table, key);
	int64_t now = table_now(table);
	struct shard_gone gone;
	uint32_t cell;

	table_gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	cell = shard_find(shard, key);
	if (cell != UINT32_MAX) {
		struct shard_entry *entry = shard_at(shard, cell);

		if (entry->opens) {
			entry->opens--;
			shard_use(entry, now);
			if (unlikely(shard->is_shared))
				table_mark_use(shard, entry, cell, now, &gone);
		}
		if (!entry->opens && entry->is_in_open_list)
			shard_requeue(shard, entry, shard_number_at(shard, cell), now);
	}
	table_unlock(table, shard, &gone);
	table_tell(table, key, NULL, TABLE_USED);
}

static bool is_over(const struct table *table)
{
	return atomic_load_explicit(&table->count, memory_order_relaxed) >
	       atomic_load_explicit(&table->max_entries, memory_order_relaxed);
}

/* Room for one entry that is already counted. */
static void make_room(struct table *table, struct shard *shard, int64_t now,
		      struct shard_gone *gone)
{
	/* GONE has what left already and is not yet taken off the count. */
	uint32_t count = atomic_load_explicit(&table->count, memory_order_relaxed) - gone->left_n;
	uint32_t max = atomic_load_explicit(&table->max_entries, memory_order_relaxed);
	uint32_t over = count > max ? count - max : 0;

	for (uint32_t i = 0; i < over && i < EVICT_AT_ONCE && shard_evict(shard, now, gone); i++)
		;
}

struct shard_entry *table_insert(struct table *table, struct shard *shard,
				 const struct table_key *key, const struct table_value *value,
				 int64_t now, struct shard_gone *gone)
{
	atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
	make_room(table, shard, now, gone);
	return shard_insert(shard, key, value, now,
			    atomic_load_explicit(&table->cells_final, memory_order_relaxed));
}

/* A small table, or a bound that was lowered: other shards give. */
void table_make_room_elsewhere(struct table *table, const struct shard *shard, int64_t now)
{
	uint32_t from = (uint32_t)(shard - table->shards), n = 0;
	struct shard_gone gone;

	if (likely(!is_over(table)))
		return;
	table_gone_init(table, &gone);
	for (uint32_t i = 1; i < table->shards_n && n < EVICT_AT_ONCE && is_over(table); i++) {
		struct shard *other = &table->shards[(from + i) & (table->shards_n - 1)];

		if (!atomic_load_explicit(&other->entries_n, memory_order_relaxed))
			continue;
		pthread_mutex_lock(&other->mutex);
		n += shard_evict(other, now, &gone);
		table_unlock(table, other, &gone);
	}
}

void table_set_left(struct shard *shard, uint32_t number, int64_t left_ms, int64_t now)
{
	struct shard_entry *entry = shard_entry(shard, number);

	if (left_ms < 1)
		left_ms = 1;
	if (left_ms > (int64_t)entry->idle_ms)
		left_ms = entry->idle_ms;
	entry->used_at = (uint32_t)now - (entry->idle_ms - (uint32_t)left_ms);
	if (!entry->is_in_open_list)
		shard_requeue(shard, entry, number, now);
}

/* KEY is there: takes VALUE over. */
static enum table_put put_over(struct shard *shard, uint32_t cell, const struct table_value *value,
			       int64_t now, struct shard_gone *gone, struct table_value *old)
{
	struct shard_entry *entry = shard_at(shard, cell);
	uint32_t old_idle_ms = entry->idle_ms;
	bool is_same = entry->server == value->server &&
		       entry->generation == (value->generation & TABLE_GENERATION_MASK);

	if (!is_same) {
		if (old)
			shard_value(entry, now, old);
		shard_note_gone(entry, TABLE_GONE_REPLACED, now, gone);
		entry->server = (uint16_t)value->server;
		entry->generation = (uint16_t)value->generation;
	}
	entry->idle_ms = value->idle_ms;
	shard_use(entry, now);
	if (value->idle_ms < old_idle_ms && !entry->is_in_open_list)
		shard_requeue(shard, entry, shard_number_at(shard, cell), now);
	if (likely(!shard->is_shared))
		return is_same ? TABLE_PUT_SAME : TABLE_PUT_CHANGED;
	if (!is_same)
		table_mark_change(shard, entry, cell, SHARD_PUSH_SET, gone);
	else if (value->idle_ms != old_idle_ms)
		shard_mark(shard, shard_number_at(shard, cell), SHARD_PUSH_REFRESH, gone);
	else
		table_mark_use(shard, entry, cell, now, gone);
	return is_same ? TABLE_PUT_SAME : TABLE_PUT_CHANGED;
}

/* KEY is absent; ENTRY is its tombstone, or NULL. */
static void put_new(struct table *table, struct shard *shard, struct shard_entry *entry,
		    uint32_t cell, const struct table_key *key, const struct table_value *value,
		    int64_t now, struct shard_gone *gone)
{
	enum shard_push push = SHARD_PUSH_ASSIGN;

	if (entry) {
		/* Redis may not have heard yet that it was deleted. */
		if (entry->push)
			push = SHARD_PUSH_SET;
		shard_revive(shard, cell, value, now);
	} else {
		entry = table_insert(table, shard, key, value, now, gone);
		if (shard->is_shared)
			cell = shard_find(shard, key);
	}
	if (unlikely(shard->is_shared))
		table_mark_change(shard, entry, cell, push, gone);
}

enum table_put table_put(struct table *table, const struct table_key *key,
			 const struct table_value *value, struct table_value *old)
{
	struct shard *shard = shard_of(table, key);
	struct table_value kept = *value;
	int64_t now = table_now(table);
	enum table_put result = TABLE_PUT_NEW;
	struct shard_entry *entry;
	struct shard_gone gone;
	uint32_t cell;

	bug_on(value->server > TABLE_SERVER_MAX);
	kept.idle_ms = table_idle(value->idle_ms);
	table_gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	entry = table_find_any(shard, key, now, &gone, &cell);
	if (entry && likely(!entry->is_tomb))
		result = put_over(shard, cell, &kept, now, &gone, old);
	else
		put_new(table, shard, entry, cell, key, &kept, now, &gone);
	table_unlock(table, shard, &gone);
	table_make_room_elsewhere(table, shard, now);
	table_tell(table, key, &kept, TABLE_SET);
	return result;
}

bool table_restore(struct table *table, const struct table_key *key,
		   const struct table_value *value)
{
	struct shard *shard = shard_of(table, key);
	struct table_value kept = *value;
	int64_t now = table_now(table);
	struct shard_gone gone;
	bool is_there;
	uint32_t cell;

	bug_on(value->server > TABLE_SERVER_MAX);
	if (kept.idle_ms < 1 || kept.idle_ms > TABLE_IDLE_MAX_MS)
		kept.idle_ms = TABLE_IDLE_MAX_MS;
	table_gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	/* A tombstone is newer than any copy. */
	is_there = table_find_any(shard, key, now, &gone, &cell) != NULL;
	if (!is_there) {
		uint32_t number;

		table_insert(table, shard, key, &kept, now, &gone);
		number = shard_number_at(shard, shard_find(shard, key));
		if (kept.expires_in_ms < (int64_t)kept.idle_ms)
			table_set_left(shard, number, kept.expires_in_ms, now);
		if (shard->is_shared)
			shard_mark(shard, number, SHARD_PUSH_ASSIGN, &gone);
	}
	table_unlock(table, shard, &gone);
	table_make_room_elsewhere(table, shard, now);
	return !is_there;
}

bool table_drop(struct table *table, const struct table_key *key)
{
	struct shard *shard = shard_of(table, key);
	int64_t now = table_now(table);
	struct shard_entry *entry;
	struct shard_gone gone;
	uint32_t cell;

	table_gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	entry = table_find_live(shard, key, now, &gone, &cell);
	if (entry && unlikely(shard->is_shared)) {
		shard_bury(shard, cell, TABLE_GONE_DROPPED, now, &gone);
		table_mark_change(shard, entry, cell, SHARD_PUSH_SET, &gone);
	} else if (entry) {
		shard_remove(shard, cell, TABLE_GONE_DROPPED, now, &gone);
	}
	table_unlock(table, shard, &gone);
	table_tell(table, key, NULL, TABLE_DROPPED);
	return entry != NULL;
}

bool table_retire(struct table *table, const struct table_key *key, const struct table_value *only)
{
	struct shard *shard = shard_of(table, key);
	int64_t now = table_now(table);
	struct table_value value;
	struct shard_entry *entry;
	struct shard_gone gone;
	bool is_retired = false;
	uint32_t cell;

	table_gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	entry = table_find_live(shard, key, now, &gone, &cell);
	if (entry && entry->server == only->server &&
	    entry->generation == (only->generation & TABLE_GENERATION_MASK)) {
		is_retired = true;
		shard_note_gone(entry, TABLE_GONE_REPLACED, now, &gone);
		entry->generation = (uint16_t)(entry->generation - 1);
		shard_use(entry, now);
		shard_value(entry, now, &value);
		if (unlikely(shard->is_shared))
			table_mark_change(shard, entry, cell, SHARD_PUSH_SET, &gone);
	}
	table_unlock(table, shard, &gone);
	if (is_retired)
		table_tell(table, key, &value, TABLE_SET);
	return is_retired;
}
