/* SPDX-License-Identifier: MIT */
/*
 * dump - the snapshot as YAML that loads to the same again: rows in flow style, and the frame of
 * named objects around them.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/load.h"
#include "model/out.h"
#include "model/said.h"
#include "model/schema_fns.h"

/* Prints "key: value" of ROW; nothing at all when there is nothing to say. */
static bool row_print(struct out *out, const struct schema_row *row, const void *base,
		      const char *before)
{
	size_t start = out->len;

	if ((row->flags & F_SECRET) && !out->with_secrets)
		return false;
	out_format(out, "%s%s: ", before, row->key);
	if (schema_types[row->type].print(out, row, base))
		return true;
	out->len = start;
	out->p[start] = '\0';
	return false;
}

bool section_print(struct out *out, enum schema_section section, const void *base)
{
	const struct schema_section_row *s = &schema_sections[section];
	bool is_first = true;

	out_text(out, STR("{"));
	for (size_t i = 0; i < s->rows_n; i++)
		if (row_print(out, &s->rows[i], base, is_first ? "" : ", "))
			is_first = false;
	out_text(out, STR("}"));
	return !is_first;
}

static void mark(struct out *out, uint32_t line)
{
	if (out->marks && line)
		out_format(out, "  # %s:%u", out->marks->file, line);
	else if (out->marks)
		out_text(out, STR("  # default"));
}

void mark_item(struct out *out, const struct config_pos *pos)
{
	mark(out, pos->line);
}

/* Behind ROW, which was printed from START on; lists have marks at their items. */
static void mark_row(struct out *out, const struct schema_row *row, const void *base, size_t start)
{
	if (out->marks && !memchr(out->p + start, '\n', out->len - start))
		mark(out, said_line(out->marks, row, base));
}

/* A mapping within the struct, one line for each of its keys. */
static void map_print_rows(struct out *out, const struct schema_row *row, const void *base,
			   const char *before)
{
	size_t start = out->len, begun;
	char deeper[32];

	snprintf(deeper, sizeof(deeper), "%s  ", before);
	out_format(out, "%s%s:\n", before, row->key);
	begun = out->len;
	section_print_rows(out, row->sub, schema_field_const(row, base), deeper, "\n");
	if (out->len == begun) {
		out->len = start;
		out->p[start] = '\0';
	}
}

void section_print_rows(struct out *out, enum schema_section section, const void *base,
			const char *before, const char *after)
{
	const struct schema_section_row *s = &schema_sections[section];

	for (size_t i = 0; i < s->rows_n; i++) {
		size_t start = out->len;

		if (out->marks && s->rows[i].type == T_MAP)
			map_print_rows(out, &s->rows[i], base, before);
		else if (row_print(out, &s->rows[i], base, before)) {
			mark_row(out, &s->rows[i], base, start);
			out_format(out, "%s", after);
		}
	}
}

bool print_nothing(struct out *out unused_arg, const struct schema_row *row unused_arg,
		   const void *base unused_arg)
{
	return false;
}

bool print_bool(struct out *out, const struct schema_row *row, const void *base)
{
	bool is_on = *(const bool *)schema_field_const(row, base);

	if (!is_on && row->flags & F_FILLED)
		return false;
	out_format(out, "%s", is_on ? "true" : "false");
	return true;
}

static bool print_value(struct out *out, const struct schema_row *row, int64_t value)
{
	char text[SCHEMA_TEXT_SIZE];

	if (row->word && value == row->word_value)
		out_format(out, "%s", row->word);
	else
		out_format(out, "%s", schema_value_text(row, value, text));
	return true;
}

bool print_byte(struct out *out, const struct schema_row *row, const void *base)
{
	return print_value(out, row, *(const uint8_t *)schema_field_const(row, base));
}

bool print_count(struct out *out, const struct schema_row *row, const void *base)
{
	uint32_t value = *(const uint32_t *)schema_field_const(row, base);

	/* Zero where it could not be written means that nothing was. */
	return (value || row->min == 0 || row->word) && print_value(out, row, value);
}

bool print_size(struct out *out, const struct schema_row *row, const void *base)
{
	return print_count(out, row, base);
}

bool print_duration(struct out *out, const struct schema_row *row, const void *base)
{
	return print_value(out, row, *(const int64_t *)schema_field_const(row, base));
}

bool print_seconds(struct out *out, const struct schema_row *row, const void *base)
{
	return print_duration(out, row, base);
}

bool print_text(struct out *out, const struct schema_row *row, const void *base)
{
	const struct str *text = schema_field_const(row, base);

	if (!text->len)
		return false;
	out_scalar(out, *text);
	return true;
}

