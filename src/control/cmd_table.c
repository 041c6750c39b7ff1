/* SPDX-License-Identifier: MIT */
/*
 * show table, clear table, show sessions: the session tables.
 *
 * A sid is a bearer secret and an app's cookie may be one: keys of such tables are shown as '~' and
 * the 32 digits of their keyed hash, which is all that the table has.  The first 16 are what log
 * lines and "show sessions" show.  A key may be given as itself, or in either of these forms.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "balance/stick.h"
#include "balance/table.h"
#include "base/mem.h"
#include "control/commands.h"
#include "control/table_args.h"
#include "control/stat.h"

#define ENTRIES_PER_STEP 64
#define FILTERS_MAX      4

static const char usage_clear[] = "Required arguments: <table> \"data.<store_data_type>\" "
				  "<operator> <value> or <table> key <key>";
static const char usage_show[] = "Optional argument only supports \"data.<store_data_type>\" "
				 "<operator> <value> and key <key>";

enum op { OP_EQ, OP_NE, OP_LE, OP_GE, OP_LT, OP_GT, OP_N };
static const char *const op_names[OP_N] = { "eq", "ne", "le", "ge", "lt", "gt" };

struct filter {
	enum op op;
	uint64_t number; /* server_id is compared with it */
};

struct table_walk {
	struct table *table;
	enum stick_kind kind;
	struct run *run;
	uint64_t cursor;
	bool has_id; /* key ~... of 16 digits */
	uint64_t id;
	struct filter filters[FILTERS_MAX];
	unsigned filters_n;
	bool is_clear;
	struct table_key *keys; /* (own) to be dropped */
	size_t keys_n, keys_size;
};

static void walk_free(void *state)
{
	struct table_walk *walk = state;

	free(walk->keys);
	free(walk);
}

/* Table number AT of all, counted over backends and kinds; false beyond the last. */
static bool table_at(uint64_t at, struct backend_state **backend, enum stick_kind *kind)
{
	struct backend_state *b = backend_state_first();

	for (uint64_t skip = at / STICK_N; b && skip; skip--)
		b = b->next;
	*backend = b;
	*kind = (enum stick_kind)(at % STICK_N);
	return b != NULL;
}

static const char *type_name(enum stick_kind kind)
{
	return kind == STICK_IP ? "ip" : "string";
}

static void print_head(struct run *run, const struct table *table, enum stick_kind kind)
{
	struct table_stats stats;

	table_stats(table, &stats);
	run_print(run, "# table: %s, type: %s, size:%llu, used:%llu\n", table_name(table),
		  type_name(kind), (unsigned long long)stats.max_entries,
		  (unsigned long long)stats.entries);
}

static enum run_step list_tables(struct run *run)
{
	struct backend_state *backend;
	enum stick_kind kind;

	for (; table_at(run->at[0], &backend, &kind); run->at[0]++) {
		if (run_is_full(run))
			return RUN_MORE;
		if (backend->tables[kind])
			print_head(run, backend->tables[kind], kind);
	}
	return RUN_DONE;
}

struct table *table_by_name(struct str name, enum stick_kind *kind)
{
	struct table *only = NULL;

	for (struct backend_state *b = backend_state_first(); b; b = b->next)
		for (int k = 0; k < STICK_N; k++) {
			if (!b->tables[k])
				continue;
			if (str_eq(str_of(table_name(b->tables[k])), name)) {
				*kind = (enum stick_kind)k;
				return b->tables[k];
			}
			if (str_eq(str_of(b->name), name)) {
				if (only)
					return NULL;
				only = b->tables[k];
				*kind = (enum stick_kind)k;
			}
		}
	return only;
}

