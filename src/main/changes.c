/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/changes.h"

#include <stdio.h>

#include "base/log.h"
#include "control/drain.h"
#include "main/runtime.h"
#include "model/host_state.h"
#include "session/ending.h"
#include "session/traffic.h"

/* Found by a check, by an agent or by traffic; the rest is the operator's will. */
#define FOUND_UNABLE (SERVER_DOWN | SERVER_AGENT_DOWN | SERVER_AGENT_MAINT)

static void log_server(const struct srvset *set, const struct server *server, unsigned old_state,
		       unsigned state, const char *why)
{
	unsigned ready = 0, sessions = atomic_load(&server->sessions);
	char lives[64] = "";

	for (uint32_t i = 0; set && i < set->members_n; i++)
		ready += server_is_ready(set->members[i].server);
	if (state && sessions)
		snprintf(lives, sizeof(lives), ", %u session%s live%s there", sessions,
			 sessions == 1 ? "" : "s", sessions == 1 ? "s" : "");
	log_event(LOG_LEVEL_WARN, "server_state",
		  LOG_FIELDS({ "backend", server->backend->name, 0 }, { "server", server->name, 0 },
			     { "host", server->host_name, 0 },
			     { "from", server_state_name(old_state), 0 },
			     { "to", server_state_name(state), 0 }, { "reason", why, 0 },
			     { "servers_ready", NULL, ready },
			     { "servers", NULL, set ? set->members_n : 0 },
			     { "sessions", NULL, sessions }),
		  "server %s/%s is %s: %s; %u of %u servers %s%s", server->backend->name,
		  server->name, server_state_name(state), why, ready, set ? set->members_n : 0,
		  state ? "left" : "up", lives);
}

/* The host's own line, when it is another thing than its worker. */
static void log_host(const struct srvset *set, const struct srvset_member *member,
		     unsigned old_state, unsigned new_state)
{
	static const char *const whys[][2] = {
		{ "UP", "a worker takes new sessions" },
		{ "DRAIN", "no worker takes new sessions" },
		{ "MAINT", "all its workers are in maintenance" },
		{ "DOWN", "all its workers are down" },
	};
	struct host_state before = host_state_of(set, member->host, member->server, old_state);
	struct host_state after = host_state_of(set, member->host, member->server, new_state);
	const char *name = host_state_name(&after);

	if (after.members_n < 2 || name == host_state_name(&before))
		return;
	for (size_t i = 0; i < ARRAY_N(whys); i++)
		if (strcmp(whys[i][0], name) == 0)
			log_event(LOG_LEVEL_WARN, "host_state",
				  LOG_FIELDS({ "backend", member->server->backend->name, 0 },
					     { "host", member->server->host_name, 0 },
					     { "from", host_state_name(&before), 0 },
					     { "to", name, 0 }, { "reason", whys[i][1], 0 }),
				  "host %s/%s is %s: %s", member->server->backend->name,
				  member->server->host_name, name, whys[i][1]);
}

void changes_on_server(struct server *server, unsigned old_state, unsigned new_state,
		       const char *why)
{
	struct srvset *set = srvset_of(server->backend);
	struct srvset_member *member = set ? srvset_find(set, server) : NULL;

	queue_wake_all(server->backend);
	log_server(set, server, old_state, new_state, why);
	if (member)
		log_host(set, member, old_state, new_state);
	drain_on_change(server, old_state, new_state, runtime_config());
	if (new_state & ~old_state & FOUND_UNABLE && atomic_load(&server->backend->is_cut_on_down))
		ending_post(server, 1000, 0, ENDING_ABRUPT);
}
