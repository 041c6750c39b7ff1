/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/h2.h"

#include <stdlib.h>

#include "base/log.h"
#include "session/client_tls.h"
#include "session/h2_internal.h"
#include "session/trace.h"
#include "session/txn.h"

#define TURNS_MAX 16  /* reads, or sends, before other connections have their turn */
#define QUEUE_MAX 256 /* frames of ours that may wait while the client takes none */

static const char *const cannot_watch = "its socket cannot be watched";
static const char *const no_session = "no memory for its session";
static const char *const takes_nothing = "the client takes nothing of what it is sent";

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_SIZE (sizeof(preface) - 1)

bool h2_is_wanted(struct client *client)
{
	struct tls_about about;

	if (client_tls_about(client, &about))
		return str_eq(about.alpn, STR("h2"));
	return client->frontend->http2.is_cleartext && !client->bind->tls;
}

static void on_soon(struct soon *soon)
{
	h2_run(container_of(soon, struct h2, soon)->client);
}

void h2_wake(struct h2 *h2)
{
	if (!h2->is_running && !h2->is_over)
		loop_soon(&h2->client->traffic->loop, &h2->soon, on_soon);
}

void h2_leave(struct h2 *h2)
{
	if (h2->is_leaving || h2->is_over)
		return;
	h2->is_leaving = true;
	(void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
				    nghttp2_session_get_last_proc_stream_id(h2->session),
				    NGHTTP2_NO_ERROR, NULL, 0);
	h2_wake(h2);
}

void h2_failed(struct h2 *h2, struct str why)
{
	struct client *client = h2->client;
	char text[ADDR_TEXT_SIZE];

	h2->has_failed = h2->is_leaving = true;
	count(&client->frontend->state->counters, frontend_h2_failures);
	log_warn("frontend %s: HTTP/2 connection from %s closed: %.*s",
		 client->frontend->state->name, ip_addr_text(&client->source, text).p,
		 STR_ARG(why));
}

void h2_fail(struct h2 *h2, uint32_t code, const char *why)
{
	if (h2->has_failed || h2->is_over)
		return;
	h2_failed(h2, str_of(why));
	(void)nghttp2_session_terminate_session(h2->session, code);
	h2_wake(h2);
}

void h2_tell(struct h2 *h2, int32_t id, const char *why)
{
	struct client *client = h2->client;
	char text[ADDR_TEXT_SIZE];

	if (h2->has_told)
		return;
	h2->has_told = true;
	log_warn("frontend %s: HTTP/2 stream %d of %s reset: %s", client->frontend->state->name,
		 (int)id, ip_addr_text(&client->source, text).p, why);
}

/* Of its own doing, not the client's: who sees it end shall know why. */
static void give_up(struct h2 *h2, const char *why)
{
	if (!h2->has_failed)
		h2_failed(h2, str_of(why));
}

static void h2_free(struct grave *grave)
{
	struct h2 *h2 = container_of(grave, struct h2, grave);

	h2->magic = 0;
	nghttp2_session_del(h2->session);
	free(h2);
}

static void abandon_streams(struct h2 *h2)
{
	while (!list_is_empty(&h2->streams))
		h2_stream_abandon(list_entry(h2->streams.next, struct h2_stream, link));
}

void h2_close(struct client *client)
{
	struct h2 *h2 = client->h2;

	if (!h2)
		return;
	check_magic(h2, H2_MAGIC);
	h2->is_over = true;
	abandon_streams(h2);
	loop_soon_cancel(&h2->soon);
	client->h2 = NULL;
	loop_bury(&client->traffic->loop, &h2->grave, h2_free);
}

/* Our last frames are out: the client gets time to read them. */
static void finish(struct h2 *h2)
{
	struct client *client = h2->client;

	if (buf_length(&client->out)) {
		client_reset(client);
		return;
	}
	h2_close(client);
	client_next(client, CLIENT_IS_CUT_OFF);
}

static void run_news(struct h2 *h2)
{
	struct list batch;

	if (list_is_empty(&h2->news))
		return;
	/* What comes in meanwhile has its turn after the next flush. */
	list_insert_before(&h2->news, &batch);
	list_remove(&h2->news);
	while (!list_is_empty(&batch)) /* h2_close() in between has emptied it */
		h2_stream_run(list_entry(batch.next, struct h2_stream, news_link));
}

/* The client has gone; or what it sends is no TLS any more. */
static void lost(struct h2 *h2)
{
	struct client *client = h2->client;
	struct tls_about about;

	if (client_tls_about(client, &about) && about.why)
		give_up(h2, about.why);
	client_close(client);
}

/* Frames to client->out and out of it.  IO_OK: nothing is left. */
static enum io flush(struct h2 *h2)
{
	struct client *client = h2->client;

