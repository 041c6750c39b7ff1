/* SPDX-License-Identifier: MIT */
/*
 * h2_response - what the engine says on a stream: HTTP/1.1 in, HEADERS and DATA out.
 *
 * The head is collected until its empty line, then submitted; a 1xx is sent as an informational
 * one and the next head awaited.  Body bytes are taken out of their coding into stream->out, from
 * which nghttp2 fetches them as the windows allow.
 */
#include "config.h"

#include <errno.h>

#include "proto/websocket.h"
#include "session/h2_internal.h"

#define FIELDS_MAX (SCRATCH_SIZE / sizeof(nghttp2_nv))
/* A chunk line or a trailer section that stands behind what there is room for is taken whole. */
#define SLACK (HTTP1_TRAILERS_SIZE_MAX + 64u)
/* Of a head that comes in pieces, put together at a time. */
#define PIECE_MAX 1024u

static void resume(struct h2_stream *stream)
{
	struct h2 *h2 = stream->h2;

	if (h2->is_over || stream->is_closed)
		return;
	if (stream->is_deferred) {
		stream->is_deferred = false;
		(void)nghttp2_session_resume_data(h2->session, stream->id);
	}
	h2_wake(h2);
}

static void response_done(struct h2_stream *stream)
{
	stream->phase = H2_RSP_DONE;
	resume(stream);
}

/* Its peer is told that it is broken, and so is the engine by the next call. */
static void fail(struct h2_stream *stream, uint32_t code)
{
	if (!stream->is_broken && !stream->is_closed)
		h2_tell(stream->h2, stream->id, "a response that HTTP/2 cannot carry");
	h2_stream_reset(stream, code);
	stream->is_broken = true;
	h2_stream_has_news(stream);
}

static bool submit(struct h2_stream *stream, const struct h2_response *response, bool has_body)
{
	nghttp2_data_provider provider = { .source.ptr = stream,
					   .read_callback = h2_response_read_out };
	struct h2 *h2 = stream->h2;

	if (h2->is_over || stream->is_closed)
		return true; /* nobody is there to be told */
	h2_wake(h2);
	if (response->status < 200)
		return nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, stream->id, NULL,
					      response->fields, response->fields_n, NULL) == 0;
	return nghttp2_submit_response(h2->session, stream->id, response->fields,
				       response->fields_n, has_body ? &provider : NULL) == 0;
}

/* A status alone in place of what came. */
static bool submit_status(struct h2_stream *stream, struct h2_response *response,
			  const char *status)
{
	memcpy(response->status_text, status, 3);
	response->fields_n = 1;
	response->status = 502;
	return submit(stream, response, false);
}

/* RFC 8441: the answer to an extended CONNECT.  2xx alone means that it is a tunnel. */
static bool websocket_answer(struct h2_stream *stream, struct h2_response *response)
{
	char accept[WEBSOCKET_ACCEPT_SIZE];

	if (response->status != 101 || !websocket_accept_key(str_of(stream->key), accept) ||
	    !str_eq(response->accept, str_of(accept))) {
		stream->phase = H2_RSP_DONE;
		if (response->status == 101) { /* the engine takes it for a tunnel */
			stream->is_over = true;
			h2_stream_has_news(stream);
		}
		return submit_status(stream, response, "502");
	}
	memcpy(response->status_text, "200", 3);
	response->status = 200;
	stream->phase = H2_RSP_TUNNEL;
	stream->is_tunnel = true;
	return submit(stream, response, true);
}

static bool took_head(struct h2_stream *stream, struct h2_response *response)
{
	if (stream->is_websocket &&
	    (response->status == 101 || (response->status >= 200 && response->status < 300)))
		return websocket_answer(stream, response);
	if (response->status == 101)
		return false;
	if (response->status < 200)
		return submit(stream, response, false);
	stream->phase = H2_RSP_BODY;
	stream->rsp_framing = stream->is_head ? FRAMING_NONE : response->framing;
	if (stream->rsp_framing == FRAMING_LENGTH)
		stream->rsp_left = response->content_length;
	else if (stream->rsp_framing == FRAMING_CHUNKED)
		http1_chunked_init(&stream->rsp_chunked);
	if (!submit(stream, response, stream->rsp_framing != FRAMING_NONE))
		return false;
	if (stream->rsp_framing == FRAMING_NONE)
		response_done(stream);
	return true;
}

