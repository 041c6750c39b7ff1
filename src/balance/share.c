/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/share.h"

#include <stdlib.h>

#include "balance/table_share.h"
#include "base/clock.h"
#include "base/mem.h"

static _Atomic(const struct share_mirror *) mirror_now;

enum { ASKS, HITS, MISSES, TIMEOUTS, STORES, STORED, STORE_TIMEOUTS, STATS_N };
static _Atomic uint64_t stats[STATS_N];

static void add(int which)
{
	atomic_fetch_add_explicit(&stats[which], 1, memory_order_relaxed);
}

static void count_answer(enum share_kind kind, enum share_answer answer)
{
	bool is_ask = kind == SHARE_ASK;

	switch (answer) {
	case SHARE_YES:
		add(is_ask ? HITS : STORED);
		break;
	case SHARE_NO:
		add(is_ask ? MISSES : STORE_TIMEOUTS);
		break;
	case SHARE_TIMEOUT:
		add(is_ask ? TIMEOUTS : STORE_TIMEOUTS);
		break;
	case SHARE_AWAY:
		break;
	}
}

/* Tells the asker.  QUESTION is not looked at afterwards: it may be gone. */
static void tell(struct share_question *question, enum share_answer answer)
{
	share_fn *fn = question->fn;

	question->fn = NULL;
	timer_fini(&question->loop->wheel, &question->timer);
	count_answer(question->kind, answer);
	fn(question->arg, answer);
}

/* Nobody waits any more.  The mirror frees it, or, when the answer is on its way, that mail. */
static void give_up(struct share_question *question)
{
	atomic_store(&question->is_over, true);
}

/* The answer, on the asker's thread. */
static void on_answer_mail(struct mail *mail)
{
	struct share_question *question = container_of(mail, struct share_question, mail);

	if (question->fn)
		tell(question, question->answer);
	free(question);
}

static void on_timer(struct timer *timer)
{
	struct share_question *question = container_of(timer, struct share_question, timer);

	tell(question, SHARE_TIMEOUT);
	give_up(question);
}

/* The mirror's loop. */
static void on_question_mail(struct mail *mail)
{
	struct share_question *question = container_of(mail, struct share_question, mail);
	const struct share_mirror *mirror = atomic_load(&mirror_now);

	if (mirror)
		mirror->on_question(question);
	else
		share_answer(question, SHARE_AWAY);
}

void share_answer(struct share_question *question, enum share_answer answer)
{
	question->answer = answer;
	if (atomic_exchange(&question->is_over, true))
		free(question);
	else
		loop_post(question->loop, &question->mail, on_answer_mail);
}

static struct share_question *new_question(const struct share_mirror *mirror, enum share_kind kind,
					   struct table *table, const struct table_key *key)
{
	struct share_question *question = xmalloc(sizeof(*question));

	question->kind = kind;
	question->table = table;
	question->key = *key;
	question->asked_us = clock_us();
	question->cap_ms = kind == SHARE_ASK ? mirror->ask_cap_ms : mirror->store_cap_ms;
	question->mirror = NULL;
	atomic_init(&question->is_over, false);
	return question;
}

/* After this the mirror may have it. */
static struct share_question *send_off(const struct share_mirror *mirror,
				       struct share_question *question, struct loop *loop,
				       share_fn *fn, void *arg)
{
	question->loop = loop;
	question->fn = fn;
	question->arg = arg;
	timer_init(&question->timer, on_timer);
	loop_timer_in(loop, &question->timer, question->cap_ms);
	loop_post(mirror->loop, &question->mail, on_question_mail);
	return question;
}

struct share_question *share_ask(struct table *table, const struct table_key *key,
				 struct loop *loop, share_fn *fn, void *arg)
{
	const struct share_mirror *mirror = atomic_load_explicit(&mirror_now, memory_order_acquire);

	if (!mirror || !mirror->ask_cap_ms || !table_is_shared(table) ||
	    !mirror->may_ask(table, key))
		return NULL;
	add(ASKS);
	return send_off(mirror, new_question(mirror, SHARE_ASK, table, key), loop, fn, arg);
}

struct share_question *share_store(struct table *table, const struct table_key *key,
				   struct loop *loop, share_fn *fn, void *arg)
{
	const struct share_mirror *mirror = atomic_load_explicit(&mirror_now, memory_order_acquire);

	if (!mirror || !mirror->store_cap_ms || !table_is_shared(table))
		return NULL;
	add(STORES);
	return send_off(mirror, new_question(mirror, SHARE_STORE, table, key), loop, fn, arg);
}

void share_forget(struct share_question *question)
{
	if (!question)
		return;
	question->fn = NULL;
	timer_fini(&question->loop->wheel, &question->timer);
	give_up(question);
}

void share_set_mirror(const struct share_mirror *mirror)
{
	atomic_store(&mirror_now, mirror);
}

void share_stats(struct share_stats *to)
{
	uint64_t now[STATS_N];

	for (int i = 0; i < STATS_N; i++)
		now[i] = atomic_load_explicit(&stats[i], memory_order_relaxed);
	*to = (struct share_stats){
		.asks = now[ASKS],
		.hits = now[HITS],
		.misses = now[MISSES],
		.timeouts = now[TIMEOUTS],
		.stores = now[STORES],
		.stored = now[STORED],
		.store_timeouts = now[STORE_TIMEOUTS],
	};
}
