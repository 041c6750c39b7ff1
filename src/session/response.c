/* SPDX-License-Identifier: MIT */
/*
 * response - reads the server's head, learns from it and from the first bytes of its body, and
 * relays the rest.
 *
 * The answer to an Engine.IO handshake is held back until its sid stands in the table, because the
 * client's next request may come over another connection before this function returns; with a
 * mirror in mode sync until it stands on Redis, because that request may come to another node.
 */
#include "config.h"

#include "net/tls.h"
#include "session/tunnel.h"
#include "session/txn.h"
#include "session/upstream.h"

#define INTERIMS_MAX     32  /* 1xx heads before one response */
#define UNKNOWN_BODY_MAX 256 /* bytes of a 400 that are looked at for "Session ID unknown" */

static void tell(const struct txn *txn, enum server_outcome outcome)
{
	if (server_outcome_hook)
		server_outcome_hook(txn->server, txn->backend, outcome);
}

enum step txn_server_failed(struct txn *txn, enum txn_end end, const char *why)
{
	struct client *client = txn->client;

	txn->why = why;
	count(&txn->server->counters, server_response_errors);
	if (end == END_SERVER_GONE_DATA)
		count(&txn->server->counters, server_server_aborts);
	upstream_close(txn->upstream);
	txn->upstream = NULL;
	if (txn->state == TXN_RELAY &&
	    (client->conn.sent != txn->sent_before || tls_is_holding(&client->conn))) {
		/* Too late for a status: the client must not take what it has for all. */
		bool is_end_visible = txn->response.to != FRAMING_CLOSE;

		txn_abort(txn, end);
		if (is_end_visible)
			client_close(client);
		else
			client_reset(client);
		return STEP_GONE;
	}
	if (!tls_is_holding(&client->conn))
		buf_release(&client->out);
	/* Some clients hang on a bare close until their ping timeout; this they know. */
	if (txn->stick.has_sid && (end == END_SERVER_GONE_RESPONSE || end == END_SERVER_GONE_DATA))
		return txn_answer_session_unknown(txn, end);
	return txn_answer(
		txn,
		end == END_SERVER_TIMEOUT_RESPONSE || end == END_SERVER_TIMEOUT_DATA ? 504 : 502,
		end, why);
}

static enum http_framing framing_to_client(const struct txn *txn, const struct http_head *head)
{
	if (txn->is_head || head->framing == FRAMING_NONE)
		return FRAMING_NONE;
	if (head->framing == FRAMING_LENGTH)
		return FRAMING_LENGTH;
	return txn->minor >= 1 ? FRAMING_CHUNKED : FRAMING_CLOSE;
}

static void count_response(struct txn *txn, unsigned status)
{
	static const int server_ids[] = { server_responses_1xx, server_responses_2xx,
					  server_responses_3xx, server_responses_4xx,
					  server_responses_5xx };

	if (status >= 100 && status < 600)
		count(&txn->server->counters, server_ids[status / 100 - 1]);
	txn_count_status(txn, status);
	if (status >= 500)
		tell(txn, OUTCOME_5XX);
	else
		tell(txn, OUTCOME_OK);
}

/* How long the server keeps an idle connection: Keep-Alive: timeout=5 (seconds). */
static void take_keep_alive(struct upstream *upstream, const struct http_head *head, bool is_head)
{
	const struct http_field *field = http_head_first(head, FIELD_KEEP_ALIVE);
	struct str rest, element;
	uint64_t seconds;

	if (!head->is_keep_alive || (head->framing == FRAMING_CLOSE && !is_head)) {
		upstream->keep_alive_ms = 0;
		return;
	}
	if (!field)
		return;
	rest = field->value;
	while (str_next_element(&rest, &element))
		if (str_istarts(element, STR("timeout=")) &&
		    str_to_u64(str_sub(element.p + 8, element.p + element.len), 86400, &seconds) ==
			    0)
			/* A second earlier, so that our request does not meet its close. */
			upstream->keep_alive_ms = seconds > 1 ? (int32_t)(seconds - 1) * 1000 : 0;
}

static bool has_content_coding(const struct http_head *head)
{
	const struct http_field *field = http_head_first(head, FIELD_CONTENT_ENCODING);

	return field && field->value.len && !str_ieq(field->value, STR("identity"));
}

/* The worker does not know the sid: nor do we from now on. */
static void look_for_unknown_sid(struct txn *txn, const struct http_head *head)
{
	struct str body = buf_str(&txn->upstream->in);

	body.p += head->size;
	body.len -= head->size;
	if (head->framing == FRAMING_LENGTH && body.len > head->content_length)
		body.len = (size_t)head->content_length;
	if (body.len > UNKNOWN_BODY_MAX || !engineio_is_unknown_sid_body(body))
		return;
	count(&txn->server->counters, server_unknown_sids);
	txn->is_session_over = true;
}

