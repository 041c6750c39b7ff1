/* SPDX-License-Identifier: MIT */
/*
 * runtime - puts a configuration in force: run-time objects, server sets, listeners, threads.
 *
 * All calls are made on the control thread (or before the threads start).  Reload: everything that
 * can fail (the file, new listeners) is done beside the running configuration; then the new one is
 * published to each traffic thread through its mailbox, and nothing that runs is touched.
 */
#ifndef MAIN_RUNTIME_H
#define MAIN_RUNTIME_H

#include "loop/loop.h"
#include "model/config.h"

/* The control thread's loop. */
extern struct loop control_loop;

struct config *runtime_config(void); /* (view) in force */

/* Listeners, state, sets and threads of the first configuration; IS_HELD: nothing is accepted yet.
 * 0, or negative errno and *WHY (own). */
int runtime_start(struct config *config, bool is_held, char **why) must_check;
/* The listeners of runtime_start(is_held) are watched from now on. */
void runtime_listen(void);
/* After privileges are dropped. */
int runtime_start_threads(void) must_check;

/*
 * Loads the file again.  0 or negative errno; *REPORT (own) tells errors and warnings, or what
 * changed.
 */
int runtime_reload(const char *file, char **report) must_check;
/* A watched directory has changed: builds the sets of backends with globs anew. */
void runtime_rebuild_sets(void);

/* Graceful stop: no new connections; runtime_is_idle() tells when none is left. */
void runtime_drain(void);
bool runtime_is_idle(void);
/*
 * Upgrade.  DONE runs on the control thread when every traffic thread has run a mail that was
 * posted now; one at a time is enough for each DONE.
 */
void runtime_barrier(void (*done)(void));
/* Copies of all listening sockets; LIST, its texts and descriptors are the callee's. */
struct runtime_listening {
	char *text;
	int fd;
};
void runtime_collect_listening(void (*done)(struct runtime_listening *list, size_t n));
/* traffic_hand_over() on each thread, then DONE. */
void runtime_hand_over(void (*done)(void));
/* Client connections that are open, and how many of them are tunnels. */
struct runtime_left {
	uint32_t clients, tunnels;
};
void runtime_count_left(struct runtime_left *left);

/* Closes what is left, ends and joins the threads, frees everything. */
void runtime_stop(void);

#endif
