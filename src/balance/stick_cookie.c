/* SPDX-License-Identifier: MIT */
/* The two cookie rules: our own token (insert), and the app's cookie (learn). */
#include "config.h"

#include "balance/stick.h"

#include <stdio.h>
#include <string.h>

#include "balance/lb.h"
#include "proto/cookie.h"

struct stick_rule *stick_random_rule(struct backend *backend)
{
	for (size_t i = 0; i < backend->sticks_n; i++)
		if (backend->sticks[i].kind == STICK_COOKIE_INSERT &&
		    backend->sticks[i].is_secret_random)
			return &backend->sticks[i];
	return NULL;
}

/* Goes through the cookies of all Cookie fields that are called NAME; AT and REST are its place. */
static bool next_cookie(const struct http_head *head, struct str name, uint16_t *at,
			struct str *rest, struct str *value)
{
	struct str found;

	for (;;) {
		while (cookie_next(rest, &found, value))
			if (str_eq(found, name))
				return true;
		while (*at < head->fields_n && head->fields[*at].id != FIELD_COOKIE)
			++*at;
		if (*at >= head->fields_n)
			return false;
		*rest = head->fields[(*at)++].value;
	}
}

static uint16_t first_cookie_field(const struct http_head *head)
{
	int16_t first = head->first[FIELD_COOKIE];

	return first < 0 ? head->fields_n : (uint16_t)first;
}

struct srvset_member *stick_cookie_member(const struct stick_rule *rule, struct srvset *set,
					  const struct http_head *head)
{
	uint16_t at = first_cookie_field(head);
	struct str rest = STR(""), value;
	struct srvset_member *member = NULL;

	while (!member && next_cookie(head, rule->cookie_name, &at, &rest, &value))
		member = lb_by_token(set, value);
	return member;
}

struct str stick_cookie_learned(const struct stick_rule *rule, const struct http_head *head)
{
	uint16_t at = first_cookie_field(head);
	struct str rest = STR(""), value;

	while (next_cookie(head, rule->cookie_name, &at, &rest, &value))
		if (value.len)
			return value;
	return STR("");
}

static uint32_t idle_of(int64_t ms)
{
	return ms < 1 ? 1 : ms > TABLE_IDLE_MAX_MS ? TABLE_IDLE_MAX_MS : (uint32_t)ms;
}

void stick_learn_set_cookie(const struct stick *stick, const struct backend *backend,
			    struct server *server, struct str set_cookie)
{
	struct table *table = backend->state->tables[STICK_COOKIE_LEARN];
	struct str name, value;
	bool is_deleted;

	if (!stick->learn_rule || !table ||
	    !set_cookie_parse(set_cookie, &name, &value, &is_deleted) ||
	    !str_eq(name, stick->learn_rule->cookie_name))
		return;
	if (is_deleted) {
		if (stick->learn_key.len)
			table_drop(table, &stick->learn_key);
		return;
	}
	if (!value.len)
		return;
	struct table_key key = table_key(table, value);
	struct table_value entry = {
		.server = server->number,
		.generation = atomic_load_explicit(&server->generation, memory_order_relaxed),
		.idle_ms = idle_of(stick->learn_rule->learn_idle_ms),
	};

	table_put(table, &key, &entry, NULL);
}

/* TEXT after *LEN bytes of OUT; *LEN becomes SIZE when it does not fit. */
static void append(char *out, size_t size, size_t *len, struct str text)
{
	if (*len >= size || text.len >= size - *len) {
		*len = size;
		return;
	}
	if (text.len)
		memcpy(out + *len, text.p, text.len);
	*len += text.len;
}

size_t stick_set_cookie(const struct stick *stick, struct srvset *set, const struct server *server,
			char *out, size_t out_size)
{
	static const struct str same_site[] = {
		[SAME_SITE_UNSET] = STR_INIT(""),
		[SAME_SITE_LAX] = STR_INIT("; SameSite=Lax"),
		[SAME_SITE_STRICT] = STR_INIT("; SameSite=Strict"),
		[SAME_SITE_NONE] = STR_INIT("; SameSite=None"),
	};
	const struct stick_rule *rule = stick->cookie_rule;
	const struct srvset_member *member;
	size_t len = 0;

	if (!rule || (stick->has_valid_cookie && stick->cookie_server == server))
		return 0;
	member = srvset_find(set, server);
	if (!member || !member->cookie[0])
		return 0;
	append(out, out_size, &len, rule->cookie_name);
	append(out, out_size, &len, STR("="));
	append(out, out_size, &len, str_of(member->cookie));
	append(out, out_size, &len, STR("; Path="));
	append(out, out_size, &len, rule->cookie_path.len ? rule->cookie_path : STR("/"));
	if (rule->domain.len) {
		append(out, out_size, &len, STR("; Domain="));
		append(out, out_size, &len, rule->domain);
	}
	if (rule->max_age_s >= 0) {
		char number[32];
		int n = snprintf(number, sizeof(number), "; Max-Age=%lld",
				 (long long)rule->max_age_s);

		append(out, out_size, &len, (struct str){ number, (size_t)n });
	}
	if (rule->is_http_only)
		append(out, out_size, &len, STR("; HttpOnly"));
	if (rule->is_secure)
		append(out, out_size, &len, STR("; Secure"));
	append(out, out_size, &len, same_site[rule->same_site]);
	if (len >= out_size)
		return 0;
	out[len] = '\0';
	return len;
}
