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

static void slot_of(const struct wheel *wheel, int64_t at_ms, unsigned *level, unsigned *slot)
{
	uint64_t differs = (uint64_t)(at_ms ^ wheel->now_ms);

	*level = differs ? (63 - (unsigned)__builtin_clzll(differs)) / DIGIT_BITS : 0;
	*slot = (unsigned)(at_ms >> (DIGIT_BITS * *level)) & (WHEEL_SLOTS - 1);
}

static void enqueue(struct wheel *wheel, struct timer *timer, int64_t at_ms)
{
	struct timer **head;
	unsigned level, slot;

	if (at_ms <= wheel->now_ms)
		at_ms = wheel->now_ms + 1;
	/* The top digit must not wrap: what is further away is queued again on the way. */
	if (at_ms - wheel->now_ms >= RANGE_MS / 2)
		at_ms = wheel->now_ms + RANGE_MS / 2;
	slot_of(wheel, at_ms, &level, &slot);
	if (level >= WHEEL_LEVELS) { /* now_ms is about to cross the whole range */
		level = WHEEL_LEVELS - 1;
		slot = WHEEL_SLOTS - 1;
	}
	head = &wheel->slots[level][slot];
	timer->slot = level * WHEEL_SLOTS + slot;
	timer->next = *head;
	timer->prev_next = head;
	if (*head)
		(*head)->prev_next = &timer->next;
	*head = timer;
	wheel->used[level] |= UINT64_C(1) << slot;
}

static void dequeue(struct wheel *wheel, struct timer *timer)
{
	unsigned level = timer->slot / WHEEL_SLOTS, slot = timer->slot % WHEEL_SLOTS;

	*timer->prev_next = timer->next;
	if (timer->next)
		timer->next->prev_next = timer->prev_next;
	else if (!wheel->slots[level][slot])
		wheel->used[level] &= ~(UINT64_C(1) << slot);
	timer->prev_next = NULL;
	timer->next = NULL;
}

/* When a slot that has timers begins: its digits above the level's are those of now. */
static int64_t slot_begins_ms(const struct wheel *wheel, unsigned level, unsigned slot)
{
	unsigned shift = DIGIT_BITS * level;
	int64_t above = wheel->now_ms >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);

	return above + ((int64_t)slot << shift);
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

/* Start of the earliest used slot; false when there is none. */
static bool earliest(const struct wheel *wheel, unsigned *level, unsigned *slot, int64_t *at_ms)
{
	for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
		if (!wheel->used[l])
			continue;
		*level = l;
		*slot = (unsigned)__builtin_ctzll(wheel->used[l]);
		*at_ms = slot_begins_ms(wheel, l, *slot);
		return true;
	}
	return false;
}

int64_t wheel_next_ms(const struct wheel *wheel)
{
	unsigned level, slot;
	int64_t at_ms;

	return earliest(wheel, &level, &slot, &at_ms) ? at_ms : -1;
}

void wheel_advance(struct wheel *wheel, int64_t now_ms)
{
	unsigned level, slot;
	int64_t at_ms;

	while (earliest(wheel, &level, &slot, &at_ms) && at_ms <= now_ms) {
		struct timer *timer;

		if (at_ms > wheel->now_ms)
			wheel->now_ms = at_ms;
		/* Taken one by one: a timer's fn may stop or free any other of this slot. */
		while ((timer = wheel->slots[level][slot]) != NULL) {
			dequeue(wheel, timer);
			if (timer->at_ms == 0)
				continue;
			if (timer->at_ms > wheel->now_ms) {
				enqueue(wheel, timer, timer->at_ms);
				continue;
			}
			timer->at_ms = 0;
			timer->fn(timer);
		}
	}
	if (now_ms > wheel->now_ms)
		wheel->now_ms = now_ms;
}
