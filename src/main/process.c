/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "main/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_RESERVED 200 /* listeners, checks, logs, stats sockets; a quarter of a low limit */

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

uint32_t process_connections_for(uint64_t fd_limit)
{
	uint64_t reserved = fd_limit / 4 < FDS_RESERVED ? fd_limit / 4 : FDS_RESERVED;
	uint64_t n = (fd_limit - reserved) / 2;

	return n > 10000000 ? 10000000 : (uint32_t)n;
}

static int drop_user(const char *user, gid_t gid, bool has_group, const char **why)
{
	struct passwd *passwd = getpwnam(user);

	*why = "no such user";
	if (!passwd)
		return -ENOENT;
	*why = "the group cannot be changed";
	if (initgroups(user, passwd->pw_gid) != 0 || setgid(has_group ? gid : passwd->pw_gid) != 0)
		return -errno;
	*why = "the user cannot be changed";
	return setuid(passwd->pw_uid) == 0 ? 0 : -errno;
}

int process_drop_privileges(const struct global_conf *global, const char **why)
{
	char *user = xstrndup(global->user), *group = xstrndup(global->group);
	char *root = xstrndup(global->chroot);
	struct group *entry = *group ? getgrnam(group) : NULL;
	int rc = 0;

	*why = "no such group";
	if (*group && !entry)
		rc = -ENOENT;
	/* Names are looked up before the root changes. */
	if (rc == 0 && *user && !getpwnam(user)) {
		*why = "no such user";
		rc = -ENOENT;
	}
	if (rc == 0 && *root && (chroot(root) != 0 || chdir("/") != 0)) {
		*why = "chroot failed";
		rc = -errno;
	}
	if (rc == 0 && *user) {
		rc = drop_user(user, entry ? entry->gr_gid : 0, entry != NULL, why);
	} else if (rc == 0 && entry && setgid(entry->gr_gid) != 0) {
		*why = "the group cannot be changed";
		rc = -errno;
	}
	free(user);
	free(group);
	free(root);
	return rc;
}

int process_write_pid_file(struct str path)
{
	char *name = xstrndup(path);
	int fd, rc = 0;

	if (path.len) {
		fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
			rc = -errno;
		if (fd >= 0)
			close(fd);
	}
	free(name);
	return rc;
}

void process_remove_pid_file(struct str path)
{
	char *name = xstrndup(path);

	if (path.len)
		(void)unlink(name);
	free(name);
}

void process_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (length < 2 || length >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, length);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	close(fd);
}
