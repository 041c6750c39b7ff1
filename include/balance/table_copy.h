/* SPDX-License-Identifier: MIT */
/*
 * table_copy - two processes that serve the same clients for a while keep their tables alike.
 *
 * While an old Limpet drains and a new one accepts (main/upgrade.c), a session that was born in one
 * may go on in the other: clients, and proxies before us, still have connections to both.  So each
 * change of an entry is sent to the other process, over one SOCK_SEQPACKET pair, on the thread that
 * made it and before the answer that told the client can have left.  Who then does not find a key
 * reads what is waiting there, and looks again.  A session cannot be asked for before it is known.
 *
 *   record: kind, flags, table "backend/rule", server's name, key, idle time, what is left of it
 *       or: kind, digest key
 *
 * Keys are sent as they are kept.  So each process is told first under which digest keys the other
 * keeps them, and looks unknown sids up under those as well (table.h).
 *
 * Servers and tables are named, for the two processes may number them otherwise; a generation is
 * told as "of the process that lives there now, or of one before".  A record of something that this
 * process does not know is left out.
 *
 * A process may have several peers (upgrades that follow upon each other); what comes from one is
 * passed on to the others.
 *
 * Threads.  Records are written and read on any thread: one mutex for all writers, one for all
 * readers, never both but in that order: readers, then writers (a record is passed on).  A peer
 * that is too slow never makes anyone wait: its records are kept in memory, up to
 * TABLE_COPY_WAITING_MAX, and sent when it reads again.
 */
#ifndef BALANCE_TABLE_COPY_H
#define BALANCE_TABLE_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bug.h"
#include "base/pack.h"
#include "loop/loop.h"
#include "model/server.h"

#define TABLE_COPY_PEERS_MAX   8
#define TABLE_COPY_WAITING_MAX 100000 /* records */
#define TABLE_COPY_RECORD_MAX  1024   /* bytes */

/*
 * From now on changes go to and come from FD (taken over, non-blocking), whose other end is a
 * peer's.  Control thread, on LOOP.  The peer's number, or -ENOSPC.
 */
int table_copy_open(struct loop *loop, int fd) must_check;
/* Control thread: there may be other tables, or another digest key, now (a reload). */
void table_copy_refresh(void);
/* The peer makes no more requests (tunnels at most): nothing more is sent there; it may still send.
 */
void table_copy_quiet(int peer);
/* No more of it.  FD is closed by table_copy_reap(), when no thread can be using it. */
void table_copy_close(int peer);
/* After every traffic thread has passed through its loop since table_copy_close(). */
void table_copy_reap(void);
/* Reads what is waiting; true when something was.  Any thread. */
bool table_copy_catch_up(void);
uint64_t table_copy_lost(void); /* records that a peer was too slow for */

/* Where a walk over all tables is; zeroed at first. */
struct table_copy_walk {
	struct backend_state *backend;
	int kind;
	uint64_t cursor;
	bool is_begun;
};
/*
 * Some records of the next entries, if TO has room for at least 64 KiB / 2; false when there are
 * none left (TO may hold some).
 */
bool table_copy_write(struct table_copy_walk *walk, struct pack *to);
/*
 * Takes the records in FROM over; what a change has told meanwhile is newer and stays.  Returns how
 * many; from->is_bad when one is malformed.
 */
uint32_t table_copy_read(struct unpack *from);

#endif
