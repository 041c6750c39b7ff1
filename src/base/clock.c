/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/clock.h"

#include <sched.h>
#include <stdbool.h>
#include <time.h>

#include "base/bug.h"
#include "base/thread.h"

__thread unsigned thread_index;
unsigned thread_indexes_n = THREADS_MAX + 1;

#define BREATHS 64 /* calls for one yield: about 0.1 ms */

void thread_breathe(void)
{
	static __thread unsigned calls;

	/* Before it runs, and in other programs, there is nobody to give way to. */
	if (thread_index + 1 == thread_indexes_n && ++calls % BREATHS == 0)
		sched_yield();
}

static __thread int64_t now_ms, now_us;
static __thread int64_t now_unix_ms;
static __thread bool is_set;

static int64_t read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void clock_update(void)
{
	if (is_set)
		return;
	now_us = read_us(CLOCK_MONOTONIC);
	now_ms = now_us / 1000;
	now_unix_ms = read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_ms(void)
{
	if (unlikely(!now_ms))
		clock_update();
	return now_ms;
}

int64_t clock_us(void)
{
	if (unlikely(!now_us))
		clock_update();
	return now_us;
}

int64_t clock_unix_ms(void)
{
	if (unlikely(!now_unix_ms))
		clock_update();
	return now_unix_ms;
}

int64_t clock_now_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

void clock_set_ms(int64_t ms)
{
	is_set = true;
	now_ms = ms;
	now_us = ms * 1000;
	now_unix_ms = INT64_C(1700000000000) + ms;
}
