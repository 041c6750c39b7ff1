/* SPDX-License-Identifier: MIT */
/*
 * str - a piece of text as pointer and length, passed by value.
 *
 * A struct str never owns its bytes and is not NUL-terminated: it is a view that dies with the
 * buffer, arena or literal it points into.  An absent string has p == NULL; an empty one has
 * p != NULL and len == 0.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p; /* (view) first byte; NULL = absent */
	size_t len;    /* length in bytes */
};

#define STR(literal) ((struct str){ "" literal "", sizeof(literal) - 1 })
#define STR_INIT(literal)                                                                          \
	{                                                                                          \
		"" literal "", sizeof(literal) - 1                                                 \
	}
#define STR_NONE ((struct str){ NULL, 0 })
/* For printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).len, (s).p ? (s).p : ""

static inline struct str str_of(const char *cstr)
{
	return (struct str){ cstr, cstr ? strlen(cstr) : 0 };
}

static inline struct str str_sub(const char *from, const char *to)
{
	return (struct str){ from, (size_t)(to - from) };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* ASCII lower case of one byte; other bytes unchanged, whatever the locale. */
static inline unsigned char ascii_lower(unsigned char c)
{
	return (unsigned char)(c - 'A') < 26 ? (unsigned char)(c | 0x20) : c;
}

/* Equal but for the case of ASCII letters. */
bool str_ieq(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_istarts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_iends(struct str s, struct str suffix);

/* Index of the first C (or of NEEDLE) in S, or -1. */
ptrdiff_t str_find_char(struct str s, char c);
ptrdiff_t str_find(struct str s, struct str needle);

/* Without leading and trailing spaces and tabs (RFC 9110 OWS). */
static inline struct str str_trim(struct str s)
{
	while (s.len && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.len--;
	}
	while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/*
 * Takes the next element of a comma-separated list (RFC 9110 5.6.1) off REST into *ELEMENT,
 * trimmed; empty elements are skipped.  Commas in quoted strings do not separate.  False at the
 * end.
 */
bool str_next_element(struct str *rest, struct str *element);

/*
 * Reads S as a decimal number without sign, spaces or anything else around it.
 * Returns 0, -EINVAL (not a number, or empty) or -ERANGE (larger than MAX).
 */
int str_to_u64(struct str s, uint64_t max, uint64_t *value);
/* Writes the decimal digits of N, without a NUL, to OUT (at least 10 bytes); how many. */
size_t str_put_u32(char *out, uint32_t n);

#endif
