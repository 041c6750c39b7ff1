/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "balance/stick.h"

#include <stdlib.h>

#include "balance/lb.h"
#include "balance/sessions.h"
#include "balance/stick_hint.h"
#include "base/mem.h"

_Static_assert(SERVERS_MAX - 1 <= TABLE_SERVER_MAX, "a table keeps 16 bits of a server's number");

#define IDLE_DEFAULT_MS SEC(45) /* Engine.IO 4: pingInterval 25 s + pingTimeout 20 s */
#define EXPIRE_MAX      65536u  /* entries of one table freed by one stick_expire() */

static const char *const kind_names[] = {
	[STICK_ENGINEIO] = "engineio",
	[STICK_COOKIE_INSERT] = "cookie",
	[STICK_COOKIE_LEARN] = "cookie_learn",
	[STICK_IP] = "ip",
	[STICK_N] = "-",
};

const char *stick_kind_name(enum stick_kind kind)
{
	return kind_names[kind];
}

/* May MEMBER get this request?  A session of its own goes on while the server drains. */
static bool may_serve(const struct srvset_member *member, bool is_own)
{
	return is_own ? server_is_able(member->server)
		      : server_is_ready(member->server) && member->weight > 0;
}

static void decide(struct stick *stick, enum stick_kind kind, struct server *server, bool is_own)
{
	stick->result = STICK_TO;
	stick->kind = kind;
	stick->server = server;
	stick->is_own_session = is_own;
}

void stick_session_begin(struct server *server, uint32_t *generation)
{
	*generation = server_generation(server);
	sessions_up(server);
	count(&server->counters, server_handshakes);
}

void stick_session_end(struct server *server, uint32_t generation)
{
	if (server_generation(server) == generation)
		sessions_down(server);
}

/* Was the sid learned under another digest key (a reload, the process before)?  Goes on with that.
 */
static bool open_former(struct stick *stick, struct table *table, struct table_value *value)
{
	struct str sid = { stick->query.sid, stick->query.sid_len };
	struct table_key key;

	for (uint32_t i = 0; table_key_former(table, sid, i, &key); i++)
		if (table_open(table, &key, value)) {
			stick->key = key;
			return true;
		}
	return false;
}

static bool open_sid(struct stick *stick, struct table *table, struct table_value *value)
{
	if (!stick->has_key)
		return false;
	return table_open(table, &stick->key, value) ||
	       (unlikely(table_digest_has_former()) && open_former(stick, table, value));
}

/*
 * A sid that is known decides before all rules, wherever the engineio rule stands: no other rule
 * may move a live session.  The order matters for handshakes, unknown sids and all other requests.
 */
static void ask_sid(struct stick *stick, const struct stick_facts *facts)
{
	struct backend_state *state = facts->backend->state;
	struct table *table = state->tables[STICK_ENGINEIO];
	struct table_value value;

	if (!open_sid(stick, table, &value)) {
		count(&state->counters, backend_sid_misses);
		return;
	}
	struct server *server = server_by_number(value.server);

	stick->idle_ms = value.idle_ms;
	if (value.expires_in_ms < (int64_t)value.idle_ms)
		stick->was_idle_ms = value.idle_ms - (uint32_t)value.expires_in_ms;
	if (server && server_is_of_generation(server, value.generation) && server_is_able(server) &&
	    srvset_find(facts->set, server)) {
		stick->is_sid_known = true;
		decide(stick, STICK_ENGINEIO, server, true);
		count(&state->counters, backend_sid_hits);
		return;
	}
	/* The entry stays: later requests of the session must hear the same, of no other worker. */
	table_close(table, &stick->key);
	stick->kind = STICK_ENGINEIO;
	stick->result = STICK_DEAD;
	count(&state->counters, backend_sid_dead);
}

/*
 * One function per kind of rule.  Each reads what it will learn from, and decides if none has yet.
 */
static void ask_engineio(struct stick *stick)
{
	if (stick->result != STICK_FREE || !stick->has_sid ||
	    !stick->engineio_rule->is_unknown_rejected)
		return;
	stick->kind = STICK_ENGINEIO;
	stick->result = STICK_UNKNOWN;
}

