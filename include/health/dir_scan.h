/* SPDX-License-Identifier: MIT */
/* dir_scan - the socket files of one directory that match a pattern.  Used by discovery.c alone. */
#ifndef HEALTH_DIR_SCAN_H
#define HEALTH_DIR_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bug.h"
#include "health/discovery.h"

struct dir_scan {
	struct discovery_worker *workers; /* (own) free(); sorted by name */
	size_t n;
	size_t left_out; /* over DISCOVERY_WORKERS_MAX, path too long, or name taken */
	dev_t dev;       /* of the directory */
	ino_t ino;
};

/*
 * Reads DIR for socket files whose name matches PATTERN (fnmatch; a leading dot must be explicit).
 * 0, or negative errno: SCAN is empty then.
 */
int dir_scan(const char *dir, const char *pattern, struct dir_scan *scan) must_check;

#endif
