/* SPDX-License-Identifier: MIT */
/*
 * config_route_mode - what routes may say in the mode of their frontend: in mode tcp there is no
 * request to look at, to answer or to edit.
 */
#include "config.h"

#include "model/load.h"

static bool is_one_of(struct str key, const char *const *words, size_t words_n)
{
	for (size_t i = 0; i < words_n; i++)
		if (str_eq(key, str_of(words[i])))
			return true;
	return false;
}

static bool is_key_of(enum schema_section section, struct str key)
{
	return schema_find(section, key) != NULL;
}

/* Tells each key of NODE that mode tcp has no use for.  One that nobody knows has been told. */
static void refuse_http_keys(struct load *load, enum schema_section section,
			     const struct yaml_node *node, const char *const *words, size_t words_n)
{
	for (size_t i = 0; node && node->kind == YAML_MAP && i < node->n; i++) {
		const struct yaml_node *key = node->pairs[i].key;

		if (is_key_of(section, key->text) && !is_one_of(key->text, words, words_n))
			load_error(load, key, "'%.*s' needs mode http", STR_ARG(key->text));
	}
}

static void check_tcp(struct load *load, const struct yaml_node *route)
{
	static const char *const actions[] = { "name", "match", "backend", "reject" };
	static const char *const facts[] = { "source",   "sni",       "alpn",
					     "protocol", "client_cn", "client_fingerprint" };

	refuse_http_keys(load, S_ROUTE, route, actions, ARRAY_N(actions));
	if (route->kind == YAML_MAP)
		refuse_http_keys(load, S_MATCH, yaml_get(route, STR("match")), facts,
				 ARRAY_N(facts));
}

/* Of a request it is only told whether it came over TLS. */
static void check_http(struct load *load, const struct yaml_node *route)
{
	static const char *const first_bytes[] = { "h2c", "ssh", "other", "none" };
	const struct yaml_node *match =
		route->kind == YAML_MAP ? yaml_get(route, STR("match")) : NULL;
	const struct yaml_node *protocol =
		match && match->kind == YAML_MAP ? yaml_get(match, STR("protocol")) : NULL;

	for (size_t i = 0; protocol && i < load_items(protocol); i++) {
		const struct yaml_node *item = load_item(protocol, i);
		struct str word = item->text;

		if (item->kind != YAML_SCALAR)
			continue;
		if (str_starts(word, STR("!")))
			word = str_sub(word.p + 1, word.p + word.len);
		if (is_one_of(word, first_bytes, ARRAY_N(first_bytes)))
			load_error(load, item,
				   "'protocol': '%.*s' needs mode tcp; in mode http it is tls or "
				   "http",
				   STR_ARG(word));
	}
}

static bool has_tls(const struct frontend *frontend)
{
	for (size_t i = 0; i < frontend->binds_n; i++)
		if (frontend->binds[i].tls)
			return true;
	return false;
}

static bool asks_for_certificates(const struct frontend *frontend)
{
	for (size_t i = 0; i < frontend->binds_n; i++) {
		const struct tls_bind_conf *tls = frontend->binds[i].tls;

		if (tls && tls->client_verify != TLS_VERIFY_NONE)
			return true;
	}
	return false;
}

static void check_certificates(struct load *load, const struct yaml_node *route)
{
	static const char *const keys[] = { "client_cn", "client_fingerprint" };
	const struct yaml_node *match =
		route->kind == YAML_MAP ? yaml_get(route, STR("match")) : NULL;

	for (size_t i = 0; match && match->kind == YAML_MAP && i < ARRAY_N(keys); i++) {
		const struct yaml_node *value = yaml_get(match, str_of(keys[i]));

		if (value)
			load_error(load, value,
				   "'%s' is never known: no bind of this frontend asks for client "
				   "certificates ('tls: {client_verify: ...}')",
				   keys[i]);
	}
}

static void check_handshakes(struct load *load, const struct yaml_node *route)
{
	static const char *const keys[] = { "sni", "alpn" };
	const struct yaml_node *match =
		route->kind == YAML_MAP ? yaml_get(route, STR("match")) : NULL;

	for (size_t i = 0; match && match->kind == YAML_MAP && i < ARRAY_N(keys); i++) {
		const struct yaml_node *value = yaml_get(match, str_of(keys[i]));

		if (value)
			load_warn(load, value,
				  "'%s' is never known: no bind of this frontend has 'tls'",
				  keys[i]);
	}
}

void routes_check_mode(struct load *load, const struct yaml_node *node,
		       const struct frontend *frontend)
{
	const struct yaml_node *routes =
		node->kind == YAML_MAP ? yaml_get(node, STR("routes")) : NULL;

	for (size_t i = 0; routes && routes->kind == YAML_LIST && i < routes->n; i++) {
		if (frontend->mode == TRAFFIC_TCP)
			check_tcp(load, routes->items[i]);
		else
			check_http(load, routes->items[i]);
		if (frontend->mode == TRAFFIC_HTTP && !has_tls(frontend))
			check_handshakes(load, routes->items[i]);
		if (!asks_for_certificates(frontend))
			check_certificates(load, routes->items[i]);
	}
}
