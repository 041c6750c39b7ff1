/* SPDX-License-Identifier: MIT */
/*
 * body - one direction of a message body: bytes from a conn, unframed, tapped, framed anew, to
 * another conn.
 *
 *   source conn --> in (buf) --> decode --> tap --> encode --> out (buf) --> destination conn
 *
 * When the framing does not change the bytes (a length, or until close) they go from IN to the
 * socket without a copy, unless OUT still has something before them and they are few.
 */
#ifndef SESSION_BODY_H
#define SESSION_BODY_H

#include "net/conn.h"
#include "proto/http1.h"

struct body;
/* Sees each piece of the body before it is sent on. */
typedef void body_tap_fn(void *arg, struct str piece);

struct body {
	enum http_framing from : 8; /* how it comes */
	enum http_framing to : 8;   /* how it goes on */
	bool is_done;               /* decoded to its end and encoded into out */
	bool is_dropped;            /* read but not sent on */
	uint32_t room;              /* bytes asked of recv(); grows in bulk */
	uint64_t bytes;             /* of body so far, without framing */
	union {
		uint64_t left; /* FRAMING_LENGTH */
		struct http1_chunked chunked;
	};
	const char *why; /* of BODY_BAD */
	size_t bad_at;   /* likewise: where in IN the bad piece begins */
};

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
};

void body_init(struct body *body, enum http_framing from, uint64_t length, enum http_framing to);
/* N bytes of a FRAMING_LENGTH body went by another way than body_relay(). */
void body_took(struct body *body, size_t n);
enum body_result body_relay(struct body *body, const struct body_path *path);

#endif
