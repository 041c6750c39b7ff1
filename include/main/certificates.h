/* SPDX-License-Identifier: MIT */
/*
 * certificates - cares for those of the store while they are in force: reads files again that have
 * changed, has responders asked for staples (health/ocsp_refresh.h), and warns of what runs out.
 *
 *   file changes ---> tls_store_reread(), tls_store_rescan() --+
 *   stats socket ---> certificates_changed()  -----------------+--> log, age, OCSP
 *   reload       ---> certificates_apply()  -------------------+
 *
 * A file that cannot be used (half of a pair, no permission) is tried again a moment later and told
 * of when it still cannot; the certificate from before stays in force until a file can be used.
 *
 * Control thread.
 */
#ifndef MAIN_CERTIFICATES_H
#define MAIN_CERTIFICATES_H

#include <stdint.h>

#include "loop/loop.h"
#include "model/config.h"

void certificates_init(struct loop *loop);
/*
 * CONFIG is in force.  What the stats socket had put in place of a file's certificate goes: what
 * the files say is what counts after a reload.
 */
void certificates_apply(const struct config *config);
/* For control_certificates_changed_hook. */
void certificates_changed(void);
/* The program is about to start another one in its place, which has the files alone. */
void certificates_tell_unsaved(void);
void certificates_fini(void); /* before loop_fini(); harmless without init */

/*
 * How close the end is: 30 days, 7 days and 1 day before it, and behind it.
 */
enum cert_age { CERT_FRESH, CERT_MONTH, CERT_WEEK, CERT_DAY, CERT_EXPIRED };
enum cert_age cert_age(int64_t not_after_unix_s, int64_t now_unix_s);
/* When it changes next; INT64_MAX = never. */
int64_t cert_age_changes_unix_s(int64_t not_after_unix_s, int64_t now_unix_s);
/* "29 days", "6 days", "23 hours", "5 minutes". */
#define CERT_LEFT_SIZE 32
void cert_left_text(int64_t seconds, char out[CERT_LEFT_SIZE]);

#endif
