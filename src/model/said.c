/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "model/said.h"

#include <stdlib.h>

#include "base/mem.h"
#include "model/load.h"

static bool is_noted(enum schema_section section)
{
	switch ((int)section) {
	case S_TOP:
	case S_ROUTE:
	case S_MATCH:
	case S_RESPOND:
	case S_REDIRECT:
	case S_HOST:
	case S_WORKER:
	case S_HASH:
		return false;
	default:
		return true;
	}
}

void said_add(struct load *load, enum schema_section section, const struct schema_row *row,
	      const void *base, uint32_t line)
{
	if (!is_noted(section))
		return;
	if (load->said_n == load->said_size) {
		load->said_size = load->said_size ? load->said_size * 2 : 64;
		load->said = xrealloc_array(load->said, load->said_size, sizeof(*load->said));
	}
	load->said[load->said_n++] = (struct said){ row, schema_field_const(row, base), line };
}

static int compare(const void *a, const void *b)
{
	const struct said *x = a, *y = b;

	if (x->row != y->row)
		return x->row < y->row ? -1 : 1;
	return x->field < y->field ? -1 : x->field > y->field;
}

void said_finish(struct load *load)
{
	struct config *config = load->config;

	if (load->said_n) {
		qsort(load->said, load->said_n, sizeof(*load->said), compare);
		config->said = arena_calloc(load->arena, load->said_n, sizeof(*config->said));
		memcpy(config->said, load->said, load->said_n * sizeof(*config->said));
		config->said_n = load->said_n;
	}
	free(load->said);
	load->said = NULL;
	load->said_n = load->said_size = 0;
}

uint32_t said_line(const struct config *config, const struct schema_row *row, const void *base)
{
	struct said key = { .row = row, .field = schema_field_const(row, base) };
	const struct said *found =
		config->said_n ? bsearch(&key, config->said, config->said_n, sizeof(key), compare)
			       : NULL;

	return found ? found->line : 0;
}
