/* SPDX-License-Identifier: MIT */
/*
 * thread - which of our threads runs: 0..N-1 carry traffic, N is the control thread.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#define THREADS_MAX 64 /* traffic threads */

extern __thread unsigned thread_index; /* 0 in programs without threads (tests) */
/*
 * (const) Every thread_index is below it: traffic threads and the control thread.  main() says how
 * many before it makes anything that has a part for each; THREADS_MAX + 1 until then.
 */
extern unsigned thread_indexes_n;

/*
 * For long work of the control thread, every few microseconds: now and then it gives way to a
 * traffic thread that waits for this processor, as it must where there are more threads than
 * processors.
 */
void thread_breathe(void);

#endif
