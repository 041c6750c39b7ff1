/* SPDX-License-Identifier: MIT */
/*
 * resync - all that Redis holds, met once: SCAN, then values and lifetimes by the hundred; private
 * to mirror/.
 *
 * What changes meanwhile comes by the stream (follow.h), whose place was noted before.  Keys that
 * stand there during the whole scan are met at least once.
 *
 * Control thread.
 */
#ifndef MIRROR_RESYNC_H
#define MIRROR_RESYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "loop/loop.h"
#include "mirror/redis.h"

struct resync_options {
	struct loop *loop;
	void (*on_done)(const char *why); /* NULL = complete; else what went wrong */
};

void resync_init(const struct resync_options *options);
/* Begins, anew if one runs.  At most RATE keys in a second; 0 = as fast as it goes. */
void resync_start(struct redis *redis, struct str prefix, uint32_t rate);
/* Without on_done().  Idempotent. */
void resync_stop(void);
bool resync_is_running(void);
uint64_t resync_keys(void); /* met by the running or last one, some of them twice */
int64_t resync_ms(void);    /* it took, or takes so far */

#endif
