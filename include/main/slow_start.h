/* SPDX-License-Identifier: MIT */
/*
 * slow_start - a server that comes up takes its share of new traffic step by step.
 *
 * server->ready_since_ms says when it came up.  While one of a backend with slow_start is below its
 * weight, the backend's set is built anew at each of its steps, but no more than once a second. Not
 * slowed is who was there at the start of the process, or comes with a reload.
 */
#ifndef MAIN_SLOW_START_H
#define MAIN_SLOW_START_H

#include "model/server.h"

void slow_start_init(void);
/* From the change hook.  Any thread. */
void slow_start_on_change(struct server *server, unsigned old_state, unsigned new_state);
/* SERVER begins now: a worker that is born.  Control thread. */
void slow_start_begin(struct server *server);
/* An agent has changed a weight: the set is built anew soon.  Control thread. */
void slow_start_weigh(struct server *server);

#endif
