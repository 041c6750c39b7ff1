/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/trim.h"

#include <stdatomic.h>

#include "base/buf.h"
#include "base/clock.h"
#include "session/traffic.h"

static _Atomic bool is_wanted; /* a thread has given much back to malloc */

/* What the thread's pools have given to malloc so far, modulo 2^32 objects of each size. */
static uint64_t freed_bytes(struct traffic *traffic)
{
	uint64_t bytes = (uint64_t)buf_pool_freed() * BUF_SIZE;

	for (unsigned i = 0; i < TRAFFIC_SLABS; i++) {
		const struct slab *slab = traffic_slab(traffic, i);

		bytes += (uint64_t)slab->freed_n * slab->object_size;
	}
	return bytes;
}

/* The pools are as they will be: has the peak left so much that the system should have it? */
static void ask_malloc(struct traffic *traffic)
{
	uint32_t clients = atomic_load_explicit(&traffic->clients_n, memory_order_relaxed);
	uint64_t bytes = freed_bytes(traffic);

	if (bytes - traffic->trimmed_bytes < TRIM_WORTH &&
	    traffic->clients_peak < clients + TRIM_CLIENTS)
		return;
	traffic->trimmed_bytes = bytes;
	traffic->clients_peak = clients;
	atomic_store_explicit(&is_wanted, true, memory_order_relaxed);
}

static void on_tick(struct timer *timer)
{
	struct traffic *traffic = container_of(timer, struct traffic, trim);
	uint32_t clients = atomic_load_explicit(&traffic->clients_n, memory_order_relaxed);
	bool has_more = buf_pool_trim(TRIM_OBJECTS);

	for (unsigned i = 0; i < TRAFFIC_SLABS; i++)
		has_more |= slab_trim(traffic_slab(traffic, i), TRIM_OBJECTS);
	if (has_more) {
		timer_set(&traffic->loop.wheel, timer, clock_ms() + TRIM_AGAIN_MS);
		return;
	}
	if (clients > traffic->clients_peak)
		traffic->clients_peak = clients;
	ask_malloc(traffic);
	buf_pool_age();
	for (unsigned i = 0; i < TRAFFIC_SLABS; i++)
		slab_age(traffic_slab(traffic, i));
	timer_set(&traffic->loop.wheel, timer, clock_ms() + TRIM_TICK_MS);
}

void trim_init(struct traffic *traffic)
{
	traffic->clients_peak = 0;
	traffic->trimmed_bytes = 0;
	timer_init(&traffic->trim, on_tick);
	timer_set(&traffic->loop.wheel, &traffic->trim, clock_ms() + TRIM_TICK_MS);
}

bool trim_is_wanted(void)
{
	static int64_t next_ms;

	if (!atomic_load_explicit(&is_wanted, memory_order_relaxed) || clock_ms() < next_ms)
		return false;
	next_ms = clock_ms() + TRIM_MALLOC_MS;
	atomic_store_explicit(&is_wanted, false, memory_order_relaxed);
	return true;
}
