/* SPDX-License-Identifier: MIT */
/* set maxconn frontend, set maxconn global; enable, disable and shutdown frontend. */
#include "config.h"

#include "control/frontends.h"

#include <stdlib.h>

#include "base/fds.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/commands.h"
#include "session/traffic.h"

struct follow_mail {
	struct mail mail;
	struct traffic *traffic;
};

static void on_follow(struct mail *mail)
{
	struct follow_mail *at = container_of(mail, struct follow_mail, mail);

	traffic_follow_frontends(at->traffic);
	free(at);
}

static void tell_traffic(void)
{
	struct traffic *traffic;

	for (unsigned i = 0; (traffic = traffic_by_index(i)); i++) {
		struct follow_mail *at = xcalloc(1, sizeof(*at));

		at->traffic = traffic;
		loop_post(&traffic->loop, &at->mail, on_follow);
	}
}

uint32_t frontend_limit(const struct frontend *frontend)
{
	uint32_t set = atomic_load(&frontend->state->max_connections);

	return set == UINT32_MAX ? frontend->max_connections : set;
}

const char *frontend_status(const struct frontend *frontend)
{
	const struct frontend_state *state = frontend->state;
	uint32_t limit = frontend_limit(frontend);

	if (atomic_load(&state->is_disabled) || atomic_load(&state->is_shut))
		return "STOP";
	return limit && atomic_load(&state->used) >= limit ? "FULL" : "OPEN";
}

/* What CONFIG says; never more than the descriptors allow. */
static uint32_t configured_max(const struct config *config)
{
	uint32_t possible = process_state.max_connections_possible;
	uint32_t max = config->global.max_connections;

	return max && max < possible ? max : possible;
}

static void forget(struct frontend_state *state)
{
	atomic_store(&state->is_disabled, false);
	atomic_store(&state->is_shut, false);
	atomic_store(&state->max_connections, UINT32_MAX);
}

void frontends_apply(const struct config *old, const struct config *config)
{
	if (old->global.max_connections != config->global.max_connections) {
		fds_make_room(2 * (uint64_t)config->global.max_connections);
		process_state.max_connections = configured_max(config);
		if (config->global.max_connections > process_state.max_connections)
			log_warn("global.max_connections %u is more than the descriptors allow: it "
				 "is %u",
				 config->global.max_connections,
				 (unsigned)process_state.max_connections);
	}
	for (size_t i = 0; i < config->frontends_n; i++) {
		struct frontend_state *state = config->frontends[i].state;

		if (config->frontends[i].max_connections != state->max_overridden)
			atomic_store(&state->max_connections, UINT32_MAX);
	}
	for (struct frontend_state *at = frontend_state_first(); at; at = at->next)
		if (atomic_load(&at->is_gone))
			forget(at);
	tell_traffic();
}

/* The frontend that argument AT names, or an error message and NULL. */
static const struct frontend *find(struct run *run, unsigned at)
{
	struct str name = run_arg(run, at);
	const struct config *config = control_config();
	const struct frontend *frontend = config_frontend(config, name);
	uint64_t id;

	if (!name.len) {
		run_error(run, "A frontend name is expected.");
		return NULL;
	}
	if (name.p[0] == '#')
		name = (struct str){ name.p + 1, name.len - 1 };
	if (!frontend && str_to_u64(name, UINT32_MAX, &id) == 0)
		for (size_t i = 0; i < config->frontends_n; i++)
			if (config->frontends[i].state->id == id)
				frontend = &config->frontends[i];
	if (!frontend)
		run_error(run, "No such frontend.");
	return frontend;
}

enum run_step command_set_maxconn_frontend(struct run *run)
{
	const struct frontend *frontend = find(run, 0);
	uint64_t n;

	if (!frontend)
		return RUN_DONE;
	if (run->args_n < 2)
		return run_error(run, "Integer value expected.");
	if (str_to_u64(run->args[1], UINT32_MAX - 1, &n) != 0)
		return run_error(run, "Value out of range.");
	frontend->state->max_overridden = frontend->max_connections;
	atomic_store(&frontend->state->max_connections, n ? (uint32_t)n : UINT32_MAX);
	tell_traffic();
	return RUN_DONE;
}

enum run_step command_set_maxconn_global(struct run *run)
{
	uint64_t n;

	if (!run->args_n)
		return run_error(run, "Expects an integer value.");
	if (str_to_u64(run->args[0], process_state.max_connections_possible, &n) != 0)
		return run_error(run, "Value out of range.");
	fds_make_room(2 * n);
	process_state.max_connections = n ? (uint32_t)n : configured_max(control_config());
	tell_traffic();
	return RUN_DONE;
}

static void set_disabled(const struct frontend *frontend, bool is_disabled)
{
	atomic_store(&frontend->state->is_disabled, is_disabled);
	log_event(LOG_LEVEL_WARN, "frontend_state",
		  LOG_FIELDS({ "frontend", frontend->state->name, 0 },
			     { "to", is_disabled ? "disabled" : "enabled", 0 },
			     { "reason", "operator", 0 }),
		  "frontend %s is %s: set by the operator", frontend->state->name,
		  is_disabled ? "disabled" : "enabled");
	tell_traffic();
}

enum run_step command_enable_frontend(struct run *run)
{
	const struct frontend *frontend = find(run, 0);

	if (!frontend)
		return RUN_DONE;
	if (atomic_load(&frontend->state->is_shut))
		return run_error(run, "Frontend was previously shut down, cannot enable.");
	if (!atomic_load(&frontend->state->is_disabled))
		return run_message(run, SEVERITY_NOTICE, "All sockets are already enabled.");
	set_disabled(frontend, false);
	return RUN_DONE;
}

enum run_step command_disable_frontend(struct run *run)
{
	const struct frontend *frontend = find(run, 0);

	if (!frontend)
		return RUN_DONE;
	if (atomic_load(&frontend->state->is_shut))
		return run_error(run, "Frontend was previously shut down, cannot disable.");
	if (atomic_load(&frontend->state->is_disabled))
		return run_message(run, SEVERITY_NOTICE, "All sockets are already disabled.");
	set_disabled(frontend, true);
	return RUN_DONE;
}

enum run_step command_shutdown_frontend(struct run *run)
{
	const struct frontend *frontend = find(run, 0);

	if (!frontend)
		return RUN_DONE;
	if (atomic_load(&frontend->state->is_shut))
		return run_error(run, "Frontend was already shut down.");
	atomic_store(&frontend->state->is_shut, true);
	log_event(LOG_LEVEL_WARN, "frontend_state",
		  LOG_FIELDS({ "frontend", frontend->state->name, 0 }, { "to", "shut_down", 0 },
			     { "reason", "operator", 0 }),
		  "frontend %s is shut down: set by the operator", frontend->state->name);
	tell_traffic();
	return RUN_DONE;
}
