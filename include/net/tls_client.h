/* SPDX-License-Identifier: MIT */
/*
 * tls_client - TLS towards servers, over a conn (OpenSSL).
 *
 * A context holds what all sessions of one purpose share: authorities, our certificate, the name
 * that the server must have.  It is immutable and counted; any thread may open sessions from it.
 *
 * A session stands between its owner and a conn that the owner keeps: the owner goes on watching
 * the conn and calls the session where it would have called the conn.  A call that gives IO_AGAIN
 * is repeated when the conn has news of either kind: TLS may have to write in order to read.
 *
 * Threads: a session belongs to its conn's thread.
 */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/str.h"
#include "net/conn.h"

#define TLS_WHY_SIZE 128 /* bytes of a message, with NUL */

struct tls_client_options {
	bool is_verified; /* the certificate must lead to an authority and have `name` */
	bool is_min_1_3;  /* else 1.2 */
	struct str ca;    /* PEM file; "" = the system's */
	struct str sni;   /* asked for; "" = none */
	struct str name;  /* a host name or an IP that the certificate must have; "" = any */
	struct str certificate, key; /* PEM files to show; "" = none */
	const struct str *alpn;      /* protocols offered, best first, each of 1 to 255 bytes */
	size_t alpn_n;
};

struct tls_client_ctx;

/*
 * Sessions to resume, of one server and one context, on one thread: the newest few.  TLS 1.3
 * tickets are used once (RFC 8446 C.4).  Zeroed = empty.
 */
#define TLS_RESUME_MAX 4
struct tls_resume {
	const struct tls_client_ctx *ctx; /* (ref) whose sessions they are; NULL = empty */
	void *sessions[TLS_RESUME_MAX];   /* (own) newest first */
	unsigned n;
};
void tls_resume_fini(struct tls_resume *resume);

/* NULL: WHY says what was wrong.  The caller has one reference.  Reads files: it blocks. */
struct tls_client_ctx *tls_client_ctx_new(const struct tls_client_options *options,
					  char why[TLS_WHY_SIZE]) must_check;
struct tls_client_ctx *tls_client_ctx_ref(struct tls_client_ctx *ctx);
void tls_client_ctx_unref(struct tls_client_ctx *ctx); /* NULL is fine */

struct tls_session {
	void *ssl;         /* (own) OpenSSL's; NULL = closed */
	struct conn *conn; /* (view) */
	bool is_established;
	char why[TLS_WHY_SIZE]; /* of IO_FAIL; "" when the conn's own error tells */
};

/* Begins on CONN, which must be connected; nothing is sent yet.  0 or -ENOMEM. */
int tls_session_open(struct tls_session *session, const struct tls_client_ctx *ctx,
		     struct conn *conn) must_check;
/* IO_OK: established.  IO_EOF: the server closed within the handshake. */
enum io tls_session_handshake(struct tls_session *session);
/* As conn_recv() and conn_send_buf().  IO_EOF: a proper end (close_notify) or a bare close. */
enum io tls_session_recv(struct tls_session *session, struct buf *buf, size_t room);
enum io tls_session_send_buf(struct tls_session *session, struct buf *buf);
/* Says close_notify if that can go at once; the conn stays the caller's, `why` stays.  Idempotent.
 */
void tls_session_close(struct tls_session *session);

#endif
