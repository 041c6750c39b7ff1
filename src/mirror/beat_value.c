/* SPDX-License-Identifier: MIT */
/*
 * What a node says of itself, as one line of words:
 *
 *   1 boot=HEX16 beat=N limpet=VERSION key=HEX16 state=up entries=N servers=HEX16
 *     requests=BASE+COUNTS ...  on=BACKEND:HEX8 ... [more] [stopping]
 *
 * Every word stands there once at most, but for "on", whose backends ascend.
 */
#include "config.h"

#include "mirror/beat.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/bug.h"

const char *const beat_count_names[BEAT_COUNTS_N] = {
#define X(name, text) #name,
	BEAT_COUNTS(X)
#undef X
};
const char *const beat_count_texts[BEAT_COUNTS_N] = {
#define X(name, text) text,
	BEAT_COUNTS(X)
#undef X
};

/* As they go over the wire: they never change, whatever people are told. */
static const struct str states[MIRROR_STATES_N] = {
	[MIRROR_OFF] = STR_INIT("off"),         [MIRROR_AWAY] = STR_INIT("away"),
	[MIRROR_LOADING] = STR_INIT("loading"), [MIRROR_UP] = STR_INIT("up"),
	[MIRROR_PAUSED] = STR_INIT("paused"),
};

bool beat_is_node_name(struct str name)
{
	if (!name.len || name.len > BEAT_NODE_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] < ' ' || name.p[i] > '~')
			return false;
	return true;
}

/*
 * Writing.
 */
struct words {
	char *out;
	size_t len, size;
};

