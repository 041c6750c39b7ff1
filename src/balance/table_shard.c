/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/table_shard.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/siphash.h"

#define CELLS_MIN    16
#define EVICT_VISITS 16

#define set_entries(shard, n) atomic_store_explicit(&(shard)->entries_n, n, memory_order_relaxed)

void shard_init(struct shard *shard, const struct shard_place *place)
{
	memset(shard, 0, sizeof(*shard));
	pthread_mutex_init(&shard->mutex, NULL);
	shard->place = *place;
}

static void cells_free(struct shard *shard)
{
	struct shard_cell *cells = shard_cells(shard);
	size_t size = shard_cells_n(shard) * sizeof(*cells);

	if (shard->map)
		table_index_part_give(shard->place.maps, shard->map, cells, size);
	else
		table_index_free(cells, size);
	shard->map = NULL;
}

static void shard_free_memory(struct shard *shard)
{
	for (uint32_t i = 0; i < shard->chunks_n; i++)
		table_chunk_put(shard->chunks[i]);
	free(shard->chunks);
	free(shard->dirty);
	free(shard->urgent);
	free(shard->links);
	cells_free(shard);
}

void shard_fini(struct shard *shard)
{
	shard_free_memory(shard);
	pthread_mutex_destroy(&shard->mutex);
}

/* Gives everything back; a table that had a burst does not keep its memory for ever. */
static void shard_reset(struct shard *shard)
{
	shard_free_memory(shard);
	shard->chunks = NULL;
	shard->dirty = shard->urgent = NULL;
	shard->dirty_at = 0;
	shard->links = NULL;
	atomic_store_explicit(&shard->cells_n, 0, memory_order_relaxed);
	atomic_store_explicit(&shard->cells, NULL, memory_order_relaxed);
	shard->chunks_n = shard->chunks_cap = shard->free_head = shard->numbers_n = 0;
	shard->size_bytes = 0;
}

struct shard_entry *shard_entry(const struct shard *shard, uint32_t number)
{
	return &shard->chunks[number / SHARD_CHUNK_N][number % SHARD_CHUNK_N];
}

struct shard_entry *shard_at(const struct shard *shard, uint32_t cell)
{
	return shard_entry(shard, shard_cells(shard)[cell].entry - 1);
}

uint32_t shard_number_at(const struct shard *shard, uint32_t cell)
{
	return shard_cells(shard)[cell].entry - 1;
}

