/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/value.h"

#include "base/log.h"

static const char *type_name(enum value_type type)
{
	switch (type) {
	case VALUE_EMPTY:
		break;
	case VALUE_U32:
		return "u32";
	case VALUE_U64:
		return "u64";
	case VALUE_S32:
		return "s32";
	case VALUE_STR:
		return "str";
	}
	return "";
}

static void print_number(struct run *run, const struct value *value)
{
	if (value->type == VALUE_S32)
		run_print(run, "%d", (int)(int32_t)value->number);
	else if (value->type == VALUE_U32)
		run_print(run, "%u", (unsigned)value->number);
	else
		run_print(run, "%llu", (unsigned long long)value->number);
}

static void print_quoted(struct run *run, struct str text)
{
	run_text(run, STR("\""));
	for (;;) {
		ptrdiff_t at = str_find_char(text, '"');

		if (at < 0)
			break;
		run_text(run, (struct str){ text.p, (size_t)at + 1 });
		run_text(run, STR("\""));
		text.p += at + 1;
		text.len -= (size_t)at + 1;
	}
	run_text(run, text);
	run_text(run, STR("\""));
}

void value_csv(struct run *run, const struct value *value)
{
	struct str text = str_of(value->text);

	if (value->type == VALUE_EMPTY)
		return;
	if (value->type != VALUE_STR)
		print_number(run, value);
	else if (text.len && strpbrk(value->text, ",\"\r\n"))
		print_quoted(run, text);
	else
		run_text(run, text);
}

void value_typed(struct run *run, const struct column *column, const struct value *value)
{
	run_print(run, "%s:%s:", column->tag, type_name(value->type));
	if (value->type == VALUE_STR)
		run_text(run, str_of(value->text));
	else
		print_number(run, value);
}

static const char *origin_name(char letter)
{
	switch (letter) {
	case 'M':
		return "Metric";
	case 'S':
		return "Status";
	case 'K':
		return "Key";
	case 'C':
		return "Config";
	default:
		return "Product";
	}
}

static const char *nature_name(char letter)
{
	switch (letter) {
	case 'G':
		return "Gauge";
	case 'L':
		return "Limit";
	case 'm':
		return "Min";
	case 'M':
		return "Max";
	case 'R':
		return "Rate";
	case 'C':
		return "Counter";
	case 'D':
		return "Duration";
	case 'A':
		return "Age";
	case 'a':
		return "Avg";
	case 'N':
		return "Name";
	default:
		return "Output";
	}
}

static void print_json_text(struct run *run, struct str text)
{
	char escaped[1024];

	run_text(run, STR("\""));
	while (text.len) {
		struct str piece = { text.p, text.len < 128 ? text.len : 128 };

		/* Not in the middle of a character of several bytes. */
		while (piece.len < text.len && piece.len > 1 &&
		       ((unsigned char)text.p[piece.len] & 0xc0) == 0x80)
			piece.len--;
		run_text(run,
			 (struct str){ escaped, log_json_escape(piece, escaped, sizeof(escaped)) });
		text.p += piece.len;
		text.len -= piece.len;
	}
	run_text(run, STR("\""));
}

void value_json(struct run *run, const struct column *column, const struct value *value)
{
	run_print(
		run,
		"\"processNum\":1,\"tags\":{\"origin\":\"%s\",\"nature\":\"%s\",\"scope\":\"%s\"},"
		"\"value\":{\"type\":\"%s\",\"value\":",
		origin_name(column->tag[0]), nature_name(column->tag[1]),
		column->tag[2] == 'P' ? "Process" : "Service", type_name(value->type));
	if (value->type == VALUE_STR)
		print_json_text(run, str_of(value->text));
	else
		print_number(run, value);
	run_text(run, STR("}"));
}
