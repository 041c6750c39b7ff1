/* SPDX-License-Identifier: MIT */
/*
 * config_route - what happens to a request: routes, fixed responses, redirects, header edits.
 */
#include "config.h"

#include "model/load.h"

#include <stdio.h>

#include "base/thread.h"
#include "model/schema_fns.h"

#define ROUTES_MAX 65536 /* of a frontend */
#define EDITS_MAX  64

/* A value that cannot end its field line (RFC 9110 5.5). */
static bool is_field_value(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

bool read_respond(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		  void *base)
{
	struct respond_conf *respond = schema_field(row, base);
	const struct schema_row *status = schema_find(S_RESPOND, STR("status"));

	section_defaults(load, S_RESPOND, respond);
	if (node->kind == YAML_MAP)
		section_read(load, S_RESPOND, node, respond, NULL);
	else if (node->kind == YAML_SCALAR && !yaml_is_null(node))
		row_read(load, status, node, respond);
	else
		return false;
	if (!is_field_value(respond->content_type))
		load_error(load, node, "'content_type' holds a control character");
	if (!respond->status)
		respond->status =
			503; /* a mistake was told; the route has its action all the same */
	return true;
}

bool read_redirect(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		   void *base)
{
	struct redirect_conf *redirect = schema_field(row, base);
	struct str to;

	section_defaults(load, S_REDIRECT, redirect);
	if (node->kind == YAML_MAP)
		section_read(load, S_REDIRECT, node, redirect, NULL);
	else if (node->kind == YAML_SCALAR && !yaml_is_null(node))
		row_read(load, schema_find(S_REDIRECT, STR("to")), node, redirect);
	else
		return false;
	to = redirect->to;
	if (redirect->status > 303 && redirect->status < 307)
		load_error(load, node, "'status': a redirect is 301, 302, 303, 307 or 308");
	if (!to.len && !redirect->scheme.len && !redirect->host.len && !redirect->port)
		load_error(load, node,
			   "'redirect' needs 'to', 'scheme', 'host' or 'port', or it leads "
			   "nowhere");
	if (to.len && to.p[0] != '/' &&
	    (redirect->scheme.len || redirect->host.len || redirect->port))
		load_warn(load, node,
			  "'redirect': an absolute 'to' says scheme, host and port by itself");
	if (to.len && to.p[0] != '/' && str_find(to, STR("://")) < 1)
		load_error(load, node, "'to': '%.*s' is neither a path nor an absolute URI",
			   STR_ARG(to));
	if (redirect->scheme.len && !str_eq(redirect->scheme, STR("http")) &&
	    !str_eq(redirect->scheme, STR("https")))
		load_error(load, node, "'scheme': '%.*s' is not one of http, https",
			   STR_ARG(redirect->scheme));
	if (!is_field_value(to) || memchr(to.p, ' ', to.len) || !is_field_value(redirect->host) ||
	    memchr(redirect->host.p, ' ', redirect->host.len))
		load_error(load, node, "'redirect' holds a space or a control character");
	return true;
}

/* Fields that say where a message ends or how a connection goes on are ours alone. */
static bool check_field_name(struct load *load, const struct yaml_node *node, const char *key)
{
	static const char *const ours[] = {
		"connection", "content-length", "keep-alive",        "proxy-connection",
		"te",         "trailer",        "transfer-encoding", "upgrade"
	};

	if (node->kind != YAML_SCALAR || !load_is_token(node->text) || node->text.len > 128) {
		load_error(load, node, "'%s': %s is not the name of a header field", key,
			   load_describe(load, node));
		return false;
	}
	for (size_t i = 0; i < ARRAY_N(ours); i++) {
		if (str_ieq(node->text, str_of(ours[i]))) {
			load_error(load, node,
				   "'%s': field '%s' belongs to the connection and is Limpet's own",
				   key, ours[i]);
			return false;
		}
	}
	return true;
}

static void edit_add(struct load *load, struct header_edits *edits, struct header_edit edit)
{
	struct header_edit *more = arena_alloc(load->arena, (edits->n + 1) * sizeof(*more));

	if (edits->n)
		memcpy(more, edits->edits, edits->n * sizeof(*more));
	more[edits->n++] = edit;
	edits->edits = more;
}

bool read_set_headers(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		      void *base)
{
	struct header_edits *edits = schema_field(row, base);

	if (node->kind != YAML_MAP)
		return false;
	if (node->n > EDITS_MAX) {
		load_error(load, node, "'%s': more than %d fields", row->key, EDITS_MAX);
		return true;
	}
	for (size_t i = 0; i < node->n; i++) {
		const struct yaml_pair *pair = &node->pairs[i];

		if (!check_field_name(load, pair->key, row->key))
			continue;
		if (pair->value->kind != YAML_SCALAR || !is_field_value(pair->value->text)) {
			load_error(load, pair->value,
				   "'%s': the value of '%.*s' must be a text without control "
				   "characters",
				   row->key, STR_ARG(pair->key->text));
			continue;
		}
		edit_add(load, edits,
			 (struct header_edit){ load_keep(load, pair->key->text),
					       load_keep(load, str_trim(pair->value->text)) });
	}
	return true;
}

bool read_remove_headers(struct load *load, const struct schema_row *row,
			 const struct yaml_node *node, void *base)
{
	struct header_edits *edits = schema_field(row, base);
	size_t n = load_items(node);

	if (node->kind == YAML_MAP || yaml_is_null(node))
		return false;
	if (n > EDITS_MAX) {
		load_error(load, node, "'%s': more than %d fields", row->key, EDITS_MAX);
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		const struct yaml_node *item = load_item(node, i);

		if (check_field_name(load, item, row->key))
			edit_add(load, edits,
				 (struct header_edit){ load_keep(load, item->text), STR_NONE });
	}
	return true;
}

void header_edits_sort(struct load *load, struct header_edits *edits)
{
	struct header_edit *sorted;
	size_t n = 0;

	if (!edits->n)
		return;
	sorted = arena_alloc(load->arena, edits->n * sizeof(*sorted));
	for (size_t i = 0; i < edits->n; i++)
		if (!edits->edits[i].value.p)
			sorted[n++] = edits->edits[i];
	for (size_t i = 0; i < edits->n; i++)
		if (edits->edits[i].value.p)
			sorted[n++] = edits->edits[i];
	edits->edits = sorted;
}

static void route_read(struct load *load, const struct yaml_node *node, size_t number,
		       struct route *route)
{
	static const struct str actions[] = { STR_INIT("backend"), STR_INIT("respond"),
					      STR_INIT("redirect") }; /* and reject */
	const char *where;
	unsigned actions_n = 0;

	section_defaults(load, S_ROUTE, route);
	where = arena_printf(&load->temp, "route %zu", number);
	section_read(load, S_ROUTE, node, route, where);
	if (!route->name.len)
		route->name = str_of(arena_printf(load->arena, "route-%zu", number));
	else
		load_check_name(load, node, "route", route->name);
	for (size_t i = 0; i < ARRAY_N(actions); i++)
		actions_n += yaml_get(node, actions[i]) != NULL;
	actions_n += route->is_rejected;
	if (node->kind == YAML_MAP && actions_n != 1)
		load_error(load, node,
			   "%s needs exactly one of 'backend', 'respond', 'redirect' and 'reject'",
			   where);
	header_edits_sort(load, &route->request_edits);
	header_edits_sort(load, &route->response_edits);
}

bool read_routes(struct load *load, const struct schema_row *row unused_arg,
		 const struct yaml_node *node, void *base)
{
	struct frontend *frontend = base;

	if (node->kind != YAML_LIST)
		return false;
	if (node->n > ROUTES_MAX) {
		load_error(load, node, "more than %d routes", ROUTES_MAX);
		return true;
	}
	frontend->routes = arena_calloc(load->arena, node->n, sizeof(*frontend->routes));
	frontend->routes_n = node->n;
	for (size_t i = 0; i < node->n; i++) {
		route_read(load, node->items[i], i + 1, &frontend->routes[i]);
		thread_breathe();
	}
	return true;
}
