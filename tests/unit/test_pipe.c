/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/pipe.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conn_pair.h"

#define BLOCK 65536u

/* test -> source | pipe | destination -> test */
struct rig {
	int from, to; /* the test's ends; -1 = closed */
	struct conn source, destination;
	struct pipe *pipe;
	char *block, *arrived;
};

static void on_event(struct conn *conn, enum conn_ev ev)
{
	(void)conn;
	(void)ev;
}

static int setup(void **state)
{
	struct rig *rig = xcalloc(1, sizeof(*rig));

	clock_set_ms(1000);
	conn_pair(&rig->source, on_event, &rig->from);
	conn_pair(&rig->destination, on_event, &rig->to);
	rig->block = xcalloc(1, BLOCK);
	rig->arrived = xcalloc(1, BLOCK);
	for (unsigned i = 0; i < BLOCK; i++)
		rig->block[i] = (char)(i * 2654435761u >> 13);
	rig->pipe = pipe_get();
	assert_non_null(rig->pipe);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	pipe_put(rig->pipe);
	conn_close(&rig->source);
	conn_close(&rig->destination);
	if (rig->from >= 0)
		close(rig->from);
	if (rig->to >= 0)
		close(rig->to);
	free(rig->block);
	free(rig->arrived);
	free(rig);
	assert_int_equal(pipes_in_use(), 0);
	pipe_pool_fini();
	assert_int_equal(pipes_open(), 0);
	return 0;
}

static void bytes_pass_whole_whatever_their_number(void **state)
{
	static const size_t sizes[] = { 1, 2, 4095, 4096, 4097, 8191, 12345, 65535, 65536 };
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_N(sizes); i++) {
		rig->source.can_read = rig->destination.can_write = true;
		assert_int_equal(send(rig->from, rig->block, sizes[i], 0), sizes[i]);
		assert_int_equal(pipe_fill(rig->pipe, &rig->source, PIPE_SIZE), IO_OK);
		assert_int_equal(rig->pipe->held, sizes[i]);
		assert_int_equal(pipe_drain(rig->pipe, &rig->destination), IO_OK);
		assert_int_equal(rig->pipe->held, 0);
		assert_int_equal(recv(rig->to, rig->arrived, BLOCK, 0), sizes[i]);
		assert_memory_equal(rig->arrived, rig->block, sizes[i]);
	}
	assert_int_equal(rig->destination.sent, 1 + 2 + 4095 + 4096 + 4097 + 8191 + 12345 + 131071);
}

static void no_more_is_taken_than_was_asked_for(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(send(rig->from, rig->block, 1000, 0), 1000);
	assert_int_equal(pipe_fill(rig->pipe, &rig->source, 333), IO_OK);
	assert_int_equal(rig->pipe->held, 333);
	assert_true(rig->source.can_read);
	assert_int_equal(recv(rig->source.fd, rig->arrived, BLOCK, 0), 667);
}

static void an_empty_socket_an_end_and_a_reset_are_told_apart(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(pipe_fill(rig->pipe, &rig->source, BLOCK), IO_AGAIN);
	assert_false(rig->source.can_read);
	assert_int_equal(shutdown(rig->from, SHUT_WR), 0);
	rig->source.can_read = true;
	assert_int_equal(pipe_fill(rig->pipe, &rig->source, BLOCK), IO_EOF);
	assert_true(rig->source.is_eof);
	assert_int_equal(pipe_fill(rig->pipe, &rig->source, BLOCK), IO_EOF);

	/* Closing with something unread is a reset on a Unix socket, too. */
	assert_int_equal(send(rig->destination.fd, "x", 1, 0), 1);
	close(rig->to);
	rig->to = -1;
	assert_int_equal(pipe_fill(rig->pipe, &rig->destination, BLOCK), IO_FAIL);
	assert_int_equal(rig->destination.error, ECONNRESET);
	assert_true(rig->destination.is_broken && rig->destination.is_reset);
}

static void a_full_destination_is_waited_for(void **state)
{
	struct rig *rig = *state;
	size_t put = 0, got = 0;

	while (!rig->pipe->held) {
		rig->source.can_read = true;
		assert_int_equal(send(rig->from, rig->block, BLOCK, 0), BLOCK);
		put += BLOCK;
		while (pipe_fill(rig->pipe, &rig->source, BLOCK) == IO_OK &&
		       pipe_drain(rig->pipe, &rig->destination) == IO_OK)
			;
	}
	assert_true(rig->pipe->held > 0);
	assert_false(rig->destination.can_write);
	assert_int_equal(pipe_drain(rig->pipe, &rig->destination), IO_AGAIN);
	while (got < put) {
		ssize_t n = recv(rig->to, rig->arrived, BLOCK - got % BLOCK, 0);

		if (n > 0) {
			assert_memory_equal(rig->arrived, rig->block + got % BLOCK, n);
			got += (size_t)n;
			continue;
		}
		rig->destination.can_write = rig->source.can_read = true;
		if (!rig->pipe->held)
			assert_int_equal(pipe_fill(rig->pipe, &rig->source, BLOCK), IO_OK);
		assert_int_not_equal(pipe_drain(rig->pipe, &rig->destination), IO_FAIL);
	}
	assert_int_equal(rig->pipe->held, 0);
}

