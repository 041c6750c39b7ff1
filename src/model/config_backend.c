/* SPDX-License-Identifier: MIT */
/*
 * config_backend - backends: how to balance, stick and check.  Their hosts: config_hosts.c.
 */
#include "config.h"

#include "model/load.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "model/schema_fns.h"

static const struct schema_name balance_names[] = {
	{ "round_robin", BALANCE_ROUND_ROBIN },
	{ "least_conn", BALANCE_LEAST_CONN },
	{ "least_sessions", BALANCE_LEAST_SESSIONS },
	{ "random", BALANCE_RANDOM },
	{ "first", BALANCE_FIRST },
	{ 0 },
};

static const struct schema_name hash_names[] = { { "ip", HASH_IP }, { "uri", HASH_URI }, { 0 } };

static bool hash_read(struct load *load, const struct yaml_node *node, struct backend *backend)
{
	const struct schema_section_row *section = &schema_sections[S_HASH];
	struct hash_said said = { { { 0 } } };
	unsigned n = 0;
	int source;

	backend->balance = BALANCE_HASH;
	if (node->kind == YAML_SCALAR && !yaml_is_null(node)) {
		source = load_name_value(load, node, hash_names, "hash");
		backend->hash_source = source == INT32_MIN ? HASH_IP : (enum hash_source)source;
		return true;
	}
	if (node->kind != YAML_MAP)
		return false;
	section_read(load, S_HASH, node, &said, NULL);
	for (size_t i = 0; i < section->rows_n; i++) {
		enum hash_source kind = (enum hash_source)section->rows[i].arg;

		if (!said.names[kind].len)
			continue;
		n++;
		backend->hash_source = kind;
		backend->hash_name = said.names[kind];
	}
	if (n != 1)
		load_error(load, node,
			   "'hash' needs exactly one of 'header', 'query' and 'cookie'");
	else if (backend->hash_source != HASH_QUERY && !load_is_token(backend->hash_name))
		load_error(load, node,
			   "'hash': '%.*s' is not the name of a header field or a cookie",
			   STR_ARG(backend->hash_name));
	return true;
}

bool read_balance(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		  void *base)
{
	struct backend *backend = base;
	struct suggest suggest;
	int value;

	if (node->kind == YAML_SCALAR && !yaml_is_null(node)) {
		if (str_eq(node->text, STR("hash")))
			return false;
		value = load_name_value(load, node, balance_names, row->key);
		backend->balance =
			value == INT32_MIN ? BALANCE_ROUND_ROBIN : (enum balance_kind)value;
		return true;
	}
	if (node->kind != YAML_MAP || node->n != 1)
		return false;
	if (str_eq(node->pairs[0].key->text, STR("hash"))) {
		if (!hash_read(load, node->pairs[0].value, backend))
			load_error(load, node->pairs[0].value,
				   "'hash': expected ip, uri or a mapping, got %s",
				   load_describe(load, node->pairs[0].value));
		return true;
	}
	suggest_init(&suggest, node->pairs[0].key->text);
	suggest_try(&suggest, STR("hash"));
	load_error(load, node->pairs[0].key, "unknown key %s in 'balance'%s",
		   load_describe(load, node->pairs[0].key), suggest_text(&suggest, &load->temp));
	return true;
}

/* What a stick rule's word means. */
struct stick_word {
	const char *name;
	enum schema_section section;
	enum stick_kind kind;
};
static const struct stick_word stick_words[] = {
	{ "engineio", S_ENGINEIO, STICK_ENGINEIO },
	{ "cookie", S_COOKIE, STICK_COOKIE_INSERT },
	{ "ip", S_IP, STICK_IP },
};

static const struct stick_word *stick_word_find(struct load *load, const struct yaml_node *node)
{
	struct suggest suggest;

	suggest_init(&suggest, node->text);
	for (size_t i = 0; i < ARRAY_N(stick_words); i++) {
		if (str_eq(node->text, str_of(stick_words[i].name)))
			return &stick_words[i];
		suggest_try(&suggest, str_of(stick_words[i].name));
	}
	load_error(load, node, "'stick': %s is not one of engineio, cookie, ip, none%s",
		   load_describe(load, node), suggest_text(&suggest, &load->temp));
	return NULL;
}

