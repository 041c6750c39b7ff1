/* SPDX-License-Identifier: MIT */
/*
 * override - what the operator has changed at run time against the configuration file.
 *
 * A server that differs from the file has one struct override (server->override), which holds the
 * values in force and what the file said when they were set.  They outlive reloads:
 *
 *   kind      while it stays                            what a reload drops it for
 *   CHANGED   each value for itself: the file still     the file says another value, or does not
 *             says what it said then                    name the server any more
 *   ADDED     the file does not name the server         the file names it
 *   DELETED   the file names it as it did then          the file says anything else of it
 *
 * Whatever is dropped is told on the log.  A worker that was found by its socket file is "named" by
 * the host's glob: while that stands, its weight and limit wait for it to be born again.
 *
 * The state that an operator sets (MAINT, DRAIN) is no override: it lives in server->state.
 *
 * Control thread.
 */
#ifndef MODEL_OVERRIDE_H
#define MODEL_OVERRIDE_H

#include "base/list.h"
#include "model/server.h"

enum override_kind { OVERRIDE_CHANGED, OVERRIDE_ADDED, OVERRIDE_DELETED };

enum override_field {
	OVERRIDE_WEIGHT = 1,
	OVERRIDE_MAX_CONNECTIONS = 2,
	OVERRIDE_ADDR = 4,
	OVERRIDE_BACKUP = 8,      /* of a server that was deleted, then added in another form */
	OVERRIDE_SEND_PROXY = 16, /* likewise */
};

struct override_values {
	struct sock_addr addr;
	uint32_t weight;
	uint32_t max_connections; /* 0 = no limit */
	bool is_backup;
	enum proxy_mode send_proxy;
};

struct override {
	struct list link;
	struct server *server; /* (view) */
	enum override_kind kind;
	unsigned fields; /* CHANGED: the enum override_field that differ, never 0; else 0 */
	struct override_values mine; /* in force; of CHANGED only FIELDS count */
	struct override_values file; /* what the file said; of ADDED: as it was added */
	uint64_t seen;               /* override_reconcile()'s own */
};

/*
 * Changes a server that is in force.  A value that is the file's own takes the override back.
 * The set of the backend must be built anew afterwards.
 */
void override_weight(const struct srvset_member *member, uint32_t weight);
void override_max_connections(const struct srvset_member *member, uint32_t max_connections);
void override_addr(const struct srvset_member *member, const struct sock_addr *addr);
void override_delete(const struct srvset_member *member);
/* SERVER is not in force. */
void override_add(struct server *server, const struct override_values *values);

/*
 * SPECS are the servers of BACKEND as the file and the watched directories name them: drops what
 * they contradict.
 */
void override_reconcile(const struct backend *backend, const struct srvset_spec *specs, size_t n);
/* Servers that were added to BACKEND. */
size_t override_added_n(const struct backend_state *backend);
/*
 * Changes SPECS to what is to be in force; there is room for override_added_n() more.  Sets
 * user_weight, not weight.  Returns how many there are now; texts of those added live as long as
 * their servers.
 */
size_t override_apply(struct backend_state *backend, struct srvset_spec *specs, size_t n);
/* The file has BACKEND no more. */
void override_drop_backend(const struct backend_state *backend);

/*
 * The same override in the process that takes over, before the first set is built: kind, fields,
 * mine and file of FROM, for a server that has none yet.  The file is reconciled with it as usual.
 */
void override_restore(const struct override *from);

/* All of them in the order in which they were made; NULL after the last. */
const struct override *override_at(size_t index);
const char *override_field_name(enum override_field field); /* as in the file: "max_connections" */
/* Its value in VALUES as text: a constant, or in OUT. */
const char *override_field_text(const struct override_values *values, enum override_field field,
				char out[ADDR_TEXT_SIZE]);
/* Workers of HOST are found by their sockets. */
bool override_is_watched(const struct backend *backend, struct str host);

#endif
