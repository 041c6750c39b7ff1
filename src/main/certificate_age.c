/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <stdio.h>

#include "main/certificates.h"

#define HOUR_S INT64_C(3600)
#define DAY_S  (24 * HOUR_S)

/* Less is left than this: from CERT_MONTH on. */
static const int64_t limits_s[] = { 30 * DAY_S, 7 * DAY_S, DAY_S, 1 };

enum cert_age cert_age(int64_t not_after_unix_s, int64_t now_unix_s)
{
	unsigned age = CERT_FRESH;

	/* The last second belongs to it (RFC 5280 4.1.2.5). */
	while (age < CERT_EXPIRED && not_after_unix_s + 1 - now_unix_s < limits_s[age])
		age++;
	return (enum cert_age)age;
}

int64_t cert_age_changes_unix_s(int64_t not_after_unix_s, int64_t now_unix_s)
{
	enum cert_age age = cert_age(not_after_unix_s, now_unix_s);

	return age == CERT_EXPIRED ? INT64_MAX : not_after_unix_s + 2 - limits_s[age];
}

void cert_left_text(int64_t seconds, char out[CERT_LEFT_SIZE])
{
	int64_t n = seconds / 60;
	const char *unit = "minute";

	if (seconds >= 2 * DAY_S) {
		n = seconds / DAY_S;
		unit = "day";
	} else if (seconds >= 2 * HOUR_S) {
		n = seconds / HOUR_S;
		unit = "hour";
	}
	snprintf(out, CERT_LEFT_SIZE, "%lld %s%s", (long long)n, unit, n == 1 ? "" : "s");
}
