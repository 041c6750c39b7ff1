/* SPDX-License-Identifier: MIT */
/*
 * ocsp_ask - one question to an OCSP responder (RFC 6960 A.1): POST over HTTP, on the control
 * thread, without waiting.  What the answer is worth is for who asked.
 *
 *   resolve the name -> each address in turn until one answers -> DONE
 */
#ifndef HEALTH_OCSP_ASK_H
#define HEALTH_OCSP_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "loop/loop.h"

#define OCSP_ASK_TIMEOUT_MS SEC(10)
#define OCSP_URL_MAX        1024

/* "http://host:port/path" taken apart; views into the text.  Other schemes are not asked. */
struct ocsp_url {
	struct str authority, host, path;
	uint16_t port;
};
bool ocsp_url_parse(struct str text, struct ocsp_url *url) must_check;

struct ocsp_ask;
/* ANSWER.p == NULL: WHY.  Views; the question is over. */
typedef void ocsp_answer_fn(void *arg, struct str answer, const char *why);

/* URL and REQUEST (DER) are copied.  NULL: the URL cannot be asked.  FN(ARG) follows once, later.
 */
struct ocsp_ask *ocsp_ask_start(struct loop *loop, struct str url, struct str request,
				ocsp_answer_fn *fn, void *arg) must_check;
/* FN does not come.  NULL is fine. */
void ocsp_ask_cancel(struct ocsp_ask *ask);

#endif
