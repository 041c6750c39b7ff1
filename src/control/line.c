/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/line.h"

struct line line_of(char *text, size_t len)
{
	return (struct line){ text, text + len };
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_end_of_command(const struct line *line)
{
	return line->at == line->end || *line->at == ';' || *line->at == '\r';
}

/* One word, its escapes taken out in place. */
static struct str take_word(struct line *line)
{
	char *word = line->at, *out = word;

	while (!is_end_of_command(line) && !is_blank(*line->at)) {
		if (*line->at == '\\' && line->at + 1 < line->end)
			line->at++;
		*out++ = *line->at++;
	}
	return str_sub(word, out);
}

static void find_payload(struct line_words *words)
{
	struct str *last = words->n ? &words->words[words->n - 1] : NULL;

	if (!last || !str_starts(*last, STR("<<")) || last->len - 2 > LINE_PATTERN_MAX)
		return;
	words->has_payload = true;
	words->pattern = (struct str){ last->p + 2, last->len - 2 };
	words->n--;
}

bool line_next(struct line *line, struct line_words *words)
{
	words->n = 0;
	words->is_too_many = words->has_payload = false;
	words->pattern = STR("");
	if (!line->at)
		return false;
	for (;;) {
		while (line->at < line->end && is_blank(*line->at))
			line->at++;
		if (is_end_of_command(line))
			break;
		struct str word = take_word(line);

		if (words->n == LINE_WORDS_MAX)
			words->is_too_many = true;
		else
			words->words[words->n++] = word;
	}
	if (line->at < line->end) {
		line->at++;
	} else {
		line->at = NULL;
		find_payload(words);
	}
	return true;
}

unsigned line_matches(const struct line_words *words, const char *command)
{
	unsigned n = 0;

	while (*command) {
		size_t len = strcspn(command, " ");

		if (n == words->n || !str_eq(words->words[n], (struct str){ command, len }))
			return 0;
		n++;
		command += len;
		while (*command == ' ')
			command++;
	}
	return n;
}