static void cookie_check(struct load *load, const struct yaml_node *node, struct stick_rule *rule)
{
	char *text;
	unsigned char bytes[24];

	if (!load_is_token(rule->cookie_name))
		load_error(load, node, "'%.*s' is not the name of a cookie",
			   STR_ARG(rule->cookie_name));
	if (str_find_char(rule->domain, ';') >= 0 || str_find_char(rule->cookie_path, ';') >= 0 ||
	    str_find_char(rule->domain, ' ') >= 0 || str_find_char(rule->cookie_path, ' ') >= 0)
		load_error(load, node, "'domain' and 'path' of a cookie hold no ';' and no space");
	if (rule->same_site == SAME_SITE_NONE && !rule->is_secure)
		load_error(load, node,
			   "'same_site: none' needs 'secure: true', or browsers refuse the cookie");
	if (rule->kind != STICK_COOKIE_INSERT || rule->secret.len)
		return;
	for (size_t got = 0; got < sizeof(bytes);) {
		ssize_t n = getrandom(bytes + got, sizeof(bytes) - got, 0);

		bug_on(n < 0 && errno != EINTR);
		got += n > 0 ? (size_t)n : 0;
	}
	text = arena_alloc(load->arena, sizeof(bytes) * 2 + 1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(text + i * 2, 3, "%02x", bytes[i]);
	rule->secret = str_of(text);
	rule->is_secret_random = true;
}

/* One element: a word, or a mapping with one word and its options. */
static bool stick_read(struct load *load, const struct yaml_node *node, struct stick_rule *rule)
{
	struct yaml_node nothing = { .kind = YAML_MAP, .line = node->line, .column = node->column };
	const struct yaml_node *key = node, *options = &nothing;
	const struct stick_word *word;

	if (node->kind == YAML_MAP && node->n == 1) {
		key = node->pairs[0].key;
		options = node->pairs[0].value;
	} else if (node->kind != YAML_SCALAR || yaml_is_null(node)) {
		load_error(load, node,
			   "'stick': each rule is a word like engineio, or a mapping with one word "
			   "and its options, as in {ip: {prefix_v6: 56}}");
		return false;
	}
	word = stick_word_find(load, key);
	if (!word)
		return false;
	section_defaults(load, word->section, rule);
	if (word->kind != STICK_COOKIE_INSERT)
		rule->kind = word->kind;
	section_read(load, word->section, options, rule, NULL);
	rule->pos = load_pos(load, key);
	if (word->section == S_COOKIE)
		cookie_check(load, key, rule);
	return true;
}

bool read_sticks(struct load *load, const struct schema_row *row unused_arg,
		 const struct yaml_node *node, void *base)
{
	struct backend *backend = base;
	unsigned seen = 0;

	if (yaml_is_null(node))
		return false;
	backend->sticks_n = 0;
	if (node->kind == YAML_SCALAR && str_eq(node->text, STR("none")))
		return true;
	backend->sticks = arena_calloc(load->arena, load_items(node), sizeof(*backend->sticks));
	for (size_t i = 0; i < load_items(node); i++) {
		struct stick_rule *rule = &backend->sticks[backend->sticks_n];
		struct stick_rule scratch;

		if (backend->sticks_n == STICK_N)
			rule = &scratch;
		if (!stick_read(load, load_item(node, i), rule))
			continue;
		if (seen & (1u << rule->kind))
			load_error(load, load_item(node, i), "'stick' has two rules of one kind");
		else
			backend->sticks_n++;
		seen |= 1u << rule->kind;
	}
	return true;
}

bool read_server_timeouts(struct load *load, const struct schema_row *row,
			  const struct yaml_node *node, void *base)
{
	return read_map(load, row, node, base);
}

static bool sticks_by(const struct backend *backend, enum stick_kind kind)
{
	for (size_t i = 0; i < backend->sticks_n; i++)
		if (backend->sticks[i].kind == kind)
			return true;
	return false;
}

/* What needs a request to look at. */
static void tcp_check(struct load *load, const struct backend *backend)
{
	for (size_t i = 0; i < backend->sticks_n; i++)
		if (backend->sticks[i].kind != STICK_IP)
			pos_error(load, backend->sticks[i].pos,
				  "a backend of mode tcp can stick by 'ip' only");
	if (backend->balance == BALANCE_HASH && backend->hash_source != HASH_IP)
		pos_error(
			load, backend->pos,
			"backend '%.*s' is of mode tcp and can be balanced by a hash of 'ip' only",
			STR_ARG(backend->name));
	if (backend->request_edits.n || backend->response_edits.n)
		pos_error(load, backend->pos,
			  "backend '%.*s' is of mode tcp: there are no header fields to edit",
			  STR_ARG(backend->name));
}

void backend_read(struct load *load, const struct yaml_pair *pair, struct backend *backend)
{
	const char *where = arena_printf(&load->temp, "backend '%.*s'", STR_ARG(pair->key->text));
	struct str name = backend->name;
	uint32_t index = backend->index;

	section_defaults(load, S_BACKEND, backend);
	backend->name = name;
	backend->index = index;
	backend->balance = BALANCE_N;
	backend->timeouts = (struct timeouts){ -1, -1, -1, -1, -1, -1, -1, -1, -1 };
	load_check_name(load, pair->key, "backend", name);
	section_read(load, S_BACKEND, load_with_defaults(load, S_BACKEND, pair->value), backend,
		     where);
	backend->pos = load_pos(load, pair->key);
	if (backend->balance == BALANCE_N)
		backend->balance = sticks_by(backend, STICK_ENGINEIO) ? BALANCE_LEAST_SESSIONS
								      : BALANCE_ROUND_ROBIN;
	header_edits_sort(load, &backend->request_edits);
	header_edits_sort(load, &backend->response_edits);
	if (backend->mode == TRAFFIC_TCP)
		tcp_check(load, backend);
	health_finish(load, backend);
	backend_tls_finish(load, backend);
}
