/* SPDX-License-Identifier: MIT */
/*
 * limpet-gencommands - prints the list of commands as it stands in doc/runtime-api.md, or with
 * --words the one of contrib/limpetctl.bash-completion.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/commands.h"

int main(int argc, char **argv)
{
	char *text = argc > 1 && strcmp(argv[1], "--words") == 0 ? commands_words()
								 : commands_reference();
	int rc = fputs(text, stdout) == EOF || fflush(stdout) != 0;

	free(text);
	return rc;
}
