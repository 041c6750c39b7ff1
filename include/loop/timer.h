/* SPDX-License-Identifier: MIT */
/*
 * timer - a hierarchical wheel of one-shot timers with millisecond ticks.
 *
 * Seven levels.  A slot of level L is as long as 64 slots of the level below, and a timer stands at
 * the lowest level that reaches it: there are 128 slots, one half for the block of 64 that is
 * running and one for the block after it.  So the timers of a slot may move down at any time
 * while the slot before it runs, and they do so a few at a time (WHEEL_MOVES): a million timers
 * never move in one step.  What has not moved when the slot itself begins (a loop that had no
 * time, or slept) moves then, whatever it costs, for no timer may be late.
 *
 *   now                                    level 1: slots of 64 ms
 *    |  running  |   next    |    ...
 *    +-----------+-----------+--           the timers of "next" go to level 0 while "running" runs,
 *                                          the earliest of them before their time
 *
 * Setting and stopping are O(1).  Timers are lazy: timer_set() to a later time than the one queued
 * only stores the wish; the timer is queued again when the earlier time comes.  So a deadline that
 * every request pushes ahead costs one store.
 *
 * Always true between calls: a slot that has begun is empty, and at levels above 0 the next one has
 * timers only while they are moving down.
 */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct timer;
typedef void timer_fn(struct timer *timer);

struct timer {
	struct timer *next, **prev_next; /* slot's list; prev_next NULL = not queued */
	int64_t at_ms : 48;              /* when it is wanted; 0 = not wanted */
	uint64_t slot : 16; /* where it is queued: level and slot; begins at or before at_ms */
	timer_fn *fn;       /* (const) container_of() finds the object */
};
_Static_assert(sizeof(struct timer) == 32, "every connection pays for one");

#define TIMER_AT_MAX_MS ((INT64_C(1) << 47) - 1) /* later is then: in 4,460 years */

#define WHEEL_LEVELS 7 /* 2^42 ms: 139 years of uptime; with six the wheel's end came after two */
#define WHEEL_SLOTS  128
#define WHEEL_MOVES  256 /* timers that a step moves down ahead of time, for each millisecond... */
#define WHEEL_MS_MAX 4   /* ...of this many at most */

struct wheel {
	int64_t now_ms;
	uint32_t levels;  /* bit L: level L has timers */
	uint32_t moved_n; /* timers moved down by the last wheel_advance(); for tests */
	uint64_t used[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* bit: the slot has timers */
	struct timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, int64_t now_ms);
/* Runs the timers up to NOW_MS. A timer's fn may set or stop any timer. */
void wheel_advance(struct wheel *wheel, int64_t now_ms);
/* When wheel_advance() has something to do next; -1 = nothing queued. */
int64_t wheel_next_ms(const struct wheel *wheel);

static inline void timer_init(struct timer *timer, timer_fn *fn)
{
	*timer = (struct timer){ .fn = fn };
}
/* AT_MS > 0, monotonic; in the past means at the next advance. */
void timer_set(struct wheel *wheel, struct timer *timer, int64_t at_ms);
/* It will not run; it may stay queued, so timer_fini() before its memory goes. */
static inline void timer_stop(struct timer *timer)
{
	timer->at_ms = 0;
}
static inline bool timer_is_set(const struct timer *timer)
{
	return timer->at_ms != 0;
}
void timer_fini(struct wheel *wheel, struct timer *timer);

#endif
