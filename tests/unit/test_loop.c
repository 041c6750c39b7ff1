/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

static struct loop loop;

static int setup(void **state)
{
	(void)state;
	alarm(20);
	return loop_init(&loop);
}

static int teardown(void **state)
{
	(void)state;
	loop_fini(&loop);
	return 0;
}

/* One end of a socket pair, and what befell it. */
struct end {
	struct loop_fd lf;
	int fd;
	unsigned calls;
	uint32_t events;
	void (*action)(void);
};

static struct end ends[2];
static char order[16];
static size_t order_n;

static void on_end(struct loop_fd *lf, uint32_t events)
{
	struct end *end = container_of(lf, struct end, lf);

	end->calls++;
	end->events = events;
	if (end->action)
		end->action();
}

static void make_ends(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		ends[i] = (struct end){ .fd = fds[i], .lf = { .fd = -1 } };
}

static void close_ends(void)
{
	for (int i = 0; i < 2; i++) {
		loop_fd_del(&loop, &ends[i].lf);
		close(ends[i].fd);
	}
}

static void edge_is_told_once_level_again_and_again(void **state)
{
	(void)state;
	make_ends();
	assert_int_equal(loop_fd_add(&loop, &ends[0].lf, ends[0].fd, on_end, EPOLLIN), 0);
	assert_int_equal(write(ends[1].fd, "x", 1), 1);
	loop_turn(&loop, 1000);
	loop_turn(&loop, 0);
	assert_int_equal(ends[0].calls, 1);
	loop_fd_del(&loop, &ends[0].lf);
	assert_int_equal(loop_fd_add_level(&loop, &ends[0].lf, ends[0].fd, on_end, EPOLLIN), 0);
	loop_turn(&loop, 0);
	loop_turn(&loop, 0);
	assert_int_equal(ends[0].calls, 3);
	assert_int_equal(loop_fd_modify_level(&loop, &ends[0].lf, 0), 0);
	loop_turn(&loop, 0);
	assert_int_equal(ends[0].calls, 3);
	close_ends();
}

static void late_one_is_registered_when_its_time_has_come(void **state)
{
	int64_t started_ms;

	(void)state;
	make_ends();
	clock_update();
	started_ms = clock_ms();
	assert_int_equal(write(ends[1].fd, "x", 1), 1);
	assert_int_equal(loop_fd_add_late(&loop, &ends[0].lf, ends[0].fd, on_end, EPOLLIN), 0);
	while (!ends[0].calls)
		loop_turn(&loop, -1); /* without another timer: it bounds the wait itself */
	assert_in_range(clock_ms() - started_ms, LOOP_LATE_MS, 1000);
	assert_int_equal(ends[0].lf.fd, ends[0].fd);
	assert_true(ends[0].events & EPOLLIN); /* what had come before is told */
	close_ends();
}

static void late_one_that_is_forgotten_or_registered_has_left_its_place(void **state)
{
	(void)state;
	make_ends();
	for (int i = 0; i < 2; i++)
		assert_int_equal(loop_fd_add_late(&loop, &ends[i].lf, ends[i].fd, on_end, EPOLLOUT),
				 0);
	loop_fd_forget(&ends[0].lf);
	memset(&ends[0].lf, 0xff, sizeof(ends[0].lf)); /* its memory is somebody else's */
	loop_fd_del(&loop, &ends[1].lf);
	assert_int_equal(loop_fd_add(&loop, &ends[1].lf, ends[1].fd, on_end, EPOLLOUT), 0);
	for (int64_t end_ms = clock_ms() + 3 * LOOP_LATE_MS; clock_ms() < end_ms;)
		loop_turn(&loop, 1);
	assert_int_equal(ends[0].calls, 0);
	assert_int_equal(ends[1].calls, 1);
	ends[0].lf.fd = -1;
	close_ends();
}

static void late_one_without_a_place_is_registered_at_once(void **state)
{
	static struct loop_fd many[LOOP_LATES];

	(void)state;
	make_ends();
	for (int i = 0; i < LOOP_LATES; i++)
		assert_int_equal(loop_fd_add_late(&loop, &many[i], ends[0].fd, on_end, EPOLLIN), 0);
	assert_int_equal(loop_fd_add_late(&loop, &ends[1].lf, ends[1].fd, on_end, EPOLLIN), 0);
	assert_int_equal(ends[1].lf.fd, ends[1].fd);
	for (int i = 0; i < LOOP_LATES; i++)
		loop_fd_forget(&many[i]);
	loop_turn(&loop, 0);
	assert_int_equal(loop.late_first, loop.late_end);
	close_ends();
}

