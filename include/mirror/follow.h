/* SPDX-License-Identifier: MIT */
/*
 * follow - the stream of changes, read from where we are; private to mirror/.
 *
 * Every change has a number, one more than the one before it.  Where that is not so, or the change
 * that was seen last is not in the stream any more, something was missed: a gap.  Then the stream's
 * end is noted, the owner is told (he compares everything), and it goes on from the noted place at
 * once: a change that is met twice does no harm.
 *
 *   link up -> place known?  yes: is it still there?  yes: go on   no: gap
 *                            no:  note the end
 *   -> XREAD BLOCK ... -> nothing for a second: has {prefix}:q become less?  yes: gap (flushed)
 *
 * Control thread.
 */
#ifndef MIRROR_FOLLOW_H
#define MIRROR_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "loop/loop.h"
#include "mirror/redis.h"

struct follow_options {
	struct loop *loop;
	/* The place in the stream is known: all changes behind it will be met.  GAP: why some
	 * before it were not; NULL = none was missed. */
	void (*on_place)(const char *gap);
};

void follow_init(const struct follow_options *options);
/* PREFIX and NODE (this process: its own changes are passed over) are copied. */
void follow_apply(struct str prefix, struct str node);
/* REDIS (view) is connected; on_place() follows, soon. */
void follow_up(struct redis *redis);
void follow_down(void);
/* Another Redis, or what it holds is not believed: the place is not known any more. */
void follow_forget(void);
bool follow_has_place(void); /* and the link is up */
/* The link is up and had a place once: it may just now be asked for anew. */
bool follow_is_up(void);
uint64_t follow_number(void); /* of the newest change seen; 0 = none */
uint64_t follow_lag_ms(void);
/* The time that Redis has is TIME_MS now. */
void follow_set_time(int64_t unix_ms);

#endif
