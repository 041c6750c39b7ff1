/* SPDX-License-Identifier: MIT */
/*
 * request - sends the request's head and relays its body to the server.
 */
#include "config.h"

#include "net/tls.h"
#include "session/txn.h"
#include "session/upstream.h"

#define BODY_WITH_HEAD_MAX 8192u /* body bytes that are copied behind the head into one send */

/* Looks at the body of a POST for the packet that closes the session. */
static void tap_request(void *arg, struct str piece)
{
	struct txn *txn = arg;

	count_add(&txn->client->frontend->state->counters, frontend_bytes_in, piece.len);
	if (txn->is_watching && engineio_packets_feed(&txn->to_server, piece))
		txn->is_session_over = true;
}

static uint64_t unseen_request(void *arg)
{
	const struct txn *txn = arg;

	return txn->is_watching ? 0 : UINT64_MAX;
}

/* Only the end tells that a last "1" was a whole packet (EIO=4). */
static void body_ended(struct txn *txn)
{
	if (txn->is_watching && engineio_packets_finish(&txn->to_server))
		txn->is_session_over = true;
}

/* A poll or a post of a known session: its bodies may end it. */
static void watch_packets(struct txn *txn)
{
	const struct engineio_query *query = &txn->stick.query;

	if (!txn->stick.is_sid_known || query->transport == ENGINEIO_WEBSOCKET)
		return;
	txn->is_watching = true;
	engineio_packets_init(&txn->to_server, query->version, query->is_jsonp, ENGINEIO_TO_SERVER);
	engineio_packets_init(&txn->to_client, query->version, query->is_jsonp, ENGINEIO_TO_CLIENT);
}

/* The body bytes that came with the head, copied behind it; how many. */
static size_t append_first_body(struct txn *txn, struct buf *out)
{
	struct buf *in = &txn->client->in;
	size_t n = buf_length(in) - txn->head->size;

	if (txn->request.from != FRAMING_LENGTH || txn->request.is_done)
		return 0;
	if (n > txn->request.left)
		n = (size_t)txn->request.left;
	if (n > BODY_WITH_HEAD_MAX)
		return 0;
	buf_append(out, buf_bytes(in) + txn->head->size, n);
	return n;
}

/* From here on the request is this server's; its head's bytes are given up. */
static void head_is_gone(struct txn *txn, size_t body_n)
{
	struct buf *in = &txn->client->in;
	size_t head_size = txn->head->size;

	txn->is_request_sent = true;
	count_add(&txn->client->frontend->state->counters, frontend_bytes_in, head_size);
	slab_put(&txn->traffic->head_slab, txn->head);
	txn->head = NULL;
	buf_consume(in, head_size);
	if (body_n) {
		struct str piece = { buf_bytes(in), body_n };

		tap_request(txn, piece);
		body_took(&txn->request, body_n);
		buf_consume(in, body_n);
		if (txn->request.is_done)
			body_ended(txn);
	}
}

/* Safe methods alone (RFC 9110 9.2.1), though nothing of them will have been read. */
static bool is_replay_safe(const struct txn *txn)
{
	return txn->request.is_done &&
	       (txn->method == HTTP_GET || txn->method == HTTP_HEAD || txn->method == HTTP_OPTIONS);
}

static void keep_for_replay(struct txn *txn, const struct buf *out)
{
	size_t size = buf_length(out);

	if (size > REPLAY_SIZE)
		return;
	txn->replay = slab_get(&txn->traffic->replay_slab);
	txn->replay->size = (uint32_t)size;
	memcpy(txn->replay->bytes, buf_bytes(out), size);
}

/* On a fresh connection; its PROXY header stands in OUT already. */
static enum step send_again(struct txn *txn)
{
	struct upstream *upstream = txn->upstream;

	buf_append(&upstream->out, txn->replay->bytes, txn->replay->size);
	slab_put(&txn->traffic->replay_slab, txn->replay);
	txn->replay = NULL;
	upstream->requests++;
	txn_set_state(txn, TXN_RSP_HEAD);
	txn->wait = WAIT_SERVER;
	return STEP_NEXT; /* what is in OUT is sent by the relay */
}

enum replay_answer txn_may_replay(const struct txn *txn)
{
	const struct conn *conn = &txn->upstream->conn;

	if (!txn->replay || txn->state != TXN_RSP_HEAD || txn->response_seen || txn->interims ||
	    !conn->is_eof || !conn_is_unacknowledged(conn, txn->upstream_sent_before))
		return REPLAY_NO;
	return conn->is_reset ? REPLAY_YES : REPLAY_WAIT;
}

