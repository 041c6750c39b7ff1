/* SPDX-License-Identifier: MIT */
/*
 * add server, del server; show config diff.
 *
 * A server is added in maintenance, as with HAProxy: "enable server" puts it to work.  It is
 * checked as its backend's servers are.
 */
#include "config.h"

#include "control/server_args.h"

#include "base/log.h"
#include "health/health.h"
#include "model/load.h"
#include "model/override.h"
#include "model/weight.h"

struct backend *run_backend_of(struct run *run, struct str text, const char *what, struct str *name)
{
	ptrdiff_t slash = str_find_char(text, '/');
	struct backend *backend;

	if (slash <= 0 || (size_t)slash + 1 == text.len) {
		run_error(run, "Require 'backend/%s'.", what);
		return NULL;
	}
	backend = run_backend((struct str){ text.p, (size_t)slash });
	if (!backend)
		run_error(run, "No such backend.");
	*name = (struct str){ text.p + slash + 1, text.len - (size_t)slash - 1 };
	return backend;
}

/* "host" or "host/worker". */
struct new_server {
	struct str host, worker;
	struct override_values values;
	bool is_enabled;
};

static bool check_name(struct run *run, struct str name, struct str part)
{
	for (size_t i = 0; i < part.len; i++) {
		char c = part.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '_' || c == '.' || c == ':' || c == '-')
			continue;
		run_error(run, "character '%c' is not permitted in server name '%.*s'.", c,
			  STR_ARG(name));
		return false;
	}
	if (part.len && part.len <= NAME_LEN_MAX)
		return true;
	run_error(run, "a name has 1 to %d characters.", NAME_LEN_MAX);
	return false;
}

static bool read_name(struct run *run, struct str name, struct new_server *new)
{
	ptrdiff_t slash = str_find_char(name, '/');

	new->host = slash < 0 ? name : (struct str){ name.p, (size_t)slash };
	new->worker = slash < 0 ? STR("") : str_sub(name.p + slash + 1, name.p + name.len);
	return check_name(run, name, new->host) &&
	       (slash < 0 || check_name(run, name, new->worker));
}

static bool read_addr(struct run *run, struct str text, struct sock_addr *addr)
{
	struct str unprefixed = text;

	if (str_starts(text, STR("unix@"))) /* HAProxy's way to write it */
		unprefixed = str_sub(text.p + 5, text.p + text.len);
	if (sock_addr_parse(text, addr) == 0 && (sock_addr_is_unix(addr) || text.p[0] != ':')) {
		if (sock_addr_is_unix(addr) || sock_addr_ip(addr).port)
			return true;
	} else if (unprefixed.len < text.len && unprefixed.len < sizeof(addr->un.sun_path) &&
		   unprefixed.len && unprefixed.p[0] == '/') {
		*addr = (struct sock_addr){ .un.sun_family = AF_UNIX };
		memcpy(addr->un.sun_path, unprefixed.p, unprefixed.len);
		addr->size =
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + unprefixed.len + 1);
		return true;
	}
	run_error(run, "invalid address: '%.*s'; expected IP:port, [IPv6]:port or unix:/path",
		  STR_ARG(text));
	return false;
}

/* The number after a keyword; MAX included. */
static bool read_number(struct run *run, unsigned *at, const struct new_server *new, int64_t max,
			uint32_t *out)
{
	struct str word = run_arg(run, *at), text = run_arg(run, ++*at), rest;
	int64_t value;

	if (!args_integer(text, &value, &rest) || rest.len || value < 0 || value > max) {
		run_error(run, "%.*s of server %.*s is not within 0 and %lld (%.*s).",
			  STR_ARG(word), STR_ARG(new->host), (long long)max, STR_ARG(text));
		return false;
	}
	*out = (uint32_t)value;
	return true;
}

/* Keywords of HAProxy's that say what is the backend's here, or nothing. */
static bool is_refused(struct str word)
{
	static const char *const words[] = {
		"addr",
		"agent-addr",
		"agent-check",
		"agent-inter",
		"agent-port",
		"agent-send",
		"ca-file",
		"check-alpn",
		"check-proto",
		"check-send-proxy",
		"check-sni",
		"check-ssl",
		"cookie",
		"crt",
		"downinter",
		"error-limit",
		"fall",
		"fastinter",
		"id",
		"inter",
		"max-reuse",
		"maxqueue",
		"minconn",
		"observe",
		"on-error",
		"on-marked-down",
		"on-marked-up",
		"pool-low-conn",
		"pool-max-conn",
		"pool-purge-delay",
		"port",
		"proto",
		"redir",
		"resolvers",
		"rise",
		"slowstart",
		"sni",
		"source",
		"ssl",
		"track",
		"verify",
	};

	for (size_t i = 0; i < ARRAY_N(words); i++)
		if (str_eq(word, str_of(words[i])))
			return true;
	return false;
}

