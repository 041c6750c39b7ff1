/* SPDX-License-Identifier: MIT */
/*
 * ctl_table - answers of the stats socket as limpetctl shows them: tables in columns, or JSON.
 *
 * A table is a line "# name name ..." or "# name,name,...", and rows below it.
 */
#ifndef MAIN_CTL_TABLE_H
#define MAIN_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* The lines of an answer. */
struct lines {
	char **all; /* (own) each, too */
	size_t n, size;
};

void lines_add(struct lines *lines, struct str line);
void lines_clear(struct lines *lines);

/* LINE begins an answer that is a table. */
bool table_is_first_line(struct str line);
/* Prints LINES, a table, in columns.  Changes them. */
void table_print(struct lines *lines, bool has_colours);
/*
 * Prints LINES as JSON: a table as an array of objects, "Key: value" lines as an object, others as
 * an array of texts.  Changes them.
 */
void answer_json(struct lines *lines);

#endif
