/* SPDX-License-Identifier: MIT */
/*
 * What a process knows that the next one has to know: written and read.
 *
 * Everything goes by name.  What the reader does not have (a frontend that is not in its file, a
 * counter of another version) is left out.
 */
#include "config.h"

#include <stdlib.h>

#include "balance/stick.h"
#include "base/clock.h"
#include "main/runtime.h"
#include "main/upgrade.h"
#include "model/override.h"
#include "net/tls_tickets.h"
#include "session/traffic.h"

/*
 * Secrets of cookies that were made up: with another one every client would lose its server.
 */
static struct secret {
	char *backend, *text; /* (own) */
} * secrets;
static size_t secrets_n;

/*
 * Made-up keys of TLS tickets go in messages of the same kind, of a backend without a name, which a
 * version that has no TLS does not find.
 */
struct nth_tickets {
	size_t left;
	struct upgrade_packet *packet;
	bool is_found;
};

static void write_tickets(void *arg, const struct tls_tickets_about *about)
{
	struct nth_tickets *nth = arg;
	unsigned char text[16 + TLS_TICKET_EPOCHS * TLS_TICKET_KEY_MAX];
	struct pack out = { .p = text, .size = sizeof(text) };

	if (about->source != TLS_TICKETS_RANDOM || nth->is_found || nth->left-- != 0)
		return;
	nth->is_found = true;
	pack_u64(&out, (uint64_t)about->epoch_ms);
	pack_u64(&out, (uint64_t)about->epoch);
	for (size_t i = 0; i < TLS_TICKET_EPOCHS; i++)
		pack_bytes(&out, about->keys[i].bytes, TLS_TICKET_KEY_MAX);
	packet_begin(nth->packet, MSG_SECRET);
	pack_str(&nth->packet->out, STR(""));
	pack_str(&nth->packet->out, (struct str){ (const char *)text, out.n });
}

static void read_tickets(struct str text)
{
	struct unpack in = { .p = (const unsigned char *)text.p, .left = text.len };
	struct tls_ticket_key keys[TLS_TICKET_EPOCHS] = { 0 };
	int64_t epoch_ms = (int64_t)unpack_u64(&in), epoch = (int64_t)unpack_u64(&in);

	for (size_t i = 0; i < TLS_TICKET_EPOCHS; i++) {
		keys[i].size = TLS_TICKET_KEY_MAX;
		keys[i].is_encrypting = i == 1;
		unpack_bytes(&in, keys[i].bytes, TLS_TICKET_KEY_MAX);
	}
	if (!in.is_bad)
		tls_tickets_inherit(epoch_ms, epoch, keys);
}

bool upgrade_write_secrets(struct upgrade_walk *walk, struct upgrade_packet *packet)
{
	struct config *config = runtime_config();

	while (walk->at < config->backends_n) {
		struct backend *backend = &config->backends[walk->at++];
		struct stick_rule *rule = stick_random_rule(backend);

		if (!rule)
			continue;
		packet_begin(packet, MSG_SECRET);
		pack_str(&packet->out, backend->name);
		pack_str(&packet->out, rule->secret);
		return true;
	}
	struct nth_tickets nth = { .left = walk->at++ - config->backends_n, .packet = packet };

	tls_tickets_each(write_tickets, &nth);
	return nth.is_found;
}

void upgrade_read_secret(struct unpack *in)
{
	struct str backend = unpack_str(in), text = unpack_str(in);

	if (in->is_bad || !text.len)
		return;
	if (!backend.len) {
		read_tickets(text);
		return;
	}
	secrets = xrealloc_array(secrets, secrets_n + 1, sizeof(*secrets));
	secrets[secrets_n++] = (struct secret){ xstrndup(backend), xstrndup(text) };
}

void upgrade_use_secrets(struct config *config)
{
	for (size_t i = 0; i < secrets_n; i++) {
		struct backend *backend = config_backend(config, str_of(secrets[i].backend));
		struct stick_rule *rule = backend ? stick_random_rule(backend) : NULL;

		if (rule)
			rule->secret = arena_str(&config->arena, str_of(secrets[i].text));
		free(secrets[i].backend);
		free(secrets[i].text);
	}
	free(secrets);
	secrets = NULL;
	secrets_n = 0;
	tls_tickets_inherited();
}

/*
 * States of servers and frontends.
 */
static void write_server_name(struct pack *out, const struct server *server)
{
	pack_str(out, str_of(server->backend->name));
	pack_str(out, str_of(server->host_name));
	pack_str(out, str_of(server->worker_name));
}

/* NULL when there is no such backend, or no room. */
static struct server *read_server_name(struct unpack *in)
{
	struct str backend = unpack_str(in), host = unpack_str(in), worker = unpack_str(in);

