/* SPDX-License-Identifier: MIT */
/*
 * show stat: frontends, then each backend's servers and the backend itself.
 *
 * run->at[0] counts the proxies that are done, [1] the members of the backend under way, [2] the
 * rows printed, [3] is set once the header is out.
 */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "control/commands.h"
#include "control/stat.h"

enum { KIND_FRONTEND = 1, KIND_BACKEND = 2, KIND_SERVER = 4 };

struct stat_walk {
	enum value_form form;
	bool has_filter; /* the next three */
	bool is_any_proxy;
	struct str proxy;
	uint64_t kinds;
	int64_t sid; /* -1 = any */
	bool is_up_only, is_no_maint, has_desc;
	struct stat_row row;
};

/* "-1" or a number; false when it is neither. */
static bool read_number(struct str text, int64_t *value)
{
	uint64_t n;

	if (str_eq(text, STR("-1"))) {
		*value = -1;
		return true;
	}
	if (str_to_u64(text, UINT32_MAX, &n) != 0)
		return false;
	*value = (int64_t)n;
	return true;
}

static void read_filter(struct run *run, struct stat_walk *walk, unsigned at)
{
	int64_t kinds, iid;

	if (run->args_n < at + 3 || !read_number(run->args[at + 1], &kinds) ||
	    !read_number(run->args[at + 2], &walk->sid))
		return;
	walk->has_filter = true;
	walk->proxy = run->args[at];
	walk->is_any_proxy = read_number(walk->proxy, &iid) && iid < 0;
	walk->kinds = kinds < 0 ? ~UINT64_C(0) : (uint64_t)kinds;
}

static struct stat_walk *walk_new(struct run *run)
{
	struct stat_walk *walk = xcalloc(1, sizeof(*walk));
	unsigned at = 0;

	if (str_eq(run_arg(run, 0), STR("domain")))
		at = 2;
	read_filter(run, walk, at);
	for (unsigned i = at; i < run->args_n; i++) {
		if (str_eq(run->args[i], STR("typed")))
			walk->form = FORM_TYPED;
		else if (str_eq(run->args[i], STR("json")))
			walk->form = FORM_JSON;
		else if (str_eq(run->args[i], STR("up")))
			walk->is_up_only = true;
		else if (str_eq(run->args[i], STR("no-maint")))
			walk->is_no_maint = true;
		else if (str_eq(run->args[i], STR("desc")))
			walk->has_desc = true;
	}
	return walk;
}

static void print_header(struct run *run, enum value_form form)
{
	if (form == FORM_JSON)
		run_text(run, STR("["));
	if (form != FORM_PLAIN)
		return;
	run_text(run, STR("# "));
	for (int i = 0; i < STAT_N; i++)
		run_print(run, "%s,", stat_columns[i].name);
	run_text(run, STR("\n"));
}

static void print_plain(struct run *run, const struct stat_walk *walk)
{
	for (int i = 0; i < STAT_N; i++) {
		value_csv(run, &walk->row.values[i]);
		run_text(run, STR(","));
	}
	run_text(run, STR("\n"));
}

static void print_typed(struct run *run, const struct stat_walk *walk)
{
	const struct stat_row *row = &walk->row;

	for (int i = 0; i < STAT_N; i++) {
		if (row->values[i].type == VALUE_EMPTY)
			continue;
		run_print(run, "%c.%u.%u.%d.%s.1:", row->letter, row->iid, row->sid, i,
			  stat_columns[i].name);
		value_typed(run, &stat_columns[i], &row->values[i]);
		if (walk->has_desc)
			run_print(run, ":\"%s\"", stat_columns[i].help);
		run_text(run, STR("\n"));
	}
}

static void print_json(struct run *run, const struct stat_walk *walk)
{
	const struct stat_row *row = &walk->row;
	const char *kind = row->letter == 'F'   ? "Frontend"
			   : row->letter == 'B' ? "Backend"
						: "Server";
	const char *comma = "";

	run_text(run, run->at[2] ? STR(",[") : STR("["));
	for (int i = 0; i < STAT_N; i++) {
		if (row->values[i].type == VALUE_EMPTY)
			continue;
		run_print(run,
			  "%s{\"objType\":\"%s\",\"proxyId\":%u,\"id\":%u,\"field\":{\"pos\":%d,"
			  "\"name\":\"%s\"},",
			  comma, kind, row->iid, row->sid, i, stat_columns[i].name);
		value_json(run, &stat_columns[i], &row->values[i]);
		run_text(run, STR("}"));
		comma = ",";
	}
	run_text(run, STR("]"));
}

