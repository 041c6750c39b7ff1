/* SPDX-License-Identifier: MIT */
/*
 * tls_internal - what tls.c, tls_bio.c and tls_client.c know of each other.
 *
 * What leaves takes two steps.  OpenSSL's BIO writes go to the socket at once, or, while the tls is
 * corked, to a buffer of the thread that is sent in one piece at the end of the call.  What the
 * socket does not take waits in `wire`, and goes before anything else.
 *
 * Bytes of a send whose records wait in `wire` are encrypted and cannot be taken back, but they are
 * not reported as sent either: `held` counts them, and the next send, which brings them again,
 * skips them.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "net/tls.h"

struct tls_peer {
	char fingerprint[64];
	uint16_t cn_length;
	char cn[];
};

struct tls {
	SSL *ssl;                   /* (own) */
	struct conn *conn;          /* (view) whose face we are */
	struct tls_server *server;  /* (ref) of an accepted one */
	struct tls_client_ctx *ctx; /* (ref) of a connected one */
	struct tls_resume *resume;  /* (view) may be NULL */
	struct buf first;           /* read before we were there; comes before the socket's bytes */
	struct buf wire;            /* records that the socket has not taken yet */
	uint64_t wire_sent;         /* bytes on the socket, with those before TLS */
	uint32_t held;              /* plain bytes in records, not reported as sent yet */
	uint32_t received;          /* bytes from the socket within this call of recv */
	uint32_t silent; /* likewise, once established, since the last plain byte: key updates */
	bool is_established;
	bool is_ended; /* close_notify, or the end without one: is_truncated */
	bool is_truncated;
	bool is_failed;     /* nothing may be read or written any more */
	bool is_unwritable; /* the socket has failed in a send */
	bool is_corked;
	bool is_shutting;      /* the socket's side is shut when `wire` has gone */
	bool is_sending;       /* within one send: what it writes is taken, whatever waits */
	bool is_notified;      /* close_notify has been said: nothing more is written */
	bool owes_ticket;      /* it goes in front of the first bytes that are sent */
	struct tls_peer *peer; /* (own) NULL = not asked for yet */
	char *why;             /* (own) TLS itself has failed; NULL = the conn's error tells */
};

/* tls_bio.c: a BIO on TLS; NULL = no memory. */
BIO *tls_bio_new(struct tls *tls);
/* Sends what waits.  IO_OK: all of it is on the socket. */
enum io tls_flush(struct tls *tls);
/* From here until tls_uncork() what OpenSSL writes is collected.  One tls per thread at a time. */
void tls_cork(struct tls *tls);
enum io tls_uncork(struct tls *tls); /* as tls_flush() */
/* The longest run of records that goes in one system call; all but the last must be corked. */
#define TLS_BATCH_MAX 8

/* tls_client.c. */
SSL *tls_client_ssl_new(struct tls_client_ctx *ctx); /* NULL = no memory */
/* Offers one of RESUME's sessions, if it has any of CTX. */
void tls_resume_offer(struct tls_resume *resume, struct tls_client_ctx *ctx, SSL *ssl);

#endif
