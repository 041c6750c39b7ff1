/* SPDX-License-Identifier: MIT */
/* upgrade: hands over to a new process, and tells how it went. */
#include "config.h"

#include <stdlib.h>

#include "control/commands.h"
#include "control/control.h"
#include "control/outcome.h"

/* As "reload" answers. */
static enum run_step answer(struct run *run, bool is_done, const char *text)
{
	run_message(run, is_done ? SEVERITY_INFO : SEVERITY_ERR, "Success=%d", is_done);
	run_print(run, "--\n%s\n", text);
	return RUN_DONE;
}

enum run_step command_upgrade(struct run *run)
{
	const struct outcome *outcome = run->state;
	char *why = NULL;

	if (outcome)
		return outcome->is_over ? answer(run, outcome->is_done, outcome->text) : RUN_WAIT;
	if (!control_upgrade_hook)
		return run_error(run, "An upgrade is not possible here.");
	if (outcome_begin(run, control_upgrade_hook, &why) == 0)
		return RUN_WAIT;
	answer(run, false, why);
	free(why);
	return RUN_DONE;
}
