/* SPDX-License-Identifier: MIT */
/*
 * dump_shapes - prints the keys that have a grammar of their own: binds, routes, sticks, hosts.
 */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "model/load.h"
#include "model/match_build.h"
#include "model/out.h"
#include "model/schema_fns.h"
#include "net/redis_url.h"

/* A line of its own below "key: ", whose last space goes. */
static void item_begin(struct out *out)
{
	if (out->len && out->p[out->len - 1] == ' ')
		out->len--;
	out_text(out, STR("\n      "));
}

/* The pointer in the field, whatever it points to. */
static const void *pointer_of(const struct schema_row *row, const void *base)
{
	const void *target;

	memcpy(&target, schema_field_const(row, base), sizeof(target));
	return target;
}

/* A mapping behind a pointer; NULL = not there. */
static bool pointer_print(struct out *out, const struct schema_row *row, const void *base)
{
	const void *target = pointer_of(row, base);

	if (target)
		section_print(out, row->sub, target);
	return target != NULL;
}

/* The URL may hold a user and a password: a dump for others is without them. */
bool print_mirror(struct out *out, const struct schema_row *row, const void *base)
{
	const struct mirror_conf *mirror = pointer_of(row, base);
	struct redis_url url;
	struct mirror_conf copy;
	const char *why, *end;
	ptrdiff_t at = -1;
	char *bare;

	if (!mirror)
		return false;
	end = mirror->redis.p + mirror->redis.len;
	if (!out->with_secrets && redis_url_parse(mirror->redis, &url, &why) && url.password.len)
		at = str_find_char(str_sub(url.password.p, end), '@');
	if (at < 0)
		return pointer_print(out, row, base);
	copy = *mirror;
	bare = xasprintf("%.*s//%.*s", (int)str_find_char(mirror->redis, '/'), mirror->redis.p,
			 STR_ARG(str_sub(url.password.p + at + 1, end)));
	copy.redis = (struct str){ bare, strlen(bare) };
	section_print(out, row->sub, &copy);
	free(bare);
	return true;
}

bool print_stats_http(struct out *out, const struct schema_row *row, const void *base)
{
	return pointer_print(out, row, base);
}

bool print_bind_tls(struct out *out, const struct schema_row *row, const void *base)
{
	return pointer_print(out, row, base);
}

bool print_client_tls(struct out *out, const struct schema_row *row, const void *base)
{
	return pointer_print(out, row, base);
}

bool print_logs(struct out *out, const struct schema_row *row, const void *base)
{
	const struct global_conf *global = base;
	bool is_list = global->logs_n > 1;

	out_text(out, is_list ? STR("[") : STR(""));
	for (size_t i = 0; i < global->logs_n; i++) {
		out_format(out, "%s", i ? ", " : "");
		section_print(out, row->sub, &global->logs[i]);
	}
	out_text(out, is_list ? STR("]") : STR(""));
	return true;
}

bool print_stats_sockets(struct out *out, const struct schema_row *row, const void *base)
{
	const struct global_conf *global = base;

	out_text(out, STR("["));
	for (size_t i = 0; i < global->stats_sockets_n; i++) {
		out_format(out, "%s", i ? ", " : "");
		section_print(out, row->sub, &global->stats_sockets[i]);
	}
	out_text(out, STR("]"));
	return global->stats_sockets_n > 0;
}

bool print_binds(struct out *out, const struct schema_row *row, const void *base)
{
	const struct frontend *frontend = base;

	for (size_t i = 0; i < frontend->binds_n; i++) {
		item_begin(out);
		out_text(out, STR("- "));
		section_print(out, row->sub, &frontend->binds[i]);
		mark_item(out, &frontend->binds[i].pos);
	}
	return true;
}

bool print_routes(struct out *out, const struct schema_row *row, const void *base)
{
	const struct frontend *frontend = base;

	for (size_t i = 0; i < frontend->routes_n; i++) {
		item_begin(out);
		out_text(out, STR("- "));
		section_print(out, row->sub, &frontend->routes[i]);
		mark_item(out, &frontend->routes[i].pos);
	}
	return frontend->routes_n > 0;
}