/* All of it, or nothing: false. */
static bool put(struct words *words, const char *fmt, ...) printf_like(2, 3);
static bool put(struct words *words, const char *fmt, ...)
{
	size_t room = words->size - words->len;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(words->out + words->len, room, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		return false;
	words->len += (size_t)n;
	return true;
}

#define ENDS " more stopping"

size_t beat_value_write(char out[BEAT_VALUE_SIZE], const struct beat_value *value)
{
	struct words words = { out, 0, BEAT_VALUE_SIZE - sizeof(ENDS) };
	bool has_more = value->has_more;

	put(&words, "1 boot=%016llx beat=%llu limpet=%.*s key=%016llx state=%.*s",
	    (unsigned long long)value->boot, (unsigned long long)value->beat,
	    value->version.len > 31 ? 31 : (int)value->version.len,
	    value->version.len ? value->version.p : "", (unsigned long long)value->key_check,
	    STR_ARG(states[value->state]));
	put(&words, " entries=%llu servers=%016llx", (unsigned long long)value->entries,
	    (unsigned long long)value->servers);
	for (int i = 0; i < BEAT_COUNTS_N; i++)
		put(&words, " %s=%llu+%llu", beat_count_names[i],
		    (unsigned long long)value->base[i], (unsigned long long)value->counts[i]);
	for (uint32_t i = 0; i < value->backends_n; i++) {
		if (put(&words, " on=%.*s:%08x", STR_ARG(value->backends[i].name),
			value->backends[i].hash))
			continue;
		has_more = true;
		break;
	}
	words.size = BEAT_VALUE_SIZE;
	put(&words, "%s%s", has_more ? " more" : "", value->is_stopping ? " stopping" : "");
	return words.len;
}

/*
 * Reading.
 */
static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly DIGITS of them, in lower case. */
static bool read_hex(struct str text, size_t digits, uint64_t *value)
{
	*value = 0;
	if (text.len != digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		int d = digit(text.p[i]);

		if (d < 0)
			return false;
		*value = *value << 4 | (uint64_t)d;
	}
	return true;
}

static bool read_number(struct str text, uint64_t *value)
{
	return str_to_u64(text, UINT64_MAX, value) == 0;
}

static bool read_counts(struct str text, uint64_t *base, uint64_t *counts)
{
	ptrdiff_t plus = str_find_char(text, '+');

	return plus > 0 && read_number(str_sub(text.p, text.p + plus), base) &&
	       read_number(str_sub(text.p + plus + 1, text.p + text.len), counts);
}

static bool is_version(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~')
			return false;
	return text.len > 0 && text.len < 32;
}

static bool read_state(struct str text, enum mirror_state *state)
{
	for (int i = 0; i < MIRROR_STATES_N; i++) {
		*state = (enum mirror_state)i;
		if (str_eq(text, states[i]))
			return true;
	}
	return false;
}

static int compare(struct str a, struct str b)
{
	size_t least = a.len < b.len ? a.len : b.len;
	int order = memcmp(a.p, b.p, least);

	return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

static bool read_backend(struct str text, struct beat_value *value)
{
	struct beat_backend *backend = &value->backends[value->backends_n];
	uint64_t hash;

	if (text.len < 10 || text.len > 9 + 64 || text.p[text.len - 9] != ':' ||
	    !read_hex((struct str){ text.p + text.len - 8, 8 }, 8, &hash) ||
	    value->backends_n == BEAT_BACKENDS_MAX)
		return false;
	*backend = (struct beat_backend){ { text.p, text.len - 9 }, (uint32_t)hash };
	if (!beat_is_node_name(backend->name) ||
	    (value->backends_n && compare(backend[-1].name, backend->name) >= 0))
		return false;
	value->backends_n++;
	return true;
}

enum { HAS_BOOT, HAS_BEAT, HAS_LIMPET, HAS_KEY, HAS_STATE, HAS_ENTRIES, HAS_SERVERS, HAS_COUNTS };
#define HAS_ALL ((1u << HAS_COUNTS) - 1)

/* One word of NAME=TEXT.  SEEN: bits of those that were there. */
static bool read_word(struct str name, struct str text, struct beat_value *value, unsigned *seen)
{
	static const struct str names[] = {
		STR_INIT("boot"),  STR_INIT("beat"),    STR_INIT("limpet"),  STR_INIT("key"),
		STR_INIT("state"), STR_INIT("entries"), STR_INIT("servers"),
	};
	unsigned which = 0;

	if (str_eq(name, STR("on")))
		return read_backend(text, value);
	while (which < ARRAY_N(names) && !str_eq(name, names[which]))
		which++;
	for (int i = 0; which >= HAS_COUNTS && i < BEAT_COUNTS_N; i++)
		if (str_eq(name, str_of(beat_count_names[i])))
			which = HAS_COUNTS + 1 + (unsigned)i;
	if (which == HAS_COUNTS)
		return true; /* a newer node's */
	if (*seen & 1u << which)
		return false;
	*seen |= 1u << which;
	switch (which) {
	case HAS_BOOT:
		return read_hex(text, 16, &value->boot);
	case HAS_BEAT:
		return read_number(text, &value->beat);
	case HAS_LIMPET:
		value->version = text;
		return is_version(text);
	case HAS_KEY:
		return read_hex(text, 16, &value->key_check);
	case HAS_STATE:
		return read_state(text, &value->state);
	case HAS_ENTRIES:
		return read_number(text, &value->entries);
	case HAS_SERVERS:
		return read_hex(text, 16, &value->servers);
	default:
		which -= HAS_COUNTS + 1;
		return read_counts(text, &value->base[which], &value->counts[which]);
	}
}

/* The words are parted by one space each. */
static bool next_word(struct str *rest, struct str *word)
{
	ptrdiff_t space;

	if (!rest->p)
		return false;
	space = str_find_char(*rest, ' ');
	*word = space < 0 ? *rest : (struct str){ rest->p, (size_t)space };
	*rest = space < 0 ? STR_NONE : str_sub(rest->p + space + 1, rest->p + rest->len);
	return true;
}

static bool is_printable(struct str word)
{
	for (size_t i = 0; i < word.len; i++)
		if (word.p[i] <= ' ' || word.p[i] > '~')
			return false;
	return word.len > 0;
}

bool beat_value_read(struct str text, struct beat_value *value)
{
	struct str rest = text, word;
	unsigned seen = 0;

	*value = (struct beat_value){ 0 };
	if (!text.p || text.len > BEAT_VALUE_SIZE || !next_word(&rest, &word) ||
	    !str_eq(word, STR("1")))
		return false;
	while (next_word(&rest, &word)) {
		ptrdiff_t is = str_find_char(word, '=');

		if (!is_printable(word))
			return false;
		if (is > 0 && !read_word((struct str){ word.p, (size_t)is },
					 str_sub(word.p + is + 1, word.p + word.len), value, &seen))
			return false;
		value->has_more |= str_eq(word, STR("more"));
		value->is_stopping |= str_eq(word, STR("stopping"));
	}
	return (seen & HAS_ALL) == HAS_ALL;
}
