/* SPDX-License-Identifier: MIT */
/*
 * redis_internal - what the files of the Redis link share; for nobody else.
 *
 *   redis.c            commands, answers, losses, time
 *   redis_link.c       where to connect, sockets, TLS, bytes
 *   redis_resolve.c    names to addresses, by net/resolve.h
 *   redis_handshake.c  Sentinel, AUTH, SELECT, ROLE; which errors mean a loss
 */
#ifndef MIRROR_REDIS_INTERNAL_H
#define MIRROR_REDIS_INTERNAL_H

#include "mirror/redis.h"

#include "base/buf.h"
#include "base/mem.h"
#include "mirror/redis_answers.h"
#include "net/conn.h"
#include "net/tls.h"

#define REDIS_MAGIC      0x72656469u
#define REDIS_ADDRS_MAX  8
#define REDIS_HOST_SIZE  256
#define REDIS_WHY_SIZE   256
#define REDIS_STEADY_MS  1000 /* up for so long: the next loss is a first one */
#define BACKOFF_FIRST_MS 100
#define BACKOFF_LAST_MS  5000

enum link_state {
	LINK_AWAY,       /* waits for the timer of the next try */
	LINK_RESOLVING,  /* waits for the thread */
	LINK_CONNECTING, /* waits for connect() */
	LINK_TLS,        /* waits for the handshake */
	LINK_GREETING,   /* waits for the answers to our own commands */
	LINK_UP,
	LINK_GONE, /* freed; the memory is buried */
};

struct redis_command {
	redis_reply_fn *fn;
	void *arg;
	int64_t limit_ms; /* of its answer; 0 = none */
};

struct redis_host {
	char name[REDIS_HOST_SIZE]; /* "" = none */
	uint16_t port;
};

struct redis_addrs {
	struct sock_addr list[REDIS_ADDRS_MAX];
	unsigned n;
	char why[128]; /* n == 0 */
};

struct redis_lookup;

struct redis {
	unsigned magic;
	enum link_state state;
	struct loop *loop;
	struct redis_events events;
	struct redis_options options;  /* copies: (own) the arena's */
	struct redis_url url;          /* views into options.url */
	struct str username, password; /* decoded; "" = none */
	struct arena arena;

	/* This try. */
	struct redis_host peer; /* whom we connect to; none: the Unix socket */
	bool is_sentinel;       /* peer is one: it is asked for the master */
	unsigned sentinels_asked;
	struct redis_addrs addrs;
	unsigned addr_at;    /* of addrs: the one we connect to */
	int64_t deadline_ms; /* when we must be up; while it resolves: what is left of the time */
	struct redis_lookup *lookup; /* (own) under way; may be an earlier try's */

	/* From one try to the next. */
	unsigned failures;                /* since we were up for REDIS_STEADY_MS */
	unsigned sentinel_at, addr_first; /* modulo what there is */
	unsigned epoch;                   /* of the connection */
	int64_t up_at_ms;
	struct redis_host moved;        /* the node that MOVED has named */
	struct tls_client_ctx *tls_ctx; /* (own) made for tls_name */
	char tls_name[REDIS_HOST_SIZE];

	struct conn conn;
	struct buf in, out;
	struct redis_answers answers;
	struct timer timer; /* AWAY: the next try; on the way up: the deadline; UP: the answer's */
	struct soon flush, more; /* what was queued goes out; there is more to read */
	struct grave grave;
	char where[ADDR_TEXT_SIZE];
	char why[REDIS_WHY_SIZE];

	/* A ring: the commands without an answer. */
	struct redis_command *waiting; /* (own) REDIS_COMMANDS_MAX */
	unsigned waiting_at, waiting_n;
	struct redis_stats stats;
};

/* redis.c */
void redis_queue(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n, const char **words,
		 const size_t *sizes);
/*
 * The end of this try or connection: NULL for all that wait, on_down, the next try's timer.  WHY
 * may lie in redis->why.  The link may be freed on return.
 */
void redis_lose(struct redis *redis, const char *why);
/* Gives REPLY (not NULL) to the oldest command; or it means a loss.  The link may be lost or freed.
 */
void redis_take_reply(struct redis *redis, redisReply *reply);
void redis_is_ready(struct redis *redis);                 /* GREETING has ended well */
void redis_set_timer(struct redis *redis, int64_t in_ms); /* <= 0: none */

/* redis_link.c */
void redis_try(struct redis *redis); /* from AWAY, by the timer */
/* Goes on to NAME within the same try (from a sentinel to the next, or to the master). */
void redis_go_to(struct redis *redis, struct str name, uint16_t port, bool is_sentinel);
void redis_disconnect(struct redis *redis);
void redis_deadline(struct redis *redis); /* the time of CONNECTING ... GREETING is over */
void redis_send(struct redis *redis);
/* Reads files, unless the context for the name that HOST must show is there already. */
bool redis_has_tls_ctx(struct redis *redis, struct str host, char why[TLS_WHY_SIZE]);

/* redis_resolve.c: answers by redis_resolved(), never from within; one at a time. */
void redis_resolve(struct redis *redis);
void redis_resolve_forget(struct redis *redis); /* the link goes, the thread may stay */
void redis_resolved(struct redis *redis, const struct redis_addrs *addrs);

/* redis_handshake.c */
void redis_greet(struct redis *redis);
/* True: this error means a loss.  redis->why tells; MOVED has been noted. */
bool redis_is_loss(struct redis *redis, const redisReply *reply);
bool redis_next_sentinel(struct redis *redis); /* false: all were asked in this try */

#endif
