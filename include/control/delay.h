/* SPDX-License-Identifier: MIT */
/* delay - durations on the stats socket: a number, with one of the units us ms s m h d, or none. */
#ifndef CONTROL_DELAY_H
#define CONTROL_DELAY_H

#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"

/* UNIT_US microseconds is what a number alone counts.  0 or -EINVAL. */
int delay_parse(struct str text, int64_t unit_us, int64_t *ms) must_check;

#endif
