/* SPDX-License-Identifier: MIT */
/*
 * table_shard - one shard of a session table: index, entries, timing wheel.  Private to table*.c.
 *
 *   cells[]  {tag, number+1}  open addressing, linear probing, backward-shift deletion
 *      |
 *      v number
 *   chunks[number / 64][number % 64]  entries of 52 bytes; allocated as needed, numbers reused
 *      ^ prev/next
 *      |
 *   links[0..63] wheel slots of one second, links[64] the list of open entries
 *
 * dirty[number / 64]  bit number % 64: a change of this entry is to be told (table_share.h)
 * urgent[number / 64] the same, of those that somebody may wait for: they are told first
 *
 * An entry stands in exactly one list.  A use only writes used_at; the entry stays in its slot and
 * is put where it belongs when the wheel comes by.  So a lookup touches the cell and the entry and
 * nothing else, and each use causes at most one later move.
 *
 * Always true (shard_is_sane):
 *   1. The wheel comes by an entry within two seconds of its deadline (or earlier).  Deadlines
 * farther off than the wheel reaches wait in its last slot and are put on again.
 *   2. An entry in the open list has opens > 0; one in the wheel may have.
 *   3. Cells and entries in use are as many as entries_n; every cell is reached from its home.
 *   4. dirty_n bits are set in dirty[], all of entries in use that say what is to be told;
 *      urgent_n in urgent[], all of them in dirty[] too.
 *   5. A tombstone has no opens and stands in the wheel; only shared shards have any.
 *
 * Times are milliseconds since the table was made.  used_at keeps 32 bits of it: right as long as
 * an entry is visited within 24 days, which TABLE_IDLE_MAX_MS and the wheel make sure of.
 */
#ifndef BALANCE_TABLE_SHARD_H
#define BALANCE_TABLE_SHARD_H

#include <pthread.h>
#include <stdatomic.h>

#include "balance/table.h"
#include "balance/table_mem.h"

#define SHARD_CHUNK_N   64
#define SHARD_WHEEL_N   64
#define SHARD_TICK_MS   1000
#define SHARD_OPENS_MAX 0xffffu

struct shard_link {
	uint32_t prev, next; /* entry number, or SHARD_LIST + index in links[] */
};
#define SHARD_LIST      0xffffff00u
#define SHARD_LIST_OPEN SHARD_WHEEL_N

/* What the other nodes have to be told of an entry; the order is that of strength. */
enum shard_push { SHARD_PUSH_NONE, SHARD_PUSH_REFRESH, SHARD_PUSH_ASSIGN, SHARD_PUSH_SET };

struct shard_entry {
	struct shard_link link; /* when free: next = next free number + 1 */
	uint32_t used_at;       /* ms, low 32 bits: end of the last use */
	uint32_t idle_ms;       /* of a tombstone: its lifetime, from used_at on */
	uint16_t server, generation;
	uint16_t opens;
	uint16_t key_len : 5; /* 0 = free */
	uint16_t is_in_open_list : 1;
	uint16_t is_tomb : 1;
	uint16_t is_sent : 1;   /* a proposal of this version is under way */
	uint16_t is_again : 1;  /* and it is to be told again after the answer */
	uint16_t is_passed : 1; /* and the stream has told of the key meanwhile */
	uint16_t push : 2;   /* enum shard_push, while dirty or sent; of a tombstone SET = DROP */
	uint32_t version[2]; /* version.h, low half first */
	unsigned char key[TABLE_KEY_SIZE]; /* zeroes behind key_len */
	uint16_t pushed_at; /* when Redis was last known to hold it, in shard_push_unit() */
	uint16_t epoch;     /* of the table, then */
};
_Static_assert(sizeof(struct shard_entry) == 52, "the budget is 64 bytes with the index");
_Static_assert(sizeof(struct shard_entry) * SHARD_CHUNK_N == TABLE_CHUNK_SIZE, "of table_mem.h");

