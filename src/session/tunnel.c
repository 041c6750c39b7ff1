/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/tunnel.h"

#include <stdlib.h>

#include "balance/stick_hold.h"
#include "session/account.h"
#include "session/ending.h"
#include "session/trace.h"
#include "session/txn.h"
#include "session/upstream.h"

#define TUNNEL_MAGIC    0x54554e4cu
#define HALF_CLOSED_MS  SEC(30) /* one side has ended: how long the other may stay silent */
#define UPGRADED_FRAMES 2 /* "2probe" and "5": after them the session lives on the WebSocket */

static void tunnel_free(struct grave *grave)
{
	struct tunnel *tunnel = container_of(grave, struct tunnel, grave);

	tunnel->magic = 0;
	free(tunnel);
}

/*
 * A WebSocket that closes before the upgrade was complete leaves its session polling: then a probe
 * was sent and not confirmed, or a poll is pending.
 */
static bool is_session_over(const struct tunnel *tunnel)
{
	if (!tunnel->hold)
		return true;
	if (tunnel->has_to_leave)
		return false; /* its entry stays, dead, for the requests that come late */
	if (tunnel->is_upgraded)
		return true;
	return !tunnel->up.is_bad && !tunnel->up.data_frames && stick_hold_is_last(tunnel->hold);
}

void tunnel_abort(struct tunnel *tunnel, enum txn_end end)
{
	struct client *client = tunnel->client;

	check_magic(tunnel, TUNNEL_MAGIC);
	ending_remove_tunnel(tunnel);
	if (tunnel->has_to_leave)
		ending_leaving(tunnel, true);
	access_log_tunnel(tunnel, end);
	count_add(&client->frontend_state->counters, frontend_bytes_in, tunnel->to_server.bytes);
	count_add(&client->frontend_state->counters, frontend_bytes_out, tunnel->to_client.bytes);
	count_add(&tunnel->server->counters, server_bytes_in, tunnel->to_server.bytes);
	count_add(&tunnel->server->counters, server_bytes_out, tunnel->to_client.bytes);
	account_tunnel_end(tunnel, end);
	count_down(&tunnel->server->counters, server_requests_now);
	count_down(&tunnel->backend->state->counters, backend_requests_now);
	stick_hold_end(tunnel->hold, is_session_over(tunnel));
	if (tunnel->is_own_session)
		stick_session_end(tunnel->server, tunnel->generation);
	upstream_close(tunnel->upstream);
	server_release_slot(tunnel->server);
	queue_wake(client->traffic, tunnel->server->backend);
	client->tunnel = NULL;
	loop_soon_cancel(&tunnel->again);
	loop_bury(&client->traffic->loop, &tunnel->grave, tunnel_free);
}

void tunnel_end(struct tunnel *tunnel, enum txn_end end)
{
	struct client *client = tunnel->client;

	tunnel_abort(tunnel, end);
	client_close(client);
}

static void walk_up(void *arg, struct str piece)
{
	struct tunnel *tunnel = arg;

	websocket_walk_feed(&tunnel->up, piece);
	if (likely(tunnel->is_upgraded) || !tunnel->hold ||
	    tunnel->up.data_frames < UPGRADED_FRAMES)
		return;
	tunnel->is_upgraded = true;
	account_upgraded(tunnel);
}

static void walk_down(void *arg, struct str piece)
{
	struct tunnel *tunnel = arg;

	websocket_walk_feed(&tunnel->down, piece);
}

static void tunnel_again(struct soon *soon)
{
	struct tunnel *tunnel = container_of(soon, struct tunnel, again);

	tunnel_run(tunnel);
}

void tunnel_run_soon(struct tunnel *tunnel)
{
	loop_soon(&tunnel->client->traffic->loop, &tunnel->again, tunnel_again);
}

/* One direction, as far as it goes.  False: the tunnel has ended. */
static bool relay(struct tunnel *tunnel, struct body *body, const struct body_path *path,
		  enum txn_end source_end, enum txn_end destination_end)
{
	if (body->is_done && !buf_length(path->out))
		return true;
	switch (body_relay(body, path)) {
	case BODY_DONE:
		conn_shutdown(path->destination);
		if (!tunnel->end)
			tunnel->end = source_end;
		return true;
	case BODY_YIELD:
		tunnel_run_soon(tunnel);
		return true;
	case BODY_WAIT_READ:
	case BODY_WAIT_WRITE:
		return true;
	case BODY_SOURCE_FAIL:
	case BODY_EOF:
	case BODY_BAD:
		tunnel_end(tunnel, tunnel->end ? tunnel->end : source_end);
		return false;
	case BODY_DESTINATION_FAIL:
		tunnel_end(tunnel, tunnel->end ? tunnel->end : destination_end);
		return false;
	}
	return true;
}

