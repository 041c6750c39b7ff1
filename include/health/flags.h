/* SPDX-License-Identifier: MIT */
/*
 * flags - what traffic threads and the control thread tell each other of a server, by its number.
 *
 * FLAG_DEAD: the death of its process has been told (server_new_generation()); whoever sets it
 * tells, so it is told once.  It is cleared on the control thread when the server comes up.
 * FLAG_POKED asks the control thread to run its check now, FLAG_SUSPECT to go on with
 * fast_interval until one has succeeded.
 */
#ifndef HEALTH_FLAGS_H
#define HEALTH_FLAGS_H

#include "model/server.h"

enum { FLAG_DEAD = 1, FLAG_POKED = 2, FLAG_SUSPECT = 4 };

extern _Atomic unsigned char health_flags[SERVERS_MAX];

/* True when that has changed it. */
static inline bool flag_set(const struct server *server, unsigned char flag)
{
	return !(atomic_fetch_or(&health_flags[server->number], flag) & flag);
}
static inline bool flag_clear(const struct server *server, unsigned char flag)
{
	return atomic_fetch_and(&health_flags[server->number], (unsigned char)~flag) & flag;
}
static inline bool flag_is_set(const struct server *server, unsigned char flag)
{
	return atomic_load_explicit(&health_flags[server->number], memory_order_relaxed) & flag;
}

#endif
