/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "log_rig.h"

static void time_text_is_rfc3339_in_utc(void **state)
{
	static const struct {
		int64_t ms;
		const char *want;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ INT64_C(951782400000) - 1, "2000-02-28T23:59:59.999Z" },
		{ INT64_C(951782400000), "2000-02-29T00:00:00.000Z" },
		{ INT64_C(951868800000), "2000-03-01T00:00:00.000Z" },
		{ INT64_C(1795353845123), "2026-11-22T13:24:05.123Z" },
		{ INT64_C(4107542400000), "2100-03-01T00:00:00.000Z" },
		{ INT64_MAX, "9999-12-31T23:59:59.999Z" },
		{ -5, "1970-01-01T00:00:00.000Z" },
	};
	char out[LOG_TIME_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		assert_int_equal(log_time_text(rows[i].ms, out), 24);
		assert_string_equal(out, rows[i].want);
	}
}

static void time_text_agrees_with_the_c_library_for_four_centuries(void **state)
{
	(void)state;
	for (int64_t day = 0; day < 146097; day++) {
		time_t at = (time_t)(day * 86400 + day % 86400);
		struct tm tm;
		char out[LOG_TIME_SIZE], want[LOG_TIME_SIZE];

		gmtime_r(&at, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
		log_time_text((int64_t)at * 1000, out);
		assert_string_equal(out, want);
	}
}

static void json_escape_keeps_utf8_and_escapes_the_rest(void **state)
{
	static const struct {
		struct str in;
		const char *want;
	} rows[] = {
		{ STR_INIT("plain"), "plain" },
		{ STR_INIT("a\"b\\c"), "a\\\"b\\\\c" },
		{ STR_INIT("\b\f\n\r\t\x01\x1f\x7f"), "\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f" },
		{ STR_INIT("\0x"), "\\u0000x" },
		{ STR_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
		  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ STR_INIT("\xff\xc3"), "\\u00ff\\u00c3" },            /* bad, cut short */
		{ STR_INIT("\xc0\x80"), "\\u00c0\\u0080" },            /* overlong NUL */
		{ STR_INIT("\xed\xa0\x80"), "\\u00ed\\u00a0\\u0080" }, /* surrogate */
		{ STR_INIT("\xf4\x90\x80\x80"), "\\u00f4\\u0090\\u0080\\u0080" },
		{ STR_INIT("\xe0\x80\xaf"), "\\u00e0\\u0080\\u00af" },
		{ STR_INIT("\xc2\x9b"), "\\u00c2\\u009b" }, /* C1 control: CSI */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(rows); i++) {
		char out[128];
		size_t n = log_json_escape(rows[i].in, out, sizeof(out));

		out[n] = '\0';
		assert_string_equal(out, rows[i].want);
	}
}

static void json_escape_never_cuts_an_escape_or_a_character(void **state)
{
	struct str in = STR("a\x01\"\xe2\x82\xac");
	static const size_t want[] = { 0, 1, 1, 1, 1, 1, 1, 7, 7, 9, 9, 9, 12, 12 };

	(void)state;
	for (size_t size = 0; size < ARRAY_N(want); size++) {
		char *out = xmalloc(size); /* of just that size, for the address sanitizer */

		assert_int_equal(log_json_escape(in, out, size), want[size]);
		free(out);
	}
}

static void text_message_has_time_pid_level_and_one_line(void **state)
{
	char *text, *want;

	(void)state;
	open_log(log_file_target, LOG_STYLE_TEXT);
	log_warn("peer said %s", "x\n\x1b[31m\xff \xc3\xa9");
	log_close();
	text = slurp(log_file_path);
	assert_int_equal(count_lines(text), 1);
	assert_true(text[4] == '-' && text[10] == 'T' && text[23] == 'Z');
	want = xasprintf(" limpet[%d] warn: peer said x\\x0a\\x1b[31m\\xff \xc3\xa9\n", getpid());
	assert_string_equal(text + 24, want);
	free(want);
	free(text);
}

static void json_message_is_one_object(void **state)
{
	char *text;

	(void)state;
	open_log(log_file_target, LOG_STYLE_JSON);
	log_error("a \"b\"\n");
	log_close();
	text = slurp(log_file_path);
	assert_memory_equal(text, "{\"time\":\"", 9);
	assert_string_equal(text + 33, "\",\"level\":\"error\",\"message\":\"a \\\"b\\\"\\n\"}\n");
	free(text);
}

static void complete_line_is_written_as_it_is(void **state)
{
	char *text;

	(void)state;
	open_log(log_file_target, LOG_STYLE_JSON);
	log_line(LOG_STYLE_JSON, STR("{\"n\":1}\n"));
	log_line(LOG_STYLE_JSON, STR("\n"));
	log_line(LOG_STYLE_TEXT, STR("not wanted\n"));
	log_close();
	text = slurp(log_file_path);
	assert_string_equal(text, "{\"n\":1}\n\n");
	free(text);
}

static void level_below_the_threshold_is_not_formatted(void **state)
{
	char *text;

	(void)state;
	open_log(log_file_target, LOG_STYLE_TEXT);
	log_debug("hidden");
	log_info("shown");
	log_close();
	text = slurp(log_file_path);
	assert_null(strstr(text, "hidden"));
	assert_non_null(strstr(text, " info: shown\n"));
	free(text);
}

#define LINES_EACH 2000
static void *write_many(void *arg)
{
	for (unsigned i = 0; i < LINES_EACH; i++) {
		char line[64];
		int n = snprintf(line, sizeof(line), "thread %u line %u.\n",
				 (unsigned)(uintptr_t)arg, i);

		log_line(LOG_STYLE_TEXT, (struct str){ line, (size_t)n });
	}
	return NULL;
}

static void threads_that_end_lose_no_line_and_keep_their_order(void **state)
{
	pthread_t threads[4];
	uint64_t dropped = log_dropped();
	unsigned next[4] = { 0 };
	char *text;

	(void)state;
	open_log(log_file_target, LOG_STYLE_TEXT);
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_many, (void *)i), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	log_close();
	assert_int_equal(log_dropped(), dropped); /* 2000 lines fit into a ring */
	text = slurp(log_file_path);
	for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		unsigned thread, n;

		assert_int_equal(sscanf(at, "thread %u line %u.", &thread, &n), 2);
		assert_true(thread < 4);
		assert_int_equal(n, next[thread]++);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(next[i], LINES_EACH);
	free(text);
}

