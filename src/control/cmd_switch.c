/* SPDX-License-Identifier: MIT */
/* enable and disable health and agent checks; shutdown sessions server. */
#include "config.h"

#include "control/commands.h"
#include "health/health.h"
#include "model/server.h"
#include "session/ending.h"

static enum run_step set_health(struct run *run, bool is_enabled)
{
	struct srvset_member *member = run_server(run, run_arg(run, 0));
	struct health_info info;

	if (!member)
		return RUN_DONE;
	if (!health_info(member->server, &info) || info.kind == CHECK_NONE)
		return is_enabled ? run_error(run, "Health check was not configured on this "
						   "server, cannot enable.")
				  : RUN_DONE;
	if (health_set_enabled(member->server, is_enabled) != 0)
		return run_error(run, "The server is not in service.");
	return RUN_DONE;
}

enum run_step command_enable_health(struct run *run)
{
	return set_health(run, true);
}

enum run_step command_disable_health(struct run *run)
{
	return set_health(run, false);
}

static enum run_step set_agent(struct run *run, bool is_enabled)
{
	struct srvset_member *member = run_server(run, run_arg(run, 0));

	if (!member)
		return RUN_DONE;
	if (!health_has_agent(member->server))
		return is_enabled ? run_error(run, "Agent was not configured on this server, "
						   "cannot enable.")
				  : RUN_DONE;
	if (agent_set_enabled(member->server, is_enabled) != 0)
		return run_error(run, "The server is not in service.");
	return RUN_DONE;
}

enum run_step command_enable_agent(struct run *run)
{
	return set_agent(run, true);
}

enum run_step command_disable_agent(struct run *run)
{
	return set_agent(run, false);
}

enum run_step command_shutdown_sessions_server(struct run *run)
{
	struct srvset_member *member = run_server(run, run_arg(run, 0));

	if (member)
		ending_post(member->server, 1000, 0, ENDING_ABRUPT);
	return RUN_DONE;
}
