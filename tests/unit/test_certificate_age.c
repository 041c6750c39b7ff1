/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bug.h"
#include "health/ocsp_refresh.h"

#define DAY_S INT64_C(86400)
#define END_S INT64_C(2000000000)

static void the_age_is_told_by_what_is_left(void **state)
{
	static const struct {
		int64_t left_s;
		enum cert_age age;
	} rows[] = {
		{ 400 * DAY_S, CERT_FRESH },
		{ 30 * DAY_S, CERT_FRESH },
		{ 30 * DAY_S - 1, CERT_FRESH },
		{ 30 * DAY_S - 2, CERT_MONTH },
		{ 29 * DAY_S, CERT_MONTH },
		{ 7 * DAY_S, CERT_MONTH },
		{ 7 * DAY_S - 2, CERT_WEEK },
		{ 6 * DAY_S, CERT_WEEK },
		{ DAY_S, CERT_WEEK },
		{ DAY_S - 2, CERT_DAY },
		{ DAY_S / 2, CERT_DAY },
		{ 1, CERT_DAY },
		{ 0, CERT_DAY }, /* the last second is its own */
		{ -1, CERT_EXPIRED },
		{ -400 * DAY_S, CERT_EXPIRED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++)
		assert_int_equal(cert_age(END_S, END_S - rows[i].left_s), rows[i].age);
}

static void a_timer_set_to_the_next_change_finds_it(void **state)
{
	int64_t now_s = END_S - 400 * DAY_S;
	enum cert_age age = CERT_FRESH;

	(void)state;
	while (age != CERT_EXPIRED) {
		int64_t next_s = cert_age_changes_unix_s(END_S, now_s);

		assert_true(next_s > now_s);
		assert_int_equal(cert_age(END_S, next_s - 1), age);
		assert_int_equal(cert_age(END_S, next_s), age + 1);
		now_s = next_s;
		age++;
	}
	assert_true(cert_age_changes_unix_s(END_S, now_s) == INT64_MAX);
}

static void what_is_left_is_told_in_the_unit_that_fits(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} rows[] = {
		{ 29 * DAY_S + 5, "29 days" },
		{ 2 * DAY_S, "2 days" },
		{ 2 * DAY_S - 1, "47 hours" },
		{ DAY_S, "24 hours" },
		{ 7200, "2 hours" },
		{ 7199, "119 minutes" },
		{ 60, "1 minute" },
		{ 59, "0 minutes" },
		{ 0, "0 minutes" },
	};
	char text[CERT_LEFT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		cert_left_text(rows[i].seconds, text);
		assert_string_equal(text, rows[i].text);
	}
}

static void responders_are_asked_at_half_of_the_time_and_less_often_after_failures(void **state)
{
	static const int64_t now_ms = END_S * 1000;
	static const struct {
		enum tls_ocsp_status status;
		int64_t left_s; /* 0 = not told */
		unsigned failures;
		int64_t in_ms;
	} rows[] = {
		{ TLS_OCSP_NONE, 0, 0, 0 },
		{ TLS_OCSP_GOOD, 8 * DAY_S, 0, 4 * DAY_S * 1000 },
		{ TLS_OCSP_REVOKED, 8 * DAY_S, 0, 4 * DAY_S * 1000 },
		{ TLS_OCSP_GOOD, 400, 0, OCSP_MIN_MS },
		{ TLS_OCSP_GOOD, 0, 0, OCSP_DEFAULT_MS },
		{ TLS_OCSP_GOOD, -5, 0, 0 },
		{ TLS_OCSP_NONE, 0, 1, OCSP_MIN_MS },
		{ TLS_OCSP_NONE, 0, 2, 2 * OCSP_MIN_MS },
		{ TLS_OCSP_NONE, 0, 4, 8 * OCSP_MIN_MS },
		{ TLS_OCSP_NONE, 0, 5, OCSP_FAILED_MAX_MS },
		{ TLS_OCSP_NONE, 0, 4000000000u, OCSP_FAILED_MAX_MS },
		{ TLS_OCSP_GOOD, 1800, 5, 900 * 1000 }, /* before it runs out */
		{ TLS_OCSP_GOOD, -5, 3, 4 * OCSP_MIN_MS },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct tls_ocsp_about staple = { .status = rows[i].status };

		if (rows[i].left_s)
			staple.next_update_unix_s = END_S + rows[i].left_s;
		assert_int_equal(ocsp_refresh_in_ms(&staple, rows[i].failures, now_ms),
				 rows[i].in_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_age_is_told_by_what_is_left),
		cmocka_unit_test(a_timer_set_to_the_next_change_finds_it),
		cmocka_unit_test(what_is_left_is_told_in_the_unit_that_fits),
		cmocka_unit_test(
			responders_are_asked_at_half_of_the_time_and_less_often_after_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
