/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/agent.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

#define FIRST_WITHIN_MS      100
#define FALLBACK_INTERVAL_MS SEC(2)
#define AGENT_BITS           (SERVER_AGENT_DOWN | SERVER_AGENT_DRAIN | SERVER_AGENT_MAINT)

static void set_weight(struct server *server, unsigned pct)
{
	if (atomic_exchange(&server->agent_weight_pct, pct) != pct && server_weight_hook)
		server_weight_hook(server);
}

static void set_max_connections(struct server *server, uint32_t max)
{
	if (atomic_exchange(&server->agent_max_connections, max) != max && server_weight_hook)
		server_weight_hook(server);
}

static void obey(struct agent *agent, const struct agent_words *words)
{
	struct server *server = agent->check->server;
	unsigned set = 0, clear = 0;
	char why[128];

	switch (words->health) {
	case AGENT_HEALTH_UNSAID:
		break;
	case AGENT_UP:
		clear |= SERVER_AGENT_DOWN;
		break;
	case AGENT_DOWN:
		set |= SERVER_AGENT_DOWN;
		break;
	}
	switch (words->admin) {
	case AGENT_ADMIN_UNSAID:
		break;
	case AGENT_READY:
		clear |= SERVER_AGENT_DRAIN | SERVER_AGENT_MAINT;
		break;
	case AGENT_DRAIN:
		set |= SERVER_AGENT_DRAIN;
		clear |= SERVER_AGENT_MAINT;
		break;
	case AGENT_MAINT:
		set |= SERVER_AGENT_MAINT;
		clear |= SERVER_AGENT_DRAIN;
		break;
	}
	if (words->weight_pct >= 0)
		set_weight(server, (unsigned)words->weight_pct);
	if (words->maxconn >= 0)
		set_max_connections(server, (uint32_t)words->maxconn);
	snprintf(why, sizeof(why), "its agent says: %s", agent->text);
	if (set || clear)
		server_set_state(server, set, clear, why);
}

/* Bytes of an agent's that may stand in a log line. */
static void keep_text(struct agent *agent, struct str line)
{
	snprintf(agent->text, sizeof(agent->text), "%.*s", STR_ARG(line));
	for (char *c = agent->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '.';
}

static bool on_line(struct exchange *exchange, struct str line)
{
	struct agent *agent = container_of(exchange, struct agent, exchange);
	struct agent_words words;

	if (!agent_words_parse(line, &words))
		return false;
	keep_text(agent, line);
	agent->has_said_down = words.health == AGENT_DOWN;
	obey(agent, &words);
	return true;
}

static void schedule(struct agent *agent)
{
	int64_t interval_ms = agent->check->backend->agent.interval_ms;

	if (interval_ms <= 0)
		interval_ms = FALLBACK_INTERVAL_MS;
	loop_timer_in(check_loop(), &agent->timer,
		      check_spread(interval_ms, agent->check->backend->health.spread_pct));
}

static void on_done(struct exchange *exchange, enum verdict verdict, const char *code,
		    const char *text)
{
	struct agent *agent = container_of(exchange, struct agent, exchange);

	agent->code = verdict == VERDICT_OK && agent->has_said_down ? "L7STS" : code;
	if (verdict != VERDICT_OK)
		snprintf(agent->text, sizeof(agent->text), "%s", text);
	agent->duration_ms = exchange->duration_ms;
	agent->at_ms = clock_ms();
	schedule(agent);
}

static void on_timer(struct timer *timer)
{
	struct agent *agent = container_of(timer, struct agent, timer);
	const struct agent_conf *conf = &agent->check->backend->agent;
	struct exchange *exchange = &agent->exchange;

	if (agent->is_disabled || !exchange_is_idle(exchange))
		return;
	if (server_state(agent->check->server) & SERVER_MAINT) {
		schedule(agent);
		return;
	}
	agent->target = check_target(&agent->check->addr, &agent->retarget, &conf->ip, agent->port);
	exchange->addr = &agent->target;
	exchange->send = agent->send ? str_of(agent->send) : conf->send;
	exchange->timeout_ms = conf->timeout_ms > 0 ? conf->timeout_ms : FALLBACK_INTERVAL_MS;
	exchange_start(exchange);
}

void agent_restart(struct agent *agent)
{
	exchange_abort(&agent->exchange);
	if (agent->is_disabled)
		timer_stop(&agent->timer);
	else
		loop_timer_in(check_loop(), &agent->timer, check_random_up_to(FIRST_WITHIN_MS - 1));
}

static void new_agent(struct check *check, uint32_t port)
{
	struct agent *agent = xcalloc(1, sizeof(*agent));

	agent->check = check;
	agent->port = port;
	agent->code = "";
	agent->duration_ms = -1;
	timer_init(&agent->timer, on_timer);
	exchange_init(&agent->exchange, check_loop());
	agent->exchange.kind = EXCHANGE_LINE;
	agent->exchange.on_line = on_line;
	agent->exchange.on_done = on_done;
	check->agent = agent;
	agent_restart(agent);
}

void agent_apply(struct check *check, uint32_t port)
{
	if (!port) {
		agent_free(check);
		if (atomic_exchange(&check->server->agent_weight_pct, 100) != 100)
			check->is_weight_due = true;
		if (atomic_exchange(&check->server->agent_max_connections, UINT32_MAX) !=
		    UINT32_MAX)
			check->is_weight_due = true;
		server_set_state(check->server, 0, AGENT_BITS, "it has no agent any more");
	} else if (!check->agent) {
		new_agent(check, port);
	} else if (check->agent->port != port) {
		check->agent->port = port;
		agent_restart(check->agent);
	} else if (!check->agent->send) {
		check->agent->exchange.send = check->backend->agent.send;
	}
}

static void free_grave(struct grave *grave)
{
	free(container_of(grave, struct agent, grave));
}

void agent_free(struct check *check)
{
	struct agent *agent = check->agent;

	if (!agent)
		return;
	exchange_fini(&agent->exchange);
	timer_fini(&check_loop()->wheel, &agent->timer);
	free(agent->send);
	check->agent = NULL;
	loop_bury(check_loop(), &agent->grave, free_grave);
}

void agent_tell(const struct check *check, struct health_info *info)
{
	const struct agent *agent = check->agent;
	const struct agent_conf *conf = &check->backend->agent;

	info->has_agent = agent != NULL;
	info->agent_code = "";
	info->agent_duration_ms = -1;
	if (!agent)
		return;
	info->is_agent_enabled = !agent->is_disabled;
	info->is_agent_running = exchange_is_running(&agent->exchange);
	info->agent_code = agent->code;
	snprintf(info->agent_text, sizeof(info->agent_text), "%s", agent->text);
	info->agent_duration_ms = agent->duration_ms;
	info->agent_at_ms = agent->at_ms;
	info->agent_rise = info->agent_fall = 1;
	info->agent_health = !(server_state(check->server) & SERVER_AGENT_DOWN);
	info->agent_addr = check_target(&check->addr, &agent->retarget, &conf->ip, agent->port);
}
