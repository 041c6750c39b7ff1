/* SPDX-License-Identifier: MIT */
/* ssl_args - what the commands on certificates share.  Private to them. */
#ifndef CONTROL_SSL_ARGS_H
#define CONTROL_SSL_ARGS_H

#include "control/command.h"
#include "net/tls_store.h"

/* A tls_mistake_fn: a line of the answer for each; ARG is the run. */
void ssl_tell(void *arg, bool is_error, struct str file, const char *text);

/*
 * TEXT, which may have blanks and ends of lines in it, from base64 (RFC 4648): its bytes (free()
 * them), or NULL when it is something else.
 */
unsigned char *ssl_decode(struct str text, size_t *size);

/* Where "directory/" is named by a bind, "directory" is meant, and the other way round. */
bool ssl_is_same_directory(struct str a, struct str b);
/* The directory of the entry PATH, without the last slash; "" = none. */
struct str ssl_directory_of(struct str path);

/* "Nov 22 23:51:43 2026 GMT", as OpenSSL prints it. */
#define SSL_TIME_SIZE 32
const char *ssl_time_text(int64_t unix_s, char out[SSL_TIME_SIZE]);

/* The DER of CERT's OCSP_CERTID in hex digits (own), as HAProxy names responses; "" = none. */
char *ssl_ocsp_key(const struct tls_cert *cert);

#endif
