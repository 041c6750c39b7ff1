/* SPDX-License-Identifier: MIT */
/*
 * links - the mirror's two connections: one for commands, one that waits in the stream; private to
 * mirror/.
 *
 * The commands link is ready when it is known which Redis it leads to: INFO's run_id tells one
 * process from another, where a restart or a failover may have lost what was stored.  The stream's
 * link is made anew then, for it may lead to the former master.
 *
 * Control thread.
 */
#ifndef MIRROR_LINKS_H
#define MIRROR_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "mirror/redis.h"

struct links_options {
	struct loop *loop;
	/* The commands link may be used.  IS_OTHER: by what is known it is not the Redis of before.
	 */
	void (*on_ready)(bool is_other);
	void (*on_stream)(struct redis *stream); /* its link is up; NULL = lost */
	/* One is lost, or could not be made (WAS_UP false). */
	void (*on_lost)(const char *why, bool was_up);
};

void links_init(const struct links_options *options);
void links_open(const struct redis_options *options);
void links_close(void); /* idempotent; no callbacks */
/* Another Redis comes next: that it differs says nothing. */
void links_forget(void);
struct redis *links_commands(void); /* NULL = not ready */
const char *links_where(void);      /* "" = away */

#endif
