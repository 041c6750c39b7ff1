/* SPDX-License-Identifier: MIT */
/*
 * command - one command of the stats socket: its row, and how its function talks.
 *
 * A command's function is called again and again until it says RUN_DONE.  Each call writes a piece
 * of the answer and returns; the next call comes when the reader has taken enough of it.  So an
 * answer of any size costs little memory, however slow the reader.  Where to go on is kept in
 * run->at and run->state.  What was pointed to may have changed between two calls: keep names,
 * numbers and cursors, or objects that are never freed.
 *
 * A piece may hold some RUN_PIECE bytes; a loop that writes many lines asks run_is_full() after
 * each.  No answer may hold an empty line: it is how readers find the answer's end.
 */
#ifndef CONTROL_COMMAND_H
#define CONTROL_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "control/line.h"
#include "model/config.h"

#define RUN_PIECE 16384u

struct console;
struct run;

enum run_step {
	RUN_DONE,
	RUN_MORE, /* call again when there is room */
	RUN_WAIT, /* call again after run_wake() */
};

typedef enum run_step command_fn(struct run *run);

struct command {
	const char *words;    /* "show servers state" */
	const char *usage;    /* of its arguments, "" = none */
	enum ctl_level level; /* needed */
	command_fn *fn;
	const char *help; /* a line */
};

/* All commands, sorted by words. */
extern const struct command commands[];
extern const unsigned commands_n;

/* The command whose words are the longest beginning of WORDS, or NULL; *TAKEN: how many they are.
 */
const struct command *command_find(const struct line_words *words, unsigned *taken);

/* A command under way. */
struct run {
	struct console *console; /* (view) */
	const struct command *command;
	const struct str *args; /* (view) after the command's words */
	unsigned args_n;
	struct str payload; /* (view) p == NULL: none */
	uint64_t at[4];     /* for the function: zero at first */
	void *state;        /* for the function; (own) when state_free is set */
	void (*state_free)(void *state);
};

/* Argument I, "" when there is none. */
static inline struct str run_arg(const struct run *run, unsigned i)
{
	return i < run->args_n ? run->args[i] : STR("");
}

void run_text(struct run *run, struct str text);
void run_print(struct run *run, const char *fmt, ...) printf_like(2, 3);
/* A piece is complete: return RUN_MORE. */
bool run_is_full(const struct run *run);
/* From a mail or a timer on the control thread, after RUN_WAIT. */
void run_wake(struct console *console);

/* syslog's numbers. */
enum severity { SEVERITY_ERR = 3, SEVERITY_WARNING = 4, SEVERITY_NOTICE = 5, SEVERITY_INFO = 6 };
/* A message: a line with its severity before it when the console asked for that.  RUN_DONE. */
enum run_step run_message(struct run *run, enum severity severity, const char *fmt, ...)
	printf_like(3, 4);
#define run_error(run, ...) run_message(run, SEVERITY_ERR, __VA_ARGS__)

enum ctl_level run_level(const struct run *run);
const char *level_name(enum ctl_level level);

/* The configuration in force.  For the length of one call. */
const struct config *control_config(void);
struct loop *console_loop(void);

/* "backend/server" (the server's own name may have a slash), or an error message and NULL. */
struct srvset_member *run_server(struct run *run, struct str name);
/* By name, or number ("#3" or "3"); only those in the configuration.  NULL when there is none. */
struct backend *run_backend(struct str name);

#endif
