/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/server.h"

#include <limits.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "base/thread.h"
#include "net/tls_client.h"

server_change_fn *server_change_hook;
server_weight_fn *server_weight_hook;

/* Written by the control thread alone; readers see a number only after its slot is filled. */
static _Atomic(struct server *) servers[SERVERS_MAX];
static atomic_uint servers_count;
static struct backend_state *first_backend, **last_backend = &first_backend;
static struct frontend_state *first_frontend, **last_frontend = &first_frontend;
static uint32_t next_id = 2;
static uint64_t next_serial = 1;

#define NAMES_BLOCK 4096 /* bytes */

#define BACKEND_STATE_MAGIC  0x424b5354u
#define FRONTEND_STATE_MAGIC 0x46545354u

#define BACKEND_BUCKETS 4096
static struct backend_state *backends_by_name[BACKEND_BUCKETS];

struct backend_state *backend_state_get(struct str name)
{
	struct backend_state **bucket = &backends_by_name[server_name_hash(name) % BACKEND_BUCKETS];
	struct backend_state *backend;

	for (backend = *bucket; backend; backend = backend->by_name)
		if (str_eq(str_of(backend->name), name))
			return backend;
	backend = xcalloc(1, offsetof(struct backend_state, counters.blocks) + counters_tail());
	backend->by_name = *bucket;
	*bucket = backend;
	backend->times = tally_new();
	backend->magic = BACKEND_STATE_MAGIC;
	backend->name = xstrndup(name);
	backend->id = next_id++;
	counters_init(&backend->counters, SCOPE_backend);
	*last_backend = backend;
	last_backend = &backend->next;
	return backend;
}

struct frontend_state *frontend_state_get(struct str name)
{
	struct frontend_state *frontend;

	for (frontend = first_frontend; frontend; frontend = frontend->next)
		if (str_eq(str_of(frontend->name), name))
			return frontend;
	frontend = xcalloc(1, sizeof(*frontend));
	frontend->magic = FRONTEND_STATE_MAGIC;
	frontend->name = xstrndup(name);
	frontend->id = next_id++;
	atomic_init(&frontend->max_connections, UINT32_MAX);
	counters_init(&frontend->counters, SCOPE_frontend);
	*last_frontend = frontend;
	last_frontend = &frontend->next;
	return frontend;
}

struct backend_state *backend_state_first(void)
{
	return first_backend;
}

struct frontend_state *frontend_state_first(void)
{
	return first_frontend;
}

uint32_t servers_n(void)
{
	return atomic_load_explicit(&servers_count, memory_order_acquire);
}

struct server *server_by_number(uint32_t number)
{
	if (number >= servers_n())
		return NULL;
	return atomic_load_explicit(&servers[number], memory_order_relaxed);
}

uint64_t server_name_hash(struct str name)
{
	static const struct siphash_key fixed = { 0x6c696d7065742d31u, 0x6e616d652d686173u };

	return siphash24(&fixed, name.p, name.len);
}

/* Name -> server: chains over all servers, by hash of backend and name. */
#define NAME_BUCKETS 16384
static uint32_t name_heads[NAME_BUCKETS]; /* number + 1; 0 = none */
static uint32_t name_nexts[SERVERS_MAX];

static uint32_t name_bucket(const struct backend_state *backend, struct str name)
{
	return (uint32_t)(server_name_hash(name) + backend->id * 0x9e3779b1u) % NAME_BUCKETS;
}

/*
 * Room for a server, on cache lines of its own: what requests write to one must not slow down those
 * that read another.
 */
#define CACHE_LINE   64
#define SERVERS_ROOM 64 /* servers in one piece */
static struct server *server_room(void)
{
	static char *room; /* (own) never freed, as the servers are not */
	static size_t left;
	size_t size = offsetof(struct server, counters.blocks) + counters_tail();

	size = (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	if (left < size) {
		left = size * SERVERS_ROOM;
		room = aligned_alloc(CACHE_LINE, left);
		bug_on(!room);
		memset(room, 0, left);
	} else {
		room += size;
	}
	left -= size;
	return (struct server *)(void *)room;
}

static struct server *server_new(struct backend_state *backend, struct str host, struct str worker,
				 struct str name)
{
	static struct arena names; /* never freed */
	struct server *server = server_room();

