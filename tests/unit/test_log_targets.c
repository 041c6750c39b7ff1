/* SPDX-License-Identifier: MIT */
/* Events with fields, and several targets. */
#include "config.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "log_rig.h"

static void event_shows_its_fields_in_json_alone(void **state)
{
	char *text;

	(void)state;
	open_log(log_file_target, LOG_STYLE_JSON);
	log_event(LOG_LEVEL_WARN, "server_state",
		  LOG_FIELDS({ "server", "a\"b\n", 0 }, { "empty", "", 0 }, { "n", NULL, -7 }),
		  "it is %s", "so");
	log_event(LOG_LEVEL_INFO, "stop", NULL, "bye");
	log_close();
	text = slurp(log_file_path);
	assert_non_null(strstr(text,
			       "\"level\":\"warn\",\"event\":\"server_state\",\"server\":\"a\\\"b"
			       "\\n\",\"empty\":\"\",\"n\":-7,\"message\":\"it is so\"}\n"));
	assert_non_null(strstr(text, "\"event\":\"stop\",\"message\":\"bye\"}\n"));
	free(text);
	unlink(log_file_path);
	open_log(log_file_target, LOG_STYLE_TEXT);
	log_event(LOG_LEVEL_WARN, "server_state", LOG_FIELDS({ "server", "a", 0 }), "it is so");
	log_close();
	text = slurp(log_file_path);
	assert_non_null(strstr(text, " warn: it is so\n"));
	assert_null(strstr(text, "server_state"));
	free(text);
}

static void fields_that_do_not_fit_are_left_out(void **state)
{
	char *large = xcalloc(1, 5000), *text;

	(void)state;
	memset(large, 'x', 4999);
	open_log(log_file_target, LOG_STYLE_JSON);
	log_event(LOG_LEVEL_WARN, "e", LOG_FIELDS({ "a", "1", 0 }, { "b", large, 0 }), "%s", large);
	log_close();
	text = slurp(log_file_path);
	assert_int_equal(count_lines(text), 1);
	assert_non_null(strstr(text, "\"a\":\"1\",\"message\":\"xxx"));
	assert_null(strstr(text, "\"b\":"));
	free(text);
	free(large);
}

/* What of LEVEL and KIND each of two targets gets. */
static void each_target_gets_what_it_wants(void **state)
{
	char *other = xasprintf("%s/other2", log_dir), *other_target = xasprintf("file:%s", other);
	struct log_target targets[] = {
		{ .target = str_of(log_file_target),
		  .style = LOG_STYLE_TEXT,
		  .level = LOG_LEVEL_WARN,
		  .has_events = true },
		{ .target = str_of(other_target),
		  .style = LOG_STYLE_JSON,
		  .level = LOG_LEVEL_INFO,
		  .has_requests = true },
	};
	const char *why;
	char *text;
	unsigned bad;

	(void)state;
	assert_int_equal(log_open(targets, 2, &bad, &why), 0);
	assert_false(log_wants_line(LOG_STYLE_TEXT));
	assert_true(log_wants_line(LOG_STYLE_JSON));
	log_warn("warned");
	log_info("informed");
	log_line(LOG_STYLE_TEXT, STR("a text"));
	log_line(LOG_STYLE_JSON, STR("{}"));
	log_close();
	text = slurp(log_file_path);
	assert_int_equal(count_lines(text), 1);
	assert_non_null(strstr(text, "warned"));
	free(text);
	text = slurp(other);
	assert_string_equal(text, "{}\n");
	free(text);
	unlink(other);
	free(other);
	free(other_target);
}

static void bad_one_among_several_is_named(void **state)
{
	struct log_target targets[] = {
		{ .target = str_of(log_file_target), .style = LOG_STYLE_TEXT },
		{ .target = STR("udp:nowhere"), .style = LOG_STYLE_TEXT },
	};
	const char *why = NULL;
	unsigned bad = 9;

	(void)state;
	assert_true(log_open(targets, 2, &bad, &why) < 0);
	assert_int_equal(bad, 1);
	assert_non_null(why);
}

static void tags_are_printable_and_end_nothing(void **state)
{
	char fits[LOG_TAG_MAX + 2];

	(void)state;
	memset(fits, 'x', sizeof(fits));
	assert_true(log_is_tag((struct str){ fits, LOG_TAG_MAX }));
	assert_false(log_is_tag((struct str){ fits, LOG_TAG_MAX + 1 }));
	assert_true(log_is_tag(STR("lb-1.edge")));
	assert_false(log_is_tag(STR("")));
	assert_false(log_is_tag(STR("a b")));
	assert_false(log_is_tag(STR("a:b")));
	assert_false(log_is_tag(STR("a[b")));
	assert_false(log_is_tag(STR("\xc3\xa9")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(event_shows_its_fields_in_json_alone,
					  log_rig_forget_file),
		cmocka_unit_test_teardown(fields_that_do_not_fit_are_left_out, log_rig_forget_file),
		cmocka_unit_test_teardown(each_target_gets_what_it_wants, log_rig_forget_file),
		cmocka_unit_test_teardown(bad_one_among_several_is_named, log_rig_forget_file),
		cmocka_unit_test(tags_are_printable_and_end_nothing),
	};

	return cmocka_run_group_tests_name("log_targets", tests, log_rig_start, log_rig_end);
}
