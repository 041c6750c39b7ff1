/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "net/conn.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sys.h"

void conn_init(struct conn *conn, int fd, conn_event_fn *on_event)
{
	*conn = (struct conn){
		.lf = { .fd = -1 },
		.fd = fd,
		.on_event = on_event,
		.can_read = true,
		.can_write = true,
	};
}

static void finish_connect(struct conn *conn, uint32_t events)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		return;
	conn->is_connecting = false;
	conn->error = 0;
	if (events & (EPOLLERR | EPOLLHUP) &&
	    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error) {
		conn->error = (int16_t)error;
		conn->on_event(conn, CONN_FAILED);
		return;
	}
	conn->can_write = true;
	conn->on_event(conn, CONN_CONNECTED);
}

static void take_events(struct conn *conn, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
		conn->can_read = true;
		conn->is_drained = false;
	}
	if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
		conn->is_hung_up = true;
		conn->is_ended = events & EPOLLRDHUP && !(events & EPOLLERR);
	}
	if (unlikely(events & EPOLLPRI))
		conn->has_urgent = true;
	if (events & (EPOLLERR | EPOLLHUP))
		conn->is_broken = true;
	if (events & EPOLLERR)
		conn->is_reset = true;
}

static void on_ready(struct loop_fd *lf, uint32_t events)
{
	struct conn *conn = container_of(lf, struct conn, lf);

	take_events(conn, events);
	if (conn->is_connecting) {
		finish_connect(conn, events);
		return;
	}
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		conn->can_write = true;
	conn->on_event(conn, CONN_IO);
}

#define EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI)

int conn_watch(struct loop *loop, struct conn *conn)
{
	if (conn->lf.fd >= 0)
		return 0;
	if (conn->face && conn->face->watch)
		return conn->face->watch(loop, conn);
	loop_fd_forget(&conn->lf); /* it may stand among the late ones */
	return loop_fd_add(loop, &conn->lf, conn->fd, on_ready, EVENTS);
}

int conn_watch_late(struct loop *loop, struct conn *conn)
{
	if (conn->lf.fd != -1)
		return 0;
	if (conn->face && conn->face->watch)
		return conn->face->watch(loop, conn);
	return loop_fd_add_late(loop, &conn->lf, conn->fd, on_ready, EVENTS);
}

void conn_look(struct conn *conn)
{
	struct pollfd ask = { .fd = conn->fd, .events = POLLIN | POLLRDHUP | POLLPRI };

	if (poll(&ask, 1, 0) > 0) /* its bits are epoll's */
		take_events(conn, (uint32_t)ask.revents);
}

static void switch_on(const struct conn *conn, int level, int option)
{
	int one = 1;

	(void)setsockopt(conn->fd, level, option, &one, sizeof(one));
}

static int open_to(struct loop *loop, struct conn *conn, const struct sock_addr *addr,
		   conn_event_fn *on_event)
{
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	conn_init(conn, fd, on_event);
	conn->can_read = false;
	if (connect(fd, &addr->sa, addr->size) != 0) {
		if (errno != EINPROGRESS) {
			rc = -errno;
			goto fail;
		}
		conn->is_connecting = true;
		conn->can_write = false;
	}
	rc = conn_watch(loop, conn);
	if (rc == 0)
		return 0;
fail:
	close(fd);
	conn->fd = -1;
	return rc;
}

int conn_connect_lazily(struct loop *loop, struct conn *conn, const struct sock_addr *addr,
			conn_event_fn *on_event)
{
	int rc = open_to(loop, conn, addr, on_event);

	if (rc == 0 && !sock_addr_is_unix(addr)) {
		conn->nagle = CONN_NAGLE_FRESH;
		conn->lacks_probes = true;
	}
	return rc;
}

int conn_connect(struct loop *loop, struct conn *conn, const struct sock_addr *addr,
		 conn_event_fn *on_event)
{
	int rc = conn_connect_lazily(loop, conn, addr, on_event);

	if (rc == 0)
		conn_probe(conn);
	return rc;
}

int conn_connect_briefly(struct loop *loop, struct conn *conn, const struct sock_addr *addr,
			 conn_event_fn *on_event)
{
	return open_to(loop, conn, addr, on_event);
}

void conn_probe(struct conn *conn)
{
	if (likely(!conn->lacks_probes))
		return;
	conn->lacks_probes = false;
	switch_on(conn, SOL_SOCKET, SO_KEEPALIVE);
}

int conn_before_send(struct conn *conn)
{
	if (unlikely(conn->nagle == CONN_NAGLE_ON))
		switch_on(conn, IPPROTO_TCP, TCP_NODELAY);
	if (conn->nagle)
		conn->nagle = conn->nagle == CONN_NAGLE_FRESH ? CONN_NAGLE_ON : CONN_NAGLE_OFF;
	return conn->is_ending && !conn->face ? MSG_NOSIGNAL | MSG_MORE : MSG_NOSIGNAL;
}

/* A recv() has returned less than was asked for. */
static void was_emptied(struct conn *conn)
{
	if (unlikely(conn->has_urgent))
		return;
	if (likely(!conn->is_hung_up)) {
		conn->can_read = false;
	} else if (conn->is_ended && !conn->face) {
		conn->can_read = false;
		conn->is_eof = true;
	}
}

enum io conn_socket_read(struct conn *conn, char *to, size_t room, size_t *got)
{
	ssize_t n;

