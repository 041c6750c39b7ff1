/* SPDX-License-Identifier: MIT */
/*
 * schema - every key of the configuration file as one row: the one source of what may be written,
 * within which limits, what holds when it is not, and what it means.
 *
 * The loader, the defaults, the dump and the reference (doc/configuration.md) all walk these rows.
 * A row's type names a pair of functions: one reads a YAML node into a field of the section's
 * struct, one prints that field as YAML that reads to the same again.  Small typed readers do the
 * keys that have a grammar of their own (bind, hosts, stick, ...); their inner keys are rows too.
 */
#ifndef MODEL_SCHEMA_H
#define MODEL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"

struct load;
struct out;
struct yaml_node;
struct schema_row;

enum schema_type {
	T_BOOL,
	T_BYTE,
	T_COUNT,
	T_SIZE,
	T_DURATION,
	T_SECONDS,
	T_TEXT,
	T_ENUM,
	T_OCTAL,
	T_NETS,
	T_STATUSES,
	T_TEXTS,
	T_MAP,
	/* Grammar elements. */
	T_ANY,
	T_THREADS,
	T_LOGS,
	T_LOG_TARGET,
	T_LOG_TAG,
	T_STATS_SOCKETS,
	T_STATS_HTTP,
	T_ADDRESS,
	T_MIRROR,
	T_BINDS,
	T_ACCEPT_PROXY,
	T_BIND_TLS,
	T_HSTS,
	T_RATE,
	T_ROUTES,
	T_MATCH,
	T_PATTERNS,
	T_NAMED_PATTERNS,
	T_BACKEND,
	T_RESPOND,
	T_REDIRECT,
	T_SET_HEADERS,
	T_REMOVE_HEADERS,
	T_BALANCE,
	T_STICKS,
	T_HOSTS,
	T_WORKERS,
	T_HEALTH,
	T_PASSIVE,
	T_AGENT,
	T_CHECK_TLS,
	T_CHECK_BYTES,
	T_CHECK_MATCH,
	T_CHECK_IP,
	T_SERVER_TIMEOUTS,
	T_CLIENT_TLS,
	T_N
};

enum schema_section {
	S_TOP,
	S_GLOBAL,
	S_LOG,
	S_STATS,
	S_STATS_SOCKET,
	S_STATS_HTTP,
	S_MIRROR,
	S_LIMITS,
	S_FRONTEND,
	S_TIMEOUTS,
	S_BIND,
	S_BIND_TLS,
	S_HSTS,
	S_HTTP2,
	S_ROUTE,
	S_MATCH,
	S_RESPOND,
	S_REDIRECT,
	S_BACKEND,
	S_HASH,
	S_ENGINEIO,
	S_COOKIE,
	S_IP,
	S_HOST,
	S_WORKER,
	S_HEALTH,
	S_PASSIVE,
	S_AGENT,
	S_CLIENT_TLS,
	S_NONE
};

enum schema_flag {
	F_REQUIRED = 1,
	F_DEF_SAID = 2, /* `def` is told in the reference; code works it out */
	F_SECRET = 4,   /* left out of a dump that others may see */
	F_RESTART = 8,  /* a change needs a restart */
	F_PATH = 16,    /* text that begins with '/' */
	F_FILLED = 32,  /* text that must not be empty; bool that is dumped when true alone */
	F_LATER = 64,   /* read and checked, but not yet built in */
};

struct schema_name {
	const char *name; /* NULL ends the list */
	int value;
};

struct schema_row {
	const char *key;
	enum schema_type type;
	int64_t min, max; /* of a number, in the field's unit */
	const char *def;  /* read as if it were written; NULL = zero, or none */
	unsigned flags;   /* enum schema_flag */
	size_t offset;    /* of the field in the section's struct */
	const char *doc;
	/* By type. */
	const struct schema_name *names; /* T_ENUM */
	enum schema_section sub;         /* T_MAP and those with inner keys; else S_NONE or 0 */
	const char *word;                /* a word for one value, like "auto" */
	int64_t word_value;
	int arg; /* T_ENUM: ENUM_IN_BOOL; T_CHECK_MATCH: ALWAYS_REGEX; patterns: enum match_key */
};
#define ENUM_IN_BOOL 1 /* the field of a T_ENUM is a bool */
#define ALWAYS_REGEX 1 /* a T_CHECK_MATCH that is a pattern without '~' */

struct schema_section_row {
	const char *name; /* in messages: "unknown key 'x' in NAME" */
	const char *path; /* heading of the reference */
	const struct schema_row *rows;
	size_t rows_n;
	size_t size;          /* of the struct; 0 = a part of its parent's */
	ptrdiff_t pos_offset; /* of its struct config_pos, or -1 */
	const char *doc;
};
extern const struct schema_section_row schema_sections[S_NONE];

/* False: NODE is not what the type's `expects` says.  True: read, or a mistake was told. */
typedef bool schema_read_fn(struct load *load, const struct schema_row *row,
			    const struct yaml_node *node, void *base);
/* Prints the value in flow style; false: nothing to say, leave the key out. */
typedef bool schema_print_fn(struct out *out, const struct schema_row *row, const void *base);

struct schema_type_row {
	const char *name;    /* in the reference */
	const char *expects; /* "expected ..." */
	schema_read_fn *read;
	schema_print_fn *print;
};
extern const struct schema_type_row schema_types[T_N];

const struct schema_row *schema_find(enum schema_section section, struct str key);

/* The field of BASE that ROW describes. */
static inline void *schema_field(const struct schema_row *row, void *base)
{
	return (char *)base + row->offset;
}
static inline const void *schema_field_const(const struct schema_row *row, const void *base)
{
	return (const char *)base + row->offset;
}

/* Values as text, for messages, the dump and the reference.  OUT has SCHEMA_TEXT_SIZE bytes. */
#define SCHEMA_TEXT_SIZE 32
const char *schema_duration_text(int64_t ms, char out[SCHEMA_TEXT_SIZE]);
const char *schema_size_text(int64_t bytes, char out[SCHEMA_TEXT_SIZE]);
/* One value of a row with a minimum and a maximum in the row's own unit. */
const char *schema_value_text(const struct schema_row *row, int64_t value,
			      char out[SCHEMA_TEXT_SIZE]);

/* The whole reference as Markdown; (own). */
char *schema_reference(void) must_check;

#endif
