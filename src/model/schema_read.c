/* SPDX-License-Identifier: MIT */
/*
 * schema_read - reads sections row by row, and the plain values: numbers, durations, words, lists.
 */
#include "config.h"

#include "model/load.h"

#include <errno.h>
#include <stdio.h>

#include "model/schema_fns.h"
#include "model/said.h"

const char *load_describe(struct load *load, const struct yaml_node *node)
{
	if (node->kind == YAML_LIST)
		return "a list";
	if (node->kind == YAML_MAP)
		return "a mapping";
	if (yaml_is_null(node))
		return "nothing";
	return arena_printf(&load->temp, "'%.*s%s'",
			    (int)(node->text.len > 60 ? 60 : node->text.len), node->text.p,
			    node->text.len > 60 ? "..." : "");
}

struct config_pos load_pos(struct load *load, const struct yaml_node *node)
{
	return (struct config_pos){ load->config->file, node->line, node->column };
}

struct str load_keep(struct load *load, struct str text)
{
	return arena_str(load->arena, text);
}

size_t load_items(const struct yaml_node *node)
{
	return node->kind == YAML_LIST ? node->n : 1;
}

const struct yaml_node *load_item(const struct yaml_node *node, size_t i)
{
	return node->kind == YAML_LIST ? node->items[i] : node;
}

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == ':' || c == '-';
}

bool load_check_name(struct load *load, const struct yaml_node *node, const char *what,
		     struct str name)
{
	bool ok = name.len >= 1 && name.len <= NAME_LEN_MAX;

	for (size_t i = 0; ok && i < name.len; i++)
		ok = is_name_byte(name.p[i]);
	if (!ok)
		load_error(load, node,
			   "name of a %s: '%.*s' must be 1 to %d of the characters A-Z a-z 0-9 _ . "
			   ": -",
			   what, (int)(name.len > 80 ? 80 : name.len), name.p ? name.p : "",
			   NAME_LEN_MAX);
	return ok;
}

bool load_is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", s.p[i]))
			return false;
	return s.len > 0;
}

void row_read(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	      void *base)
{
	const struct schema_type_row *type = &schema_types[row->type];

	if (!type->read(load, row, node, base))
		load_error(load, node, "'%s': expected %s, got %s", row->key, type->expects,
			   load_describe(load, node));
}

/* Defaults are read as if they stood in the file. */
static void default_apply(struct load *load, enum schema_section section, void *base)
{
	const struct schema_section_row *s = &schema_sections[section];

	for (size_t i = 0; i < s->rows_n; i++) {
		const struct schema_row *row = &s->rows[i];
		struct yaml_node node = { .kind = YAML_SCALAR, .is_plain = true, .line = 1 };

		if (row->type == T_MAP || row->type == T_PASSIVE || row->type == T_AGENT) {
			default_apply(load, row->sub, schema_field(row, base));
		} else if (row->def && !(row->flags & F_DEF_SAID)) {
			node.text = str_of(row->def);
			bug_on(!schema_types[row->type].read(load, row, &node, base));
		} else if (row->type == T_TEXT || row->type == T_ADDRESS) {
			*(struct str *)schema_field(row, base) = STR("");
		}
	}
}

void section_defaults(struct load *load, enum schema_section section, void *base)
{
	size_t size = schema_sections[section].size;

	bug_on(size == 0);
	if (!load->templates[section]) {
		load->templates[section] = arena_calloc(&load->temp, 1, size);
		default_apply(load, section, load->templates[section]);
	}
	memcpy(base, load->templates[section], size);
}

static void unknown_key(struct load *load, enum schema_section section,
			const struct yaml_pair *pair, const char *where)
{
	const struct schema_section_row *s = &schema_sections[section];
	enum schema_section sibling = section == S_FRONTEND  ? S_BACKEND
				      : section == S_BACKEND ? S_FRONTEND
							     : S_NONE;
	struct suggest suggest;

	/* `<<: *common` may bring keys that the other kind of section has. */
	if (pair->is_merged && sibling != S_NONE && schema_find(sibling, pair->key->text))
		return;
	suggest_init(&suggest, pair->key->text);
	for (size_t i = 0; i < s->rows_n; i++)
		suggest_try(&suggest, str_of(s->rows[i].key));
	load_error(load, pair->key, "unknown key %s in %s%s", load_describe(load, pair->key), where,
		   suggest_text(&suggest, &load->temp));
}

#define ROWS_MAX 32

