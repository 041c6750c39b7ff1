/* SPDX-License-Identifier: MIT */
/*
 * upgrade - hands everything over to a new process of a (new) binary, and takes it over there.
 *
 * The old side (upgrade.c, SIGUSR2) starts the program with its own arguments, feeds it what it has
 * (listening sockets, states, counters, tables, keys) and, when the new one accepts, drains: idle
 * connections may send one more request, WebSockets live on for global.upgrade_grace, in the second
 * half of which they are ended evenly.  Until the new one accepts any failure leaves the old one as
 * it was.
 *
 * The new side (upgrade_new.c) is a start of the program like any other, with pauses in which it
 * listens to the old one.  What is said: main/upgrade_msg.h.
 *
 * Control thread.
 */
#ifndef MAIN_UPGRADE_H
#define MAIN_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bug.h"
#include "control/control.h"
#include "main/upgrade_msg.h"
#include "model/config.h"

/*
 * The old side.  BINARY: what to start, NULL = the program that runs now, at the path by which it
 * was found.  ARGV must live on.  STOP ends the process when all is drained.
 */
void upgrade_init(const char *binary, char **argv, void (*stop)(void));
/* As control_upgrade_fn says; DONE may be NULL. */
int upgrade_start(control_upgraded_fn *done, void *arg, char **why) must_check;
/* What forbids a reload now, a constant; NULL = nothing. */
const char *upgrade_forbids_reload(void);
bool upgrade_is_handed_over(void);
/* SIGTERM: an upgrade under way is given up. */
void upgrade_cancel(void);

/* upgrade_spawn.c: what would be started, or NULL; see upgrade_init(). */
const char *upgrade_find_binary(const char *argv0);
/* Starts BINARY with both sockets.  Its pid, or negative errno. */
pid_t upgrade_spawn(const char *binary, char **argv, int control_fd, int tables_fd) must_check;
/* "exited with status 1"; kills it when it does not end by itself.  False: not yet. */
bool upgrade_reap(pid_t pid, bool is_last_try, char *how, size_t how_size);

/* upgrade_drain.c: accepts no more, and calls STOP when nobody is left, or upgrade_grace is over.
 */
void upgrade_drain(void (*stop)(void));
void upgrade_drain_stop(void); /* SIGTERM: another grace counts from now on */
struct upgrade_left {
	uint32_t clients, tunnels;
	bool is_quiet;     /* tunnels alone */
	bool has_counters; /* tell what was counted since, too */
	int64_t left_ms;
};
/* Tells the new process. */
void upgrade_say_left(const struct upgrade_left *left);

/*
 * The new side, in the order of the calls.  upgrade_new_begin(): 1 when this process was started by
 * an old one and has heard it, 0 when not, negative errno after a message.  Those that can fail say
 * why on standard error, and to the old one.
 */
int upgrade_new_begin(void) must_check;
bool upgrade_new_is_on(void);
/* Random secrets of cookies go on; then states, counters and overrides are taken over. */
int upgrade_new_states(struct config *config) must_check;
/* After runtime_start(): the tables. */
int upgrade_new_tables(void) must_check;
/*
 * After runtime_start_threads(): tells that it is ready.  ACCEPTING runs when this process has
 * begun to accept, before the old one is told.
 */
int upgrade_new_ready(void (*accepting)(void)) must_check;
/* This start has failed. */
void upgrade_new_failed(const char *why);
const struct control_old *upgrade_old(size_t index); /* control_old_fn */

/*
 * upgrade_state.c: messages about what the process knows, one after another from *AT = 0 on;
 * false when there are no more.
 */
struct upgrade_walk {
	unsigned part;
	uint64_t at;
	void *next;
};
bool upgrade_write_secrets(struct upgrade_walk *walk, struct upgrade_packet *packet);
bool upgrade_write_states(struct upgrade_walk *walk, struct upgrade_packet *packet);
/* What has been counted since the last walk. */
bool upgrade_write_counters(struct upgrade_walk *walk, struct upgrade_packet *packet);
/* in->is_bad when it is malformed. */
void upgrade_read_server(struct unpack *in);
void upgrade_read_frontend(struct unpack *in);
void upgrade_read_counters(struct unpack *in);
void upgrade_read_override(struct unpack *in);
/* SECRETs are kept until there is a configuration. */
void upgrade_read_secret(struct unpack *in);
void upgrade_use_secrets(struct config *config);

#endif
