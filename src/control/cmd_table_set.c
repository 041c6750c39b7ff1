/* SPDX-License-Identifier: MIT */
/*
 * set table: an operator binds a key to a server, or changes how long an entry lives.
 *
 * An entry that he sets is like one that traffic has learned: it expires after its idle time, and
 * it is as good as gone when its server's process is.
 */
#include "config.h"

#include "balance/table.h"
#include "control/commands.h"
#include "control/stat.h"
#include "control/table_args.h"

#define IDLE_DEFAULT_MS 45000 /* of a session; a rule of its own says otherwise */

struct setting {
	struct table *table;
	enum stick_kind kind;
	const struct backend *backend;
	const struct server *server; /* NULL = that of the entry */
	uint64_t idle_ms;            /* 0 = that of the entry, else the rule's */
};

/* The backend whose table it is; NULL when the configuration has it no more. */
static const struct backend *backend_of(const struct table *table, enum stick_kind kind)
{
	const struct config *config = control_config();

	for (size_t i = 0; i < config->backends_n; i++)
		if (config->backends[i].state->tables[kind] == table)
			return &config->backends[i];
	return NULL;
}

static uint64_t rule_idle_ms(const struct backend *backend, enum stick_kind kind)
{
	int64_t ms = 0;

	for (size_t i = 0; backend && i < backend->sticks_n; i++) {
		const struct stick_rule *rule = &backend->sticks[i];

		if (rule->kind == kind)
			ms = kind == STICK_ENGINEIO       ? rule->idle_ms
			     : kind == STICK_COOKIE_LEARN ? rule->learn_idle_ms
							  : rule->remember_ms;
	}
	return ms > 0 ? (uint64_t)ms : IDLE_DEFAULT_MS;
}

/* By number as "show table" has it, or by name. */
static const struct server *find_server(const struct backend *backend, struct str text,
					bool is_name)
{
	struct srvset *set = backend ? srvset_of(backend->state) : NULL;
	uint64_t id = 0;

	if (!is_name && str_to_u64(text, UINT32_MAX, &id) != 0)
		return NULL;
	for (uint32_t i = 0; set && i < set->members_n; i++) {
		const struct server *server = set->members[i].server;

		if (is_name ? str_eq(str_of(server->name), text) : stat_sid(server) == id)
			return server;
	}
	return NULL;
}

/* One "data.NAME VALUE": false when a message was written. */
static bool read_data(struct run *run, unsigned at, struct setting *setting)
{
	struct str name = run->args[at], value = run_arg(run, at + 1);
	bool is_key;

	if (!str_starts(name, STR("data."))) {
		run_error(run, "\"data.<type>\" followed by a value expected");
		return false;
	}
	name = (struct str){ name.p + 5, name.len - 5 };
	is_key = str_eq(name, STR("server_key"));
	if (str_eq(name, STR("exp"))) {
		if (str_to_u64(value, TABLE_IDLE_MAX_MS, &setting->idle_ms) == 0 &&
		    setting->idle_ms)
			return true;
		run_error(run, "Require a valid integer value to store");
	} else if (is_key || str_eq(name, STR("server_id"))) {
		setting->server = find_server(setting->backend, value, is_key);
		if (setting->server)
			return true;
		run_error(run,
			  value.len ? "No such server." : "Require a valid integer value to store");
	} else {
		run_error(run, table_is_known_data(name) ? "Data type not stored in this table"
							 : "Unknown data type");
	}
	return false;
}

static enum run_step store(struct run *run, const struct setting *setting,
			   const struct table_key *key)
{
	struct table_value value = { 0 };
	bool is_there = table_find(setting->table, key, &value);
	struct server *server =
		server_by_number(setting->server ? setting->server->number : value.server);

	if (!is_there && !setting->server)
		return run_error(run, "No such entry: a new one needs data.server_id.");
	if (server->number > TABLE_SERVER_MAX)
		return run_error(run, "This server's number does not fit into a table.");
	value.server = server->number;
	if (setting->server)
		value.generation = atomic_load(&server->generation);
	if (setting->idle_ms)
		value.idle_ms = (uint32_t)setting->idle_ms;
	else if (!is_there)
		value.idle_ms = (uint32_t)rule_idle_ms(setting->backend, setting->kind);
	/* As stick_learn_sid() counts; the table's hook takes it back when the entry ends. */
	if (setting->kind == STICK_ENGINEIO)
		atomic_fetch_add(&server->sessions, 1);
	if (table_put(setting->table, key, &value, NULL) == TABLE_PUT_SAME &&
	    setting->kind == STICK_ENGINEIO)
		atomic_fetch_sub(&server->sessions, 1);
	return RUN_DONE;
}

enum run_step command_set_table(struct run *run)
{
	struct setting setting = { 0 };
	struct table_key key;

	if (!run->args_n)
		return run_error(run, "Required arguments: <table> key <key> "
				      "[data.<store_data_type> <value>]*");
	setting.table = table_by_name(run->args[0], &setting.kind);
	if (!setting.table)
		return run_error(run, "No such table");
	if (str_starts(run_arg(run, 1), STR("data.")))
		return run_error(run, "content-based lookup is only supported with the \"show\" "
				      "and \"clear\" actions");
	if (!str_eq(run_arg(run, 1), STR("key")) || run->args_n < 3)
		return run_error(run, "Key value expected");
	if (!table_read_key(setting.table, setting.kind, run->args[2], &key))
		return run_error(run, "Invalid key");
	setting.backend = backend_of(setting.table, setting.kind);
	for (unsigned at = 3; at < run->args_n; at += 2)
		if (!read_data(run, at, &setting))
			return RUN_DONE;
	return store(run, &setting, &key);
}