bool print_match(struct out *out, const struct schema_row *row, const void *base)
{
	return pointer_print(out, row, base);
}

static void patterns_print(struct out *out, const struct condition *condition)
{
	out_text(out, STR("["));
	for (size_t i = 0; i < condition->patterns_n; i++) {
		const struct pattern *pattern = &condition->patterns[i];
		struct out written;

		out_init(&written);
		if (pattern->is_negated)
			out_text(&written, STR("!"));
		out_text(&written, pattern->written);
		out_format(out, "%s", i ? ", " : "");
		out_scalar(out, (struct str){ written.p, written.len });
		out_fini(&written);
	}
	out_text(out, STR("]"));
}

bool print_patterns(struct out *out, const struct schema_row *row, const void *base)
{
	const struct match *match = base;

	for (size_t i = 0; i < match->conditions_n; i++) {
		if (match->conditions[i].key == (enum match_key)row->arg) {
			patterns_print(out, &match->conditions[i]);
			return true;
		}
	}
	return false;
}

bool print_named_patterns(struct out *out, const struct schema_row *row, const void *base)
{
	const struct match *match = base;
	const char *before = "";

	out_text(out, STR("{"));
	for (size_t i = 0; i < match->conditions_n; i++) {
		const struct condition *condition = &match->conditions[i];

		if (condition->key != (enum match_key)row->arg)
			continue;
		out_format(out, "%s", before);
		out_scalar(out, condition->name);
		out_text(out, STR(": "));
		patterns_print(out, condition);
		before = ", ";
	}
	out_text(out, STR("}"));
	return *before != '\0';
}

bool print_backend_name(struct out *out, const struct schema_row *row, const void *base)
{
	const struct backend *backend = pointer_of(row, base);

	if (backend)
		out_scalar(out, backend->name);
	return backend != NULL;
}

bool print_respond(struct out *out, const struct schema_row *row, const void *base)
{
	const struct respond_conf *respond = schema_field_const(row, base);

	if (respond->status)
		section_print(out, row->sub, respond);
	return respond->status != 0;
}

bool print_redirect(struct out *out, const struct schema_row *row, const void *base)
{
	const struct redirect_conf *redirect = schema_field_const(row, base);

	if (redirect->status)
		section_print(out, row->sub, redirect);
	return redirect->status != 0;
}

static bool edits_print(struct out *out, const struct header_edits *edits, bool of_removals)
{
	const char *before = "";

	out_text(out, of_removals ? STR("[") : STR("{"));
	for (size_t i = 0; i < edits->n; i++) {
		const struct header_edit *edit = &edits->edits[i];

		if (!edit->value.p != of_removals)
			continue;
		out_format(out, "%s", before);
		out_scalar(out, edit->name);
		if (!of_removals) {
			out_text(out, STR(": "));
			out_scalar(out, edit->value);
		}
		before = ", ";
	}
	out_text(out, of_removals ? STR("]") : STR("}"));
	return *before != '\0';
}

bool print_set_headers(struct out *out, const struct schema_row *row, const void *base)
{
	return edits_print(out, schema_field_const(row, base), false);
}

bool print_remove_headers(struct out *out, const struct schema_row *row, const void *base)
{
	return edits_print(out, schema_field_const(row, base), true);
}

