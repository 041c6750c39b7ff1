/* SPDX-License-Identifier: MIT */
/*
 * config_tls - TLS to clients, of a bind.
 *
 * A bind's certificates are read with the configuration, so that a check of the file finds what is
 * wrong with them, and a start reads them before it drops its privileges.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "model/load.h"
#include "model/match_build.h"
#include "model/out.h"
#include "model/schema_fns.h"

#define YEAR           SEC(365 * 24 * 3600)
#define SECRET_MAX     1024 /* bytes of the first line of a password file */
#define HSTS_VALUE_MAX 64

load_tls_server_fn *load_tls_server = tls_server_new;

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

/* NODE's value of KEY, or NODE itself: where to point at. */
static const struct yaml_node *value_node(const struct yaml_node *node, const char *key)
{
	const struct yaml_node *value = yaml_get(node, str_of(key));

	return value ? value : node;
}

static void hsts_prepare(struct load *load, const struct yaml_node *node, struct tls_bind_conf *tls)
{
	const struct hsts_conf *hsts = &tls->hsts;
	char value[HSTS_VALUE_MAX];

	if (!hsts->max_age_ms)
		return;
	snprintf(value, sizeof(value), "max-age=%lld%s%s", (long long)(hsts->max_age_ms / 1000),
		 hsts->has_subdomains ? "; includeSubDomains" : "",
		 hsts->is_preloaded ? "; preload" : "");
	tls->hsts_value = load_keep(load, str_of(value));
	if (hsts->is_preloaded && (!hsts->has_subdomains || hsts->max_age_ms < YEAR))
		load_warn(load, value_node(node, "hsts"),
			  "'preload': browsers want 'include_subdomains' and a 'max_age' of a year "
			  "with it");
}

/* What can be told without the frontend. */
static void bind_tls_check(struct load *load, const struct yaml_node *node,
			   const struct tls_bind_conf *tls)
{
	if (tls->client_verify != TLS_VERIFY_NONE && !tls->client_ca.len)
		load_error(load, node, "'tls' has 'client_verify' but no 'client_ca'");
	if (tls->client_verify == TLS_VERIFY_NONE && tls->client_ca.len)
		load_warn(load, value_node(node, "client_ca"),
			  "'client_ca': nobody is asked for a certificate without 'client_verify'");
	if (tls->client_crl.len && !tls->client_ca.len)
		load_error(load, value_node(node, "client_crl"),
			   "'tls' has 'client_crl' but no 'client_ca'");
	if (tls->ticket_keys.len && !tls->has_tickets)
		load_error(load, value_node(node, "ticket_keys"),
			   "'ticket_keys' are of no use with 'tickets: false'");
	if (tls->ciphers.len && tls->min_version == TLS_V1_3)
		load_error(load, value_node(node, "ciphers"),
			   "'ciphers' are of TLS 1.2, which 'min_version' excludes");
}

static void alpn_check(struct load *load, const struct frontend *frontend,
		       const struct yaml_node *node, const struct str_list *alpn)
{
	for (size_t i = 0; i < alpn->n; i++) {
		struct str name = alpn->items[i];
		const struct yaml_node *item = load_item(node, i);

		for (size_t k = 0; k < i; k++)
			if (str_eq(alpn->items[k], name))
				load_error(load, item, "'alpn': '%.*s' is there twice",
					   STR_ARG(name));
		if (frontend->mode == TRAFFIC_TCP && str_eq(name, STR("h2")))
			load_warn(load, item,
				  "'alpn': in mode tcp 'h2' reaches the servers in clear text, "
				  "without an HTTP/1.1 for those who do not speak it");
		else if (frontend->mode == TRAFFIC_HTTP && !str_eq(name, STR("h2")) &&
			 !str_eq(name, STR("http/1.1")))
			load_error(load, item,
				   "'alpn': '%.*s' is not one of h2, http/1.1, which mode http "
				   "speaks",
				   STR_ARG(name));
	}
}

