/* SPDX-License-Identifier: MIT */
/*
 * config_rate - so many in a time: "20" (a second), "100/10s".
 */
#include "config.h"

#include <inttypes.h>

#include "model/load.h"
#include "model/out.h"
#include "model/schema_fns.h"

#define WINDOW_MAX SEC(3600)

bool read_rate(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	       void *base)
{
	struct rate_conf *rate = schema_field(row, base);
	ptrdiff_t slash;
	struct str number;
	int64_t n, window_ms = SEC(1);

	if (node->kind != YAML_SCALAR || yaml_is_null(node))
		return false;
	slash = str_find_char(node->text, '/');
	number = slash < 0 ? node->text : (struct str){ node->text.p, (size_t)slash };
	if (parse_scaled(number, 1000, &n) != 0 ||
	    (slash >= 0 &&
	     parse_duration(str_sub(node->text.p + slash + 1, node->text.p + node->text.len),
			    &window_ms) != 0))
		return false;
	if (n > row->max || window_ms < MS(100) || window_ms > WINDOW_MAX)
		load_error(load, node,
			   "'%s' takes at most %" PRId64 " in a time of 100ms to 1h, not %s",
			   row->key, row->max, load_describe(load, node));
	*rate = (struct rate_conf){ (uint32_t)n, window_ms };
	return true;
}

bool print_rate(struct out *out, const struct schema_row *row, const void *base)
{
	const struct rate_conf *rate = schema_field_const(row, base);
	char text[SCHEMA_TEXT_SIZE];

	if (rate->window_ms == SEC(1) || !rate->n)
		out_format(out, "%u", rate->n);
	else
		out_format(out, "%u/%s", rate->n, schema_duration_text(rate->window_ms, text));
	return true;
}
