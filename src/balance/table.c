/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/table.h"

#include <stdlib.h>
#include <string.h>

#include "balance/table_shard.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/siphash.h"

#define TABLE_MAGIC 0x5441424cu

#define SHARDS_MAX    4096
#define SHARD_SMALL   1024  /* entries below which a table is not cut further */
#define SHARD_LARGE   32768 /* entries above which it is, so that a growing index pauses briefly */
#define SHARDS_USUAL  64
#define EVICT_AT_ONCE 4 /* entries of one shard, and of others, that one table_put() frees */

struct table {
	unsigned magic;
	uint32_t shards_n; /* (const) power of two */
	const char *name;  /* (view, const) */
	table_gone_fn *on_gone;
	void *arg;
	int64_t base_ms;      /* (const) clock when made */
	struct shard *shards; /* (own) */
	_Atomic uint32_t max_entries;
	_Atomic uint32_t cells_final; /* per shard; see shard_insert() */
	_Atomic uint32_t count;
	_Atomic uint32_t expire_at; /* shard where table_expire() goes on */
};

_Atomic(const struct table_follower *) table_follower;

static inline void tell(struct table *table, const struct table_key *key,
			const struct table_value *value, enum table_change change)
{
	const struct table_follower *follower =
		atomic_load_explicit(&table_follower, memory_order_acquire);

	if (unlikely(follower != NULL))
		follower->changed(table, key->bytes, value, change);
}

static int64_t table_now(const struct table *table)
{
	int64_t now = clock_ms() - table->base_ms;

	return now > 0 ? now : 0; /* this thread's clock may be behind that of the maker */
}

static uint32_t shards_for(uint32_t max_entries)
{
	uint32_t n = 1;

	while (n < SHARDS_USUAL && max_entries / (n * 2) >= SHARD_SMALL)
		n *= 2;
	while (n < SHARDS_MAX && max_entries / n > SHARD_LARGE)
		n *= 2;
	return n;
}

static struct shard *shard_of(const struct table *table, const struct table_key *key)
{
	return &table->shards[(key->hash >> 32) * table->shards_n >> 32];
}

struct table *table_new(const struct table_options *options)
{
	struct table *table = xcalloc(1, sizeof(*table));

	table->magic = TABLE_MAGIC;
	table->name = options->name;
	table->on_gone = options->on_gone;
	table->arg = options->arg;
	table->base_ms = clock_ms();
	table->shards_n = shards_for(options->max_entries);
	table->shards = aligned_alloc(64, table->shards_n * sizeof(*table->shards));
	bug_on(!table->shards);
	for (uint32_t i = 0; i < table->shards_n; i++)
		shard_init(&table->shards[i]);
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
static void gone_init(const struct table *table, struct shard_gone *gone)
{
	gone->n = 0;
	gone->is_wanted = table->on_gone != NULL;
}

static void gone_tell(struct table *table, struct shard_gone *gone)
{
	if (!gone->n)
		return;
	for (uint32_t i = 0; gone->is_wanted && i < gone->n; i++)
		table->on_gone(table->arg,
			       (struct str){ gone->items[i].key, gone->items[i].key_len },
			       &gone->items[i].value, gone->items[i].why);
	gone->n = 0;
}

/* Entries that left are counted before others are told. */
static void unlock(struct table *table, struct shard *shard, struct shard_gone *gone,
		   uint32_t replaced_n)
{
	pthread_mutex_unlock(&shard->mutex);
	if (!gone->n)
		return;
	atomic_fetch_sub_explicit(&table->count, gone->n - replaced_n, memory_order_relaxed);
	gone_tell(table, gone);
}

struct table_key table_key(const struct table *table, struct str bytes)
{
	(void)table;
	bug_on(!bytes.len || bytes.len > TABLE_KEY_MAX);
	return (struct table_key){ bytes, siphash13(siphash_process_key(), bytes.p, bytes.len) };
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

/*
 * The entry of KEY, or NULL; one that has expired is freed on the way.  Mutex held.
 */
static struct shard_entry *find_live(struct shard *shard, const struct table_key *key, int64_t now,
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

	gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	entry = find_live(shard, key, now, &gone, &cell);
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
	}
	if (entry) {
		shard->hits++;
		shard_value(entry, now, value);
		if (use == USE_OPEN)
			value->expires_in_ms = left;
	}
	unlock(table, shard, &gone, 0);
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
	if (!is_there && follower->catch_up())
		is_there = table_use_once(table, key, value, use);
	if (is_there && use != USE_LOOK)
		follower->changed(table, key->bytes, NULL, TABLE_USED);
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
	uint32_t cell;

