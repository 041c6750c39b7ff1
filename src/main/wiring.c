/* SPDX-License-Identifier: MIT */
/*
 * Every hook through which news travels upward, in one place.
 *
 *   session: what a request met at a server   -> health (passive checks)
 *   model:   a server's state has changed     -> log lines of the server and of its host
 *                                             -> slow start; pools of idle connections
 *   model:   an agent has changed a weight    -> slow start, which weighs anew
 *   control: servers were changed             -> runtime_sets
 *   control: reload was asked for             -> runtime
 *   control: an upgrade was asked for         -> upgrade
 *   control: a save was asked for             -> state_keep
 *   control: certificates were changed        -> certificates
 *   a second has passed                       -> tables expire
 */
#include "config.h"

#include "main/wiring.h"

#include <malloc.h>

#include "balance/stick.h"
#include "base/log.h"
#include "control/control.h"
#include "health/health.h"
#include "main/certificates.h"
#include "main/changes.h"
#include "main/runtime.h"
#include "main/upgrade.h"
#include "main/runtime_sets.h"
#include "main/slow_start.h"
#include "mirror/mirror.h"
#include "main/state_keep.h"
#include "session/traffic.h"
#include "session/trim.h"

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

static void on_server_change(struct server *server, unsigned old_state, unsigned new_state,
			     const char *why)
{
	changes_on_server(server, old_state, new_state, why);
	slow_start_on_change(server, old_state, new_state);
	if (new_state & ~old_state & (SERVER_MAINT | SERVER_GONE))
		runtime_sweep_pools();
}

static int on_reload(char **report)
{
	return runtime_reload(config_file, report);
}

static void on_second(struct timer *timer)
{
	stick_expire();
	if (trim_is_wanted())
		malloc_trim(0);
	loop_timer_in(&control_loop, timer, SEC(1));
}

void wiring_init(const char *file)
{
	config_file = file;
	server_outcome_hook = on_outcome;
	server_change_hook = on_server_change;
	server_weight_hook = slow_start_weigh;
	control_servers_changed_hook = runtime_servers_changed;
	control_reload_hook = on_reload;
	control_upgrade_hook = upgrade_start;
	control_save_hook = state_keep_save;
	control_old_hook = upgrade_old;
	control_certificates_changed_hook = certificates_changed;
	slow_start_init();
	certificates_init(&control_loop);
	mirror_init(&control_loop);
	timer_init(&second, on_second);
	loop_timer_in(&control_loop, &second, SEC(1));
}
