/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/source_table.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/siphash.h"

#define CHAINS_MIN     16
#define LOOK_OUT_N     2 /* idle entries that each call looks at, for some that have recovered */
#define CANDIDATES_N   8 /* idle entries of which one makes room */
#define PREFIX_V6      64
#define NS_IN_A_MS     1000000
#define SHARD_OF(hash) ((hash) % SOURCE_SHARDS_N)

/* Compared and hashed as bytes: no padding. */
struct source_key {
	uint8_t ip[8]; /* the rest of an address is masked away */
	uint32_t frontend;
	uint32_t family;
};

struct source {
	struct source *next;   /* (own) of its chain */
	struct list idle_link; /* without connections */
	int64_t full_at_ns;    /* monotonic: when the bucket is full again */
	struct source_key key;
	uint32_t connections;
	uint32_t hash;
};

struct shard {
	_Alignas(64) pthread_mutex_t mutex;
	struct source **chains; /* (own) NULL before the first entry */
	size_t chains_n;        /* a power of two */
	size_t entries_n, idle_n;
	struct list idle; /* by the end of the last use, but for those that were looked at */
	uint64_t forgotten;
};

struct source_table {
	struct siphash_key hash_key;
	struct shard shards[SOURCE_SHARDS_N];
};

struct source_table *source_table_new(void)
{
	struct source_table *table = aligned_alloc(64, sizeof(*table));

	bug_on(!table);
	memset(table, 0, sizeof(*table));
	table->hash_key = *siphash_process_key();
	for (size_t i = 0; i < SOURCE_SHARDS_N; i++) {
		pthread_mutex_init(&table->shards[i].mutex, NULL);
		list_init(&table->shards[i].idle);
	}
	return table;
}

void source_table_free(struct source_table *table)
{
	for (size_t i = 0; i < SOURCE_SHARDS_N; i++) {
		struct shard *shard = &table->shards[i];

		for (size_t k = 0; k < shard->chains_n; k++) {
			while (shard->chains[k]) {
				struct source *next = shard->chains[k]->next;

				free(shard->chains[k]);
				shard->chains[k] = next;
			}
		}
		free(shard->chains);
		pthread_mutex_destroy(&shard->mutex);
	}
	free(table);
}

static struct source_key make_key(uint32_t frontend, const struct ip_addr *source)
{
	struct ip_addr masked = ip_addr_masked(source, 32, PREFIX_V6);
	struct source_key key = { .frontend = frontend, .family = source->family };

	memcpy(key.ip, masked.ip, sizeof(key.ip));
	return key;
}

static struct source **chain_of(const struct shard *shard, uint32_t hash)
{
	return &shard->chains[hash / SOURCE_SHARDS_N & (shard->chains_n - 1)];
}

static struct source *find(const struct shard *shard, const struct source_key *key, uint32_t hash)
{
	if (!shard->chains_n)
		return NULL;
	for (struct source *s = *chain_of(shard, hash); s; s = s->next)
		if (s->hash == hash && memcmp(&s->key, key, sizeof(*key)) == 0)
			return s;
	return NULL;
}

/* S is idle. */
static void drop(struct shard *shard, struct source *s)
{
	struct source **at = chain_of(shard, s->hash);

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	list_remove(&s->idle_link);
	shard->entries_n--;
	shard->idle_n--;
	free(s);
}

static void grow(struct shard *shard)
{
	struct source **old = shard->chains;
	size_t old_n = shard->chains_n;

	if (shard->entries_n < old_n)
		return;
	shard->chains_n = old_n ? 2 * old_n : CHAINS_MIN;
	shard->chains = xcalloc(shard->chains_n, sizeof(*shard->chains));
	for (size_t i = 0; i < old_n; i++) {
		for (struct source *s = old[i], *next; s; s = next) {
			struct source **chain = chain_of(shard, s->hash);

			next = s->next;
			s->next = *chain;
			*chain = s;
		}
	}
	free(old);
}

