/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/txn.h"

#include <errno.h>
#include <stdlib.h>

#include "balance/share.h"
#include "model/match.h"
#include "session/account.h"
#include "session/ending.h"
#include "session/forwarded.h"
#include "session/trace.h"
#include "session/upstream.h"

#define PROBE_MS 100
#define RESET_MS 200 /* a closed peer answers our bytes with a reset within a round trip */

/* Legal transitions: bit TO of row FROM. */
#define TO(state) (1u << TXN_##state)
static const unsigned transitions[TXN_STATE_N] = {
	[TXN_PICK] = TO(ASK) | TO(QUEUE) | TO(CONNECT) | TO(ANSWER) | TO(DONE),
	[TXN_ASK] = TO(PICK) | TO(DONE),
	[TXN_QUEUE] = TO(PICK) | TO(ANSWER) | TO(DONE),
	[TXN_CONNECT] = TO(PICK) | TO(SEND) | TO(ANSWER) | TO(DONE),
	[TXN_SEND] = TO(PICK) | TO(CONNECT) | TO(RSP_HEAD) | TO(ANSWER) | TO(DONE),
	[TXN_RSP_HEAD] = TO(CONNECT) | TO(RELAY) | TO(ANSWER) | TO(DONE),
	[TXN_RELAY] = TO(ANSWER) | TO(DONE), /* ANSWER: only while nothing was released */
	[TXN_ANSWER] = TO(DONE),
	[TXN_DONE] = 0,
};
#undef TO

#define END(name, code, text) { code, text },
static const struct {
	const char *code, *text;
} ends[TXN_END_N] = {
#include "session/end_reasons.def"
};
#undef END

const char *txn_end_code(enum txn_end end)
{
	return ends[end].code;
}

const char *txn_end_text(enum txn_end end)
{
	return ends[end].text;
}

const char *txn_state_name(enum txn_state state)
{
	static const char *const names[TXN_STATE_N] = {
		[TXN_PICK] = "pick",       [TXN_ASK] = "ask",       [TXN_QUEUE] = "queue",
		[TXN_CONNECT] = "connect", [TXN_SEND] = "send",     [TXN_RSP_HEAD] = "wait",
		[TXN_RELAY] = "relay",     [TXN_ANSWER] = "answer", [TXN_DONE] = "done",
	};

	return names[state];
}

/* A poll of a session, whole, about to wait for its answer. */
static bool is_poll(const struct txn *txn)
{
	return txn->stick.has_sid && txn->method == HTTP_GET && !txn->wants_upgrade &&
	       txn->request.is_done;
}

void txn_set_state(struct txn *txn, enum txn_state state)
{
	bug_on(txn->state >= TXN_STATE_N || !(transitions[txn->state] & 1u << state));
	if (txn->state == TXN_RSP_HEAD)
		ending_remove_poll(txn);
	if (unlikely(txn->question != NULL)) {
		share_forget(txn->question);
		txn->question = NULL;
	}
	txn->state = state;
	trace_txn(txn, txn_state_name(state));
	txn->waited = WAIT_NOTHING; /* the next wait has its own time */
	if (state == TXN_RSP_HEAD && is_poll(txn))
		ending_add_poll(txn);
}

/* A poll is held for pingInterval; the session lives pingTimeout longer (45 s by default). */
int64_t txn_session_ms(const struct txn *txn)
{
	return (txn->stick.idle_ms ? (int64_t)txn->stick.idle_ms : SEC(45)) + SEC(5);
}

int64_t txn_server_limit_ms(const struct txn *txn)
{
	int64_t limit_ms = timeout_of(txn->client->frontend, txn->backend, server_ms);

	if (!txn->stick.is_engineio || limit_ms > txn_session_ms(txn))
		return limit_ms;
	return txn_session_ms(txn);
}

static struct txn *txn_new(struct client *client)
{
	struct txn *txn = slab_get(&client->traffic->txn_slab);

