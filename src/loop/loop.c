/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "loop/loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/sys.h"

#define EVENTS_MAX 256

static void on_wake(struct loop_fd *lf, uint32_t events)
{
	uint64_t n;
	ssize_t got = read(lf->fd, &n, sizeof(n));

	(void)events;
	(void)got; /* EAGAIN: an earlier read took it */
}

int loop_init(struct loop *loop)
{
	int rc;

	*loop = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .wake_fd = -1 };
	if (loop->epoll_fd < 0)
		return -errno;
	list_init(&loop->soons);
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->wake_fd < 0) {
		rc = -errno;
		close(loop->epoll_fd);
		return rc;
	}
	clock_update();
	wheel_init(&loop->wheel, clock_ms());
	rc = loop_fd_add(loop, &loop->wake, loop->wake_fd, on_wake, EPOLLIN);
	if (rc != 0)
		loop_fini(loop);
	return rc;
}

static void run_graves(struct loop *loop)
{
	while (loop->graves) {
		struct grave *grave = loop->graves;

		loop->graves = grave->next;
		grave->free_fn(grave);
	}
}

static void run_mails(struct loop *loop)
{
	struct mail *mail = atomic_exchange_explicit(&loop->mails, NULL, memory_order_acquire);
	struct mail *oldest_first = NULL;

	while (mail) {
		struct mail *next = mail->next;

		mail->next = oldest_first;
		oldest_first = mail;
		mail = next;
	}
	while (oldest_first) {
		mail = oldest_first;
		oldest_first = mail->next;
		mail->fn(mail);
	}
}

/* Those queued so far: what they queue again waits for a turn of the others. */
static void run_soons(struct loop *loop)
{
	struct list batch;

	if (list_is_empty(&loop->soons))
		return;
	list_insert_before(&loop->soons, &batch);
	list_remove(&loop->soons);
	while (!list_is_empty(&batch)) {
		struct soon *soon = list_entry(batch.next, struct soon, link);

		list_remove(&soon->link);
		soon->fn(soon);
	}
}

/* Those whose time has come; the ring begins with one that still waits, if any does. */
static void run_lates(struct loop *loop)
{
	for (; loop->late_first != loop->late_end; loop->late_first++) {
		struct loop_late *late = &loop->lates[loop->late_first % LOOP_LATES];
		struct loop_fd *lf = late->lf;

		if (!lf)
			continue;
		if (late->due_ms > clock_ms())
			return;
		if (loop_fd_add(loop, lf, late->fd, late->fn, late->events) != 0)
			late->fn(lf, EPOLLERR | EPOLLHUP);
	}
}

void loop_fini(struct loop *loop)
{
	run_mails(loop);
	run_soons(loop);
	run_graves(loop);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	close(loop->epoll_fd);
}

static int wait_ms(const struct loop *loop, int max_ms)
{
	int64_t next_ms = wheel_next_ms(&loop->wheel);
	int64_t in_ms;

	if (loop->late_first != loop->late_end) {
		int64_t due_ms = loop->lates[loop->late_first % LOOP_LATES].due_ms;

		if (next_ms < 0 || due_ms < next_ms)
			next_ms = due_ms;
	}

	if (atomic_load_explicit(&loop->mails, memory_order_relaxed) ||
	    !list_is_empty(&loop->soons))
		return 0;
	if (next_ms < 0)
		return max_ms;
	in_ms = next_ms - clock_ms();
	if (in_ms < 0)
		in_ms = 0;
	if (max_ms >= 0 && in_ms > max_ms)
		in_ms = max_ms;
	return in_ms > 60000 ? 60000 : (int)in_ms;
}

