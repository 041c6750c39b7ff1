/* SPDX-License-Identifier: MIT */
/* cookie - reads Cookie and Set-Cookie values. */
#include "config.h"

#include "proto/cookie.h"

#include "base/bug.h"

/* Takes the bytes up to the next ';' off REST, as they are.  False at the end. */
static bool next_piece(struct str *rest, struct str *piece)
{
	ptrdiff_t semicolon;

	if (!rest->p || rest->len == 0)
		return false;
	semicolon = str_find_char(*rest, ';');
	if (semicolon < 0) {
		*piece = *rest;
		*rest = str_sub(rest->p + rest->len, rest->p + rest->len);
		return true;
	}
	*piece = str_sub(rest->p, rest->p + semicolon);
	*rest = str_sub(rest->p + semicolon + 1, rest->p + rest->len);
	return true;
}

static void split_pair(struct str piece, struct str *name, struct str *value)
{
	ptrdiff_t equals = str_find_char(piece, '=');

	if (equals < 0) {
		*name = str_sub(piece.p, piece.p);
		*value = str_trim(piece);
		return;
	}
	*name = str_trim(str_sub(piece.p, piece.p + equals));
	*value = str_trim(str_sub(piece.p + equals + 1, piece.p + piece.len));
}

bool cookie_next(struct str *header_value, struct str *name, struct str *value)
{
	struct str piece;

	while (next_piece(header_value, &piece)) {
		if (str_trim(piece).len == 0)
			continue;
		split_pair(piece, name, value);
		return true;
	}
	return false;
}

bool cookie_find(struct str header_value, struct str name, struct str *value)
{
	struct str one;

	while (cookie_next(&header_value, &one, value))
		if (str_eq(one, name))
			return true;
	*value = STR_NONE;
	return false;
}

/* Max-Age (RFC 6265 5.2.2): 1 = zero or less, 0 = more, -1 = not a number, to be ignored. */
static int max_age_deletes(struct str value)
{
	bool is_negative = value.len > 0 && value.p[0] == '-';
	bool is_zero = true;

	if (value.len == (size_t)is_negative)
		return -1;
	for (size_t i = is_negative; i < value.len; i++) {
		if (value.p[i] < '0' || value.p[i] > '9')
			return -1;
		is_zero = is_zero && value.p[i] == '0';
	}
	return is_negative || is_zero;
}

/*
 * Expires: the year is the first run of four digits, or the second of two digits without a colon
 * beside it (RFC 6265 5.1.1 in the forms that servers write: "Thu, 01 Jan 1970 00:00:00 GMT",
 * "Thursday, 01-Jan-70 00:00:00 GMT", "Thu Jan  1 00:00:00 1970").
 */
static bool expires_is_past(struct str value)
{
	unsigned runs_n = 0;
	size_t i = 0;

	while (i < value.len) {
		size_t start = i;
		unsigned number = 0;

		while (i < value.len && value.p[i] >= '0' && value.p[i] <= '9' && i - start < 5)
			number = number * 10 + (unsigned)(value.p[i++] - '0');
		if (i == start) {
			i++;
			continue;
		}
		if (i - start == 4)
			return number <= 2000;
		if ((i < value.len && value.p[i] == ':') ||
		    (start > 0 && value.p[start - 1] == ':'))
			continue;
		if (i - start == 2 && ++runs_n == 2)
			return number >= 70 || number == 0;
	}
	return false;
}

bool set_cookie_parse(struct str header_value, struct str *name, struct str *value,
		      bool *is_deleted)
{
	int by_age = -1;
	bool by_date = false;
	struct str piece;

	if (!next_piece(&header_value, &piece) || str_find_char(piece, '=') < 0)
		return false;
	split_pair(piece, name, value);
	if (name->len == 0)
		return false;
	while (next_piece(&header_value, &piece)) {
		struct str attribute, setting;

		split_pair(piece, &attribute, &setting);
		if (str_ieq(attribute, STR("max-age"))) {
			int deletes = max_age_deletes(setting);

			by_age = deletes >= 0 ? deletes : by_age;
		} else if (str_ieq(attribute, STR("expires"))) {
			by_date = expires_is_past(setting);
		}
	}
	if (is_deleted)
		*is_deleted = by_age >= 0 ? by_age : by_date;
	return true;
}

size_t cookie_without(struct str header_value, struct str name, char *out, size_t out_size)
{
	struct str piece, one, value;
	bool is_first = true;
	size_t n = 0;

	bug_on(out_size < header_value.len);
	while (next_piece(&header_value, &piece)) {
		if (str_trim(piece).len == 0)
			continue;
		split_pair(piece, &one, &value);
		if (str_eq(one, name))
			continue;
		if (is_first)
			piece = str_trim(piece);
		else
			out[n++] = ';';
		memmove(out + n, piece.p, piece.len);
		n += piece.len;
		is_first = false;
	}
	return n;
}
