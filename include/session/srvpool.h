/* SPDX-License-Identifier: MIT */
/*
 * srvpool - what one traffic thread has at one server: idle connections, tunnels, pending polls.
 *
 * So that whoever has to end them finds them without a walk over all clients.  Made when the thread
 * meets the server first, and kept.
 */
#ifndef SESSION_SRVPOOL_H
#define SESSION_SRVPOOL_H

#include "base/list.h"
#include "net/tls_client.h"
#include "session/traffic.h"

struct ending;

struct srvpool {
	struct traffic *traffic; /* (view) */
	struct list idle;        /* struct upstream.link, last used first */
	struct list kept; /* struct upstream.link, idle ones that each stay with their client */
	struct timer idle_timer; /* when the first of idle and kept has been idle for too long */
	struct list tunnels; /* struct upstream.link, oldest first; without those being closed */
	struct list
		polls; /* struct txn.wait_link in TXN_RSP_HEAD: polls with a sid, oldest first */
	uint32_t idle_n;
	struct tls_resume tls_resume;
	unsigned tls_generation; /* of the server, whose sessions those are */
	struct ending *ending;   /* (own by ending.c) under way on this thread; NULL = none */
};

struct srvpool *srvpool_of(struct traffic *traffic, const struct server *server);

#endif
