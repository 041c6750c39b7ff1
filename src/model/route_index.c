/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/route_index.h"

#include "base/siphash.h"
#include "model/load.h"
#include "model/match_build.h"

/* Longer patterns are not indexed; of longer hosts the end is looked up. */
#define NAME_MAX_LEN 255
#define LABELS_MAX   8 /* of a pattern "*.b.test"; those with more are not indexed */
#define LISTS_MAX    (2 * (LABELS_MAX + 1) + 2)

enum name_kind { NAME_HOST, NAME_SNI, NAME_PATH, NAME_KIND_N };

/* A name and its routes. */
struct route_name {
	struct str text;
	uint32_t hash;
	uint32_t first; /* link, and 1 */
	uint8_t kind;
};

struct route_link {
	uint32_t route;
	uint32_t next; /* link of the next route with this name, and 1; 0 = none */
};

struct route_index {
	uint32_t *slots; /* open-addressed: name, and 1 */
	uint32_t mask;
	struct route_name *names;
	uint32_t names_n;
	struct route_link *links;
	uint32_t links_n;
	uint32_t others; /* first link of the routes without a name, and 1 */
	bool has_names[NAME_KIND_N];
	unsigned labels[NAME_KIND_N]; /* most labels of a pattern "*.b.test" */
};

static uint32_t hash_of(enum name_kind kind, struct str text)
{
	return (uint32_t)siphash13(siphash_process_key(), text.p ? text.p : "", text.len) +
	       (uint32_t)kind * 0x9e3779b1u;
}

/* The slot of the name, or the free one where it belongs. */
static uint32_t *slot_of(const struct route_index *index, enum name_kind kind, struct str text,
			 uint32_t hash)
{
	uint32_t at = hash & index->mask;

	for (; index->slots[at]; at = (at + 1) & index->mask) {
		const struct route_name *name = &index->names[index->slots[at] - 1];

		if (name->hash == hash && name->kind == kind && str_eq(name->text, text))
			break;
	}
	return &index->slots[at];
}

static uint32_t find(const struct route_index *index, enum name_kind kind, struct str text)
{
	uint32_t number = *slot_of(index, kind, text, hash_of(kind, text));

	return number ? index->names[number - 1].first : 0;
}

static unsigned dots_of(struct str text)
{
	unsigned n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.p[i] == '.';
	return n;
}

static bool is_indexed(const struct pattern *pattern)
{
	if (!pattern->text.len || pattern->text.len > NAME_MAX_LEN)
		return false;
	return pattern->kind == PATTERN_EXACT ||
	       (pattern->kind == PATTERN_SUFFIX && dots_of(pattern->text) <= LABELS_MAX);
}

static enum name_kind kind_of(enum match_key key)
{
	switch ((int)key) {
	case MATCH_HOST:
		return NAME_HOST;
	case MATCH_SNI:
		return NAME_SNI;
	case MATCH_PATH:
		return NAME_PATH;
	default:
		return NAME_KIND_N;
	}
}

/* A condition of MATCH that holds for requests with one of its names alone; NULL: none. */
static const struct condition *naming(const struct match *match)
{
	for (size_t i = 0; match && i < match->conditions_n; i++) {
		const struct condition *condition = &match->conditions[i];
		bool is_good = kind_of(condition->key) != NAME_KIND_N && condition->has_plain;

		for (size_t k = 0; is_good && k < condition->patterns_n; k++)
			is_good = condition->patterns[k].is_negated ||
				  is_indexed(&condition->patterns[k]);
		if (is_good)
			return condition;
	}
	return NULL;
}

static void link_add(struct route_index *index, uint32_t *first, uint32_t route)
{
	if (*first && index->links[*first - 1].route == route)
		return; /* a name given twice */
	index->links[index->links_n] = (struct route_link){ route, *first };
	*first = ++index->links_n;
}

static void name_add(struct route_index *index, enum name_kind kind, const struct pattern *pattern,
		     uint32_t route)
{
	uint32_t hash = hash_of(kind, pattern->text);
	uint32_t *slot = slot_of(index, kind, pattern->text, hash);

	if (!*slot) {
		index->names[index->names_n] =
			(struct route_name){ .text = pattern->text, .hash = hash, .kind = kind };
		*slot = ++index->names_n;
	}
	link_add(index, &index->names[*slot - 1].first, route);
	index->has_names[kind] = true;
	if (pattern->kind == PATTERN_SUFFIX && dots_of(pattern->text) > index->labels[kind])
		index->labels[kind] = dots_of(pattern->text);
}

