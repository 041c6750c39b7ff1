/* SPDX-License-Identifier: MIT */
/*
 * tls_wire - a client's and a server's conn, both with TLS, and the wire between them.
 *
 *   client conn --socket pair-- wire --socket pair-- server conn
 *
 * What the wire moves, and how much of it at a time, is the test's to say.  A conn hears of it as
 * an edge would tell: can_read when bytes came to its socket, can_write when some have left it.
 */
#ifndef TLS_WIRE_H
#define TLS_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "net/tls.h"
#include "net/tls_internal.h"

enum wire_side { CLIENT, SERVER };

struct wire_way {
	char bytes[65536]; /* taken from the one side, not yet given to the other */
	size_t n, carried;
};

struct tls_wire {
	SSL_CTX *server_ctx; /* (own) */
	struct conn conns[2];
	int ends[2];             /* the wire's, towards the two conns; -1 = closed */
	struct wire_way ways[2]; /* by where they come from */
	size_t step;             /* the wire moves at most so many bytes at a time; 0 = all */
	struct tls_resume resume;
	bool has_resume;
	char certificate[64], key[64]; /* files; the certificate is its own authority */
};

struct wire_options {
	int version;             /* TLS1_2_VERSION, TLS1_3_VERSION */
	bool is_small;           /* sockets that hold little */
	bool has_client_cert;    /* shown and required */
	const char *verify_name; /* NULL = not verified */
	bool has_no_client;      /* the client's end is the test's own */
};

void wire_init(struct tls_wire *wire); /* certificate, key */
void wire_fini(struct tls_wire *wire);
/* The next connection has a server with a context of its own. */
void wire_forget_server(struct tls_wire *wire);
void wire_open(struct tls_wire *wire, const struct wire_options *options);
void wire_close(struct tls_wire *wire);
/* Moves bytes that SIDE has sent; false: there were none, or there was no room. */
bool wire_carry(struct tls_wire *wire, enum wire_side side);
/* SIDE hears the end of what is said to it. */
void wire_cut(struct tls_wire *wire, enum wire_side side);
/* Until both are established, or one of them fails: its result and side. */
enum io wire_shake_hands(struct tls_wire *wire, enum wire_side *at);
/* A fresh pair, established, with nothing under way. */
void wire_establish(struct tls_wire *wire, const struct wire_options *options);

/* Sends TEXT, all of it. */
void wire_say(struct conn *conn, const char *text);
/* One call to conn_recv(), of at most ROOM bytes, 255. */
enum io wire_hear(struct conn *conn, char text[256], size_t room);

/* Of a cmocka test whose state is a wire. */
int wire_setup(void **state);
int wire_teardown(void **state);

#endif
