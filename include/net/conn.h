/* SPDX-License-Identifier: MIT */
/*
 * conn - a non-blocking byte stream (TCP or Unix socket) on an edge-triggered loop.
 *
 * A conn remembers what the edges told: can_read and can_write stay true until a call learns
 * otherwise.  A recv() that returns less than was asked for has emptied the socket (epoll(7), for
 * streams), so no second one is made to learn EAGAIN; is_hung_up tells that the end is there to be
 * read and lifts that rule, unless the event has told that the peer has ended in order: then what a
 * short read leaves is the end, and no recv() is made to learn that either.
 *
 * Registration is lazy: conn_watch() is called by whoever has to wait, once.
 *
 * What is behind the calls is a socket, unless the conn has another face: TLS over its socket
 * (net/tls.h), or a stream of an HTTP/2 connection (session/h2.h), which has no descriptor of its
 * own.  Whoever holds a conn need not know; the flags mean the same: a call is worth making.
 *
 * Threads: one.  Memory: the owner's; conn_close() closes the descriptor at once, events that are
 * still under way in this turn are dropped, and the owner buries its memory.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "loop/loop.h"
#include "net/addr.h"

struct conn;
struct tls;

enum conn_ev {
	CONN_CONNECTED, /* connect() has succeeded; may be followed by CONN_IO in the same event */
	CONN_IO,        /* can_read, can_write or is_hung_up have changed */
	CONN_FAILED,    /* connect() has failed: conn->error */
};

typedef void conn_event_fn(struct conn *conn, enum conn_ev ev);

enum io { IO_OK, IO_AGAIN, IO_EOF, IO_FAIL };

/*
 * What stands behind a conn's calls instead of its socket.  Each does what the call of that name
 * says, flags included (can_read, can_write, is_eof, is_broken, error, sent).
 */
struct conn_face {
	enum io (*recv)(struct conn *conn, struct buf *buf, size_t room);
	/* As conn_sendv(), of at least one byte; *SENT is 0 before. */
	enum io (*sendv)(struct conn *conn, const struct iovec *iov, int iov_n, size_t *sent);
	int (*watch)(struct loop *loop, struct conn *conn); /* NULL = the socket is watched */
	bool (*is_quiet)(struct conn *conn);                /* NULL = the socket is asked */
	void (*shutdown)(struct conn *conn);                /* is_shut is set already */
	/* Frees what it has; the socket, when there is one, is closed after it by the caller. */
	void (*close)(struct conn *conn, bool is_reset);
	bool is_plain; /* the bytes are the socket's own: splice(2) may move them */
};

struct conn {
	struct loop_fd lf; /* lf.fd == -1 when not watched */
	int fd;            /* -1 = closed, or a face without a socket */
	int16_t error;     /* errno of IO_FAIL or CONN_FAILED */
	bool can_read : 1, can_write : 1;
	bool is_connecting : 1;
	bool is_hung_up : 1; /* the peer has closed its side, or the connection is broken */
	bool is_broken : 1;  /* EPOLLERR or EPOLLHUP: both sides are gone */
	bool is_reset : 1;   /* EPOLLERR: it was reset; what is unread may still be read */
	bool is_eof : 1;     /* nothing comes any more: recv() gives 0, or EPIPE behind a FIN */
	bool is_shut : 1;    /* we have shut our side */
	/* For faces, which keep can_read true while they hold bytes: the socket itself has none,
	 * and no edge has come since it was emptied. */
	bool is_drained : 1;
	/* The owner's word: what conn_sendv() brings is the last, and shutdown or close follows; a
	 * face says its own end in the same system call.  Stays true once it is. */
	bool is_ending : 1;
	bool is_ended : 1;       /* the peer has, in order: all that it sent is there to be read */
	bool has_urgent : 1;     /* TCP's urgent data: a recv() stops short before it */
	bool lacks_probes : 1;   /* conn_connect_lazily(): conn_probe() has something to do */
	uint8_t nagle : 2;       /* enum conn_nagle */
	conn_event_fn *on_event; /* container_of() finds the owner */
	const struct conn_face *face; /* NULL = a plain socket */
	union {
		struct tls *tls; /* (own) face == &tls_face */
		void *stream;    /* (own) of another face */
	};
	uint64_t sent; /* the owner's bytes that have gone, since it has set this to 0 */
};

enum conn_nagle {
	CONN_NAGLE_OFF,   /* TCP_NODELAY is set, or does not matter */
	CONN_NAGLE_FRESH, /* not set: nothing was sent yet that could have to be acknowledged */
	CONN_NAGLE_ON,    /* the next send has to set it */
};
_Static_assert(sizeof(struct conn) == 56, "an idle tunnel pays for two");

