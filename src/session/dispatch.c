/* SPDX-License-Identifier: MIT */
/*
 * dispatch - from a request to a connection: stickiness, balancing, slots, connects and retries.
 *
 * Nothing here runs once a byte of the request may have reached a server.
 */
#include "config.h"

#include <errno.h>

#include "net/tls.h"
#include "proto/cookie.h"
#include "proto/uri.h"
#include "session/txn.h"
#include "session/upstream.h"

static bool hash_key(const struct txn *txn, uint64_t *hash)
{
	const struct backend *backend = txn->backend;
	const struct http_field *field;
	struct str value = STR_NONE;

	switch (backend->hash_source) {
	case HASH_IP:
		*hash = lb_ip_hash(&txn->source, 32, 64);
		return true;
	case HASH_URI:
		value = txn->head->path;
		break;
	case HASH_HEADER:
		field = http_head_find(txn->head, backend->hash_name);
		value = field ? field->value : STR_NONE;
		break;
	case HASH_QUERY:
		uri_find_param(txn->head->query, backend->hash_name, true, &value);
		break;
	case HASH_COOKIE:
		field = http_head_first(txn->head, FIELD_COOKIE);
		if (field)
			cookie_find(field->value, backend->hash_name, &value);
		break;
	}
	if (!value.p || !value.len)
		return false;
	*hash = lb_key_hash(value);
	return true;
}

static void prepare_ask(struct txn *txn)
{
	txn->lb.set = srvset_of(txn->backend->state);
	if (txn->lb.backend)
		return;
	txn->lb.backend = txn->backend;
	if (txn->backend->balance == BALANCE_HASH)
		txn->lb.has_key = hash_key(txn, &txn->lb.key_hash);
}

static bool is_queue_full(const struct txn *txn)
{
	const struct backend *backend = txn->backend;

	return backend->queue_max && !txn->is_queued &&
	       counters_sum(&backend->state->counters, backend_queued_now) >= backend->queue_max;
}

static enum step wait_for_slot(struct txn *txn)
{
	if (is_queue_full(txn))
		return txn_answer(txn, 503, END_QUEUE_FULL, "the queue is full");
	if (!txn->times.queued_us) {
		txn->times.queued_us = clock_us();
		txn->queue_ahead =
			(uint32_t)counters_sum(&txn->backend->state->counters, backend_queued_now);
		count(&txn->backend->state->counters, backend_queued);
	}
	if (txn->state != TXN_QUEUE)
		txn_set_state(txn, TXN_QUEUE);
	txn->wait = WAIT_QUEUE;
	queue_wait(txn);
	return STEP_WAIT;
}

static enum step no_server(struct txn *txn)
{
	count(&txn->backend->state->counters, backend_no_server);
	if (txn->stick.is_sid_known)
		return txn_answer_session_unknown(txn, END_SESSION_DEAD);
	return txn_answer(txn, 503, txn->why ? END_CONNECT_FAILED : END_NO_SERVER,
			  txn->why ? txn->why : "no server able to serve");
}

/* The server may live: a session of it is not told otherwise. */
static enum step cannot_connect(struct txn *txn, int error)
{
	if (error == ETIMEDOUT)
		return txn_answer(txn, 504, END_CONNECT_TIMEOUT, txn->why);
	return txn_answer(txn, 503, END_CONNECT_FAILED, txn->why);
}

static void server_chosen(struct txn *txn, struct srvset_member *member)
{
	struct server *server = member->server;

	txn->server = server;
	txn->has_slot = true;
	queue_leave(txn);
	if (!txn->is_counted) {
		count(&server->counters, server_requests_now);
		if (txn_is_poll(txn))
			count(&server->counters, server_polls_now);
		count(&txn->backend->state->counters, backend_requests_now);
	}
	txn->is_counted = true;
	/* Other threads read its line: written once in a millisecond, not with each request. */
	if (atomic_load_explicit(&server->last_session_at_ms, memory_order_relaxed) != clock_ms())
		atomic_store_explicit(&server->last_session_at_ms, clock_ms(),
				      memory_order_relaxed);
	stick_chosen(&txn->stick, txn->backend, server, &txn->source);
	txn->times.connect_us = clock_us();
	txn->connect_deadline_ms =
		clock_ms() + timeout_of(txn->client->frontend, txn->backend, connect_ms);
	txn_set_state(txn, TXN_CONNECT);
}

enum step txn_pick(struct txn *txn)
{
	struct srvset_member *member = NULL;
	enum lb_result result = LB_NONE;

	prepare_ask(txn);
	if (txn->stick.result == STICK_TO) {
		member = srvset_find(txn->lb.set, txn->stick.server);
		if (member)
			result = lb_take(&txn->lb, member, txn->stick.is_own_session);
		if (result == LB_NONE && txn->stick.is_sid_known)
			return no_server(txn);
		if (result == LB_NONE)
			txn->stick.result = STICK_FREE;
	}
	if (txn->stick.result != STICK_TO)
		result = lb_pick(&txn->lb, &member);
	switch (result) {
	case LB_FULL:
		return wait_for_slot(txn);
	case LB_NONE:
		return no_server(txn);
	case LB_PICKED:
		server_chosen(txn, member);
		return STEP_NEXT;
	}
	return no_server(txn);
}

