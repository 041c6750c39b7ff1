/* SPDX-License-Identifier: MIT */
/*
 * discovery - one struct place for each glob.
 *
 *   place "/run/chat/" "*.sock" --> watch on /run/chat, or on its nearest parent that exists,
 *                                   whose entry `awaited` ("chat") we then wait for
 *         |--> workers (what the last look found)
 *         `--> users (backend, host): whose servers the workers are
 *
 * All watches share one inotify descriptor.  inotify gives one watch descriptor per inode, so two
 * places may have the same wd; it is removed with its last user.
 *
 * A slow timer looks at every place as well: it tries again what failed (permissions, no watches
 * left), and finds a directory whose ancestor was renamed, of which inotify tells nothing.
 */
#include "config.h"

#include "health/discovery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "health/dir_scan.h"
#include "health/health.h"
#include "model/server.h"
#include "net/addr.h"

#define WATCH_EVENTS                                                                               \
	(IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF |     \
	 IN_ONLYDIR)
#define LOOK_AGAIN_MS SEC(2)

struct user {
	struct backend_state *backend; /* (view) never freed */
	char *host;                    /* (own) */
};

struct place {
	struct list link;
	char *glob, *dir, *pattern; /* (own) */
	int wd;                     /* -1 = not watched */
	char *awaited; /* (own) entry of the watched parent; NULL = DIR itself is watched */
	dev_t dev;     /* of DIR at the last look */
	ino_t ino;
	struct discovery_worker *workers; /* (own) sorted by name */
	size_t workers_n;
	bool *are_doubtful; /* (own) by index in workers: seen to be deleted since the last look */
	struct user *users; /* (own) */
	size_t users_n;
	bool is_dirty, is_kept;
	size_t left_out_told;
	int error_told;
};

static struct {
	struct loop *loop; /* NULL = not in use */
	void (*on_change)(void);
	struct loop_fd lf;
	int fd;
	struct list places;
	struct soon look_soon;
	struct timer look_again;
} discovery = { .fd = -1, .lf = { .fd = -1 } };

static void born(const struct place *place, const struct discovery_worker *worker, bool is_again)
{
	struct sock_addr addr = { .un = { .sun_family = AF_UNIX } };
	size_t length = strlen(worker->path);

	memcpy(addr.un.sun_path, worker->path, length + 1);
	addr.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
	for (size_t i = 0; i < place->users_n; i++) {
		struct server *server =
			server_get(place->users[i].backend, str_of(place->users[i].host),
				   str_of(worker->name));

		if (server) /* else SERVERS_MAX names have been seen; the set will lack it too */
			health_born(server, &addr, is_again);
	}
}

static bool is_same(const struct discovery_worker *a, const struct discovery_worker *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->born_ns == b->born_ns &&
	       strcmp(a->path, b->path) == 0;
}

/* Both lists are sorted: walks them side by side.  True when they differ. */
static bool compare(const struct place *place, const struct dir_scan *now)
{
	bool has_changed = false;
	size_t i = 0, k = 0;

	while (i < place->workers_n || k < now->n) {
		int order = i == place->workers_n ? 1
			    : k == now->n         ? -1
					  : strcmp(place->workers[i].name, now->workers[k].name);

		if (order < 0) {
			has_changed = true;
			i++;
		} else if (order > 0) {
			born(place, &now->workers[k++], false);
			has_changed = true;
		} else {
			if (place->are_doubtful[i] ||
			    !is_same(&place->workers[i], &now->workers[k])) {
				born(place, &now->workers[k], true);
				has_changed = true;
			}
			i++;
			k++;
		}
	}
	return has_changed;
}

static bool is_missing(int rc)
{
	return rc == -ENOENT || rc == -ENOTDIR;
}

static void tell_trouble(struct place *place, int rc, const struct dir_scan *now)
{
	if (rc != 0 && !is_missing(rc) && rc != place->error_told)
		log_warn("cannot watch '%s': %s; looking every %d ms", place->dir, strerror(-rc),
			 (int)LOOK_AGAIN_MS);
	place->error_told = rc;
	if (now->left_out > place->left_out_told)
		log_warn("%zu socket files of '%s' left out: at most %d workers, paths of 107 "
			 "bytes, "
			 "and one file for each name",
			 now->left_out, place->glob, DISCOVERY_WORKERS_MAX);
	place->left_out_told = now->left_out;
}

static void watch_drop(struct place *place)
{
	int wd = place->wd;

	place->wd = -1;
	free(place->awaited);
	place->awaited = NULL;
	if (wd < 0)
		return;
	list_for_each(at, &discovery.places)
		if (list_entry(at, struct place, link)->wd == wd)
			return;
	(void)inotify_rm_watch(discovery.fd, wd); /* fails when the directory is gone */
}

/*
 * Watches DIR, or else the nearest parent there is.  PATH is cut at one '/' after another, from the
 * end; what stood behind the last cut is the entry to wait for.
 */
