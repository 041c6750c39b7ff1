/* SPDX-License-Identifier: MIT */
/*
 * What the operator changes of servers: state, weight, limit, address, and what their checks found.
 *
 * Messages, their severities too, are HAProxy's, for the programs that look for them.  Unlike there
 * a command with a mistake in it changes nothing.
 */
#include "config.h"

#include "control/server_args.h"

#include <stdio.h>

#include "base/log.h"
#include "control/control.h"
#include "health/health.h"
#include "model/override.h"
#include "model/weight.h"

static const char why_operator[] = "set by the operator";

control_servers_changed_fn *control_servers_changed_hook;

void servers_changed(struct backend_state *backend)
{
	if (control_servers_changed_hook)
		control_servers_changed_hook(backend);
}

bool args_integer(struct str text, int64_t *value, struct str *rest)
{
	const char *p = text.p, *end = text.p + text.len;
	bool is_negative = p < end && *p == '-', has_digits = false;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	*value = 0;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		has_digits = true;
		if (*value < INT64_C(1) << 40)
			*value = *value * 10 + (*p - '0');
	}
	if (is_negative)
		*value = -*value;
	*rest = str_sub(p, end);
	return has_digits;
}

/* State.  "ready" takes back what an agent has said as well; it may say it again. */

#define ADMIN_BITS (SERVER_MAINT | SERVER_DRAIN | SERVER_AGENT_MAINT | SERVER_AGENT_DRAIN)

static bool read_state(struct str word, unsigned *set, unsigned *clear)
{
	if (str_eq(word, STR("ready"))) {
		*set = 0;
		*clear = ADMIN_BITS;
	} else if (str_eq(word, STR("drain"))) {
		*set = SERVER_DRAIN;
		*clear = SERVER_MAINT;
	} else if (str_eq(word, STR("maint"))) {
		*set = SERVER_MAINT;
		*clear = SERVER_DRAIN;
	} else {
		return false;
	}
	return true;
}

static enum run_step set_state(struct run *run, struct srvset_member *member)
{
	unsigned set, clear;

	if (!read_state(run_arg(run, 2), &set, &clear))
		return run_error(run,
				 "'set server <srv> state' expects 'ready', 'drain' and 'maint'.");
	server_set_state(member->server, set, clear, why_operator);
	return RUN_DONE;
}

enum run_step command_enable_server(struct run *run)
{
	struct srvset_member *member = run_server(run, run_arg(run, 0));

	if (member)
		server_set_state(member->server, 0, ADMIN_BITS, why_operator);
	return RUN_DONE;
}

enum run_step command_disable_server(struct run *run)
{
	struct srvset_member *member = run_server(run, run_arg(run, 0));

	if (member)
		server_set_state(member->server, SERVER_MAINT, 0, why_operator);
	return RUN_DONE;
}

enum run_step command_set_host(struct run *run)
{
	struct str host;
	struct backend *backend = run_backend_of(run, run_arg(run, 0), "host", &host);
	struct srvset *set = backend ? srvset_of(backend->state) : NULL;
	unsigned to_set, to_clear, found = 0;

	if (!backend)
		return RUN_DONE;
	if (!read_state(run_arg(run, 1), &to_set, &to_clear))
		return run_error(run, "'set host <host>' expects 'ready', 'drain' and 'maint'.");
	for (uint32_t i = 0; set && i < set->members_n; i++) {
		struct server *server = set->members[i].server;

		if (!str_eq(str_of(server->host_name), host))
			continue;
		server_set_state(server, to_set, to_clear, why_operator);
		found++;
	}
	return found ? RUN_DONE : run_error(run, "No such host.");
}

/* "server value" */
static enum run_step
set_of_server(struct run *run,
	      enum run_step (*set)(struct run *run, struct srvset_member *member, struct str text))
{
	struct srvset_member *member = run_server(run, run_arg(run, 0));

	return member ? set(run, member, run_arg(run, 1)) : RUN_DONE;
}

/* Weight. */

static enum run_step set_weight(struct run *run, struct srvset_member *member, struct str text)
{
	struct server *server = member->server;
	int64_t weight;
	struct str rest;