uint64_t shard_hash(bool is_secret, const unsigned char *kept, uint8_t len)
{
	const struct siphash_key *key = siphash_process_key();
	uint64_t halves[2];
	unsigned __int128 product;

	if (!is_secret)
		return siphash13(key, kept, len);
	/*
	 * A digest is as good as random, but whoever knows its key (it may be as little as a
	 * prefix in a file) could aim: folded with what only this process knows.
	 */
	memcpy(halves, kept, sizeof(halves));
	product = (unsigned __int128)(halves[0] ^ key->k0) * (halves[1] ^ key->k1);
	return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

static bool has_key(const struct shard_entry *entry, const struct table_key *key)
{
	return entry->key_len == key->len && memcmp(entry->key, key->bytes, TABLE_KEY_SIZE) == 0;
}

/*
 * The index.
 */
static inline uint32_t home_of(uint32_t tag, uint32_t cells_n)
{
	return (uint32_t)((uint64_t)tag * cells_n >> 32);
}

/* Its cell; IS_GUESS: the first that may be it. */
static inline uint32_t find_cell(const struct shard *shard, const struct table_key *key,
				 bool is_guess)
{
	const struct shard_cell *cells = shard_cells(shard);
	uint32_t cells_n = shard_cells_n(shard);
	uint32_t tag = (uint32_t)key->hash;

	if (!cells_n)
		return UINT32_MAX;
	for (uint32_t i = home_of(tag, cells_n); cells[i].entry;) {
		if (cells[i].tag == tag && (is_guess || has_key(shard_at(shard, i), key)))
			return i;
		if (++i == cells_n)
			i = 0;
	}
	return UINT32_MAX;
}

uint32_t shard_find(const struct shard *shard, const struct table_key *key)
{
	return find_cell(shard, key, false);
}

const struct shard_entry *shard_guess(const struct shard *shard, const struct table_key *key)
{
	uint32_t cell = find_cell(shard, key, true);

	return cell == UINT32_MAX ? NULL : shard_at(shard, cell);
}

static void cells_put(struct shard_cell *cells, uint32_t cells_n, struct shard_cell cell)
{
	uint32_t i = home_of(cell.tag, cells_n);

	while (cells[i].entry)
		if (++i == cells_n)
			i = 0;
	cells[i] = cell;
}

static void cells_remove(struct shard_cell *cells, uint32_t cells_n, uint32_t hole)
{
	for (uint32_t i = hole;;) {
		if (++i == cells_n)
			i = 0;
		if (!cells[i].entry)
			break;
		uint32_t home = home_of(cells[i].tag, cells_n);
		uint32_t from_home = i >= home ? i - home : i + cells_n - home;
		uint32_t from_hole = i >= hole ? i - hole : i + cells_n - hole;

		if (from_home < from_hole)
			continue; /* its home lies behind the hole */
		cells[hole] = cells[i];
		hole = i;
	}
	cells[hole] = (struct shard_cell){ 0, 0 };
}

/* Loaded to 4/5 at most; grows by half, to CELLS_FINAL exactly when that is near, by an eighth
 * above. */
static void shard_grow_cells(struct shard *shard, uint32_t cells_final)
{
	struct shard_cell *old_cells = shard_cells(shard);
	uint32_t old_n = shard_cells_n(shard);
	uint32_t n = old_n < CELLS_MIN ? CELLS_MIN : old_n + old_n / (old_n < cells_final ? 2 : 8);

	if ((uint64_t)(shard_entries_n(shard) + 1) * 5 <= (uint64_t)old_n * 4)
		return;
	if (old_n < cells_final && n > cells_final / 4 * 3)
		n = cells_final < CELLS_MIN ? CELLS_MIN : cells_final;
	struct table_index_map *map = NULL;
	struct shard_cell *cells = NULL;

	if (n == cells_final) /* it will stay this large for long */
		cells = table_index_part_take(shard->place.maps, shard->map, shard->place.part,
					      shard->place.parts_n, n * sizeof(*cells), &map);
	if (!cells)
		cells = table_index_new(n * sizeof(*cells));
	for (uint32_t i = 0; i < old_n; i++)
		if (old_cells[i].entry)
			cells_put(cells, n, old_cells[i]);
	shard->size_bytes += ((uint64_t)n - old_n) * sizeof(*cells);
	cells_free(shard);
	shard->map = map;
	atomic_store_explicit(&shard->cells, cells, memory_order_relaxed);
	atomic_store_explicit(&shard->cells_n, n, memory_order_relaxed);
}

/*
 * Lists.
 */
static inline struct shard_link *link_of(const struct shard *shard, uint32_t at)
{
	return at >= SHARD_LIST ? &shard->links[at - SHARD_LIST] : &shard_entry(shard, at)->link;
}

static void link_remove(struct shard *shard, const struct shard_link *link)
{
	link_of(shard, link->prev)->next = link->next;
	link_of(shard, link->next)->prev = link->prev;
}

static void link_append(struct shard *shard, uint32_t list, uint32_t number)
{
	struct shard_link *head = &shard->links[list];
	struct shard_link *link = &shard_entry(shard, number)->link;

	link->prev = head->prev;
	link->next = SHARD_LIST + list;
	link_of(shard, head->prev)->next = number;
	head->prev = number;
}

/* First of LIST, or UINT32_MAX. */
static uint32_t list_first(const struct shard *shard, uint32_t list)
{
	uint32_t at = shard->links[list].next;

	return at >= SHARD_LIST ? UINT32_MAX : at;
}

int64_t shard_left_ms(const struct shard_entry *entry, int64_t now)
{
	int32_t elapsed = (int32_t)((uint32_t)now - entry->used_at);

	/* Negative: another thread's clock, which is ahead, wrote it. */
	return (int64_t)entry->idle_ms - (elapsed > 0 ? elapsed : 0);
}

int64_t shard_due_tick(const struct shard_entry *entry, int64_t now)
{
	int64_t left = shard_left_ms(entry, now);

	return (now + (left > 0 ? left : 0)) / SHARD_TICK_MS + 1;
}

static void wheel_add(struct shard *shard, struct shard_entry *entry, uint32_t number, int64_t now)
{
	int64_t tick = shard_due_tick(entry, now);

	if (tick <= shard->tick)
		tick = shard->tick + 1;
	if (tick >= shard->tick + SHARD_WHEEL_N)
		tick = shard->tick + SHARD_WHEEL_N - 1;
	link_append(shard, (uint32_t)(tick % SHARD_WHEEL_N), number);
}

void shard_requeue(struct shard *shard, struct shard_entry *entry, uint32_t number, int64_t now)
{
	link_remove(shard, &entry->link);
	entry->is_in_open_list = false;
	wheel_add(shard, entry, number, now);
}

static void move_to_open_list(struct shard *shard, struct shard_entry *entry, uint32_t number)
{
	link_remove(shard, &entry->link);
	entry->is_in_open_list = true;
	link_append(shard, SHARD_LIST_OPEN, number);
}

/*
 * Entries.
 */
static void shard_make_links(struct shard *shard, int64_t now)
{
	if (!shard->links) {
		shard->links = xmalloc((SHARD_WHEEL_N + 1) * sizeof(*shard->links));
		shard->size_bytes += (SHARD_WHEEL_N + 1) * sizeof(*shard->links);
		for (uint32_t i = 0; i <= SHARD_WHEEL_N; i++)
			shard->links[i].prev = shard->links[i].next = SHARD_LIST + i;
	}
	if (!shard_entries_n(shard))
		shard->tick = now / SHARD_TICK_MS;
}

static uint32_t shard_take_number(struct shard *shard)
{
	uint32_t number = shard->free_head;

	if (number--) {
		shard->free_head = shard_entry(shard, number)->link.next;
		return number;
	}
	number = shard->numbers_n;
	if (number == shard->chunks_n * SHARD_CHUNK_N) {
		if (shard->chunks_n == shard->chunks_cap) {
			uint32_t cap = shard->chunks_cap + shard->chunks_cap / 2 + 4;

			shard->chunks = xrealloc_array(shard->chunks, cap, sizeof(*shard->chunks));
			shard->dirty = xrealloc_array(shard->dirty, cap, sizeof(*shard->dirty));
			shard->urgent = xrealloc_array(shard->urgent, cap, sizeof(*shard->urgent));
			shard->size_bytes += (cap - shard->chunks_cap) *
					     (sizeof(*shard->chunks) + 2 * sizeof(*shard->dirty));
			shard->chunks_cap = cap;
		}
		shard->dirty[shard->chunks_n] = shard->urgent[shard->chunks_n] = 0;
		shard->chunks[shard->chunks_n++] = table_chunk_get();
		shard->size_bytes += TABLE_CHUNK_SIZE;
	}
	bug_on(number >= SHARD_LIST);
	shard->numbers_n++;
	return number;
}

struct shard_entry *shard_insert(struct shard *shard, const struct table_key *key,
				 const struct table_value *value, int64_t now, uint32_t cells_final)
{
	shard_grow_cells(shard, cells_final);
	shard_make_links(shard, now);

	uint32_t number = shard_take_number(shard);
	struct shard_entry *entry = shard_entry(shard, number);

	*entry = (struct shard_entry){
		.used_at = (uint32_t)now,
		.idle_ms = value->idle_ms,
		.server = (uint16_t)value->server,
		.generation = (uint16_t)value->generation,
		.key_len = key->len & 31u,
	};
	memcpy(entry->key, key->bytes, sizeof(entry->key));
	cells_put(shard_cells(shard), shard_cells_n(shard),
		  (struct shard_cell){ (uint32_t)key->hash, number + 1 });
	wheel_add(shard, entry, number, now);
	set_entries(shard, shard_entries_n(shard) + 1);
	shard->inserts++;
	return entry;
}

void shard_use(struct shard_entry *entry, int64_t now)
{
	if ((int32_t)((uint32_t)now - entry->used_at) > 0)
		entry->used_at = (uint32_t)now;
}

void shard_value(const struct shard_entry *entry, int64_t now, struct table_value *value)
{
	*value = (struct table_value){
		.server = entry->server,
		.generation = entry->generation,
		.idle_ms = entry->idle_ms,
		.opens = entry->opens,
		.expires_in_ms = entry->opens ? (int64_t)entry->idle_ms : shard_left_ms(entry, now),
	};
}

void shard_note_gone(const struct shard_entry *entry, enum table_gone why, int64_t now,
		     struct shard_gone *gone)
{
	uint32_t n = gone->n++;

	bug_on(n >= SHARD_GONE_N);
	if (!gone->is_wanted)
		return;
	shard_value(entry, now, &gone->items[n].value);
	gone->items[n].why = why;
	gone->items[n].key_len = entry->key_len;
	memcpy(gone->items[n].key, entry->key, sizeof(entry->key));
}

void shard_remove(struct shard *shard, uint32_t cell, enum table_gone why, int64_t now,
		  struct shard_gone *gone)
{
	uint32_t number = shard_cells(shard)[cell].entry - 1;
	struct shard_entry *entry = shard_entry(shard, number);

	gone->left_n++;
	if (entry->is_tomb) {
		shard->tombs_n--;
	} else {
		shard_note_gone(entry, why, now, gone);
		shard->evictions += why == TABLE_GONE_EVICTED;
		shard->expirations += why == TABLE_GONE_EXPIRED;
	}
	shard_unmark(shard, number);
	link_remove(shard, &entry->link);
	cells_remove(shard_cells(shard), shard_cells_n(shard), cell);
	entry->key_len = 0;
	entry->link.next = shard->free_head;
	shard->free_head = number + 1;
	set_entries(shard, shard_entries_n(shard) - 1);
	if (!shard_entries_n(shard) && shard->chunks_n > 4)
		shard_reset(shard);
}

struct table_key shard_key_of(const struct shard *shard, const struct shard_entry *entry)
{
	struct table_key key = { .len = entry->key_len };

	key.hash = shard_hash(shard->place.is_secret, entry->key, entry->key_len);
	memcpy(key.bytes, entry->key, sizeof(key.bytes));
	return key;
}

static void remove_number(struct shard *shard, uint32_t number, enum table_gone why, int64_t now,
			  struct shard_gone *gone)
{
	struct table_key key = shard_key_of(shard, shard_entry(shard, number));

	shard_remove(shard, shard_find(shard, &key), why, now, gone);
}

bool shard_drop_some(struct shard *shard, int64_t now, struct shard_gone *gone)
{
	for (uint32_t list = 0; shard->links && list <= SHARD_WHEEL_N; list++) {
		uint32_t number;

		while (shard_entries_n(shard) && (number = list_first(shard, list)) != UINT32_MAX) {
			if (shard_gone_is_full(gone))
				return true;
			remove_number(shard, number, TABLE_GONE_DROPPED, now, gone);
		}
	}
	return false;
}

/*
 * Looks at entries in the order in which the wheel will come by.  The first that really is due
 * there goes, or a tombstone that has been told; one used since is put where it belongs.  After
 * EVICT_VISITS of those, the one of them with the least time left goes.  Open entries are set
 * aside, and taken when there is nothing else.
 */
static uint32_t find_victim(struct shard *shard, int64_t now)
{
	uint32_t best = UINT32_MAX, visits = 0;
	int64_t best_left = INT64_MAX;

	for (int64_t tick = shard->tick + 1; tick <= shard->tick + SHARD_WHEEL_N; tick++) {
		uint32_t list = (uint32_t)(tick % SHARD_WHEEL_N), number;

		while ((number = list_first(shard, list)) != UINT32_MAX) {
			struct shard_entry *entry = shard_entry(shard, number);

			if (entry->opens) {
				move_to_open_list(shard, entry, number);
				continue;
			}
			if (shard_due_tick(entry, now) <= tick || number == best ||
			    (entry->is_tomb && !shard_is_dirty(shard, number)))
				return number;
			if (shard_left_ms(entry, now) < best_left) {
				best_left = shard_left_ms(entry, now);
				best = number;
			}
			if (++visits == EVICT_VISITS)
				return best;
			shard_requeue(shard, entry, number, now);
			if (list_first(shard, list) == number)
				break; /* alone in the last slot: it belongs there */
		}
	}
	return best != UINT32_MAX ? best : list_first(shard, SHARD_LIST_OPEN);
}

bool shard_evict(struct shard *shard, int64_t now, struct shard_gone *gone)
{
	if (!shard_entries_n(shard))
		return false;
	uint32_t number = find_victim(shard, now);
	struct shard_entry *entry = shard_entry(shard, number);
	bool is_expired = !entry->opens && shard_left_ms(entry, now) <= 0;

	remove_number(shard, number, is_expired ? TABLE_GONE_EXPIRED : TABLE_GONE_EVICTED, now,
		      gone);
	return true;
}

bool shard_turn(struct shard *shard, int64_t now, uint32_t *visits, struct shard_gone *gone)
{
	int64_t until = now / SHARD_TICK_MS;

	if (!shard_entries_n(shard))
		return false;
	if (shard->tick < until - SHARD_WHEEL_N)
		shard->tick = until - SHARD_WHEEL_N; /* every slot once */
	for (; shard->tick < until; shard->tick++) {
		uint32_t list = (uint32_t)((shard->tick + 1) % SHARD_WHEEL_N), number;

		while ((number = list_first(shard, list)) != UINT32_MAX) {
			struct shard_entry *entry = shard_entry(shard, number);

			if (!*visits || shard_gone_is_full(gone))
				return true;
			--*visits;
			if (entry->opens) {
				move_to_open_list(shard, entry, number);
			} else if (shard_left_ms(entry, now) <= 0) {
				remove_number(shard, number, TABLE_GONE_EXPIRED, now, gone);
				if (!shard_entries_n(shard))
					return false;
			} else {
				/* This slot is being emptied: the next one at the earliest. */
				shard->tick++;
				shard_requeue(shard, entry, number, now);
				shard->tick--;
			}
		}
	}
	return false;
}
