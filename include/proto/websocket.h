/* SPDX-License-Identifier: MIT */
/*
 * websocket - frames of RFC 6455 (section 5.2), the accept key, and a walker over a stream of
 * frames.  Pure.  Extensions are the caller's: rsv is reported, not judged.
 */
#ifndef PROTO_WEBSOCKET_H
#define PROTO_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "proto/parse.h"

#define WEBSOCKET_HEADER_MAX  14  /* bytes of the longest header */
#define WEBSOCKET_CLOSE_MAX   131 /* bytes of the longest Close frame, masked */
#define WEBSOCKET_ACCEPT_SIZE 29  /* 28 characters and NUL */

enum websocket_opcode {
	WEBSOCKET_CONTINUATION = 0x0,
	WEBSOCKET_TEXT = 0x1,
	WEBSOCKET_BINARY = 0x2,
	WEBSOCKET_CLOSE = 0x8,
	WEBSOCKET_PING = 0x9,
	WEBSOCKET_PONG = 0xa,
};

struct websocket_frame {
	bool fin;
	uint8_t rsv;    /* RSV1..3 as bits 4, 2, 1 */
	uint8_t opcode; /* enum websocket_opcode */
	bool is_masked;
	uint8_t mask[4];       /* zero when not masked */
	uint64_t payload_size; /* bytes after the header, below 2^63 */
	uint8_t header_size;   /* 2..14 bytes; set by the parser, ignored by the writer */
};

extern const char WEBSOCKET_WHY_OPCODE[];  /* reserved opcode */
extern const char WEBSOCKET_WHY_CONTROL[]; /* control frame fragmented or over 125 bytes */
extern const char WEBSOCKET_WHY_LENGTH[];  /* length not in its shortest form, or 2^63 and more */

/*
 * Parses the header at BUF.  On PARSE_DONE the payload begins FRAME->header_size bytes on and need
 * not be there yet.  *WHY is set on PARSE_BAD; it may be NULL.
 */
enum parse websocket_parse_header(const char *buf, size_t len, struct websocket_frame *frame,
				  const char **why);

/* Writes FRAME's header in its shortest form; returns its size. */
size_t websocket_write_header(char out[WEBSOCKET_HEADER_MAX], const struct websocket_frame *frame);

/*
 * Writes a whole Close frame with CODE (0 = no code, no reason) and REASON, which is cut at 123
 * bytes (before a broken UTF-8 character).  Frames to a server have a MASK, four bytes that nobody
 * can foretell (RFC 6455 5.3); frames to a client none, NULL.  Returns the size,
 * WEBSOCKET_CLOSE_MAX at most.
 */
size_t websocket_write_close(char out[WEBSOCKET_CLOSE_MAX], const uint8_t *mask, uint16_t code,
			     struct str reason);

/*
 * Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 4.2.2), NUL-terminated.  KEY is used as
 * it is, without surrounding white space.  False (and OUT empty) if SHA-1 is not to be had.
 */
bool websocket_accept_key(struct str key, char out[WEBSOCKET_ACCEPT_SIZE]);

/* Masks or unmasks DATA in place; OFFSET is DATA's place in the payload. */
void websocket_unmask(char *data, size_t len, const uint8_t mask[4], uint64_t offset);

/*
 * Follows one direction of a tunnel from its first byte: where frames begin and end, and whether
 * a Close went by.  Payloads are skipped by length and never looked at.  Two of these are in every
 * tunnel, so it is small: 16 bytes.
 */
struct websocket_walk {
	uint64_t left;       /* payload bytes still to come; in a header the length read so far */
	uint8_t phase;       /* private: which part of a frame comes next; 0 = its first byte */
	uint8_t need;        /* bytes still to come of the length or the mask */
	uint8_t opcode;      /* of the current frame */
	uint8_t data_frames; /* text and binary frames begun, at most 255; not continuations */
	bool is_masked;      /* the current frame */
	bool is_long;        /* the current frame's length has eight bytes */
	bool has_close;      /* a whole Close frame has passed */
	bool is_bad;         /* not WebSocket: no boundary will be told again */
};
_Static_assert(sizeof(struct websocket_walk) == 16, "an idle WebSocket pays for two");

void websocket_walk_init(struct websocket_walk *walk);

/*
 * Takes the next bytes of the stream.  Returns the offset in PIECE of the last frame boundary that
 * lies in it or at its end: there another frame may be put in between.  -1 if there is none (a
 * boundary at its very beginning counts: then the answer is 0).
 */
ptrdiff_t websocket_walk_feed(struct websocket_walk *walk, struct str piece);

/*
 * Takes the next bytes of the stream, but not beyond the end of the frame that they belong to.
 * Returns how many: fewer than PIECE has when a boundary is there, or the walk is bad.
 */
size_t websocket_walk_frame(struct websocket_walk *walk, struct str piece);

/*
 * How many of the next bytes are payload of the current frame, whatever they are: nobody has to
 * look at them.  UINT64_MAX when the walk is bad.
 */
uint64_t websocket_walk_unseen(const struct websocket_walk *walk);
/* That the next N <= websocket_walk_unseen() bytes have passed. */
void websocket_walk_skip(struct websocket_walk *walk, uint64_t n);

/* All bytes so far are whole frames. */
bool websocket_walk_is_at_boundary(const struct websocket_walk *walk);

#endif