enum step txn_replay(struct txn *txn)
{
	upstream_close(txn->upstream);
	txn->upstream = NULL;
	count(&txn->server->counters, server_retries);
	txn->retries++;
	txn->times.connect_us = clock_us();
	txn->connect_deadline_ms =
		clock_ms() + timeout_of(txn->client->frontend, txn->backend, connect_ms);
	txn_set_state(txn, TXN_CONNECT);
	return STEP_NEXT;
}

enum step txn_send(struct txn *txn)
{
	struct upstream *upstream = txn->upstream;
	size_t before, body_n;
	enum io io;

	txn->upstream_sent_before = tls_wire_sent(&upstream->conn);
	if (txn->replay)
		return send_again(txn);
	request_head_write(txn, &upstream->out);
	watch_packets(txn);
	body_n = append_first_body(txn, &upstream->out);
	before = buf_length(&upstream->out);
	upstream->requests++;
	if (upstream->requests > 1 && is_replay_safe(txn))
		keep_for_replay(txn, &upstream->out);
	io = conn_send_buf(&upstream->conn, &upstream->out);
	if (io == IO_FAIL && buf_length(&upstream->out) == before) {
		/* Not a byte went out: as good as a connect that failed; of a pooled one that the
		 * server had closed just now, not even that. */
		if (upstream->requests > 1) {
			slab_put(&txn->traffic->replay_slab, txn->replay);
			txn->replay = NULL;
			txn_set_state(txn, TXN_CONNECT);
			upstream_close(upstream);
			txn->upstream = NULL;
			return STEP_NEXT;
		}
		return txn_connect_failed(txn, upstream->conn.error);
	}
	count(&txn->server->counters, server_requests);
	if (txn->wants_upgrade && txn->stick.is_sid_known)
		count(&txn->server->counters, server_upgrade_attempts);
	count_add(&txn->server->counters, server_bytes_in, before);
	head_is_gone(txn, body_n);
	txn_set_state(txn, TXN_RSP_HEAD);
	txn->wait = WAIT_SERVER;
	if (io == IO_OK && txn->request.is_done && !upstream->conn.can_read) {
		/* The usual case: nothing to do before the answer. */
		if (!buf_length(&txn->client->in))
			buf_release(&txn->client->in);
		return STEP_WAIT;
	}
	return STEP_NEXT;
}

static void txn_again(struct soon *soon)
{
	struct txn *txn = container_of(soon, struct txn, again);

	if (txn->magic == TXN_MAGIC)
		txn_run(txn);
}

void txn_run_soon(struct txn *txn)
{
	loop_soon(&txn->traffic->loop, &txn->again, txn_again);
}

/* The client has ended or broken off in the middle of its body. */
static enum step client_gone(struct txn *txn)
{
	struct client *client = txn->client;

	txn_abort(txn, txn_client_gone(txn));
	client_close(client);
	return STEP_GONE;
}

enum step txn_relay_request(struct txn *txn)
{
	struct upstream *upstream = txn->upstream;
	struct body_path path = {
		.source = &txn->client->conn,
		.in = &txn->client->in,
		.destination = &upstream->conn,
		.out = &upstream->out,
		.tap = tap_request,
		.arg = txn,
		.unseen = unseen_request,
	};
	uint64_t before = txn->request.bytes;
	enum body_result result = body_relay(&txn->request, &path);

	count_add(&txn->server->counters, server_bytes_in, txn->request.bytes - before);
	switch (result) {
	case BODY_DONE:
		body_ended(txn);
		txn->wait = WAIT_SERVER;
		return STEP_NEXT;
	case BODY_YIELD:
		txn_run_soon(txn);
		txn->wait = WAIT_SERVER;
		return STEP_NEXT;
	case BODY_WAIT_READ:
		/* A client that expects 100 (Continue) waits for the server as we do. */
		txn->wait = txn->has_expect && !txn->interims && !txn->request.bytes ? WAIT_SERVER
										     : WAIT_CLIENT;
		return STEP_NEXT;
	case BODY_WAIT_WRITE:
		txn->wait = WAIT_SERVER;
		return STEP_NEXT;
	case BODY_EOF:
	case BODY_SOURCE_FAIL:
		return client_gone(txn);
	case BODY_BAD:
		txn_capture(txn, false, txn->request.why);
		count(&txn->client->frontend->state->counters, frontend_request_errors);
		if (txn->state == TXN_RSP_HEAD)
			return txn_answer(txn, 400, END_BAD_REQUEST, txn->request.why);
		return client_gone(txn);
	case BODY_DESTINATION_FAIL:
		/* It takes no more; it may have answered before. */
		buf_release(&upstream->out);
		upstream->conn.can_read = true;
		body_drop(&txn->request);
		txn->is_closing_client = true;
		txn->wait = WAIT_SERVER;
		return STEP_NEXT;
	}
	return STEP_NEXT;
}