	if (!names.block_size)
		arena_init(&names, NAMES_BLOCK);
	server->magic = SERVER_MAGIC;
	server->backend = backend;
	server->name = arena_str(&names, name).p;
	server->host_name = worker.len ? arena_str(&names, host).p : server->name;
	server->worker_name = worker.len ? server->name + host.len + 1 : "";
	server->name_hash = server_name_hash(name);
	atomic_init(&server->changed_at_ms, clock_ms());
	atomic_init(&server->agent_weight_pct, 100);
	atomic_init(&server->agent_max_connections, UINT32_MAX);
	counters_init(&server->counters, SCOPE_server);
	return server;
}

struct server *server_find(const struct backend_state *backend, struct str name)
{
	for (uint32_t at = name_heads[name_bucket(backend, name)]; at; at = name_nexts[at - 1]) {
		struct server *server = server_by_number(at - 1);

		if (server->backend == backend && str_eq(str_of(server->name), name))
			return server;
	}
	return NULL;
}

/* "host/worker" in BUFFER, or in *LONGER (own) when it has no room for it. */
static struct str join_name(struct str host, struct str worker, char *buffer, size_t size,
			    char **longer)
{
	size_t len = host.len + 1 + worker.len;
	char *p = buffer;

	if (!worker.len)
		return host;
	if (len > size)
		p = *longer = xmalloc(len);
	memcpy(p, host.p, host.len);
	p[host.len] = '/';
	memcpy(p + host.len + 1, worker.p, worker.len);
	return (struct str){ p, len };
}

struct server *server_get(struct backend_state *backend, struct str host, struct str worker)
{
	char buffer[NAME_MAX + 1], *longer = NULL;
	struct str name = join_name(host, worker, buffer, sizeof(buffer), &longer);
	struct server *server = server_find(backend, name);
	uint32_t n = servers_n(), bucket;

	if (server || n == SERVERS_MAX) {
		free(longer);
		return server;
	}
	server = server_new(backend, host, worker, name);
	free(longer);
	bucket = name_bucket(backend, str_of(server->name));
	server->number = n;
	name_nexts[n] = name_heads[bucket];
	name_heads[bucket] = n + 1;
	atomic_store_explicit(&servers[n], server, memory_order_relaxed);
	atomic_store_explicit(&servers_count, n + 1, memory_order_release);
	return server;
}

bool server_set_state(struct server *server, unsigned set, unsigned clear, const char *why)
{
	unsigned old_state = atomic_load(&server->state);
	unsigned new_state;

	do {
		new_state = (old_state & ~clear) | set;
		if (new_state == old_state)
			return false;
	} while (!atomic_compare_exchange_weak(&server->state, &old_state, new_state));
	atomic_store(&server->changed_at_ms, clock_ms());
	if (!(old_state & SERVER_DOWN) && (new_state & SERVER_DOWN)) {
		atomic_fetch_add(&server->downs, 1);
		count(&server->counters, server_downs);
	}
	if (server_change_hook)
		server_change_hook(server, old_state, new_state, why);
	return true;
}

void server_new_generation(struct server *server)
{
	atomic_fetch_add(&server->generation, 1);
	atomic_store(&server->sessions, 0);
}

static void srvset_index(struct srvset *set)
{
	uint32_t n = 8;

	while (n < set->members_n * 2)
		n *= 2;
	set->member_of_number_n = n;
	set->member_of_number = xcalloc(n, sizeof(*set->member_of_number));
	for (uint32_t i = 0; i < set->members_n; i++) {
		uint32_t at = set->members[i].server->number * 0x9e3779b1u & (n - 1);

		while (set->member_of_number[at])
			at = (at + 1) & (n - 1);
		set->member_of_number[at] = i + 1;
	}
}

struct srvset_member *srvset_find(struct srvset *set, const struct server *server)
{
	uint32_t mask = set->member_of_number_n - 1;
	uint32_t at = server->number * 0x9e3779b1u & mask;

