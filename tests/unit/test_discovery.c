/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/discovery.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "health_rig.h"

static unsigned changes_n;
static char *glob_text;
static struct discovery_worker workers[DISCOVERY_WORKERS_MAX + 1];

static void on_change(void)
{
	changes_n++;
}

static int setup(void **state)
{
	struct rig *rig;

	if (rig_setup(state) != 0)
		return -1;
	rig = *state;
	changes_n = 0;
	glob_text = xasprintf("%s/*.sock", rig->dir);
	rig->backend->hosts = arena_calloc(&rig->config->arena, 2, sizeof(struct host_conf));
	rig->backend->hosts[0] =
		(struct host_conf){ .name = STR("local"), .glob = str_of(glob_text) };
	rig->backend->hosts_n = 1;
	discovery_init(&rig->loop, on_change);
	return 0;
}

static int teardown(void **state)
{
	discovery_fini();
	free(glob_text);
	return rig_teardown(state);
}

/* The names of all workers, joined by spaces. */
static const char *names(void)
{
	static char text[4096];
	size_t n = discovery_workers(str_of(glob_text), workers, ARRAY_N(workers));
	int length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		length += snprintf(text + length, sizeof(text) - (size_t)length, "%s%s",
				   i ? " " : "", workers[i].name);
	return text;
}