void txn_release_server(struct txn *txn)
{
	if (!txn->server)
		return;
	if (txn->is_counted) {
		count_down(&txn->server->counters, server_requests_now);
		if (txn_is_poll(txn))
			count_down(&txn->server->counters, server_polls_now);
		count_down(&txn->backend->state->counters, backend_requests_now);
	}
	txn->is_counted = false;
	if (txn->has_slot) {
		txn->has_slot = false;
		server_release_slot(txn->server);
		queue_wake(txn->traffic, txn->server->backend);
	}
}

/* The member of the set in force that is the chosen server; it may have left meanwhile. */
static struct srvset_member *member_of(struct txn *txn)
{
	txn->lb.set = srvset_of(txn->backend->state);
	return srvset_find(txn->lb.set, txn->server);
}

static struct upstream *reusable(struct txn *txn, const struct srvset_member *member)
{
	struct client *client = txn->client;
	struct upstream *kept = client_kept(client);

	if (txn->replay || txn_is_tcp(txn))
		return NULL; /* another pooled one may be closed as well */
	if (member->send_proxy == PROXY_NONE)
		return upstream_from_pool(txn->traffic, member);
	if (!kept)
		return NULL;
	upstream_take_kept(client);
	if (kept->server == txn->server && kept->send_proxy == member->send_proxy &&
	    ip_addr_eq(&kept->proxied_source, &txn->source) &&
	    tls_is_of(&kept->conn, member->tls) &&
	    kept->generation == atomic_load(&txn->server->generation))
		return kept;
	upstream_close(kept);
	return NULL;
}

enum step txn_connect(struct txn *txn)
{
	struct srvset_member *member;
	int error = 0;

	if (txn->upstream) {
		if (txn->upstream->state == UPSTREAM_CONNECTING) {
			txn->wait = WAIT_CONNECT;
			return STEP_WAIT;
		}
		txn->times.connected_us = clock_us();
		if (txn_is_tcp(txn))
			return txn_tcp_connected(txn);
		txn_set_state(txn, TXN_SEND);
		return STEP_NEXT;
	}
	member = member_of(txn);
	if (!member)
		return txn_connect_failed(txn, ENOENT);
	txn->upstream = reusable(txn, member);
	if (txn->upstream) {
		count(&txn->server->counters, server_connections_reused);
		txn->upstream->txn = txn;
		txn_set_state(txn, TXN_SEND);
		return STEP_NEXT;
	}
	txn->upstream = upstream_open(txn, member, &error);
	if (!txn->upstream)
		return txn_connect_failed(txn, error);
	return STEP_NEXT;
}

static bool is_process_gone(int error)
{
	return error == ECONNREFUSED || error == ENOENT;
}

static void tell_outcome(const struct txn *txn, int error)
{
	enum server_outcome outcome = is_process_gone(error) ? OUTCOME_REFUSED
				      : error == ETIMEDOUT   ? OUTCOME_TIMEOUT
							     : OUTCOME_CONNECT_FAILED;

	count(&txn->server->counters, server_connect_errors);
	if (server_outcome_hook)
		server_outcome_hook(txn->server, txn->backend, outcome);
}

/* Our own lack, not the server's. */
static bool is_local_error(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
	       error == EADDRNOTAVAIL;
}

enum step txn_connect_failed(struct txn *txn, int error)
{
	const char *why = upstream_failure_text(txn->upstream, error);

	upstream_close(txn->upstream);
	txn->upstream = NULL;
	if (error == EAGAIN && clock_ms() < txn->connect_deadline_ms) {
		/* A Unix socket whose backlog is full: not the server's fault, and over soon. */
		txn->backlog_tries++;
		txn->wait = WAIT_BACKLOG;
		return STEP_WAIT;
	}
	txn->why = why;
	if (!is_local_error(error))
		tell_outcome(txn, error);
	txn_release_server(txn);
	if (txn->stick.is_sid_known && is_process_gone(error))
		return no_server(txn); /* its session died with it */
	if (txn->retries_left == 0 || is_local_error(error))
		return cannot_connect(txn, error);
	txn->retries_left--;
	txn->retries++;
	if (txn->stick.is_sid_known) {
		count(&txn->server->counters, server_retries);
	} else {
		count(&txn->server->counters, server_redispatches);
		txn->redispatches++;
		txn->stick.result = STICK_FREE;
	}
	txn_set_state(txn, TXN_PICK);
	return STEP_NEXT;
}

enum step txn_queue_timeout(struct txn *txn)
{
	count(&txn->backend->state->counters, backend_queue_timeouts);
	queue_leave(txn);
	return txn_answer(txn, 503, END_QUEUE_TIMEOUT, "waited too long for a slot");
}
