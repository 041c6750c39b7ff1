/* SPDX-License-Identifier: MIT */
/*
 * bug - assertions that stay on in release, and checked casts.
 *
 * bug_on(cond) aborts when COND holds: for what cannot happen, O(1) checks only.  Codecs never
 * use it on input.  slow_check(cond) is for costly invariants and is compiled into debug
 * (--enable-sanitize) builds alone.
 */
#ifndef BASE_BUG_H
#define BASE_BUG_H

#define must_check             __attribute__((warn_unused_result))
#define unused_arg             __attribute__((unused))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define likely(x)              __builtin_expect(!!(x), 1)
#define unlikely(x)            __builtin_expect(!!(x), 0)

_Noreturn void bug_abort(const char *file, int line, const char *cond);

#define bug_on(cond)                                                                               \
	do {                                                                                       \
		if (unlikely(cond))                                                                \
			bug_abort(__FILE__, __LINE__, #cond);                                      \
	} while (0)

#ifdef LIMPET_SLOW_CHECKS
#define slow_check(cond) bug_on(!(cond))
#else
#define slow_check(cond)                                                                           \
	do {                                                                                       \
	} while (0)
#endif

/* Every long-lived struct starts with `unsigned magic`. */
#define check_magic(obj, value) bug_on((obj) == NULL || (obj)->magic != (value))

#define ARRAY_N(a)                      (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Literals of time, in milliseconds. */
#define MS(n)  ((int64_t)(n))
#define SEC(n) ((int64_t)(n)*1000)

#endif
