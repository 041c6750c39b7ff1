/* SPDX-License-Identifier: MIT */
/* process - what a daemon does with its process: limits, privileges, pid file, systemd. */
#ifndef MAIN_PROCESS_H
#define MAIN_PROCESS_H

#include <stdint.h>

#include "base/bug.h"
#include "model/config.h"

/* Raises the soft descriptor limit to the hard one; what it is then. */
uint64_t process_raise_fd_limit(void);
/*
 * Client connections that the limit allows: two descriptors each, and some for everything else.
 */
uint32_t process_connections_for(uint64_t fd_limit);
/* chroot, group, user as GLOBAL says.  0 or negative errno with *WHY, a constant. */
int process_drop_privileges(const struct global_conf *global, const char **why) must_check;
int process_write_pid_file(struct str path) must_check; /* 0 or negative errno; "" is fine */
void process_remove_pid_file(struct str path);
/* Tells systemd, e.g. "READY=1"; nothing when it is not there (sd_notify(3)). */
void process_notify(const char *state);

#endif
