/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/body.h"

#include "net/tls.h"
#include "session/tls_facts.h"

#define OUT_MAX  (64u * 1024) /* encoded bytes kept before the next flush */
#define COPY_MAX 8192u        /* larger pieces behind a head go by a second iovec instead */

void body_init(struct body *body, enum http_framing from, uint64_t length, enum http_framing to)
{
	*body = (struct body){ .from = from, .to = to };
	if (from == FRAMING_LENGTH)
		body->left = length;
	if (from == FRAMING_NONE || (from == FRAMING_LENGTH && length == 0))
		body->is_done = true;
	if (from == FRAMING_CHUNKED)
		http1_chunked_init(&body->chunked);
}

void body_took(struct body *body, size_t n)
{
	body->bytes += n;
	if (body->from != FRAMING_LENGTH)
		return;
	body->left -= n;
	body->is_done = body->left == 0;
}

static bool is_held(const struct body_path *path)
{
	return path->is_held && *path->is_held;
}

/* N bytes at the front of IN were body and have been passed on. */
static void consumed(struct body *body, const struct body_path *path, size_t n)
{
	if (!n)
		return;
	if (path->tap)
		path->tap(path->arg, (struct str){ buf_bytes(path->in), n });
	body_took(body, n);
	buf_consume(path->in, n);
}

/*
 * When the next N bytes of IN are the last, they may go together with the end behind them.  Behind
 * chunks made of a body that ends with its connection the last chunk is still to come.
 */
static void tell_end(const struct body *body, const struct body_path *path, size_t n)
{
	if (likely(!path->is_last))
		return;
	if (body->is_done || (body->from == FRAMING_LENGTH && n == body->left) ||
	    (body->from == FRAMING_CLOSE && body->to == FRAMING_CLOSE && path->source->is_eof &&
	     n == buf_length(path->in)))
		path->destination->is_ending = true;
}

/* What OUT holds and PIECE in one call; BODY_DONE when all of it went. */
static enum body_result send_piece(struct body *body, const struct body_path *path,
				   struct str piece)
{
	size_t before = buf_length(path->out);
	struct iovec iov[2] = {
		{ before ? buf_bytes(path->out) : NULL, before },
		{ (void *)(uintptr_t)piece.p, piece.len },
	};
	size_t sent;
	enum io io;

	tell_end(body, path, piece.len);
	io = before ? conn_sendv(path->destination, iov, 2, &sent)
		    : conn_send(path->destination, piece.p, piece.len, &sent);
	if (before)
		buf_consume(path->out, sent < before ? sent : before);
	if (sent > before)
		consumed(body, path, sent - before);
	if (io == IO_FAIL)
		return BODY_DESTINATION_FAIL;
	return io == IO_AGAIN ? BODY_WAIT_WRITE : BODY_DONE;
}

static void encode(struct body *body, struct buf *out, struct str piece)
{
	if (body->is_dropped || !piece.len)
		return;
	if (body->to == FRAMING_CHUNKED)
		http1_put_chunk_line(out, piece.len);
	buf_append_str(out, piece);
	if (body->to == FRAMING_CHUNKED)
		buf_append(out, "\r\n", 2);
}

static void encode_end(struct body *body, struct buf *out, const struct http_head *trailers)
{
	body->is_done = true;
	if (body->to != FRAMING_CHUNKED || body->is_dropped)
		return;
	buf_append(out, "0\r\n", 3);
	for (unsigned i = 0; trailers && i < trailers->fields_n; i++) {
		const struct http_field *field = &trailers->fields[i];

		/* A server may put trailers among the fields, where only ours may be. */
		if (field->is_hop || tls_facts_is_name(field->name))
			continue;
		buf_append_str(out, field->name);
		buf_append(out, ": ", 2);
		buf_append_str(out, field->value);
		buf_append(out, "\r\n", 2);
	}
	buf_append(out, "\r\n", 2);
}

/* Bytes whose framing does not change.  BODY_DONE: go on. */
static enum body_result pass_identity(struct body *body, const struct body_path *path)
{
	size_t n = buf_length(path->in);
	struct str piece;

	if (body->from == FRAMING_LENGTH && n > body->left)
		n = (size_t)body->left;
	piece = (struct str){ buf_bytes(path->in), n };
	if (body->is_dropped || is_held(path) || body->to == FRAMING_CHUNKED ||
	    (buf_length(path->out) && n <= COPY_MAX)) {
		encode(body, path->out, piece);
		consumed(body, path, n);
		return BODY_DONE;
	}
	return send_piece(body, path, piece);
}

