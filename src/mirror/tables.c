/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/tables.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "balance/stick.h"
#include "base/log.h"
#include "base/mem.h"

struct shared {
	struct table *table;           /* (view) */
	struct backend_state *backend; /* (view) */
	struct str name;               /* (view) of the table */
};

static struct {
	struct shared *rows; /* (own) sorted by name */
	size_t n;
	size_t last; /* found last: changes come in runs */
	uint32_t strangers;
	bool is_full_told;
	uint64_t unknown_names;
} tables;

static int by_name(const void *a, const void *b)
{
	const struct shared *one = a, *two = b;
	size_t least = one->name.len < two->name.len ? one->name.len : two->name.len;
	int order = memcmp(one->name.p, two->name.p, least);

	return order ? order : (one->name.len > two->name.len) - (one->name.len < two->name.len);
}

static bool is_wanted(const struct config *config, const struct backend_state *state,
		      enum stick_kind kind)
{
	const struct backend *backend = config_backend(config, str_of(state->name));

	for (size_t i = 0; backend && i < backend->sticks_n; i++)
		if (backend->sticks[i].kind == kind)
			return backend->sticks[i].is_mirrored;
	return false;
}

static void add(struct backend_state *state, struct table *table)
{
	tables.rows = xrealloc_array(tables.rows, tables.n + 1, sizeof(*tables.rows));
	tables.rows[tables.n++] = (struct shared){ .table = table,
						   .backend = state,
						   .name = str_of(table_name(table)) };
}

bool tables_apply(const struct config *config, bool is_on)
{
	bool is_more = false;

	tables.n = tables.last = 0;
	for (struct backend_state *state = backend_state_first(); state; state = state->next)
		for (unsigned kind = 0; kind < STICK_N; kind++) {
			struct table *table = state->tables[kind];
			bool is_shared = is_on && table && is_wanted(config, state, kind);

			if (!table)
				continue;
			is_more |= is_shared && !table_is_shared(table);
			if (is_shared != table_is_shared(table))
				table_share(table, is_shared);
			if (is_shared)
				add(state, table);
		}
	if (tables.n)
		qsort(tables.rows, tables.n, sizeof(*tables.rows), by_name);
	return is_more;
}

size_t tables_n(void)
{
	return tables.n;
}

struct table *tables_at(size_t i)
{
	return tables.rows[i].table;
}

static const struct shared *find(struct str name)
{
	struct shared want = { .name = name };
	const struct shared *found;

	if (tables.last < tables.n && str_eq(tables.rows[tables.last].name, name))
		return &tables.rows[tables.last];
	if (!tables.n)
		return NULL;
	found = bsearch(&want, tables.rows, tables.n, sizeof(*tables.rows), by_name);
	if (found)
		tables.last = (size_t)(found - tables.rows);
	return found;
}

struct table *tables_find(struct str name)
{
	const struct shared *shared = find(name);

	return shared ? shared->table : NULL;
}

static struct server *meet_stranger(struct backend_state *backend, struct str name)
{
	ptrdiff_t slash = str_find_char(name, '/');
	struct str host = { name.p, slash < 0 ? name.len : (size_t)slash };
	struct str worker = slash < 0 ? STR("") : str_sub(name.p + slash + 1, name.p + name.len);
	struct server *server = NULL;

	/* "host/" would be kept under another name than it was called by. */
	if (!host.len || (slash >= 0 && !worker.len))
		return NULL;
	if (tables.strangers < TABLES_STRANGERS_MAX)
		server = server_get(backend, host, worker);
	if (server) {
		tables.strangers++;
		atomic_fetch_or(&server->state, SERVER_GONE);
	} else if (!tables.is_full_told) {
		tables.is_full_told = true;
		log_warn("mirror: more than %u servers that this node does not have were named: "
			 "records of further ones are not taken",
			 tables.strangers);
	}
	return server;
}

bool tables_record(struct table *table, const struct table_key *key, const struct wire_value *value,
		   int64_t left_ms, struct table_record *record)
{
	const struct shared *shared = find(str_of(table_name(table)));
	const struct server *server = NULL;

	if (!shared)
		return false;
	if (value->state != RECORD_TOMB) {
		server = server_find(shared->backend, value->server);
		if (!server)
			server = meet_stranger(shared->backend, value->server);
		if (!server || server_state(server) & SERVER_GONE)
			tables_count_unknown();
		if (!server)
			return false;
	}
	*record = (struct table_record){
		.key = *key,
		.state = value->state,
		.change = RECORD_SET,
		.version = value->version,
		.server = server ? server->number : SERVER_NONE,
		.idle_ms = value->idle_ms,
		.left_ms = left_ms < 1                         ? 1
			   : left_ms > (int64_t)value->idle_ms ? (int64_t)value->idle_ms
							       : left_ms,
	};
	return true;
}

void tables_value(const struct table_record *record, struct wire_value *value)
{
	const struct server *server =
		record->state == RECORD_TOMB ? NULL : server_by_number(record->server);

	*value = (struct wire_value){
		.state = record->state,
		.version = record->version,
		.idle_ms = record->idle_ms,
		.server = server ? str_of(server->name) : STR(""),
	};
}

void tables_count_unknown(void)
{
	tables.unknown_names++;
}

uint64_t tables_unknown_names(void)
{
	return tables.unknown_names;
}

uint64_t tables_dirty(void)
{
	uint64_t n = 0;

	for (size_t i = 0; i < tables.n; i++)
		n += table_dirty_n(tables.rows[i].table);
	return n;
}

void tables_fini(void)
{
	free(tables.rows);
	tables.rows = NULL;
	tables.n = 0;
}
