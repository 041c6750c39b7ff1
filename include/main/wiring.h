/* SPDX-License-Identifier: MIT */
/* wiring - ties the layers' hooks together: see wiring.c. */
#ifndef MAIN_WIRING_H
#define MAIN_WIRING_H

/* FILE is what a reload loads; it must live on.  After loop_init(&control_loop). */
void wiring_init(const char *file);

#endif
