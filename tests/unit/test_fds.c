/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "base/fds.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

#include <cmocka.h>

static unsigned table_size(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];
	unsigned size = 0;

	assert_non_null(status);
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "FDSize: %u", &size) == 1)
			break;
	fclose(status);
	return size;
}

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static uint64_t limit_to(uint64_t most)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < most)
		most = limit.rlim_max;
	limit.rlim_cur = most;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return most;
}

static void table_has_room_for_what_was_asked_and_nothing_is_open(void **state)
{
	uint64_t most = limit_to(4000);
	unsigned before = open_fds();

	(void)state;
	assert_true(table_size() < most);
	fds_make_room(most / 2);
	assert_true(table_size() >= most / 2);
	assert_int_equal(open_fds(), before);
}

static void more_than_the_limit_is_as_much_as_it_allows(void **state)
{
	uint64_t most = limit_to(8000);
	unsigned before = open_fds();

	(void)state;
	fds_make_room(UINT64_MAX);
	assert_true(table_size() >= most);
	assert_true(table_size() <= 2 * most + 1024);
	assert_int_equal(open_fds(), before);
}

static void nothing_changes_when_there_is_room(void **state)
{
	unsigned before = table_size(), open_before = open_fds();

	(void)state;
	fds_make_room(0);
	fds_make_room(1);
	fds_make_room(64);
	assert_int_equal(table_size(), before);
	assert_int_equal(open_fds(), open_before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_has_room_for_what_was_asked_and_nothing_is_open),
		cmocka_unit_test(more_than_the_limit_is_as_much_as_it_allows),
		cmocka_unit_test(nothing_changes_when_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