static void full_ring_drops_whole_lines_and_counts_them(void **state)
{
	char *fifo = xasprintf("%s/fifo", log_dir), *target = xasprintf("file:%s", fifo);
	char line[1001];
	uint64_t before = log_dropped();
	int64_t started_us, took_us;
	int reader;

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	line[1000] = '\n';
	assert_int_equal(mkfifo(fifo, 0600), 0);
	reader = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);
	open_log(target, LOG_STYLE_TEXT);
	started_us = clock_now_us();
	for (int i = 0; i < 4000; i++) /* 4 MB: more than pipe, batch and ring can hold */
		log_line(LOG_STYLE_TEXT, (struct str){ line, sizeof(line) });
	took_us = clock_now_us() - started_us;
	assert_true(log_dropped() > before);
	assert_true(took_us < 1000000);
	started_us = clock_now_us();
	log_close(); /* nobody reads: bounded */
	assert_true(clock_now_us() - started_us < 2500000);
	close(reader);
	unlink(fifo);
	free(fifo);
	free(target);
}

static void reopen_follows_the_name(void **state)
{
	char *old = xasprintf("%s/log.1", log_dir);
	char *text;

	(void)state;
	open_log(log_file_target, LOG_STYLE_TEXT);
	log_line(LOG_STYLE_TEXT, STR("before\n"));
	assert_int_equal(rename(log_file_path, old), 0);
	log_reopen();
	for (int i = 0; i < 2000 && access(log_file_path, F_OK) != 0; i++)
		poll(NULL, 0, 1);
	log_line(LOG_STYLE_TEXT, STR("after\n"));
	log_close();
	text = slurp(old);
	assert_string_equal(text, "before\n");
	free(text);
	text = slurp(log_file_path);
	assert_string_equal(text, "after\n");
	free(text);
	free(old);
}

static void second_open_changes_the_target(void **state)
{
	char *other = xasprintf("%s/other", log_dir), *target = xasprintf("file:%s", other);
	char *text;

	(void)state;
	open_log(log_file_target, LOG_STYLE_TEXT);
	log_line(LOG_STYLE_TEXT, STR("one\n"));
	open_log(target, LOG_STYLE_TEXT);
	log_line(LOG_STYLE_TEXT, STR("two\n"));
	log_close();
	text = slurp(log_file_path);
	assert_memory_equal(text, "one\n", 4);
	free(text);
	open_log(target, LOG_STYLE_TEXT);
	log_line(LOG_STYLE_TEXT, STR("three\n"));
	log_close();
	text = slurp(other);
	assert_non_null(strstr(text, "three\n"));
	free(text);
	free(other);
	free(target);
}

static int bind_datagram(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static void expect_datagram(int fd, const char *head, const char *tail)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char text[4096];
	ssize_t n;

	assert_int_equal(poll(&pfd, 1, 2000), 1);
	n = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	assert_memory_equal(text, head, strlen(head));
	assert_true((size_t)n > strlen(tail));
	assert_string_equal(text + n - strlen(tail), tail);
}

