/* SPDX-License-Identifier: MIT */
/*
 * Every hook through which news travels upward, in one place.
 *
 *   session: what a request met at a server   -> health (passive checks)
 *   model:   a server's state has changed     -> log lines of the server and of its host
 *   control: reload was asked for             -> runtime
 *   a second has passed                       -> tables expire
 */
#include "config.h"

#include "main/wiring.h"

#include "balance/stick.h"
#include "base/log.h"
#include "control/control.h"
#include "health/health.h"
#include "main/runtime.h"
#include "session/traffic.h"

static const char *config_file;
static struct timer second;

static void on_outcome(struct server *server, const struct backend *backend,
		       enum server_outcome outcome)
{
	static const enum health_outcome outcomes[] = {
		[OUTCOME_OK] = HEALTH_OK,
		[OUTCOME_REFUSED] = HEALTH_CONNECT_REFUSED,
		[OUTCOME_CONNECT_FAILED] = HEALTH_CONNECT_FAILED,
		[OUTCOME_TIMEOUT] = HEALTH_TIMEOUT,
		[OUTCOME_5XX] = HEALTH_5XX,
		[OUTCOME_BROKEN] = HEALTH_BROKEN,
	};

	if (outcome != OUTCOME_OK)
		health_passive(server, backend, outcomes[outcome]);
}

static const char *state_text(unsigned state)
{
	if (state & SERVER_GONE)
		return "GONE";
	if (state & SERVER_MAINT)
		return "MAINT";
	if (state & SERVER_DOWN)
		return "DOWN";
	if (state & SERVER_SICK)
		return "SICK (no new sessions)";
	return state & SERVER_DRAIN ? "DRAIN" : "UP";
}

static void log_host(const struct srvset *set, const struct srvset_member *member, bool was_able)
{
	unsigned others_able = 0, members_n = 0;

	for (uint32_t i = 0; i < set->members_n; i++) {
		const struct srvset_member *at = &set->members[i];

		if (at->host != member->host)
			continue;
		members_n++;
		others_able += at != member && server_is_able(at->server);
	}
	if (others_able || members_n < 2)
		return;
	log_warn("host %s/%s is %s: %s", member->server->backend->name, member->server->host_name,
		 was_able ? "DOWN" : "UP",
		 was_able ? "all its workers are down" : "a worker is up");
}

static void on_server_change(struct server *server, unsigned old_state, unsigned new_state,
			     const char *why)
{
	struct srvset *set = srvset_of(server->backend);
	struct srvset_member *member = set ? srvset_find(set, server) : NULL;
	bool was_able = !(old_state & SERVER_UNABLE), is_able = !(new_state & SERVER_UNABLE);

	queue_wake_all(server->backend);
	log_warn("server %s/%s is %s: %s", server->backend->name, server->name,
		 state_text(new_state), why);
	if (member && was_able != is_able)
		log_host(set, member, was_able);
}

static int on_reload(char **report)
{
	return runtime_reload(config_file, report);
}

static void on_second(struct timer *timer)
{
	stick_expire();
	loop_timer_in(&control_loop, timer, SEC(1));
}

void wiring_init(const char *file)
{
	config_file = file;
	server_outcome_hook = on_outcome;
	server_change_hook = on_server_change;
	control_reload_hook = on_reload;
	timer_init(&second, on_second);
	loop_timer_in(&control_loop, &second, SEC(1));
}
