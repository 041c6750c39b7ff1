/* SPDX-License-Identifier: MIT */
/*
 * check_list - which checks there are: one for each server in force on which something runs.
 */
#include "config.h"

#include "health/health.h"

#include <stdlib.h>

#include "base/mem.h"
#include "health/check.h"

static struct {
	struct config *config; /* (ref) what the checks point into */
	struct list checks;
} list;

static bool is_down(const struct server *server)
{
	return server_state(server) & SERVER_DOWN;
}

static void free_check(struct grave *grave)
{
	free(container_of(grave, struct check, grave));
}

static void remove_check(struct check *check)
{
	exchange_fini(&check->exchange);
	tls_client_ctx_unref(check->tls_ctx);
	timer_fini(&check_loop()->wheel, &check->timer);
	agent_free(check);
	flag_clear(check->server, FLAG_SUSPECT);
	list_remove(&check->link);
	check->server->check = NULL;
	loop_bury(check_loop(), &check->grave, free_check);
}

/* Whether anybody listens at ADDR; nobody: DOWN and newborn. */
static bool try_unix(struct server *server, const struct sock_addr *addr)
{
	int rc = exchange_unix_listens(addr);

	if (rc == 0)
		return true;
	if (!exchange_is_refusal(-rc))
		return !is_down(server); /* permissions, descriptors: the checks will tell */
	/* No session can live there, so there is no death to tell. */
	flag_set(server, FLAG_DEAD);
	server_set_state(server, SERVER_DOWN, 0, "new socket, nobody listens yet");
	return false;
}

static void first_sight(struct check *check)
{
	if (!sock_addr_is_unix(&check->addr)) {
		check_schedule_soon(check);
	} else if (try_unix(check->server, &check->addr)) {
		check_mark_up(check, "socket listens");
		check_schedule_soon(check);
	} else {
		check->is_newborn = true;
		check->backoff_ms = 0;
		check_schedule(check);
	}
}

static struct check *new_check(struct server *server)
{
	struct check *check = xcalloc(1, sizeof(*check));

	check->server = server;
	check_init(check);
	list_push_back(&list.checks, &check->link);
	server->check = check;
	return check;
}

static bool is_changed(const struct check *check, const struct srvset_member *member,
		       const struct backend *backend)
{
	const struct health_conf *old = &check->backend->health, *new = &backend->health;

	return old->kind != new->kind || old->interval_ms != new->interval_ms ||
	       !check->tls_ctx != !member->check_tls;
}

static void take_tls(struct check *check, struct tls_client_ctx *ctx)
{
	struct tls_client_ctx *old = check->tls_ctx;

	check->tls_ctx = ctx ? tls_client_ctx_ref(ctx) : NULL;
	if (check->exchange.tls_ctx)
		check->exchange.tls_ctx = check->tls_ctx;
	tls_client_ctx_unref(old);
}

/* The backend and the member that SERVER is in what is in force; false: none. */
static bool find_place(const struct server *server, const struct backend **backend,
		       const struct srvset_member **member)
{
	struct str name = str_of(server->backend->name);
	struct srvset *set = srvset_of(server->backend);

	*backend = list.config ? config_backend(list.config, name) : NULL;
	*member = *backend && set ? srvset_find(set, server) : NULL;
	return *member != NULL;
}

const struct backend *check_place(const struct server *server, struct sock_addr *target)
{
	const struct srvset_member *member;
	const struct backend *backend;

	if (!find_place(server, &backend, &member))
		return NULL;
	*target = check_target(&member->addr, &(struct retarget){ .port = 0 }, &backend->health.ip,
			       backend->health.port);
	return backend;
}

struct check *check_of(struct server *server)
{
	const struct srvset_member *member;
	const struct backend *backend;
	struct check *check = server->check;

	if (check || !check_loop() || !find_place(server, &backend, &member))
		return check;
	check = new_check(server);
	check->backend = backend;
	check->exchange.conf = &backend->health;
	take_tls(check, member->check_tls);
	check->addr = member->addr;
	check->target = check_target(&member->addr, &check->retarget, &backend->health.ip,
				     backend->health.port);
	check->send_proxy = member->send_proxy;
	return check;
}

/* Nothing runs on a server that is well and is not checked; check_of() makes it when that ends. */
static bool needs_check(const struct srvset_member *member, const struct backend *backend,
			uint32_t agent_port)
{
	struct server *server = member->server;

	return backend->health.kind != CHECK_NONE || agent_port ||
	       sock_addr_is_unix(&member->addr) ||
	       server_state(server) & ~(unsigned)(SERVER_MAINT | SERVER_DRAIN | SERVER_GONE) ||
	       flag_is_set(server, FLAG_DEAD) || atomic_load(&server->agent_weight_pct) != 100 ||
	       atomic_load(&server->agent_max_connections) != UINT32_MAX;
}