struct shard_cell {
	uint32_t tag;   /* low half of the key's hash; its home is tag * cells_n / 2^32 */
	uint32_t entry; /* number + 1; 0 = empty */
};

/* Where a shard is at home: what it has of its table. */
struct shard_place {
	bool is_secret;                /* keys are digests */
	uint32_t part, parts_n;        /* which of the shards it is */
	struct table_index_maps *maps; /* (view) */
	_Atomic uint32_t *dirty_all;   /* (view) of all shards */
	_Atomic uint32_t *urgent_all;
};

struct shard {
	/* One cache line, and what a look-up reads of the shard but for its figures. */
	pthread_mutex_t mutex;
	/* Read without the mutex by table_prefetch() alone. */
	_Atomic(struct shard_cell *) cells; /* (own) */
	_Atomic uint32_t cells_n;
	_Atomic uint32_t entries_n;  /* written under the mutex */
	struct shard_entry **chunks; /* (own) */

	uint64_t lookups, hits, inserts, evictions, expirations;
	uint32_t chunks_n, chunks_cap;
	uint32_t free_head; /* number + 1 */
	uint32_t numbers_n; /* numbers ever given out of chunks[] */
	bool is_shared;     /* changes are marked */

	struct table_index_map *map; /* (ref) cells[] are a part of it; NULL = on their own */
	struct shard_place place;    /* (const) */
	uint64_t *dirty, *urgent;    /* (own) one word for each chunk */
	_Atomic uint32_t dirty_n;    /* bits there; written under the mutex */
	_Atomic uint32_t urgent_n;   /* likewise */
	uint32_t dirty_at;           /* chunk where table_collect() goes on */
	uint32_t tombs_n;            /* of entries_n */
	struct shard_link *links;    /* (own) NULL until the first entry */
	int64_t tick;                /* slots up to this second have been emptied */
	uint64_t size_bytes;         /* all that is owned but for the shard itself */
} __attribute__((aligned(64)));

#define shard_cells(shard)     atomic_load_explicit(&(shard)->cells, memory_order_relaxed)
#define shard_cells_n(shard)   atomic_load_explicit(&(shard)->cells_n, memory_order_relaxed)
#define shard_entries_n(shard) atomic_load_explicit(&(shard)->entries_n, memory_order_relaxed)
#define shard_dirty_n(shard)   atomic_load_explicit(&(shard)->dirty_n, memory_order_relaxed)

/* What ended under the mutex, to be told when it is free. */
#define SHARD_GONE_N 16
struct shard_gone {
	uint32_t n;      /* items */
	uint32_t left_n; /* entries that left the shard, tombstones included */
	bool is_wanted;  /* else nothing is copied */
	bool is_woken;   /* a first mark was set: the table had nothing dirty, or urgent */
	struct {
		struct table_value value;
		enum table_gone why;
		uint8_t key_len;
		unsigned char key[TABLE_KEY_SIZE];
	} items[SHARD_GONE_N];
};

static inline bool shard_gone_is_full(const struct shard_gone *gone)
{
	return gone->n == SHARD_GONE_N || gone->left_n >= SHARD_GONE_N;
}

/* Of what is kept of a key.  The shard alone knows whether that is a digest already. */
uint64_t shard_hash(bool is_secret, const unsigned char *kept, uint8_t len);

