/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "mirror/redis_answers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"

static char told[4096];

static void tell(const redisReply *reply)
{
	size_t n = strlen(told);

	switch (reply->type) {
	case REDIS_REPLY_INTEGER:
		snprintf(told + n, sizeof(told) - n, ":%lld ", reply->integer);
		break;
	case REDIS_REPLY_NIL:
		snprintf(told + n, sizeof(told) - n, "nil ");
		break;
	case REDIS_REPLY_ARRAY:
		snprintf(told + n, sizeof(told) - n, "[ ");
		for (size_t i = 0; i < reply->elements; i++)
			tell(reply->element[i]);
		n = strlen(told);
		snprintf(told + n, sizeof(told) - n, "] ");
		break;
	default:
		snprintf(told + n, sizeof(told) - n, "%d:%d:%s ", reply->type, (int)reply->len,
			 reply->str);
	}
}

/* True when all was well; told[] has the answers. */
static const char *feed(struct redis_answers *answers, const char *bytes, size_t size)
{
	redisReply *reply;

	redis_answers_feed(answers, bytes, size);
	while ((reply = redis_answers_next(answers)) != NULL) {
		tell(reply);
		freeReplyObject(reply);
	}
	return answers->why;
}

static const char transcript[] = "+OK\r\n"
				 ":-42\r\n"
				 "$6\r\na\r\n\r\nb\r\n"
				 "$0\r\n\r\n"
				 "$-1\r\n"
				 "*-1\r\n"
				 "*0\r\n"
				 "-ERR no\r\n"
				 "*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nk\r\n:7\r\n$-1\r\n"
				 "$5\r\nhello\r\n";
static const char meaning[] = "5:2:OK :-42 1:6:a\r\n\r\nb 1:0: nil nil [ ] 6:6:ERR no "
			      "[ [ 1:3:1-0 [ 1:1:k :7 ] ] nil ] 1:5:hello ";

static void answers_cut_at_every_byte_are_the_same(void **state unused_arg)
{
	for (size_t cut = 0; cut < sizeof(transcript); cut++) {
		struct redis_answers answers;

		redis_answers_open(&answers);
		told[0] = '\0';
		if (cut)
			assert_null(feed(&answers, transcript, cut));
		if (cut < sizeof(transcript) - 1)
			assert_null(feed(&answers, transcript + cut, sizeof(transcript) - 1 - cut));
		assert_string_equal(told, meaning);
		redis_answers_close(&answers);
	}
}

static void answers_come_byte_by_byte(void **state unused_arg)
{
	struct redis_answers answers;

	redis_answers_open(&answers);
	told[0] = '\0';
	for (size_t i = 0; i < sizeof(transcript) - 1; i++)
		assert_null(feed(&answers, transcript + i, 1));
	assert_string_equal(told, meaning);
	redis_answers_close(&answers);
}

static void what_is_no_answer_is_refused(void **state unused_arg)
{
	static const char *const rows[] = {
		"HTTP/1.1 400 Bad Request\r\n",
		"\r\n",
		"$x\r\n",
		"*x\r\n",
		":1x\r\n",
		"*-2\r\n",
		"$-2\r\n",
		"%1\r\n",
		"\x16\x03\x01",
		"$1\rx\r\n",
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct redis_answers answers;
		const char *why;

		redis_answers_open(&answers);
		why = feed(&answers, rows[i], strlen(rows[i]));
		if (!why || strcmp(why, "no answer of a Redis") != 0)
			fail_msg("row %zu: %s", i, why ? why : "taken");
		redis_answers_close(&answers);
	}
}

static long resident_kb(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* Each is a few bytes that would cost gigabytes. */
static void announced_sizes_are_refused_before_they_cost(void **state unused_arg)
{
	static const char *const rows[] = {
		"$67108865\r\n",
		"$9999999999\r\n",
		"$9223372036854775807\r\n",
		"*1\r\n$9999999999\r\n",
		"*8388608\r\n",
		"*2147483647\r\n",
		"*2\r\n*4200000\r\n*4200000\r\n",
	};
	long before_kb = resident_kb();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct redis_answers answers;
		const char *why;

		redis_answers_open(&answers);
		why = feed(&answers, rows[i], strlen(rows[i]));
		if (!why || strcmp(why, "an answer larger than 64 MiB") != 0)
			fail_msg("row %zu: %s", i, why ? why : "taken");
		redis_answers_close(&answers);
	}
	assert_in_range(resident_kb() - before_kb, 0, 128 * 1024);
}

static void a_string_of_the_largest_size_is_awaited(void **state unused_arg)
{
	struct redis_answers answers;

	redis_answers_open(&answers);
	assert_null(feed(&answers, "$67108000\r\nab", 13));
	redis_answers_close(&answers);
}

static void nulls_without_end_are_refused(void **state unused_arg)
{
	struct redis_answers answers;
	const char *why;
	char nulls[5 * 2000];

	for (size_t i = 0; i < sizeof(nulls); i += 5)
		memcpy(nulls + i, "$-1\r\n", 5);
	redis_answers_open(&answers);
	why = feed(&answers, "*2000000\r\n", 10);
	for (size_t i = 0; i < 1000 && !why; i++)
		why = feed(&answers, nulls, sizeof(nulls));
	assert_string_equal(why, "an answer larger than 64 MiB");
	redis_answers_close(&answers);
}

static void lines_without_end_are_refused(void **state unused_arg)
{
	static const char *const begins[] = { "+", "-", ":", "$", "*", "$5\r", "+x\r" };
	char line[16384];

	memset(line, '1', sizeof(line));
	for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		struct redis_answers answers;
		const char *why;

		redis_answers_open(&answers);
		why = feed(&answers, begins[i], strlen(begins[i]));
		for (size_t n = 0; n < 8 && !why; n++)
			why = feed(&answers, line, sizeof(line));
		assert_non_null(why);
		redis_answers_close(&answers);
	}
}

static void arrays_in_arrays_have_a_limit(void **state unused_arg)
{
	struct redis_answers answers;
	const char *why = NULL;

	redis_answers_open(&answers);
	for (size_t i = 0; i < 100 && !why; i++)
		why = feed(&answers, "*1\r\n", 4);
	assert_string_equal(why, "no answer of a Redis");
	redis_answers_close(&answers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_cut_at_every_byte_are_the_same),
		cmocka_unit_test(answers_come_byte_by_byte),
		cmocka_unit_test(what_is_no_answer_is_refused),
		cmocka_unit_test(announced_sizes_are_refused_before_they_cost),
		cmocka_unit_test(a_string_of_the_largest_size_is_awaited),
		cmocka_unit_test(nulls_without_end_are_refused),
		cmocka_unit_test(lines_without_end_are_refused),
		cmocka_unit_test(arrays_in_arrays_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
