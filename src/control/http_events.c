/* SPDX-License-Identifier: MIT */
/*
 * /api/v1/events: server-sent events.  The first one ("full") has all that the page draws; each
 * second another follows ("delta") with what changed, or a full one again when servers came or
 * went.  A reader that has not taken an event yet gets no new one: it misses some, and what is kept
 * for it is one piece and four bytes for each server.
 */
#include "config.h"

#include <stdlib.h>

#include "base/mem.h"
#include "control/api.h"
#include "control/http_auth.h"
#include "control/http_routes.h"

struct stream {
	struct list link;
	struct http_client *client;
	struct api_walk walk;
	bool is_begun;   /* "retry" is out */
	bool is_writing; /* walk is under way */
	bool is_due;     /* a second has passed */
	uint64_t shape;  /* of the last full event */
	uint32_t *known; /* (own) hashes of servers, by number */
	uint32_t known_n;
};

static struct list streams = { &streams, &streams };
static struct timer timer;

static void stream_free(void *data)
{
	struct stream *stream = data;

	list_remove(&stream->link);
	if (list_is_empty(&streams))
		timer_fini(&console_loop()->wheel, &timer); /* it may be initialised again */
	api_walk_fini(&stream->walk);
	free(stream->known);
	free(stream);
}

static void on_second(struct timer *t)
{
	loop_timer_in(console_loop(), t, SEC(1));
	list_for_each_safe(at, after, &streams) {
		struct stream *stream = list_entry(at, struct stream, link);

		/* Not when the last one is still in our hands. */
		if (stream->is_writing || buf_length(&stream->client->out))
			continue;
		stream->is_due = true;
		http_wake(stream->client);
	}
}

/* Room for the hashes of all servers that there are; what is new is not known. */
static void know(struct stream *stream)
{
	uint32_t n = servers_n();

	if (n <= stream->known_n)
		return;
	stream->known = xrealloc_array(stream->known, n, sizeof(*stream->known));
	memset(stream->known + stream->known_n, 0, (n - stream->known_n) * sizeof(*stream->known));
	stream->known_n = n;
}

static void begin_event(struct stream *stream, struct buf *out)
{
	uint64_t shape = api_shape();
	bool is_full = !stream->is_begun || shape != stream->shape;

	if (!stream->is_begun)
		buf_append_str(out, STR("retry: 2000\n"));
	buf_append_str(out, is_full ? STR("event: full\ndata: ") : STR("event: delta\ndata: "));
	know(stream);
	api_walk_init(&stream->walk, is_full ? API_FULL : API_DELTA, http_level());
	stream->walk.known = stream->known;
	stream->walk.known_n = stream->known_n;
	stream->shape = shape;
	stream->is_begun = true;
	stream->is_due = false;
	stream->is_writing = true;
}

static enum run_step write_events(struct http_client *client, struct buf *out)
{
	struct stream *stream = client->data;

	if (!stream->is_writing) {
		if (!stream->is_due)
			return RUN_WAIT;
		begin_event(stream, out);
	}
	if (api_walk_write(&stream->walk, out) == RUN_MORE)
		return RUN_MORE;
	buf_append_str(out, STR("\n\n"));
	api_walk_fini(&stream->walk);
	stream->is_writing = false;
	return RUN_WAIT;
}

void http_get_events(struct http_client *client, const struct http_request *request)
{
	struct stream *stream;

	(void)request;
	if (http_streams_n >= HTTP_STREAMS_MAX && !client->is_head) {
		http_begin(client, 503);
		http_header(client, "Retry-After", "5");
		http_end(client, "text/plain", STR("Too many pages are open.\n"));
		return;
	}
	http_begin(client, 200);
	if (client->is_head) {
		http_end(client, "text/event-stream", STR(""));
		return;
	}
	stream = xcalloc(1, sizeof(*stream));
	stream->client = client;
	stream->is_due = true;
	if (list_is_empty(&streams)) {
		timer_init(&timer, on_second);
		loop_timer_in(console_loop(), &timer, SEC(1));
	}
	list_push_back(&streams, &stream->link);
	client->data = stream;
	client->data_free = stream_free;
	client->is_stream = true;
	http_streams_n++;
	http_end_pieces(client, "text/event-stream; charset=utf-8", write_events);
}
