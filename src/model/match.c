/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/match.h"

#include "model/match_build.h"
#include "proto/cookie.h"
#include "proto/uri.h"

#define DECODED_MAX (32 * 1024) /* the most that limits.uri allows for the whole target */

/* What a list of patterns has come to while the values of one key are shown to it. */
struct tally {
	const struct condition *condition;
	bool is_hit;     /* a plain pattern matches */
	bool is_refused; /* a negated one does */
};

static bool is_suffix(struct str text, struct str suffix)
{
	return text.len > suffix.len && str_iends(text, suffix);
}

/* VALUE is there; does it look as PATTERN says? */
static bool pattern_matches(const struct pattern *pattern, struct str value, bool is_caseless)
{
	switch (pattern->kind) {
	case PATTERN_EXACT:
		return value.len == pattern->text.len &&
		       (is_caseless ? str_ieq(value, pattern->text) : str_eq(value, pattern->text));
	case PATTERN_ANY:
		return true;
	case PATTERN_SUFFIX:
		return is_suffix(value, pattern->text);
	case PATTERN_REGEX:
		return regex_matches(pattern->regex, value);
	case PATTERN_NET:
		return false;
	}
	return false;
}

static void tally_value(struct tally *tally, struct str value, bool is_caseless)
{
	const struct condition *condition = tally->condition;

	for (size_t i = 0; i < condition->patterns_n; i++) {
		const struct pattern *pattern = &condition->patterns[i];
		bool *found = pattern->is_negated ? &tally->is_refused : &tally->is_hit;

		if (!*found && pattern_matches(pattern, value, is_caseless))
			*found = true;
	}
}

static bool tally_holds(const struct tally *tally)
{
	return !tally->is_refused && (tally->is_hit || !tally->condition->has_plain);
}

static bool value_holds(const struct condition *condition, struct str value, bool is_caseless)
{
	struct tally tally = { .condition = condition };

	if (value.p)
		tally_value(&tally, value, is_caseless);
	return tally_holds(&tally);
}

/* A root's dot ends the same name: "example.com." */
static bool host_holds(const struct condition *condition, struct str host)
{
	if (host.len > 1 && host.p[host.len - 1] == '.')
		host.len--;
	if (!host.len)
		host = STR_NONE;
	return value_holds(condition, host, true);
}

/* "/a" leads "/a" and "/a/b", not "/ab"; "/a/" leads "/a/b" and "/a/". */
static bool is_prefix(struct str path, struct str prefix)
{
	if (!str_starts(path, prefix))
		return false;
	return path.len == prefix.len || prefix.p[prefix.len - 1] == '/' ||
	       path.p[prefix.len] == '/';
}

static bool prefix_holds(const struct condition *condition, struct str path)
{
	struct tally tally = { .condition = condition };

	for (size_t i = 0; path.p && i < condition->patterns_n; i++) {
		const struct pattern *pattern = &condition->patterns[i];

		if (pattern->kind == PATTERN_ANY || is_prefix(path, pattern->text))
			*(pattern->is_negated ? &tally.is_refused : &tally.is_hit) = true;
	}
	return tally_holds(&tally);
}

static bool source_holds(const struct condition *condition, const struct ip_addr *client)
{
	struct tally tally = { .condition = condition };

	for (size_t i = 0; i < condition->patterns_n; i++) {
		const struct pattern *pattern = &condition->patterns[i];

		if (pattern->kind == PATTERN_ANY ? client->family != AF_UNSPEC
						 : ip_net_has(&pattern->net, client))
			*(pattern->is_negated ? &tally.is_refused : &tally.is_hit) = true;
	}
	return tally_holds(&tally);
}

static bool header_holds(const struct condition *condition, const struct http_head *head)
{
	struct tally tally = { .condition = condition };

	for (unsigned i = 0; head && i < head->fields_n; i++) {
		const struct http_field *field = &head->fields[i];

		if (field->name.len == condition->name.len && str_ieq(field->name, condition->name))
			tally_value(&tally, field->value, false);
	}
	return tally_holds(&tally);
}

