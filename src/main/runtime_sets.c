/* SPDX-License-Identifier: MIT */
/*
 * Server sets: from a backend's hosts, and what directory watches have found, to the srvset that
 * traffic threads use; and the end of old sets.
 *
 * An old set is freed when every traffic thread has run a mail that was posted after the new one
 * was published: between two callbacks no thread holds a set.
 */
#include "config.h"

#include <stdlib.h>

#include "balance/lb.h"
#include "base/log.h"
#include "base/mem.h"
#include "health/discovery.h"
#include "health/health.h"
#include "main/runtime.h"
#include "main/runtime_sets.h"
#include "session/traffic.h"

struct specs {
	struct srvset_spec *specs; /* (own) */
	size_t n, size;
	struct discovery_worker
		*workers; /* (own) scratch; names and paths of specs point into it */
};

/* Passes through each traffic thread's mailbox, then comes back. */
struct retiring {
	struct mail mail;
	struct srvset *set;
	unsigned next_thread;
};

static void on_retired(struct mail *mail)
{
	struct retiring *retiring = container_of(mail, struct retiring, mail);

	srvset_free(retiring->set);
	free(retiring);
}

static void pass_on(struct mail *mail)
{
	struct retiring *retiring = container_of(mail, struct retiring, mail);
	struct traffic *traffic = traffic_by_index(retiring->next_thread++);

	if (traffic)
		loop_post(&traffic->loop, &retiring->mail, pass_on);
	else
		loop_post(&control_loop, &retiring->mail, on_retired);
}

static void retire(struct srvset *set)
{
	struct retiring *retiring;

	if (!set)
		return;
	retiring = xcalloc(1, sizeof(*retiring));
	retiring->set = set;
	pass_on(&retiring->mail);
}

static struct srvset_spec *add_spec(struct specs *specs)
{
	if (specs->n == specs->size) {
		specs->size = specs->size ? specs->size * 2 : 16;
		specs->specs = xrealloc_array(specs->specs, specs->size, sizeof(*specs->specs));
	}
	return &specs->specs[specs->n++];
}

static void add_worker(struct specs *specs, const struct backend *backend,
		       const struct host_conf *host, const struct worker_conf *worker)
{
	*add_spec(specs) = (struct srvset_spec){
		.host = host->name,
		.worker = worker->name,
		.addr = worker->addr,
		.weight = host->weight * worker->weight / 100,
		.user_weight = host->weight * worker->weight / 100,
		.initial_weight = host->weight * worker->weight / 100,
		.throttle_pct = 100,
		.max_connections = worker->max_connections ? worker->max_connections
							   : backend->max_connections_per_server,
		.is_backup = host->is_backup,
		.send_proxy = host->send_proxy,
	};
}

/* WORKERS has room for all of one host's; the specs' texts point into it. */
static void add_discovered(struct specs *specs, const struct backend *backend,
			   const struct host_conf *host, struct discovery_worker *workers)
{
	size_t n = discovery_workers(host->glob, workers, DISCOVERY_WORKERS_MAX);

	if (n > DISCOVERY_WORKERS_MAX)
		n = DISCOVERY_WORKERS_MAX;
	for (size_t i = 0; i < n; i++) {
		struct worker_conf worker = {
			.name = str_of(workers[i].name),
			.weight = 100,
			.max_connections = host->max_connections,
		};

		worker.addr.un.sun_family = AF_UNIX;
		memcpy(worker.addr.un.sun_path, workers[i].path, sizeof(worker.addr.un.sun_path));
		worker.addr.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
					       strlen(workers[i].path) + 1);
		add_worker(specs, backend, host, &worker);
	}
}

static size_t globs_n(const struct backend *backend)
{
	size_t n = 0;

	for (size_t i = 0; i < backend->hosts_n; i++)
		n += backend->hosts[i].glob.p != NULL;
	return n;
}