static bool read_keyword(struct run *run, const struct backend *backend, unsigned *at,
			 struct new_server *new)
{
	struct str word = run_arg(run, *at);

	if (str_eq(word, STR("weight")))
		return read_number(run, at, new, WEIGHT_MAX, &new->values.weight);
	if (str_eq(word, STR("maxconn")))
		return read_number(run, at, new, UINT32_MAX, &new->values.max_connections);
	if (str_eq(word, STR("backup"))) {
		new->values.is_backup = true;
	} else if (str_eq(word, STR("send-proxy"))) {
		new->values.send_proxy = PROXY_V1;
	} else if (str_eq(word, STR("send-proxy-v2"))) {
		new->values.send_proxy = PROXY_V2;
	} else if (str_eq(word, STR("no-send-proxy")) || str_eq(word, STR("no-send-proxy-v2"))) {
		new->values.send_proxy = PROXY_NONE;
	} else if (str_eq(word, STR("enabled")) || str_eq(word, STR("disabled"))) {
		new->is_enabled = word.p[0] == 'e';
	} else if (str_eq(word, STR("check"))) {
		if (backend->health.kind != CHECK_NONE)
			return true;
		run_error(run, "'check' needs a 'health_check' in backend '%.*s'.",
			  STR_ARG(backend->name));
		return false;
	} else {
		run_error(run,
			  is_refused(word) ? "'%.*s' option is not accepted for dynamic server"
					   : "unknown keyword '%.*s'.",
			  STR_ARG(word));
		return false;
	}
	return true;
}

static const struct srvset_member *find_name(struct srvset *set, struct str name)
{
	for (uint32_t i = 0; set && i < set->members_n; i++)
		if (str_eq(str_of(set->members[i].server->name), name))
			return &set->members[i];
	return NULL;
}

enum run_step command_add_server(struct run *run)
{
	struct str name;
	struct backend *backend = run_backend_of(run, run_arg(run, 0), "server", &name);
	struct new_server new = { .values = { .weight = 100 } };
	struct server *server;

	if (!backend || !read_name(run, name, &new))
		return RUN_DONE;
	if (run->args_n < 2)
		return run_error(run, "'server' expects <name> and <addr>[:<port>] as arguments.");
	if (find_name(srvset_of(backend->state), name))
		return run_error(run, "Already exists a server with the same name in backend.");
	new.values.max_connections = backend->max_connections_per_server;
	new.values.send_proxy = backend->send_proxy;
	if (!read_addr(run, run_arg(run, 1), &new.values.addr))
		return RUN_DONE;
	for (unsigned at = 2; at < run->args_n; at++)
		if (!read_keyword(run, backend, &at, &new))
			return RUN_DONE;
	server = server_get(backend->state, new.host, new.worker);
	if (!server)
		return run_error(run, "This process has seen as many names of servers as it can.");
	override_add(server, &new.values);
	server_set_state(server, new.is_enabled ? 0 : SERVER_MAINT,
			 SERVER_DRAIN | (new.is_enabled ? SERVER_MAINT : 0), "added");
	log_warn("server %s/%s is added by the operator", backend->state->name, server->name);
	servers_changed(backend->state);
	return run_message(run, SEVERITY_INFO, "New server registered.");
}

enum run_step command_del_server(struct run *run)
{
	struct srvset_member *member = run_server(run, run_arg(run, 0));
	const struct backend *backend;
	struct server *server;

	if (!member)
		return RUN_DONE;
	server = member->server;
	backend = run_backend(str_of(server->backend->name));
	if (backend && override_is_watched(backend, str_of(server->host_name)) &&
	    !(server->override && server->override->kind == OVERRIDE_ADDED))
		return run_error(run, "This server cannot be removed at runtime: it goes with the "
				      "socket by which it was found.");
	if (!(server_state(server) & SERVER_MAINT))
		return run_error(run, "Only servers in maintenance mode can be deleted.");
	if (atomic_load(&server->used) || counters_sum(&server->counters, server_connections_idle))
		return run_error(run, "Server still has connections attached to it, cannot remove "
				      "it.");
	override_delete(member);
	server_set_state(server, SERVER_GONE, SERVER_MAINT | SERVER_DRAIN,
			 "deleted by the operator");
	servers_changed(server->backend);
	return run_message(run, SEVERITY_INFO, "Server deleted.");
}
