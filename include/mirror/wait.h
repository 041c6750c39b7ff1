/* SPDX-License-Identifier: MIT */
/*
 * wait - who waits for the mirror, with a limit of time: the start for the first load, the end for
 * the last change; private to mirror/.  One at a time each.
 */
#ifndef MIRROR_WAIT_H
#define MIRROR_WAIT_H

#include <stdbool.h>

#include "loop/loop.h"

void wait_init(struct loop *loop);
void wait_for_load(int64_t in_ms, void (*fn)(void *arg, bool is_loaded), void *arg);
/* The first load is complete, or there is none. */
void wait_loaded(bool is_loaded);
void wait_for_flush(int64_t in_ms, void (*fn)(void *arg), void *arg);
void wait_fini(void);

#endif
