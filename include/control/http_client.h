/* SPDX-License-Identifier: MIT */
/*
 * http_client - one HTTP connection to the dashboard's listener, and how a handler answers.
 *
 *   IDLE -> READ -> ANSWER -> IDLE ...        keep-alive
 *               \-> FLUSH -> LINGER -> CLOSED  after an error, or a last answer
 *
 * A request is read as a whole, head and body, before its handler runs, once.  The handler either
 * puts a complete answer into client->out, or names a function that writes it in pieces: it is
 * called again and again as the reader takes what was written, as a command's function is
 * (control/command.h).
 *
 * Bounded: a head by HTTP_HEAD_MAX, a body by HTTP_BODY_MAX, what a reader does not take by about
 * twice RUN_PIECE, a slow head by HTTP_READ_MS, silence by HTTP_IDLE_MS, a reader that takes
 * nothing by HTTP_SEND_MS, connections by HTTP_CLIENTS_MAX (the longest idle one makes room, more
 * wait in the backlog) and event streams by HTTP_STREAMS_MAX.
 */
#ifndef CONTROL_HTTP_CLIENT_H
#define CONTROL_HTTP_CLIENT_H

#include "base/buf.h"
#include "base/list.h"
#include "control/command.h"
#include "net/conn.h"
#include "proto/http1.h"

#define HTTP_HEAD_MAX    8192u
#define HTTP_BODY_MAX    1024u
#define HTTP_READ_MS     SEC(10)
#define HTTP_IDLE_MS     SEC(60)
#define HTTP_SEND_MS     SEC(20)
#define HTTP_CLIENTS_MAX 64
#define HTTP_STREAMS_MAX 32

enum http_state {
	HTTP_IDLE,   /* waiting for the first byte of a request */
	HTTP_READ,   /* waiting for the rest of it */
	HTTP_ANSWER, /* the answer is being written */
	HTTP_FLUSH,  /* over but for what the reader has not taken yet */
	HTTP_LINGER, /* our side is shut; waiting for the peer to close */
	HTTP_CLOSED, /* in the graveyard */
};

struct http_client;

/* Appends a piece of the body to OUT. RUN_WAIT: nothing now; http_wake() comes. */
typedef enum run_step http_write_fn(struct http_client *client, struct buf *out);

struct http_client {
	unsigned magic;
	enum http_state state;
	struct conn conn;
	struct timer timer; /* of the state */
	struct timer again; /* goes on with a long answer after the others */
	struct list link;
	struct ip_addr peer;
	struct buf in, out;
	size_t seen;         /* bytes of the head that were parsed in vain */
	size_t request_size; /* head and body; 0 = the head is not complete */
	uint64_t sent;       /* conn.sent when the timer was set */
	uint32_t answered_n; /* requests of this connection */
	/* The answer. */
	http_write_fn *write; /* NULL = it is in out as a whole */
	uint64_t at[5];       /* for write: zero at first */
	void *data;           /* for write; (own) when data_free is set */
	void (*data_free)(void *data);
	bool is_head;    /* no body */
	bool is_chunked; /* else its end is the connection's */
	bool is_last;    /* the connection ends with it */
	bool is_waiting; /* write said RUN_WAIT */
	bool is_stream;  /* counted in http_streams_n */
	bool has_told_continue;
	struct grave grave;
};
#define HTTP_CLIENT_MAGIC 0x48545450u

/* FD is taken over. */
void http_client_open(struct loop *loop, int fd, const struct ip_addr *peer);
void http_client_close(struct http_client *client); /* idempotent */
void http_clients_close(void);                      /* all */
/* Room for one more: closes the longest idle one when there is none. */
bool http_clients_have_room(void);
extern unsigned http_streams_n;
/* http.c's: a client has closed. */
void http_on_client_closed(void);

/* For handlers, in this order: begin, headers, one of the ends. */
void http_begin(struct http_client *client, unsigned status);
void http_begin_page(struct http_client *client, const char *policy); /* 200, what it may do */
void http_header(struct http_client *client, const char *name, const char *fmt, ...)
	printf_like(3, 4);
/* TYPE is the Content-Type. */
void http_end(struct http_client *client, const char *type, struct str body);
void http_end_pieces(struct http_client *client, const char *type, http_write_fn *write);
/* An answer with a line of text; errors too. */
void http_text(struct http_client *client, unsigned status, const char *text);
void http_wake(struct http_client *client);

/* The request's own (http_routes.c); HEAD and BODY are views that die with the call. */
void http_handle(struct http_client *client, const struct http_head *head, struct str body);

#endif
