/* SPDX-License-Identifier: MIT */
/* upgrade: hands over to a new process, and tells how it went. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "control/commands.h"
#include "control/control.h"

/* Of the one command that waits: there is one upgrade at a time. */
struct waiting {
	struct console *console; /* (view) NULL = it has closed */
	bool is_over, is_done;
	char *text; /* (own) */
};

static void waiting_free(struct waiting *waiting)
{
	free(waiting->text);
	free(waiting);
}

static void on_upgraded(void *arg, bool is_done, const char *text)
{
	struct waiting *waiting = arg;

	if (!waiting->console) {
		waiting_free(waiting);
		return;
	}
	waiting->is_over = true;
	waiting->is_done = is_done;
	waiting->text = xstrdup(text);
	run_wake(waiting->console);
}

/* For run->state_free. */
static void waiting_drop(void *state)
{
	struct waiting *waiting = state;

	waiting->console = NULL;
	if (waiting->is_over)
		waiting_free(waiting);
}

/* As "reload" answers. */
static enum run_step answer(struct run *run, bool is_done, const char *text)
{
	run_message(run, is_done ? SEVERITY_INFO : SEVERITY_ERR, "Success=%d", is_done);
	run_print(run, "--\n%s\n", text);
	return RUN_DONE;
}

enum run_step command_upgrade(struct run *run)
{
	struct waiting *waiting = run->state;
	char *why = NULL;

	if (waiting)
		return waiting->is_over ? answer(run, waiting->is_done, waiting->text) : RUN_WAIT;
	if (!control_upgrade_hook)
		return run_error(run, "An upgrade is not possible here.");
	waiting = xcalloc(1, sizeof(*waiting));
	waiting->console = run->console;
	if (control_upgrade_hook(on_upgraded, waiting, &why) == 0) {
		run->state = waiting;
		run->state_free = waiting_drop;
		return RUN_WAIT;
	}
	waiting_free(waiting);
	answer(run, false, why);
	free(why);
	return RUN_DONE;
}
