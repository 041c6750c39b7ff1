/* SPDX-License-Identifier: MIT */
/*
 * client - a client's connection, from accept to close.
 *
 *   PROXY_HEADER -> IDLE <-> BUSY (a txn runs) -> LINGER -> CLOSED
 *                              \-> TUNNEL (after 101) ------/
 *
 * Between requests a client costs this struct alone: no buffer, no txn.
 */
#ifndef SESSION_CLIENT_H
#define SESSION_CLIENT_H

#include "base/buf.h"
#include "base/list.h"
#include "net/conn.h"
#include "session/traffic.h"

struct txn;
struct tunnel;
struct upstream;

enum client_state {
	CLIENT_PROXY_HEADER, /* waiting for the PROXY header that its bind demands */
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
	struct ip_addr source; /* the client as the PROXY header told, else the socket's peer */
	struct ip_addr destination; /* what it connected to; AF_UNSPEC until asked for */
	struct buf in, out;
	union {
		struct txn *txn;       /* (own) CLIENT_BUSY */
		struct tunnel *tunnel; /* (own) CLIENT_TUNNEL */
	};
	struct upstream *kept; /* (own) idle server connection that opened with our PROXY header */
	uint64_t sent_counted; /* of conn.sent: what the counters know already */
	int64_t since_ms;      /* accept, or the end of the last request */
	uint32_t requests;
	uint16_t bind_port;
	uint16_t head_seen; /* bytes of the head that the parser has had; capped */
	bool is_proxied;    /* source came from a PROXY header */
	bool is_tls;
	union {
		struct soon again;  /* the next pipelined request */
		struct grave grave; /* CLIENT_CLOSED */
	};
};
#define CLIENT_MAGIC 0x434c4e54u

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
