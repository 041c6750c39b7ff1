/* SPDX-License-Identifier: MIT */
/*
 * txn_tcp - a connection of mode tcp on its way to a server: a txn without a head.
 *
 * It is routed, stuck, balanced, queued, connected and retried as a request, and becomes a tunnel
 * once it is connected.  What the client has sent meanwhile stays in its socket or in client->in;
 * nothing of it goes to a server before there is a tunnel, so every connect may be repeated.
 *
 * There is nothing to answer with: whoever cannot be served is reset.
 */
#include "config.h"

#include "session/tunnel.h"
#include "session/txn.h"
#include "session/upstream.h"

/* The client's first bytes, if there are any and none are known yet. */
static enum io take_first_bytes(struct txn *txn)
{
	struct client *client = txn->client;
	enum io io;

	if (buf_length(&client->in))
		return IO_OK;
	buf_reserve(&client->in, BUF_SIZE);
	io = conn_recv(&client->conn, &client->in, buf_room(&client->in));
	if (!buf_length(&client->in))
		buf_release(&client->in);
	return io;
}

bool txn_tcp_is_client_gone(struct txn *txn)
{
	const struct conn *conn = &txn->client->conn;
	enum io io;

	if (conn->is_reset)
		return true;
	if (!conn->is_hung_up)
		return false;
	/*
	 * Who has sent something and ends may wait for the answer, and so may who has only
	 * connected to hear what the server says first.  But nobody waits in a queue for that; and
	 * of a Unix socket we know that nobody is there any more.
	 */
	if (txn->state != TXN_QUEUE && !conn->is_broken)
		return false;
	io = take_first_bytes(txn);
	return io == IO_EOF || io == IO_FAIL;
}

enum step txn_tcp_refuse(struct txn *txn, enum txn_end end, const char *why)
{
	struct client *client = txn->client;

	if (why)
		txn->why = why;
	txn_abort(txn, end);
	client_reset(client);
	return STEP_GONE;
}

enum step txn_tcp_connected(struct txn *txn)
{
	struct upstream *upstream = txn->upstream;

	count(&txn->server->counters, server_requests);
	if (server_outcome_hook)
		server_outcome_hook(txn->server, txn->backend, OUTCOME_OK);
	/* A PROXY header goes with what comes behind it. */
	if (buf_length(&upstream->out))
		(void)take_first_bytes(txn); /* the tunnel sees an end as well */
	tunnel_start(txn);
	return STEP_GONE;
}
