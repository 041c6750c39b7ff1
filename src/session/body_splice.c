/* SPDX-License-Identifier: MIT */
/*
 * body_splice - the part of a body that goes from socket to socket by splice(2).
 *
 *   source socket --> pipe --> destination socket
 *
 * body_room() says how bulky a flow is: it doubles with each receive that filled it, halves when
 * little comes, and falls back to its start when a pipe gets next to nothing.  From about 20 KiB
 * at once a pipe is cheaper than copying (doc/decisions/0022-splice.md); small and interactive
 * flows never get there.
 *
 * Always true:
 *   1. A pipe is filled when it is empty and OUT is, and held only while there is something in it.
 *   2. What is in the pipe has been counted and told to the tap; it is neither lost nor overtaken,
 *      because nothing is received before it has left.
 *   3. The pipe never holds a byte beyond the body's end, or beyond what the tap may miss.
 */
#include "config.h"

#include "session/body.h"

#include "net/pipe.h"
#include "session/traffic.h"

#define FILL_LEAST (BUF_SIZE / 2) /* less at once, and the flow is not bulk any more */

void body_learn_room(struct body *body, size_t n, size_t asked)
{
	if (n >= asked) {
		if (body_room(body) < BODY_ROOM_MAX)
			body->room_doubled++;
	} else if (n < asked / 4 && body->room_doubled) {
		body->room_doubled--;
	}
}

void body_fini(struct body *body)
{
	if (likely(!body->is_piped))
		return;
	body->is_piped = false;
	pipe_put(body->pipe);
	body->pipe = NULL;
}

/* The pipe was the last of it. */
static void look_for_end(struct body *body)
{
	if (body->from == FRAMING_LENGTH && body->left == 0)
		body->is_done = true;
}

void body_drop(struct body *body)
{
	body_fini(body);
	look_for_end(body);
	body->is_dropped = true;
}

static enum body_result sent(enum io io)
{
	switch (io) {
	case IO_OK:
		return BODY_DONE;
	case IO_AGAIN:
		return BODY_WAIT_WRITE;
	case IO_EOF:
	case IO_FAIL:
		break;
	}
	return BODY_DESTINATION_FAIL;
}

enum body_result body_flush(struct body *body, const struct body_path *path)
{
	enum body_result result = sent(conn_send_buf(path->destination, path->out));

	if (!body->is_piped || result != BODY_DONE)
		return result;
	result = sent(pipe_drain(body->pipe, path->destination));
	if (result != BODY_DONE)
		return result;
	body_fini(body);
	look_for_end(body);
	if (body->to != FRAMING_CHUNKED)
		return BODY_DONE;
	buf_append(path->out, "\r\n", 2);
	return sent(conn_send_buf(path->destination, path->out));
}

/* How many of the next bytes may go unseen: nobody looks at them, and their framing is known. */
static uint64_t unseen(const struct body *body, const struct body_path *path)
{
	uint64_t n = UINT64_MAX, framed = UINT64_MAX;

	if (path->tap)
		n = path->unseen ? path->unseen(path->arg) : 0;
	if (body->from == FRAMING_LENGTH)
		framed = body->left;
	if (body->from == FRAMING_CHUNKED)
		framed = http1_chunked_unseen(&body->chunked);
	return n < framed ? n : framed;
}

static bool may_splice(const struct body *body, const struct body_path *path)
{
	return body_room(body) >= BODY_ROOM_BULK && !body->is_dropped && !buf_length(path->in) &&
	       conn_is_plain(path->source) && conn_is_plain(path->destination);
}

static void took(struct body *body, const struct body_path *path, uint64_t n)
{
	if (body->from == FRAMING_LENGTH)
		body->left -= n;
	if (body->from == FRAMING_CHUNKED)
		http1_chunked_skip(&body->chunked, n);
	if (body->to == FRAMING_CHUNKED)
		http1_put_chunk_line(path->out, n);
	body->bytes += n;
	count_add(&process_state.counters, process_spliced_bytes, n);
	if (path->tap)
		path->tap(path->arg, (struct str){ NULL, (size_t)n });
}

/* BODY_DONE with is_piped: something has come. */
static enum body_result fill(struct body *body, const struct body_path *path, uint64_t max)
{
	struct pipe *pipe = pipe_get();
	size_t asked = max < PIPE_SIZE ? (size_t)max : PIPE_SIZE;
	enum io io;

	if (!pipe)
		return BODY_DONE;
	io = pipe_fill(pipe, path->source, asked);
	if (io == IO_OK) {
		body->pipe = pipe;
		body->is_piped = true;
		/* The header of the next frame or chunk comes with little behind it, which is
		 * copied. */
		body->room_doubled = pipe->held < FILL_LEAST ? 0 : 1;
		took(body, path, pipe->held);
		return BODY_DONE;
	}
	pipe_put(pipe);
	if (io == IO_EOF)
		return BODY_DONE; /* conn_recv() tells it again */
	return io == IO_AGAIN ? BODY_WAIT_READ : BODY_SOURCE_FAIL;
}

enum body_result body_splice(struct body *body, const struct body_path *path)
{
	uint64_t before = body->bytes;

	if (path->is_held && *path->is_held)
		return BODY_DONE;
	for (unsigned turns = 0;; turns++) {
		uint64_t passed = body->bytes - before, max;
		enum body_result result = body_flush(body, path);

		if (result != BODY_DONE || body->is_done)
			return result;
		if (turns >= BODY_TURNS_MAX || passed + BUF_SIZE > BODY_BYTES_MAX)
			return BODY_YIELD;
		if (!may_splice(body, path) || path->source->is_eof)
			return BODY_DONE;
		if (!path->source->can_read)
			return BODY_WAIT_READ;
		max = unseen(body, path);
		if (max < BUF_SIZE)
			return BODY_DONE;
		if (max > BODY_BYTES_MAX - passed)
			max = BODY_BYTES_MAX - passed;
		result = fill(body, path, max);
		if (result != BODY_DONE || !body->is_piped)
			return result;
	}
}