static struct str key_text(enum stick_kind kind, const struct table_key *key,
			   char out[ADDR_TEXT_SIZE])
{
	struct ip_addr ip = { .family = key->len == 4 ? AF_INET : AF_INET6 };
	size_t len = 1;

	if (kind == STICK_IP && (key->len == 4 || key->len == 16)) {
		memcpy(ip.ip, key->bytes, key->len);
		return ip_addr_ip_text(&ip, out);
	}
	out[0] = '~';
	for (unsigned i = 0; i < key->len; i++)
		len += (size_t)snprintf(out + len, ADDR_TEXT_SIZE - len, "%02x", key->bytes[i]);
	return (struct str){ out, len };
}

static void print_entry(struct run *run, enum stick_kind kind, const struct table_key *key,
			const struct table_value *value)
{
	const struct server *server = server_by_number(value->server);
	char text[ADDR_TEXT_SIZE];
	struct str shown = key_text(kind, key, text);

	run_print(run, "0x%llx: key=%.*s use=%u exp=%lld shard=0 server_id=%u server_key=%s\n",
		  (unsigned long long)table_key_id(key), STR_ARG(shown), value->opens,
		  (long long)value->expires_in_ms, value->server + 1, server ? server->name : "-");
}

static bool compare(enum op op, uint64_t a, uint64_t b)
{
	switch (op) {
	case OP_EQ:
		return a == b;
	case OP_NE:
		return a != b;
	case OP_LE:
		return a <= b;
	case OP_GE:
		return a >= b;
	case OP_LT:
		return a < b;
	case OP_GT:
		return a > b;
	case OP_N:
		break;
	}
	return false;
}

static bool passes(const struct table_walk *walk, const struct table_key *key,
		   const struct table_value *value)
{
	if (walk->has_id && table_key_id(key) != walk->id)
		return false;
	for (unsigned i = 0; i < walk->filters_n; i++)
		if (!compare(walk->filters[i].op, value->server + UINT64_C(1),
			     walk->filters[i].number))
			return false;
	return true;
}

static void keep_key(struct table_walk *walk, const struct table_key *key)
{
	if (walk->keys_n == walk->keys_size) {
		walk->keys_size = walk->keys_size ? walk->keys_size * 2 : ENTRIES_PER_STEP;
		walk->keys = xrealloc_array(walk->keys, walk->keys_size, sizeof(*walk->keys));
	}
	walk->keys[walk->keys_n++] = *key;
}

static void on_entry(void *arg, struct str kept, const struct table_value *value)
{
	struct table_walk *walk = arg;
	struct table_key key = table_key_kept(walk->table, kept);

	if (!passes(walk, &key, value))
		return;
	if (walk->is_clear)
		keep_key(walk, &key);
	else
		print_entry(walk->run, walk->kind, &key, value);
}

static void drop_kept(struct table_walk *walk)
{
	for (size_t i = 0; i < walk->keys_n; i++)
		table_drop(walk->table, &walk->keys[i]);
	walk->keys_n = 0;
}

static enum run_step walk_on(struct table_walk *walk)
{
	do {
		bool has_more =
			table_each(walk->table, &walk->cursor, ENTRIES_PER_STEP, on_entry, walk);

		drop_kept(walk);
		if (!has_more)
			return RUN_DONE;
	} while (!walk->is_clear && !walk->has_id && !run_is_full(walk->run));
	return RUN_MORE;
}

