/* SPDX-License-Identifier: MIT */
/*
 * regex - Perl-compatible patterns over bytes (PCRE2), compiled once and matched on any thread.
 *
 * Patterns come from the operator, subjects from hostile peers: every match runs under a limit of
 * steps and of memory, so that a pattern which backtracks without end costs milliseconds, not a
 * thread.  A match that passes its limit counts as "does not match" and is counted.
 *
 * Bytes, not characters: "." is one byte but a newline, case folding is ASCII.  "$" matches at the
 * very end alone, never before a last newline.  A match may start anywhere; anchor with "^".
 */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"

#define REGEX_PATTERN_MAX 4096 /* bytes of a pattern */
#define REGEX_ERROR_SIZE  160

struct regex;

/*
 * Compiles PATTERN, with JIT where the machine has it.  Returns NULL when it is not a pattern:
 * ERROR then holds the reason and *OFFSET the byte at which it was found.  (own): regex_free().
 */
struct regex *regex_new(struct str pattern, char error[REGEX_ERROR_SIZE],
			size_t *offset) must_check;
void regex_free(struct regex *regex); /* NULL is fine */

/* SUBJECT holds a match.  Any thread; no memory but this thread's first call's. */
bool regex_matches(const struct regex *regex, struct str subject);

/* Matches given up because of a limit, all threads together. */
uint64_t regex_limit_hits(void);

#endif
