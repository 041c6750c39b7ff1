/* SPDX-License-Identifier: MIT */
/*
 * resolve - a host name to addresses, off the loop's thread.
 *
 * getaddrinfo() may take half a minute when a name server is away, and has no non-blocking form.
 * So it runs in a detached thread of its own; the answer comes as a mail.
 *
 * Threads: a loop's own.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "loop/loop.h"
#include "net/addr.h"

#define RESOLVE_ADDRS_MAX 8
#define RESOLVE_NAME_MAX  255

struct resolve;
/* N == 0: WHY says why there is none.  Views; the question is over. */
typedef void resolve_fn(void *arg, const struct sock_addr *addrs, size_t n, const char *why);

/*
 * NAME: a host name or an IP address, of at most RESOLVE_NAME_MAX bytes.  FN(ARG) follows once,
 * from the loop, never before this returns.  Never NULL: without a thread the answer says so.
 */
struct resolve *resolve_start(struct loop *loop, struct str name, uint16_t port, resolve_fn *fn,
			      void *arg);
/* FN does not come; RESOLVE is not the caller's any more.  NULL is fine. */
void resolve_forget(struct resolve *resolve);

#endif
