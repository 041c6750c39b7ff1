/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/ctl_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define COLUMNS_MAX 256

/* Columns of "show stat" that fit on a screen. */
static const char *const stat_columns[] = {
	"pxname",   "svname",   "status",   "weight", "scur",  "smax",         "stot",    "rate",
	"hrsp_2xx", "hrsp_4xx", "hrsp_5xx", "econ",   "eresp", "check_status", "lastchg",
};

void lines_add(struct lines *lines, struct str line)
{
	if (lines->n == lines->size) {
		lines->size = lines->size ? lines->size * 2 : 64;
		lines->all = xrealloc_array(lines->all, lines->size, sizeof(*lines->all));
	}
	lines->all[lines->n++] = xstrndup(line);
}

void lines_clear(struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		free(lines->all[i]);
	free(lines->all);
	*lines = (struct lines){ 0 };
}

/* Takes a cell off *REST, and removes its quotes in place; SEPARATOR is ',' or ' '. */
static char *take_cell(char **rest, char separator)
{
	char *cell = *rest, *in = cell, *out = cell;
	bool is_quoted = separator == ',' && *in == '"';

	if (is_quoted)
		in++;
	for (; *in && (is_quoted || *in != separator); in++) {
		if (is_quoted && *in == '"' && *++in != '"') {
			is_quoted = false;
			in--;
			continue;
		}
		*out++ = *in;
	}
	*rest = *in ? in + 1 : in;
	*out = '\0';
	return cell;
}

static size_t split(char *line, char separator, char **cells)
{
	size_t n = 0;

	while (*line && n < COLUMNS_MAX)
		cells[n++] = take_cell(&line, separator);
	return n;
}

static bool is_number(const char *cell)
{
	return !cell[0] || strspn(cell, "0123456789.-") == strlen(cell);
}

struct table {
	char ***rows; /* (own) each of columns_n cells */
	size_t rows_n, columns_n;
	size_t width[COLUMNS_MAX];
	bool is_text[COLUMNS_MAX];
	size_t order[COLUMNS_MAX], shown_n; /* the columns that are shown */
};

static void table_choose(struct table *table)
{
	bool is_stat = table->columns_n && strcmp(table->rows[0][0], "pxname") == 0;

	for (size_t c = 0; !is_stat && c < table->columns_n; c++)
		table->order[table->shown_n++] = c;
	for (size_t i = 0; is_stat && i < ARRAY_N(stat_columns); i++)
		for (size_t c = 0; c < table->columns_n; c++)
			if (strcmp(stat_columns[i], table->rows[0][c]) == 0)
				table->order[table->shown_n++] = c;
}

static void table_measure(struct table *table)
{
	for (size_t c = 0; c < table->columns_n; c++)
		for (size_t r = 0; r < table->rows_n; r++) {
			size_t len = strlen(table->rows[r][c]);

			if (len > table->width[c])
				table->width[c] = len;
			if (r && !is_number(table->rows[r][c]))
				table->is_text[c] = true;
		}
}

/* States are told apart at a glance. */
static const char *colour_of(const char *cell)
{
	static const struct {
		const char *begin, *colour;
	} states[] = {
		{ "UP", "\033[32m" },    { "OPEN", "\033[32m" }, { "DOWN", "\033[31m" },
		{ "FULL", "\033[31m" },  { "STOP", "\033[33m" }, { "MAINT", "\033[33m" },
		{ "DRAIN", "\033[33m" }, { "NOLB", "\033[33m" }, { "SICK", "\033[33m" },
		{ "dead", "\033[31m" },
	};

	for (size_t i = 0; i < ARRAY_N(states); i++) {
		size_t len = strlen(states[i].begin);

		/* "UP", "UP 2/3", "UP_2/3"; not a name that begins so. */
		if (strncmp(cell, states[i].begin, len) == 0 &&
		    (!cell[len] || cell[len] == ' ' || cell[len] == '_'))
			return states[i].colour;
	}
	return "";
}

