/* SPDX-License-Identifier: MIT */
/*
 * tls_tickets - the keys that session tickets are encrypted with (RFC 5077, RFC 8446 4.6.1).
 *
 * A key is 80 bytes: 16 of name, which goes over the wire in the clear, 32 of HMAC-SHA256, 32 of
 * AES-256-CBC; or 48: name, 16 of AES-128, 16 of HMAC-SHA256.  Where keys come from:
 *
 *   file     lines of base64, blank ones and those with '#' left out.  The last but one encrypts,
 *            all of them decrypt, so a new key is added at the end, known to every node before it
 *            is used; of one line, that one encrypts.  At most TLS_TICKET_KEYS_MAX.
 *   secret   the key of an epoch is HKDF-SHA256(secret, epoch); the current one encrypts, the
 *            previous and the next one decrypt.  Nodes with one secret, one session lifetime and
 *            clocks within an epoch read each other's tickets without a word.
 *   random   as secret, but each epoch's key is made up: tickets end with the process.
 *
 * An epoch lasts half a session's lifetime, 12 hours at most.  Tickets made with another key than
 * the one that encrypts are renewed when they are used.
 *
 * A set is kept once for the process: binds with one source share it, and it outlives a reload.
 *
 * Threads: any; a lock is held while a key is copied, or derived once per epoch.  Counted.
 */
#ifndef NET_TLS_TICKETS_H
#define NET_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "net/tls_server.h"

#define TLS_TICKET_KEYS_MAX 16
#define TLS_TICKET_NAME     16 /* bytes */
#define TLS_TICKET_KEY_MAX  80 /* bytes */

struct tls_tickets;

/*
 * The set of FILE; of SECRET when FILE is ""; random when both are.  The caller has a reference.
 * NULL: the file's mistakes were told.  A file whose set is in use is read for its mistakes alone:
 * the set has the keys that it had until tls_tickets_reread().
 */
struct tls_tickets *tls_tickets_open(struct str file, struct str secret, int64_t session_ms,
				     tls_mistake_fn *mistake, void *arg) must_check;
void tls_tickets_unref(struct tls_tickets *tickets); /* NULL is fine; any thread */
/*
 * SSL_CTX, and connections that have changed to it, encrypt with it; the set must outlive them.
 */
void tls_tickets_use(struct tls_tickets *tickets, void *ssl_ctx);

/* ---- For the operator ---- */

enum tls_ticket_source { TLS_TICKETS_FILE, TLS_TICKETS_SECRET, TLS_TICKETS_RANDOM };
struct tls_ticket_key {
	unsigned char bytes[TLS_TICKET_KEY_MAX]; /* secret but for the first 16 */
	size_t size;                             /* 48 or 80 */
	bool is_encrypting;
};
struct tls_tickets_about {
	unsigned id; /* stable while the set lives; from 0 */
	enum tls_ticket_source source;
	const char *name; /* the file's path, "secret", "random"; with session lifetimes apart */
	struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX]; /* oldest first */
	size_t keys_n;
	int64_t epoch_ms, epoch; /* of those of a secret, and of made-up ones: the current one */
};
typedef void tls_tickets_fn(void *arg, const struct tls_tickets_about *about);
/* In the order of ids.  What FN sees is wiped after it. */
void tls_tickets_each(tls_tickets_fn *fn, void *arg);
/*
 * KEY is base64 of 48 or 80 bytes: a new last key of the set ID; from three keys on the oldest one
 * goes.  -ENOENT: no such set; -EPERM: its keys are not from a file; -EINVAL: not a key, or one of
 * that name is there.
 */
int tls_tickets_push(unsigned id, struct str key) must_check;
/* The same for the set of the file NAME. */
int tls_tickets_push_by_name(struct str name, struct str key) must_check;
/* Reads the file NAME again.  1: its keys are others now; 0; or -ENOENT, -EINVAL and told. */
int tls_tickets_reread(struct str name, tls_mistake_fn *mistake, void *arg) must_check;

/* ---- For a process that takes over from another one ---- */

#define TLS_TICKET_EPOCHS 3
/* Before any set is opened: made-up keys, as tls_tickets_each() has told them there. */
void tls_tickets_inherit(int64_t epoch_ms, int64_t epoch,
			 const struct tls_ticket_key keys[TLS_TICKET_EPOCHS]);
/* Sets are open: what was inherited and nobody uses is wiped. */
void tls_tickets_inherited(void);

#endif
