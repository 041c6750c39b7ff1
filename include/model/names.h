/* SPDX-License-Identifier: MIT */
/*
 * names - an index from names to numbers, so that a file with thousands of names is checked in
 * linear time.  Lives in an arena; keys are views that must outlive it.  A keyed hash.
 */
#ifndef MODEL_NAMES_H
#define MODEL_NAMES_H

#include "base/mem.h"
#include "base/str.h"

#define NAME_NONE UINT32_MAX

struct name_slot {
	struct str name; /* (view) p == NULL: free */
	uint32_t number;
};

struct names {
	struct arena *arena; /* (view) */
	struct name_slot *slots;
	size_t slots_n, used; /* slots_n: a power of two, or 0 */
};

void names_init(struct names *names, struct arena *arena, size_t expected_n);
/* Returns the number that NAME already has, else NAME_NONE, and then NAME has NUMBER from now on.
 */
uint32_t names_add(struct names *names, struct str name, uint32_t number);
uint32_t names_find(const struct names *names, struct str name); /* or NAME_NONE */

#endif
