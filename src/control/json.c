/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/json.h"

#include <errno.h>

#include "base/log.h"

#define ESCAPED_BYTE_MAX 6 /* "\u001f" */
#define TEXT_PIECE       1024

static void put(struct json *json, struct str text)
{
	buf_append_str(json->out, text);
}

static void escaped(struct json *json, struct str text)
{
	/* Cut at TEXT_PIECE: nothing that is shown is longer. */
	size_t size;

	if (text.len > TEXT_PIECE)
		text.len = TEXT_PIECE;
	size = text.len * ESCAPED_BYTE_MAX;
	buf_reserve(json->out, size + 2);
	*buf_tail(json->out) = '"';
	buf_fill(json->out, 1);
	buf_fill(json->out, log_json_escape(text, buf_tail(json->out), size));
	*buf_tail(json->out) = '"';
	buf_fill(json->out, 1);
}

static void begin(struct json *json, const char *key)
{
	if (json->needs_comma)
		put(json, STR(","));
	json->needs_comma = true;
	if (!key)
		return;
	put(json, STR("\""));
	put(json, str_of(key));
	put(json, STR("\":"));
}

void json_open(struct json *json, const char *key, char bracket)
{
	begin(json, key);
	buf_append(json->out, &bracket, 1);
	json->needs_comma = false;
}

void json_close(struct json *json, char bracket)
{
	buf_append(json->out, &bracket, 1);
	json->needs_comma = true;
}

void json_str(struct json *json, const char *key, struct str value)
{
	begin(json, key);
	escaped(json, value);
}

void json_text(struct json *json, const char *key, const char *value)
{
	json_str(json, key, str_of(value));
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	begin(json, key);
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	buf_append(json->out, digits + at, sizeof(digits) - at);
}

void json_s64(struct json *json, const char *key, int64_t value)
{
	if (value >= 0) {
		json_u64(json, key, (uint64_t)value);
		return;
	}
	begin(json, key);
	put(json, STR("-"));
	json->needs_comma = false;
	json_u64(json, NULL, 0 - (uint64_t)value);
}

void json_bool(struct json *json, const char *key, bool value)
{
	begin(json, key);
	put(json, value ? STR("true") : STR("false"));
}

void json_null(struct json *json, const char *key)
{
	begin(json, key);
	put(json, STR("null"));
}

static void skip_space(struct str *text)
{
	while (text->len &&
	       (*text->p == ' ' || *text->p == '\t' || *text->p == '\r' || *text->p == '\n')) {
		text->p++;
		text->len--;
	}
}

static bool take(struct str *text, char c)
{
	skip_space(text);
	if (!text->len || *text->p != c)
		return false;
	text->p++;
	text->len--;
	return true;
}

static bool take_string(struct str *text, struct str *value)
{
	const char *from;

	if (!take(text, '"'))
		return false;
	from = text->p;
	while (text->len && *text->p != '"') {
		if (*text->p == '\\' || (unsigned char)*text->p < ' ')
			return false;
		text->p++;
		text->len--;
	}
	*value = str_sub(from, text->p);
	return take(text, '"');
}

int json_read_member(struct str text, struct str key, struct str *value)
{
	struct str name;

	if (!take(&text, '{') || !take_string(&text, &name) || !str_eq(name, key) ||
	    !take(&text, ':') || !take_string(&text, value) || !take(&text, '}'))
		return -EINVAL;
	skip_space(&text);
	return text.len ? -EINVAL : 0;
}
