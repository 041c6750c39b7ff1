/* SPDX-License-Identifier: MIT */
/*
 * config_match - compiles the conditions of a route.
 */
#include "config.h"

#include "model/load.h"
#include "model/match_build.h"
#include "model/schema_fns.h"
#include "proto/uri.h"

#define PATTERNS_MAX    1024 /* of one key */
#define CONDITIONS_MAX  64
#define PATTERN_LEN_MAX 1024
#define FINGERPRINT_LEN 64
#define NAME_TEXT_MAX   256 /* of a header, query key or cookie */

/* The match under construction: conditions grow, and are sorted at the end. */
struct match_said {
	struct condition conditions[CONDITIONS_MAX];
	size_t n;
};

typedef bool pattern_fn(struct load *load, const struct yaml_node *node, struct pattern *pattern);

static struct str lower_copy(struct load *load, struct str text)
{
	char *p = arena_alloc(load->arena, text.len + 1);

	for (size_t i = 0; i < text.len; i++)
		p[i] = (char)ascii_lower((unsigned char)text.p[i]);
	p[text.len] = '\0';
	return (struct str){ p, text.len };
}

static bool pattern_regex(struct load *load, const struct yaml_node *node, struct pattern *pattern)
{
	char error[REGEX_ERROR_SIZE];
	size_t offset;

	pattern->kind = PATTERN_REGEX;
	pattern->regex = regex_new(pattern->text, error, &offset);
	if (!pattern->regex) {
		load_error(load, node, "'%.*s' is not a regular expression: %s (at character %zu)",
			   STR_ARG(pattern->text), error, offset + 1);
		return false;
	}
	load_keep_regex(load, pattern->regex);
	return true;
}

static bool pattern_host(struct load *load, const struct yaml_node *node, struct pattern *pattern)
{
	struct str text = lower_copy(load, pattern->text);

	if (str_starts(text, STR("*."))) {
		pattern->kind = PATTERN_SUFFIX;
		text = str_sub(text.p + 1, text.p + text.len);
	}
	if (text.len > 2 && text.p[0] == '[' && text.p[text.len - 1] == ']')
		text = str_sub(text.p + 1, text.p + text.len - 1);
	else if (memchr(text.p, ':', text.len)) {
		load_error(load, node, "'%.*s': a host is matched without its port",
			   STR_ARG(pattern->written));
		return false;
	}
	if (memchr(text.p, '*', text.len) || memchr(text.p, '/', text.len)) {
		load_error(load, node,
			   "'%.*s' is not a host name; a wildcard stands for the first labels, as "
			   "in '*.example.com'",
			   STR_ARG(pattern->written));
		return false;
	}
	pattern->text = text;
	return true;
}

static bool pattern_path(struct load *load, const struct yaml_node *node, struct pattern *pattern)
{
	char out[PATTERN_LEN_MAX];
	struct str normal;

	if (pattern->text.p[0] != '/') {
		load_error(load, node, "'%.*s' is not a path; it must begin with '/'",
			   STR_ARG(pattern->text));
		return false;
	}
	normal = uri_normalize_path(pattern->text, out, sizeof(out));
	if (!str_eq(normal, pattern->text)) {
		load_error(load, node,
			   "'%.*s' never matches: paths are compared in the form '%.*s'",
			   STR_ARG(pattern->text), STR_ARG(normal));
		return false;
	}
	if (memchr(pattern->text.p, '?', pattern->text.len)) {
		load_error(load, node, "'%.*s': a path has no '?'; match the query with 'query'",
			   STR_ARG(pattern->text));
		return false;
	}
	return true;
}

static bool pattern_method(struct load *load, const struct yaml_node *node, struct pattern *pattern)
{
	bool is_upper = load_is_token(pattern->text);

	for (size_t i = 0; is_upper && i < pattern->text.len; i++)
		is_upper = pattern->text.p[i] < 'a' || pattern->text.p[i] > 'z';
	if (!is_upper)
		load_error(load, node, "'%.*s' is not a method; they are in upper case, as GET",
			   STR_ARG(pattern->text));
	return is_upper;
}

