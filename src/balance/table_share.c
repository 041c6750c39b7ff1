/* SPDX-License-Identifier: MIT */
/* What other nodes have to be told: marks, proposals, walks.  The way back is in table_merge.c. */
#include "config.h"

#include "balance/table_share.h"

#include "balance/sessions.h"
#include "balance/table_inner.h"
#include "balance/version.h"

#define LOOKS_AT_ONCE   1024 /* entries that one hold of a mutex looks at */
#define COLLECT_AT_ONCE 64   /* proposals made in one */

/*
 * Marks; a shard's mutex is held.
 */
void table_mark_use(struct shard *shard, struct shard_entry *entry, uint32_t cell, int64_t now,
		    struct shard_gone *gone)
{
	uint32_t number;

	if (entry->is_sent || entry->is_tomb || !shard_is_refresh_due(entry, now))
		return;
	number = shard_number_at(shard, cell);
	if (!shard_is_dirty(shard, number))
		shard_mark_later(shard, number, SHARD_PUSH_REFRESH, gone);
}

void table_mark_change(struct shard *shard, struct shard_entry *entry, uint32_t cell,
		       enum shard_push push, struct shard_gone *gone)
{
	shard_set_version(entry, version_next());
	/* The answer to what is under way changes nothing any more. */
	entry->is_sent = entry->is_again = false;
	shard_mark(shard, shard_number_at(shard, cell), push, gone);
}

/* Of a shard that is shared from now on. */
static void mark_all(struct shard *shard, struct shard_gone *gone)
{
	for (uint32_t number = 0; number < shard->numbers_n; number++)
		if (shard_entry(shard, number)->key_len)
			shard_mark_later(shard, number, SHARD_PUSH_ASSIGN, gone);
}

static void unmark_all(struct shard *shard, int64_t now, struct shard_gone *gone)
{
	/* The last one that leaves takes the shard's memory with it. */
	for (uint32_t number = 0; number < shard->numbers_n; number++) {
		struct shard_entry *entry = shard_entry(shard, number);
		struct table_key key;

		if (!entry->key_len)
			continue;
		shard_unmark(shard, number);
		entry->push = SHARD_PUSH_NONE;
		entry->is_sent = entry->is_again = false;
		if (!entry->is_tomb)
			continue;
		key = shard_key_of(shard, entry);
		shard_remove(shard, shard_find(shard, &key), TABLE_GONE_DROPPED, now, gone);
	}
}

void table_share(struct table *table, bool is_shared)
{
	struct shard_gone gone;

	if (atomic_exchange(&table->is_shared, is_shared) == is_shared)
		return;
	for (uint32_t i = 0; i < table->shards_n; i++) {
		struct shard *shard = &table->shards[i];

		table_gone_init(table, &gone);
		pthread_mutex_lock(&shard->mutex);
		shard->is_shared = is_shared;
		if (is_shared)
			mark_all(shard, &gone);
		else
			unmark_all(shard, table_now(table), &gone);
		table_unlock(table, shard, &gone);
	}
}

bool table_is_shared(const struct table *table)
{
	return atomic_load_explicit(&table->is_shared, memory_order_relaxed);
}

uint32_t table_dirty_n(const struct table *table)
{
	return atomic_load_explicit(&table->dirty_n, memory_order_relaxed);
}

/*
 * Records.
 */
static bool is_over(const struct shard_entry *entry, int64_t now)
{
	return !entry->opens && shard_left_ms(entry, now) <= 0;
}

void table_record_of(const struct shard *shard, const struct shard_entry *entry, int64_t now,
		     struct table_record *record)
{
	static const enum record_change changes[] = {
		[SHARD_PUSH_NONE] = RECORD_REFRESH,
		[SHARD_PUSH_REFRESH] = RECORD_REFRESH,
		[SHARD_PUSH_ASSIGN] = RECORD_ASSIGN,
		[SHARD_PUSH_SET] = RECORD_SET,
	};

	*record = (struct table_record){
		.key = shard_key_of(shard, entry),
		.state = RECORD_LIVE,
		.change = changes[entry->push],
		.version = shard_version(entry),
		.server = entry->server,
		.idle_ms = entry->idle_ms,
		.left_ms = entry->opens ? (int64_t)entry->idle_ms : shard_left_ms(entry, now),
	};
	if (record->left_ms < 1)
		record->left_ms = 1;
	if (entry->is_tomb) {
		record->state = RECORD_TOMB;
		record->change = RECORD_DROP;
		record->server = SERVER_NONE;
	} else {
		const struct server *server = server_by_number(entry->server);

		if (server && !server_is_of_generation(server, entry->generation))
			record->state = RECORD_DEAD;
	}
}

/* SHARD's, until MAX; the mutex is held. */
static uint32_t collect_some(struct shard *shard, bool is_urgent, uint32_t max, int64_t now,
			     struct table_record *records)
{
	uint32_t n = 0, number;

	for (uint32_t looks = COLLECT_AT_ONCE;
	     n < max && looks && (number = shard_next_dirty(shard, is_urgent)) != UINT32_MAX;
	     looks--) {
		struct shard_entry *entry = shard_entry(shard, number);

		shard_unmark(shard, number);
		if (is_over(entry, now)) {
			/* About to be freed: there is nothing left to tell. */
			entry->push = SHARD_PUSH_NONE;
			entry->is_sent = entry->is_again = false;
			continue;
		}
		/* Two of one version under way, and an older answer to the first would stand. */
		if (entry->is_sent) {
			entry->is_again = true;
			continue;
		}
		if (!shard_version(entry))
			shard_set_version(entry, version_next());
		entry->is_sent = true;
		entry->is_passed = false;
		table_record_of(shard, entry, now, &records[n++]);
	}
	return n;
}

