/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/str.h"

#include <errno.h>

bool str_ieq(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (ascii_lower((unsigned char)a.p[i]) != ascii_lower((unsigned char)b.p[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq((struct str){ s.p, prefix.len }, prefix);
}

bool str_istarts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_ieq((struct str){ s.p, prefix.len }, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len &&
	       str_eq((struct str){ s.p + (s.len - suffix.len), suffix.len }, suffix);
}

bool str_iends(struct str s, struct str suffix)
{
	return s.len >= suffix.len &&
	       str_ieq((struct str){ s.p + (s.len - suffix.len), suffix.len }, suffix);
}

ptrdiff_t str_find_char(struct str s, char c)
{
	const char *at = s.len ? memchr(s.p, c, s.len) : NULL;

	return at ? at - s.p : -1;
}

ptrdiff_t str_find(struct str s, struct str needle)
{
	const char *at;

	if (needle.len == 0)
		return 0;
	at = s.len ? memmem(s.p, s.len, needle.p, needle.len) : NULL;
	return at ? at - s.p : -1;
}

bool str_next_element(struct str *rest, struct str *element)
{
	while (rest->len) {
		bool is_quoted = false;
		size_t i;

		for (i = 0; i < rest->len; i++) {
			char c = rest->p[i];

			if (is_quoted && c == '\\' && i + 1 < rest->len)
				i++;
			else if (c == '"')
				is_quoted = !is_quoted;
			else if (c == ',' && !is_quoted)
				break;
		}
		*element = str_trim((struct str){ rest->p, i });
		if (i < rest->len)
			i++; /* the comma */
		rest->p += i;
		rest->len -= i;
		if (element->len)
			return true;
	}
	return false;
}

int str_to_u64(struct str s, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;
	bool is_large = false;

	if (s.len == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9)
			return -EINVAL;
		is_large |= v > (UINT64_MAX - digit) / 10;
		v = v * 10 + digit; /* goes on: a letter may follow */
	}
	if (is_large || v > max)
		return -ERANGE;
	*value = v;
	return 0;
}

size_t str_put_u32(char *out, uint32_t n)
{
	char digits[10];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	memcpy(out, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}
