/* SPDX-License-Identifier: MIT */
/*
 * version - when an entry was changed, so that two nodes agree which change is newer.
 *
 * A hybrid logical clock (Kulkarni and others, 2014): the wall clock where it is ahead, else the
 * last version seen plus one.  So a change that was made in the knowledge of another is always
 * newer, whatever the clocks of the nodes say.
 *
 *   63            16 15      0
 *   | time in 1/64 ms |  node  |
 *
 * 48 bits of time reach the year 2109.  A node that changes more than 64 entries in a millisecond
 * runs ahead of the wall clock for that while.  The node's part makes versions of two nodes
 * different; 0 is no version.
 *
 * Any thread.
 */
#ifndef BALANCE_VERSION_H
#define BALANCE_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define VERSION_NODE_BITS 16
/* A version farther ahead of our wall clock than this is not believed (a broken or hostile peer).
 */
#define VERSION_AHEAD_MAX_MS (366ll * 86400000)

/*
 * The node's part from a name (never 0).  Before the threads start.  Of the process, not of the
 * machine: one that starts again does not know what it had made, and may make the same times.
 */
void version_set_node(struct str node_name);
uint16_t version_node(void);
/* A version newer than all that this node has made or seen. */
uint64_t version_next(void);
/*
 * Another node's version was met.  False: it is 0 or too far ahead, and must not be taken over.
 */
bool version_seen(uint64_t version);
/* Milliseconds since 1970 in VERSION, rounded down. */
int64_t version_unix_ms(uint64_t version);

/* For tests: another wall clock (NULL = the real one), and another node's state of this clock. */
typedef int64_t version_wall_fn(void);
void version_set_wall(version_wall_fn *unix_ms);
struct version_clock {
	uint64_t last;
	uint16_t node;
};
void version_save(struct version_clock *clock);
void version_load(const struct version_clock *clock);

#endif
