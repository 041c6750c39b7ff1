/* SPDX-License-Identifier: MIT */
/*
 * tls - TLS over a conn's socket (OpenSSL 3), as a face of the conn: once it is established the
 * conn's own calls carry plain text.
 *
 *   accepted socket --tls_accept()--> handshake --IO_OK--> conn_recv(), conn_sendv() ...
 *   connected socket --tls_connect()-/
 *
 * OpenSSL reads and writes through a BIO that calls the socket's side of the conn, so the conn's
 * edges stay true.  What a handshake says is sent flight by flight; a send of plain text becomes
 * records of up to 16 KiB, several in one system call.  A connection without pending bytes gives
 * OpenSSL's buffers back.
 *
 * What is encrypted cannot be taken back: after a send that gave IO_AGAIN, the next one begins with
 * the bytes that were not reported as sent.  IO_OK means that the socket has taken all of them.
 *
 * Early data (0-RTT) is refused, renegotiation too.  The peer's close_notify reads as IO_EOF; so
 * does a bare close, with is_truncated set in tls_about().
 *
 * Threads: a conn's own.  Memory: struct tls is the conn's; conn_close() says close_notify when
 * that can go at once, and frees it.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "net/conn.h"
#include "net/tls_client.h"

struct tls_server; /* net/tls_server.h */

extern const struct conn_face tls_face;

/*
 * CONN is an accepted socket of which FIRST (may be empty) has been read already; FIRST's bytes are
 * taken and the buffer is released.  Nothing is sent yet.  SERVER is referenced as long as the conn
 * lives.  0 or -ENOMEM.
 */
int tls_accept(struct conn *conn, struct tls_server *server, struct buf *first) must_check;

/*
 * CONN is connected; nothing is sent yet.  CTX is referenced.  RESUME (may be NULL; a view that
 * must live as long as the conn) offers a session that was kept there, and keeps the new ones.
 * 0 or -ENOMEM.
 */
int tls_connect(struct conn *conn, struct tls_client_ctx *ctx,
		struct tls_resume *resume) must_check;

/* Before the handshake: CLEAR's bytes (a PROXY header) go as they are, in front of TLS's first. */
void tls_send_before(struct conn *conn, struct buf *clear);

/*
 * Goes on with the handshake: at most one step that signs.  IO_OK: established.  IO_AGAIN: when the
 * conn has news.  IO_EOF: the peer closed within it.  IO_FAIL: an alert has been sent where one
 * belongs; tls_about() says why.
 */
enum io tls_handshake(struct conn *conn);

/* What is known of a connection; views that live as long as the conn. "" or NULL = not known. */
struct tls_about {
	const char *version; /* "TLSv1.3" */
	const char *cipher;  /* "TLS_AES_128_GCM_SHA256" */
	struct str sni;      /* as the client sent it */
	struct str alpn;     /* what was agreed on */
	const char *why;     /* of the last IO_FAIL: "certificate has expired" */
	bool is_established, is_resumed, is_truncated;
	/* The peer's certificate. */
	bool has_peer; /* it has shown one */
	bool is_peer_verified;
	const char *peer_why;        /* why it was not verified (optional certificates) */
	struct str peer_cn;          /* common name of the subject; no controls in it */
	struct str peer_fingerprint; /* SHA-256, 64 hex digits */
};
/* False: CONN is plain.  Cheap but for the peer's certificate, which is read once and kept. */
bool tls_about(struct conn *conn, struct tls_about *about);

/* CONN was opened with CTX; NULL = it is plain. */
bool tls_is_of(const struct conn *conn, const struct tls_client_ctx *ctx);
/* Bytes that OpenSSL holds and that no edge will tell of.  (conn.can_read is kept true for them.)
 */
bool tls_has_pending(struct conn *conn);
/*
 * Bytes that no send has reported are in records already: whoever would rather send something else
 * instead of what a send left, as one may on a plain conn, must not.
 */
bool tls_is_holding(const struct conn *conn);
/* The peer has ended without a close_notify: what it said may have been cut short (RFC 9112 9.8).
 */
bool tls_is_truncated(const struct conn *conn);
/* Bytes sent on the wire, for conn_is_unacknowledged(). */
uint64_t tls_wire_sent(const struct conn *conn);

/* Why an IO_FAIL of CONN, plain or not: TLS's reason, else the socket's.  A view as tls_about()'s.
 */
const char *tls_failure_text(const struct conn *conn);

/* OpenSSL's oldest complaint as text, behind WHAT and ": " ("" = alone); clears its queue. */
void tls_error_text(char why[TLS_WHY_SIZE], const char *what);

#endif
