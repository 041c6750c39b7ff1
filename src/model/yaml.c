/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/yaml.h"

#include <stdlib.h>
#include <yaml.h>

#include "model/names.h"

#define ANCHORS_MAX    10000u
#define PAIRS_UNHASHED 8 /* mappings up to this size look for double keys one by one */

/* Lists that grow while their node is open; copied to the arena when it closes. */
struct level {
	struct yaml_node *node;
	struct str anchor;        /* p == NULL: none */
	struct yaml_node **nodes; /* (own) items, or keys and values in turn */
	size_t n, size;
};

struct reader {
	yaml_parser_t parser;
	struct arena *arena; /* (view) */
	struct diag *diag;   /* (view) */
	struct level levels[YAML_DEPTH_MAX];
	size_t levels_n;
	struct names anchor_names;
	struct yaml_node **anchors; /* (own) by number in anchor_names */
	size_t anchors_n, anchors_size;
	size_t nodes_n;
	size_t expanded_size;
	struct yaml_node *root;
	bool is_done;
};

static bool read_fail(struct reader *reader, yaml_mark_t mark, const char *what)
{
	diag_error(reader->diag, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1, "%s", what);
	return false;
}

static struct yaml_node *node_new(struct reader *reader, enum yaml_kind kind, yaml_mark_t mark)
{
	struct yaml_node *node = arena_calloc(reader->arena, 1, sizeof(*node));

	node->kind = kind;
	node->line = (uint32_t)mark.line + 1;
	node->column = (uint32_t)mark.column + 1;
	node->depth = node->weight = 1;
	return node;
}

/* From here on *ANCHOR, when there is one, means NODE. */
static bool anchor_set(struct reader *reader, struct str anchor, struct yaml_node *node)
{
	uint32_t number;

	if (!anchor.p)
		return true;
	if (reader->anchors_n >= ANCHORS_MAX)
		return false;
	number = names_add(&reader->anchor_names, anchor, (uint32_t)reader->anchors_n);
	if (number != NAME_NONE) {
		reader->anchors[number] = node;
		return true;
	}
	if (reader->anchors_n == reader->anchors_size) {
		reader->anchors_size = reader->anchors_size ? reader->anchors_size * 2 : 16;
		reader->anchors = xrealloc_array(reader->anchors, reader->anchors_size,
						 sizeof(struct yaml_node *));
	}
	reader->anchors[reader->anchors_n++] = node;
	return true;
}

/* Puts a complete NODE where the file has it. */
static bool node_place(struct reader *reader, struct yaml_node *node, yaml_mark_t mark)
{
	struct level *level = reader->levels_n ? &reader->levels[reader->levels_n - 1] : NULL;

	if (!level) {
		reader->root = node;
		return true;
	}
	if (level->node->kind == YAML_MAP && level->n % 2 == 0 && node->kind != YAML_SCALAR)
		return read_fail(reader, mark,
				 "a key must be a plain word, not a list or a mapping");
	level->node->weight += node->weight;
	if (node->depth >= level->node->depth)
		level->node->depth = node->depth + 1;
	/* Each open level counts its own; the outermost ones see it when the inner ones close. */
	reader->nodes_n += node->weight;
	if (reader->nodes_n > YAML_NODES_MAX)
		return read_fail(reader, mark,
				 "the file is too large once its aliases are written out");
	if (reader->levels_n + node->depth > YAML_DEPTH_MAX)
		return read_fail(reader, mark, "nested too deeply");
	if (level->n == level->size) {
		level->size = level->size ? level->size * 2 : 8;
		level->nodes = xrealloc_array(level->nodes, level->size, sizeof(*level->nodes));
	}
	level->nodes[level->n++] = node;
	return true;
}

static struct str anchor_of(struct reader *reader, const yaml_char_t *anchor)
{
	return anchor ? arena_str(reader->arena, str_of((const char *)anchor)) : STR_NONE;
}

static bool on_scalar(struct reader *reader, const yaml_event_t *event)
{
	struct yaml_node *node = node_new(reader, YAML_SCALAR, event->start_mark);
	struct str raw = { (const char *)event->data.scalar.value, event->data.scalar.length };
	struct str text;
	const char *why = NULL;

	if (raw.len >= YAML_SCALAR_MAX)
		return read_fail(reader, event->start_mark, "a text of more than 64 KiB");
	node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	text = yaml_expand(raw, reader->arena, &why);
	if (!text.p) {
		diag_error(reader->diag, node->line, node->column, "%s", why);
		text = raw;
	}
	if (text.p != raw.p)
		reader->expanded_size += text.len;
	if (reader->expanded_size > YAML_EXPAND_MAX)
		return read_fail(reader, event->start_mark, "the variables put in are too long");
	if (text.len && memchr(text.p, '\0', text.len))
		return read_fail(reader, event->start_mark, "a NUL byte in a text");
	node->text = text.p == raw.p ? arena_str(reader->arena, raw) : text;
	if (!anchor_set(reader, anchor_of(reader, event->data.scalar.anchor), node))
		return read_fail(reader, event->start_mark, "too many anchors");
	return node_place(reader, node, event->start_mark);
}

