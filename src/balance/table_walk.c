/* SPDX-License-Identifier: MIT */
/* What looks at all entries of a table: expiry, clearing, figures, walks. */
#include "config.h"

#include <string.h>

#include "balance/table_inner.h"

uint32_t table_expire(struct table *table, uint32_t max)
{
	uint32_t freed = 0, visits = max > UINT32_MAX / 4 ? UINT32_MAX : max * 4;
	uint32_t at = atomic_load_explicit(&table->expire_at, memory_order_relaxed);
	struct shard_gone gone;

	table_gone_init(table, &gone);
	for (uint32_t i = 0; i < table->shards_n; i++, at++) {
		struct shard *shard = &table->shards[at & (table->shards_n - 1)];
		bool has_more = atomic_load_explicit(&shard->entries_n, memory_order_relaxed) != 0;

		while (has_more && freed < max && visits) {
			pthread_mutex_lock(&shard->mutex);
			has_more = shard_turn(shard, table_now(table), &visits, &gone);
			freed += gone.left_n;
			table_unlock(table, shard, &gone);
		}
		if (has_more)
			break;
	}
	atomic_store_explicit(&table->expire_at, at & (table->shards_n - 1), memory_order_relaxed);
	return freed;
}

/* Of a shared shard: up to a GONE full of entries from *NUMBER on become tombstones. */
static bool bury_some(struct shard *shard, uint32_t *number, int64_t now, struct shard_gone *gone)
{
	for (; *number < shard->numbers_n && !shard_gone_is_full(gone); ++*number) {
		struct shard_entry *entry = shard_entry(shard, *number);
		struct table_key key;
		uint32_t cell;

		if (!entry->key_len || entry->is_tomb)
			continue;
		key = shard_key_of(shard, entry);
		cell = shard_find(shard, &key);
		shard_bury(shard, cell, TABLE_GONE_DROPPED, now, gone);
		table_mark_change(shard, entry, cell, SHARD_PUSH_SET, gone);
	}
	return *number < shard->numbers_n;
}

void table_clear(struct table *table)
{
	struct shard_gone gone;

	table_gone_init(table, &gone);
	for (uint32_t i = 0; i < table->shards_n; i++) {
		struct shard *shard = &table->shards[i];
		uint32_t number = 0;
		bool has_more = true;

		while (has_more) {
			int64_t now = table_now(table);

			pthread_mutex_lock(&shard->mutex);
			has_more = shard->is_shared ? bury_some(shard, &number, now, &gone)
						    : shard_drop_some(shard, now, &gone);
			table_unlock(table, shard, &gone);
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
		stats->entries += atomic_load_explicit(&shard->entries_n, memory_order_relaxed) -
				  shard->tombs_n;
		stats->tombs += shard->tombs_n;
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

			if (!entry->key_len || entry->is_tomb ||
			    (!entry->opens && shard_left_ms(entry, now) <= 0))
				continue;
			shard_value(entry, now, &copies.items[copies.n].value);
			copies.items[copies.n].key_len = entry->key_len;
			memcpy(copies.items[copies.n++].key, entry->key, sizeof(entry->key));
		}
		if (number >= shard->numbers_n) {
			at++;
			number = 0;
		}
		pthread_mutex_unlock(&shard->mutex);
		for (uint32_t i = 0; i < copies.n; i++, seen++)
			fn(arg,
			   (struct str){ (char *)copies.items[i].key, copies.items[i].key_len },
			   &copies.items[i].value);
	}
	*cursor = (uint64_t)at << 32 | number;
	return at < table->shards_n;
}

bool table_is_sane(struct table *table)
{
	uint64_t entries = 0;
	uint32_t dirty_n = 0;
	bool is_sane = true;

	for (uint32_t i = 0; i < table->shards_n && is_sane; i++) {
		struct shard *shard = &table->shards[i];

		pthread_mutex_lock(&shard->mutex);
		is_sane = shard_is_sane(shard, table_now(table));
		entries += atomic_load_explicit(&shard->entries_n, memory_order_relaxed);
		dirty_n += atomic_load_explicit(&shard->dirty_n, memory_order_relaxed);
		pthread_mutex_unlock(&shard->mutex);
	}
	return is_sane && entries == atomic_load(&table->count) &&
	       dirty_n == atomic_load(&table->dirty_n);
}
