/* SPDX-License-Identifier: MIT */
/*
 * yaml - a YAML document as a tree of nodes that know their place in the file.
 *
 * libyaml reads the bytes; here anchors and aliases are resolved (an alias shares its anchor's
 * node: the tree is a graph without cycles), merge keys are applied ("<<": one mapping or a list;
 * keys of the mapping itself win, then earlier ones of the list), and ${NAME}, ${NAME:-default}
 * and $$ are expanded in every scalar, keys included.
 *
 * Everything is bounded before memory is taken: size of the file, depth, nodes, and nodes as they
 * would be with every alias written out (so that no reader of the tree walks for ever).
 */
#ifndef MODEL_YAML_H
#define MODEL_YAML_H

#include "base/mem.h"
#include "base/str.h"
#include "model/diag.h"

#define YAML_FILE_MAX   (16u << 20) /* bytes of a file */
#define YAML_DEPTH_MAX  32
#define YAML_NODES_MAX  2000000u    /* written out */
#define YAML_SCALAR_MAX (64u << 10) /* bytes of one scalar after expansion */
#define YAML_EXPAND_MAX (32u << 20) /* bytes that ${} may add to all scalars together */

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
	uint8_t kind;          /* enum yaml_kind */
	bool is_plain;         /* scalar without quotes */
	bool is_open;          /* while it is read: an alias may not lead into it */
	uint8_t depth;         /* levels below and with this one; YAML_DEPTH_MAX at most */
	uint32_t line, column; /* from 1 */
	uint32_t weight;       /* nodes in it with aliases written out */
	uint32_t n;            /* of items or pairs */
	struct str text;       /* scalar: expanded, NUL-terminated beyond len */
	union {
		struct yaml_node **items; /* list */
		struct yaml_pair *pairs;  /* mapping: unique keys in file order, merged ones last */
	};
};

struct yaml_pair {
	struct yaml_node *key; /* a scalar */
	struct yaml_node *value;
	bool is_merged; /* came by "<<" */
};

/*
 * Reads TEXT.  Returns the root in ARENA, or NULL when it is not YAML at all; mistakes are in DIAG.
 * After a mistake that leaves a tree (an unset variable, a key given twice) the tree is returned.
 */
struct yaml_node *yaml_read(struct str text, struct arena *arena, struct diag *diag) must_check;

/* The value of KEY in the mapping MAP, or NULL. */
struct yaml_node *yaml_get(const struct yaml_node *map, struct str key);
/* A mapping in ARENA with what OWN has, and of BELOW what OWN leaves out; values are shared. */
struct yaml_node *yaml_merged(const struct yaml_node *own, const struct yaml_node *below,
			      struct arena *arena);
/* "", "~" or "null" without quotes: nothing was written. */
bool yaml_is_null(const struct yaml_node *node);

/*
 * Expands ${NAME}, ${NAME:-default} and $$ of TEXT.  Returns the text in ARENA (TEXT itself when
 * nothing is to expand) or STR_NONE with *WHY, a sentence without a full stop in ARENA.
 */
struct str yaml_expand(struct str text, struct arena *arena, const char **why);

#endif
