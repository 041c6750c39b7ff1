/* SPDX-License-Identifier: MIT */
/*
 * yaml_expand - ${NAME}, ${NAME:-default} and $$ in a scalar.
 *
 * A default is taken as it is, up to the next '}'; it is not expanded again.  As in a shell, ":-"
 * gives the default for a name that is unset or empty.  A '$' before anything else is itself, as
 * at the end of a regular expression.
 */
#include "config.h"

#include "model/yaml.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_LEN 128

static bool is_name_byte(char c, bool is_first)
{
	return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (!is_first && c >= '0' && c <= '9');
}

static bool is_name(struct str s)
{
	if (s.len == 0 || s.len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_name_byte(s.p[i], i == 0))
			return false;
	return true;
}

/* The value of what stands between "${" and "}", or STR_NONE with *WHY. */
static struct str value_of(struct str inside, struct arena *arena, const char **why)
{
	ptrdiff_t sep = str_find(inside, STR(":-"));
	struct str name = sep < 0 ? inside : (struct str){ inside.p, (size_t)sep };
	char name_text[NAME_MAX_LEN + 1];
	const char *value;

	if (!is_name(name)) {
		*why = arena_printf(arena,
				    "'${%.*s}' does not name a variable of the environment; "
				    "write '$$' for a '$'",
				    STR_ARG(inside));
		return STR_NONE;
	}
	memcpy(name_text, name.p, name.len);
	name_text[name.len] = '\0';
	value = getenv(name_text);
	if (sep >= 0 && (!value || !*value))
		return str_sub(inside.p + sep + 2, inside.p + inside.len);
	if (!value) {
		*why = arena_printf(arena,
				    "environment variable '%s' is not set; set it, or write "
				    "'${%s:-default}'",
				    name_text, name_text);
		return STR_NONE;
	}
	return str_of(value);
}

/* One piece at the start of *REST, which begins with '$'; moves *REST behind it. */
static struct str next_piece(struct str *rest, struct arena *arena, const char **why)
{
	const char *end = rest->p + rest->len;
	const char *brace;
	struct str value;

	if (rest->len >= 2 && rest->p[1] == '$') {
		*rest = str_sub(rest->p + 2, end);
		return STR("$");
	}
	if (rest->len < 2 || rest->p[1] != '{') {
		*rest = str_sub(rest->p + 1, end);
		return STR("$");
	}
	brace = memchr(rest->p, '}', rest->len);
	if (!brace) {
		*why = "'${' without a '}'";
		return STR_NONE;
	}
	value = value_of(str_sub(rest->p + 2, brace), arena, why);
	*rest = str_sub(brace + 1, end);
	return value;
}

struct str yaml_expand(struct str text, struct arena *arena, const char **why)
{
	struct str rest = text;
	char *out;
	size_t len = 0;

	if (!text.len || !memchr(text.p, '$', text.len))
		return text;
	out = xmalloc(YAML_SCALAR_MAX);
	while (rest.len) {
		const char *dollar = memchr(rest.p, '$', rest.len);
		struct str piece = rest;

		if (dollar == rest.p) {
			piece = next_piece(&rest, arena, why);
		} else {
			piece.len = dollar ? (size_t)(dollar - rest.p) : rest.len;
			rest = str_sub(rest.p + piece.len, rest.p + rest.len);
		}
		if (piece.p && piece.len >= YAML_SCALAR_MAX - len) {
			*why = "the text is too long once its variables are put in";
			piece = STR_NONE;
		}
		if (!piece.p) {
			free(out);
			return STR_NONE;
		}
		if (piece.len)
			memcpy(out + len, piece.p, piece.len);
		len += piece.len;
	}
	text = arena_str(arena, (struct str){ out, len });
	free(out);
	return text;
}
