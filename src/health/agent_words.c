/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/agent_words.h"

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == ',' || c == '\r' || c == '\n';
}

/* One of WORDS (up to NULL), or -1. */
static int find_word(const char *const *words, struct str word)
{
	for (int i = 0; words[i]; i++)
		if (str_ieq(word, str_of(words[i])))
			return i;
	return -1;
}

static bool take_number(struct str word, struct agent_words *words)
{
	static const struct str maxconn = STR_INIT("maxconn:");
	uint64_t n;

	if (word.len > 1 && word.p[word.len - 1] == '%') {
		if (str_to_u64((struct str){ word.p, word.len - 1 }, AGENT_WEIGHT_PCT_MAX, &n) != 0)
			return false;
		words->weight_pct = (int32_t)n;
		return true;
	}
	if (word.len <= maxconn.len || !str_ieq((struct str){ word.p, maxconn.len }, maxconn) ||
	    str_to_u64(str_sub(word.p + maxconn.len, word.p + word.len), INT32_MAX, &n) != 0)
		return false;
	words->maxconn = (int64_t)n;
	return true;
}

static bool take_word(struct str word, struct agent_words *words)
{
	static const char *const healths[] = { "up", "down", "failed", "fail", "stopped", NULL };
	static const char *const admins[] = { "ready", "drain", "maint", NULL };
	int at = find_word(healths, word);

	if (at >= 0) {
		words->health = at ? AGENT_DOWN : AGENT_UP;
		words->down = at ? word : STR_NONE;
		return true;
	}
	at = find_word(admins, word);
	if (at >= 0) {
		words->admin = (enum agent_admin)(AGENT_READY + at);
		return true;
	}
	return take_number(word, words);
}

bool agent_words_parse(struct str line, struct agent_words *words)
{
	ptrdiff_t hash = str_find_char(line, '#');
	size_t end = hash >= 0 ? (size_t)hash : line.len;
	bool is_known = false;

	*words = (struct agent_words){ .weight_pct = -1, .maxconn = -1 };
	for (size_t i = 0; i < end;) {
		size_t from = i;

		while (i < end && !is_separator(line.p[i]))
			i++;
		if (i > from && take_word(str_sub(line.p + from, line.p + i), words))
			is_known = true;
		if (i < end)
			i++;
	}
	if (hash >= 0)
		words->reason = str_trim(str_sub(line.p + end + 1, line.p + line.len));
	return is_known;
}
