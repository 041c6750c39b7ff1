/* SPDX-License-Identifier: MIT */
/* limpet-genmetrics - prints doc/metrics.md. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "control/metrics_reference.h"

int main(void)
{
	char *text = metrics_reference();
	int rc = fputs(text, stdout) == EOF || fflush(stdout) != 0;

	free(text);
	return rc;
}
