/* SPDX-License-Identifier: MIT */
/*
 * schema_values - values as text, and text as values: durations, sizes, counts, booleans.
 */
#include "config.h"

#include "model/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct unit {
	const char *suffix;
	int64_t factor;
};

/* Largest first. */
static const struct unit time_units[] = {
	{ "d", SEC(86400) }, { "h", SEC(3600) }, { "m", SEC(60) }, { "s", SEC(1) }, { "ms", MS(1) }
};

bool parse_bool(struct str text, bool *value)
{
	static const char *const yes[] = { "true", "yes", "on", "y" };
	static const char *const no[] = { "false", "no", "off", "n" };

	for (size_t i = 0; i < ARRAY_N(yes); i++) {
		if (str_ieq(text, str_of(yes[i])) || str_ieq(text, str_of(no[i]))) {
			*value = str_ieq(text, str_of(yes[i]));
			return true;
		}
	}
	return false;
}

/* The digits at the start of TEXT; *REST is what follows them. */
static int parse_digits(struct str text, struct str *rest, int64_t *value)
{
	size_t n = 0;
	uint64_t number;
	int rc;

	while (n < text.len && text.p[n] >= '0' && text.p[n] <= '9')
		n++;
	*rest = str_sub(text.p + n, text.p + text.len);
	rc = str_to_u64((struct str){ text.p, n }, INT64_MAX, &number);
	*value = rc == 0 ? (int64_t)number : 0;
	return rc;
}

int parse_duration(struct str text, int64_t *ms)
{
	struct str suffix;
	int64_t number;
	int rc = parse_digits(text, &suffix, &number);

	if (rc == -EINVAL)
		return rc;
	if (suffix.len == 0) {
		*ms = 0;
		return rc == 0 && number == 0 ? 0 : -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_N(time_units); i++) {
		if (!str_eq(suffix, str_of(time_units[i].suffix)))
			continue;
		if (rc == 0 && __builtin_mul_overflow(number, time_units[i].factor, ms))
			rc = -ERANGE;
		return rc;
	}
	return -EINVAL;
}

int parse_scaled(struct str text, unsigned base, int64_t *value)
{
	struct str suffix;
	int64_t factor = 1, number;
	int rc = parse_digits(text, &suffix, &number);
	ptrdiff_t power;

	if (rc == -EINVAL || suffix.len > 1)
		return -EINVAL;
	if (suffix.len == 1) {
		power = str_find_char(STR("kmg"), (char)ascii_lower((unsigned char)suffix.p[0]));
		if (power < 0)
			return -EINVAL;
		for (; power >= 0; power--)
			factor *= base;
	}
	if (rc == 0 && __builtin_mul_overflow(number, factor, value))
		rc = -ERANGE;
	return rc;
}

const char *schema_duration_text(int64_t ms, char out[SCHEMA_TEXT_SIZE])
{
	size_t i = 0;

	while (i + 1 < ARRAY_N(time_units) && (ms == 0 || ms % time_units[i].factor))
		i++;
	if (ms == 0)
		snprintf(out, SCHEMA_TEXT_SIZE, "0");
	else
		snprintf(out, SCHEMA_TEXT_SIZE, "%" PRId64 "%s", ms / time_units[i].factor,
			 time_units[i].suffix);
	return out;
}

static const char *scaled_text(int64_t value, int64_t base, char out[SCHEMA_TEXT_SIZE])
{
	const char *suffixes = " kmg";
	int power = 0;

	while (power < 3 && value && value % base == 0) {
		value /= base;
		power++;
	}
	snprintf(out, SCHEMA_TEXT_SIZE, power ? "%" PRId64 "%c" : "%" PRId64, value,
		 suffixes[power]);
	return out;
}

const char *schema_size_text(int64_t bytes, char out[SCHEMA_TEXT_SIZE])
{
	return scaled_text(bytes, 1024, out);
}

const char *schema_value_text(const struct schema_row *row, int64_t value,
			      char out[SCHEMA_TEXT_SIZE])
{
	if (row->type == T_DURATION)
		return schema_duration_text(value, out);
	if (row->type == T_SECONDS)
		return schema_duration_text(value * 1000, out);
	if (row->type == T_SIZE)
		return schema_size_text(value, out);
	if (row->type == T_OCTAL)
		snprintf(out, SCHEMA_TEXT_SIZE, "%04" PRIo64, value);
	else
		return scaled_text(value, 1000, out);
	return out;
}
