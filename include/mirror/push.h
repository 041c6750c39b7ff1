/* SPDX-License-Identifier: MIT */
/*
 * push - what changed here, on its way to Redis; private to mirror/.
 *
 *   table_dirty_hook (any thread) -> mail -> table_collect() -> script -> table_settle()
 *
 * At most PUSH_WINDOW proposals are under way; all others are marks in their tables, so that a
 * Redis which is slow or away costs no memory; what a request has changed goes before what a
 * comparison has found.  Redis refuses (full, read-only disk): one proposal
 * is tried after 0.1 to 5 s, until one is taken.
 *
 * Control thread.
 */
#ifndef MIRROR_PUSH_H
#define MIRROR_PUSH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "loop/loop.h"
#include "mirror/redis.h"

#define PUSH_WINDOW 1024u
/* Of them with nobody waiting.  They would hold up the questions of read_through, which stand
 * behind them, and Redis takes some 30 us for each. */
#define PUSH_WINDOW_LATER 128u
/*
 * Changes that follow upon each other are collected this often, in milliseconds: each wake-up of
 * this thread and of Redis takes processor time from the traffic.  Whoever waits (mode sync) is
 * not held up: push_soon().
 */
#define PUSH_BATCH_MS 1
#define PUSH_WHY_SIZE 120

void push_init(struct loop *loop);
/* PREFIX and NODE (this process, as it stands in the stream) are copied. */
void push_apply(struct str prefix, struct str node, uint32_t stream_length);
/* REDIS (view) is connected: from now on what is dirty goes there. */
void push_up(struct redis *redis);
/* Nothing more goes out.  Proposals under way are still answered, or lost, by the link. */
void push_down(void);
/* Now, if there is room. */
void push_soon(void);
/*
 * What a comparison has not met is to be told (table_propose_all()), at most RATE in a second until
 * all has been; changes made meanwhile go first.
 */
void push_all(uint32_t rate);
void push_fini(void);

bool push_is_idle(void); /* nothing dirty, nothing under way */
struct push_stats {
	uint64_t pushed, rejected, errors, conflicts;
	uint64_t number;         /* the greatest number that a change of ours was given */
	uint32_t waiting;        /* under way */
	char why[PUSH_WHY_SIZE]; /* Redis refuses; "" = it does not */
};
const struct push_stats *push_stats(void);
/* Another Redis: numbers begin anew. */
void push_forget_number(void);

#endif