static void ask_cookie(struct stick *stick, const struct stick_facts *facts)
{
	struct srvset_member *member =
		stick_cookie_member(stick->cookie_rule, facts->set, facts->head);

	if (!member)
		return;
	stick->has_valid_cookie = true;
	stick->cookie_server = member->server;
	if (stick->result != STICK_FREE || !may_serve(member, !stick->is_handshake))
		return;
	decide(stick, STICK_COOKIE_INSERT, member->server, !stick->is_handshake);
	count(&facts->backend->state->counters, backend_cookie_hits);
}

/* The member that KEY remembers in the table of KIND, used now, or NULL. */
static struct srvset_member *remembered(const struct stick_facts *facts, enum stick_kind kind,
					const struct table_key *key)
{
	struct table *table = facts->backend->state->tables[kind];
	struct table_value value;
	struct server *server;

	if (!table_touch(table, key, &value))
		return NULL;
	server = server_by_number(value.server);
	return server ? srvset_find(facts->set, server) : NULL;
}

/* The key of the app's cookie: a former one when the value was learned under that. */
static struct table_key learned_key(struct table *table, struct str value)
{
	struct table_key key = table_key(table, value), former;
	struct table_value there;

	if (likely(!table_digest_has_former()) || table_find(table, &key, &there))
		return key;
	for (uint32_t i = 0; table_key_former(table, value, i, &former); i++)
		if (table_find(table, &former, &there))
			return former;
	return key;
}

static void ask_learned(struct stick *stick, const struct stick_facts *facts)
{
	struct str value = stick_cookie_learned(stick->learn_rule, facts->head);
	struct table *table = facts->backend->state->tables[STICK_COOKIE_LEARN];
	struct srvset_member *member;

	if (!value.len || !table)
		return;
	stick->learn_key = learned_key(table, value);
	if (stick->result != STICK_FREE)
		return;
	member = remembered(facts, STICK_COOKIE_LEARN, &stick->learn_key);
	if (!member || !may_serve(member, !stick->is_handshake))
		return;
	decide(stick, STICK_COOKIE_LEARN, member->server, !stick->is_handshake);
	count(&facts->backend->state->counters, backend_cookie_hits);
}

/* The key of an address: its bytes under the prefix; the length tells the family. */
static struct table_key ip_key(const struct table *table, const struct stick_rule *rule,
			       const struct ip_addr *client)
{
	struct ip_addr masked = ip_addr_masked(client, rule->prefix_v4, rule->prefix_v6);

	return table_key(table,
			 (struct str){ (char *)masked.ip, masked.family == AF_INET ? 4 : 16 });
}

static void ask_ip(struct stick *stick, const struct stick_facts *facts)
{
	const struct stick_rule *rule = stick->ip_rule;
	/* Else a reload may be making it. */
	struct table *table = rule->remember_ms ? facts->backend->state->tables[STICK_IP] : NULL;
	struct srvset_member *member = NULL;

	if (stick->result != STICK_FREE || !facts->client || facts->client->family == AF_UNSPEC)
		return;
	if (table) {
		struct table_key key = ip_key(table, rule, facts->client);

		member = remembered(facts, STICK_IP, &key);
	}
	if (!member || !may_serve(member, false))
		member = lb_by_hash(facts->set,
				    lb_ip_hash(facts->client, rule->prefix_v4, rule->prefix_v6));
	if (!member)
		return;
	decide(stick, STICK_IP, member->server, false);
	count(&facts->backend->state->counters, backend_ip_hits);
}

static void note_rule(struct stick *stick, const struct stick_rule *rule)
{
	switch (rule->kind) {
	case STICK_ENGINEIO:
		stick->engineio_rule = rule;
		break;
	case STICK_COOKIE_INSERT:
		stick->cookie_rule = rule;
		break;
	case STICK_COOKIE_LEARN:
		stick->learn_rule = rule;
		break;
	case STICK_IP:
		stick->ip_rule = rule;
		break;
	case STICK_N:
		break;
	}
}