static struct source *add(struct shard *shard, const struct source_key *key, uint32_t hash)
{
	struct source *s = xcalloc(1, sizeof(*s));
	struct source **chain;

	grow(shard);
	chain = chain_of(shard, hash);
	s->key = *key;
	s->hash = hash;
	list_init(&s->idle_link);
	s->next = *chain;
	*chain = s;
	shard->entries_n++;
	return s;
}

static void make_idle(struct shard *shard, struct source *s, int64_t now_ns)
{
	struct source *first;
	size_t seen = 0;

	list_push_back(&shard->idle, &s->idle_link);
	shard->idle_n++;
	if (s->full_at_ns <= now_ns) {
		drop(shard, s);
		return;
	}
	if (shard->idle_n <= SOURCE_IDLE_MAX)
		return;
	first = list_entry(shard->idle.next, struct source, idle_link);
	list_for_each(at, &shard->idle) {
		struct source *one = list_entry(at, struct source, idle_link);

		if (one->full_at_ns < first->full_at_ns)
			first = one;
		if (++seen == CANDIDATES_N)
			break;
	}
	shard->forgotten += first->full_at_ns > now_ns;
	drop(shard, first);
}

/* Who has recovered goes; the others are looked at again when it is their turn. */
static void look_out(struct shard *shard, int64_t now_ns)
{
	for (size_t i = 0; i < LOOK_OUT_N && !list_is_empty(&shard->idle); i++) {
		struct source *s = list_entry(shard->idle.next, struct source, idle_link);

		if (s->full_at_ns <= now_ns) {
			drop(shard, s);
			continue;
		}
		list_remove(&s->idle_link);
		list_push_back(&shard->idle, &s->idle_link);
	}
}

/* What S still has to recover, by the window in force: a reload may have made it shorter. */
static int64_t debt_ns(const struct source *s, const struct rate_conf *rate, int64_t now_ns)
{
	int64_t debt = s ? s->full_at_ns - now_ns : 0;
	int64_t window = rate->window_ms * NS_IN_A_MS;

	if (debt < 0)
		return 0;
	return debt < window ? debt : window;
}

static enum source_answer judge(const struct source *s, const struct source_limits *limits,
				int64_t now_ns)
{
	const struct rate_conf *rate = &limits->rate;
	int64_t window = rate->window_ms * NS_IN_A_MS;

	if (limits->connections && s && s->connections >= limits->connections)
		return SOURCE_HAS_TOO_MANY;
	if (rate->n && debt_ns(s, rate, now_ns) > window - window / rate->n)
		return SOURCE_IS_TOO_FAST;
	return SOURCE_MAY;
}

static struct shard *lock_shard(struct source_table *table, const struct source_key *key,
				uint32_t *hash)
{
	struct shard *shard;

	*hash = (uint32_t)siphash13(&table->hash_key, key, sizeof(*key));
	shard = &table->shards[SHARD_OF(*hash)];
	pthread_mutex_lock(&shard->mutex);
	return shard;
}

enum source_answer source_table_take(struct source_table *table, uint32_t frontend,
				     const struct ip_addr *source,
				     const struct source_limits *limits)
{
	struct source_key key = make_key(frontend, source);
	const struct rate_conf *rate = &limits->rate;
	int64_t now_ns = clock_us() * 1000;
	enum source_answer answer;
	uint32_t hash;
	struct shard *shard = lock_shard(table, &key, &hash);
	struct source *s;

	look_out(shard, now_ns);
	s = find(shard, &key, hash);
	answer = judge(s, limits, now_ns);
	if (answer == SOURCE_MAY) {
		if (!s) {
			s = add(shard, &key, hash);
		} else if (!s->connections) {
			list_remove(&s->idle_link);
			shard->idle_n--;
		}
		s->connections++;
		if (rate->n)
			s->full_at_ns = now_ns + debt_ns(s, rate, now_ns) +
					rate->window_ms * NS_IN_A_MS / rate->n;
	}
	pthread_mutex_unlock(&shard->mutex);
	return answer;
}

