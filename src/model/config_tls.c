/* SPDX-License-Identifier: MIT */
/*
 * config_tls - TLS to clients (of a bind) and to servers (of a backend).
 */
#include "config.h"

#include <stdio.h>

#include "model/load.h"
#include "model/out.h"
#include "model/schema_fns.h"

bool read_hsts(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	       void *base)
{
	struct hsts_conf *hsts = schema_field(row, base);

	if (node->kind == YAML_MAP) {
		section_read(load, S_HSTS, node, hsts, NULL);
		return true;
	}
	if (node->kind != YAML_SCALAR || yaml_is_null(node))
		return false;
	row_read(load, schema_find(S_HSTS, STR("max_age")), node, hsts);
	return true;
}

bool print_hsts(struct out *out, const struct schema_row *row, const void *base)
{
	section_print(out, row->sub, schema_field_const(row, base));
	return true;
}

bool read_bind_tls(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		   void *base)
{
	struct tls_bind_conf *tls;
	bool is_on;

	if (node->kind == YAML_SCALAR && parse_bool(node->text, &is_on) && !is_on)
		return true;
	if (node->kind != YAML_MAP)
		return false;
	tls = arena_alloc(load->arena, sizeof(*tls));
	section_defaults(load, S_BIND_TLS, tls);
	section_read(load, S_BIND_TLS, node, tls, NULL);
	if (tls->client_verify != TLS_VERIFY_NONE && !tls->client_ca.len)
		load_error(load, node, "'tls' has 'client_verify' but no 'client_ca'");
	*(struct tls_bind_conf **)schema_field(row, base) = tls;
	return true;
}

bool read_client_tls(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		     void *base)
{
	struct yaml_node nothing = { .kind = YAML_MAP, .line = node->line, .column = node->column };
	struct tls_client_conf *tls;
	bool is_on = true;

	if (node->kind == YAML_SCALAR && !parse_bool(node->text, &is_on))
		return false;
	if (node->kind == YAML_LIST)
		return false;
	if (!is_on)
		return true;
	tls = arena_alloc(load->arena, sizeof(*tls));
	section_defaults(load, S_CLIENT_TLS, tls);
	section_read(load, S_CLIENT_TLS, node->kind == YAML_MAP ? node : &nothing, tls, NULL);
	if (!tls->certificate.len != !tls->key.len)
		load_error(load, node, "'tls' needs both 'certificate' and 'key', or neither");
	*(struct tls_client_conf **)schema_field(row, base) = tls;
	return true;
}
