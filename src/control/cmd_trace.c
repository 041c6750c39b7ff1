/* SPDX-License-Identifier: MIT */
/*
 * trace: what one client or session does is told on the console, line by line, until the time is
 * over, "trace off" comes, or the console closes.  One at a time: a new one ends the old.
 *
 * Lines come by mail on the control thread.  A console that does not take them keeps PENDING_MAX
 * bytes; more are dropped, and their number is told at the end.
 */
#include "config.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/delay.h"
#include "session/trace.h"

#define TRACE_MS     SEC(60)
#define TRACE_MAX_MS SEC(3600)
#define PENDING_MAX  65536u

struct tracing {
	struct timer timer;
	struct console *console; /* (view) */
	struct buf pending;
	int64_t until_ms;
	uint64_t dropped_n;
	bool is_over;
};

static struct tracing *current; /* (view) the console's that has it */

static void tracing_free(void *state)
{
	struct tracing *tracing = state;

	if (tracing == current) {
		trace_stop();
		current = NULL;
	}
	timer_fini(&console_loop()->wheel, &tracing->timer);
	buf_release(&tracing->pending);
	free(tracing);
}

static void on_line(struct trace_line *line)
{
	struct str text = str_of(line->text);

	trace_line_done();
	if (current && buf_length(&current->pending) + text.len >= PENDING_MAX) {
		current->dropped_n++;
	} else if (current) {
		buf_append_str(&current->pending, text);
		buf_append_str(&current->pending, STR("\n"));
		run_wake(current->console);
	}
	free(line);
}

static void on_time(struct timer *timer)
{
	struct tracing *tracing = container_of(timer, struct tracing, timer);

	tracing->is_over = true;
	run_wake(tracing->console);
}

/* Its console may go on with a command that begins a trace: everything is in order before. */
static void end_tracing(struct tracing *tracing)
{
	if (!tracing)
		return;
	tracing->is_over = true;
	run_wake(tracing->console);
}

#define ID_DIGITS  16 /* of a session as the log prints it */
#define KEY_DIGITS 32 /* as "show table" prints it: the same, and more */

/* "~0123456789abcdef" or an address; false when it is neither. */
static bool read_filter(struct str text, struct trace_filter *filter)
{
	*filter = (struct trace_filter){ .sid_hash = 0 };
	if ((text.len != 1 + ID_DIGITS && text.len != 1 + KEY_DIGITS) || text.p[0] != '~')
		return ip_addr_parse(text, &filter->ip) == 0;
	for (size_t i = 1; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		if (i <= ID_DIGITS)
			filter->sid_hash = filter->sid_hash << 4 |
					   (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	return true;
}

static enum run_step begin(struct run *run)
{
	struct tracing *tracing, *before = current;
	struct trace_filter filter;
	int64_t ms = TRACE_MS;

	if (str_eq(run->args[0], STR("off"))) {
		trace_stop();
		current = NULL;
		end_tracing(before);
		return RUN_DONE;
	}
	if (!read_filter(run->args[0], &filter))
		return run_error(run, "'trace' expects a client's address, a session as '~' and 16 "
				      "or 32 digits, or 'off'.");
	if (run->args_n > 1 &&
	    (!str_eq(run->args[1], STR("for")) || delay_parse(run_arg(run, 2), 1000000, &ms) != 0 ||
	     ms < 1 || ms > TRACE_MAX_MS))
		return run_error(run, "Expects 'for' and a duration, at most 1h.");
	tracing = xcalloc(1, sizeof(*tracing));
	tracing->console = run->console;
	tracing->until_ms = clock_ms() + ms;
	timer_init(&tracing->timer, on_time);
	loop_timer_in(console_loop(), &tracing->timer, ms);
	run->state = tracing;
	run->state_free = tracing_free;
	current = tracing;
	trace_start(&filter, console_loop(), on_line);
	run_print(run, "# tracing for %llds; 'trace off' ends it\n", (long long)(ms / 1000));
	end_tracing(before);
	return tracing->is_over ? RUN_MORE : RUN_WAIT;
}

enum run_step command_trace(struct run *run)
{
	struct tracing *tracing = run->state;

	if (!tracing) {
		if (run->args_n)
			return begin(run);
		run_text(run, current ? STR("A trace is under way.\n") : STR("No trace.\n"));
		return RUN_DONE;
	}
	/* Whoever does not read lets the lines pile up here, bounded, and not in the answer. */
	if (!run_is_full(run)) {
		run_text(run, buf_str(&tracing->pending));
		buf_release(&tracing->pending);
	}
	if (!tracing->is_over)
		return RUN_WAIT;
	if (buf_length(&tracing->pending))
		return RUN_MORE;
	if (tracing->dropped_n + trace_dropped())
		run_print(run, "# %llu lines were dropped\n",
			  (unsigned long long)tracing->dropped_n + trace_dropped());
	return RUN_DONE;
}