static int watch_nearest(struct place *place)
{
	char *path = xstrdup(place->dir);
	const char *awaited = NULL;
	int wd, rc;

	for (;;) {
		char *slash;

		wd = inotify_add_watch(discovery.fd, path, WATCH_EVENTS);
		rc = wd < 0 ? -errno : 0;
		slash = strrchr(path, '/');
		if (wd >= 0 || !is_missing(rc) || !slash || !slash[1])
			break;
		if (slash == path) {
			awaited = place->dir + 1;
			path[1] = '\0';
		} else {
			awaited = place->dir + (slash - path) + 1;
			*slash = '\0';
		}
	}
	if (wd != place->wd)
		watch_drop(place);
	free(place->awaited);
	place->awaited = NULL;
	place->wd = wd;
	if (wd >= 0 && awaited)
		place->awaited = xstrndup((struct str){ awaited, strcspn(awaited, "/") });
	free(path);
	return rc;
}

/* Watches first and reads then, so that nothing falls between.  True when the list has changed. */
static bool look(struct place *place)
{
	struct dir_scan now;
	bool has_changed;
	int rc = 0, scan_rc = 0;

	for (int tries = 0; tries < 10; tries++) {
		rc = watch_nearest(place);
		scan_rc = dir_scan(place->dir, place->pattern, &now);
		/* The directory may have come while its parent was being watched. */
		if (scan_rc != 0 || !place->awaited)
			break;
		free(now.workers);
		now = (struct dir_scan){ 0 };
	}
	tell_trouble(place, rc ? rc : scan_rc, &now);
	/* Out of descriptors, say: that is no reason to give up workers that may well be there. */
	if (scan_rc != 0 && !is_missing(scan_rc))
		return false;
	has_changed = compare(place, &now);
	free(place->workers);
	free(place->are_doubtful);
	place->workers = now.workers;
	place->workers_n = now.n;
	place->are_doubtful = xcalloc(now.n, sizeof(bool));
	place->dev = now.dev;
	place->ino = now.ino;
	place->is_dirty = false;
	return has_changed;
}

static void on_look(struct soon *soon)
{
	bool has_changed = false;

	(void)soon;
	if (!discovery.loop)
		return;
	list_for_each(at, &discovery.places) {
		struct place *place = list_entry(at, struct place, link);

		if (place->is_dirty)
			has_changed |= look(place);
	}
	if (has_changed)
		discovery.on_change();
}

static void make_dirty(struct place *place)
{
	place->is_dirty = true;
	loop_soon(discovery.loop, &discovery.look_soon, on_look);
}

static void on_look_again(struct timer *timer)
{
	list_for_each(at, &discovery.places) {
		struct place *place = list_entry(at, struct place, link);
		struct stat st = { .st_ino = 0 };
		bool is_there = stat(place->dir, &st) == 0;

		if (place->wd < 0 || place->is_dirty || is_there != (place->awaited == NULL) ||
		    (is_there && (st.st_ino != place->ino || st.st_dev != place->dev)))
			make_dirty(place);
	}
	loop_timer_in(discovery.loop, timer, LOOK_AGAIN_MS);
}

/* NAME of the watched directory has been created, deleted or renamed. */
static void entry_changed(struct place *place, uint32_t mask, const char *name)
{
	if (place->awaited) {
		if (strcmp(place->awaited, name) == 0)
			make_dirty(place);
		return;
	}
	if (mask & (IN_DELETE | IN_MOVED_FROM)) {
		for (size_t i = 0; i < place->workers_n; i++) {
			const char *file = strrchr(place->workers[i].path, '/') + 1;

			if (strcmp(file, name) == 0)
				place->are_doubtful[i] = true;
		}
	}
	make_dirty(place);
}

static void on_inotify_event(const struct inotify_event *event)
{
	list_for_each(at, &discovery.places) {
		struct place *place = list_entry(at, struct place, link);

		if (event->mask & IN_Q_OVERFLOW) {
			make_dirty(place);
			continue;
		}
		if (place->wd != event->wd)
			continue;
		if (event->mask & IN_IGNORED) {
			place->wd = -1;
			make_dirty(place);
		} else if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) {
			make_dirty(place);
		} else if (event->len) {
			entry_changed(place, event->mask, event->name);
		}
	}
}

static void on_readable(struct loop_fd *lf, uint32_t events)
{
	_Alignas(struct inotify_event) char bytes[16384];
	ssize_t n;

	(void)events;
	while ((n = read(lf->fd, bytes, sizeof(bytes))) > 0) {
		for (const char *at = bytes; at < bytes + n;) {
			const struct inotify_event *event = (const void *)at;

			on_inotify_event(event);
			at += sizeof(*event) + event->len;
		}
	}
}

