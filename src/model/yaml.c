/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/yaml.h"

#include <stdlib.h>
#include <yaml.h>

#include "base/siphash.h"
#include "base/thread.h"
#include "model/names.h"

#define ANCHORS_MAX    10000u
#define PAIRS_UNHASHED 16 /* mappings up to this size look for double keys one by one */

/* A list or mapping that is read. */
struct level {
	struct yaml_node *node;
	size_t first; /* its items, or keys and values in turn, stand in stack[] from there on */
};

/* Of an open-addressed index of a mapping's keys. */
struct key_slot {
	uint32_t hash;   /* a part of it, so that most strangers need no look at the key */
	uint32_t number; /* of the pair, and 1; 0 = free */
};

struct reader {
	yaml_parser_t parser;
	struct arena *arena; /* (view) */
	struct diag *diag;   /* (view) */
	struct level levels[YAML_DEPTH_MAX];
	size_t levels_n;
	/* What has been read of all open levels, the innermost one's last. */
	struct yaml_node **stack; /* (own) */
	size_t stack_n, stack_size;
	struct key_slot *key_slots; /* (own) scratch of the mapping that closes */
	size_t key_slots_size;
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
	if (level->node->kind == YAML_MAP && (reader->stack_n - level->first) % 2 == 0 &&
	    node->kind != YAML_SCALAR)
		return read_fail(reader, mark,
				 "a key must be a plain word, not a list or a mapping");
	level->node->weight += node->weight;
	if (node->depth >= level->node->depth)
		level->node->depth = (uint8_t)(node->depth + 1);
	/* Each open level counts its own; the outermost ones see it when the inner ones close. */
	reader->nodes_n += node->weight;
	if (reader->nodes_n > YAML_NODES_MAX)
		return read_fail(reader, mark,
				 "the file is too large once its aliases are written out");
	if (reader->levels_n + node->depth > YAML_DEPTH_MAX)
		return read_fail(reader, mark, "nested too deeply");
	if (reader->stack_n == reader->stack_size) {
		reader->stack_size *= 2;
		reader->stack = xrealloc_array(reader->stack, reader->stack_size,
					       sizeof(struct yaml_node *));
	}
	reader->stack[reader->stack_n++] = node;
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
	reader->levels[reader->levels_n++] = (struct level){ node, reader->stack_n };
	return true;
}

static bool is_merge_key(const struct yaml_node *key)
{
	return key->is_plain && str_eq(key->text, STR("<<"));
}

/* A mapping under construction: the pairs it has, and the index of its keys. */
struct map_build {
	struct reader *reader;
	struct yaml_pair *pairs; /* in the arena */
	size_t n, size;
	size_t slots_n; /* of reader->key_slots, a power of two; 0 = not indexed */
};

static uint64_t key_hash(struct str key)
{
	return siphash13(siphash_process_key(), key.p, key.len);
}

/* The slot that holds KEY, or the free one where it belongs. */
static struct key_slot *key_slot_of(const struct map_build *map, struct str key, uint64_t hash)
{
	size_t at = (size_t)(hash >> 32) & (map->slots_n - 1);

	for (;; at = (at + 1) & (map->slots_n - 1)) {
		struct key_slot *slot = &map->reader->key_slots[at];

		if (!slot->number || (slot->hash == (uint32_t)hash &&
				      str_eq(map->pairs[slot->number - 1].key->text, key)))
			return slot;
	}
}

static void map_index_pair(struct map_build *map, size_t i)
{
	uint64_t hash = key_hash(map->pairs[i].key->text);

	*key_slot_of(map, map->pairs[i].key->text, hash) =
		(struct key_slot){ (uint32_t)hash, (uint32_t)i + 1 };
}

