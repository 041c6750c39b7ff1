/* SPDX-License-Identifier: MIT */
/*
 * tls_mistake - telling what is wrong with files of certificates and keys, each thing once and all
 * of them.
 */
#ifndef NET_TLS_MISTAKE_H
#define NET_TLS_MISTAKE_H

#include <stdbool.h>

#include "base/bug.h"
#include "base/str.h"
#include "net/tls_server.h"

/* Files of certificates are small; a longer one is something else. */
#define TLS_FILE_MAX ((size_t)1024 * 1024)
/* Revocation lists may be long. */
#define TLS_CRL_MAX ((size_t)128 * 1024 * 1024)

struct tls_mistakes {
	tls_mistake_fn *fn; /* NULL = nobody listens */
	void *arg;
	struct str file; /* what is told of; "" = none in particular */
};

void tls_error(const struct tls_mistakes *to, const char *fmt, ...) printf_like(2, 3);
void tls_warning(const struct tls_mistakes *to, const char *fmt, ...) printf_like(2, 3);
/* An error of OpenSSL: WHAT, ": " and its oldest complaint; its queue is empty then. */
void tls_error_openssl(const struct tls_mistakes *to, const char *what);
/* OpenSSL's oldest complaint as a constant text; its queue is empty then. */
const char *tls_openssl_reason(void);

/*
 * Reads a file of at most MAX bytes; NUL-terminated beyond *SIZE; the caller wipes and
 * frees.  NULL: *ERROR is the errno (EFBIG: too large).  IS_OPEN_TO_OTHERS (may be NULL): its group
 * or everybody may read it.
 */
char *tls_read_file(struct str path, size_t max, size_t *size, bool *is_open_to_others,
		    int *error) must_check;
void tls_wipe_file(char *text, size_t size); /* NULL is fine */

#endif
