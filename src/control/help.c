/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdio.h>

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

enum run_step command_help(struct run *run)
{
	if (!run->args_n)
		run_text(run, STR("The following commands are valid at this level:\n"));
	else if (!print_matching(run, run->args, run->args_n))
		return command_unknown(run);
	if (!run->args_n)
		print_matching(run, NULL, 0);
	return RUN_DONE;
}

#define GUESS_LEN_MAX 48
#define GUESS_FAR_MAX 2

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

/* Rows within reach of what was typed; how many. */
static unsigned print_guesses(struct run *run, const struct str *words, unsigned n)
{
	unsigned best = UINT32_MAX, found = 0;

	for (unsigned i = 0; i < commands_n; i++) {
		unsigned far = row_distance(&commands[i], words, n);

		if (far < best)
			best = far;
	}
	if (best > GUESS_FAR_MAX)
		return 0;
	for (unsigned i = 0; i < commands_n; i++)
		if (row_distance(&commands[i], words, n) <= best + 1) {
			print_row(run, &commands[i]);
			found++;
		}
	return found;
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
	if (!print_guesses(run, typed, n) && !print_matching(run, typed, 1))
		print_matching(run, NULL, 0);
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