static void count_lag(struct loop *loop)
{
	int64_t spent_us = clock_now_us() - loop->turn_started_us;
	unsigned bucket = 0;

	while (spent_us >= 16 << bucket && bucket < LOOP_LAG_BUCKETS - 1)
		bucket++;
	atomic_store_explicit(&loop->lag[bucket],
			      atomic_load_explicit(&loop->lag[bucket], memory_order_relaxed) + 1,
			      memory_order_relaxed);
	atomic_store_explicit(&loop->busy_us,
			      atomic_load_explicit(&loop->busy_us, memory_order_relaxed) +
				      (uint64_t)spent_us,
			      memory_order_relaxed);
	atomic_store_explicit(&loop->turns,
			      atomic_load_explicit(&loop->turns, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

void loop_turn(struct loop *loop, int max_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = sys_epoll_wait(loop->epoll_fd, events, EVENTS_MAX, wait_ms(loop, max_ms));

	clock_update();
	loop->turn_started_us = clock_us();
	bug_on(n < 0 && errno != EINTR);
	loop->batch++;
	for (int i = 0; i < n; i++) {
		struct loop_fd *lf = events[i].data.ptr;

		/* Registered since: the event is one of the descriptor that LF had before. */
		if (lf->fd >= 0 && lf->batch != loop->batch)
			lf->fn(lf, events[i].events);
	}
	wheel_advance(&loop->wheel, clock_ms());
	run_mails(loop);
	run_soons(loop);
	run_lates(loop);
	run_graves(loop);
	count_lag(loop);
}

void loop_run(struct loop *loop)
{
	while (!atomic_load_explicit(&loop->is_stopping, memory_order_relaxed))
		loop_turn(loop, -1);
}

static void wake(struct loop *loop)
{
	uint64_t one = 1;
	ssize_t put = write(loop->wake_fd, &one, sizeof(one));

	(void)put; /* EAGAIN: it is full of wake-ups already */
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->is_stopping, true);
	wake(loop);
}

static int fd_control(struct loop *loop, int op, struct loop_fd *lf, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = lf };

	return epoll_ctl(loop->epoll_fd, op, fd, &event) == 0 ? 0 : -errno;
}

int loop_fd_add(struct loop *loop, struct loop_fd *lf, int fd, loop_fd_fn *fn, uint32_t events)
{
	return loop_fd_add_level(loop, lf, fd, fn, events | EPOLLET);
}

int loop_fd_add_late(struct loop *loop, struct loop_fd *lf, int fd, loop_fd_fn *fn, uint32_t events)
{
	struct loop_late *late = &loop->lates[loop->late_end % LOOP_LATES];

	if (loop->late_end - loop->late_first >= LOOP_LATES)
		return loop_fd_add(loop, lf, fd, fn, events);
	*late = (struct loop_late){ lf, fn, clock_ms() + LOOP_LATE_MS, fd, events };
	loop->late_end++;
	*lf = (struct loop_fd){ .late = late, .fd = LOOP_FD_LATE };
	return 0;
}

int loop_fd_add_level(struct loop *loop, struct loop_fd *lf, int fd, loop_fd_fn *fn,
		      uint32_t events)
{
	int rc = fd_control(loop, EPOLL_CTL_ADD, lf, fd, events);

	*lf = (struct loop_fd){ .fn = fn, .fd = rc == 0 ? fd : -1, .batch = loop->batch };
	return rc;
}

int loop_fd_modify_level(struct loop *loop, struct loop_fd *lf, uint32_t events)
{
	return fd_control(loop, EPOLL_CTL_MOD, lf, lf->fd, events);
}

void loop_fd_del(struct loop *loop, struct loop_fd *lf)
{
	if (lf->fd < 0) {
		loop_fd_forget(lf);
		return;
	}
	fd_control(loop, EPOLL_CTL_DEL, lf, lf->fd, 0);
	lf->fd = -1;
}

void loop_bury(struct loop *loop, struct grave *grave, void (*free_fn)(struct grave *))
{
	grave->free_fn = free_fn;
	grave->next = loop->graves;
	loop->graves = grave;
}

void loop_soon(struct loop *loop, struct soon *soon, void (*fn)(struct soon *))
{
	if (list_is_linked(&soon->link))
		return;
	soon->fn = fn;
	list_push_back(&loop->soons, &soon->link);
}

void loop_soon_cancel(struct soon *soon)
{
	list_remove(&soon->link);
}

void loop_post(struct loop *loop, struct mail *mail, void (*fn)(struct mail *))
{
	struct mail *head = atomic_load_explicit(&loop->mails, memory_order_relaxed);

	mail->fn = fn;
	do
		mail->next = head;
	while (!atomic_compare_exchange_weak_explicit(&loop->mails, &head, mail,
						      memory_order_release, memory_order_relaxed));
	if (!head)
		wake(loop);
}
