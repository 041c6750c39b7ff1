/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/api.h"

#include <stdlib.h>
#include <unistd.h>

#include "balance/lb.h"
#include "base/clock.h"
#include "base/mem.h"
#include "control/api_objects.h"
#include "control/certificate_view.h"
#include "control/http.h"
#include "control/mirror_view.h"
#include "session/traffic.h"

#define STEPS_PER_PIECE 512 /* servers that have not changed take no room, but time */

/* A document, from its first brace to its last. */
enum phase {
	PHASE_BEGIN,
	PHASE_FRONTENDS,
	PHASE_BACKENDS, /* between two, or at the first */
	PHASE_HOSTS,    /* of the backend under way */
	PHASE_SERVERS,  /* likewise */
	PHASE_END,
};

void api_walk_init(struct api_walk *walk, enum api_form form, enum ctl_level level)
{
	*walk = (struct api_walk){ .form = form, .level = level };
}

void api_walk_fini(struct api_walk *walk)
{
	free(walk->sums);
	walk->sums = NULL;
}

uint64_t api_shape(void)
{
	const struct config *config = control_config();
	uint64_t shape = (config->serial << 32) + certificate_view_serial();

	for (size_t i = 0; i < config->backends_n; i++) {
		const struct srvset *set = srvset_of(config->backends[i].state);

		shape += set ? set->serial : 0;
	}
	return shape;
}

static struct str node_name(void)
{
	struct str node = control_config()->global.node;

	return node.len ? node : STR("limpet");
}

static void walk_begin(struct api_walk *walk)
{
	struct json *json = &walk->json;

	json_open(json, NULL, '{');
	json_s64(json, "unix_ms", clock_unix_ms());
	if (walk->form != API_DELTA) {
		json_str(json, "node", node_name());
		json_text(json, "version", PACKAGE_VERSION);
		json_u64(json, "config_serial", control_config()->serial);
	}
	api_process(json, "process");
	mirror_json(json, "mirror", walk->level);
	if (walk->form != API_DELTA)
		certificates_json(json, "certificates", walk->level);
	json_open(json, "frontends", '[');
	walk->phase = PHASE_FRONTENDS;
}

static void walk_frontends(struct api_walk *walk)
{
	const struct config *config = control_config();

	if (walk->frontend < config->frontends_n) {
		api_frontend(&walk->json, &config->frontends[walk->frontend++]);
		return;
	}
	json_close(&walk->json, ']');
	json_open(&walk->json, "backends", '[');
	walk->phase = PHASE_BACKENDS;
}

/* Of the backend under way, as it is now; NULL when the configuration lost it. */
static struct srvset *walk_set(const struct api_walk *walk)
{
	const struct config *config = control_config();

	return walk->backend < config->backends_n ? srvset_of(config->backends[walk->backend].state)
						  : NULL;
}

static void sum_hosts(struct api_walk *walk, const struct srvset *set)
{
	free(walk->sums);
	walk->sums_n = set ? set->hosts_n : 0;
	walk->sums = walk->sums_n ? xcalloc(walk->sums_n, sizeof(*walk->sums)) : NULL;
	walk->set_serial = set ? set->serial : 0;
	for (uint32_t i = 0; set && i < set->members_n; i++)
		api_host_add(&walk->sums[set->members[i].host], &set->members[i]);
}

static void walk_backends(struct api_walk *walk)
{
	const struct config *config = control_config();
	struct json *json = &walk->json;
	struct srvset *set = walk_set(walk);

	if (walk->backend >= config->backends_n) {
		json_close(json, ']');
		json_close(json, '}');
		walk->phase = PHASE_END;
		return;
	}
	json_open(json, NULL, '{');
	api_backend(json, &config->backends[walk->backend], set);
	walk->host = walk->member = 0;
	if (walk->form == API_STAT) {
		sum_hosts(walk, set);
		json_open(json, "hosts", '[');
		walk->phase = PHASE_HOSTS;
	} else {
		json_open(json, "servers", '[');
		walk->phase = PHASE_SERVERS;
	}
}

static void walk_hosts(struct api_walk *walk)
{
	struct srvset *set = walk_set(walk);

	if (set && set->serial != walk->set_serial)
		sum_hosts(walk, set);
	if (set && walk->host < walk->sums_n) {
		api_host_object(&walk->json, set, walk->host, &walk->sums[walk->host]);
		walk->host++;
		return;
	}
	json_close(&walk->json, ']');
	json_open(&walk->json, "servers", '[');
	walk->phase = PHASE_SERVERS;
}

/* FNV-1a: only to see a change. */
static uint32_t hash_of(const char *p, size_t n)
{
	uint32_t hash = 2166136261u;

	while (n--)
		hash = (hash ^ (unsigned char)*p++) * 16777619u;
	return hash;
}

