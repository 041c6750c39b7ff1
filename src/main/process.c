/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fds.h"

#define FDS_BASE             32 /* standard, control loop, logs, signals, an upgrade */
#define FDS_PER_THREAD       4
#define FDS_PER_STATS_SOCKET 11
#define FDS_RESERVED         200 /* listeners, checks, logs, stats sockets; a quarter of a low limit */
#define FDS_UNASKED          65536 /* room for more costs the kernel half a MiB and more */

uint64_t process_raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

void process_make_room_for_fds(const struct config *config, uint32_t connections)
{
	uint64_t needed = process_fds_needed(config);
	uint64_t n = (needed > FDS_RESERVED ? needed : FDS_RESERVED) + 2 * (uint64_t)connections;

	/* Nobody has said that there will be so many. */
	if (!config->global.max_connections && n > FDS_UNASKED)
		n = FDS_UNASKED;
	fds_make_room(n);
}

uint64_t process_fds_needed(const struct config *config)
{
	uint64_t n = FDS_BASE + config->global.stats_sockets_n * FDS_PER_STATS_SOCKET;

	for (size_t i = 0; i < config->frontends_n; i++)
		n += config->frontends[i].binds_n * config->global.threads;
	for (size_t i = 0; i < config->backends_n; i++)
		n += config->backends[i].hosts_n; /* checks; watches of directories */
	return n + config->global.threads * (uint64_t)FDS_PER_THREAD;
}

uint32_t process_connections_for(uint64_t fd_limit, uint64_t needed)
{
	uint64_t reserved = fd_limit / 4 < FDS_RESERVED ? fd_limit / 4 : FDS_RESERVED;
	uint64_t n;

	if (reserved < needed)
		reserved = needed < fd_limit ? needed : fd_limit;
	n = (fd_limit - reserved) / 2;
	return n > 10000000 ? 10000000 : (uint32_t)n;
}

/* Any TCP bind below 1024. */
static bool has_privileged_bind(const struct config *config)
{
	for (size_t i = 0; i < config->frontends_n; i++)
		for (size_t j = 0; j < config->frontends[i].binds_n; j++) {
			const struct sock_addr *addr = &config->frontends[i].binds[j].addr;
			uint16_t port = sock_addr_ip(addr).port;

			if (!sock_addr_is_unix(addr) && port && port < 1024)
				return true;
		}
	return false;
}

static int set_capabilities(uint32_t mask)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { mask, mask, mask }, { 0, 0, 0 } };

	return syscall(SYS_capset, &header, data) == 0 ? 0 : -errno;
}

/*
 * All that is left to a process that was root: to bind ports below 1024, if there are any. Ambient,
 * so that the program of an upgrade has it, too.
 */
static int keep_capabilities(bool has_bind)
{
	int rc = set_capabilities(has_bind ? 1u << CAP_NET_BIND_SERVICE : 0);

	if (rc == 0 && has_bind &&
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0) != 0)
		rc = -errno;
	return rc;
}

static void drop_bounding_set(bool has_bind)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (cap != CAP_NET_BIND_SERVICE || !has_bind)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static int drop_user(const struct passwd *passwd, const struct group *group, bool has_bind,
		     const char **why)
{
	gid_t gid = group ? group->gr_gid : passwd->pw_gid;
	bool is_root = geteuid() == 0;

	/* Started as that user, by systemd or by the process before. */
	if (!is_root && getuid() == passwd->pw_uid && getgid() == gid)
		return 0;
	*why = "the group cannot be changed";
	if (initgroups(passwd->pw_name, gid) != 0 || setgid(gid) != 0)
		return -errno;
	*why = "capabilities cannot be kept";
	drop_bounding_set(has_bind);
	if (prctl(PR_SET_KEEPCAPS, has_bind, 0, 0, 0) != 0)
		return -errno;
	*why = "the user cannot be changed";
	if (setuid(passwd->pw_uid) != 0)
		return -errno;
	if (passwd->pw_uid == 0)
		return 0;
	*why = "capabilities cannot be dropped";
	int rc = keep_capabilities(has_bind);

	if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		rc = -errno;
	return rc;
}

static int drop_group(const struct group *group, const char **why)
{
	if (getgid() == group->gr_gid)
		return 0;
	*why = "the group cannot be changed";
	if (setgroups(1, &group->gr_gid) != 0 || setgid(group->gr_gid) != 0)
		return -errno;
	return 0;
}

