/* SPDX-License-Identifier: MIT */
/*
 * micro - what the micro benchmarks have in common: how they measure, check and print.
 *
 * A figure is one row of a Markdown table: name, nanoseconds of one operation, cycles per byte (of
 * bytes that are looked at, else empty), bytes (of what is looked at, or what one object takes).
 * Nanoseconds are those of the best of several rounds: what the code costs when nothing disturbs
 * it. Cycles are the time-stamp counter's, which may run at another rate than the core.
 *
 * Without arguments a program takes a second or so, with small tables: enough to see that it
 * works. "full" is the size that figures are given for.
 *
 * A benchmark of a wrong answer is worth nothing: each checks what it has measured with must().
 */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#define must(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: wrong answer: %s\n", __FILE__, __LINE__, #cond);   \
			exit(EXIT_FAILURE);                                                        \
		}                                                                                  \
	} while (0)

static inline uint64_t micro_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static inline uint64_t micro_cycles(void)
{
#ifdef __x86_64__
	return __rdtsc();
#else
	return 0;
#endif
}

/* True when argv asks for the full size. */
static inline bool micro_begin(int argc, char **argv, const char *what)
{
	printf("\n| %s | ns | cycles/byte | bytes |\n|---|---|---|---|\n", what);
	return argc > 1 && strcmp(argv[1], "full") == 0;
}

/* CYCLES of one operation, or 0; BYTES, or 0: empty. */
static inline void micro_row(const char *name, double ns, double cycles, double bytes)
{
	char per_byte[32] = "", size[32] = "";

	if (cycles > 0 && bytes > 0)
		snprintf(per_byte, sizeof(per_byte), "%.2f", cycles / bytes);
	if (bytes > 0)
		snprintf(size, sizeof(size), "%.*f", bytes == (double)(uint64_t)bytes ? 0 : 1,
			 bytes);
	printf("| %s | %.1f | %s | %s |\n", name, ns, per_byte, size);
	fflush(stdout);
}

/* One operation N times over ARG; N is chosen so that a round lasts long enough. */
typedef void micro_fn(void *arg, uint64_t n);

#define MICRO_ROUNDS 9

/* Returns nanoseconds and, through CYCLES, cycles of one operation. */
static inline double micro_best(bool is_full, micro_fn *fn, void *arg, double *cycles_each)
{
	uint64_t round_ns = is_full ? 20000000 : 1000000, n = 1;
	double best_ns = 1e18, best_cycles = 1e18;

	for (int round = 0; round < MICRO_ROUNDS;) {
		uint64_t ns = micro_ns(), cycles = micro_cycles();

		fn(arg, n);
		cycles = micro_cycles() - cycles;
		ns = micro_ns() - ns;
		if (ns < round_ns / 2) {
			n *= 2;
			continue;
		}
		round++;
		if ((double)ns / (double)n < best_ns) {
			best_ns = (double)ns / (double)n;
			best_cycles = (double)cycles / (double)n;
		}
	}
	*cycles_each = best_cycles;
	return best_ns;
}

/* BYTES are looked at. */
static inline void micro_run(bool is_full, const char *name, micro_fn *fn, void *arg, size_t bytes)
{
	double cycles, ns = micro_best(is_full, fn, arg, &cycles);

	micro_row(name, ns, cycles, (double)bytes);
}

/* OBJECT_BYTES: what one takes. */
static inline void micro_run_object(bool is_full, const char *name, micro_fn *fn, void *arg,
				    double object_bytes)
{
	double cycles, ns = micro_best(is_full, fn, arg, &cycles);

	micro_row(name, ns, 0, object_bytes);
}

/* The compiler may not foresee what stands in memory behind this. */
#define micro_barrier() __asm__ volatile("" : : : "memory")

#endif
