/* SPDX-License-Identifier: MIT */
/*
 * thread - which of our threads runs: 0..N-1 carry traffic, N is the control thread.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#define THREADS_MAX 64 /* traffic threads */

extern __thread unsigned thread_index; /* 0 in programs without threads (tests) */

#endif
