/* SPDX-License-Identifier: MIT */
/* save state: writes the session tables to their file, and tells how it went. */
#include "config.h"

#include <stdlib.h>

#include "control/commands.h"
#include "control/control.h"
#include "control/outcome.h"

enum run_step command_save_state(struct run *run)
{
	const struct outcome *outcome = run->state;
	char *why = NULL;

	if (outcome && !outcome->is_over)
		return RUN_WAIT;
	if (outcome)
		return run_message(run, outcome->is_done ? SEVERITY_INFO : SEVERITY_ERR, "%s.",
				   outcome->text);
	if (!control_save_hook)
		return run_error(run, "There is no state to save here.");
	if (outcome_begin(run, control_save_hook, &why) == 0)
		return RUN_WAIT;
	run_error(run, "Not saved: %s.", why);
	free(why);
	return RUN_DONE;
}