bool print_balance(struct out *out, const struct schema_row *row unused_arg, const void *base)
{
	static const char *const names[BALANCE_N] = {
		[BALANCE_ROUND_ROBIN] = "round_robin",
		[BALANCE_LEAST_CONN] = "least_conn",
		[BALANCE_LEAST_SESSIONS] = "least_sessions",
		[BALANCE_RANDOM] = "random",
		[BALANCE_FIRST] = "first",
	};
	static const char *const sources[] = { [HASH_IP] = "ip",
					       [HASH_URI] = "uri",
					       [HASH_HEADER] = "header",
					       [HASH_QUERY] = "query",
					       [HASH_COOKIE] = "cookie" };
	const struct backend *backend = base;

	if (backend->balance != BALANCE_HASH) {
		out_format(out, "%s", names[backend->balance]);
	} else if (!backend->hash_name.len) {
		out_format(out, "{hash: %s}", sources[backend->hash_source]);
	} else {
		out_format(out, "{hash: {%s: ", sources[backend->hash_source]);
		out_scalar(out, backend->hash_name);
		out_text(out, STR("}}"));
	}
	return true;
}

static void stick_print(struct out *out, const struct stick_rule *rule)
{
	static const char *const words[STICK_N] = { [STICK_ENGINEIO] = "engineio",
						    [STICK_COOKIE_INSERT] = "cookie",
						    [STICK_COOKIE_LEARN] = "cookie",
						    [STICK_IP] = "ip" };
	static const enum schema_section sections[STICK_N] = { [STICK_ENGINEIO] = S_ENGINEIO,
							       [STICK_COOKIE_INSERT] = S_COOKIE,
							       [STICK_COOKIE_LEARN] = S_COOKIE,
							       [STICK_IP] = S_IP };
	struct stick_rule copy = *rule;

	/* A key made up for one process is made up again. */
	if (rule->is_secret_random)
		copy.secret = STR_NONE;
	out_format(out, "{%s: ", words[rule->kind]);
	section_print(out, sections[rule->kind], &copy);
	out_text(out, STR("}"));
}

bool print_sticks(struct out *out, const struct schema_row *row unused_arg, const void *base)
{
	const struct backend *backend = base;

	for (size_t i = 0; i < backend->sticks_n; i++) {
		item_begin(out);
		out_text(out, STR("- "));
		stick_print(out, &backend->sticks[i]);
		mark_item(out, &backend->sticks[i].pos);
	}
	if (!backend->sticks_n)
		out_text(out, STR("none"));
	return true;
}

bool print_hosts(struct out *out, const struct schema_row *row, const void *base)
{
	const struct backend *backend = base;

	for (size_t i = 0; i < backend->hosts_n; i++) {
		item_begin(out);
		out_format(out, "\"%.*s\": ", STR_ARG(backend->hosts[i].name));
		section_print(out, row->sub, &backend->hosts[i]);
		mark_item(out, &backend->hosts[i].pos);
	}
	return true;
}

bool print_workers(struct out *out, const struct schema_row *row, const void *base)
{
	const struct host_conf *host = base;
	char text[ADDR_TEXT_SIZE];

	if (host->glob.p && !host->address.len) {
		out_text(out, STR("[\"unix:"));
		out_text(out, host->glob);
		out_text(out, STR("\"]"));
		return true;
	}
	if (!host->workers_n || (host->workers_n == 1 && !host->workers[0].name.len))
		return false;
	out_text(out, STR("["));
	for (size_t i = 0; i < host->workers_n; i++) {
		struct worker_said said = { .conf = host->workers[i] };

		said.address = sock_addr_text(&host->workers[i].addr, text);
		out_format(out, "%s", i ? ", " : "");
		section_print(out, row->sub, &said);
	}
	out_text(out, STR("]"));
	return true;
}

bool print_server_timeouts(struct out *out, const struct schema_row *row, const void *base)
{
	const struct schema_section_row *section = &schema_sections[row->sub];
	const char *timeouts = schema_field_const(row, base);
	const char *before = "";
	char text[SCHEMA_TEXT_SIZE];

	out_text(out, STR("{"));
	for (size_t i = 0; i < section->rows_n; i++) {
		const struct schema_row *inner = &section->rows[i];
		int64_t ms = *(const int64_t *)schema_field_const(inner, timeouts);

		if (ms < 0)
			continue;
		out_format(out, "%s%s: %s", before, inner->key, schema_duration_text(ms, text));
		before = ", ";
	}
	out_text(out, STR("}"));
	return *before != '\0';
}
