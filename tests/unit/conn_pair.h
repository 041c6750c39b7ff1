/* SPDX-License-Identifier: MIT */
/* A conn whose other end is the test's.  After cmocka.h. */
#ifndef TESTS_CONN_PAIR_H
#define TESTS_CONN_PAIR_H

#include <sys/socket.h>

#include "net/conn.h"

/* *MINE is the other end, non-blocking and the caller's to close. */
static inline void conn_pair(struct conn *conn, conn_event_fn *on_event, int *mine)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	conn_init(conn, fds[0], on_event);
	*mine = fds[1];
}

#endif
