/* SPDX-License-Identifier: MIT */
/*
 * check - one server's check: opening a connection, asking, hearing the answer.  What follows from
 * it is health.c's.  Used inside this layer alone; control thread.
 */
#ifndef HEALTH_CHECK_H
#define HEALTH_CHECK_H

#include <errno.h>

#include "base/buf.h"
#include "base/list.h"
#include "health/health.h"
#include "net/conn.h"

enum check_state {
	CHECK_IDLE,       /* the timer starts the next one, if it is set */
	CHECK_QUEUED,     /* waiting for one of those under way to end */
	CHECK_BACKLOG,    /* Unix socket's backlog was full; the timer tries again */
	CHECK_CONNECTING, /* the timer is the deadline, here and below */
	CHECK_TALKING,
};

enum verdict {
	VERDICT_OK,
	VERDICT_FAILED,
	VERDICT_REFUSED, /* no process there */
	VERDICT_NONE,    /* our own trouble (out of descriptors): says nothing of the server */
};

struct check {
	struct list link;              /* all checks */
	struct list queue_link;        /* while CHECK_QUEUED */
	struct server *server;         /* (view) */
	const struct backend *backend; /* (view) into the configuration that health.c holds */
	struct sock_addr addr;
	enum proxy_mode send_proxy;

	enum check_state state;
	struct timer timer;
	struct conn conn;
	struct buf out, in;
	size_t seen;   /* bytes of `in` that the parser has had */
	bool is_probe; /* this run is a bare connect */
	int64_t started_us;
	int64_t deadline_ms;

	bool is_newborn; /* DOWN since its socket file appeared: its process does not listen yet */
	bool is_proven;  /* has had a result; the first one decides without fall and rise */
	bool is_kept;    /* scratch of health_apply() */
	bool is_stale_told;
	bool is_disabled, is_agent_disabled; /* by the operator */
	bool is_forced_down;                 /* by the operator: not probed */
	int64_t backoff_ms;                  /* wait before the next probe */
	struct health_info info;
	struct grave grave;
};

/* Starts a run: one check_done() follows, maybe before this returns. */
void check_start(struct loop *loop, struct check *check);
/* The timer has run in CHECK_BACKLOG, CHECK_CONNECTING or CHECK_TALKING. */
void check_on_deadline(struct loop *loop, struct check *check);
/* Closes what is open; the state becomes CHECK_IDLE. */
void check_close(struct check *check);

/* health.c's: the run has ended and check_close() was called.  CODE is a constant. */
void check_done(struct check *check, enum verdict verdict, const char *code, const char *text);

/* 0 when somebody listens on the Unix socket ADDR, else negative errno.  Never waits. */
int check_unix_listens(const struct sock_addr *addr) must_check;
static inline bool check_is_refusal(int error)
{
	return error == ECONNREFUSED || error == ENOENT;
}

#endif