static void read_engineio(struct stick *stick, const struct stick_facts *facts)
{
	const struct http_head *head = facts->head;
	struct table *table = facts->backend->state->tables[STICK_ENGINEIO];

	if (!engineio_path_matches(head->path, stick->engineio_rule->path))
		return;
	stick->is_engineio = true;
	engineio_parse_query(head->query, &stick->query);
	stick->has_sid = stick->query.has_sid;
	/* An OPTIONS without a sid is a preflight of the handshake; no session is born of it. */
	stick->is_handshake = !stick->has_sid && head->method_id == HTTP_GET;
	stick->has_key = stick->has_sid && !stick->query.is_sid_too_long && table;
	if (stick->has_key)
		stick->key = stick_hint_key(table,
					    (struct str){ stick->query.sid, stick->query.sid_len });
}

static void ask_rule(struct stick *stick, const struct stick_rule *rule,
		     const struct stick_facts *facts)
{
	switch (rule->kind) {
	case STICK_ENGINEIO:
		ask_engineio(stick);
		break;
	case STICK_COOKIE_INSERT:
		if (facts->head)
			ask_cookie(stick, facts);
		break;
	case STICK_COOKIE_LEARN:
		if (facts->head)
			ask_learned(stick, facts);
		break;
	case STICK_IP:
		ask_ip(stick, facts);
		break;
	case STICK_N:
		break;
	}
}

/* The query's bytes are not cleared: its length tells what is valid. */
static void stick_init(struct stick *stick)
{
	stick->result = STICK_FREE;
	stick->kind = STICK_N;
	stick->server = NULL;
	stick->is_own_session = stick->is_engineio = stick->is_handshake = false;
	stick->has_sid = stick->is_sid_known = stick->has_valid_cookie = stick->has_key = false;
	stick->cookie_server = stick->chosen = stick->pending = NULL;
	stick->engineio_rule = stick->cookie_rule = stick->learn_rule = stick->ip_rule = NULL;
	stick->idle_ms = stick->was_idle_ms = 0;
	stick->learn_key.len = 0;
}

void stick_ask(struct stick *stick, const struct stick_facts *facts)
{
	const struct backend *backend = facts->backend;

	stick_init(stick);
	for (size_t i = 0; i < backend->sticks_n; i++)
		note_rule(stick, &backend->sticks[i]);
	if (stick->engineio_rule && facts->head)
		read_engineio(stick, facts);
	if (stick->has_sid)
		ask_sid(stick, facts);
	/* Also after one has decided: the others read what they will learn from. */
	for (size_t i = 0; i < backend->sticks_n; i++)
		ask_rule(stick, &backend->sticks[i], facts);
}

/*
 * What a choice teaches.
 */
static uint32_t idle_of(int64_t ms)
{
	return ms < 1 ? 1 : ms > TABLE_IDLE_MAX_MS ? TABLE_IDLE_MAX_MS : (uint32_t)ms;
}

/* SERVER for KEY, unless the one that is remembered is able to serve and IS_FINAL is false. */
static void remember(struct table *table, const struct table_key *key, const struct server *server,
		     int64_t idle_ms, bool is_final)
{
	struct table_value value = {
		.server = server->number,
		.generation = server_generation(server),
		.idle_ms = idle_of(idle_ms),
	};
	struct table_value was;

	if (!is_final && table_touch(table, key, &was)) {
		const struct server *old = server_by_number(was.server);

		if (old && old != server && server_is_able(old))
			return;
	}
	table_put(table, key, &value, NULL);
}

void stick_chosen(struct stick *stick, const struct backend *backend, struct server *server,
		  const struct ip_addr *client)
{
	bool is_again = stick->chosen && stick->chosen != server;
	const struct stick_rule *rule = stick->ip_rule;
	struct table *const *tables = backend->state->tables;

	stick->chosen = server;
	stick_settled(stick);
	if (stick->is_handshake) {
		lb_pending_add(server, 1);
		stick->pending = server;
	}
	if (stick->learn_rule && stick->kind != STICK_COOKIE_LEARN && stick->learn_key.len)
		remember(tables[STICK_COOKIE_LEARN], &stick->learn_key, server,
			 stick->learn_rule->learn_idle_ms, is_again);
	if (rule && rule->remember_ms && tables[STICK_IP] && client &&
	    client->family != AF_UNSPEC) {
		struct table_key key = ip_key(tables[STICK_IP], rule, client);

		remember(tables[STICK_IP], &key, server, rule->remember_ms, is_again);
	}
}