static void print_row(struct run *run, const struct stat_walk *walk)
{
	switch (walk->form) {
	case FORM_PLAIN:
		print_plain(run, walk);
		break;
	case FORM_TYPED:
		print_typed(run, walk);
		break;
	case FORM_JSON:
		print_json(run, walk);
		break;
	}
	run->at[2]++;
}

static bool wants(const struct stat_walk *walk, unsigned kind, uint32_t sid)
{
	return !walk->has_filter ||
	       (walk->kinds & kind && (walk->sid < 0 || (uint64_t)walk->sid == sid));
}

static bool wants_proxy(const struct stat_walk *walk, struct str name, uint32_t iid)
{
	uint64_t n;

	if (!walk->has_filter || walk->is_any_proxy || str_eq(walk->proxy, name))
		return true;
	return str_to_u64(walk->proxy, UINT32_MAX, &n) == 0 && n == iid;
}

static bool wants_server(const struct stat_walk *walk, const struct server *server)
{
	unsigned state = server_state(server);

	return wants(walk, KIND_SERVER, stat_sid(server)) &&
	       !(walk->is_up_only && state & SERVER_UNABLE) &&
	       !(walk->is_no_maint && state & SERVER_MAINT);
}

/* True when the backend is done. */
static bool backend_rows(struct run *run, struct stat_walk *walk, const struct backend *backend)
{
	struct srvset *set = srvset_of(backend->state);

	if (!wants_proxy(walk, backend->name, backend->state->id))
		return true;
	while (set && run->at[1] < set->members_n) {
		const struct srvset_member *member = &set->members[run->at[1]++];

		if (wants_server(walk, member->server)) {
			stat_server(&walk->row, backend, member, run_level(run));
			print_row(run, walk);
		}
		if (run_is_full(run))
			return false;
	}
	if (wants(walk, KIND_BACKEND, 0)) {
		stat_backend(&walk->row, backend, set, run_level(run));
		print_row(run, walk);
	}
	return true;
}

static void frontend_row(struct run *run, struct stat_walk *walk, const struct frontend *frontend)
{
	if (!wants_proxy(walk, frontend->name, frontend->state->id) ||
	    !wants(walk, KIND_FRONTEND, 0))
		return;
	stat_frontend(&walk->row, frontend);
	print_row(run, walk);
}

/* There are none. */
static enum run_step resolvers(struct run *run)
{
	run_text(run, STR("# id,pid,sent,send_error,valid,update,cname,cname_error,any_err,nx,"
			  "timeout,refused,other,invalid,too_big,truncated,outdated,\n"));
	return RUN_DONE;
}

enum run_step command_show_stat(struct run *run)
{
	const struct config *config = control_config();
	struct stat_walk *walk = run->state;

	if (!walk && str_eq(run_arg(run, 0), STR("domain"))) {
		if (str_eq(run_arg(run, 1), STR("resolvers")))
			return resolvers(run);
		if (!str_eq(run_arg(run, 1), STR("proxy")))
			return run_error(run, "Invalid statistics domain.");
	}
	if (!walk) {
		walk = run->state = walk_new(run);
		run->state_free = free;
		print_header(run, walk->form);
	}
	while (run->at[0] < config->frontends_n + config->backends_n) {
		if (run_is_full(run))
			return RUN_MORE;
		if (run->at[0] < config->frontends_n)
			frontend_row(run, walk, &config->frontends[run->at[0]]);
		else if (!backend_rows(run, walk,
				       &config->backends[run->at[0] - config->frontends_n]))
			return RUN_MORE;
		run->at[0]++;
		run->at[1] = 0;
	}
	if (walk->form == FORM_JSON)
		run_text(run, STR("]\n"));
	return RUN_DONE;
}
