/* SPDX-License-Identifier: MIT */
/*
 * config_health - checks of servers: what the loader reads and the dump prints of them.
 */
#include "config.h"

#include "model/load.h"

#include "base/regex.h"
#include "model/out.h"
#include "model/schema_fns.h"

#define BYTES_MAX 4096 /* of a text to send or to expect */

static void path_check(struct load *load, const struct yaml_node *node, struct str path)
{
	for (size_t i = 0; i < path.len; i++) {
		if (path.p[i] <= ' ' || path.p[i] == 0x7f) {
			load_error(load, node, "'health_check': a path has no spaces or controls");
			return;
		}
	}
}

/* Keys that do not go together. */
static void kinds_check(struct load *load, const struct yaml_node *node,
			const struct health_said *said)
{
	const struct health_conf *conf = &said->conf;
	bool has_text = conf->send_written.len || conf->expect.written.len;
	bool is_http = conf->path.len;

	if (said->is_tcp && is_http)
		load_error(load, node, "'health_check' has both 'tcp' and 'http'");
	else if (is_http && has_text)
		load_error(load, node, "'send' and 'expect' are for tcp checks, not 'http'");
	else if (!is_http && (conf->body.written.len || conf->headers.n))
		load_error(load, node, "'body' and 'headers' need 'http'");
	if (!load_is_token(conf->method))
		load_error(load, node, "'method': '%.*s' is not a method", STR_ARG(conf->method));
	else if (str_eq(conf->method, STR("HEAD")) && conf->body.written.len)
		load_error(load, node, "'body': the answer to HEAD has none");
}

bool read_health(struct load *load, const struct schema_row *row unused_arg,
		 const struct yaml_node *node, void *base)
{
	struct health_conf *health = &((struct backend *)base)->health;
	struct health_said said;
	bool is_on;

	section_defaults(load, S_HEALTH, &said);
	said.conf.tls_mode = CHECK_TLS_AUTO;
	if (node->kind == YAML_MAP) {
		section_read(load, S_HEALTH, node, &said, NULL);
		kinds_check(load, node, &said);
		said.conf.kind = said.conf.path.len ? CHECK_HTTP : CHECK_TCP;
	} else if (node->kind != YAML_SCALAR || yaml_is_null(node)) {
		return false;
	} else if (node->text.len && node->text.p[0] == '/') {
		said.conf.path = load_keep(load, node->text);
		said.conf.kind = CHECK_HTTP;
	} else if (str_eq(node->text, STR("tcp"))) {
		said.conf.kind = CHECK_TCP;
	} else if (str_eq(node->text, STR("tls"))) {
		said.conf.kind = CHECK_TCP;
		said.conf.tls_mode = CHECK_TLS_ON;
	} else if (!str_eq(node->text, STR("none")) && (!parse_bool(node->text, &is_on) || is_on)) {
		return false;
	}
	path_check(load, node, said.conf.path);
	*health = said.conf;
	return true;
}

bool read_passive(struct load *load, const struct schema_row *row unused_arg,
		  const struct yaml_node *node, void *base)
{
	struct backend *backend = base;
	bool is_on;

	if (node->kind == YAML_MAP) {
		section_read(load, S_PASSIVE, node, &backend->passive, NULL);
		return true;
	}
	if (node->kind != YAML_SCALAR || !parse_bool(node->text, &is_on))
		return false;
	if (!is_on)
		backend->passive.failures = 0;
	return true;
}

bool read_agent(struct load *load, const struct schema_row *row unused_arg,
		const struct yaml_node *node, void *base)
{
	struct agent_conf *agent = &((struct backend *)base)->agent;
	uint64_t port;

	if (node->kind == YAML_MAP) {
		section_read(load, S_AGENT, node, agent, NULL);
		return true;
	}
	if (node->kind != YAML_SCALAR || str_to_u64(node->text, 65535, &port) != 0 || port == 0)
		return false;
	agent->port = (uint32_t)port;
	return true;
}

/* An IP behind its text in the struct. */
struct ip_field {
	struct str written;
	struct ip_addr ip;
};

bool read_check_ip(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		   void *base)
{
	struct ip_field *field = schema_field(row, base);

	if (node->kind != YAML_SCALAR || yaml_is_null(node) || !node->text.len)
		return false;
	if (load_resolve(load, node, node->text, &field->ip))
		field->written = load_keep(load, node->text);
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)ascii_lower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes that TEXT stands for; told and false when "hex:" is followed by anything else. */
static bool bytes_of(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		     struct str text, struct str *bytes)
{
	struct str digits;
	char *out;
	size_t n = 0;

	if (text.len > BYTES_MAX) {
		load_error(load, node, "'%s' is longer than %d bytes", row->key, BYTES_MAX);
		return false;
	}
	if (!str_starts(text, STR("hex:"))) {
		*bytes = load_keep(load, text);
		return true;
	}
	digits = str_sub(text.p + 4, text.p + text.len);
	out = arena_alloc(load->arena, digits.len / 2 + 1);
	for (size_t i = 0; i < digits.len; i++) {
		int high, low;

		if (digits.p[i] == ' ')
			continue;
		high = hex_digit(digits.p[i]);
		low = i + 1 < digits.len ? hex_digit(digits.p[i + 1]) : -1;
		if (high < 0 || low < 0) {
			load_error(load, node,
				   "'%s': after 'hex:' come pairs of hexadecimal digits", row->key);
			return false;
		}
		out[n++] = (char)(high << 4 | low);
		i++;
	}
	*bytes = (struct str){ out, n };
	return true;
}