static void route_add(struct route_index *index, const struct route *route, uint32_t number)
{
	const struct condition *condition = naming(route->match);

	if (!condition) {
		link_add(index, &index->others, number);
		return;
	}
	for (size_t i = 0; i < condition->patterns_n; i++)
		if (!condition->patterns[i].is_negated)
			name_add(index, kind_of(condition->key), &condition->patterns[i], number);
}

void route_index_build(struct load *load, struct frontend *frontend)
{
	struct route_index *index;
	size_t patterns_n = 0, slots_n = 16;

	if (frontend->routes_n < ROUTE_INDEX_MIN)
		return;
	for (size_t i = 0; i < frontend->routes_n; i++) {
		const struct condition *condition = naming(frontend->routes[i].match);

		patterns_n += condition ? condition->patterns_n : 0;
	}
	if (!patterns_n)
		return;
	while (slots_n < patterns_n * 2)
		slots_n *= 2;
	index = arena_calloc(load->arena, 1, sizeof(*index));
	index->mask = (uint32_t)slots_n - 1;
	index->slots = arena_calloc(load->arena, slots_n, sizeof(*index->slots));
	index->names = arena_calloc(load->arena, patterns_n, sizeof(*index->names));
	index->links =
		arena_calloc(load->arena, patterns_n + frontend->routes_n, sizeof(*index->links));
	/* Each goes before those that it comes before in the file. */
	for (size_t i = frontend->routes_n; i-- > 0;)
		route_add(index, &frontend->routes[i], (uint32_t)i);
	frontend->route_index = index;
}

/* The lists that a request's names lead to. */
struct lists {
	uint32_t at[LISTS_MAX]; /* links, and 1 */
	unsigned n;
};

static void lists_add(struct lists *lists, uint32_t first)
{
	if (first)
		lists->at[lists->n++] = first;
}

/* A host's name, and the ends of it that a pattern "*.b.test" may ask for. */
static void add_host(const struct route_index *index, struct lists *lists, enum name_kind kind,
		     struct str host)
{
	char lower[NAME_MAX_LEN + 1];
	struct str name;

	if (!index->has_names[kind] || !host.p)
		return;
	if (host.len > 1 && host.p[host.len - 1] == '.')
		host.len--; /* as match.c has it */
	if (!host.len)
		return;
	if (host.len > sizeof(lower)) { /* its end has all that a pattern may ask for */
		host.p += host.len - sizeof(lower);
		host.len = sizeof(lower);
	}
	name = (struct str){ lower, host.len };
	for (size_t i = 0; i < name.len; i++)
		lower[i] = (char)ascii_lower((unsigned char)host.p[i]);
	lists_add(lists, find(index, kind, name));
	for (size_t i = name.len, labels = 0; labels < index->labels[kind] && --i > 0;) {
		if (lower[i] != '.')
			continue;
		labels++;
		lists_add(lists, find(index, kind, str_sub(lower + i, lower + name.len)));
	}
}

/* Takes the list whose next route comes first in the file; its number, or UINT32_MAX. */
static uint32_t lists_next(const struct route_index *index, struct lists *lists)
{
	uint32_t *first = NULL, route = UINT32_MAX;

	for (unsigned i = 0; i < lists->n; i++) {
		if (!lists->at[i] || index->links[lists->at[i] - 1].route >= route)
			continue;
		first = &lists->at[i];
		route = index->links[*first - 1].route;
	}
	if (first)
		*first = index->links[*first - 1].next;
	return route;
}

static const struct route *find_indexed(const struct frontend *frontend,
					const struct match_facts *facts)
{
	const struct route_index *index = frontend->route_index;
	struct lists lists = { .n = 0 };
	uint32_t number;

	add_host(index, &lists, NAME_HOST, facts->host);
	add_host(index, &lists, NAME_SNI, facts->sni);
	if (index->has_names[NAME_PATH] && facts->path.p && facts->path.len <= NAME_MAX_LEN)
		lists_add(&lists, find(index, NAME_PATH, facts->path));
	lists_add(&lists, index->others);
	while ((number = lists_next(index, &lists)) != UINT32_MAX)
		if (match_holds(frontend->routes[number].match, facts))
			return &frontend->routes[number];
	return NULL;
}

const struct route *route_find(const struct frontend *frontend, const struct match_facts *facts)
{
	if (frontend->route_index)
		return find_indexed(frontend, facts);
	for (size_t i = 0; i < frontend->routes_n; i++)
		if (match_holds(frontend->routes[i].match, facts))
			return &frontend->routes[i];
	return NULL;
}
