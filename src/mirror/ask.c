/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/ask.h"

#include <errno.h>
#include <stdlib.h>

#include "balance/share.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "mirror/redis.h"
#include "mirror/wire.h"

#define BUCKETS_N     16384u
#define FIRST_WAIT_MS 2    /* doubled from try to try */
#define MARGIN_MS     2    /* what an answer needs to be there before the asker's own timer */
#define ROOM_MIN      2048 /* commands that are left for the proposals */

/* A key that somebody waits for. */
struct ask {
	struct list link; /* asks.open */
	struct ask *next; /* in its bucket */
	enum share_kind kind;
	struct table *table; /* (view) */
	struct table_key key;
	struct share_question *questions; /* who waits; linked by `mirror` */
	struct timer timer;               /* the next try, or the end of the cap */
	int64_t deadline_ms;
	int64_t left_ms; /* what PTTL said */
	unsigned tries;
	unsigned flying; /* answers of Redis that are still to come */
	bool is_closed;  /* answered; freed with the last of them */
};

/* One state of the caps; kept for ever, as a traffic thread may look at it. */
struct published {
	struct share_mirror mirror;
	struct published *next;
};

uint32_t ask_open_n;

static struct {
	struct ask_options options;
	struct redis *link; /* (view) NULL = away */
	char *prefix;       /* (own) */
	int64_t ask_cap_ms, store_cap_ms;
	struct published *published;
	struct list open;
	struct ask *buckets[BUCKETS_N];
	struct ask_stats stats;
} asks;

/*
 * Keys that nobody knew lately: a tag of 40 bits and, in units of 16 ms, when that was.  All
 * threads read and the control thread writes; two keys of one slot displace each other.
 */
#define NEGATIVES_N  4096u
#define STAMP_BITS   24
#define STAMP_MASK   ((UINT64_C(1) << STAMP_BITS) - 1)
#define STAMP_SHIFT  4
#define NEGATIVE_AGE (1000 >> STAMP_SHIFT)
static _Atomic uint64_t negatives[NEGATIVES_N];

static uint64_t mix(const struct table *table, const struct table_key *key)
{
	uint64_t hash = key->hash ^ (uint64_t)(uintptr_t)table * UINT64_C(0x9e3779b97f4a7c15);

	hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
	return hash ^ hash >> 32;
}

static void put_negative(const struct table *table, const struct table_key *key)
{
	uint64_t hash = mix(table, key);
	uint64_t stamp = (uint64_t)(clock_ms() >> STAMP_SHIFT) & STAMP_MASK;

	atomic_store_explicit(&negatives[hash & (NEGATIVES_N - 1)], (hash & ~STAMP_MASK) | stamp,
			      memory_order_relaxed);
}

static bool may_ask(struct table *table, const struct table_key *key)
{
	uint64_t hash = mix(table, key);
	uint64_t word =
		atomic_load_explicit(&negatives[hash & (NEGATIVES_N - 1)], memory_order_relaxed);
	uint64_t now = (uint64_t)(clock_ms() >> STAMP_SHIFT);

	return (word ^ hash) >> STAMP_BITS || ((now - word) & STAMP_MASK) > NEGATIVE_AGE;
}

static struct ask **bucket_of(const struct table *table, const struct table_key *key)
{
	return &asks.buckets[mix(table, key) & (BUCKETS_N - 1)];
}

static struct ask *find(enum share_kind kind, const struct table *table,
			const struct table_key *key)
{
	struct ask *ask = *bucket_of(table, key);

	while (ask && (ask->kind != kind || ask->table != table || !table_key_eq(&ask->key, key)))
		ask = ask->next;
	return ask;
}

static void free_if_over(struct ask *ask)
{
	if (ask->is_closed && !ask->flying)
		free(ask);
}

static void answer_all(struct ask *ask, enum share_answer answer)
{
	while (ask->questions) {
		struct share_question *question = ask->questions;

		ask->questions = question->mirror;
		share_answer(question, answer);
	}
}

