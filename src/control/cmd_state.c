/* SPDX-License-Identifier: MIT */
/* save state: writes the session tables to their file, and tells how it went. */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "control/commands.h"
#include "control/control.h"

/* Of the one command that waits: there is one save at a time. */
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

static void on_saved(void *arg, bool is_done, const char *text)
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

enum run_step command_save_state(struct run *run)
{
	struct waiting *waiting = run->state;
	char *why = NULL;

	if (waiting && !waiting->is_over)
		return RUN_WAIT;
	if (waiting)
		return run_message(run, waiting->is_done ? SEVERITY_INFO : SEVERITY_ERR, "%s.",
				   waiting->text);
	if (!control_save_hook)
		return run_error(run, "There is no state to save here.");
	waiting = xcalloc(1, sizeof(*waiting));
	waiting->console = run->console;
	if (control_save_hook(on_saved, waiting, &why) == 0) {
		run->state = waiting;
		run->state_free = waiting_drop;
		return RUN_WAIT;
	}
	waiting_free(waiting);
	run_error(run, "Not saved: %s.", why);
	free(why);
	return RUN_DONE;
}
