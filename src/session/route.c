/* SPDX-License-Identifier: MIT */
/*
 * route - where a request belongs: its route, its backend, and what stickiness says of it.
 *
 * Here it may have to wait for what other nodes know (share.h): for a session that this one does
 * not, before a server is chosen; and, its answer in hand, until the session that began with it is
 * on Redis.
 */
#include "config.h"

#include "balance/share.h"
#include "model/match.h"
#include "model/route_index.h"
#include "proto/uri.h"
#include "session/ending.h"
#include "session/tls_facts.h"
#include "session/txn.h"

/* Our own answers must be readable for the page that asked. */
static void txn_take_origin(struct txn *txn)
{
	const struct http_field *origin = http_head_first(txn->head, FIELD_ORIGIN);

	if (!origin || origin->value.len > ORIGIN_MAX)
		return;
	memcpy(txn->origin, origin->value.p, origin->value.len);
	txn->origin_len = (uint16_t)origin->value.len;
}

static const struct route *find_route(struct txn *txn)
{
	const struct frontend *frontend = txn->client->frontend;
	struct match_facts facts = { .head = txn->head, .client = &txn->source };
	struct str authority = txn->head->authority;
	const char *colon;

	if (!frontend->routes_n)
		return NULL;
	facts.path = uri_normalize_path(txn->head->path, txn->traffic->scratch, SCRATCH_SIZE);
	if (!facts.path.p)
		facts.path = txn->head->path;
	facts.host = authority;
	if (authority.len && authority.p[0] == '[') {
		ptrdiff_t end = str_find_char(authority, ']');

		if (end > 0)
			facts.host = (struct str){ authority.p + 1, (size_t)end - 1 };
	} else if (authority.len && (colon = memrchr(authority.p, ':', authority.len)) != NULL) {
		facts.host = str_sub(authority.p, colon);
	}
	tls_facts_match(txn->client, &facts);
	return route_find(frontend, &facts);
}

static void ask_stick(struct txn *txn)
{
	struct stick_facts facts = {
		.backend = txn->backend,
		.set = srvset_of(txn->backend->state),
		.head = txn->head,
		.client = &txn->source,
	};

	stick_ask(&txn->stick, &facts);
}

/* What stickiness has said; STEP_NEXT: to a server. */
static enum step judge(struct txn *txn)
{
	if (txn->stick.result == STICK_DEAD)
		return txn_answer_session_unknown(txn, END_SESSION_DEAD);
	if (txn->stick.result == STICK_UNKNOWN)
		return txn_answer_session_unknown(txn, END_SESSION_UNKNOWN);
	if (txn->traffic->endings && txn->stick.is_sid_known && ending_takes(txn))
		return txn_answer_session_unknown(txn, END_SESSION_MOVED);
	return STEP_NEXT;
}

static void on_asked(void *arg, enum share_answer answer)
{
	struct txn *txn = arg;

	check_magic(txn, TXN_MAGIC);
	txn->question = NULL;
	if (answer == SHARE_YES) {
		stick_end(&txn->stick, txn->backend);
		ask_stick(txn);
		txn->is_told = txn->stick.result == STICK_TO && txn->stick.is_sid_known;
	}
	txn_set_state(txn, TXN_PICK);
	if (judge(txn) != STEP_GONE)
		txn_run(txn);
}

/* A session that another node may know.  The request's head, and what came of its body, stay. */
static bool has_asked(struct txn *txn)
{
	const struct stick *stick = &txn->stick;
	struct table *table = txn->backend->state->tables[STICK_ENGINEIO];
	struct share_question *question;

	if (likely(stick->is_sid_known) || !stick->has_key || stick->result == STICK_DEAD)
		return false;
	question = share_ask(table, &stick->key, &txn->traffic->loop, on_asked, txn);
	if (!question)
		return false;
	txn_set_state(txn, TXN_ASK);
	txn->question = question;
	return true;
}

/* Its route is found. */
static enum step take_route(struct txn *txn)
{
	const struct frontend *frontend = txn->client->frontend;

	if (txn->route && txn->route->is_rejected) {
		count(&txn->client->frontend->state->counters, frontend_requests_denied);
		return txn_tcp_refuse(txn, END_REJECTED, NULL); /* in mode http, too */
	}
	if (txn->route && (txn->route->respond.status || txn->route->redirect.status))
		return txn_answer_route(txn);
	txn->backend = txn->route ? txn->route->backend : frontend->backend;
	if (!txn->backend)
		return txn_answer(txn, 503, END_NO_ROUTE, "no route matches");
	count(&txn->backend->state->counters, backend_requests);
	txn->retries_left = txn->backend->retries;
	ask_stick(txn);
	if (txn->stick.is_engineio)
		txn_take_origin(txn);
	return has_asked(txn) ? STEP_WAIT : judge(txn);
}

enum step txn_route(struct txn *txn)
{
	txn->route = find_route(txn);
	return take_route(txn);
}

enum step txn_route_tcp(struct txn *txn, const struct match_facts *facts)
{
	txn->route = route_find(txn->client->frontend, facts);
	return take_route(txn);
}

static void on_stored(void *arg, enum share_answer answer)
{
	struct txn *txn = arg;

	(void)answer; /* the cap is over, or Redis away: the client need not suffer for it */
	check_magic(txn, TXN_MAGIC);
	txn->question = NULL;
	txn->is_held = false;
	txn_run(txn);
}

void txn_hold_until_stored(struct txn *txn, struct str sid)
{
	struct table *table = txn->backend->state->tables[STICK_ENGINEIO];
	struct table_key key = table_key(table, sid);

	txn->question = share_store(table, &key, &txn->traffic->loop, on_stored, txn);
	txn->is_held = txn->question != NULL;
}