	if (!text.len)
		return run_error(run, "Require <weight> or <weight%%>.");
	if (!args_integer(text, &weight, &rest))
		return run_error(run, "Empty weight string empty or preceded by garbage");
	if (str_eq(rest, STR("%"))) {
		int64_t max =
			member->initial_weight > WEIGHT_MAX ? member->initial_weight : WEIGHT_MAX;

		if (weight < 0)
			return run_error(run, "Relative weight must be positive.");
		weight = (int64_t)member->initial_weight * weight / 100;
		if (weight > max)
			weight = max;
	} else if (weight < 0 || weight > WEIGHT_MAX) {
		return run_error(run, "Absolute weight can only be between 0 and 256 inclusive.");
	} else if (rest.len) {
		return run_error(run, "Trailing garbage in weight string");
	}
	if (weight == (int64_t)member->user_weight)
		return RUN_DONE;
	log_event(LOG_LEVEL_WARN, "server_change",
		  LOG_FIELDS({ "backend", server->backend->name, 0 }, { "server", server->name, 0 },
			     { "what", "weight", 0 }, { "from", NULL, member->user_weight },
			     { "to", NULL, weight }, { "reason", why_operator, 0 }),
		  "server %s/%s has weight %u instead of %u: %s", server->backend->name,
		  server->name, (unsigned)weight, member->user_weight, why_operator);
	override_weight(member, (uint32_t)weight);
	servers_changed(server->backend);
	return RUN_DONE;
}

static enum run_step set_server_weight(struct run *run, struct srvset_member *member)
{
	return set_weight(run, member, run_arg(run, 2));
}

enum run_step command_set_weight(struct run *run)
{
	return set_of_server(run, set_weight);
}

enum run_step command_get_weight(struct run *run)
{
	struct srvset_member *member = run_server(run, run_arg(run, 0));

	if (member)
		run_print(run, "%u (initial %u)\n", member->user_weight, member->initial_weight);
	return RUN_DONE;
}

/* Limit. */

static enum run_step set_maxconn(struct run *run, struct srvset_member *member, struct str text)
{
	struct server *server = member->server;
	int64_t limit;
	struct str rest;

	if (!text.len)
		return run_error(run, "Require <maxconn>.");
	if (!args_integer(text, &limit, &rest))
		return run_error(run, "maxconn string empty or preceded by garbage");
	if (rest.len)
		return run_error(run, "Trailing garbage in maxconn string");
	if (limit < 0 || limit > UINT32_MAX)
		return run_error(run, "Value out of range.");
	if (limit == (int64_t)member->max_connections)
		return RUN_DONE;
	log_warn("server %s/%s takes %u connections at most instead of %u: %s",
		 server->backend->name, server->name, (unsigned)limit, member->max_connections,
		 why_operator);
	override_max_connections(member, (uint32_t)limit);
	servers_changed(server->backend);
	return RUN_DONE;
}

static enum run_step set_server_maxconn(struct run *run, struct srvset_member *member)
{
	return set_maxconn(run, member, run_arg(run, 2));
}

enum run_step command_set_maxconn_server(struct run *run)
{
	return set_of_server(run, set_maxconn);
}

/* Address. */

/* The one that is asked for, from that in force: an IP keeps the port, "unix:/path" is whole. */
static bool read_address(struct run *run, const struct srvset_member *member,
			 struct sock_addr *addr)
{
	struct str text = run_arg(run, 2), port_text = run_arg(run, 4);
	struct ip_addr ip, old = sock_addr_ip(&member->addr);
	uint64_t port = old.port;

	if (str_starts(text, STR("unix:"))) {
		if (sock_addr_parse(text, addr) == 0)
			return true;
		run_message(run, SEVERITY_WARNING, "Invalid addr '%.*s'", STR_ARG(text));
		return false;
	}
	if (ip_addr_parse(text, &ip) != 0) {
		run_message(run, SEVERITY_WARNING, "Invalid addr '%.*s'", STR_ARG(text));
		return false;
	}
	if (str_eq(run_arg(run, 3), STR("port")) &&
	    (str_to_u64(port_text, 65535, &port) != 0 || !port)) {
		run_message(run, SEVERITY_WARNING, "problem converting port '%.*s' to an int",
			    STR_ARG(port_text));
		return false;
	}
	if (!port) {
		run_message(run, SEVERITY_WARNING,
			    "a port is needed: the address in force is a "
			    "Unix socket's");
		return false;
	}
	ip.port = (uint16_t)port;
	sock_addr_from_ip(addr, &ip);
	return true;
}