static void print_rows(const struct table *table, bool has_colours)
{
	for (size_t r = 0; r < table->rows_n; r++) {
		if (!r && has_colours)
			fputs("\033[1m", stdout);
		for (size_t i = 0; i < table->shown_n; i++) {
			size_t c = table->order[i];
			int width = (int)table->width[c];

			const char *colour = r && has_colours ? colour_of(table->rows[r][c]) : "";

			printf("%s%s%*s%s", i ? "  " : "", colour,
			       table->is_text[c] ? -width : width, table->rows[r][c],
			       colour[0] ? "\033[0m" : "");
		}
		fputs(r || !has_colours ? "\n" : "\033[0m\n", stdout);
	}
}

/* Which line the names of the columns are in: "show servers state" has its version before. */
static size_t table_head(const struct lines *lines)
{
	return lines->n && lines->all[0][0] != '#';
}

static void table_read(struct table *table, struct lines *lines, size_t head)
{
	char separator = strchr(lines->all[head], ',') ? ',' : ' ';
	static char empty[] = "";

	table->rows = xcalloc(lines->n, sizeof(*table->rows));
	for (size_t i = head; i < lines->n; i++) {
		char **cells = xcalloc(COLUMNS_MAX, sizeof(*cells));
		size_t n = split(lines->all[i] + (i == head ? 2 : 0), separator, cells);

		if (i == head)
			table->columns_n = n;
		for (size_t c = n; c < table->columns_n; c++)
			cells[c] = empty;
		table->rows[table->rows_n++] = cells;
	}
}

static void table_free(struct table *table)
{
	for (size_t r = 0; r < table->rows_n; r++)
		free(table->rows[r]);
	free(table->rows);
}

bool table_is_first_line(struct str line)
{
	return str_eq(line, STR("1")) ||
	       (str_starts(line, STR("# ")) && str_find(line, STR(": ")) < 0);
}

void table_print(struct lines *lines, bool has_colours)
{
	struct table table = { .rows_n = 0 };
	size_t head = table_head(lines);

	for (size_t i = 0; i < head; i++)
		puts(lines->all[i]);
	table_read(&table, lines, head);
	table_choose(&table);
	table_measure(&table);
	print_rows(&table, has_colours);
	table_free(&table);
}

/*
 * JSON.
 */
static void json_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < ' ')
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

/* A number as JSON has it stays one; an empty cell is null. */
static void json_value(const char *text)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	size_t n = strspn(digits, "0123456789");

	if (!text[0])
		fputs("null", stdout);
	else if (n && n < 16 && !digits[n] && (digits[0] != '0' || n == 1))
		fputs(text, stdout);
	else
		json_text(text);
}

static void json_table(struct lines *lines)
{
	struct table table = { .rows_n = 0 };

	table_read(&table, lines, table_head(lines));
	putchar('[');
	for (size_t r = 1; r < table.rows_n; r++) {
		fputs(r > 1 ? ",\n{" : "{", stdout);
		for (size_t c = 0; c < table.columns_n; c++) {
			if (c)
				putchar(',');
			json_text(table.rows[0][c]);
			putchar(':');
			json_value(table.rows[r][c]);
		}
		putchar('}');
	}
	puts("]");
	table_free(&table);
}

/* Every line is "Key: value", as "show info" has them. */
static bool is_pairs(const struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++) {
		const char *colon = strstr(lines->all[i], ": ");

		if (!colon || lines->all[i][0] == ' ' || lines->all[i][0] == '#')
			return false;
	}
	return lines->n > 1;
}

static void json_lines(struct lines *lines, bool has_pairs)
{
	putchar(has_pairs ? '{' : '[');
	for (size_t i = 0; i < lines->n; i++) {
		char *line = lines->all[i], *colon = has_pairs ? strstr(line, ": ") : NULL;

		if (i)
			puts(",");
		if (colon) {
			*colon = '\0';
			json_text(line);
			putchar(':');
			json_value(colon + 2);
		} else {
			json_text(line);
		}
	}
	puts(has_pairs ? "}" : "]");
}

void answer_json(struct lines *lines)
{
	const char *first = lines->n ? lines->all[0] : "";

	if (first[0] == '{' || (first[0] == '[' && strchr("[{]", first[1]))) {
		for (size_t i = 0; i < lines->n; i++) /* it is JSON already */
			puts(lines->all[i]);
		return;
	}
	if (lines->n > table_head(lines) && table_is_first_line(str_of(first)))
		json_table(lines);
	else
		json_lines(lines, is_pairs(lines));
}
