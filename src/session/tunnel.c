/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/tunnel.h"

#include <stdlib.h>

#include "balance/stick_hold.h"
#include "base/mem.h"
#include "session/account.h"
#include "session/ending.h"
#include "session/trace.h"
#include "session/txn.h"
#include "session/upstream.h"

#define HALF_CLOSED_MS  SEC(30) /* one side has ended: how long the other may stay silent */
#define UPGRADED_FRAMES 2 /* "2probe" and "5": after them the session lives on the WebSocket */

/* A bulk relay that lets the others have their turn: rare, and then for long. */
struct tunnel_again {
	struct soon soon;
	struct tunnel *tunnel; /* (view) owns us */
};

/*
 * A WebSocket that closes before the upgrade was complete leaves its session polling: then a probe
 * was sent and not confirmed, or a poll is pending.
 */
static bool is_session_over(const struct tunnel *tunnel)
{
	if (!tunnel_hold(tunnel))
		return true;
	if (tunnel->has_to_leave)
		return false; /* its entry stays, dead, for the requests that come late */
	if (tunnel->is_upgraded)
		return true;
	return !tunnel->to_server.walk.is_bad && !tunnel->to_server.walk.data_frames &&
	       stick_hold_is_last(tunnel->hold);
}

/* What has gone each way since UP and DOWN were the numbers. */
static void count_bytes(const struct tunnel *tunnel, uint64_t up, uint64_t down)
{
	struct counters *frontend = &tunnel->client->frontend->state->counters;
	struct counters *server = &tunnel_server(tunnel)->counters;

	count_add(frontend, frontend_bytes_in, tunnel->to_server.bytes - up);
	count_add(frontend, frontend_bytes_out, tunnel->to_client.bytes - down);
	count_add(server, server_bytes_in, tunnel->to_server.bytes - up);
	count_add(server, server_bytes_out, tunnel->to_client.bytes - down);
}

/* Both sides have ended, and have been told all. */
static bool is_in_order(const struct tunnel *tunnel)
{
	return tunnel->to_server.is_done && tunnel->to_client.is_done &&
	       !buf_length(&tunnel->client->out) && !buf_length(&tunnel_upstream(tunnel)->out);
}

/* Nobody shall take for complete what either side has got. */
static void reset_both(struct tunnel *tunnel, enum txn_end end)
{
	if (end == END_TUNNEL_CLIENT)
		count(&tunnel_server(tunnel)->counters, server_client_aborts);
	else if (end == END_TUNNEL_SERVER)
		count(&tunnel_server(tunnel)->counters, server_server_aborts);
	conn_reset(&tunnel->client->conn);
	conn_reset(&tunnel_upstream(tunnel)->conn);
}

static void stop_again(struct tunnel *tunnel)
{
	if (likely(!tunnel->again))
		return;
	loop_soon_cancel(&tunnel->again->soon);
	free(tunnel->again);
	tunnel->again = NULL;
}

void tunnel_abort(struct tunnel *tunnel, enum txn_end end)
{
	struct client *client = tunnel->client;
	struct upstream *upstream = tunnel_upstream(tunnel);
	struct server *server = upstream->server;

	check_magic(upstream, UPSTREAM_MAGIC);
	bug_on(upstream->state != UPSTREAM_TUNNEL);
	ending_remove_tunnel(tunnel);
	if (tunnel->has_to_leave)
		ending_leaving(tunnel, true);
	access_log_tunnel(tunnel, end);
	if (!tunnel->is_tcp)
		count_bytes(tunnel, 0, 0);
	else if (!is_in_order(tunnel))
		reset_both(tunnel, end);
	account_tunnel_end(tunnel, end);
	count_down(&server->counters, server_requests_now);
	count_down(&tunnel->backend->state->counters, backend_requests_now);
	stick_hold_end(tunnel_hold(tunnel), is_session_over(tunnel));
	if (tunnel->is_own_session)
		stick_session_end(server, tunnel->own_generation);
	body_fini(&tunnel->to_server);
	body_fini(&tunnel->to_client);
	stop_again(tunnel);
	free(tunnel->mark);
	tunnel->mark = NULL;
	client->tunnel = NULL;
	upstream_close(upstream); /* the tunnel with it, at the end of this turn */
	server_release_slot(server);
	queue_wake(client->traffic, server->backend);
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
		websocket_walk_skip(&tunnel->to_server.walk, piece.len);
		return;
	}
	websocket_walk_feed(&tunnel->to_server.walk, piece);
	if (likely(tunnel->is_upgraded) || !tunnel_hold(tunnel) ||
	    tunnel->to_server.walk.data_frames < UPGRADED_FRAMES)
		return;
	tunnel->is_upgraded = true;
	account_upgraded(tunnel);
}

static void walk_down(void *arg, struct str piece)
{
	struct tunnel *tunnel = arg;

	if (unlikely(!piece.p))
		websocket_walk_skip(&tunnel->to_client.walk, piece.len);
	else
		websocket_walk_feed(&tunnel->to_client.walk, piece);
}

/* The rest of a large frame: where the next one begins is known without it. */
static uint64_t unseen_up(void *arg)
{
	return websocket_walk_unseen(&((struct tunnel *)arg)->to_server.walk);
}

static uint64_t unseen_down(void *arg)
{
	return websocket_walk_unseen(&((struct tunnel *)arg)->to_client.walk);
}