bool print_enum(struct out *out, const struct schema_row *row, const void *base)
{
	const void *field = schema_field_const(row, base);
	int value = row->arg == ENUM_IN_BOOL ? *(const bool *)field : *(const int *)field;

	for (const struct schema_name *name = row->names; name->name; name++) {
		if (name->value == value) {
			out_scalar(out, str_of(name->name));
			return true;
		}
	}
	return false;
}

bool print_octal(struct out *out, const struct schema_row *row, const void *base)
{
	out_format(out, "\"%04o\"", (unsigned)*(const mode_t *)schema_field_const(row, base));
	return true;
}

static void nets_print(struct out *out, const struct ip_net *nets, size_t n)
{
	char text[ADDR_TEXT_SIZE];

	out_text(out, STR("["));
	for (size_t i = 0; i < n; i++) {
		ip_addr_ip_text(&nets[i].base, text);
		out_format(out, "%s\"%s/%u\"", i ? ", " : "", text, nets[i].prefix_len);
	}
	out_text(out, STR("]"));
}

bool print_nets(struct out *out, const struct schema_row *row, const void *base)
{
	const struct nets_field *field = schema_field_const(row, base);

	if (!field->n)
		return false;
	nets_print(out, field->nets, field->n);
	return true;
}

bool print_statuses(struct out *out, const struct schema_row *row, const void *base)
{
	const struct statuses_field *field = schema_field_const(row, base);

	out_text(out, STR("["));
	for (size_t i = 0; i < field->n; i++)
		out_format(out, "%s%u-%u", i ? ", " : "", field->ranges[i].from,
			   field->ranges[i].to);
	out_text(out, STR("]"));
	return field->n > 0;
}

bool print_texts(struct out *out, const struct schema_row *row, const void *base)
{
	const struct str_list *list = schema_field_const(row, base);

	if (!list->n)
		return false;
	out_text(out, STR("["));
	for (size_t i = 0; i < list->n; i++) {
		out_format(out, "%s", i ? ", " : "");
		out_scalar(out, list->items[i]);
	}
	out_text(out, STR("]"));
	return true;
}

bool print_map(struct out *out, const struct schema_row *row, const void *base)
{
	return section_print(out, row->sub, schema_field_const(row, base));
}

bool print_accept_proxy(struct out *out, const struct schema_row *row unused_arg, const void *base)
{
	const struct bind_conf *bind = base;

	if (bind->is_proxy_required && !bind->is_proxy_from_any)
		nets_print(out, bind->proxy_nets, bind->proxy_nets_n);
	else
		out_format(out, "%s", bind->is_proxy_required ? "true" : "false");
	return true;
}

static char *dump(const struct config *config, bool with_secrets, bool with_marks, size_t *len)
{
	struct out out;

	out_init(&out);
	out.with_secrets = with_secrets;
	out.marks = with_marks ? config : NULL;
	out_text(&out, STR("global:\n"));
	section_print_rows(&out, S_GLOBAL, &config->global, "  ", "\n");
	out_text(&out, STR("frontends:\n"));
	for (size_t i = 0; i < config->frontends_n; i++) {
		out_format(&out, "  \"%.*s\":", STR_ARG(config->frontends[i].name));
		mark_item(&out, &config->frontends[i].pos);
		out_text(&out, STR("\n"));
		section_print_rows(&out, S_FRONTEND, &config->frontends[i], "    ", "\n");
	}
	if (config->backends_n)
		out_text(&out, STR("backends:\n"));
	for (size_t i = 0; i < config->backends_n; i++) {
		out_format(&out, "  \"%.*s\":", STR_ARG(config->backends[i].name));
		mark_item(&out, &config->backends[i].pos);
		out_text(&out, STR("\n"));
		section_print_rows(&out, S_BACKEND, &config->backends[i], "    ", "\n");
	}
	*len = out.len;
	return out.p;
}

char *config_dump(const struct config *config, bool with_secrets, size_t *len)
{
	return dump(config, with_secrets, false, len);
}

char *config_dump_marked(const struct config *config, size_t *len)
{
	return dump(config, false, true, len);
}

/* ROW of BASE as it would be dumped; (own) */
static char *row_text(const struct schema_row *row, const void *base)
{
	struct out out;

	out_init(&out);
	out.with_secrets = true;
	row_print(&out, row, base, "");
	return out.p;
}

size_t config_restart_keys(const struct config *running, const struct config *loaded,
			   const char **keys, size_t max)
{
	const struct schema_section_row *section = &schema_sections[S_GLOBAL];
	size_t n = 0;

	for (size_t i = 0; i < section->rows_n; i++) {
		const struct schema_row *row = &section->rows[i];
		char *was, *is;

		if (!(row->flags & F_RESTART))
			continue;
		was = row_text(row, &running->global);
		is = row_text(row, &loaded->global);
		if (strcmp(was, is) != 0) {
			if (n < max)
				keys[n] = row->key;
			n++;
		}
		free(was);
		free(is);
	}
	return n;
}
