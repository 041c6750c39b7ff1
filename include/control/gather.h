/* SPDX-License-Identifier: MIT */
/*
 * gather - asks one traffic thread for something and hears the answer, by mail both ways.
 *
 * The question runs on the traffic thread, where it may look at and change what is that thread's;
 * what it finds it writes into the gather, which nobody else touches meanwhile.  Then the
 * console's command goes on.  When the console has closed meanwhile, the answer is thrown away.
 */
#ifndef CONTROL_GATHER_H
#define CONTROL_GATHER_H

#include "control/command.h"
#include "loop/loop.h"

struct traffic;
struct gather;
typedef void gather_fn(struct gather *gather, struct traffic *traffic);

struct gather {
	struct mail mail;
	gather_fn *ask; /* (const) runs on the traffic thread */
	void (*free_fn)(struct gather *gather);
	struct console *console; /* (view) control thread alone; NULL = it has closed */
	struct loop *control;    /* (const) */
	struct traffic *traffic;
	bool is_away; /* control thread: sent, not yet back */
};

void gather_init(struct gather *gather, struct run *run, gather_fn *ask,
		 void (*free_fn)(struct gather *));
/* Sends it to traffic thread INDEX; RUN_WAIT follows.  False when there is no such thread. */
bool gather_send(struct gather *gather, unsigned index);
/* For run->state_free: frees it, now or when it is back. */
void gather_drop(void *gather);

#endif