static int bind_at(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(un.sun_path));
	memcpy(un.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

/* A socket file; returns its bound descriptor. */
static int make_socket(struct rig *rig, const char *file)
{
	char *path = rig_path(rig, file);
	int fd = bind_at(path);

	free(path);
	return fd;
}

static void make_stale(struct rig *rig, const char *file)
{
	close(make_socket(rig, file));
}

static void remove_file(struct rig *rig, const char *file)
{
	char *path = rig_path(rig, file);

	assert_int_equal(unlink(path), 0);
	free(path);
}

static void apply(struct rig *rig)
{
	discovery_apply(rig->config);
}

static struct server *server_of(struct rig *rig, const char *worker)
{
	return server_get(rig->backend->state, STR("local"), str_of(worker));
}

static unsigned generation(struct rig *rig, const char *worker)
{
	return atomic_load(&server_of(rig, worker)->generation);
}

static bool is_down(struct rig *rig, const char *worker)
{
	return server_state(server_of(rig, worker)) & SERVER_DOWN;
}

static void sockets_that_are_there_are_known_after_apply(void **state)
{
	struct rig *rig = *state;
	char *path;

	make_stale(rig, "b.sock");
	make_stale(rig, "a.sock");
	make_stale(rig, "a.other");
	make_stale(rig, ".hidden.sock");
	path = rig_path(rig, "plain.sock");
	close(open(path, O_CREAT | O_WRONLY, 0600));
	free(path);
	path = rig_path(rig, "dir.sock");
	assert_int_equal(mkdir(path, 0700), 0);
	free(path);
	apply(rig);
	assert_string_equal(names(), "a b");
	path = rig_path(rig, "a.sock");
	assert_string_equal(workers[0].path, path);
	free(path);
	assert_true(workers[0].ino != 0);
	rig_while_ms(rig, 20);
	assert_int_equal(changes_n, 0); /* apply's caller knows that already */
}

static void worker_comes_and_goes_with_its_socket(void **state)
{
	struct rig *rig = *state;

	apply(rig);
	assert_string_equal(names(), "");
	make_stale(rig, "w1.sock");
	rig_until(rig, changes_n == 1);
	assert_string_equal(names(), "w1");
	remove_file(rig, "w1.sock");
	rig_until(rig, changes_n == 2);
	assert_string_equal(names(), "");
	rig_while_ms(rig, 20);
	assert_int_equal(changes_n, 2);
}

static void many_births_make_one_change(void **state)
{
	struct rig *rig = *state;

	apply(rig);
	for (int i = 0; i < 20; i++) {
		char file[16];

		snprintf(file, sizeof(file), "w%02d.sock", i);
		make_stale(rig, file);
	}
	rig_until(rig, changes_n > 0);
	rig_while_ms(rig, 20);
	assert_int_equal(changes_n, 1);
	assert_int_equal(discovery_workers(str_of(glob_text), workers, 3), 20);
}

static void other_files_change_nothing(void **state)
{
	struct rig *rig = *state;

	make_stale(rig, "w.sock");
	apply(rig);
	make_stale(rig, "tmp.1");
	remove_file(rig, "tmp.1");
	rig_while_ms(rig, 30);
	assert_int_equal(changes_n, 0);
}

static void follow_dir(struct rig *rig, const char *pattern)
{
	free(glob_text);
	glob_text = rig_path(rig, pattern);
	rig->backend->hosts[0].glob = str_of(glob_text);
	apply(rig);
}

static void make_dir(struct rig *rig, const char *dir)
{
	char *path = rig_path(rig, dir);

	assert_int_equal(mkdir(path, 0700), 0);
	free(path);
}

static void remove_dir(struct rig *rig, const char *dir)
{
	char *path = rig_path(rig, dir);

	assert_int_equal(rmdir(path), 0);
	free(path);
}

static void directory_may_come_late_go_and_come_back(void **state)
{
	struct rig *rig = *state;

	follow_dir(rig, "run//chat/*.sock");
	for (int round = 0; round < 3; round++) {
		make_dir(rig, "run");
		if (round) /* with and without a turn in between */
			rig_while_ms(rig, 10);
		make_dir(rig, "run/chat");
		if (round == 2)
			rig_while_ms(rig, 10);
		make_stale(rig, "run/chat/w.sock");
		rig_until(rig, strcmp(names(), "w") == 0);
		make_stale(rig, "run/chat/x.sock"); /* the watch is on the directory now */
		rig_until(rig, strcmp(names(), "w x") == 0);
		remove_file(rig, "run/chat/w.sock");
		remove_file(rig, "run/chat/x.sock");
		remove_dir(rig, "run/chat");
		rig_until(rig, strcmp(names(), "") == 0);
		if (round == 1)
			rig_while_ms(rig, 10);
		remove_dir(rig, "run");
	}
}

static void directory_replaced_at_once_is_followed(void **state)
{
	struct rig *rig = *state;
	char *from = rig_path(rig, "d"), *to = rig_path(rig, "old");
	int64_t started_us;

	make_dir(rig, "d");
	make_stale(rig, "d/a.sock");
	follow_dir(rig, "d/*.sock");
	assert_string_equal(names(), "a");
	assert_int_equal(rename(from, to), 0);
	make_dir(rig, "d");
	make_stale(rig, "d/b.sock");
	started_us = clock_now_us();
	rig_until(rig, strcmp(names(), "b") == 0);
	assert_true(clock_now_us() - started_us < 1000000); /* told, not found by the slow look */
	make_stale(rig, "old/c.sock");
	make_stale(rig, "d/c.sock");
	rig_until(rig, strcmp(names(), "b c") == 0);
	free(from);
	free(to);
}

static void ancestor_renamed_away_is_found_out_in_time(void **state)
{
	struct rig *rig = *state;
	char *from = rig_path(rig, "r"), *to = rig_path(rig, "r2");
	int64_t end_us;

	make_dir(rig, "r");
	make_dir(rig, "r/d");
	make_stale(rig, "r/d/a.sock");
	follow_dir(rig, "r/d/*.sock");
	assert_int_equal(rename(from, to), 0);
	end_us = clock_now_us() + 4000000; /* the slow look, each 2 s */
	while (names()[0] && clock_now_us() < end_us)
		rig_turn(rig);
	assert_string_equal(names(), "");
	free(from);
	free(to);
}

static void socket_born_anew_is_another_generation(void **state)
{
	struct rig *rig = *state;
	int fd = make_socket(rig, "w.sock"), again;
	unsigned before;

	assert_int_equal(listen(fd, 8), 0);
	apply(rig);
	before = generation(rig, "w");
	assert_false(is_down(rig, "w"));
	/* Both in one turn: the list looks the same before and after, the inode may too. */
	remove_file(rig, "w.sock");
	close(fd);
	again = make_socket(rig, "w.sock");
	assert_int_equal(listen(again, 8), 0);
	rig_until(rig, changes_n == 1);
	assert_string_equal(names(), "w");
	assert_int_equal(generation(rig, "w"), before + 1);
	assert_false(is_down(rig, "w"));
	rig_while_ms(rig, 20);
	assert_int_equal(generation(rig, "w"), before + 1);
	close(again);
}

static void every_birth_of_a_quick_series_is_noticed(void **state)
{
	struct rig *rig = *state;
	int fd = make_socket(rig, "w.sock");
	unsigned before;

	assert_int_equal(listen(fd, 8), 0);
	apply(rig);
	before = generation(rig, "w");
	for (unsigned i = 1; i <= 40; i++) { /* maybe the same inode in the same tick */
		remove_file(rig, "w.sock");
		close(fd);
		fd = make_socket(rig, "w.sock");
		assert_int_equal(listen(fd, 8), 0);
		rig_until(rig, changes_n == i);
		assert_int_equal(generation(rig, "w"), before + i);
	}
	close(fd);
}

static void socket_renamed_over_the_old_one_is_another_generation(void **state)
{
	struct rig *rig = *state;
	char *from = rig_path(rig, "w.tmp"), *to = rig_path(rig, "w.sock");
	int fd = make_socket(rig, "w.sock"), again = make_socket(rig, "w.tmp");
	unsigned before;

	assert_int_equal(listen(fd, 8) | listen(again, 8), 0);
	apply(rig);
	before = generation(rig, "w");
	assert_int_equal(rename(from, to), 0);
	rig_until(rig, changes_n == 1);
	assert_int_equal(generation(rig, "w"), before + 1);
	assert_false(is_down(rig, "w"));
	close(fd);
	close(again);
	free(from);
	free(to);
}

static void change_of_mode_or_time_is_no_birth(void **state)
{
	struct rig *rig = *state;
	char *path = rig_path(rig, "w.sock");
	int fd = make_socket(rig, "w.sock");
	unsigned before;

	assert_int_equal(listen(fd, 8), 0);
	apply(rig);
	before = generation(rig, "w");
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
	make_stale(rig, "x.sock"); /* makes it look again */
	rig_until(rig, changes_n == 1);
	assert_int_equal(generation(rig, "w"), before);
	close(fd);
	free(path);
}

static void death_that_traffic_told_is_not_told_again_at_the_rebirth(void **state)
{
	struct rig *rig = *state;
	int fd = make_socket(rig, "w.sock");
	unsigned before;

	assert_int_equal(listen(fd, 8), 0);
	apply(rig);
	before = generation(rig, "w");
	close(fd);
	health_passive(server_of(rig, "w"), rig->backend, HEALTH_CONNECT_REFUSED);
	assert_int_equal(generation(rig, "w"), before + 1);
	remove_file(rig, "w.sock");
	fd = make_socket(rig, "w.sock");
	assert_int_equal(listen(fd, 8), 0);
	rig_until(rig, changes_n == 1);
	assert_int_equal(generation(rig, "w"), before + 1);
	assert_false(is_down(rig, "w"));
	close(fd);
}

/* What main does on a change. */
static void rebuild(struct rig *rig)
{
	size_t n = discovery_workers(str_of(glob_text), workers, ARRAY_N(workers));

	rig->specs_n = n;
	for (size_t i = 0; i < n; i++) {
		char *text = xasprintf("unix:%s", workers[i].path);

		rig->specs[i] = (struct srvset_spec){ .host = STR("local"),
						      .worker = str_of(workers[i].name),
						      .weight = 100 };
		assert_int_equal(sock_addr_parse(str_of(text), &rig->specs[i].addr), 0);
		free(text);
	}
	rig_publish(rig);
}

static void server_is_down_from_bind_until_listen(void **state)
{
	struct rig *rig = *state;
	int fd;

	rig->backend->health.kind = CHECK_NONE;
	apply(rig);
	rebuild(rig);
	fd = make_socket(rig, "w.sock");
	rig_until(rig, changes_n == 1);
	assert_true(is_down(rig, "w")); /* already when the change is told */
	rebuild(rig);
	rig_while_ms(rig, 50);
	assert_true(is_down(rig, "w"));
	assert_int_equal(listen(fd, 8), 0);
	rig_until(rig, !is_down(rig, "w"));
	close(fd);
}

static void worker_restarted_on_its_path_serves_again(void **state)
{
	struct rig *rig = *state;
	int fd = make_socket(rig, "w.sock");
	unsigned before;

	rig->backend->health.kind = CHECK_NONE;
	assert_int_equal(listen(fd, 8), 0);
	apply(rig);
	rebuild(rig);
	before = generation(rig, "w");
	assert_false(is_down(rig, "w"));
	close(fd); /* kill -9: the file stays */
	health_passive(server_of(rig, "w"), rig->backend, HEALTH_CONNECT_REFUSED);
	rig_while_ms(rig, 50);
	assert_true(is_down(rig, "w"));
	remove_file(rig, "w.sock");
	fd = make_socket(rig, "w.sock");
	rig_while_ms(rig, 20);
	rebuild(rig);
	assert_true(is_down(rig, "w"));
	assert_int_equal(listen(fd, 8), 0);
	rig_until(rig, !is_down(rig, "w"));
	assert_int_equal(generation(rig, "w"), before + 1);
	close(fd);
}

static void names_are_made_safe_and_unique(void **state)
{
	struct rig *rig = *state;

	make_stale(rig, "app 1;\xc3\xa9.sock");
	make_stale(rig, "v1.2-x_Y.sock");
	make_stale(rig, "same.sock");
	make_stale(rig, "same.socket");
	make_stale(rig, "nodot");
	follow_dir(rig, "*");
	assert_string_equal(names(), "app_1___ nodot same v1.2-x_Y");
}

static void list_is_bounded(void **state)
{
	struct rig *rig = *state;
	unsigned many = DISCOVERY_WORKERS_MAX + 6;

	for (unsigned i = 0; i < many; i++) {
		char file[16];

		snprintf(file, sizeof(file), "w%04u.sock", many - 1 - i);
		make_stale(rig, file);
	}
	apply(rig);
	assert_int_equal(discovery_workers(str_of(glob_text), workers, ARRAY_N(workers)),
			 DISCOVERY_WORKERS_MAX);
	for (unsigned i = 0; i < DISCOVERY_WORKERS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "w%04u", i);
		assert_string_equal(workers[i].name, name);
	}
}

