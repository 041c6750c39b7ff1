/* SPDX-License-Identifier: MIT */
/*
 * tls_ocsp - requests to OCSP responders and their responses (RFC 6960), as bytes: who carries them
 * (HTTP, a file, the operator) is not known here.
 *
 * Threads: any.
 */
#ifndef NET_TLS_OCSP_H
#define NET_TLS_OCSP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "net/tls_cert.h"

#define TLS_OCSP_REQUEST_MAX  1024        /* bytes */
#define TLS_OCSP_RESPONSE_MAX (64 * 1024) /* bytes; longer ones are refused */
#define TLS_OCSP_SKEW_S       300         /* a clock of the responder's may be that wrong */

/*
 * The request for CERT's status, DER (to be sent by POST as application/ocsp-request); no nonce, so
 * that responders may answer from their caches.  Its size, or 0: WHY says why there is none.
 */
size_t tls_ocsp_request(const struct tls_cert *cert, unsigned char out[TLS_OCSP_REQUEST_MAX],
			char why[TLS_WHY_SIZE]) must_check;

/*
 * Is DER a response for CERT, successful, signed by the issuer or by whom that has delegated to,
 * and in force now?  *ABOUT tells what it says: revoked and unknown are answers, too (status
 * unknown is nothing to staple).  False: WHY says why not; *ABOUT as far as it could be read.
 */
bool tls_ocsp_check(const struct tls_cert *cert, struct str der, struct tls_ocsp_about *about,
		    char why[TLS_WHY_SIZE]) must_check;

const char *tls_ocsp_status_text(enum tls_ocsp_status status); /* "good" */

#endif
