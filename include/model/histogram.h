/* SPDX-License-Identifier: MIT */
/*
 * histogram - how long things take, and other arrays of counters, one block per thread.
 *
 * As in model/counters.h a thread writes its own block alone, with relaxed atomic stores, and
 * whoever asks sums over the threads.  The block is made on a thread's first use.
 */
#ifndef MODEL_HISTOGRAM_H
#define MODEL_HISTOGRAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/thread.h"

/*
 * N counters; all callers of one tally give the same N.  All zero at first; never freed.  One from
 * tally_new() has no more of blocks[] than there are threads.
 */
struct tally {
	_Atomic(_Atomic uint64_t *) blocks[THREADS_MAX + 1]; /* (own) */
};

struct tally *tally_new(void) __attribute__((malloc, returns_nonnull));
/* Makes this thread's block; called by tally_block() alone. */
_Atomic uint64_t *tally_new_block(struct tally *tally, unsigned n);
/* Adds the first N counters from FIRST on over all threads into SUMS. */
void tally_sum(const struct tally *tally, unsigned first, unsigned n, uint64_t *sums);
void tally_clear(struct tally *tally, unsigned n);
void tally_fini(struct tally *tally);

static inline _Atomic uint64_t *tally_block(struct tally *tally, unsigned n)
{
	_Atomic uint64_t *block =
		atomic_load_explicit(&tally->blocks[thread_index], memory_order_relaxed);

	return likely(block != NULL) ? block : tally_new_block(tally, n);
}
static inline void tally_add(_Atomic uint64_t *value, uint64_t n)
{
	atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* Bounds of all histograms of times, ascending; a time equal to a bound is within it. */
#define HISTOGRAM_BOUNDS_N 16
extern const uint32_t histogram_bounds_us[HISTOGRAM_BOUNDS_N];
/* Slots of one: a count for each bound, one for what is above them all, and the sum. */
#define HISTOGRAM_SUM   (HISTOGRAM_BOUNDS_N + 1)
#define HISTOGRAM_SLOTS (HISTOGRAM_BOUNDS_N + 2)

/* Which of N histograms of one tally; TIMES_N * HISTOGRAM_SLOTS counters. */
static inline void histogram_add(struct tally *tally, unsigned which, unsigned n, int64_t us)
{
	_Atomic uint64_t *slots =
		tally_block(tally, n * HISTOGRAM_SLOTS) + (size_t)which * HISTOGRAM_SLOTS;
	unsigned i = 0;

	while (i < HISTOGRAM_BOUNDS_N && us > histogram_bounds_us[i])
		i++;
	tally_add(&slots[i], 1);
	if (us > 0)
		tally_add(&slots[HISTOGRAM_SUM], (uint64_t)us);
}

/* The histograms of a backend. */
enum backend_time {
	TIME_QUEUE,           /* waiting for a slot; 0 for those who did not wait */
	TIME_CONNECT,         /* new connections alone */
	TIME_FIRST_BYTE,      /* from the connection to the server's head; ordinary requests */
	TIME_FIRST_BYTE_POLL, /* the same of Engine.IO polls, which servers hold on purpose */
	TIME_TOTAL, /* from the request's head to the end of the response; ordinary ones */
	TIME_TOTAL_POLL,
	TIMES_N
};

/* Sums and maxima of a server, of ordinary requests; server_queue_us ... stand in this order. */
enum server_time { SPENT_QUEUE, SPENT_CONNECT, SPENT_RESPONSE, SPENT_TOTAL, SPENT_N };

#endif
