/* SPDX-License-Identifier: MIT */
/*
 * share - a request that waits, for a few milliseconds, for what other nodes know.
 *
 * The two exceptions to "the hot path never waits on Redis" (doc/ha.md):
 *   share_ask()    read_through: a sid that this node does not know: the other may have learned it
 *                  just now
 *   share_store()  mode sync: a handshake's answer is held until its session is on Redis
 *
 * A question belongs to the asking request's thread.  It is answered exactly once: by the mirror,
 * by its own timer on that thread (so that a control thread which is busy costs no more than the
 * cap), or, at once, by nobody (NULL is returned).  Who no longer wants the answer says
 * share_forget().
 *
 * The mirror gets the question by mail and answers by mail; it owes an answer to each, also to
 * those that nobody waits for any more.  Who comes last, the answer or the end of the wait, frees
 * it.
 */
#ifndef BALANCE_SHARE_H
#define BALANCE_SHARE_H

#include <stdatomic.h>

#include "balance/table.h"
#include "loop/loop.h"

enum share_kind { SHARE_ASK, SHARE_STORE };

enum share_answer {
	SHARE_YES,     /* ASK: the table has it now.  STORE: Redis has it */
	SHARE_NO,      /* ASK: nobody knows it */
	SHARE_TIMEOUT, /* the cap is over */
	SHARE_AWAY,    /* there is no Redis just now */
};

typedef void share_fn(void *arg, enum share_answer answer);

struct share_question {
	struct mail mail;     /* to the mirror, then back; private to share.c and the mirror */
	enum share_kind kind; /* (const) */
	struct table *table;  /* (const, view) never freed while traffic runs */
	struct table_key key; /* (const) its bytes are key_bytes */
	char key_bytes[TABLE_KEY_MAX];
	int64_t asked_us;         /* (const) clock_us() of the asker */
	int64_t cap_ms;           /* (const) */
	struct loop *loop;        /* (const) the asker's */
	enum share_answer answer; /* written by the mirror before it sends the mail back */
	void *mirror;             /* the mirror's own */
	atomic_bool is_over;      /* answered, or not waited for any more: whichever was first */
	/* Asker's thread alone. */
	struct timer timer;
	share_fn *fn; /* NULL = told, or forgotten */
	void *arg;
};

/*
 * Asks.  NULL: go on at once, nobody will answer (no mirror, not this table, Redis is away, the cap
 * is 0, or the same key was asked for in vain within the last second).  Otherwise FN is called
 * once, from this thread's loop, never from within share_ask().
 */
struct share_question *share_ask(struct table *table, const struct table_key *key,
				 struct loop *loop, share_fn *fn, void *arg);
/* The same for what this thread has just put into TABLE; NULL also when the mode is async. */
struct share_question *share_store(struct table *table, const struct table_key *key,
				   struct loop *loop, share_fn *fn, void *arg);
/* The answer is not wanted any more; FN is not called.  NULL is fine. */
void share_forget(struct share_question *question);

/*
 * The mirror's side, set as a whole; NULL = no mirror, or Redis is away.  Immutable while set; the
 * old one stays valid until every traffic thread has passed through its loop.
 */
struct share_mirror {
	struct loop *loop;                                    /* where `on_question` runs */
	void (*on_question)(struct share_question *question); /* owes one share_answer() */
	/* Any thread, cheap: is it worth asking?  False: a negative answer is cached. */
	bool (*may_ask)(struct table *table, const struct table_key *key);
	int64_t ask_cap_ms;   /* read_through; 0 = never ask */
	int64_t store_cap_ms; /* mode sync; 0 = async */
};
void share_set_mirror(const struct share_mirror *mirror); /* control thread */
/* Mirror's loop, once for each: sends QUESTION back; it is no longer the mirror's. */
void share_answer(struct share_question *question, enum share_answer answer);

/* Since the start, all threads. */
struct share_stats {
	uint64_t asks, hits, misses, timeouts;   /* SHARE_ASK; the rest were forgotten, or AWAY */
	uint64_t stores, stored, store_timeouts; /* SHARE_STORE alike */
};
void share_stats(struct share_stats *stats);

#endif