/* All with the mutex held; NOW is ms since the table was made. */
void shard_init(struct shard *shard, const struct shard_place *place);
void shard_fini(struct shard *shard);
struct shard_entry *shard_entry(const struct shard *shard, uint32_t number);
/* Position in cells[], or UINT32_MAX. */
uint32_t shard_find(const struct shard *shard, const struct table_key *key);
/* The entry that a look at the index takes for KEY's, without a look at it; or NULL. */
const struct shard_entry *shard_guess(const struct shard *shard, const struct table_key *key);
struct shard_entry *shard_at(const struct shard *shard, uint32_t cell);
uint32_t shard_number_at(const struct shard *shard, uint32_t cell);
struct table_key shard_key_of(const struct shard *shard, const struct shard_entry *entry);
/* What is left of its idle time; <= 0 = expired.  Not for entries with opens. */
int64_t shard_left_ms(const struct shard_entry *entry, int64_t now);
/* The first second that begins after its deadline. */
int64_t shard_due_tick(const struct shard_entry *entry, int64_t now);
void shard_value(const struct shard_entry *entry, int64_t now, struct table_value *value);
/* KEY must be absent.  CELLS_FINAL: cells that the shard will need when the table is full. */
struct shard_entry *shard_insert(struct shard *shard, const struct table_key *key,
				 const struct table_value *value, int64_t now,
				 uint32_t cells_final);
void shard_use(struct shard_entry *entry, int64_t now);
/* After idle_ms became less, or opens 0. */
void shard_requeue(struct shard *shard, struct shard_entry *entry, uint32_t number, int64_t now);
void shard_remove(struct shard *shard, uint32_t cell, enum table_gone why, int64_t now,
		  struct shard_gone *gone);
/* Notes that ENTRY's value ends; the entry itself stays. */
void shard_note_gone(const struct shard_entry *entry, enum table_gone why, int64_t now,
		     struct shard_gone *gone);
/* Drops entries until GONE is full; true when there are more. */
bool shard_drop_some(struct shard *shard, int64_t now, struct shard_gone *gone);
/* False when the shard is empty. */
bool shard_evict(struct shard *shard, int64_t now, struct shard_gone *gone);
/*
 * Turns the wheel up to NOW.  Stops when GONE is full or *VISITS is used up; true when there is
 * more to do.
 */
bool shard_turn(struct shard *shard, int64_t now, uint32_t *visits, struct shard_gone *gone);

/*
 * Marks.
 */
static inline uint64_t shard_version(const struct shard_entry *entry)
{
	return (uint64_t)entry->version[1] << 32 | entry->version[0];
}
static inline void shard_set_version(struct shard_entry *entry, uint64_t version)
{
	entry->version[0] = (uint32_t)version;
	entry->version[1] = (uint32_t)(version >> 32);
}
static inline bool shard_is_dirty(const struct shard *shard, uint32_t number)
{
	return shard->dirty[number / SHARD_CHUNK_N] >> number % SHARD_CHUNK_N & 1;
}
/* NUMBER is to be told, as PUSH or what is stronger already; GONE hears of a first mark. */
void shard_mark(struct shard *shard, uint32_t number, enum shard_push push,
		struct shard_gone *gone);
/* The same, after all that is urgent: nobody waits for it, and there may be a million of them. */
void shard_mark_later(struct shard *shard, uint32_t number, enum shard_push push,
		      struct shard_gone *gone);
void shard_unmark(struct shard *shard, uint32_t number);
/* The lowest dirty (urgent) number, from dirty_at on and round; UINT32_MAX = none. */
uint32_t shard_next_dirty(struct shard *shard, bool is_urgent);
/* Redis holds the entry with LEFT_MS of its lifetime left, as far as is known. */
void shard_set_pushed(struct shard_entry *entry, int64_t now, int64_t left_ms);
/* More than half of the lifetime has passed on Redis. */
bool shard_is_refresh_due(const struct shard_entry *entry, int64_t now);
/* Ends the entry at CELL, which stays as a tombstone for as long as it might have lived. */
void shard_bury(struct shard *shard, uint32_t cell, enum table_gone why, int64_t now,
		struct shard_gone *gone);
/* The tombstone becomes an entry again, as shard_insert() would make it. */
void shard_revive(struct shard *shard, uint32_t cell, const struct table_value *value, int64_t now);

bool shard_is_sane(struct shard *shard, int64_t now);

#endif
