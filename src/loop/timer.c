/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "loop/timer.h"

#include <stddef.h>

#include "base/bug.h"

#define DIGIT_BITS 6
#define RANGE_MS   (INT64_C(1) << (DIGIT_BITS * WHEEL_LEVELS))

void wheel_init(struct wheel *wheel, int64_t now_ms)
{
	*wheel = (struct wheel){ .now_ms = now_ms };
}

/* The lowest level at which AT_MS is in this block of 64 slots or in the next. */
static unsigned level_of(const struct wheel *wheel, int64_t at_ms)
{
	uint64_t wait = (uint64_t)(at_ms - wheel->now_ms);
	unsigned level = (63 - (unsigned)__builtin_clzll(wait)) / DIGIT_BITS;
	unsigned shift = level * DIGIT_BITS;

	return level && (at_ms >> shift) - (wheel->now_ms >> shift) == 1 ? level - 1 : level;
}

static void enqueue(struct wheel *wheel, struct timer *timer, int64_t at_ms)
{
	struct timer **head;
	unsigned level, slot;

	if (at_ms <= wheel->now_ms)
		at_ms = wheel->now_ms + 1;
	/* What is further away than the wheel reaches is queued again on the way. */
	if (at_ms - wheel->now_ms >= RANGE_MS / 2)
		at_ms = wheel->now_ms + RANGE_MS / 2;
	level = level_of(wheel, at_ms);
	slot = (unsigned)(at_ms >> (DIGIT_BITS * level)) & (WHEEL_SLOTS - 1);
	head = &wheel->slots[level][slot];
	timer->slot = (uint16_t)(level * WHEEL_SLOTS + slot);
	timer->next = *head;
	timer->prev_next = head;
	if (*head)
		(*head)->prev_next = &timer->next;
	*head = timer;
	wheel->used[level][slot / 64] |= UINT64_C(1) << slot % 64;
	wheel->levels |= 1u << level;
}

static void note_empty(struct wheel *wheel, unsigned level, unsigned slot)
{
	uint64_t *used = wheel->used[level];

	used[slot / 64] &= ~(UINT64_C(1) << slot % 64);
	if (!(used[0] | used[1]))
		wheel->levels &= ~(1u << level);
}

static void dequeue(struct wheel *wheel, struct timer *timer)
{
	unsigned level = timer->slot / WHEEL_SLOTS, slot = timer->slot % WHEEL_SLOTS;

	*timer->prev_next = timer->next;
	if (timer->next)
		timer->next->prev_next = timer->prev_next;
	else if (!wheel->slots[level][slot])
		note_empty(wheel, level, slot);
	timer->prev_next = NULL;
	timer->next = NULL;
}

/* The number of the slot that is running at LEVEL; slots[] has it modulo WHEEL_SLOTS. */
static inline int64_t running(const struct wheel *wheel, unsigned level)
{
	return wheel->now_ms >> (DIGIT_BITS * level);
}

/* When a slot that has timers begins: within WHEEL_SLOTS of the one that is running. */
static int64_t slot_begins_ms(const struct wheel *wheel, unsigned level, unsigned slot)
{
	int64_t at = running(wheel, level);

	return (at + ((slot - at) & (WHEEL_SLOTS - 1))) << (DIGIT_BITS * level);
}

void timer_set(struct wheel *wheel, struct timer *timer, int64_t at_ms)
{
	bug_on(at_ms <= 0);
	if (unlikely(at_ms > TIMER_AT_MAX_MS))
		at_ms = TIMER_AT_MAX_MS;
	timer->at_ms = at_ms;
	if (timer->prev_next) {
		unsigned level = timer->slot / WHEEL_SLOTS, slot = timer->slot % WHEEL_SLOTS;

		if (slot_begins_ms(wheel, level, slot) <= at_ms)
			return;
		dequeue(wheel, timer);
	}
	enqueue(wheel, timer, at_ms);
}

void timer_fini(struct wheel *wheel, struct timer *timer)
{
	timer->at_ms = 0;
	if (timer->prev_next)
		dequeue(wheel, timer);
}