static void late_one_that_cannot_be_registered_hears_it(void **state)
{
	(void)state;
	make_ends();
	close(ends[0].fd);
	assert_int_equal(loop_fd_add_late(&loop, &ends[0].lf, ends[0].fd, on_end, EPOLLIN), 0);
	while (!ends[0].calls)
		loop_turn(&loop, -1);
	assert_int_equal(ends[0].events, EPOLLERR | EPOLLHUP);
	assert_int_equal(ends[0].lf.fd, -1);
	close_ends();
}

static void failed_add_leaves_it_unregistered(void **state)
{
	struct loop_fd lf = { .fd = 5 };

	(void)state;
	assert_int_equal(loop_fd_add(&loop, &lf, -1, on_end, EPOLLIN), -EBADF);
	assert_int_equal(lf.fd, -1);
	loop_fd_del(&loop, &lf); /* harmless */
}

static void delete_both(void)
{
	for (int i = 0; i < 2; i++)
		loop_fd_del(&loop, &ends[i].lf);
}

static void event_under_way_is_dropped_when_its_descriptor_goes(void **state)
{
	(void)state;
	make_ends();
	for (int i = 0; i < 2; i++) {
		ends[i].action = delete_both;
		assert_int_equal(loop_fd_add(&loop, &ends[i].lf, ends[i].fd, on_end, EPOLLOUT), 0);
	}
	loop_turn(&loop, 0);
	assert_int_equal(ends[0].calls + ends[1].calls, 1);
	close_ends();
}

/* A server connection is closed and opened anew in the same memory, in another one's event. */
static int spare_fds[2];

static void register_anew(void)
{
	struct end *other = ends[0].calls ? &ends[1] : &ends[0];

	if (ends[0].calls + ends[1].calls != 1)
		return;
	loop_fd_del(&loop, &other->lf);
	assert_int_equal(loop_fd_add(&loop, &other->lf, spare_fds[0], on_end, EPOLLIN), 0);
}

static void event_of_the_old_descriptor_is_not_given_to_the_new_one(void **state)
{
	struct end *other;

	(void)state;
	make_ends();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, spare_fds), 0);
	for (int i = 0; i < 2; i++) {
		ends[i].action = register_anew;
		assert_int_equal(loop_fd_add(&loop, &ends[i].lf, ends[i].fd, on_end, EPOLLOUT), 0);
	}
	loop_turn(&loop, 0);
	assert_int_equal(ends[0].calls + ends[1].calls, 1);
	other = ends[0].calls ? &ends[1] : &ends[0];
	assert_int_equal(write(spare_fds[1], "x", 1), 1); /* its own event comes */
	loop_turn(&loop, 1000);
	assert_int_equal(other->calls, 1);
	assert_true(other->events & EPOLLIN);
	close_ends();
	close(spare_fds[0]);
	close(spare_fds[1]);
}

static void note(char what)
{
	if (order_n < sizeof(order) - 1)
		order[order_n++] = what;
}

static struct soon soons[2];
static struct grave graves[2];
static struct timer timer;
static struct mail mail;

static void on_grave(struct grave *grave)
{
	note('g');
	if (grave == &graves[0])
		loop_bury(&loop, &graves[1], on_grave);
}

static void on_soon(struct soon *soon)
{
	note('s');
	if (soon == &soons[0])
		loop_soon(&loop, &soons[1], on_soon);
	else
		loop_bury(&loop, &graves[0], on_grave);
}

static void on_mail(struct mail *m)
{
	(void)m;
	note('m');
}

static void on_timer(struct timer *t)
{
	(void)t;
	note('t');
	loop_post(&loop, &mail, on_mail);
	loop_soon(&loop, &soons[0], on_soon);
	loop_soon(&loop, &soons[0], on_soon); /* queued once */
}

static void on_end_note(void)
{
	note('e');
}

