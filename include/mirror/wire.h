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
 *   value:   "1" STATE VERSION IDLE SERVER         "1 l 5f3a...(16 hex) 45000 app-1/3001"
 *            STATE is l(ive), d(ead) or t(omb); a tombstone has no server, and no space before it
 *   stream:  q NUMBER n NODE t TABLE k KEY c CHANGE p LEFT v VALUE
 *            CHANGE is a(ssign), s(et), r(efresh) or d(rop); NODE is the writer
 *
 * There is one way to write a thing: what is not exactly that is refused, whoever has written it,
 * for whatever Redis holds is hostile until it is parsed.  Names have no spaces and no controls.
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
#define WIRE_TABLE_MAX  160
#define WIRE_NODE_MAX   256
#define WIRE_FIELDS_N   14 /* texts of a stream's entry */

struct wire_value {
	enum record_state state;
	uint64_t version;  /* not 0 */
	uint32_t idle_ms;  /* 1..TABLE_IDLE_MAX_MS */
	struct str server; /* (view) name "host/worker"; "" of a tombstone */
};

/* Length, or 0 when there is no way to write it (what wire_value_read() would refuse). */
size_t wire_value_write(char out[WIRE_VALUE_MAX], const struct wire_value *value);
/* Views into TEXT.  False: not ours. */
bool wire_value_read(struct str text, struct wire_value *value);

/* "{prefix}:e:TABLE:HEX".  Length, or 0. */
size_t wire_key_write(char out[WIRE_KEY_MAX], struct str prefix, struct str table,
		      const struct table_key *key);
/* What is kept of a key (table.h). */
struct wire_key {
	unsigned char bytes[TABLE_KEY_SIZE];
	size_t size; /* 1..TABLE_KEY_SIZE */
};
/* Takes such a key apart; TABLE is a view.  False: not of this prefix, or malformed. */
bool wire_key_read(struct str text, struct str prefix, struct str *table, struct wire_key *key);
/* "{prefix}:LETTER": s, q or n.  Length, or 0. */
size_t wire_name_write(char out[WIRE_KEY_MAX], struct str prefix, char letter);
/* "{prefix}:e:*" for SCAN, with what has a meaning there in PREFIX escaped.  Length, or 0. */
size_t wire_pattern_write(char out[WIRE_KEY_MAX], struct str prefix);
/* KEY's bytes in hex.  Length. */
#define WIRE_HEX_MAX (2 * TABLE_KEY_SIZE)
size_t wire_hex_write(char out[WIRE_HEX_MAX], const struct table_key *key);

/* One change out of the stream. */
struct wire_change {
	uint64_t number; /* not 0 */
	struct str node, table;
	struct wire_key key;
	enum record_change change;
	int64_t left_ms; /* 1..TABLE_IDLE_MAX_MS */
	struct wire_value value;
};
/* FIELDS: the N texts of a stream entry; views of them.  False: not ours. */
bool wire_change_read(const struct str *fields, size_t n, struct wire_change *change);
char wire_change_letter(enum record_change change);

/* "1700000000000-0", an entry's id in a stream: its first part.  False: it is not one. */
bool wire_id_ms(struct str id, uint64_t *unix_ms);

#endif