/* '~' and 2 * SIZE hex digits. */
static bool read_hash(struct str text, unsigned char *hash, size_t size)
{
	if (text.len != 1 + 2 * size || text.p[0] != '~')
		return false;
	for (size_t i = 0; i < 2 * size; i++) {
		unsigned char c = (unsigned char)text.p[1 + i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		hash[i / 2] =
			(unsigned char)(hash[i / 2] << 4 | (c <= '9' ? c - '0' : c - 'a' + 10));
	}
	return true;
}

/* "~0123456789abcdef", as log lines have it. */
static bool read_id(struct str text, uint64_t *id)
{
	struct table_key key = { .len = sizeof(*id) };

	if (!read_hash(text, key.bytes, sizeof(*id)))
		return false;
	*id = table_key_id(&key);
	return true;
}

/* The prefixes under which addresses are kept. */
static void mask_address(const struct table *table, struct ip_addr *ip)
{
	const struct config *config = control_config();

	for (size_t i = 0; i < config->backends_n; i++) {
		const struct backend *backend = &config->backends[i];

		if (backend->state->tables[STICK_IP] != table)
			continue;
		for (size_t r = 0; r < backend->sticks_n; r++)
			if (backend->sticks[r].kind == STICK_IP)
				*ip = ip_addr_masked(ip, backend->sticks[r].prefix_v4,
						     backend->sticks[r].prefix_v6);
	}
}

bool table_read_key(const struct table *table, enum stick_kind kind, struct str text,
		    struct table_key *key)
{
	unsigned char hash[TABLE_KEY_SIZE] = { 0 };
	struct ip_addr ip;

	if (kind == STICK_IP) {
		if (ip_addr_parse(text, &ip) != 0)
			return false;
		mask_address(table, &ip);
		text = (struct str){ (char *)ip.ip, ip.family == AF_INET ? 4 : 16 };
	}
	if (table_is_secret(table) && read_hash(text, hash, sizeof(hash))) {
		*key = table_key_kept(table, (struct str){ (char *)hash, sizeof(hash) });
		return true;
	}
	if (!text.len || text.len > TABLE_KEY_MAX)
		return false;
	*key = table_key(table, text);
	return true;
}

bool table_is_known_data(struct str name)
{
	static const char *const names[] = {
		"server_key",    "gpc0",          "gpc1",           "gpt0",
		"conn_cnt",      "conn_rate",     "conn_cur",       "sess_cnt",
		"sess_rate",     "http_req_cnt",  "http_req_rate",  "http_err_cnt",
		"http_err_rate", "http_fail_cnt", "http_fail_rate", "bytes_in_cnt",
		"bytes_in_rate", "bytes_out_cnt", "bytes_out_rate", "gpc0_rate",
		"gpc1_rate",
	};

	for (size_t i = 0; i < ARRAY_N(names); i++)
		if (str_eq(name, str_of(names[i])))
			return true;
	return false;
}

/* "data.server_id eq 3": false when a message was written. */
static bool read_filter(struct run *run, struct table_walk *walk, unsigned at)
{
	struct str name = run_arg(run, at), op = run_arg(run, at + 1);
	struct filter *filter = &walk->filters[walk->filters_n];
	unsigned nth = walk->filters_n + 1;
	unsigned i = 0;

	name.p += 5;
	name.len -= 5;
	if (!str_eq(name, STR("server_id"))) {
		run_error(run, "Filter entry #%u: %s", nth,
			  table_is_known_data(name) ? "Data type not stored in this table"
						    : "Unknown data type");
		return false;
	}
	while (i < OP_N && !str_eq(op, str_of(op_names[i])))
		i++;
	if (i == OP_N) {
		run_error(run,
			  "Filter entry #%u: Require and operator among \"eq\", \"ne\", \"le\", "
			  "\"ge\", \"lt\", \"gt\"",
			  nth);
		return false;
	}
	filter->op = (enum op)i;
	if (str_to_u64(run_arg(run, at + 2), UINT32_MAX, &filter->number) != 0) {
		run_error(run, "Filter entry #%u: Require a valid integer value to compare against",
			  nth);
		return false;
	}
	walk->filters_n++;
	return true;
}

/* Reads what follows the table's name.  False when a message was written. */
static bool read_filters(struct run *run, struct table_walk *walk)
{
	for (unsigned at = 1; at < run->args_n; at += 3) {
		if (!str_starts(run->args[at], STR("data."))) {
			run_error(run, "%s", walk->is_clear ? usage_clear : usage_show);
			return false;
		}
		if (walk->filters_n == FILTERS_MAX) {
			run_error(run, "Too many filters, at most %d.", FILTERS_MAX);
			return false;
		}
		if (!read_filter(run, walk, at))
			return false;
	}
	return true;
}

/* False when its entries are not for this level. */
static bool print_table_head(struct run *run, const struct table_walk *walk)
{
	print_head(run, walk->table, walk->kind);
	if (run_level(run) >= CTL_OPERATOR)
		return true;
	run_text(run, STR("# contents not dumped due to insufficient privileges\n"));
	return false;
}

/* "key K": one entry. */
static enum run_step begin_key(struct run *run, struct table_walk *walk)
{
	struct str text = run_arg(run, 2);
	struct table_value value;
	struct table_key key;

	if (!text.len)
		return run_error(run, "Key value expected");
	walk->has_id = table_is_secret(walk->table) && read_id(text, &walk->id);
	if (!walk->has_id && !table_read_key(walk->table, walk->kind, text, &key))
		return run_error(run, "Invalid key");
	if (!walk->is_clear && !print_table_head(run, walk))
		return RUN_DONE;
	if (walk->has_id)
		return RUN_MORE;
	if (walk->is_clear)
		table_drop(walk->table, &key);
	else if (table_find(walk->table, &key, &value))
		print_entry(run, walk->kind, &key, &value);
	return RUN_DONE;
}

static enum run_step begin(struct run *run, bool is_clear)
{
	struct table_walk *walk = xcalloc(1, sizeof(*walk));

	run->state = walk;
	run->state_free = walk_free;
	walk->run = run;
	walk->is_clear = is_clear;
	walk->table = table_by_name(run_arg(run, 0), &walk->kind);
	if (!walk->table)
		return run_error(run, "No such table");
	if (str_eq(run_arg(run, 1), STR("key")))
		return begin_key(run, walk);
	if (!read_filters(run, walk) || (!is_clear && !print_table_head(run, walk)))
		return RUN_DONE;
	return RUN_MORE;
}

enum run_step command_show_table(struct run *run)
{
	if (!run->args_n)
		return list_tables(run);
	return run->state ? walk_on(run->state) : begin(run, false);
}

enum run_step command_clear_table(struct run *run)
{
	if (!run->args_n)
		return run_error(run, "%s", usage_clear);
	return run->state ? walk_on(run->state) : begin(run, true);
}

static void on_session(void *arg, struct str kept, const struct table_value *value)
{
	struct table_walk *walk = arg;
	const struct server *server = server_by_number(value->server);
	struct table_key key = table_key_kept(walk->table, kept);
	const char *state = "live";

	if (!server)
		return;
	if ((atomic_load(&server->generation) ^ value->generation) & TABLE_GENERATION_MASK ||
	    !server_is_able(server))
		state = "dead";
	else if (!value->opens)
		state = "idle";
	run_print(walk->run, "%s ~%016llx %s %s %u %lld %lld\n", server->backend->name,
		  (unsigned long long)table_key_id(&key), server->name, state, value->opens,
		  (long long)(value->opens ? 0 : value->idle_ms - value->expires_in_ms) / 1000,
		  (long long)value->expires_in_ms / 1000);
}

/* at[0] counts backends; run->state walks the table of one. */
enum run_step command_show_sessions(struct run *run)
{
	const struct config *config = control_config();
	const struct backend *only = run->args_n ? run_backend(run->args[0]) : NULL;
	struct table_walk *walk = run->state;

	if (run->args_n && !only)
		return run_error(run, "No such backend.");
	if (!walk) {
		walk = run->state = xcalloc(1, sizeof(*walk));
		run->state_free = walk_free;
		walk->run = run;
		run_text(run, STR("# backend sid server state open idle_s expires_s\n"));
	}
	for (; run->at[0] < config->backends_n; run->at[0]++) {
		const struct backend *backend = &config->backends[run->at[0]];

		walk->table = backend->state->tables[STICK_ENGINEIO];
		if (!walk->table || (only && backend != only))
			continue;
		while (table_each(walk->table, &walk->cursor, ENTRIES_PER_STEP, on_session, walk))
			if (run_is_full(run))
				return RUN_MORE;
		walk->cursor = 0;
	}
	return RUN_DONE;
}