static bool on_alias(struct reader *reader, const yaml_event_t *event)
{
	struct str name = str_of((const char *)event->data.alias.anchor);
	uint32_t number = names_find(&reader->anchor_names, name);

	if (number == NAME_NONE) {
		diag_error(reader->diag, (uint32_t)event->start_mark.line + 1,
			   (uint32_t)event->start_mark.column + 1,
			   "alias '*%.*s' has no anchor before it", STR_ARG(name));
		return false;
	}
	if (reader->anchors[number]->is_open)
		return read_fail(reader, event->start_mark, "an alias leads to what it stands in");
	return node_place(reader, reader->anchors[number], event->start_mark);
}

static bool on_open(struct reader *reader, const yaml_event_t *event, enum yaml_kind kind)
{
	const yaml_char_t *anchor = kind == YAML_MAP ? event->data.mapping_start.anchor
						     : event->data.sequence_start.anchor;
	struct yaml_node *node;

	if (reader->levels_n == YAML_DEPTH_MAX)
		return read_fail(reader, event->start_mark, "nested too deeply");
	node = node_new(reader, kind, event->start_mark);
	node->is_open = true;
	if (!anchor_set(reader, anchor_of(reader, anchor), node))
		return read_fail(reader, event->start_mark, "too many anchors");
	reader->levels[reader->levels_n++] = (struct level){ .node = node };
	return true;
}

static bool is_merge_key(const struct yaml_node *key)
{
	return key->is_plain && str_eq(key->text, STR("<<"));
}

/* A mapping under construction: the pairs it has, and the index of its keys. */
struct map_build {
	struct reader *reader;
	struct yaml_pair *pairs; /* (own) */
	size_t n, size;
	struct names index; /* used above PAIRS_UNHASHED */
};

static const struct yaml_node *map_find(struct map_build *map, struct str key)
{
	if (map->index.slots_n) {
		uint32_t number = names_find(&map->index, key);

		return number == NAME_NONE ? NULL : map->pairs[number].key;
	}
	for (size_t i = 0; i < map->n; i++)
		if (str_eq(map->pairs[i].key->text, key))
			return map->pairs[i].key;
	return NULL;
}

static void map_add(struct map_build *map, struct yaml_pair pair)
{
	if (map->n == map->size) {
		map->size = map->size ? map->size * 2 : 8;
		map->pairs = xrealloc_array(map->pairs, map->size, sizeof(*map->pairs));
	}
	map->pairs[map->n++] = pair;
	if (map->index.slots_n) {
		names_add(&map->index, pair.key->text, (uint32_t)map->n - 1);
	} else if (map->n > PAIRS_UNHASHED) {
		names_init(&map->index, map->reader->arena, map->n * 2);
		for (size_t i = 0; i < map->n; i++)
			names_add(&map->index, map->pairs[i].key->text, (uint32_t)i);
	}
}

static void map_merge(struct map_build *map, const struct yaml_node *from,
		      const struct yaml_node *key)
{
	if (from->kind == YAML_LIST) {
		for (size_t i = 0; i < from->n; i++) {
			if (from->items[i]->kind == YAML_MAP)
				map_merge(map, from->items[i], key);
			else
				diag_error(map->reader->diag, from->items[i]->line,
					   from->items[i]->column, "'<<' merges mappings only");
		}
		return;
	}
	if (from->kind != YAML_MAP) {
		diag_error(map->reader->diag, key->line, key->column,
			   "'<<' merges a mapping or a list of mappings");
		return;
	}
	for (size_t i = 0; i < from->n; i++) {
		struct yaml_pair pair = from->pairs[i];

		pair.is_merged = true;
		if (!map_find(map, pair.key->text))
			map_add(map, pair);
	}
}

static void close_map(struct reader *reader, struct level *level)
{
	struct map_build map = { .reader = reader };
	struct yaml_node *node = level->node;

	for (size_t i = 0; i + 1 < level->n; i += 2) {
		struct yaml_node *key = level->nodes[i];
		const struct yaml_node *twin;

		if (is_merge_key(key))
			continue;
		twin = map_find(&map, key->text);
		if (twin)
			diag_error(reader->diag, key->line, key->column,
				   "key '%.*s' is given twice; it is on line %u already",
				   STR_ARG(key->text), twin->line);
		else
			map_add(&map, (struct yaml_pair){ key, level->nodes[i + 1], false });
	}
	for (size_t i = 0; i + 1 < level->n; i += 2)
		if (is_merge_key(level->nodes[i]))
			map_merge(&map, level->nodes[i + 1], level->nodes[i]);
	node->n = map.n;
	node->pairs = arena_alloc(reader->arena, map.n * sizeof(*map.pairs));
	if (map.n)
		memcpy(node->pairs, map.pairs, map.n * sizeof(*map.pairs));
	free(map.pairs);
}