static void run_again(struct soon *soon)
{
	struct tunnel *tunnel = container_of(soon, struct tunnel_again, soon)->tunnel;

	stop_again(tunnel);
	tunnel_run(tunnel);
}

void tunnel_run_soon(struct tunnel *tunnel)
{
	if (tunnel->again)
		return;
	tunnel->again = xcalloc(1, sizeof(*tunnel->again));
	tunnel->again->tunnel = tunnel;
	loop_soon(&tunnel->client->traffic->loop, &tunnel->again->soon, run_again);
}

/* One direction, as far as it goes.  False: the tunnel has ended. */
static bool relay(struct tunnel *tunnel, struct body *body, const struct body_path *path,
		  enum txn_end source_end, enum txn_end destination_end)
{
	if (body->is_done && !buf_length(path->out))
		return true;
	switch (body_relay(body, path)) {
	case BODY_DONE:
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

/* The first silence is to be noticed before it is too long. */
static bool wants_probes(const struct tunnel *tunnel)
{
	return tunnel_upstream(tunnel)->conn.lacks_probes &&
	       silence_limit_ms(tunnel) > UPSTREAM_SILENT_MS;
}

static void begin_probes(struct tunnel *tunnel)
{
	conn_probe(&tunnel_upstream(tunnel)->conn);
	client_set_timer(tunnel->client, silence_limit_ms(tunnel) - UPSTREAM_SILENT_MS);
}

static void set_silence_timer(struct tunnel *tunnel)
{
	int64_t limit_ms = silence_limit_ms(tunnel);

	client_set_timer(tunnel->client, wants_probes(tunnel) ? UPSTREAM_SILENT_MS : limit_ms);
}

static void run(struct tunnel *tunnel)
{
	struct client *client = tunnel->client;
	struct upstream *upstream = tunnel_upstream(tunnel);
	struct body_path up = { .source = &client->conn,
				.in = &client->in,
				.destination = &upstream->conn,
				.out = &upstream->out,
				.tap = tunnel->is_tcp ? NULL : walk_up,
				.arg = tunnel,
				.is_last = !upstream->conn.face,
				.unseen = unseen_up };
	struct body_path down = { .source = &upstream->conn,
				  .in = &upstream->in,
				  .destination = &client->conn,
				  .out = &client->out,
				  .tap = tunnel->is_tcp ? NULL : walk_down,
				  .arg = tunnel,
				  .is_last = !client->conn.face,
				  .unseen = unseen_down };

	check_magic(upstream, UPSTREAM_MAGIC);
	bug_on(upstream->state != UPSTREAM_TUNNEL);
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
	if (is_in_order(tunnel)) { /* closing them says the same as shutting them first */
		tunnel_end(tunnel, tunnel->end);
		return;
	}
	if (tunnel->to_server.is_done && !buf_length(&upstream->out))
		conn_shutdown(&upstream->conn);
	if (tunnel->to_client.is_done && !buf_length(&client->out))
		conn_shutdown(&client->conn);
	if (tunnel->has_to_leave && tunnel->is_upgraded) {
		tunnel_leave(tunnel);
		return;
	}
	if (!tunnel->has_to_leave)
		set_silence_timer(tunnel);
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
	else if (wants_probes(tunnel))
		begin_probes(tunnel);
	else
		tunnel_end(tunnel, tunnel->end ? tunnel->end : END_TUNNEL_TIMEOUT);
}

/* The session that this WebSocket carries: known by its sid, or born with it. */
static void take_session(struct tunnel *tunnel, struct txn *txn)
{
	if (!txn->stick.is_engineio)
		return;
	tunnel->hold = stick_hold(&txn->stick, txn->backend);
	if (tunnel->hold || txn->stick.has_sid)
		return;
	tunnel->is_own_session = true;
	stick_session_begin(txn->server, &tunnel->own_generation);
}

void tunnel_start(struct txn *txn)
{
	struct client *client = txn->client;
	struct upstream *upstream = txn->upstream;
	struct tunnel *tunnel = &upstream->tunnel;
	int64_t limit_ms;

	/* What requests need of the connection ends here. */
	*tunnel = (struct tunnel){ .client = client,
				   .backend = txn->backend,
				   .mark = access_log_mark(txn),
				   .is_tcp = txn_is_tcp(txn) };
	upstream->state = UPSTREAM_TUNNEL;
	limit_ms = timeout_of(client->frontend, txn->backend, tunnel_ms);
	if (txn->stick.is_engineio && limit_ms < txn_session_ms(txn))
		limit_ms = txn_session_ms(txn);
	tunnel->limit_ms = limit_ms < UINT32_MAX ? (uint32_t)limit_ms : UINT32_MAX;
	body_init(&tunnel->to_server, FRAMING_CLOSE, 0, FRAMING_CLOSE);
	body_init(&tunnel->to_client, FRAMING_CLOSE, 0, FRAMING_CLOSE);
	take_session(tunnel, txn);
	account_tunnel_start(txn, tunnel);
	txn_become_tunnel(txn);
	client_set_state(client, CLIENT_TUNNEL);
	client->tunnel = tunnel;
	trace_client(client, "tunnel");
	upstream_close(client_take_kept(client));
	ending_add_tunnel(tunnel);
	/* A handshake that was under way when the last of its server were ended. */
	if (upstream->generation != atomic_load(&upstream->server->generation))
		tunnel_leave(tunnel);
	else
		tunnel_run(tunnel);
}
