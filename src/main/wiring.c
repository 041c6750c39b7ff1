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
#include "main/changes.h"
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
	server_change_hook = changes_on_server;
	control_reload_hook = on_reload;
	timer_init(&second, on_second);
	loop_timer_in(&control_loop, &second, SEC(1));
}
