/* SPDX-License-Identifier: MIT */
/*
 * redis_rig - a link under test, on a loop, and fake servers that a test scripts step by step.
 *
 * Everything that the link tells is written down in rig.told, in order: "up ", "down(why) ",
 * "NAME=answer " of a command, "NAME=NULL ".
 */
#ifndef TESTS_REDIS_RIG_H
#define TESTS_REDIS_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mirror/redis.h"

struct rig {
	struct loop loop;
	struct redis *redis;
	struct redis_options options; /* of the next rig_start(); connect and answer in 2 s */
	char dir[64], url[160];       /* a Unix socket, on which `server` listens */
	int server;                   /* listens */
	int peer;                     /* the server's end of the connection, or -1 */
	char told[8192];
	void (*on_up)(void), (*on_down)(void), (*on_reply)(void); /* called after it is written */
};
extern struct rig rig;

int rig_setup(void **state);
int rig_teardown(void **state);
void rig_start(void);    /* the link, to rig.options.url */
void rig_start_up(void); /* and greets it until it is up; told[] is empty then */
int rig_listen_tcp(uint16_t *port);

/* Turns the loop until COND, 5 s at most. */
#define rig_until(cond)                                                                            \
	do {                                                                                       \
		int64_t end_us = clock_now_us() + 5000000;                                         \
		bool is_so;                                                                        \
		while (!(is_so = (cond)) && clock_now_us() < end_us)                               \
			loop_turn(&rig.loop, 5);                                                   \
		if (!is_so)                                                                        \
			fail_msg("%s:%d: not within 5 s: %s; told: %.1000s", __FILE__, __LINE__,   \
				 #cond, rig.told);                                                 \
	} while (0)
void rig_turns(unsigned ms); /* turns for so long */

int rig_accept(int listener);
/* COMMANDS: words apart by spaces, commands apart by ';'.  They come, and nothing else. */
void rig_hear(int fd, const char *commands);
void rig_say(int fd, const char *bytes);
void rig_hang_up(int *fd);

int rig_command(const char *name, const char *words); /* NAME is kept */
#define rig_has_told(text) (strstr(rig.told, (text)) != NULL)

#endif
