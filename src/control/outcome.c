/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/outcome.h"

#include <stdlib.h>

#include "base/mem.h"

static void outcome_free(struct outcome *outcome)
{
	free(outcome->text);
	free(outcome);
}

static void on_over(void *arg, bool is_done, const char *text)
{
	struct outcome *outcome = arg;

	if (!outcome->console) {
		outcome_free(outcome);
		return;
	}
	outcome->is_over = true;
	outcome->is_done = is_done;
	outcome->text = xstrdup(text);
	run_wake(outcome->console);
}

/* For run->state_free. */
static void outcome_drop(void *state)
{
	struct outcome *outcome = state;

	outcome->console = NULL;
	if (outcome->is_over)
		outcome_free(outcome);
}

int outcome_begin(struct run *run, outcome_begin_fn *begin, char **why)
{
	struct outcome *outcome = xcalloc(1, sizeof(*outcome));
	int rc;

	outcome->console = run->console;
	rc = begin(on_over, outcome, why);
	if (rc != 0) {
		outcome_free(outcome);
		return rc;
	}
	run->state = outcome;
	run->state_free = outcome_drop;
	return 0;
}