/* How many bytes of PIECE belong to the head, or -1. */
static ssize_t take_head(struct h2_stream *stream, struct str piece)
{
	struct h2_response response = {
		.fields = (nghttp2_nv *)(void *)stream->h2->client->traffic->scratch,
		.fields_max = FIELDS_MAX,
	};
	size_t before = buf_length(&stream->rsp_head);
	struct str text = piece;

	/* The usual case: the engine brings it in one piece, and it is read where it is. */
	if (unlikely(before)) {
		if (piece.len > PIECE_MAX)
			piece.len = PIECE_MAX;
		buf_append_str(&stream->rsp_head, piece);
		text = buf_str(&stream->rsp_head);
	}
	switch (h2_response_read(text, &response)) {
	case PARSE_DONE:
		break;
	case PARSE_MORE:
		if (!before)
			buf_append_str(&stream->rsp_head, piece);
		return (ssize_t)piece.len;
	case PARSE_BAD:
		return -1;
	}
	if (!took_head(stream, &response))
		return -1;
	buf_release(&stream->rsp_head);
	return (ssize_t)(response.size - before);
}

static void put_out(struct h2_stream *stream, struct str data)
{
	if (!data.len)
		return;
	if (!buf_length(&stream->out))
		stream->moved_at_ms = clock_ms();
	buf_append_str(&stream->out, data);
	stream->h2->out_sum += (uint32_t)data.len;
	resume(stream);
}

static void keep_trailers(struct h2_stream *stream, const struct http_head *trailers)
{
	for (unsigned i = 0; i < trailers->fields_n; i++) {
		const struct http_field *field = &trailers->fields[i];

		if (field->is_hop)
			continue;
		buf_append_str(&stream->rsp_trailers, field->name);
		buf_append(&stream->rsp_trailers, ": ", 2);
		buf_append_str(&stream->rsp_trailers, field->value);
		buf_append(&stream->rsp_trailers, "\r\n", 2);
	}
}

/* Of the chunked coding; how many bytes of PIECE were taken, or -1. */
static ssize_t take_chunked(struct h2_stream *stream, struct str piece)
{
	static __thread struct http_head trailers;
	size_t limit = H2_STREAM_OUT_MAX + SLACK;
	const char *why = NULL;
	struct str data;
	size_t used;

	if (piece.len > limit)
		piece.len = limit;
	switch (http1_chunked_next(&stream->rsp_chunked, piece.p, piece.len, &used, &data,
				   &trailers, &why)) {
	case PARSE_DONE:
		keep_trailers(stream, &trailers);
		response_done(stream);
		return (ssize_t)used;
	case PARSE_MORE:
		if (!used)
			return -1; /* the engine writes a trailer section in one piece */
		put_out(stream, data);
		return (ssize_t)used;
	case PARSE_BAD:
		break;
	}
	return -1;
}

static ssize_t take_body(struct h2_stream *stream, struct str piece)
{
	size_t n = piece.len;

	if (stream->rsp_framing == FRAMING_CHUNKED && stream->phase == H2_RSP_BODY)
		return take_chunked(stream, piece);
	if (n > H2_STREAM_OUT_MAX)
		n = H2_STREAM_OUT_MAX;
	if (stream->phase == H2_RSP_BODY && stream->rsp_framing == FRAMING_LENGTH) {
		if (n > stream->rsp_left)
			n = (size_t)stream->rsp_left;
		stream->rsp_left -= n;
	}
	put_out(stream, (struct str){ piece.p, n });
	if (stream->phase == H2_RSP_BODY && stream->rsp_framing == FRAMING_LENGTH &&
	    !stream->rsp_left)
		response_done(stream);
	return (ssize_t)n;
}

/* Some of PIECE: how many bytes, 0 = there is no room, -1 = it is broken. */
static ssize_t take_some(struct h2_stream *stream, struct str piece)
{
	switch (stream->phase) {
	case H2_RSP_HEAD:
		return take_head(stream, piece);
	case H2_RSP_BODY:
	case H2_RSP_TUNNEL:
		return h2_stream_has_room(stream) ? take_body(stream, piece) : 0;
	case H2_RSP_DONE:
		break;
	}
	return (ssize_t)piece.len; /* nothing belongs behind a response */
}

