/* SPDX-License-Identifier: MIT */
/*
 * scripts - what Redis runs for us: one change of one entry, and the reading of many.
 *
 * A script goes as EVAL until Redis has run it once, and then as EVALSHA; when that is answered
 * NOSCRIPT (a restart, SCRIPT FLUSH, another master) it goes as EVAL again.  So nothing has to be
 * loaded beforehand, and whoever pipelines sends one call alone until script_is_known().
 *
 * Redis 5 to 7 and Valkey; every key is passed as a key.
 */
#ifndef MIRROR_SCRIPTS_H
#define MIRROR_SCRIPTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bug.h"
#include "base/str.h"
#include "mirror/redis.h"

enum script_id {
	/*
	 * KEYS entry, stream, number.  ARGV: letter of the change, version (16 hex digits), value,
	 * lifetime in ms, length of the stream, node, table, key in hex.
	 *
	 * Answers {1, NUMBER}: Redis holds VALUE now (NUMBER of the change; 0 = it did already);
	 * {0, VALUE, PTTL}: it holds another one, which stands; {2}: a REFRESH, and it holds
	 * nothing.
	 */
	SCRIPT_CHANGE,
	/* KEYS: entries.  Answers an array: value ("" = none) and PTTL of each. */
	SCRIPT_READ,
	SCRIPTS_N
};

#define SCRIPT_WORDS_MAX 300 /* keys and arguments */

/*
 * Queues a call with KEYS_N keys, then arguments, N in all.  As redis_command() otherwise; FN must
 * hand its answer to script_is_missing().
 */
int script_call(enum script_id id, struct redis *redis, redis_reply_fn *fn, void *arg,
		size_t keys_n, size_t n, const struct str *words) must_check;
/* Redis did not know it: to be sent again.  Notes which of them Redis knows. */
bool script_is_missing(enum script_id id, const redisReply *reply);
bool script_is_known(enum script_id id);
/* Another connection, perhaps to another Redis: it is not known whether it knows any. */
void scripts_forget(void);

#endif