static void path_too_long_for_a_socket_address_is_left_out(void **state)
{
	struct rig *rig = *state;
	char *dir = rig_path(rig, "a-directory-with-a-rather-long-name-in-which-paths-get-long");
	char *file = xasprintf("%s/%s", dir, "a-socket-with-a-long-name-too.sock");
	char *short_file = rig_path(rig, "s.sock");

	assert_true(strlen(file) > 107);
	assert_int_equal(mkdir(dir, 0700), 0);
	close(bind_at(short_file));
	assert_int_equal(rename(short_file, file), 0);
	follow_dir(rig, "a-directory-with-a-rather-long-name-in-which-paths-get-long/*");
	assert_string_equal(names(), "");
	free(dir);
	free(file);
	free(short_file);
}

static void glob_that_left_the_configuration_is_forgotten(void **state)
{
	struct rig *rig = *state;

	make_stale(rig, "w.sock");
	apply(rig);
	assert_string_equal(names(), "w");
	rig->backend->hosts_n = 0;
	apply(rig);
	assert_string_equal(names(), "");
	make_stale(rig, "x.sock");
	rig_while_ms(rig, 30);
	assert_int_equal(changes_n, 0);
	rig->backend->hosts_n = 1;
	apply(rig);
	assert_string_equal(names(), "w x");
}

