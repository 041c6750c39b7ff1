/* SPDX-License-Identifier: MIT */
/* log_time - instants as text.  Not gmtime_r(): in glibc that takes a lock which all threads share.
 */
#include "config.h"

#include "base/log.h"

#include <string.h>
#include <time.h>

/* Offsets from UTC change at such instants only. */
#define OFFSET_MS (15 * 60 * 1000)

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
				    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

struct date {
	unsigned year, month /* 1..12 */, day, hour, minute, second, ms;
};

static void put_digits(char *out, unsigned value, unsigned n)
{
	while (n-- > 0) {
		out[n] = (char)('0' + value % 10);
		value /= 10;
	}
}

static struct date date_of(int64_t unix_ms)
{
	const int64_t last_ms = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */
	int64_t ms = unix_ms < 0 ? 0 : unix_ms > last_ms ? last_ms : unix_ms;
	unsigned in_day = (unsigned)(ms / 1000 % 86400);
	/* Days since 0000-03-01, in eras of 400 years (146097 days): leap days come last. */
	unsigned days = (unsigned)(ms / 86400000) + 719468;
	unsigned in_era = days % 146097;
	unsigned year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	unsigned in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned month = (5 * in_year + 2) / 153; /* 0 = March */
	unsigned day = in_year - (153 * month + 2) / 5 + 1;

	month = month < 10 ? month + 3 : month - 9;
	return (struct date){
		.year = year_of_era + days / 146097 * 400 + (month <= 2),
		.month = month,
		.day = day,
		.hour = in_day / 3600,
		.minute = in_day / 60 % 60,
		.second = in_day % 60,
		.ms = (unsigned)(ms % 1000),
	};
}

/* UNIX_MS moved by the local offset, which a thread asks for once in 15 minutes. */
static int64_t local_ms(int64_t unix_ms)
{
	static __thread int64_t asked_slot = -1, offset_ms;
	int64_t slot = unix_ms / OFFSET_MS;

	if (slot != asked_slot) {
		time_t at = (time_t)(unix_ms / 1000);
		struct tm tm;

		offset_ms = localtime_r(&at, &tm) ? (int64_t)tm.tm_gmtoff * 1000 : 0;
		asked_slot = slot;
	}
	return unix_ms + offset_ms;
}

static void put_clock(char *out, const struct date *date)
{
	put_digits(out, date->hour, 2);
	put_digits(out + 3, date->minute, 2);
	put_digits(out + 6, date->second, 2);
}

size_t log_time_text(int64_t unix_ms, char out[LOG_TIME_SIZE])
{
	static const char form[] = "0000-00-00T00:00:00.000Z";
	struct date date = date_of(unix_ms);

	memcpy(out, form, sizeof(form));
	put_digits(out, date.year, 4);
	put_digits(out + 5, date.month, 2);
	put_digits(out + 8, date.day, 2);
	put_clock(out + 11, &date);
	put_digits(out + 20, date.ms, 3);
	return sizeof(form) - 1;
}

size_t log_time_clf(int64_t unix_ms, char out[LOG_TIME_SIZE])
{
	static const char form[] = "00/Jan/0000:00:00:00.000";
	struct date date = date_of(local_ms(unix_ms));

	memcpy(out, form, sizeof(form));
	put_digits(out, date.day, 2);
	memcpy(out + 3, months[date.month - 1], 3);
	put_digits(out + 7, date.year, 4);
	put_clock(out + 12, &date);
	put_digits(out + 21, date.ms, 3);
	return sizeof(form) - 1;
}

size_t log_time_bsd(int64_t unix_ms, char out[LOG_TIME_SIZE])
{
	static const char form[] = "Jan 00 00:00:00";
	struct date date = date_of(local_ms(unix_ms));

	memcpy(out, form, sizeof(form));
	memcpy(out, months[date.month - 1], 3);
	put_digits(out + 4, date.day, 2);
	if (out[4] == '0')
		out[4] = ' ';
	put_clock(out + 7, &date);
	return sizeof(form) - 1;
}
