/* SPDX-License-Identifier: MIT */
/*
 * loop - one epoll loop: descriptors, timers, mail from other threads, and deferred freeing.
 *
 * A loop belongs to one thread.  Each turn: wait; clock_update(); events; timers; mail; soon;
 * late registrations; graves.
 *
 * Descriptors are edge-triggered and registered once.  Nothing is freed inside a callback: what a
 * callback is done with is buried (loop_bury) and freed when the turn ends, so that a later event
 * of the same turn still finds memory; loop_fd_del() makes sure that it finds nothing to call.
 *
 * loop_post() is the only call that other threads may make.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/list.h"
#include "loop/timer.h"

struct loop_fd;
typedef void loop_fd_fn(struct loop_fd *lf, uint32_t events);

/* A registered descriptor; embedded in its object. */
struct loop_fd {
	union {
		loop_fd_fn *fn;
		struct loop_late *late; /* fd == LOOP_FD_LATE: its place in loop->lates */
	};
	int fd;         /* -1 = not registered: events still under way are dropped */
	uint32_t batch; /* loop->batch when it was registered: older events are not its own */
};
#define LOOP_FD_LATE (-2)

/* One that is to be registered when it still stands here at DUE_MS. */
struct loop_late {
	struct loop_fd *lf; /* NULL = registered or forgotten meanwhile */
	loop_fd_fn *fn;
	int64_t due_ms;
	int fd;
	uint32_t events;
};
#define LOOP_LATES   256 /* a power of two; who finds no place is registered at once */
#define LOOP_LATE_MS 2   /* by the clock of turns: one to two of the wall's */

struct grave {
	struct grave *next;
	void (*free_fn)(struct grave *grave);
};

/* A message to another loop.  FN runs there and owns the mail from then on. */
struct mail {
	struct mail *next;
	void (*fn)(struct mail *mail);
};

/* Work for the end of this turn. Zeroed, or queued. */
struct soon {
	struct list link;
	void (*fn)(struct soon *soon);
};

#define LOOP_LAG_BUCKETS 16

struct loop {
	int epoll_fd;
	int wake_fd;    /* eventfd */
	uint32_t batch; /* counts epoll_wait() calls */
	struct loop_fd wake;
	struct wheel wheel;
	struct grave *graves;
	struct list soons;
	struct loop_late lates[LOOP_LATES]; /* a ring, in the order of their due_ms */
	uint32_t late_first, late_end;      /* running numbers */
	_Atomic(struct mail *) mails;       /* newest first; other threads push */
	atomic_bool is_stopping;
	int64_t turn_started_us;
	_Atomic uint64_t turns;                 /* read by other threads */
	_Atomic uint64_t busy_us;               /* spent in turns, not waiting */
	_Atomic uint64_t lag[LOOP_LAG_BUCKETS]; /* turns that took < 2^i * 16 us */
};

int loop_init(struct loop *loop) must_check; /* 0 or negative errno */
void loop_fini(struct loop *loop);
/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
/* One turn that waits at most MAX_MS (-1 = as long as timers allow). */
void loop_turn(struct loop *loop, int max_ms);
void loop_stop(struct loop *loop); /* any thread; wakes it */

/* EVENTS are epoll's; EPOLLET is added.  0 or negative errno. */
int loop_fd_add(struct loop *loop, struct loop_fd *lf, int fd, loop_fd_fn *fn,
		uint32_t events) must_check;
/*
 * The same in LOOP_LATE_MS, unless it is registered or forgotten before: what lives shorter than
 * that costs no epoll_ctl().  0; FN hears EPOLLERR | EPOLLHUP when it fails then.  Or negative
 * errno.
 */
int loop_fd_add_late(struct loop *loop, struct loop_fd *lf, int fd, loop_fd_fn *fn,
		     uint32_t events) must_check;
/* Level-triggered instead, for listeners. */
int loop_fd_add_level(struct loop *loop, struct loop_fd *lf, int fd, loop_fd_fn *fn,
		      uint32_t events) must_check;
int loop_fd_modify_level(struct loop *loop, struct loop_fd *lf, uint32_t events) must_check;
void loop_fd_del(struct loop *loop, struct loop_fd *lf);
/* For one about to be closed: no epoll_ctl, close() unregisters it. */
static inline void loop_fd_forget(struct loop_fd *lf)
{
	if (lf->fd == LOOP_FD_LATE)
		lf->late->lf = NULL;
	lf->fd = -1;
}

static inline void loop_timer_in(struct loop *loop, struct timer *timer, int64_t in_ms)
{
	timer_set(&loop->wheel, timer, clock_ms() + (in_ms > 0 ? in_ms : 1));
}
void loop_bury(struct loop *loop, struct grave *grave, void (*free_fn)(struct grave *));
/* FN runs once at the end of this turn; what it queues itself runs in the next. */
void loop_soon(struct loop *loop, struct soon *soon, void (*fn)(struct soon *));
/* Before the object goes; harmless when it is not queued. */
void loop_soon_cancel(struct soon *soon);
void loop_post(struct loop *loop, struct mail *mail, void (*fn)(struct mail *));

#endif