static void learn_from_head(struct txn *txn, const struct http_head *head)
{
	struct stick *stick = &txn->stick;

	if (stick->learn_rule)
		for (unsigned i = 0; i < head->fields_n; i++)
			if (head->fields[i].id == FIELD_SET_COOKIE)
				stick_learn_set_cookie(stick, txn->backend, txn->server,
						       head->fields[i].value);
	if (stick->has_sid && head->status == 400)
		look_for_unknown_sid(txn, head);
	if (!stick->is_handshake || head->status != 200 || txn->is_head ||
	    head->framing == FRAMING_NONE || has_content_coding(head))
		return;
	engineio_scan_init(&txn->scan);
	txn->is_scanning = true;
	txn->is_held = true;
}

static void learn_sid(struct txn *txn)
{
	const struct engineio_scan *scan = &txn->scan;
	uint64_t idle_ms = (uint64_t)scan->ping_interval_ms + scan->ping_timeout_ms;

	txn->is_scanning = false;
	txn->is_held = false;
	if (!engineio_scan_has_sid(scan) || scan->is_sid_too_long)
		return;
	struct str sid = { scan->sid, scan->sid_len };

	stick_learn_sid(&txn->stick, txn->backend, txn->server, sid,
			idle_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)idle_ms);
	if (txn->backend->state->tables[STICK_ENGINEIO])
		txn_hold_until_stored(txn, sid);
}

static void tap_response(void *arg, struct str piece)
{
	struct txn *txn = arg;

	if (txn->is_scanning) {
		if (engineio_scan_feed(&txn->scan, piece) != PARSE_MORE)
			learn_sid(txn);
	} else if (txn->is_watching && engineio_packets_feed(&txn->to_client, piece)) {
		txn->is_session_over = true;
	}
}

static uint64_t unseen_response(void *arg)
{
	const struct txn *txn = arg;

	return txn->is_scanning || txn->is_watching ? 0 : UINT64_MAX;
}

/* The whole response is there. */
static bool is_whole(const struct txn *txn, const struct http_head *head)
{
	return txn->response.is_done ||
	       (txn->response.from == FRAMING_LENGTH &&
		txn->response.left <= buf_length(&txn->upstream->in) - head->size);
}

/*
 * What a client does once it has a part of its response means something else than what it has done
 * before (is_client_gone()), so that from here on it has to be watched.
 */
static void watch_client(struct txn *txn)
{
	struct conn *conn = &txn->client->conn;

	conn_look(conn);
	txn->is_half_closed |= conn->is_hung_up;
	if (conn_watch(&txn->traffic->loop, conn) != 0)
		conn->is_hung_up = conn->is_broken = true;
}

static enum step final_head(struct txn *txn, struct http_head *head)
{
	struct upstream *upstream = txn->upstream;
	enum http_framing from = txn->is_head ? FRAMING_NONE : head->framing;

	txn->status = head->status;
	txn->response_head_size = (uint32_t)head->size;
	count_response(txn, head->status);
	take_keep_alive(upstream, head, txn->is_head);
	if (!txn->backend->has_reuse)
		upstream->keep_alive_ms = 0;
	if (head->status != 200 || has_content_coding(head))
		txn->is_watching = false;
	learn_from_head(txn, head);
	body_init(&txn->response, from, head->content_length, framing_to_client(txn, head));
	if (!txn->is_keep_alive || !txn->request.is_done || txn->traffic->is_draining ||
	    txn->response.to == FRAMING_CLOSE)
		txn->is_closing_client = true;
	if (conn_is_unheard(&txn->traffic->loop, &txn->client->conn) && !is_whole(txn, head))
		watch_client(txn);
	txn->sent_before = txn->client->conn.sent;
	if (txn->wants_upgrade && !head->is_keep_alive)
		txn->is_closing_client = true; /* a refused upgrade that closes: so it was meant */
	response_head_write(txn, head, &upstream->in);
	txn->is_response_begun = true;
	buf_consume(&upstream->in, head->size);
	txn_set_state(txn, TXN_RELAY);
	return STEP_NEXT;
}

static enum step switched_protocols(struct txn *txn, struct http_head *head)
{
	if (!txn->wants_upgrade || !head->is_websocket)
		return txn_server_failed(txn, END_BAD_RESPONSE, "101 that nobody asked for");
	txn->status = 101;
	count_response(txn, 101);
	response_head_write(txn, head, &txn->upstream->in);
	buf_consume(&txn->upstream->in, head->size);
	tunnel_start(txn);
	return STEP_GONE;
}

static enum step took_head(struct txn *txn, struct http_head *head)
{
	if (!txn->times.first_byte_us)
		txn->times.first_byte_us = clock_us();
	if (head->status == 101)
		return switched_protocols(txn, head);
	if (head->status >= 200)
		return final_head(txn, head);
	/* Other 1xx: passed on to who can take it, and the next head awaited. */
	txn->times.first_byte_us = 0;
	if (++txn->interims > INTERIMS_MAX)
		return txn_server_failed(txn, END_BAD_RESPONSE, "too many interim responses");
	/* What a slow client has not taken yet is not added to: they are hints. */
	if (txn->minor >= 1 && !buf_length(&txn->client->out))
		interim_head_write(txn, head);
	buf_consume(&txn->upstream->in, head->size);
	txn->response_seen = 0;
	if (conn_send_buf(&txn->client->conn, &txn->client->out) == IO_FAIL) {
		struct client *client = txn->client;

		txn_abort(txn, END_CLIENT_GONE_RESPONSE);
		client_close(client);
		return STEP_GONE;
	}
	return STEP_NEXT;
}

