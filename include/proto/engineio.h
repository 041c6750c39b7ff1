/* SPDX-License-Identifier: MIT */
/*
 * engineio - what the balancer must understand of Engine.IO (protocols 3 and 4): the sid in
 * requests, the sid's birth in a response, and the packet that ends a session.
 *
 * Three readers, all pure, none ever changes a byte of what passes:
 *
 *   engineio_parse_query   query of a request           -> sid, version, transport
 *   engineio_scan          body of a handshake's answer -> sid, ping figures
 *   engineio_packets       body of a poll or a post     -> has it a close packet?
 *
 * The two on bodies are streaming: pieces of any size, the answer does not depend on the cuts, and
 * nothing is kept but the struct.  They give up quietly on what they do not understand (compressed
 * bodies, other protocols): not learning is harmless, learning wrongly is not.
 */
#ifndef PROTO_ENGINEIO_H
#define PROTO_ENGINEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "proto/parse.h"

#define ENGINEIO_SID_MAX  128  /* bytes of a sid that is understood */
#define ENGINEIO_SCAN_MAX 4096 /* bytes of a response body in which a sid is looked for */

enum engineio_transport {
	ENGINEIO_OTHER, /* no transport= or an unknown one */
	ENGINEIO_POLLING,
	ENGINEIO_WEBSOCKET,
	ENGINEIO_TRANSPORT_N
};

struct engineio_query {
	char sid[ENGINEIO_SID_MAX]; /* decoded; any bytes, not NUL-terminated */
	uint8_t sid_len;            /* 0..128 */
	bool has_sid;               /* a sid that is not empty; false = a handshake */
	bool is_sid_too_long;       /* with has_sid: over 128 bytes; sid holds the first 128 */
	uint8_t version;            /* EIO=2, 3 or 4; 0 = not told or unknown */
	enum engineio_transport transport;
	bool is_jsonp; /* has a j=, even an empty one */
};

/*
 * Reads the query of a request (without '?'; may be STR_NONE) whose path is Engine.IO's.  Of
 * several parameters of one name the last wins; keys and values may be percent-encoded, '+' is a
 * space.  Never fails: what is not understood is absent.
 */
void engineio_parse_query(struct str query, struct engineio_query *out);

/*
 * PATH (raw, without query) is under PREFIX, the configured path, as Engine.IO matches it: with
 * "/socket.io/" or "/socket.io" these match: "/socket.io/", "/socket.io/anything", "/socket.io";
 * these do not: "/socket.iox", "/socket".  An empty prefix or "/" matches every path.
 */
bool engineio_path_matches(struct str path, struct str prefix);

/*
 * BODY (whole) of a 400 says that the worker does not know the sid: JSON with code 1 and the
 * message "Session ID unknown", white space between tokens allowed, or that text alone.
 */
bool engineio_is_unknown_sid_body(struct str body);

/* Undoes JSON's string escapes, one byte at a time; shared by the two readers below. */
struct engineio_unescape {
	uint8_t state;
	uint16_t unit; /* hex digits of \u so far */
	uint16_t high; /* high surrogate that waits for its other half; 0 = none */
};

/*
 * Takes the byte C of a string's inside.  Returns how many decoded bytes (UTF-8) now stand in OUT
 * (0..7), or -1: C is the unescaped quote that ends the string, and U is ready for the next one.
 */
int engineio_unescape(struct engineio_unescape *u, char c, char out[8]);

/*
 * Finds the handshake in the body of the answer to a request without sid.  Bodies that it knows:
 * 0{"sid":..} (4), 96:0{..}2:40 (3), 00 09 07 ff 0{..} (3, binary), ___eio[0]("0{\"sid\":..}");
 * (JSONP, escaped once more), and any text that has a JSON object with a member "sid".
 */
struct engineio_scan {
	/* Valid after PARSE_DONE, or when engineio_scan_finish() said true. */
	char sid[ENGINEIO_SID_MAX]; /* JSON-unescaped, as a client will percent-encode it */
	uint8_t sid_len;            /* 1..128 */
	bool is_sid_too_long;       /* over 128 bytes; sid holds the first 128 */
	uint32_t ping_interval_ms;  /* 0 = not told */
	uint32_t ping_timeout_ms;   /* 0 = not told */

	/* Private. */
	uint8_t state;
	uint8_t member;    /* whose value is being read */
	uint8_t key_len;   /* 255 = longer than any that we know */
	char key[12];      /* start of the string being read */
	uint8_t depth;     /* open braces */
	uint8_t sid_depth; /* depth at which the sid stands; 0 = no sid yet */
	uint8_t ping_depth;
	bool has_interval, has_timeout;
	bool in_outer;   /* inside a string literal that holds the packets (JSONP) */
	uint16_t seen;   /* body bytes taken, ENGINEIO_SCAN_MAX at most */
	uint64_t number; /* figure being read */
	struct engineio_unescape outer, inner;
};

void engineio_scan_init(struct engineio_scan *scan);

/*
 * PARSE_DONE: there is a sid and nothing more to learn (both figures are known, or the sid's
 * object or the first 4096 bytes have ended); feeding more changes nothing.
 * PARSE_MORE: give the next piece.  A sid may be known already: engineio_scan_has_sid().
 * PARSE_BAD: there is none in the first 4096 bytes, or the body is compressed (gzip).
 */
enum parse engineio_scan_feed(struct engineio_scan *scan, struct str piece);

/* A whole sid has been read so far. */
bool engineio_scan_has_sid(const struct engineio_scan *scan);

/* The body is over.  True when a sid was found. */
bool engineio_scan_finish(struct engineio_scan *scan);

/* Looks for a close packet in the body of one poll's answer or of one post. */
struct engineio_packets {
	bool has_close; /* a close packet has been seen */

	/* Private. */
	uint8_t wrap; /* what is around the payload: nothing, JSONP of an answer or of a post */
	uint8_t wrap_state;
	uint8_t percent; /* characters of a %xx held back */
	char percent_high;
	uint8_t slashes; /* backslashes held back */
	uint8_t framing;
	uint8_t state;
	uint8_t digits_n; /* digits of a length so far */
	bool is_text;     /* EIO=3 binary: this packet is a string */
	uint64_t left;    /* length being read, or what is left of this packet */
	struct engineio_unescape unescape;
};

enum engineio_direction {
	ENGINEIO_TO_SERVER, /* body of a POST */
	ENGINEIO_TO_CLIENT, /* body of the answer to a GET */
};

/*
 * Starts on the body of one poll's answer (TO_CLIENT) or of one POST (TO_SERVER) of a session of
 * this protocol VERSION (engineio_query; all but 4 are framed as 3, whose text and binary forms
 * are told apart by their first byte).
 */
void engineio_packets_init(struct engineio_packets *packets, uint8_t version, bool is_jsonp,
			   enum engineio_direction direction);

/*
 * Takes the next piece of the body; true once a close packet has been seen, and from then on.
 * A close packet is exactly "1" (or 0x01 in a binary frame of EIO=3).  Long packets are skipped.
 */
bool engineio_packets_feed(struct engineio_packets *packets, struct str piece);

/*
 * The body ended here (not: was cut off).  True when it had a close packet; with EIO=4 only the
 * end tells that a last "1" was one.
 */
bool engineio_packets_finish(struct engineio_packets *packets);

#endif
