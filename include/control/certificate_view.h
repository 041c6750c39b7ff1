/* SPDX-License-Identifier: MIT */
/*
 * certificate_view - what is told of the certificates in use: the same facts in the API, on the
 * dashboard and in /metrics.  "show ssl cert" tells more, of all.
 *
 * Control thread.
 */
#ifndef CONTROL_CERTIFICATE_VIEW_H
#define CONTROL_CERTIFICATE_VIEW_H

#include "control/json.h"
#include "control/metrics_family.h"

/* Certificates, or what is stapled to them, have changed. */
void certificate_view_changed(void);
/* Grows with each of these calls. */
uint64_t certificate_view_serial(void);

/* An array, by path.  Directories are for LEVEL operator: others see the last part of paths. */
void certificates_json(struct json *json, const char *key, enum ctl_level level);

/* Families; no samples when there is none. */
enum metrics_certificate {
	CERTIFICATE_EXPIRY,
	CERTIFICATE_FROM_MEMORY,
	CERTIFICATE_OCSP_GOOD,
	CERTIFICATE_OCSP_NEXT,
	CERTIFICATE_OCSP_FAILED,
};
void metrics_certificates(struct metrics *metrics, int what);

#endif