enum io h2_response_sendv(struct conn *conn, const struct iovec *iov, int iov_n, size_t *sent)
{
	struct h2_stream *stream = conn->stream;

	for (int i = 0; i < iov_n; i++) {
		struct str piece = { iov[i].iov_base, iov[i].iov_len };

		while (piece.len) {
			ssize_t n = stream->is_broken ? -1 : take_some(stream, piece);

			if (n < 0) {
				fail(stream, NGHTTP2_INTERNAL_ERROR);
				conn->error = ECONNRESET;
				conn->is_broken = true;
				return IO_FAIL;
			}
			if (n == 0) {
				conn->can_write = false;
				return IO_AGAIN;
			}
			*sent += (size_t)n;
			conn->sent += (size_t)n;
			piece.p += n;
			piece.len -= (size_t)n;
		}
	}
	return IO_OK;
}

void h2_response_end(struct h2_stream *stream, bool is_reset)
{
	if (stream->phase == H2_RSP_DONE || stream->is_broken)
		return;
	if (!is_reset && (stream->phase == H2_RSP_TUNNEL ||
			  (stream->phase == H2_RSP_BODY && stream->rsp_framing == FRAMING_CLOSE))) {
		response_done(stream);
		return;
	}
	h2_stream_reset(stream, is_reset && stream->phase == H2_RSP_TUNNEL
					? NGHTTP2_CANCEL
					: NGHTTP2_INTERNAL_ERROR);
	stream->phase = H2_RSP_DONE;
}

/* From the lines that keep_trailers() has written. */
static void submit_trailers(struct h2_stream *stream)
{
	nghttp2_nv fields[HTTP1_FIELDS_MAX];
	size_t n = 0;
	struct buf *lines = &stream->rsp_trailers;
	char *at = buf_bytes(lines), *end = at + buf_length(lines);

	while (at < end && n < HTTP1_FIELDS_MAX) {
		char *stop = memchr(at, '\n', (size_t)(end - at));
		char *colon = memchr(at, ':', (size_t)(stop - at));

		for (char *c = at; c < colon; c++)
			*c = (char)ascii_lower((unsigned char)*c);
		fields[n++] = (nghttp2_nv){
			.name = (uint8_t *)at,
			.namelen = (size_t)(colon - at),
			.value = (uint8_t *)colon + 2,
			.valuelen = (size_t)(stop - 1 - (colon + 2)),
		};
		at = stop + 1;
	}
	(void)nghttp2_submit_trailer(stream->h2->session, stream->id, fields, n);
	buf_release(lines);
}

/* Its bytes stay in out: h2_response_send_out() follows in the same call of nghttp2. */
ssize_t h2_response_read_out(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
			     uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2_stream *stream = source->ptr;
	size_t length = buf_length(&stream->out), n = length;

	(void)session;
	(void)id;
	(void)to;
	(void)arg;
	check_magic(stream, H2_STREAM_MAGIC);
	if (n > room)
		n = room;
	if (n == length && stream->phase == H2_RSP_DONE) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (buf_length(&stream->rsp_trailers)) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			submit_trailers(stream);
		}
	} else if (!n) {
		stream->is_deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return (ssize_t)n;
}

int h2_response_send_out(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
			 size_t n, nghttp2_data_source *source, void *arg)
{
	struct h2_stream *stream = source->ptr;
	struct h2 *h2 = arg;
	struct buf *to = &h2->client->out;

	(void)session;
	(void)frame; /* there is no padding */
	check_magic(stream, H2_STREAM_MAGIC);
	bug_on(n > buf_length(&stream->out));
	/* When more is to follow, for all that is gathered: so it need not grow on the way. */
	buf_reserve(to, h2->out_sum > BUF_SIZE && !buf_length(to) ? H2_OUT_MAX + BUF_SIZE
								  : H2_FRAME_HEAD_SIZE + n);
	buf_append(to, head, H2_FRAME_HEAD_SIZE);
	if (n) {
		buf_append(to, buf_bytes(&stream->out), n);
		buf_consume(&stream->out, n);
		h2->out_sum -= (uint32_t)n;
		stream->moved_at_ms = clock_ms();
		if (stream->client && !stream->client->conn.can_write && h2_stream_has_room(stream))
			h2_stream_has_news(stream);
	}
	return buf_length(to) < H2_OUT_MAX ? 0 : NGHTTP2_ERR_PAUSE;
}