/* Takes over FD, which must be non-blocking. */
void conn_init(struct conn *conn, int fd, conn_event_fn *on_event);
/* 0 or negative errno.  Does nothing when it is watched already. */
int conn_watch(struct loop *loop, struct conn *conn) must_check;
/* The same in LOOP_LATE_MS, unless it is closed before: for who may be done with it by then. */
int conn_watch_late(struct loop *loop, struct conn *conn) must_check;
/* Of one that conn_is_unheard(): asks now what events would have told. */
void conn_look(struct conn *conn);
/* Not watched, or for so short that what happened before may not have been told yet. */
static inline bool conn_is_unheard(const struct loop *loop, const struct conn *conn)
{
	return conn->fd >= 0 && (conn->lf.fd < 0 || loop->batch - conn->lf.batch <= 2);
}

/*
 * Opens a connection to ADDR and watches it.  0: CONN_CONNECTED or CONN_FAILED follows, unless
 * conn->is_connecting is false on return, when it is connected already (Unix sockets).  Negative
 * errno: failed at once and nothing is open (-EAGAIN from a Unix socket: its backlog is full).
 */
int conn_connect(struct loop *loop, struct conn *conn, const struct sock_addr *addr,
		 conn_event_fn *on_event) must_check;
/*
 * The same, with TCP_NODELAY from the second send on, which is the first that it matters to, and
 * keep-alive probes from conn_probe() on.
 */
int conn_connect_lazily(struct loop *loop, struct conn *conn, const struct sock_addr *addr,
			conn_event_fn *on_event) must_check;
/* For who sends on conn->fd by itself, before each time; returns send()'s flags. */
int conn_before_send(struct conn *conn);
/* Keep-alive probes, if it lacks them: for one that is going to be silent for long. */
void conn_probe(struct conn *conn);
/*
 * The same for one question and one answer within a time limit, as a health check: two system
 * calls fewer, without TCP_NODELAY and keep-alive probes.
 */
int conn_connect_briefly(struct loop *loop, struct conn *conn, const struct sock_addr *addr,
			 conn_event_fn *on_event) must_check;

/* Of faces that have a socket: the socket's own side of the calls. */
enum io conn_socket_recv(struct conn *conn, struct buf *buf, size_t room);
/* The same to memory of the caller.  *GOT is 0 unless IO_OK. */
enum io conn_socket_read(struct conn *conn, char *to, size_t room, size_t *got);
enum io conn_socket_sendv(struct conn *conn, const struct iovec *iov, int iov_n, size_t *sent);

/* Reads into BUF's room, at most ROOM bytes of it.  IO_OK: at least one byte came. */
enum io conn_recv(struct conn *conn, struct buf *buf, size_t room);
/* Sends up to SIZE bytes; *SENT tells how many went.  IO_OK: all of them. IO_AGAIN: wait. */
enum io conn_send(struct conn *conn, const void *bytes, size_t size, size_t *sent);
enum io conn_sendv(struct conn *conn, const struct iovec *iov, int iov_n, size_t *sent);
/* Sends BUF's bytes and consumes what went. */
enum io conn_send_buf(struct conn *conn, struct buf *buf);
/* Open, with nothing to read and no end: fit to be kept idle. A call only when can_read is set. */
bool conn_is_quiet(struct conn *conn);
/*
 * True when the peer has acknowledged nothing of what was sent since SENT_BEFORE (of conn->sent).
 * With is_eof and is_reset that means that it had closed before any of it came: nobody has read it.
 * (An end alone would not do: a peer that has only shut its side still reads.)  False on Unix
 * sockets, where send() itself fails in that case.
 */
bool conn_is_unacknowledged(const struct conn *conn, uint64_t sent_before);
/* For splice(2): a socket whose bytes are passed as they are. */
static inline bool conn_is_plain(const struct conn *conn)
{
	return conn->fd >= 0 && (!conn->face || conn->face->is_plain);
}
static inline bool conn_is_open(const struct conn *conn)
{
	return conn->fd >= 0 || conn->face;
}
/* Half-close: no more bytes from us. */
void conn_shutdown(struct conn *conn);
/* Closes. Idempotent. */
void conn_close(struct conn *conn);
/* Closes with a reset: the peer must not take what it has for complete. */
void conn_reset(struct conn *conn);

const char *conn_error_text(int error); /* constant: "connection refused" ... */

#endif
