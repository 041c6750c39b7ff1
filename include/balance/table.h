/* SPDX-License-Identifier: MIT */
/*
 * table - session table: key -> server, with an idle time, bounded, shared by all threads.
 *
 * A key is 1..16 bytes, kept by value: an address as it is, a sid or the app's cookie as a keyed
 * hash of 128 bits (SipHash-2-4), so that neither this table nor its copies hold a bearer secret.
 * An entry names a server by number and the server's generation when it was made; an entry of an
 * older generation is as good as gone and nobody has to scan for it.  An entry expires idle_ms
 * after its last use; while it is open (table_open() without its table_close(): a request or
 * WebSocket of the session runs) it does not.
 *
 * Always true:
 *   1. No pointer into the table leaves it; answers are copied out.
 *   2. At most max_entries.  Room is made in the shard of the new key, counted: by its entry that
 * is next to expire (to the second; when many there were used lately, by the most idle of 16). Open
 * entries go only when the shard has no other.
 *   3. An expired entry is never returned.  Whoever meets it frees it; table_expire() called every
 *      second frees it within about two seconds, whatever other entries there are.
 *   4. A keyed hash picks shard and bucket, so that clients cannot aim at one.
 *
 *   5. A tombstone (table_share.h: a deleted entry of a table that other nodes have too) is absent
 * to all calls here, but counts for max_entries; it makes room before live entries where one is
 * met.
 *
 * Memory: an empty table costs about 12 KiB; an entry of a full one at most 64 bytes, index
 * included. What a burst took is given back when a shard has become empty.
 *
 * Threads.  Call from any; each call holds one shard's mutex for one probe.  The hook runs after
 * the mutex is let go.
 */
#ifndef BALANCE_TABLE_H
#define BALANCE_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bug.h"
#include "base/siphash.h"
#include "base/str.h"

#define TABLE_KEY_MAX         128             /* bytes of a sid */
#define TABLE_KEY_SIZE        16              /* bytes that are kept of a key */
#define TABLE_SERVER_MAX      0xffff          /* numbers of servers that can be kept */
#define TABLE_GENERATION_MASK 0xffff          /* what is kept of a generation: compare under it */
#define TABLE_IDLE_MAX_MS     (20 * 86400000) /* longer idle times are cut to 20 days */

struct table;

/* A key as it is kept, with its hash, so that it is hashed once per request.  By value. */
struct table_key {
	uint64_t hash;                       /* picks shard and bucket; this process's alone */
	uint8_t len;                         /* 1..TABLE_KEY_SIZE */
	unsigned char bytes[TABLE_KEY_SIZE]; /* zeroes behind len */
};

struct table_value {
	uint32_t server;       /* number, 0..TABLE_SERVER_MAX */
	uint32_t generation;   /* of the server when the entry was made; on read its low 16 bits */
	uint32_t idle_ms;      /* lifetime after the last use, 1..TABLE_IDLE_MAX_MS */
	uint32_t opens;        /* requests and WebSockets that hold it now */
	int64_t expires_in_ms; /* on read: what is left; idle_ms when it is held */
};

enum table_gone { TABLE_GONE_EXPIRED, TABLE_GONE_EVICTED, TABLE_GONE_DROPPED, TABLE_GONE_REPLACED };

/*
 * Called once for each entry that ends (not by table_free(), and not for tombstones); used to count
 * live sessions.  KEY is what is kept of the key.
 */
typedef void table_gone_fn(void *arg, struct str key, const struct table_value *value,
			   enum table_gone why);

struct table_options {
	const char *name;       /* kept by reference; for "show table" */
	uint32_t max_entries;   /* 1..1<<30; also decides the number of shards */
	table_gone_fn *on_gone; /* may be NULL */
	void *arg;
	bool is_secret;  /* keys are bearer secrets: kept as a keyed hash, whatever their length */
	bool is_counted; /* a live entry is a session of its server: merges count it there, and
			    on_gone has to take it off again */
};

struct table *table_new(const struct table_options *options);
void table_free(struct table *table);
/* Changes the bound (reload).  Entries above it go, oldest first, as new ones come. */
void table_set_max(struct table *table, uint32_t max_entries);

/*
 * The key for BYTES (1 or more): a keyed hash of them when the table is secret or they are more
 * than TABLE_KEY_SIZE, else they themselves.
 */
struct table_key table_key(const struct table *table, struct str bytes);
/* The key that is kept as KEPT, 1..TABLE_KEY_SIZE bytes: from a copy, a file, Redis. */
struct table_key table_key_kept(const struct table *table, struct str kept);
/* What is kept of KEY (view). */
static inline struct str table_key_str(const struct table_key *key)
{
	return (struct str){ (const char *)key->bytes, key->len };
}
static inline bool table_key_eq(const struct table_key *a, const struct table_key *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, TABLE_KEY_SIZE) == 0;
}
/* How people see a secret key: '~' and these 16 hex digits, the first half of its bytes. */
uint64_t table_key_id(const struct table_key *key);
bool table_is_secret(const struct table *table);

