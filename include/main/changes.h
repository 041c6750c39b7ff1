/* SPDX-License-Identifier: MIT */
/* changes - what a change of a server's state sets off: log lines, wake-ups, closed connections. */
#ifndef MAIN_CHANGES_H
#define MAIN_CHANGES_H

#include "model/server.h"

/* Becomes server_change_hook.  Any thread. */
server_change_fn changes_on_server;

#endif
