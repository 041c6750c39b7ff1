/* SPDX-License-Identifier: MIT */
/*
 * upgrade_msg - what a process that hands over and the one that takes over say to each other.
 *
 *     old                                     new
 *      | HELLO version, pid, key, ...          |
 *      | SECRET*, LISTENER* (with sockets)     |
 *      | LOAD -------------------------------> | reads and checks its configuration
 *      | <------------------------------ LOADED|
 *      | SERVER*, COUNTERS*, OVERRIDE* ...     |
 *      | STATES_END -------------------------> | run-time objects, listeners (not watched yet)
 *      | <----------------------------- STARTED|
 *      | ENTRIES*, TABLES_END ---------------> | threads
 *      | <------------------------------- READY|
 *      | GO ---------------------------------> | watches its listeners
 *      | <--------------------------- ACCEPTING|
 *      | (accepts no more, drains)             | pid file, systemd
 *      | LEFT*, COUNTERS* -------------------> | for "show proc" and the graphs
 *      | (ends)                                |
 *
 * At any time before ACCEPTING: FAILED from the new one, or the end of the connection, and the old
 * one goes on.  Changes of tables go another way: balance/table_copy.h.
 *
 * One message is one packet of a SOCK_SEQPACKET pair: its type, then fields (base/pack.h).  What
 * stands first in HELLO never changes, so that each version can refuse any other.
 */
#ifndef MAIN_UPGRADE_MSG_H
#define MAIN_UPGRADE_MSG_H

#include "base/bug.h"
#include "base/pack.h"

#define UPGRADE_MAGIC   0x4c4d5031u
#define UPGRADE_VERSION 2u
#define UPGRADE_ENV     "LIMPET_HANDOVER" /* "3,4": both sockets, in the new process */
#define UPGRADE_MSG_MAX 65536             /* bytes */
#define UPGRADE_FDS_MAX 128               /* sockets in one message; the kernel takes 253 */

enum upgrade_msg {
	MSG_HELLO = 1,
	MSG_SECRET,
	MSG_LISTENER,
	MSG_LOAD,
	MSG_SERVER,
	MSG_FRONTEND,
	MSG_COUNTERS,
	MSG_OVERRIDE,
	MSG_STATES_END,
	MSG_ENTRIES,
	MSG_TABLES_END,
	MSG_GO,
	MSG_LEFT,
	MSG_LOADED = 100,
	MSG_STARTED,
	MSG_READY,
	MSG_ACCEPTING,
	MSG_FAILED,
};

/* Whose sockets a LISTENER message brings. */
enum upgrade_listener { LISTENER_TRAFFIC = 1, LISTENER_STATS, LISTENER_HTTP };

struct upgrade_packet {
	unsigned char bytes[UPGRADE_MSG_MAX];
	struct pack out; /* while it is written */
	int fds[UPGRADE_FDS_MAX];
	size_t fds_n;
};

/* An empty message of TYPE. */
void packet_begin(struct upgrade_packet *packet, enum upgrade_msg type);
/* 0, -EAGAIN, or negative errno. */
int packet_send(int fd, const struct upgrade_packet *packet) must_check;
/*
 * Bytes received, 0 at the end, or negative errno (-EAGAIN).  Sockets that came with it are the
 * caller's to close; *IN is after the type.
 */
int packet_receive(int fd, struct upgrade_packet *packet, enum upgrade_msg *type,
		   struct unpack *in) must_check;

#endif
