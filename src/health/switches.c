/* SPDX-License-Identifier: MIT */
/* The operator's switches, and what can be seen of checks. */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "health/agent.h"
#include "health/check.h"

static const char why_forced[] = "forced by the operator";

int health_set_enabled(struct server *server, bool is_enabled)
{
	struct check *check = check_of(server);

	if (!check)
		return -ENOENT;
	if (check->is_disabled == !is_enabled)
		return 0;
	check->is_disabled = !is_enabled;
	check_restart(check);
	return 0;
}

bool health_is_enabled(const struct server *server)
{
	return server->check && check_kind(server->check) != CHECK_NONE;
}

int health_force(struct server *server, enum health_forced forced)
{
	struct check *check = check_of(server);

	if (!check)
		return -ENOENT;
	check->info.failures = check->info.successes = 0;
	switch (forced) {
	case HEALTH_FORCED_UP:
		check_mark_up(check, why_forced);
		break;
	case HEALTH_FORCED_STOPPING:
		check_mark_up(check, why_forced);
		server_set_state(server, SERVER_SICK, 0, why_forced);
		break;
	case HEALTH_FORCED_DOWN:
		check->is_forced_down = true;
		server_set_state(server, SERVER_DOWN, SERVER_SICK, why_forced);
		break;
	}
	if (exchange_is_idle(&check->exchange))
		check_schedule(check);
	return 0;
}

static int retarget(struct check *check)
{
	const struct health_conf *conf = &check->backend->health;

	check->target = check_target(&check->addr, &check->retarget, &conf->ip, conf->port);
	check_restart(check);
	return 0;
}

int health_set_check_address(struct server *server, const struct ip_addr *ip)
{
	struct check *check = check_of(server);

	if (!check)
		return -ENOENT;
	check->retarget.ip = ip ? *ip : (struct ip_addr){ .family = AF_UNSPEC };
	return retarget(check);
}

int health_set_check_port(struct server *server, uint16_t port)
{
	struct check *check = check_of(server);

	if (!check)
		return -ENOENT;
	check->retarget.port = port;
	return retarget(check);
}

bool health_has_agent(const struct server *server)
{
	return server->check && server->check->agent;
}

static struct agent *agent_of(struct server *server)
{
	return health_has_agent(server) ? server->check->agent : NULL;
}

int agent_set_enabled(struct server *server, bool is_enabled)
{
	struct agent *agent = agent_of(server);

	if (!agent)
		return -ENOENT;
	if (agent->is_disabled == !is_enabled)
		return 0;
	agent->is_disabled = !is_enabled;
	agent_restart(agent);
	return 0;
}

bool agent_is_enabled(const struct server *server)
{
	return health_has_agent(server) && !server->check->agent->is_disabled;
}

int agent_force(struct server *server, bool is_up)
{
	if (!health_has_agent(server))
		return -ENOENT;
	server_set_state(server, is_up ? 0 : SERVER_AGENT_DOWN, is_up ? SERVER_AGENT_DOWN : 0,
			 why_forced);
	return 0;
}

int agent_set_address(struct server *server, const struct ip_addr *ip)
{
	struct agent *agent = agent_of(server);

	if (!agent)
		return -ENOENT;
	agent->retarget.ip = ip ? *ip : (struct ip_addr){ .family = AF_UNSPEC };
	agent_restart(agent);
	return 0;
}

int agent_set_port(struct server *server, uint16_t port)
{
	struct agent *agent = agent_of(server);

	if (!agent)
		return -ENOENT;
	agent->retarget.port = port;
	agent_restart(agent);
	return 0;
}

int agent_set_send(struct server *server, struct str text)
{
	struct agent *agent = agent_of(server);

	if (!agent)
		return -ENOENT;
	if (text.len > AGENT_SEND_MAX)
		return -EINVAL;
	free(agent->send);
	agent->send = text.p ? xstrndup(text) : NULL;
	agent_restart(agent);
	return 0;
}

/* Of a server on which nothing has ever run. */
static bool unchecked_info(const struct server *server, struct health_info *out)
{
	struct sock_addr target;
	const struct backend *backend = check_place(server, &target);

	if (!backend)
		return false;
	*out = (struct health_info){
		.code = "",
		.duration_ms = -1,
		.kind = backend->health.kind,
		.is_enabled = true,
		.rise = backend->health.rise,
		.fall = backend->health.fall,
		.addr = target,
		.agent_code = "",
		.agent_duration_ms = -1,
	};
	return true;
}

bool health_info(const struct server *server, struct health_info *out)
{
	const struct check *check = server->check;

	if (!check)
		return unchecked_info(server, out);
	*out = check->info;
	out->kind = check->backend->health.kind;
	out->is_enabled = !check->is_disabled;
	out->rise = check->backend->health.rise;
	out->fall = check->backend->health.fall;
	out->is_running = exchange_is_running(&check->exchange);
	out->addr = check->target;
	agent_tell(check, out);
	return true;
}
