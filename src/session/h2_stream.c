/* SPDX-License-Identifier: MIT */
/*
 * h2_stream - a stream of an HTTP/2 connection, and the request's side of its client's conn.
 */
#include "config.h"

#include <errno.h>

#include "balance/lb.h"
#include "session/h2_internal.h"
#include "session/h2_mem.h"
#include "session/trace.h"
#include "session/upstream.h"

#define CHUNK_OVERHEAD 24u /* a chunk's size line and its CR LF */

struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id)
{
	struct h2_mem *mem = h2->client->traffic->h2_mem;
	struct h2_stream *stream = h2_mem_get_zeroed(mem, sizeof(*stream));

	stream->magic = H2_STREAM_MAGIC;
	stream->id = id;
	stream->h2 = h2;
	stream->head = h2_mem_get(mem, sizeof(*stream->head));
	h2_head_init(stream->head, h2->head_size_max);
	list_push_back(&h2->streams, &stream->link);
	h2->streams_n++;
	return stream;
}

static void free_head(struct h2_stream *stream)
{
	if (!stream->head)
		return;
	h2_head_fini(stream->head);
	h2_mem_put(stream->h2->client->traffic->h2_mem, stream->head);
	stream->head = NULL;
}

void h2_stream_let_go(struct h2_stream *stream)
{
	struct h2 *h2 = stream->h2;

	if (!stream->is_closed || stream->client)
		return;
	/* What nobody will read any more must not narrow the connection's window. */
	if (buf_length(&stream->body) && !h2->is_over)
		(void)nghttp2_session_consume_connection(h2->session, buf_length(&stream->body));
	list_remove(&stream->link);
	list_remove(&stream->news_link);
	if (--h2->streams_n == 0)
		h2->client->since_ms = clock_ms();
	h2->out_sum -= (uint32_t)buf_length(&stream->out);
	free_head(stream);
	buf_release(&stream->body);
	buf_release(&stream->trailers);
	buf_release(&stream->rsp_head);
	buf_release(&stream->out);
	buf_release(&stream->rsp_trailers);
	stream->magic = 0;
	if (h2->filled == stream)
		h2->filled = NULL;
	h2_mem_put(h2->client->traffic->h2_mem, stream);
	h2_wake(h2);
}

void h2_stream_has_news(struct h2_stream *stream)
{
	if (!list_is_linked(&stream->news_link))
		list_push_back(&stream->h2->news, &stream->news_link);
	h2_wake(stream->h2);
}

void h2_stream_reset(struct h2_stream *stream, uint32_t code)
{
	struct h2 *h2 = stream->h2;

	if (h2->is_over || stream->is_closed || stream->is_reset_submitted)
		return;
	stream->is_reset_submitted = true;
	(void)nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->id, code);
	h2_wake(h2);
}

void h2_stream_closed(struct h2_stream *stream, uint32_t code)
{
	stream->is_closed = true;
	if (!stream->client) {
		h2_stream_let_go(stream);
		return;
	}
	if (code != 0 || stream->phase != H2_RSP_DONE)
		stream->is_broken = true;
	h2_stream_has_news(stream);
}

/* Its client must not be left open when there is nobody behind it. */
static void close_client(struct h2_stream *stream)
{
	struct client *client = stream->client;

	client->conn.is_hung_up = client->conn.is_broken = client->conn.is_reset = true;
	client->conn.can_read = client->conn.can_write = true;
	client->conn.on_event(&client->conn, CONN_IO);
	if (client->state != CLIENT_CLOSED)
		client_reset(client);
}

void h2_stream_abandon(struct h2_stream *stream)
{
	stream->is_closed = stream->is_broken = true;
	if (stream->client)
		close_client(stream); /* its face lets go of us */
	else
		h2_stream_let_go(stream);
}

bool h2_stream_has_room(const struct h2_stream *stream)
{
	size_t max = stream->h2->out_sum < H2_OUT_SUM_MAX ? H2_STREAM_OUT_MAX : H2_STREAM_OUT_MIN;

	return buf_length(&stream->out) < max;
}

/* 16 bytes of chance in base64 (RFC 6455 4.1). */
static void make_key(char key[H2_KEY_SIZE])
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint64_t random = 0;

	for (unsigned i = 0; i < 21; i++) {
		if (i % 10 == 0)
			random = lb_random();
		key[i] = digits[random & 63];
		random >>= 6;
	}
	key[21] = digits[random & 48]; /* two bits, and four that are zero */
	memcpy(key + 22, "==", 3);
}

/* The frontend's keeping of a connection that opened with a PROXY header is the carrier's. */
static void hand_kept(struct client *from, struct client *to)
{
	if (client_kept(from) && !client_kept(to))
		client_keep(to, client_take_kept(from));
}

