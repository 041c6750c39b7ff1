/* SPDX-License-Identifier: MIT */
/*
 * ask - the questions of requests that wait (balance/share.h), put to Redis.
 *
 *   SHARE_ASK    one question per key is under way, whoever asks for it meanwhile joins.  Redis is
 *                asked (PTTL and GET, pipelined); when it has nothing, again after 2, 4, 8 ms ...
 *                until the cap is over, for the other node's write may be a moment behind.  The
 *                stream may be faster: ask_on_change().  After a miss nobody asks for that key for
 *                a second.
 *   SHARE_STORE  answered by ask_on_settled().  Should that have come before the question did,
 *                Redis is looked at, by the same steps.
 *
 * Redis lost (ask_down()): all are answered SHARE_AWAY at once, and until ask_up() no request waits
 * for anything.
 *
 * Bounded: ASK_KEYS_MAX keys at a time; what is asked beyond is answered SHARE_AWAY.  While more
 * than ASK_BUSY are open nothing is asked twice.
 *
 * Threads: the control thread alone.
 */
#ifndef MIRROR_ASK_H
#define MIRROR_ASK_H

#include "balance/table_share.h"
#include "base/str.h"
#include "loop/loop.h"

#define ASK_KEYS_MAX 65536
#define ASK_BUSY     4096

struct redis;

/* What it needs from the mirror's core. */
struct ask_options {
	struct loop *loop;
	/*
	 * Redis holds VALUE (wire.h) for KEY now, with LEFT_MS of its life: takes it over, by
	 * table_merge() as MERGE_STORED.  MERGE_REFUSED also when it is malformed, or its server is
	 * not known here.
	 */
	enum merge_result (*take)(struct table *table, const struct table_key *key,
				  struct str value, int64_t left_ms);
	/* Somebody waits until what is dirty in TABLE is on Redis: send it now.  May be NULL. */
	void (*hurry)(struct table *table);
};

/* Once.  Nobody is answered before ask_apply() and ask_up(). */
void ask_init(const struct ask_options *options);
/*
 * How long a request may wait for a session: READ_THROUGH_MS, 0 = never; and, in mode sync, a
 * handshake: as long, or ASK_SYNC_MS when that is 0.
 */
#define ASK_SYNC_MS MS(20)
void ask_apply(int64_t read_through_ms, bool is_sync);
/*
 * COMMANDS is connected; it is the connection that the proposals go over.  PREFIX is copied.  A
 * table's name on Redis is its table_name().
 */
void ask_up(struct redis *commands, struct str prefix);
/* It is lost, or the operator has paused the mirror.  Idempotent. */
void ask_down(void);
/* Answers all, for the end.  Idempotent. */
void ask_fini(void);

extern uint32_t ask_open_n; /* keys that somebody waits for; private but for the two below */

/* Implementations of the functions below; call those. */
void ask_look_at(struct table *table, const struct table_key *key);
void ask_settle(struct table *table, const struct table_key *key, bool is_stored);

/* A record of KEY, from the stream or a scan, was given to table_merge(). */
static inline void ask_on_change(struct table *table, const struct table_key *key)
{
	if (ask_open_n)
		ask_look_at(table, key);
}

/* Redis has answered a proposal of KEY: it has ours (accepted), or another record stands there. */
static inline void ask_on_settled(struct table *table, const struct table_key *key)
{
	if (ask_open_n)
		ask_settle(table, key, true);
}

/* Redis refused the proposal (OOM): nobody waits for it any longer. */
static inline void ask_on_failed(struct table *table, const struct table_key *key)
{
	if (ask_open_n)
		ask_settle(table, key, false);
}

struct ask_stats {
	uint32_t open;   /* keys now */
	uint64_t asked;  /* of Redis: first questions and repeated ones */
	uint64_t joined; /* questions for a key that was under way */
	uint64_t full;   /* answered SHARE_AWAY: too many */
};
void ask_stats(struct ask_stats *stats);

#endif