static bool pattern_net(struct load *load, const struct yaml_node *node, struct pattern *pattern)
{
	pattern->kind = PATTERN_NET;
	if (ip_net_parse(pattern->text, &pattern->net) == 0)
		return true;
	load_error(load, node, "'%.*s' is not a network like 10.0.0.0/8", STR_ARG(pattern->text));
	return false;
}

static bool pattern_protocol(struct load *load, const struct yaml_node *node,
			     struct pattern *pattern)
{
	static const char *const words[] = { "tls", "http", "h2c", "ssh", "other", "none" };
	struct suggest suggest;

	suggest_init(&suggest, pattern->text);
	for (size_t i = 0; i < ARRAY_N(words); i++) {
		if (str_eq(pattern->text, str_of(words[i])))
			return true;
		suggest_try(&suggest, str_of(words[i]));
	}
	load_error(load, node,
		   "'%.*s' is no protocol that is told apart: tls, http, h2c, ssh, other, none%s",
		   STR_ARG(pattern->text), suggest_text(&suggest, &load->temp));
	return false;
}

static bool is_hex(char c)
{
	unsigned char lower = ascii_lower((unsigned char)c);

	return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f');
}

/* "AB:CD..." as tools print it, or the digits alone. */
static bool pattern_fingerprint(struct load *load, const struct yaml_node *node,
				struct pattern *pattern)
{
	char digits[FINGERPRINT_LEN];
	size_t n = 0;
	bool is_good = true;

	for (size_t i = 0; is_good && i < pattern->text.len; i++) {
		char c = pattern->text.p[i];

		if (is_hex(c) && n < sizeof(digits))
			digits[n++] = (char)ascii_lower((unsigned char)c);
		else
			is_good = c == ':' && n % 2 == 0 && n > 0 && n < sizeof(digits) &&
				  pattern->text.p[i - 1] != ':';
	}
	if (!is_good || n != sizeof(digits)) {
		load_error(load, node,
			   "'%.*s' is not a SHA-256 fingerprint: %d hexadecimal digits, colons "
			   "between the bytes allowed",
			   STR_ARG(pattern->text), FINGERPRINT_LEN);
		return false;
	}
	pattern->text = load_keep(load, (struct str){ digits, n });
	return true;
}

static bool pattern_value(struct load *load, const struct yaml_node *node, struct pattern *pattern)
{
	if (pattern->text.p[0] != '~')
		return true;
	pattern->text = str_sub(pattern->text.p + 1, pattern->text.p + pattern->text.len);
	return pattern_regex(load, node, pattern);
}

static pattern_fn *const pattern_fns[MATCH_KEY_N] = {
	[MATCH_METHOD] = pattern_method,   [MATCH_HOST] = pattern_host,
	[MATCH_PATH] = pattern_path,       [MATCH_PATH_PREFIX] = pattern_path,
	[MATCH_SNI] = pattern_host,        [MATCH_SOURCE] = pattern_net,
	[MATCH_ALPN] = pattern_value,      [MATCH_PROTOCOL] = pattern_protocol,
	[MATCH_CLIENT_CN] = pattern_value, [MATCH_CLIENT_FINGERPRINT] = pattern_fingerprint,
	[MATCH_HEADER] = pattern_value,    [MATCH_QUERY] = pattern_value,
	[MATCH_COOKIE] = pattern_value,    [MATCH_PATH_REGEX] = pattern_regex,
};

static bool pattern_read(struct load *load, enum match_key key, const struct yaml_node *node,
			 struct pattern *pattern)
{
	struct str text = node->text;