	*got = 0;
	if (conn->is_eof)
		return IO_EOF;
	if (!conn->can_read || conn->fd < 0 || !room) /* recv() of no bytes looks like the end */
		return IO_AGAIN;
	do
		n = sys_recv(conn->fd, to, room, 0);
	while (n < 0 && errno == EINTR);
	if (likely(n > 0)) {
		if ((size_t)n < room)
			was_emptied(conn);
		*got = (size_t)n;
		return IO_OK;
	}
	conn->can_read = false;
	if (n == 0) {
		conn->is_eof = true;
		return IO_EOF;
	}
	if (errno == EAGAIN)
		return IO_AGAIN;
	conn->error = errno;
	conn->is_broken = true;
	conn->is_reset = true;
	conn->is_eof = conn->error == EPIPE;
	return IO_FAIL;
}

enum io conn_socket_recv(struct conn *conn, struct buf *buf, size_t room)
{
	size_t got;
	enum io io = conn_socket_read(conn, buf_tail(buf), room, &got);

	if (likely(io == IO_OK))
		buf_fill(buf, got);
	return io;
}

enum io conn_recv(struct conn *conn, struct buf *buf, size_t room)
{
	if (unlikely(conn->face != NULL))
		return conn->face->recv(conn, buf, room);
	return conn_socket_recv(conn, buf, room);
}

static enum io sent_result(struct conn *conn, ssize_t n, size_t size, size_t *sent)
{
	*sent = n > 0 ? (size_t)n : 0;
	conn->sent += *sent;
	if (likely(*sent == size))
		return IO_OK;
	conn->can_write = false;
	if (n >= 0 || errno == EAGAIN)
		return IO_AGAIN;
	conn->error = errno;
	conn->is_broken = true;
	return IO_FAIL;
}

enum io conn_send(struct conn *conn, const void *bytes, size_t size, size_t *sent)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, size };
	ssize_t n;
	int flags;

	*sent = 0;
	if (size == 0)
		return IO_OK;
	if (unlikely(conn->face != NULL))
		return conn->face->sendv(conn, &iov, 1, sent);
	if (!conn->can_write || conn->fd < 0)
		return IO_AGAIN;
	flags = conn_before_send(conn);
	do
		n = sys_send(conn->fd, bytes, size, flags);
	while (n < 0 && errno == EINTR);
	return sent_result(conn, n, size, sent);
}

static size_t iov_size(const struct iovec *iov, int iov_n)
{
	size_t size = 0;

	for (int i = 0; i < iov_n; i++)
		size += iov[i].iov_len;
	return size;
}

enum io conn_sendv(struct conn *conn, const struct iovec *iov, int iov_n, size_t *sent)
{
	*sent = 0;
	if (iov_size(iov, iov_n) == 0)
		return IO_OK;
	if (unlikely(conn->face != NULL))
		return conn->face->sendv(conn, iov, iov_n, sent);
	return conn_socket_sendv(conn, iov, iov_n, sent);
}

enum io conn_socket_sendv(struct conn *conn, const struct iovec *iov, int iov_n, size_t *sent)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov,
			      .msg_iovlen = (size_t)iov_n };
	size_t size = iov_size(iov, iov_n);
	ssize_t n;
	int flags;

	*sent = 0;
	if (!conn->can_write || conn->fd < 0)
		return IO_AGAIN;
	flags = conn_before_send(conn);
	do
		n = sys_sendmsg(conn->fd, &msg, flags);
	while (n < 0 && errno == EINTR);
	return sent_result(conn, n, size, sent);
}

enum io conn_send_buf(struct conn *conn, struct buf *buf)
{
	size_t sent;
	enum io io;

	if (!buf_length(buf))
		return IO_OK;
	io = conn_send(conn, buf_bytes(buf), buf_length(buf), &sent);
	if (sent)
		buf_consume(buf, sent);
	return io;
}

bool conn_is_quiet(struct conn *conn)
{
	char byte;

	if (conn->face && conn->face->is_quiet)
		return conn->face->is_quiet(conn);
	if (conn->fd < 0 || conn->is_hung_up || conn->is_eof)
		return false;
	if (conn->can_read && recv(conn->fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN)
		conn->can_read = false;
	return !conn->can_read;
}

bool conn_is_unacknowledged(const struct conn *conn, uint64_t sent_before)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	if (conn->fd < 0 || getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
	    size < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
		return false;
	return info.tcpi_bytes_acked <= sent_before + 1; /* our SYN counts as one */
}

void conn_shutdown(struct conn *conn)
{
	if (!conn_is_open(conn) || conn->is_shut)
		return;
	conn->is_shut = true;
	if (conn->face)
		conn->face->shutdown(conn);
	else
		(void)shutdown(conn->fd, SHUT_WR);
}

/* What its face has; the socket stays. */
static void drop_face(struct conn *conn, bool is_reset)
{
	if (conn->face)
		conn->face->close(conn, is_reset);
	conn->face = NULL;
	conn->can_read = conn->can_write = false;
}

void conn_close(struct conn *conn)
{
	drop_face(conn, false);
	if (conn->fd < 0)
		return;
	loop_fd_forget(&conn->lf);
	close(conn->fd);
	conn->fd = -1;
}

void conn_reset(struct conn *conn)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	drop_face(conn, true);
	if (conn->fd < 0)
		return;
	(void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	conn_close(conn);
}

const char *conn_error_text(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "connection refused";
	case ECONNRESET:
		return "connection reset";
	case EPIPE:
		return "broken pipe";
	case ETIMEDOUT:
		return "connection timed out";
	case EHOSTUNREACH:
		return "no route to host";
	case ENETUNREACH:
		return "network unreachable";
	case ENOENT:
		return "no such socket";
	case EACCES:
		return "permission denied";
	case EAGAIN:
		return "backlog full";
	case EPROTO:
		return "TLS failure";
	case EMFILE:
	case ENFILE:
		return "out of descriptors";
	case EADDRNOTAVAIL:
		return "out of local ports";
	case 0:
		return "no error";
	default:
		return "input/output error";
	}
}