/* "IP changed from 'a' to 'b', port changed from '1' to '2'" */
static void address_change(const struct sock_addr *from, const struct sock_addr *to, char *out,
			   size_t size)
{
	struct ip_addr a = sock_addr_ip(from), b = sock_addr_ip(to);
	char before[ADDR_TEXT_SIZE], after[ADDR_TEXT_SIZE];
	size_t len = 0;

	if (sock_addr_is_unix(from) || sock_addr_is_unix(to)) {
		sock_addr_text(from, before);
		sock_addr_text(to, after);
		snprintf(out, size, "IP changed from '%s' to '%s'", before, after);
		return;
	}
	if (!ip_addr_same_ip(&a, &b)) {
		ip_addr_ip_text(&a, before);
		ip_addr_ip_text(&b, after);
		len = (size_t)snprintf(out, size, "IP changed from '%s' to '%s'", before, after);
	}
	if (a.port != b.port)
		snprintf(out + len, size - len, "%sport changed from '%u' to '%u'", len ? ", " : "",
			 a.port, b.port);
}

static enum run_step set_address(struct run *run, struct srvset_member *member)
{
	struct server *server = member->server;
	char text[2 * ADDR_TEXT_SIZE + 80];
	struct sock_addr addr = { .size = 0 };
	const struct backend *backend = run_backend(str_of(server->backend->name));

	if (!run_arg(run, 2).len)
		return run_error(run, "set server <b>/<s> addr requires an address and optionally "
				      "a port.");
	if (backend && override_is_watched(backend, str_of(server->host_name)) &&
	    !(server->override && server->override->kind == OVERRIDE_ADDED))
		return run_message(run, SEVERITY_WARNING,
				   "the address is that of the socket by which this worker was "
				   "found");
	if (!read_address(run, member, &addr))
		return RUN_DONE;
	if (sock_addr_eq(&addr, &member->addr))
		return run_message(run, SEVERITY_WARNING, "nothing changed");
	address_change(&member->addr, &addr, text, sizeof(text));
	log_event(LOG_LEVEL_WARN, "server_change",
		  LOG_FIELDS({ "backend", server->backend->name, 0 }, { "server", server->name, 0 },
			     { "what", "address", 0 }, { "reason", text, 0 }),
		  "server %s/%s: %s by 'stats socket command'", server->backend->name, server->name,
		  text);
	override_addr(member, &addr);
	servers_changed(server->backend);
	return run_message(run, SEVERITY_WARNING, "%s by 'stats socket command'", text);
}

/* Checks. */

static enum run_step set_health(struct run *run, struct srvset_member *member)
{
	struct str word = run_arg(run, 2);
	enum health_forced forced;

	if (str_eq(word, STR("up")))
		forced = HEALTH_FORCED_UP;
	else if (str_eq(word, STR("stopping")))
		forced = HEALTH_FORCED_STOPPING;
	else if (str_eq(word, STR("down")))
		forced = HEALTH_FORCED_DOWN;
	else
		return run_error(run, "'set server <srv> health' expects 'up', 'stopping', or "
				      "'down'.");
	if (health_force(member->server, forced) != 0)
		return run_error(run, "The server is not in service.");
	return RUN_DONE;
}

static enum run_step no_agent(struct run *run)
{
	return run_error(run, "agent checks are not enabled on this server.");
}

static enum run_step set_agent(struct run *run, struct srvset_member *member)
{
	struct str word = run_arg(run, 2);
	bool is_up = str_eq(word, STR("up"));

	if (!health_has_agent(member->server))
		return no_agent(run);
	if (!is_up && !str_eq(word, STR("down")))
		return run_error(run, "'set server <srv> agent' expects 'up' or 'down'.");
	return agent_force(member->server, is_up) == 0 ? RUN_DONE : no_agent(run);
}

static enum run_step set_agent_send(struct run *run, struct srvset_member *member)
{
	struct str text = run_arg(run, 2);

