/* SPDX-License-Identifier: MIT */
/*
 * trace - every step of one client's connections and requests, or of one session's, as it happens.
 *
 * One trace at a time.  While there is none it costs a load of a flag, predicted, at each door
 * (txn_set_state(), a client's accept and close, a tunnel's begin).  Lines go to the loop that
 * asked for them, by mail; when too many are under way they are dropped and counted.
 */
#ifndef SESSION_TRACE_H
#define SESSION_TRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "net/addr.h"

struct client;
struct txn;

struct trace_line {
	struct mail mail;
	char text[512]; /* without the line's end */
};

/* Runs on the loop of trace_start() and frees LINE with free(). */
typedef void trace_line_fn(struct trace_line *line);

struct trace_filter {
	struct ip_addr ip; /* AF_UNSPEC = any; the port does not matter */
	uint64_t sid_hash; /* as "show sessions" and the log tell it; 0 = any */
};

/* Control thread.  FN must be the same each time. */
void trace_start(const struct trace_filter *filter, struct loop *loop, trace_line_fn *fn);
void trace_stop(void);
/* To be called for each line that came. */
void trace_line_done(void);
uint64_t trace_dropped(void); /* since trace_start() */

extern atomic_bool trace_is_on;
void trace_txn_now(const struct txn *txn, const char *what);
void trace_client_now(const struct client *client, const char *what);

/* WHAT: a constant. */
static inline void trace_txn(const struct txn *txn, const char *what)
{
	if (__builtin_expect(atomic_load_explicit(&trace_is_on, memory_order_relaxed), 0))
		trace_txn_now(txn, what);
}
static inline void trace_client(const struct client *client, const char *what)
{
	if (__builtin_expect(atomic_load_explicit(&trace_is_on, memory_order_relaxed), 0))
		trace_client_now(client, what);
}

#endif