	if (node->kind != YAML_SCALAR || (yaml_is_null(node) && text.len)) {
		load_error(load, node, "a pattern must be a text, not %s",
			   load_describe(load, node));
		return false;
	}
	pattern->is_negated = text.len && text.p[0] == '!';
	if (pattern->is_negated)
		text = str_sub(text.p + 1, text.p + text.len);
	if (text.len > (key == MATCH_PATH_REGEX ? REGEX_PATTERN_MAX : PATTERN_LEN_MAX)) {
		load_error(load, node, "a pattern is too long");
		return false;
	}
	/* Only a field, a query key or a cookie may be there and empty. */
	if (!text.len && key != MATCH_HEADER && key != MATCH_QUERY && key != MATCH_COOKIE) {
		load_error(load, node, "a pattern is empty");
		return false;
	}
	pattern->text = pattern->written = load_keep(load, text);
	if (str_eq(text, STR("*"))) {
		pattern->kind = PATTERN_ANY;
		return true;
	}
	return !text.len || pattern_fns[key](load, node, pattern);
}

static void condition_read(struct load *load, struct match_said *said, struct condition condition,
			   const struct yaml_node *node)
{
	size_t n = load_items(node);

	if (node->kind == YAML_MAP || n == 0 || n > PATTERNS_MAX || said->n == CONDITIONS_MAX) {
		load_error(load, node,
			   "a pattern or a list of 1 to %d is expected, and %d keys at most",
			   PATTERNS_MAX, CONDITIONS_MAX);
		return;
	}
	condition.patterns = arena_calloc(load->arena, n, sizeof(*condition.patterns));
	for (size_t i = 0; i < n; i++) {
		struct pattern *pattern = &condition.patterns[condition.patterns_n];

		if (!pattern_read(load, condition.key, load_item(node, i), pattern))
			continue;
		condition.has_plain |= !pattern->is_negated;
		condition.patterns_n++;
	}
	said->conditions[said->n++] = condition;
}

bool read_patterns(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		   void *base)
{
	if (node->kind == YAML_MAP)
		return false;
	condition_read(load, base, (struct condition){ .key = (enum match_key)row->arg }, node);
	return true;
}

static bool check_condition_name(struct load *load, enum match_key key,
				 const struct yaml_node *node)
{
	bool ok = node->text.len >= 1 && node->text.len <= NAME_TEXT_MAX &&
		  (key == MATCH_QUERY || load_is_token(node->text));

	if (!ok)
		load_error(load, node, "%s is not the name of a %s", load_describe(load, node),
			   key == MATCH_HEADER  ? "header field"
			   : key == MATCH_QUERY ? "query key"
						: "cookie");
	return ok;
}

bool read_named_patterns(struct load *load, const struct schema_row *row,
			 const struct yaml_node *node, void *base)
{
	enum match_key key = (enum match_key)row->arg;

	if (node->kind != YAML_MAP)
		return false;
	for (size_t i = 0; i < node->n; i++) {
		const struct yaml_pair *pair = &node->pairs[i];

		if (check_condition_name(load, key, pair->key))
			condition_read(
				load, base,
				(struct condition){ .key = key,
						    .name = load_keep(load, pair->key->text) },
				pair->value);
	}
	return true;
}

bool read_match(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		void *base)
{
	struct match_said *said;
	struct match *match;

	if (yaml_is_null(node))
		return true;
	if (node->kind != YAML_MAP)
		return false;
	if (!load->match_said)
		load->match_said = arena_alloc(&load->temp, sizeof(*said));
	said = load->match_said;
	said->n = 0;
	section_read(load, S_MATCH, node, said, NULL);
	if (!said->n)
		return true;
	match = arena_calloc(load->arena, 1, sizeof(*match));
	match->conditions = arena_calloc(load->arena, said->n, sizeof(*match->conditions));
	for (unsigned key = 0; key < MATCH_KEY_N; key++)
		for (size_t i = 0; i < said->n; i++)
			if (said->conditions[i].key == key)
				match->conditions[match->conditions_n++] = said->conditions[i];
	*(const struct match **)schema_field(row, base) = match;
	return true;
}
