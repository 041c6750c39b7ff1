/* SPDX-License-Identifier: MIT */
/*
 * exchange - one conversation with a server or its agent: connect, perhaps TLS, say something,
 * hear an answer and judge it.  What follows from the verdict is the owner's.  Used inside this
 * layer alone; control thread.
 *
 *   IDLE -> QUEUED -> CONNECTING -> HANDSHAKE -> TALKING -> IDLE
 *              |          ^ |           (TLS)
 *              |          | v
 *              +------> BACKLOG
 *
 * At most EXCHANGES_MAX are under way; the others wait in QUEUED, oldest first.
 */
#ifndef HEALTH_EXCHANGE_H
#define HEALTH_EXCHANGE_H

#include <errno.h>

#include "base/list.h"
#include "loop/loop.h"
#include "model/config.h"
#include "net/conn.h"
#include "net/tls.h"
#include "proto/http1.h"

#define EXCHANGES_MAX        256
#define EXCHANGE_BODY_MAX    BUF_SIZE /* bytes of a body, or of a text, that are looked at */
#define EXCHANGE_LINE_MAX    1024     /* bytes of an agent's line */
#define EXCHANGE_INTERIM_MAX 16       /* 1xx responses before the one that counts */

enum exchange_state {
	EXCHANGE_IDLE,
	EXCHANGE_QUEUED,     /* for one of those under way to end */
	EXCHANGE_BACKLOG,    /* for room in a Unix socket's backlog; the timer tries again */
	EXCHANGE_CONNECTING, /* the timer is the deadline, here and below */
	EXCHANGE_HANDSHAKE,  /* the PROXY header goes first, in plain */
	EXCHANGE_TALKING,
};

enum verdict {
	VERDICT_OK,
	VERDICT_FAILED,
	VERDICT_REFUSED, /* no process there */
	VERDICT_NONE,    /* our own trouble (out of descriptors): says nothing of the server */
};

enum exchange_kind {
	EXCHANGE_CONNECT, /* a connection, or a TLS handshake, is enough */
	EXCHANGE_TEXT,    /* conf's send and expect */
	EXCHANGE_HTTP,
	EXCHANGE_LINE, /* send, then one line: on_line judges it */
};

struct exchange;
/* CODE is a constant ("L7OK"); TEXT is for people.  Everything is closed already. */
typedef void exchange_done_fn(struct exchange *exchange, enum verdict verdict, const char *code,
			      const char *text);
/* False: LINE (without its end) makes no sense. */
typedef bool exchange_line_fn(struct exchange *exchange, struct str line);
/* The same for a body of at most EXCHANGE_BODY_MAX bytes; the rest of a longer one is cut off. */
typedef bool exchange_body_fn(struct exchange *exchange, struct str body);

struct exchange {
	/* The owner's to set while it is EXCHANGE_IDLE. */
	const struct sock_addr *addr; /* (view) */
	int64_t timeout_ms;
	/* Views into a configuration; the owner sets them anew when it takes another one. */
	const struct health_conf *conf; /* TEXT, HTTP */
	struct tls_client_ctx *tls_ctx; /* NULL = plain */
	struct str send;                /* LINE; HTTP: the request's body, "" = none */
	enum exchange_kind kind;
	enum proxy_mode send_proxy; /* open with a LOCAL header */
	exchange_done_fn *on_done;
	exchange_line_fn *on_line;
	exchange_body_fn *on_body; /* HTTP: judges instead of conf's pattern; NULL = that does */

	/* Results. */
	uint16_t http_status; /* 0 = none */
	int64_t duration_ms;

	enum exchange_state state;
	struct loop *loop;      /* (view) */
	struct list queue_link; /* while EXCHANGE_QUEUED */
	struct timer timer;
	struct conn conn;
	char why[TLS_WHY_SIZE]; /* of a failure */
	struct buf out, in;
	struct buf body;    /* HTTP: what has come of it, decoded */
	size_t seen;        /* bytes of `in` that the parser has had */
	unsigned interim_n; /* HTTP: 1xx responses so far */
	bool has_head;      /* HTTP: the body follows */
	enum http_framing framing;
	uint64_t body_left; /* FRAMING_LENGTH */
	struct http1_chunked chunked;
	int64_t started_us;
	int64_t deadline_ms;
};

void exchange_init(struct exchange *exchange, struct loop *loop);
/* It must be EXCHANGE_IDLE.  One on_done() follows, maybe before this returns. */
void exchange_start(struct exchange *exchange);
/* Without on_done(); idempotent. */
void exchange_abort(struct exchange *exchange);
/* Before its memory goes: aborts. */
void exchange_fini(struct exchange *exchange);

static inline bool exchange_is_idle(const struct exchange *exchange)
{
	return exchange->state == EXCHANGE_IDLE;
}
/* Under way, not waiting for its turn. */
static inline bool exchange_is_running(const struct exchange *exchange)
{
	return exchange->state > EXCHANGE_QUEUED;
}

/* 0 when somebody listens on the Unix socket ADDR, else negative errno.  Never waits. */
int exchange_unix_listens(const struct sock_addr *addr) must_check;
static inline bool exchange_is_refusal(int error)
{
	return error == ECONNREFUSED || error == ENOENT;
}

/* exchange.c's, for its other half. */
void exchange_end(struct exchange *exchange, enum verdict verdict, const char *code,
		  const char *text);

/* exchange_http.c: the request; what has come, and the end.  True when the exchange has ended. */
void exchange_http_write(struct exchange *exchange);
bool exchange_http_hear(struct exchange *exchange);
void exchange_http_eof(struct exchange *exchange);

#endif
