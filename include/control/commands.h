/* SPDX-License-Identifier: MIT */
/* commands - the functions of the rows in commands.def; within this layer. */
#ifndef CONTROL_COMMANDS_H
#define CONTROL_COMMANDS_H

#include "control/command.h"

command_fn command_unknown;
#define COMMAND(words, usage, level, fn, help) command_fn command_##fn;
#include "control/commands.def"
#undef COMMAND

/* doc/runtime-api.md's list of commands, (own) text. */
char *commands_reference(void);
/* The words of each command, a line each, as limpetctl's completion has them; (own) text. */
char *commands_words(void);

#endif
