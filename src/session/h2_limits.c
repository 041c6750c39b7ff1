/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "session/h2_limits.h"

#define CONTINUATIONS_MAX 8
#define SETTINGS_MAX      32   /* entries of one SETTINGS frame */
#define OUTBOUND_ACKS_MAX 2048 /* waiting to be sent; more than one read can ask for */
#define SENT_BLOCK_MAX    (1u << 20)
#define RESERVED_RESETS   2 /* nghttp2's own bound is so many times ours: ours tells why */
#define RESETS_PER_S      100

static const char *const too_many_resets = "too many cancelled requests";
static const char *const too_many_empty = "too many frames that carry nothing";
static const char *const too_many_updates = "too many window updates";

void h2_limits_init(struct h2_limits *limits, uint32_t resets_max, int64_t now_ms)
{
	*limits = (struct h2_limits){ .since_ms = now_ms, .resets_max = resets_max };
}

static void begin_span(struct h2_limits *limits, int64_t now_ms)
{
	if (now_ms - limits->since_ms < H2_LIMITS_SPAN_MS)
		return;
	h2_limits_init(limits, limits->resets_max, now_ms);
}

const char *h2_limits_reset(struct h2_limits *limits, int64_t now_ms)
{
	begin_span(limits, now_ms);
	return ++limits->resets > limits->resets_max ? too_many_resets : NULL;
}

void h2_limits_sent(struct h2_limits *limits, uint64_t bytes)
{
	/* Some libraries update both windows for every frame. */
	limits->sent += bytes + 2 * H2_BYTES_PER_UPDATE;
}

/* It asks for something, or brings it. */
static bool carries(const nghttp2_frame_hd *hd)
{
	switch (hd->type) {
	case NGHTTP2_DATA:
		/* Padding alone is nothing; what is left of it is seen by nobody. */
		return hd->flags & NGHTTP2_FLAG_END_STREAM ||
		       hd->length > (hd->flags & NGHTTP2_FLAG_PADDED ? 256u : 0u);
	case NGHTTP2_HEADERS:
	case NGHTTP2_CONTINUATION:
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_GOAWAY:
		return true;
	default:
		return false;
	}
}

const char *h2_limits_frame(struct h2_limits *limits, const nghttp2_frame_hd *hd, int64_t now_ms)
{
	if (carries(hd))
		return NULL;
	begin_span(limits, now_ms);
	if (hd->type == NGHTTP2_WINDOW_UPDATE) {
		uint64_t explained = H2_EMPTY_FRAMES_MAX + limits->sent / H2_BYTES_PER_UPDATE;

		return ++limits->updates > explained ? too_many_updates : NULL;
	}
	return ++limits->empties > H2_EMPTY_FRAMES_MAX ? too_many_empty : NULL;
}

nghttp2_option *h2_limits_option(const struct h2_limits *limits)
{
	nghttp2_option *option;

	if (nghttp2_option_new(&option) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_outbound_ack(option, OUTBOUND_ACKS_MAX);
	nghttp2_option_set_max_settings(option, SETTINGS_MAX);
	nghttp2_option_set_max_send_header_block_length(option, SENT_BLOCK_MAX);
	nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
	nghttp2_option_set_stream_reset_rate_limit(
		option, (uint64_t)limits->resets_max * RESERVED_RESETS, RESETS_PER_S);
	return option;
}