void discovery_init(struct loop *loop, void (*on_change)(void))
{
	discovery.loop = loop;
	discovery.on_change = on_change;
	list_init(&discovery.places);
	timer_init(&discovery.look_again, on_look_again);
	discovery.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (discovery.fd < 0 ||
	    loop_fd_add(loop, &discovery.lf, discovery.fd, on_readable, EPOLLIN) != 0)
		log_warn("no inotify (%s): socket directories are looked at every %d ms",
			 strerror(errno), (int)LOOK_AGAIN_MS);
}

static void users_clear(struct place *place)
{
	for (size_t i = 0; i < place->users_n; i++)
		free(place->users[i].host);
	free(place->users);
	place->users = NULL;
	place->users_n = 0;
}

static void place_free(struct place *place)
{
	list_remove(&place->link);
	watch_drop(place);
	users_clear(place);
	free(place->workers);
	free(place->are_doubtful);
	free(place->glob);
	free(place->dir);
	free(place->pattern);
	free(place);
}

static struct place *place_find(struct str glob)
{
	list_for_each(at, &discovery.places) {
		struct place *place = list_entry(at, struct place, link);

		if (str_eq(str_of(place->glob), glob))
			return place;
	}
	return NULL;
}

/* "/run//chat" would confuse watch_nearest(). */
static void squeeze_slashes(char *path)
{
	char *to = path;

	for (const char *from = path; *from; from++)
		if (*from != '/' || from[1] != '/')
			*to++ = *from;
	*to = '\0';
}

static struct place *place_new(struct str glob)
{
	struct place *place = xcalloc(1, sizeof(*place));
	const char *slash = memrchr(glob.p, '/', glob.len);

	place->glob = xstrndup(glob);
	place->wd = -1;
	if (!slash)
		place->dir = xstrdup(".");
	else
		place->dir = xstrndup(slash == glob.p ? STR("/") : str_sub(glob.p, slash));
	squeeze_slashes(place->dir);
	if (place->dir[1] && place->dir[strlen(place->dir) - 1] == '/')
		place->dir[strlen(place->dir) - 1] = '\0';
	place->pattern = xstrndup(slash ? str_sub(slash + 1, glob.p + glob.len) : glob);
	list_push_back(&discovery.places, &place->link);
	return place;
}

static bool has_user(const struct place *place, const struct backend_state *backend,
		     struct str host)
{
	for (size_t i = 0; i < place->users_n; i++)
		if (place->users[i].backend == backend &&
		    str_eq(str_of(place->users[i].host), host))
			return true;
	return false;
}

static void add_user(struct place *place, struct backend_state *backend, struct str host)
{
	place->users = xrealloc_array(place->users, place->users_n + 1, sizeof(*place->users));
	place->users[place->users_n++] = (struct user){ backend, xstrndup(host) };
}

/* HOST of BACKEND has a glob: its place, with it among the users. */
static void follow(struct backend_state *backend, const struct host_conf *host)
{
	struct place *place = place_find(host->glob);

	if (!place) {
		place = place_new(host->glob);
		place->is_dirty = true;
	}
	place->is_kept = true;
	if (!has_user(place, backend, host->name))
		add_user(place, backend, host->name);
}

void discovery_apply(const struct config *config)
{
	if (!discovery.loop)
		return;
	list_for_each(at, &discovery.places) {
		struct place *place = list_entry(at, struct place, link);

		place->is_kept = false;
		users_clear(place);
	}
	for (size_t i = 0; i < config->backends_n; i++) {
		const struct backend *backend = &config->backends[i];

		for (size_t h = 0; h < backend->hosts_n; h++)
			if (backend->hosts[h].glob.len)
				follow(backend_state_get(backend->name), &backend->hosts[h]);
	}
	list_for_each_safe(at, after, &discovery.places) {
		struct place *place = list_entry(at, struct place, link);

		if (!place->is_kept)
			place_free(place);
		else if (place->is_dirty)
			look(place);
	}
	if (!timer_is_set(&discovery.look_again) && !list_is_empty(&discovery.places))
		loop_timer_in(discovery.loop, &discovery.look_again, LOOK_AGAIN_MS);
}

void discovery_fini(void)
{
	if (!discovery.loop)
		return;
	while (!list_is_empty(&discovery.places))
		place_free(list_entry(discovery.places.next, struct place, link));
	timer_fini(&discovery.loop->wheel, &discovery.look_again);
	if (discovery.fd >= 0) {
		loop_fd_del(discovery.loop, &discovery.lf);
		close(discovery.fd);
	}
	discovery.fd = -1;
	discovery.loop = NULL;
}

size_t discovery_workers(struct str glob, struct discovery_worker *out, size_t max)
{
	struct place *place = discovery.loop ? place_find(glob) : NULL;
	size_t n = place ? place->workers_n : 0;

	if (n)
		memcpy(out, place->workers, (n < max ? n : max) * sizeof(*out));
	return n;
}