	for (unsigned turns = 0; turns < TURNS_MAX; turns++) {
		const uint8_t *bytes;
		ssize_t n = 1;
		size_t before;
		enum io io;

		while (buf_length(&client->out) < H2_OUT_MAX) {
			n = nghttp2_session_mem_send(h2->session, &bytes);
			if (n <= 0)
				break;
			buf_append(&client->out, bytes, (size_t)n);
		}
		before = buf_length(&client->out);
		if (n < 0) {
			give_up(h2, nghttp2_strerror((int)n));
			return IO_FAIL;
		}
		if (!before) {
			h2->moved_at_ms = clock_ms();
			return IO_OK;
		}
		io = conn_send_buf(&client->conn, &client->out);
		if (buf_length(&client->out) != before)
			h2->moved_at_ms = clock_ms();
		if (io != IO_OK)
			return io;
	}
	loop_soon(&client->traffic->loop, &h2->soon, on_soon);
	return IO_AGAIN;
}

static void set_timer(struct h2 *h2)
{
	struct client *client = h2->client;
	const struct timeouts *timeouts = &client->frontend->timeouts;
	int64_t now_ms = clock_ms(), at_ms = INT64_MAX;

	if (h2->block_since_ms || !h2->is_opened)
		at_ms = (h2->is_opened ? h2->block_since_ms : client->since_ms) +
			timeouts->client_head_ms;
	else if (!h2->streams_n)
		at_ms = client->since_ms + timeouts->keep_alive_ms;
	if (!h2->streams_n)
		h2->check_at_ms = 0;
	else if (!h2->check_at_ms)
		h2->check_at_ms = now_ms + timeouts->client_ms;
	if (h2->check_at_ms && h2->check_at_ms < at_ms)
		at_ms = h2->check_at_ms;
	if (buf_length(&client->out) && h2->moved_at_ms + timeouts->client_ms < at_ms)
		at_ms = h2->moved_at_ms + timeouts->client_ms;
	client_set_timer(client, at_ms > now_ms ? at_ms - now_ms : 1);
}

/* Who takes nothing of what we say is not listened to. */
static bool may_read(const struct h2 *h2)
{
	const struct client *client = h2->client;

	if (h2->has_failed || (!client->conn.can_read && !client->conn.is_eof))
		return false;
	return !buf_length(&client->out) ||
	       nghttp2_session_get_outbound_queue_size(h2->session) < QUEUE_MAX;
}

/* All is sent: will there be more? */
static bool is_over(const struct h2 *h2)
{
	if (h2->is_leaving && !h2->streams_n && list_is_empty(&h2->news))
		return true;
	return !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
}

/* Streams and socket as far as they go; the client may be closed afterwards. */
static void turn(struct h2 *h2)
{
	struct client *client = h2->client;
	enum io io = IO_OK;

	for (unsigned turns = 0; turns < TURNS_MAX; turns++) {
		if (!h2->has_failed)
			run_news(h2);
		if (h2->is_over)
			return;
		io = flush(h2);
		if (io != IO_OK || h2->has_failed || list_is_empty(&h2->news))
			break;
	}
	h2->is_running = false;
	if (io == IO_FAIL || io == IO_EOF) {
		lost(h2);
		return;
	}
	if (!list_is_empty(&h2->news))
		h2_wake(h2);
	if (h2->has_failed || (io == IO_OK && is_over(h2))) {
		finish(h2);
		return;
	}
	if (may_read(h2))
		h2_wake(h2); /* what had to wait until the client took our frames */
	set_timer(h2);
	if (conn_watch(&client->traffic->loop, &client->conn) != 0) {
		give_up(h2, cannot_watch);
		client_close(client);
	}
}

/* Bytes of the client to nghttp2. */
static void feed(struct h2 *h2)
{
	struct client *client = h2->client;
	ssize_t n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)buf_bytes(&client->in),
					     buf_length(&client->in));

	buf_release(&client->in);
	if (n < 0)
		h2_fail(h2,
			n == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM
						 : NGHTTP2_PROTOCOL_ERROR,
			nghttp2_strerror((int)n));
}

static void run(struct h2 *h2)
{
	struct client *client = h2->client;

	h2->is_running = true;
	if (buf_length(&client->in))
		feed(h2);
	for (unsigned turns = 0; may_read(h2); turns++) {
		enum io io;

		if (turns == TURNS_MAX) {
			loop_soon(&client->traffic->loop, &h2->soon, on_soon);
			break;
		}
		buf_reserve(&client->in, BUF_SIZE);
		io = conn_recv(&client->conn, &client->in, buf_room(&client->in));
		if (io == IO_OK) {
			feed(h2);
			run_news(h2);
			if (h2->is_over)
				return;
			continue;
		}
		buf_release(&client->in);
		if (io == IO_AGAIN)
			break;
		lost(h2);
		return;
	}
	turn(h2);
}

