/* SPDX-License-Identifier: MIT */
/* process - what a daemon does with its process: limits, privileges, pid file, systemd. */
#ifndef MAIN_PROCESS_H
#define MAIN_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bug.h"
#include "loop/loop.h"
#include "model/config.h"

/* Raises the soft descriptor limit to the hard one; what it is then. */
uint64_t process_raise_fd_limit(void);
/* Descriptors that CONFIG needs before the first client comes: listeners, checks, stats sockets. */
uint64_t process_fds_needed(const struct config *config);
/*
 * Descriptors of that many connections, and what CONFIG needs, will fit at once (base/fds.h); when
 * it says nothing of max_connections, up to a bound.  Before any thread starts.
 */
void process_make_room_for_fds(const struct config *config, uint32_t connections);
/*
 * Client connections that the limit allows: two descriptors each, NEEDED (at least 200, or a
 * quarter of a low limit) for everything else.
 */
uint32_t process_connections_for(uint64_t fd_limit, uint64_t needed);
/*
 * chroot (unless the process IS_INSIDE already), group and user as CONFIG says.  What was root
 * keeps CAP_NET_BIND_SERVICE alone, and that only when there is a bind on a port below 1024; it can
 * gain nothing any more.  Before any thread starts.  0 or negative errno with *WHY, a constant.
 */
int process_drop_privileges(const struct config *config, bool is_inside,
			    const char **why) must_check;
/* 0 or negative errno; no pid_file is fine.  It is given to global.user. */
int process_write_pid_file(const struct global_conf *global) must_check;
/* Only when it holds this process' number. */
void process_remove_pid_file(struct str path);
/* Another Limpet that the file names and that runs; 0 = none. */
pid_t process_other(struct str pid_file);

/* systemd (sd_notify(3)): each does nothing when it is not there. */
void process_notify_begin(void); /* before a chroot */
void process_notify(const char *state);
void process_notify_reloading(void);
/* From now on another process speaks to systemd. */
void process_notify_end(void);
/*
 * WATCHDOG=1 three times in each WatchdogSec, as long as the control loop and, by BARRIER
 * (runtime_barrier()), every traffic thread turns.
 */
void process_watchdog_start(struct loop *loop, void (*barrier)(void (*done)(void)));

#endif
