/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/version.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/siphash.h"

#define PER_MS    64
#define TIME_MASK ((UINT64_C(1) << (64 - VERSION_NODE_BITS)) - 1)

static _Atomic uint64_t last; /* time part of the newest version made or seen */
static _Atomic uint32_t node = 1;
static _Atomic(version_wall_fn *) wall = clock_unix_ms;

void version_set_node(struct str node_name)
{
	/* The same on every node: no secret. */
	static const struct siphash_key fixed = { 0x6c696d706574, 1 };
	uint64_t hash = siphash24(&fixed, node_name.p ? node_name.p : "", node_name.len);

	hash &= (1u << VERSION_NODE_BITS) - 1;
	atomic_store(&node, hash ? (uint32_t)hash : 1);
}

uint16_t version_node(void)
{
	return (uint16_t)atomic_load_explicit(&node, memory_order_relaxed);
}

void version_set_wall(version_wall_fn *unix_ms)
{
	atomic_store(&wall, unix_ms ? unix_ms : clock_unix_ms);
}

static int64_t wall_ms(void)
{
	return atomic_load_explicit(&wall, memory_order_relaxed)();
}

uint64_t version_next(void)
{
	int64_t unix_ms = wall_ms();
	uint64_t now = unix_ms > 0 ? ((uint64_t)unix_ms * PER_MS) & TIME_MASK : 0;
	uint64_t before = atomic_load_explicit(&last, memory_order_relaxed), time;

	do
		time = now > before ? now : (before + 1) & TIME_MASK;
	while (!atomic_compare_exchange_weak(&last, &before, time));
	return time << VERSION_NODE_BITS | version_node();
}

bool version_seen(uint64_t version)
{
	uint64_t time = version >> VERSION_NODE_BITS;
	uint64_t before = atomic_load_explicit(&last, memory_order_relaxed);

	if (!time || version_unix_ms(version) > wall_ms() + VERSION_AHEAD_MAX_MS)
		return false;
	while (time > before && !atomic_compare_exchange_weak(&last, &before, time))
		;
	return true;
}

int64_t version_unix_ms(uint64_t version)
{
	return (int64_t)(version >> VERSION_NODE_BITS) / PER_MS;
}

void version_save(struct version_clock *clock)
{
	*clock = (struct version_clock){ atomic_load(&last), version_node() };
}

void version_load(const struct version_clock *clock)
{
	atomic_store(&last, clock->last);
	atomic_store(&node, clock->node ? clock->node : 1);
}
