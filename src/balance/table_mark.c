/* SPDX-License-Identifier: MIT */
/* Of a shard whose table other nodes have as well: which entries are to be told, and tombstones. */
#include "config.h"

#include "balance/table_shard.h"

/* One more or less in SHARD; what the whole table had before. */
static uint32_t count_one(_Atomic uint32_t *of_shard, _Atomic uint32_t *of_table, int by)
{
	uint32_t n = atomic_load_explicit(of_shard, memory_order_relaxed);

	atomic_store_explicit(of_shard, n + (uint32_t)by, memory_order_relaxed);
	return atomic_fetch_add_explicit(of_table, (uint32_t)by, memory_order_relaxed);
}

void shard_mark_later(struct shard *shard, uint32_t number, enum shard_push push,
		      struct shard_gone *gone)
{
	struct shard_entry *entry = shard_entry(shard, number);

	if (push > entry->push)
		entry->push = (uint16_t)(push & 3);
	if (shard_is_dirty(shard, number))
		return;
	shard->dirty[number / SHARD_CHUNK_N] |= UINT64_C(1) << number % SHARD_CHUNK_N;
	if (count_one(&shard->dirty_n, shard->place.dirty_all, 1) == 0)
		gone->is_woken = true;
}

void shard_mark(struct shard *shard, uint32_t number, enum shard_push push, struct shard_gone *gone)
{
	uint64_t *word = &shard->urgent[number / SHARD_CHUNK_N];
	uint64_t bit = UINT64_C(1) << number % SHARD_CHUNK_N;

	shard_mark_later(shard, number, push, gone);
	if (*word & bit)
		return;
	*word |= bit;
	if (count_one(&shard->urgent_n, shard->place.urgent_all, 1) == 0)
		gone->is_woken = true;
}

void shard_unmark(struct shard *shard, uint32_t number)
{
	uint64_t bit = UINT64_C(1) << number % SHARD_CHUNK_N;

	if (!shard_is_dirty(shard, number))
		return;
	shard->dirty[number / SHARD_CHUNK_N] &= ~bit;
	count_one(&shard->dirty_n, shard->place.dirty_all, -1);
	if (!(shard->urgent[number / SHARD_CHUNK_N] & bit))
		return;
	shard->urgent[number / SHARD_CHUNK_N] &= ~bit;
	count_one(&shard->urgent_n, shard->place.urgent_all, -1);
}

uint32_t shard_next_dirty(struct shard *shard, bool is_urgent)
{
	const uint64_t *marks = is_urgent ? shard->urgent : shard->dirty;

	if (!atomic_load_explicit(is_urgent ? &shard->urgent_n : &shard->dirty_n,
				  memory_order_relaxed))
		return UINT32_MAX;
	for (uint32_t i = 0; i < shard->chunks_n; i++) {
		uint32_t at = (shard->dirty_at + i) % shard->chunks_n;

		if (!marks[at])
			continue;
		shard->dirty_at = at;
		return at * SHARD_CHUNK_N + (uint32_t)__builtin_ctzll(marks[at]);
	}
	return UINT32_MAX;
}

/* A 64th of the lifetime: 16 bits of it are right for a thousand lifetimes. */
static uint32_t push_unit(const struct shard_entry *entry)
{
	return entry->idle_ms < 64 ? 1 : entry->idle_ms / 64;
}

void shard_set_pushed(struct shard_entry *entry, int64_t now, int64_t left_ms)
{
	int64_t at = now - (int64_t)entry->idle_ms + left_ms;

	/* Of before the table was made: as a distance, modulo 2^16. */
	entry->pushed_at = (uint16_t)(at >= 0 ? at / push_unit(entry)
					      : -((-at + push_unit(entry) - 1) / push_unit(entry)));
}

bool shard_is_refresh_due(const struct shard_entry *entry, int64_t now)
{
	uint32_t unit = push_unit(entry);
	uint16_t passed = (uint16_t)((uint16_t)(now / unit) - entry->pushed_at);

	return passed > entry->idle_ms / unit / 2;
}

void shard_bury(struct shard *shard, uint32_t cell, enum table_gone why, int64_t now,
		struct shard_gone *gone)
{
	uint32_t number = shard_number_at(shard, cell);
	struct shard_entry *entry = shard_entry(shard, number);
	int64_t left = entry->opens ? (int64_t)entry->idle_ms : shard_left_ms(entry, now);

	shard_note_gone(entry, why, now, gone);
	shard->tombs_n++;
	entry->is_tomb = true;
	entry->opens = 0;
	entry->used_at = (uint32_t)now;
	entry->idle_ms = left > SHARD_TICK_MS ? (uint32_t)left : SHARD_TICK_MS;
	shard_requeue(shard, entry, number, now);
}

void shard_revive(struct shard *shard, uint32_t cell, const struct table_value *value, int64_t now)
{
	uint32_t number = shard_number_at(shard, cell);
	struct shard_entry *entry = shard_entry(shard, number);

	shard->tombs_n--;
	shard->inserts++;
	entry->is_tomb = false;
	entry->server = (uint16_t)value->server;
	entry->generation = (uint16_t)value->generation;
	entry->idle_ms = value->idle_ms;
	entry->used_at = (uint32_t)now;
	shard_requeue(shard, entry, number, now);
}
