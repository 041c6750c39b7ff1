/* SPDX-License-Identifier: MIT */
/*
 * redis_answers - bytes of a Redis to answers, within bounds.
 *
 * hiredis' reader does the work.  What it does not guard by itself is guarded here, before any
 * memory is taken: an announced array or string that is larger than allowed, a line without an end,
 * and small answers on the wire that are large in memory ("*1000000" of nulls).
 *
 * Threads: one.
 */
#ifndef MIRROR_REDIS_ANSWERS_H
#define MIRROR_REDIS_ANSWERS_H

#include <stddef.h>

#include <hiredis/hiredis.h>

#include "base/bug.h"

#define REDIS_REPLY_MAX (64u << 20) /* bytes of one answer, on the wire and in memory */
#define REDIS_LINE_MAX  65536u      /* bytes of a status, an error, a length */

struct redis_answers {
	redisReader *reader; /* (own) NULL = closed */
	redisReplyObjectFunctions fns;
	const redisReplyObjectFunctions *hiredis_fns; /* (const) */
	size_t spent;                                 /* bytes of memory of the answer under way */
	const char *why;                              /* constant; NULL = all is well */
};

void redis_answers_open(struct redis_answers *answers);
void redis_answers_close(struct redis_answers *answers); /* idempotent */
/* In pieces of BUF_SIZE (the reader moves what is left a lot).  Then redis_answers_next() until it
 * gives NULL. */
void redis_answers_feed(struct redis_answers *answers, const char *bytes, size_t size);
/*
 * The next answer, to be freed with freeReplyObject().  NULL: there is none yet, or answers->why
 * tells what was wrong; nothing more comes then.
 */
redisReply *redis_answers_next(struct redis_answers *answers) must_check;

#endif
