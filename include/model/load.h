/* SPDX-License-Identifier: MIT */
/*
 * load - what the parts of the configuration loader share.  Private to src/model.
 *
 * The tree of the file lives in `temp` and is gone after the load; all that the snapshot keeps is
 * copied to its own arena.
 */
#ifndef MODEL_LOAD_H
#define MODEL_LOAD_H

#include "model/config.h"
#include "model/diag.h"
#include "model/names.h"
#include "model/schema.h"
#include "model/yaml.h"

#define NAME_LEN_MAX     64
#define BACKENDS_MAX     65536
#define FRONTENDS_MAX    1024
#define WORKERS_MAX      1024  /* of a host */
#define LOAD_SERVERS_MAX 65536 /* of a file; SERVERS_MAX of model/server.h */

struct match_said;

struct load {
	struct arena temp; /* (own) tree, messages, indices */
	struct diag diag;
	struct config *config;            /* (view) under construction */
	struct arena *arena;              /* (view) the snapshot's */
	const struct yaml_node *defaults; /* the `defaults` mapping, or NULL */
	void *templates[S_NONE];          /* each section's struct with its defaults */
	struct names binds;               /* socket addresses of listeners -> line */
	struct names resolved;            /* host names -> index in resolved_ips */
	struct ip_addr *resolved_ips;
	size_t resolved_n, resolved_size;
	size_t servers_n;
	struct worker_conf *workers; /* (own) scratch: of the host that is read */
	size_t workers_size;
	struct match_said *match_said; /* scratch: of the match that is read */
	size_t regexes_size;
	struct said *said; /* (own) until said_finish() */
	size_t said_n, said_size;
};

/* What a section of the file says beyond the struct that the snapshot keeps. */
struct worker_said {
	struct worker_conf conf;
	uint32_t port;
	struct str address;
};
struct hash_said {
	struct str names[HASH_COOKIE + 1]; /* by enum hash_source */
};
struct health_said {
	struct health_conf conf;
	bool is_tcp;
};

/* Fields that are an array and, next to it in the struct, its length. */
struct nets_field {
	struct ip_net *nets;
	size_t n;
};
struct statuses_field {
	struct status_range *ranges;
	size_t n;
};

#define load_error(load, node, ...)                                                                \
	diag_error(&(load)->diag, (node)->line, (node)->column, __VA_ARGS__)
#define load_warn(load, node, ...)                                                                 \
	diag_warn(&(load)->diag, (node)->line, (node)->column, __VA_ARGS__)
#define pos_warn(load, pos, ...)  diag_warn(&(load)->diag, (pos).line, (pos).column, __VA_ARGS__)
#define pos_error(load, pos, ...) diag_error(&(load)->diag, (pos).line, (pos).column, __VA_ARGS__)

/* How NODE is told in a message: "'text'", "a list", "a mapping", "nothing". */
const char *load_describe(struct load *load, const struct yaml_node *node);
struct config_pos load_pos(struct load *load, const struct yaml_node *node);
struct str load_keep(struct load *load, struct str text); /* a copy in the snapshot */
/* Told and false unless NAME is 1 to 64 of [A-Za-z0-9_.:-]. */
bool load_check_name(struct load *load, const struct yaml_node *node, const char *what,
		     struct str name);
/* RFC 9110 token. */
bool load_is_token(struct str s);

/* Fills BASE with the defaults of SECTION. */
void section_defaults(struct load *load, enum schema_section section, void *base);
/*
 * Reads the mapping NODE into BASE, row by row in the order of the rows.  WHERE says in messages
 * what is read ("backend 'chat'"); NULL = the section's name.
 */
void section_read(struct load *load, enum schema_section section, const struct yaml_node *node,
		  void *base, const char *where);
/* Reads NODE by ROW alone, with the message for a wrong type. */
void row_read(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	      void *base);
/* Prints "{key: value, ...}" of SECTION; false when it is empty. */
bool section_print(struct out *out, enum schema_section section, const void *base);
/* Prints `key: value` for each row; BEFORE stands before each, AFTER behind. */
void section_print_rows(struct out *out, enum schema_section section, const void *base,
			const char *before, const char *after);
/* Behind an item of a list, in a dump with marks: where the file has it. */
void mark_item(struct out *out, const struct config_pos *pos);

/* NODE as a list: its items, or itself as the only one. */
size_t load_items(const struct yaml_node *node);
const struct yaml_node *load_item(const struct yaml_node *node, size_t i);

/* The value that TEXT names in NAMES, or -1 with a message and a suggestion. */
int load_name_value(struct load *load, const struct yaml_node *node,
		    const struct schema_name *names, const char *what);
bool parse_bool(struct str text, bool *value);
/* "5s" to milliseconds: 0, -EINVAL (no such form), -ERANGE (overflow). */
int parse_duration(struct str text, int64_t *ms) must_check;
/* "64k": SHIFT_BASE is 1000 for counts, 1024 for sizes. */
int parse_scaled(struct str text, unsigned base, int64_t *value) must_check;

/*
 * Host names to addresses, by getaddrinfo() unless a test put its own function here.  Returns 0 or
 * a negative value with *WHY (constant).
 */
typedef int load_resolve_fn(const char *name, struct ip_addr *ip, const char **why);
extern load_resolve_fn *load_resolver;
/* "10.0.0.1:80", "unix:/x", "name:80"; told and false otherwise. WHAT names it in the message. */
bool load_address(struct load *load, const struct yaml_node *node, struct str text,
		  const char *what, struct sock_addr *addr);
bool load_resolve(struct load *load, const struct yaml_node *node, struct str name,
		  struct ip_addr *ip);

/* Whole objects. */
void frontend_read(struct load *load, const struct yaml_pair *pair, struct frontend *frontend);
void backend_read(struct load *load, const struct yaml_pair *pair, struct backend *backend);
/* What a route of the frontend may not say in its mode.  NODE is the frontend's mapping. */
void routes_check_mode(struct load *load, const struct yaml_node *node,
		       const struct frontend *frontend);
/* What TLS to clients needs of the frontend's other keys.  NODE is the frontend's mapping. */
void frontend_tls_finish(struct load *load, const struct yaml_node *node,
			 struct frontend *frontend);
/* tls_server_new(), unless a test that has no certificates put its own function here. */
typedef struct tls_server *load_tls_server_fn(const struct tls_server_options *options,
					      tls_mistake_fn *mistake, void *arg);
extern load_tls_server_fn *load_tls_server;
/* TLS to the servers of BACKEND, for traffic and for checks: reads its files. */
void backend_tls_finish(struct load *load, struct backend *backend);
/* What the checks of a backend need of its other keys. */
void health_finish(struct load *load, struct backend *backend);
/* NODE with what `defaults` says of keys of SECTION that NODE leaves out. */
const struct yaml_node *load_with_defaults(struct load *load, enum schema_section section,
					   const struct yaml_node *node);
/* The finished set of edits: removals first. */
void header_edits_sort(struct load *load, struct header_edits *edits);
/* REGEX is freed with the snapshot. */
void load_keep_regex(struct load *load, struct regex *regex);

/* Warnings that know the workload; after everything was read without a mistake. */
void lint(struct load *load);

#endif