/* A value that the target's limit would not have let in is compared as it was sent. */
static void tally_query_value(struct tally *tally, struct str raw)
{
	char decoded[DECODED_MAX];
	ptrdiff_t len;

	if (!raw.len || (!memchr(raw.p, '%', raw.len) && !memchr(raw.p, '+', raw.len))) {
		tally_value(tally, raw.p ? raw : STR(""), false);
		return;
	}
	len = uri_decode(raw, decoded, sizeof(decoded), true);
	tally_value(tally, len < 0 ? raw : (struct str){ decoded, (size_t)len }, false);
}

static bool query_holds(const struct condition *condition, struct str query)
{
	struct tally tally = { .condition = condition };
	struct str key, value;

	while (uri_next_param(&query, &key, &value))
		if (uri_key_is(key, condition->name))
			tally_query_value(&tally, value);
	return tally_holds(&tally);
}

static bool cookie_holds(const struct condition *condition, const struct http_head *head)
{
	struct tally tally = { .condition = condition };
	int first = head ? head->first[FIELD_COOKIE] : -1;
	struct str rest, name, value;

	for (unsigned i = (unsigned)first; first >= 0 && i < head->fields_n; i++) {
		if (head->fields[i].id != FIELD_COOKIE)
			continue;
		rest = head->fields[i].value;
		while (cookie_next(&rest, &name, &value))
			if (str_eq(name, condition->name))
				tally_value(&tally, value, false);
	}
	return tally_holds(&tally);
}

/* A list holds each name behind its length. */
static bool alpn_holds(const struct condition *condition, const struct match_facts *facts)
{
	struct tally tally = { .condition = condition };
	struct str rest = facts->alpn;

	if (!facts->is_alpn_list)
		return value_holds(condition, rest, false);
	while (rest.len > 1) {
		size_t n = (unsigned char)rest.p[0];

		if (n > rest.len - 1)
			break;
		tally_value(&tally, (struct str){ rest.p + 1, n }, false);
		rest = (struct str){ rest.p + 1 + n, rest.len - 1 - n };
	}
	return tally_holds(&tally);
}

static bool condition_holds(const struct condition *condition, const struct match_facts *facts)
{
	switch (condition->key) {
	case MATCH_METHOD:
		return value_holds(condition, facts->head ? facts->head->method : STR_NONE, false);
	case MATCH_HOST:
		return host_holds(condition, facts->host);
	case MATCH_PATH:
	case MATCH_PATH_REGEX:
		return value_holds(condition, facts->path, false);
	case MATCH_PATH_PREFIX:
		return prefix_holds(condition, facts->path);
	case MATCH_SNI:
		return host_holds(condition, facts->sni);
	case MATCH_ALPN:
		return alpn_holds(condition, facts);
	case MATCH_PROTOCOL:
		return value_holds(condition, facts->protocol, false);
	case MATCH_CLIENT_CN:
		return value_holds(condition, facts->client_cn, false);
	case MATCH_CLIENT_FINGERPRINT:
		return value_holds(condition, facts->client_fingerprint, true);
	case MATCH_SOURCE:
		return source_holds(condition, facts->client);
	case MATCH_HEADER:
		return header_holds(condition, facts->head);
	case MATCH_QUERY:
		return query_holds(condition, facts->head ? facts->head->query : STR_NONE);
	case MATCH_COOKIE:
		return cookie_holds(condition, facts->head);
	case MATCH_KEY_N:
		break;
	}
	return false;
}

bool match_holds(const struct match *match, const struct match_facts *facts)
{
	if (!match)
		return true;
	for (size_t i = 0; i < match->conditions_n; i++)
		if (!condition_holds(&match->conditions[i], facts))
			return false;
	return true;
}

enum match_looks match_looks_at(const struct match *match)
{
	enum match_looks looks = MATCH_LOOKS_AT_NOTHING;

	for (size_t i = 0; i < match->conditions_n; i++) {
		enum match_key key = match->conditions[i].key;

		if (key == MATCH_SNI || key == MATCH_ALPN)
			return MATCH_LOOKS_AT_HELLO;
		if (key == MATCH_PROTOCOL)
			looks = MATCH_LOOKS_AT_PROTOCOL;
	}
	return looks;
}
