/* SPDX-License-Identifier: MIT */
/*
 * stick_hint - fetches a session's entry from memory while its request is still being read.
 *
 * A table of a million sessions does not fit into any cache: its index and the entry are two reads
 * of memory one after the other, and cost a request with a sid more than all that we do with it.
 * So the sid is looked for in the raw request line before the head is parsed, the index's line is
 * asked for meanwhile, then the entry's, and when stickiness looks the session up both are there.
 *
 * A hint decides nothing.  It may be wrong or missing (a sid that is percent-encoded, a route to
 * another backend): the request then pays for its own misses.  What it has hashed is used again
 * only for the same bytes in the same table.  One hint a thread, between _begin() and _end().
 */
#ifndef BALANCE_STICK_HINT_H
#define BALANCE_STICK_HINT_H

#include "balance/table.h"
#include "model/config.h"

/* Before BYTES, which begin a request head, are parsed.  BACKEND: where it will probably go. */
void stick_hint_begin(const struct backend *backend, struct str bytes);
/* The head is complete: the index's line should have come, and tells where the entry is. */
void stick_hint_go_on(void);
/* As table_key(). */
struct table_key stick_hint_key(const struct table *table, struct str sid);
void stick_hint_end(void);

#endif
