/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/override.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

static struct list overrides = { &overrides, &overrides };

static void drop(struct override *override)
{
	override->server->override = NULL;
	list_remove(&override->link);
	free(override);
}

static struct override_values values_of_spec(const struct srvset_spec *spec)
{
	return (struct override_values){
		.addr = spec->addr,
		.weight = spec->initial_weight,
		.max_connections = spec->max_connections,
		.is_backup = spec->is_backup,
		.send_proxy = spec->send_proxy,
	};
}

static void copy_field(struct override_values *to, const struct override_values *from,
		       enum override_field field)
{
	switch (field) {
	case OVERRIDE_WEIGHT:
		to->weight = from->weight;
		break;
	case OVERRIDE_MAX_CONNECTIONS:
		to->max_connections = from->max_connections;
		break;
	case OVERRIDE_ADDR:
		to->addr = from->addr;
		break;
	case OVERRIDE_BACKUP:
		to->is_backup = from->is_backup;
		break;
	case OVERRIDE_SEND_PROXY:
		to->send_proxy = from->send_proxy;
		break;
	}
}

static unsigned differences(const struct override_values *a, const struct override_values *b)
{
	return (a->weight != b->weight ? OVERRIDE_WEIGHT : 0) |
	       (a->max_connections != b->max_connections ? OVERRIDE_MAX_CONNECTIONS : 0) |
	       (!sock_addr_eq(&a->addr, &b->addr) ? OVERRIDE_ADDR : 0) |
	       (a->is_backup != b->is_backup ? OVERRIDE_BACKUP : 0) |
	       (a->send_proxy != b->send_proxy ? OVERRIDE_SEND_PROXY : 0);
}

/* Each bit of FIELDS as FIELD. */
#define for_each_field(field, fields)                                                              \
	for (enum override_field field = OVERRIDE_WEIGHT; field <= OVERRIDE_SEND_PROXY;            \
	     field = (enum override_field)(field * 2))                                             \
		if ((fields)&field)

/* What the file says of a member: what is in force but for what the operator has changed. */
static struct override_values file_values(const struct srvset_member *member)
{
	const struct override *override = member->server->override;
	struct override_values values = {
		.addr = member->addr,
		.weight = member->initial_weight,
		.max_connections = member->max_connections,
		.is_backup = member->is_backup,
		.send_proxy = member->send_proxy,
	};

	if (override)
		for_each_field(field, override->fields) copy_field(&values, &override->file, field);
	return values;
}

static struct override *override_new(struct server *server, enum override_kind kind)
{
	struct override *override = xcalloc(1, sizeof(*override));

	override->server = server;
	override->kind = kind;
	server->override = override;
	list_push_back(&overrides, &override->link);
	return override;
}

static void set_field(const struct srvset_member *member, enum override_field field,
		      const struct override_values *values)
{
	struct override_values file = file_values(member);
	struct override *override = member->server->override;

	if (!override)
		override = override_new(member->server, OVERRIDE_CHANGED);
	copy_field(&override->mine, values, field);
	if (override->kind == OVERRIDE_ADDED)
		return;
	bug_on(override->kind != OVERRIDE_CHANGED);
	copy_field(&override->file, &file, field);
	override->fields &= ~(unsigned)field;
	override->fields |= differences(&override->mine, &override->file) & field;
	if (!override->fields)
		drop(override);
}

void override_weight(const struct srvset_member *member, uint32_t weight)
{
	set_field(member, OVERRIDE_WEIGHT, &(struct override_values){ .weight = weight });
}

void override_max_connections(const struct srvset_member *member, uint32_t max_connections)
{
	set_field(member, OVERRIDE_MAX_CONNECTIONS,
		  &(struct override_values){ .max_connections = max_connections });
}

void override_addr(const struct srvset_member *member, const struct sock_addr *addr)
{
	set_field(member, OVERRIDE_ADDR, &(struct override_values){ .addr = *addr });
}

void override_delete(const struct srvset_member *member)
{
	struct override_values file = file_values(member);
	struct override *override = member->server->override;

	if (override && override->kind == OVERRIDE_ADDED) {
		drop(override);
		return;
	}
	if (!override)
		override = override_new(member->server, OVERRIDE_DELETED);
	override->kind = OVERRIDE_DELETED;
	override->fields = 0;
	override->file = file;
}

