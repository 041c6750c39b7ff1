/* SPDX-License-Identifier: MIT */
/*
 * ocsp_refresh - asks the responders of certificates whose binds want it (ocsp_refresh), and
 * staples what they say.
 *
 * A certificate is asked for at once when it has no response, else at half of what is left of its
 * response's time, at least OCSP_MIN_MS from now.  After a failure again in OCSP_MIN_MS, then in
 * twice that, up to OCSP_FAILED_MAX_MS; a response that is about to run out is asked for before.
 * Times are spread by a tenth, so that a hundred certificates do not ask in one moment.
 *
 * What was heard is kept in memory alone: PATH.ocsp is the operator's file, and the process may not
 * write there.  Control thread.
 */
#ifndef HEALTH_OCSP_REFRESH_H
#define HEALTH_OCSP_REFRESH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "loop/loop.h"
#include "net/tls_cert.h"

#define OCSP_MIN_MS        SEC(300)
#define OCSP_FAILED_MAX_MS SEC(3600)
#define OCSP_DEFAULT_MS    SEC(12 * 3600) /* of a response that does not say when the next comes */

/* ON_NEWS: a responder was heard, or asked in vain. */
void ocsp_refresh_init(struct loop *loop, void (*on_news)(void));
/* The store's certificates or the binds have changed. */
void ocsp_refresh_apply(void);
void ocsp_refresh_fini(void); /* before loop_fini(); harmless without init */

#define OCSP_WHY_SIZE 160
struct ocsp_refresh_state {
	int64_t asked_unix_ms; /* 0 = never */
	int64_t next_unix_ms;  /* 0 = now, or under way */
	uint64_t asked_n, failed_n;
	unsigned failures;       /* in a row */
	char why[OCSP_WHY_SIZE]; /* of the last failure; "" = the last one was heard */
};
/* False: it is not refreshed. */
bool ocsp_refresh_state(struct str path, struct ocsp_refresh_state *state);

/*
 * Milliseconds from NOW_UNIX_MS to the next question: STAPLE (may have status NONE) is what there
 * is, FAILURES how often it was asked in vain since.
 */
int64_t ocsp_refresh_in_ms(const struct tls_ocsp_about *staple, unsigned failures,
			   int64_t now_unix_ms);

#endif
