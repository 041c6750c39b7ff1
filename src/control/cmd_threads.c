/* SPDX-License-Identifier: MIT */
/* show loop, show activity, show pools: what the threads do, and what memory they keep for it. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "balance/table.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/gather.h"
#include "session/traffic.h"

static void print_loop(struct run *run, const char *name, struct loop *loop)
{
	run_print(run, "%s %llu", name, (unsigned long long)atomic_load(&loop->turns));
	for (int i = 0; i < LOOP_LAG_BUCKETS; i++)
		run_print(run, " %llu", (unsigned long long)atomic_load(&loop->lag[i]));
	run_text(run, STR("\n"));
}

enum run_step command_show_loop(struct run *run)
{
	struct traffic *traffic;

	run_text(run, STR("# thread turns"));
	for (int i = 0; i < LOOP_LAG_BUCKETS - 1; i++)
		run_print(run, " <%uus", 16u << i);
	run_text(run, STR(" more\n"));
	for (unsigned i = 0; (traffic = traffic_by_index(i)); i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", i);
		print_loop(run, name, &traffic->loop);
	}
	print_loop(run, "control", console_loop());
	return RUN_DONE;
}

/* One figure of each thread: the sum, and with several threads each of them. */
struct activity {
	const char *name;
	uint64_t (*of_thread)(const struct traffic *traffic);
};

static uint64_t process_count(const struct traffic *traffic, enum counter_id which)
{
	_Atomic uint64_t *block = atomic_load(&process_state.counters.blocks[traffic->index]);

	return block ? block[counter_slots[which]] : 0;
}

static uint64_t get_turns(const struct traffic *traffic)
{
	return atomic_load(&traffic->loop.turns);
}
static uint64_t get_busy_ms(const struct traffic *traffic)
{
	return atomic_load(&traffic->loop.busy_us) / 1000;
}
static uint64_t get_mean_us(const struct traffic *traffic)
{
	uint64_t turns = get_turns(traffic);

	return turns ? atomic_load(&traffic->loop.busy_us) / turns : 0;
}
static uint64_t get_long_turns(const struct traffic *traffic)
{
	uint64_t n = 0;

	for (int i = 0; i < LOOP_LAG_BUCKETS; i++)
		if (16 << i > 16384)
			n += atomic_load(&traffic->loop.lag[i]);
	return n;
}
static uint64_t get_clients(const struct traffic *traffic)
{
	return atomic_load(&traffic->clients_n);
}
static uint64_t get_accepted(const struct traffic *traffic)
{
	return process_count(traffic, process_connections);
}
static uint64_t get_requests(const struct traffic *traffic)
{
	return process_count(traffic, process_requests);
}
static uint64_t get_pauses(const struct traffic *traffic)
{
	return process_count(traffic, process_accept_pauses);
}
static uint64_t get_errors(const struct traffic *traffic)
{
	return process_count(traffic, process_accept_errors);
}

static const struct activity activities[] = {
	{ "loops", get_turns },          { "long_loops", get_long_turns },
	{ "avg_loop_us", get_mean_us },  { "busy_ms", get_busy_ms },
	{ "connections", get_clients },  { "accepted", get_accepted },
	{ "requests", get_requests },    { "accept_pauses", get_pauses },
	{ "accept_errors", get_errors },
};

static void print_activity(struct run *run, const struct activity *activity, unsigned threads)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < threads; i++)
		sum += activity->of_thread(traffic_by_index(i));
	if (activity->of_thread == get_mean_us)
		sum /= threads;
	run_print(run, "%s: %llu", activity->name, (unsigned long long)sum);
	if (threads > 1) {
		run_text(run, STR(" ["));
		for (unsigned i = 0; i < threads; i++)
			run_print(run, " %llu",
				  (unsigned long long)activity->of_thread(traffic_by_index(i)));
		run_text(run, STR(" ]"));
	}
	run_text(run, STR("\n"));
}