static enum body_result pass_chunked(struct body *body, const struct body_path *path)
{
	static __thread struct http_head trailers;
	struct str piece;
	size_t used;
	enum parse parse =
		http1_chunked_next(&body->chunked, buf_bytes(path->in), buf_length(path->in), &used,
				   &piece, &trailers, &body->why);

	if (parse == PARSE_BAD) {
		body->bad_at = (uint32_t)used;
		return BODY_BAD;
	}
	if (parse == PARSE_DONE)
		encode_end(body, path->out, &trailers);
	if (piece.len) {
		encode(body, path->out, piece);
		if (path->tap)
			path->tap(path->arg, piece);
		body->bytes += piece.len;
	}
	if (used)
		buf_consume(path->in, used);
	return used || parse == PARSE_DONE ? BODY_DONE : BODY_WAIT_READ;
}

/* Passes on what IN holds. BODY_DONE: flush, and read more if *IS_STARVED, else OUT was full. */
static enum body_result pass_all(struct body *body, const struct body_path *path, bool *is_starved)
{
	*is_starved = false;
	while (!body->is_done && buf_length(path->in) && buf_length(path->out) < OUT_MAX) {
		enum body_result result = body->from == FRAMING_CHUNKED ? pass_chunked(body, path)
									: pass_identity(body, path);

		if (result == BODY_WAIT_READ) { /* the rest of IN is an incomplete line */
			*is_starved = true;
			return BODY_DONE;
		}
		if (result != BODY_DONE)
			return result;
	}
	if (!buf_length(path->in))
		*is_starved = true;
	return BODY_DONE;
}

/* A message that ends with its connection, and TLS does not say that it has: the end of the chunked
 * coding would make it look complete. */
static bool is_cut(const struct body *body, const struct body_path *path)
{
	return body->to == FRAMING_CHUNKED && tls_is_truncated(path->source);
}

static enum body_result receive(struct body *body, const struct body_path *path)
{
	size_t before = buf_length(path->in);
	size_t room;

	if (!path->source->can_read && !path->source->is_eof)
		return BODY_WAIT_READ; /* and take no buffer for it */
	buf_reserve(path->in, before ? 1024 : body_room(body));
	room = buf_room(path->in);
	if (room > body_room(body))
		room = body_room(body);
	switch (conn_recv(path->source, path->in, room)) {
	case IO_OK:
		body_learn_room(body, buf_length(path->in) - before, room);
		return BODY_DONE;
	case IO_AGAIN:
		if (!before)
			buf_release(path->in);
		return BODY_WAIT_READ;
	case IO_EOF:
		if (!before)
			buf_release(path->in);
		if (body->from != FRAMING_CLOSE || is_cut(body, path))
			return BODY_EOF;
		encode_end(body, path->out, NULL);
		return BODY_DONE;
	case IO_FAIL:
		break;
	}
	if (!before)
		buf_release(path->in);
	return BODY_SOURCE_FAIL;
}

enum body_result body_relay(struct body *body, const struct body_path *path)
{
	uint64_t before = body->bytes;

	if (unlikely(body->is_piped)) {
		enum body_result result = body_flush(body, path);

		if (result != BODY_DONE)
			return result;
	}
	/* Bounded, so that one fast pair does not keep the loop from the others. */
	for (unsigned turns = 0;; turns++) {
		bool is_starved;
		enum body_result result = pass_all(body, path, &is_starved);

		if (result != BODY_DONE)
			return result;
		if (!is_held(path)) {
			enum io io;

			tell_end(body, path, 0);
			io = conn_send_buf(path->destination, path->out);
			if (io == IO_FAIL)
				return BODY_DESTINATION_FAIL;
			if (io == IO_AGAIN)
				return BODY_WAIT_WRITE;
		}
		if (body->is_done)
			return BODY_DONE;
		if (turns >= BODY_TURNS_MAX || body->bytes - before >= BODY_BYTES_MAX)
			return BODY_YIELD;
		if (!is_starved && is_held(path))
			return BODY_WAIT_WRITE;
		if (!is_starved)
			continue;
		if (unlikely(body_room(body) >= BODY_ROOM_BULK)) {
			result = body_splice(body, path);
			if (result != BODY_DONE)
				return result;
			if (body->is_done)
				continue;
		}
		result = receive(body, path);
		if (result != BODY_DONE)
			return result;
	}
}