/* Leaves the server out again when it is as the reader knows it. */
static void write_changed(struct api_walk *walk, const struct srvset_member *member)
{
	struct buf *out = walk->json.out;
	bool needs_comma = walk->json.needs_comma;
	uint32_t number = member->server->number, hash;
	size_t length = buf_length(out);

	api_server_array(&walk->json, member);
	if (number >= walk->known_n)
		return;
	hash = hash_of(buf_bytes(out) + length + needs_comma,
		       buf_length(out) - length - needs_comma);
	if (hash == walk->known[number]) {
		buf_cut(out, length);
		walk->json.needs_comma = needs_comma;
	}
	walk->known[number] = hash;
}

static void walk_servers(struct api_walk *walk)
{
	struct srvset *set = walk_set(walk);

	if (set && walk->member < set->members_n) {
		const struct srvset_member *member = &set->members[walk->member++];

		if (walk->form == API_DELTA)
			write_changed(walk, member);
		else
			api_server_object(&walk->json, member, walk->form == API_STAT, walk->level);
		return;
	}
	json_close(&walk->json, ']');
	json_close(&walk->json, '}');
	walk->backend++;
	walk->phase = PHASE_BACKENDS;
}

enum run_step api_walk_write(struct api_walk *walk, struct buf *out)
{
	walk->json.out = out;
	for (unsigned steps = 0; steps < STEPS_PER_PIECE && buf_length(out) < RUN_PIECE; steps++) {
		switch ((enum phase)walk->phase) {
		case PHASE_BEGIN:
			walk_begin(walk);
			break;
		case PHASE_FRONTENDS:
			walk_frontends(walk);
			break;
		case PHASE_BACKENDS:
			walk_backends(walk);
			break;
		case PHASE_HOSTS:
			walk_hosts(walk);
			break;
		case PHASE_SERVERS:
			walk_servers(walk);
			break;
		case PHASE_END:
			return RUN_DONE;
		}
	}
	return RUN_MORE;
}

void api_info(struct buf *out, bool can_act, bool has_credentials)
{
	const struct config *config = control_config();
	struct json json = { .out = out };
	unsigned threads = 0;
	size_t servers = 0;

	while (traffic_by_index(threads))
		threads++;
	for (size_t i = 0; i < config->backends_n; i++) {
		const struct srvset *set = srvset_of(config->backends[i].state);

		servers += set ? set->members_n : 0;
	}
	json_open(&json, NULL, '{');
	json_text(&json, "name", "Limpet");
	json_text(&json, "version", PACKAGE_VERSION);
	json_str(&json, "node", node_name());
	json_s64(&json, "unix_ms", clock_unix_ms());
	json_u64(&json, "pid", (uint64_t)getpid());
	json_u64(&json, "threads", threads);
	json_u64(&json, "config_serial", config->serial);
	json_bool(&json, "has_credentials", has_credentials);
	json_bool(&json, "can_act", can_act);
	json_u64(&json, "frontends", config->frontends_n);
	json_u64(&json, "backends", config->backends_n);
	json_u64(&json, "servers", servers);
	api_process(&json, "process");
	json_close(&json, '}');
}

void api_sessions(struct buf *out)
{
	const struct config *config = control_config();
	struct json json = { .out = out };
	uint64_t all = 0;

	json_open(&json, NULL, '{');
	json_s64(&json, "unix_ms", clock_unix_ms());
	json_open(&json, "backends", '{');
	for (size_t i = 0; i < config->backends_n; i++) {
		struct srvset *set = srvset_of(config->backends[i].state);
		uint64_t n = 0;

		for (uint32_t k = 0; set && k < set->members_n; k++)
			n += atomic_load(&set->members[k].server->sessions);
		json_u64(&json, config->backends[i].state->name, n);
		all += n;
	}
	json_close(&json, '}');
	json_u64(&json, "sessions", all);
	json_close(&json, '}');
}

void api_server(struct buf *out, const struct backend *backend, const struct srvset_member *member,
		enum ctl_level level)
{
	struct json json = { .out = out };

	json_open(&json, NULL, '{');
	json_s64(&json, "unix_ms", clock_unix_ms());
	json_str(&json, "backend", backend->name);
	buf_append_str(out, STR(",\"server\":"));
	json.needs_comma = false;
	api_server_object(&json, member, true, level);
	json_close(&json, '}');
}

void api_host(struct buf *out, const struct backend *backend, struct srvset *set, uint32_t host)
{
	struct json json = { .out = out };
	struct api_host_sum sum = { 0 };

	for (uint32_t i = 0; i < set->members_n; i++)
		if (set->members[i].host == host)
			api_host_add(&sum, &set->members[i]);
	json_open(&json, NULL, '{');
	json_s64(&json, "unix_ms", clock_unix_ms());
	json_str(&json, "backend", backend->name);
	buf_append_str(out, STR(",\"host\":"));
	json.needs_comma = false;
	api_host_object(&json, set, host, &sum);
	json_close(&json, '}');
}

bool api_is_ready(unsigned *none_n, unsigned *all_n)
{
	const struct config *config = control_config();

	*none_n = 0;
	*all_n = 0;
	for (size_t i = 0; i < config->backends_n; i++) {
		struct srvset *set = srvset_of(config->backends[i].state);

		*all_n += 1;
		*none_n += !set || !lb_has_ready(set);
	}
	return *none_n == 0;
}
