/* SPDX-License-Identifier: MIT */
/*
 * client - a client's connection, from accept to close.
 *
 *   PROXY_HEADER -> HANDSHAKE -> IDLE <-> BUSY (a txn runs) -> LINGER -> CLOSED
 *                             |             \-> TUNNEL (after 101) ------/
 *                             |-> H2 (its streams are clients of their own)
 *                             \-> INSPECT -> BUSY -> TUNNEL (mode tcp)
 *
 * Between requests a client costs this struct alone: no buffer, no txn.  Hence no field that can be
 * had from another, and a few rules:
 *   1. `turn`, `txn`, `tunnel`, `h2` and `grave` are one place; the state tells which it is.
 *      client_set_state() is the only door; behind it the place is empty.
 *   2. What only few clients have is in `rare`, which is made when it is needed first.
 *   3. The configuration is that of the frontend; the client holds a reference of it.
 */
#ifndef SESSION_CLIENT_H
#define SESSION_CLIENT_H

#include "base/buf.h"
#include "base/list.h"
#include "net/conn.h"
#include "session/traffic.h"

struct h2;
struct txn;
struct tunnel;
struct upstream;

enum client_state {
	CLIENT_PROXY_HEADER, /* waiting for the PROXY header that its bind demands */
	CLIENT_HANDSHAKE,    /* TLS: client_tls.h */
	CLIENT_INSPECT,      /* mode tcp: waiting for the first bytes, client_tcp.h */
	CLIENT_H2,           /* client->h2 reads: h2.h */
	CLIENT_IDLE,         /* waiting for a request head */
	CLIENT_BUSY,         /* client->txn runs */
	CLIENT_TUNNEL,       /* client->tunnel relays */
	CLIENT_LINGER, /* our last answer is sent; waiting for the client to take it and close */
	CLIENT_CLOSED, /* in the graveyard */
};

/* What few clients have. */
struct client_rare {
	struct ip_addr destination; /* what it connected to; AF_UNSPEC until asked for */
	struct upstream *kept;  /* (own) idle server connection that opened with our PROXY header */
	struct client *carrier; /* (view) of a stream: the client whose connection it is on */
};

/* What a request touches comes first. */
struct client {
	unsigned magic;              /* CLIENT_MAGIC */
	enum client_state state : 8; /* client_set_state() */
	bool is_proxied : 1;         /* source came from a PROXY header, or is the carrier's */
	bool is_tls : 1;
	bool is_limited : 1;             /* counted by source_limit.h */
	uint16_t head_seen;              /* bytes of the head that the parser has had; capped */
	struct conn conn;                /* conn.sent: what the counters do not know yet */
	struct traffic *traffic;         /* (view) our thread */
	const struct frontend *frontend; /* (view) in its config (ref), renewed between requests */
	union {
		struct list turn;      /* HANDSHAKE: traffic.handshakes; IDLE: traffic.pipelined */
		struct txn *txn;       /* (own) BUSY */
		struct tunnel *tunnel; /* (own) TUNNEL */
		struct h2 *h2;         /* (own) H2; NULL before its preface */
		struct grave grave;    /* CLOSED */
	};
	struct buf in, out;
	int64_t since_ms;      /* accept, or the end of the last request */
	struct timer timer;    /* head, keep-alive, a txn's current wait, linger */
	uint32_t requests;     /* LINGER: bytes dropped */
	struct ip_addr source; /* the client as the PROXY header told, else the socket's peer */
	const struct bind_conf *bind; /* (view) in config */
	struct list link;             /* traffic.clients */
	struct client_rare *rare;     /* (own) NULL = nothing of it */
};
_Static_assert(sizeof(struct client) == 208, "every idle connection pays for one");
#define CLIENT_MAGIC 0x434c4e54u

/* Leaves what the state had in the union (which is the caller's to have ended) and empties it. */
static inline void client_set_state(struct client *client, enum client_state state)
{
	if (client->state == CLIENT_HANDSHAKE || client->state == CLIENT_IDLE)
		list_remove(&client->turn);
	client->turn = (struct list){ 0 };
	client->state = state;
}
static inline struct txn *client_txn(const struct client *client) /* NULL = none */
{
	return client->state == CLIENT_BUSY ? client->txn : NULL;
}
static inline struct tunnel *client_tunnel(const struct client *client) /* NULL = none */
{
	return client->state == CLIENT_TUNNEL ? client->tunnel : NULL;
}
static inline struct client *client_carrier(const struct client *client) /* NULL = none */
{
	return client->rare ? client->rare->carrier : NULL;
}
static inline struct upstream *client_kept(const struct client *client) /* NULL = none */
{
	return client->rare ? client->rare->kept : NULL;
}
struct client_rare *client_need_rare(struct client *client);
/* The client has no kept connection: UPSTREAM becomes that. */
void client_keep(struct client *client, struct upstream *upstream);
/* What it kept, which is the caller's now; NULL = nothing. */
struct upstream *client_take_kept(struct client *client);

/*
 * A client that is not a socket of its own but a stream on CARRIER's connection, in CLIENT_IDLE:
 * its conn has FACE, on which the caller sets its data.  It is listed among the traffic's clients,
 * and not counted as a connection.  Its on_event is the client's; the caller calls
 * client_open_run() when a head may be read.
 */
struct client *client_open_stream(struct client *carrier, const struct conn_face *face);
void client_open_run(struct client *client);
/* Goes on behind the PROXY header: source limits, TLS, then client_begin_protocol(). */
void client_begin(struct client *client);
/* The connection is as plain as it will be: HTTP/1, HTTP/2 or mode tcp begins. */
void client_begin_protocol(struct client *client);
/* Between two requests: the configuration may have changed since the last one (client_head.c). */
void client_renew_config(struct client *client);
/* Reads until a head is complete (client_head.c); CLIENT_IDLE. */
void client_read_head(struct client *client);
/* The same later in this turn of the loop, or in the next. */
void client_read_head_soon(struct client *client);
/* Sets the timer for what is left of the time for a head, or for keep-alive. */
void client_wait_head(struct client *client);
void client_refuse(struct client *client, unsigned status, const char *why);
/* FD is taken over. */
void client_open(struct traffic *traffic, const struct frontend *frontend,
		 const struct bind_conf *bind, int fd, const struct sock_addr *peer);
/* Closes with all that hangs on it; a txn logs its line.  Idempotent. */
void client_close(struct client *client);
/* The same with a reset. */
void client_reset(struct client *client);
/* The txn has ended and its answer is out. */
enum client_after {
	CLIENT_GOES_ON,    /* the next request */
	CLIENT_HAS_DONE,   /* it said that this was its last request, and all of that has been read:
			      close */
	CLIENT_IS_CUT_OFF, /* it may still be sending: linger, so that no reset overtakes the answer
			    */
};
void client_next(struct client *client, enum client_after after);
/* The address that the client connected to; AF_UNSPEC = a Unix socket. */
struct ip_addr client_destination(struct client *client);
/* The port of it, as the bind or a PROXY header tells; 0 = none. */
uint16_t client_port(const struct client *client);
void client_set_timer(struct client *client, int64_t in_ms);
const char *client_state_name(enum client_state state);

#endif
