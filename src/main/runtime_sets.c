/* SPDX-License-Identifier: MIT */
/*
 * Server sets: from a backend's hosts, and what directory watches have found, to the srvset that
 * traffic threads use; and the end of old sets.
 *
 * On the way the operator's overrides are applied (model/override.h), agents' words and slow start
 * (model/weight.h).
 *
 * An old set is freed when every traffic thread has run a mail that was posted after the new one
 * was published: between two callbacks no thread holds a set.
 */
#include "config.h"

#include <malloc.h>
#include <stdlib.h>

#include "balance/lb.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "health/discovery.h"
#include "health/health.h"
#include "main/runtime.h"
#include "main/runtime_sets.h"
#include "main/slow_start.h"
#include "model/override.h"
#include "model/server_tls.h"
#include "model/weight.h"
#include "session/client.h"
#include "session/traffic.h"
#include "session/upstream.h"

struct specs {
	struct srvset_spec *specs; /* (own) */
	size_t n, size;
	uint32_t *agent_pcts; /* (own) of each */
	struct discovery_worker
		*workers; /* (own) scratch; names and paths of specs point into it */
};

/*
 * Sets that went out of force in one turn of the loop: all of those of a reload.  Passes through
 * each traffic thread's mailbox, then comes back.
 */
struct retiring {
	struct mail mail;
	struct srvset *sets; /* (own) */
	unsigned next_thread;
};
static struct srvset *retired; /* (own) of this turn */
static struct soon retire_soon;

static void free_retired(struct srvset *sets)
{
	while (sets) {
		struct srvset *next = sets->next_retired;

		srvset_free(sets);
		sets = next;
		thread_breathe();
	}
}

/* A reload of a large file has left holes all over the heap. */
#define TRIM_SETS 64

