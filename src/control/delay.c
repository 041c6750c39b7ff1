/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "control/delay.h"

#include <errno.h>

int delay_parse(struct str text, int64_t unit_us, int64_t *ms)
{
	static const struct {
		const char *name;
		int64_t us;
	} units[] = {
		{ "us", 1 },
		{ "ms", 1000 },
		{ "s", 1000000 },
		{ "m", 60 * 1000000 },
		{ "h", 3600 * (int64_t)1000000 },
		{ "d", 86400 * (int64_t)1000000 },
	};
	size_t digits = 0;
	uint64_t n;

	while (digits < text.len && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	if (str_to_u64((struct str){ text.p, digits }, INT32_MAX, &n) != 0)
		return -EINVAL;
	if (digits < text.len) {
		struct str name = { text.p + digits, text.len - digits };
		size_t i = 0;

		while (i < ARRAY_N(units) && !str_eq(name, str_of(units[i].name)))
			i++;
		if (i == ARRAY_N(units))
			return -EINVAL;
		unit_us = units[i].us;
	}
	if ((int64_t)n > INT64_MAX / unit_us)
		return -EINVAL;
	*ms = (int64_t)n * unit_us / 1000;
	return 0;
}