/*
 * The key of that hash, one for the process: siphash_process_key() until another is set.  Former
 * ones are remembered, so that what was kept under them is still found.
 */
#define TABLE_DIGEST_FORMER_MAX 3
/* From now on KEY; the one before becomes the newest former one. */
void table_digest_set(const struct siphash_key *key);
/* KEY instead of siphash_process_key(), which no key was made with yet: no former one.  No effect
 * when one was set. */
void table_digest_begin(const struct siphash_key *key);
/* KEY is the newest former one (of the process before, of a state file), unless it is in force. */
void table_digest_also(const struct siphash_key *key);
void table_digest_current(struct siphash_key *key);
/* The former ones, newest first from I = 0; false behind the last. */
bool table_digest_former(uint32_t i, struct siphash_key *key);
/* Hot path: is there any? */
bool table_digest_has_former(void);
/* The key for BYTES under former digest key I; false behind the last, or if BYTES is not hashed. */
bool table_key_former(const struct table *table, struct str bytes, uint32_t i,
		      struct table_key *key);
/* table_key_id() of BYTES in a secret table: for log lines. */
uint64_t table_secret_id(struct str bytes);

/*
 * Starts loading the cache lines that a lookup of KEY touches first: its shard's and the index's.
 */
void table_prefetch(const struct table *table, const struct table_key *key);
/* When those have come: that of the entry. */
void table_prefetch_entry(const struct table *table, const struct table_key *key);

/* True and *VALUE when KEY is there and not expired. */
bool table_find(struct table *table, const struct table_key *key, struct table_value *value);
/*
 * The same, and the entry is held open: the caller owes one table_close().  VALUE's expires_in_ms
 * is that of before: when nobody held it, it tells for how long nobody did.
 */
bool table_open(struct table *table, const struct table_key *key, struct table_value *value);
/* Lets go; the idle time starts now.  Fine when the entry has gone meanwhile. */
void table_close(struct table *table, const struct table_key *key);
/* Use without holding: the idle time starts again. */
bool table_touch(struct table *table, const struct table_key *key, struct table_value *value);

enum table_put { TABLE_PUT_NEW, TABLE_PUT_SAME, TABLE_PUT_CHANGED };
/*
 * Sets KEY to VALUE's server, generation and idle_ms; its idle time starts now.  Opens of an
 * existing entry are kept, for those who hold it will close it.  TABLE_PUT_CHANGED (server or
 * generation differ): *OLD (may be NULL) is what it replaced, and the hook was told of it.
 */
enum table_put table_put(struct table *table, const struct table_key *key,
			 const struct table_value *value, struct table_value *old);
/* True when it was there. */
bool table_drop(struct table *table, const struct table_key *key);
/*
 * Ends what KEY's entry stands for, and keeps the entry: while it has ONLY's server and generation
 * its generation becomes an older one, the hook is told (replaced), and its idle time starts now.
 * True when that was so.
 */
bool table_retire(struct table *table, const struct table_key *key, const struct table_value *only);

/*
 * Frees about MAX expired entries at most, and looks at four times as many; for a timer.  The next
 * call goes on where this one stopped.  Returns how many.
 */
uint32_t table_expire(struct table *table, uint32_t max);
void table_clear(struct table *table);

struct table_stats {
	uint64_t entries, max_entries, size_bytes, lookups, hits, inserts, evictions, expirations;
	uint64_t tombs; /* not among the entries, but of max_entries */
};
void table_stats(const struct table *table, struct table_stats *stats);
const char *table_name(const struct table *table);

/*
 * Walks all entries in pieces: calls FN for up to about MAX entries from *CURSOR (0 at first) on,
 * with what is kept of the key (table_key_kept()).
 * Returns false at the end.  Entries that come or go meanwhile may be missed.  FN gets copies, and
 * no mutex is held.
 */
typedef void table_each_fn(void *arg, struct str key, const struct table_value *value);
bool table_each(struct table *table, uint64_t *cursor, uint32_t max, table_each_fn *fn, void *arg);

/*
 * Puts KEY there unless it is, with VALUE's expires_in_ms left of its idle time; for the copy of
 * another process' table.  False when it was there.
 */
bool table_restore(struct table *table, const struct table_key *key,
		   const struct table_value *value);

/*
 * Who follows the tables (table_copy.c while two processes share them).  CHANGED runs after the
 * mutex is let go, on the thread that changed the entry; TABLE_USED also tells that a use has
 * ended. CATCH_UP is asked when a key is not there, which is looked for again then; true: it
 * has read something.
 */
enum table_change { TABLE_SET, TABLE_DROPPED, TABLE_USED };
struct table_follower {
	void (*changed)(struct table *table, const struct table_key *key,
			const struct table_value *value,
			enum table_change change); /* VALUE is NULL but for TABLE_SET */
	bool (*catch_up)(void);
};
extern _Atomic(const struct table_follower *) table_follower; /* NULL = nobody */

bool table_is_sane(struct table *table); /* for tests: checks every invariant, O(n) */

#endif
