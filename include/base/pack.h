/* SPDX-License-Identifier: MIT */
/*
 * pack - values one after another in a message between two processes of one machine.
 *
 * Numbers as the machine has them, texts with their length before them.  Nothing is written behind
 * the end and nothing read behind it: the first value that does not fit sets is_bad, and all that
 * follow are dropped, or read as zeroes.  So a writer and a reader ask once, at the end.
 */
#ifndef BASE_PACK_H
#define BASE_PACK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

struct pack {
	unsigned char *p; /* (view) */
	size_t n, size;
	bool is_bad;
};

struct unpack {
	const unsigned char *p; /* (view) */
	size_t left;
	bool is_bad;
};

static inline void pack_bytes(struct pack *to, const void *from, size_t n)
{
	if (to->is_bad || to->size - to->n < n) {
		to->is_bad = true;
		return;
	}
	if (n)
		memcpy(to->p + to->n, from, n);
	to->n += n;
}

static inline void unpack_bytes(struct unpack *from, void *to, size_t n)
{
	if (from->is_bad || from->left < n) {
		from->is_bad = true;
		memset(to, 0, n);
		return;
	}
	memcpy(to, from->p, n);
	from->p += n;
	from->left -= n;
}

static inline void pack_u8(struct pack *to, uint8_t value)
{
	pack_bytes(to, &value, sizeof(value));
}

static inline void pack_u16(struct pack *to, uint16_t value)
{
	pack_bytes(to, &value, sizeof(value));
}

static inline void pack_u32(struct pack *to, uint32_t value)
{
	pack_bytes(to, &value, sizeof(value));
}

static inline void pack_u64(struct pack *to, uint64_t value)
{
	pack_bytes(to, &value, sizeof(value));
}

/* At most 65535 bytes. */
static inline void pack_str(struct pack *to, struct str text)
{
	if (text.len > UINT16_MAX)
		to->is_bad = true;
	pack_u16(to, (uint16_t)text.len);
	pack_bytes(to, text.p, text.len);
}

static inline uint8_t unpack_u8(struct unpack *from)
{
	uint8_t value;

	unpack_bytes(from, &value, sizeof(value));
	return value;
}

static inline uint16_t unpack_u16(struct unpack *from)
{
	uint16_t value;

	unpack_bytes(from, &value, sizeof(value));
	return value;
}

static inline uint32_t unpack_u32(struct unpack *from)
{
	uint32_t value;

	unpack_bytes(from, &value, sizeof(value));
	return value;
}

static inline uint64_t unpack_u64(struct unpack *from)
{
	uint64_t value;

	unpack_bytes(from, &value, sizeof(value));
	return value;
}

/* (view) of the message. */
static inline struct str unpack_str(struct unpack *from)
{
	size_t n = unpack_u16(from);
	struct str text = { (const char *)from->p, n };

	if (from->is_bad || from->left < n) {
		from->is_bad = true;
		return STR("");
	}
	from->p += n;
	from->left -= n;
	return text;
}

#endif