static void collect(const struct backend *backend, struct specs *specs)
{
	size_t globs = globs_n(backend);
	struct discovery_worker *workers = NULL;

	if (globs)
		workers = xmalloc(globs * DISCOVERY_WORKERS_MAX * sizeof(*workers));
	specs->workers = workers;
	for (size_t i = 0; i < backend->hosts_n; i++) {
		const struct host_conf *host = &backend->hosts[i];

		if (host->glob.p) {
			add_discovered(specs, backend, host, workers);
			workers += DISCOVERY_WORKERS_MAX;
		}
		for (size_t j = 0; j < host->workers_n; j++)
			add_worker(specs, backend, host, &host->workers[j]);
	}
}

/* A server of another address is another process: its sessions and pooled connections are over. */
static void move(struct srvset *old, struct srvset *new)
{
	for (uint32_t i = 0; old && i < old->members_n; i++) {
		const struct srvset_member *now = srvset_find(new, old->members[i].server);

		if (now && !sock_addr_eq(&now->addr, &old->members[i].addr))
			server_new_generation(now->server);
	}
}

/* Servers of OLD that NEW has not: their sessions are over. */
static void leave(struct srvset *old, struct srvset *new)
{
	for (uint32_t i = 0; old && i < old->members_n; i++) {
		struct server *server = old->members[i].server;

		if (srvset_find(new, server))
			continue;
		server_new_generation(server);
		server_set_state(server, SERVER_GONE, SERVER_DOWN | SERVER_SICK,
				 sock_addr_is_unix(&old->members[i].addr)
					 ? "its socket is gone"
					 : "not configured any more");
	}
}

static bool is_same(const struct srvset *old, const struct srvset *new)
{
	if (!old || old->members_n != new->members_n)
		return false;
	for (uint32_t i = 0; i < old->members_n; i++) {
		const struct srvset_member *a = &old->members[i], *b = &new->members[i];

		if (a->server != b->server || !sock_addr_eq(&a->addr, &b->addr) ||
		    a->weight != b->weight || a->max_connections != b->max_connections ||
		    a->is_backup != b->is_backup || a->send_proxy != b->send_proxy)
			return false;
	}
	return true;
}

static void build_set(const struct backend *backend, bool is_forced)
{
	struct srvset *old = atomic_load(&backend->state->set);
	struct specs specs = { 0 };
	struct srvset *set;

	collect(backend, &specs);
	set = srvset_build(backend->state, specs.specs, specs.n);
	if (set->members_n < specs.n)
		log_error("backend %s: %zu servers left out: this process has seen %u names, the "
			  "most that it keeps",
			  backend->state->name, specs.n - set->members_n, SERVERS_MAX);
	free(specs.specs);
	free(specs.workers);
	/* A reload may have changed how the set is used though not the set: lb_prepare() must see
	 * it. */
	if (!is_forced && is_same(old, set)) {
		srvset_free(set);
		return;
	}
	lb_prepare(backend, set);
	for (uint32_t i = 0; i < set->members_n; i++)
		server_set_state(set->members[i].server, 0, SERVER_GONE, "configured");
	retire(srvset_publish(backend->state, set));
	move(old, set);
	leave(old, set);
}

void runtime_build_sets(struct config *config, bool only_globs)
{
	for (size_t i = 0; i < config->backends_n; i++)
		if (!only_globs || globs_n(&config->backends[i]))
			build_set(&config->backends[i], !only_globs);
}

void runtime_drop_set(struct backend_state *backend)
{
	struct srvset *old = atomic_load(&backend->set);
	struct srvset *empty;

	if (old && !old->members_n)
		return;
	empty = srvset_build(backend, NULL, 0);
	retire(srvset_publish(backend, empty));
	leave(old, empty);
}

void runtime_free_sets(void)
{
	for (struct backend_state *at = backend_state_first(); at; at = at->next)
		srvset_free(srvset_publish(at, NULL));
}
