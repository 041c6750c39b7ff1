/* SPDX-License-Identifier: MIT */
/*
 * The families of model/counters.def: limpet_, the scope, and the row's name, with the unit at its
 * end.  Rows that are one thing by kind (responses_2xx ...) share a family and differ by a label.
 */
#include "config.h"

#include <stdio.h>

#include "base/log.h"
#include "control/metrics_family.h"
#include "session/traffic.h"

/* Rows of one family, one after another in counters.def. */
static const struct group {
	int first, n;
	const char *name, *label, *help;
	const char *values[5];
} groups[] = {
	{ process_reloads,
	  2,
	  "limpet_config_reloads",
	  "result",
	  "reloads of the configuration; the first reading is none",
	  { "success", "failure" } },
	{ frontend_responses_1xx,
	  5,
	  "limpet_frontend_responses",
	  "code",
	  "responses to clients by class of status; 101 is 1xx",
	  { "1xx", "2xx", "3xx", "4xx", "5xx" } },
	{ backend_responses_own_4xx,
	  2,
	  "limpet_backend_responses_own",
	  "code",
	  "responses made by Limpet in place of a server, by class of status",
	  { "4xx", "5xx" } },
	{ server_responses_1xx,
	  5,
	  "limpet_server_responses",
	  "code",
	  "responses of the server by class of status; 101 is 1xx",
	  { "1xx", "2xx", "3xx", "4xx", "5xx" } },
};

/* Words at the end of a row's name, and what stands there in the family's. */
static const struct unit_word {
	const char *word, *as, *unit;
} unit_words[] = {
	{ "bytes_in", "in_bytes", "bytes" },
	{ "bytes_out", "out_bytes", "bytes" },
	{ "_us", "_seconds", "seconds" },
};

static const struct group *group_of(int which)
{
	for (size_t i = 0; i < ARRAY_N(groups); i++)
		if (which >= groups[i].first && which < groups[i].first + groups[i].n)
			return &groups[i];
	return NULL;
}

static const struct counters *counters_of(const struct metrics_object *object,
					  enum counter_scope scope)
{
	switch (scope) {
	case SCOPE_process:
		return &process_state.counters;
	case SCOPE_frontend:
		return &object->frontend->counters;
	case SCOPE_backend:
		return &object->backend->counters;
	case SCOPE_server:
		return &object->member->server->counters;
	case SCOPE_N:
		break;
	}
	return NULL;
}

static uint64_t value_of(const struct metrics *metrics, int which)
{
	const struct counter_row *row = &counter_rows[which];
	uint64_t value;

	if (which == process_log_dropped) /* the log's threads count them */
		return log_dropped();
	value = counters_sum(counters_of(&metrics->object, row->scope), which);
	/* The threads are read one after another: what moved meanwhile may be seen half. */
	return row->is_gauge && (int64_t)value < 0 ? 0 : value;
}

static void write_row(struct metrics *metrics, int which)
{
	const struct group *group = group_of(which);
	const char *unit = metrics->family->unit;
	char label[32];

	if (!group && unit && unit[0] == 's') {
		metrics_seconds(metrics, "", value_of(metrics, which));
		return;
	}
	for (int i = 0; i < (group ? group->n : 1); i++) {
		if (group)
			snprintf(label, sizeof(label), "%s=\"%s\"", group->label, group->values[i]);
		metrics_number(metrics, group ? label : "", value_of(metrics, which + i));
	}
}

static bool ends_in(const char *name, const char *word, size_t *at)
{
	size_t length = strlen(name), n = strlen(word);

	*at = length - n;
	return length >= n && strcmp(name + *at, word) == 0;
}

bool metrics_counter_family(int which, struct metrics_family *family, char *name)
{
	static const struct {
		const char *name;
		enum metrics_each each;
	} scopes[SCOPE_N] = {
		[SCOPE_process] = { "process", EACH_PROCESS },
		[SCOPE_frontend] = { "frontend", EACH_FRONTEND },
		[SCOPE_backend] = { "backend", EACH_BACKEND },
		[SCOPE_server] = { "server", EACH_SERVER },
	};
	const struct counter_row *row = &counter_rows[which];
	const struct group *group = group_of(which);
	size_t at = strlen(row->name);
	const char *as = "";

	if (group && which != group->first)
		return false;
	*family = (struct metrics_family){
		.name = name,
		.type = row->is_gauge ? METRIC_GAUGE : METRIC_COUNTER,
		.each = scopes[row->scope].each,
		.labels = group ? group->label : "",
		.help = group ? group->help : row->text,
		.write = write_row,
		.arg = which,
	};
	for (size_t i = 0; i < ARRAY_N(unit_words) && !family->unit; i++)
		if (ends_in(row->name, unit_words[i].word, &at)) {
			as = unit_words[i].as;
			family->unit = unit_words[i].unit;
		} else {
			at = strlen(row->name);
		}
	if (group)
		snprintf(name, METRICS_NAME_MAX, "%s", group->name);
	else
		snprintf(name, METRICS_NAME_MAX, "limpet_%s_%.*s%s", scopes[row->scope].name,
			 (int)at, row->name, as);
	return true;
}
