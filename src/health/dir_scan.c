/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "health/dir_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/mem.h"

/* What is looked at before the list is cut: bounds memory in a directory that somebody floods. */
#define FOUND_MAX 8192

/* "chat-1.sock" -> "chat-1"; false when nothing is left of it. */
static bool name_of(const char *file, struct discovery_worker *worker)
{
	const char *dot = strrchr(file, '.');
	size_t length = dot && dot != file ? (size_t)(dot - file) : strlen(file);

	if (length >= sizeof(worker->name))
		length = sizeof(worker->name) - 1;
	for (size_t i = 0; i < length; i++) {
		char c = file[i];
		bool is_fine = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			       (c >= 'a' && c <= 'z') || c == '_' || c == '.' || c == '-';

		worker->name[i] = is_fine ? c : '_';
	}
	worker->name[length] = '\0';
	return length > 0;
}

static bool identity_of(int dir_fd, const char *file, struct discovery_worker *worker)
{
	struct statx stx;

	if (statx(dir_fd, file, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_TYPE | STATX_INO | STATX_BTIME, &stx) != 0 ||
	    !S_ISSOCK(stx.stx_mode))
		return false;
	worker->ino = stx.stx_ino;
	worker->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	worker->born_ns = stx.stx_mask & STATX_BTIME ? stx.stx_btime.tv_sec * INT64_C(1000000000) +
							       (int64_t)stx.stx_btime.tv_nsec
						     : 0;
	return true;
}

static int by_name(const void *a, const void *b)
{
	const struct discovery_worker *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : strcmp(x->path, y->path);
}

/* After sorting: of several files with one name the first counts. */
static void finish(struct dir_scan *scan)
{
	size_t kept = 0;

	if (scan->n)
		qsort(scan->workers, scan->n, sizeof(*scan->workers), by_name);
	for (size_t i = 0; i < scan->n; i++) {
		bool is_taken =
			kept && strcmp(scan->workers[kept - 1].name, scan->workers[i].name) == 0;

		if (is_taken || kept == DISCOVERY_WORKERS_MAX)
			scan->left_out++;
		else
			scan->workers[kept++] = scan->workers[i];
	}
	scan->n = kept;
}

static void add(struct dir_scan *scan, size_t *room, const struct discovery_worker *worker)
{
	if (scan->n == FOUND_MAX) {
		scan->left_out++;
		return;
	}
	if (scan->n == *room) {
		*room = *room ? *room * 2 : 16;
		scan->workers = xrealloc_array(scan->workers, *room, sizeof(*scan->workers));
	}
	scan->workers[scan->n++] = *worker;
}

int dir_scan(const char *dir, const char *pattern, struct dir_scan *scan)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	struct stat st;
	size_t room = 0;
	DIR *stream;

	*scan = (struct dir_scan){ 0 };
	if (fd < 0 || fstat(fd, &st) != 0 || (stream = fdopendir(fd)) == NULL) {
		int rc = -errno;

		if (fd >= 0)
			close(fd);
		return rc;
	}
	scan->dev = st.st_dev;
	scan->ino = st.st_ino;
	while ((entry = readdir(stream)) != NULL) {
		struct discovery_worker worker = { .ino = 0 };
		int length;

		if (fnmatch(pattern, entry->d_name, FNM_PERIOD | FNM_NOESCAPE) != 0 ||
		    !name_of(entry->d_name, &worker) ||
		    !identity_of(dirfd(stream), entry->d_name, &worker))
			continue;
		length = snprintf(worker.path, sizeof(worker.path), "%s%s%s", dir,
				  dir[strlen(dir) - 1] == '/' ? "" : "/", entry->d_name);
		if ((size_t)length >= sizeof(worker.path))
			scan->left_out++;
		else
			add(scan, &room, &worker);
	}
	closedir(stream);
	finish(scan);
	return 0;
}
