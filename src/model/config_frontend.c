/* SPDX-License-Identifier: MIT */
/*
 * config_frontend - frontends and where they listen.
 */
#include "config.h"

#include "model/load.h"
#include "model/route_index.h"
#include "model/schema_fns.h"

bool read_accept_proxy(struct load *load, const struct schema_row *row,
		       const struct yaml_node *node, void *base)
{
	struct bind_conf *bind = base;
	bool is_on;

	if (yaml_is_null(node) || node->kind == YAML_MAP)
		return false;
	if (node->kind == YAML_SCALAR && parse_bool(node->text, &is_on)) {
		bind->is_proxy_required = bind->is_proxy_from_any = is_on;
		return true;
	}
	bind->is_proxy_required = true;
	bind->is_proxy_from_any = false;
	if (node->kind == YAML_LIST && node->n == 0)
		load_error(load, node, "'accept_proxy': an empty list refuses everyone");
	return read_nets(load, row, node, base);
}

static bool has_port_zero(const struct sock_addr *addr)
{
	return !sock_addr_is_unix(addr) && sock_addr_ip(addr).port == 0;
}

static void bind_read(struct load *load, const struct yaml_node *node, struct bind_conf *bind)
{
	struct str key;
	uint32_t line;

	section_defaults(load, S_BIND, bind);
	if (node->kind == YAML_MAP)
		section_read(load, S_BIND, node, bind, NULL);
	else
		row_read(load, schema_find(S_BIND, STR("address")), node, bind);
	bind->pos = load_pos(load, node);
	if (!bind->text.len || !load_address(load, node, bind->text, "bind", &bind->addr) ||
	    has_port_zero(&bind->addr))
		return;
	key = arena_str(&load->temp, (struct str){ (const char *)&bind->addr.sa, bind->addr.size });
	line = names_add(&load->binds, key, node->line);
	if (line != NAME_NONE)
		load_error(load, node, "'%.*s' is bound twice; line %u has it already",
			   STR_ARG(bind->text), line);
}

bool read_binds(struct load *load, const struct schema_row *row unused_arg,
		const struct yaml_node *node, void *base)
{
	struct frontend *frontend = base;
	size_t n = load_items(node);

	if (yaml_is_null(node))
		return false;
	if (n == 0)
		load_error(load, node, "'bind' is empty: nothing to listen on");
	frontend->binds = arena_calloc(load->arena, n, sizeof(*frontend->binds));
	frontend->binds_n = n;
	for (size_t i = 0; i < n; i++)
		bind_read(load, load_item(node, i), &frontend->binds[i]);
	return true;
}

bool read_backend_name(struct load *load, const struct schema_row *row,
		       const struct yaml_node *node, void *base)
{
	struct config *config = load->config;
	struct suggest suggest;
	struct backend *backend;

	if (node->kind != YAML_SCALAR || yaml_is_null(node))
		return false;
	backend = config_backend(config, node->text);
	*(struct backend **)schema_field(row, base) = backend;
	if (backend)
		return true;
	suggest_init(&suggest, node->text);
	for (size_t i = 0; i < config->backends_n && load->diag.errors_n < DIAG_ERRORS_MAX; i++)
		suggest_try(&suggest, config->backends[i].name);
	load_error(load, node, "backend %s is not defined%s", load_describe(load, node),
		   suggest_text(&suggest, &load->temp));
	return true;
}

static const char *mode_name(enum traffic_mode mode)
{
	return mode == TRAFFIC_TCP ? "tcp" : "http";
}

static void check_mode(struct load *load, const struct frontend *frontend,
		       const struct backend *backend, struct config_pos pos)
{
	if (backend && backend->mode != frontend->mode)
		pos_error(load, pos, "frontend '%.*s' is of mode %s, its backend '%.*s' of mode %s",
			  STR_ARG(frontend->name), mode_name(frontend->mode),
			  STR_ARG(backend->name), mode_name(backend->mode));
}

static void routes_check(struct load *load, const struct frontend *frontend)
{
	struct names names;

	names_init(&names, &load->temp, frontend->routes_n);
	for (size_t i = 0; i < frontend->routes_n; i++) {
		const struct route *route = &frontend->routes[i];
		uint32_t line = names_add(&names, route->name, route->pos.line);

		if (line != NAME_NONE)
			pos_error(load, route->pos,
				  "route '%.*s' is named twice; line %u has it already",
				  STR_ARG(route->name), line);
		check_mode(load, frontend, route->backend, route->pos);
	}
}

void frontend_read(struct load *load, const struct yaml_pair *pair, struct frontend *frontend)
{
	const char *where = arena_printf(&load->temp, "frontend '%.*s'", STR_ARG(pair->key->text));
	const struct yaml_node *node = load_with_defaults(load, S_FRONTEND, pair->value);
	size_t before = load->diag.errors_n;

	section_defaults(load, S_FRONTEND, frontend);
	frontend->name = load_keep(load, pair->key->text);
	load_check_name(load, pair->key, "frontend", frontend->name);
	section_read(load, S_FRONTEND, node, frontend, where);
	frontend->pos = load_pos(load, pair->key);
	frontend_tls_finish(load, node, frontend);
	routes_check(load, frontend);
	routes_check_mode(load, node, frontend);
	check_mode(load, frontend, frontend->backend, frontend->pos);
	route_index_build(load, frontend);
	if (load->diag.errors_n == before && !frontend->backend && !frontend->routes_n)
		load_error(load, pair->key, "%s needs 'backend' or 'routes'", where);
}
