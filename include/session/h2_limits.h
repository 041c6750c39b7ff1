/* SPDX-License-Identifier: MIT */
/*
 * h2_limits - what a client may do with an HTTP/2 connection beside asking for something.
 *
 * Work that costs the client next to nothing is counted in spans of 10 s: streams that it cancels
 * or that it makes us reset (CVE-2023-44487 and its kin), and frames that carry nothing (PING,
 * SETTINGS, PRIORITY, unknown ones, empty DATA, more WINDOW_UPDATEs than what was sent explains).
 * Too many of either end the connection with ENHANCE_YOUR_CALM.
 */
#ifndef SESSION_H2_LIMITS_H
#define SESSION_H2_LIMITS_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#define H2_LIMITS_SPAN_MS   10000
#define H2_EMPTY_FRAMES_MAX 2000 /* per span */
#define H2_BYTES_PER_UPDATE 256  /* sent bytes that explain one WINDOW_UPDATE */

struct h2_limits {
	int64_t since_ms; /* when the span began */
	uint32_t resets, resets_max;
	uint32_t empties;
	uint32_t updates;
	uint64_t sent; /* bytes in this span, and something for each frame of DATA */
};

void h2_limits_init(struct h2_limits *limits, uint32_t resets_max, int64_t now_ms);
/* Each: NULL, or why it is enough (constant). */
const char *h2_limits_frame(struct h2_limits *limits, const nghttp2_frame_hd *hd, int64_t now_ms);
const char *h2_limits_reset(struct h2_limits *limits, int64_t now_ms);
/* A frame of DATA with BYTES went out. */
void h2_limits_sent(struct h2_limits *limits, uint64_t bytes);
/* nghttp2's own bounds; the caller frees it.  NULL: no memory. */
nghttp2_option *h2_limits_option(const struct h2_limits *limits);

#endif