void section_read(struct load *load, enum schema_section section, const struct yaml_node *node,
		  void *base, const char *where)
{
	const struct schema_section_row *s = &schema_sections[section];
	const struct yaml_node *values[ROWS_MAX] = { NULL };

	bug_on(s->rows_n > ROWS_MAX);
	if (!where)
		where = s->name;
	if (s->pos_offset >= 0)
		*(struct config_pos *)(void *)((char *)base + s->pos_offset) = load_pos(load, node);
	if (node->kind != YAML_MAP && !yaml_is_null(node)) {
		load_error(load, node, "%s must be a mapping, not %s", where,
			   load_describe(load, node));
		return;
	}
	for (size_t i = 0; node->kind == YAML_MAP && i < node->n; i++) {
		const struct schema_row *row = schema_find(section, node->pairs[i].key->text);

		if (row)
			values[row - s->rows] = node->pairs[i].value;
		else if (section != S_TOP || !str_starts(node->pairs[i].key->text, STR("x-")))
			unknown_key(load, section, &node->pairs[i], where);
	}
	for (size_t i = 0; i < s->rows_n; i++) {
		if (values[i]) {
			said_add(load, section, &s->rows[i], base, values[i]->line);
			row_read(load, &s->rows[i], values[i], base);
		} else if (s->rows[i].flags & F_REQUIRED) {
			load_error(load, node, "%s needs '%s'", where, s->rows[i].key);
		}
	}
}

bool read_any(struct load *load unused_arg, const struct schema_row *row unused_arg,
	      const struct yaml_node *node, void *base unused_arg)
{
	return node->kind == YAML_MAP || yaml_is_null(node);
}

bool read_map(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	      void *base)
{
	if (node->kind != YAML_MAP && !yaml_is_null(node))
		return false;
	section_read(load, row->sub, node, schema_field(row, base), NULL);
	return true;
}

/* A scalar that says something. */
static bool is_said(const struct yaml_node *node)
{
	return node->kind == YAML_SCALAR && !yaml_is_null(node);
}

bool read_bool(struct load *load unused_arg, const struct schema_row *row,
	       const struct yaml_node *node, void *base)
{
	return is_said(node) && parse_bool(node->text, schema_field(row, base));
}

/* Tells when VALUE is outside of the row's limits. */
static bool in_range(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		     int64_t value)
{
	char min[SCHEMA_TEXT_SIZE], max[SCHEMA_TEXT_SIZE];

	if (value >= row->min && value <= row->max)
		return true;
	load_error(load, node, "'%s': %.*s is out of range; it may be %s to %s", row->key,
		   STR_ARG(node->text), schema_value_text(row, row->min, min),
		   schema_value_text(row, row->max, max));
	return false;
}

static bool is_word(const struct schema_row *row, const struct yaml_node *node, int64_t *value)
{
	if (!row->word || !str_eq(node->text, str_of(row->word)))
		return false;
	*value = row->word_value;
	return true;
}

/* A number of 32 bits with BASE for k, m and g. */
static bool read_u32(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		     void *base, unsigned unit)
{
	int64_t value;
	int rc;

	if (!is_said(node))
		return false;
	if (!is_word(row, node, &value)) {
		rc = parse_scaled(node->text, unit, &value);
		if (rc == -EINVAL)
			return false;
		if (rc == -ERANGE)
			value = INT64_MAX;
		if (!in_range(load, row, node, value))
			return true;
	}
	*(uint32_t *)schema_field(row, base) = (uint32_t)value;
	return true;
}

bool read_count(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		void *base)
{
	return read_u32(load, row, node, base, 1000);
}

bool read_size(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	       void *base)
{
	return read_u32(load, row, node, base, 1024);
}

bool read_byte(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	       void *base)
{
	uint64_t value;
	int rc;

	if (!is_said(node))
		return false;
	rc = str_to_u64(node->text, INT32_MAX, &value);
	if (rc == -EINVAL)
		return false;
	if (in_range(load, row, node, rc == 0 ? (int64_t)value : INT64_MAX))
		*(uint8_t *)schema_field(row, base) = (uint8_t)value;
	return true;
}

bool read_duration(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		   void *base)
{
	int64_t ms;
	int rc;

	if (!is_said(node))
		return false;
	if (!is_word(row, node, &ms)) {
		rc = parse_duration(node->text, &ms);
		if (rc == -EINVAL)
			return false;
		if (!in_range(load, row, node, rc == 0 ? ms : INT64_MAX))
			return true;
	}
	*(int64_t *)schema_field(row, base) = ms;
	return true;
}

bool read_seconds(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		  void *base)
{
	int64_t value;
	int rc;

	if (!is_said(node))
		return false;
	if (!is_word(row, node, &value)) {
		rc = parse_duration(node->text, &value);
		if (rc == -EINVAL)
			return false;
		if (rc == 0 && value % 1000) {
			load_error(load, node, "'%s': only whole seconds can be told", row->key);
			return true;
		}
		value = rc == 0 ? value / 1000 : INT64_MAX;
		if (!in_range(load, row, node, value))
			return true;
	}
	*(int64_t *)schema_field(row, base) = value;
	return true;
}

