/* SPDX-License-Identifier: MIT */
/* table_args - what "show table", "clear table" and "set table" read alike; within this layer. */
#ifndef CONTROL_TABLE_ARGS_H
#define CONTROL_TABLE_ARGS_H

#include "balance/table.h"
#include "control/command.h"

/* By its name, or its backend's when that has one table; NULL when there is none. */
struct table *table_by_name(struct str name, enum stick_kind *kind);
/* The key that TEXT stands for, or (of a secret table) its 32 hex digits; false when it is none. */
bool table_read_key(const struct table *table, enum stick_kind kind, struct str text,
		    struct table_key *key);
/* "gpc0", "conn_cnt" ...: data types that HAProxy's tables may have and ours have not. */
bool table_is_known_data(struct str name);

#endif
