/* SPDX-License-Identifier: MIT */
/*
 * file_watch - files and directories that are read again when they change.
 *
 * What counts is what a reader of the path would find: device, inode, size and times of the file
 * behind all symbolic links, and of the files beside it that belong to it (FILE_WATCH_BESIDE); of a
 * directory those of every file in it.  So a file that is written in place, one that is renamed
 * over the path, a link that is set anew, and the swapped directory of a Kubernetes secret
 * ("..data") are the same to us.
 *
 * inotify on the directory of the path and on that of the file behind its links says when to look;
 * the look itself comes when nothing has happened for FILE_WATCH_QUIET_MS, so that a key and a
 * certificate written one after the other are read together.  What inotify does not see (a link
 * further up, a network file system) is found by a look every FILE_WATCH_POLL_MS.
 *
 * Control thread.
 */
#ifndef MAIN_FILE_WATCH_H
#define MAIN_FILE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"

#define FILE_WATCH_QUIET_MS MS(500)
#define FILE_WATCH_LATE_MS  MS(1500) /* however much goes on in that directory */
#define FILE_WATCH_AGAIN_MS SEC(2)
#define FILE_WATCH_POLL_MS  SEC(10)

/*
 * PATH has changed, or, HAS_CHANGED false, an earlier call said that it is to be asked again.
 * False: ask again in FILE_WATCH_AGAIN_MS.  May not call file_watch_set().
 */
typedef bool file_watch_fn(const char *path, bool has_changed);

/* BESIDE: suffixes of files that belong to a watched file; ends with NULL; (view). */
void file_watch_init(struct loop *loop, file_watch_fn *fn, const char *const *beside);
/*
 * These are watched from now on (copied), others no more.  Those that are new are told once, soon:
 * they may have changed since they were read.
 */
void file_watch_set(const char *const *paths, size_t n);
void file_watch_fini(void); /* before loop_fini(); harmless without init */

/* A number for what a reader of PATH would find; 0 = nothing. */
uint64_t file_watch_print(const char *path, const char *const *beside);

#endif
