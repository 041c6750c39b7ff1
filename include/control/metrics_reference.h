/* SPDX-License-Identifier: MIT */
/* metrics_reference - doc/metrics.md as limpet-genmetrics makes it. */
#ifndef CONTROL_METRICS_REFERENCE_H
#define CONTROL_METRICS_REFERENCE_H

/* (own) text. */
char *metrics_reference(void);

#endif