static void two_globs_share_a_directory_and_part(void **state)
{
	struct rig *rig = *state;
	char *other = rig_path(rig, "*.ipc");

	rig->backend->hosts[1] = (struct host_conf){ .name = STR("ipc"), .glob = str_of(other) };
	rig->backend->hosts_n = 2;
	apply(rig);
	make_stale(rig, "a.ipc");
	rig_until(rig, discovery_workers(str_of(other), workers, 1) == 1);
	rig->backend->hosts_n = 1;
	apply(rig); /* the watch stays for the first */
	make_stale(rig, "b.sock");
	rig_until(rig, strcmp(names(), "b") == 0);
	free(other);
}

static void overflow_of_the_queue_loses_nothing(void **state)
{
	struct rig *rig = *state;
	char *a = rig_path(rig, "churn-a"), *b = rig_path(rig, "churn-b");
	FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	int limit = 0;

	if (!file || fscanf(file, "%d", &limit) != 1 || limit > 20000)
		limit = 0;
	if (file)
		fclose(file);
	apply(rig);
	close(open(a, O_CREAT | O_WRONLY, 0600));
	for (int i = 0; i < limit; i++) /* two events each; they differ, so none are merged */
		(void)rename(i % 2 ? b : a, i % 2 ? a : b);
	make_stale(rig, "late.sock");
	rig_until(rig, strcmp(names(), "late") == 0);
	free(a);
	free(b);
}

int main(void)
{
#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		RIG_TEST(sockets_that_are_there_are_known_after_apply),
		RIG_TEST(worker_comes_and_goes_with_its_socket),
		RIG_TEST(many_births_make_one_change),
		RIG_TEST(other_files_change_nothing),
		RIG_TEST(directory_may_come_late_go_and_come_back),
		RIG_TEST(directory_replaced_at_once_is_followed),
		RIG_TEST(ancestor_renamed_away_is_found_out_in_time),
		RIG_TEST(socket_born_anew_is_another_generation),
		RIG_TEST(every_birth_of_a_quick_series_is_noticed),
		RIG_TEST(socket_renamed_over_the_old_one_is_another_generation),
		RIG_TEST(change_of_mode_or_time_is_no_birth),
		RIG_TEST(death_that_traffic_told_is_not_told_again_at_the_rebirth),
		RIG_TEST(server_is_down_from_bind_until_listen),
		RIG_TEST(worker_restarted_on_its_path_serves_again),
		RIG_TEST(names_are_made_safe_and_unique),
		RIG_TEST(list_is_bounded),
		RIG_TEST(path_too_long_for_a_socket_address_is_left_out),
		RIG_TEST(glob_that_left_the_configuration_is_forgotten),
		RIG_TEST(two_globs_share_a_directory_and_part),
		RIG_TEST(overflow_of_the_queue_loses_nothing),
	};

	return cmocka_run_group_tests_name("discovery", tests, NULL, NULL);
}
