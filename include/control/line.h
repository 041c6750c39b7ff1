/* SPDX-License-Identifier: MIT */
/*
 * line - a line of the stats socket taken apart into commands and words.
 *
 * Commands are parted by ';' or a carriage return, words by blanks.  A backslash takes the next
 * byte for what it is; quotes mean nothing.  "<<" or "<<PATTERN" as the last word of the line's
 * last command announces a payload: lines that follow, up to an empty one or one equal to PATTERN.
 *
 * The line is changed in place (escapes are taken out) and the words are views into it.
 */
#ifndef CONTROL_LINE_H
#define CONTROL_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bug.h"
#include "base/str.h"

#define LINE_WORDS_MAX   64
#define LINE_PATTERN_MAX 64

struct line {
	char *at, *end; /* what is still to be read; NULL = the last command has been taken */
};

struct line_words {
	struct str words[LINE_WORDS_MAX];
	unsigned n;       /* 0: an empty command, which has an empty answer */
	bool is_too_many; /* over LINE_WORDS_MAX: the command must be refused */
	bool has_payload;
	struct str pattern; /* of the payload; "" = an empty line ends it */
};

/* TEXT of LEN bytes without the line's end; it is NUL-free or a NUL is a byte like any other. */
struct line line_of(char *text, size_t len);
/* Takes the next command.  False when there is none left. */
bool line_next(struct line *line, struct line_words *words) must_check;

/*
 * How many of WORDS are the words of COMMAND ("show servers state"), all of which must be there:
 * 0 = it is another command.
 */
unsigned line_matches(const struct line_words *words, const char *command);

#endif
