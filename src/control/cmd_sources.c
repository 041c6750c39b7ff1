/* SPDX-License-Identifier: MIT */
/* show sources: who counts towards max_connections_per_source and connection_rate_per_source. */
#include "config.h"

#include <inttypes.h>

#include "control/commands.h"
#include "model/server.h"
#include "session/source_limit.h"
#include "session/source_table.h"

#define SOURCES_PER_STEP 128

static const struct frontend_state *frontend_by(uint32_t id)
{
	const struct frontend_state *frontend = frontend_state_first();

	while (frontend && frontend->id != id)
		frontend = frontend->next;
	return frontend;
}

static void print_source(struct run *run, const struct source_view *view, struct str only)
{
	const struct frontend_state *frontend = frontend_by(view->frontend);
	char text[ADDR_TEXT_SIZE];

	if (!frontend || (only.len && !str_eq(str_of(frontend->name), only)))
		return;
	run_print(run, "frontend=%s key=%s%s conn_cur=%u rate_full_in=%" PRId64 "\n",
		  frontend->name, ip_addr_ip_text(&view->source, text).p,
		  view->source.family == AF_INET6 ? "/64" : "", view->connections,
		  view->full_in_ms);
}

static bool has_frontend(struct str name)
{
	for (const struct frontend_state *f = frontend_state_first(); f; f = f->next)
		if (str_eq(str_of(f->name), name))
			return true;
	return false;
}

enum run_step command_show_sources(struct run *run)
{
	struct source_table *table = source_limit_table();
	struct source_view views[SOURCES_PER_STEP];
	struct str only = run_arg(run, 0);
	size_t n;

	if (only.len && !has_frontend(only))
		return run_error(run, "No such frontend.");
	if (!table)
		return RUN_DONE;
	do {
		n = source_table_walk(table, &run->at[0], views, SOURCES_PER_STEP);
		for (size_t i = 0; i < n; i++)
			print_source(run, &views[i], only);
	} while (n > 0 && !run_is_full(run));
	return n > 0 ? RUN_MORE : RUN_DONE;
}
