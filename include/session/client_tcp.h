/* SPDX-License-Identifier: MIT */
/*
 * client_tcp - mode tcp: from an accepted connection to a tunnel.
 *
 * When routes look at the first bytes (SNI, ALPN, protocol) they are awaited, at most
 * timeouts.inspect, and stay in client->in to be passed on.  A txn without a head then finds a
 * server as every request does (stickiness, balance, queue, retries), and becomes a tunnel as soon
 * as it is connected.
 *
 * Threads: the client's.
 */
#ifndef SESSION_CLIENT_TCP_H
#define SESSION_CLIENT_TCP_H

#include "session/client.h"

/* From here the client is in CLIENT_INSPECT, CLIENT_BUSY, CLIENT_TUNNEL or closed. */
void client_tcp_start(struct client *client);
void client_tcp_run(struct client *client);
void client_tcp_on_timer(struct client *client);

#endif