/* The first line of FILE in LINE, without its end. */
static bool first_line(struct str file, char line[SECRET_MAX])
{
	char *name = xstrndup(file);
	FILE *f = fopen(name, "re");
	bool ok = f && fgets(line, SECRET_MAX, f);

	if (ok)
		line[strcspn(line, "\r\n")] = '\0';
	if (f)
		fclose(f);
	free(name);
	return ok;
}

/*
 * What both nodes of a pair know makes their ticket keys: SHA-256("limpet tickets" SECRET) in hex,
 * so that who learns one of the mirror's keys does not learn these.  "" = they have nothing.
 */
static struct str ticket_secret(struct load *load)
{
	const struct mirror_conf *mirror = load->config->global.mirror;
	static const char label[] = "limpet tickets";
	unsigned char digest[EVP_MAX_MD_SIZE];
	char line[SECRET_MAX], hex[2 * EVP_MAX_MD_SIZE + 1];
	struct str secret = !mirror || mirror->secret.len ? STR("") : mirror->password;
	unsigned n = 0;
	EVP_MD_CTX *ctx;

	if (!mirror)
		return secret;
	if (mirror->secret.len)
		secret = mirror->secret;
	else if (mirror->password_file.len && first_line(mirror->password_file, line))
		secret = str_of(line);
	if (!secret.len)
		return secret;
	ctx = EVP_MD_CTX_new();
	bug_on(!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
	       EVP_DigestUpdate(ctx, label, sizeof(label) - 1) != 1 ||
	       EVP_DigestUpdate(ctx, secret.p, secret.len) != 1 ||
	       EVP_DigestFinal_ex(ctx, digest, &n) != 1);
	EVP_MD_CTX_free(ctx);
	for (unsigned i = 0; i < n; i++)
		snprintf(hex + 2 * (size_t)i, 3, "%02x", digest[i]);
	return arena_str(&load->temp, str_of(hex));
}

/* Where what is wrong with FILE is to be told. */
struct tls_told {
	struct load *load;
	const struct yaml_node *node; /* (view) of `tls` */
};

static const struct yaml_node *node_of_file(const struct yaml_node *node, struct str file)
{
	static const char *const keys[] = { "client_ca", "client_crl", "ticket_keys" };
	const struct yaml_node *files = value_node(node, "certificates");

	for (size_t i = 0; file.len && i < ARRAY_N(keys); i++) {
		const struct yaml_node *value = yaml_get(node, str_of(keys[i]));

		if (value && str_eq(value->text, file))
			return value;
	}
	for (size_t i = 0; file.len && i < load_items(files); i++)
		if (str_starts(file, load_item(files, i)->text))
			return load_item(files, i);
	return node;
}

static void on_tls_mistake(void *arg, bool is_error, struct str file, const char *text)
{
	const struct tls_told *told = arg;
	const struct yaml_node *node = node_of_file(told->node, file);
	const char *blank = file.len ? ": " : "";
	const struct yaml_node *ca = yaml_get(told->node, STR("client_ca"));

	/* It may lie in the directory of the certificates. */
	if (!is_error && ca && str_eq(ca->text, file))
		return;
	if (is_error)
		load_error(told->load, node, "'tls': %.*s%s%s", STR_ARG(file), blank, text);
	else
		load_warn(told->load, node, "'tls': %.*s%s%s", STR_ARG(file), blank, text);
}

