/* SPDX-License-Identifier: MIT */
/*
 * frontends - what the operator has said of frontends and of the process' limit, beside the file.
 *
 * It lives in struct frontend_state and struct process_state, so it outlives reloads: a reload
 * takes a limit back only when it says another one than before, and everything when the frontend is
 * gone.  Control thread.
 */
#ifndef CONTROL_FRONTENDS_H
#define CONTROL_FRONTENDS_H

#include "model/server.h"

/* CONFIG takes the place of OLD. */
void frontends_apply(const struct config *old, const struct config *config);
/* Connections at most: the operator's, else the file's; 0 = the process' limit alone. */
uint32_t frontend_limit(const struct frontend *frontend);
/* "OPEN", "FULL", "STOP" */
const char *frontend_status(const struct frontend *frontend);

#endif