static uint32_t collect(struct table *table, bool is_urgent, uint32_t max,
			struct table_record *records)
{
	uint32_t at = atomic_load_explicit(&table->collect_at, memory_order_relaxed), n = 0;

	for (uint32_t skipped = 0; n < max && skipped < table->shards_n;) {
		struct shard *shard = &table->shards[at & (table->shards_n - 1)];

		if (!atomic_load_explicit(is_urgent ? &shard->urgent_n : &shard->dirty_n,
					  memory_order_relaxed)) {
			at++;
			skipped++;
			continue;
		}
		pthread_mutex_lock(&shard->mutex);
		n += collect_some(shard, is_urgent, max - n, table_now(table), records + n);
		pthread_mutex_unlock(&shard->mutex);
	}
	atomic_store_explicit(&table->collect_at, at & (table->shards_n - 1), memory_order_relaxed);
	return n;
}

uint32_t table_collect(struct table *table, uint32_t max, struct table_record *records)
{
	return collect(table, false, max, records);
}

uint32_t table_collect_urgent(struct table *table, uint32_t max, struct table_record *records)
{
	if (!atomic_load_explicit(&table->urgent_n, memory_order_relaxed))
		return 0;
	return collect(table, true, max, records);
}

static void refresh_if_open(struct shard *shard, uint32_t number, int64_t now,
			    struct shard_gone *gone)
{
	struct shard_entry *entry = shard_entry(shard, number);

	if (entry->key_len && entry->opens && !entry->is_sent && shard_is_refresh_due(entry, now) &&
	    !shard_is_dirty(shard, number))
		shard_mark_later(shard, number, SHARD_PUSH_REFRESH, gone);
}

void table_refresh_open(struct table *table, uint32_t max)
{
	uint64_t cursor = atomic_load_explicit(&table->refresh_at, memory_order_relaxed);
	uint32_t at = (uint32_t)(cursor >> 32), number = (uint32_t)cursor, begun = at, turns = 0;
	struct shard_gone gone;

	if (!table_is_shared(table))
		return;
	while (max && turns < 2) {
		struct shard *shard = &table->shards[at & (table->shards_n - 1)];
		uint32_t looks = LOOKS_AT_ONCE;

		table_gone_init(table, &gone);
		pthread_mutex_lock(&shard->mutex);
		for (; number < shard->numbers_n && max && looks; number++, max--, looks--)
			refresh_if_open(shard, number, table_now(table), &gone);
		if (number >= shard->numbers_n) {
			at = (at + 1) & (table->shards_n - 1);
			number = 0;
			turns += at == begun; /* once round, and the rest of the first */
		}
		table_unlock(table, shard, &gone);
	}
	atomic_store_explicit(&table->refresh_at, (uint64_t)at << 32 | number,
			      memory_order_relaxed);
}

void table_resync_begin(struct table *table)
{
	atomic_fetch_add(&table->epoch, 1);
	atomic_store(&table->is_resyncing, true);
}

static void propose_if_unmet(struct shard *shard, uint32_t number, bool is_all, uint16_t epoch,
			     struct shard_gone *gone)
{
	const struct shard_entry *entry = shard_entry(shard, number);

	/* The answer to what is under way may be older than the comparison: once more. */
	if (!entry->key_len || shard_is_dirty(shard, number) ||
	    (!is_all && shard_version(entry) && entry->epoch == epoch))
		return;
	shard_mark_later(shard, number,
			 entry->is_sent         ? (enum shard_push)entry->push
			 : shard_version(entry) ? SHARD_PUSH_SET
						: SHARD_PUSH_ASSIGN,
			 gone);
}

void table_propose_all(struct table *table)
{
	bool is_all = !atomic_exchange(&table->is_resyncing, false);
	uint16_t epoch = (uint16_t)atomic_load(&table->epoch);
	struct shard_gone gone;

	if (!table_is_shared(table))
		return;
	for (uint32_t i = 0; i < table->shards_n; i++) {
		struct shard *shard = &table->shards[i];
		uint32_t number = 0;
		bool has_more = true;

		while (has_more) {
			table_gone_init(table, &gone);
			pthread_mutex_lock(&shard->mutex);
			for (uint32_t looks = LOOKS_AT_ONCE; looks && number < shard->numbers_n;
			     looks--, number++)
				propose_if_unmet(shard, number, is_all, epoch, &gone);
			has_more = number < shard->numbers_n;
			table_unlock(table, shard, &gone);
		}
	}
}

bool table_record(struct table *table, const struct table_key *key, struct table_record *record)
{
	struct shard *shard = shard_of(table, key);
	int64_t now = table_now(table);
	const struct shard_entry *entry = NULL;
	uint32_t cell;

	pthread_mutex_lock(&shard->mutex);
	cell = shard_find(shard, key);
	if (cell != UINT32_MAX)
		entry = shard_at(shard, cell);
	if (entry && is_over(entry, now))
		entry = NULL;
	if (entry)
		table_record_of(shard, entry, now, record);
	pthread_mutex_unlock(&shard->mutex);
	return entry != NULL;
}
