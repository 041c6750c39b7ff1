/* SPDX-License-Identifier: MIT */
/*
 * limpet-gendoc - prints doc/configuration.md.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/schema.h"

int main(void)
{
	char *text = schema_reference();
	int rc = fputs(text, stdout) == EOF || fflush(stdout) != 0;

	free(text);
	return rc;
}
