/* SPDX-License-Identifier: MIT */
/*
 * state_keep - when the session tables are saved to global.state_file, and when loaded.
 *
 * At the start the file is taken over before anybody is served.  At the end, when no thread carries
 * traffic any more, it is written; and when the operator says `save state`, by a thread of its own,
 * so that nobody waits for it however large the tables are.  Who took over by an upgrade has the
 * tables already, and from then on they are its own: the process before it writes nothing.
 *
 * Control thread.
 */
#ifndef MAIN_STATE_KEEP_H
#define MAIN_STATE_KEEP_H

#include "base/bug.h"
#include "control/control.h"

/*
 * The start: what cannot be loaded or written later is told on the log, and no error.  After
 * privileges were dropped, with the configuration in force and no thread running.
 */
void state_keep_begin(void);
/* As control_save_fn says; DONE may be NULL. */
int state_keep_save(control_saved_fn *done, void *arg, char **why) must_check;
/* The end, after the last traffic thread's: nothing changes the tables any more. */
void state_keep_end(void);

#endif
