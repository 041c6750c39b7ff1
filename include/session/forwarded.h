/* SPDX-License-Identifier: MIT */
/*
 * forwarded - who the client is when trusted proxies stand before us, and what we tell the server.
 *
 * A peer in frontend.trusted_proxies is believed: the client is the right-most address of
 * X-Forwarded-For (or of RFC 7239 Forwarded when there is no X-Forwarded-For) that is not itself
 * a trusted proxy.  What an untrusted client sends of these fields is dropped.
 */
#ifndef SESSION_FORWARDED_H
#define SESSION_FORWARDED_H

#include "session/txn.h"

/* Sets txn->source and txn->is_peer_trusted from txn->head. */
void forwarded_find_source(struct txn *txn);
/* True for a field of the client's head that forwarded_write() replaces. */
bool forwarded_replaces(const struct txn *txn, enum http_field_id id);
/* Appends the fields of the backend's forwarded mode. */
void forwarded_write(struct txn *txn, struct buf *out);

#endif
