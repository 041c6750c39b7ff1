/* SPDX-License-Identifier: MIT */
/* metrics_mirror - the families of the mirror; no samples when there is none. */
#ifndef CONTROL_METRICS_MIRROR_H
#define CONTROL_METRICS_MIRROR_H

#include <stddef.h>

#include "control/metrics_family.h"
#include "control/mirror_view.h"

/* One number; ARG = MIRROR_AT(member of struct mirror_view, a uint64_t). */
#define MIRROR_AT(member) (int)offsetof(struct mirror_view, member)
void metrics_mirror(struct metrics *metrics, int arg);
/* The same in seconds, from milliseconds. */
void metrics_mirror_ms(struct metrics *metrics, int arg);
void metrics_mirror_state(struct metrics *metrics, int arg);
void metrics_mirror_asks(struct metrics *metrics, int arg);
void metrics_mirror_name_taken(struct metrics *metrics, int arg);

/* A sample for each other node. */
enum metrics_peer { PEER_UP, PEER_KEY_MISMATCH, PEER_SERVERS_DIFFER, PEER_ENTRIES };
void metrics_mirror_peer(struct metrics *metrics, int what);
/* A sample for each node, this one included; ARG = enum beat_count. */
void metrics_mirror_node(struct metrics *metrics, int which);

#endif
