/* SPDX-License-Identifier: MIT */
/*
 * tables - which tables the mirror keeps, and how servers are called there; private to mirror/.
 *
 * A table is called by its table_name() on Redis, a server by its name.  A record may name a server
 * that this node does not have (yet): its object is made then, as one that is gone, so that the
 * record is of use when the server appears.  Objects of servers are never freed: at most
 * TABLES_STRANGERS_MAX are made so.
 *
 * Control thread.
 */
#ifndef MIRROR_TABLES_H
#define MIRROR_TABLES_H

#include <stdbool.h>
#include <stddef.h>

#include "balance/table_share.h"
#include "base/str.h"
#include "mirror/wire.h"
#include "model/config.h"

#define TABLES_STRANGERS_MAX 4096

/*
 * Shares the tables of CONFIG's stick rules (is_mirrored) and no others; with IS_ON false none.
 * True when one is shared now that was not before.
 */
bool tables_apply(const struct config *config, bool is_on);
size_t tables_n(void);
struct table *tables_at(size_t i); /* I < tables_n(); any order, the same until tables_apply() */
struct table *tables_find(struct str name); /* shared; or NULL */
void tables_fini(void);

/* RECORD of what Redis said of KEY in TABLE, LEFT_MS clipped.  False: its server cannot be known.
 */
bool tables_record(struct table *table, const struct table_key *key, const struct wire_value *value,
		   int64_t left_ms, struct table_record *record);
/* The other way.  The name is a view of the server's. */
void tables_value(const struct table_record *record, struct wire_value *value);

/* Somebody named a table or server that this node does not have now. */
void tables_count_unknown(void);
uint64_t tables_unknown_names(void);
uint64_t tables_dirty(void); /* of all */

#endif
