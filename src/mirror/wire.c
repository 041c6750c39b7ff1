/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/wire.h"

#include <string.h>

#define VERSION_DIGITS 16

static const char digits[] = "0123456789abcdef";
static const char state_letters[] = {
	[RECORD_LIVE] = 'l', [RECORD_DEAD] = 'd', [RECORD_TOMB] = 't'
};
static const char change_letters[] = {
	[RECORD_ASSIGN] = 'a', [RECORD_SET] = 's', [RECORD_REFRESH] = 'r', [RECORD_DROP] = 'd'
};

/* A text that grows until it does not fit. */
struct line {
	char *p;
	size_t n, size;
	bool is_bad;
};

static void put(struct line *line, struct str text)
{
	if (line->is_bad || line->size - line->n < text.len) {
		line->is_bad = true;
		return;
	}
	if (text.len)
		memcpy(line->p + line->n, text.p, text.len);
	line->n += text.len;
}

static void put_char(struct line *line, char c)
{
	put(line, (struct str){ &c, 1 });
}

static void put_number(struct line *line, uint64_t number)
{
	char text[20];
	size_t at = sizeof(text);

	do
		text[--at] = digits[number % 10];
	while (number /= 10);
	put(line, (struct str){ text + at, sizeof(text) - at });
}

static void put_hex(struct line *line, uint64_t number)
{
	for (int shift = 4 * (VERSION_DIGITS - 1); shift >= 0; shift -= 4)
		put_char(line, digits[number >> shift & 15]);
}

static size_t line_end(const struct line *line)
{
	return line->is_bad ? 0 : line->n;
}

/* A name of a server, table or node: printable ASCII without spaces. */
static bool is_name(struct str s, size_t max)
{
	if (s.len < 1 || s.len > max)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
			return false;
	return true;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decimal as put_number() writes it. */
static bool read_number(struct str s, uint64_t min, uint64_t max, uint64_t *number)
{
	if (s.len > 1 && s.p[0] == '0')
		return false;
	return str_to_u64(s, max, number) == 0 && *number >= min;
}

static bool read_version(struct str s, uint64_t *version)
{
	*version = 0;
	if (s.len != VERSION_DIGITS)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		int digit = hex_digit(s.p[i]);

		if (digit < 0)
			return false;
		*version = *version << 4 | (unsigned)digit;
	}
	return *version != 0;
}

static bool read_letter(struct str s, const char *letters, unsigned letters_n, unsigned *which)
{
	for (*which = 0; s.len == 1 && *which < letters_n; ++*which)
		if (s.p[0] == letters[*which])
			return true;
	return false;
}

/* Takes what stands before the next space, or all, off REST. */
static struct str next_word(struct str *rest)
{
	ptrdiff_t at = rest->len ? str_find_char(*rest, ' ') : -1;
	size_t n = at < 0 ? rest->len : (size_t)at;
	struct str word = { rest->p, n };

	rest->p += n + (at >= 0);
	rest->len -= n + (at >= 0);
	return word;
}

static bool value_is_fine(const struct wire_value *value)
{
	return value->version && value->idle_ms >= 1 && value->idle_ms <= TABLE_IDLE_MAX_MS &&
	       (value->state == RECORD_TOMB ? value->server.len == 0
					    : is_name(value->server, WIRE_SERVER_MAX));
}

size_t wire_value_write(char out[WIRE_VALUE_MAX], const struct wire_value *value)
{
	struct line line = { .p = out, .size = WIRE_VALUE_MAX };

	if ((unsigned)value->state >= sizeof(state_letters) || !value_is_fine(value))
		return 0;
	put(&line, STR("1 "));
	put_char(&line, state_letters[value->state]);
	put_char(&line, ' ');
	put_hex(&line, value->version);
	put_char(&line, ' ');
	put_number(&line, value->idle_ms);
	if (value->state != RECORD_TOMB) {
		put_char(&line, ' ');
		put(&line, value->server);
	}
	return line_end(&line);
}

bool wire_value_read(struct str text, struct wire_value *value)
{
	uint64_t idle_ms;
	unsigned state;

	*value = (struct wire_value){ .server = STR("") };
	/* A space at the end would be lost. */
	if (!text.len || text.p[text.len - 1] == ' ' || !str_eq(next_word(&text), STR("1")) ||
	    !read_letter(next_word(&text), state_letters, sizeof(state_letters), &state) ||
	    !read_version(next_word(&text), &value->version) ||
	    !read_number(next_word(&text), 1, TABLE_IDLE_MAX_MS, &idle_ms))
		return false;
	value->state = state;
	value->idle_ms = (uint32_t)idle_ms;
	if (text.len)
		value->server = text;
	return value_is_fine(value);
}

