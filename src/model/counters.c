/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/counters.h"

#include <stdlib.h>

#include "base/mem.h"

#define COUNT                      false
#define GAUGE                      true
#define COUNTER(sc, nm, kind, txt) { SCOPE_##sc, #nm, kind, txt },
const struct counter_row counter_rows[COUNTERS_ALL_N] = {
#include "model/counters.def"
};
#undef COUNTER

/* A scope's rows stand together in the table, so a slot is the distance to the scope's first row.
 */
#define COUNTER(sc, nm, kind, txt) (uint8_t)((int)sc##_##nm - (int)FIRST_##sc),
enum {
	FIRST_process = process_connections,
	FIRST_frontend = frontend_connections,
	FIRST_backend = backend_requests,
	FIRST_server = server_requests,
};
const uint8_t counter_slots[COUNTERS_ALL_N] = {
#include "model/counters.def"
};
#undef COUNTER

static size_t scope_n(enum counter_scope scope)
{
	size_t n = 0;

	for (size_t i = 0; i < COUNTERS_ALL_N; i++)
		n += counter_rows[i].scope == scope;
	return n;
}

void counters_init(struct counters *counters, enum counter_scope scope)
{
	counters->scope = scope;
	for (size_t i = 0; i < thread_indexes_n; i++)
		atomic_init(&counters->blocks[i], NULL);
}

void counters_fini(struct counters *counters)
{
	for (size_t i = 0; i < thread_indexes_n; i++)
		free(atomic_load(&counters->blocks[i]));
}

_Atomic uint64_t *counters_block(struct counters *counters)
{
	size_t size = (scope_n(counters->scope) * sizeof(uint64_t) + 63) & ~(size_t)63;
	_Atomic uint64_t *block = aligned_alloc(64, size);

	bug_on(!block || thread_index >= thread_indexes_n);
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		atomic_init(&block[i], 0);
	atomic_store_explicit(&counters->blocks[thread_index], block, memory_order_release);
	return block;
}

uint64_t counters_sum(const struct counters *counters, int which)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < thread_indexes_n; i++) {
		_Atomic uint64_t *block =
			atomic_load_explicit(&counters->blocks[i], memory_order_acquire);

		if (block)
			sum += atomic_load_explicit(&block[counter_slots[which]],
						    memory_order_relaxed);
	}
	return sum;
}

bool counters_are_touched(const struct counters *counters)
{
	for (size_t i = 0; i < thread_indexes_n; i++)
		if (atomic_load_explicit(&counters->blocks[i], memory_order_relaxed))
			return true;
	return false;
}

void counters_clear(struct counters *counters)
{
	for (size_t i = 0; i < COUNTERS_ALL_N; i++) {
		if (counter_rows[i].scope != counters->scope || counter_rows[i].is_gauge)
			continue;
		for (size_t t = 0; t < thread_indexes_n; t++) {
			_Atomic uint64_t *block =
				atomic_load_explicit(&counters->blocks[t], memory_order_acquire);

			if (block)
				atomic_store_explicit(&block[counter_slots[i]], 0,
						      memory_order_relaxed);
		}
	}
}
