/* SPDX-License-Identifier: MIT */
/*
 * health_rig - a configuration made by hand, a loop, and servers that answer as they are told, all
 * on the test's own thread.
 */
#ifndef HEALTH_RIG_H
#define HEALTH_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "health/health.h"
#include "loop/loop.h"
#include "model/config.h"
#include "model/server.h"

#define RIG_CONNS_MAX 1100

/* A server: listens, keeps what it gets, answers when `answer` is set. */
struct peer {
	int fd; /* -1 = does not listen */
	struct sock_addr addr;
	const char *answer; /* NULL = says nothing */
	bool is_byte_by_byte;
	bool is_closing_first; /* closes instead of answering */
	unsigned accepted_n, open_n, open_max;
	char got[4096]; /* of the last connection */
	size_t got_size;
	int conns[RIG_CONNS_MAX];
	size_t answered[RIG_CONNS_MAX];
};

struct rig {
	struct loop loop;
	struct config *config; /* one backend */
	struct backend *backend;
	struct srvset_spec specs[RIG_CONNS_MAX];
	char names[RIG_CONNS_MAX][12];
	size_t specs_n;
	struct peer *peers[4];
	size_t peers_n;
	char dir[64];
};

int rig_setup(void **state);
int rig_teardown(void **state);

struct peer *rig_peer(struct rig *rig);                        /* TCP, listening */
struct peer *rig_peer_unix(struct rig *rig, const char *file); /* bound, not listening */
void rig_listen(struct peer *peer);
void rig_kill(struct peer *peer);   /* closes everything; a Unix socket's file stays */
void rig_revive(struct peer *peer); /* on the same address */
char *rig_path(struct rig *rig, const char *file); /* (own) */

/* One more worker of host "h" at ADDR; publishes the set and applies it. */
struct server *rig_add(struct rig *rig, const struct sock_addr *addr);
void rig_publish(struct rig *rig);
struct server *rig_server(struct rig *rig, size_t i);

void rig_turn(struct rig *rig); /* one short turn of loop and peers */
/* Turns until COND, two seconds at most. */
#define rig_until(rig, cond)                                                                       \
	do {                                                                                       \
		int64_t end_us = clock_now_us() + 2000000;                                         \
		while (!(cond)) {                                                                  \
			if (clock_now_us() > end_us)                                               \
				fail_msg("never came true: %s", #cond);                            \
			rig_turn(rig);                                                             \
		}                                                                                  \
	} while (0)
/* Turns for MS: for what must not happen. */
void rig_while_ms(struct rig *rig, int ms);

#endif
