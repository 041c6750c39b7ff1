/* SPDX-License-Identifier: MIT */
/*
 * body - one direction of a message body: bytes from a conn, unframed, tapped, framed anew, to
 * another conn.
 *
 *   source conn --> in (buf) --> decode --> tap --> encode --> out (buf) --> destination conn
 *
 * When the framing does not change the bytes (a length, or until close) they go from IN to the
 * socket without a copy, unless OUT still has something before them and they are few.
 *
 * Bulk between plain sockets goes past IN, through a pipe (net/pipe.h, body_splice.c), as far as
 * nobody has to see it.  What the pipe holds goes behind OUT and before IN, which is empty
 * meanwhile; it counts as relayed, but the body is not done before it has left.
 */
#ifndef SESSION_BODY_H
#define SESSION_BODY_H

#include "net/conn.h"
#include "proto/http1.h"
#include "proto/websocket.h"

struct body;
struct pipe;
/* Sees each piece of the body before it is sent on; {NULL, n}: n bytes pass that it did not ask to
 * see. */
typedef void body_tap_fn(void *arg, struct str piece);
/* How many of the bytes that come next the tap need not see. */
typedef uint64_t body_unseen_fn(void *arg);

struct body {
	uint64_t bytes : 48;        /* of body so far, without framing */
	enum http_framing from : 4; /* how it comes */
	enum http_framing to : 4;   /* how it goes on */
	bool is_done : 1;           /* decoded to its end and encoded into out */
	bool is_dropped : 1;        /* read but not sent on; body_drop() */
	bool is_piped : 1;
	uint8_t room_doubled : 3; /* body_room() */
	union {
		uint64_t left;                /* FRAMING_LENGTH */
		struct http1_chunked chunked; /* FRAMING_CHUNKED */
		struct websocket_walk walk;   /* FRAMING_CLOSE: a tunnel's, of what has gone on */
		uint32_t bad_at;              /* of BODY_BAD: where in IN the bad piece begins */
	};
	union {
		const char *why;   /* of BODY_BAD */
		struct pipe *pipe; /* (own) is_piped; never empty */
	};
};
_Static_assert(sizeof(struct body) == 32, "an idle tunnel pays for two");

enum body_result {
	BODY_DONE,       /* all of it is decoded; OUT may hold a rest */
	BODY_WAIT_READ,  /* for the source */
	BODY_WAIT_WRITE, /* for the destination */
	BODY_YIELD,      /* there is more, but others shall have their turn: call again soon */
	BODY_EOF,        /* the source has ended too early */
	BODY_BAD,        /* malformed: body->why */
	BODY_SOURCE_FAIL,
	BODY_DESTINATION_FAIL,
};

struct body_path {
	struct conn *source;
	struct buf *in;
	struct conn *destination;
	struct buf *out;
	body_tap_fn *tap; /* may be NULL */
	void *arg;
	const bool
		*is_held; /* while true everything is put into OUT and nothing sent; may be NULL */
	bool is_last;     /* DESTINATION ends behind this body: its is_ending is told so */
	body_unseen_fn *unseen; /* NULL = the tap has to see all; without a tap nobody does */
};

void body_init(struct body *body, enum http_framing from, uint64_t length, enum http_framing to);
/* N bytes of a FRAMING_LENGTH body went by another way than body_relay(). */
void body_took(struct body *body, size_t n);
enum body_result body_relay(struct body *body, const struct body_path *path);
/* The destination takes no more: what still comes is read and dropped. */
void body_drop(struct body *body);
/* Gives back what it holds. */
void body_fini(struct body *body);

/* Bytes asked of recv(): grows in bulk, shrinks after it. */
static inline uint32_t body_room(const struct body *body)
{
	return BUF_SIZE << body->room_doubled;
}
#define BODY_ROOM_MAX  (256u * 1024)
#define BODY_ROOM_BULK (2 * BUF_SIZE) /* from here on it is bulk: a whole BUF_SIZE came at once */
/* Reads and bytes of one call, before others have their turn. */
#define BODY_TURNS_MAX 16
#define BODY_BYTES_MAX (512u * 1024)

/* body_splice.c.  Sends what OUT and the pipe hold; BODY_DONE: all of it. */
enum body_result body_flush(struct body *body, const struct body_path *path);
/* For body_relay(): as far as splice goes.  BODY_DONE: go on by receiving. */
enum body_result body_splice(struct body *body, const struct body_path *path);
/* N bytes came when ASKED were asked for. */
void body_learn_room(struct body *body, size_t n, size_t asked);

#endif
