/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WORD_MAX 40 /* longer words get no suggestion */

void diag_init(struct diag *diag, const char *file, struct arena *arena)
{
	*diag = (struct diag){ .file = file, .arena = arena };
}

void diag_fini(struct diag *diag)
{
	free(diag->entries);
	*diag = (struct diag){ 0 };
}

/* Control characters of a file must not reach a terminal. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static void diag_add(struct diag *diag, struct diag_entry entry, const char *fmt, va_list ap)
{
	size_t *seen = entry.is_error ? &diag->errors_n : &diag->warnings_n;
	char *text;
	int n;

	if ((*seen)++ >= DIAG_ERRORS_MAX)
		return;
	n = vasprintf(&text, fmt, ap);
	bug_on(n < 0);
	make_printable(text);
	if (diag->n == diag->size) {
		diag->size = diag->size ? diag->size * 2 : 16;
		diag->entries = xrealloc_array(diag->entries, diag->size, sizeof(*diag->entries));
	}
	entry.order = (uint32_t)diag->n;
	entry.text = arena_printf(diag->arena, "%s", text);
	free(text);
	diag->entries[diag->n++] = entry;
}

void diag_error(struct diag *diag, uint32_t line, uint32_t column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_add(diag, (struct diag_entry){ .line = line, .column = column, .is_error = true }, fmt,
		 ap);
	va_end(ap);
}

void diag_warn(struct diag *diag, uint32_t line, uint32_t column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_add(diag, (struct diag_entry){ .line = line, .column = column }, fmt, ap);
	va_end(ap);
}

static int compare_entries(const void *pa, const void *pb)
{
	const struct diag_entry *a = pa, *b = pb;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

/* The same mistake, reached by another way. */
static bool is_repeated(const struct diag *diag, size_t i)
{
	const struct diag_entry *entry = &diag->entries[i];

	while (i-- > 0 && diag->entries[i].line == entry->line &&
	       diag->entries[i].column == entry->column)
		if (strcmp(diag->entries[i].text, entry->text) == 0)
			return true;
	return false;
}

static void messages_add(struct config_messages *messages, char *text, bool is_error)
{
	messages->texts[messages->n] = text;
	messages->are_errors[messages->n++] = is_error;
	messages->errors_n += is_error;
}

void diag_finish(struct diag *diag, struct config_messages *messages)
{
	size_t room = diag->n + 1;

	*messages = (struct config_messages){ .texts = xcalloc(room, sizeof(*messages->texts)),
					      .are_errors = xcalloc(room, sizeof(bool)) };
	if (diag->n)
		qsort(diag->entries, diag->n, sizeof(*diag->entries), compare_entries);
	for (size_t i = 0; i < diag->n; i++) {
		const struct diag_entry *entry = &diag->entries[i];
		const char *kind = entry->is_error ? "" : "warning: ";

		if (is_repeated(diag, i))
			continue;
		messages_add(messages,
			     entry->line ? xasprintf("%s:%u:%u: %s%s", diag->file, entry->line,
						     entry->column, kind, entry->text)
					 : xasprintf("%s: %s%s", diag->file, kind, entry->text),
			     entry->is_error);
	}
	if (diag->errors_n > DIAG_ERRORS_MAX)
		messages_add(messages,
			     xasprintf("%s: %zu more mistakes are not shown", diag->file,
				       diag->errors_n - DIAG_ERRORS_MAX),
			     true);
}

void config_messages_fini(struct config_messages *messages)
{
	for (size_t i = 0; i < messages->n; i++)
		free(messages->texts[i]);
	free(messages->texts);
	free(messages->are_errors);
	*messages = (struct config_messages){ 0 };
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Edits (insert, delete, replace, swap of neighbours) between A and B, both of WORD_MAX at most. */
static unsigned edit_distance(struct str a, struct str b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	for (unsigned j = 0; j <= b.len; j++)
		last[j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned *swap = before;

		now[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			unsigned char ca = ascii_lower((unsigned char)a.p[i - 1]);
			unsigned char cb = ascii_lower((unsigned char)b.p[j - 1]);

			now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == ascii_lower((unsigned char)b.p[j - 2]) &&
			    cb == ascii_lower((unsigned char)a.p[i - 2]) &&
			    before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		before = last;
		last = now;
		now = swap;
	}
	return last[b.len];
}

void suggest_init(struct suggest *suggest, struct str word)
{
	/* One edit in a short word, a third of the letters in a longer one. */
	unsigned allowed = word.len < 4 ? 1 : word.len < 6 ? 2 : (unsigned)word.len / 3;

	*suggest = (struct suggest){ .word = word, .distance = allowed + 1 };
}

void suggest_try(struct suggest *suggest, struct str candidate)
{
	size_t a = suggest->word.len, b = candidate.len;
	unsigned distance;

	if (a > WORD_MAX || b > WORD_MAX || b == 0 || (a > b ? a - b : b - a) >= suggest->distance)
		return;
	distance = edit_distance(suggest->word, candidate);
	if (distance < suggest->distance && distance < b) {
		suggest->distance = distance;
		suggest->best = candidate;
	}
}

const char *suggest_text(const struct suggest *suggest, struct arena *arena)
{
	if (!suggest->best.p)
		return "";
	return arena_printf(arena, "; did you mean '%.*s'?", STR_ARG(suggest->best));
}