	memset(txn, 0, offsetof(struct txn, stick) + STICK_CLEARED_SIZE);
	txn->magic = TXN_MAGIC;
	txn->client = client;
	txn->traffic = client->traffic;
	txn->state = TXN_PICK;
	txn->method_name = "-";
	txn->target = txn->target_inline;
	txn->source = client->source;
	txn->times.accepted_us = clock_us();
	client->txn = txn;
	if (!txn_is_tcp(txn))
		count(&client->frontend->state->counters, frontend_requests);
	count(&process_state.counters, process_requests);
	return txn;
}

void txn_start_refused(struct client *client, unsigned status, const char *why)
{
	struct txn *txn = txn_new(client);

	txn->minor = 1;
	txn->request.is_done = false; /* whatever follows is not a request of ours */
	if (status == 408)
		txn->end = END_CLIENT_TIMEOUT_REQUEST;
	if (txn_answer(txn, status, status == 408 ? END_CLIENT_TIMEOUT_REQUEST : END_BAD_REQUEST,
		       why) != STEP_GONE)
		txn_run(txn);
}

static bool is_request_id(struct str value)
{
	if (!value.len || value.len > REQUEST_ID_MAX)
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.p[i] <= ' ' || value.p[i] >= 0x7f)
			return false;
	return true;
}

/* Keeps the client's X-Request-Id or makes one. */
static void txn_take_request_id(struct txn *txn)
{
	const struct http_field *field = http_head_first(txn->head, FIELD_X_REQUEST_ID);
	static const char hex[] = "0123456789abcdef";

	if (field && is_request_id(field->value)) {
		memcpy(txn->request_id, field->value.p, field->value.len);
		txn->request_id_len = (uint16_t)field->value.len;
		return;
	}
	for (unsigned half = 0; half < 2; half++) {
		uint64_t random = lb_random();

		for (unsigned i = 0; i < 16; i++, random >>= 4)
			txn->request_id[half * 16 + i] = hex[random & 15];
	}
	txn->request_id_len = 32;
}

/* Copies the facts that outlive the head. */
static void txn_take_facts(struct txn *txn, struct http_head *head)
{
	txn->head = head;
	txn->method = head->method_id;
	txn->minor = head->minor;
	txn->is_keep_alive = head->is_keep_alive;
	txn->is_head = head->method_id == HTTP_HEAD;
	txn->has_expect = head->has_expect_continue;
	txn->wants_upgrade = head->is_websocket && head->method_id == HTTP_GET &&
			     head->minor == 1 && head->framing == FRAMING_NONE;
	body_init(&txn->request, head->framing, head->content_length, head->framing);
	access_log_copy_target(txn, head);
	if (txn->client->frontend->has_request_id)
		txn_take_request_id(txn);
}

void txn_start(struct client *client, struct http_head *head)
{
	struct txn *txn = txn_new(client);

	txn_take_facts(txn, head);
	forwarded_find_source(txn);
	if (txn_route(txn) != STEP_GONE)
		txn_run(txn);
}

static struct txn *txn_new_tcp(struct client *client)
{
	struct txn *txn = txn_new(client);

	txn->request.is_done = true;
	return txn;
}

void txn_start_tcp(struct client *client, struct match_facts *facts)
{
	struct txn *txn = txn_new_tcp(client);

	facts->client = &txn->source;
	access_log_copy_sni(txn, facts->sni);
	if (txn_route_tcp(txn, facts) != STEP_GONE)
		txn_run(txn);
}

void txn_start_tcp_refused(struct client *client, enum txn_end end, const char *why)
{
	txn_tcp_refuse(txn_new_tcp(client), end, why);
}

enum txn_end txn_client_gone(const struct txn *txn)
{
	switch (txn->state) {
	case TXN_PICK:
	case TXN_ASK:
	case TXN_SEND:
		return END_CLIENT_GONE_REQUEST;
	case TXN_QUEUE:
		return END_CLIENT_GONE_QUEUE;
	case TXN_CONNECT:
		return END_CLIENT_GONE_CONNECT;
	case TXN_RSP_HEAD:
		return txn->request.is_done ? END_CLIENT_GONE_RESPONSE : END_CLIENT_GONE_REQUEST;
	case TXN_RELAY:
		return END_CLIENT_GONE_DATA;
	case TXN_ANSWER:
	case TXN_DONE:
	case TXN_STATE_N:
		break;
	}
	return txn->end;
}