static void on_retired(struct mail *mail)
{
	struct retiring *retiring = container_of(mail, struct retiring, mail);
	unsigned n = 0;

	for (const struct srvset *at = retiring->sets; at && n < TRIM_SETS; at = at->next_retired)
		n++;
	free_retired(retiring->sets);
	free(retiring);
	if (n == TRIM_SETS)
		malloc_trim(0);
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

static void on_turn_end(struct soon *soon)
{
	struct retiring *retiring = xcalloc(1, sizeof(*retiring));

	(void)soon;
	retiring->sets = retired;
	retired = NULL;
	pass_on(&retiring->mail);
}

static void retire(struct srvset *set)
{
	if (!set)
		return;
	set->next_retired = retired;
	retired = set;
	loop_soon(&control_loop, &retire_soon, on_turn_end);
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
		.dns_name = worker->dns_name,
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

/* What the operator has changed, agents have said and slow start leaves.  OLD may be NULL. */
static void adjust(const struct backend *backend, struct srvset *old, bool is_forced,
		   struct specs *specs)
{
	size_t added = override_added_n(backend->state);

	override_reconcile(backend, specs->specs, specs->n);
	specs->specs = xrealloc_array(specs->specs, specs->n + added + 1, sizeof(*specs->specs));
	specs->n = override_apply(backend->state, specs->specs, specs->n);
	specs->agent_pcts = xcalloc(specs->n + 1, sizeof(*specs->agent_pcts));
	for (size_t i = 0; i < specs->n; i++) {
		struct srvset_spec *spec = &specs->specs[i];
		struct server *server = server_get(backend->state, spec->host, spec->worker);

		specs->agent_pcts[i] = 100;
		spec->server = server;
		if (!server)
			continue;
		if (!is_forced && old && backend->slow_start_ms && !srvset_find(old, server))
			slow_start_begin(server);
		specs->agent_pcts[i] = atomic_load(&server->agent_weight_pct);
		if (atomic_load(&server->agent_max_connections) != UINT32_MAX)
			spec->max_connections = atomic_load(&server->agent_max_connections);
		spec->throttle_pct = slow_start_pct(atomic_load(&server->ready_since_ms),
						    backend->slow_start_ms, clock_ms());
	}
	weight_apply(specs->specs, specs->agent_pcts, specs->n);
}

/* A server of another address is another process: its sessions and pooled connections are over. */
static void move(struct srvset *old, struct srvset *new)
{
	bool is_moved = false;

	for (uint32_t i = 0; old && i < old->members_n; i++) {
		const struct srvset_member *now = srvset_find(new, old->members[i].server);

		if (!now || sock_addr_eq(&now->addr, &old->members[i].addr))
			continue;
		server_new_generation(now->server);
		is_moved = true;
	}
	if (is_moved)
		runtime_sweep_pools();
}

/*
 * Servers of OLD that NEW has not: their sessions are over.  A worker that is found by its socket
 * keeps what the operator said of its name; one that the file leaves out does not.  BACKEND is NULL
 * when it is gone as well.
 */
static void leave(const struct backend *backend, struct srvset *old, struct srvset *new)
{
	for (uint32_t i = 0; old && i < old->members_n; i++) {
		struct server *server = old->members[i].server;
		unsigned clear = SERVER_DOWN | SERVER_SICK | SERVER_AGENT_DOWN |
				 SERVER_AGENT_DRAIN | SERVER_AGENT_MAINT;
		bool is_watched;

		if (srvset_find(new, server))
			continue;
		is_watched = backend && override_is_watched(backend, str_of(server->host_name));
		server_new_generation(server);
		server_set_state(server, SERVER_GONE,
				 is_watched ? clear : clear | SERVER_MAINT | SERVER_DRAIN,
				 is_watched ? "its socket is gone" : "not configured any more");
	}
}

static bool is_same(const struct srvset *old, const struct srvset *new)
{
	if (!old || old->members_n != new->members_n)
		return false;
	for (uint32_t i = 0; i < old->members_n; i++) {
		const struct srvset_member *a = &old->members[i], *b = &new->members[i];

		if (a->server != b->server || !sock_addr_eq(&a->addr, &b->addr) ||
		    a->weight != b->weight || a->user_weight != b->user_weight ||
		    a->initial_weight != b->initial_weight || a->throttle_pct != b->throttle_pct ||
		    a->max_connections != b->max_connections || a->is_backup != b->is_backup ||
		    a->send_proxy != b->send_proxy || a->tls != b->tls ||
		    a->check_tls != b->check_tls)
			return false;
	}
	return true;
}

/* They are members now.  A reload starts nobody slowly. */
static void join(struct srvset *set, bool is_forced)
{
	for (uint32_t i = 0; i < set->members_n; i++) {
		struct server *server = set->members[i].server;

		if (server_set_state(server, 0, SERVER_GONE, "configured") && is_forced)
			atomic_store(&server->ready_since_ms, 0);
	}
}

/*
 * A backend that the new configuration has not.  Requests that began with the old one, and threads
 * that have not taken the new one yet, still choose from its set: it stays a while.
 */
struct dropping {
	struct timer timer;
	struct backend_state *backend;
	struct dropping *next;
};
static struct dropping *droppings; /* (own) */
#define DROP_AFTER_MS SEC(5)

static struct dropping *find_dropping(const struct backend_state *backend)
{
	struct dropping *at = droppings;

	while (at && at->backend != backend)
		at = at->next;
	return at;
}

static void drop_end(struct dropping *dropping)
{
	struct dropping **at = &droppings;

	while (*at != dropping)
		at = &(*at)->next;
	*at = dropping->next;
	timer_fini(&control_loop.wheel, &dropping->timer);
	free(dropping);
}

/* It is back before its set was dropped: what was said of its servers is forgotten all the same. */
static void come_back(const struct backend *backend, struct srvset *old)
{
	struct dropping *dropping = find_dropping(backend->state);

	if (!dropping)
		return;
	drop_end(dropping);
	for (uint32_t i = 0; i < old->members_n; i++)
		server_set_state(old->members[i].server, 0, SERVER_MAINT | SERVER_DRAIN,
				 "its backend is back");
}

static void build_set(const struct backend *backend, bool is_forced)
{
	struct srvset *old = atomic_load(&backend->state->set);
	struct specs specs = { 0 };
	struct srvset *set;

	come_back(backend, old);
	collect(backend, &specs);
	adjust(backend, old, is_forced, &specs);
	for (size_t i = 0; i < specs.n; i++)
		spec_take_tls(backend, old, &specs.specs[i]);
	set = srvset_build(backend->state, specs.specs, specs.n);
	if (set->members_n < specs.n)
		log_error("backend %s: %zu servers left out: this process has seen %u names, the "
			  "most that it keeps",
			  backend->state->name, specs.n - set->members_n, SERVERS_MAX);
	for (size_t i = 0; i < specs.n; i++)
		spec_drop_tls(&specs.specs[i]);
	free(specs.specs);
	free(specs.agent_pcts);
	free(specs.workers);
	/* A reload may have changed how the set is used though not the set: lb_prepare() must see
	 * it. */
	if (!is_forced && is_same(old, set)) {
		srvset_free(set);
		return;
	}
	lb_prepare(backend, set);
	join(set, is_forced);
	retire(srvset_publish(backend->state, set));
	move(old, set);
	leave(backend, old, set);
}

void runtime_build_sets(struct config *config, bool only_globs)
{
	for (size_t i = 0; i < config->backends_n; i++)
		if (!only_globs || globs_n(&config->backends[i]))
			build_set(&config->backends[i], !only_globs);
}

static const struct backend *backend_of(const struct backend_state *state)
{
	const struct config *config = runtime_config();

	for (size_t i = 0; i < config->backends_n; i++)
		if (config->backends[i].state == state)
			return &config->backends[i];
	return NULL;
}

void runtime_servers_changed(struct backend_state *state)
{
	const struct backend *backend = backend_of(state);

	if (!backend)
		return;
	build_set(backend, false);
	health_apply(runtime_config());
	queue_wake_all(state);
}

void runtime_weights_changed(struct backend_state *state)
{
	const struct backend *backend = backend_of(state);

	if (backend)
		build_set(backend, false);
}

static void drop_set(struct backend_state *backend)
{
	struct srvset *old = atomic_load(&backend->set);
	struct srvset *empty = srvset_build(backend, NULL, 0);

	retire(srvset_publish(backend, empty));
	leave(NULL, old, empty);
}

static void on_drop(struct timer *timer)
{
	struct dropping *dropping = container_of(timer, struct dropping, timer);
	struct backend_state *backend = dropping->backend;

	drop_end(dropping);
	drop_set(backend);
}

void runtime_drop_sets_now(void)
{
	while (droppings)
		on_drop(&droppings->timer);
}

void runtime_drop_set(struct backend_state *backend)
{
	struct srvset *old = atomic_load(&backend->set);
	struct dropping *dropping;

	if ((old && !old->members_n) || find_dropping(backend))
		return;
	override_drop_backend(backend);
	if (!old) {
		drop_set(backend);
		return;
	}
	dropping = xcalloc(1, sizeof(*dropping));
	dropping->backend = backend;
	dropping->next = droppings;
	droppings = dropping;
	timer_init(&dropping->timer, on_drop);
	loop_timer_in(&control_loop, &dropping->timer, DROP_AFTER_MS);
}

/* Goes from thread to thread; asked for again meanwhile, it goes once more. */
static struct {
	struct mail mail;
	unsigned next_thread;
	_Atomic unsigned asked; /* 0 = at home */
	unsigned taken;
} sweep;

static void sweep_on(struct mail *mail);

static void sweep_next(void)
{
	struct traffic *traffic = traffic_by_index(sweep.next_thread++);

	loop_post(traffic ? &traffic->loop : &control_loop, &sweep.mail, sweep_on);
}

static void sweep_begin(unsigned asked)
{
	sweep.taken = asked;
	sweep.next_thread = 0;
	sweep_next();
}

static bool is_over(const struct upstream *upstream)
{
	return server_state(upstream->server) & (SERVER_MAINT | SERVER_GONE) ||
	       upstream->generation != atomic_load(&upstream->server->generation);
}

/* Those with a PROXY header, which no pool has. */
static void sweep_kept(struct traffic *traffic)
{
	list_for_each(at, &traffic->clients) {
		struct client *client = list_entry(at, struct client, link);
		struct upstream *kept = client_kept(client);

		if (!kept || !is_over(kept))
			continue;
		upstream_close(client_take_kept(client));
	}
}

static void sweep_on(struct mail *mail)
{
	struct traffic *traffic = traffic_by_index(sweep.next_thread - 1);
	unsigned taken = sweep.taken;

	(void)mail;
	if (traffic) {
		upstream_pool_sweep(traffic);
		sweep_kept(traffic);
		sweep_next();
	} else if (!atomic_compare_exchange_strong(&sweep.asked, &taken, 0)) {
		sweep_begin(taken);
	}
}

void runtime_sweep_pools(void)
{
	if (atomic_fetch_add(&sweep.asked, 1) == 0)
		sweep_begin(1);
}

void runtime_free_sets(void)
{
	while (droppings)
		drop_end(droppings);
	loop_soon_cancel(&retire_soon);
	free_retired(retired);
	retired = NULL;
	for (struct backend_state *at = backend_state_first(); at; at = at->next)
		srvset_free(srvset_publish(at, NULL));
}
