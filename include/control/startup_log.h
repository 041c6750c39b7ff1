/* SPDX-License-Identifier: MIT */
/*
 * startup_log - what the last load of the configuration had to say, at the start or at a reload
 * (one that failed too), for "show startup-logs".  Bounded.  Control thread.
 */
#ifndef CONTROL_STARTUP_LOG_H
#define CONTROL_STARTUP_LOG_H

#include <stdbool.h>

void startup_log_begin(void); /* forgets what was there */
void startup_log_add(const char *message, bool is_error);
unsigned startup_log_warnings(void); /* errors not among them */

#endif
