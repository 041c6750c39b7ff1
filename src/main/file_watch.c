/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/file_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define WATCH_EVENTS                                                                               \
	(IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB |        \
	 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct item {
	char *path; /* (own) */
	uint64_t print;
	bool is_new;   /* to be told, changed or not */
	bool is_again; /* was asked for */
	bool is_kept;
};

static struct {
	struct loop *loop; /* NULL = not in use */
	file_watch_fn *fn;
	const char *const *beside;
	struct loop_fd lf;
	int fd;
	struct timer timer; /* the next look */
	int64_t since_ms;   /* of the first event since the last look; 0 = none */
	struct item *items; /* (own) */
	size_t items_n;
	int *wds; /* (own) watches in use */
	size_t wds_n;
	bool is_error_told;
} watch = { .fd = -1, .lf = { .fd = -1 } };

/* FNV-1a, of 64 bits: only to see a change. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
	return (hash ^ value) * UINT64_C(1099511628211);
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = mix(hash, (unsigned char)*text);
	return hash;
}

#define MIX_START UINT64_C(14695981039346656037)

static uint64_t mix_stat(uint64_t hash, const struct stat *st)
{
	const int64_t facts[] = {
		(int64_t)st->st_dev,         (int64_t)st->st_ino,  (int64_t)st->st_size,
		(int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,  (int64_t)st->st_ctim.tv_sec,
		st->st_ctim.tv_nsec,         (int64_t)st->st_mode,
	};

	for (size_t i = 0; i < ARRAY_N(facts); i++)
		hash = mix(hash, (uint64_t)facts[i]);
	return hash;
}

/* In whatever order the entries come. */
static uint64_t print_of_directory(const char *path, uint64_t hash)
{
	DIR *stream = opendir(path);
	struct dirent *entry;

	while (stream && (entry = readdir(stream)) != NULL) {
		struct stat st;

		if (entry->d_name[0] == '.' || fstatat(dirfd(stream), entry->d_name, &st, 0) != 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		hash += mix_stat(mix_text(MIX_START, entry->d_name), &st);
	}
	if (stream)
		closedir(stream);
	return hash;
}

uint64_t file_watch_print(const char *path, const char *const *beside)
{
	uint64_t hash = MIX_START;
	struct stat st;

	if (stat(path, &st) != 0)
		return 0;
	if (S_ISDIR(st.st_mode)) {
		/* Its own times change with whatever is created in it. */
		hash = mix(hash, (uint64_t)st.st_ino);
		return print_of_directory(path, hash) | 1;
	}
	hash = mix_stat(hash, &st);
	for (; *beside; beside++) {
		char name[PATH_MAX];

		if (snprintf(name, sizeof(name), "%s%s", path, *beside) < (int)sizeof(name) &&
		    stat(name, &st) == 0)
			hash = mix_stat(hash, &st);
		hash = mix(hash, 0);
	}
	return hash | 1;
}

static void add_wd(int **wds, size_t *n, const char *path)
{
	int wd = watch.fd < 0 ? -1 : inotify_add_watch(watch.fd, path, WATCH_EVENTS);

	if (wd >= 0) {
		*wds = xrealloc_array(*wds, *n + 1, sizeof(**wds));
		(*wds)[(*n)++] = wd;
	} else if (watch.fd >= 0 && errno != ENOENT && errno != ENOTDIR && !watch.is_error_told) {
		watch.is_error_told = true;
		log_warn("cannot watch '%s': %s; files of certificates are looked at every %d s",
			 path, strerror(errno), (int)(FILE_WATCH_POLL_MS / 1000));
	}
}

static void add_parent(int **wds, size_t *n, const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int length = slash == path ? 1 : slash ? (int)(slash - path) : 0;

	if (length >= (int)sizeof(parent))
		return;
	snprintf(parent, sizeof(parent), "%.*s", length ? length : 1, slash ? path : ".");
	add_wd(wds, n, parent);
}

static void add_watches(int **wds, size_t *n, const char *path)
{
	char *real = realpath(path, NULL);
	struct stat st;

	add_parent(wds, n, path);
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		add_wd(wds, n, path);
	if (real && strcmp(real, path) != 0)
		add_parent(wds, n, real);
	free(real);
}

static bool has_wd(const int *wds, size_t n, int wd)
{
	while (n-- > 0)
		if (wds[n] == wd)
			return true;
	return false;
}

/* One watch for each directory, however many paths need it: adding it again gives the same. */
static void renew_watches(void)
{
	int *wds = NULL;
	size_t n = 0;

	for (size_t i = 0; i < watch.items_n; i++)
		add_watches(&wds, &n, watch.items[i].path);
	for (size_t i = 0; i < watch.wds_n; i++)
		if (!has_wd(wds, n, watch.wds[i]))
			(void)inotify_rm_watch(watch.fd, watch.wds[i]);
	free(watch.wds);
	watch.wds = wds;
	watch.wds_n = n;
}

/* Watches first and looks then, so that nothing falls between. */
static void on_look(struct timer *timer)
{
	int64_t next_ms = FILE_WATCH_POLL_MS;

	watch.since_ms = 0;
	renew_watches();
	for (size_t i = 0; i < watch.items_n; i++) {
		struct item *item = &watch.items[i];
		uint64_t print = file_watch_print(item->path, watch.beside);
		bool has_changed = item->is_new || print != item->print;

		item->print = print;
		item->is_new = false;
		if (has_changed || item->is_again)
			item->is_again = !watch.fn(item->path, has_changed);
		if (item->is_again)
			next_ms = FILE_WATCH_AGAIN_MS;
	}
	loop_timer_in(watch.loop, timer, next_ms);
}

static void look_soon(void)
{
	int64_t now_ms = clock_ms(), at_ms = now_ms + FILE_WATCH_QUIET_MS;

	if (!watch.since_ms)
		watch.since_ms = now_ms;
	if (at_ms > watch.since_ms + FILE_WATCH_LATE_MS)
		at_ms = watch.since_ms + FILE_WATCH_LATE_MS;
	timer_set(&watch.loop->wheel, &watch.timer, at_ms);
}

static void on_readable(struct loop_fd *lf, uint32_t events)
{
	_Alignas(struct inotify_event) char bytes[16384];
	bool has_any = false;

	(void)events;
	while (read(lf->fd, bytes, sizeof(bytes)) > 0)
		has_any = true;
	if (has_any && watch.items_n)
		look_soon();
}

void file_watch_init(struct loop *loop, file_watch_fn *fn, const char *const *beside)
{
	watch.loop = loop;
	watch.fn = fn;
	watch.beside = beside;
	timer_init(&watch.timer, on_look);
	watch.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch.fd < 0 || loop_fd_add(loop, &watch.lf, watch.fd, on_readable, EPOLLIN) != 0)
		log_warn("no inotify (%s): files of certificates are looked at every %d s",
			 strerror(errno), (int)(FILE_WATCH_POLL_MS / 1000));
}

static struct item *find_item(const char *path)
{
	for (size_t i = 0; i < watch.items_n; i++)
		if (strcmp(watch.items[i].path, path) == 0)
			return &watch.items[i];
	return NULL;
}

static void drop_items(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < watch.items_n; i++) {
		if (watch.items[i].is_kept)
			watch.items[kept++] = watch.items[i];
		else
			free(watch.items[i].path);
	}
	watch.items_n = kept;
}

