/* SPDX-License-Identifier: MIT */
/*
 * said - on which line of the file a value was said.
 *
 * While a section is read, each key that the file has is noted with the field that it goes to; what
 * is not noted is a default.  Hosts, workers, routes and the like have a position of their own and
 * are not noted.  The notes are part of the snapshot.
 */
#ifndef MODEL_SAID_H
#define MODEL_SAID_H

#include "model/schema.h"

struct config;
struct load;

struct said {
	const struct schema_row *row; /* (const) */
	const void *field;            /* (view) compared, never read */
	uint32_t line;
};

/* ROW's value for the struct BASE stands on LINE; SECTION is ROW's. */
void said_add(struct load *load, enum schema_section section, const struct schema_row *row,
	      const void *base, uint32_t line);
/* Moves the notes to the snapshot, or only frees them. */
void said_finish(struct load *load);

/* The line of ROW's value in BASE, a struct of CONFIG; 0 = nobody said it. */
uint32_t said_line(const struct config *config, const struct schema_row *row, const void *base);

#endif
