/* SPDX-License-Identifier: MIT */
/* For tests: is what table_shard.h says to be always true so? */
#include "config.h"

#include "balance/table_shard.h"

static bool cells_are_sane(struct shard *shard)
{
	const struct shard_cell *cells = shard_cells(shard);
	uint32_t used = 0;

	for (uint32_t i = 0; i < shard_cells_n(shard); i++) {
		if (!cells[i].entry)
			continue;
		struct table_key key = shard_key_of(shard, shard_at(shard, i));

		used++;
		if (!key.len || shard_find(shard, &key) != i)
			return false;
	}
	return used == shard_entries_n(shard);
}

/* True, and *N grows, when LIST is well linked and the wheel comes by each entry in time. */
static bool list_is_sane(struct shard *shard, uint32_t list, int64_t now, uint32_t *n)
{
	uint32_t prev = SHARD_LIST + list;
	/* The tick at which the wheel comes by this slot next. */
	int64_t tick = shard->tick + 1 +
		       (list + SHARD_WHEEL_N - (shard->tick + 1) % SHARD_WHEEL_N) % SHARD_WHEEL_N;

	for (uint32_t at = shard->links[list].next; at < SHARD_LIST;) {
		const struct shard_entry *entry = shard_entry(shard, at);
		int64_t due = shard_due_tick(entry, now);

		if (entry->link.prev != prev || !entry->key_len ||
		    entry->is_in_open_list != (list == SHARD_LIST_OPEN) ||
		    (entry->is_in_open_list && !entry->opens) || (entry->is_tomb && entry->opens))
			return false;
		if (list != SHARD_LIST_OPEN && !entry->opens && tick > due + 1 &&
		    tick > shard->tick + 1)
			return false;
		++*n;
		prev = at;
		at = entry->link.next;
	}
	return shard->links[list].prev == prev;
}

static bool marks_are_sane(const struct shard *shard)
{
	uint32_t dirty_n = 0, urgent_n = 0, tombs_n = 0;

	for (uint32_t number = 0; number < shard->chunks_n * SHARD_CHUNK_N; number++) {
		const struct shard_entry *entry = shard_entry(shard, number);
		bool is_used = number < shard->numbers_n && entry->key_len;

		if (shard_is_dirty(shard, number)) {
			if (!is_used || !shard->is_shared || entry->push == SHARD_PUSH_NONE)
				return false;
			dirty_n++;
		}
		if (shard->urgent[number / SHARD_CHUNK_N] >> number % SHARD_CHUNK_N & 1) {
			if (!shard_is_dirty(shard, number))
				return false;
			urgent_n++;
		}
		if (!is_used)
			continue;
		if (entry->is_tomb && !shard->is_shared)
			return false;
		if (!entry->is_sent && !shard_is_dirty(shard, number) && entry->push)
			return false;
		tombs_n += entry->is_tomb;
	}
	return dirty_n == shard_dirty_n(shard) && tombs_n == shard->tombs_n &&
	       urgent_n == atomic_load_explicit(&shard->urgent_n, memory_order_relaxed);
}

bool shard_is_sane(struct shard *shard, int64_t now)
{
	uint32_t listed = 0, free_n = 0;

	if (!cells_are_sane(shard) || !marks_are_sane(shard))
		return false;
	for (uint32_t list = 0; shard->links && list <= SHARD_WHEEL_N; list++)
		if (!list_is_sane(shard, list, now, &listed))
			return false;
	for (uint32_t at = shard->free_head; at;
	     at = shard_entry(shard, at - 1)->link.next, free_n++)
		if (shard_entry(shard, at - 1)->key_len)
			return false;
	return listed == shard_entries_n(shard) && listed + free_n == shard->numbers_n &&
	       shard->numbers_n <= shard->chunks_n * SHARD_CHUNK_N;
}
