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

/* What has gone each way since UP and DOWN were the numbers. */
static void count_bytes(const struct tunnel *tunnel, uint64_t up, uint64_t down)
{
	struct counters *frontend = &tunnel->client->frontend->state->counters;
	struct counters *server = &tunnel->server->counters;

	count_add(frontend, frontend_bytes_in, tunnel->to_server.bytes - up);
	count_add(frontend, frontend_bytes_out, tunnel->to_client.bytes - down);
	count_add(server, server_bytes_in, tunnel->to_server.bytes - up);
	count_add(server, server_bytes_out, tunnel->to_client.bytes - down);
}

/* Both sides have ended, and have been told all. */
static bool is_in_order(const struct tunnel *tunnel)
{
	return tunnel->to_server.is_done && tunnel->to_client.is_done &&
	       !buf_length(&tunnel->client->out) && !buf_length(&tunnel->upstream->out);
}

/* Nobody shall take for complete what either side has got. */
static void reset_both(struct tunnel *tunnel, enum txn_end end)
{
	if (end == END_TUNNEL_CLIENT)
		count(&tunnel->server->counters, server_client_aborts);
	else if (end == END_TUNNEL_SERVER)
		count(&tunnel->server->counters, server_server_aborts);
	conn_reset(&tunnel->client->conn);
	conn_reset(&tunnel->upstream->conn);
}

void tunnel_abort(struct tunnel *tunnel, enum txn_end end)
{
	struct client *client = tunnel->client;

	check_magic(tunnel, TUNNEL_MAGIC);
	ending_remove_tunnel(tunnel);
	if (tunnel->has_to_leave)
		ending_leaving(tunnel, true);
	access_log_tunnel(tunnel, end);
	if (!tunnel->is_tcp)
		count_bytes(tunnel, 0, 0);
	else if (!is_in_order(tunnel))
		reset_both(tunnel, end);
	account_tunnel_end(tunnel, end);
	count_down(&tunnel->server->counters, server_requests_now);
	count_down(&tunnel->backend->state->counters, backend_requests_now);
	stick_hold_end(tunnel->hold, is_session_over(tunnel));
	if (tunnel->is_own_session)
		stick_session_end(tunnel->server, tunnel->generation);
	body_fini(&tunnel->to_server);
	body_fini(&tunnel->to_client);
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

	if (unlikely(!piece.p)) {
		websocket_walk_skip(&tunnel->up, piece.len);
		return;
	}
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

	if (unlikely(!piece.p))
		websocket_walk_skip(&tunnel->down, piece.len);
	else
		websocket_walk_feed(&tunnel->down, piece);
}

/* The rest of a large frame: where the next one begins is known without it. */
static uint64_t unseen_up(void *arg)
{
	return websocket_walk_unseen(&((struct tunnel *)arg)->up);
}

static uint64_t unseen_down(void *arg)
{
	return websocket_walk_unseen(&((struct tunnel *)arg)->down);
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

/* How long both may be silent from now on. */
static int64_t silence_limit_ms(const struct tunnel *tunnel)
{
	const struct frontend *frontend = tunnel->client->frontend;
	int64_t limit_ms = HALF_CLOSED_MS;

	if (!tunnel->to_server.is_done && !tunnel->to_client.is_done)
		return tunnel->limit_ms;
	/* The server works on what it was told, or the client takes what it is told. */
	if (tunnel->is_tcp)
		limit_ms = tunnel->to_server.is_done
				   ? timeout_of(frontend, tunnel->backend, server_ms)
				   : frontend->timeouts.client_ms;
	return limit_ms < tunnel->limit_ms ? limit_ms : tunnel->limit_ms;
}

static void run(struct tunnel *tunnel)
{
	struct client *client = tunnel->client;
	struct upstream *upstream = tunnel->upstream;
	struct body_path up = { .source = &client->conn,
				.in = &client->in,
				.destination = &upstream->conn,
				.out = &upstream->out,
				.tap = tunnel->is_tcp ? NULL : walk_up,
				.arg = tunnel,
				.unseen = unseen_up };
	struct body_path down = { .source = &upstream->conn,
				  .in = &upstream->in,
				  .destination = &client->conn,
				  .out = &client->out,
				  .tap = tunnel->is_tcp ? NULL : walk_down,
				  .arg = tunnel,
				  .unseen = unseen_down };

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
	if (is_in_order(tunnel)) {
		tunnel_end(tunnel, tunnel->end);
		return;
	}
	if (tunnel->has_to_leave && tunnel->is_upgraded) {
		tunnel_leave(tunnel);
		return;
	}
	if (!tunnel->has_to_leave)
		client_set_timer(client, silence_limit_ms(tunnel));
	if (conn_watch(&client->traffic->loop, &client->conn) != 0)
		tunnel_end(tunnel, END_TUNNEL_CLIENT);
}

void tunnel_run(struct tunnel *tunnel)
{
	uint64_t up = tunnel->to_server.bytes, down = tunnel->to_client.bytes;

	run(tunnel);
	/* Those of a WebSocket are few, and are counted at its end. */
	if (tunnel->is_tcp)
		count_bytes(tunnel, up, down); /* it may be over, and is in the graveyard then */
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
	tunnel->is_tcp = txn_is_tcp(txn);
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
	client_set_state(client, CLIENT_TUNNEL);
	client->tunnel = tunnel;
	trace_client(client, "tunnel");
	upstream_close(client_take_kept(client));
	ending_add_tunnel(tunnel);
	/* A handshake that was under way when the last of its server were ended. */
	if (tunnel->upstream->generation != atomic_load(&tunnel->server->generation))
		tunnel_leave(tunnel);
	else
		tunnel_run(tunnel);
}
