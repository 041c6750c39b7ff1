/* SPDX-License-Identifier: MIT */
/*
 * metrics - everything that Limpet counts as Prometheus' text format (version 0.0.4), and as
 * OpenMetrics 1.0.0 when asked for.
 *
 * Written piece by piece: each call appends some RUN_PIECE bytes at most to OUT and says RUN_MORE
 * until it is done.  AT is the caller's cursor, zero at first.  Control thread.
 */
#ifndef CONTROL_METRICS_H
#define CONTROL_METRICS_H

#include "base/buf.h"
#include "control/command.h"

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPENMETRICS };

enum run_step metrics_write(struct buf *out, uint64_t at[4], enum metrics_format format);
/* Value of the Content-Type field. */
const char *metrics_content_type(enum metrics_format format);

#endif
