/* SPDX-License-Identifier: MIT */
/*
 * http - the HTTP server of global.stats.http: dashboard, API, /metrics, /healthz.
 *
 * Everything runs on the control thread.  How a connection is served: control/http_client.h.
 * Nothing runs while nobody is connected.
 */
#ifndef CONTROL_HTTP_H
#define CONTROL_HTTP_H

#include <stdbool.h>

#include "base/bug.h"
#include "loop/loop.h"
#include "model/config.h"

/* CONF may be NULL: nothing is opened.  0 or negative errno: the address could not be had. */
int http_open(struct loop *loop, const struct stats_http_conf *conf) must_check;
/*
 * CONF is in force, or none is: opens, moves or closes the listener.  Connections end when the
 * credentials or the address are others than before.  An address that cannot be had is told on the
 * log; then nothing listens.
 */
void http_apply(const struct stats_http_conf *conf);
/* Closes everything; before loop_fini(). */
void http_close(void);
/* Upgrade: another process has the listener, too; -1 = none is open. */
int http_listener_fd(void);
/* Accepts no more; its file stays.  Connections end: their clients come back to the new process. */
void http_hand_over(void);
/* The process ends or hands over: /healthz says 503 from now on.  The listener stays. */
void http_set_draining(bool is_draining);
bool http_is_draining(void);

#endif