static void begin(struct client *client)
{
	struct h2 *h2 = xcalloc(1, sizeof(*h2));

	h2->magic = H2_MAGIC;
	h2->client = client;
	h2->window = client->frontend->http2.window;
	h2->head_size_max = client->frontend->config->global.head_size_max;
	h2->moved_at_ms = clock_ms();
	list_init(&h2->streams);
	list_init(&h2->news);
	h2_limits_init(&h2->limits, client->frontend->http2.max_resets, clock_ms());
	client_set_state(client, CLIENT_H2);
	client->h2 = h2;
	count(&client->frontend->state->counters, frontend_h2_connections);
	trace_client(client, "h2");
	if (h2_session_open(h2) != 0) {
		give_up(h2, no_session);
		client_reset(client);
		return;
	}
	run(h2);
}

/* Clear text: what has come of the preface decides. */
static void look_for_preface(struct client *client)
{
	for (;;) {
		size_t n = buf_length(&client->in);
		enum io io;

		if (n && memcmp(buf_bytes(&client->in), preface,
				n < PREFACE_SIZE ? n : PREFACE_SIZE) != 0)
			break;
		if (n >= PREFACE_SIZE) {
			begin(client);
			return;
		}
		buf_reserve(&client->in, n ? 1024 : BUF_SIZE);
		io = conn_recv(&client->conn, &client->in, buf_room(&client->in));
		if (io == IO_OK)
			continue;
		if (!n)
			buf_release(&client->in);
		if (io == IO_AGAIN) {
			client_wait_head(client);
			if (conn_watch(&client->traffic->loop, &client->conn) == 0)
				return;
		}
		break;
	}
	client_set_state(client, CLIENT_IDLE);
	client_open_run(client);
}

void h2_start(struct client *client)
{
	client_set_state(client, CLIENT_H2);
	if (client_tls_about(client, &(struct tls_about){ 0 }))
		begin(client);
	else
		look_for_preface(client);
}

void h2_run(struct client *client)
{
	if (!client->h2) {
		look_for_preface(client);
		return;
	}
	check_magic(client->h2, H2_MAGIC);
	if (!client->h2->is_running)
		run(client->h2);
}

/* Responses of which the client takes nothing, though the engine has done with them. */
static void reset_stalled(struct h2 *h2)
{
	int64_t limit_ms = h2->client->frontend->timeouts.client_ms;

	list_for_each(node, &h2->streams) {
		struct h2_stream *stream = list_entry(node, struct h2_stream, link);

		if (!stream->client && stream->is_headed &&
		    clock_ms() - stream->moved_at_ms >= limit_ms) {
			h2_tell(h2, stream->id, "the client takes nothing of its response");
			h2_stream_reset(stream, NGHTTP2_CANCEL);
		}
	}
	h2->check_at_ms = 0;
}

/* The requests under way end before their connection does, for END. */
static void end_requests(struct h2 *h2, enum txn_end end)
{
	list_for_each_safe(node, after, &h2->streams) {
		struct client *client = list_entry(node, struct h2_stream, link)->client;

		if (!client || !client_txn(client))
			continue;
		txn_abort(client->txn, end);
		client_reset(client);
	}
}

void h2_on_timer(struct client *client)
{
	const struct timeouts *timeouts = &client->frontend->timeouts;
	struct h2 *h2 = client->h2;
	int64_t now_ms = clock_ms();

	if (!h2) {
		client_set_state(client, CLIENT_IDLE);
		if (buf_length(&client->in))
			client_refuse(client, 408, "head not complete in time");
		else
			client_close(client);
		return;
	}
	if (buf_length(&client->out) && now_ms - h2->moved_at_ms >= timeouts->client_ms) {
		give_up(h2, takes_nothing);
		end_requests(h2, END_CLIENT_TIMEOUT_DATA);
		client_reset(client);
		return;
	}
	if (h2->check_at_ms && now_ms >= h2->check_at_ms)
		reset_stalled(h2);
	if (!h2->is_opened ||
	    (h2->block_since_ms && now_ms - h2->block_since_ms >= timeouts->client_head_ms))
		h2_fail(h2, NGHTTP2_ENHANCE_YOUR_CALM, "head not complete in time");
	else if (!h2->streams_n && now_ms - client->since_ms >= timeouts->keep_alive_ms)
		h2_leave(h2);
	h2_run(client);
}

void h2_drain(struct client *client)
{
	if (client->h2)
		h2_leave(client->h2);
	else
		client_close(client);
}
