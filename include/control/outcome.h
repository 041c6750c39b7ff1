/* SPDX-License-Identifier: MIT */
/*
 * outcome - how something went that a command has begun and waits for.
 *
 * Made in run->state, where the command finds it when it is called again.  When the console closes
 * first, the outcome is thrown away.  Control thread.
 */
#ifndef CONTROL_OUTCOME_H
#define CONTROL_OUTCOME_H

#include "control/command.h"

struct outcome {
	struct console *console; /* (view) NULL = it has closed */
	bool is_over;            /* false: is_done and text do not stand yet */
	bool is_done;            /* it went well */
	char *text;              /* (own) what is said of it */
};

/* DONE is called once, from the loop, after 0. */
typedef void outcome_done_fn(void *arg, bool is_done, const char *text);
typedef int outcome_begin_fn(outcome_done_fn *done, void *arg, char **why);
/*
 * Begins it: 0, and the command returns RUN_WAIT; or what BEGIN returned, with its *WHY (own), and
 * there is no outcome.
 */
int outcome_begin(struct run *run, outcome_begin_fn *begin, char **why);

#endif