/* Bytes behind their text in the struct. */
struct bytes_field {
	struct str written, bytes;
};

bool read_check_bytes(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		      void *base)
{
	struct bytes_field *field = schema_field(row, base);

	if (node->kind != YAML_SCALAR || yaml_is_null(node))
		return false;
	if (bytes_of(load, row, node, node->text, &field->bytes))
		field->written = load_keep(load, node->text);
	return true;
}

bool read_check_match(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		      void *base)
{
	struct text_match *match = schema_field(row, base);
	bool is_regex = row->arg == ALWAYS_REGEX || str_starts(node->text, STR("~"));
	struct str pattern = node->text;
	char error[REGEX_ERROR_SIZE];
	struct regex *regex;
	size_t offset;

	if (node->kind != YAML_SCALAR || yaml_is_null(node) || !node->text.len)
		return false;
	if (!is_regex) {
		if (bytes_of(load, row, node, node->text, &match->bytes))
			match->written = load_keep(load, node->text);
		return true;
	}
	if (row->arg != ALWAYS_REGEX)
		pattern = str_sub(pattern.p + 1, pattern.p + pattern.len);
	regex = regex_new(pattern, error, &offset);
	if (!regex) {
		load_error(load, node, "'%.*s' is not a regular expression: %s (at character %zu)",
			   STR_ARG(pattern), error, offset + 1);
		return true;
	}
	load_keep_regex(load, regex);
	match->regex = regex;
	match->written = load_keep(load, node->text);
	return true;
}

bool read_check_tls(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		    void *base)
{
	struct health_conf *health = base;
	bool is_on = true;

	if (node->kind == YAML_SCALAR && str_eq(node->text, STR("auto"))) {
		health->tls_mode = CHECK_TLS_AUTO;
		return true;
	}
	if (!read_client_tls(load, row, node, base))
		return false;
	if (node->kind == YAML_SCALAR)
		(void)parse_bool(node->text, &is_on);
	health->tls_mode = is_on ? CHECK_TLS_ON : CHECK_TLS_OFF;
	return true;
}

void health_finish(struct load *load, struct backend *backend)
{
	header_edits_sort(load, &backend->health.headers);
	if (backend->passive.is_fast_check && backend->health.kind == CHECK_NONE)
		pos_error(load, backend->pos,
			  "backend '%.*s': 'passive_check.action: fast_check' needs a "
			  "'health_check'",
			  STR_ARG(backend->name));
}

bool print_health(struct out *out, const struct schema_row *row, const void *base)
{
	const struct health_conf *health = schema_field_const(row, base);
	struct health_said said = { .conf = *health, .is_tcp = health->kind == CHECK_TCP };

	if (health->kind == CHECK_NONE)
		out_text(out, STR("none"));
	else
		section_print(out, row->sub, &said);
	return true;
}

bool print_passive(struct out *out, const struct schema_row *row, const void *base)
{
	section_print(out, row->sub, schema_field_const(row, base));
	return true;
}

bool print_agent(struct out *out, const struct schema_row *row, const void *base)
{
	const struct backend *backend = base;
	bool is_used = backend->agent.port;

	for (size_t i = 0; i < backend->hosts_n; i++)
		is_used = is_used || backend->hosts[i].agent_port;
	if (is_used)
		section_print(out, row->sub, &backend->agent);
	return is_used;
}

bool print_check_ip(struct out *out, const struct schema_row *row, const void *base)
{
	const struct ip_field *field = schema_field_const(row, base);

	out_scalar(out, field->written);
	return field->written.len > 0;
}

bool print_check_bytes(struct out *out, const struct schema_row *row, const void *base)
{
	const struct bytes_field *field = schema_field_const(row, base);

	out_scalar(out, field->written);
	return field->written.len > 0;
}

bool print_check_match(struct out *out, const struct schema_row *row, const void *base)
{
	const struct text_match *match = schema_field_const(row, base);

	out_scalar(out, match->written);
	return match->written.len > 0;
}

bool print_check_tls(struct out *out, const struct schema_row *row, const void *base)
{
	const struct health_conf *health = base;

	if (health->tls_mode == CHECK_TLS_AUTO)
		out_text(out, STR("auto"));
	else if (health->tls_mode == CHECK_TLS_OFF || !health->tls)
		out_text(out, health->tls_mode == CHECK_TLS_OFF ? STR("false") : STR("true"));
	else
		section_print(out, row->sub, health->tls);
	return true;
}