void source_table_give(struct source_table *table, uint32_t frontend, const struct ip_addr *source)
{
	struct source_key key = make_key(frontend, source);
	int64_t now_ns = clock_us() * 1000;
	uint32_t hash;
	struct shard *shard = lock_shard(table, &key, &hash);
	struct source *s = find(shard, &key, hash);

	bug_on(!s || !s->connections);
	if (--s->connections == 0)
		make_idle(shard, s, now_ns);
	pthread_mutex_unlock(&shard->mutex);
}

static struct source_view view_of(const struct source *s, int64_t now_ns)
{
	int64_t debt = s->full_at_ns - now_ns;
	struct source_view view = {
		.source = { .family = (uint8_t)s->key.family },
		.frontend = s->key.frontend,
		.connections = s->connections,
		.full_in_ms = debt > 0 ? (debt + NS_IN_A_MS - 1) / NS_IN_A_MS : 0,
	};

	memcpy(view.source.ip, s->key.ip, sizeof(s->key.ip));
	return view;
}

/* Tells a chain as a whole, unless it would not fit even alone.  False: no room for it. */
static bool tell_chain(const struct source *first, int64_t now_ns, struct source_view *views,
		       size_t n, size_t *told)
{
	size_t length = 0;

	for (const struct source *s = first; s; s = s->next)
		length++;
	if (*told && length > n - *told)
		return false;
	for (const struct source *s = first; s && *told < n; s = s->next)
		if (s->connections || s->full_at_ns > now_ns)
			views[(*told)++] = view_of(s, now_ns);
	return true;
}

/* The cursor: a shard, and the number of its chain. */
size_t source_table_walk(struct source_table *table, uint64_t *cursor, struct source_view *views,
			 size_t n)
{
	int64_t now_ns = clock_us() * 1000;
	size_t told = 0;
	bool has_room = true;

	while (has_room && *cursor >> 32 < SOURCE_SHARDS_N) {
		struct shard *shard = &table->shards[*cursor >> 32];
		size_t chain = *cursor & UINT32_MAX;

		pthread_mutex_lock(&shard->mutex);
		while (chain < shard->chains_n && has_room) {
			has_room = tell_chain(shard->chains[chain], now_ns, views, n, &told);
			chain += has_room;
		}
		*cursor = has_room ? ((*cursor >> 32) + 1) << 32 : (*cursor >> 32 << 32) + chain;
		pthread_mutex_unlock(&shard->mutex);
	}
	return told;
}

void source_table_stats(struct source_table *table, struct source_stats *stats)
{
	*stats = (struct source_stats){ 0 };
	for (size_t i = 0; i < SOURCE_SHARDS_N; i++) {
		struct shard *shard = &table->shards[i];

		pthread_mutex_lock(&shard->mutex);
		stats->entries += shard->entries_n;
		stats->idle += shard->idle_n;
		stats->forgotten += shard->forgotten;
		pthread_mutex_unlock(&shard->mutex);
	}
}

static bool shard_is_sane(const struct shard *shard)
{
	size_t entries = 0, idle = 0, listed = 0;

	for (size_t i = 0; i < shard->chains_n; i++) {
		for (const struct source *s = shard->chains[i]; s; s = s->next) {
			entries++;
			idle += !s->connections;
			if (chain_of(shard, s->hash) != &shard->chains[i] ||
			    list_is_linked(&s->idle_link) != !s->connections)
				return false;
		}
	}
	list_for_each(at, &shard->idle)
		listed++;
	return entries == shard->entries_n && idle == shard->idle_n && listed == idle &&
	       idle <= SOURCE_IDLE_MAX;
}

bool source_table_is_sane(struct source_table *table)
{
	for (size_t i = 0; i < SOURCE_SHARDS_N; i++)
		if (!shard_is_sane(&table->shards[i]))
			return false;
	return true;
}
