/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/file_watch.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const beside[] = { ".key", NULL };

static struct {
	struct loop loop;
	char dir[64];
	char told[PATH_MAX]; /* the last path */
	unsigned told_n, changed_n;
	unsigned refuse_n; /* so often it is to be asked again */
} rig;

static bool on_change(const char *path, bool has_changed)
{
	snprintf(rig.told, sizeof(rig.told), "%s", path);
	rig.told_n++;
	rig.changed_n += has_changed;
	if (!rig.refuse_n)
		return true;
	rig.refuse_n--;
	return false;
}

static const char *in_dir(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned at;
	char *path = paths[at++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", rig.dir, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Until it was told of N changes in all; a look comes FILE_WATCH_QUIET_MS after the last event. */
static void wait_for(unsigned n)
{
	int64_t end_us = clock_now_us() + 4000000;

	while (rig.told_n < n && clock_now_us() < end_us)
		loop_turn(&rig.loop, 20);
	assert_int_equal(rig.told_n, n);
}

static void wait_ms(int ms)
{
	int64_t end_us = clock_now_us() + ms * 1000;

	while (clock_now_us() < end_us)
		loop_turn(&rig.loop, 20);
}

/* Watches PATH, and has heard of it for the first time. */
static void watch_path(const char *path)
{
	const char *const paths[] = { path };

	file_watch_set(paths, 1);
	wait_for(1);
	assert_string_equal(rig.told, path);
}

static int setup(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	snprintf(rig.dir, sizeof(rig.dir), "/tmp/limpet-watch-XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	assert_int_equal(loop_init(&rig.loop), 0);
	file_watch_init(&rig.loop, on_change, beside);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	file_watch_fini();
	loop_fini(&rig.loop);
	snprintf(command, sizeof(command), "rm -rf %s", rig.dir);
	return system(command);
}

static void a_file_written_in_place_is_told_once(void **state)
{
	(void)state;
	write_file("a.pem", "one");
	watch_path(in_dir("a.pem"));
	write_file("a.pem", "t");
	write_file("a.pem", "two");
	wait_for(2);
	wait_ms(700);
	assert_int_equal(rig.told_n, 2);
}

static void a_file_that_is_renamed_over_another_is_told(void **state)
{
	(void)state;
	write_file("a.pem", "one");
	watch_path(in_dir("a.pem"));
	write_file("b.pem", "two");
	assert_int_equal(rename(in_dir("b.pem"), in_dir("a.pem")), 0);
	wait_for(2);
}

static void the_files_beside_belong_to_it_and_others_do_not(void **state)
{
	(void)state;
	write_file("a.pem", "one");
	watch_path(in_dir("a.pem"));
	write_file("other.pem", "one");
	wait_ms(700);
	assert_int_equal(rig.told_n, 1);
	write_file("a.pem.key", "one");
	wait_for(2);
}

static void a_link_that_is_set_anew_is_told(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_dir("archive"), 0755), 0);
	assert_int_equal(mkdir(in_dir("live"), 0755), 0);
	write_file("archive/a1.pem", "one");
	write_file("archive/a2.pem", "two");
	assert_int_equal(symlink("../archive/a1.pem", in_dir("live/a.pem")), 0);
	watch_path(in_dir("live/a.pem"));
	assert_int_equal(symlink("../archive/a2.pem", in_dir("live/new")), 0);
	assert_int_equal(rename(in_dir("live/new"), in_dir("live/a.pem")), 0);
	wait_for(2);
	/* And the file behind it. */
	write_file("archive/a2.pem", "three");
	wait_for(3);
}

static void the_swapped_directory_of_a_secret_is_told(void **state)
{
	(void)state;
	assert_int_equal(mkdir(in_dir("..1"), 0755), 0);
	assert_int_equal(mkdir(in_dir("..2"), 0755), 0);
	write_file("..1/tls.pem", "one");
	write_file("..2/tls.pem", "one");
	assert_int_equal(symlink("..1", in_dir("..data")), 0);
	assert_int_equal(symlink("..data/tls.pem", in_dir("tls.pem")), 0);
	watch_path(in_dir("tls.pem"));
	assert_int_equal(symlink("..2", in_dir("..tmp")), 0);
	assert_int_equal(rename(in_dir("..tmp"), in_dir("..data")), 0);
	wait_for(2);
}

static void files_that_come_to_a_directory_and_leave_it_are_told(void **state)
{
	(void)state;
	write_file("a.pem", "one");
	watch_path(rig.dir);
	write_file("b.pem", "one");
	wait_for(2);
	assert_int_equal(unlink(in_dir("a.pem")), 0);
	wait_for(3);
	write_file(".hidden", "one");
	wait_ms(700);
	assert_int_equal(rig.told_n, 3);
}

static void a_file_that_vanishes_and_comes_back_is_told_twice(void **state)
{
	(void)state;
	write_file("a.pem", "one");
	watch_path(in_dir("a.pem"));
	assert_int_equal(unlink(in_dir("a.pem")), 0);
	wait_for(2);
	write_file("a.pem", "one");
	wait_for(3);
}

static void what_is_broken_is_asked_for_again(void **state)
{
	(void)state;
	write_file("a.pem", "one");
	rig.refuse_n = 1;
	watch_path(in_dir("a.pem"));
	assert_int_equal(rig.changed_n, 1);
	wait_for(2); /* FILE_WATCH_AGAIN_MS later, though nothing has changed */
	assert_int_equal(rig.changed_n, 1);
}

static void a_path_that_stays_in_the_set_is_not_told_again(void **state)
{
	const char *paths[2];

	(void)state;
	write_file("a.pem", "one");
	write_file("b.pem", "one");
	watch_path(in_dir("a.pem"));
	paths[0] = in_dir("a.pem");
	paths[1] = in_dir("b.pem");
	file_watch_set(paths, 2);
	wait_for(2);
	assert_string_equal(rig.told, paths[1]);
	wait_ms(700);
	assert_int_equal(rig.told_n, 2);
	file_watch_set(NULL, 0);
	write_file("a.pem", "two");
	wait_ms(700);
	assert_int_equal(rig.told_n, 2);
}

int main(void)
{
#define WATCH_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WATCH_TEST(a_file_written_in_place_is_told_once),
		WATCH_TEST(a_file_that_is_renamed_over_another_is_told),
		WATCH_TEST(the_files_beside_belong_to_it_and_others_do_not),
		WATCH_TEST(a_link_that_is_set_anew_is_told),
		WATCH_TEST(the_swapped_directory_of_a_secret_is_told),
		WATCH_TEST(files_that_come_to_a_directory_and_leave_it_are_told),
		WATCH_TEST(a_file_that_vanishes_and_comes_back_is_told_twice),
		WATCH_TEST(what_is_broken_is_asked_for_again),
		WATCH_TEST(a_path_that_stays_in_the_set_is_not_told_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