/* Parses what has come; STEP_WAIT: more is needed. */
static enum step parse_head(struct txn *txn)
{
	struct buf *in = &txn->upstream->in;
	struct http1_limits limits = { 0, txn->client->frontend->config->global.head_size_max };
	struct http_head *head = &txn->traffic->response_head;
	const char *why = NULL;

	switch (http1_parse_response(buf_bytes(in), buf_length(in), txn->response_seen, &limits,
				     head, &why)) {
	case PARSE_DONE:
		return took_head(txn, head);
	case PARSE_MORE:
		txn->response_seen = (uint32_t)buf_length(in);
		return STEP_WAIT;
	case PARSE_BAD:
		break;
	}
	tell(txn, OUTCOME_BROKEN);
	txn_capture(txn, true, why);
	return txn_server_failed(txn, END_BAD_RESPONSE, why);
}

/* No response, and none will come. */
static enum step server_ended(struct txn *txn)
{
	switch (txn_may_replay(txn)) {
	case REPLAY_YES:
		return txn_replay(txn);
	case REPLAY_WAIT:
		txn->wait = WAIT_RESET;
		return STEP_WAIT;
	case REPLAY_NO:
		break;
	}
	tell(txn, OUTCOME_BROKEN);
	return txn_server_failed(txn, END_SERVER_GONE_RESPONSE,
				 "server closed before its response");
}

enum step txn_response_head(struct txn *txn)
{
	struct upstream *upstream = txn->upstream;

	for (;;) {
		size_t before = buf_length(&upstream->in);
		enum step step;

		if (before > txn->response_seen) {
			step = parse_head(txn);
			if (step != STEP_WAIT)
				return step;
		}
		if (!upstream->conn.can_read && !upstream->conn.is_eof)
			break;
		buf_reserve(&upstream->in, before ? 1024 : BUF_SIZE);
		switch (conn_recv(&upstream->conn, &upstream->in, buf_room(&upstream->in))) {
		case IO_OK:
			continue;
		case IO_AGAIN:
			if (!before)
				buf_release(&upstream->in);
			if (txn->wait == WAIT_NOTHING)
				txn->wait = WAIT_SERVER;
			return STEP_WAIT;
		case IO_EOF:
		case IO_FAIL:
			return server_ended(txn);
		}
	}
	if (txn->wait == WAIT_NOTHING)
		txn->wait = WAIT_SERVER;
	return STEP_WAIT;
}

static enum step response_done(struct txn *txn)
{
	if (txn->is_watching && !txn->is_session_over && engineio_packets_finish(&txn->to_client))
		txn->is_session_over = true;
	txn->end = END_DONE;
	txn_set_state(txn, TXN_DONE);
	return STEP_NEXT;
}

static bool is_failure(enum body_result result)
{
	return result == BODY_EOF || result == BODY_SOURCE_FAIL || result == BODY_BAD;
}

enum step txn_relay_response(struct txn *txn)
{
	struct body_path path = {
		.source = &txn->upstream->conn,
		.in = &txn->upstream->in,
		.destination = &txn->client->conn,
		.out = &txn->client->out,
		.tap = tap_response,
		.arg = txn,
		.is_held = &txn->is_held,
		.is_last = txn->is_closing_client,
		.unseen = unseen_response,
	};
	struct client *client = txn->client;
	enum body_result result;

	if (unlikely(txn->question != NULL))
		return STEP_WAIT;
	result = body_relay(&txn->response, &path);
	if (txn->is_scanning && (result == BODY_DONE || result == BODY_WAIT_WRITE)) {
		engineio_scan_finish(&txn->scan);
		learn_sid(txn);
		result = body_relay(&txn->response, &path);
	}
	if (unlikely(txn->question != NULL) && !is_failure(result))
		return STEP_WAIT; /* what has come of it waits in client->out */
	switch (result) {
	case BODY_DONE:
		return response_done(txn);
	case BODY_YIELD:
		txn_run_soon(txn);
		return STEP_WAIT;
	case BODY_WAIT_READ:
		if (txn->wait != WAIT_CLIENT) /* a stalled upload is not the server's fault */
			txn->wait = WAIT_SERVER;
		return STEP_WAIT;
	case BODY_WAIT_WRITE:
		txn->wait = WAIT_CLIENT;
		return STEP_WAIT;
	case BODY_EOF:
	case BODY_SOURCE_FAIL:
		return txn_server_failed(txn, END_SERVER_GONE_DATA,
					 "server closed in the middle of its response");
	case BODY_BAD:
		txn_capture(txn, true, txn->response.why);
		return txn_server_failed(txn, END_BAD_RESPONSE, txn->response.why);
	case BODY_DESTINATION_FAIL:
		break;
	}
	txn_abort(txn, END_CLIENT_GONE_DATA);
	client_close(client);
	return STEP_GONE;
}
