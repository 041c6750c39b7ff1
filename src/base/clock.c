/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/clock.h"

#include <stdbool.h>
#include <time.h>

#include "base/bug.h"
#include "base/thread.h"

__thread unsigned thread_index;

static __thread int64_t now_ms;
static __thread int64_t now_unix_ms;
static __thread bool is_set;

static int64_t read_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void clock_update(void)
{
	if (is_set)
		return;
	now_ms = read_ms(CLOCK_MONOTONIC);
	now_unix_ms = read_ms(CLOCK_REALTIME);
}

int64_t clock_ms(void)
{
	if (unlikely(!now_ms))
		clock_update();
	return now_ms;
}

int64_t clock_unix_ms(void)
{
	if (unlikely(!now_unix_ms))
		clock_update();
	return now_unix_ms;
}

int64_t clock_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void clock_set_ms(int64_t ms)
{
	is_set = true;
	now_ms = ms;
	now_unix_ms = INT64_C(1700000000000) + ms;
}