void override_add(struct server *server, const struct override_values *values)
{
	struct override *override = server->override;

	/* The override of a worker whose socket is away makes room. */
	if (override && override->kind != OVERRIDE_DELETED) {
		drop(override);
		override = NULL;
	}
	if (!override) {
		override = override_new(server, OVERRIDE_ADDED);
		override->mine = override->file = *values;
		return;
	}
	override->kind = OVERRIDE_CHANGED;
	override->mine = *values;
	override->fields = differences(&override->mine, &override->file);
	if (!override->fields)
		drop(override);
}

void override_restore(const struct override *from)
{
	struct override *override;

	if (from->server->override)
		return;
	override = override_new(from->server, from->kind);
	override->fields = from->fields & (OVERRIDE_SEND_PROXY * 2 - 1);
	override->mine = from->mine;
	override->file = from->file;
	if (override->kind == OVERRIDE_CHANGED && !override->fields)
		drop(override);
}

/*
 * Reconciliation.
 */

bool override_is_watched(const struct backend *backend, struct str host)
{
	for (size_t i = 0; i < backend->hosts_n; i++)
		if (backend->hosts[i].glob.p && str_eq(backend->hosts[i].name, host))
			return true;
	return false;
}

const char *override_field_name(enum override_field field)
{
	switch (field) {
	case OVERRIDE_WEIGHT:
		return "weight";
	case OVERRIDE_MAX_CONNECTIONS:
		return "max_connections";
	case OVERRIDE_ADDR:
		return "address";
	case OVERRIDE_BACKUP:
		return "backup";
	case OVERRIDE_SEND_PROXY:
		return "send_proxy";
	}
	return "";
}

const char *override_field_text(const struct override_values *values, enum override_field field,
				char out[ADDR_TEXT_SIZE])
{
	static const char *const proxies[] = { "none", "v1", "v2" };

	switch (field) {
	case OVERRIDE_WEIGHT:
		snprintf(out, ADDR_TEXT_SIZE, "%u", values->weight);
		return out;
	case OVERRIDE_MAX_CONNECTIONS:
		snprintf(out, ADDR_TEXT_SIZE, "%u", values->max_connections);
		return values->max_connections ? out : "none";
	case OVERRIDE_ADDR:
		sock_addr_text(&values->addr, out);
		return out;
	case OVERRIDE_BACKUP:
		return values->is_backup ? "true" : "false";
	case OVERRIDE_SEND_PROXY:
		return proxies[values->send_proxy];
	}
	return "";
}

static void tell_drop(const struct override *override, enum override_field field,
		      const struct override_values *now)
{
	const struct server *server = override->server;
	char mine[ADDR_TEXT_SIZE], file[ADDR_TEXT_SIZE];

	if (now)
		log_warn("server %s/%s: %s %s set by the operator is dropped: the file now says %s",
			 server->backend->name, server->name, override_field_name(field),
			 override_field_text(&override->mine, field, mine),
			 override_field_text(now, field, file));
	else
		log_warn("server %s/%s: %s %s set by the operator is dropped: the file does not "
			 "name the server any more",
			 server->backend->name, server->name, override_field_name(field),
			 override_field_text(&override->mine, field, mine));
}

/* NOW is what the file says; NULL = it does not name the server. */
static void reconcile_changed(struct override *override, const struct override_values *now)
{
	unsigned other = now ? differences(&override->file, now) : override->fields;

	for_each_field(field, override->fields & other)
	{
		if (!now || differences(&override->mine, now) & field)
			tell_drop(override, field, now);
		override->fields &= ~(unsigned)field;
	}
	if (!override->fields)
		drop(override);
}

static void reconcile_named(struct override *override, const struct override_values *now)
{
	const struct server *server = override->server;

	switch (override->kind) {
	case OVERRIDE_CHANGED:
		reconcile_changed(override, now);
		return;
	case OVERRIDE_ADDED:
		log_warn("server %s/%s: added by the operator, now the file names it and its "
			 "values count",
			 server->backend->name, server->name);
		drop(override);
		return;
	case OVERRIDE_DELETED:
		if (!differences(&override->file, now))
			return;
		log_warn("server %s/%s: its deletion by the operator is dropped: the file now says "
			 "otherwise",
			 server->backend->name, server->name);
		drop(override);
		return;
	}
}

