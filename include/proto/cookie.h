/* SPDX-License-Identifier: MIT */
/*
 * cookie - reads Cookie and Set-Cookie values (RFC 6265), and strips one cookie from a Cookie.
 *
 * Lenient as browsers and servers are: ';' separates, white space around names and values is not
 * part of them.  Double quotes around a value are part of it: a browser sends back exactly what
 * Set-Cookie had, so both sides compare equal as sent.  Pure; views into the field's value.
 */
#ifndef PROTO_COOKIE_H
#define PROTO_COOKIE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/*
 * Takes the next cookie off *HEADER_VALUE (the value of a Cookie field).  Empty pieces are
 * skipped; a piece without '=' has an empty name and is all value (RFC 6265bis).  False at the end.
 */
bool cookie_next(struct str *header_value, struct str *name, struct str *value);

/* The first cookie called NAME (exact case).  *VALUE is STR_NONE when there is none. */
bool cookie_find(struct str header_value, struct str name, struct str *value);

/*
 * Reads one Set-Cookie field: name, value, and whether it deletes the cookie: Max-Age of zero or
 * less, or, without a Max-Age, an Expires whose year is 2000 or earlier (there is no clock here;
 * servers that delete by Expires write 1970).  The last attribute of a kind wins.
 * False when it names no cookie (RFC 6265 5.2: no '=' or an empty name); *IS_DELETED may be NULL.
 */
bool set_cookie_parse(struct str header_value, struct str *name, struct str *value,
		      bool *is_deleted);

/*
 * Writes HEADER_VALUE without every cookie called NAME; what stays, stays byte for byte, in order.
 * OUT_SIZE must be at least HEADER_VALUE.len (checked: aborts); OUT may be HEADER_VALUE.p.
 * Returns the length written, HEADER_VALUE.len at most; 0 = no cookie is left, drop the field.
 */
size_t cookie_without(struct str header_value, struct str name, char *out, size_t out_size);

#endif
