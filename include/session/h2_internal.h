/* SPDX-License-Identifier: MIT */
/*
 * What the files of session/h2 share.
 *
 *   socket -> client->in -> nghttp2 -> (callbacks) -> streams with news -> engine
 *   engine -> face of a stream -> its out -> nghttp2 -> client->out -> socket
 *
 * nghttp2's callbacks only take down what came and put the stream among those with news; the
 * engine is run afterwards, from h2_turn().  What the engine says at other times (an event of a
 * server, a timer) is submitted at once and sent at the end of the loop's turn, in one piece with
 * what other streams of the connection say.
 *
 * Always true:
 *   1. A stream is in h2->streams from its HEADERS until nghttp2 has closed it and its client is
 *      gone; the later of both frees it.
 *   2. A stream's client is closed by the engine or by h2, never freed by us; its conn's face is
 *      what holds them together, and conn_close() takes them apart.
 *   3. Bytes of DATA that wait in a stream's body are not in its window until the engine has read
 *      them.
 *
 * Memory of one connection, at most: nghttp2's session (about 30 KiB, and 150 KiB while a header
 * block is under way); client->out H2_OUT_MAX; bodies of requests eight times h2->window; per
 * stream H2_STREAM_OUT_MAX (H2_STREAM_OUT_MIN when all of them together have H2_OUT_SUM_MAX), and
 * the engine's own buffers as for a connection of HTTP/1.1.  A hundred bulk answers of which nobody
 * takes anything come to 8 to 10 MiB.
 */
#ifndef SESSION_H2_INTERNAL_H
#define SESSION_H2_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "session/client.h"
#include "session/h2_head.h"
#include "session/h2_limits.h"

#define H2_OUT_MAX         (32u * 1024)  /* frames gathered for one send, and one more */
#define H2_STREAM_OUT_MAX  (64u * 1024)  /* of a response, taken from the engine and not sent yet */
#define H2_STREAM_OUT_MIN  (16u * 1024)  /* likewise, when many streams have as much */
#define H2_OUT_SUM_MAX     (512u * 1024) /* of all streams, before each may have the lesser alone */
#define H2_KEY_SIZE        25
#define H2_FRAME_HEAD_SIZE 9

struct h2 {
	unsigned magic;
	struct client *client;    /* (view) owns us */
	nghttp2_session *session; /* (own) */
	struct h2_stream *filled; /* (view) the one whose header block is under way; may be NULL */
	struct list streams;      /* struct h2_stream.link, oldest first */
	struct list news;         /* struct h2_stream.news_link */
	uint32_t streams_n;
	uint32_t out_sum;       /* bytes in the streams' out */
	uint32_t window;        /* of a stream's request body */
	uint32_t head_size_max; /* of a header block */
	struct h2_limits limits;
	struct soon soon; /* there is something to send, or a stream has news */
	struct grave grave;
	int64_t block_since_ms; /* a header block is under way since; 0 = none */
	int64_t moved_at_ms;    /* when client->out was last empty, or the client took of it */
	int64_t check_at_ms; /* when streams are looked at for stalled ones; 0 = there are none */
	bool is_running;     /* h2_turn() is on the stack: it will see what is new */
	bool is_opened;      /* the client's SETTINGS have come */
	bool is_leaving;     /* GOAWAY was submitted: no more streams */
	bool has_failed;     /* likewise, and what is under way is given up */
	bool is_over;        /* no more calls of nghttp2 */
	bool has_told;       /* why one of its streams was reset */
	const char *invalid; /* constant: what nghttp2 said of the last bad frame */
};
#define H2_MAGIC 0x48325345u

/* What of a response has gone by. */
enum h2_phase {
	H2_RSP_HEAD,   /* collecting its head */
	H2_RSP_BODY,   /* rsp_framing tells how it ends */
	H2_RSP_TUNNEL, /* raw bytes */
	H2_RSP_DONE,   /* all of it is in out, or was sent */
};

