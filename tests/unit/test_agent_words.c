/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/agent_words.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bug.h"

struct row {
	const char *line;
	bool is_known;
	enum agent_health health;
	enum agent_admin admin;
	int weight_pct;
	const char *down, *reason;
};

static const struct row rows[] = {
	{ "up", true, AGENT_UP, AGENT_ADMIN_UNSAID, -1, "", "" },
	{ "UP ready 100%", true, AGENT_UP, AGENT_READY, 100, "", "" },
	{ "down", true, AGENT_DOWN, AGENT_ADMIN_UNSAID, -1, "down", "" },
	{ "failed#no disk", true, AGENT_DOWN, AGENT_ADMIN_UNSAID, -1, "failed", "no disk" },
	{ "stopped # by hand, up", true, AGENT_DOWN, AGENT_ADMIN_UNSAID, -1, "stopped",
	  "by hand, up" },
	{ "fail,drain\t75%\r\n", true, AGENT_DOWN, AGENT_DRAIN, 75, "fail", "" },
	{ ",, maint ,", true, AGENT_HEALTH_UNSAID, AGENT_MAINT, -1, "", "" },
	{ "down up", true, AGENT_UP, AGENT_ADMIN_UNSAID, -1, "", "" },
	{ "0%", true, AGENT_HEALTH_UNSAID, AGENT_ADMIN_UNSAID, 0, "", "" },
	{ "1000%", true, AGENT_HEALTH_UNSAID, AGENT_ADMIN_UNSAID, 1000, "", "" },
	{ "1001%", false, AGENT_HEALTH_UNSAID, AGENT_ADMIN_UNSAID, -1, "", "" },
	{ "-5% up", true, AGENT_UP, AGENT_ADMIN_UNSAID, -1, "", "" },
	{ "%", false, AGENT_HEALTH_UNSAID, AGENT_ADMIN_UNSAID, -1, "", "" },
	{ "50", false, AGENT_HEALTH_UNSAID, AGENT_ADMIN_UNSAID, -1, "", "" },
	{ "upper", false, AGENT_HEALTH_UNSAID, AGENT_ADMIN_UNSAID, -1, "", "" },
	{ "#up", false, AGENT_HEALTH_UNSAID, AGENT_ADMIN_UNSAID, -1, "", "up" },
	{ "", false, AGENT_HEALTH_UNSAID, AGENT_ADMIN_UNSAID, -1, "", "" },
	{ "maxconn:30", true, AGENT_HEALTH_UNSAID, AGENT_ADMIN_UNSAID, -1, "", "" },
	{ "maxconn: up", true, AGENT_UP, AGENT_ADMIN_UNSAID, -1, "", "" },
};

static void each_line_says_what_it_should(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		struct agent_words words;
		bool is_known = agent_words_parse(str_of(rows[i].line), &words);

		if (is_known != rows[i].is_known || words.health != rows[i].health ||
		    words.admin != rows[i].admin || words.weight_pct != rows[i].weight_pct ||
		    !str_eq(words.down, str_of(rows[i].down)) ||
		    !str_eq(words.reason, str_of(rows[i].reason)))
			fail_msg("'%s'", rows[i].line);
	}
}

static void maxconn_is_read(void **state unused_arg)
{
	struct agent_words words;

	assert_true(agent_words_parse(STR("MaxConn:30 up"), &words));
	assert_int_equal(words.maxconn, 30);
	assert_false(agent_words_parse(STR("maxconn:99999999999"), &words));
	assert_int_equal(words.maxconn, -1);
}

/* Nothing is read past the end, whatever the bytes: the sanitizers look. */
static void every_cut_of_every_line_is_taken(void **state unused_arg)
{
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		size_t len = strlen(rows[i].line);

		for (size_t cut = 0; cut <= len; cut++) {
			char *copy = test_malloc(cut + 1);
			struct agent_words words;

			memcpy(copy, rows[i].line, cut);
			(void)agent_words_parse((struct str){ copy, cut }, &words);
			assert_in_range(words.weight_pct + 1, 0, AGENT_WEIGHT_PCT_MAX + 1);
			test_free(copy);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_says_what_it_should),
		cmocka_unit_test(maxconn_is_read),
		cmocka_unit_test(every_cut_of_every_line_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