	pthread_mutex_lock(&shard->mutex);
	cell = shard_find(shard, key);
	if (cell != UINT32_MAX) {
		struct shard_entry *entry = shard_at(shard, cell);

		if (entry->opens) {
			entry->opens--;
			shard_use(entry, now);
		}
		if (!entry->opens && entry->is_in_open_list)
			shard_requeue(shard, entry, shard_number_at(shard, cell), now);
	}
	pthread_mutex_unlock(&shard->mutex);
	tell(table, key, NULL, TABLE_USED);
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
	uint32_t count = atomic_load_explicit(&table->count, memory_order_relaxed) - gone->n;
	uint32_t max = atomic_load_explicit(&table->max_entries, memory_order_relaxed);
	uint32_t over = count > max ? count - max : 0;

	for (uint32_t i = 0; i < over && i < EVICT_AT_ONCE && shard_evict(shard, now, gone); i++)
		;
}

/* SHARD had too little to give (a small table, or a bound that was lowered): the next ones do. */
static void evict_elsewhere(struct table *table, const struct shard *shard, int64_t now)
{
	uint32_t from = (uint32_t)(shard - table->shards), n = 0;
	struct shard_gone gone;

	gone_init(table, &gone);
	for (uint32_t i = 1; i < table->shards_n && n < EVICT_AT_ONCE && is_over(table); i++) {
		struct shard *other = &table->shards[(from + i) & (table->shards_n - 1)];

		if (!atomic_load_explicit(&other->entries_n, memory_order_relaxed))
			continue;
		pthread_mutex_lock(&other->mutex);
		n += shard_evict(other, now, &gone);
		unlock(table, other, &gone, 0);
	}
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
	return is_same ? TABLE_PUT_SAME : TABLE_PUT_CHANGED;
}

enum table_put table_put(struct table *table, const struct table_key *key,
			 const struct table_value *value, struct table_value *old)
{
	struct shard *shard = shard_of(table, key);
	struct table_value kept = *value;
	int64_t now = table_now(table);
	enum table_put result = TABLE_PUT_NEW;
	struct shard_gone gone;
	uint32_t cell;

	bug_on(value->server > TABLE_SERVER_MAX);
	kept.idle_ms = value->idle_ms < 1                   ? 1
		       : value->idle_ms > TABLE_IDLE_MAX_MS ? TABLE_IDLE_MAX_MS
							    : value->idle_ms;
	gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	if (find_live(shard, key, now, &gone, &cell)) {
		result = put_over(shard, cell, &kept, now, &gone, old);
	} else {
		atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
		make_room(table, shard, now, &gone);
		shard_insert(shard, key, &kept, now,
			     atomic_load_explicit(&table->cells_final, memory_order_relaxed));
	}
	unlock(table, shard, &gone, result == TABLE_PUT_CHANGED);
	if (is_over(table))
		evict_elsewhere(table, shard, now);
	tell(table, key, &kept, TABLE_SET);
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
	gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	is_there = find_live(shard, key, now, &gone, &cell) != NULL;
	if (!is_there) {
		struct shard_entry *entry;

		atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
		make_room(table, shard, now, &gone);
		entry = shard_insert(
			shard, key, &kept, now,
			atomic_load_explicit(&table->cells_final, memory_order_relaxed));
		if (kept.expires_in_ms < (int64_t)kept.idle_ms) {
			int64_t left = kept.expires_in_ms > 1 ? kept.expires_in_ms : 1;

			entry->used_at -= kept.idle_ms - (uint32_t)left;
			cell = shard_find(shard, key);
			shard_requeue(shard, entry, shard_number_at(shard, cell), now);
		}
	}
	unlock(table, shard, &gone, 0);
	if (is_over(table))
		evict_elsewhere(table, shard, now);
	return !is_there;
}

bool table_drop(struct table *table, const struct table_key *key)
{
	struct shard *shard = shard_of(table, key);
	int64_t now = table_now(table);
	struct shard_gone gone;
	uint32_t cell;
	bool was_there;

	gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	was_there = find_live(shard, key, now, &gone, &cell) != NULL;
	if (was_there)
		shard_remove(shard, cell, TABLE_GONE_DROPPED, now, &gone);
	unlock(table, shard, &gone, 0);
	tell(table, key, NULL, TABLE_DROPPED);
	return was_there;
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

	gone_init(table, &gone);
	pthread_mutex_lock(&shard->mutex);
	entry = find_live(shard, key, now, &gone, &cell);
	if (entry && entry->server == only->server &&
	    entry->generation == (only->generation & TABLE_GENERATION_MASK)) {
		is_retired = true;
		shard_note_gone(entry, TABLE_GONE_REPLACED, now, &gone);
		entry->generation = (uint16_t)(entry->generation - 1);
		shard_use(entry, now);
		shard_value(entry, now, &value);
	}
	unlock(table, shard, &gone, is_retired);
	if (is_retired)
		tell(table, key, &value, TABLE_SET);
	return is_retired;
}

uint32_t table_expire(struct table *table, uint32_t max)
{
	uint32_t freed = 0, visits = max > UINT32_MAX / 4 ? UINT32_MAX : max * 4;
	uint32_t at = atomic_load_explicit(&table->expire_at, memory_order_relaxed);
	struct shard_gone gone;

	gone_init(table, &gone);
	for (uint32_t i = 0; i < table->shards_n; i++, at++) {
		struct shard *shard = &table->shards[at & (table->shards_n - 1)];
		bool has_more = atomic_load_explicit(&shard->entries_n, memory_order_relaxed) != 0;

		while (has_more && freed < max && visits) {
			pthread_mutex_lock(&shard->mutex);
			has_more = shard_turn(shard, table_now(table), &visits, &gone);
			freed += gone.n;
			unlock(table, shard, &gone, 0);
		}
		if (has_more)
			break;
	}
	atomic_store_explicit(&table->expire_at, at & (table->shards_n - 1), memory_order_relaxed);
	return freed;
}

void table_clear(struct table *table)
{
	struct shard_gone gone;

	gone_init(table, &gone);
	for (uint32_t i = 0; i < table->shards_n; i++) {
		struct shard *shard = &table->shards[i];
		bool has_more = true;

		while (has_more) {
			pthread_mutex_lock(&shard->mutex);
			has_more = shard_drop_some(shard, table_now(table), &gone);
			unlock(table, shard, &gone, 0);
		}
	}
}

void table_stats(const struct table *table, struct table_stats *stats)
{
	*stats = (struct table_stats){
		.max_entries = atomic_load_explicit(&table->max_entries, memory_order_relaxed),
		.size_bytes = sizeof(*table) + table->shards_n * sizeof(*table->shards),
	};
	for (uint32_t i = 0; i < table->shards_n; i++) {
		struct shard *shard = &table->shards[i];

		pthread_mutex_lock(&shard->mutex);
		stats->entries += atomic_load_explicit(&shard->entries_n, memory_order_relaxed);
		stats->size_bytes += shard->size_bytes;
		stats->lookups += shard->lookups;
		stats->hits += shard->hits;
		stats->inserts += shard->inserts;
		stats->evictions += shard->evictions;
		stats->expirations += shard->expirations;
		pthread_mutex_unlock(&shard->mutex);
	}
}

const char *table_name(const struct table *table)
{
	return table->name;
}

/* CURSOR: shard in the high half, number in the low one. */
bool table_each(struct table *table, uint64_t *cursor, uint32_t max, table_each_fn *fn, void *arg)
{
	uint32_t at = (uint32_t)(*cursor >> 32), number = (uint32_t)*cursor, seen = 0;
	struct shard_gone copies; /* the same copies, for another purpose */

	while (at < table->shards_n && seen < max) {
		struct shard *shard = &table->shards[at];
		int64_t now = table_now(table);
		uint32_t looks = 1024;

		copies.n = 0;
		pthread_mutex_lock(&shard->mutex);
		for (; number < shard->numbers_n && copies.n < SHARD_GONE_N && looks;
		     number++, looks--) {
			const struct shard_entry *entry = shard_entry(shard, number);
			struct str key = shard_key(entry);

			if (!entry->key_len || (!entry->opens && shard_left_ms(entry, now) <= 0))
				continue;
			shard_value(entry, now, &copies.items[copies.n].value);
			copies.items[copies.n].key_len = entry->key_len;
			memcpy(copies.items[copies.n++].key, key.p, key.len);
		}
		if (number >= shard->numbers_n) {
			at++;
			number = 0;
		}
		pthread_mutex_unlock(&shard->mutex);
		for (uint32_t i = 0; i < copies.n; i++, seen++)
			fn(arg, (struct str){ copies.items[i].key, copies.items[i].key_len },
			   &copies.items[i].value);
	}
	*cursor = (uint64_t)at << 32 | number;
	return at < table->shards_n;
}

bool table_is_sane(struct table *table)
{
	uint64_t entries = 0;
	bool is_sane = true;

	for (uint32_t i = 0; i < table->shards_n && is_sane; i++) {
		struct shard *shard = &table->shards[i];

		pthread_mutex_lock(&shard->mutex);
		is_sane = shard_is_sane(shard, table_now(table));
		entries += atomic_load_explicit(&shard->entries_n, memory_order_relaxed);
		pthread_mutex_unlock(&shard->mutex);
	}
	return is_sane && entries == atomic_load(&table->count);
}