void tunnel_run(struct tunnel *tunnel)
{
	struct client *client = tunnel->client;
	struct upstream *upstream = tunnel->upstream;
	struct body_path up = {
		&client->conn, &client->in, &upstream->conn, &upstream->out, walk_up, tunnel, NULL
	};
	struct body_path down = { &upstream->conn, &upstream->in, &client->conn, &client->out,
				  walk_down,       tunnel,        NULL };
	int64_t limit_ms = tunnel->limit_ms;

	check_magic(tunnel, TUNNEL_MAGIC);
	/* Whoever waits for the other side would not see that this one is dead. */
	if (client->conn.is_reset || (upstream->conn.is_reset && !upstream->conn.can_read)) {
		tunnel_end(tunnel, client->conn.is_reset ? END_TUNNEL_CLIENT : END_TUNNEL_SERVER);
		return;
	}
	if (tunnel->is_leaving) {
		tunnel_leave_run(tunnel);
		return;
	}
	if (!relay(tunnel, &tunnel->to_server, &up, END_TUNNEL_CLIENT, END_TUNNEL_SERVER) ||
	    !relay(tunnel, &tunnel->to_client, &down, END_TUNNEL_SERVER, END_TUNNEL_CLIENT))
		return;
	if (tunnel->to_server.is_done && tunnel->to_client.is_done && !buf_length(&client->out) &&
	    !buf_length(&upstream->out)) {
		tunnel_end(tunnel, tunnel->end);
		return;
	}
	if ((tunnel->to_server.is_done || tunnel->to_client.is_done) && limit_ms > HALF_CLOSED_MS)
		limit_ms = HALF_CLOSED_MS;
	if (tunnel->has_to_leave && tunnel->is_upgraded) {
		tunnel_leave(tunnel);
		return;
	}
	if (!tunnel->has_to_leave)
		client_set_timer(client, limit_ms);
	if (conn_watch(&client->traffic->loop, &client->conn) != 0)
		tunnel_end(tunnel, END_TUNNEL_CLIENT);
}

void tunnel_on_timer(struct tunnel *tunnel)
{
	if (tunnel->is_leaving)
		tunnel_leave_timeout(tunnel);
	else if (tunnel->has_to_leave)
		tunnel_leave(tunnel);
	else
		tunnel_end(tunnel, tunnel->end ? tunnel->end : END_TUNNEL_TIMEOUT);
}

/* The session that this WebSocket carries: known by its sid, or born with it. */
static void take_session(struct tunnel *tunnel, struct txn *txn)
{
	if (!txn->stick.is_engineio)
		return;
	tunnel->hold = stick_hold(&txn->stick, txn->backend);
	if (!tunnel->hold && !txn->stick.has_sid) {
		tunnel->is_own_session = true;
		stick_session_begin(tunnel->server, &tunnel->generation);
	}
}

void tunnel_start(struct txn *txn)
{
	struct client *client = txn->client;
	struct tunnel *tunnel = xcalloc(1, sizeof(*tunnel) + access_log_text_size(txn));
	int64_t limit_ms;

	tunnel->magic = TUNNEL_MAGIC;
	tunnel->client = client;
	tunnel->upstream = txn->upstream;
	tunnel->backend = txn->backend;
	tunnel->server = txn->server;
	limit_ms = timeout_of(client->frontend, txn->backend, tunnel_ms);
	if (txn->stick.is_engineio && limit_ms < txn_session_ms(txn))
		limit_ms = txn_session_ms(txn);
	tunnel->limit_ms = limit_ms < UINT32_MAX ? (uint32_t)limit_ms : UINT32_MAX;
	access_log_mark(txn, &tunnel->mark, tunnel->text);
	body_init(&tunnel->to_server, FRAMING_CLOSE, 0, FRAMING_CLOSE);
	body_init(&tunnel->to_client, FRAMING_CLOSE, 0, FRAMING_CLOSE);
	take_session(tunnel, txn);
	account_tunnel_start(txn, tunnel);
	tunnel->upstream->state = UPSTREAM_TUNNEL;
	tunnel->upstream->tunnel = tunnel;
	txn_become_tunnel(txn);
	client->state = CLIENT_TUNNEL;
	client->tunnel = tunnel;
	trace_client(client, "tunnel");
	upstream_close(client->kept);
	client->kept = NULL;
	ending_add_tunnel(tunnel);
	/* A handshake that was under way when the last of its server were ended. */
	if (tunnel->upstream->generation != atomic_load(&tunnel->server->generation))
		tunnel_leave(tunnel);
	else
		tunnel_run(tunnel);
}