struct h2_stream {
	unsigned magic;
	int32_t id;
	struct h2 *h2; /* (view) */
	struct client
		*client; /* (view) its face holds us; NULL before it opens and when it is gone */
	struct list link, news_link;

	/* The request. */
	struct h2_head *head; /* (own) until it is whole */
	struct buf body;      /* DATA that the engine has not read yet */
	struct buf trailers;  /* as field lines */
	bool is_headed;       /* its field section is whole */
	bool is_ended;        /* END_STREAM has come */
	bool is_bad;          /* its trailers are */
	bool is_chunked;      /* its body goes to the engine in the chunked coding */
	bool is_end_read;     /* the last chunk was read */
	bool is_websocket;    /* an extended CONNECT */
	bool is_head;
	bool is_broken; /* reset, or the connection is gone */
	bool is_over;   /* the engine has to end it, though its answer is on its way */
	bool is_closed; /* nghttp2 knows it no more */

	/* The response. */
	enum h2_phase phase;
	enum http_framing rsp_framing;
	struct buf rsp_head; /* of a head that comes in pieces */
	struct buf out;
	struct buf rsp_trailers;
	union {
		uint64_t rsp_left;
		struct http1_chunked rsp_chunked;
	};
	bool is_tunnel;   /* bytes go both ways as they are, each until its end */
	bool is_deferred; /* nghttp2 waits for more of its out */
	bool is_end_sent; /* END_STREAM has gone out */
	bool is_reset_submitted;
	int64_t moved_at_ms; /* when a byte of out went, or came to an empty one */
	char key[H2_KEY_SIZE];
};
#define H2_STREAM_MAGIC 0x48325354u

/* h2.c: there is something to send, or news. */
void h2_wake(struct h2 *h2);
/* GOAWAY: what is under way ends, then the connection. */
void h2_leave(struct h2 *h2);
/* GOAWAY with CODE, and the connection is closed; WHY is logged.  Once. */
void h2_fail(struct h2 *h2, uint32_t code, const char *why);

/* nghttp2 has sent its own GOAWAY, for WHY; or it is given up without one. */
void h2_failed(struct h2 *h2, struct str why);
/* The stream is reset, not for the engine's or the client's wish: the first one of a connection is
 * logged with WHY. */
void h2_tell(struct h2 *h2, int32_t id, const char *why);

/* h2_session.c: nghttp2's session with our callbacks, and our SETTINGS submitted.  0 or -ENOMEM. */
int h2_session_open(struct h2 *h2) must_check;

/* h2_stream.c */
struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id);
/* Frees it when nghttp2 and the engine both are done with it. */
void h2_stream_let_go(struct h2_stream *stream);
void h2_stream_has_news(struct h2_stream *stream);
/* Runs the engine for what has come; the stream may be gone afterwards. */
void h2_stream_run(struct h2_stream *stream);
/* nghttp2 has closed it; CODE 0 = in order. */
void h2_stream_closed(struct h2_stream *stream, uint32_t code);
void h2_stream_reset(struct h2_stream *stream, uint32_t code);
/* The connection has ended: its client is closed and it is freed. */
void h2_stream_abandon(struct h2_stream *stream);
/* Its out has room for the engine. */
bool h2_stream_has_room(const struct h2_stream *stream);
extern const struct conn_face h2_stream_face;

/* h2_response.c: the engine's side of a response. */
enum io h2_response_sendv(struct conn *conn, const struct iovec *iov, int iov_n, size_t *sent);
/* No more will come; IS_RESET: what came is not all. */
void h2_response_end(struct h2_stream *stream, bool is_reset);
/* nghttp2's data source, and what puts its frames behind the others, in client->out. */
ssize_t h2_response_read_out(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
			     uint32_t *flags, nghttp2_data_source *source, void *arg);
int h2_response_send_out(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
			 size_t n, nghttp2_data_source *source, void *arg);

#endif
