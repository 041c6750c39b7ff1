/* SPDX-License-Identifier: MIT */
/*
 * client_tls - a client's TLS handshake, and what its connection tells of it.
 *
 * A signature takes a processor up to a millisecond, and handshakes come in herds.  So a handshake
 * that has something to do stands in traffic->handshakes, and one step of one of them is made in
 * each turn of the loop: whoever is established waits for one signature at most.
 *
 * Threads: the client's.
 */
#ifndef SESSION_CLIENT_TLS_H
#define SESSION_CLIENT_TLS_H

#include "net/tls.h"
#include "session/client.h"

/* From here the client is in CLIENT_HANDSHAKE, closed, or (bind's `plain: accept`) plain. */
void client_tls_start(struct client *client);
void client_tls_run(struct client *client);
void client_tls_on_timer(struct client *client);
/* What the connection tells; of a stream, its carrier's.  False: it is plain. */
bool client_tls_about(struct client *client, struct tls_about *about);

#endif
