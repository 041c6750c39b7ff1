/* SPDX-License-Identifier: MIT */
/*
 * session_rig - the whole HTTP engine on one thread and one loop, without listeners of its own.
 *
 * A test plays both sides: clients are ends of socketpairs, servers are listening Unix sockets
 * "a", "b"... in a new directory, named DIR in the configuration.  Nothing happens but in
 * rig_until(), so every order of events can be made.
 */
#ifndef SESSION_RIG_H
#define SESSION_RIG_H

#include <stdbool.h>

#include "session/client.h"
#include "session/traffic.h"

#define RIG_SERVERS 3

struct rig {
	struct traffic *traffic;
	struct config *config;
	char dir[32];
	int listeners[RIG_SERVERS];
	char text[65536]; /* what rig_read() took last */
	size_t text_len;
};

/* YAML with "DIR" replaced; servers listen at DIR/a, DIR/b, DIR/c. */
struct rig *rig_new(const char *yaml);
void rig_free(struct rig *rig);
/* Puts another configuration in force, as a reload does. */
void rig_reload(struct rig *rig, const char *yaml);

/* One turn that waits a few milliseconds at most. */
void rig_turn(struct rig *rig);
#define rig_until(rig, condition)                                                                  \
	do {                                                                                       \
		int64_t rig_limit_us = clock_now_us() + 5000000;                                   \
		while (!(condition)) {                                                             \
			if (clock_now_us() > rig_limit_us)                                         \
				fail_msg("%s:%d: did not come true: %s", __FILE__, __LINE__,       \
					 #condition);                                              \
			rig_turn(rig);                                                             \
		}                                                                                  \
	} while (0)

/* A client of the first frontend; the test's end of the connection. */
int rig_client(struct rig *rig);
int rig_tcp_client(struct rig *rig);
/* Waits for the next connection to server AT ('a', 'b'...). */
int rig_accept(struct rig *rig, char at);
bool rig_is_connected(struct rig *rig, char at); /* somebody waits to be accepted */
void rig_send(int fd, const char *text);
/* Waits for TEXT to have come on FD as a whole; what came since the last call is compared. */
void rig_expect(struct rig *rig, int fd, const char *text);
/* Waits for bytes that contain TEXT; all that came is in rig->text. */
void rig_expect_part(struct rig *rig, int fd, const char *text);
/* Waits for the end of the stream. */
void rig_expect_end(struct rig *rig, int fd);
/* Nothing has come on FD after a few turns. */
bool rig_is_silent(struct rig *rig, int fd);

struct server *rig_server(struct rig *rig, const char *backend, const char *name);
unsigned rig_slots(struct rig *rig, const char *backend, const char *name);
/* What must be so when no request runs: slots, gauges, queue. */
void rig_assert_quiet(struct rig *rig);

#endif
