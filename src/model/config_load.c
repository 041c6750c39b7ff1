/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/regex.h"
#include "net/tls_client.h"
#include "model/load.h"
#include "model/said.h"
#include "model/schema_fns.h"

config_gone_fn *config_gone_hook;

#define ARENA_BLOCK  (64 * 1024)
#define ARENA_MAPPED (256 * 1024) /* the rest of the last one is never used */
#define TEMP_MAPPED  (512 * 1024)

static uint32_t cpus_allowed(void)
{
	cpu_set_t set;
	int n;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > 64 ? 64 : (uint32_t)n;
}

bool read_threads(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		  void *base)
{
	if (node->kind == YAML_SCALAR && str_eq(node->text, STR("auto")))
		return true;
	return read_count(load, row, node, base);
}

/* The defaults that depend on the machine. */
static void global_finish(struct load *load, struct global_conf *global)
{
	char name[256];

	if (!global->threads)
		global->threads = cpus_allowed();
	if (!global->node.len) {
		if (gethostname(name, sizeof(name)) != 0)
			name[0] = '\0';
		name[sizeof(name) - 1] = '\0';
		global->node = load_keep(load, name[0] ? str_of(name) : STR("limpet"));
	}
}

/* The mapping under KEY, or NULL; what is not one was told by the section's reader. */
static const struct yaml_node *top_map(const struct yaml_node *root, struct str key)
{
	const struct yaml_node *map = yaml_get(root, key);

	return map && map->kind == YAML_MAP ? map : NULL;
}

/*
 * Reads `defaults` against the rows of both kinds, so that a mistake is told even when nobody
 * takes the key, and one that is in neither.
 */
static void defaults_check(struct load *load)
{
	const struct yaml_node *defaults = load->defaults;
	struct suggest suggest;

	for (size_t i = 0; defaults && i < defaults->n; i++) {
		const struct yaml_node *key = defaults->pairs[i].key;
		const enum schema_section sections[] = { S_FRONTEND, S_BACKEND };

		if (schema_find(S_FRONTEND, key->text) || schema_find(S_BACKEND, key->text))
			continue;
		suggest_init(&suggest, key->text);
		for (size_t k = 0; k < ARRAY_N(sections); k++)
			for (size_t r = 0; r < schema_sections[sections[k]].rows_n; r++)
				suggest_try(&suggest,
					    str_of(schema_sections[sections[k]].rows[r].key));
		load_error(load, key, "unknown key %s in 'defaults'%s", load_describe(load, key),
			   suggest_text(&suggest, &load->temp));
	}
}

static void backends_read(struct load *load, const struct yaml_node *map)
{
	struct config *config = load->config;
	size_t n = map && map->kind == YAML_MAP ? map->n : 0;

	if (n > BACKENDS_MAX) {
		load_error(load, map, "more than %d backends", BACKENDS_MAX);
		return;
	}
	config->backends = arena_calloc(load->arena, n, sizeof(*config->backends));
	config->backends_n = n;
	config->backend_names = arena_alloc(load->arena, sizeof(*config->backend_names));
	names_init(config->backend_names, load->arena, n);
	for (size_t i = 0; i < n; i++) {
		struct backend *backend = &config->backends[i];

		backend->name = load_keep(load, map->pairs[i].key->text);
		backend->index = (uint32_t)i;
		names_add(config->backend_names, backend->name, (uint32_t)i);
	}
	for (size_t i = 0; i < n; i++)
		backend_read(load, &map->pairs[i], &config->backends[i]);
}

static void frontends_read(struct load *load, const struct yaml_node *map)
{
	struct config *config = load->config;
	size_t n = map && map->kind == YAML_MAP ? map->n : 0;

	if (map && n == 0)
		load_error(load, map, "no frontend: nothing to listen on");
	if (n > FRONTENDS_MAX) {
		load_error(load, map, "more than %d frontends", FRONTENDS_MAX);
		return;
	}
	config->frontends = arena_calloc(load->arena, n, sizeof(*config->frontends));
	config->frontends_n = n;
	for (size_t i = 0; i < n; i++) {
		frontend_read(load, &map->pairs[i], &config->frontends[i]);
		config->frontends[i].config = config;
	}
}

static void root_read(struct load *load, const struct yaml_node *root)
{
	struct config *config = load->config;

	if (root->kind != YAML_MAP) {
		load_error(load, root,
			   "the file must be a mapping with 'frontends' and 'backends', not %s",
			   load_describe(load, root));
		return;
	}
	section_defaults(load, S_GLOBAL, &config->global);
	section_read(load, S_TOP, root, config, "the file");
	global_finish(load, &config->global);
	load->defaults = top_map(root, STR("defaults"));
	defaults_check(load);
	backends_read(load, top_map(root, STR("backends")));
	frontends_read(load, top_map(root, STR("frontends")));
	if (load->diag.errors_n == 0)
		lint(load);
}

