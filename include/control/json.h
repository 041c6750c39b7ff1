/* SPDX-License-Identifier: MIT */
/*
 * json - writes JSON (RFC 8259) to a buf, a value at a time.
 *
 * A key of NULL is for the elements of an array and for the outermost value.  Texts may be
 * anything: what is not UTF-8 is escaped like a control character.  Without white space, so that a
 * document is one line.
 */
#ifndef CONTROL_JSON_H
#define CONTROL_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct json {
	struct buf *out;  /* (view) may be exchanged between two calls */
	bool needs_comma; /* the next value is not the first of its object or array */
};

void json_open(struct json *json, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json *json, char bracket);                 /* '}' or ']' */
void json_str(struct json *json, const char *key, struct str value);
void json_text(struct json *json, const char *key, const char *value);
void json_u64(struct json *json, const char *key, uint64_t value);
void json_s64(struct json *json, const char *key, int64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

/*
 * Reads an object with the one member KEY, a string without escapes: {"state": "drain"}.  Anything
 * else is -EINVAL.  *VALUE is a view into TEXT.
 */
int json_read_member(struct str text, struct str key, struct str *value) must_check;

#endif
