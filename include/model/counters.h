/* SPDX-License-Identifier: MIT */
/*
 * counters - one block of counters per counted object and thread.
 *
 * A traffic thread writes its own block alone, with relaxed atomic stores, so that the hot path
 * never shares a cache line; whoever asks sums over the threads.  Blocks are made on first use.
 */
#ifndef MODEL_COUNTERS_H
#define MODEL_COUNTERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/thread.h"

enum counter_scope { SCOPE_process, SCOPE_frontend, SCOPE_backend, SCOPE_server, SCOPE_N };

#define COUNTER(scope, name, kind, text) scope##_##name,
enum counter_id {
#include "model/counters.def"
	COUNTERS_ALL_N
};
#undef COUNTER

struct counter_row {
	enum counter_scope scope;
	const char *name;
	bool is_gauge;
	const char *text;
};
/* Indexed by the enumerators above, e.g. counter_rows[server_requests]. */
extern const struct counter_row counter_rows[COUNTERS_ALL_N];

/*
 * The counters of one object: an array of blocks by thread_index.  An object of which there are
 * many has them last, and of blocks[] no more than counters_tail() bytes.
 */
struct counters {
	enum counter_scope scope;                            /* (const) */
	_Atomic(_Atomic uint64_t *) blocks[THREADS_MAX + 1]; /* (own) */
};

void counters_init(struct counters *counters, enum counter_scope scope);
void counters_fini(struct counters *counters);
static inline size_t counters_tail(void)
{
	return thread_indexes_n * sizeof(_Atomic(_Atomic uint64_t *));
}
/* Makes this thread's block; called by count() alone. */
_Atomic uint64_t *counters_block(struct counters *counters);
uint64_t counters_sum(const struct counters *counters, int which);
/* Something was counted. */
bool counters_are_touched(const struct counters *counters);
/* Clears what only grows; gauges stay. */
void counters_clear(struct counters *counters);

/* Position of a row within its scope's block. */
extern const uint8_t counter_slots[COUNTERS_ALL_N];

static inline void count_add(struct counters *counters, int which, uint64_t n)
{
	_Atomic uint64_t *block =
		atomic_load_explicit(&counters->blocks[thread_index], memory_order_relaxed);
	_Atomic uint64_t *value;

	if (__builtin_expect(!block, 0))
		block = counters_block(counters);
	value = &block[counter_slots[which]];
	atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n,
			      memory_order_relaxed);
}
#define count(counters, which)      count_add(counters, which, 1)
#define count_down(counters, which) count_add(counters, which, UINT64_MAX)

#endif
