/* SPDX-License-Identifier: MIT */
/*
 * uri - reads queries and paths of request targets (RFC 3986), as Node's querystring reads them.
 *
 * Pure: no memory, no I/O; every str out is a view into what came in, or into the caller's OUT.
 * Nothing here changes what is sent on: decoded and normalised forms are for looking things up.
 */
#ifndef PROTO_URI_H
#define PROTO_URI_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bug.h"
#include "base/str.h"

/*
 * Takes the next parameter off *QUERY: raw (not decoded) views.  '&' alone separates, ';' does
 * not; empty pieces ("a&&b") are skipped.  VALUE->p is NULL when the piece has no '='; a key may
 * be empty ("=x").  False at the end.
 */
bool uri_next_param(struct str *query, struct str *key, struct str *value);

/*
 * Percent-decodes IN into OUT (which may be IN's own bytes).  A '%' not followed by two hex
 * digits is kept as it is; '+' becomes a space if PLUS_IS_SPACE.  OUT is not NUL-terminated, and
 * decoded bytes may be anything, NUL included.
 * Returns the length, never more than IN.len, or -ENOSPC when OUT_SIZE is too small.
 */
ptrdiff_t uri_decode(struct str in, char *out, size_t out_size, bool plus_is_space) must_check;

/* RAW_KEY, percent-decoded with '+' as a space, is exactly NAME (which is not encoded). */
bool uri_key_is(struct str raw_key, struct str name);

/*
 * Finds the first (or the LAST) parameter whose decoded key is NAME.  *RAW_VALUE is its value
 * as sent; without a '=' it is an empty string that is present.  When not found *RAW_VALUE is
 * STR_NONE.
 */
bool uri_find_param(struct str query, struct str name, bool last, struct str *raw_value);

/*
 * The form of PATH (no query) that rules are matched against, never what is sent on:
 * percent-encoded bytes are decoded except %00; %2F counts as a slash, because servers differ and a
 * rule that denies must hold for all of them; repeated slashes become one, and "." and ".."
 * segments are resolved (RFC 3986 5.2.4; a climb above the root ends at the root).  A '%' without
 * two hex digits stays.
 *
 * Returns PATH itself when nothing changes (the usual case: one fast scan), else a view of OUT.
 * OUT_SIZE = PATH.len always suffices.  "*" is returned as it is; STR_NONE when the path does not
 * begin with '/', or OUT is too small.
 */
struct str uri_normalize_path(struct str path, char *out, size_t out_size);

#endif
