/* SPDX-License-Identifier: MIT */
/*
 * discovery - workers found as socket files: the hosts whose configuration has a glob.
 *
 * One inotify watch per directory; the directory may come, go and come back.  An event only says
 * "look again": the directory is read and compared with what was known, at most once per loop turn.
 * A file with another identity (device, inode, time of birth) under a known name, or one that was
 * seen to be deleted in between, is a worker born anew.
 *
 * Births go to health_born() before on_change() runs, so that a server whose process does not
 * listen yet is DOWN before it can be picked.  Control thread.
 */
#ifndef HEALTH_DISCOVERY_H
#define HEALTH_DISCOVERY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "loop/loop.h"
#include "model/config.h"

#define DISCOVERY_WORKERS_MAX 1024 /* of one glob; more are left out, with a warning */

struct discovery_worker {
	char name[64];  /* the file's stem, bytes out of [A-Za-z0-9_.-] made '_'; unique in its glob
			 */
	char path[108]; /* NUL-terminated; fits sockaddr_un */
	ino_t ino;
	dev_t dev;
	int64_t born_ns; /* the file's time of birth; 0 = the file system does not tell */
};

/* ON_CHANGE runs when any list has changed, at most once per turn, never from discovery_apply(). */
void discovery_init(struct loop *loop, void (*on_change)(void));
/*
 * Follows the globs of CONFIG and no others; reads new ones at once, so that discovery_workers()
 * knows them on return.  Call it before the srvsets are built.  Keeps nothing of CONFIG.
 */
void discovery_apply(const struct config *config);
void discovery_fini(void);

/* The workers of GLOB, sorted by name: copies at most MAX, returns how many there are. */
size_t discovery_workers(struct str glob, struct discovery_worker *out, size_t max);

#endif