	if (!health_has_agent(member->server))
		return no_agent(run);
	if (!text.len)
		return run_error(run, "'set server <srv> agent-send' expects a text.");
	if (agent_set_send(member->server, text) != 0)
		return run_error(run, "'set server <srv> agent-send' takes 256 bytes at most.");
	return RUN_DONE;
}

struct target {
	const char *absent; /* message when it is not configured */
	int (*set_ip)(struct server *server, const struct ip_addr *ip);
	int (*set_port)(struct server *server, uint16_t port);
};

static const struct target check_target = {
	"health checks are not enabled on this server",
	health_set_check_address,
	health_set_check_port,
};
static const struct target agent_target = {
	"agent checks are not enabled on this server",
	agent_set_address,
	agent_set_port,
};

static bool has_target(const struct srvset_member *member, const struct target *target)
{
	struct health_info info;

	if (target == &agent_target)
		return health_has_agent(member->server);
	return health_info(member->server, &info) && info.kind != CHECK_NONE;
}

static const char *read_port(struct str text, uint16_t *port)
{
	int64_t value;
	struct str rest;

	if (!args_integer(text, &value, &rest) || rest.len)
		return "provided port is not an integer";
	if (value < 1 || value > 65535)
		return "provided port is invalid";
	*port = (uint16_t)value;
	return NULL;
}

static enum run_step retarget_done(struct run *run, int rc)
{
	return rc == 0 ? RUN_DONE
		       : run_message(run, SEVERITY_WARNING,
				     "a server on a Unix socket needs both an address and a port");
}

static enum run_step set_target_port(struct run *run, const struct srvset_member *member,
				     const struct target *target)
{
	uint16_t port = 0;
	const char *why = read_port(run_arg(run, 2), &port);

	if (!has_target(member, target))
		why = target->absent;
	if (why)
		return run_message(run, SEVERITY_WARNING, "%s", why);
	return retarget_done(run, target->set_port(member->server, port));
}

static enum run_step set_target_address(struct run *run, const struct srvset_member *member,
					const struct target *target)
{
	struct str text = run_arg(run, 2);
	bool has_port = str_eq(run_arg(run, 3), STR("port"));
	const char *why = NULL;
	struct ip_addr ip;
	uint16_t port = 0;
	int rc;

	if (has_port)
		why = read_port(run_arg(run, 4), &port);
	if (!has_target(member, target))
		why = target->absent;
	if (why)
		return run_message(run, SEVERITY_WARNING, "%s", why);
	if (ip_addr_parse(text, &ip) != 0)
		return run_message(run, SEVERITY_WARNING, "invalid addr '%.*s'", STR_ARG(text));
	rc = target->set_ip(member->server, &ip);
	if (has_port)
		rc = target->set_port(member->server, port);
	return retarget_done(run, rc);
}

static enum run_step set_check_port(struct run *run, struct srvset_member *member)
{
	return set_target_port(run, member, &check_target);
}

static enum run_step set_check_addr(struct run *run, struct srvset_member *member)
{
	return set_target_address(run, member, &check_target);
}

static enum run_step set_agent_port(struct run *run, struct srvset_member *member)
{
	return set_target_port(run, member, &agent_target);
}

static enum run_step set_agent_addr(struct run *run, struct srvset_member *member)
{
	return set_target_address(run, member, &agent_target);
}

enum run_step command_set_server(struct run *run)
{
	static const struct {
		const char *word;
		enum run_step (*set)(struct run *run, struct srvset_member *member);
	} rows[] = {
		{ "addr", set_address },           { "agent", set_agent },
		{ "agent-addr", set_agent_addr },  { "agent-port", set_agent_port },
		{ "agent-send", set_agent_send },  { "check-addr", set_check_addr },
		{ "check-port", set_check_port },  { "health", set_health },
		{ "maxconn", set_server_maxconn }, { "state", set_state },
		{ "weight", set_server_weight },
	};
	struct srvset_member *member = run_server(run, run_arg(run, 0));

	if (!member)
		return RUN_DONE;
	for (size_t i = 0; i < ARRAY_N(rows); i++)
		if (str_eq(run_arg(run, 1), str_of(rows[i].word)))
			return rows[i].set(run, member);
	return run_error(run, "usage: set server <backend>/<server> addr | agent | agent-addr | "
			      "agent-port | agent-send | check-addr | check-port | health | "
			      "maxconn | state | weight");
}
