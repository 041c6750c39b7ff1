/* SPDX-License-Identifier: MIT */
/* runtime_sets - part of runtime: see runtime_sets.c.  Control thread. */
#ifndef MAIN_RUNTIME_SETS_H
#define MAIN_RUNTIME_SETS_H

#include "model/config.h"
#include "model/server.h"

/* Builds and publishes the sets of CONFIG's backends; ONLY_GLOBS: those whose list has changed. */
void runtime_build_sets(struct config *config, bool only_globs);
/* The operator has changed servers of BACKEND: their set is built anew, checks follow. */
void runtime_servers_changed(struct backend_state *backend);
/* Weights alone have changed, by an agent or slow start. */
void runtime_weights_changed(struct backend_state *backend);
/* For a backend that the configuration has no more. */
void runtime_drop_set(struct backend_state *backend);
/* Those that wait for their last requests go without waiting: for tests. */
void runtime_drop_sets_now(void);
/* When no thread runs any more. */
void runtime_free_sets(void);
/* Idle connections to servers that are gone, moved or in maintenance are closed.  Any thread. */
void runtime_sweep_pools(void);

#endif