enum run_step command_show_activity(struct run *run)
{
	int64_t now_ms = clock_unix_ms();
	unsigned threads = 0;

	while (traffic_by_index(threads))
		threads++;
	run_print(run, "thread_id: control (%u threads carry traffic)\ndate_now: %lld.%03d\n",
		  threads, (long long)(now_ms / 1000), (int)(now_ms % 1000));
	for (size_t i = 0; threads && i < ARRAY_N(activities); i++)
		print_activity(run, &activities[i], threads);
	return RUN_DONE;
}

#define POOLS_N (TRAFFIC_SLABS + 5) /* and spare buffers by size */

struct pool {
	const char *name; /* constant */
	size_t size;
	uint32_t used, idle;
};

struct pools_gather {
	struct gather gather;
	unsigned thread; /* the next to be asked */
	bool is_filled;
	struct pool pools[POOLS_N];
	uint64_t allocated, used; /* bytes, of those printed */
	unsigned printed_n;
};

static void pools_free(struct gather *gather)
{
	free(container_of(gather, struct pools_gather, gather));
}

/* On the traffic thread. */
static void ask_pools(struct gather *gather, struct traffic *traffic)
{
	struct pools_gather *pools = container_of(gather, struct pools_gather, gather);
	unsigned n = 0;

	for (; n < TRAFFIC_SLABS; n++) {
		const struct slab *slab = traffic_slab(traffic, n);

		pools->pools[n] =
			(struct pool){ slab->name, slab->object_size, slab->used, slab->idle };
	}
	for (uint32_t size = BUF_SIZE; size <= BUF_SPARE_SIZE_MAX; size *= 2)
		pools->pools[n++] = (struct pool){ "spare_buffer", size, 0, buf_pool_spare(size) };
	bug_on(n != POOLS_N);
	pools->is_filled = true;
}

static void print_pools(struct run *run, struct pools_gather *pools)
{
	for (int i = 0; i < POOLS_N; i++) {
		const struct pool *pool = &pools->pools[i];
		uint64_t allocated = ((uint64_t)pool->used + pool->idle) * pool->size;

		run_print(run,
			  "  - Pool %s (%zu bytes) : %u allocated (%llu bytes), %u used, %u spare, "
			  "0 failures, thread %u\n",
			  pool->name, pool->size, pool->used + pool->idle,
			  (unsigned long long)allocated, pool->used, pool->idle, pools->thread - 1);
		pools->allocated += allocated;
		pools->used += (uint64_t)pool->used * pool->size;
		pools->printed_n++;
	}
	pools->is_filled = false;
}

static void print_tables(struct run *run)
{
	struct table_stats stats;

	for (struct backend_state *b = backend_state_first(); b; b = b->next)
		for (int kind = 0; kind < STICK_N; kind++) {
			if (!b->tables[kind])
				continue;
			table_stats(b->tables[kind], &stats);
			run_print(run, "  - Table %s : %llu entries (%llu bytes)\n",
				  table_name(b->tables[kind]), (unsigned long long)stats.entries,
				  (unsigned long long)stats.size_bytes);
		}
}

enum run_step command_show_pools(struct run *run)
{
	struct pools_gather *pools;

	if (!run->state) {
		pools = xcalloc(1, sizeof(*pools));
		gather_init(&pools->gather, run, ask_pools, pools_free);
		run->state = &pools->gather;
		run->state_free = gather_drop;
		run_text(run, STR("Dumping pools usage.\n"));
	}
	pools = container_of((struct gather *)run->state, struct pools_gather, gather);
	if (pools->is_filled)
		print_pools(run, pools);
	if (gather_send(&pools->gather, pools->thread++))
		return RUN_WAIT;
	run_print(run, "Total: %u pools, %llu bytes allocated, %llu used.\n", pools->printed_n,
		  (unsigned long long)pools->allocated, (unsigned long long)pools->used);
	print_tables(run);
	return RUN_DONE;
}
