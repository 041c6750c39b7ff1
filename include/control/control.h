/* SPDX-License-Identifier: MIT */
/*
 * control - the stats sockets: who listens, and what other layers wire.
 *
 * Everything runs on the control thread.  How a connection is served: control/console.h; what a
 * command is: control/command.h.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/str.h"
#include "loop/loop.h"
#include "model/config.h"
#include "net/listener.h"

/*
 * Opens every socket of global.stats.socket and keeps a reference to CONFIG.  0, or negative errno
 * with *WHY (what cannot be opened, for a message that ends with the error's
 * text; stands until the next call): then nothing is open.
 */
int control_init(struct loop *loop, struct config *config, const char **why) must_check;
/*
 * CONFIG is in force: opens sockets that are new, closes those that went, changes level and mode of
 * the others.  Connections stay.  A socket that cannot be opened is told on the log.  May be called
 * from within the reload hook.
 */
void control_apply(struct config *config);
/* Closes everything; before loop_fini(). */
void control_fini(void);
/*
 * The process is about to end, or hands over to another one: /healthz says so.  Everything goes on
 * being served until control_fini().
 */
void control_set_draining(bool is_draining);

/*
 * Reloads the configuration file.  0, or negative errno when the running one stays.  *REPORT (own)
 * is what there is to say, errors and warnings, one a line; may be NULL.  NULL hook: no reload.
 */
typedef int control_reload_fn(char **report);
extern control_reload_fn *control_reload_hook;

/* The operator has changed servers of BACKEND (model/override.h): its set must be built anew. */
typedef void control_servers_changed_fn(struct backend_state *backend);
extern control_servers_changed_fn *control_servers_changed_hook;

/* The operator has changed certificates of the store (net/tls_store.h), or a staple. */
typedef void control_certificates_changed_fn(void);
extern control_certificates_changed_fn *control_certificates_changed_hook;

/*
 * Upgrade: another process takes over.
 *
 * The new one gives control_init() the sockets that it was handed (control_inherit(), FD taken
 * over), and accepts on none of them until control_release().  The old one tells which it has
 * (views), and stops: connections stay, and no socket's file is removed.
 */
void control_inherit(struct str text, int fd);
/*
 * For who listens on the control thread: on the socket that was handed over as TEXT, else on ADDR.
 * ACCEPTOR's may_accept is set.  0 or negative errno.
 */
int control_listen(struct acceptor *acceptor, struct str text, const struct sock_addr *addr,
		   const struct listen_options *options, acceptor_fn *fn) must_check;
void control_hold(void);
bool control_is_held(void);
void control_release(void);
struct control_listener {
	struct str text;
	int fd;
	bool is_http;
};
size_t control_listeners(struct control_listener *to, size_t max);
void control_hand_over(void);

/*
 * Starts an upgrade.  0: DONE(ARG) follows, once, from the loop; negative errno and *WHY (own): it
 * was not even tried, and DONE is not called.  NULL hook: no upgrade.
 */
typedef void control_upgraded_fn(void *arg, bool is_done, const char *text);
typedef int control_upgrade_fn(control_upgraded_fn *done, void *arg, char **why);
extern control_upgrade_fn *control_upgrade_hook;

/*
 * Saves the session tables to their file.  As control_upgrade_fn: 0 = DONE(ARG) follows, once, from
 * the loop; negative errno and *WHY (own): it was not tried.  NULL hook: nothing to save.
 */
typedef void control_saved_fn(void *arg, bool is_done, const char *text);
typedef int control_save_fn(control_saved_fn *done, void *arg, char **why);
extern control_save_fn *control_save_hook;

/* Processes that handed over to this one and are not gone yet; NULL after the last. */
struct control_old {
	int pid;
	uint32_t connections, tunnels;
	int64_t started_unix_ms, left_ms; /* left_ms: until it ends what is left */
	uint64_t reloads;
	char version[32];
};
typedef const struct control_old *control_old_fn(size_t index);
extern control_old_fn *control_old_hook; /* NULL = none */

#endif
