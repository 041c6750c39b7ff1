/* SPDX-License-Identifier: MIT */
/*
 * account - what is counted when a request or a tunnel is over: how it ended, and its times.
 *
 * Times tell of requests that a server had and of which a status went out.  A tunnel counts until
 * its 101.  Engine.IO polls, which servers hold for up to a minute on purpose, have histograms of
 * their own and are not in a server's sums, so that latency means latency.
 */
#ifndef SESSION_ACCOUNT_H
#define SESSION_ACCOUNT_H

#include "session/access_log.h"

/* Once for each txn that does not become a tunnel. */
void account_txn(struct txn *txn);
/* What has gone to the client since the last call, and what the server has sent; heads included. */
void account_bytes(struct txn *txn);
/* TXN becomes TUNNEL, whose session is known already. */
void account_tunnel_start(struct txn *txn, struct tunnel *tunnel);
/* The client's second data frame: the session has moved from polling to the WebSocket. */
void account_upgraded(const struct tunnel *tunnel);
void account_tunnel_end(const struct tunnel *tunnel, enum txn_end end);

#endif