/* An index with room for twice the pairs that the mapping has room for. */
static void map_index(struct map_build *map)
{
	struct reader *reader = map->reader;

	map->slots_n = 64;
	while (map->slots_n < map->size * 2)
		map->slots_n *= 2;
	if (map->slots_n > reader->key_slots_size) {
		free(reader->key_slots);
		reader->key_slots = xmalloc(map->slots_n * sizeof(*reader->key_slots));
		reader->key_slots_size = map->slots_n;
	}
	memset(reader->key_slots, 0, map->slots_n * sizeof(*reader->key_slots));
	for (size_t i = 0; i < map->n; i++)
		map_index_pair(map, i);
}

static const struct yaml_node *map_find(const struct map_build *map, struct str key)
{
	if (map->slots_n) {
		uint32_t number = key_slot_of(map, key, key_hash(key))->number;

		return number ? map->pairs[number - 1].key : NULL;
	}
	for (size_t i = 0; i < map->n; i++)
		if (str_eq(map->pairs[i].key->text, key))
			return map->pairs[i].key;
	return NULL;
}

static void map_add(struct map_build *map, struct yaml_pair pair)
{
	if (map->n == map->size) {
		size_t size = map->size ? map->size * 2 : 8;
		struct yaml_pair *pairs =
			arena_alloc(map->reader->arena, size * sizeof(*map->pairs));

		if (map->n)
			memcpy(pairs, map->pairs, map->n * sizeof(*map->pairs));
		map->pairs = pairs;
		map->size = size;
		if (map->slots_n)
			map_index(map);
	}
	map->pairs[map->n++] = pair;
	if (map->slots_n)
		map_index_pair(map, map->n - 1);
	else if (map->n > PAIRS_UNHASHED)
		map_index(map);
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

static void close_map(struct reader *reader, struct yaml_node *node, struct yaml_node **nodes,
		      size_t nodes_n)
{
	struct map_build map = { .reader = reader, .size = nodes_n / 2 };

	map.pairs = arena_alloc(reader->arena, map.size * sizeof(*map.pairs));
	for (size_t i = 0; i + 1 < nodes_n; i += 2) {
		struct yaml_node *key = nodes[i];
		const struct yaml_node *twin;

		if (is_merge_key(key))
			continue;
		twin = map_find(&map, key->text);
		if (twin)
			diag_error(reader->diag, key->line, key->column,
				   "key '%.*s' is given twice; it is on line %u already",
				   STR_ARG(key->text), twin->line);
		else
			map_add(&map, (struct yaml_pair){ key, nodes[i + 1], false });
	}
	for (size_t i = 0; i + 1 < nodes_n; i += 2)
		if (is_merge_key(nodes[i]))
			map_merge(&map, nodes[i + 1], nodes[i]);
	node->n = (uint32_t)map.n;
	node->pairs = map.pairs;
}

static bool on_close(struct reader *reader)
{
	struct level *level = &reader->levels[reader->levels_n - 1];
	struct yaml_node *node = level->node;
	struct yaml_node **nodes = reader->stack + level->first;
	size_t nodes_n = reader->stack_n - level->first;
	yaml_mark_t start = { .line = node->line - 1, .column = node->column - 1 };

	if (node->kind == YAML_MAP) {
		close_map(reader, node, nodes, nodes_n);
	} else {
		node->n = (uint32_t)nodes_n;
		node->items = arena_alloc(reader->arena, nodes_n * sizeof(struct yaml_node *));
		if (nodes_n)
			memcpy(node->items, nodes, nodes_n * sizeof(struct yaml_node *));
	}
	reader->stack_n = level->first;
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
	reader->stack_size = 256;
	reader->stack = xcalloc(reader->stack_size, sizeof(struct yaml_node *));
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
		thread_breathe();
		yaml_event_delete(&event);
	}
	root = reader->root;
	if (ok && !root)
		diag_error(diag, 0, 0, "the file is empty");
	yaml_parser_delete(&reader->parser);
	free(reader->anchors);
	free(reader->stack);
	free(reader->key_slots);
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
