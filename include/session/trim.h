/* SPDX-License-Identifier: MIT */
/*
 * trim - gives the memory of a peak back: what a thread's pools hold and nobody has needed for some
 * seconds goes to malloc, a little at a time, and when that was much the control thread has malloc
 * give it to the system.
 *
 *   tick (5 s)   what is idle is set aside (slab_age)
 *   tick         of what is still aside TRIM_OBJECTS of each pool are freed;
 *                more to do: again after TRIM_AGAIN_MS; else what is idle now is set aside
 *
 * A few objects of each pool stay.  A pool that is used as much as before keeps all it has.
 */
#ifndef SESSION_TRIM_H
#define SESSION_TRIM_H

#include <stdbool.h>

struct traffic;

#define TRIM_TICK_MS   5000
#define TRIM_AGAIN_MS  20
#define TRIM_OBJECTS   64u           /* of each pool at once: some 30 us */
#define TRIM_WORTH     (2048u << 10) /* bytes freed, or 1,000 clients fewer: malloc is asked, too */
#define TRIM_CLIENTS   1000u
#define TRIM_MALLOC_MS 30000 /* malloc is asked no more often than that */

/* On the traffic thread, once; traffic_fini() ends it. */
void trim_init(struct traffic *traffic);
/* On the control thread, every second: is it time for malloc_trim()?  True once for each peak. */
bool trim_is_wanted(void);

#endif