const struct yaml_node *load_with_defaults(struct load *load, enum schema_section section,
					   const struct yaml_node *node)
{
	const struct yaml_node *defaults = load->defaults;
	struct yaml_node *both;

	if (!defaults || (node->kind != YAML_MAP && !yaml_is_null(node)))
		return node;
	both = arena_alloc(&load->temp, sizeof(*both));
	*both = *node;
	both->kind = YAML_MAP;
	both->n = node->kind == YAML_MAP ? node->n : 0;
	both->pairs = arena_alloc(&load->temp, (both->n + defaults->n) * sizeof(*both->pairs));
	if (both->n)
		memcpy(both->pairs, node->pairs, both->n * sizeof(*both->pairs));
	for (size_t i = 0; i < defaults->n; i++) {
		const struct yaml_pair *pair = &defaults->pairs[i];
		const struct schema_row *row = schema_find(section, pair->key->text);
		struct yaml_pair *own = NULL;

		/* A backend's timeouts fall back to its frontend's, which have the defaults. */
		if (!row || row->type == T_SERVER_TIMEOUTS)
			continue;
		for (size_t k = 0; !own && k < both->n; k++)
			if (str_eq(both->pairs[k].key->text, pair->key->text))
				own = &both->pairs[k];
		if (!own)
			both->pairs[both->n++] = *pair;
		else if (own->value->kind == YAML_MAP && pair->value->kind == YAML_MAP)
			own->value = yaml_merged(own->value, pair->value, &load->temp);
	}
	return both;
}

void load_keep_regex(struct load *load, struct regex *regex)
{
	struct config *config = load->config;

	if (config->regexes_n == load->regexes_size) {
		size_t size = load->regexes_size ? load->regexes_size * 2 : 16;
		struct regex **regexes = arena_alloc(load->arena, size * sizeof(*regexes));

		if (config->regexes_n)
			memcpy(regexes, config->regexes, config->regexes_n * sizeof(*regexes));
		config->regexes = regexes;
		load->regexes_size = size;
	}
	config->regexes[config->regexes_n++] = regex;
}

static struct config *config_new(const char *name)
{
	struct config *config = xcalloc(1, sizeof(*config));

	arena_init_mapped(&config->arena, ARENA_BLOCK, ARENA_MAPPED, true);
	atomic_init(&config->refs, 1);
	config->file = arena_str(&config->arena, str_of(name)).p;
	return config;
}

/* Loads TEXT, or tells WHY there is none. */
static struct config *load_run(const char *name, struct str text, const char *why,
			       struct config_messages *messages)
{
	struct config *config = config_new(name);
	struct load load = { .config = config, .arena = &config->arena };
	const struct yaml_node *root = NULL;

	arena_init_mapped(&load.temp, ARENA_BLOCK, TEMP_MAPPED, true);
	diag_init(&load.diag, config->file, &load.temp);
	names_init(&load.binds, &load.temp, 64);
	names_init(&load.resolved, &load.temp, 64);
	if (!why && text.len > YAML_FILE_MAX)
		why = "larger than 16 MiB";
	if (why)
		diag_error(&load.diag, 0, 0, "%s", why);
	else
		root = yaml_read(text, &load.temp, &load.diag);
	if (root)
		root_read(&load, root);
	said_finish(&load);
	diag_finish(&load.diag, messages);
	diag_fini(&load.diag);
	free(load.resolved_ips);
	free(load.workers);
	arena_fini(&load.temp);
	if (messages->errors_n) {
		config_unref(config);
		return NULL;
	}
	return config;
}

struct config *config_load_text(const char *name, struct str text, struct config_messages *messages)
{
	return load_run(name, text, NULL, messages);
}

/* The whole of FD in *TEXT (own).  0, or a negative errno; -EFBIG when it is too large. */
static int read_all(int fd, char **text, size_t *text_len)
{
	size_t size = 64 * 1024, len = 0;
	char *p = xmalloc(size);
	ssize_t n;

	while ((n = read(fd, p + len, size - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || len + (size_t)n > YAML_FILE_MAX) {
			int rc = n < 0 ? -errno : -EFBIG;

			free(p);
			return rc;
		}
		len += (size_t)n;
		if (len == size)
			p = xrealloc(p, size *= 2);
	}
	*text = p;
	*text_len = len;
	return 0;
}

struct config *config_load(const char *file, struct config_messages *messages)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = NULL, *why = NULL;
	size_t text_len = 0;
	int rc = fd < 0 ? -errno : read_all(fd, &text, &text_len);
	struct config *config;

	if (fd >= 0)
		close(fd);
	if (rc == -EFBIG)
		why = xstrdup("larger than 16 MiB");
	else if (rc != 0)
		why = xasprintf("cannot be read: %s", strerror(-rc));
	config = load_run(file, (struct str){ text, text_len }, why, messages);
	free(why);
	free(text);
	return config;
}

struct config *config_ref(struct config *config)
{
	atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
	return config;
}

static void frontend_unref_tls(const struct frontend *frontend)
{
	for (size_t i = 0; i < frontend->binds_n; i++)
		if (frontend->binds[i].tls)
			tls_server_unref(frontend->binds[i].tls->server);
}

void config_unref(struct config *config)
{
	if (!config || atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (!config_gone_hook || !config_gone_hook(config))
		config_free(config);
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->regexes_n; i++)
		regex_free(config->regexes[i]);
	for (size_t i = 0; i < config->frontends_n; i++)
		frontend_unref_tls(&config->frontends[i]);
	for (size_t i = 0; i < config->backends_n; i++) {
		tls_client_ctx_unref(config->backends[i].tls_ctx);
		tls_client_ctx_unref(config->backends[i].health.tls_ctx);
	}
	arena_fini(&config->arena);
	free(config);
}

struct backend *config_backend(const struct config *config, struct str name)
{
	uint32_t number =
		config->backend_names ? names_find(config->backend_names, name) : NAME_NONE;

	return number == NAME_NONE ? NULL : &config->backends[number];
}

struct frontend *config_frontend(const struct config *config, struct str name)
{
	for (size_t i = 0; i < config->frontends_n; i++)
		if (str_eq(config->frontends[i].name, name))
			return &config->frontends[i];
	return NULL;
}
