/* SPDX-License-Identifier: MIT */
/*
 * control - the stats sockets: who listens, and what other layers wire.
 *
 * Everything runs on the control thread.  How a connection is served: control/console.h; what a
 * command is: control/command.h.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdint.h>

#include "base/bug.h"
#include "loop/loop.h"
#include "model/config.h"

/*
 * Opens every socket of global.stats.socket and keeps a reference to CONFIG.  0, or negative errno
 * with *WHY (text that stands until the next call): then nothing is open.
 */
int control_init(struct loop *loop, struct config *config, const char **why) must_check;
/*
 * CONFIG is in force: opens sockets that are new, closes those that went, changes level and mode of
 * the others.  Connections stay.  A socket that cannot be opened is told on the log.  May be called
 * from within the reload hook.
 */
void control_apply(struct config *config);
/* Closes everything; before loop_fini(). */
void control_fini(void);

/*
 * Reloads the configuration file.  0, or negative errno when the running one stays.  *REPORT (own)
 * is what there is to say, errors and warnings, one a line; may be NULL.  NULL hook: no reload.
 */
typedef int control_reload_fn(char **report);
extern control_reload_fn *control_reload_hook;

#endif