/* Stickiness, texts and memory. */
static void txn_fini(struct txn *txn)
{
	if (txn->backend) {
		if (txn->is_session_over)
			stick_drop_sid(&txn->stick, txn->backend);
		stick_end(&txn->stick, txn->backend);
	}
	if (txn->head)
		slab_put(&txn->traffic->head_slab, txn->head);
	slab_put(&txn->traffic->replay_slab, txn->replay);
	body_fini(&txn->request);
	body_fini(&txn->response);
	if (txn->target != txn->target_inline)
		free(txn->target);
	txn->client->txn = NULL;
	txn->magic = 0;
	loop_soon_cancel(&txn->again);
	slab_put(&txn->traffic->txn_slab, txn);
}

/* Logs, and lets go of all that the txn holds; the server's connection is pooled if it may be. */
static void txn_free(struct txn *txn)
{
	struct upstream *upstream = txn->upstream;

	access_log_txn(txn);
	account_txn(txn);
	account_bytes(txn);
	queue_leave(txn);
	txn->upstream = NULL;
	if (upstream && txn->end == END_DONE && txn->request.is_done && txn->response.is_done)
		upstream_put(upstream, txn->client);
	else
		upstream_close(upstream);
	txn_release_server(txn);
	txn_fini(txn);
}

void txn_become_tunnel(struct txn *txn)
{
	account_bytes(txn);
	txn->upstream = NULL;
	txn->has_slot = false;
	txn_fini(txn);
}

void txn_abort(struct txn *txn, enum txn_end end)
{
	check_magic(txn, TXN_MAGIC);
	txn->end = end;
	if (txn->server && (end == END_CLIENT_GONE_RESPONSE || end == END_CLIENT_GONE_DATA))
		count(&txn->server->counters, server_client_aborts);
	if (txn->state != TXN_DONE)
		txn_set_state(txn, TXN_DONE);
	txn_free(txn);
}

/* Ends the txn and closes its client without another byte. */
static enum step txn_kill(struct txn *txn, enum txn_end end)
{
	struct client *client = txn->client;

	txn_abort(txn, end);
	client_close(client);
	return STEP_GONE;
}

static enum step txn_finish(struct txn *txn)
{
	struct client *client = txn->client;
	enum client_after after = CLIENT_GOES_ON;

	if (txn->is_closing_client || !txn->request.is_done)
		after = txn->is_keep_alive || !txn->request.is_done ? CLIENT_IS_CUT_OFF
								    : CLIENT_HAS_DONE;
	txn_free(txn);
	client_next(client, after);
	return STEP_GONE;
}

static enum step txn_flush_answer(struct txn *txn)
{
	txn->client->conn.is_ending = txn->is_closing_client;
	switch (conn_send_buf(&txn->client->conn, &txn->client->out)) {
	case IO_OK:
		txn_set_state(txn, TXN_DONE);
		return STEP_NEXT;
	case IO_AGAIN:
		txn->wait = WAIT_CLIENT;
		return STEP_WAIT;
	case IO_EOF:
	case IO_FAIL:
		break;
	}
	return txn_kill(txn, txn->end);
}

static enum step txn_both_ways(struct txn *txn)
{
	enum step step = STEP_NEXT;

	bug_on(!txn->upstream);
	txn->wait = WAIT_NOTHING;
	if (!txn->request.is_done || buf_length(&txn->upstream->out))
		step = txn_relay_request(txn);
	if (step == STEP_GONE || txn->state == TXN_ANSWER)
		return step;
	return txn->state == TXN_RSP_HEAD ? txn_response_head(txn) : txn_relay_response(txn);
}

