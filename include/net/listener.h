/* SPDX-License-Identifier: MIT */
/*
 * listener - listening sockets.
 *
 * Each traffic thread has its own socket on the same TCP address (SO_REUSEPORT), so the kernel
 * spreads connections and no thread wakes for another's.  A Unix socket cannot be bound twice: all
 * threads watch the same one (EPOLLEXCLUSIVE).
 *
 * listener_open() is called before privileges are dropped or on the control thread; the accepting
 * object (struct acceptor) belongs to one traffic thread.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "loop/loop.h"
#include "net/addr.h"

struct listen_options {
	int backlog;
	mode_t unix_mode;   /* of a Unix socket's file */
	bool is_reuse_port; /* TCP */
	int defer_accept_s; /* TCP_DEFER_ACCEPT; 0 = off */
	bool is_held;       /* bound alone: connections are refused until somebody calls listen() */
};

/*
 * A listening (unless is_held), non-blocking socket, or negative errno.  A stale Unix socket file
 * (nobody listens) is replaced; one that is alive is -EADDRINUSE.
 */
int listener_open(const struct sock_addr *addr, const struct listen_options *options) must_check;

/*
 * TCP_DEFER_ACCEPT: connections are handed out with their first bytes, or when so long has passed;
 * 0 = at once.  Nothing on Unix sockets.
 */
void listener_defer_accept(int fd, int seconds);

struct acceptor;
/* A new connection: FD is non-blocking and the callee's to close. */
typedef void acceptor_fn(struct acceptor *acceptor, int fd, const struct sock_addr *peer);

/*
 * May another connection be accepted now?  If not, the acceptor asks again in a moment.  If so, its
 * place is reserved: on_accept() follows, or give_back() when there was none after all.
 */
typedef bool acceptor_may_fn(struct acceptor *acceptor);
typedef void acceptor_give_back_fn(struct acceptor *acceptor);
/* accept() failed, and not because nobody was there; is_paused when descriptors are out. */
typedef void acceptor_failed_fn(struct acceptor *acceptor);

/* Accepts on one thread. */
struct acceptor {
	struct loop_fd lf;
	struct loop *loop;
	int fd; /* (own) */
	acceptor_fn *on_accept;
	acceptor_may_fn *may_accept;      /* NULL = always */
	acceptor_give_back_fn *give_back; /* NULL = nothing is reserved */
	acceptor_failed_fn *on_failed;    /* may be NULL */
	struct timer retry;               /* after running out of descriptors */
	bool is_paused;
	uint64_t pauses, errors;
	struct grave grave;
};

int acceptor_start(struct acceptor *acceptor, struct loop *loop, int fd,
		   acceptor_fn *on_accept) must_check;
void acceptor_pause(struct acceptor *acceptor);
void acceptor_resume(struct acceptor *acceptor);
/* Accepts what the kernel holds ready now; before acceptor_stop(), or they would be reset. */
void acceptor_accept_waiting(struct acceptor *acceptor);
void acceptor_stop(struct acceptor *acceptor); /* closes the socket */

#endif
