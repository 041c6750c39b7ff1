/* SPDX-License-Identifier: MIT */
/*
 * wait: the rest of the line is run after a delay, or as soon as a server is free.
 *
 *   srv-unused     no request, tunnel or pooled connection is left
 *   srv-removable  likewise, and it is in maintenance: "del server" would take it
 *   srv-drained    no request or tunnel, and no live session
 *
 * A condition is looked at every LOOK_MS; nobody has to tell us.
 */
#include "config.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/delay.h"
#include "loop/loop.h"
#include "model/server.h"

#define LOOK_MS     20
#define WAIT_MAX_MS SEC(7 * 86400)

enum condition { CONDITION_NONE, CONDITION_UNUSED, CONDITION_REMOVABLE, CONDITION_DRAINED };

struct waiting {
	struct timer timer;
	struct console *console; /* (view) */
	enum condition condition;
	const struct server *server; /* (view) */
	int64_t until_ms;
};

static void waiting_free(void *state)
{
	struct waiting *waiting = state;

	timer_fini(&console_loop()->wheel, &waiting->timer);
	free(waiting);
}

static void on_look(struct timer *timer)
{
	run_wake(container_of(timer, struct waiting, timer)->console);
}

static bool read_condition(struct str text, enum condition *condition)
{
	static const char *const names[] = {
		[CONDITION_UNUSED] = "srv-unused",
		[CONDITION_REMOVABLE] = "srv-removable",
		[CONDITION_DRAINED] = "srv-drained",
	};

	for (unsigned i = CONDITION_UNUSED; i < ARRAY_N(names); i++)
		if (str_eq(text, str_of(names[i]))) {
			*condition = (enum condition)i;
			return true;
		}
	return false;
}

static bool has_connections(const struct server *server)
{
	return atomic_load(&server->used) ||
	       counters_sum(&server->counters, server_connections_idle);
}

static bool holds(const struct waiting *waiting)
{
	switch (waiting->condition) {
	case CONDITION_NONE:
		break;
	case CONDITION_UNUSED:
	case CONDITION_REMOVABLE:
		return !has_connections(waiting->server);
	case CONDITION_DRAINED:
		return !atomic_load(&waiting->server->used) &&
		       !atomic_load(&waiting->server->sessions);
	}
	return false;
}

static enum run_step usage(struct run *run)
{
	run_text(run,
		 STR("Usage: wait {-h|<duration>} [condition [args...]]\n"
		     "  - '-h' displays this help\n"
		     "  - <duration> is the maximum wait time, in milliseconds or with a unit\n"
		     "  - conditions, to stop waiting once they hold:\n"
		     "    - srv-unused <backend>/<server>: no connection is left\n"
		     "    - srv-removable <backend>/<server>: the same, in maintenance\n"
		     "    - srv-drained <backend>/<server>: no request and no session\n"));
	return RUN_DONE;
}

/* NULL when a message was written. */
static struct waiting *begin(struct run *run)
{
	struct srvset_member *member = NULL;
	enum condition condition = CONDITION_NONE;
	struct waiting *waiting;
	int64_t ms;

	if (delay_parse(run_arg(run, 0), 1000, &ms) != 0 || ms > WAIT_MAX_MS) {
		run_error(run, "Expects a duration in milliseconds.");
		return NULL;
	}
	if (run->args_n > 1) {
		if (!read_condition(run->args[1], &condition)) {
			usage(run);
			return NULL;
		}
		member = run_server(run, run_arg(run, 2));
		if (!member)
			return NULL;
	}
	waiting = xcalloc(1, sizeof(*waiting));
	waiting->console = run->console;
	waiting->condition = condition;
	waiting->server = member ? member->server : NULL;
	waiting->until_ms = clock_ms() + ms;
	timer_init(&waiting->timer, on_look);
	run->state = waiting;
	run->state_free = waiting_free;
	return waiting;
}

enum run_step command_wait(struct run *run)
{
	struct waiting *waiting = run->state;
	int64_t left_ms;

	if (!waiting) {
		if (!run->args_n || str_eq(run->args[0], STR("-h")) ||
		    str_eq(run_arg(run, 1), STR("-h")))
			return usage(run);
		waiting = begin(run);
		if (!waiting)
			return RUN_DONE;
	}
	if (waiting->condition == CONDITION_REMOVABLE &&
	    !(server_state(waiting->server) & SERVER_MAINT))
		return run_error(run, "Only servers in maintenance mode can be deleted.");
	if (holds(waiting))
		return RUN_DONE;
	left_ms = waiting->until_ms - clock_ms();
	if (left_ms <= 0)
		return waiting->condition == CONDITION_NONE ? RUN_DONE
							    : run_error(run, "Wait delay expired.");
	if (waiting->condition != CONDITION_NONE && left_ms > LOOK_MS)
		left_ms = LOOK_MS;
	loop_timer_in(console_loop(), &waiting->timer, left_ms);
	return RUN_WAIT;
}
