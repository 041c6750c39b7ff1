/* SPDX-License-Identifier: MIT */
/*
 * reference - doc/configuration.md, from the schema rows.
 */
#include "config.h"

#include "model/out.h"
#include "model/schema.h"

static const char intro[] =
	"# Configuration reference\n"
	"\n"
	"<!-- Made from src/model/schema.c by `limpet-gendoc`; do not edit. -->\n"
	"\n"
	"One YAML file. Anchors, aliases and merge keys (`<<`) work. `${NAME}` and\n"
	"`${NAME:-default}` in any scalar come from the environment (a default also stands for an\n"
	"empty value); an unset name without a default is an error; `$$` is a `$`.\n"
	"\n"
	"- **duration**: `250ms`, `5s`, `2m`, `1h`, `7d`. A number without a unit is refused, but "
	"`0`.\n"
	"- **size**: `512`, `64k`, `1m`, `2g`, in steps of 1024. **count**: `10k`, `1m`, in steps "
	"of 1000.\n"
	"- **boolean**: `true`, `false`, and the `yes`, `no`, `on`, `off` of YAML 1.1.\n"
	"- Names of frontends, backends, hosts, workers and routes: 1 to 64 of `A-Z a-z 0-9 _ . : "
	"-`.\n"
	"\n"
	"Every mistake is told with file, line and column, all of them at once, and a file with a\n"
	"mistake is not taken, at start and at reload alike.\n"
	"`limpet -c -f FILE` checks; `limpet -p -f FILE` prints what is in force.\n"
	"\n";

static void names_print(struct out *out, const struct schema_row *row)
{
	for (const struct schema_name *name = row->names; name->name; name++)
		out_format(out, "%s`%s`", name == row->names ? "" : ", ", name->name);
}

static void type_print(struct out *out, const struct schema_row *row)
{
	char min[SCHEMA_TEXT_SIZE], max[SCHEMA_TEXT_SIZE];

	if (row->type == T_ENUM) {
		names_print(out, row);
		return;
	}
	out_format(out, "%s", schema_types[row->type].name);
	if (row->max)
		out_format(out, ", %s to %s", schema_value_text(row, row->min, min),
			   schema_value_text(row, row->max, max));
	if (row->word)
		out_format(out, ", or `%s`", row->word);
}

static void default_print(struct out *out, const struct schema_row *row)
{
	if (row->flags & F_REQUIRED)
		out_format(out, "**required**");
	else if (row->def && (row->flags & F_DEF_SAID))
		out_format(out, "%s", row->def);
	else if (row->def)
		out_format(out, "`%s`", row->def);
}

static void row_print(struct out *out, const struct schema_row *row)
{
	out_format(out, "| `%s` | ", row->key);
	type_print(out, row);
	out_format(out, " | ");
	default_print(out, row);
	out_format(out, " | ");
	/* A '|' would end the cell. */
	for (const char *p = row->doc; *p; p++)
		out_format(out, *p == '|' ? "\\|" : "%c", *p);
	if (row->flags & F_RESTART)
		out_format(out, " (a change needs a restart)");
	if (row->flags & F_LATER)
		out_format(out, " (checked, not built in yet)");
	out_format(out, " |\n");
}

char *schema_reference(void)
{
	struct out out;

	out_init(&out);
	out_format(&out, "%s", intro);
	for (size_t i = 0; i < S_NONE; i++) {
		const struct schema_section_row *section = &schema_sections[i];

		out_format(&out, "## %s\n\n", section->path);
		if (*section->doc)
			out_format(&out, "%s\n\n", section->doc);
		out_format(&out, "| key | value | default | meaning |\n|---|---|---|---|\n");
		for (size_t k = 0; k < section->rows_n; k++)
			row_print(&out, &section->rows[k]);
		out_format(&out, "\n");
	}
	/* One newline at the end. */
	out.p[--out.len] = '\0';
	return out.p;
}
