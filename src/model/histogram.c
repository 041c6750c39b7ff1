/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/histogram.h"

#include <stdlib.h>

#include "base/mem.h"

const uint32_t histogram_bounds_us[HISTOGRAM_BOUNDS_N] = {
	250,    500,    1000,   2500,    5000,    10000,   25000,    50000,
	100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000,
};

struct tally *tally_new(void)
{
	return xcalloc(thread_indexes_n, sizeof(_Atomic(_Atomic uint64_t *)));
}

_Atomic uint64_t *tally_new_block(struct tally *tally, unsigned n)
{
	size_t size = (n * sizeof(uint64_t) + 63) & ~(size_t)63;
	_Atomic uint64_t *block = aligned_alloc(64, size);

	bug_on(!block || thread_index >= thread_indexes_n);
	for (size_t i = 0; i < size / sizeof(uint64_t); i++)
		atomic_init(&block[i], 0);
	atomic_store_explicit(&tally->blocks[thread_index], block, memory_order_release);
	return block;
}

void tally_sum(const struct tally *tally, unsigned first, unsigned n, uint64_t *sums)
{
	for (unsigned i = 0; i < n; i++)
		sums[i] = 0;
	for (size_t t = 0; t < thread_indexes_n; t++) {
		_Atomic uint64_t *block =
			atomic_load_explicit(&tally->blocks[t], memory_order_acquire);

		for (unsigned i = 0; block && i < n; i++)
			sums[i] += atomic_load_explicit(&block[first + i], memory_order_relaxed);
	}
}

void tally_clear(struct tally *tally, unsigned n)
{
	for (size_t t = 0; t < thread_indexes_n; t++) {
		_Atomic uint64_t *block =
			atomic_load_explicit(&tally->blocks[t], memory_order_acquire);

		for (unsigned i = 0; block && i < n; i++)
			atomic_store_explicit(&block[i], 0, memory_order_relaxed);
	}
}

void tally_fini(struct tally *tally)
{
	for (size_t t = 0; t < thread_indexes_n; t++) {
		free(atomic_load(&tally->blocks[t]));
		atomic_store(&tally->blocks[t], NULL);
	}
}
