/* SPDX-License-Identifier: MIT */
/*
 * tls_facts - what a client's TLS connection tells to those who decide and who write: routes,
 * servers (header fields, PROXY header), Strict-Transport-Security.
 *
 * Of a client's certificate only a verified one is ever told.
 *
 * Threads: the client's.
 */
#ifndef SESSION_TLS_FACTS_H
#define SESSION_TLS_FACTS_H

#include "proto/proxy.h"
#include "session/client.h"

struct match_facts;
struct txn;

/* SNI, ALPN, protocol and certificate; costs nothing where no route of the frontend asks. */
void tls_facts_match(struct client *client, struct match_facts *facts);

/*
 * X-Client-Cert-Verified, -CN and -Fingerprint, where the bind asks for certificates.  The name
 * comes percent-encoded: all but the printable ASCII characters, and of those space % " , ; \.
 */
void tls_facts_write(struct txn *txn, struct buf *out);
/* One of those names, or one that a server may take for it ('_' stands for '-'). */
bool tls_facts_is_name(struct str name);

/* TLVs of version 2; the texts are views that live as long as the client. */
void tls_facts_proxy(struct txn *txn, struct proxy_header *header);

/* The value of Strict-Transport-Security for this client's answers; "" = none. */
static inline struct str tls_facts_hsts(const struct client *client)
{
	return client->is_tls && client->bind->tls ? client->bind->tls->hsts_value : STR_NONE;
}

#endif
