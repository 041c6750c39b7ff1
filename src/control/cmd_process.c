/* SPDX-License-Identifier: MIT */
/* The process as a whole: counters, errors, configuration, reload. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "control/commands.h"
#include "control/control.h"
#include "control/sample.h"
#include "session/capture.h"
#include "session/traffic.h"

static void clear_all(void)
{
	capture_clear();
	counters_clear(&process_state.counters);
	for (struct frontend_state *f = frontend_state_first(); f; f = f->next)
		counters_clear(&f->counters);
	for (struct backend_state *b = backend_state_first(); b; b = b->next)
		counters_clear(&b->counters);
	for (uint32_t i = 0; i < servers_n(); i++) {
		counters_clear(&server_by_number(i)->counters);
		atomic_store(&server_by_number(i)->downs, 0);
	}
}

enum run_step command_clear_counters(struct run *run)
{
	bool all = str_eq(run_arg(run, 0), STR("all"));

	if (all && run_level(run) < CTL_ADMIN)
		return run_error(run, "Permission denied");
	sample_clear(all);
	if (all)
		clear_all();
	return RUN_DONE;
}

/* Prints TEXT without its empty lines. */
static void print_lines(struct run *run, struct str text)
{
	while (text.len) {
		ptrdiff_t at = str_find_char(text, '\n');
		size_t len = at < 0 ? text.len : (size_t)at;

		if (len)
			run_print(run, "%.*s\n", (int)len, text.p);
		len += at >= 0;
		text.p += len;
		text.len -= len;
	}
}

/* at[0]: bytes printed of run->state. */
enum run_step command_show_config(struct run *run)
{
	struct str rest;
	size_t len;

	if (!run->state) {
		run->state = config_dump_marked(control_config(), &len);
		run->state_free = free;
		run->at[1] = len;
	}
	rest = (struct str){ (const char *)run->state + run->at[0], run->at[1] - run->at[0] };
	if (rest.len > RUN_PIECE) {
		rest.len = RUN_PIECE;
		while (rest.len && rest.p[rest.len - 1] != '\n')
			rest.len--;
		if (!rest.len) /* a line longer than a piece */
			rest.len = run->at[1] - run->at[0];
	}
	print_lines(run, rest);
	run->at[0] += rest.len;
	return run->at[0] < run->at[1] ? RUN_MORE : RUN_DONE;
}

enum run_step command_reload(struct run *run)
{
	char *report = NULL;
	int rc;

	if (!control_reload_hook)
		return run_error(run, "Reloading is not possible here.");
	rc = control_reload_hook(&report);
	run_message(run, rc == 0 ? SEVERITY_INFO : SEVERITY_ERR, "Success=%d", rc == 0);
	run_text(run, STR("--\n"));
	if (report)
		print_lines(run, str_of(report));
	free(report);
	return RUN_DONE;
}
