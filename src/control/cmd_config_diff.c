/* SPDX-License-Identifier: MIT */
/*
 * show config diff: what was changed on the stats socket against the file, a line each:
 *
 *   # object setting now file where
 *   chat/app-1/3001 weight 50 100 limpet.yaml:14
 *
 * run->at[0] says which part is under way, at[1] and at[2] count within it.
 */
#include "config.h"

#include "control/server_args.h"

#include <stdio.h>

#include "health/health.h"
#include "model/override.h"

enum part { PART_HEADER, PART_OVERRIDES, PART_STATES, PART_FRONTENDS, PART_END };

struct line_of_diff {
	const char *proxy, *server; /* server NULL: a frontend */
	const char *setting, *now, *file;
	const struct config_pos *pos; /* NULL = nowhere in the file */
};

static void print_line(struct run *run, const struct line_of_diff *line)
{
	const char *file = line->pos && line->pos->file ? line->pos->file : control_config()->file;

	run_print(run, "%s%s%s %s %s %s ", line->proxy, line->server ? "/" : "",
		  line->server ? line->server : "", line->setting, line->now, line->file);
	if (line->pos)
		run_print(run, "%s:%u\n", file, line->pos->line);
	else
		run_text(run, STR("-\n"));
}

static const struct config_pos *position_of(const struct server *server)
{
	const struct backend *backend = run_backend(str_of(server->backend->name));

	for (size_t i = 0; backend && i < backend->hosts_n; i++)
		if (str_eq(backend->hosts[i].name, str_of(server->host_name)))
			return &backend->hosts[i].pos;
	return NULL;
}

static void print_override(struct run *run, const struct override *override)
{
	char now[ADDR_TEXT_SIZE], file[ADDR_TEXT_SIZE];
	struct line_of_diff line = {
		.proxy = override->server->backend->name,
		.server = override->server->name,
		.pos = override->kind == OVERRIDE_ADDED ? NULL : position_of(override->server),
	};

	switch (override->kind) {
	case OVERRIDE_ADDED:
		line.setting = "added";
		line.now = override_field_text(&override->mine, OVERRIDE_ADDR, now);
		line.file = "-";
		print_line(run, &line);
		return;
	case OVERRIDE_DELETED:
		line.setting = "deleted";
		line.now = "-";
		line.file = override_field_text(&override->file, OVERRIDE_ADDR, file);
		print_line(run, &line);
		return;
	case OVERRIDE_CHANGED:
		break;
	}
	for (unsigned field = OVERRIDE_WEIGHT; field <= OVERRIDE_SEND_PROXY; field *= 2) {
		enum override_field at = (enum override_field)field;

		if (!(override->fields & field))
			continue;
		line.setting = override_field_name(at);
		line.now = override_field_text(&override->mine, at, now);
		line.file = override_field_text(&override->file, at, file);
		print_line(run, &line);
	}
}

static void print_states(struct run *run, const struct server *server)
{
	unsigned state = server_state(server);
	struct health_info health;
	struct line_of_diff line = {
		.proxy = server->backend->name,
		.server = server->name,
		.setting = "state",
		.now = state & SERVER_MAINT ? "maint" : "drain",
		.file = "ready",
		.pos = position_of(server),
	};

	if (state & (SERVER_MAINT | SERVER_DRAIN))
		print_line(run, &line);
	if (!health_info(server, &health))
		return;
	line.now = "disabled";
	line.file = "enabled";
	line.setting = "health";
	if (health.kind != CHECK_NONE && !health.is_enabled)
		print_line(run, &line);
	line.setting = "agent";
	if (health.has_agent && !health.is_agent_enabled)
		print_line(run, &line);
}

static void print_frontend(struct run *run, const struct frontend *frontend)
{
	const struct frontend_state *state = frontend->state;
	uint32_t max = atomic_load(&state->max_connections);
	char now[16], file[16];
	struct line_of_diff line = { .proxy = state->name, .pos = &frontend->pos };

	line.setting = "state";
	line.now = atomic_load(&state->is_shut) ? "shutdown" : "disabled";
	line.file = "enabled";
	if (atomic_load(&state->is_shut) || atomic_load(&state->is_disabled))
		print_line(run, &line);
	if (max == UINT32_MAX)
		return;
	snprintf(now, sizeof(now), "%u", max);
	snprintf(file, sizeof(file), "%u", frontend->max_connections);
	line.setting = "max_connections";
	line.now = now;
	line.file = frontend->max_connections ? file : "none";
	print_line(run, &line);
}

/* One of the part under way; false when it has no more. */
static bool print_next(struct run *run)
{
	const struct config *config = control_config();
	const struct override *override;
	struct srvset *set;

	switch ((enum part)run->at[0]) {
	case PART_HEADER:
		run_text(run, STR("# object setting now file where\n"));
		return false;
	case PART_OVERRIDES:
		override = override_at(run->at[1]++);
		if (override)
			print_override(run, override);
		return override;
	case PART_STATES:
		if (run->at[1] >= config->backends_n)
			return false;
		set = srvset_of(config->backends[run->at[1]].state);
		if (set && run->at[2] < set->members_n) {
			print_states(run, set->members[run->at[2]++].server);
		} else {
			run->at[1]++;
			run->at[2] = 0;
		}
		return true;
	case PART_FRONTENDS:
		if (run->at[1] >= config->frontends_n)
			return false;
		print_frontend(run, &config->frontends[run->at[1]++]);
		return true;
	case PART_END:
		return false;
	}
	return false;
}

enum run_step command_show_config_diff(struct run *run)
{
	while (run->at[0] < PART_END) {
		if (!print_next(run)) {
			run->at[0]++;
			run->at[1] = run->at[2] = 0;
		}
		if (run_is_full(run))
			return RUN_MORE;
	}
	return RUN_DONE;
}