static void a_destination_that_is_gone_is_told(void **state)
{
	struct rig *rig = *state;

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(send(rig->from, "abc", 3, 0), 3);
	assert_int_equal(pipe_fill(rig->pipe, &rig->source, BLOCK), IO_OK);
	close(rig->to);
	rig->to = -1;
	assert_int_equal(pipe_drain(rig->pipe, &rig->destination), IO_FAIL);
	assert_int_equal(rig->destination.error, EPIPE);
	assert_int_equal(rig->pipe->held, 3);
}

static void an_empty_pipe_is_used_again_and_a_dirty_one_is_not(void **state)
{
	struct rig *rig = *state;
	struct pipe *pipe = rig->pipe;

	pipe_put(pipe);
	assert_int_equal(pipes_in_use(), 0);
	assert_int_equal(pipes_open(), 1);
	rig->pipe = pipe_get();
	assert_ptr_equal(rig->pipe, pipe);
	assert_int_equal(send(rig->from, "secret", 6, 0), 6);
	assert_int_equal(pipe_fill(rig->pipe, &rig->source, BLOCK), IO_OK);
	pipe_put(rig->pipe);
	assert_int_equal(pipes_open(), 0);
	rig->pipe = pipe_get();
	assert_int_equal(rig->pipe->held, 0);
	assert_int_equal(read(rig->pipe->out, rig->arrived, BLOCK), -1);
	assert_int_equal(errno, EAGAIN);
}

static void few_are_kept(void **state)
{
	struct pipe *pipes[PIPE_SPARE_MAX + 4];

	(void)state;
	for (size_t i = 0; i < ARRAY_N(pipes); i++) {
		pipes[i] = pipe_get();
		assert_non_null(pipes[i]);
	}
	for (size_t i = 0; i < ARRAY_N(pipes); i++)
		pipe_put(pipes[i]);
	assert_int_equal(pipes_open(), 1 + PIPE_SPARE_MAX);
}

/* In a child: takes pipes until there are none; how many it got is its status. */
static int take_all(rlim_t fds, int used, uid_t uid)
{
	struct rlimit limit;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int n = 0;

		pipe_pool_fini();
		clock_set_ms(1000);
		if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
			_exit(255);
		limit.rlim_cur = fds < limit.rlim_max ? fds : limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || (uid && setuid(uid) != 0))
			_exit(255);
		while (used-- > 0)
			(void)!dup(2);
		for (struct pipe *pipe; n < 250 && (pipe = pipe_get()); n++)
			if (pipe->size < PIPE_SIZE_LEAST)
				_exit(254);
		if (n == 250 || (uint32_t)n + 1 != pipes_in_use()) /* and the rig's */
			_exit(253);
		_exit(n);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void descriptors_are_left_to_connections(void **state)
{
	(void)state;
	assert_int_equal(take_all(640, 0, 0), 640 / 64 - 1); /* the rig has one */
	assert_int_equal(take_all(640, 600, 0), 0);
	assert_int_equal(take_all(60, 0, 0), 0);
}

static void a_user_whose_pages_are_used_up_has_no_pipes(void **state)
{
	FILE *file = fopen("/proc/sys/fs/pipe-user-pages-soft", "r");
	unsigned long pages = 0;
	int n;

	(void)state;
	if (geteuid() != 0 || !file || fscanf(file, "%lu", &pages) != 1 || !pages ||
	    pages > 64 * 256)
		pages = 0;
	if (file)
		fclose(file);
	if (!pages)
		skip();
	n = take_all(65536, 0, 65534);
	assert_in_range(n, 1, 249);
}

static void who_was_refused_asks_again_after_a_while(void **state)
{
	struct rlimit before, none = { 0, 0 };
	struct pipe *pipe;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	pipe = pipe_get();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_null(pipe);
	assert_null(pipe_get());
	clock_set_ms(clock_ms() + PIPE_RETRY_MS);
	pipe = pipe_get();
	assert_non_null(pipe);
	pipe_put(pipe);
}

static void none_is_had_while_they_are_not_allowed(void **state)
{
	struct pipe *pipe = pipe_get();

	(void)state;
	assert_non_null(pipe);
	pipe_put(pipe); /* a spare one */
	pipes_allow(false);
	pipe = pipe_get();
	pipes_allow(true);
	assert_null(pipe);
	pipe = pipe_get();
	assert_non_null(pipe);
	pipe_put(pipe);
}

#define PIPE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		PIPE_TEST(bytes_pass_whole_whatever_their_number),
		PIPE_TEST(no_more_is_taken_than_was_asked_for),
		PIPE_TEST(an_empty_socket_an_end_and_a_reset_are_told_apart),
		PIPE_TEST(a_full_destination_is_waited_for),
		PIPE_TEST(a_destination_that_is_gone_is_told),
		PIPE_TEST(an_empty_pipe_is_used_again_and_a_dirty_one_is_not),
		PIPE_TEST(few_are_kept),
		PIPE_TEST(descriptors_are_left_to_connections),
		PIPE_TEST(a_user_whose_pages_are_used_up_has_no_pipes),
		PIPE_TEST(none_is_had_while_they_are_not_allowed),
		PIPE_TEST(who_was_refused_asks_again_after_a_while),
	};

	return cmocka_run_group_tests_name("pipe", tests, NULL, NULL);
}
