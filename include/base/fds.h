/* SPDX-License-Identifier: MIT */
/*
 * fds - room in the process' table of descriptors.
 *
 * The kernel doubles that table when a descriptor does not fit.  In a process with several threads
 * the one that needs the larger table then sleeps until every processor has left the old one (an
 * RCU grace period): 14 to 29 ms in which a traffic thread serves nobody, at 256, 512, 1,024
 * descriptors and so on.  So the table gets its size before there are threads, or on a thread that
 * may wait.
 */
#ifndef BASE_FDS_H
#define BASE_FDS_H

#include <stdint.h>

/*
 * The table has room for N descriptors, or for as many as the limit allows; it never shrinks.  8
 * bytes of kernel memory each.  May sleep: not on a traffic thread.
 */
void fds_make_room(uint64_t n);

#endif
