/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/bug.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void bug_abort(const char *file, int line, const char *cond)
{
	fprintf(stderr, "limpet: BUG at %s:%d: %s\n", file, line, cond);
	abort();
}
