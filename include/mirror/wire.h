/* SPDX-License-Identifier: MIT */
/*
 * wire - what stands on Redis, and how a change gets there: names of keys, values, scripts.  Pure.
 *
 *   {prefix}:e:TABLE:KEY   value of one entry, with PX       TABLE "backend/engineio", KEY in hex
 *   {prefix}:s             stream of changes, capped with MAXLEN ~
 *   {prefix}:q             number of the stream's newest change (no gap between two neighbours)
 *   {prefix}:n             hash: node's name -> what it says of itself (beat.h)
 *
 * The braces are a hash tag: all keys of a pair live in one slot.  No sid ever stands there: KEY is
 * the table's keyed hash (table.h); an address, which is no secret, stands as it is.
 *
 *   value:   V1 STATE VERSION IDLE SERVER          "1 l 5f3a...(16 hex) 45000 app-1/3001"
 *   stream:  q NUMBER n NODE t TABLE k KEY c CHANGE p LEFT v VALUE
 *
 * Whatever Redis holds is hostile until it is parsed: a value that is not exactly this is refused.
 */
#ifndef MIRROR_WIRE_H
#define MIRROR_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "balance/table_share.h"
#include "base/str.h"

#define WIRE_VALUE_MAX  640 /* bytes; a server's name has at most 512 */
#define WIRE_KEY_MAX    1024
#define WIRE_SERVER_MAX 512

struct wire_value {
	enum record_state state;
	uint64_t version;
	uint32_t idle_ms;
	struct str server; /* (view) name "host/worker"; "" of a tombstone */
};

/* Length, or 0 when it does not fit. */
size_t wire_value_write(char out[WIRE_VALUE_MAX], const struct wire_value *value);
/* Views into TEXT.  False: not ours. */
bool wire_value_read(struct str text, struct wire_value *value);

/* "{prefix}:e:TABLE:HEX".  Length, or 0. */
size_t wire_key_write(char out[WIRE_KEY_MAX], struct str prefix, struct str table,
		      const struct table_key *key);
/* Takes such a key apart.  False: not of this prefix, or malformed. */
bool wire_key_read(struct str text, struct str prefix, struct str *table, unsigned char *key,
		   size_t *key_size);

/* One change out of the stream. */
struct wire_change {
	uint64_t number;
	struct str node, table;
	unsigned char key[16];
	size_t key_size;
	enum record_change change;
	int64_t left_ms;
	struct wire_value value;
};
/* FIELDS: the 2 * n texts of a stream entry.  False: not ours. */
bool wire_change_read(const struct str *fields, size_t n, struct wire_change *change);

#endif