void file_watch_set(const char *const *paths, size_t n)
{
	for (size_t i = 0; i < watch.items_n; i++)
		watch.items[i].is_kept = false;
	for (size_t i = 0; i < n; i++) {
		struct item *item = find_item(paths[i]);

		if (!item) {
			watch.items = xrealloc_array(watch.items, watch.items_n + 1,
						     sizeof(*watch.items));
			item = &watch.items[watch.items_n++];
			*item = (struct item){ .path = xstrdup(paths[i]), .is_new = true };
			item->print = file_watch_print(item->path, watch.beside);
		}
		item->is_kept = true;
	}
	drop_items();
	renew_watches();
	if (watch.items_n)
		look_soon();
	else
		timer_stop(&watch.timer);
}

void file_watch_fini(void)
{
	if (!watch.loop)
		return;
	for (size_t i = 0; i < watch.items_n; i++)
		watch.items[i].is_kept = false;
	drop_items();
	free(watch.items);
	watch.items = NULL;
	free(watch.wds);
	watch.wds = NULL;
	watch.wds_n = 0;
	timer_fini(&watch.loop->wheel, &watch.timer);
	if (watch.fd >= 0) {
		loop_fd_del(watch.loop, &watch.lf);
		close(watch.fd);
	}
	watch.fd = -1;
	watch.since_ms = 0;
	watch.loop = NULL;
}