static void close_ask(struct ask *ask, enum share_answer answer)
{
	struct ask **at = bucket_of(ask->table, &ask->key);

	if (ask->is_closed)
		return;
	if (answer == SHARE_NO)
		put_negative(ask->table, &ask->key);
	answer_all(ask, answer);
	while (*at != ask)
		at = &(*at)->next;
	*at = ask->next;
	list_remove(&ask->link);
	timer_fini(&asks.options.loop->wheel, &ask->timer);
	ask_open_n--;
	ask->is_closed = true;
	free_if_over(ask);
}

static bool is_known(const struct ask *ask)
{
	struct table_value value;

	return table_find(ask->table, &ask->key, &value);
}

/* Redis has nothing: again, or that was all. */
static void missed(struct ask *ask)
{
	int64_t left_ms = ask->deadline_ms - clock_ms() - MARGIN_MS;
	int64_t in_ms = (int64_t)FIRST_WAIT_MS << (ask->tries < 16 ? ask->tries - 1 : 15);

	if (ask->is_closed)
		return;
	if (ask->kind == SHARE_ASK && (left_ms < 1 || ask_open_n > ASK_BUSY)) {
		close_ask(ask, SHARE_NO);
		return;
	}
	if (in_ms > left_ms)
		in_ms = left_ms;
	loop_timer_in(asks.options.loop, &ask->timer, in_ms);
}

static void took(struct ask *ask, enum merge_result result)
{
	if (ask->kind == SHARE_STORE) {
		if (result == MERGE_TAKEN || result == MERGE_SAME)
			close_ask(ask, SHARE_YES);
		else
			missed(ask);
		return;
	}
	/* Otherwise it is a tombstone, or of a server that this node does not know. */
	close_ask(ask, is_known(ask) ? SHARE_YES : SHARE_NO);
}

static void on_pttl(void *arg, const redisReply *reply)
{
	struct ask *ask = arg;

	ask->flying--;
	ask->left_ms = reply && reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
	free_if_over(ask);
}

static void on_get(void *arg, const redisReply *reply)
{
	struct ask *ask = arg;

	/* NULL: ask_down() follows. */
	if (reply && !ask->is_closed) {
		if (reply->type == REDIS_REPLY_ERROR)
			close_ask(ask, SHARE_AWAY);
		else if (reply->type == REDIS_REPLY_STRING && ask->left_ms > 0)
			took(ask, asks.options.take(ask->table, &ask->key,
						    (struct str){ reply->str, reply->len },
						    ask->left_ms));
		else
			missed(ask);
	}
	ask->flying--;
	free_if_over(ask);
}

/* 0, or negative errno. */
static int send_questions(struct ask *ask)
{
	char key[WIRE_KEY_MAX];
	const char *pttl[] = { "PTTL", key }, *get[] = { "GET", key };
	size_t sizes[] = { 4, 0 };
	int rc;

	sizes[1] =
		wire_key_write(key, str_of(asks.prefix), str_of(table_name(ask->table)), &ask->key);
	if (!sizes[1])
		return -EINVAL;
	if (redis_room(asks.link) < ROOM_MIN)
		return -ENOBUFS;
	rc = redis_command(asks.link, on_pttl, ask, 2, pttl, sizes);
	if (rc != 0)
		return rc;
	ask->flying++;
	sizes[0] = 3;
	rc = redis_command(asks.link, on_get, ask, 2, get, sizes);
	if (rc != 0)
		return rc;
	ask->flying++;
	return 0;
}

/* Asks Redis, for the first time or again. */
static void try(struct ask *ask)
{
	int rc;

	ask->tries++;
	rc = send_questions(ask);
	if (rc == -ENOBUFS) {
		missed(ask);
		return;
	}
	if (rc != 0) {
		close_ask(ask, SHARE_AWAY);
		return;
	}
	asks.stats.asked++;
	timer_set(&asks.options.loop->wheel, &ask->timer, ask->deadline_ms);
}

static void on_ask_timer(struct timer *timer)
{
	struct ask *ask = container_of(timer, struct ask, timer);

	if (clock_ms() >= ask->deadline_ms)
		close_ask(ask, SHARE_TIMEOUT);
	else
		try(ask);
}

static struct ask *new_ask(const struct share_question *question)
{
	struct ask *ask = xmalloc(sizeof(*ask));
	struct ask **bucket = bucket_of(question->table, &question->key);

