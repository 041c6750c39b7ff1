/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/metrics_reference.h"

#include <stdlib.h>

#include "base/mem.h"
#include "control/metrics_family.h"

static const char head[] =
	"# Metrics\n"
	"\n"
	"<!-- Made by limpet-genmetrics from model/counters.def and control/metrics_families.c: "
	"do\n"
	"not edit; `make gen-metrics-doc`. -->\n"
	"\n"
	"`GET /metrics` on `global.stats.http`, and `show metrics` on the stats socket, answer in\n"
	"Prometheus' text format 0.0.4, or in OpenMetrics 1.0 to those who ask for it (`Accept:\n"
	"application/openmetrics-text`; `show metrics openmetrics`). In OpenMetrics the heads of\n"
	"counters lack `_total`, as it wants it.\n"
	"\n"
	"* Only frontends, backends and servers of the configuration in force have samples.\n"
	"* A `server` is `host/worker`, or just the host's name when its single worker has none:\n"
	"  then `worker` is empty.\n"
	"* Latency means latency: Engine.IO polls, which a server holds until it has something to\n"
	"  say, are `kind=\"poll\"` in `limpet_backend_first_byte_seconds` and\n"
	"  `limpet_backend_request_seconds`, and are not in the sums of servers\n"
	"  (`limpet_server_response_seconds_total` ...). WebSockets count until their 101.\n"
	"* Times are taken once per turn of the event loop, in microseconds: what happens within "
	"one\n"
	"  turn takes 0. `limpet_loop_turn_seconds` tells how long turns are.\n"
	"* Upgrades: `limpet_server_upgrade_attempts_total` are requests to move a known polling\n"
	"  session to WebSocket; `..._upgrades_completed_total` those whose client has sent its\n"
	"  second data frame, from which on the session lives there; `..._upgrades_failed_total`\n"
	"  those that closed before. What is missing was refused by the server.\n"
	"* `limpet_server_unknown_sids_total` are the answers 400 code 1 (\"Session ID unknown\") "
	"that\n"
	"  a worker gave; `limpet_backend_session_unknown_answers_total` those that Limpet gave "
	"in\n"
	"  place of a worker that is gone.\n"
	"* `clear counters all` sets the counters of `model/counters.def` to zero, as a restart\n"
	"  does; Prometheus' `rate()` knows what to do.\n"
	"\n"
	"`contrib/prometheus` has a scrape configuration, recording and alert rules;\n"
	"`contrib/grafana/limpet.json` is a dashboard.\n";

static const char *type_name(enum metrics_type type)
{
	switch (type) {
	case METRIC_COUNTER:
		return "counter";
	case METRIC_GAUGE:
		return "gauge";
	case METRIC_HISTOGRAM:
		return "histogram";
	}
	return "";
}

/* Adds LINE (own) to TEXT (own). */
static char *join(char *text, char *line)
{
	char *both = xasprintf("%s%s", text, line);

	free(text);
	free(line);
	return both;
}

static char *family_line(const struct metrics_family *family)
{
	const char *object = metrics_labels(family->each);
	const char *comma = object[0] && family->labels[0] ? ", " : "";

	return xasprintf("| `%s%s` | %s | %s%s%s | %s |\n", family->name,
			 family->type == METRIC_COUNTER ? "_total" : "", type_name(family->type),
			 object, comma, family->labels, family->help);
}

static char *section(char *text, enum metrics_each each)
{
	static const char *const titles[EACH_N] = {
		[EACH_PROCESS] = "The process",    [EACH_THREAD] = "Threads",
		[EACH_FRONTEND] = "Frontends",     [EACH_BACKEND] = "Backends",
		[EACH_HOST] = "Hosts of backends", [EACH_SERVER] = "Servers (workers)",
		[EACH_TABLE] = "Session tables",
	};
	struct metrics_family family;
	char name[METRICS_NAME_MAX];

	text = join(text, xasprintf("\n## %s\n\n| metric | type | labels | what it is |\n"
				    "|---|---|---|---|\n",
				    titles[each]));
	for (unsigned i = 0; i < metrics_families_n; i++)
		if (metrics_families[i].each == each)
			text = join(text, family_line(&metrics_families[i]));
	for (int i = 0; i < COUNTERS_ALL_N; i++)
		if (metrics_counter_family(i, &family, name) && family.each == each)
			text = join(text, family_line(&family));
	return text;
}

char *metrics_reference(void)
{
	char *text = xasprintf("%s", head);

	for (int each = 0; each < EACH_N; each++)
		text = section(text, (enum metrics_each)each);
	return text;
}