int process_drop_privileges(const struct config *config, bool is_inside, const char **why)
{
	const struct global_conf *global = &config->global;
	char *user = xstrndup(global->user), *group = xstrndup(global->group);
	char *root = xstrndup(global->chroot);
	struct group *entry = *group ? getgrnam(group) : NULL;
	struct passwd *passwd = *user ? getpwnam(user) : NULL;
	int rc = 0;

	/* Names are looked up before the root changes. */
	if (*group && !entry) {
		*why = "no such group";
		rc = -ENOENT;
	} else if (*user && !passwd) {
		*why = "no such user";
		rc = -ENOENT;
	} else if (*root && !is_inside && (chroot(root) != 0 || chdir("/") != 0)) {
		*why = "chroot failed";
		rc = -errno;
	}
	if (rc == 0 && passwd)
		rc = drop_user(passwd, entry, has_privileged_bind(config), why);
	else if (rc == 0 && entry)
		rc = drop_group(entry, why);
	free(user);
	free(group);
	free(root);
	return rc;
}

/* The process that FILE names: 0 = none. */
static pid_t read_pid(const char *file)
{
	char text[32] = "";
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	uint64_t pid = 0;

	if (fd >= 0)
		close(fd);
	if (n <= 0 || str_to_u64((struct str){ text, strspn(text, "0123456789") }, INT32_MAX, &pid))
		return 0;
	return (pid_t)pid;
}

static bool is_limpet(pid_t pid)
{
	char path[64], name[32] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, name, sizeof(name) - 1) : 0;
	if (fd >= 0)
		close(fd);
	return n > 0 && strcmp(name, "limpet\n") == 0;
}

pid_t process_other(struct str pid_file)
{
	char *name = xstrndup(pid_file);
	pid_t pid = pid_file.len ? read_pid(name) : 0;

	free(name);
	return pid && pid != getpid() && is_limpet(pid) ? pid : 0;
}

int process_write_pid_file(const struct global_conf *global)
{
	char *name = xstrndup(global->pid_file), *user = xstrndup(global->user);
	const struct passwd *passwd = *user ? getpwnam(user) : NULL;
	int fd, rc = 0;

	if (*name) {
		fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
			rc = -errno;
		/* So that the process that takes over can put its own number there. */
		if (fd >= 0 && passwd && geteuid() == 0)
			(void)!fchown(fd, passwd->pw_uid, (gid_t)-1);
		if (fd >= 0)
			close(fd);
	}
	free(name);
	free(user);
	return rc;
}

void process_remove_pid_file(struct str path)
{
	char *name = xstrndup(path);

	if (path.len && read_pid(name) == getpid())
		(void)unlink(name);
	free(name);
}

/*
 * systemd.  The socket is opened before a chroot takes its path away.
 */
static int notify_fd = -1;
static struct {
	struct timer timer;
	struct loop *loop;
	int64_t every_ms;
	void (*barrier)(void (*done)(void));
} watchdog;

void process_notify_begin(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t length = path ? strlen(path) : 0;

	if (length < 2 || length >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, length);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify_fd >= 0 &&
	    connect(notify_fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0)
		process_notify_end();
}

void process_notify(const char *state)
{
	if (notify_fd >= 0)
		(void)send(notify_fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void process_notify_reloading(void)
{
	struct timespec now;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	process_notify(text);
}

void process_notify_end(void)
{
	if (notify_fd >= 0)
		close(notify_fd);
	notify_fd = -1;
	timer_stop(&watchdog.timer);
}

static void on_alive(void)
{
	process_notify("WATCHDOG=1");
	if (notify_fd >= 0)
		loop_timer_in(watchdog.loop, &watchdog.timer, watchdog.every_ms);
}

static void on_watchdog(struct timer *timer)
{
	(void)timer;
	watchdog.barrier(on_alive);
}

void process_watchdog_start(struct loop *loop, void (*barrier)(void (*done)(void)))
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t n = 0, wanted = (uint64_t)getpid();

	if (notify_fd < 0 || !usec || str_to_u64(str_of(usec), INT64_MAX, &n) != 0 || n < 10000 ||
	    (pid && str_to_u64(str_of(pid), INT32_MAX, &wanted) != 0) ||
	    wanted != (uint64_t)getpid())
		return;
	watchdog.loop = loop;
	watchdog.every_ms = (int64_t)(n / 3000);
	watchdog.barrier = barrier;
	timer_init(&watchdog.timer, on_watchdog);
	on_watchdog(&watchdog.timer);
}
