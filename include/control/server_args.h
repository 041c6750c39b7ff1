/* SPDX-License-Identifier: MIT */
/* server_args - what the commands share that change servers; within this layer. */
#ifndef CONTROL_SERVER_ARGS_H
#define CONTROL_SERVER_ARGS_H

#include "control/commands.h"
#include "model/server.h"

/* Has the set of BACKEND built anew. */
void servers_changed(struct backend_state *backend);
/* A decimal number with or without a sign at the beginning of TEXT; large ones stay large.  False:
 * there is none. */
bool args_integer(struct str text, int64_t *value, struct str *rest);
/* "backend/name": the backend, and NAME; or an error message, that requires 'backend/WHAT', and
 * NULL. */
struct backend *run_backend_of(struct run *run, struct str text, const char *what,
			       struct str *name);

#endif