	return in->is_bad || !backend.len || !host.len
		       ? NULL
		       : server_get(backend_state_get(backend), host, worker);
}

static bool write_server(struct upgrade_walk *walk, struct upgrade_packet *packet)
{
	struct server *server = server_by_number((uint32_t)walk->at++);

	if (!server)
		return false;
	packet_begin(packet, MSG_SERVER);
	write_server_name(&packet->out, server);
	pack_u32(&packet->out, atomic_load(&server->state));
	pack_u32(&packet->out, atomic_load(&server->downs));
	pack_u32(&packet->out, atomic_load(&server->agent_weight_pct));
	pack_u64(&packet->out, (uint64_t)(clock_ms() - atomic_load(&server->changed_at_ms)));
	return true;
}

/*
 * Silently: nothing has changed for those who watch.  Whether it is GONE the sets will tell.
 */
void upgrade_read_server(struct unpack *in)
{
	struct server *server = read_server_name(in);
	unsigned state = unpack_u32(in), downs = unpack_u32(in), pct = unpack_u32(in);
	int64_t ago_ms = (int64_t)unpack_u64(in);

	if (in->is_bad || !server)
		return;
	atomic_store(&server->state, state);
	atomic_store(&server->downs, downs);
	atomic_store(&server->agent_weight_pct, pct);
	if (ago_ms > 0 && ago_ms < clock_ms())
		atomic_store(&server->changed_at_ms, clock_ms() - ago_ms);
}

static bool write_frontend(struct upgrade_walk *walk, struct upgrade_packet *packet)
{
	struct frontend_state *at = walk->next;

	if (!at)
		return false;
	walk->next = at->next;
	packet_begin(packet, MSG_FRONTEND);
	pack_str(&packet->out, str_of(at->name));
	pack_u8(&packet->out, atomic_load(&at->is_disabled));
	pack_u8(&packet->out, atomic_load(&at->is_shut));
	pack_u32(&packet->out, atomic_load(&at->max_connections));
	pack_u32(&packet->out, at->max_overridden);
	return true;
}

void upgrade_read_frontend(struct unpack *in)
{
	struct str name = unpack_str(in);
	bool is_disabled = unpack_u8(in), is_shut = unpack_u8(in);
	uint32_t max = unpack_u32(in), overridden = unpack_u32(in);
	struct frontend_state *state;

	if (in->is_bad || !name.len)
		return;
	state = frontend_state_get(name);
	atomic_store(&state->is_disabled, is_disabled);
	atomic_store(&state->is_shut, is_shut);
	atomic_store(&state->max_connections, max);
	state->max_overridden = overridden;
}

/*
 * What the operator has changed.
 */
static void write_values(struct pack *out, const struct override_values *values)
{
	pack_u32(out, values->addr.size);
	pack_bytes(out, &values->addr.un, values->addr.size);
	pack_u32(out, values->weight);
	pack_u32(out, values->max_connections);
	pack_u8(out, values->is_backup);
	pack_u8(out, (uint8_t)values->send_proxy);
}

static void read_values(struct unpack *in, struct override_values *values)
{
	*values = (struct override_values){ .addr = { .size = unpack_u32(in) } };
	if (values->addr.size > sizeof(values->addr.un)) {
		values->addr.size = 0;
		in->is_bad = true;
	}
	unpack_bytes(in, &values->addr.un, values->addr.size);
	values->weight = unpack_u32(in);
	values->max_connections = unpack_u32(in);
	values->is_backup = unpack_u8(in);
	values->send_proxy = unpack_u8(in);
	if (values->send_proxy > PROXY_V2)
		in->is_bad = true;
}

static bool write_override(struct upgrade_walk *walk, struct upgrade_packet *packet)
{
	const struct override *override = override_at(walk->at++);

	if (!override)
		return false;
	packet_begin(packet, MSG_OVERRIDE);
	write_server_name(&packet->out, override->server);
	pack_u8(&packet->out, (uint8_t) override->kind);
	pack_u32(&packet->out, override->fields);
	write_values(&packet->out, &override->mine);
	write_values(&packet->out, &override->file);
	return true;
}

void upgrade_read_override(struct unpack *in)
{
	struct server *server = read_server_name(in);
	unsigned kind = unpack_u8(in);
	struct override override = { .server = server, .fields = unpack_u32(in) };

	read_values(in, &override.mine);
	read_values(in, &override.file);
	if (kind > OVERRIDE_DELETED)
		in->is_bad = true;
	override.kind = (enum override_kind)kind;
	if (!in->is_bad && server)
		override_restore(&override);
}

/*
 * Counters: what has grown since they were last told.
 */
