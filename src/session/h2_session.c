/* SPDX-License-Identifier: MIT */
/*
 * h2_session - nghttp2's session and its callbacks, which take down what came and run nothing.
 */
#include "config.h"

#include <errno.h>

#include "session/h2_internal.h"
#include "session/h2_mem.h"

/* A connection's request bodies, over all its streams. */
#define CONNECTION_WINDOWS 8

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);

	if (stream)
		check_magic(stream, H2_STREAM_MAGIC);
	return stream;
}

/* Enough is enough: nghttp2 reads no further. */
static int too_much(struct h2 *h2, const char *why)
{
	if (!why)
		return 0;
	h2_fail(h2, NGHTTP2_ENHANCE_YOUR_CALM, why);
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2 *h2 = arg;

	(void)session;
	return too_much(h2, h2_limits_frame(&h2->limits, hd, clock_ms()));
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;

	h2->block_since_ms = clock_ms();
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
		h2->filled = stream_of(session, frame->hd.stream_id);
		return 0;
	}
	h2->filled = h2_stream_new(h2, frame->hd.stream_id);
	(void)nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, h2->filled);
	(void)nghttp2_session_change_extpri_stream_priority(
		session, frame->hd.stream_id,
		&(nghttp2_extpri){ .urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1 }, 1);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_length, const uint8_t *value, size_t value_length, uint8_t flags,
		     void *arg)
{
	struct h2_stream *stream = ((struct h2 *)arg)->filled;
	struct str name_str = { (const char *)name, name_length };
	struct str value_str = { (const char *)value, value_length };

	(void)session;
	(void)flags;
	if (!stream || stream->id != frame->hd.stream_id)
		return 0;
	if (stream->head && !stream->is_headed)
		h2_head_add(stream->head, name_str, value_str);
	else if (!h2_trailer_add(&stream->trailers, name_str, value_str))
		stream->is_bad = true;
	return 0;
}

/* What nghttp2 would leave out without a word. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
			     const uint8_t *name, size_t name_length, const uint8_t *value,
			     size_t value_length, uint8_t flags, void *arg)
{
	struct h2_stream *stream = stream_of(session, frame->hd.stream_id);

	(void)name;
	(void)name_length;
	(void)value;
	(void)value_length;
	(void)flags;
	(void)arg;
	if (!stream)
		return 0;
	if (stream->head && !stream->is_headed)
		h2_head_refuse(stream->head, 400, "bad field");
	else
		stream->is_bad = true;
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
		   size_t size, void *arg)
{
	struct h2_stream *stream = stream_of(session, id);

	(void)flags;
	(void)arg;
	if (!stream || stream->is_broken || (!stream->client && !stream->head)) {
		(void)nghttp2_session_consume(session, id, size); /* nobody will read it */
		return 0;
	}
	buf_append(&stream->body, bytes, size);
	h2_stream_has_news(stream);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream;

	if (frame->hd.type == NGHTTP2_HEADERS)
		h2->block_since_ms = 0;
	if (frame->hd.type == NGHTTP2_SETTINGS)
		h2->is_opened = true;
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		return too_much(h2, h2_limits_reset(&h2->limits, clock_ms()));
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	stream = h2->filled;
	if (!stream || stream->id != frame->hd.stream_id)
		stream = stream_of(session, frame->hd.stream_id);
	if (!stream)
		return 0;
	stream->is_headed = true;
	stream->is_ended |= (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	h2_stream_has_news(stream);
	/* It makes us reset what it has asked for, as if it had done so itself. */
	return stream->is_bad ? too_much(h2, h2_limits_reset(&h2->limits, clock_ms())) : 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
			    void *arg)
{
	struct h2 *h2 = arg;

	(void)session;
	if (frame->hd.type == NGHTTP2_HEADERS)
		h2->block_since_ms = 0;
	h2->invalid = nghttp2_strerror(error);
	count(&h2->client->frontend->state->counters, frontend_request_errors);
	return 0;
}

/* nghttp2 has found a mistake that ends the connection. */
static void goaway_sent(struct h2 *h2, const nghttp2_goaway *goaway)
{
	struct str why = { (const char *)goaway->opaque_data, goaway->opaque_data_len };

	if (h2->has_failed || goaway->error_code == NGHTTP2_NO_ERROR)
		return;
	h2_failed(h2, why.len ? why : str_of(nghttp2_http2_strerror(goaway->error_code)));
}

/* nghttp2 has found one that ends a stream: malformed, or more streams than there may be. */
static void reset_sent(struct h2 *h2, const nghttp2_rst_stream *reset)
{
	h2_tell(h2, reset->hd.stream_id,
		h2->invalid ? h2->invalid : nghttp2_http2_strerror(reset->error_code));
	h2->invalid = NULL;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream;

	if (frame->hd.type == NGHTTP2_GOAWAY)
		goaway_sent(h2, &frame->goaway);
	if (frame->hd.type == NGHTTP2_DATA)
		h2_limits_sent(&h2->limits, frame->hd.length);
	if (frame->hd.type != NGHTTP2_RST_STREAM && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	stream = stream_of(session, frame->hd.stream_id);
	/* One that the client's mistake has brought about counts as the client's. */
	if (frame->hd.type == NGHTTP2_RST_STREAM && (!stream || !stream->is_reset_submitted)) {
		reset_sent(h2, &frame->rst_stream);
		(void)too_much(h2, h2_limits_reset(&h2->limits, clock_ms()));
	}
	if (!stream || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
	    (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS))
		return 0;
	stream->is_end_sent = true;
	if (!stream->client && !stream->is_ended)
		h2_stream_reset(stream, NGHTTP2_NO_ERROR);
	return 0;
}

/* A response that does not fit in a header block, most of all. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error,
			     void *arg)
{
	struct h2_stream *stream = stream_of(session, frame->hd.stream_id);

	if (!stream || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	h2_tell(arg, stream->id, nghttp2_strerror(error));
	h2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2_stream *stream = stream_of(session, id);

	(void)arg;
	if (stream)
		h2_stream_closed(stream, code);
	return 0;
}

static nghttp2_session_callbacks *callbacks_new(void)
{
	nghttp2_session_callbacks *callbacks;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_response_send_out);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	return callbacks;
}

static int submit_settings(struct h2 *h2, const struct http2_conf *conf)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, conf->max_streams },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, h2->window },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2->head_size_max },
		{ NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};

	if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
				    sizeof(settings) / sizeof(*settings)) != 0)
		return -ENOMEM;
	return nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
						     (int32_t)h2->window * CONNECTION_WINDOWS) == 0
		       ? 0
		       : -ENOMEM;
}

int h2_session_open(struct h2 *h2)
{
	nghttp2_session_callbacks *callbacks = callbacks_new();
	nghttp2_option *option = h2_limits_option(&h2->limits);
	nghttp2_mem mem = h2_mem_for_nghttp2(h2->client->traffic->h2_mem);
	int rc = -ENOMEM;

	if (callbacks && option &&
	    nghttp2_session_server_new3(&h2->session, callbacks, h2, option, &mem) == 0)
		rc = submit_settings(h2, &h2->client->frontend->http2);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	return rc;
}
