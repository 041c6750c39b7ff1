/* SPDX-License-Identifier: MIT */
/*
 * redis - a connection to a Redis that may go away at any time, and comes back by itself.
 *
 *   AWAY -> (resolve, Sentinel) -> CONNECTING -> TLS -> AUTH/SELECT/ROLE -> UP -> AWAY ...
 *
 * hiredis formats commands and reads answers; bytes move on our own conn (net/conn.h, with
 * net/tls_client.h for rediss).  Commands are pipelined; answers come in order, each exactly once:
 * when the connection is lost, every command that is still without an answer gets NULL, first to
 * last, before `on_down` is called.  READONLY, LOADING, MASTERDOWN, CLUSTERDOWN, NOAUTH, and what
 * is no RESP at all, count as a loss; so does an answer that takes longer than the time limit.
 *
 * Reconnecting: at once after the first loss of a connection that had been up, then with a jittered
 * backoff of 0.1 to 5 s.  Names are resolved anew at each try (getaddrinfo in a thread: the loop
 * never waits).  With Sentinel the master is asked for at each try, from the sentinels in turn, and
 * ROLE must confirm it; a MOVED leads to the node that it names (a single slot of a Redis Cluster).
 *
 * Bounded: at most REDIS_COMMANDS_MAX without an answer, REDIS_OUT_MAX bytes unsent,
 * REDIS_REPLY_MAX bytes of one answer (mirror/redis_answers.h).
 *
 * Files: redis.c, redis_link.c, redis_resolve.c, redis_handshake.c, redis_answers.c.
 *
 * Threads: the loop's.
 */
#ifndef MIRROR_REDIS_H
#define MIRROR_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "base/bug.h"
#include "base/str.h"
#include "loop/loop.h"
#include "net/redis_url.h"

#define REDIS_COMMANDS_MAX 8192
#define REDIS_OUT_MAX      (16u << 20)

struct redis_options {
	const char *name;              /* for log lines: "commands", "stream" */
	struct str url;                /* parsed with success; copied */
	struct str username, password; /* go before the URL's; copied */
	/* TLS: verified against CA (PEM; "" = the system's), unless is_tls_unverified. */
	struct str tls_ca, tls_certificate, tls_key, tls_sni;
	bool is_tls_unverified;
	int64_t connect_ms; /* to be UP, resolving of names apart [2 s] */
	int64_t answer_ms; /* for each answer [2 s]; 0 = no limit (a blocking XREAD sets its own) */
};

struct redis;

struct redis_events {
	void (*on_up)(void *arg); /* commands may be sent now */
	/* WHY: constant or valid until return, fit for a log line.  Also for tries that failed. */
	void (*on_down)(void *arg, const char *why);
	void *arg;
};

/* Starts to connect with the loop's next turn.  Reads the files of TLS: it blocks. */
struct redis *redis_new(struct loop *loop, const struct redis_options *options,
			const struct redis_events *events);
/* Closes; commands without an answer get NULL; no more events.  Buried in the loop. NULL is fine.
 */
void redis_free(struct redis *redis);
bool redis_is_up(const struct redis *redis);
/*
 * The loss is the caller's wish (an answer made no sense): as if the peer had closed.  The NULLs
 * and on_down come before the return.
 */
void redis_drop(struct redis *redis, const char *why);

/*
 * Called once for each command, on the loop.  REPLY is NULL when the connection is lost; it is
 * freed after the return.  An error answer (REDIS_REPLY_ERROR) is the caller's to judge, but for
 * those that mean a loss.
 */
typedef void redis_reply_fn(void *arg, const redisReply *reply);
/*
 * Queues one command; what one turn of the loop queues goes out in one send.  0, or -ENOTCONN,
 * -ENOBUFS (too many without an answer): FN is not called then.
 */
int redis_command(struct redis *redis, redis_reply_fn *fn, void *arg, size_t n, const char **words,
		  const size_t *sizes) must_check;
/* How many more it would take now. */
size_t redis_room(const struct redis *redis);
/*
 * The time for an answer runs from when its command became the oldest one without: a long pipeline
 * is no loss as long as answers come.  This call gives the last queued command IN_MS instead of
 * answer_ms (a blocking one); 0 = no limit.
 */
void redis_answer_in(struct redis *redis, int64_t in_ms);

/* Where it is connected, for people: "127.0.0.1:6379", "unix:/run/redis.sock", "" when away. */
const char *redis_where(const struct redis *redis);

struct redis_stats {
	uint64_t connects, losses, commands, bytes_in, bytes_out;
	uint32_t waiting; /* commands without an answer */
};
void redis_stats(const struct redis *redis, struct redis_stats *stats);

#endif