/* The number of LEVEL's first slot that has timers; it has some. */
static int64_t first_used(const struct wheel *wheel, unsigned level)
{
	const uint64_t *used = wheel->used[level];
	int64_t at = running(wheel, level);
	unsigned bit = (unsigned)at % 64, word = (unsigned)at / 64 % 2;

	if (used[word] >> bit)
		return at + __builtin_ctzll(used[word] >> bit);
	if (used[word ^ 1])
		return at + 64 - bit + __builtin_ctzll(used[word ^ 1]);
	return at + 128 - bit + __builtin_ctzll(used[word]);
}

int64_t wheel_next_ms(const struct wheel *wheel)
{
	int64_t next_ms = INT64_MAX;

	for (uint32_t left = wheel->levels; left; left &= left - 1) {
		unsigned level = (unsigned)__builtin_ctz(left);
		int64_t at = first_used(wheel, level), at_ms;

		/* Above level 0 the slot before it: from then on its timers move down. */
		if (level)
			at--;
		at_ms = at << (DIGIT_BITS * level);
		if (at_ms <= wheel->now_ms)
			at_ms = wheel->now_ms + 1;
		if (at_ms < next_ms)
			next_ms = at_ms;
	}
	return next_ms == INT64_MAX ? -1 : next_ms;
}

/*
 * The slot that begins first; of those that begin together the one of the highest level, for its
 * timers may be due at once.  False when there is none.
 */
static bool earliest(const struct wheel *wheel, unsigned *level, int64_t *at_ms)
{
	*level = 0;
	*at_ms = INT64_MAX;
	for (uint32_t left = wheel->levels; left; left &= left - 1) {
		unsigned l = (unsigned)__builtin_ctz(left);
		int64_t begins_ms = first_used(wheel, l) << (DIGIT_BITS * l);

		if (begins_ms <= *at_ms) {
			*at_ms = begins_ms;
			*level = l;
		}
	}
	return wheel->levels != 0;
}

/* Runs or moves all timers of the slot of LEVEL that begins now. */
static void run_slot(struct wheel *wheel, unsigned level)
{
	unsigned slot = (unsigned)running(wheel, level) & (WHEEL_SLOTS - 1);
	struct timer *timer;

	/* Taken one by one: a timer's fn may stop or free any other of this slot. */
	while ((timer = wheel->slots[level][slot]) != NULL) {
		dequeue(wheel, timer);
		if (timer->at_ms == 0)
			continue;
		if (timer->at_ms > wheel->now_ms) {
			enqueue(wheel, timer, timer->at_ms);
			wheel->moved_n++;
			continue;
		}
		timer->at_ms = 0;
		timer->fn(timer);
	}
}

/* Moves timers down that will have to; those of low levels first, for these have the least time. */
static void move_ahead(struct wheel *wheel, unsigned moves)
{
	for (uint32_t left = wheel->levels & ~1u; left; left &= left - 1) {
		unsigned level = (unsigned)__builtin_ctz(left);
		unsigned slot = (unsigned)(running(wheel, level) + 1) & (WHEEL_SLOTS - 1);
		struct timer *timer;

		while ((timer = wheel->slots[level][slot]) != NULL) {
			if (!moves--)
				return;
			dequeue(wheel, timer);
			wheel->moved_n++;
			if (timer->at_ms)
				enqueue(wheel, timer, timer->at_ms);
		}
	}
}

void wheel_advance(struct wheel *wheel, int64_t now_ms)
{
	int64_t passed_ms = now_ms - wheel->now_ms, at_ms;
	unsigned level;

	wheel->moved_n = 0;
	if (passed_ms <= 0)
		return;
	while (earliest(wheel, &level, &at_ms) && at_ms <= now_ms) {
		wheel->now_ms = at_ms;
		run_slot(wheel, level);
	}
	wheel->now_ms = now_ms;
	move_ahead(wheel,
		   WHEEL_MOVES * (unsigned)(passed_ms < WHEEL_MS_MAX ? passed_ms : WHEEL_MS_MAX));
}
