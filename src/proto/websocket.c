/* SPDX-License-Identifier: MIT */
/* websocket - frame headers, Close frames, the accept key, and the walker. */
#include "config.h"

#include "proto/websocket.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/bug.h"

const char WEBSOCKET_WHY_OPCODE[] = "reserved WebSocket opcode";
const char WEBSOCKET_WHY_CONTROL[] = "WebSocket control frame fragmented or too long";
const char WEBSOCKET_WHY_LENGTH[] = "bad WebSocket payload length";

#define REASON_MAX 123 /* bytes: a control frame's 125 less the code */

static enum parse bad(const char **why, const char *what)
{
	if (why)
		*why = what;
	return PARSE_BAD;
}

static uint64_t read_be(const unsigned char *p, size_t n)
{
	uint64_t value = 0;

	while (n-- > 0)
		value = value << 8 | *p++;
	return value;
}

static void write_be(char *p, size_t n, uint64_t value)
{
	while (n-- > 0) {
		p[n] = (char)(value & 0xff);
		value >>= 8;
	}
}

static bool is_known_opcode(unsigned opcode)
{
	return opcode <= WEBSOCKET_BINARY ||
	       (opcode >= WEBSOCKET_CLOSE && opcode <= WEBSOCKET_PONG);
}

enum parse websocket_parse_header(const char *buf, size_t len, struct websocket_frame *frame,
				  const char **why)
{
	const unsigned char *p = (const unsigned char *)buf;
	size_t extended, mask_size;
	unsigned short_size;
	bool is_control;

	if (len >= 1 && !is_known_opcode(p[0] & 0x0f))
		return bad(why, WEBSOCKET_WHY_OPCODE);
	if (len >= 1 && (p[0] & 0x88) == 0x08)
		return bad(why, WEBSOCKET_WHY_CONTROL);
	if (len < 2)
		return PARSE_MORE;
	is_control = p[0] & 0x08;
	short_size = p[1] & 0x7f;
	if (is_control && short_size > 125)
		return bad(why, WEBSOCKET_WHY_CONTROL);
	extended = short_size == 127 ? 8 : short_size == 126 ? 2 : 0;
	mask_size = p[1] & 0x80 ? 4 : 0;
	if (extended == 8 && len >= 3 && p[2] & 0x80)
		return bad(why, WEBSOCKET_WHY_LENGTH);
	if (len < 2 + extended)
		return PARSE_MORE;
	frame->payload_size = extended ? read_be(p + 2, extended) : short_size;
	if ((extended == 2 && frame->payload_size < 126) ||
	    (extended == 8 && frame->payload_size <= UINT16_MAX))
		return bad(why, WEBSOCKET_WHY_LENGTH);
	if (len < 2 + extended + mask_size)
		return PARSE_MORE;
	frame->fin = p[0] & 0x80;
	frame->rsv = p[0] >> 4 & 7;
	frame->opcode = p[0] & 0x0f;
	frame->is_masked = mask_size != 0;
	memset(frame->mask, 0, sizeof(frame->mask));
	memcpy(frame->mask, p + 2 + extended, mask_size);
	frame->header_size = (uint8_t)(2 + extended + mask_size);
	return PARSE_DONE;
}

size_t websocket_write_header(char out[WEBSOCKET_HEADER_MAX], const struct websocket_frame *frame)
{
	uint64_t size = frame->payload_size;
	size_t extended = size > UINT16_MAX ? 8 : size > 125 ? 2 : 0;
	unsigned short_size = extended == 8 ? 127 : extended == 2 ? 126 : (unsigned)size;

	out[0] = (char)((frame->fin ? 0x80 : 0) | (frame->rsv & 7) << 4 | (frame->opcode & 0x0f));
	out[1] = (char)((frame->is_masked ? 0x80 : 0) | short_size);
	write_be(out + 2, extended, size);
	if (frame->is_masked)
		memcpy(out + 2 + extended, frame->mask, sizeof(frame->mask));
	return 2 + extended + (frame->is_masked ? sizeof(frame->mask) : 0);
}

size_t websocket_write_close(char out[WEBSOCKET_CLOSE_MAX], const uint8_t *mask, uint16_t code,
			     struct str reason)
{
	struct websocket_frame frame = { .fin = true, .opcode = WEBSOCKET_CLOSE };
	size_t n;

	if (code == 0)
		reason.len = 0;
	if (reason.len > REASON_MAX) {
		reason.len = REASON_MAX;
		while (reason.len > 0 && ((unsigned char)reason.p[reason.len] & 0xc0) == 0x80)
			reason.len--;
	}
	frame.is_masked = mask != NULL;
	if (mask)
		memcpy(frame.mask, mask, sizeof(frame.mask));
	frame.payload_size = code ? 2 + reason.len : 0;
	n = websocket_write_header(out, &frame);
	if (code == 0)
		return n;
	write_be(out + n, 2, code);
	if (reason.len > 0)
		memcpy(out + n + 2, reason.p, reason.len);
	if (mask)
		websocket_unmask(out + n, 2 + reason.len, mask, 0);
	return n + 2 + reason.len;
}

bool websocket_accept_key(struct str key, char out[WEBSOCKET_ACCEPT_SIZE])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE], text[WEBSOCKET_ACCEPT_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned digest_size = 0;
	bool is_done;

	is_done = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
		  (key.len == 0 || EVP_DigestUpdate(ctx, key.p, key.len) == 1) &&
		  EVP_DigestUpdate(ctx, guid, sizeof(guid) - 1) == 1 &&
		  EVP_DigestFinal_ex(ctx, digest, &digest_size) == 1 && digest_size == 20;
	EVP_MD_CTX_free(ctx);
	out[0] = '\0';
	if (!is_done)
		return false;
	EVP_EncodeBlock(text, digest, (int)digest_size);
	memcpy(out, text, sizeof(text));
	return true;
}

