/* SPDX-License-Identifier: MIT */
/*
 * server_tls - the TLS contexts of servers: which name each is asked for and must have.
 *
 *   SNI    `sni`, else the name that the server's address was given as; an address is never sent
 *   name   `verify_name`, else the SNI, else the server's IP address, as it is now
 *
 * Checks with `tls: auto` have the traffic's; those with a `tls` of their own take its keys, and
 * the check's `host` before the server's name.
 */
#ifndef MODEL_SERVER_TLS_H
#define MODEL_SERVER_TLS_H

#include "model/config.h"
#include "model/server.h"

/*
 * Gives SPEC, whose other fields are there, references to its contexts; those of OLD (may be NULL),
 * if they are the same.  Control thread.
 */
void spec_take_tls(const struct backend *backend, struct srvset *old, struct srvset_spec *spec);
void spec_drop_tls(struct srvset_spec *spec);

#endif
