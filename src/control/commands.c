/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/commands.h"

#define COMMAND(words, usage, level, fn, help) { words, usage, CTL_##level, command_##fn, help },
const struct command commands[] = {
#include "control/commands.def"
};
#undef COMMAND
const unsigned commands_n = ARRAY_N(commands);

static const struct command unknown = { "", "", CTL_USER, command_unknown, "" };

const struct command *command_find(const struct line_words *words, unsigned *taken)
{
	const struct command *best = &unknown;

	*taken = 0;
	for (unsigned i = 0; i < commands_n; i++) {
		unsigned n = line_matches(words, commands[i].words);

		if (n > *taken) {
			*taken = n;
			best = &commands[i];
		}
	}
	return best;
}
