/* SPDX-License-Identifier: MIT */
/*
 * Keys, and the key of the hash that secret ones are kept under.
 *
 * Traffic threads read the digest keys through one atomic pointer to a set that never changes.  A
 * set is never freed: a process sees as many as its configuration has secrets.
 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>

#include "balance/table_inner.h"
#include "base/mem.h"

struct digests {
	struct siphash_key keys[1 + TABLE_DIGEST_FORMER_MAX]; /* the current one first */
	uint32_t n;
	struct digests *before; /* (own) made before; for reuse */
};

static pthread_mutex_t digests_mutex = PTHREAD_MUTEX_INITIALIZER; /* writers */
static struct digests *newest;                                    /* (own) */
static _Atomic(const struct digests *) digests;                   /* NULL = the process key alone */

static bool is_same_key(const struct siphash_key *a, const struct siphash_key *b)
{
	return a->k0 == b->k0 && a->k1 == b->k1;
}

static const struct siphash_key *current_key(void)
{
	const struct digests *at = atomic_load_explicit(&digests, memory_order_acquire);

	return likely(at != NULL) ? &at->keys[0] : siphash_process_key();
}

/* A copy of what is in force.  Mutex held. */
static struct digests get_digests(void)
{
	const struct digests *at = atomic_load(&digests);

	return at ? *at : (struct digests){ .keys = { *siphash_process_key() }, .n = 1 };
}

static void put_digests(const struct digests *wanted)
{
	struct digests *at = newest;

	while (at && (at->n != wanted->n ||
		      memcmp(at->keys, wanted->keys, wanted->n * sizeof(at->keys[0])) != 0))
		at = at->before;
	if (!at) {
		at = xmalloc(sizeof(*at));
		*at = *wanted;
		at->before = newest;
		newest = at;
	}
	atomic_store_explicit(&digests, at, memory_order_release);
}

/* Puts KEY at AT of the list, where it may stand behind already; the last one may fall out. */
static void insert_digest(struct digests *list, uint32_t at, const struct siphash_key *key)
{
	uint32_t end = 0;

	while (end < list->n && !is_same_key(&list->keys[end], key))
		end++;
	if (end == list->n && list->n < ARRAY_N(list->keys))
		list->n++;
	if (end == ARRAY_N(list->keys))
		end--;
	for (; end > at; end--)
		list->keys[end] = list->keys[end - 1];
	list->keys[at] = *key;
}

void table_digest_set(const struct siphash_key *key)
{
	struct digests list;

	pthread_mutex_lock(&digests_mutex);
	list = get_digests();
	insert_digest(&list, 0, key);
	put_digests(&list);
	pthread_mutex_unlock(&digests_mutex);
}

void table_digest_begin(const struct siphash_key *key)
{
	const struct digests list = { .keys = { *key }, .n = 1 };

	pthread_mutex_lock(&digests_mutex);
	if (!atomic_load(&digests))
		put_digests(&list);
	pthread_mutex_unlock(&digests_mutex);
}

void table_digest_also(const struct siphash_key *key)
{
	struct digests list;

	pthread_mutex_lock(&digests_mutex);
	list = get_digests();
	if (!is_same_key(&list.keys[0], key)) {
		insert_digest(&list, 1, key);
		put_digests(&list);
	}
	pthread_mutex_unlock(&digests_mutex);
}

void table_digest_current(struct siphash_key *key)
{
	*key = *current_key();
}

bool table_digest_has_former(void)
{
	const struct digests *at = atomic_load_explicit(&digests, memory_order_acquire);

	return at && at->n > 1;
}

bool table_digest_former(uint32_t i, struct siphash_key *key)
{
	const struct digests *at = atomic_load_explicit(&digests, memory_order_acquire);

	if (!at || i + 1 >= at->n)
		return false;
	*key = at->keys[i + 1];
	return true;
}

/*
 * Keys.
 */
bool table_is_secret(const struct table *table)
{
	return table->is_secret;
}

static struct table_key digest(const struct table *table, const struct siphash_key *by,
			       struct str bytes)
{
	struct table_key key = { .len = TABLE_KEY_SIZE };

	siphash24_128(by, bytes.p, bytes.len, key.bytes);
	key.hash = shard_hash(table->is_secret, key.bytes, key.len);
	return key;
}

struct table_key table_key(const struct table *table, struct str bytes)
{
	bug_on(!bytes.len);
	return table->is_secret || bytes.len > TABLE_KEY_SIZE ? digest(table, current_key(), bytes)
							      : table_key_kept(table, bytes);
}

struct table_key table_key_kept(const struct table *table, struct str kept)
{
	struct table_key key = { .len = (uint8_t)kept.len };

	bug_on(!kept.len || kept.len > TABLE_KEY_SIZE);
	memcpy(key.bytes, kept.p, kept.len);
	key.hash = shard_hash(table->is_secret, key.bytes, key.len);
	return key;
}

bool table_key_former(const struct table *table, struct str bytes, uint32_t i,
		      struct table_key *key)
{
	struct siphash_key by;

	if ((!table->is_secret && bytes.len <= TABLE_KEY_SIZE) || !table_digest_former(i, &by))
		return false;
	*key = digest(table, &by, bytes);
	return true;
}

static uint64_t id_of(const unsigned char *bytes)
{
	uint64_t id = 0;

	for (unsigned i = 0; i < sizeof(id); i++)
		id = id << 8 | bytes[i];
	return id;
}

uint64_t table_key_id(const struct table_key *key)
{
	return id_of(key->bytes);
}

uint64_t table_secret_id(struct str bytes)
{
	unsigned char out[TABLE_KEY_SIZE];

	siphash24_128(current_key(), bytes.p, bytes.len, out);
	return id_of(out);
}