static void tls_server_prepare(struct load *load, const struct frontend *frontend,
			       const struct yaml_node *node, const struct bind_conf *bind)
{
	static const struct str http[] = { STR_INIT("h2"), STR_INIT("http/1.1") };
	struct tls_bind_conf *tls = bind->tls;
	bool is_default = !tls->alpn.n && frontend->mode == TRAFFIC_HTTP;
	struct tls_told told = { load, node };
	const struct tls_server_options options = {
		.certificates = tls->certificates.items,
		.certificates_n = tls->certificates.n,
		.is_min_1_3 = tls->min_version == TLS_V1_3,
		.ciphers = tls->ciphers,
		.ciphersuites = tls->ciphersuites,
		.groups = tls->groups,
		.alpn = is_default ? http : tls->alpn.items,
		.alpn_n = is_default ? ARRAY_N(http) : tls->alpn.n,
		.client_ca = tls->client_ca,
		.client_crl = tls->client_crl,
		.client_verify = tls->client_verify,
		.is_sni_strict = tls->is_sni_strict,
		.has_tickets = tls->has_tickets,
		.ticket_keys = tls->ticket_keys,
		.ticket_secret = ticket_secret(load),
		.session_cache = tls->session_cache,
		.session_ms = tls->session_ms,
		.has_ocsp_refresh = tls->has_ocsp_refresh,
		.label = str_of(arena_printf(load->arena, "%.*s %.*s", STR_ARG(frontend->name),
					     STR_ARG(bind->text))),
	};

	tls->server = load_tls_server(&options, on_tls_mistake, &told);
}

/* Whether MATCH looks at what only the TLS handshake tells. */
static bool match_asks_tls(const struct match *match)
{
	for (size_t i = 0; match && i < match->conditions_n; i++) {
		switch ((int)match->conditions[i].key) {
		case MATCH_SNI:
		case MATCH_ALPN:
		case MATCH_PROTOCOL:
		case MATCH_CLIENT_CN:
		case MATCH_CLIENT_FINGERPRINT:
			return true;
		}
	}
	return false;
}

static void http2_check(struct load *load, const struct yaml_node *node,
			const struct frontend *frontend)
{
	bool has_tls = false, has_clear = false;

	if (!yaml_get(node, STR("http2")))
		return;
	for (size_t i = 0; i < frontend->binds_n; i++) {
		has_tls |= frontend->binds[i].tls != NULL;
		has_clear |= !frontend->binds[i].tls;
	}
	if (frontend->mode == TRAFFIC_TCP)
		load_warn(load, value_node(node, "http2"),
			  "'http2' is of no use in mode tcp, which passes bytes on");
	else if (!has_tls && !frontend->http2.is_cleartext)
		load_warn(load, value_node(node, "http2"),
			  "'http2' is of no use: no bind of this frontend has 'tls', and "
			  "'cleartext' is not set");
	else if (!has_clear && frontend->http2.is_cleartext)
		load_warn(load, value_node(node, "http2"),
			  "'cleartext' is of no use: all binds of this frontend have 'tls'");
}

void frontend_tls_finish(struct load *load, const struct yaml_node *node, struct frontend *frontend)
{
	const struct yaml_node *binds = yaml_get(node, STR("bind"));

	http2_check(load, node, frontend);
	for (size_t i = 0; i < frontend->routes_n; i++)
		frontend->has_tls_routes |= match_asks_tls(frontend->routes[i].match);
	for (size_t i = 0; binds && i < frontend->binds_n; i++) {
		struct tls_bind_conf *tls = frontend->binds[i].tls;
		const struct yaml_node *at = yaml_get(load_item(binds, i), STR("tls"));

		if (!tls || !at)
			continue;
		if (tls->client_verify != TLS_VERIFY_NONE && tls->has_client_headers)
			load->config->has_client_headers = true;
		alpn_check(load, frontend, value_node(at, "alpn"), &tls->alpn);
		if (frontend->mode == TRAFFIC_TCP && tls->hsts_value.len)
			load_error(load, value_node(at, "hsts"),
				   "'hsts' belongs to HTTP; the frontend is of mode tcp");
		if (tls->certificates.n && load_tls_server)
			tls_server_prepare(load, frontend, at, &frontend->binds[i]);
	}
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
	tls->pos = load_pos(load, node);
	bind_tls_check(load, node, tls);
	hsts_prepare(load, node, tls);
	*(struct tls_bind_conf **)schema_field(row, base) = tls;
	return true;
}
