/* SPDX-License-Identifier: MIT */
/*
 * client - a client's connection, from accept to close.
 *
 *   PROXY_HEADER -> HANDSHAKE -> IDLE <-> BUSY (a txn runs) -> LINGER -> CLOSED
 *                             |             \-> TUNNEL (after 101) ------/
 *                             |-> H2 (its streams are clients of their own)
 *                             \-> INSPECT -> BUSY -> TUNNEL (mode tcp)
 *
 * Between requests a client costs this struct alone: no buffer, no txn.
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

struct client {
	unsigned magic; /* CLIENT_MAGIC */
	enum client_state state;
	struct conn conn;
	struct timer timer; /* head, keep-alive, a txn's current wait, linger */
	struct list link;
	struct traffic *traffic;         /* (view) our thread */
	struct config *config;           /* (ref) renewed between two requests */
	const struct frontend *frontend; /* (view) in config */
	struct frontend_state *frontend_state;
	const struct bind_conf *bind; /* (view) in config */
	struct client *carrier;       /* (view) of a stream: the client whose connection it is on */
	struct ip_addr source; /* the client as the PROXY header told, else the socket's peer */
	struct ip_addr destination; /* what it connected to; AF_UNSPEC until asked for */
	struct buf in, out;
	union {
		struct txn *txn;       /* (own) CLIENT_BUSY */
		struct tunnel *tunnel; /* (own) CLIENT_TUNNEL */
		struct h2 *h2;         /* (own) CLIENT_H2 */
	};
	struct list
		handshake_link; /* CLIENT_HANDSHAKE: traffic.handshakes, while it waits its turn */
	struct upstream *kept;  /* (own) idle server connection that opened with our PROXY header */
	uint64_t sent_counted;  /* of conn.sent: what the counters know already */
	int64_t since_ms;       /* accept, or the end of the last request */
	uint32_t requests;
	uint16_t bind_port;
	uint16_t head_seen; /* bytes of the head that the parser has had; capped */
	bool is_proxied;    /* source came from a PROXY header */
	bool is_tls;
	bool is_limited; /* counted by source_limit.h */
	union {
		struct soon again;  /* the next pipelined request */
		struct grave grave; /* CLIENT_CLOSED */
	};
};
#define CLIENT_MAGIC 0x434c4e54u

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
/* The address that the client connected to. */
const struct ip_addr *client_destination(struct client *client);
void client_set_timer(struct client *client, int64_t in_ms);
const char *client_state_name(enum client_state state);

#endif
