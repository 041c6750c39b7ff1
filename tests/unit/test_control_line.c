/* SPDX-License-Identifier: MIT */
/* Lines of the stats socket: commands, words, escapes, payloads. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "control/line.h"

struct row {
	const char *name, *input;
	const char *want; /* words as "[a][b]", commands parted by '|' */
};

static const struct row rows[] = {
	{ "an empty line is one empty command", "", "" },
	{ "words", "show info", "[show][info]" },
	{ "blanks around and between", "  show \t info  ", "[show][info]" },
	{ "two commands", "show info;show stat", "[show][info]|[show][stat]" },
	{ "blanks around the semicolon", "a ; b", "[a]|[b]" },
	{ "a last semicolon has an empty command behind it", "a;", "[a]|" },
	{ "and a first one before it", ";a", "|[a]" },
	{ "a carriage return ends a command", "a\r", "[a]|" },
	{ "an escaped blank", "a\\ b c", "[a b][c]" },
	{ "an escaped semicolon", "a\\;b;c", "[a;b]|[c]" },
	{ "an escaped backslash", "a\\\\b", "[a\\b]" },
	{ "a backslash at the end", "a\\", "[a\\]" },
	{ "quotes mean nothing", "a \"b c\"", "[a][\"b][c\"]" },
	{ "a payload until an empty line", "set map <<", "[set][map]<<()" },
	{ "a payload until a word", "set map <<END", "[set][map]<<(END)" },
	{ "a payload of the last command", "a;b <<", "[a]|[b]<<()" },
	{ "no payload in the middle of a line", "a <<;b", "[a][<<]|[b]" },
	{ "no payload within a word", "a b<<", "[a][b<<]" },
};

static void describe(const char *input, char *out, size_t size)
{
	char *text = xstrdup(input);
	struct line line = line_of(text, strlen(text));
	struct line_words words;
	size_t len = 0;

	out[0] = '\0';
	for (unsigned n = 0; line_next(&line, &words); n++) {
		len += (size_t)snprintf(out + len, size - len, "%s", n ? "|" : "");
		for (unsigned i = 0; i < words.n; i++)
			len += (size_t)snprintf(out + len, size - len, "[%.*s]",
						STR_ARG(words.words[i]));
		if (words.has_payload)
			len += (size_t)snprintf(out + len, size - len, "<<(%.*s)",
						STR_ARG(words.pattern));
	}
	free(text);
}

static void lines_are_split_as_the_table_says(void **state)
{
	char have[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		describe(rows[i].input, have, sizeof(have));
		if (strcmp(have, rows[i].want) != 0)
			fail_msg("%s: %s, not %s", rows[i].name, have, rows[i].want);
	}
}

static void sixty_five_words_are_too_many_and_sixty_four_are_not(void **state)
{
	char text[2 * 65 + 1];
	struct line_words words;
	struct line line;

	(void)state;
	for (int i = 0; i < 65; i++)
		memcpy(text + 2 * i, "a ", 2);
	line = line_of(text, 2 * 64);
	assert_true(line_next(&line, &words));
	assert_int_equal(words.n, 64);
	assert_false(words.is_too_many);
	line = line_of(text, 2 * 65);
	assert_true(line_next(&line, &words));
	assert_true(words.is_too_many);
	assert_int_equal(words.n, 64);
}

static void a_pattern_of_sixty_five_bytes_is_no_payload(void **state)
{
	char text[80] = "a <<";
	struct line_words words;
	struct line line;

	(void)state;
	memset(text + 4, 'x', 65);
	line = line_of(text, 4 + 64);
	assert_true(line_next(&line, &words));
	assert_true(words.has_payload);
	line = line_of(text, 4 + 65);
	assert_true(line_next(&line, &words));
	assert_false(words.has_payload);
}

static unsigned matches(const char *text, const char *command)
{
	char *copy = xstrdup(text);
	struct line line = line_of(copy, strlen(copy));
	struct line_words words;
	unsigned n = 0;

	if (line_next(&line, &words))
		n = line_matches(&words, command);
	free(copy);
	return n;
}

static void all_words_of_a_command_must_be_there_and_complete(void **state)
{
	(void)state;
	assert_int_equal(matches("show servers state chat", "show servers state"), 3);
	assert_int_equal(matches("show servers", "show servers state"), 0);
	assert_int_equal(matches("show serv state", "show servers state"), 0);
	assert_int_equal(matches("Show servers state", "show servers state"), 0);
	assert_int_equal(matches("", "quit"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_split_as_the_table_says),
		cmocka_unit_test(sixty_five_words_are_too_many_and_sixty_four_are_not),
		cmocka_unit_test(a_pattern_of_sixty_five_bytes_is_no_payload),
		cmocka_unit_test(all_words_of_a_command_must_be_there_and_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
