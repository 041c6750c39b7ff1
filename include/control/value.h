/* SPDX-License-Identifier: MIT */
/*
 * value - one cell of "show info" and "show stat", and its three printed forms.
 *
 * A column's tag has three letters: origin (Metric, Status, Key, Config, Product), nature (Gauge,
 * Limit, Min, maX as 'M', Rate, Counter, Duration, Age, averages 'a' and 'A', Name, Output) and
 * scope (Process, Service).
 */
#ifndef CONTROL_VALUE_H
#define CONTROL_VALUE_H

#include "control/command.h"

enum value_type { VALUE_EMPTY, VALUE_U32, VALUE_U64, VALUE_S32, VALUE_STR };

struct value {
	enum value_type type; /* VALUE_EMPTY: does not apply to this row */
	uint64_t number;      /* of VALUE_S32 as well */
	const char *text;     /* (view) VALUE_STR */
};

struct column {
	const char *name;
	const char *tag;
	enum value_type type;
	const char *help;
};

enum value_form { FORM_PLAIN, FORM_TYPED, FORM_JSON };

/* Quoted when it has a comma, a quote or a line's end, quotes doubled (RFC 4180). */
void value_csv(struct run *run, const struct value *value);
/* "CGS:u32:12" */
void value_typed(struct run *run, const struct column *column, const struct value *value);
/* "tags":{...},"value":{...} */
void value_json(struct run *run, const struct column *column, const struct value *value);

#endif
