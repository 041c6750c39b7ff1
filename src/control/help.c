/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "control/commands.h"
#include "model/out.h"

static void print_row(struct run *run, const struct command *row)
{
	char usage[128];

	snprintf(usage, sizeof(usage), "%s%s%s", row->words, row->usage[0] ? " " : "", row->usage);
	run_print(run, "  %-39s : %s\n", usage, row->help);
}

/* Whether ROW's words begin with all of WORDS. */
static bool begins_with(const struct command *row, const struct str *words, unsigned n)
{
	const char *at = row->words;

	for (unsigned i = 0; i < n; i++) {
		size_t len = strcspn(at, " ");

		if (!len || !str_eq(words[i], (struct str){ at, len }))
			return false;
		at += len;
		while (*at == ' ')
			at++;
	}
	return true;
}

static unsigned print_matching(struct run *run, const struct str *words, unsigned n)
{
	unsigned found = 0;

	for (unsigned i = 0; i < commands_n; i++)
		if (commands[i].level <= run_level(run) && begins_with(&commands[i], words, n)) {
			print_row(run, &commands[i]);
			found++;
		}
	return found;
}

/* What always ends a list of guesses. */
static void print_always(struct run *run)
{
	static const char *const always[] = { "help", "prompt", "quit" };

	for (unsigned i = 0; i < commands_n; i++)
		for (size_t a = 0; a < ARRAY_N(always); a++)
			if (strcmp(commands[i].words, always[a]) == 0)
				print_row(run, &commands[i]);
}

#define GUESS_LEN_MAX 48
#define GUESSES_MAX   5
#define GUESSES_FAR_N 4

/* How many insertions, deletions and changes of a byte part A from B; both at most GUESS_LEN_MAX.
 */
static unsigned distance(struct str a, struct str b)
{
	unsigned row[GUESS_LEN_MAX + 1];

	for (unsigned j = 0; j <= b.len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			unsigned change = diagonal + (a.p[i - 1] != b.p[j - 1]);
			unsigned gap = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = change < gap ? change : gap;
		}
	}
	return row[b.len];
}

static unsigned word_count(const char *words)
{
	unsigned n = 1;

	for (; *words; words++)
		n += *words == ' ';
	return n;
}

/* How far WORDS, as many as ROW has, are from ROW's. */
static unsigned row_distance(const struct command *row, const struct str *words, unsigned n)
{
	char typed[GUESS_LEN_MAX + 1] = "";
	struct str want = str_of(row->words);
	unsigned count = word_count(row->words);
	size_t len = 0;

	for (unsigned i = 0; i < n && i < count && len < GUESS_LEN_MAX; i++)
		len += (size_t)snprintf(typed + len, sizeof(typed) - len, "%s%.*s", i ? " " : "",
					STR_ARG(words[i]));
	if (len > GUESS_LEN_MAX)
		len = GUESS_LEN_MAX;
	if (want.len > GUESS_LEN_MAX)
		want.len = GUESS_LEN_MAX;
	return distance((struct str){ typed, len }, want);
}

/* The rows that are nearest to what was typed, nearest first. */
static void print_guesses(struct run *run, const struct str *words, unsigned n)
{
	unsigned *fars = xcalloc(commands_n, sizeof(*fars));
	unsigned left = GUESSES_MAX;

	for (unsigned i = 0; i < commands_n; i++)
		fars[i] = commands[i].level <= run_level(run) ? row_distance(&commands[i], words, n)
							      : UINT32_MAX;
	for (unsigned far = 0; far < GUESSES_FAR_N && left; far++)
		for (unsigned i = 0; i < commands_n && left; i++)
			if (fars[i] == far && far <= strlen(commands[i].words) / 2) {
				print_row(run, &commands[i]);
				left--;
			}
	free(fars);
}

static void print_matching_or_near(struct run *run, const struct str *words, unsigned n)
{
	if (!n || !print_matching(run, words, n))
		print_guesses(run, words, n);
}

enum run_step command_help(struct run *run)
{
	run_text(run, STR("The following commands are valid at this level:\n"));
	if (!run->args_n) {
		print_matching(run, NULL, 0);
		return RUN_DONE;
	}
	print_matching_or_near(run, run->args, run->args_n);
	print_always(run);
	return RUN_DONE;
}

/* The first of WORDS that no command has at that place after those before it. */
static struct str first_wrong(const struct str *words, unsigned n)
{
	for (unsigned k = 1; k < n; k++) {
		bool is_known = false;

		for (unsigned i = 0; i < commands_n && !is_known; i++)
			is_known = begins_with(&commands[i], words, k);
		if (!is_known)
			return words[k - 1];
	}
	return words[n - 1];
}

enum run_step command_unknown(struct run *run)
{
	const struct str *typed = run->args;
	unsigned n = run->args_n;

	if (!n)
		return RUN_DONE;
	run_error(run,
		  "Unknown command: '%.*s', but maybe one of the following ones is a better match:",
		  STR_ARG(first_wrong(typed, n)));
	print_matching_or_near(run, typed, n);
	print_always(run);
	return RUN_DONE;
}

char *commands_reference(void)
{
	struct out out;

	out_init(&out);
	out_text(&out, STR("| command | level | what it does |\n|---|---|---|\n"));
	for (unsigned i = 0; i < commands_n; i++) {
		const struct command *row = &commands[i];

		out_format(&out, "| `%s%s", row->words, row->usage[0] ? " " : "");
		for (const char *c = row->usage; *c; c++) /* a '|' would end the cell */
			out_format(&out, "%s%c", *c == '|' ? "\\" : "", *c);
		out_format(&out, "` | %s | %s |\n", level_name(row->level), row->help);
	}
	return out.p;
}

char *commands_words(void)
{
	struct out out;

	out_init(&out);
	for (unsigned i = 0; i < commands_n; i++)
		out_format(&out, "\t'%s'\n", commands[i].words);
	return out.p;
}