void stick_settled(struct stick *stick)
{
	if (stick->pending)
		lb_pending_add(stick->pending, -1);
	stick->pending = NULL;
}

void stick_learn_sid(struct stick *stick, const struct backend *backend, struct server *server,
		     struct str sid, uint32_t idle_ms)
{
	struct table *table = backend->state->tables[STICK_ENGINEIO];
	const struct stick_rule *rule = stick->engineio_rule;
	struct table_value value = { .server = server->number };

	if (!table || !rule || !sid.len || sid.len > TABLE_KEY_MAX)
		return;
	struct table_key key = table_key(table, sid);

	value.generation = server_generation(server);
	value.idle_ms = idle_of(rule->idle_ms ? rule->idle_ms
				: idle_ms     ? (int64_t)idle_ms
					      : IDLE_DEFAULT_MS);
	sessions_up(server);
	if (table_put(table, &key, &value, NULL) == TABLE_PUT_SAME) {
		sessions_down(server);
	} else {
		count(&backend->state->counters, backend_sids_learned);
		count(&server->counters, server_handshakes);
	}
	stick_settled(stick);
}

void stick_drop_sid(struct stick *stick, const struct backend *backend)
{
	struct table *table = backend->state->tables[STICK_ENGINEIO];
	struct table_value value;

	if (!table || !stick->has_key)
		return;
	/* Another worker may have given the same sid meanwhile (small numbers): not ours to end. */
	if (stick->chosen && table_find(table, &stick->key, &value) &&
	    value.server != stick->chosen->number)
		return;
	table_drop(table, &stick->key);
	stick->is_sid_known = false; /* nothing to close; a new entry of this sid is not ours */
}

bool stick_retire_key(struct table *table, const struct table_key *key, const struct server *server)
{
	struct table_value only = { .server = server->number,
				    .generation = server_generation(server) };

	return table_retire(table, key, &only);
}

bool stick_retire_sid(const struct stick *stick, const struct backend *backend,
		      const struct server *server)
{
	struct table *table = backend->state->tables[STICK_ENGINEIO];

	return table && stick->has_key && stick_retire_key(table, &stick->key, server);
}

void stick_end(struct stick *stick, const struct backend *backend)
{
	if (stick->is_sid_known)
		table_close(backend->state->tables[STICK_ENGINEIO], &stick->key);
	stick->is_sid_known = false;
	stick_settled(stick);
}

/*
 * Tables.
 */
void stick_prepare(const struct backend *backend)
{
	struct backend_state *state = backend->state;

	for (size_t i = 0; i < backend->sticks_n; i++) {
		const struct stick_rule *rule = &backend->sticks[i];

		if (rule->kind == STICK_COOKIE_INSERT ||
		    (rule->kind == STICK_IP && !rule->remember_ms))
			continue;
		if (state->tables[rule->kind]) {
			table_set_max(state->tables[rule->kind], rule->max_entries);
			continue;
		}
		/* The name lives as long as the table and the backend: for ever. */
		state->tables[rule->kind] = table_new(&(struct table_options){
			.name = xasprintf("%s/%s", state->name, stick_kind_name(rule->kind)),
			.max_entries = rule->max_entries,
			.on_gone = rule->kind == STICK_ENGINEIO ? sessions_entry_gone : NULL,
			.is_secret =
				rule->kind == STICK_ENGINEIO || rule->kind == STICK_COOKIE_LEARN,
			.is_counted = rule->kind == STICK_ENGINEIO,
		});
	}
}

void stick_fini(void)
{
	for (struct backend_state *state = backend_state_first(); state; state = state->next)
		for (int kind = 0; kind < STICK_N; kind++) {
			const char *name =
				state->tables[kind] ? table_name(state->tables[kind]) : NULL;

			table_free(state->tables[kind]);
			free((void *)(uintptr_t)name);
			state->tables[kind] = NULL;
		}
}

void stick_expire(void)
{
	for (struct backend_state *state = backend_state_first(); state; state = state->next)
		for (int kind = 0; kind < STICK_N; kind++)
			if (state->tables[kind])
				table_expire(state->tables[kind], EXPIRE_MAX);
}