static void syslog_datagram_has_rfc5424_header(void **state)
{
	char *path = xasprintf("%s/dev-log", log_dir), *target = xasprintf("unix:%s", path);
	char *tail = xasprintf(" limpet %d request [meta sequenceId=\"2\"] line as is", getpid());
	int fd = bind_datagram(path);

	(void)state;
	open_log(target, LOG_STYLE_TEXT);
	log_warn("a %s", "b\n");
	expect_datagram(fd, "<132>1 20", " - [meta sequenceId=\"1\"] a b\\x0a");
	log_line(LOG_STYLE_TEXT, STR("line as is\n"));
	expect_datagram(fd, "<134>1 20", tail);
	/* The daemon is restarted. */
	close(fd);
	unlink(path);
	fd = bind_datagram(path);
	log_error("again");
	expect_datagram(fd, "<131>1 20", " - [meta sequenceId=\"3\"] again");
	log_close();
	close(fd);
	unlink(path);
	free(path);
	free(target);
	free(tail);
}

static void udp_target_gets_a_datagram_each(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(0x7f000001) } };
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char *target;

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
	target = xasprintf("udp:127.0.0.1:%u", ntohs(in.sin_port));
	open_log(target, LOG_STYLE_TEXT);
	log_warn("one");
	log_warn("two");
	expect_datagram(fd, "<132>1 20", "] one");
	expect_datagram(fd, "<132>1 20", "] two");
	log_close();
	close(fd);
	free(target);
}

static void bad_targets_are_refused_with_a_reason(void **state)
{
	static const char *const targets[] = {
		"",      "file:", "file:/nonexistent/dir/log", "udp:", "udp:127.0.0.1", "udp::514",
		"unix:", "stdin"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_N(targets); i++) {
		const char *why = NULL;

		assert_true(try_log(targets[i], LOG_STYLE_TEXT, &why) < 0);
		assert_non_null(why);
	}
}

static void failed_open_leaves_the_running_target(void **state)
{
	const char *why = NULL;
	char *text;

	(void)state;
	open_log(log_file_target, LOG_STYLE_TEXT);
	assert_int_equal(try_log("file:/nonexistent/x", LOG_STYLE_JSON, &why), -ENOENT);
	log_line(LOG_STYLE_TEXT, STR("still here\n"));
	log_close();
	text = slurp(log_file_path);
	assert_string_equal(text, "still here\n");
	free(text);
}

static void longest_line_is_cut_and_ends_in_a_newline(void **state)
{
	size_t size = LOG_LINE_MAX + 1000;
	char *line = xmalloc(size), *text;

	(void)state;
	memset(line, 'y', size);
	open_log(log_file_target, LOG_STYLE_TEXT);
	log_line(LOG_STYLE_TEXT, (struct str){ line, size });
	log_close();
	text = slurp(log_file_path);
	assert_int_equal(strlen(text), LOG_LINE_MAX + 1);
	assert_int_equal(count_lines(text), 1);
	free(text);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_text_is_rfc3339_in_utc),
		cmocka_unit_test(time_text_agrees_with_the_c_library_for_four_centuries),
		cmocka_unit_test(json_escape_keeps_utf8_and_escapes_the_rest),
		cmocka_unit_test(json_escape_never_cuts_an_escape_or_a_character),
		cmocka_unit_test_teardown(text_message_has_time_pid_level_and_one_line,
					  log_rig_forget_file),
		cmocka_unit_test_teardown(json_message_is_one_object, log_rig_forget_file),
		cmocka_unit_test_teardown(complete_line_is_written_as_it_is, log_rig_forget_file),
		cmocka_unit_test_teardown(level_below_the_threshold_is_not_formatted,
					  log_rig_forget_file),
		cmocka_unit_test_teardown(threads_that_end_lose_no_line_and_keep_their_order,
					  log_rig_forget_file),
		cmocka_unit_test_teardown(full_ring_drops_whole_lines_and_counts_them,
					  log_rig_forget_file),
		cmocka_unit_test_teardown(reopen_follows_the_name, log_rig_forget_file),
		cmocka_unit_test_teardown(second_open_changes_the_target, log_rig_forget_file),
		cmocka_unit_test_teardown(syslog_datagram_has_rfc5424_header, log_rig_forget_file),
		cmocka_unit_test_teardown(udp_target_gets_a_datagram_each, log_rig_forget_file),
		cmocka_unit_test_teardown(bad_targets_are_refused_with_a_reason,
					  log_rig_forget_file),
		cmocka_unit_test_teardown(failed_open_leaves_the_running_target,
					  log_rig_forget_file),
		cmocka_unit_test_teardown(longest_line_is_cut_and_ends_in_a_newline,
					  log_rig_forget_file),
	};

	return cmocka_run_group_tests_name("log", tests, log_rig_start, log_rig_end);
}
