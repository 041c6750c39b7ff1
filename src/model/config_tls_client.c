/* SPDX-License-Identifier: MIT */
/*
 * config_tls_client - TLS to servers: of a backend's traffic and of its checks.
 *
 * What files hold (authorities, our certificate) is read once for a backend, with the
 * configuration; the names that servers are asked for and must have are each server's own.
 */
#include "config.h"

#include "model/server_tls.h"

#include <stdio.h>

#include "model/load.h"
#include "model/schema_fns.h"
#include "net/tls_client.h"

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
	if (tls->ciphers.len && tls->min_version == TLS_V1_3)
		load_error(load, node, "'ciphers' are of TLS 1.2, which 'min_version' excludes");
	if (!tls->is_verified && (tls->ca.len || tls->verify_name.len))
		load_warn(load, node, "'tls': '%s' is of no use with 'verify: false'",
			  tls->ca.len ? "ca" : "verify_name");
	*(struct tls_client_conf **)schema_field(row, base) = tls;
	return true;
}

/* Without names; NULL: it was told.  OF is "'tls' of ..." for messages. */
static struct tls_client_ctx *read_files(struct load *load, const struct tls_client_conf *tls,
					 struct config_pos pos, const char *of)
{
	struct tls_client_options options = { .is_verified = true };
	struct tls_client_ctx *ctx;
	char why[TLS_WHY_SIZE];

	if (tls)
		options = (struct tls_client_options){
			.is_verified = tls->is_verified,
			.is_min_1_3 = tls->min_version == TLS_V1_3,
			.ca = tls->ca,
			.certificate = tls->certificate,
			.key = tls->key,
			.ciphers = tls->ciphers,
			.ciphersuites = tls->ciphersuites,
			.alpn = tls->alpn.items,
			.alpn_n = tls->alpn.n,
		};
	ctx = tls_client_ctx_new(&options, why);
	if (!ctx)
		pos_error(load, tls ? tls->pos : pos, "%s: %s", of, why);
	return ctx;
}

/* A Unix socket has no name that a certificate could be compared with. */
static void check_names(struct load *load, const struct backend *backend,
			const struct tls_client_conf *tls, const char *of)
{
	if (tls && (!tls->is_verified || tls->verify_name.len || tls->sni.len))
		return;
	for (size_t i = 0; i < backend->hosts_n; i++) {
		const struct host_conf *host = &backend->hosts[i];
		bool is_unix = host->glob.p != NULL;

		for (size_t k = 0; k < host->workers_n; k++)
			is_unix |= sock_addr_is_unix(&host->workers[k].addr);
		if (!is_unix)
			continue;
		pos_error(load, host->pos,
			  "host '%.*s' is a Unix socket, which has no name that its certificate "
			  "could be compared with: give %s a 'verify_name' or an 'sni', or "
			  "'verify: false'",
			  STR_ARG(host->name), of);
		return;
	}
}

/* A server that is offered another protocol may take it, and we speak HTTP/1.1. */
static void check_alpn(struct load *load, const struct tls_client_conf *tls)
{
	for (size_t i = 0; tls && i < tls->alpn.n; i++)
		if (!str_eq(tls->alpn.items[i], STR("http/1.1")))
			pos_error(load, tls->pos,
				  "'alpn': '%.*s' cannot be offered to servers in mode http, which "
				  "speaks http/1.1 with them",
				  STR_ARG(tls->alpn.items[i]));
}

/* What an HTTP check asks for is what it wants to be answered by. */
static struct str check_host(const struct health_conf *health)
{
	return str_find_char(health->host, ':') < 0 ? health->host : STR("");
}

void backend_tls_finish(struct load *load, struct backend *backend)
{
	static const char of_backend[] = "'tls' of the backend";
	static const char of_checks[] = "'tls' of 'health_check'";
	struct health_conf *health = &backend->health;

	if (backend->tls) {
		backend->tls_ctx = read_files(load, backend->tls, backend->pos, of_backend);
		check_names(load, backend, backend->tls, of_backend);
		if (backend->mode == TRAFFIC_HTTP)
			check_alpn(load, backend->tls);
	}
	if (health->kind == CHECK_NONE || health->tls_mode != CHECK_TLS_ON)
		return;
	health->tls_ctx = read_files(load, health->tls, backend->pos, of_checks);
	if (!check_host(health).len && health->ip.family == AF_UNSPEC)
		check_names(load, backend, health->tls, of_checks);
}

/* The names of one purpose. */
struct tls_names {
	struct str sni, name;
};

/* CONF may be NULL; HOST is the server's own name or "", ADDR where it is. */
static struct tls_names names_of(const struct tls_client_conf *conf, struct str host,
				 const struct sock_addr *addr, char ip_text[ADDR_TEXT_SIZE])
{
	struct tls_names names = { host, STR("") };

	if (conf && conf->sni.len)
		names.sni = conf->sni;
	if (conf && !conf->is_verified)
		return names;
	if (conf && conf->verify_name.len) {
		names.name = conf->verify_name;
	} else if (names.sni.len) {
		names.name = names.sni;
	} else if (!sock_addr_is_unix(addr)) {
		struct ip_addr ip = sock_addr_ip(addr);

		names.name = ip_addr_ip_text(&ip, ip_text);
	}
	return names;
}

/* The one of BEFORE if it is that (sessions of it may be resumed), or a new one. */
static struct tls_client_ctx *named(const struct tls_client_ctx *base,
				    const struct tls_names *names, struct tls_client_ctx *before)
{
	if (before && tls_client_ctx_is_named(before, base, names->sni, names->name))
		return tls_client_ctx_ref(before);
	return tls_client_ctx_named(base, names->sni, names->name);
}

void spec_take_tls(const struct backend *backend, struct srvset *old, struct srvset_spec *spec)
{
	const struct health_conf *health = &backend->health;
	struct server *server = server_get(backend->state, spec->host, spec->worker);
	const struct srvset_member *before = old && server ? srvset_find(old, server) : NULL;
	struct str own = spec->dns_name;
	char ip_text[ADDR_TEXT_SIZE];
	struct tls_names names;

	/* Somebody added a Unix socket at run time; the file's ones have been looked at. */
	if (!own.len && sock_addr_is_unix(&spec->addr))
		own = spec->host;
	if (backend->tls_ctx) {
		names = names_of(backend->tls, own, &spec->addr, ip_text);
		spec->tls = named(backend->tls_ctx, &names, before ? before->tls : NULL);
	}
	if (health->tls_ctx) {
		struct sock_addr at = spec->addr;
		struct str host = check_host(health);

		if (health->ip.family != AF_UNSPEC)
			sock_addr_from_ip(&at, &health->ip);
		names = names_of(health->tls, host.len ? host : own, &at, ip_text);
		spec->check_tls = named(health->tls_ctx, &names, before ? before->check_tls : NULL);
	} else if (spec->tls && health->kind != CHECK_NONE && health->tls_mode == CHECK_TLS_AUTO) {
		spec->check_tls = tls_client_ctx_ref(spec->tls);
	}
}

void spec_drop_tls(struct srvset_spec *spec)
{
	tls_client_ctx_unref(spec->tls);
	tls_client_ctx_unref(spec->check_tls);
	spec->tls = spec->check_tls = NULL;
}
