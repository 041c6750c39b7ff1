/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/load.h"

void lint(struct load *load)
{
	(void)load;
}