bool read_text(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	       void *base)
{
	if (!is_said(node))
		return false;
	if ((row->flags & F_FILLED) && !node->text.len) {
		load_error(load, node, "'%s' must not be empty", row->key);
		return true;
	}
	if ((row->flags & F_PATH) && (!node->text.len || node->text.p[0] != '/')) {
		load_error(load, node, "'%s': %s must begin with '/'", row->key,
			   load_describe(load, node));
		return true;
	}
	*(struct str *)schema_field(row, base) = load_keep(load, node->text);
	return true;
}

bool read_texts(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		void *base)
{
	struct str_list *list = schema_field(row, base);
	struct schema_row item = { .key = row->key, .type = T_TEXT, .flags = row->flags };
	size_t n = load_items(node);

	if (node->kind == YAML_MAP)
		return false;
	list->items = arena_calloc(load->arena, n, sizeof(*list->items));
	list->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct str *text = &list->items[list->n];

		row_read(load, &item, load_item(node, i), text);
		list->n += text->p != NULL;
	}
	return true;
}

int load_name_value(struct load *load, const struct yaml_node *node,
		    const struct schema_name *names, const char *what)
{
	struct suggest suggest;
	const char *list = "";

	for (const struct schema_name *name = names; name->name; name++)
		if (str_eq(node->text, str_of(name->name)))
			return name->value;
	suggest_init(&suggest, node->text);
	for (const struct schema_name *name = names; name->name; name++) {
		suggest_try(&suggest, str_of(name->name));
		list = arena_printf(&load->temp, "%s%s%s", list, name == names ? "" : ", ",
				    name->name);
	}
	load_error(load, node, "'%s': %s is not one of %s%s", what, load_describe(load, node), list,
		   suggest_text(&suggest, &load->temp));
	return INT32_MIN;
}

bool read_enum(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	       void *base)
{
	int value;

	if (!is_said(node))
		return false;
	value = load_name_value(load, node, row->names, row->key);
	if (value == INT32_MIN)
		return true;
	if (row->arg == ENUM_IN_BOOL)
		*(bool *)schema_field(row, base) = value;
	else
		*(int *)schema_field(row, base) = value;
	return true;
}

bool read_octal(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		void *base)
{
	struct str text = node->text;
	int64_t value = 0;

	if (!is_said(node))
		return false;
	if (str_starts(text, STR("0o")))
		text = str_sub(text.p + 2, text.p + text.len);
	if (text.len < 3 || text.len > 5)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '7')
			return false;
		value = value * 8 + (text.p[i] - '0');
	}
	if (in_range(load, row, node, value))
		*(mode_t *)schema_field(row, base) = (mode_t)value;
	return true;
}

bool read_nets(struct load *load, const struct schema_row *row, const struct yaml_node *node,
	       void *base)
{
	struct nets_field *field = schema_field(row, base);
	size_t n = load_items(node);

	if (node->kind == YAML_MAP || yaml_is_null(node))
		return false;
	field->nets = arena_calloc(load->arena, n, sizeof(*field->nets));
	field->n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct yaml_node *item = load_item(node, i);

		if (item->kind == YAML_SCALAR &&
		    ip_net_parse(item->text, &field->nets[field->n]) == 0)
			field->n++;
		else
			load_error(load, item, "'%s': expected a network like 10.0.0.0/8, got %s",
				   row->key, load_describe(load, item));
	}
	return true;
}

static bool parse_statuses(struct str text, struct status_range *range)
{
	ptrdiff_t dash = str_find_char(text, '-');
	struct str from_text = dash < 0 ? text : (struct str){ text.p, (size_t)dash };
	struct str to_text = dash < 0 ? text : str_sub(text.p + dash + 1, text.p + text.len);
	uint64_t from, to;

	if (str_to_u64(str_trim(from_text), 599, &from) != 0 ||
	    str_to_u64(str_trim(to_text), 599, &to) != 0 || from < 100 || from > to)
		return false;
	*range = (struct status_range){ (uint16_t)from, (uint16_t)to };
	return true;
}

bool read_statuses(struct load *load, const struct schema_row *row, const struct yaml_node *node,
		   void *base)
{
	struct statuses_field *field = schema_field(row, base);
	size_t n = load_items(node);

	if (node->kind == YAML_MAP || yaml_is_null(node))
		return false;
	field->ranges = arena_calloc(load->arena, n, sizeof(*field->ranges));
	field->n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct yaml_node *item = load_item(node, i);

		if (item->kind == YAML_SCALAR &&
		    parse_statuses(item->text, &field->ranges[field->n]))
			field->n++;
		else
			load_error(load, item,
				   "'%s': expected a status like 200 or 200-299, within 100 to "
				   "599, got %s",
				   row->key, load_describe(load, item));
	}
	return true;
}
