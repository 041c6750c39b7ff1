/* SPDX-License-Identifier: MIT */
/*
 * tunnel_leave - a tunnel whose two sides are told to go.
 *
 * Each direction goes through three stages:
 *
 *   1. the frame under way is passed on to its end;
 *   2. our Close is put behind it, unless the source's own Close was just passed on;
 *   3. what the source still sends is read and dropped, until its Close, or its end, has come.
 *
 * A Close may stand between the fragments of a message (RFC 6455 5.4), so any boundary will do.
 */
#include "config.h"

#include "balance/lb.h"
#include "balance/stick_hold.h"
#include "net/tls.h"
#include "session/ending.h"
#include "session/tunnel.h"
#include "session/upstream.h"

#define TURNS_MAX 16
#define REASON    STR("moving")

struct way {
	struct conn *source;
	struct buf *in;
	struct conn *destination;
	struct buf *out;
	struct websocket_walk *walk;
	struct body *body;
	bool *is_told;
	bool is_to_server;
};

enum way_result { WAY_WAIT, WAY_DONE, WAY_YIELD, WAY_BROKEN };

static void put_close(const struct way *way)
{
	char frame[WEBSOCKET_CLOSE_MAX];
	uint64_t random = lb_random();
	uint8_t mask[4];
	size_t n;

	memcpy(mask, &random, sizeof(mask));
	n = websocket_write_close(frame, way->is_to_server ? mask : NULL, 1001, REASON);
	buf_append(way->out, frame, n);
	*way->is_told = true;
}

/* Takes what IN holds. */
static void take_input(const struct way *way)
{
	size_t n = buf_length(way->in);

	if (*way->is_told) {
		websocket_walk_feed(way->walk, (struct str){ buf_bytes(way->in), n });
		buf_consume(way->in, n);
		return;
	}
	n = websocket_walk_frame(way->walk, (struct str){ buf_bytes(way->in), n });
	buf_append(way->out, buf_bytes(way->in), n);
	body_took(way->body, n);
	buf_consume(way->in, n);
}

/* More input; WAY_DONE: there will be none. */
static enum way_result receive(const struct way *way)
{
	if (!way->source->can_read && !way->source->is_eof)
		return WAY_WAIT;
	buf_reserve(way->in, BUF_SIZE);
	switch (conn_recv(way->source, way->in, buf_room(way->in))) {
	case IO_OK:
		return WAY_YIELD;
	case IO_AGAIN:
		buf_release(way->in);
		return WAY_WAIT;
	case IO_EOF:
	case IO_FAIL:
		break;
	}
	buf_release(way->in);
	way->body->is_done = true;
	return WAY_DONE;
}

/* Nobody will say more that way. */
static bool is_over(const struct way *way)
{
	return way->walk->has_close || way->walk->is_bad || way->body->is_done;
}

/* What the relay has left in a pipe. */
static enum way_result drain(const struct way *way)
{
	struct body_path path = { .destination = way->destination, .out = way->out };

	switch (body_flush(way->body, &path)) {
	case BODY_DONE:
		return WAY_DONE;
	case BODY_WAIT_WRITE:
		return WAY_WAIT;
	case BODY_WAIT_READ:
	case BODY_YIELD:
	case BODY_EOF:
	case BODY_BAD:
	case BODY_SOURCE_FAIL:
	case BODY_DESTINATION_FAIL:
		break;
	}
	return WAY_BROKEN;
}

static enum way_result way_run(const struct way *way)
{
	for (unsigned turns = 0; turns < TURNS_MAX; turns++) {
		enum way_result result;

		if (way->body->is_piped) { /* of the frame under way; the walk is behind it */
			result = drain(way);
			if (result != WAY_DONE)
				return result;
		}
		if (!*way->is_told && websocket_walk_is_at_boundary(way->walk) &&
		    !way->walk->has_close && !way->destination->is_shut &&
		    !tls_is_holding(way->destination))
			put_close(way);
		switch (conn_send_buf(way->destination, way->out)) {
		case IO_OK:
			break;
		case IO_AGAIN:
			if (!*way->is_told && buf_length(way->in))
				return WAY_WAIT;
			break;
		case IO_EOF:
		case IO_FAIL:
			return WAY_BROKEN;
		}
		if (is_over(way))
			return buf_length(way->out) ? WAY_WAIT : WAY_DONE;
		if (buf_length(way->in)) {
			take_input(way);
			continue;
		}
		result = receive(way);
		if (result == WAY_WAIT)
			return WAY_WAIT;
	}
	return WAY_YIELD;
}

/* How it has ended: told to both sides, or not. */
static enum txn_end end_of(const struct tunnel *tunnel)
{
	bool is_up_told =
		tunnel->is_up_told || tunnel->to_server.walk.has_close || tunnel->to_server.is_done;
	bool is_down_told = tunnel->is_down_told || tunnel->to_client.walk.has_close ||
			    tunnel->to_client.is_done;

	return is_up_told && is_down_told ? END_TUNNEL_MOVED : END_TUNNEL_CUT;
}

void tunnel_leave_run(struct tunnel *tunnel)
{
	struct client *client = tunnel->client;
	struct upstream *upstream = tunnel_upstream(tunnel);
	struct way up = { &client->conn,           &client->in,
			  &upstream->conn,         &upstream->out,
			  &tunnel->to_server.walk, &tunnel->to_server,
			  &tunnel->is_up_told,     true };
	struct way down = { &upstream->conn,         &upstream->in,
			    &client->conn,           &client->out,
			    &tunnel->to_client.walk, &tunnel->to_client,
			    &tunnel->is_down_told,   false };
	enum way_result results[2];

	/* Not RFC 6455: nobody can tell where a Close might stand. */
	if (tunnel->to_server.walk.is_bad || tunnel->to_client.walk.is_bad) {
		tunnel_end(tunnel, END_TUNNEL_CUT);
		return;
	}
	results[0] = way_run(&up);
	results[1] = way_run(&down);
	if (results[0] == WAY_BROKEN || results[1] == WAY_BROKEN ||
	    (results[0] == WAY_DONE && results[1] == WAY_DONE)) {
		tunnel_end(tunnel, end_of(tunnel));
		return;
	}
	if (results[0] == WAY_YIELD || results[1] == WAY_YIELD)
		tunnel_run_soon(tunnel);
	if (conn_watch(&client->traffic->loop, &client->conn) != 0)
		tunnel_end(tunnel, end_of(tunnel));
}

void tunnel_leave_timeout(struct tunnel *tunnel)
{
	tunnel_end(tunnel, end_of(tunnel));
}

void tunnel_leave(struct tunnel *tunnel)
{
	bool is_first = !tunnel->has_to_leave;

	if (tunnel->is_leaving)
		return;
	client_set_timer(tunnel->client, TUNNEL_LEAVE_MS);
	if (is_first) {
		ending_remove_tunnel(tunnel);
		ending_leaving(tunnel, false);
		tunnel->has_to_leave = true;
		if (tunnel_hold(tunnel))
			stick_hold_retire(tunnel->hold, tunnel_server(tunnel));
	}
	if (tunnel->is_tcp) {
		tunnel_end(tunnel, END_TUNNEL_CUT);
		return;
	}
	/* Its polls hear it already.  engine.io-client forgets to poll again when the WebSocket
	 * ends between the answer to its probe and its "5". */
	if (is_first && tunnel_hold(tunnel) && !tunnel->is_upgraded &&
	    !tunnel->to_server.walk.is_bad) {
		tunnel_run(tunnel);
		return;
	}
	tunnel->is_leaving = true;
	tunnel_leave_run(tunnel);
}