static bool on_close(struct reader *reader)
{
	struct level *level = &reader->levels[reader->levels_n - 1];
	struct yaml_node *node = level->node;
	yaml_mark_t start = { .line = node->line - 1, .column = node->column - 1 };

	if (node->kind == YAML_MAP) {
		close_map(reader, level);
	} else {
		node->n = level->n;
		node->items = arena_alloc(reader->arena, level->n * sizeof(*level->nodes));
		if (level->n)
			memcpy(node->items, level->nodes, level->n * sizeof(*level->nodes));
	}
	free(level->nodes);
	node->is_open = false;
	reader->levels_n--;
	/* Its inside was counted as it came; placing it counts it once more, as one node. */
	reader->nodes_n -= node->weight - 1;
	return node_place(reader, node, start);
}

static bool on_event(struct reader *reader, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(reader, event);
	case YAML_ALIAS_EVENT:
		return on_alias(reader, event);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(reader, event, YAML_LIST);
	case YAML_MAPPING_START_EVENT:
		return on_open(reader, event, YAML_MAP);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_close(reader);
	case YAML_DOCUMENT_START_EVENT:
		if (reader->root)
			return read_fail(reader, event->start_mark,
					 "a second document; a configuration is one document");
		return true;
	case YAML_STREAM_END_EVENT:
		reader->is_done = true;
		return true;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return true;
	}
	return true;
}

static bool on_syntax_error(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *problem = parser->problem ? parser->problem : "cannot be read";

	if (parser->error == YAML_READER_ERROR) {
		diag_error(reader->diag, 0, 0, "not text in UTF-8: %s at byte %zu", problem,
			   parser->problem_offset);
		return false;
	}
	diag_error(reader->diag, (uint32_t)parser->problem_mark.line + 1,
		   (uint32_t)parser->problem_mark.column + 1, "not YAML: %s%s%s", problem,
		   parser->context ? " " : "", parser->context ? parser->context : "");
	return false;
}

struct yaml_node *yaml_read(struct str text, struct arena *arena, struct diag *diag)
{
	struct reader *reader = xcalloc(1, sizeof(*reader));
	struct yaml_node *root;
	bool ok = true;

	reader->arena = arena;
	reader->diag = diag;
	names_init(&reader->anchor_names, arena, 16);
	bug_on(!yaml_parser_initialize(&reader->parser));
	yaml_parser_set_input_string(&reader->parser, (const unsigned char *)(text.p ? text.p : ""),
				     text.len);
	while (ok && !reader->is_done) {
		yaml_event_t event;

		if (!yaml_parser_parse(&reader->parser, &event)) {
			ok = on_syntax_error(reader);
			break;
		}
		ok = on_event(reader, &event);
		yaml_event_delete(&event);
	}
	while (reader->levels_n)
		free(reader->levels[--reader->levels_n].nodes);
	root = reader->root;
	if (ok && !root)
		diag_error(diag, 0, 0, "the file is empty");
	yaml_parser_delete(&reader->parser);
	free(reader->anchors);
	free(reader);
	return ok ? root : NULL;
}

struct yaml_node *yaml_get(const struct yaml_node *map, struct str key)
{
	if (map->kind != YAML_MAP)
		return NULL;
	for (size_t i = 0; i < map->n; i++)
		if (str_eq(map->pairs[i].key->text, key))
			return map->pairs[i].value;
	return NULL;
}

struct yaml_node *yaml_merged(const struct yaml_node *own, const struct yaml_node *below,
			      struct arena *arena)
{
	struct yaml_node *both = arena_alloc(arena, sizeof(*both));

	*both = *own;
	both->pairs = arena_alloc(arena, (own->n + below->n) * sizeof(*both->pairs));
	if (own->n)
		memcpy(both->pairs, own->pairs, own->n * sizeof(*both->pairs));
	for (size_t i = 0; i < below->n; i++)
		if (!yaml_get(own, below->pairs[i].key->text))
			both->pairs[both->n++] = below->pairs[i];
	return both;
}

bool yaml_is_null(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR && node->is_plain &&
	       (node->text.len == 0 || str_eq(node->text, STR("~")) ||
		str_ieq(node->text, STR("null")));
}
