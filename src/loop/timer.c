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
	timer->queued_ms = at_ms;
	timer->next = *head;
	timer->prev_next = head;
	if (*head)
		(*head)->prev_next = &timer->next;
	*head = timer;
	wheel->used[level] |= UINT64_C(1) << slot;
}

static void dequeue(struct wheel *wheel, struct timer *timer)
{
	struct timer **first = &wheel->slots[0][0];
	size_t at = ((uintptr_t)timer->prev_next - (uintptr_t)first) / sizeof(*first);

	*timer->prev_next = timer->next;
	if (timer->next)
		timer->next->prev_next = timer->prev_next;
	/* prev_next points into slots[] only for the first of a list. */
	if (at < WHEEL_LEVELS * WHEEL_SLOTS && !first[at])
		wheel->used[at / WHEEL_SLOTS] &= ~(UINT64_C(1) << (at % WHEEL_SLOTS));
	timer->prev_next = NULL;
	timer->next = NULL;
}

void timer_set(struct wheel *wheel, struct timer *timer, int64_t at_ms)
{
	bug_on(at_ms <= 0);
	timer->at_ms = at_ms;
	if (timer->prev_next) {
		if (timer->queued_ms <= at_ms)
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
		unsigned shift = DIGIT_BITS * l;
		int64_t above;

		if (!wheel->used[l])
			continue;
		*level = l;
		*slot = (unsigned)__builtin_ctzll(wheel->used[l]);
		above = wheel->now_ms >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
		*at_ms = above + ((int64_t)*slot << shift);
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