	*ask = (struct ask){
		.kind = question->kind,
		.table = question->table,
		.key = question->key,
		.next = *bucket,
		.deadline_ms = question->asked_us / 1000 + question->cap_ms,
		.left_ms = -1,
	};
	timer_init(&ask->timer, on_ask_timer);
	*bucket = ask;
	list_push_back(&asks.open, &ask->link);
	ask_open_n++;
	return ask;
}

static void join(struct ask *ask, struct share_question *question)
{
	question->mirror = ask->questions;
	ask->questions = question;
}

static void on_question(struct share_question *question)
{
	struct table_value value;
	struct ask *ask;

	if (!asks.link) {
		share_answer(question, SHARE_AWAY);
		return;
	}
	/* The stream was faster. */
	if (question->kind == SHARE_ASK && table_find(question->table, &question->key, &value)) {
		share_answer(question, SHARE_YES);
		return;
	}
	ask = find(question->kind, question->table, &question->key);
	if (ask) {
		asks.stats.joined++;
		join(ask, question);
		return;
	}
	if (ask_open_n >= ASK_KEYS_MAX) {
		asks.stats.full++;
		share_answer(question, SHARE_AWAY);
		return;
	}
	ask = new_ask(question);
	join(ask, question);
	if (question->kind == SHARE_ASK) {
		try(ask);
		return;
	}
	loop_timer_in(asks.options.loop, &ask->timer, FIRST_WAIT_MS);
	if (asks.options.hurry)
		asks.options.hurry(question->table);
}

void ask_look_at(struct table *table, const struct table_key *key)
{
	struct ask *ask = find(SHARE_ASK, table, key);

	if (ask && is_known(ask))
		close_ask(ask, SHARE_YES);
}

void ask_settle(struct table *table, const struct table_key *key, bool is_stored)
{
	struct ask *ask = find(SHARE_STORE, table, key);

	if (ask)
		close_ask(ask, is_stored ? SHARE_YES : SHARE_AWAY);
}

/*
 * What the traffic threads see.
 */
static const struct share_mirror *mirror_of_caps(void)
{
	struct published *published = asks.published;

	while (published && (published->mirror.loop != asks.options.loop ||
			     published->mirror.ask_cap_ms != asks.ask_cap_ms ||
			     published->mirror.store_cap_ms != asks.store_cap_ms))
		published = published->next;
	if (published)
		return &published->mirror;
	published = xmalloc(sizeof(*published));
	*published = (struct published){
		.mirror = {
			.loop = asks.options.loop,
			.on_question = on_question,
			.may_ask = may_ask,
			.ask_cap_ms = asks.ask_cap_ms,
			.store_cap_ms = asks.store_cap_ms,
		},
		.next = asks.published,
	};
	asks.published = published;
	return &published->mirror;
}

static void publish(void)
{
	bool is_wanted = asks.link && (asks.ask_cap_ms || asks.store_cap_ms);

	share_set_mirror(is_wanted ? mirror_of_caps() : NULL);
}

void ask_init(const struct ask_options *options)
{
	asks.options = *options;
	list_init(&asks.open);
}

void ask_apply(int64_t read_through_ms, bool is_sync)
{
	asks.ask_cap_ms = read_through_ms;
	asks.store_cap_ms = !is_sync ? 0 : read_through_ms ? read_through_ms : ASK_SYNC_MS;
	publish();
}

void ask_up(struct redis *commands, struct str prefix)
{
	ask_down();
	free(asks.prefix);
	asks.prefix = xstrndup(prefix);
	asks.link = commands;
	publish();
}

void ask_down(void)
{
	asks.link = NULL;
	publish();
	while (!list_is_empty(&asks.open))
		close_ask(list_entry(asks.open.next, struct ask, link), SHARE_AWAY);
}

void ask_fini(void)
{
	if (!asks.options.loop)
		return;
	ask_down();
	free(asks.prefix);
	asks.prefix = NULL;
	asks.options.loop = NULL;
}

void ask_stats(struct ask_stats *stats)
{
	*stats = asks.stats;
	stats->open = ask_open_n;
}