static enum step txn_step(struct txn *txn)
{
	switch (txn->state) {
	case TXN_PICK:
		return txn_pick(txn);
	case TXN_ASK:
	case TXN_QUEUE:
		return STEP_WAIT;
	case TXN_CONNECT:
		return txn_connect(txn);
	case TXN_SEND:
		return txn_send(txn);
	case TXN_RSP_HEAD:
	case TXN_RELAY:
		return txn_both_ways(txn);
	case TXN_ANSWER:
		return txn_flush_answer(txn);
	case TXN_DONE:
		return txn_finish(txn);
	case TXN_STATE_N:
		break;
	}
	bug_on(true);
	return STEP_GONE;
}

static int64_t wait_limit_ms(const struct txn *txn)
{
	const struct frontend *frontend = txn->client->frontend;

	switch (txn->wait) {
	case WAIT_NOTHING:
		return 0;
	case WAIT_CLIENT:
		return frontend->timeouts.client_ms;
	case WAIT_SERVER:
		return txn_server_limit_ms(txn);
	case WAIT_CONNECT:
		return txn->connect_deadline_ms - clock_ms();
	case WAIT_RESET:
		return RESET_MS;
	case WAIT_BACKLOG:
		return MS(5) << (txn->backlog_tries < 5 ? txn->backlog_tries : 5);
	case WAIT_QUEUE:
		return txn->times.queued_us / 1000 + timeout_of(frontend, txn->backend, queue_ms) -
		       clock_ms();
	}
	return 0;
}

/* Nothing of the request is still to come from the client. */
static bool is_request_whole(const struct txn *txn)
{
	if (txn->request.is_done || !txn->head)
		return txn->request.is_done;
	return txn->request.from == FRAMING_LENGTH &&
	       txn->request.left <= buf_length(&txn->client->in) - txn->head->size;
}

static bool is_client_gone(struct txn *txn)
{
	const struct conn *conn = &txn->client->conn;

	if (txn_is_tcp(txn))
		return txn_tcp_is_client_gone(txn);
	if (!conn->is_hung_up || txn->state == TXN_ANSWER || txn->state == TXN_DONE)
		return false;
	if (conn->is_broken)
		return true;
	/* The last post of a client that leaves still tells its worker so. */
	if (txn->state < TXN_RSP_HEAD && txn->method == HTTP_POST && is_request_whole(txn))
		return false;
	/* A poll whose client has ended is given up at once; others may shut their side and wait.
	 */
	if (txn->stick.is_engineio)
		return true;
	/* Who shuts its side that late does not do it to say that its request is whole. */
	if (txn->state == TXN_RELAY)
		return !txn->is_half_closed && txn->request.is_done;
	txn->is_half_closed = true;
	return false;
}

/* The client has shut its side: it waits for the answer, or it is gone and nothing else will tell.
 */
static bool wants_probe(const struct txn *txn)
{
	return txn->client->conn.is_hung_up && !txn->is_probed && txn->minor >= 1 &&
	       !txn->is_response_begun && txn->request.is_done &&
	       (txn->state == TXN_RSP_HEAD || txn->method != HTTP_POST) &&
	       (txn->state == TXN_QUEUE || txn->state == TXN_CONNECT || txn->state == TXN_RSP_HEAD);
}

/*
 * A byte to a socket that nobody holds any more brings a reset back.  An interim response is a
 * byte that may be sent (RFC 9110 15.2); it is sent only when the answer is not there soon.
 */
static void probe_client(struct txn *txn)
{
	txn->is_probed = true;
	buf_append_str(&txn->client->out, STR("HTTP/1.1 102 Processing\r\n\r\n"));
	/* A failure is an event of its own. */
	(void)conn_send_buf(&txn->client->conn, &txn->client->out);
}

/* Bytes that have moved; what a client pipelines behind is not among them. */
static uint64_t progress_of(const struct txn *txn)
{
	uint64_t progress = txn->client->conn.sent + txn->request.bytes + txn->response.bytes +
			    txn->response_seen + txn->interims;

	return txn->upstream ? progress + txn->upstream->conn.sent : progress;
}