	for (; set->member_of_number[at]; at = (at + 1) & mask) {
		struct srvset_member *member = &set->members[set->member_of_number[at] - 1];

		if (member->server == server)
			return member;
	}
	return NULL;
}

/* The hosts of a set under construction: index + 1 by hash of their name. */
struct host_index {
	uint32_t *slots; /* (own) NULL: the set is small, they are compared one by one */
	uint32_t mask;
};
#define HOSTS_UNHASHED 16

static bool is_host(const struct srvset *set, uint32_t i, struct str name)
{
	return str_eq(str_of(set->hosts[i].name), name);
}

/* The index of the host NAME, or hosts_n after *SLOT has been told where it belongs. */
static uint32_t find_host(const struct srvset *set, struct host_index *index, struct str name,
			  uint32_t **slot)
{
	uint32_t at;

	if (set->hosts_n && is_host(set, set->hosts_n - 1, name))
		return set->hosts_n - 1; /* a host's workers come one after another */
	if (!index->slots) {
		for (at = 0; at < set->hosts_n && !is_host(set, at, name); at++)
			;
		return at;
	}
	for (at = (uint32_t)server_name_hash(name) & index->mask; index->slots[at];
	     at = (at + 1) & index->mask)
		if (is_host(set, index->slots[at] - 1, name))
			return index->slots[at] - 1;
	*slot = &index->slots[at];
	return set->hosts_n;
}

static uint32_t srvset_host_index(struct srvset *set, struct host_index *index,
				  const struct srvset_spec *spec, const struct server *server)
{
	uint32_t *slot = NULL;
	uint32_t i = find_host(set, index, spec->host, &slot);

	if (i < set->hosts_n)
		return i;
	set->hosts[i] = (struct srvset_host){
		.name = server->host_name,
		.is_backup = spec->is_backup,
	};
	set->hosts_n++;
	if (slot)
		*slot = i + 1;
	return i;
}

struct srvset *srvset_build(struct backend_state *backend, const struct srvset_spec *specs,
			    size_t n)
{
	struct srvset *set = xcalloc(1, sizeof(*set) + n * sizeof(set->members[0]));
	struct host_index index = { 0 };

	set->magic = SRVSET_MAGIC;
	set->serial = next_serial++;
	set->hosts = xcalloc(n, sizeof(*set->hosts));
	if (n > HOSTS_UNHASHED) {
		index.mask = 64;
		while (index.mask < n * 2)
			index.mask *= 2;
		index.slots = xcalloc(index.mask--, sizeof(*index.slots));
	}
	for (size_t i = 0; i < n; i++) {
		struct server *server =
			specs[i].server ? specs[i].server
					: server_get(backend, specs[i].host, specs[i].worker);
		struct srvset_member *member = &set->members[set->members_n];

		if (!server)
			continue; /* the caller's log says that SERVERS_MAX is reached */
		*member = (struct srvset_member){
			.server = server,
			.addr = specs[i].addr,
			.weight = specs[i].weight,
			.user_weight = specs[i].user_weight,
			.initial_weight = specs[i].initial_weight,
			.throttle_pct = specs[i].throttle_pct,
			.max_connections = specs[i].max_connections,
			.host = srvset_host_index(set, &index, &specs[i], server),
			.is_backup = specs[i].is_backup,
			.send_proxy = specs[i].send_proxy,
			.tls = specs[i].tls ? tls_client_ctx_ref(specs[i].tls) : NULL,
			.check_tls =
				specs[i].check_tls ? tls_client_ctx_ref(specs[i].check_tls) : NULL,
		};
		thread_breathe();
		set->hosts[member->host].members_n++;
		set->members_n++;
	}
	free(index.slots);
	srvset_index(set);
	return set;
}

void srvset_free(struct srvset *set)
{
	if (!set)
		return;
	check_magic(set, SRVSET_MAGIC);
	if (set->lookup)
		set->lookup_free(set->lookup);
	for (uint32_t i = 0; i < set->members_n; i++) {
		tls_client_ctx_unref(set->members[i].tls);
		tls_client_ctx_unref(set->members[i].check_tls);
	}
	free(set->hosts);
	free(set->member_of_number);
	free(set);
}

struct srvset *srvset_publish(struct backend_state *backend, struct srvset *set)
{
	return atomic_exchange(&backend->set, set);
}