static void open_client(struct h2_stream *stream)
{
	struct h2 *h2 = stream->h2;
	struct client *carrier = h2->client;
	struct client *client;
	struct h2_request request = {
		.is_ended = stream->is_ended && !buf_length(&stream->trailers),
		.body_size = buf_length(&stream->body),
		.key = stream->key,
	};
	bool is_good;
	uint16_t status;
	const char *why;

	client_renew_config(carrier);
	client = client_open_stream(carrier, &h2_stream_face);
	client->conn.stream = stream;
	client->conn.can_read = buf_length(&stream->body) || stream->is_ended;
	stream->client = client;
	hand_kept(carrier, client);
	carrier->requests++;
	if (carrier->traffic->is_draining)
		h2_leave(h2);
	count(&client->frontend->state->counters, frontend_h2_streams);
	trace_client(client, "stream");
	if (h2_head_is_extended(stream->head))
		make_key(stream->key);
	is_good = h2_head_write(stream->head, &request, &client->in);
	status = stream->head->status;
	why = stream->head->why;
	free_head(stream);
	stream->is_chunked = request.is_chunked;
	stream->is_websocket = request.is_websocket;
	stream->is_head = request.is_head;
	if (is_good)
		client_open_run(client);
	else
		client_refuse(client, status, why);
	if (client->state == CLIENT_IDLE)
		client_close(client); /* one stream, one request */
}

static void run_client(struct h2_stream *stream)
{
	struct client *client = stream->client;
	struct conn *conn = &client->conn;

	conn->can_read |= buf_length(&stream->body) || stream->is_ended;
	conn->can_write |= h2_stream_has_room(stream);
	conn->on_event(conn, CONN_IO);
}

void h2_stream_run(struct h2_stream *stream)
{
	struct h2 *h2 = stream->h2;

	list_remove(&stream->news_link);
	if (stream->is_bad) {
		h2_tell(h2, stream->id, "bad trailers");
		h2_stream_reset(stream, NGHTTP2_PROTOCOL_ERROR);
	}
	if (stream->is_broken || stream->is_bad || stream->is_over) {
		stream->is_broken = true;
		if (stream->client)
			close_client(stream);
		return;
	}
	if (stream->is_headed && stream->head && !h2->is_over)
		open_client(stream);
	else if (stream->client)
		run_client(stream);
}

/* The request's last bytes: the end of the chunked coding. */
static void put_end(struct h2_stream *stream, struct buf *buf)
{
	stream->is_end_read = true;
	buf_append(buf, "0\r\n", 3);
	if (buf_length(&stream->trailers))
		buf_append_str(buf, buf_str(&stream->trailers));
	buf_append(buf, "\r\n", 2);
	buf_release(&stream->trailers);
}

static void take_body(struct h2_stream *stream, struct buf *buf, size_t room)
{
	struct h2 *h2 = stream->h2;
	size_t n = buf_length(&stream->body);

	if (stream->is_chunked)
		room -= CHUNK_OVERHEAD;
	if (n > room)
		n = room;
	if (stream->is_chunked)
		http1_put_chunk_line(buf, n);
	buf_append(buf, buf_bytes(&stream->body), n);
	if (stream->is_chunked)
		buf_append(buf, "\r\n", 2);
	buf_consume(&stream->body, n);
	if (h2->is_over)
		return;
	(void)nghttp2_session_consume(h2->session, stream->id, n);
	h2_wake(h2);
}

static enum io stream_recv(struct conn *conn, struct buf *buf, size_t room)
{
	struct h2_stream *stream = conn->stream;

	if (stream->is_broken) {
		conn->error = ECONNRESET;
		conn->is_broken = conn->is_reset = true;
		return IO_FAIL;
	}
	if (stream->phase == H2_RSP_DONE &&
	    !stream->is_tunnel) { /* what else it says is not a request */
		conn->is_eof = true;
		return IO_EOF;
	}
	if (room <= CHUNK_OVERHEAD)
		return IO_AGAIN;
	if (buf_length(&stream->body)) {
		take_body(stream, buf, room);
		return IO_OK;
	}
	conn->can_read = false;
	if (!stream->is_ended)
		return IO_AGAIN;
	if (stream->is_chunked && !stream->is_end_read) {
		put_end(stream, buf);
		return IO_OK;
	}
	if (!stream->is_tunnel)
		return IO_AGAIN;
	conn->is_eof = true;
	return IO_EOF;
}

static int stream_watch(struct loop *loop, struct conn *conn)
{
	(void)loop;
	(void)conn;
	return 0;
}

static bool stream_is_quiet(struct conn *conn)
{
	(void)conn;
	return false;
}

static void stream_shutdown(struct conn *conn)
{
	struct h2_stream *stream = conn->stream;

	if (stream->phase == H2_RSP_TUNNEL)
		h2_response_end(stream, false);
}

static void stream_close(struct conn *conn, bool is_reset)
{
	struct h2_stream *stream = conn->stream;
	struct client *client = stream->client;

	hand_kept(client, client_carrier(client));
	stream->client = NULL;
	conn->stream = NULL;
	stream->moved_at_ms = clock_ms(); /* one without a body has not set it */
	h2_response_end(stream, is_reset);
	if (!stream->is_closed) {
		/* The end was sent: whatever the client still has to say is not awaited. */
		if (stream->is_end_sent && !stream->is_ended)
			h2_stream_reset(stream, NGHTTP2_NO_ERROR);
		h2_wake(stream->h2);
	}
	h2_stream_let_go(stream);
}

const struct conn_face h2_stream_face = {
	.recv = stream_recv,
	.sendv = h2_response_sendv,
	.watch = stream_watch,
	.is_quiet = stream_is_quiet,
	.shutdown = stream_shutdown,
	.close = stream_close,
};
