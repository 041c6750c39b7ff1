/* SPDX-License-Identifier: MIT */
/*
 * http1_scan - finds the first byte that ends a run: of a field value, a target, a token.
 *
 * Model.  Almost all bytes of a head lie inside such runs, so these loops are where its time goes.
 * Each looks at 16 bytes at once with SSE2 (every x86-64 has it), or at 8 in a plain register
 * elsewhere, and finishes byte by byte.  Nothing past END is ever read, nor before FLOOR, where the
 * buffer begins: so that the last few bytes are looked at as the end of a block of 16 that has been
 * looked at in part already, without a loop over them.
 *
 * The *_swar variants are always compiled, so that the tests can hold both against each other.
 * Private to the http1 files and their tests.
 */
#ifndef PROTO_HTTP1_SCAN_H
#define PROTO_HTTP1_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/bug.h"

#define HTTP1_CLASS_TOKEN  1 /* RFC 9110 5.6.2 tchar */
#define HTTP1_CLASS_VALUE  2 /* HTAB, SP, VCHAR, obs-text */
#define HTTP1_CLASS_TARGET 4 /* VCHAR except '#' */
#define HTTP1_CLASS_HOST   8 /* RFC 3986 reg-name without "%" and "," */
#define HTTP1_CLASS_HEX    16

extern const uint8_t http1_class[256];

static inline bool http1_is(char c, unsigned class)
{
	return http1_class[(unsigned char)c] & class;
}

#define HTTP1_ONES UINT64_C(0x0101010101010101)
#define HTTP1_TOPS UINT64_C(0x8080808080808080)

static inline uint64_t http1_load8(const char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return x;
}

/* Not 0 when a byte of X is below N (N <= 128); bytes with the top bit set are not. */
static inline uint64_t http1_any_below(uint64_t x, unsigned n)
{
	return (x - HTTP1_ONES * n) & ~x & HTTP1_TOPS;
}

static inline uint64_t http1_any_equal(uint64_t x, unsigned char c)
{
	return http1_any_below(x ^ (HTTP1_ONES * c), 1);
}

static inline const char *http1_scan_bytes(const char *p, const char *end, unsigned class)
{
	while (p < end && http1_is(*p, class))
		p++;
	return p;
}

/* The first byte in [P, END) that a field value may not hold, or END. */
static inline const char *http1_scan_value_swar(const char *p, const char *end)
{
	for (; end - p >= 8; p += 8) {
		uint64_t x = http1_load8(p);
		const char *at;

		if (likely(!(http1_any_below(x, 0x20) | http1_any_equal(x, 0x7f))))
			continue;
		at = http1_scan_bytes(p, p + 8, HTTP1_CLASS_VALUE);
		if (at < p + 8) /* else it was a tab */
			return at;
	}
	return http1_scan_bytes(p, end, HTTP1_CLASS_VALUE);
}

/* The first byte in [P, END) that a request target may not hold, or END. */
static inline const char *http1_scan_target_swar(const char *p, const char *end)
{
	for (; end - p >= 8; p += 8) {
		uint64_t x = http1_load8(p);

		if ((x & HTTP1_TOPS) | http1_any_below(x, 0x21) | http1_any_equal(x, 0x7f) |
		    http1_any_equal(x, '#'))
			break;
	}
	return http1_scan_bytes(p, end, HTTP1_CLASS_TARGET);
}

#ifdef __SSE2__

static inline __m128i http1_load16(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Bit i is set when byte i of X may not be in a field value. */
static inline unsigned http1_stops_value(__m128i x)
{
	__m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
	__m128i is_tab = _mm_cmpeq_epi8(x, _mm_set1_epi8('\t'));
	__m128i is_del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(is_tab, low), is_del));
}

/* The same of a request target. */
static inline unsigned http1_stops_target(__m128i x)
{
	/* Signed: bytes from 0x80 on are below 0x21 too. */
	__m128i low = _mm_cmplt_epi8(x, _mm_set1_epi8(0x21));
	__m128i is_del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));
	__m128i is_hash = _mm_cmpeq_epi8(x, _mm_set1_epi8('#'));

	return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(is_del, is_hash)));
}

static inline const char *http1_scan_value(const char *floor, const char *p, const char *end)
{
	unsigned mask;

	for (; end - p >= 16; p += 16) {
		mask = http1_stops_value(http1_load16(p));
		if (mask)
			return p + __builtin_ctz(mask);
	}
	if (unlikely(end - floor < 16))
		return http1_scan_value_swar(p, end);
	mask = http1_stops_value(http1_load16(end - 16)) >> (16 - (end - p));
	return mask ? p + __builtin_ctz(mask) : end;
}

static inline const char *http1_scan_target(const char *floor, const char *p, const char *end)
{
	unsigned mask;

	for (; end - p >= 16; p += 16) {
		mask = http1_stops_target(http1_load16(p));
		if (mask)
			return p + __builtin_ctz(mask);
	}
	if (unlikely(end - floor < 16))
		return http1_scan_target_swar(p, end);
	mask = http1_stops_target(http1_load16(end - 16)) >> (16 - (end - p));
	return mask ? p + __builtin_ctz(mask) : end;
}

/*
 * The first byte in [P, END) that a token may not hold, or END.  Letters, digits, "-" and "_" go
 * 16 at once; the rare rest of the alphabet is left to the table.
 */
static inline const char *http1_scan_token(const char *p, const char *end)
{
	if (end - p >= 16) {
		__m128i x = http1_load16(p);
		__m128i letter =
			_mm_sub_epi8(_mm_or_si128(x, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
		__m128i digit = _mm_sub_epi8(x, _mm_set1_epi8('0'));
		__m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
		__m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
		__m128i is_dash = _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('-')),
					       _mm_cmpeq_epi8(x, _mm_set1_epi8('_')));
		__m128i run = _mm_or_si128(_mm_or_si128(is_letter, is_digit), is_dash);
		unsigned mask = ~(unsigned)_mm_movemask_epi8(run) & 0xffff;

		if (likely(mask && p[__builtin_ctz(mask)] == ':'))
			return p + __builtin_ctz(mask);
		p += mask ? __builtin_ctz(mask) : 16;
	}
	return http1_scan_bytes(p, end, HTTP1_CLASS_TOKEN);
}

#else

static inline const char *http1_scan_value(const char *floor, const char *p, const char *end)
{
	(void)floor;
	return http1_scan_value_swar(p, end);
}

static inline const char *http1_scan_target(const char *floor, const char *p, const char *end)
{
	(void)floor;
	return http1_scan_target_swar(p, end);
}

static inline const char *http1_scan_token(const char *p, const char *end)
{
	return http1_scan_bytes(p, end, HTTP1_CLASS_TOKEN);
}

#endif
#endif
