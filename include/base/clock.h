/* SPDX-License-Identifier: MIT */
/*
 * clock - time, read once per loop turn.
 *
 * clock_ms() is monotonic milliseconds as of this thread's last clock_update(); the loop updates
 * it after each wait, so that no system or vDSO call is made on the hot path.  Tests set it.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

void clock_update(void);
int64_t clock_ms(void);      /* monotonic, > 0; updates by itself on a thread's first call */
int64_t clock_us(void);      /* the same instant in microseconds: clock_ms() is 1/1000 of it */
int64_t clock_unix_ms(void); /* wall clock as of the last update */
int64_t clock_now_us(void);  /* monotonic microseconds, read now (vDSO) */
/* From now on this thread's clock stands at MS until the next call. For tests. */
void clock_set_ms(int64_t ms);

#endif
