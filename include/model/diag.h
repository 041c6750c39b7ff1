/* SPDX-License-Identifier: MIT */
/*
 * diag - mistakes and warnings of one load of the configuration, in the order of the file.
 *
 * A loader goes on after a mistake, so that all of them are told at once.  The same text at the
 * same place is told once (a key under `defaults` is read for every backend).
 */
#ifndef MODEL_DIAG_H
#define MODEL_DIAG_H

#include "base/bug.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/config.h"

#define DIAG_ERRORS_MAX 200 /* more are counted, not kept; as many warnings again */

struct diag_entry {
	uint32_t line, column, order;
	bool is_error;
	char *text; /* (arena) without the position */
};

struct diag {
	const char *file;           /* (view) */
	struct arena *arena;        /* (view) */
	struct diag_entry *entries; /* (own) */
	size_t n, size;
	size_t errors_n; /* found, kept or not */
	size_t warnings_n;
};

void diag_init(struct diag *diag, const char *file, struct arena *arena);
void diag_fini(struct diag *diag);

/* LINE 0 = about the file as a whole. */
void diag_error(struct diag *diag, uint32_t line, uint32_t column, const char *fmt, ...)
	printf_like(4, 5);
void diag_warn(struct diag *diag, uint32_t line, uint32_t column, const char *fmt, ...)
	printf_like(4, 5);

/* Sorts and writes everything to MESSAGES. */
void diag_finish(struct diag *diag, struct config_messages *messages);

/* Did you mean: collects the candidate nearest to WORD. */
struct suggest {
	struct str word, best;
	unsigned distance;
};

void suggest_init(struct suggest *suggest, struct str word);
void suggest_try(struct suggest *suggest, struct str candidate);
/* "; did you mean 'x'?" in ARENA, or "". */
const char *suggest_text(const struct suggest *suggest, struct arena *arena);

#endif