static void reconcile_unnamed(struct override *override, const struct backend *backend)
{
	switch (override->kind) {
	case OVERRIDE_CHANGED:
		if (!override_is_watched(backend, str_of(override->server->host_name)))
			reconcile_changed(override, NULL);
		return;
	case OVERRIDE_ADDED:
		return;
	case OVERRIDE_DELETED: /* the file agrees now */
		drop(override);
		return;
	}
}

void override_reconcile(const struct backend *backend, const struct srvset_spec *specs, size_t n)
{
	static uint64_t serial;

	if (list_is_empty(&overrides))
		return;
	serial++;
	for (size_t i = 0; i < n; i++) {
		struct server *server = server_get(backend->state, specs[i].host, specs[i].worker);
		struct override_values now = values_of_spec(&specs[i]);

		if (!server || !server->override)
			continue;
		server->override->seen = serial;
		reconcile_named(server->override, &now);
	}
	list_for_each_safe(at, after, &overrides) {
		struct override *override = list_entry(at, struct override, link);

		if (override->server->backend == backend->state && override->seen != serial)
			reconcile_unnamed(override, backend);
	}
}

void override_drop_backend(const struct backend_state *backend)
{
	list_for_each_safe(at, after, &overrides) {
		struct override *override = list_entry(at, struct override, link);
		struct server *server = override->server;

		if (server->backend != backend)
			continue;
		if (override->kind == OVERRIDE_CHANGED) {
			reconcile_changed(override, NULL);
			continue;
		}
		if (override->kind == OVERRIDE_ADDED)
			log_warn("server %s/%s: added by the operator, is dropped: the file does "
				 "not name the backend any more",
				 backend->name, server->name);
		drop(override);
	}
}

/*
 * Putting them in force.
 */

size_t override_added_n(const struct backend_state *backend)
{
	size_t n = 0;

	list_for_each(at, &overrides) {
		const struct override *override = list_entry(at, struct override, link);

		n += override->server->backend == backend && override->kind == OVERRIDE_ADDED;
	}
	return n;
}

static void apply_changed(const struct override *override, struct srvset_spec *spec)
{
	const struct override_values *mine = &override->mine;

	if (override->fields & OVERRIDE_WEIGHT)
		spec->user_weight = mine->weight;
	if (override->fields & OVERRIDE_MAX_CONNECTIONS)
		spec->max_connections = mine->max_connections;
	if (override->fields & OVERRIDE_ADDR)
		spec->addr = mine->addr;
	if (override->fields & OVERRIDE_BACKUP)
		spec->is_backup = mine->is_backup;
	if (override->fields & OVERRIDE_SEND_PROXY)
		spec->send_proxy = mine->send_proxy;
}

static struct srvset_spec added_spec(const struct override *override)
{
	const struct server *server = override->server;

	return (struct srvset_spec){
		.host = str_of(server->host_name),
		.worker = str_of(server->worker_name),
		.addr = override->mine.addr,
		.weight = override->mine.weight,
		.user_weight = override->mine.weight,
		.initial_weight = override->file.weight,
		.throttle_pct = 100,
		.max_connections = override->mine.max_connections,
		.is_backup = override->mine.is_backup,
		.send_proxy = override->mine.send_proxy,
	};
}

size_t override_apply(struct backend_state *backend, struct srvset_spec *specs, size_t n)
{
	size_t kept = 0;

	if (list_is_empty(&overrides))
		return n;
	for (size_t i = 0; i < n; i++) {
		struct server *server = server_get(backend, specs[i].host, specs[i].worker);
		const struct override *override = server ? server->override : NULL;

		if (override && override->kind == OVERRIDE_DELETED)
			continue;
		specs[kept] = specs[i];
		if (override && override->kind == OVERRIDE_CHANGED)
			apply_changed(override, &specs[kept]);
		kept++;
	}
	list_for_each(at, &overrides) {
		const struct override *override = list_entry(at, struct override, link);

		if (override->server->backend == backend && override->kind == OVERRIDE_ADDED)
			specs[kept++] = added_spec(override);
	}
	return kept;
}

const struct override *override_at(size_t index)
{
	list_for_each(at, &overrides) {
		if (!index--)
			return list_entry(at, struct override, link);
	}
	return NULL;
}