static void apply_member(const struct srvset_member *member, const struct backend *backend,
			 const struct host_conf *host)
{
	uint32_t agent_port = host && host->agent_port ? host->agent_port : backend->agent.port;
	struct check *check = member->server->check;
	bool is_new = !check, has_moved, has_changed;
	struct sock_addr target;

	if (is_new && !needs_check(member, backend, agent_port))
		return;
	if (is_new)
		check = new_check(member->server);
	target = check_target(&member->addr, &check->retarget, &backend->health.ip,
			      backend->health.port);
	has_moved = !is_new && !sock_addr_eq(&check->addr, &member->addr);
	has_changed = !is_new && (is_changed(check, member, backend) ||
				  !sock_addr_eq(&check->target, &target));
	if (has_moved || has_changed) {
		exchange_abort(&check->exchange);
		timer_stop(&check->timer);
	}
	if (has_moved)
		check->is_proven = false;
	check->backend = backend;
	/* A run that goes on must not look into the old configuration. */
	check->exchange.conf = &backend->health;
	take_tls(check, member->check_tls);
	check->addr = member->addr;
	check->target = target;
	check->send_proxy = member->send_proxy;
	check->is_kept = true;
	if (is_new || has_moved)
		first_sight(check);
	else if (has_changed)
		check_schedule_soon(check);
	agent_apply(check, agent_port);
}

static bool has_agent_ports(const struct backend *backend)
{
	for (size_t i = 0; i < backend->hosts_n; i++)
		if (backend->hosts[i].agent_port)
			return true;
	return false;
}

static void apply_backend(const struct backend *backend)
{
	struct srvset *set = backend->state ? srvset_of(backend->state) : NULL;
	bool has_ports = has_agent_ports(backend);
	size_t h = 0;

	for (uint32_t m = 0; set && m < set->members_n; m++) {
		struct str name = str_of(set->members[m].server->host_name);
		const struct host_conf *host = NULL;

		/* Members stand in the order of their hosts, all but those added at run time. */
		for (size_t i = 0; has_ports && !host && i < backend->hosts_n; i++) {
			size_t at = (h + i) % backend->hosts_n;

			if (str_eq(backend->hosts[at].name, name)) {
				host = &backend->hosts[at];
				h = at;
			}
		}
		apply_member(&set->members[m], backend, host);
	}
}

/* The hook may build sets and come back to health_apply(), which has done its own by now. */
static void settle_weights(void)
{
	list_for_each(at, &list.checks) {
		struct check *check = list_entry(at, struct check, link);
		bool is_due = check->is_weight_due;

		check->is_weight_due = false;
		if (is_due && server_weight_hook)
			server_weight_hook(check->server);
	}
}

void health_apply(struct config *config)
{
	struct config *old = list.config;

	if (!check_loop())
		return;
	list.config = config_ref(config);
	list_for_each(at, &list.checks) {
		list_entry(at, struct check, link)->is_kept = false;
	}
	for (size_t i = 0; i < config->backends_n; i++)
		apply_backend(&config->backends[i]);
	list_for_each_safe(at, after, &list.checks) {
		struct check *check = list_entry(at, struct check, link);

		if (check->is_kept)
			continue;
		agent_apply(check, 0);
		remove_check(check);
	}
	config_unref(old);
	settle_weights();
}

void health_born(struct server *server, const struct sock_addr *addr, bool is_again)
{
	struct check *check = server->check;

	if (is_again && flag_set(server, FLAG_DEAD))
		server_new_generation(server);
	if (check) {
		exchange_abort(&check->exchange);
		timer_stop(&check->timer);
		check->addr = *addr;
		check->target = check_target(addr, &check->retarget, &check->backend->health.ip,
					     check->backend->health.port);
		check->is_proven = false;
		first_sight(check);
	} else if (try_unix(server, addr)) {
		flag_clear(server, FLAG_DEAD);
		server_set_state(server, 0, SERVER_DOWN, "socket listens");
	}
}

void check_list_init(void)
{
	list.config = NULL;
	list_init(&list.checks);
}

void check_list_fini(void)
{
	list_for_each_safe(at, after, &list.checks) {
		remove_check(list_entry(at, struct check, link));
	}
	config_unref(list.config);
	list.config = NULL;
}