struct told {
	uint64_t (*rows)[COUNTERS_ALL_N]; /* (own) */
	size_t n;
};
static struct told told[SCOPE_N];

static uint64_t *told_of(enum counter_scope scope, size_t index)
{
	struct told *at = &told[scope];

	if (index >= at->n) {
		size_t n = index + 64;

		at->rows = xrealloc_array(at->rows, n, sizeof(*at->rows));
		memset(at->rows + at->n, 0, (n - at->n) * sizeof(*at->rows));
		at->n = n;
	}
	return at->rows[index];
}

/* False when nothing has changed. */
static bool write_growth(struct pack *out, const struct counters *counters, size_t index)
{
	uint64_t *before = told_of(counters->scope, index);
	bool is_any = false;

	for (int i = 0; i < COUNTERS_ALL_N; i++) {
		uint64_t now;

		if (counter_rows[i].scope != counters->scope || counter_rows[i].is_gauge)
			continue;
		now = counters_sum(counters, i);
		if (now <= before[i])
			continue;
		pack_str(out, str_of(counter_rows[i].name));
		pack_u64(out, now - before[i]);
		before[i] = now;
		is_any = true;
	}
	return is_any;
}

struct counted {
	const struct counters *counters;
	const char *name, *host, *worker;
	size_t index;
};

/* The next object that has counters; false: none. */
static bool next_counted(struct upgrade_walk *walk, struct counted *counted)
{
	const struct frontend_state *frontend = frontend_state_first();
	const struct backend_state *backend = backend_state_first();
	const struct server *server;
	uint64_t n = walk->at++;

	*counted = (struct counted){ &process_state.counters, "", "", "", 0 };
	if (!n--)
		return true;
	counted->index = n;
	for (; frontend; frontend = frontend->next, n--)
		if (!n) {
			*counted = (struct counted){ &frontend->counters, frontend->name, "", "",
						     counted->index };
			return true;
		}
	counted->index = n;
	for (; backend; backend = backend->next, n--)
		if (!n) {
			*counted = (struct counted){ &backend->counters, backend->name, "", "",
						     counted->index };
			return true;
		}
	server = server_by_number((uint32_t)n);
	if (server)
		*counted = (struct counted){ &server->counters, server->backend->name,
					     server->host_name, server->worker_name, n };
	return server != NULL;
}

bool upgrade_write_counters(struct upgrade_walk *walk, struct upgrade_packet *packet)
{
	struct counted counted;

	while (next_counted(walk, &counted)) {
		packet_begin(packet, MSG_COUNTERS);
		pack_u8(&packet->out, (uint8_t)counted.counters->scope);
		pack_str(&packet->out, str_of(counted.name));
		pack_str(&packet->out, str_of(counted.host));
		pack_str(&packet->out, str_of(counted.worker));
		if (write_growth(&packet->out, counted.counters, counted.index))
			return true;
	}
	return false;
}

static struct counters *counters_of(unsigned scope, struct str name, struct str host,
				    struct str worker)
{
	struct server *server;

	switch (scope) {
	case SCOPE_process:
		return &process_state.counters;
	case SCOPE_frontend:
		return name.len ? &frontend_state_get(name)->counters : NULL;
	case SCOPE_backend:
		return name.len ? &backend_state_get(name)->counters : NULL;
	case SCOPE_server:
		server = name.len && host.len ? server_get(backend_state_get(name), host, worker)
					      : NULL;
		return server ? &server->counters : NULL;
	default:
		return NULL;
	}
}

void upgrade_read_counters(struct unpack *in)
{
	unsigned scope = unpack_u8(in);
	struct str name = unpack_str(in), host = unpack_str(in), worker = unpack_str(in);
	struct counters *counters = in->is_bad ? NULL : counters_of(scope, name, host, worker);

	while (counters && in->left && !in->is_bad) {
		struct str row = unpack_str(in);
		uint64_t growth = unpack_u64(in);

		for (int i = 0; i < COUNTERS_ALL_N && !in->is_bad; i++)
			if (counter_rows[i].scope == scope && !counter_rows[i].is_gauge &&
			    str_eq(str_of(counter_rows[i].name), row))
				count_add(counters, i, growth);
	}
}

bool upgrade_write_states(struct upgrade_walk *walk, struct upgrade_packet *packet)
{
	static bool (*const parts[])(struct upgrade_walk *, struct upgrade_packet *) = {
		write_server, write_frontend, write_override, upgrade_write_counters
	};

	while (walk->part < ARRAY_N(parts)) {
		if (parts[walk->part](walk, packet))
			return true;
		*walk = (struct upgrade_walk){ .part = walk->part + 1,
					       .next = frontend_state_first() };
	}
	return false;
}