static void turn_runs_events_timers_mail_soon_graves(void **state)
{
	(void)state;
	order_n = 0;
	make_ends();
	ends[0].action = on_end_note;
	assert_int_equal(loop_fd_add(&loop, &ends[0].lf, ends[0].fd, on_end, EPOLLOUT), 0);
	timer_init(&timer, on_timer);
	timer_set(&loop.wheel, &timer, 1); /* long ago */
	while (clock_ms() <= loop.wheel.now_ms)
		clock_update();
	loop_turn(&loop, 0);
	loop_turn(&loop, 0); /* what a soon queues is the next turn's */
	order[order_n] = '\0';
	assert_string_equal(order, "etmssgg");
	close_ends();
}

static unsigned soon_runs;

static void again(struct soon *soon)
{
	if (++soon_runs < 1000)
		loop_soon(&loop, soon, again);
}

static void work_that_asks_for_another_turn_lets_the_others_have_theirs(void **state)
{
	struct soon soon = { 0 };

	(void)state;
	soon_runs = 0;
	loop_soon(&loop, &soon, again);
	loop_turn(&loop, 0);
	assert_int_equal(soon_runs, 1);
	for (int i = 1; i < 1000; i++)
		loop_turn(&loop, 0);
	assert_int_equal(soon_runs, 1000);
}

static void timer_bounds_the_wait(void **state)
{
	int64_t started_us = clock_now_us();

	(void)state;
	order_n = 0;
	timer_init(&timer, on_timer);
	clock_update();
	loop_timer_in(&loop, &timer, 30);
	while (order_n == 0)
		loop_turn(&loop, -1);
	assert_in_range(clock_now_us() - started_us, 28000, 1500000);
}

struct parcel {
	struct mail mail;
	unsigned sender, n;
};

static unsigned next_of[4], received;

static void on_parcel(struct mail *m)
{
	struct parcel *parcel = container_of(m, struct parcel, mail);

	assert_int_equal(parcel->n, next_of[parcel->sender]++);
	received++;
	free(parcel);
}

static void *send_parcels(void *arg)
{
	for (unsigned i = 0; i < 5000; i++) {
		struct parcel *parcel = xmalloc(sizeof(*parcel));

		parcel->sender = (unsigned)(uintptr_t)arg;
		parcel->n = i;
		loop_post(&loop, &parcel->mail, on_parcel);
	}
	return NULL;
}

static void mail_of_each_thread_comes_whole_and_in_order(void **state)
{
	pthread_t threads[4];

	(void)state;
	for (uintptr_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, send_parcels, (void *)i), 0);
	while (received < 20000)
		loop_turn(&loop, -1); /* hangs when a wake-up is lost */
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(received, 20000);
}

static void *stop_it(void *arg)
{
	(void)arg;
	loop_stop(&loop);
	return NULL;
}

static void stop_from_another_thread_ends_the_run(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, stop_it, NULL), 0);
	loop_run(&loop);
	pthread_join(thread, NULL);
}

static void turns_and_their_lengths_are_counted(void **state)
{
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < 10; i++)
		loop_turn(&loop, 0);
	for (int i = 0; i < LOOP_LAG_BUCKETS; i++)
		sum += loop.lag[i];
	assert_int_equal(loop.turns, 10);
	assert_int_equal(sum, 10);
}

int main(void)
{
#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		LOOP_TEST(edge_is_told_once_level_again_and_again),
		LOOP_TEST(late_one_is_registered_when_its_time_has_come),
		LOOP_TEST(late_one_that_is_forgotten_or_registered_has_left_its_place),
		LOOP_TEST(late_one_without_a_place_is_registered_at_once),
		LOOP_TEST(late_one_that_cannot_be_registered_hears_it),
		LOOP_TEST(failed_add_leaves_it_unregistered),
		LOOP_TEST(event_under_way_is_dropped_when_its_descriptor_goes),
		LOOP_TEST(event_of_the_old_descriptor_is_not_given_to_the_new_one),
		LOOP_TEST(turn_runs_events_timers_mail_soon_graves),
		LOOP_TEST(work_that_asks_for_another_turn_lets_the_others_have_theirs),
		LOOP_TEST(timer_bounds_the_wait),
		LOOP_TEST(mail_of_each_thread_comes_whole_and_in_order),
		LOOP_TEST(stop_from_another_thread_ends_the_run),
		LOOP_TEST(turns_and_their_lengths_are_counted),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