size_t wire_hex_write(char out[WIRE_HEX_MAX], const struct table_key *key)
{
	for (size_t i = 0; i < key->len; i++) {
		out[2 * i] = digits[key->bytes[i] >> 4];
		out[2 * i + 1] = digits[key->bytes[i] & 15];
	}
	return 2u * key->len;
}

static bool read_hex(struct str s, struct wire_key *key)
{
	key->size = s.len / 2;
	if (s.len % 2 || key->size < 1 || key->size > TABLE_KEY_SIZE)
		return false;
	for (size_t i = 0; i < key->size; i++) {
		int high = hex_digit(s.p[2 * i]), low = hex_digit(s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		key->bytes[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

size_t wire_key_write(char out[WIRE_KEY_MAX], struct str prefix, struct str table,
		      const struct table_key *key)
{
	struct line line = { .p = out, .size = WIRE_KEY_MAX };
	char hex[WIRE_HEX_MAX];
	size_t hex_n = wire_hex_write(hex, key);

	if (!is_name(table, WIRE_TABLE_MAX) || !hex_n)
		return 0;
	put_char(&line, '{');
	put(&line, prefix);
	put(&line, STR("}:e:"));
	put(&line, table);
	put_char(&line, ':');
	put(&line, (struct str){ hex, hex_n });
	return line_end(&line);
}

bool wire_key_read(struct str text, struct str prefix, struct str *table, struct wire_key *key)
{
	size_t at = prefix.len + 5, colon = text.len;

	if (text.len <= at || text.p[0] != '{' ||
	    !str_eq((struct str){ text.p + 1, prefix.len }, prefix) ||
	    !str_eq((struct str){ text.p + 1 + prefix.len, 4 }, STR("}:e:")))
		return false;
	while (colon > at && text.p[colon - 1] != ':')
		colon--;
	if (colon == at)
		return false;
	*table = str_sub(text.p + at, text.p + colon - 1);
	return is_name(*table, WIRE_TABLE_MAX) &&
	       read_hex(str_sub(text.p + colon, text.p + text.len), key);
}

size_t wire_name_write(char out[WIRE_KEY_MAX], struct str prefix, char letter)
{
	struct line line = { .p = out, .size = WIRE_KEY_MAX };

	put_char(&line, '{');
	put(&line, prefix);
	put(&line, STR("}:"));
	put_char(&line, letter);
	return line_end(&line);
}

size_t wire_pattern_write(char out[WIRE_KEY_MAX], struct str prefix)
{
	struct line line = { .p = out, .size = WIRE_KEY_MAX };

	put_char(&line, '{');
	for (size_t i = 0; i < prefix.len; i++) {
		if (prefix.p[i] && strchr("*?[]\\^-", prefix.p[i]))
			put_char(&line, '\\');
		put_char(&line, prefix.p[i]);
	}
	put(&line, STR("}:e:*"));
	return line_end(&line);
}

char wire_change_letter(enum record_change change)
{
	return change_letters[change];
}

bool wire_change_read(const struct str *fields, size_t n, struct wire_change *change)
{
	static const char names[] = "qntkcpv";
	uint64_t left_ms;
	unsigned letter;

	if (n != WIRE_FIELDS_N)
		return false;
	for (size_t i = 0; i < n / 2; i++)
		if (!str_eq(fields[2 * i], (struct str){ &names[i], 1 }))
			return false;
	change->node = fields[3];
	change->table = fields[5];
	if (!read_number(fields[1], 1, INT64_MAX, &change->number) ||
	    !is_name(change->node, WIRE_NODE_MAX) || !is_name(change->table, WIRE_TABLE_MAX) ||
	    !read_hex(fields[7], &change->key) ||
	    !read_letter(fields[9], change_letters, sizeof(change_letters), &letter) ||
	    !read_number(fields[11], 1, TABLE_IDLE_MAX_MS, &left_ms) ||
	    !wire_value_read(fields[13], &change->value))
		return false;
	change->change = letter;
	change->left_ms = (int64_t)left_ms;
	return true;
}

bool wire_id_ms(struct str id, uint64_t *unix_ms)
{
	ptrdiff_t dash = id.len ? str_find_char(id, '-') : -1;
	uint64_t part;

	return dash > 0 && read_number((struct str){ id.p, (size_t)dash }, 0, INT64_MAX, unix_ms) &&
	       read_number((struct str){ id.p + dash + 1, id.len - (size_t)dash - 1 }, 0,
			   UINT64_MAX, &part);
}