void websocket_unmask(char *data, size_t len, const uint8_t mask[4], uint64_t offset)
{
	uint8_t turned[16]; /* the mask, from OFFSET on */
	size_t i = 0;

	for (size_t k = 0; k < sizeof(turned); k++)
		turned[k] = mask[(offset + k) & 3];
	for (; i + sizeof(turned) <= len; i += sizeof(turned))
		for (size_t k = 0; k < sizeof(turned); k++)
			data[i + k] = (char)((uint8_t)data[i + k] ^ turned[k]);
	for (; i < len; i++)
		data[i] = (char)((uint8_t)data[i] ^ turned[i & 15]);
}

void websocket_walk_init(struct websocket_walk *walk)
{
	*walk = (struct websocket_walk){ 0 };
}

enum phase { PHASE_FIRST, PHASE_SECOND, PHASE_LENGTH, PHASE_MASK, PHASE_PAYLOAD };

bool websocket_walk_is_at_boundary(const struct websocket_walk *walk)
{
	return walk->phase == PHASE_FIRST && !walk->is_bad;
}

static void end_frame(struct websocket_walk *walk)
{
	walk->phase = PHASE_FIRST;
	walk->has_close |= walk->opcode == WEBSOCKET_CLOSE;
}

static void end_header(struct websocket_walk *walk)
{
	if (walk->opcode == WEBSOCKET_TEXT || walk->opcode == WEBSOCKET_BINARY)
		walk->data_frames += walk->data_frames < UINT8_MAX;
	walk->phase = PHASE_PAYLOAD;
	if (walk->left == 0)
		end_frame(walk);
}

static void end_length(struct websocket_walk *walk)
{
	if (walk->is_masked) {
		walk->phase = PHASE_MASK;
		walk->need = 4;
	} else {
		end_header(walk);
	}
}

static void take_first(struct websocket_walk *walk, unsigned char c)
{
	walk->opcode = c & 0x0f;
	walk->is_bad = !is_known_opcode(walk->opcode) || (c & 0x88) == 0x08;
	walk->phase = PHASE_SECOND;
}

static void take_second(struct websocket_walk *walk, unsigned char c)
{
	unsigned short_size = c & 0x7f;

	walk->is_masked = c & 0x80;
	walk->is_long = short_size == 127;
	if (walk->opcode & 0x08 && short_size > 125)
		walk->is_bad = true;
	if (short_size > 125) {
		walk->phase = PHASE_LENGTH;
		walk->need = walk->is_long ? 8 : 2;
		walk->left = 0;
		return;
	}
	walk->left = short_size;
	end_length(walk);
}

static void take_length(struct websocket_walk *walk, unsigned char c)
{
	if (walk->need == 8 && c & 0x80)
		walk->is_bad = true;
	walk->left = walk->left << 8 | c;
	if (--walk->need)
		return;
	if (walk->left < (walk->is_long ? UINT16_MAX + UINT64_C(1) : 126))
		walk->is_bad = true;
	end_length(walk);
}

/* Takes one byte of a header. */
static void take_byte(struct websocket_walk *walk, unsigned char c)
{
	switch ((enum phase)walk->phase) {
	case PHASE_FIRST:
		take_first(walk, c);
		break;
	case PHASE_SECOND:
		take_second(walk, c);
		break;
	case PHASE_LENGTH:
		take_length(walk, c);
		break;
	case PHASE_MASK:
		if (!--walk->need)
			end_header(walk);
		break;
	case PHASE_PAYLOAD:
		break;
	}
}

uint64_t websocket_walk_unseen(const struct websocket_walk *walk)
{
	if (walk->is_bad)
		return UINT64_MAX;
	return walk->phase == PHASE_PAYLOAD ? walk->left : 0;
}

void websocket_walk_skip(struct websocket_walk *walk, uint64_t n)
{
	bug_on(n > websocket_walk_unseen(walk));
	if (walk->is_bad || !n)
		return;
	walk->left -= n;
	if (walk->left == 0)
		end_frame(walk);
}

size_t websocket_walk_frame(struct websocket_walk *walk, struct str piece)
{
	size_t i = 0;

	while (i < piece.len && !walk->is_bad) {
		if (walk->phase == PHASE_PAYLOAD) {
			uint64_t n = piece.len - i;

			n = n < walk->left ? n : walk->left;
			walk->left -= n;
			i += n;
			if (walk->left == 0)
				end_frame(walk);
		} else {
			take_byte(walk, (unsigned char)piece.p[i++]);
		}
		if (walk->phase == PHASE_FIRST)
			break;
	}
	return i;
}

ptrdiff_t websocket_walk_feed(struct websocket_walk *walk, struct str piece)
{
	ptrdiff_t boundary = websocket_walk_is_at_boundary(walk) ? 0 : -1;

	for (size_t i = 0; i < piece.len && !walk->is_bad;) {
		i += websocket_walk_frame(walk, (struct str){ piece.p + i, piece.len - i });
		if (websocket_walk_is_at_boundary(walk))
			boundary = (ptrdiff_t)i;
	}
	return walk->is_bad ? -1 : boundary;
}
