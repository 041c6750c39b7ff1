/* SPDX-License-Identifier: MIT */
/*
 * stick_hold - a session's table entry, held open for the life of its WebSocket.
 *
 * What a tunnel needs of a struct stick, in a few dozen bytes.
 */
#ifndef BALANCE_STICK_HOLD_H
#define BALANCE_STICK_HOLD_H

#include "balance/stick.h"

struct stick_hold;

/* Takes the open entry over from STICK (stick_end() will not close it); NULL when it has none. */
struct stick_hold *stick_hold(struct stick *stick, const struct backend *backend);
/* No other request or WebSocket of the session runs. */
bool stick_hold_is_last(const struct stick_hold *hold);
/* The session has to leave SERVER: stick_retire_sid(). */
void stick_hold_retire(struct stick_hold *hold, const struct server *server);
/* Lets go, or drops the entry when the session is over.  Frees HOLD; NULL is fine. */
void stick_hold_end(struct stick_hold *hold, bool is_session_over);

#endif