/* A wait goes on as long as nothing moves, whatever else wakes us. */
static void set_wait_timer(struct txn *txn)
{
	uint64_t progress = progress_of(txn);
	int64_t limit_ms;

	if (txn->wait == WAIT_BACKLOG || txn->wait != txn->waited ||
	    progress != txn->waited_progress) {
		txn->waited = txn->wait;
		txn->waited_progress = progress;
		txn->wait_until_ms = clock_ms() + wait_limit_ms(txn);
	}
	limit_ms = txn->wait_until_ms - clock_ms();
	if (limit_ms < 1)
		limit_ms = 1;
	if (limit_ms > PROBE_MS && wants_probe(txn))
		limit_ms = PROBE_MS;
	if (limit_ms > UPSTREAM_SILENT_MS && txn->upstream && txn->upstream->conn.lacks_probes)
		limit_ms = UPSTREAM_SILENT_MS;
	client_set_timer(txn->client, limit_ms);
}

/*
 * Who has to be told nothing but that his answer has come need not be watched for the short time
 * that this mostly takes; that he has gone is seen a moment later.  A body may be followed by a
 * stray line end, which has to be seen before the connection is closed.
 */
static int watch_client(struct txn *txn)
{
	struct conn *conn = &txn->client->conn;
	bool is_servers_turn = txn->wait == WAIT_SERVER || txn->wait == WAIT_CONNECT;

	if (is_servers_turn && txn->request.from == FRAMING_NONE && txn->request.is_done &&
	    !buf_length(&txn->client->out))
		return conn_watch_late(&txn->traffic->loop, conn);
	return conn_watch(&txn->traffic->loop, conn);
}

void txn_run(struct txn *txn)
{
	enum step step;

	check_magic(txn, TXN_MAGIC);
	if (is_client_gone(txn)) {
		txn_kill(txn, txn_client_gone(txn));
		return;
	}
	do
		step = txn_step(txn);
	while (step == STEP_NEXT);
	if (step == STEP_GONE)
		return;
	if (txn->wait != WAIT_NOTHING)
		set_wait_timer(txn);
	if (watch_client(txn) != 0)
		txn_kill(txn, txn_client_gone(txn));
}

void txn_on_upstream(struct upstream *upstream, enum conn_ev ev)
{
	struct txn *txn = upstream->txn;

	if (ev == CONN_FAILED) {
		if (txn_connect_failed(txn, upstream->conn.error) != STEP_GONE)
			txn_run(txn);
		return;
	}
	if (ev == CONN_CONNECTED)
		upstream->state = UPSTREAM_BUSY;
	txn_run(txn);
}

void txn_on_timer(struct txn *txn)
{
	enum step step = STEP_NEXT;

	check_magic(txn, TXN_MAGIC);
	if (clock_ms() < txn->wait_until_ms) {
		if (wants_probe(txn))
			probe_client(txn);
		if (txn->upstream)
			conn_probe(&txn->upstream->conn);
		txn_run(txn);
		return;
	}
	switch (txn->wait) {
	case WAIT_NOTHING:
		break;
	case WAIT_BACKLOG:
		break; /* txn_run() tries again */
	case WAIT_CLIENT:
		if (txn->state == TXN_RSP_HEAD)
			step = txn_answer(txn, 408, END_CLIENT_TIMEOUT_REQUEST,
					  "request body too slow");
		else
			step = txn_kill(txn, END_CLIENT_TIMEOUT_DATA);
		break;
	case WAIT_SERVER:
		if (server_outcome_hook)
			server_outcome_hook(txn->server, txn->backend, OUTCOME_TIMEOUT);
		step = txn_server_failed(txn,
					 txn->state == TXN_RELAY ? END_SERVER_TIMEOUT_DATA
								 : END_SERVER_TIMEOUT_RESPONSE,
					 "server too slow");
		break;
	case WAIT_CONNECT:
		step = txn_connect_failed(txn, ETIMEDOUT);
		break;
	case WAIT_QUEUE:
		step = txn_queue_timeout(txn);
		break;
	case WAIT_RESET:
		step = txn_server_failed(txn, END_SERVER_GONE_RESPONSE,
					 "server closed before its response");
		break;
	}
	if (step != STEP_GONE)
		txn_run(txn);
}
