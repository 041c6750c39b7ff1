/* SPDX-License-Identifier: MIT */
/*
 * uri - reads queries and paths.
 *
 * A '%' that is not followed by two hex digits is an ordinary byte everywhere in this file, as in
 * Node's querystring, so that we and the worker see the same key.
 */
#include "config.h"

#include "proto/uri.h"

#include <errno.h>

/* Value of each hex digit plus one; 0 = not a hex digit. */
static const uint8_t hex_plus_1[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
	['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* The byte that %xx at P stands for, or -1. */
static int percent_byte(const char *p, const char *end)
{
	unsigned high, low;

	if (end - p < 3 || *p != '%')
		return -1;
	high = hex_plus_1[(unsigned char)p[1]];
	low = hex_plus_1[(unsigned char)p[2]];
	return high && low ? (int)((high - 1) << 4 | (low - 1)) : -1;
}

static const char *find_or_end(const char *p, const char *end, char c)
{
	const char *hit = p < end ? memchr(p, c, (size_t)(end - p)) : NULL;

	return hit ? hit : end;
}

bool uri_next_param(struct str *query, struct str *key, struct str *value)
{
	const char *p = query->p, *end;
	const char *stop, *equals;

	if (!p)
		return false;
	end = p + query->len;
	while (p < end && *p == '&')
		p++;
	if (p == end) {
		*query = (struct str){ end, 0 };
		return false;
	}
	stop = find_or_end(p, end, '&');
	equals = find_or_end(p, stop, '=');
	*key = str_sub(p, equals);
	*value = equals < stop ? str_sub(equals + 1, stop) : STR_NONE;
	*query = stop < end ? str_sub(stop + 1, end) : str_sub(end, end);
	return true;
}

ptrdiff_t uri_decode(struct str in, char *out, size_t out_size, bool plus_is_space)
{
	const char *p = in.p, *end = in.p + in.len;
	size_t n = 0;

	while (p < end) {
		int byte = percent_byte(p, end);

		if (n == out_size)
			return -ENOSPC;
		if (byte >= 0) {
			out[n++] = (char)byte;
			p += 3;
		} else {
			out[n++] = plus_is_space && *p == '+' ? ' ' : *p;
			p++;
		}
	}
	return (ptrdiff_t)n;
}

bool uri_key_is(struct str raw_key, struct str name)
{
	const char *p = raw_key.p, *end = raw_key.p + raw_key.len;

	if (raw_key.len < name.len || raw_key.len > 3 * name.len)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		int byte;

		if (p == end)
			return false;
		byte = percent_byte(p, end);
		if (byte < 0) {
			byte = *p == '+' ? ' ' : (unsigned char)*p;
			p++;
		} else {
			p += 3;
		}
		if (byte != (unsigned char)name.p[i])
			return false;
	}
	return p == end;
}

bool uri_find_param(struct str query, struct str name, bool last, struct str *raw_value)
{
	struct str key, value;
	bool is_found = false;

	*raw_value = STR_NONE;
	while (uri_next_param(&query, &key, &value)) {
		if (!uri_key_is(key, name))
			continue;
		*raw_value = value.p ? value : str_sub(key.p + key.len, key.p + key.len);
		is_found = true;
		if (!last)
			break;
	}
	return is_found;
}

/*
 * PATH may not be in normal form: it has a '%', a "//" or a "/.".  The inner loop has a fixed
 * length and no branch, so that the compiler makes vector code of it.
 */
static bool needs_work(struct str path)
{
	const unsigned char *p = (const unsigned char *)path.p;
	size_t i = 0;
	unsigned bad = 0;

	for (; i + 17 <= path.len; i += 16) {
		uint8_t hits = 0;

		for (size_t k = 0; k < 16; k++) {
			uint8_t c = p[i + k], next = p[i + k + 1];

			hits |= (uint8_t)((c == '%') |
					  ((c == '/') & ((next == '/') | (next == '.'))));
		}
		if (hits)
			return true;
	}
	for (; i < path.len; i++) {
		unsigned next = i + 1 < path.len ? p[i + 1] : 0;

		bad |= p[i] == '%' || (p[i] == '/' && (next == '/' || next == '.'));
	}
	return bad;
}

/*
 * The last segment of OUT begins after the slash at *SLASH and is N - *SLASH - 1 bytes long.  If
 * it is "." or "..", takes it (or it and the one before) off.  Returns the new length; *SLASH is
 * then the last byte.
 */
static size_t end_segment(const char *out, size_t n, size_t *slash)
{
	size_t len = n - *slash - 1;
	const char *segment = out + *slash + 1;

	if (len == 1 && segment[0] == '.')
		return *slash + 1;
	if (len == 2 && segment[0] == '.' && segment[1] == '.') {
		while (*slash > 0 && out[--*slash] != '/')
			;
		return *slash + 1;
	}
	return n;
}

struct str uri_normalize_path(struct str path, char *out, size_t out_size)
{
	const char *p = path.p, *end = path.p + path.len;
	size_t n = 0, slash = 0;

	if (path.len == 0 || *p != '/')
		return path.len == 1 && *p == '*' ? path : STR_NONE;
	if (!needs_work(path))
		return path;
	while (p < end) {
		int byte = percent_byte(p, end);
		size_t taken = byte < 0 ? 1 : 3;
		bool is_nul = byte == 0; /* written as %00; a bare NUL is as any other byte */
		size_t need = is_nul ? 3 : 1;

		if (byte < 0)
			byte = (unsigned char)*p;
		p += taken;
		if (byte == '/') {
			if (n > 0)
				n = end_segment(out, n, &slash);
			if (n > 0 && slash == n - 1)
				continue;
			slash = n;
		}
		if (out_size - n < need)
			return STR_NONE;
		if (is_nul)
			memcpy(out + n, "%00", 3);
		else
			out[n] = (char)byte;
		n += need;
	}
	n = end_segment(out, n, &slash);
	return n == path.len && memcmp(out, path.p, n) == 0 ? path : (struct str){ out, n };
}
